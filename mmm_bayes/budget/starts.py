"""Plans that the solver starts from."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.budget import outcome as outcomes
from mmm_bayes.budget.limits import FeasibleSet
from mmm_bayes.budget.outcome import Response
from mmm_bayes.budget.problem import Point, Problem
from mmm_bayes.budget.variables import Variables
from mmm_bayes.model.media import MediaStructure

NDArray = np.ndarray[Any, Any]


def starting_plans(
    problem: Problem, feasible: FeasibleSet, total: float, count: int
) -> dict[str, NDArray]:
    """Return starting plans by name, before projection onto the feasible set.

    ``count`` of them come from a Halton sequence on the simplex, the same in every call.
    """
    from scipy.stats import qmc

    variables = problem.variables
    today = variables.today
    channel = variables.owner[0]
    members, place = np.unique(channel, return_inverse=True)
    per_channel = np.bincount(place, today, len(members))
    size = np.bincount(place, minlength=len(members))
    within = np.where(per_channel[place] > 0, today / np.maximum(per_channel[place], 1e-300), 0.0)
    within = np.where(per_channel[place] > 0, within, 1.0 / size[place])
    even_within = 1.0 / size[place]
    sum_today = max(float(today.sum()), 1e-300)
    starts = {"today's plan": today * (total / sum_today)}
    starts["even split"] = total / len(members) * even_within
    starts["usual levels"] = total * problem.scale / problem.scale.sum()
    best = separable_totals(problem, feasible, total, members, place, within)
    starts["separate curves"] = best[place] * within
    if "date" in variables.by:
        starts["separate curves, evenly"] = best[place] * even_within
        for pulse in (2, 3, 4):
            starts[f"pulses of {pulse}"] = _pulses(variables, best[place] * even_within, pulse)
    points = qmc.Halton(len(members), scramble=False).random(count + 1)[1:]
    for number, point in enumerate(points, 1):
        # Exponentials of uniform points are uniform on the simplex once they sum to one.
        weights = -np.log(np.clip(point, 1e-12, 1.0))
        weights = weights / weights.sum()
        starts[f"spread {number}"] = total * weights[place] * even_within
    return starts


def _pulses(variables: Variables, z: NDArray, every: int) -> NDArray:
    """Concentrate each channel's money in one of ``every`` periods; channels take turns."""
    on = (variables.owner[2] + variables.owner[0]) % every == 0
    place = variables.owner[0]
    before = np.bincount(place, z)
    after = np.bincount(place, np.where(on, z, 0.0))
    factor = np.divide(before, after, out=np.ones_like(before), where=after > 0)
    return np.where(on | (after[place] == 0), z, 0.0) * factor[place]


def separable_totals(
    problem: Problem,
    feasible: FeasibleSet,
    total: float,
    members: NDArray,
    place: NDArray,
    within: NDArray,
) -> NDArray:
    """Return the best channel totals (member,) if curves were independent, by dynamic programming.

    The result is exact on its grid, for S-shaped curves too. Each curve is computed with the other
    channels at today's spend. Bounds of single variables become bounds of their channel's sum.
    """
    low = np.bincount(place, feasible.polytope.lower, len(members))
    high = np.minimum(np.bincount(place, feasible.polytope.upper, len(members)), total)
    low = np.minimum(low, high)
    units = 240
    levels = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 24)])
    grid = np.linspace(0.0, total, units + 1)
    curves = _separate_curves(problem, total * levels, members, place, within)
    best = np.full(units + 1, -np.inf)
    best[0] = 0.0
    choices = []
    for c in range(len(members)):
        own = np.interp(grid, total * levels, curves[c])
        step = grid[1]
        own = np.where((grid >= low[c] - step) & (grid <= high[c] + step), own, -np.inf)
        # best_new[b] = max over a of best[b - a] + own[a]
        table = np.full((units + 1, units + 1), -np.inf)
        for a in range(units + 1):
            table[a:, a] = best[: units + 1 - a] + own[a]
        choices.append(table.argmax(1))
        best = table.max(1)
    left, result = units, np.zeros(len(members))
    if not np.isfinite(best[units]):
        left = int(np.flatnonzero(np.isfinite(best))[-1]) if np.isfinite(best).any() else 0
    for c in range(len(members) - 1, -1, -1):
        result[c] = grid[choices[c][left]]
        left -= int(choices[c][left])
    return np.clip(result, low, high)


@functools.lru_cache(maxsize=32)
def _curve_program(structure: MediaStructure) -> Callable[..., Any]:
    def run(plans: Any, response: Response, point: Point) -> Any:
        def one(z: Any) -> Any:
            spend = jnp.concatenate([z, jnp.zeros(1, z.dtype)])[point.index] * point.share
            return outcomes.outcome(structure, response, spend).mean()

        return jax.lax.map(one, plans)

    return jax.jit(run)


def _separate_curves(
    problem: Problem, levels: NDArray, members: NDArray, place: NDArray, within: NDArray
) -> NDArray:
    """Return the mean outcome (member, level) of each channel's total, the others as today."""
    today = problem.variables.today
    plans = np.array(
        [
            np.where(place == c, level * within, today)
            for c in range(len(members))
            for level in levels
        ]
    )
    with jax.enable_x64(True):
        found = _curve_program(problem.structure)(plans, problem._on_device(True), problem.point)
    return np.asarray(found).reshape(len(members), len(levels))
