"""The benchmark of everything: exponents, what is put on paper from them, and a tiny run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MODULES = ("performance", "performance_laws", "performance_paper", "performance_timing")


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The modules of the benchmark, which are scripts beside each other."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        loaded = {name: __import__(name) for name in MODULES}
        yield SimpleNamespace(
            **{name.removeprefix("performance_"): x for name, x in loaded.items()}
        )
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_exact_powers_are_found(bench: SimpleNamespace):
    sizes = [3, 10, 40, 300]
    law = bench.laws.fit_power_law(sizes, [0.2 * size**1.7 for size in sizes])
    assert law.exponent == pytest.approx(1.7)
    assert law.error < 1e-12
    assert law.at(5000).value == pytest.approx(0.2 * 5000**1.7)
    assert law.growth(10, 1000).value == pytest.approx(100**1.7)


def test_standard_errors_are_those_of_least_squares(bench: SimpleNamespace):
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    sizes = np.array([5, 9, 20, 70, 150, 400])
    costs = 3.0 * sizes**0.8 * np.exp(0.1 * rng.standard_normal(6))
    law = bench.laws.fit_power_law(sizes, costs)
    reference = sm.OLS(np.log(costs), sm.add_constant(np.log(sizes))).fit()
    assert law.exponent == pytest.approx(reference.params[1])
    assert law.error == pytest.approx(reference.bse[1])
    # The 95% range of the line, outside of the sizes too.
    there = reference.get_prediction([[1.0, math.log(2000)]]).conf_int(alpha=0.05)[0]
    assert law.at(2000).bounds == pytest.approx(tuple(np.exp(there)))


def test_ranges_hold_the_truth_as_often_as_they_say(bench: SimpleNamespace):
    rng = np.random.default_rng(1)
    sizes, runs, inside = np.array([10, 20, 40, 80, 160]), 1000, 0
    for _ in range(runs):
        costs = sizes**1.2 * np.exp(0.2 * rng.standard_normal(5))
        inside += 1000.0**1.2 in bench.laws.fit_power_law(sizes, costs).at(1000)
    assert abs(inside / runs - 0.95) < 4 * math.sqrt(0.95 * 0.05 / runs)


def test_upper_half_leaves_what_a_call_costs(bench: SimpleNamespace):
    sizes = [1, 2, 4, 64, 256, 1024]
    costs = [50.0 + size for size in sizes]
    upper = bench.laws.fit_upper_half(sizes[::-1], costs[::-1])
    assert upper == bench.laws.fit_power_law(sizes[3:], costs[3:])
    assert 0.7 < upper.exponent < 1.0
    assert bench.laws.fit_power_law(sizes, costs).exponent < 0.6


@pytest.mark.parametrize(
    ("sizes", "costs", "said"),
    [([1, 2], [1, 2], "3 sizes"), ([1, 2, 2], [1, 2, 3], "3 sizes"),
     ([1, 2, 3], [1, 0, 2], "[Pp]ositive"), ([1, 2, 3], [1, 2], "One cost")],
)  # fmt: skip
def test_what_has_no_exponent_is_refused(bench: SimpleNamespace, sizes, costs, said: str):
    with pytest.raises(ValueError, match=said):
        bench.laws.fit_power_law(sizes, costs)


def test_errors_of_estimates_combine(bench: SimpleNamespace):
    one, other = bench.laws.Estimate(2.0, 0.3), bench.laws.Estimate(5.0, 0.4)
    assert (one * other) == bench.laws.Estimate(10.0, pytest.approx(0.5))
    assert (one * 3.0).bounds == pytest.approx(tuple(3.0 * x for x in one.bounds))
    assert (one + one) == bench.laws.Estimate(4.0, pytest.approx(0.3))
    assert one.at_most(1.5).value == 1.5


def _found(bench: SimpleNamespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Curves that are exact powers: every number on paper is known."""
    base = {"weeks": 100, "channels": 4, "geos": 1}
    sizes = {"weeks": [50, 100, 200, 400], "channels": [2, 4, 8, 16], "geos": [5, 10, 20, 40]}

    def gradient(weeks: int, channels: int, geos: int) -> float:
        return 1e-9 * weeks * channels**0.5 * geos

    def steps(weeks: int, channels: int, geos: int) -> float:
        return 10.0 * geos**0.25

    def over(axis: str, geos: int) -> list[dict[str, Any]]:
        points = []
        for size in sizes[axis]:
            at = base | {"geos": geos} | {axis: size}
            one = gradient(**at)
            points.append({
                "size": size, "cost": one, "steps": steps(**at), "gradient": one,
                "warmup_steps": 2 * steps(**at), "step_cpu": 1.5 * one,
            })  # fmt: skip
        return points

    curves = {"weeks, 1 geo": over("weeks", 1), "weeks, 40 geos": over("weeks", 40),
              "channels, 40 geos": over("channels", 40), "geos": over("geos", 1),
              "geos, wide tables": over("geos", 1)}  # fmt: skip
    target = {"weeks": 500, "channels": 16, "geos": 80}
    host = {"parameters, scaled and in units of the table": 200, "posterior predictive": 50,
            "log likelihood": 50, "prior and its predictions": 100}  # fmt: skip
    found = {
        "gradient": {"curves": curves},
        "steps": {"curves": {axis: over(axis, 1) for axis in sizes}},
        "files": {"bytes": 30, "formula": 20},
        "paper": {"host": host, "device": {}, "bytes": 400, "stored": bench.paper.stored(host),
                  "gradient": {"cost": gradient(**target)}},
    }  # fmt: skip
    paper = {"target": target, "chains": 4, "draws": 1000, "brands": 1000}
    return found, {
        "gradient": {"base": base, "wide": base},
        "steps": {"base": base},
        "paper": paper,
    }


