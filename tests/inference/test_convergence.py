import numpy as np
import pytest
from arviz_stats.base import array_stats

from mmm_bayes.inference.convergence import (
    bfmi,
    convergence,
    ess_bulk,
    ess_tail,
    normal_scores,
    rank_rhat,
)


def autoregressive(rng, chains, draws, coefficients):
    """First-order autoregressions with unit variance: (quantity, chain, draw)."""
    phi = np.asarray(coefficients)[:, None]
    x = rng.normal(size=(len(coefficients), chains, draws))
    for t in range(1, draws):
        x[:, :, t] = phi * x[:, :, t - 1] + np.sqrt(1 - phi**2) * x[:, :, t]
    return x


@pytest.mark.parametrize(
    ("chains", "draws"), [(4, 250), (2, 51), (1, 200), (3, 10), (4, 5), (2, 4)]
)
def test_agrees_with_arviz_for_slow_fast_and_tied_chains(chains, draws):
    x = autoregressive(np.random.default_rng(1), chains, draws, np.linspace(-0.9, 0.99, 12))
    x[3] = np.round(x[3])  # ties
    x[4, 0] = 2.0  # one chain that stands still
    bulk = [array_stats.ess(q, chain_axis=0, draw_axis=1) for q in x]
    tail = [array_stats.ess(q, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))
            for q in x]  # fmt: skip
    np.testing.assert_allclose(ess_bulk(x), bulk, rtol=1e-10)
    np.testing.assert_allclose(ess_tail(x), tail, rtol=1e-10)
    if chains > 1:  # ArviZ gives no R-hat for one chain
        with np.errstate(divide="ignore", invalid="ignore"):
            rhat = [array_stats.rhat(q, chain_axis=0, draw_axis=1) for q in x]
        np.testing.assert_allclose(rank_rhat(x), rhat, rtol=1e-10)
    for together, alone in zip(
        convergence(x), (rank_rhat(x), ess_bulk(x), ess_tail(x)), strict=True
    ):
        np.testing.assert_array_equal(together, alone)


def test_bulk_size_of_an_autoregression_is_near_its_closed_form():
    # The integrated autocorrelation time of an AR(1) is (1 + phi) / (1 - phi).
    phi, chains, draws = 0.6, 4, 2000
    x = autoregressive(np.random.default_rng(2), chains, draws, [phi] * 20)
    expected = chains * draws * (1 - phi) / (1 + phi)
    # Over 20 replications the mean estimate is within 5% (its own spread is about 5% each).
    assert np.mean(ess_bulk(x)) == pytest.approx(expected, rel=0.05)


def test_tied_draws_share_the_mean_of_their_ranks():
    from scipy import stats

    x = np.array([[3.0, 1.0, 3.0, 2.0], [1.0, 1.0, 5.0, 0.0]])
    ranks = stats.rankdata(x)
    expected = stats.norm.ppf((ranks - 3 / 8) / (x.size + 1 / 4)).reshape(x.shape)
    np.testing.assert_allclose(normal_scores(x), expected, rtol=1e-12)


def test_constant_and_separated_quantities():
    constant = np.full((2, 10), 3.0)
    assert np.isnan(rank_rhat(constant))
    assert ess_bulk(constant) == constant.size
    apart = np.repeat([[0.0], [1.0]], 10, axis=1)
    assert np.isinf(rank_rhat(apart))


def test_single_chain_that_drifts_has_a_large_rhat():
    rng = np.random.default_rng(3)
    drifting = rng.normal(size=(1, 400)) + np.linspace(0, 5, 400)
    steady = rng.normal(size=(1, 400))
    assert rank_rhat(drifting) > 1.5
    assert rank_rhat(steady) < 1.02


def test_bfmi_is_one_loop_per_chain():
    energy = np.random.default_rng(4).normal(size=(3, 50)).cumsum(axis=1)
    for chain, value in enumerate(bfmi(energy)):
        e = energy[chain]
        numerator = sum((e[n] - e[n - 1]) ** 2 for n in range(1, 50)) / 49
        denominator = sum((v - e.mean()) ** 2 for v in e) / 49
        assert value == pytest.approx(numerator / denominator, rel=1e-12)
