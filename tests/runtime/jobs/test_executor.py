"""One executor over three places: every cell ends with exactly one result or failure."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmm_bayes.runtime.jobs import dask_cluster, executor
from mmm_bayes.runtime.jobs.dask_cluster import ClusterWarning, DaskCluster
from mmm_bayes.runtime.jobs.executor import _Queue, run_cells
from mmm_bayes.runtime.jobs.tasks import Failure, WorkerError, attempt, digest
from tests.runtime.jobs.cheap import Cheap, cells, square

PLACES = ("here", "processes", "dask")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where cells run."""
    if request.param == "dask":
        return {"cluster": request.getfixturevalue("client")}
    return {"workers": 1 if request.param == "here" else 2}


def apart(place: dict[str, Any]) -> bool:
    """Whether cells run in other processes."""
    return place != {"workers": 1}


def workers_left() -> list[Any]:
    """Processes of local workers that are there."""
    return [own for own in multiprocessing.active_children() if own.name == "mmm_bayes worker"]


def test_every_cell_comes_once_with_what_was_made(place: dict[str, Any]) -> None:
    found = {cell.number: (rows, why) for cell, rows, why in run_cells(square, cells(30), **place)}
    assert len(found) == 30
    assert all(why is None for _, why in found.values())
    assert all(rows[0]["square"] == n**2 for n, (rows, _) in found.items() if rows)
    pids = {rows[0]["pid"] for rows, _ in found.values() if rows}
    assert (os.getpid() not in pids) == apart(place)


def test_a_cell_that_raises_does_not_stop_the_others(place: dict[str, Any], tmp_path: Path) -> None:
    given = [replace(c, folder=str(tmp_path)) for c in cells(6)]
    given[2] = replace(given[2], kind="raise")
    failed = {c.number: why for c, _, why in run_cells(square, given, **place) if why}
    assert set(failed) == {2}
    assert failed[2].reason == "error"
    assert str(failed[2]) == "MemoryError: cell 2 is too large"
    assert "cheap.py" in failed[2].traceback
    assert len(given[2].begun()) == 1


def test_errors_are_tried_again_as_often_as_asked(place: dict[str, Any], tmp_path: Path) -> None:
    given = [Cheap(0, "raise", str(tmp_path)), Cheap(1, "raise once", str(tmp_path)), Cheap(2)]
    found = {c.number: why for c, _, why in run_cells(square, given, retries=2, **place)}
    assert found[1] is found[2] is None
    assert found[0] is not None
    assert found[0].attempts == len(given[0].begun()) == 3
    assert len(given[1].begun()) == 2


@pytest.mark.parametrize("place", ["processes", "dask"], indirect=True)
def test_a_cell_that_kills_its_worker_fails_and_no_other_one(
    place: dict[str, Any], tmp_path: Path
) -> None:
    """The others were perhaps in the same worker; they all finish."""
    given = [replace(c, folder=str(tmp_path), sleep=0.01) for c in cells(20)]
    given[0] = replace(given[0], kind="kill")
    given[7] = replace(given[7], kind="kill once")
    found = list(run_cells(square, given, **place))
    assert Counter(cell.number for cell, _, _ in found) == Counter(range(20))
    failed = {cell.number: why for cell, _, why in found if why}
    assert set(failed) == {0}
    assert failed[0].reason == "lost"
    assert "its worker died" in failed[0].message
    assert len(given[0].begun()) == failed[0].attempts == 3
    assert len(given[7].begun()) >= 2


class OneTakesAll:
    """Dask where one of two workers is handed all that waits, and dies with a cell that kills."""

    alone = DaskCluster.alone

    def __init__(self) -> None:
        self.handed: list[tuple[int, Cheap]] = []

    def room(self) -> int:
        return 8 - len(self.handed)

    def submit(self, number: int, cell: Cheap) -> None:
        self.handed.append((number, cell))

    def finished(self) -> list[tuple[int, Any, Failure | None]]:
        handed, self.handed = self.handed, []
        dies = any(cell.kind == "kill" for _, cell in handed)
        lost = Failure("lost", "its worker died") if dies else None
        return [(number, None if dies else square(cell), lost) for number, cell in handed]

    def close(self) -> None:
        pass


