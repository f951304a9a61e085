"""Scores against closed forms and loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmm_bayes.validation import scores


def gaussian_crps(mean, sd, y):
    """Closed form of Gneiting and Raftery (2007), eq. 5."""
    z = (y - mean) / sd
    return sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))


@pytest.mark.parametrize("observed", [-1.0, 0.5, 4.0])
def test_crps_of_gaussian_draws_is_the_closed_form(observed):
    rng = np.random.default_rng(0)
    found = [
        float(scores.crps(1.0 + 2.0 * rng.standard_normal(50), np.asarray(observed)))
        for _ in range(4000)
    ]
    # The fair form is unbiased even with 50 draws: five standard errors of the mean.
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - gaussian_crps(1.0, 2.0, observed)) < 5 * error


def test_crps_is_the_double_sum():
    rng = np.random.default_rng(1)
    draws, observed = rng.standard_normal((7, 2, 3)), rng.standard_normal((2, 3))
    expected = np.zeros((2, 3))
    for i in range(7):
        expected += np.abs(draws[i] - observed) / 7
        for j in range(7):
            expected -= np.abs(draws[i] - draws[j]) / (2 * 7 * 6)
    np.testing.assert_allclose(scores.crps(draws, observed), expected)


def test_scores_of_calibrated_forecasts():
    rng = np.random.default_rng(2)
    n = 2000
    centre = 10 + rng.standard_normal((1, n))
    draws = centre + rng.standard_normal((200, 1, n))
    naive = 10 + 3 * rng.standard_normal((200, 1, n))
    observed = centre + rng.standard_normal((1, n))
    index = pd.DataFrame(
        {"fold": np.repeat([1, 2], n // 2), "step": np.tile(np.arange(10), n // 10)}
    )
    table = scores.score_table(draws, naive, observed, np.array([2.0]), index)
    row = scores.summarise(table).iloc[0]
    for level in (0.5, 0.9):
        error = np.sqrt(level * (1 - level) / n)
        # Quantiles of 200 draws are those of an interval narrower by about a hundredth.
        assert abs(row[f"coverage_{100 * level:.0f}"] - level) < 4 * error + 0.01
    assert row["crps"] == pytest.approx(1 / np.sqrt(np.pi), rel=0.05)
    assert row["skill"] == pytest.approx(1 - row["crps"] / row["crps_naive"])
    assert row["width_90"] * 10 == pytest.approx(2 * 1.645, rel=0.03)
    error = np.abs(observed - np.median(draws, 0))
    assert row["mape"] == pytest.approx((error / np.abs(observed)).mean())
    assert row["mase"] == pytest.approx(error.mean() / 2.0)
    assert list(scores.summarise(table, ["fold"]).index) == [1, 2]
    both = scores.summarise(table, ["fold", "step"])
    assert both.index.names == ["fold", "step"]
    assert both["n"].sum() == n
    assert stats.kstest(table["pit"], "uniform").pvalue > 0.001


def test_zeros_have_no_percentage():
    draws = np.ones((10, 1, 2)) + np.linspace(-0.1, 0.1, 10)[:, None, None]
    index = pd.DataFrame({"step": [1, 2]})
    table = scores.score_table(draws, draws, np.array([[0.0, 2.0]]), np.array([1.0]), index)
    assert scores.summarise(table).iloc[0]["mape"] == pytest.approx(0.5, abs=0.01)
