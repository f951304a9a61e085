r"""Maximise an objective over a polytope, from several starts.

The method is the spectral projected gradient of Birgin, Martínez and Raydan: steps along the
gradient of a length from the last two gradients (Barzilai and Borwein), projected onto the feasible
set exactly, with a line search that compares with the worst of the last few values. Gradients are
exact, by JAX, over the draws. Small problems are polished by SLSQP of SciPy.

Hill and root curves of exponent below one have an infinite slope at no spend, which no method of
gradients can step from. The solver therefore sees every cell with a share :math:`\epsilon` of its
usual spend more, and :math:`\epsilon` falls in stages; values that are compared and reported are
those without it.

Curves of exponent above one make a problem with several local optima. Starts are today's plan, an
even split, proportional splits, pulses, draws from the simplex, and the optimum over channel totals
of the separate response curves (exact for its grid, by dynamic programming). All are improved
roughly; the best few go on to the end.

References
----------
Birgin, Martínez and Raydan (2000), Nonmonotone spectral projected gradient methods on convex sets,
SIAM Journal on Optimization 10.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.budget import outcome as outcomes
from mmm_bayes.budget import risk
from mmm_bayes.budget.limits import FeasibleSet
from mmm_bayes.budget.outcome import Response
from mmm_bayes.budget.projection import Polytope, project
from mmm_bayes.budget.risk import Objective
from mmm_bayes.budget.variables import Variables
from mmm_bayes.model.media import MediaStructure

NDArray = np.ndarray[Any, Any]

FINEST = 1e-4  # last share of a cell's usual spend by which curves are blunted at zero
_ROUGH = ((1e-1, 0.3, 40), (1e-2, 0.1, 60))  # share, width of smoothing, most steps
_FINE = ((1e-3, 0.03, 150), (FINEST, 0.01, 250))
_SLSQP_SIZE = 40
_SCREEN_DRAWS = 64
_SCREEN_ELEMENTS = 50_000  # above which rough steps use fewer draws


class Point(NamedTuple):
    """Arguments of the compiled objective that say how variables make a plan."""

    index: Any
    share: Any
    usual: Any


@functools.lru_cache(maxsize=32)
def value_and_gradient(structure: MediaStructure, objective: Objective) -> Any:
    """Compile the smoothed objective of variables (n,), and its gradient."""

    def value(z: Any, response: Response, point: Point, blunt: Any, width: Any) -> Any:
        spend = jnp.concatenate([z, jnp.zeros(1, z.dtype)])[point.index] * point.share
        found = outcomes.outcome(structure, response, spend + blunt * point.usual)
        return risk.smooth(objective, found, width)

    return jax.jit(jax.value_and_grad(value))


@dataclass(frozen=True, eq=False)
class Problem:
    """An objective over draws of outcomes, and what moves."""

    structure: MediaStructure
    response: Response
    variables: Variables
    objective: Objective
    dates: int
    cache: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def scale(self) -> NDArray:
        """Typical size (n,) of each variable: steps are measured in it."""
        usual = np.asarray(self.response.prices.anchor)
        spend = np.where(self.variables.index < self.variables.size, usual, 0.0)
        sums = self.variables.values(spend)
        today = self.variables.today
        return np.maximum(0.5 * (sums + today), 1e-6 * max(float(today.sum()), 1e-300))

    @functools.cached_property
    def screen(self) -> Response:
        """Draws for rough steps: few of them where all take long."""
        draws, channels, geos = np.shape(self.response.effect)
        size = draws * channels * geos * np.shape(self.response.weight)[1]
        if draws <= 2 * _SCREEN_DRAWS or size < _SCREEN_ELEMENTS:
            return self.response
        return thinned(self.response, np.linspace(0, draws - 1, _SCREEN_DRAWS).round().astype(int))

    @functools.cached_property
    def point(self) -> Point:
        """How variables make a plan."""
        moves = self.variables.index < self.variables.size
        usual = np.where(moves, np.asarray(self.response.prices.anchor), 0.0)
        with jax.enable_x64(True):
            return Point(*map(jnp.asarray, (self.variables.index, self.variables.share, usual)))

    def smooth(
        self, z: NDArray, blunt: float, width: float, screen: bool = False
    ) -> tuple[float, NDArray]:
        """Smoothed objective and its gradient in money."""
        self.cache["evaluations"] = self.cache.get("evaluations", 0) + 1
        with jax.enable_x64(True):
            response = self._on_device(screen)
            value, slope = self._function(z, response, self.point, blunt, width)
            return float(value), np.asarray(slope)

    @functools.cached_property
    def _function(self) -> Any:
        return value_and_gradient(self.structure, self.objective)

    def _on_device(self, screen: bool) -> Response:
        name = "screen" if screen else "response"
        if name not in self.cache:
            self.cache[name] = jax.tree.map(jnp.asarray, self.screen if screen else self.response)
        return self.cache[name]

    def draws(self, spend: NDArray) -> NDArray:
        """Outcome (draw,) of a plan."""
        with jax.enable_x64(True):
            function = outcomes.compiled(self.structure, outcomes.outcome)
            return np.asarray(function(self._on_device(False), spend))

    def exact(self, z: NDArray) -> float:
        """Objective of variables, neither smoothed nor blunted."""
        return risk.exact(self.objective, self.draws(self.variables.spend(z)))

    @property
    def evaluations(self) -> int:
        """Gradients so far."""
        return int(self.cache.get("evaluations", 0))


def thinned(response: Response, draws: NDArray) -> Response:
    """Keep some draws."""
    return response._replace(
        params={name: value[draws] for name, value in response.params.items()},
        kernels=response.kernels[draws],
        effect=response.effect[draws],
        base=response.base[draws],
        nothing=response.nothing[draws],
    )


@dataclass(frozen=True, eq=False)
class Solution:
    """The best plan found.

    Attributes
    ----------
    z
        Variables.
    value
        Objective, exact.
    gradient
        Of the smoothed objective in money, at the finest stage.
    starts
        Value reached from every start, by name: in full for the best, roughly for the others.
    evaluations
        Gradients taken.
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
    # A feasible start that beats all is kept: smoothing must not make a plan worse than today's.
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
    """The best few that are not the same point again."""
    kept: list[tuple[float, str, NDArray]] = []
    for item in rough:
        same = any(np.abs(item[2] - other[2]).max() < 1e-3 for other in kept)
        if not same:
            kept.append(item)
        if len(kept) == keep:
            break
    return kept


