"""Many independent runs: processes, a file of results that grows by whole lines, and resuming.

A line holds one run: what it is (settings, seed, repetition, version), and its rows. It is written
at once and flushed, so that a run that is stopped loses no more than what was being computed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, final

from mmm_bayes._version import __version__
from mmm_bayes.data.whole_file import whole_file

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey

Row = dict[str, Any]


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

    @property
    def key(self) -> str:
        """Hexadecimal name of the run; the same name is the same result."""
        return _digest([asdict(self.settings), self.seed, self.repetition, __version__])

    @property
    def data_stream(self) -> int:
        """Number below 2^31 of the settings of the data, which tells random streams apart."""
        given = asdict(self.settings)
        return int(_digest([given[name] for name in self.settings.DATA])[:8], 16) >> 1

    def rng_key(self) -> RngKey:
        """Key of the run's random numbers."""
        import jax

        key = jax.random.fold_in(jax.random.key(self.seed), self.data_stream)
        return jax.random.fold_in(key, self.repetition)


class RunError(RuntimeError):
    """Some runs failed; the others are kept."""


class ResultsError(ValueError):
    """A file of results that cannot be read."""


def read_results(path: Path, *, mend: bool = False) -> dict[str, list[Row]]:
    """Rows of every run in a file, by key.

    Parameters
    ----------
    path
        File of results; a missing one holds no run.
    mend
        Cut a torn last line off the file, so that the next one starts on its own.

    Raises
    ------
    ResultsError
        If a line before the last is not a run.
    """
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole, _, torn = content.rpartition(b"\n")
    if torn and mend:
        os.truncate(path, len(content) - len(torn))
    results: dict[str, list[Row]] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = json.loads(line)
            results.setdefault(record["key"], record["rows"])
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"Line {number} of {path} is not a run ({error}). Delete this line, and the run is "
                "made again; or start over with resume=False."
            ) from error
    return results


def append_result(path: Path, task: Task, rows: Iterable[Row]) -> list[Row]:
    """Add a run to a file of results, as one line in one write; returns the rows as they are read.

    Numbers that are not finite become null.
    """
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    record = {
        "key": task.key,
        "version": __version__,
        "seed": task.seed,
        "repetition": task.repetition,
        "settings": asdict(task.settings),
        "rows": plain,
    }
    line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
    with open(path, "ab", buffering=0) as file:
        file.write(line.encode())
        os.fsync(file.fileno())
    return json.loads(line)["rows"]


def known_results(out: Path, own: Path) -> dict[str, list[Row]]:
    """Runs in a folder's files; only our own file is mended, another may be being written."""
    known = read_results(own, mend=True)
    for path in sorted(out.glob("*.jsonl")):
        if path != own:
            known = read_results(path) | known
    return known


def run_tasks(
    make: Callable[[Task], list[Row]],
    tasks: Sequence[Task],
    path: Path,
    *,
    known: dict[str, list[Row]],
    workers: int = 2,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[Row]]:
    """Make the runs that are not known.

    Parameters
    ----------
    make
        Makes the rows of a run; a function of a module, which other processes can import.
    tasks
        Runs wanted.
    path
        File that finished runs are added to.
    known
        Results by key, which are not made again.
    workers
        Number of processes; 1 is this one.
    on_done
        Told how many of how many tasks are finished, known ones among them.

    Returns
    -------
    dict
        Rows by key of every task.

    Raises
    ------
    RunError
        If runs failed, after all others have finished. Finished ones are in the file.
    """
    results = {task.key: known[task.key] for task in tasks if task.key in known}
    missing = [task for task in tasks if task.key not in results]
    on_done(len(tasks) - len(missing), len(tasks))
    failures = []
    for task, outcome in outcomes(make, missing, workers):
        if isinstance(outcome, BaseException):
            failures.append(f"repetition {task.repetition} of {task.settings}: {outcome!r}")
            continue
        results[task.key] = append_result(path, task, outcome)
        on_done(len(results), len(tasks))
    if failures:
        listed = "\n".join(f"  {number}. {text}" for number, text in enumerate(failures[:10], 1))
        raise RunError(
            f"{len(failures)} of {len(tasks)} runs failed; the others are kept in {path}, and the "
            f"same call makes these again. The first are:\n{listed}"
        )
    return results


def outcomes[T, R](
    make: Callable[[T], R], tasks: Sequence[T], workers: int
) -> Iterator[tuple[T, R | BaseException]]:
    """Each task with what is made of it, or its error, in the order of finishing.

    One worker is this process, as it is; more are processes of one thread each.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    if workers == 1:
        for task in tasks:
            try:
                made: R | BaseException = make(task)
            except Exception as error:
                made = error
            yield task, made
        return
    pool = ProcessPoolExecutor(
        workers,
        # A forked process would share the threads and locks of JAX.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=one_thread,
    )
    try:
        futures = {pool.submit(make, task): task for task in tasks}
        for future in as_completed(futures):
            failure = future.exception()
            yield futures[future], future.result() if failure is None else failure
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def one_thread() -> None:
    """Hold this process to one thread of a CPU; called before NumPy, JAX and XGBoost load."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file only by a whole one, so that a reader never meets half of it."""
    with whole_file(path) as place:
        place.write_bytes(content)


def _digest(content: Any) -> str:
    text = json.dumps(_same_type(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _same_type(value: Any) -> Any:
    """Write numbers as floats: a degree of 3 and one of 3.0 are the same run."""
    if isinstance(value, dict):
        return {name: _same_type(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_same_type(part) for part in value]
    return float(value) if isinstance(value, int) else value


def _plain(value: Any) -> Any:
    """A value that JSON has."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
