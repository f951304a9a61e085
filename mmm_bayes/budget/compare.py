"""Compare given plans with today's plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.budget.checks import check_arguments, read_plan
from mmm_bayes.budget.cost import CostCurve
from mmm_bayes.budget.evaluation import labelled
from mmm_bayes.budget.plan import BudgetPlan
from mmm_bayes.budget.scenario import scenario_of, window_asked_for
from mmm_bayes.budget.window import After, Unit
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.report import Report, table_as_html
from mmm_bayes.runtime.summary_table import Shown, SummaryTable

NDArray = np.ndarray[Any, Any]

TODAY = "today"


@final
@dataclass(frozen=True, eq=False, repr=False)
class PlanComparison(Report):
    """Plans compared with today's.

    Attributes
    ----------
    table
        One row per plan, today's first: ``spend``; medians of ``outcome``, ``difference`` (from
        today's plan, within each draw) and ``roas``, each with ``_lower`` and ``_upper``;
        ``probability_better`` (than today's plan) and ``probability_best`` (of all plans).
    outcomes
        Draws of each plan's outcome (sample, plan).
    channel_outcomes
        Median outcome of each channel (plan, channel).
    plans
        Spend (plan, channel, geo, date).
    """

    table: pd.DataFrame
    outcomes: xr.DataArray
    channel_outcomes: xr.DataArray
    plans: xr.DataArray

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def summary(self) -> pd.DataFrame:
        """Return the table of plans, which prints within 100 columns."""
        shown = (
            Shown("spend", "spend", "full"),
            Shown("contribution", "outcome"),
            Shown("difference", "difference"),
            Shown("interval", ("difference_lower", "difference_upper")),
            Shown("ROAS", "roas", "ratio"),
            Shown("better", "probability_better", "probability"),
            Shown("best", "probability_best", "probability"),
        )
        return SummaryTable(self.table, shown=shown)

    def __str__(self) -> str:
        return f"{self.summary()}"

    def _repr_html_(self) -> str:
        return table_as_html(self.summary())


@named_arguments
def compare_plans(
    fitted: Fitted,
    plans: Mapping[str, Any],
    *,
    periods: int | None = None,
    start: Any = None,
    reference: Any = None,
    cost: Mapping[str, CostCurve | float] | None = None,
    controls: Mapping[str, NDArray] | None = None,
    unit: Unit = "revenue",
    after: After = "today",
    max_draws: int = 1000,
    ci_prob: float = 0.9,
) -> PlanComparison:
    """Compare given plans with today's plan, over the same draws.

    Parameters
    ----------
    fitted
        A fit.
    plans
        Plans by name, each in one of these forms: ``{channel: money over the window}``, spread over
        geos and dates like today's plan (``"x1.2"`` for 1.2 times today's; channels that are not
        named keep today's plan); a wide table with one row per date (and geo) and one column per
        channel; a long table with ``channel``, ``date`` and ``planned`` or ``spend``; an
        ``xarray.DataArray`` (channel, geo, date); or a :class:`BudgetPlan`.
    periods, start, reference, cost, controls, unit, after
        As in :func:`mmm_bayes.budget.optimize.optimize_budget`; ``periods`` defaults to
        the length of the first plan with dates.
    max_draws, ci_prob
        Number of draws to compare over, and mass of the intervals. An optimised plan looks too good
        on the draws that chose it, so the comparison uses the held-out draws.

    Returns
    -------
    PlanComparison

    Raises
    ------
    DataError
        Listing every problem of every plan.
    """
    findings = check_arguments(
        fitted.data, total=None, goal="maximise", target_value=None, spend="exact",
        objective="mean", level=None, risk_aversion=None, by=("channel",), periods=periods,
        start=start, unit=unit, after=after, num_starts=0, max_draws=max_draws, ci_prob=ci_prob,
        cost=cost, controls=controls,
    )  # fmt: skip
    if not plans:
        findings.append(
            Finding("plans", "error", "No plan was given.", "Give plans as {name: plan}.")
        )
    if TODAY in plans:
        message = f"The name {TODAY!r} is reserved for today's plan."
        findings.append(Finding("plans", "error", message, "Give your plan another name."))
    if findings:
        raise DataError(findings, "the plans")
    given = {
        name: plan.plan if isinstance(plan, BudgetPlan) else plan for name, plan in plans.items()
    }
    periods = periods or next(
        (plan.sizes["date"] for plan in given.values() if isinstance(plan, xr.DataArray)), None
    )
    window, findings = window_asked_for(fitted, periods, start, reference)
    spend_by_name = {TODAY: window.reference}
    for name, plan in given.items():
        found, problems = read_plan(
            plan, window.reference, fitted.data, window.dates, window.paid, f"the plan {name!r}"
        )
        findings += problems
        if found is not None:
            spend_by_name[name] = found
    if findings:
        raise DataError(findings, "the plans")
    evaluator = scenario_of(
        fitted, window, cost=cost, controls=controls, unit=unit, after=after, max_draws=max_draws
    ).evaluator
    draws = np.stack([evaluator.outcomes(spend) for spend in spend_by_name.values()], 1)
    by_channel = np.stack(
        [evaluator.channel_outcomes(spend) for spend in spend_by_name.values()], 1
    )
    names = list(spend_by_name)
    coords = {"plan": names, "channel": fitted.data.channels}
    stacked = [
        labelled(spend, fitted.data.channels, fitted.data.geos, window.dates, "spend")
        for spend in spend_by_name.values()
    ]
    return PlanComparison(
        table=_table(
            draws, np.array([spend.sum() for spend in spend_by_name.values()]), names, ci_prob
        ),
        outcomes=xr.DataArray(draws, {"plan": names}, ("sample", "plan"), "outcome"),
        channel_outcomes=xr.DataArray(np.median(by_channel, 0), coords, ("plan", "channel")),
        plans=xr.concat(stacked, pd.Index(names, name="plan")),
    )


def _table(draws: NDArray, spend: NDArray, names: list[str], ci_prob: float) -> pd.DataFrame:
    tail = [0.5 * (1 - ci_prob), 0.5, 1 - 0.5 * (1 - ci_prob)]
    difference = draws - draws[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        roas = draws / np.where(spend > 0, spend, np.nan)
    columns: dict[str, Any] = {"spend": spend}
    for name, values in (("outcome", draws), ("difference", difference), ("roas", roas)):
        lower, middle, upper = np.quantile(values, tail, axis=0)
        columns |= {name: middle, f"{name}_lower": lower, f"{name}_upper": upper}
    columns["probability_better"] = (difference > 0).mean(0) + 0.5 * (difference == 0).mean(0)
    best = draws == draws.max(1, keepdims=True)
    # Identical plans share the draws in which they are best.
    columns["probability_best"] = (best / best.sum(1, keepdims=True)).mean(0)
    return pd.DataFrame(columns, index=pd.Index(names, name="plan"))
