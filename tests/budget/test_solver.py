"""The optimiser compared with closed forms, grids, other solvers, and its limits."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mmm_bayes.budget import Limit, risk
from mmm_bayes.budget.feasibility import infeasible
from mmm_bayes.budget.limits import rows_of
from mmm_bayes.budget.optimality import optimality
from mmm_bayes.budget.projection import Polytope, project
from mmm_bayes.budget.risk import Objective
from mmm_bayes.budget.solver import maximise
from mmm_bayes.budget.starts import starting_plans
from tests.budget.problems import limited, problem_of


def best(problem, limits=(), total=None, starts=4):
    total = float(problem.variables.today.sum()) if total is None else total
    feasible = limited(problem.variables, list(limits), total)
    solution = maximise(problem, feasible, starting_plans(problem, feasible, total, starts))
    return solution, feasible


def square_roots(weights, today, **options):
    weights = np.atleast_2d(weights)
    params = {"exponent": np.full(weights.shape, 0.5)}
    return problem_of(params, weights, today, saturation="root", **options)


def test_square_roots_split_by_squared_weights():
    problem = square_roots([3.0, 4.0], np.full((2, 1, 4), 1.0))
    solution, feasible = best(problem)
    np.testing.assert_allclose(solution.z, [8 * 9 / 25, 8 * 16 / 25], rtol=1e-4)
    found = optimality(feasible, solution.z, solution.gradient, problem.scale)
    # Sum of w sqrt(z T): its derivative at the optimum, from the closed form.
    price = 0.5 * np.sqrt(4.0) * 5.0 / np.sqrt(8.0)
    assert found.row_prices[0] == pytest.approx(price, rel=1e-3)
    assert found.residual < 1e-4


def test_flighting_of_square_roots_is_even():
    today = np.array([1.0, 5.0, 0.5, 3.5]).reshape(1, 1, 4)
    solution, _ = best(square_roots([2.0], today, by=("channel", "date")))
    np.testing.assert_allclose(solution.z, 2.5, rtol=1e-3)


def test_an_upper_limit_has_the_price_of_the_closed_form():
    problem = square_roots([3.0, 4.0], np.full((2, 1, 1), 1.0))
    solution, feasible = best(problem, [Limit(channel="c1", upper=0.5)])
    np.testing.assert_allclose(solution.z, [1.5, 0.5], rtol=1e-9)
    found = optimality(feasible, solution.z, solution.gradient, problem.scale)
    slopes = 0.5 * np.array([3.0, 4.0]) / np.sqrt([1.5, 0.5])
    assert found.upper_prices[1] == pytest.approx(slopes[1] - slopes[0], rel=1e-3)


def s_shaped(seed, channels=3, draws=20, by=("channel",), dates=6):
    rng = np.random.default_rng(seed)
    params = {
        "ec": rng.uniform(0.6, 2.5, channels)
        * np.exp(0.1 * rng.standard_normal((draws, channels))),
        "slope": rng.uniform(1.2, 4.0, channels) + 0.1 * rng.random((draws, channels)),
    }
    effect = rng.uniform(0.5, 3.0, channels) * np.exp(0.2 * rng.standard_normal((draws, channels)))
    today = rng.uniform(0.3, 1.5, (channels, 1, dates))
    alpha = rng.uniform(0.1, 0.7, channels) * np.ones((draws, 1))
    return problem_of(params, effect, today, alpha=alpha, max_lag=4, by=by)


@pytest.mark.parametrize("seed", range(4))
def test_no_plan_on_a_grid_is_better(seed):
    problem = s_shaped(seed)
    solution, feasible = best(problem)
    total = float(problem.variables.today.sum())
    values = [
        problem.exact(total * np.array([a, b, max(0.0, 1 - a - b)]))
        for a in np.linspace(0, 1, 26)
        for b in np.linspace(0, 1 - a, 26)
    ]
    assert solution.value >= max(values) * (1 - 1e-4)
    assert feasible.polytope.violation(solution.z) <= 1e-9 * total


def test_flighting_is_no_worse_than_channels_alone():
    flat, _ = best(s_shaped(3))
    flighted, _ = best(s_shaped(3, by=("channel", "date")))
    assert flighted.value >= flat.value * (1 - 1e-6)


@pytest.mark.parametrize("kind", ["quantile", "cvar", "mean_sd", "sharpe"])
def test_risk_objectives_on_a_grid(kind):
    problem = s_shaped(7, draws=80)
    problem = problem.__class__(
        problem.structure, problem.response, problem.variables, Objective(kind, 0.2), problem.dates
    )
    solution, _ = best(problem)
    total = float(problem.variables.today.sum())
    values = [
        problem.exact(total * np.array([a, b, max(0.0, 1 - a - b)]))
        for a in np.linspace(0, 1, 21)
        for b in np.linspace(0, 1 - a, 21)
    ]
    # The quantile of draws is piecewise linear: the smoothed one is close to it.
    assert solution.value >= max(values) - 3e-3 * abs(max(values))


def test_cvar_is_the_maximum_of_rockafellar_and_uryasev():
    rng = np.random.default_rng(0)
    f = rng.standard_normal(37)
    at = np.sort(f)
    direct = max(a - np.maximum(a - f, 0).mean() / 0.13 for a in at)
    assert risk.exact(Objective("cvar", 0.13), f) == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("kind", ["quantile", "cvar", "mean_sd", "sharpe", "mean"])
def test_smoothed_objectives_approach_the_exact_ones(kind):
    import jax

    f = np.random.default_rng(1).normal(5.0, 1.0, 4001)
    objective = Objective(kind, 0.2, 0.7)
    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(lambda x: risk.smooth(objective, x, 0.01))(f)
        shifted = risk.smooth(objective, f + 1e-4, 0.01)
    assert float(value) == pytest.approx(risk.exact(objective, f), rel=2e-3)
    assert float(np.asarray(slope).sum()) == pytest.approx(
        (float(shifted) - float(value)) / 1e-4, rel=1e-3
    )


# --- Projection ----------------------------------------------------------------------------------


@st.composite
def polytopes(draw):
    """A set around a point, so that it is not empty, and a point to project."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n, m = draw(st.integers(2, 12)), draw(st.integers(1, 5))
    inside = rng.uniform(0, 2, n) * (rng.random(n) > 0.2)
    lower = np.where(rng.random(n) < 0.5, 0.0, np.maximum(inside - 0.3 * rng.random(n), 0))
    upper = np.where(rng.random(n) < 0.4, np.inf, inside + 0.5 * rng.random(n))
    rows = (rng.random((m, n)) < 0.5) * rng.uniform(0.3, 1.0, (m, n))
    rows[0] = 1.0
    sums = rows @ inside
    low = np.where(rng.random(m) < 0.4, -np.inf, sums - 0.2 * rng.random(m))
    high = np.where(rng.random(m) < 0.4, np.inf, sums + 0.2 * rng.random(m))
    low[0] = high[0] = sums[0]
    return Polytope(lower, upper, rows, low, high), rng.normal(0.5, 2.0, n)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(polytopes())
