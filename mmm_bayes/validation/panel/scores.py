"""Scores of forecasts: errors of means, coverage of intervals, loss of quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.validation.panel.forecast import Forecast

NDArray = np.ndarray[Any, Any]


def target_scale(training: ShopPanel) -> Float[NDArray, " shop"]:
    """Return the standard deviation of each shop's observed target; 1 if it is constant."""
    target, there = training.series[..., -1], training.observed[..., -1]
    count = np.maximum(there.sum(1), 1)
    center = np.where(there, target, 0.0).sum(1) / count
    deviation = np.where(there, target - center[:, None], 0.0)
    scale = np.sqrt((deviation**2).sum(1) / count)
    result: NDArray = np.where(scale > 1e-9 * np.abs(center), scale, 1.0)
    return result


def step_metrics(
    forecast: Forecast, truth: Float[NDArray, "shop horizon"], scale: Float[NDArray, " shop"]
) -> dict[str, Float[NDArray, "shop horizon"]]:
    """Return metrics of every step, named as in the backtest; NaN where the truth is missing."""
    low, high = forecast.interval(0.9)
    s = scale[:, None]
    error = truth - forecast.mean
    within = np.where(np.isfinite(truth), (truth >= low) & (truth <= high), np.nan)
    losses = pinball(truth / s, forecast.quantiles / s[..., None], forecast.levels)
    return {
        "squared_error": (error / s) ** 2,
        "squared_error_units": error**2,
        "coverage": within,
        "width": (high - low) / s,
        "pinball": losses.mean(-1),
        "crps": crps(losses, forecast.levels),
    }


def pinball(
    truth: Float[NDArray, "*batch"],
    quantiles: Float[NDArray, "*batch level"],
    levels: Sequence[float],
) -> Float[NDArray, "*batch level"]:
    r"""Return the quantile loss :math:`\max(\tau (y - q), (\tau - 1)(y - q))` at every level."""
    error, level = truth[..., None] - quantiles, np.asarray(levels)
    return np.maximum(level * error, (level - 1.0) * error)


def crps(
    losses: Float[NDArray, "*batch level"], levels: Sequence[float]
) -> Float[NDArray, "*batch"]:
    r"""Compute the continuous ranked probability score, :math:`2 \int_0^1 L_\tau d\tau`.

    Each level stands for the probabilities nearer to it than to another one (Gneiting & Ranjan
    2011; the weights here also cover the tails beyond the outermost levels).
    """
    level = np.asarray(levels, dtype=float)
    edges = np.concatenate([[0.0], (level[1:] + level[:-1]) / 2.0, [1.0]])
    return 2.0 * losses @ np.diff(edges)


def mse_table(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise errors by method and horizon, from the rows of :func:`backtest.backtest`.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``method`` and ``horizon``: ``mse``, the mean over shops of their mean over
        origins; ``mse_se``, its standard error over shops (NaN for one shop); ``sum``, the error
        summed over steps, ``horizon`` times ``mse``; ``coverage`` and ``crps``, means likewise.
    """
    by_shop = table.groupby(["method", "horizon", "shop"], sort=False)[
        ["squared_error", "coverage", "crps"]
    ].mean()
    groups = by_shop.groupby(["method", "horizon"], sort=False)
    mean, spread = groups.mean(), groups["squared_error"].sem()
    horizon = mean.index.get_level_values("horizon").to_numpy()
    return pd.DataFrame(
        {
            "mse": mean["squared_error"],
            "mse_se": spread,
            "sum": mean["squared_error"] * horizon,
            "coverage": mean["coverage"],
            "crps": mean["crps"],
        }
    )
