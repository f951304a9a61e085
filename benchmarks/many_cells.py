"""Cost of running cells in workers, and the results of a sweep whose workers are killed.

Overhead: cells that sleep, over two workers. Ideal is the sleep alone; measured is from the first
cell that begins to the last result that is on disk, so that it holds everything between cells:
scheduling, results written, the next cell sent. What workers take to start is shown apart. Killed:
200 short cells while a thread sends SIGKILL to a worker that is busy, a dozen times at random.
Resumed: the same call again.

    python benchmarks/many_cells.py --write
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from sleeping import Sleep, sleep

from mmm_bayes.runtime.jobs.fill import fill_store
from mmm_bayes.runtime.jobs.store import ResultStore

WORKERS = 2
PLACES: dict[str, dict[str, Any]] = {
    "local processes": {"workers": WORKERS},
    "Dask, LocalCluster": {"workers": WORKERS, "cluster": "local"},
}
LOST_RETRIES = 4


def overhead(cells: int, seconds: float, place: dict[str, Any]) -> list[float]:
    """Return the start-up time, ideal and measured seconds, and the overhead in percent."""
    with tempfile.TemporaryDirectory() as folder:
        begun = Path(folder) / "begun"
        begun.mkdir()
        store = ResultStore(Path(folder) / "store")
        given = [Sleep(n, seconds, str(begun)) for n in range(cells)]
        began = time.time()
        last = began

        def on_result(*_: object) -> None:
            nonlocal last
            last = time.time()

        failures = fill_store(sleep, given, store, on_result=on_result, **place)
        rows = [own for rows in store.rows().values() for own in rows]
    if failures or len(rows) != cells:
        raise SystemExit(f"{len(rows)} of {cells} cells: {failures[:1]}")
    first = min(row["began"] for row in rows)
    # The workers start one after the other: each has its own beginning.
    starts = {pid: min(r["began"] for r in rows if r["pid"] == pid) for pid in _pids(rows)}
    ideal = cells * seconds / WORKERS
    measured = last - sum(starts.values()) / len(starts)
    return [first - began, ideal, measured, 100 * (measured / ideal - 1)]


def _pids(rows: list[dict[str, Any]]) -> set[int]:
    return {row["pid"] for row in rows}


def killed(cells: int, kills: int, every: float, place: dict[str, Any]) -> list[int]:
    """Count kills, cells begun, results, most results per cell, failures and cells run again."""
    with tempfile.TemporaryDirectory() as folder:
        begun = Path(folder) / "begun"
        begun.mkdir()
        store = ResultStore(Path(folder) / "store")
        given = [Sleep(n, 0.05, str(begun)) for n in range(cells)]
        done: list[int] = []
        over = threading.Event()
        dead: list[int] = []
        thread = threading.Thread(target=_kill, args=(begun, kills, every, over, dead))
        thread.start()
        try:
            failures = fill_store(
                sleep, given, store, lost_retries=LOST_RETRIES,
                on_result=lambda cell, _: done.append(cell.number), **place,
            )  # fmt: skip
        finally:
            over.set()
            thread.join()
        results = store.rows()
        attempts = len(list(begun.iterdir()))
        most = max(len(rows) for rows in results.values())
        fill_store(sleep, given, store, **place)
        again = len(list(begun.iterdir())) - attempts
        most = max(most, *(done.count(n) for n in set(done)))
    return [len(dead), attempts, len(results), most, len(failures), again]


def _kill(begun: Path, kills: int, every: float, over: threading.Event, dead: list[int]) -> None:
    rng = random.Random(11)
    seen: set[str] = set()
    while len(dead) < kills and not over.wait(rng.uniform(0.2, 1.8) * every):
        fresh = {path.name for path in begun.iterdir()} - seen
        seen |= fresh
        pids = sorted({int(name.split("-")[1]) for name in fresh} - {*dead, os.getpid()})
        if pids:
            pid = rng.choice(pids)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            dead.append(pid)


def main() -> None:
    """Sleep, kill, resume."""
    import record  # here: workers import this module, and have no need of it

    options = record.parser("Overhead of the executor, and sweeps whose workers are killed.")
    options.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    options.add_argument("--cells", type=int, default=40, help="cells that sleep")
    options.add_argument("--seconds", type=float, default=10.0, help="how long each sleeps")
    options.add_argument("--killed", type=int, default=200, help="cells of the killed sweep")
    options.add_argument("--kills", type=int, default=12)
    given = options.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(record.ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH")])
    )
    costs, counts = [], []
    for name, place in PLACES.items():
        costs.append([name, *overhead(given.cells, given.seconds, place)])
        print(costs[-1], file=sys.stderr, flush=True)
    for name, place in PLACES.items():
        every = 0.3 if "cluster" not in place else 1.0
        counts.append([name, *killed(given.killed, given.kills, every, place)])
        print(counts[-1], file=sys.stderr, flush=True)
    parts = [
        f"{given.cells} cells that sleep {given.seconds:g} s, over {WORKERS} workers; from the "
        "first cell that begins (mean over workers) to the last result on disk. Wanted: under 5%.",
        record.table(
            ["over", "first cell begins after, s", "ideal, s", "measured, s", "overhead, %"], costs
        ),
        f"{given.killed} cells of 0.05 s, workers killed (SIGKILL) while they work; up to "
        f"{LOST_RETRIES} new attempts per cell. Wanted: every cell one result, none run again by "
        "the "
        "same call.",
        record.table(
            ["over", "workers killed", "cells begun", "cells with a result",
             "results of a cell, most", "failures", "run by a second call"], counts,
        ),
    ]  # fmt: skip
    record.publish("distributed", "Many cells over processes and Dask", parts, given.write)


if __name__ == "__main__":
    main()
