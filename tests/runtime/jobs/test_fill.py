"""Cells run and kept: only what is missing is made, and a stop loses nothing that is finished."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mmm_bayes.runtime.atomic_write import WriteError
from mmm_bayes.runtime.jobs import fill as fill_module
from mmm_bayes.runtime.jobs.fill import fill_store
from mmm_bayes.runtime.jobs.store import ResultStore
from tests.runtime.jobs.cheap import Cheap, cells, square


def test_a_second_call_makes_nothing(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    told: list[tuple[int, int]] = []
    assert fill_store(square, cells(4), store, on_done=lambda *n: told.append(n)) == []
    assert told == [(n, 4) for n in range(5)]
    told.clear()
    # Cells of one key are one; what is there may have been made by another call.
    fill_store(square, [*cells(6), *cells(6)], store, on_done=lambda *n: told.append(n))
    assert told == [(4, 6), (5, 6), (6, 6)]
    assert {r.seed for r in store.records().values()} == set(range(6))
    assert all(r.settings == {"number": r.seed} for r in store.records().values())


def test_failures_are_no_results(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "store")
    begun = tmp_path / "begun"
    begun.mkdir()
    given = [*cells(3), Cheap(3, "raise", str(begun)), Cheap(4, "unpicklable", str(begun))]
    failures = fill_store(square, given, store)
    assert [(cell.number, why.message.split(":")[0]) for cell, why in failures] == [
        (3, "MemoryError"),
        (4, "TypeError"),  # a value that cannot be kept
    ]
    assert len(store) == 3
    assert len(fill_store(square, given, store)) == 2
    assert len(given[3].begun()) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_keeps_what_is_finished(tmp_path: Path, workers: int) -> None:
    store = ResultStore(tmp_path)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_store(square, cells(8, sleep=0.01), store, workers=workers, on_done=stop)
    assert len(store) == 3
    made: list[int] = []
    fill_store(square, cells(8), store, on_result=lambda cell, _: made.append(cell.number))
    assert len(made) == 5
    assert len(store) == 8


def test_a_full_disk_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more is computed that could not be kept."""
    store = ResultStore(tmp_path / "store")
    (tmp_path / "begun").mkdir()
    given = cells(6, folder=str(tmp_path / "begun"))
    fill_store(square, given[:2], store)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WriteError, match="the disk is full"):
            fill_store(square, given, store)
    assert len(list((tmp_path / "begun").iterdir())) == 3
    assert len(store) == 2
    fill_store(square, given, store)
    assert len(store) == 6


def test_many_cells_do_not_stay_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fill_module, "_FOLD_AT", 10)
    monkeypatch.setattr(fill_module, "_FOLD_LEFT", 5)
    store = ResultStore(tmp_path)
    most = 0

    def look(*_: Any) -> None:
        nonlocal most
        most = max(most, len(list((tmp_path / "cells").iterdir())))

    fill_store(square, cells(37), store, on_result=look)
    assert most == 10
    assert len(list((tmp_path / "cells").iterdir())) < 5
    assert len(store.rows()) == 37
