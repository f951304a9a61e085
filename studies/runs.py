"""Runs of an experiment: settings, seed and repetition, and a folder of results that resumes.

A run is kept as soon as it is finished, so that an experiment that is stopped loses no more than
what was being computed. All experiments of a folder share its results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, final

from mmm_bayes._version import __version__
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.jobs.fill import fill_store
from mmm_bayes.runtime.jobs.records import Row
from mmm_bayes.runtime.jobs.store import ResultsError, ResultStore
from mmm_bayes.runtime.jobs.tasks import RunError, digest

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey

__all__ = ["ResultsError", "Row", "RunError", "Settings", "Task", "open_results", "run_tasks"]

RESULTS = "results"
"""Name of the folder of results in the folder of an experiment."""

_KIND = "runs of experiments"


class Settings(Protocol):
    """Settings of a run: a frozen dataclass that names those its data depend on.

    Runs that share the settings named in ``DATA`` share their data.
    """

    DATA: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@final
@dataclass(frozen=True)
class Task:
    """One run: settings, the seed of the experiment, and which repetition it is."""

    settings: Settings
    seed: int
    repetition: int

    def __str__(self) -> str:
        return f"repetition {self.repetition} of {self.settings}"

    @property
    def key(self) -> str:
        """Hexadecimal name of the run; the same name is the same result."""
        return digest([asdict(self.settings), self.seed, self.repetition, __version__])

    @property
    def described(self) -> dict[str, Any]:
        """Settings and repetition."""
        return {"repetition": self.repetition, "settings": asdict(self.settings)}

    @property
    def data_stream(self) -> int:
        """Number below 2^31 of the settings of the data, which tells random streams apart."""
        given = asdict(self.settings)
        return int(digest([given[name] for name in self.settings.DATA])[:8], 16) >> 1

    def rng_key(self) -> RngKey:
        """Return the key of the run's random numbers."""
        import jax

        key = jax.random.fold_in(jax.random.key(self.seed), self.data_stream)
        return jax.random.fold_in(key, self.repetition)


def open_results(out: Path) -> ResultStore:
    """Open the results in the folder of a study, which is made if needed."""
    return ResultStore(out / RESULTS, _KIND)


def run_tasks(
    make: Callable[[Task], list[Row]],
    tasks: Sequence[Task],
    store: ResultStore,
    *,
    resume: bool = True,
    workers: int = 2,
    cluster: Any = None,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[Row]]:
    """Make the runs that a store does not have.

    Parameters
    ----------
    make
        Makes the rows of a run; a function of a module, which other processes can import.
    tasks
        Runs wanted.
    store
        What is finished, and where finished runs are added.
    resume
        Use what the store has; otherwise these runs are forgotten first, and made again.
    workers, cluster
        Where runs are made, see :func:`~mmm_bayes.runtime.jobs.executor.run_cells`.
    on_done
        Told how many of how many tasks are finished, known ones among them.

    Returns
    -------
    dict
        Rows by key: of every run in the store, or of these alone where ``resume`` is False.

    Raises
    ------
    RunError
        If runs failed, after all others have finished. Finished ones are in the store.
    """
    known: dict[str, list[Row]] = {}
    if resume:
        known = store.rows()
    else:
        store.discard(task.key for task in tasks)
    results: dict[str, list[Row]] = {}
    failures = fill_store(
        make,
        tasks,
        store,
        known=set(known),
        on_done=on_done,
        on_result=lambda task, rows: results.update({task.key: rows}),
        workers=workers,
        cluster=cluster,
    )
    if failures:
        raise RunError.listing(failures, len(tasks), store.folder)
    return known | results


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file only by a whole one, so that a reader never meets half of it."""
    with atomic_write(path) as place:
        place.write_bytes(content)
