"""Pareto-smoothed importance sampling: how far draws of an approximation can be trusted.

References
----------
Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72);
Zhang and Stephens (2009), A new and efficient estimation method for the generalized Pareto
distribution, Technometrics 51(3).
"""

from __future__ import annotations

from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]

_PRIOR_WEIGHT = 10.0  # draws' worth of a prior at k = 1/2 (Vehtari et al. 2024, appendix C)


def smooth_weights(log_ratios: NDArray) -> tuple[NDArray, float]:
    """Normalised, tail-smoothed log weights, and the tail index k-hat.

    Parameters
    ----------
    log_ratios
        ``log p - log q`` of draws from ``q``, shape (draw,), up to a constant. Values that are not
        numbers count as zero weight.

    Returns
    -------
    tuple
        Log weights (draw,) whose exponentials sum to one, and k-hat. Up to 0.5 importance sampling
        works well, past 0.7 its error is out of hand. Equal ratios (``q`` is ``p``) give 0.

    Raises
    ------
    ValueError
        If there are fewer than 25 draws: the tail is then too short to fit.
    FloatingPointError
        If no ratio is finite.
    """
    ratios = np.asarray(log_ratios, dtype=np.float64)
    if ratios.ndim != 1 or ratios.size < 25:
        raise ValueError(
            f"Expected at least 25 log ratios in one dimension, got shape {ratios.shape}. "
            "Draw more from the approximation."
        )
    ratios = np.where(np.isnan(ratios), -np.inf, ratios)
    highest = ratios.max()
    if not np.isfinite(highest):
        raise FloatingPointError(
            f"The largest log ratio is {highest}: the target is not finite where the approximation "
            "draws. Look at the model's starts, or use NUTS."
        )
    ratios = ratios - highest
    size = int(min(0.2 * ratios.size, 3.0 * np.sqrt(ratios.size)))
    order = np.argsort(ratios)
    tail = order[-size:]
    cutoff = max(ratios[order[-size - 1]], np.log(np.finfo(float).tiny))
    excess = np.exp(ratios[tail]) - np.exp(cutoff)
    k = 0.0
    # Rounding of log densities alone spreads the ratios of two equal distributions by this much.
    if excess[-1] > 1e-8:
        # Draws below the smallest number are as good as the cutoff itself.
        excess = np.maximum(excess, np.finfo(float).tiny)
        k, scale = _fit_pareto(excess)
        if np.isfinite(k):
            u = (np.arange(size) + 0.5) / size
            exceeding = np.expm1(-k * np.log1p(-u)) / k if abs(k) > 1e-12 else -np.log1p(-u)
            ratios = ratios.copy()
            smoothed = np.log(scale * exceeding + np.exp(cutoff))
            ratios[tail] = np.minimum(smoothed, 0.0)  # no weight above the largest one seen
    total = np.log(np.exp(ratios - ratios.max()).sum()) + ratios.max()
    return ratios - total, float(k)


def _fit_pareto(excess: NDArray) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto from ascending excesses (n,), by quasi-Bayes."""
    n = excess.size
    points = 30 + int(np.sqrt(n))
    quartile = excess[int(n / 4 + 0.5) - 1]
    theta = (1.0 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (3.0 * quartile)
    theta = theta + 1.0 / excess[-1]
    shape = np.log1p(-theta[:, None] * excess).mean(1)
    profile = n * (np.log(-theta / shape) - shape - 1.0)
    weights = np.exp(profile - profile.max())
    weights /= weights.sum()
    best = float(theta @ weights)
    k = float(np.log1p(-best * excess).mean())
    scale = -k / best
    return (n * k + 0.5 * _PRIOR_WEIGHT) / (n + _PRIOR_WEIGHT), scale
