"""Value of tests: exact divisions of budgets, and a decision computed by hand."""

from __future__ import annotations

import itertools

import jax
import numpy as np
import pytest
from scipy.stats import norm

import mmm_bayes as mb
from mmm_bayes.analysis import next_experiment as ranking
from mmm_bayes.analysis.calibration_effect import calibration_effect
from tests.refusals import refused

KEY = jax.random.key(0)


def test_the_best_division_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    curves = np.cumsum(rng.exponential(size=(4, 3, 6)), -1)
    curves[:, 1, 4:] = -np.inf  # a channel with less room
    best = ranking._best(curves, 7)
    for i in range(4):
        brute = {
            steps: sum(curves[i, c, k] for c, k in enumerate(steps))
            for steps in itertools.product(range(6), range(4), range(6))
            if sum(steps) == 7
        }
        assert best[i] == pytest.approx(max(brute.values()))
        plan = ranking._plan(curves[i], 7)
        assert tuple(plan) == max(brute, key=lambda steps: brute[steps])


def test_value_of_a_test_between_two_plans_by_hand():
    """Channel a brings theta per step, b zero: all to one of them. theta ~ N(m, t^2).

    Then EVSI = E max(mean after, 0) - max(m, 0) with the mean after N(m, v), v = t^4 / (t^2 + s^2).
    """
    m, t, s = -0.3, 1.0, 0.7
    theta = m + t * norm.ppf((np.arange(4000) + 0.5) / 4000)
    curves = np.zeros((4000, 2, 2))
    curves[:, 0, 1] = theta
    problem = ranking._Division(curves, 1, ranking._plan(curves.mean(0), 1), 0.0, 1.0)
    found = ranking._worth(problem, theta, s, np.random.default_rng(1), 4000)
    v = t**2 / np.sqrt(t**2 + s**2)
    exact = m * norm.cdf(m / v) + v * norm.pdf(m / v)
    assert found.value == pytest.approx(exact, abs=4 * found.error)
    after = ranking._remaining_sd(theta, theta, s, found.results)
    assert after == pytest.approx(t * s / np.hypot(t, s), rel=0.05)
    dull = ranking._worth(problem, theta, 1e3, np.random.default_rng(1), 500)
    assert 0 <= dull.value < 0.01


def test_ranking_of_a_fit(geo_fit):
    found = mb_rank(geo_fit)
    assert len(found.table) == 2 * len(geo_fit.data.channels)
    assert found.table["value"].is_monotonic_decreasing
    assert (found.table["value"] <= found.perfect + 4 * found.table["value_error"] + 1e-9).all()
    assert (found.table["marginal_roas_sd_after"] <= 1.1 * found.table["marginal_roas_sd"]).all()
    # A precise test of a channel is worth more than a vague one.
    channel = geo_fit.data.channels[0]
    dates = geo_fit.data.dates
    sharp, vague = (
        mb.LiftTest(channel, dates[20], dates[60], 0.0, error, name=str(error))
        for error in (2000.0, 1e9)
    )
    both = mb_rank(geo_fit, [vague, sharp])
    assert both.table.loc["2000.0", "value"] >= both.table.loc["1000000000.0", "value"]
    assert both.table.loc["1000000000.0", "value"] == pytest.approx(0.0, abs=1e-3 * both.total)
    assert "channels" in both.verdict
    assert "<table" in both._repr_html_()


def mb_rank(fit, tests=None):
    return ranking.rank_experiments(
        KEY, fit.fitted, tests, num_results=60, num_points=30, max_draws=200
    )


def test_candidates_are_tests_of_the_last_weeks_in_half_of_the_geos(geo_fit):
    found = ranking.candidate_tests(geo_fit.fitted, periods=3)
    assert all(len(test.geos) == 2 and not test.recorded for test in found)
    assert {test.start for test in found} == {geo_fit.data.dates[-3]}
    off = next(test for test in found if test.name.endswith("off"))
    spend = geo_fit.data.ds["spend"].sel(channel=off.channel, geo=list(off.geos))
    assert off.spend_change == pytest.approx(-float(spend[:, -3:].sum()))


def test_wrong_settings(national_fit):
    with pytest.raises(ValueError, match="change"):
        ranking.rank_experiments(KEY, national_fit.fitted, change=0.0)
    with refused("tests"):
        ranking.rank_experiments(KEY, national_fit.fitted, [])


def test_calibration_moves_a_fit_towards_the_experiment(national_data, national_fit):
    channel, dates = national_data.channels[0], national_data.dates
    probe = mb.LiftTest(channel, dates[20], dates[80], 0.0, 1.0)
    draws = national_fit.predict_lift(probe)
    test = mb.LiftTest(
        channel, dates[20], dates[80], float(np.quantile(draws, 0.85)), 0.1 * draws.std()
    )
    fit = mb.MMM(national_data, national_fit.spec, lift_tests=[test]).fit(
        jax.random.key(3), progress=False, num_prior_draws=0
    )
    found = calibration_effect(national_fit.fitted, fit.fitted)
    row = found.tests.iloc[0]
    assert abs(row["z_after"]) < abs(row["z_before"])
    assert row["after_upper"] - row["after_lower"] < 0.5 * (
        row["before_upper"] - row["before_lower"]
    )
    own = found.channels.loc[channel]
    assert own["moved"] > 0
    assert own["width"] < 0.8
    assert channel in found.verdict
    with refused("tests"):
        calibration_effect(fit.fitted, national_fit.fitted)
