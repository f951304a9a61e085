"""Progress of experiments, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmm_bayes.runtime.jobs.progress import CellProgress, choose_cell_progress


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
    for name in names:
        with choose_cell_progress(None, name, "runs") as progress:
            run(name, out=out, on_done=_teller(progress), **settings)
        paths += [Path(out) / f"{name}.md", *sorted(Path(out).glob(f"{name}*.png"))]
    return paths


def _teller(progress: CellProgress) -> Callable[[int, int], None]:
    """Start at the first call, which says what was finished before; move at the others."""
    calls = itertools.count()

    def on_done(done: int, total: int) -> None:
        if next(calls) == 0:
            progress.start(total, done)
        progress.update(done, 0)

    return on_done
