"""One progress interface for notebook, terminal and log."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, Protocol, Self


class Progress(Protocol):
    """What a sampler reports to: used as a context manager around the run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def start(self, num_chains: int, total: int) -> None:
        """Say how many chains of how many iterations follow."""

    def message(self, text: str) -> None:
        """Say what happens now (compiling, drawing predictions)."""

    def update(self, chain: int, done: int, phase: str, divergences: int) -> None:
        """Say that ``done`` iterations of a chain are made. Called from the chain's own thread."""


class Silent:
    """Reports nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...
    def start(self, num_chains: int, total: int) -> None:
        """Say nothing."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def update(self, chain: int, done: int, phase: str, divergences: int) -> None:
        """Say nothing."""


class Bars:
    """A bar a chain, in a terminal or a notebook (rich)."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        in_notebook = "ipykernel" in sys.modules
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=Console(stderr=not in_notebook),
            transient=False,
        )
        self._tasks: list[Any] = []
        self._note: Any = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._note is not None:
            self._bars.remove_task(self._note)
        self._bars.stop()

    def start(self, num_chains: int, total: int) -> None:
        """Show the chains."""
        self._tasks = [
            self._bars.add_task(f"chain {chain}", total=total, state="waits")
            for chain in range(num_chains)
        ]

    def message(self, text: str) -> None:
        """Show what happens now."""
        if self._note is None:
            self._note = self._bars.add_task(text, total=None, state="")
        else:
            self._bars.update(self._note, description=text)

    def update(self, chain: int, done: int, phase: str, divergences: int) -> None:
        """Move a chain's bar."""
        state = phase + (f", {divergences} divergent" if divergences else "")
        self._bars.update(self._tasks[chain], completed=done, state=state)


class Log:
    """A line every ``every`` seconds, for batch jobs."""

    def __init__(self, every: float = 15.0) -> None:
        self.every = every
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._done: dict[int, int] = {}
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def start(self, num_chains: int, total: int) -> None:
        """Show the chains."""
        self._total = num_chains * total

    def message(self, text: str) -> None:
        """Print what happens now."""
        print(f"mmm_bayes: {text}", file=sys.stderr, flush=True)

    def update(self, chain: int, done: int, phase: str, divergences: int) -> None:
        """Print a line, if the last one is old enough."""
        with self._lock:
            self._done[chain] = done
            if time.monotonic() - self._last < self.every:
                return
            self._last = time.monotonic()
            made = sum(self._done.values())
        print(f"mmm_bayes: {made} of {self._total} iterations", file=sys.stderr, flush=True)


def choose_progress(progress: bool | Progress | None) -> Progress:
    """``True`` or ``None`` picks bars, or a log where nobody watches; ``False`` is silence."""
    if progress is None or progress is True:
        watched = sys.stderr.isatty() or "ipykernel" in sys.modules
        return Bars() if watched else (Log() if progress else Silent())
    return Silent() if progress is False else progress
