"""Outcomes of plans, compared with the model's predictions of whole tables."""

import jax
import numpy as np
import pandas as pd
import pytest

from mmm_bayes import MMMData, ModelSpec
from mmm_bayes.analysis.contributions import fitted_mean, media_contributions
from mmm_bayes.budget import CostCurve, outcome
from mmm_bayes.budget.outcome import Prices
from mmm_bayes.budget.problem import value_and_gradient
from mmm_bayes.budget.scenario import scenario_of, window_asked_for
from mmm_bayes.budget.solver import FINEST
from mmm_bayes.budget.window import projected_controls
from mmm_bayes.model.fitted import Fitted
from tests.budget.problems import prior_fit, problem_of, simulated

PERIODS, MAX_LAG = 6, 4


def families() -> dict[str, tuple[dict, dict]]:
    lags = {"max_lag": MAX_LAG}
    return {
        "national": ({}, {"media": lags}),
        "saturation_first": (
            {"impressions": True},
            {"media": lags | {"order": "saturation_first"}, "likelihood": {"family": "student_t"}},
        ),
        "counts": (
            {"likelihood": "negative_binomial"},
            {"media": lags, "likelihood": {"family": "negative_binomial"}},
        ),
        "geo_log": (
            {"num_geos": 3, "likelihood": "lognormal", "impressions": True},
            {"media": lags, "likelihood": {"family": "log_normal"}},
        ),
        "geo_roas": ({"num_geos": 3}, {"media": lags | {"effect": "roas"}}),
    }


@pytest.fixture(scope="module", params=families())
def fitted(request: pytest.FixtureRequest) -> Fitted:
    table, spec = families()[request.param]
    return prior_fit(simulated(**table), ModelSpec(**spec), draws=10)


def evaluated(fitted: Fitted, start, **options):
    settings = {"cost": None, "controls": None, "unit": "revenue", "after": "today"}
    window, findings = window_asked_for(fitted, PERIODS, start, None)
    assert not findings
    settings |= options
    return window, scenario_of(fitted, window, max_draws=1000, **settings).evaluator


def held_out(draws: np.ndarray) -> np.ndarray:
    """The second of two chains, on which plans are evaluated."""
    return draws.reshape(2, -1)[1]


def mean_total(fitted: Fitted, data: MMMData | None) -> np.ndarray:
    return held_out(fitted_mean(fitted, (), unit="revenue", data=data).values)


def test_window_of_the_past_is_a_difference_of_predictions(fitted: Fitted):
    data = fitted.data
    first = 30
    window, evaluator = evaluated(fitted, data.dates[first])
    rng = np.random.default_rng(0)
    plan = window.reference * rng.uniform(0.2, 2.0, window.shape)
    dates = slice(data.dates[first], data.dates[first + PERIODS - 1])
    planned, nothing = data, data
    for c, channel in enumerate(data.channels):
        planned = planned.with_spend(channel, value=plan[c], dates=dates)
        nothing = nothing.with_spend(channel, value=0.0, dates=dates)
    expected = mean_total(fitted, planned) - mean_total(fitted, nothing)
    np.testing.assert_allclose(evaluator.outcomes(plan), expected, rtol=1e-7)


