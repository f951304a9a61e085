"""CPU and wall seconds of functions that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Timed = dict[str, float]
LEAST = 0.02  # seconds of one measurement: shorter functions are called several times for it


def clocked(run: Callable[[], Any], number: int = 1) -> tuple[Any, float, float]:
    """Return the last result, CPU seconds of all threads and wall seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(number):
        result = run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return result, cpu / number, wall / number


def alternating(ways: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, Timed]:
    """Time functions in turn, so that another process on the machine slows all of them alike.

    Returns
    -------
    dict
        By way the medians ``cpu`` and ``wall``, the least, and those of the ``first`` call, which
        may compile and does not count.
    """
    found: dict[str, Timed] = {}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    numbers = {}
    for name, run in ways.items():
        _, cpu, wall = clocked(run)
        found[name] = {"first_cpu": cpu, "first_wall": wall}
        if wall < 0.5:  # a call that compiles takes longer, and how long the next ones do is open
            _, cpu, wall = clocked(run)
        numbers[name] = max(1, round(LEAST / max(wall, 1e-7)))
    for _ in range(repetitions):
        for name, run in ways.items():
            runs[name].append(clocked(run, numbers[name])[1:])
    for name, taken in runs.items():
        for clock, values in zip(("cpu", "wall"), zip(*taken, strict=True), strict=True):
            found[name][clock] = statistics.median(values)
            found[name][f"least_{clock}"] = min(values)
    return found


def middle(runs: list[Timed]) -> Timed:
    """Return the median of every figure over runs."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
