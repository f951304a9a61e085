"""The store: rows come back as they were, one result a cell, whole files, two writers."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import pickle
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_bayes.runtime.atomic_write import WriteError
from mmm_bayes.runtime.jobs import store as store_module
from mmm_bayes.runtime.jobs.records import Record, from_table, plain_rows, to_table
from mmm_bayes.runtime.jobs.store import ResultsError, ResultStore
from mmm_bayes.runtime.jobs.tasks import digest
from tests.runtime.jobs.writers import write

RAGGED: list[dict[str, Any]] = [
    {"a": 1, "b": 2.0, "c": "text", "d": True, "e": None},
    {"a": 3, "c": "ä\n", "f": [1, 2.5, None, "x"], "g": {"h": [[1], [2.0, 3]]}},
    {},
    {"a": 2.0, "f": [], "g": {}, "big": 2**80, "e": None},
]


def record(number: int, rows: list[dict[str, Any]] | None = None, **more: Any) -> Record:
    """A cell of that number."""
    return Record(digest(["store", number]), [{"n": number}] if rows is None else rows, **more)


def same(found: Any, expected: Any) -> bool:
    """Equal in values and in types: 1, 1.0 and True differ."""
    return json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "new" / "folder")
    made = record(1, RAGGED, settings={"x": (1, 2)}, seed=7, version="1.2")
    kept = store.put(made)
    assert same(kept.rows, RAGGED)
    found = ResultStore(tmp_path / "new" / "folder").records()[made.key]
    assert same(found.rows, RAGGED)
    assert [list(row) for row in found.rows] == [list(row) for row in RAGGED]
    assert (found.settings, found.seed, found.version) == ({"x": [1, 2]}, 7, "1.2")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda own: (
        st.lists(own, max_size=3) | st.dictionaries(st.sampled_from("xyz"), own, max_size=2)
    ),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "d e"]), VALUES), max_size=4)


@settings(deadline=None)  # the first call loads pyarrow
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_any_rows_come_back_from_one_table(cells: list[Any]) -> None:
    """Also folded with cells whose columns are of other types."""
    records = [record(n, rows) for n, rows in enumerate(cells)]
    found = {own.key: own for own in from_table(to_table(records))}
    assert len(found) == len(cells)
    for own in records:
        assert same(found[own.key].rows, plain_rows(own.rows))


def test_numbers_that_are_not_finite_become_nothing_and_numpy_plain(tmp_path: Path) -> None:
    rows = [
        {"a": np.float64("nan"), "b": np.int64(3), "c": -math.inf, "d": np.array([1.0, np.nan])},
        {"a": 0.5, "b": np.bool_(True), "e": (1, 2), "f": pd.Timestamp("2024-01-02")},
    ]
    expected = [
        {"a": None, "b": 3, "c": None, "d": [1.0, None]},
        {"a": 0.5, "b": True, "e": [1, 2], "f": "2024-01-02T00:00:00"},
    ]
    store = ResultStore(tmp_path)
    assert same(store.put(record(1, rows)).rows, expected)
    assert same(store.rows()[record(1).key], expected)


def test_numbers_are_numbers_to_any_reader(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put(record(1, [{"x": 1.5, "n": 1, "s": "a"}, {"x": None, "n": 2}], settings={"k": 1}))
    (path,) = (tmp_path / "cells").iterdir()
    frame = pd.read_parquet(path)
    assert frame["x"].dtype == float
    assert frame["n"].tolist() == [1, 2]
    assert frame["cell.key"].tolist() == [path.stem] * 2
    assert json.loads(frame["cell.settings"][0]) == {"k": 1}
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(path.read_bytes())


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    with pytest.raises(TypeError, match=r"object at .* is a object"):
        store.put(record(1, [{"a": object()}]))
    with pytest.raises(ValueError, match=r"'cell.key' of a result"):
        store.put(record(1, [{"cell.key": 1}]))
    with pytest.raises(ValueError, match=r"digits of 0-9 and a-f"):
        store.put(Record("../up", []))
    assert len(store) == 0


def test_a_cell_has_one_result_the_last_one(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.put(record(1, [{"x": 1}]))
    store.put(record(1, [{"x": 2}]))
    store.put(record(2, []))
    assert store.rows() == {record(1).key: [{"x": 2}], record(2).key: []}
    assert store.rows([record(2).key, digest("none")]) == {record(2).key: []}


def test_folding_changes_nothing_but_the_number_of_files(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    made = [record(n, RAGGED if n % 3 else [{"a": n / 2, "f": n}], seed=n) for n in range(23)]
    for own in made[:20]:
        store.put(own)
    before = store.records()
    assert store.compact(per_file=8) == 20
    assert not list((tmp_path / "cells").iterdir())
    assert len(list((tmp_path / "folded").iterdir())) == 3
    after = store.records()
    assert after == before
    assert all(same(after[key].rows, before[key].rows) for key in before)
    assert store.keys() == set(before)
    # A newer result of a folded cell counts, before it is folded and after; small files join.
    store.put(record(3, [{"new": 1}]))
    for own in made[20:]:
        store.put(own)
    assert store.rows()[record(3).key] == [{"new": 1}]
    assert store.unfolded == 4
    store.compact(per_file=100)
    assert store.rows()[record(3).key] == [{"new": 1}]
    assert len(store) == 23
    assert len(list((tmp_path / "folded").iterdir())) == 1
    assert store.compact() == 0


@pytest.mark.parametrize("step", ["before the folded file", "before the files are gone"])
def test_a_fold_that_is_killed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = ResultStore(tmp_path)
    for n in range(6):
        store.put(record(n))
    before = store.rows()

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "before the folded file":
            patch.setattr(store_module, "_write", killed)
        else:
            patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            store.compact()
    assert store.rows() == before
    store.compact()
    assert store.rows() == before
    assert not list((tmp_path / "cells").iterdir())


def test_cells_are_forgotten_wherever_they_are(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for n in range(4):
        store.put(record(n))
    store.compact()
    for n in range(4, 6):
        store.put(record(n))
    store.discard([record(1).key, record(5).key, digest("none")])
    assert store.keys() == {record(n).key for n in (0, 2, 3, 4)}
    store.discard([record(n).key for n in range(6)])
    assert store.rows() == {}


def test_two_writers_and_a_reader(tmp_path: Path) -> None:
    """Processes put the same cells and fold while this one reads: every cell whole, once."""
    ResultStore(tmp_path)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(tmp_path, n)) for n in range(2)]
    for writer in writers:
        writer.start()
    most = 0
    while any(writer.is_alive() for writer in writers):
        rows = ResultStore(tmp_path).rows()
        assert all(own in ([{"n": 0}], [{"n": 1}]) for own in rows.values())
        assert len(rows) >= most
        most = len(rows)
        time.sleep(0.1)
    assert [writer.exitcode for writer in writers] == [0, 0]
    store = ResultStore(tmp_path)
    assert len(store) == len(store.rows()) == 40
    store.compact()
    assert len(store.rows()) == 40


def test_damaged_files_are_named_with_the_remedy(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for n in range(3):
        store.put(record(n))
    path = tmp_path / "cells" / f"{record(1).key}.parquet"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not parquet at all" * 10):
        path.write_bytes(content)
        with pytest.raises(ResultsError, match=rf"{path} cannot be read: .*Delete it"):
            store.rows()
    pd.DataFrame({"x": [1]}).to_parquet(path)
    with pytest.raises(ResultsError, match=re.escape(str(path))):
        store.rows()
    with pytest.raises(ResultsError, match=re.escape(str(path))):
        store.compact()
    path.unlink()
    assert len(store.rows()) == 2
    store.compact()
    (folded,) = (tmp_path / "folded").iterdir()
    folded.write_bytes(folded.read_bytes()[:-10])
    with pytest.raises(ResultsError, match=re.escape(folded.name)):
        store.keys()


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    store = ResultStore(tmp_path)
    store.put(record(1, [{"x": x} for x in rng.normal(size=60).tolist()]))
    rows = store.rows()
    path = tmp_path / "cells" / f"{record(1).key}.parquet"
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    refused = 0
    for at in range(4, len(whole) - footer, 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        try:
            assert same(store.rows(), rows)  # a byte that no number depends on
        except ResultsError:
            refused += 1
    assert refused > 50


def test_what_a_killed_writer_left_is_not_read(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for n in range(2):
        store.put(record(n))
    left = tmp_path / "cells" / f".{record(7).key}.parquet.abc123"
    left.write_bytes(b"half")
    assert len(store.rows()) == 2
    store.compact()
    assert left.exists()  # somebody may be writing it
    os.utime(left, (0, 0))
    store.put(record(3))
    store.compact()
    assert not left.exists()


def test_folders_of_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ResultsError, match=r"mine holds other files \(thesis.tex\) .*new folder"):
        ResultStore(tmp_path / "mine")
    ResultStore(tmp_path / "mine", beside=["thesis.tex"])
    with pytest.raises(ResultsError, match=r"'results', not 'fits'"):
        ResultStore(tmp_path / "mine", "fits")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"file is a file. Choose a folder"):
        ResultStore(tmp_path / "file")
    for text in ("{", "[]", '{"kind": "results"}'):
        (tmp_path / "mine" / "store.json").write_text(text)
        with pytest.raises(ResultsError, match=r"store\.json"):
            ResultStore(tmp_path / "mine")
    (tmp_path / "mine" / "store.json").write_text('{"kind": "results", "format": 99}')
    with pytest.raises(ResultsError, match=r"format 99.* format 1\. Update"):
        ResultStore(tmp_path / "mine")


def test_a_full_disk_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultStore(tmp_path)
    store.put(record(1, [{"x": 1}]))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for n in (1, 2):
            with pytest.raises(WriteError, match="the disk is full"):
                store.put(record(n, [{"x": 2}]))
    assert store.rows() == {record(1).key: [{"x": 1}]}