def test_projection_is_feasible_and_nearest(case):
    polytope, y = case
    z = project(polytope, y)
    assert polytope.violation(z) < 1e-7
    # Nearest: no step towards another feasible point comes closer.
    constraints = [
        {"type": "ineq", "fun": lambda v, a=a, b=b: b - a @ v}
        for a, b in zip(polytope.rows, polytope.row_upper, strict=True)
        if np.isfinite(b)
    ] + [
        {"type": "ineq", "fun": lambda v, a=a, b=b: a @ v - b}
        for a, b in zip(polytope.rows, polytope.row_lower, strict=True)
        if np.isfinite(b)
    ]
    bounds = list(zip(polytope.lower, polytope.upper, strict=True))
    other = minimize(
        lambda v: (0.5 * np.sum((v - y) ** 2), v - y), z, jac=True, method="SLSQP",
        bounds=bounds, constraints=constraints, options={"ftol": 1e-14},
    ).x  # fmt: skip
    if polytope.violation(other) < 1e-9:
        assert np.sum((z - y) ** 2) <= np.sum((other - y) ** 2) + 1e-6


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_limits_hold_in_the_solution(seed):
    rng = np.random.default_rng(seed)
    problem = _PROBLEM
    today = problem.variables.today
    low = rng.uniform(0.5, 0.9, 3)
    limits = [
        Limit(channel=f"c{k}", lower=low[k], upper=1.0 + rng.random(), unit="today")
        for k in range(3)
    ]
    limits.append(Limit(channel=("c0", "c1"), upper=float(today[:2].sum() * rng.uniform(0.9, 1))))
    limits.append(Limit(channel=("c1", "c2"), lower=0.3, unit="share"))
    total = float(today.sum())
    rows, _ = rows_of(
        limits, problem.variables, ["c0", "c1", "c2"], ["g0"], _WEEKS, np.ones(3, bool)
    )
    if infeasible(rows, 3, total):
        return
    solution, feasible = best(problem, limits)
    assert feasible.polytope.violation(solution.z) <= 1e-9 * total
    assert solution.z[:2].sum() <= limits[3].upper * (1 + 1e-9)
    assert solution.z[1:].sum() >= 0.3 * total * (1 - 1e-9)
    assert abs(solution.z.sum() - total) <= 1e-9 * total


_PROBLEM = s_shaped(1)
_WEEKS = pd.date_range("2024-01-01", periods=6, freq="W-MON")
