"""Progress of many runs on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress


def run_bars() -> Progress:
    """Bars that count runs, with the time gone by and left; a context manager."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("runs"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


def run_with_bars(
    run: Callable[..., Any], names: Iterable[str], out: Path | str, **settings: Any
) -> list[Path]:
    """Call ``run(name, out=, on_done=, **settings)`` for each name, a bar each.

    Returns
    -------
    list of Path
        The summary (Markdown) and the figures of each name in the folder.
    """
    paths = []
    with run_bars() as bars:
        for name in names:
            bar = bars.add_task(name, total=None)
            run(
                name,
                out=out,
                on_done=lambda done, total, bar=bar: bars.update(bar, completed=done, total=total),
                **settings,
            )
            paths += [Path(out) / f"{name}.md", *sorted(Path(out).glob(f"{name}*.png"))]
    return paths
