"""Progress: bars, lines, silence and reporters of the user's own say the same things."""

from __future__ import annotations

import io
import re
import sys
import time
from typing import Any, Self

import pytest

from mmm_bayes.runtime.progress import Bars, Lines, Progress, Silent, choose_progress


class Records:
    """A reporter as a user writes one."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start(self, names: Any, total: int, unit: str, done: int = 0) -> None:
        self.calls.append(("start", tuple(names), total, unit, done))

    def update(self, index: int, done: int, note: str = "") -> None:
        self.calls.append(("update", index, done, note))

    def message(self, text: str) -> None:
        self.calls.append(("message", text))

    def close(self) -> None:
        self.calls.append(("close",))


def test_lines_are_printed_also_while_nothing_finishes(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(every=0.05)
    lines.start(["sweep"], 10, "runs", 2)
    time.sleep(0.18)
    lines.update(0, 5, "1 failed")
    time.sleep(0.12)
    lines.close()
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) >= 4
    assert printed[0] == "mmm_bayes: sweep: 2 of 10 runs"
    last = r"mmm_bayes: sweep: 5 of 10 runs, 1 failed, about \d+ s left"
    assert re.fullmatch(last, printed[-1])
    lines.start(["sweep"], 1, "runs")
    lines.update(0, 1)
    lines.close()
    assert not capsys.readouterr().err  # a short run prints nothing
    lines.message("compiling")
    assert capsys.readouterr().err == "mmm_bayes: compiling\n"


def test_the_end_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(every=0.05)
    lines.start(["chain 0"], 100, "iterations")
    lines.update(0, 100, "draws")
    time.sleep(0.3)
    lines.close()
    assert capsys.readouterr().err == "mmm_bayes: chain 0: 100 of 100 iterations, draws\n"


def test_lines_count_all_chains(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(every=0.05)
    lines.start(["chain 0", "chain 1"], 100, "iterations")
    lines.update(0, 40, "warm-up")
    lines.update(1, 60, "draws, 2 divergent")
    time.sleep(0.12)
    lines.close()
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith(
        "mmm_bayes: 2 in parallel: 100 of 200 iterations, warm-up, draws, 2 divergent, about"
    )


@pytest.mark.parametrize("times", [1, 2])
def test_bars_count_and_say_what_failed(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    bars = Bars()
    for _ in range(times):
        bars.message("compiling")
        bars.start(["map_fits [red]"], 7, "fits", 3)
        bars.update(0, 5, "2 failed")
        bars.close()
    bars.close()
    printed = sys.stderr.getvalue()
    assert printed.count("map_fits [red]") == times
    assert "5/7" in printed
    assert "2 failed" in printed


def test_who_watches_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    import ipykernel.kernelapp  # noqa: F401  # a library that is loaded is not a notebook

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(choose_progress(None), Silent)
    assert isinstance(choose_progress(True), Lines)
    assert isinstance(choose_progress(False), Silent)
    own = Records()
    assert choose_progress(own) is own
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(choose_progress(None), Bars)
    assert isinstance(choose_progress(True), Bars)


def use(reporter: Progress) -> None:
    reporter.message("compiling")
    reporter.start(["chain 0", "chain 1"], 50, "iterations", 10)
    reporter.update(1, 20, "warm-up")
    reporter.update(0, 30, "draws, 3 divergent")
    reporter.close()


class OfContext:
    """What both old forms have."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        self.calls.append(("enter",))
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append(("exit",))


class OfChains(OfContext):
    def start(self, num_chains: int, total: int) -> None:
        self.calls.append((num_chains, total))

    def message(self, text: str) -> None:
        self.calls.append((text,))

    def update(self, chain: int, done: int, phase: str, divergences: int) -> None:
        self.calls.append((chain, done, phase, divergences))


class OfCells(OfContext):
    def start(self, total: int, known: int) -> None:
        self.calls.append((total, known))

    def update(self, done: int, failed: int) -> None:
        self.calls.append((done, failed))


def test_reporters_of_the_old_forms_hear_the_same() -> None:
    chains, cells = OfChains(), OfCells()
    with pytest.warns(DeprecationWarning, match=r"update\(index, done, note\)"):
        use(choose_progress(chains))  # type: ignore[arg-type]
    assert chains.calls == [
        ("enter",), ("compiling",), (2, 50), (1, 20, "warm-up", 0), (0, 30, "draws", 3), ("exit",),
    ]  # fmt: skip
    with pytest.warns(DeprecationWarning, match="note"):
        reporter = choose_progress(cells)  # type: ignore[arg-type]
    reporter.start(["map_fits"], 7, "fits", 2)
    reporter.update(0, 3)
    reporter.update(0, 4, "2 failed")
    reporter.close()
    assert cells.calls == [("enter",), (7, 2), (3, 0), (4, 2), ("exit",)]
