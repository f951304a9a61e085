"""Metrics of edge scores against scikit-learn and loops over pairs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from mmm_bayes.causal_mmm.networks import metrics
from mmm_bayes.runtime.findings import DataError
from tests.refusals import refused

SHOPS, NODES = 6, 5
KEEP = ~np.eye(NODES, dtype=bool)


@pytest.fixture(scope="module", params=[False, True], ids=["distinct", "tied"])
def scored(request) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.random((SHOPS, NODES, NODES)) < 0.35
    scores = np.clip(0.3 * truth + rng.uniform(0, 0.7, truth.shape), 0, 1)
    if request.param:
        scores = np.round(scores, 1)
    # What stands on the diagonal must not matter.
    scores[:, np.eye(NODES, dtype=bool)] = np.nan
    return scores, truth


def test_auroc_is_that_of_scikit_learn_and_of_all_pairs(scored) -> None:
    scores, truth = scored
    each = [reference.roc_auc_score(t[KEEP], s[KEEP]) for s, t in zip(scores, truth, strict=True)]
    np.testing.assert_allclose(metrics.shop_aurocs(scores, truth), each, rtol=1e-12)
    np.testing.assert_allclose(metrics.auroc(scores, truth), np.mean(each), rtol=1e-12)

    s, t = scores[:, KEEP].ravel(), truth[:, KEEP].ravel()
    wins = [(a > b) + (a == b) / 2 for a in s[t] for b in s[~t]]
    np.testing.assert_allclose(metrics.pooled_auroc(scores, truth), np.mean(wins), rtol=1e-12)


def test_auroc_of_constant_perfect_and_reversed_scores() -> None:
    truth = np.triu(np.ones((NODES, NODES)), 1)
    assert metrics.auroc(np.zeros_like(truth), truth) == 0.5
    assert metrics.auroc(truth, truth) == 1
    assert metrics.auroc(-truth, truth) == 0


def test_shops_without_edges_are_left_out_of_the_mean_only(scored) -> None:
    scores, truth = scored
    truth = truth.copy()
    truth[0] = False
    assert np.isnan(metrics.shop_aurocs(scores, truth)[0])
    assert metrics.auroc(scores, truth) == metrics.auroc(scores[1:], truth[1:])
    assert np.isnan(metrics.auroc(scores[:1], truth[:1]))


def test_decisions_by_a_threshold(scored) -> None:
    scores, truth = scored
    s, t = scores[:, KEEP].ravel(), truth[:, KEEP].ravel()
    for threshold in (-np.inf, 0.2, 0.5, 0.7, np.inf):
        decided = s >= threshold
        assert metrics.accuracy(scores, truth, threshold) == pytest.approx(
            reference.accuracy_score(t, decided)
        )
        expected = reference.f1_score(t, decided, zero_division=0)
        assert metrics.f1(scores, truth, threshold) == pytest.approx(expected)
    assert metrics.f1(scores[:1], np.zeros_like(truth[:1]), np.inf) == 0


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_best_threshold_is_the_best_of_all(scored, metric) -> None:
    scores, truth = scored
    quality = getattr(metrics, metric)
    chosen = metrics.best_threshold(scores, truth, metric)
    tried = [quality(scores, truth, t) for t in [*np.linspace(-0.05, 1.05, 221), np.inf]]
    assert quality(scores, truth, chosen) >= max(tried) - 1e-12


def test_best_threshold_lies_between_scores_or_beyond_them() -> None:
    truth = np.zeros((3, 3), bool)
    truth[0, 1] = True
    scores = np.full((3, 3), 0.2)
    scores[0, 1] = 0.6
    assert metrics.best_threshold(scores, truth) == pytest.approx(0.4)
    assert metrics.best_threshold(scores, np.zeros_like(truth)) == np.inf
    assert metrics.best_threshold(scores, np.ones_like(truth)) == -np.inf
    # Neighbours with nothing between them.
    scores[0, 1] = np.nextafter(0.2, 1)
    assert metrics.accuracy(scores, truth, metrics.best_threshold(scores, truth)) == 1


def test_reliability_is_a_loop_over_bins(scored) -> None:
    probabilities, truth = scored
    p, t = probabilities[:, KEEP].ravel(), truth[:, KEEP].ravel()
    table = metrics.reliability(probabilities, truth, bins=10)
    error = 0.0
    for k in range(10):
        low, high = table.edges[k], table.edges[k + 1]
        here = (p >= low) & ((p < high) | (k == 9))
        assert table.count[k] == here.sum()
        if here.any():
            assert table.predicted[k] == pytest.approx(p[here].mean())
            assert table.observed[k] == pytest.approx(t[here].mean())
            assert table.low[k] - 1e-12 <= t[here].mean() <= table.high[k] + 1e-12
            error += here.mean() * abs(p[here].mean() - t[here].mean())
        else:
            assert np.isnan(table.observed[k])
    assert metrics.expected_calibration_error(probabilities, truth) == pytest.approx(error)
    assert metrics.brier(probabilities, truth) == pytest.approx(reference.brier_score_loss(t, p))


def test_interval_of_the_share_is_that_of_statsmodels() -> None:
    from statsmodels.stats.proportion import proportion_confint

    truth = np.zeros((4, 4), bool)
    truth[0, 1:] = True
    table = metrics.reliability(np.full((4, 4), 0.25), truth)
    low, high = proportion_confint(3, 12, method="wilson")
    assert (table.low[2], table.high[2]) == (pytest.approx(low), pytest.approx(high))


def test_calibrated_probabilities_have_a_small_error() -> None:
    rng = np.random.default_rng(5)
    p = rng.random((400, NODES, NODES))
    truth = rng.random(p.shape) < p
    # Mean over ten bins of |N(0, p(1-p)/n)|: 0.8 * sqrt(1/6 / 800) = 0.0115 for 8000 pairs.
    assert metrics.expected_calibration_error(p, truth) < 0.02
    # E (p - edge)^2 = E p(1-p) = 1/6; its standard deviation over 8000 pairs is below 0.002.
    assert metrics.brier(p, truth) == pytest.approx(1 / 6, abs=0.008)
    assert metrics.expected_calibration_error(1 - p, truth) > 0.4


def test_what_is_wrong_is_said_at_once() -> None:
    truth = np.zeros((2, 3, 3))
    with refused("metrics") as caught:
        metrics.auroc(np.zeros((3, 3)), truth)
    assert [finding.where for finding in caught.value.findings] == ["truth"]
    bad = np.full((2, 3, 3), np.nan)
    with pytest.raises(DataError) as caught:
        metrics.auroc(bad, truth + 0.5)
    assert len(caught.value.findings) == 2
    with refused("metrics") as caught:
        metrics.brier(np.arange(9.0).reshape(3, 3) % 3, truth[0])
    assert [finding.where for finding in caught.value.findings] == ["probabilities"]
