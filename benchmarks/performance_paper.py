"""What a thousand brands take, on paper: from the curves of the same run, with their errors."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

import performance_curves as curves
import record
from performance_laws import NORMAL, Estimate, PowerLaw

Found = dict[str, Any]
CORES = (8, 64, 512, 4000)
_WIDE = 10.0  # a range of this factor is said to be no more than an order of magnitude


def stored(host: Mapping[str, int]) -> int:
    """Return bytes of a fit's arrays in a file, of the parts of a `MemoryEstimate`.

    Parameters and prior are held twice in memory (scaled, and in the units of the table) and kept
    once.
    """
    twice = host["parameters, scaled and in units of the table"] + host["prior and its predictions"]
    once = host["posterior predictive"] + host["log likelihood"]
    return twice // 2 + once


def measure(target: dict[str, int], chains: int, draws: int, repetitions: int) -> Found:
    """Compute the memory of one fit, and time one gradient of that size as a check."""
    settings = {"num_chains": chains, "num_warmup": draws, "num_samples": draws}
    model = curves.model_of(**target, **settings)
    estimate = model.memory()
    return {
        "host": dict(estimate.host),
        "device": dict(estimate.device),
        "bytes": sum(estimate.host.values()) + sum(estimate.device.values()),
        "stored": stored(estimate.host),
        "gradient": curves.gradient_of(**target, repetitions=repetitions),
    }


def complete(found: Mapping[str, Found]) -> bool:
    """Return whether every curve that is needed has the sizes for an exponent."""
    return all(
        curves.laws_of(points) is not None
        for name in ("gradient", "steps")
        for points in found[name]["curves"].values()
    )


def _law(points: list[dict[str, float]], of: str, half: bool) -> PowerLaw:
    laws = curves.laws_of(points, of)
    if laws is None:
        raise ValueError(f"Three sizes are expected; got {len(points)} point(s).")
    return laws[1] if half else laws[0]


def gradient_at(found: Found, wide: dict[str, Any], target: dict[str, int]) -> Estimate:
    """Return CPU seconds of a gradient: the line over geos of wide tables at the target.

    Where the target has other weeks or channels than those, times their growth at the most geos
    that it was measured at. Lines go through the larger halves.
    """
    every = found["curves"]
    result = _law(every[curves.WIDE], "cost", True).at(target["geos"])
    for axis in ("weeks", "channels"):
        own = [name for name in every if name.startswith(f"{axis}, ")]
        most = max(own, key=lambda name: int(name.split()[1]))
        result *= _law(every[most], "cost", True).growth(wide[axis], target[axis])
    return result


def reconciled(line: Estimate, measured: float) -> Estimate:
    """Return the measured value, with a range that reaches the line's where they differ."""
    return Estimate(measured, abs(math.log(measured / line.value)) / NORMAL)


def steps_at(found: Found, base: dict[str, int], target: dict[str, int], limit: int) -> Estimate:
    """Return leapfrog steps per draw: the line over geos times growth over weeks, channels."""
    every = found["curves"]
    result = _law(every["geos"], "steps", False).at(target["geos"])
    for axis in ("weeks", "channels"):
        result *= _law(every[axis], "steps", False).growth(base[axis], target[axis])
    return result.at_most(limit)


def _spread(values: list[float]) -> Estimate:
    """Return the median of positive numbers, with the spread of single ones about it."""
    logs = [math.log(value) for value in values]
    return Estimate(math.exp(statistics.median(logs)), statistics.stdev(logs))


