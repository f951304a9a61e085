"""Folders of runs: what a killed process leaves does not keep the same call from going on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mmm_bayes.runtime.jobs.store import ResultStore
from mmm_bayes.runtime.run_folder import RunFolder, RunFolderError, remove_run

STRAY = (".run.json.abcd1234.tmp", ".first.npz.abcd1234.tmp", ".run.json.x1_y2z3q", ".nfs0001")


def test_stray_files_do_not_make_a_folder_unusable(tmp_path: Path) -> None:
    for begun in (False, True):
        for name in STRAY:
            (tmp_path / name).write_text("half")
        with RunFolder(tmp_path, "numbers", {"seed": 1}) as run:
            found = run.read("first")
            assert (found is not None) is begun
            run.write("first", {"x": np.arange(3)})
        left = set(os.listdir(tmp_path)) - {".lock"}
        assert left == {"run.json", "first.npz", ".run.json.x1_y2z3q", ".nfs0001"}


def test_stray_files_do_not_make_a_store_unusable(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / ".store.json.abcd1234.tmp").write_text("half")
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / ".0123.parquet.abcd1234.tmp").write_text("half")
    assert len(ResultStore(tmp_path, "numbers")) == 0
    assert len(ResultStore(tmp_path, "numbers")) == 0


def test_other_files_are_still_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"thesis\.txt"):
        RunFolder(tmp_path, "numbers", {"seed": 1})


def test_a_finished_run_is_deleted_and_other_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with RunFolder(folder, "numbers", {}) as run:
        run.write("first", {"x": np.zeros(2)})
    (folder / "notes.txt").write_text("mine")
    remove_run(folder)
    assert os.listdir(folder) == ["notes.txt"]
    remove_run(folder)  # which is no run any more
    (folder / "notes.txt").unlink()
    with RunFolder(folder, "numbers", {}) as run:
        run.write("first", {"x": np.zeros(2)})
    remove_run(folder)
    assert not folder.exists()
