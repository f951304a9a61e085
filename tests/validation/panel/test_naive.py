"""Naive forecasts in closed form."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mmm_bayes.runtime.findings import DataError
from mmm_bayes.validation.panel.naive import LastValue, SeasonalNaive, last_period
from tests.validation.panel import panels

KEY = jax.random.key(0)
NAN = np.nan


def test_the_last_period_skips_what_is_missing() -> None:
    values = np.array([[1.0, 2, 3, 4, 5, 6, NAN, 8], [9.0, NAN, 7, NAN, 5, NAN, 3, NAN]])
    there = np.isfinite(values)
    # Days to come are 9, 10, 11: those of positions 5, 6, 7 and before that 2, 3, 4.
    np.testing.assert_array_equal(last_period(values, there, 3), [[6, 4, 8], [7, 3, 5]])
    # With an even period the second shop has only ever seen every other day: the last value.
    np.testing.assert_array_equal(last_period(values, there, 2), [[5, 8], [3, 3]])
    nothing = last_period(np.full((1, 4), NAN), np.zeros((1, 4), bool), 2)
    np.testing.assert_array_equal(nothing, [[0, 0]])


def test_weeks_are_repeated() -> None:
    series = panels.autoregressive().series
    panel = panels.panel(series)
    forecast = SeasonalNaive().fit(KEY, panel).forecast(KEY, panel, 17, None)
    week = series[:, -7:, -1]
    np.testing.assert_allclose(forecast.mean, np.concatenate([week, week, week[:, :3]], 1))
    last = LastValue().fit(KEY, panel).forecast(KEY, panel, 17, None)
    np.testing.assert_allclose(last.mean, np.repeat(week[:, -1:], 17, 1))


def test_quantiles_are_those_of_training_differences() -> None:
    series = panels.autoregressive().series
    panel = panels.panel(series)
    forecast = SeasonalNaive().fit(KEY, panel).forecast(KEY, panel, 8, None)
    target = series[..., -1]
    for step, lag in ((6, 7), (7, 14)):
        differences = target[:, lag:] - target[:, :-lag]
        expected = np.quantile(differences, forecast.levels, axis=1).T
        found = forecast.quantiles[:, step] - forecast.mean[:, step, None]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_quantiles_past_the_training_panel_grow_as_a_random_walk() -> None:
    panel = panels.panel(panels.autoregressive().series[:, :30])
    forecast = SeasonalNaive().fit(KEY, panel).forecast(KEY, panel, 30, None)
    width = np.subtract(*forecast.interval()[::-1])
    np.testing.assert_allclose(width[:, 28] / width[:, 7], np.sqrt(5 / 2))


def test_settings_are_checked() -> None:
    with pytest.raises(DataError, match="period should be from 1"):
        SeasonalNaive(period=0)
