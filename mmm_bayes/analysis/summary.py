"""Tables of a fit: one row per channel, or one row per parameter."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.analysis.contributions import marginal_roas, media_totals, spend, target_total
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.summary_table import Shown, SummaryTable

CiKind = Literal["eti", "hdi"]

_DRAWS = ("chain", "draw")
NO_SHARE = (
    "\nThere are no shares: the target has both signs, or sums to 0, so that its parts can exceed"
    "\nthe whole many times."
)


def interval(values: xr.DataArray, ci_prob: float = 0.9, ci_kind: CiKind = "eti") -> xr.DataArray:
    """Compute credible intervals over the draws.

    Parameters
    ----------
    values
        Draws ``(chain, draw, ...)``.
    ci_prob
        Probability of the interval.
    ci_kind
        ``"eti"`` for equal tails, or ``"hdi"`` for the shortest interval.

    Returns
    -------
    xarray.DataArray
        ``(ci_bound, ...)`` with the labels ``"lower"`` and ``"upper"``; NaN where draws are.

    Raises
    ------
    ValueError
        If ``ci_prob`` is not between 0 and 1, or ``ci_kind`` is unknown.
    """
    if not 0.0 < ci_prob < 1.0:
        raise ValueError(f"ci_prob should lie between 0 and 1 (0.9 is 90%), but is {ci_prob}.")
    if ci_kind not in ("eti", "hdi"):
        raise ValueError(f"ci_kind should be 'eti' or 'hdi', but is {ci_kind!r}.")
    draws = values.stack(_draw=_DRAWS).transpose("_draw", ...)
    flat = draws.values
    if ci_kind == "eti":
        bounds = np.quantile(flat, [0.5 * (1 - ci_prob), 0.5 * (1 + ci_prob)], axis=0)
    else:
        bounds = _shortest(np.sort(flat, axis=0), ci_prob)
    rest = values.isel(chain=0, draw=0, drop=True)
    return xr.concat(
        [rest.copy(data=bound) for bound in bounds], pd.Index(["lower", "upper"], name="ci_bound")
    )


def _shortest(ordered: np.ndarray[Any, Any], prob: float) -> np.ndarray[Any, Any]:
    """Find the shortest interval that holds ``prob`` of sorted draws (draw, ...)."""
    count = len(ordered)
    inside = min(int(np.floor(prob * count)), count - 1)
    widths = ordered[inside:] - ordered[: count - inside]
    first = widths.argmin(0)[None]
    lower = np.take_along_axis(ordered, first, 0)[0]
    return np.stack([lower, np.take_along_axis(ordered, first + inside, 0)[0]])


def channel_summary(
    fitted: Fitted,
    ci_prob: float = 0.9,
    ci_kind: CiKind = "eti",
    *,
    max_draws: int | None = None,
) -> SummaryTable:
    """Summarise the spend, the contribution and the returns of each channel.

    Parameters
    ----------
    fitted
        A fit.
    ci_prob, ci_kind
        Probability and kind of the intervals, see :func:`interval`.
    max_draws
        Thin evenly to this many draws.

    Returns
    -------
    SummaryTable
        A DataFrame with one row per channel: ``spend`` (currency), then the posterior median,
        ``_lower``, ``_upper`` and ``_mean`` of ``contribution`` (units of the target), ``share``
        (of the observed target), ``roas`` and ``marginal_roas`` (revenue per unit of money; NaN for
        unpaid media). Its print shows the most important of these within 80 characters.
    """
    brought, money = media_totals(fitted, max_draws=max_draws)
    total = target_total(fitted.data)
    quantities = {
        "contribution": brought,
        "share": brought / total,
        "roas": money / spend(fitted.data),
        "marginal_roas": marginal_roas(fitted, max_draws=max_draws),
    }
    columns: dict[str, Any] = {"spend": fitted.data.ds["spend"].values.sum((0, 1))}
    for name, draws in quantities.items():
        bounds = interval(draws, ci_prob, ci_kind)
        columns[name] = draws.median(_DRAWS, skipna=False).values
        columns[f"{name}_lower"] = bounds.sel(ci_bound="lower").values
        columns[f"{name}_upper"] = bounds.sel(ci_bound="upper").values
        columns[f"{name}_mean"] = draws.mean(_DRAWS).values
    percent = interval_name(ci_prob, ci_kind)
    result = SummaryTable(
        columns,
        index=pd.Index(fitted.data.channels, name="channel"),
        shown=(
            Shown("spend", "spend"),
            Shown("contribution", "contribution"),
            Shown("share", "share", "percent"),
            Shown("ROAS", "roas", "ratio"),
            Shown(percent, ("roas_lower", "roas_upper"), "ratio"),
            Shown("marginal", "marginal_roas", "ratio"),
            Shown(percent, ("marginal_roas_lower", "marginal_roas_upper"), "ratio"),
        ),
        caption=f"Posterior medians. Contribution is in units of {fitted.data.target_name}; ROAS "
        "is revenue per unit\nof spend, marginal that of the next 1%. Columns: spend; contribution,"
        " share, roas,\nmarginal_roas, each also with _lower, _upper and _mean."
        + (NO_SHARE if bool(total.isnull()) else ""),
    )
    result.attrs.update(ci_prob=ci_prob, ci_kind=ci_kind)
    return result


def interval_name(ci_prob: float, ci_kind: CiKind = "eti") -> str:
    """Name an interval in a heading: ``"90% interval"``."""
    return f"{100 * ci_prob:g}% interval" + (" (HDI)" if ci_kind == "hdi" else "")


def parameter_summary(
    fitted: Fitted, ci_prob: float = 0.9, ci_kind: CiKind = "eti"
) -> pd.DataFrame:
    """Summarise the posterior of every parameter with ArviZ.

    Returns
    -------
    pandas.DataFrame
        One row per scalar parameter, in the units of the table: mean, sd, interval, effective
        draws, R-hat, Monte Carlo errors.
    """
    from arviz import summary

    with np.errstate(divide="ignore", invalid="ignore"):  # constants have no R-hat
        return summary(fitted.tree, ci_prob=ci_prob, ci_kind=ci_kind)
