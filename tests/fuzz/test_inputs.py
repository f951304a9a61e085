"""A slice of the fuzz: every entry, a few inputs each, and that sound ones are accepted."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest

NAMES = (
    "table", "long", "csv", "parquet", "lift", "dates", "shops", "spec text", "spec", "model",
    "graph", "knowledge", "session", "graph text", "names", "arguments", "command", "altered fit",
    "altered structural", "altered causal mmm", "fit", "structural", "causal mmm", "run folder",
)  # fmt: skip
# Enough for a few hundred inputs; those of the last ones open files of a megabyte.
COUNTS = {"table": 60, "dates": 200, "shops": 40, "spec": 60, "model": 40, "lift": 40, "graph": 40}
BINARY = NAMES[-4:]


def test_every_entry_is_here() -> None:
    from fuzz_targets import TARGETS

    assert set(NAMES) == set(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_what_lies_is_refused_and_what_is_accepted_is_sound(name: str, tmp_path: Path) -> None:
    import fuzz

    # Seeds beyond those of the long run: what it mended is not what is tested here.
    seeds = range(100_000, 100_000 + COUNTS.get(name, 20))
    outcomes = [fuzz.attempt(name, seed, tmp_path) for seed in seeds]
    faults = [one for one in outcomes if one.is_fault]
    assert not faults, f"{len(faults)}, the first of seed {faults[0].seed}: {faults[0].detail}"
    assert any(one.kind != "accepted" for one in outcomes)


@pytest.mark.parametrize("kind", BINARY)
def test_whole_files_are_accepted(kind: str, tmp_path: Path) -> None:
    import fuzz_binary
    from fuzz_tables import Filed
    from fuzz_targets import TARGETS

    given = Filed(fuzz_binary.sound(kind), fuzz_binary.SUFFIX[kind])
    TARGETS[kind].check(TARGETS[kind].read(given, tmp_path))


def test_sound_tables_and_texts_are_accepted(tmp_path: Path) -> None:
    import fuzz_tables as tables
    import fuzz_targets as targets

    for kind in tables.KINDS:
        frame, roles = tables.base(kind)
        data = tables.read_table(tables.Tabled(frame, roles), tmp_path)
        tables.sound_table(data)
        memory = io.BytesIO()
        frame.to_csv(memory, index=False)
        file = tables.Filed(memory.getvalue(), ".csv", roles)
        read = tables.read_file(file, tmp_path)
        np.testing.assert_allclose(read.ds["target"], data.ds["target"], rtol=1e-15)
    for tree in targets._spec_bases():
        text = tables.Filed(targets._dumped(tree), ".toml")
        targets._sound_spec(targets._read_spec(text, tmp_path))
    lift = tables.Tabled(tables.lift_frame(), {"geo": True})
    tables.sound_tests(tables.read_lift(lift, tmp_path))
    shops = tables.Tabled(tables.shops_frame(), {})
    tables.sound_panel(tables.read_shops(shops, tmp_path))


def test_a_fault_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fuzz
    import fuzz_targets as targets

    def broken(given: object, folder: Path) -> object:
        raise KeyError("week")

    def slow(given: object, folder: Path) -> object:
        while True:
            math.sqrt(2.0)

    for read, kind in ((broken, "other: KeyError"), (slow, "other: hang")):
        target = targets.TARGETS["spec"]
        monkeypatch.setattr(fuzz, "_HANG", 1)
        changed = {"spec": targets.Target("", target.make, read, target.check, target.refusals)}
        monkeypatch.setattr(fuzz, "TARGETS", changed)
        outcome = fuzz.attempt("spec", 0, tmp_path)
        assert outcome.kind == kind
        assert outcome.is_fault
