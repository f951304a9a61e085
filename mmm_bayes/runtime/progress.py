"""One progress interface, for terminal, notebook, log, and a reporter of the user's own.

Everything that takes long has an argument ``progress``: ``True`` shows progress, ``False`` is
silent, ``None`` shows it where somebody watches (a terminal or a notebook), and any object with the
methods of :class:`Progress` receives the progress.

>>> class Prints:
...     def start(self, names, total, unit, done=0):
...         print(f"{', '.join(names)}: {total} {unit}")
...
...     def update(self, index, done, note=""):
...         print(done, note)
...
...     def message(self, text):
...         print(text)
...
...     def close(self):
...         print("over")
>>> reporter = choose_progress(Prints())
>>> reporter.start(["chain 0", "chain 1"], 2000, "iterations")
chain 0, chain 1: 2000 iterations
"""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol, final

from mmm_bayes.runtime.deprecation import warn_deprecated
from mmm_bayes.runtime.visible import visible, visible_text

_EVERY = 15.0  # seconds between lines where nobody watches


class Progress(Protocol):
    """Where a long computation reports to.

    After ``close``, a further ``start`` begins again: a model of several equations starts and
    closes its reporter once for each of them.
    """

    def start(self, names: Sequence[str], total: int, unit: str, done: int = 0) -> None:
        """Begin: each of ``names`` takes ``total`` units, ``done`` of which are there already."""

    def update(self, index: int, done: int, note: str = "") -> None:
        """Say how many units of ``names[index]`` are done. Called from any thread."""

    def message(self, text: str) -> None:
        """Say what happens now (``"compiling the sampler"``); may come before ``start``."""

    def close(self) -> None:
        """End; also called if the computation failed."""


class Silent:
    """Report nothing; a base class for reporters that need only some of the methods."""

    def start(self, names: Sequence[str], total: int, unit: str, done: int = 0) -> None:
        """Do nothing."""

    def update(self, index: int, done: int, note: str = "") -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@final
