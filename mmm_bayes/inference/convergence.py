"""Convergence statistics of many quantities at once: rank-normalised R-hat and effective draws.

The definitions are those of arviz-stats, and the tests compare with it. It loops over quantities
and lags in Python; the array operations here take a third to a twentieth of its CPU time
(``docs/results/convergence.md``), and do not import ``scipy.stats``.

References
----------
Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Rank-normalization, folding, and
localization: an improved R-hat for assessing convergence of MCMC, Bayesian Analysis 16(2).
Geyer (1992), Practical Markov chain Monte Carlo, Statistical Science 7(4). Betancourt (2016),
Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo (E-BFMI).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import fft, special

_TAIL = (0.05, 0.95)  # quantiles whose indicators define the tail effective sample size


def split_chains(draws: Float[np.ndarray, "*q chain draw"]) -> Float[np.ndarray, "*q half2 half"]:
    """Cut every chain into its first and last half (an odd middle draw is dropped)."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=-2)


def normal_scores(draws: Float[np.ndarray, "*q chain draw"]) -> Float[np.ndarray, "*q chain draw"]:
    """Compute normal scores of the ranks over all draws, ``Phi^-1((rank - 3/8) / (size + 1/4))``.

    Ties share the mean of their ranks.
    """
    flat = draws.reshape(*draws.shape[:-2], -1)
    size = flat.shape[-1]
    order = np.argsort(flat, axis=-1)
    ordered = np.take_along_axis(flat, order, axis=-1)
    place = np.arange(size)
    starts = np.ones(flat.shape, dtype=bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=-1)
    ends = np.ones(flat.shape, dtype=bool)
    ends[..., :-1] = starts[..., 1:]
    last = np.minimum.accumulate(np.where(ends, place, size)[..., ::-1], axis=-1)[..., ::-1]
    # Twice the mean rank is a whole number, so the scores of all ranks are one short table.
    table = special.ndtri((np.arange(2, 2 * size + 1) / 2 - 0.375) / (size + 0.25))
    scores = np.empty(flat.shape)
    np.put_along_axis(scores, order, table[first + last], axis=-1)
    return scores.reshape(draws.shape)


def _plain_rhat(draws: Float[np.ndarray, "*q chain draw"]) -> Float[np.ndarray, "*q"]:
    size = draws.shape[-1]
    between = size * np.var(draws.mean(axis=-1), axis=-1, ddof=1)
    within = np.var(draws, axis=-1, ddof=1).mean(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):  # a constant quantity has no R-hat
        return np.sqrt((between / within + size - 1) / size)


def _rhat_of_halves(halves: np.ndarray, scores: np.ndarray) -> np.ndarray:
    folded = np.abs(halves - np.median(halves, axis=(-2, -1), keepdims=True))
    return np.fmax(_plain_rhat(scores), _plain_rhat(normal_scores(folded)))


def rank_rhat(draws: Float[np.ndarray, "*q chain draw"]) -> Float[np.ndarray, "*q"]:
    """Compute the rank-normalised split R-hat, the larger of bulk and folded, per quantity.

    A single chain is compared with itself, its first half against its second (ArviZ returns NaN). A
    constant quantity gives NaN; chains that are constant at different values give infinity.
    """
    halves = split_chains(np.asarray(draws, dtype=np.float64))
    return _rhat_of_halves(halves, normal_scores(halves))


def _autocovariance(draws: Float[np.ndarray, "*q chain draw"]) -> Float[np.ndarray, "*q lag"]:
    """Average the autocovariance over chains, by the fast Fourier transform."""
    size = draws.shape[-1]
    length = fft.next_fast_len(2 * size, real=True)
    centred = draws - draws.mean(axis=-1, keepdims=True)
    power = np.abs(fft.rfft(centred, n=length, axis=-1)) ** 2
    return fft.irfft(power.mean(axis=-2), n=length, axis=-1)[..., :size] / size


def _effective_size(draws: Float[np.ndarray, "*q chain draw"]) -> Float[np.ndarray, "*q"]:
    """Estimate the effective number of draws by Geyer's initial monotone sequence."""
    chains, size = draws.shape[-2:]
    total = chains * size
    autocov = _autocovariance(draws)
    within = autocov[..., :1] * size / (size - 1.0)
    spread = within * (size - 1.0) / size
    if chains > 1:
        spread = spread + np.var(draws.mean(axis=-1), axis=-1, ddof=1)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1.0 - (within - autocov) / spread
    rho[..., 0] = 1.0
    # Sums of neighbouring pairs are positive and decreasing for a reversible chain: cut the noise
    # where a pair turns negative, and make the rest decrease.
    last = max((size - 1) // 2 - 1, 0)  # index of the last pair that fits
    even, odd = rho[..., 0 : 2 * last + 1 : 2], rho[..., 1 : 2 * last + 2 : 2]
    pairs = even + odd
    negative = ~(pairs > 0)
    cut = np.where(negative.any(axis=-1), negative.argmax(axis=-1), last)
    kept = np.arange(last + 1) < cut[..., None]
    monotone = np.minimum.accumulate(pairs, axis=-1)
    at_cut = np.take_along_axis(even, cut[..., None], -1)[..., 0]
    pair_at_cut = np.take_along_axis(pairs, cut[..., None], -1)[..., 0]
    # The even lag at the cut still lowers the variance of the estimate.
    extra = np.where((pair_at_cut >= 0) | (at_cut > 0), at_cut, 0.0)
    time = -1.0 + 2.0 * np.where(kept, monotone, 0.0).sum(axis=-1) + extra
    size_hat = total / np.maximum(time, 1.0 / np.log10(total))
    constant = np.ptp(draws, axis=(-2, -1)) < np.finfo(float).resolution
    return np.where(constant, float(total), np.where(np.isfinite(pairs[..., 0]), size_hat, np.nan))


def ess_bulk(draws: Float[np.ndarray, "*q chain draw"]) -> Float[np.ndarray, "*q"]:
    """Estimate the effective number of draws for the centre of the distribution."""
    return _effective_size(normal_scores(split_chains(np.asarray(draws, dtype=np.float64))))


def ess_tail(draws: Float[np.ndarray, "*q chain draw"]) -> Float[np.ndarray, "*q"]:
    """Estimate the effective number of draws for the 5% and 95% quantiles; return the smaller.

    These are the quantiles of Vehtari et al. (2021); ArviZ 1.x has 11% and 89% as its default.
    """
    draws = np.asarray(draws, dtype=np.float64)
    limits = np.quantile(draws, _TAIL, axis=(-2, -1), keepdims=True)
    below = [split_chains((draws <= limit).astype(np.float64)) for limit in limits]
    return np.minimum(*(_effective_size(indicator) for indicator in below))


def convergence(
    draws: Float[np.ndarray, "*q chain draw"],
) -> tuple[Float[np.ndarray, "*q"], Float[np.ndarray, "*q"], Float[np.ndarray, "*q"]]:
    """Compute :func:`rank_rhat`, :func:`ess_bulk` and :func:`ess_tail`, ranking only once."""
    halves = split_chains(np.asarray(draws, dtype=np.float64))
    scores = normal_scores(halves)
    return _rhat_of_halves(halves, scores), _effective_size(scores), ess_tail(draws)


def bfmi(energy: Float[np.ndarray, "chain draw"]) -> Float[np.ndarray, "chain"]:
    """Compute the energy Bayesian fraction of missing information per chain.

    It is ``mean(diff(E)^2) / var(E)``.
    """
    energy = np.asarray(energy, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.square(np.diff(energy, axis=-1)).mean(axis=-1) / np.var(energy, axis=-1, ddof=1)
