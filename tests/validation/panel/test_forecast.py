"""Forecasts, requests for them, and the scales they are made on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmm_bayes.runtime.findings import DataError
from mmm_bayes.validation.panel.forecast import (
    LEVELS,
    Forecast,
    check_request,
    check_training,
)
from mmm_bayes.validation.panel.inputs import PanelScale, weekdays
from tests.validation.panel import panels


def test_draws_are_summarised_by_their_mean_and_quantiles() -> None:
    points = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    draws = np.random.default_rng(0).permutation(points)[:, None, None] * [[1.0, 2.0]] + 3.0
    forecast = Forecast.from_draws(draws)
    np.testing.assert_allclose(forecast.mean, 3.0)
    expected = 3.0 + np.asarray([[1.0], [2.0]]) * stats.norm.ppf(LEVELS)
    np.testing.assert_allclose(forecast.quantiles[0], expected, atol=1e-3)
    low, high = forecast.interval(0.9)
    np.testing.assert_allclose(high - low, 2 * 1.644854 * np.asarray([[1.0, 2.0]]), atol=2e-3)
    with pytest.raises(ValueError, match=r"quantiles at 0\.025, 0\.975"):
        forecast.interval(0.95)


def test_a_forecast_has_a_quantile_a_level() -> None:
    with pytest.raises(DataError, match="19 levels"):
        Forecast(np.zeros((2, 3)), np.zeros((2, 3, 4)))


def test_every_reason_against_a_request_is_named() -> None:
    panel = panels.autoregressive()
    other = panel.select(slice(0, 2))
    with pytest.raises(DataError) as error:
        check_request(panel, other, 0, np.full((2, 0, 3), np.nan))
    assert [f.where for f in error.value.findings] == ["shops", "horizon", "context_future"]
    with pytest.raises(DataError, match="is not given"):
        check_request(panel, panel, 3, None)
    with pytest.raises(DataError, match="18 missing values"):
        check_request(panel, panel, 3, np.full((6, 3, 1), np.nan))


def test_training_needs_days_and_targets() -> None:
    panel = panels.autoregressive().window(0, 5)
    panel.series[1, :, -1] = np.nan
    with pytest.raises(DataError) as error:
        check_training(panel)
    assert len(error.value.findings) == 2
    assert "'shop 1'" in str(error.value)


# --- Scales --------------------------------------------------------------------------------------


def test_series_are_standardised_by_what_is_there() -> None:
    panel, _ = panels.seasonal()
    panel.series[0, ::3, 0] = np.nan
    panel.series[1, :, 1] = np.nan
    panel.series[2, :, 1] = 7.0
    scale = PanelScale.of(panel, "standard")
    inputs = scale.inputs(panel)
    seen = np.where(inputs.observed, inputs.values, np.nan)
    full = seen[[0, 3, 4]]
    np.testing.assert_allclose(np.nanmean(full, 1), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.nanstd(full, 1), 1.0)
    assert not inputs.values[1, :, 1].any()
    assert not inputs.values[2, :, 1].any()
    np.testing.assert_allclose(inputs.context.std(), 1.0)


@pytest.mark.parametrize("transform", ["auto", "standard", "log1p"])
def test_the_target_comes_back(transform: str) -> None:
    panel, _ = panels.seasonal()
    panel.series[..., -1] = np.abs(panel.series[..., -1])
    scale = PanelScale.of(panel, transform)  # type: ignore[arg-type]
    assert list(scale.log) == [transform == "log1p"] * 2 + [transform != "standard"]
    back = scale.target(scale.inputs(panel).values[None, ..., -1])
    np.testing.assert_allclose(back[0], panel.series[..., -1], rtol=1e-9, atol=1e-7)
    assert (scale.target(np.full((1, 6, 1), -9.0)) >= 0).all() == (transform != "standard")


def test_the_scale_is_that_of_the_training_panel() -> None:
    panel, _ = panels.seasonal()
    scale = PanelScale.of(panel.window(0, 100))
    inputs = scale.inputs(panel)
    np.testing.assert_allclose(inputs.values[:, :100].mean(1), 0.0, atol=1e-9)
    assert np.abs(inputs.values[:, 100:].mean(1)).max() > 0.01


def test_weekdays_go_on_by_the_calendar() -> None:
    panel = panels.autoregressive()
    assert panel.dates is not None
    later = pd.date_range(panel.dates[0], periods=panel.length + 9)
    np.testing.assert_array_equal(weekdays(panel, 9), later.day_of_week)
    undated = panels.panel(panel.series, dates=False)
    np.testing.assert_array_equal(weekdays(undated, 9)[:9], [0, 1, 2, 3, 4, 5, 6, 0, 1])


def test_an_unknown_transform_is_refused() -> None:
    with pytest.raises(DataError, match="auto, standard, log1p"):
        PanelScale.of(panels.autoregressive(), "sqrt")  # type: ignore[arg-type]