class Bars:
    """Show one bar per name, in a terminal or a notebook (by rich)."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: list[Any] = []
        self._note: Any = None

    def start(self, names: Sequence[str], total: int, unit: str, done: int = 0) -> None:
        """Show the bars."""
        bars = self._shown()
        state = f"({done} done before)" if done else ""
        self._tasks = [
            bars.add_task(visible(name), total=total, completed=done, unit=unit, state=state)
            for name in names
        ]

    def update(self, index: int, done: int, note: str = "") -> None:
        """Move a bar."""
        changed = {"state": visible(note)} if note else {}
        self._shown().update(self._tasks[index], completed=done, **changed)

    def message(self, text: str) -> None:
        """Show the text on a line of its own, in place of the last one."""
        bars, text = self._shown(), visible_text(text)
        if self._note is None:
            self._note = bars.add_task(text, total=None, unit="", state="")
        else:
            bars.update(self._note, description=text)

    def close(self) -> None:
        """Leave the bars as they are, and take the message away."""
        if self._bars is None:
            return
        if self._note is not None:
            self._bars.remove_task(self._note)
        self._bars.stop()
        self._bars, self._note, self._tasks = None, None, []

    def _shown(self) -> Any:
        if self._bars is None:
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
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}", markup=False),
                TextColumn("{task.fields[state]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=not _in_notebook()),
            )
            self._bars.start()
        return self._bars


@final
class Lines:
    """Print a line every ``every`` seconds, for batch jobs; a shorter run prints messages only.

    Parameters
    ----------
    every
        Seconds between lines. They appear even if nothing has finished in the meantime.
    """

    def __init__(self, every: float = _EVERY) -> None:
        self._every = every
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._names: tuple[str, ...] = ()
        self._total = self._before = 0
        self._unit = ""
        self._done: list[int] = []
        self._notes: list[str] = []
        self._began = 0.0
        self._shown = ""

    def start(self, names: Sequence[str], total: int, unit: str, done: int = 0) -> None:
        """Begin to print."""
        self.close()
        self._names, self._total, self._unit = tuple(names), total * len(names), unit
        self._done, self._notes = [done] * len(names), [""] * len(names)
        self._before, self._began, self._shown = done * len(names), time.monotonic(), ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._print_on, daemon=True)
        self._thread.start()

    def update(self, index: int, done: int, note: str = "") -> None:
        """Note what the next line says."""
        with self._lock:
            self._done[index], self._notes[index] = done, note

    def message(self, text: str) -> None:
        """Print the text."""
        _print(text)

    def close(self) -> None:
        """Stop printing, with a last line if there were any."""
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._thread = None
        if self._shown:
            self._show()

    def _print_on(self) -> None:
        while not self._over.wait(self._every):
            self._show()

    def _show(self) -> None:
        line = self._line()
        if line != self._shown or sum(self._done) < self._total:  # the end is printed once
            _print(line)
        self._shown = line

    def _line(self) -> str:
        with self._lock:
            done = sum(self._done)
            notes = [note for note in dict.fromkeys(self._notes) if note]
        name = self._names[0] if len(self._names) == 1 else f"{len(self._names)} in parallel"
        text = f"{name}: {done} of {self._total} {self._unit}"
        made, spent = done - self._before, time.monotonic() - self._began
        if made and done < self._total:
            notes.append(f"about {_duration(spent / made * (self._total - done))} left")
        return ", ".join([text, *notes])


def choose_progress(progress: bool | Progress | None) -> Progress:
    """Return the reporter that an argument ``progress`` stands for.

    ``True`` shows bars, or lines where nobody watches; ``None`` shows bars where somebody watches,
    and is silent otherwise; ``False`` is silent; a reporter is itself.
    """
    if progress is None or progress is True:
        watched = sys.stderr.isatty() or _in_notebook()
        return Bars() if watched else (Lines() if progress else Silent())
    return Silent() if progress is False else _current(progress)


def _in_notebook() -> bool:
    """Return whether this process is a kernel, not just one that has imported ipykernel."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


def _print(text: str) -> None:
    print(f"mmm_bayes: {visible_text(text)}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# --- Reporters written for version 0.1.0 ---------------------------------------------------------


def _current(reporter: Any) -> Progress:
    """Return a reporter, or one that passes everything on to a reporter of the old form."""
    given = set(inspect.signature(reporter.update).parameters)
    if "divergences" not in given and "failed" not in given:
        current: Progress = reporter
        return current
    warn_deprecated(
        f"A progress reporter with update({', '.join(sorted(given))})",
        "update(index, done, note), as mmm_bayes.runtime.progress.Progress describes",
    )
    return _OfOldForm(reporter, of_chains="divergences" in given)


@final
class _OfOldForm:
    """Pass calls on to a reporter that is a context manager, of chains or of cells."""

    def __init__(self, reporter: Any, of_chains: bool) -> None:
        self._own, self._of_chains, self._entered = reporter, of_chains, False

    def start(self, names: Sequence[str], total: int, unit: str, done: int = 0) -> None:
        self._enter()
        self._own.start(*((len(names), total) if self._of_chains else (total, done)))

    def update(self, index: int, done: int, note: str = "") -> None:
        # Notes are "draws, 3 divergent" of chains, and "3 failed" of cells.
        phase, _, rest = note.partition(", ")
        count = next((int(word) for word in (rest or note).split() if word.isdigit()), 0)
        if self._of_chains:
            self._own.update(index, done, phase, count if rest else 0)
        else:
            self._own.update(done, count)

    def message(self, text: str) -> None:
        self._enter()
        if self._of_chains:
            self._own.message(text)

    def close(self) -> None:
        if self._entered:
            self._entered = False
            self._own.__exit__(None, None, None)

    def _enter(self) -> None:
        if not self._entered and hasattr(self._own, "__enter__"):
            self._entered = True
            self._own.__enter__()
