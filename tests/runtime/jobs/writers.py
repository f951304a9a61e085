"""Processes that write to a store, for tests to start and kill."""

from __future__ import annotations

from pathlib import Path

from mmm_bayes.runtime.jobs.fill import fill_store
from mmm_bayes.runtime.jobs.records import Record
from mmm_bayes.runtime.jobs.store import ResultStore
from mmm_bayes.runtime.jobs.tasks import digest
from tests.runtime.jobs.cheap import Cheap, square


def write(folder: Path, writer: int) -> None:
    """Put 40 cells, folding now and then."""
    store = ResultStore(folder)
    for n in range(40):
        number = n if writer else 39 - n
        store.put(Record(digest(["shared", number]), [{"n": writer}]))
        if n % 10 == 9:
            store.compact(per_file=12)


def fill(folder: Path, given: list[Cheap]) -> None:
    """Run cells and keep them."""
    fill_store(square, given, ResultStore(folder))
