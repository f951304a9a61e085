"""Pareto shape of importance ratios: how far single observations rule the posterior."""

from __future__ import annotations

from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]

_CHUNK = 4_000_000  # elements of the array over observations, tail and grid: 32 MB
_MIN_TAIL = 5


def pareto_k(log_ratios: NDArray) -> NDArray:
    r"""Shape :math:`\hat k` of a generalised Pareto fitted to the largest importance ratios.

    All observations at once; the same estimate as ArviZ's, which goes through them one by one.

    Parameters
    ----------
    log_ratios
        Logarithms of importance ratios (observation, draw); for leave-one-out the negative log
        likelihoods.

    Returns
    -------
    numpy.ndarray
        ``k`` (observation,): up to 0.7 importance sampling is reliable. ``inf`` where a ratio is
        not finite, ``nan`` with fewer than 25 draws.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25;
    Zhang and Stephens (2009), A new and efficient estimation method for the generalized Pareto
    distribution, Technometrics 51.
    """
    log_ratios = np.asarray(log_ratios, float)
    n_obs, draws = log_ratios.shape
    tail = int(np.ceil(min(0.2 * draws, 3.0 * np.sqrt(draws))))
    if tail < _MIN_TAIL:
        return np.full(n_obs, np.nan)
    finite = np.isfinite(log_ratios).all(1)
    result = np.where(finite, 0.0, np.inf)
    rows = max(1, _CHUNK // (tail * _grid_size(tail)))
    for start in range(0, n_obs, rows):
        chosen = np.arange(start, min(start + rows, n_obs))
        chosen = chosen[finite[chosen]]
        part = log_ratios[chosen]
        part = np.sort(part - part.max(1, keepdims=True), axis=1)[:, -(tail + 1) :]
        excess = np.exp(part[:, 1:]) - np.exp(part[:, :1])
        # Equal ratios have no tail to fit: the draws are as good as independent ones.
        varied = excess[:, int(tail / 4 + 0.5) - 1] > 10 * np.finfo(float).tiny
        result[chosen[varied]] = _shape(excess[varied])
        result[chosen[~varied]] = -np.inf
    return result


def _grid_size(tail: int) -> int:
    return 30 + int(np.sqrt(tail))


def _shape(excess: NDArray) -> NDArray:
    """Posterior mean of the shape, of sorted excesses (observation, tail)."""
    count = excess.shape[1]
    size = _grid_size(count)
    quartile = excess[:, int(count / 4 + 0.5) - 1, None]
    grid = 1.0 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))
    b = grid / (3.0 * quartile) + 1.0 / excess[:, -1:]
    k = np.log1p(-b[:, :, None] * excess[:, None, :]).mean(-1)
    profile = count * (np.log(-b / k) - k - 1.0)
    weight = np.exp(profile - profile.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    weight = np.where(weight >= 10 * np.finfo(float).eps, weight, 0.0)
    mean_b = (b * weight).sum(1) / weight.sum(1)
    shape = np.log1p(-mean_b[:, None] * excess).mean(1)
    # Towards 0.5, with the weight of ten draws: less noise where the tail is short.
    return (count * shape + 10 * 0.5) / (count + 10)
