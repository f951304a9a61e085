"""Fit against data: residuals, replicated targets, leave-one-out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.analysis.contributions import fitted_mean
from mmm_bayes.model.fitted import Fitted

NDArray = np.ndarray[Any, Any]

MAX_DRAWS = 1000  # enough for quantiles accurate to a percent
_DRAWS = ("chain", "draw")


def residuals(fitted: Fitted) -> xr.DataArray:
    """Compute the target minus its posterior mean ``(geo, date)``.

    Residuals are in units of the target with an identity link, in logarithms for a log-normal
    likelihood, and in standard deviations (Pearson) for counts.
    """
    mean = fitted_mean(fitted, max_draws=MAX_DRAWS)
    target = fitted.data.ds["target"]
    link, family = fitted.spec.likelihood.link, fitted.spec.likelihood.family
    if link == "identity":
        found: xr.DataArray = target - mean.mean(_DRAWS)
    elif link == "log":
        # The mean is the median times exp(sigma^2 / 2), the same on every date.
        found = xr.apply_ufunc(np.log, target) - xr.apply_ufunc(np.log, mean).mean(_DRAWS)
        found = found - found.mean()
    else:
        centre = mean.mean(_DRAWS)
        spread = centre
        if family == "negative_binomial":
            dispersion = fitted.tree["posterior"]["dispersion"].mean().item()
            spread = centre + dispersion**2 * centre**2
        found = (target - centre) / np.sqrt(spread)
    return found.rename("residual")


def autocorrelation(values: NDArray, lags: int) -> NDArray:
    """Compute autocorrelations (..., lag) at lags 1 to ``lags`` along the last axis."""
    centred = values - values.mean(-1, keepdims=True)
    squares = np.maximum((centred**2).sum(-1), np.finfo(float).tiny)
    products = [(centred[..., k:] * centred[..., :-k]).sum(-1) for k in range(1, lags + 1)]
    return np.stack(products, -1) / squares[..., None]


def posterior_predictive_check(fitted: Fitted, ci_prob: float = 0.9) -> pd.DataFrame:
    """Compare the target with its replications under the model.

    Parameters
    ----------
    fitted
        A fit.
    ci_prob
        Mass of the interval of the replications.

    Returns
    -------
    pandas.DataFrame
        One row per statistic (mean, sd, minimum, maximum over geos and dates; autocorrelation at
        lag 1, averaged over geos): ``observed``, ``replicated`` (median), ``lower``, ``upper`` and
        ``p_value``, the share of replications at or above the observed value (near 0 or 1: the
        model cannot reproduce it). Rows ``coverage_50`` and ``coverage_90`` have the share of
        observations within the central predictive intervals, and under ``replicated`` what it
        should be.
    """
    shape = (fitted.data.num_geos, fitted.data.num_dates)
    replicated = thinned(fitted, "posterior_predictive").reshape(-1, *shape)
    target = fitted.data.ds["target"].values
    statistics = {
        "mean": lambda y: y.mean((-2, -1)),
        "sd": lambda y: y.std((-2, -1)),
        "minimum": lambda y: y.min((-2, -1)),
        "maximum": lambda y: y.max((-2, -1)),
        "autocorrelation": lambda y: autocorrelation(y, 1)[..., 0].mean(-1),
    }
    tail = 0.5 * (1.0 - ci_prob)
    rows: dict[str, tuple[float, ...]] = {}
    for name, statistic in statistics.items():
        seen, drawn = float(statistic(target)), statistic(replicated)
        low, middle, high = np.quantile(drawn, [tail, 0.5, 1.0 - tail])
        rows[name] = (seen, middle, low, high, float((drawn >= seen).mean()))
    placed = ranks(replicated, target)
    for level in (0.5, 0.9):
        within = float((np.abs(placed - 0.5) < 0.5 * level).mean())
        rows[f"coverage_{level:.0%}".rstrip("%")] = (within, level, np.nan, np.nan, np.nan)
    columns = ["observed", "replicated", "lower", "upper", "p_value"]
    result = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return result.rename_axis("statistic")


def loo(fitted: Fitted, *, pointwise: bool = True) -> Any:
    """Leave-one-out expected log predictive density by Pareto-smoothed importance sampling.

    Returns
    -------
    arviz.ELPDData
        ``elpd``, ``se``, ``p`` and, pointwise, ``pareto_k``; the log density is that of the target
        in the units of the table, so that models with other likelihoods may be compared.

    Raises
    ------
    ValueError
        If the fit has no log likelihood, or was augmented.

    References
    ----------
    Vehtari, Gelman and Gabry (2017), Practical Bayesian model evaluation using leave-one-out
    cross-validation and WAIC, Statistics and Computing 27.
    """
    from arviz import loo as arviz_loo

    if "log_likelihood" not in fitted.tree.children:
        raise ValueError(
            "LOO needs the group log_likelihood, which this fit lacks: use "
            "mmm_bayes.validation.leave_one_out(fit), which computes it."
        )
    if is_augmented(fitted):
        raise ValueError(
            "LOO assumes that every row counts once in the likelihood, which is not so in an "
            "augmented fit. Compare models fitted without augmentation, or on held-out dates."
        )
    return arviz_loo(fitted.tree, pointwise=pointwise, var_name="target")


def is_augmented(fitted: Fitted) -> bool:
    """Tell whether the fit is augmented: observed rows then have a weight below one."""
    return "augmentation" in fitted.tree["posterior"].attrs


def thinned(fitted: Fitted, group: str) -> NDArray:
    """Return the target's values in a group as (draw, geo * date), evenly thinned."""
    values = fitted.tree[group]["target"].transpose("chain", "draw", "geo", "date")
    step = -(-values.sizes["chain"] * values.sizes["draw"] // MAX_DRAWS)
    kept = values.isel(draw=slice(None, None, step)).values
    return np.asarray(kept, float).reshape(-1, kept.shape[2] * kept.shape[3])


def ranks(replicated: NDArray, target: NDArray) -> NDArray:
    """Compute the share of replications below each observation, with ties counted half."""
    return (replicated < target).mean(0) + 0.5 * (replicated == target).mean(0)
