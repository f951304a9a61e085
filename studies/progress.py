"""Progress of experiments, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from mmm_bayes.runtime.progress import Progress, choose_progress


def run_with_bars(
    run: Callable[..., Any], names: Iterable[str], out: Path | str, **settings: Any
) -> list[Path]:
    """Call ``run(name, out=, on_done=, **settings)`` for each name, with one bar per name.

    Returns
    -------
    list of Path
        The summary (Markdown) and the figures of each name in the folder.
    """
    paths = []
    for name in names:
        with closing(choose_progress(True)) as progress:
            run(name, out=out, on_done=_reporting(progress, name), **settings)
        paths += [Path(out) / f"{name}.md", *sorted(Path(out).glob(f"{name}*.png"))]
    return paths


def _reporting(progress: Progress, name: str) -> Callable[[int, int], None]:
    """Return a function that starts the bar at its first call, and moves it at the others."""
    calls = itertools.count()

    def on_done(done: int, total: int) -> None:
        if next(calls) == 0:  # the first call says how many were finished before
            progress.start([name], total, "runs", done)
        progress.update(0, done)

    return on_done
