"""Sweeps whose workers are killed at random: every cell ends with one result, made or kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mmm_bayes.runtime.jobs.fill import fill_store
from mmm_bayes.runtime.jobs.store import ResultStore
from mmm_bayes.runtime.jobs.tasks import RunError
from tests.runtime.jobs.cheap import Cheap, cells, square
from tests.runtime.jobs.writers import fill

# A cell is lost as often as one in ten is begun: more attempts than by default, so that no seed
# fails for want of luck (0.1**5 for each of 200 cells).
LOST = 4


@contextmanager
def killer(folder: Path, seed: int, kills: int, every: float) -> Iterator[list[int]]:
    """Kill the process of a cell that was begun, so many times, at random times.

    A process is killed while it works: cells leave its number in the folder.
    """
    rng = np.random.default_rng(seed)
    killed: list[int] = []
    over = threading.Event()

    def run() -> None:
        seen: set[str] = set()
        while len(killed) < kills and not over.wait(float(rng.uniform(0.2, 1.8)) * every):
            fresh = {p.name for p in folder.iterdir()} - seen
            pids = sorted({int(name.split("-")[1]) for name in fresh} - {os.getpid(), *killed})
            seen |= fresh
            if pids:
                pid = int(rng.choice(pids))
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                killed.append(pid)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def sweep(tmp_path: Path, count: int, kills: int, every: float, sleep: float, **place: Any) -> None:
    """Run, with workers killed; then every cell has one result, and a second call makes none."""
    begun = tmp_path / "begun"
    begun.mkdir()
    given = cells(count, folder=str(begun), sleep=sleep)
    store = ResultStore(tmp_path / "store")
    finished: list[int] = []
    with killer(begun, 11, kills, every) as killed:
        failures = fill_store(
            square, given, store, lost_retries=LOST,
            on_result=lambda cell, _: finished.append(cell.number), **place,
        )  # fmt: skip
    assert not failures
    assert len(killed) >= min(3, kills)
    assert sorted(finished) == list(range(count))
    rows = store.rows()
    assert {rows[cell.key][0]["square"] for cell in given} == {n**2 for n in range(count)}
    assert [len(rows[cell.key]) for cell in given] == [1] * count
    assert (
        len(list((tmp_path / "store" / "cells").iterdir()))
        + len(list((tmp_path / "store").glob("folded/*")))
        <= count
    )
    attempts = len(list(begun.iterdir()))
    assert attempts > count  # some cells were killed, and begun again
    told: list[tuple[int, int]] = []
    fill_store(square, given, store, on_done=lambda *counts: told.append(counts), **place)
    assert told == [(count, count)]
    assert len(list(begun.iterdir())) == attempts


def test_200_cells_over_processes_that_are_killed(tmp_path: Path) -> None:
    sweep(tmp_path, 200, kills=12, every=0.15, sleep=0.03, workers=2)


def test_40_cells_over_dask_workers_that_are_killed(tmp_path: Path) -> None:
    sweep(tmp_path, 40, kills=3, every=0.5, sleep=0.1, workers=2, cluster="local")


@pytest.mark.slow
def test_200_cells_over_dask_workers_that_are_killed(tmp_path: Path) -> None:
    sweep(tmp_path, 200, kills=10, every=1.0, sleep=0.1, workers=2, cluster="local")


@pytest.mark.slow
def test_dask_workers_that_are_killed_as_soon_as_they_work(tmp_path: Path) -> None:
    """Nannies give up a worker that dies while it starts; both are replaced."""
    sweep(tmp_path, 60, kills=8, every=0.002, sleep=0.05, workers=2, cluster="local")


def test_a_deadly_cell_is_listed_and_the_others_are_kept(tmp_path: Path) -> None:
    given = [*cells(12, sleep=0.01), Cheap(12, "kill"), Cheap(13, "raise")]
    store = ResultStore(tmp_path)
    failures = fill_store(square, given, store, workers=2)
    assert store.keys() == {cell.key for cell in given[:12]}
    error = RunError.listing(failures, len(given), store.folder)
    assert "2 of 14 runs failed" in str(error)
    assert "cell 13 is too large" in str(error)
    assert "killed by SIGKILL: often the system's answer to too little memory) (3 atte" in str(
        error
    )


def test_the_run_itself_is_killed(tmp_path: Path) -> None:
    """SIGKILL to the process that keeps results: what it kept stays, and the rest is made."""
    import multiprocessing

    given = cells(30, sleep=0.02)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=fill, args=(tmp_path / "store", given))
    process.start()
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("store/cells/[!.]*"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    store = ResultStore(tmp_path / "store")
    kept = store.keys()
    assert 5 <= len(kept) < 30
    made: list[str] = []
    failures = fill_store(square, given, store, on_result=lambda cell, _: made.append(cell.key))
    assert not failures
    assert not kept & set(made)
    assert len(kept) + len(made) == 30


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
@pytest.mark.parametrize(
    "place",
    [{"workers": 2}, pytest.param({"workers": 2, "cluster": "local"}, marks=pytest.mark.slow)],
)
def test_ctrl_c_in_a_terminal(tmp_path: Path, place: dict[str, Any]) -> None:
    """SIGINT reaches the whole group of processes: one traceback, no process left, results kept."""
    root = Path(__file__).parents[2]
    script = tmp_path / "script.py"
    script.write_text(
        "from tests.runtime.jobs.cheap import cells, square\n"
        "from mmm_bayes.runtime.jobs.fill import fill_store\n"
        "from mmm_bayes.runtime.jobs.store import ResultStore\n"
        "if __name__ == '__main__':\n"
        f"    fill_store(square, cells(1000, sleep=0.1), ResultStore({str(tmp_path / 's')!r}),\n"
        f"               on_done=lambda done, _: print(done, flush=True), **{place!r})\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, cwd=root, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert process.stdout is not None
    while process.stdout.readline().strip() != "5":
        assert process.poll() is None
    group = [process.pid, *(own.pid for own in psutil.Process(process.pid).children())]
    assert len(group) > 2
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
    _, alive = psutil.wait_procs([psutil.Process(p) for p in group if psutil.pid_exists(p)], 10)
    assert not alive
    assert 5 <= len(ResultStore(tmp_path / "s").rows()) < 1000