def derive(found: Mapping[str, Found], settings: Mapping[str, dict[str, Any]]) -> Found:
    """Derive all figures, as estimates with ranges."""
    given, paper = settings["paper"], found["paper"]
    target, chains, draws = given["target"], given["chains"], given["draws"]
    line = gradient_at(found["gradient"], settings["gradient"]["wide"], target)
    gradient = reconciled(line, paper["gradient"]["cost"])
    steps = steps_at(found["steps"], settings["steps"]["base"], target, 2**10 - 1)
    points = [p for own in found["steps"]["curves"].values() for p in own]
    warm = _spread([p["warmup_steps"] / p["steps"] for p in points])
    # The larger the gradient the less a step adds to it: the largest fits count.
    heavy = sorted(points, key=lambda p: p["gradient"])[-max(3, len(points) // 3) :]
    extra = _spread([p["step_cpu"] / p["gradient"] for p in heavy])
    sampling = gradient * steps * extra * (draws / 3600)  # core-hours of a chain
    chain = sampling + sampling * warm
    file_ratio = found["files"]["bytes"] / found["files"]["formula"]
    return {
        "line": line,
        "gradient": gradient,
        "steps": steps,
        "warm": warm,
        "extra": extra,
        "chain": chain,
        "brand": chain * chains,
        "all": chain * (chains * given["brands"]),
        "memory": paper["bytes"],
        "file_ratio": file_ratio,
        "file": paper["stored"] * file_ratio,
        "checked": paper["gradient"]["cost"],
    }


def places(derived: Found, given: dict[str, Any]) -> list[list[Any]]:
    """Return hours and memory over cores, with one chain per core and whole rounds."""
    rows = []
    fits, chains = given["brands"], given["chains"]
    for cores in CORES:
        rounds = math.ceil(fits * chains / cores)
        together = max(1, min(fits, cores // chains))
        hours = derived["chain"] * rounds
        rows.append([
            f"{cores:,}", together, record.cell(together * derived["memory"] / 2**30),
            rounds, hours_text(hours), _range(hours, 1.0),
        ])  # fmt: skip
    return rows


def hours_text(hours: Estimate) -> str:
    """Format hours, as days if there are many."""
    value = hours.value
    return f"{value / 24:,.1f} days" if value >= 48 else f"{record.cell(value)} h"


def _range(estimate: Estimate, unit: float) -> str:
    low, high = estimate.bounds
    if not math.isfinite(high) or high / low > 1e6:
        return "not known"
    return f"{record.cell(unit * low)} to {record.cell(unit * high)}"


def text(found: Mapping[str, Found], settings: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the section of the page."""
    given = settings["paper"]
    target, base = given["target"], settings["steps"]["base"]
    d = derive(found, settings)
    brands, chains, draws = given["brands"], given["chains"], given["draws"]
    wide_geos = max(point["size"] for point in found["gradient"]["curves"][curves.WIDE])
    holds = "holds it" if d["checked"] in d["line"] else "does not hold it"
    check = (
        f"One gradient of that size was run: {1e3 * d['checked']:.3g} CPU ms. The line over geos "
        f"of wide tables, which ends at {wide_geos}, says {1e3 * d['line'].value:.3g}, and its 95% "
        f"range ({_range(d['line'], 1e3)}) {holds}. The measured one is used, its range wide "
        "enough for both."
    )
    rows = [
        ["one gradient, CPU ms", 1e3 * d["gradient"].value, _range(d["gradient"], 1e3)],
        ["leapfrog steps per draw", d["steps"].value, _range(d["steps"], 1.0)],
        ["steps of a warm-up iteration over those of a draw", d["warm"].value,
         _range(d["warm"], 1.0)],
        ["CPU of a step in a fit over a bare gradient", d["extra"].value, _range(d["extra"], 1.0)],
        ["hours of a chain on a core", d["chain"].value, _range(d["chain"], 1.0)],
        ["core-hours a brand", d["brand"].value, _range(d["brand"], 1.0)],
        [f"core-hours of {brands:,} brands", d["all"].value, _range(d["all"], 1.0)],
        ["memory of a fit, GiB", d["memory"] / 2**30, "by shapes"],
        ["file of a fit, GB", d["file"] / 1e9, "by shapes"],
        [f"files of {brands:,} fits, TB", d["file"] * brands / 1e12, "by shapes"],
    ]  # fmt: skip
    low, high = d["all"].bounds
    wide = (
        " Read it as an order of magnitude: the range spans a factor of "
        f"{record.cell(high / low)}." if high / low > _WIDE and math.isfinite(high) else ""
    )  # fmt: skip
    largest = sorted(found["paper"]["host"].items(), key=lambda item: -item[1])[:3]
    return [
        f"{brands:,} brands x {target['geos']} geos x {target['weeks']} weeks, "
        f"{target['channels']} channels, {chains} chains x ({draws:,} + {draws:,}), float64. "
        "Computed by the script from the curves above; nothing of this size was fitted.",
        record.table(["on paper", "estimate", "95% range"], rows),
        f"{check}{wide}",
        record.table(
            ["cores", "fits at once", "memory of them, GiB", "rounds of chains", "time",
             "95% range, h"], places(d, given),
        ),
        "What is assumed:\n\n"
        "- A gradient costs what one cost here, outside of a cache that smaller tables fit: "
        "powers of sizes measured on small tables say too little.\n"
        f"- Steps a draw are lines through short fits of simulated tables about {base['weeks']} "
        f"weeks, {base['channels']} channels and {base['geos']} geos, times each other. This is "
        "the weakest part: "
        f"{max(p['size'] for p in found['steps']['curves']['geos'])} geos were the most, and real "
        "tables have other posteriors. At most 1,023 by the tree's depth.\n"
        "- Brands are fitted apart, with nothing in common; a core runs one chain at the speed of "
        "this machine's cores, and memory bandwidth does not run out when all of them are busy. "
        "Where there are more cores than chains, the geos of a chain would be split over devices; "
        "what that costs is measured by `benchmarks/sharding.py` and not counted.\n"
        "- Compilation (seconds, once a worker: programs are shared by tables of one shape), "
        "reading of tables, predictions and what is lost to preemption are not counted.\n"
        f"- Memory is `MMM(...).memory()` of one fit, largest: "
        f"{', '.join(f'{name} {size / 2**30:.1f} GiB' for name, size in largest)}. A file is the "
        f"arrays that are kept, times {d['file_ratio']:.2f} (file over arrays of the fit saved in "
        "this run; past 20 million elements predictions are float32).\n"
        "- Ranges multiply the standard errors of the lines, with Student's quantiles, as if "
        "independent; warm-up and the cost of a step by their spread over fits. They hold the "
        "error of the fitted lines, not that of the assumptions.\n"
        "- GPU hours are not measured: there was no GPU. The programs are lowered for CUDA and "
        "TPU in the tests; how fast they are there is not known.",
    ]  # fmt: skip