@pytest.mark.parametrize("killer", [0, 3])
def test_dask_charges_no_cell_beside_the_killer_though_one_worker_takes_all(
    monkeypatch: pytest.MonkeyPatch, killer: int
) -> None:
    """As while the other worker is replaced, or where it lacks the resources."""
    monkeypatch.setattr(executor, "_backend", lambda *_: OneTakesAll())
    given = cells(6)
    given[killer] = replace(given[killer], kind="kill")
    found = list(run_cells(square, given, cluster="local"))
    assert Counter(cell.number for cell, _, _ in found) == Counter(range(6))
    failed = {cell.number: why for cell, _, why in found if why}
    assert set(failed) == {killer}
    assert failed[killer].attempts == 3


def test_a_cell_that_ends_its_process_is_lost() -> None:
    given = [*cells(3), Cheap(3, "exit")]
    found = {c.number: why for c, _, why in run_cells(square, given, workers=2, lost_retries=1)}
    assert [n for n, why in found.items() if why] == [3]
    assert str(found[3]) == "its worker died (it ended with code 3) (2 attempts)"


@pytest.mark.parametrize("place", ["processes", "dask"], indirect=True)
def test_what_cannot_be_sent_is_a_failure(place: dict[str, Any]) -> None:
    given = [Cheap(0, "unpicklable"), *cells(3)[1:]]
    found = {c.number: why for c, _, why in run_cells(square, given, **place)}
    assert found[1] is found[2] is None
    assert found[0] is not None
    assert "pickle" in found[0].message.lower()


def test_a_function_that_cannot_be_imported_is_a_failure_of_each_cell() -> None:
    def inside(cell: Cheap) -> int:
        return cell.number

    found = [why for _, _, why in run_cells(inside, cells(2), workers=2)]
    assert len(found) == 2
    assert all(why is not None and "inside" in why.message for why in found)


def test_closing_ends_the_workers() -> None:
    """Ctrl-C while a result is being kept: what runs is ended within seconds."""
    began = time.monotonic()
    running = run_cells(square, [Cheap(0), *cells(4, sleep=60.0)[1:]], workers=2)
    first, _, _ = next(running)
    assert first.number == 0
    assert workers_left()
    running.close()
    assert not workers_left()
    assert time.monotonic() - began < 30


def test_dask_gets_few_cells_ahead_and_keeps_none(client: Any) -> None:
    most = 0
    for _ in run_cells(square, cells(60), cluster=client):
        most = max(most, len(client.futures))
    assert 0 < most <= 8
    deadline = time.monotonic() + 10
    while client.futures and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not client.futures
    assert client.status == "running"  # it is the caller's