def test_channel_outcome_is_the_loss_without_it(fitted: Fitted):
    data = fitted.data
    first = 30
    window, evaluator = evaluated(fitted, data.dates[first])
    dates = slice(data.dates[first], data.dates[first + PERIODS - 1])
    channel = data.channels[1]
    without = data.with_spend(channel, value=0.0, dates=dates)
    expected = mean_total(fitted, None) - mean_total(fitted, without)
    found = evaluator.channel_outcomes(window.reference)[:, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def future_table(fitted: Fitted, window, plan: np.ndarray, tail: np.ndarray) -> MMMData:
    """A table of the window and the periods after it, at last year's prices and controls."""
    data = fitted.data
    year = slice(data.num_dates - 52, data.num_dates)
    spend, exposure = data.ds["spend"].values[:, year], data.ds["exposure"].values[:, year]
    per_money = exposure.sum(1) / spend.sum(1)
    money = np.moveaxis(np.concatenate([plan, tail], -1), 0, 2)
    dates = pd.DatetimeIndex(window.dates.append(window.later))
    revenue = data.ds["revenue_per_target"].values[:, -1:]
    return MMMData.from_arrays(
        dates=dates,
        target=np.zeros(money.shape[:2]),
        spend=money,
        exposure=money * per_money[:, None, :],
        channels=data.channels,
        controls=projected_controls(data, window),
        control_names=data.controls,
        geos=None if data.is_national else data.geos,
        population=data.ds["population"].values,
        revenue_per_target=np.broadcast_to(revenue, money.shape[:2]),
        step=data.time_step,
    )


@pytest.mark.parametrize("after", ["today", "zero"])
def test_future_window_is_a_difference_of_forecasts(fitted: Fitted, after: str):
    window, evaluator = evaluated(fitted, None, after=after)
    assert window.is_future
    assert len(window.later) == MAX_LAG - 1
    rng = np.random.default_rng(1)
    plan = window.reference * rng.uniform(0.0, 2.0, window.shape)
    tail = window.reference[..., : MAX_LAG - 1] * (after == "today")
    planned = future_table(fitted, window, plan, tail)
    nothing = future_table(fitted, window, 0.0 * plan, tail)
    expected = mean_total(fitted, planned) - mean_total(fitted, nothing)
    np.testing.assert_allclose(evaluator.outcomes(plan), expected, rtol=1e-7)


def test_carry_out_is_conserved():
    """Outcomes of consecutive windows sum to the contributions over the whole table.

    A linear response is one for which parts add up.
    """
    data = simulated(num_geos=2)
    own = prior_fit(data, ModelSpec(media={"max_lag": MAX_LAG, "saturation": "none"}), draws=10)
    parts = []
    for first in range(0, data.num_dates, PERIODS):
        window, evaluator = evaluated(own, data.dates[first])
        # Effects of the last windows after the end of the table are not part of it.
        if first + PERIODS + MAX_LAG - 1 > data.num_dates:
            break
        parts.append(evaluator.channel_outcomes(window.reference))
    covered = len(parts) * PERIODS
    shortened = data
    for channel in data.channels:
        rest = slice(data.dates[covered], None)
        shortened = shortened.with_spend(channel, value=0.0, dates=rest)
    contributions = media_contributions(own, (), unit="revenue", data=shortened)
    expected = contributions.values.reshape(2, -1, 3)[1]
    np.testing.assert_allclose(np.sum(parts, 0), expected, rtol=1e-7, atol=1e-9)


def test_controls_that_are_given_are_used(fitted: Fitted):
    window, _ = window_asked_for(fitted, PERIODS, None, None)
    name = fitted.data.controls[0]
    given = projected_controls(fitted.data, window, {name: np.arange(6.0)})
    np.testing.assert_array_equal(given[0, :6, 0], np.arange(6.0))
    usual = projected_controls(fitted.data, window)
    year_before = fitted.data.ds["controls"].values[:, 60 - 52 : 60 - 52 + 6 + MAX_LAG - 1]
    np.testing.assert_array_equal(usual, year_before)


def test_price_rises_with_spend():
    prices = Prices(np.full((1, 1, 3), 2.0), np.array([0.25]), np.full((1, 1, 3), 10.0))
    spend = np.array([[[0.0, 10.0, 160.0]]])
    with jax.enable_x64(True):
        found = np.asarray(outcome.exposure(prices, spend)).ravel()
        slope = jax.jacfwd(lambda s: outcome.exposure(prices, s))(spend)
    # price(160) = price(10) * 16^0.25
    np.testing.assert_allclose(found, [0.0, 20.0, 320.0 / 2.0])
    assert np.isfinite(slope).all()


def test_cost_curve_reaches_the_plan(fitted: Fitted):
    channel = fitted.data.channels[0]
    window, cheap = evaluated(fitted, None, cost={channel: CostCurve(0.0)})
    _, dear = evaluated(fitted, None, cost={channel: CostCurve(0.5)})
    double = 3.0 * window.reference
    assert (dear.outcomes(double) <= cheap.outcomes(double)).all()


def test_marginal_is_the_derivative(fitted: Fitted):
    window, evaluator = evaluated(fitted, None)
    spend = window.reference
    found = evaluator.marginal(spend, spend)
    h = 1e-5
    for c in range(spend.shape[0]):
        up, down = spend.copy(), spend.copy()
        up[c] *= 1 + h
        down[c] *= 1 - h
        rise = evaluator.outcomes(up) - evaluator.outcomes(down)
        np.testing.assert_allclose(found[:, c], rise / (2 * h * spend[c].sum()), rtol=2e-4)


def test_objective_lowers_for_other_machines():
    rng = np.random.default_rng(0)
    params = {"ec": rng.uniform(1, 2, (8, 2)), "slope": rng.uniform(0.8, 2, (8, 2))}
    problem = problem_of(
        params, np.ones((8, 2)), np.ones((2, 1, 5)), alpha=np.full((8, 2), 0.5), max_lag=3
    )
    from mmm_bayes.budget.risk import Objective

    with jax.enable_x64(True):
        for kind in ("mean", "cvar", "quantile"):
            function = value_and_gradient(problem.structure, Objective(kind))
            arguments = (problem.variables.today, problem.response, problem.point, FINEST, 0.01)
            lowered = jax.export.export(function, platforms=["cpu", "cuda", "tpu"])(*arguments)
            assert lowered.platforms == ("cpu", "cuda", "tpu")