def test_paper_follows_from_the_curves(bench: SimpleNamespace):
    found, settings = _found(bench)
    derived = bench.paper.derive(found, settings)
    gradient = 1e-9 * 500 * 4.0 * 80
    steps = 10.0 * 80**0.25
    assert derived["gradient"].value == pytest.approx(gradient)
    assert derived["steps"].value == pytest.approx(steps)
    # 1,000 draws of these steps, and 1,000 warm-up iterations of twice as many.
    chain = 3000 * steps * 1.5 * gradient / 3600
    assert derived["chain"].value == pytest.approx(chain)
    assert derived["all"].value == pytest.approx(4000 * chain)
    assert derived["all"].spread < 1e-6
    assert derived["file"] == pytest.approx(1.5 * (100 + 100 + 50))
    rows = {row[0]: row for row in bench.paper.places(derived, settings["paper"])}
    assert rows["64"][1] == 16
    assert rows["64"][3] == 63  # rounds of 4,000 chains
    text = "\n".join(bench.paper.text(found, settings))
    assert "GPU hours are not measured" in text
    assert "not known |" not in text


def test_a_measured_gradient_corrects_a_line_that_misses_it(bench: SimpleNamespace):
    found, settings = _found(bench)
    line = bench.paper.derive(found, settings)["gradient"].value
    found["paper"]["gradient"]["cost"] *= 4.0
    gradient = bench.paper.derive(found, settings)["gradient"]
    assert gradient.value == pytest.approx(4.0 * line)
    assert gradient.bounds[0] == pytest.approx(line)
    assert "does not hold it" in "\n".join(bench.paper.text(found, settings))


def test_paper_says_where_it_is_not_known(bench: SimpleNamespace):
    found, settings = _found(bench)
    rng = np.random.default_rng(2)
    for point in found["steps"]["curves"]["weeks"]:
        point["steps"] *= float(np.exp(3 * rng.standard_normal()))
    text = "\n".join(bench.paper.text(found, settings))
    assert "not known |" in text or "order of magnitude" in text
    found["steps"]["curves"]["weeks"] = found["steps"]["curves"]["weeks"][:2]
    assert not bench.paper.complete(found)


def test_ways_take_turns(bench: SimpleNamespace):
    order: list[str] = []
    ways = {name: lambda name=name: order.append(name) or _spin(0.03) for name in "ab"}
    found = bench.timing.alternating(ways, 3)
    assert "".join(order[-6:]) == "ababab"
    assert found["a"]["wall"] >= 0.03


def _spin(seconds: float) -> None:
    import time

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_sections_of_other_settings_are_measured_again(bench: SimpleNamespace, tmp_path: Path):
    module = bench.performance
    section = {"settings": {"draws": 5}, "machine": module.record.machine(), "found": {}}
    (tmp_path / "files.json").write_text(json.dumps(section))
    assert module.kept(tmp_path, "files", {"draws": 5}) == section
    assert module.kept(tmp_path, "files", {"draws": 6}) is None
    assert module.kept(tmp_path, "loader", {"draws": 5}) is None
    (tmp_path / "files.json").write_text('{"settings": {"dr')
    assert module.kept(tmp_path, "files", {"draws": 5}) is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_quick_run(tmp_path: Path):
    line = [sys.executable, str(BENCHMARKS / "performance.py"), "--quick", "--out", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Not measured yet" not in done.stdout
    for heading in ("## Sampling", "## Kernels", "## Loading", "## Cost of a gradient"):
        assert heading in done.stdout
    assert (tmp_path / "performance" / "gradient.png").stat().st_size > 5_000
    # What is there is not measured again.
    again = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "CPU s" not in again.stderr
    assert again.stdout == done.stdout
