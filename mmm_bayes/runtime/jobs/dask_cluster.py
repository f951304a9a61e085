"""Run cells on a Dask cluster, on this machine or wherever there is a scheduler."""

from __future__ import annotations

import contextlib
import queue
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

from mmm_bayes._version import __version__
from mmm_bayes.runtime.jobs.tasks import Cell, Failure, WorkerError, attempt, failure_of
from mmm_bayes.runtime.jobs.threads import one_thread_environment

# The scheduler holds two cells per thread, so that no thread waits for this process, and at least a
# few for clusters that start workers according to the queue. More would only use its memory.
_AHEAD = 2
_LEAST = 8
_ASK = 1.0  # seconds between checks of the connection while no cell finishes
_GIVEN_UP = 60.0  # seconds after which a local worker that does not return is replaced
_LOST = (
    "The connection to Dask's scheduler is lost. Finished results are stored: start the scheduler "
    "again and make the same call."
)
_PATIENCE = 30.0  # warn if no worker has finished a cell for this many seconds


class ClusterWarning(UserWarning):
    """Cells wait for workers that the cluster does not have."""


@final
class DaskCluster:
    """A Dask scheduler and its workers.

    Parameters
    ----------
    make
        Computes the result of a cell.
    workers
        Number of workers of ``cluster="local"``.
    cluster
        ``"local"``, the address of a scheduler, a ``distributed.Client`` or a cluster object.
    resources
        Resources that a cell takes from its worker; each worker of ``"local"`` has them once.

    Raises
    ------
    ImportError
        If Dask is not installed.
    WorkerError
        If the scheduler cannot be reached.
    """

    def __init__(
        self,
        make: Callable[[Any], Any],
        workers: int,
        cluster: Any,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self._make = make
        self._resources = dict(resources or {})
        self._stack = contextlib.ExitStack()
        self._futures: dict[int, Any] = {}
        self._done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._name = uuid.uuid4().hex[:8]
        self._attempts = 0
        self._last = time.monotonic()
        self._warned = False
        self._wanted = workers if cluster == "local" else 0
        self._short: float | None = None
        self._known: Mapping[str, int] = {}
        self._asked = float("-inf")
        try:
            self._client = self._stack.enter_context(_client(cluster, workers, self._resources))
        except BaseException:
            self._stack.close()
            raise

    def room(self) -> int:
        """Return how many more cells can be submitted."""
        return max(_AHEAD * sum(self._threads().values()), _LEAST) - len(self._futures)

    def alone(self) -> int:
        """Return 1: the scheduler may give two cells to one worker although another is free.

        This happens while a worker is replaced, or if only one has the requested resources.
        """
        return 1

    def submit(self, number: int, cell: Cell) -> None:
        """Give a cell to the scheduler."""
        self._attempts += 1
        try:
            future = self._client.submit(
                attempt,
                self._make,
                cell,
                __version__,
                key=f"mmm_bayes-{self._name}-{cell.key}-{self._attempts}",
                pure=False,
                resources=self._resources or None,
            )
        except Exception as error:
            self._reachable()
            self._done.put((number, failure_of(error)))
            return
        self._futures[number] = future
        future.add_done_callback(lambda own, number=number: self._done.put((number, own)))

    def finished(self) -> list[tuple[int, Any, Failure | None]]:
        """Wait for cells to finish; return number, result and failure of each."""
        found: list[tuple[int, Any, Failure | None]] = []
        while not found:
            try:
                message = self._done.get(timeout=_ASK)
            except queue.Empty:
                self._reachable()
                self._threads()
                self._mind_workers()
                continue
            found.append(self._taken(*message))
            while not self._done.empty():
                found.append(self._taken(*self._done.get()))
        self._last = time.monotonic()
        return found

    def close(self) -> None:
        """Cancel waiting cells; stop the cluster if it was started here."""
        try:
            if self._futures and self._client.status == "running":
                with contextlib.suppress(Exception):
                    self._client.cancel(list(self._futures.values()), force=True)
            self._futures.clear()
        finally:
            self._stack.close()

    def _threads(self) -> Mapping[str, int]:
        """Return the number of threads of each worker, at most a second old."""
        if time.monotonic() - self._asked > _ASK:
            try:
                self._known = self._client.nthreads()
            except (OSError, TimeoutError) as error:
                raise WorkerError(_LOST) from error
            self._asked = time.monotonic()
            if self._wanted:
                self._replace_workers(self._wanted - len(self._known))
        return self._known

    def _replace_workers(self, missing: int) -> None:
        """Restart workers of our own cluster that its nannies have given up.

        A nanny replaces a worker that dies, but not one that dies while starting. The cluster then
        forgets it after a while, and restarts it only if it is scaled to the same size again.
        """
        if missing <= 0:
            self._short = None
            return
        now = time.monotonic()
        if self._short is None:
            self._short = now
        cluster = self._client.cluster
        size = len(cluster.worker_spec)
        if now - self._short > _GIVEN_UP:  # neither back nor forgotten: start others
            self._short, size = now, size + missing
        cluster.scale(size)

    def _taken(self, number: int, done: Any) -> tuple[int, Any, Failure | None]:
        """Return the content of a future, and release it, so that no copy of the result is kept."""
        from distributed import CancelledError
        from distributed.scheduler import KilledWorker

        if isinstance(done, Failure):
            return number, None, done
        future = self._futures.pop(number)
        try:
            return (number, *future.result())
        except KilledWorker as error:
            address = getattr(error.last_worker, "address", "unknown")
            text = f"its worker died ({address}; the worker's log may say why)"
            return number, None, Failure("lost", text)
        except CancelledError as error:
            self._reachable()
            return number, None, Failure("lost", f"the scheduler gave it up ({error})")
        except Exception as error:  # it could not be sent, or not be unpickled on arrival
            self._reachable()
            return number, None, failure_of(error)
        finally:
            future.release()

    def _reachable(self) -> None:
        if self._client.status not in ("running", "connecting"):
            raise WorkerError(_LOST)

    def _mind_workers(self) -> None:
        """Warn once if cells wait for workers that somebody else has to start."""
        if self._wanted or self._warned or time.monotonic() - self._last < _PATIENCE:
            return
        try:
            infos = self._client.scheduler_info(n_workers=-1).get("workers", {}).values()
        except (OSError, TimeoutError) as error:
            raise WorkerError(_LOST) from error
        fit = [
            info
            for info in infos
            if all(
                (info.get("resources") or {}).get(name, 0) >= amount
                for name, amount in self._resources.items()
            )
        ]
        if fit:
            return
        self._warned = True
        wanted = " ".join(f'--resources "{k}={v:g}"' for k, v in self._resources.items())
        what = f"workers with resources {self._resources}" if wanted else "workers"
        warnings.warn(
            f"Cells wait: the cluster has no {what} ({len(infos)} workers in all). Start some, as "
            f"with: dask worker ADDRESS --nthreads 1 {wanted}".rstrip()
            + ".",
            ClusterWarning,
            stacklevel=2,
        )


@contextlib.contextmanager
def _client(cluster: Any, workers: int, resources: Mapping[str, float]) -> Iterator[Any]:
    """Yield a client of the cluster; it is closed at the end if it was created here."""
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ImportError(
            'A Dask cluster needs Dask: pip install "mmm-bayes[distributed]".'
        ) from error
    if isinstance(cluster, distributed.Client):
        yield cluster
        return
    with contextlib.ExitStack() as stack:
        if cluster == "local":
            # A death counts at once: retries are counted in the executor.
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    # Its other pages still need a port: any that is free.
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    silence_logs=50,
                    env=one_thread_environment(),
                    preload=["mmm_bayes.runtime.jobs.worker_setup"],
                    resources=dict(resources) or None,
                )
            )
        elif not isinstance(cluster, str) and not hasattr(cluster, "scheduler_address"):
            raise ValueError(
                'cluster should be "local", the address of a scheduler as "tcp://host:8786", a '
                f"distributed.Client or a cluster object, but is {cluster!r}."
            )
        try:
            client = distributed.Client(cluster, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise WorkerError(
                f"No Dask scheduler answers at {cluster!r} ({error}). Check that it runs (dask "
                "scheduler), and that the address is the one that it prints."
            ) from error
        yield stack.enter_context(client)