def _settled(polytope: Polytope, z: NDArray, today: NDArray) -> NDArray:
    """Project in money; values within rounding of today's are today's."""
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
    """Spectral projected gradient steps in scaled variables; returns the best point seen."""
    blunt, width, steps = stage
    multipliers = np.zeros(len(polytope.sided.limit))

    def evaluate(at: NDArray) -> tuple[float, NDArray]:
        value, slope = problem.smooth(scale * at, blunt, width, screen)
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
        # Multipliers of a projection grow with the step: so scaled, they are near the next ones.
        multipliers *= length / before
        # Steps need not be monotone: stop where several together brought nothing.
        if step >= 12 and min(recent[:-10]) - best_value <= tolerance * abs(best_value):
            break
    return best


def _slsqp(problem: Problem, polytope: Polytope, v: NDArray, scale: NDArray) -> NDArray:
    """Polish a small problem: second-order steps near the optimum."""
    from scipy.optimize import minimize

    blunt, width, _ = _FINE[-1]
    start, _ = problem.smooth(scale * v, blunt, width)
    unit = max(abs(start), 1e-300)

    def fun(at: NDArray) -> tuple[float, NDArray]:
        value, slope = problem.smooth(scale * np.maximum(at, polytope.lower), blunt, width)
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
    better = problem.smooth(scale * polished, blunt, width)[0] >= start
    return polished if better else v


def _linear(kind: str, row: NDArray, bound: float) -> dict[str, Any]:
    return {"type": kind, "fun": lambda v: row @ v - bound, "jac": lambda v: row}


def starting_plans(
    problem: Problem, feasible: FeasibleSet, total: float, count: int
) -> dict[str, NDArray]:
    """Starts, before projection onto the feasible set.

    ``count`` of them are draws of a Halton sequence on the simplex: the same in every call.
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
    """Bring each channel's money together in every so manieth period, channels taking turns."""
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
    """Channel totals (member,) that are best were every curve for itself, by dynamic programming.

    Each channel's total runs over a grid while the others stay as they are; S-shaped curves are no
    harder than others. Bounds of single variables are kept as bounds of their channel's sum.
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
    """Mean outcome (member, level) of each channel's total, the others as today."""
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
