"""Folds kept in a folder as they are finished, so that a validation goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmm_bayes._version import __version__
from mmm_bayes.data.schema import MMMData
from mmm_bayes.data.whole_file import whole_file

NDArray = np.ndarray[Any, Any]

_MANIFEST = "validation.json"


class StoreError(ValueError):
    """A folder holds folds of another validation, or a file in it cannot be read."""


class FoldStore:
    """A folder of folds, each a file that is written whole or not at all.

    Parameters
    ----------
    folder
        Made if it is not there.
    settings
        What the folds depend on; a folder made with others is refused.

    Raises
    ------
    StoreError
        If the folder is of another validation.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        text = json.dumps(dict(settings), sort_keys=True, indent=1)
        manifest = self.folder / _MANIFEST
        if manifest.exists():
            self._compare(manifest, json.loads(text))
        else:
            with whole_file(manifest) as place:
                place.write_text(text, encoding="utf-8")

    def _compare(self, manifest: Path, wanted: dict[str, Any]) -> None:
        try:
            known = json.loads(manifest.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(
                f"{manifest} cannot be read ({error}). Choose another folder."
            ) from error
        differ = sorted(k for k in known.keys() | wanted.keys() if known.get(k) != wanted.get(k))
        if differ:
            raise StoreError(
                f"{self.folder} holds folds of another validation: {', '.join(differ)} differ. "
                "Choose another folder, or delete this one to start over."
            )

    def read(self, number: int) -> dict[str, NDArray] | None:
        """Arrays of a finished fold, or ``None``."""
        path = self._path(number)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(
                f"{path} cannot be read ({error}). Delete it to fit it again."
            ) from error

    def write(self, number: int, arrays: Mapping[str, NDArray]) -> None:
        """Keep a finished fold."""
        with whole_file(self._path(number)) as place, place.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **dict(arrays))

    def _path(self, number: int) -> Path:
        return self.folder / f"fold_{number:03d}.npz"


def table_digest(data: MMMData) -> str:
    """Hexadecimal name of a table's values and labels."""
    found = hashlib.sha256(f"{data.channels}{data.controls}{data.geos}".encode())
    found.update(data.dates.asi8.tobytes())
    for name in ("target", "spend", "exposure", "controls", "population", "revenue_per_target"):
        found.update(np.ascontiguousarray(data.ds[name].values).tobytes())
    return found.hexdigest()[:20]


def version() -> str:
    """Version of the package that folds were made with."""
    return __version__
