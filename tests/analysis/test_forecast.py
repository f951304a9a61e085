"""Forecasts against predictions with known inputs and closed forms, and the inputs of users."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from mmm_bayes import FitResult, MMMData
from mmm_bayes.analysis import forecast_errors, projection
from mmm_bayes.analysis.contributions import fitted_mean
from mmm_bayes.analysis.forecast import forecast
from mmm_bayes.data.time_step import TimeStep
from mmm_bayes.errors import DataError
from tests.refusals import refused

WEEK = TimeStep("day", 7, "W-MON")
KEY = jax.random.key(5)


# --- Projections of controls ---------------------------------------------------------------------


def test_the_rule_is_the_one_that_made_the_series():
    rng = np.random.default_rng(0)
    time = np.arange(160)
    noise = rng.standard_normal((1, 160))
    made = {
        "seasonal": 5 * np.sin(2 * np.pi * time / 52)[None] + 0.1 * noise,
        "last": np.cumsum(noise, 1),
        "mean": noise,
    }
    assert {rule: projection.choose(x, 13, 52) for rule, x in made.items()} == {r: r for r in made}


def test_a_season_is_a_year_where_there_is_more_than_one():
    assert projection.season_length(WEEK, 104) == 52
    assert projection.season_length(WEEK, 60) == 1
    assert projection.season_length(TimeStep("day", 1, "D"), 500) == 364
    assert projection.season_length(TimeStep("day", 1, "D"), 100) == 7
    assert projection.season_length(TimeStep("month", 1, "MS"), 40) == 12
    assert projection.season_length(TimeStep("month", 12, "YS"), 54) == 1


@pytest.mark.parametrize("rule", projection.RULES)
def test_errors_of_the_past_are_those_of_a_loop(rule):
    values = np.random.default_rng(1).normal(size=(2, 30))
    horizon, period = 4, 6
    start = max(period if rule == "seasonal" else 1, 10)
    paths = projection.error_paths(values, rule, horizon, period)
    assert len(paths) == 30 - horizon - start + 1
    for place, origin in enumerate(range(start, 30 - horizon + 1)):
        for step in range(horizon):
            known = values[:, :origin]
            if rule == "mean":
                guess = known.mean(1)
            elif rule == "last":
                guess = known[:, -1]
            else:
                guess = values[:, origin + step - period]
            np.testing.assert_allclose(paths[place, :, step], values[:, origin + step] - guess)


def test_intervals_of_a_projection_hold_the_future():
    # 300 white-noise series of 80, projected by their mean: 90% intervals, Monte Carlo error 1.7%,
    # and a little narrow since the paths of one series overlap.
    rng = np.random.default_rng(2)
    held = []
    for _ in range(300):
        series = rng.standard_normal((1, 81))
        found = projection.project(series[:, :80], 1, 1, "mean")
        drawn = projection.draw(found, series[:, :80], rng.random(400))[:, 0, 0]
        low, high = np.quantile(drawn, [0.05, 0.95])
        held.append(low <= series[0, 80] <= high)
    assert 0.83 <= np.mean(held) <= 0.95


def test_flags_stay_flags_and_prices_do_not_fall_below_zero():
    rng = np.random.default_rng(3)
    flags = (rng.random((1, 80)) < 0.3).astype(float)
    prices = np.abs(0.2 * rng.standard_normal((1, 80)))
    for values, rule in ((flags, "seasonal"), (flags, "last"), (prices, "mean")):
        found = projection.project(values, 5, 20, rule)
        drawn = projection.draw(found, values, rng.random(200))
        assert drawn.shape == (200, 1, 5)
        assert (drawn >= 0).all()
        assert np.ptp(drawn, axis=0).max() > 0
        if values is flags:
            assert set(np.unique(drawn)) <= {0.0, 1.0}


# --- Noise that carries on -----------------------------------------------------------------------


def test_carried_noise_has_the_moments_of_an_autoregression():
    # Mean phi^h e and variance sigma^2 (1 - phi^(2h)); 40,000 draws, five standard errors.
    count, phi, sigma, last = 40_000, 0.7, 2.0, 3.0
    full = np.full(count, 1.0)
    rng = np.random.default_rng(4)
    noise = forecast_errors.ar1_noise(rng, phi * full, np.full((count, 1), last), sigma * full, 6)
    for step in range(6):
        drawn, power = noise[:, 0, step], phi ** (step + 1)
        variance = sigma**2 * (1 - power**2)
        assert abs(drawn.mean() - power * last) < 5 * np.sqrt(variance / count)
        assert abs(drawn.var() / variance - 1) < 5 * np.sqrt(2 / count)


def test_autocorrelation_is_found_without_the_bias_of_short_series():
    rng = np.random.default_rng(5)
    true, found = 0.6, []
    for _ in range(400):
        series = np.zeros(60)
        for t in range(1, 60):
            series[t] = true * series[t - 1] + rng.standard_normal()
        found.append(forecast_errors.autocorrelation_draws(rng, series[None, None, 10:])[0])
    # One draw per series: its spread is that of estimate and draw together, about 0.16.
    assert abs(np.mean(found) - true) < 5 * 0.16 / np.sqrt(400)


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_noise_of_a_panel_has_the_part_that_geos_share(shared):
    """Totals over geos vary as their residuals do; single geos vary by sigma in both cases."""
    rng = np.random.default_rng(6)
    num_geos, dates, draws = 8, 4000, 4000
    common = np.sqrt(shared) * rng.standard_normal((1, 1, dates))
    series = common + np.sqrt(1 - shared) * rng.standard_normal((1, num_geos, dates))
    series[..., -1] = 0.0
    residuals = np.broadcast_to(series, (draws, num_geos, dates))
    found = forecast_errors.panel_noise(rng, residuals, np.ones(draws), 3)[..., -1]
    tolerance = 5 * (np.sqrt(2 / draws) + np.sqrt(2 / dates))
    assert found.var() == pytest.approx(1.0, rel=tolerance)
    total = num_geos * (1 - shared) + num_geos**2 * shared
    assert found.sum(1).var() == pytest.approx(total, rel=tolerance)
    if not shared:
        assert np.abs(np.corrcoef(found.T)[0, 1:]).max() < 5 / np.sqrt(draws)


def test_noise_of_a_nation_is_that_of_one_series():
    residuals = np.random.default_rng(7).standard_normal((50, 1, 100))
    sigma = np.full(50, 2.0)
    one, other = (
        forecast_errors.panel_noise(np.random.default_rng(8), residuals, sigma, 4),
        np.random.default_rng(8),
    )
    phi = forecast_errors.autocorrelation_draws(other, residuals)
    expected = forecast_errors.ar1_noise(other, phi, residuals[..., -1], sigma, 4)
    np.testing.assert_array_equal(one, expected)


# --- Forecasts of fits ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned(national_fit: FitResult, national_future: MMMData):
    """A forecast with the true spend and controls."""
    return forecast(KEY, national_fit.fitted, national_future, errors="independent")


def test_with_everything_known_a_forecast_is_a_prediction(
    national_fit: FitResult, national_future: MMMData, planned
):
    known = national_fit.predict(None, national_future)
    np.testing.assert_array_equal(planned.draws["mean"], known["mean"])
    noise = (planned.draws["target"] - planned.draws["mean"]).values
    sigma = national_fit.tree["posterior"]["sigma"].values.mean()
    assert noise.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * noise.size) + 0.03)
    assert planned.projected.empty
    assert (planned.data.dates == national_future.dates).all()


def test_parts_sum_to_the_mean_and_roas_are_of_the_plan(planned, national_fit: FitResult):
    parts = planned.contributions("date")
    mean = planned.draws["mean"].sum("geo")
    np.testing.assert_allclose(parts.sum("component"), mean, rtol=1e-10)
    found = planned.roas()
    channel = planned.data.channels[0]
    off = fitted_mean(national_fit.fitted, (), data=planned.data.with_spend(channel, scale=0.0))
    spent = float(planned.data.ds["spend"].sel(channel=channel).sum())
    gain = (mean.sum("date") - off) / spent
    np.testing.assert_allclose(found.sel(channel=channel), gain, rtol=1e-8)
    # Carry-over from before the first date is part of the contribution, but not of the ROAS.
    whole = planned.contributions().sel(component=channel) / spent
    assert (found.sel(channel=channel) < whole).all()


def test_summaries_agree_with_the_draws(planned):
    drawn = planned.draws["target"].isel(geo=0)
    table = planned.summary("date", 0.8)
    low, high = drawn.quantile([0.1, 0.9], ("chain", "draw")).values
    np.testing.assert_allclose(table["lower"], low)
    np.testing.assert_allclose(table["upper"], high)
    total = planned.summary(()).iloc[0]
    assert total["median"] == pytest.approx(float(drawn.sum("date").median()))
    assert total["expected_upper"] - total["expected_lower"] < total["upper"] - total["lower"]
    assert len(planned.to_frame()) == len(table)
    assert "total" in str(planned)
    assert "<table" in planned._repr_html_()
    with pytest.raises(ValueError, match="month"):
        planned.summary("month")


def test_spends_may_be_repeated_multiplied_or_given_in_money(national_fit: FitResult):
    data, fitted = national_fit.data, national_fit.fitted
    first, second, _ = data.channels
    year = forecast(KEY, fitted, 6).data.ds["spend"].values
    np.testing.assert_array_equal(year, data.ds["spend"].values[:, -52:-46])
    window = forecast(KEY, fitted, 6, spend="last_window").data.ds
    np.testing.assert_array_equal(window["spend"], data.ds["spend"].values[:, -6:])
    more = forecast(KEY, fitted, 6, spend={first: 1.5}).data.ds
    np.testing.assert_allclose(more["spend"].sel(channel=first), 1.5 * year[..., 0])
    np.testing.assert_array_equal(more["spend"].sel(channel=second), year[..., 1])
    dates = data.future_dates(6)
    frame = pd.DataFrame({first: np.arange(6.0)}, index=pd.Index(dates, name="date"))
    money = forecast(KEY, fitted, 6, spend=frame)
    np.testing.assert_array_equal(money.data.ds["spend"].sel(channel=first)[0], np.arange(6.0))
    assert money.projected.set_index("name")["how"][first] == "as planned"
    plan = xr.DataArray(
        np.full((1, 6), 7.0), {"channel": [first], "date": dates}, ("channel", "date")
    )
    array = forecast(KEY, fitted, 6, spend=plan).data.ds["spend"].sel(channel=first)
    assert (array == 7.0).all()


def test_money_buys_exposure_at_the_last_years_price(geo_fit: FitResult):
    data = geo_fit.data
    dates = data.future_dates(3)
    plan = xr.DataArray(
        np.full((1, 4, 3), 10.0),
        {"channel": [data.channels[1]], "geo": data.geos, "date": dates},
        ("channel", "geo", "date"),
    )
    found = forecast(KEY, geo_fit.fitted, 3, spend=plan).data.ds.sel(channel=data.channels[1])
    recent = data.ds.isel(date=slice(-52, None)).sel(channel=data.channels[1])
    rate = recent["exposure"].sum("date") / recent["spend"].sum("date")
    np.testing.assert_allclose(found["exposure"], np.outer(rate, np.full(3, 10.0)))


def test_controls_are_given_or_projected_and_it_says_which(national_fit: FitResult):
    fitted, names = national_fit.fitted, national_fit.data.controls
    known = {names[0]: 1.0, names[1]: np.zeros(8)}
    given = forecast(KEY, fitted, 8, controls=known, errors="independent")
    assert not given.projected.query("what == 'control'")["uncertain"].any()
    np.testing.assert_array_equal(given.data.ds["controls"][0, :, 0], 1.0)
    drawn = forecast(KEY, fitted, 8, errors="independent", controls={names[0]: "last"})
    notes = drawn.projected.query("what == 'control'").set_index("name")
    assert "last value" in notes["how"][names[0]]
    # An uncertain projection widens the intervals by its errors times the slope.
    extra = drawn.draws["target"] - drawn.draws["mean"]
    noise = given.draws["target"] - given.draws["mean"]
    uncertain = notes["uncertain"]
    assert uncertain.any()
    assert extra.values.var() > noise.values.var()


def test_a_table_of_the_future_may_lack_columns(national_fit: FitResult, national_future: MMMData):
    fitted, whole = national_fit.fitted, national_future.to_frame()
    roles = national_future.roles
    full = forecast(KEY, fitted, whole.drop(columns=roles.target), errors="independent")
    known = forecast(KEY, fitted, national_future, errors="independent")
    np.testing.assert_allclose(full.draws["mean"], known.draws["mean"], rtol=1e-12)
    lacking = whole.drop(columns=[roles.target, roles.controls[national_future.controls[0]]])
    found = forecast(KEY, fitted, lacking).projected.set_index("name")["how"]
    assert found[national_future.controls[1]] == "as given"
    assert found[national_future.controls[0]].startswith("projected")


def test_everything_wrong_is_said_at_once(national_fit: FitResult):
    first = national_fit.data.channels[0]
    control = national_fit.data.controls[0]
    with pytest.raises(DataError) as caught:
        forecast(
            KEY,
            national_fit.fitted,
            5,
            spend={"nobody": 1.0, first: -1.0},
            controls={control: [1.0, 2.0], "weather": 0.0},
        )
    checks = [finding.check for finding in caught.value.findings]
    assert sorted(checks) == ["controls", "controls", "spend", "spend"]
    for part in ("'nobody'", repr(first), repr(control), "'weather'"):
        assert part in str(caught.value)
    with refused("horizon"):
        forecast(KEY, national_fit.fitted, 0)
    with refused("errors"):
        forecast(KEY, national_fit.fitted, 2, errors="white")  # type: ignore[arg-type]
    late = pd.DataFrame({"date": pd.date_range("2031-01-06", periods=3, freq="W-MON")})
    with refused("dates"):
        forecast(KEY, national_fit.fitted, late)


def test_geos_are_forecast_together(geo_fit: FitResult):
    found = forecast(KEY, geo_fit.fitted, 4, spend=1.1)
    assert found.draws["target"].sizes["geo"] == 4
    assert list(found.summary(("geo", "date")).index.names) == ["geo", "date"]
    assert found.roas("geo").dims == ("chain", "draw", "channel", "geo")


def test_every_family_can_be_forecast(any_fit: FitResult):
    found = forecast(KEY, any_fit.fitted, 3)
    counts = any_fit.spec.likelihood.family == "negative_binomial"
    assert found.errors == ("independent" if counts else "ar1")
    assert np.isfinite(found.draws["target"]).all()
    if counts:
        assert (found.draws["target"] % 1 == 0).all()
        with refused("errors"):
            forecast(KEY, any_fit.fitted, 3, errors="ar1")
