"""Run the cells that a store has no results for, and store each result as it arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from mmm_bayes.runtime.atomic_write import WriteError
from mmm_bayes.runtime.jobs.executor import run_cells
from mmm_bayes.runtime.jobs.records import Record, Row
from mmm_bayes.runtime.jobs.store import ResultsError, ResultStore
from mmm_bayes.runtime.jobs.tasks import Failure, StoredCell, failure_of
from mmm_bayes.runtime.progress import Progress, Silent

_FOLD_AT = 1000  # files of single cells after which they are folded
_FOLD_LEFT = 100  # and at the end of a run


def fill_store[C: StoredCell](
    make: Callable[[C], list[Row]],
    cells: Sequence[C],
    store: ResultStore,
    *,
    known: set[str] | None = None,
    progress: Progress | None = None,
    name: str = "cells",
    unit: str = "cells",
    on_done: Callable[[int, int], None] | None = None,
    on_result: Callable[[C, list[Row]], None] | None = None,
    workers: int = 1,
    cluster: Any = None,
    retries: int = 0,
    lost_retries: int = 2,
    resources: Mapping[str, float] | None = None,
) -> list[tuple[C, Failure]]:
    """Run the cells whose results a store lacks, and store each result as it arrives.

    Parameters
    ----------
    make
        Computes the rows of a cell; a module-level function, which other processes can import.
    cells
        Cells whose results are wanted; of several with the same key, one is run.
    store
        Where results are stored.
    known
        Keys that are not run again; by default all keys in the store.
    progress, name, unit
        Reporter, name of the run, and the unit that it counts.
    on_done
        Called with the number of finished cells (known ones included) and of all cells.
    on_result
        Called with each new result, as it will be read.
    workers, cluster, retries, lost_retries, resources
        As in :func:`~mmm_bayes.runtime.jobs.executor.run_cells`.

    Returns
    -------
    list of (cell, Failure)
        Cells without a result, after all others have finished.

    Raises
    ------
    WriteError
        If a result cannot be stored (disk full, read-only folder): no further cell is run.
    WorkerError
        If no worker can be started.
    """
    wanted = {cell.key: cell for cell in cells}
    known = store.keys() if known is None else known
    missing = [cell for key, cell in wanted.items() if key not in known]
    total = len(wanted)
    done = total - len(missing)
    failures: list[tuple[C, Failure]] = []
    reporter = progress or Silent()
    fold_at = _FOLD_AT
    tell = on_done or (lambda done, total: None)
    with closing(reporter):
        reporter.start([name], total, unit, done)
        tell(done, total)
        running = run_cells(
            make, missing, workers=workers, cluster=cluster, retries=retries,
            lost_retries=lost_retries, resources=resources,
        )  # fmt: skip
        # Closed here, not when the iterator is collected: Ctrl-C then stops the workers.
        with closing(running):
            for cell, rows, failure in running:
                if failure is None:
                    failure = _keep(store, cell, rows or [], on_result)
                if failure is None:
                    done += 1
                    tell(done, total)
                else:
                    failures.append((cell, failure))
                reporter.update(0, done, f"{len(failures)} failed" if failures else "")
                if store.unfolded >= fold_at:
                    _fold(store)
                    fold_at = store.unfolded + _FOLD_AT
    if store.unfolded >= _FOLD_LEFT:
        _fold(store)
    return failures


def _fold(store: ResultStore) -> None:
    """Fold if possible: a damaged file or a full disk raises where it matters."""
    with suppress(ResultsError, WriteError):
        store.compact()


def _keep[C: StoredCell](
    store: ResultStore,
    cell: C,
    rows: list[Row],
    on_result: Callable[[C, list[Row]], None] | None,
) -> Failure | None:
    record = Record(cell.key, rows, cell.described, cell.seed)
    try:
        kept = store.put(record)
    except (TypeError, ValueError) as error:  # values that cannot be stored; a full disk raises
        return failure_of(error)
    if on_result is not None:
        on_result(cell, kept.rows)
    return None
