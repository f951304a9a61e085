"""Progress of many cells: one bar, or a line now and then where nobody watches."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Protocol, Self


class CellProgress(Protocol):
    """What a run of cells reports to: used as a context manager around it."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def start(self, total: int, known: int) -> None:
        """Say how many cells there are, and how many were finished before."""

    def update(self, done: int, failed: int) -> None:
        """Say how many are finished and have failed."""


class Unseen:
    """Reports nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...
    def start(self, total: int, known: int) -> None:
        """Say nothing."""

    def update(self, done: int, failed: int) -> None:
        """Say nothing."""


class Bar:
    """One bar, in a terminal or a notebook (rich).

    Parameters
    ----------
    name
        What runs.
    unit
        What is counted, ``"fits"``.
    """

    def __init__(self, name: str, unit: str = "cells") -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=not _in_notebook()),
        )
        self._name = name
        self._task: Any = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, total: int, known: int) -> None:
        """Show the bar."""
        state = f"({known} kept from before)" if known else ""
        self._task = self._bars.add_task(self._name, total=total, completed=known, state=state)

    def update(self, done: int, failed: int) -> None:
        """Move the bar."""
        self._bars.update(self._task, completed=done)
        if failed:
            self._bars.update(self._task, state=f"[red]{failed} failed[/red]")


class Lines:
    """A line every ``every`` seconds, for batch jobs; a run that is shorter prints none.

    Parameters
    ----------
    name, unit
        What runs, and what is counted.
    every
        Seconds between lines; they come also while a cell takes long.
    """

    def __init__(self, name: str, unit: str = "cells", every: float = 15.0) -> None:
        self._name, self._unit, self._every = name, unit, every
        self._total = self._known = self._done = self._failed = 0
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._printed = False

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._printed:
            self._print()

    def start(self, total: int, known: int) -> None:
        """Take note."""
        self._total, self._known, self._done = total, known, known

    def update(self, done: int, failed: int) -> None:
        """Take note."""
        self._done, self._failed = done, failed

    def _tell(self) -> None:
        while not self._over.wait(self._every):
            self._print()
            self._printed = True

    def _print(self) -> None:
        text = f"mmm_bayes: {self._name}: {self._done} of {self._total} {self._unit}"
        if self._failed:
            text += f", {self._failed} failed"
        made, spent = self._done - self._known, time.monotonic() - self._began
        left = self._total - self._done - self._failed
        if made and left:
            text += f", about {_duration(spent / made * left)} left"
        print(text, file=sys.stderr, flush=True)


def choose_cell_progress(
    progress: bool | CellProgress | None, name: str, unit: str = "cells"
) -> CellProgress:
    """``None`` or ``True`` picks a bar, or lines where nobody watches; ``False`` is silence."""
    if progress is None or progress is True:
        watched = sys.stderr.isatty() or _in_notebook()
        return Bar(name, unit) if watched else Lines(name, unit)
    return Unseen() if progress is False else progress


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
