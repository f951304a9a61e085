"""Pareto-smoothed importance sampling: how far draws of an approximation can be trusted.

The smoothing is that of arviz-stats; this module handles the ratios it does not accept: impossible
draws, equal ratios, and tails that hold a single distinct value.

References
----------
Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72).
"""

from __future__ import annotations

from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]

MIN_DRAWS = 25
"""Fewest ratios: the tail of a fifth of them must hold five to be fitted."""


def smooth_weights(log_ratios: NDArray) -> tuple[NDArray, float]:
    """Smooth the tail of importance ratios; return normalised log weights and k-hat.

    Parameters
    ----------
    log_ratios
        ``log p - log q`` of draws from ``q``, shape (draw,), up to a constant. NaN counts as zero
        weight.

    Returns
    -------
    tuple
        Log weights (draw,) whose exponentials sum to one, and the tail index k-hat. Up to 0.5
        importance sampling works well; beyond 0.7 its error is out of control. Equal ratios (``q``
        is ``p``) give 0; a tail that is no distribution at all (a few draws hold all the weight)
        gives infinity.

    Raises
    ------
    ValueError
        If there are fewer than 25 draws: the tail is then too short to fit.
    FloatingPointError
        If no ratio is finite.
    """
    # Imported here: it loads scipy.stats, which no other part of a fit by NUTS needs.
    from arviz_stats.base.array import array_stats

    ratios = np.asarray(log_ratios, dtype=np.float64)
    if ratios.ndim != 1 or ratios.size < MIN_DRAWS:
        raise ValueError(
            f"Expected at least {MIN_DRAWS} log ratios in one dimension, got shape "
            f"{ratios.shape}. Draw more from the approximation."
        )
    ratios = np.where(np.isnan(ratios), -np.inf, ratios)
    highest = ratios.max()
    if not np.isfinite(highest):
        raise FloatingPointError(
            f"The largest log ratio is {highest}: the target is not finite where the approximation "
            "draws. Check the model's starting points, or use NUTS."
        )
    ratios = ratios - highest
    size = int(min(ratios.size / 5, 3.0 * np.sqrt(ratios.size)))
    tail = np.partition(ratios, -size - 1)[-size - 1 :]
    # Rounding of log densities alone spreads the ratios of two equal distributions by this much.
    if np.expm1(tail.min()) > -1e-8:
        return ratios - np.log(np.exp(ratios).sum()), 0.0
    with np.errstate(divide="ignore", invalid="ignore"):  # tails that hold impossible draws
        log_weights, k = array_stats.psislw(-ratios)
    return log_weights, float(k) if np.isfinite(k) else np.inf
