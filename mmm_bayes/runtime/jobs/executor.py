"""Run independent cells in this process, in local processes, or on a Dask cluster."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, final

from mmm_bayes.runtime.jobs.processes import LocalProcesses, warn_of_resources
from mmm_bayes.runtime.jobs.tasks import Cell, Failure, attempt, check_key


class Backend(Protocol):
    """Where cells run."""

    def room(self) -> int:
        """Return how many more cells can be submitted."""

    def alone(self) -> int:
        """Return how many cells can run alone in their process."""

    def submit(self, number: int, cell: Any) -> None:
        """Begin a cell."""

    def finished(self) -> list[tuple[int, Any, Failure | None]]:
        """Wait for cells to finish; return number, result and failure of each."""

    def close(self) -> None:
        """Stop all cells that still run."""


@final
class ThisProcess:
    """Run cells one after the other in this process."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._cell: tuple[int, Any] | None = None

    def room(self) -> int:
        """Return 1 if no cell is waiting, else 0."""
        return int(self._cell is None)

    def alone(self) -> int:
        """Return 1 if no cell is waiting, else 0."""
        return 1

    def submit(self, number: int, cell: Any) -> None:
        """Remember the cell."""
        self._cell = number, cell

    def finished(self) -> list[tuple[int, Any, Failure | None]]:
        """Run the cell."""
        if self._cell is None:
            return []
        (number, cell), self._cell = self._cell, None
        return [(number, *attempt(self._make, cell))]

    def close(self) -> None:
        """Do nothing: no cell runs between calls."""


def run_cells[C: Cell, R](
    make: Callable[[C], R],
    cells: Sequence[C],
    *,
    workers: int = 1,
    cluster: Any = None,
    retries: int = 0,
    lost_retries: int = 2,
    resources: Mapping[str, float] | None = None,
) -> Generator[tuple[C, R | None, Failure | None]]:
    """Yield each cell with its result or its failure, in the order in which they finish.

    Every cell is yielded exactly once. Closing the iterator (also by Ctrl-C) stops all cells that
    still run.

    Parameters
    ----------
    make
        Computes the result of a cell; a module-level function, which other processes can import.
        It may run more than once for a cell, so it should write files atomically.
    cells
        Cells with distinct keys.
    workers
        Number of local processes with one thread each; 1 means this process, unchanged. With
        ``cluster="local"`` it is the number of workers; other clusters decide for themselves.
    cluster
        ``None``; ``"local"``, which starts a Dask cluster of processes on this machine; the address
        of a scheduler (``"tcp://host:8786"``); a ``distributed.Client``; or a cluster object, for
        example of dask-jobqueue.
    retries
        How often a cell that raised is run again. By default never: a cell depends only on what its
        key describes, and would raise again.
    lost_retries
        How often a cell whose worker died is run again.
    resources
        Resources that a cell takes from its worker (``{"GPU": 1}``), allocated by Dask's scheduler.

    Yields
    ------
    cell, result, failure
        One of the last two is ``None`` (or both, if ``make`` returns ``None``).

    Raises
    ------
    ValueError
        If keys are not hexadecimal or repeat, or counts are out of range.
    WorkerError
        If no process can be started, or the cluster cannot be reached.
    """
    _check(cells, workers=(workers, 1), retries=(retries, 0), lost_retries=(lost_retries, 0))
    if not cells:
        return
    backend = _backend(make, workers, cluster, resources, len(cells))
    queue = _Queue(len(cells), retries, lost_retries)
    try:
        while queue.left:
            for number in queue.next_ones(backend.room(), backend.alone()):
                backend.submit(number, cells[number])
            for number, made, failure in backend.finished():
                final_failure = queue.settle(number, failure)
                if failure is None or final_failure is not None:
                    yield cells[number], made, final_failure
    finally:
        backend.close()


@final
class _Queue:
    """Decide which cell runs next, and whether one that failed runs again.

    A worker that dies may take innocent cells with it: Dask blames every cell that was assigned to
    it. The last attempt of a cell therefore comes after all other cells, and alone in its process:
    if the worker dies then, that cell is the cause.
    """

    def __init__(self, count: int, retries: int, lost_retries: int) -> None:
        self.left = count
        self._retries, self._lost_retries = retries, lost_retries
        self._waiting = deque(range(count))
        self._last: deque[int] = deque()
        self._running: set[int] = set()
        self._on_trial: set[int] = set()
        self._begun: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()
        self._raised: Counter[int] = Counter()

    def next_ones(self, room: int, alone: int) -> Iterator[int]:
        """Yield the numbers of the cells to begin."""
        ordinary = not self._on_trial
        while room > 0 and self._waiting and ordinary:
            room -= 1
            yield self._begin(self._waiting.popleft())
        if self._waiting or self._running - self._on_trial:
            return
        while self._last and len(self._on_trial) < alone:
            self._on_trial.add(self._last[0])
            yield self._begin(self._last.popleft())

    def _begin(self, number: int) -> int:
        self._running.add(number)
        self._begun[number] += 1
        return number

    def settle(self, number: int, failure: Failure | None) -> Failure | None:
        """Record an attempt; return its failure if the cell is not tried again."""
        self._running.discard(number)
        self._on_trial.discard(number)
        if failure is not None:
            failure = replace(failure, attempts=self._begun[number])
            if failure.reason == "error":
                self._raised[number] += 1
                if self._raised[number] <= self._retries:
                    self._waiting.append(number)
                    return None
            else:
                self._lost[number] += 1
                if self._lost[number] <= self._lost_retries:
                    last = self._lost[number] == self._lost_retries
                    (self._last if last else self._waiting).append(number)
                    return None
        self.left -= 1
        return failure


def _backend(
    make: Callable[[Any], Any],
    workers: int,
    cluster: Any,
    resources: Mapping[str, float] | None,
    count: int,
) -> Backend:
    if cluster is not None:
        from mmm_bayes.runtime.jobs.dask_cluster import DaskCluster

        return DaskCluster(make, workers, cluster, resources)
    if workers == 1:
        warn_of_resources(resources)
        return ThisProcess(make)
    return LocalProcesses(make, min(workers, count), resources)


def _check(cells: Sequence[Cell], **counts: tuple[int, int]) -> None:
    problems = [
        f"{name} should be {least} or more, but is {given}."
        for name, (given, least) in counts.items()
        if given < least
    ]
    keys = Counter(check_key(cell.key) for cell in cells)
    if repeated := [key for key, times in keys.items() if times > 1]:
        problems.append(
            f"{len(repeated)} key(s) occur more than once, first {repeated[0]}: give each cell its "
            "own key."
        )
    if problems:
        raise ValueError(" ".join(problems))
