r"""Maximise an objective over a polytope, from several starts.

The method is the spectral projected gradient of Birgin, Martínez and Raydan: steps along the
gradient whose length follows from the last two gradients (Barzilai and Borwein), exact projection
onto the feasible set, and a line search that compares with the worst of the last few values. JAX
computes exact gradients over the draws. Small problems are polished by SciPy's SLSQP.

Hill and root curves with an exponent below one have an infinite slope at zero spend, which gradient
methods cannot leave. The solver therefore adds a share :math:`\epsilon` of its usual spend to every
cell, and reduces :math:`\epsilon` in stages. Values that are compared and reported are computed
without this addition.

Curves with an exponent above one create several local optima. The starting plans
(:mod:`mmm_bayes.budget.starts`) are today's plan, an even split, proportional splits, pulses, draws
from the simplex, and the optimum over channel totals of the separate response curves. All are
improved roughly; the best few are solved to the end.

References
----------
Birgin, Martínez and Raydan (2000), Nonmonotone spectral projected gradient methods on convex sets,
SIAM Journal on Optimization 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmm_bayes.budget.limits import FeasibleSet
from mmm_bayes.budget.problem import Problem
from mmm_bayes.budget.projection import Polytope, project

NDArray = np.ndarray[Any, Any]

FINEST = 1e-4  # share of a cell's usual spend that is added in the last stage
_ROUGH = ((1e-1, 0.3, 40), (1e-2, 0.1, 60))  # added share, smoothing width, maximum steps
_FINE = ((1e-3, 0.03, 150), (FINEST, 0.01, 250))
_SLSQP_SIZE = 40


@dataclass(frozen=True, eq=False)
class Solution:
    """The best plan found.

    Attributes
    ----------
    z
        Variables.
    value
        Exact objective.
    gradient
        Gradient of the smoothed objective in money, at the finest stage.
    starts
        Value reached from every starting plan, by name: after full optimisation for the best
        few, after rough optimisation for the others.
    evaluations
        Number of gradients computed.
    """

    z: NDArray
    value: float
    gradient: NDArray
    starts: Mapping[str, float]
    evaluations: int


def maximise(
    problem: Problem, feasible: FeasibleSet, starts: Mapping[str, NDArray], keep: int = 3
) -> Solution:
    """Improve every start roughly and the best ``keep`` to the end; return the best of all."""
    before = problem.evaluations
    scale = problem.scale
    polytope = feasible.polytope.scaled(scale)
    rough: list[tuple[float, str, NDArray]] = []
    reached: dict[str, float] = {}
    several = len(starts) > keep
    for name, start in starts.items():
        v = project(polytope, start / scale)
        if several:
            for stage in _ROUGH:
                v = _spg(problem, polytope, v, scale, stage, screen=True, tolerance=1e-6)
        value = problem.exact(scale * v)
        reached[name] = value
        rough.append((value, name, v))
    rough.sort(key=lambda item: -item[0])
    best_value, best = -np.inf, rough[0][2]
    for _, name, v in _distinct(rough, keep):
        for stage in _FINE if several else (*_ROUGH, *_FINE):
            v = _spg(problem, polytope, v, scale, stage, screen=False, tolerance=1e-9)
        if len(scale) <= _SLSQP_SIZE:
            v = _slsqp(problem, polytope, v, scale)
        value = problem.exact(scale * v)
        reached[name] = value
        if value > best_value:
            best_value, best = value, v
    z = scale * best
    # Keep a feasible start that is better than all: smoothing must not make plans worse than it.
    for name, start in starts.items():
        if feasible.polytope.violation(start) <= 1e-12 * max(float(start.sum()), 1e-300):
            value = problem.exact(start)
            if value > best_value:
                best_value, z, reached[name] = value, start, value
    z = _settled(feasible.polytope, z, problem.variables.today)
    _, slope = problem.smooth(z, FINEST, _FINE[-1][1])
    return Solution(z, problem.exact(z), slope, reached, problem.evaluations - before)


def _distinct(
    rough: Sequence[tuple[float, str, NDArray]], keep: int
) -> list[tuple[float, str, NDArray]]:
    """Return the best few that are distinct points."""
    kept: list[tuple[float, str, NDArray]] = []
    for item in rough:
        same = any(np.abs(item[2] - other[2]).max() < 1e-3 for other in kept)
        if not same:
            kept.append(item)
        if len(kept) == keep:
            break
    return kept


def _settled(polytope: Polytope, z: NDArray, today: NDArray) -> NDArray:
    """Project in money, and set values within rounding of today's to today's."""
    z = project(polytope, z)
    near = np.abs(z - today) <= 1e-13 * np.maximum(today, 1e-300)
    return np.where(near & (today >= polytope.lower) & (today <= polytope.upper), today, z)


def _spg(
    problem: Problem,
    polytope: Polytope,
    v: NDArray,
    scale: NDArray,
    stage: tuple[float, float, int],
    *,
    screen: bool,
    tolerance: float,
) -> NDArray:
    """Take spectral projected gradient steps in scaled variables; return the best point seen."""
    added, width, steps = stage
    multipliers = np.zeros(len(polytope.sided.limit))

    def evaluate(at: NDArray) -> tuple[float, NDArray]:
        value, slope = problem.smooth(scale * at, added, width, screen)
        return -value / unit, -slope * scale / unit

    unit = 1.0
    value, slope = evaluate(v)
    unit = max(abs(value), float(np.abs(slope).max()), 1e-300)
    value, slope = value / unit, slope / unit
    best_value, best = value, v
    recent = [value]
    largest = float(np.abs(slope).max())
    if not np.isfinite(value) or largest == 0.0:
        return v
    length = 0.3 / largest
    for step in range(steps):
        before = length
        direction = project(polytope, v - length * slope, multipliers) - v
        descent = float(slope @ direction)
        if descent > -1e-15:
            break
        t, reference = 1.0, max(recent[-8:])
        while True:
            trial_value, trial_slope = evaluate(v + t * direction)
            if trial_value <= reference + 1e-4 * t * descent or t < 1e-8:
                break
            curve = trial_value - value - t * descent
            wanted = -descent * t * t / (2.0 * curve) if curve > 0 else 0.5 * t
            t = float(np.clip(wanted, 0.1 * t, 0.5 * t))
        moved, turned = t * direction, trial_slope - slope
        v, value, slope = v + moved, trial_value, trial_slope
        recent.append(value)
        if value < best_value:
            best_value, best = value, v
        bend = float(moved @ turned)
        longest = 1e3 / max(float(np.abs(slope).max()), 1e-300)
        length = float(moved @ moved) / bend if bend > 0 else longest
        length = float(np.clip(length, 1e-6 * longest, longest))
        # Projection multipliers grow with the step length: scale them for a warm start.
        multipliers *= length / before
        # Steps need not be monotone: stop only if several together gained nothing.
        if step >= 12 and min(recent[:-10]) - best_value <= tolerance * abs(best_value):
            break
    return best


def _slsqp(problem: Problem, polytope: Polytope, v: NDArray, scale: NDArray) -> NDArray:
    """Polish a small problem by second-order steps near the optimum."""
    from scipy.optimize import minimize

    added, width, _ = _FINE[-1]
    start, _ = problem.smooth(scale * v, added, width)
    unit = max(abs(start), 1e-300)

    def fun(at: NDArray) -> tuple[float, NDArray]:
        value, slope = problem.smooth(scale * np.maximum(at, polytope.lower), added, width)
        return -value / unit, -slope * scale / unit

    constraints = []
    for row, low, high in zip(polytope.rows, polytope.row_lower, polytope.row_upper, strict=True):
        size = float(np.abs(row).max())
        if low == high:
            constraints.append(_linear("eq", row / size, low / size))
            continue
        if np.isfinite(low):
            constraints.append(_linear("ineq", row / size, low / size))
        if np.isfinite(high):
            constraints.append(_linear("ineq", -row / size, -high / size))
    bounds = [
        (low, high if np.isfinite(high) else None)
        for low, high in zip(polytope.lower, polytope.upper, strict=True)
    ]
    found = minimize(
        fun, v, jac=True, method="SLSQP", bounds=bounds, constraints=constraints,
        options={"maxiter": 60, "ftol": 1e-13},
    )  # fmt: skip
    if not np.isfinite(found.x).all():
        return v
    polished = project(polytope, found.x)
    better = problem.smooth(scale * polished, added, width)[0] >= start
    return polished if better else v


def _linear(kind: str, row: NDArray, bound: float) -> dict[str, Any]:
    return {"type": kind, "fun": lambda v: row @ v - bound, "jac": lambda v: row}
