"""Pareto smoothing against draws of a known tail, and against ArviZ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import genpareto

from mmm_bayes.inference.psis import smooth_weights


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
def test_recovers_the_tail_index(k: float) -> None:
    n = 40_000
    ratios = np.log(1.0 + genpareto.rvs(k, size=n, random_state=np.random.default_rng(4)))
    tail = 3 * np.sqrt(n)
    # Asymptotic standard deviation of the estimate is (1 + k) / sqrt(tail).
    assert smooth_weights(ratios)[1] == pytest.approx(k, abs=4 * (1 + k) / np.sqrt(tail))


@pytest.mark.parametrize("df", [2.0, 5.0, 50.0])
def test_agrees_with_arviz(df: float) -> None:
    from arviz_stats.base import array_stats

    ratios = np.random.default_rng(5).standard_t(df, 2000)
    log_weights, k = smooth_weights(ratios)
    expected, expected_k = array_stats.psislw(-ratios)
    assert k == pytest.approx(float(expected_k), rel=1e-6)
    np.testing.assert_allclose(log_weights, expected, atol=1e-6)


def test_weights_sum_to_one_and_keep_their_order() -> None:
    ratios = np.random.default_rng(6).normal(size=500)
    log_weights, _ = smooth_weights(ratios)
    assert np.exp(log_weights).sum() == pytest.approx(1.0)
    assert (np.diff(log_weights[np.argsort(ratios)]) >= 0).all()


def test_equal_densities_give_equal_weights() -> None:
    ratios = 3.0 + 1e-12 * np.random.default_rng(7).normal(size=400)
    log_weights, k = smooth_weights(ratios)
    assert k == 0.0
    np.testing.assert_allclose(np.exp(log_weights), 1 / 400, rtol=1e-9)


def test_impossible_draws_get_no_weight() -> None:
    ratios = np.random.default_rng(8).normal(size=400)
    ratios[:50] = -np.inf
    ratios[50] = np.nan
    log_weights, k = smooth_weights(ratios)
    assert np.isneginf(log_weights[:51]).all()
    assert np.isfinite(k)
    assert np.exp(log_weights).sum() == pytest.approx(1.0)


def test_all_but_a_few_impossible_is_not_trusted() -> None:
    ratios = np.full(400, -np.inf)
    ratios[:10] = 0.0
    assert smooth_weights(ratios)[1] > 0.7


@pytest.mark.parametrize("worst", [np.inf, -np.inf, np.nan])
def test_no_usable_ratio(worst: float) -> None:
    ratios = np.full(100, worst)
    with pytest.raises(FloatingPointError, match="not finite where the approximation draws"):
        smooth_weights(ratios)


def test_too_few_draws() -> None:
    with pytest.raises(ValueError, match="at least 25 log ratios"):
        smooth_weights(np.zeros(10))
