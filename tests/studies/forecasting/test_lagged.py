"""Columns of lags against loops."""

from __future__ import annotations

import numpy as np

from studies.forecasting.lagged import lags, rolling_mean, same_weekday

SERIES = np.random.default_rng(0).normal(size=(2, 25, 3))
SERIES[0, 4:8, 1] = np.nan
SERIES[1, 2, 2] = np.nan
ENDS = np.array([0, 3, 7, 24])


def test_lags() -> None:
    found = lags(SERIES, ENDS, 5)
    assert found.shape == (2, 4, 5, 3)
    for place, end in enumerate(ENDS):
        for lag in range(5):
            expected = SERIES[:, end - lag] if end >= lag else np.full((2, 3), np.nan)
            np.testing.assert_array_equal(found[:, place, lag], expected)


def test_rolling_means_are_of_what_is_there() -> None:
    found = rolling_mean(SERIES, ENDS, 4)
    for place, end in enumerate(ENDS):
        for shop in range(2):
            for node in range(3):
                window = SERIES[shop, max(0, end - 3) : end + 1, node]
                there = window[np.isfinite(window)]
                expected = there.mean() if len(there) else np.nan
                np.testing.assert_allclose(found[shop, place, node], expected, atol=1e-12)
    assert np.isnan(found[0, 2, 1])


def test_values_of_the_same_weekday_are_known_at_the_origin() -> None:
    ends, horizons = np.array([20, 20, 20, 3]), np.array([1, 7, 8, 2])
    shops = np.array([0, 1, 0, 1])
    found = same_weekday(SERIES[..., -1], ends, horizons, shops, 2)
    days = [[14, 7], [20, 13], [14, 7], [-2, -9]]
    expected = [
        [SERIES[shop, day, -1] if day >= 0 else np.nan for day in row]
        for shop, row in zip(shops, days, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)
