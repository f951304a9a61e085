"""Scores against closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from mmm_bayes.validation.panel.forecast import LEVELS, Forecast
from mmm_bayes.validation.panel.scores import crps, mse_table, pinball, step_metrics, target_scale
from tests.validation.panel import panels


def test_pinball_by_hand() -> None:
    losses = pinball(np.array([2.0]), np.array([[1.0, 5.0]]), (0.1, 0.9))
    np.testing.assert_allclose(losses, [[0.1, 0.3]])


def test_crps_is_that_of_the_normal_distribution() -> None:
    truth = np.array([0.0, 0.7, -1.3])
    losses = pinball(truth, np.tile(stats.norm.ppf(LEVELS), (3, 1)), LEVELS)
    z = truth
    exact = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    # Nineteen levels leave out what is within the tails of 5%: about 2% of the score.
    np.testing.assert_allclose(crps(losses, LEVELS), exact, rtol=0.025)


def test_crps_of_a_point_is_the_absolute_error() -> None:
    losses = pinball(np.array([3.0]), np.full((1, 3), 1.0), (0.2, 0.5, 0.7))
    exact = 2 * 2.0 * (0.2 * 0.35 + 0.5 * 0.25 + 0.7 * 0.4)  # levels times their stretches
    np.testing.assert_allclose(crps(losses, (0.2, 0.5, 0.7)), exact)


def test_metrics_of_steps() -> None:
    mean = np.array([[1.0, 2.0, 3.0]])
    quantiles = mean[..., None] + np.linspace(-0.9, 0.9, 19)
    truth = np.array([[1.5, 4.0, np.nan]])
    found = step_metrics(Forecast(mean, quantiles), truth, np.array([2.0]))
    np.testing.assert_allclose(found["squared_error"], [[0.0625, 1.0, np.nan]])
    np.testing.assert_allclose(found["squared_error_units"], [[0.25, 4.0, np.nan]])
    np.testing.assert_array_equal(found["coverage"], [[1.0, 0.0, np.nan]])
    np.testing.assert_allclose(found["width"], [[0.9, 0.9, 0.9]])


def test_scale_of_targets() -> None:
    panel, _ = panels.seasonal()
    panel.series[0, 3, -1] = np.nan
    panel.series[1, :, -1] = 5.0
    scale = target_scale(panel)
    np.testing.assert_allclose(scale[0], np.nanstd(panel.series[0, :, -1]))
    assert scale[1] == 1.0


def test_errors_by_method_and_horizon() -> None:
    rows = [
        ("a", "s", 10, 7, 1.0, 0.9, 0.1),
        ("a", "s", 20, 7, 3.0, 0.7, 0.3),
        ("a", "t", 10, 7, 4.0, 1.0, 0.4),
    ]
    names = ["method", "shop", "origin", "horizon", "squared_error", "coverage", "crps"]
    table = mse_table(pd.DataFrame(rows, columns=names))
    only = table.loc[("a", 7)]
    np.testing.assert_allclose(only["mse"], 3.0)  # the mean of shops, each the mean of origins
    np.testing.assert_allclose(only["mse_se"], 1.0)
    np.testing.assert_allclose(only[["sum", "coverage", "crps"]].astype(float), [21.0, 0.9, 0.3])
