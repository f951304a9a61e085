"""Write figures to files, each of them whole or not at all."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from mmm_bayes.runtime.atomic_write import atomic_write

_DPI = 150
_LONGEST = 100  # characters of a file name that come from names in a table


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = _DPI) -> Path:
    """Write a figure as PNG; an existing file is replaced once the new one is complete."""
    path = Path(path)
    with atomic_write(path) as place, warnings.catch_warnings():
        # A font may lack a sign of somebody's name.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(place, dpi=dpi, format="png")
    return path


def save_figures(
    folder: str | os.PathLike[str], makers: Mapping[str, Callable[[], Figure]]
) -> list[Path]:
    """Write figures by name to a folder, which is created if it does not exist.

    Names may contain names of the user's columns: only letters, digits, ``-`` and ``_`` of them
    are kept, and a number is added where two would be equal.
    """
    paths: list[Path] = []
    for name, make in makers.items():
        stem = re.sub(r"[^\w-]+", "_", name)[:_LONGEST] or "figure"
        path = Path(folder) / f"{stem}.png"
        if path in paths:
            path = Path(folder) / f"{stem}_{len(paths)}.png"
        paths.append(save_figure(make(), path))
    return paths
