"""Run cells in processes of this machine, each with its own pipe.

A pool of the standard library breaks as a whole when one process dies, and does not say which cell
killed it. Here every process holds one cell at a time: a death costs that cell one attempt and no
other cell anything, and only that process is restarted.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, final

from mmm_bayes.runtime.jobs.tasks import Failure, WorkerError, attempt, failure_of
from mmm_bayes.runtime.jobs.threads import one_thread

_READY = "ready"
_DEAD_AT_START = 3  # ends in a row before a process was ready, after which none is started
_PATIENCE = 2.0  # seconds that a process has to end once it is told to


@dataclass
class _Worker:
    process: Any
    pipe: Any
    ready: bool = False
    cell: int | None = None


@final
class LocalProcesses:
    """Spawn processes with one thread each.

    Parameters
    ----------
    make
        Computes the result of a cell; a module-level function, which other processes can import.
    workers
        Number of processes.
    resources
        Not supported by processes of this machine: there is a warning.
    """

    def __init__(
        self,
        make: Callable[[Any], Any],
        workers: int,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        warn_of_resources(resources)
        self._make, self._size = make, workers
        # A forked process would share the threads and locks of JAX.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._broken: list[tuple[int, Any, Failure]] = []
        self._dead_at_start = 0

    def room(self) -> int:
        """Return how many more cells can be submitted."""
        return self._size - sum(worker.cell is not None for worker in self._workers)

    def alone(self) -> int:
        """Return how many cells can run alone in their process."""
        return self._size

    def submit(self, number: int, cell: Any) -> None:
        """Give a cell to an idle process."""
        try:
            package = pickle.dumps((self._make, cell))
        except Exception as error:
            self._broken.append((number, None, failure_of(error)))
            return
        idle = [worker for worker in self._workers if worker.cell is None]
        # One that is ready is quicker than one that still starts.
        worker = max(idle, key=lambda own: own.ready) if idle else self._start()
        try:
            worker.pipe.send_bytes(package)
        except OSError:  # it died while it had nothing to do: no attempt of this cell
            self._bury(worker)
            self.submit(number, cell)
        else:
            worker.cell = number

    def finished(self) -> list[tuple[int, Any, Failure | None]]:
        """Wait for cells to finish; return number, result and failure of each."""
        found: list[tuple[int, Any, Failure | None]] = list(self._broken)
        self._broken.clear()
        while not found:
            by_pipe = {worker.pipe: worker for worker in self._workers}
            for pipe in connection.wait(list(by_pipe)):
                worker = by_pipe[pipe]
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    found += self._bury(worker)
                    continue
                except Exception as error:  # what was made cannot be unpickled here
                    message = (None, failure_of(error))
                if isinstance(message, str):
                    worker.ready, self._dead_at_start = True, 0
                elif worker.cell is not None:
                    number, worker.cell = worker.cell, None
                    found.append((number, *message))
        return found

    def close(self) -> None:
        """Stop all processes, whatever they are doing."""
        for worker in self._workers:
            if worker.process.is_alive():
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
            worker.process.close()
        self._workers.clear()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs,), name="mmm_bayes worker")
        process.start()
        # With the last copy of its end gone, a death is an end of file here.
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> list[tuple[int, Any, Failure | None]]:
        self._workers.remove(worker)
        worker.process.join(_PATIENCE)
        if worker.process.is_alive():  # its pipe is gone: it cannot answer any more
            worker.process.kill()
            worker.process.join()
        code = worker.process.exitcode
        text = f"its worker died ({_end(code)})"
        worker.pipe.close()
        worker.process.close()
        # A signal comes from outside and may hit anything; an error at the start will come again.
        if not worker.ready and code is not None and code >= 0:
            self._dead_at_start += 1
            if self._dead_at_start >= _DEAD_AT_START:
                raise WorkerError(
                    f"{_DEAD_AT_START} processes in a row died while starting; the last one: "
                    f"{text}. A script that starts processes needs its calls under "
                    'if __name__ == "__main__":, and each process needs memory of its own; '
                    "workers=1 starts none."
                )
        return [] if worker.cell is None else [(worker.cell, None, Failure("lost", text))]


def _serve(pipe: Any) -> None:
    """Run cells until the other end of the pipe is closed."""
    # Ctrl-C reaches every process of the terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An orderly end, so that files half written are taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    one_thread()
    try:
        pipe.send(_READY)
        while True:
            package = pipe.recv_bytes()
            try:
                make, cell = pickle.loads(package)
                found: Any = attempt(make, cell)
            except Exception as error:  # it cannot be imported here
                found = (None, failure_of(error))
            try:
                answer = pickle.dumps(found)
            except Exception as error:
                answer = pickle.dumps((None, failure_of(error)))
            pipe.send_bytes(answer)
    except (EOFError, OSError):
        return


def _end(code: int | None) -> str:
    if code is None:
        return "it does not answer"
    if code >= 0:
        return f"it ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ": often the system's answer to too little memory" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def warn_of_resources(resources: Mapping[str, float] | None) -> None:
    """Warn that resources have no effect without a cluster."""
    if resources:
        import warnings

        warnings.warn(
            f"resources={dict(resources)} has no effect without a cluster: only Dask's scheduler "
            "allocates resources, and local processes run one cell per worker. Pass cluster=.",
            stacklevel=2,
        )
