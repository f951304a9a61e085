"""Business KPIs of channels, and statistics of the underlying regression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mmm_bayes.causal.effects.estimate import EffectEstimate, EffectsTable
from mmm_bayes.causal.effects.estimation import robust_error, value_of
from mmm_bayes.causal.effects.regression import least_squares
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import DataError, Finding, nearest

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class KpiColumns:
    """Columns of one channel in a data frame; KPIs that require an unnamed column are omitted.

    Attributes
    ----------
    impressions, clicks, conversions, customers : str or None
        Names of the columns with these counts.
    """

    impressions: str | None = None
    clicks: str | None = None
    conversions: str | None = None
    customers: str | None = None


def regression_statistics(estimate: EffectEstimate) -> pd.DataFrame:
    r"""Return coefficient, robust standard error, t, p and variance inflation of each column.

    The variance inflation factor of column :math:`j` is :math:`1 / (1 - R_j^2)`, with the
    :math:`R^2` of its regression on the other columns. Above ten, the data can hardly separate the
    column from the others.

    Returns
    -------
    pandas.DataFrame
        One row per column: ``coefficient`` (for the treatment, per unit of the transformed dose),
        ``std_error``, ``t``, ``p``, ``vif``.

    Raises
    ------
    DataError
        If the estimate has no arrays.
    """
    import pandas as pd
    from scipy.stats import t

    design = estimate.design
    if design is None:
        message = "The estimate has no arrays; an indirect effect is a difference of two estimates."
        found = Finding("estimate", "error", message, "Use the total and the direct effect.")
        raise DataError([found], "the statistics")
    x = np.column_stack([design.dose, design.covariates, np.ones(design.num_rows)])
    fit = least_squares(design.outcome, x)
    rows = []
    for position, name in enumerate((estimate.treatment, *design.names, "(intercept)")):
        error, dof = robust_error(fit.influence[:, position], design, fit.dof)
        value = float(fit.coefficients[position])
        ratio = value / error if error > 0 else np.nan
        inflation = np.nan
        if name != "(intercept)":
            inflation = variance_inflation(x[:, :-1], position)
        rows.append([name, value, error, ratio, float(2 * t.sf(abs(ratio), dof)), inflation])
    columns = ["column", "coefficient", "std_error", "t", "p", "vif"]
    return pd.DataFrame(rows, columns=columns).set_index("column")


def variance_inflation(x: NDArray, position: int) -> float:
    """Return the variance inflation factor of one column of x (row, p); x has no intercept."""
    own = x[:, position]
    others = np.column_stack([np.ones(len(x)), np.delete(x, position, axis=1)])
    rest = least_squares(own, others).residuals
    spread = float(((own - own.mean()) ** 2).sum())
    left = float(rest @ rest)
    return spread / left if left > 1e-12 * spread else float("inf")


@named_arguments
def business_kpis(
    estimates: EffectsTable | Iterable[EffectEstimate],
    *,
    data: pd.DataFrame | None = None,
    columns: Mapping[str, KpiColumns | Mapping[str, str]] | None = None,
    margin: float = 1.0,
) -> pd.DataFrame:
    r"""Return the KPIs of each channel over the whole table.

    Parameters
    ----------
    estimates : EffectsTable or iterable of EffectEstimate
        Total effects as spent compared with zero are used; other estimates are ignored.
    data : pandas.DataFrame, optional
        Table with the columns named in ``columns``.
    columns : mapping of str to KpiColumns or dict, optional
        Names of the columns of each channel.
    margin : float
        Profit per unit of revenue, for the ROI.

    Returns
    -------
    pandas.DataFrame
        One row per channel: ``spend``; ``incremental_outcome``; ``roas`` with its interval;
        ``marginal_roas``, the ROAS of the next 1% of spend; ``roi``, margin times ROAS minus one;
        ``cost_per_outcome``, spend per incremental unit of the outcome (the acquisition cost if the
        outcome counts customers); ``elasticity``, percentage change of the outcome per percent of
        spend; ``t`` and ``p``. If the columns are named: ``click_through_rate``,
        ``conversion_rate`` (per click), ``cost_per_thousand``, ``cost_per_click``,
        ``cost_per_conversion`` and ``cost_per_customer``. These use the counts in the table, which
        are not incremental.

    Raises
    ------
    DataError
        If columns or estimates of channels are missing. The message lists them all.
    """
    import pandas as pd

    own = estimates.estimates if isinstance(estimates, EffectsTable) else tuple(estimates)
    totals = {
        e.treatment: e for e in own
        if e.effect == "total" and e.settings.contrast == "as_spent_vs_zero"
    }  # fmt: skip
    named = _columns(columns or {}, data, totals)
    rows = []
    for channel, estimate in totals.items():
        row = {"channel": channel, **_returns(estimate, margin)}
        if channel in named and data is not None:
            row |= _funnel(data, named[channel], float(estimate.amount.sum()))
        rows.append(row)
    return pd.DataFrame(rows).set_index("channel") if rows else pd.DataFrame()


def _returns(estimate: EffectEstimate, margin: float) -> dict[str, float]:
    spent, contribution = float(estimate.amount.sum()), estimate.value
    low, high = estimate.roas_interval
    marginal = marginal_value(estimate)
    total = float(estimate.design.outcome.sum()) if estimate.design is not None else np.nan
    return {
        "spend": spent,
        "incremental_outcome": contribution,
        "roas": estimate.roas,
        "roas_low": low,
        "roas_high": high,
        "marginal_roas": marginal * float(estimate.revenue.mean()),
        "roi": margin * estimate.roas - 1.0,
        "cost_per_outcome": spent / contribution if contribution > 0 else float("inf"),
        "elasticity": marginal * spent / total if total else np.nan,
        "t": estimate.t_value,
        "p": estimate.p_value,
    }


def marginal_value(estimate: EffectEstimate) -> float:
    """Return the outcome of one more unit of the treatment, or of money if spend is known."""
    if estimate.fitted is None:
        return float("nan")
    settings = replace(estimate.settings, contrast="per_unit")
    return value_of(replace(estimate, settings=settings), estimate.fitted.parameters)


def _funnel(data: pd.DataFrame, names: KpiColumns, spent: float) -> dict[str, float]:
    total = {
        part: float(data[column].sum())
        for part in ("impressions", "clicks", "conversions", "customers")
        if (column := getattr(names, part)) is not None
    }

    def ratio(one: float | None, other: float | None, scale: float = 1.0) -> float:
        return scale * one / other if one is not None and other else float("nan")

    found = {
        "click_through_rate": ratio(total.get("clicks"), total.get("impressions")),
        "conversion_rate": ratio(total.get("conversions"), total.get("clicks")),
        "cost_per_thousand": ratio(spent, total.get("impressions"), 1000.0),
        "cost_per_click": ratio(spent, total.get("clicks")),
        "cost_per_conversion": ratio(spent, total.get("conversions")),
        "cost_per_customer": ratio(spent, total.get("customers")),
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _columns(
    columns: Mapping[str, KpiColumns | Mapping[str, str]],
    data: pd.DataFrame | None,
    totals: Mapping[str, EffectEstimate],
) -> dict[str, KpiColumns]:
    findings = []
    if columns and data is None:
        findings.append(
            Finding("data", "error", "Columns are named, but no table is given.", "Pass data=.")
        )
    found = {}
    for channel, own in columns.items():
        if channel not in totals:
            hint = nearest(channel, totals).strip() or f"Channels are {', '.join(totals)}."
            message = f"There is no total effect of {channel!r} as spent compared with zero."
            findings.append(Finding("channel", "error", message, hint, channel))
        names = own if isinstance(own, KpiColumns) else None
        if names is None:
            known = KpiColumns.__dataclass_fields__
            wrong = [part for part in own if part not in known]  # type: ignore[union-attr]
            findings += [
                Finding("kpi", "error", f"{part!r} is not a KPI column.",
                        f"KPI columns are {', '.join(known)}.", channel)
                for part in wrong
            ]  # fmt: skip
            if wrong:
                continue
            names = KpiColumns(**own)  # type: ignore[arg-type]
        for part in ("impressions", "clicks", "conversions", "customers"):
            column = getattr(names, part)
            if column is not None and data is not None and column not in data.columns:
                hint = nearest(column, map(str, data.columns)).strip() or "Use a column of data."
                message = f"{channel}: the table has no column {column!r} for {part}."
                findings.append(Finding("column", "error", message, hint, column))
        found[channel] = names
    if findings:
        raise DataError(findings, "the KPI columns")
    return found