def test_resources_are_asked_of_dask(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a GPU is there; two in one worker are not, which is said before the wait goes on."""
    found = list(run_cells(square, cells(4), cluster=client, resources={"GPU": 0.5}))
    assert len(found) == 4
    monkeypatch.setattr(dask_cluster, "_PATIENCE", 0.1)
    with pytest.raises(ClusterWarning, match=r'resources .*GPU.* --resources "GPU=2"'):
        list(run_cells(square, cells(1), cluster=client, resources={"GPU": 2}))


@pytest.mark.parametrize("workers", [1, 2])
def test_resources_mean_nothing_without_a_cluster(workers: int) -> None:
    with pytest.raises(UserWarning, match="Pass cluster="):
        list(run_cells(square, cells(2), workers=workers, resources={"GPU": 1}))


def test_an_address_is_a_cluster(client: Any) -> None:
    found = list(run_cells(square, cells(3), cluster=client.scheduler.address))
    assert len(found) == 3
    assert client.status == "running"


def test_clusters_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    with pytest.raises(ValueError, match=r'"local", the address of a scheduler'):
        list(run_cells(square, cells(1), cluster=3))
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.3s"}),
        pytest.raises(WorkerError, match=r"No Dask scheduler answers at 'tcp://127.0.0.1:9'"),
    ):
        list(run_cells(square, cells(1), cluster="tcp://127.0.0.1:9"))


def test_a_scheduler_that_is_gone() -> None:
    """No endless wait; workers are threads here, which start at once."""
    import distributed

    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}, silence_logs=50,
    ) as cluster:  # fmt: skip
        running = run_cells(square, cells(50, sleep=0.05), cluster=cluster)
        next(running)
        cluster.close()
        with pytest.raises(WorkerError, match=r"scheduler is lost"):
            list(running)


def test_another_version_on_a_worker_is_refused() -> None:
    made, why = attempt(square, Cheap(2), "0.0.0")
    assert made is None
    assert why is not None
    assert "Install the same version" in why.message


def test_refusals() -> None:
    with pytest.raises(
        ValueError, match=r"workers should be 1 or more, but is 0. retries .* but is -1"
    ):
        list(run_cells(square, cells(1), workers=0, retries=-1))
    with pytest.raises(ValueError, match=r"1 key\(s\)"):
        list(run_cells(square, [Cheap(1), Cheap(1)]))

    class Bad:
        key = "../up"

    with pytest.raises(ValueError, match=r"digits of 0-9 and a-f .* '../up'"):
        list(run_cells(square, [Bad()]))  # type: ignore[type-var]
    assert list(run_cells(square, [])) == []


def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from mmm_bayes.runtime.jobs.executor import run_cells\n"
        "from tests.runtime.jobs.cheap import cells, square\n"
        "print(len(list(run_cells(square, cells(3), workers=2))))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 1
    assert 'under if __name__ == "__main__":' in done.stderr


def test_workers_have_one_thread_and_import_little() -> None:
    (_, found, _), _ = run_cells(state, cells(2), workers=2)
    assert found is not None
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["JAX_PLATFORMS"] == "cpu"
    assert not found["heavy"]


def state(cell: Cheap) -> dict[str, Any]:
    """What a worker has."""
    heavy = {"jax", "pandas", "pyarrow", "distributed"} & set(sys.modules)
    names = ("OMP_NUM_THREADS", "JAX_PLATFORMS")
    return {name: os.environ.get(name) for name in names} | {"heavy": sorted(heavy)}


def test_the_last_attempt_is_made_alone_and_after_the_others() -> None:
    """Four cells lost together twice: then one at a time, so that the guilty one is known."""
    lost = Failure("lost", "its worker died")
    queue = _Queue(5, retries=0, lost_retries=2)
    for _ in range(2):
        begun = list(queue.next_ones(room=4, alone=1))
        assert begun == [0, 1, 2, 3]
        assert [queue.settle(n, lost) for n in begun] == [None] * 4
        if _ == 0:  # they go behind those that were not begun
            assert list(queue.next_ones(room=1, alone=1)) == [4]
            assert queue.settle(4, None) is None
    for number in (0, 1, 2):
        assert list(queue.next_ones(room=4, alone=1)) == [number]
        assert list(queue.next_ones(room=4, alone=1)) == []
        assert queue.settle(number, None) is None
    assert list(queue.next_ones(room=4, alone=2)) == [3]
    final = queue.settle(3, lost)
    assert final is not None
    assert final.attempts == 3
    assert queue.left == 0


def test_keys_do_not_tell_whole_numbers_from_decimal_ones() -> None:
    assert digest([{"degree": 3}]) == digest([{"degree": 3.0}])
    assert digest([{"degree": 3}]) != digest([{"degree": 3.5}])
