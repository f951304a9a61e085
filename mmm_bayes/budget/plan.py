"""The result of an optimisation: a plan with its table, its explanation and its warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.budget.evaluation import Evaluator, Summary
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.numbers import compact, in_full
from mmm_bayes.runtime.report import Report, table_as_html
from mmm_bayes.runtime.summary_table import Shown, SummaryTable
from mmm_bayes.runtime.visible import visible_html

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class Binding:
    """A limit that binds.

    Attributes
    ----------
    name
        Name of the limit.
    side
        ``"lower"``, ``"upper"`` or ``"equal"``.
    price
        Gain of the objective if the limit were one unit of money wider (the total: higher).
    """

    name: str
    side: str
    price: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class BudgetPlan(Report):
    """A plan of spend, its expected outcome, and an explanation.

    Outcomes are in money (``unit="revenue"``) or units of the target. They are the effect of the
    window's media, within it and in the ``max_lag - 1`` periods after it. Medians and intervals are
    over held-out draws of the posterior: draws that did not choose the plan.

    Attributes
    ----------
    plan, today
        Spend (channel, geo, date).
    table
        One row per channel: spend ``today`` and ``planned``, ``change`` (as a share of today's),
        ``lower`` and ``upper`` (limits of its money, if any), ``binds`` (which of them bind);
        ``outcome_today``, ``outcome_planned``, ``roas`` and ``marginal_roas``, each with ``_lower``
        and ``_upper``; and ``observed_low`` and ``observed_high``, the range of its spend over all
        observed windows of this length.
    outcome, outcome_today, gain
        Summaries of the outcome of the plan, of today's plan, and of their difference.
    probability_better
        Share of draws in which the plan's outcome is larger than today's; ties count half.
    value, value_today
        The objective of both plans, on the draws that chose the plan.
    kkt_residual
        Distance from the conditions of an optimum: see :mod:`mmm_bayes.budget.optimality`.
    price_of_total
        Increase of the objective per additional unit of money in the total.
    binding
        Limits that bind, with their prices.
    explanation, warnings
        Sentences about the plan, and cautions.
    settings
        Arguments that the plan was made with.
    """

    plan: xr.DataArray
    today: xr.DataArray
    table: pd.DataFrame
    outcome: Summary
    outcome_today: Summary
    gain: Summary
    probability_better: float
    value: float
    value_today: float
    kkt_residual: float
    price_of_total: float
    binding: tuple[Binding, ...]
    explanation: tuple[str, ...]
    warnings: tuple[str, ...]
    settings: dict[str, Any]
    starts: dict[str, float]
    evaluator: Evaluator = field(compare=False)

    @property
    def total(self) -> float:
        """Total money of the plan."""
        return float(self.plan.sum())

    def to_frame(self) -> pd.DataFrame:
        """Return the spend as a long table: channel, geo, date, ``today`` and ``planned``."""
        both = xr.Dataset({"today": self.today, "planned": self.plan})
        frame = both.to_dataframe().reset_index()
        return frame[["channel", "geo", "date", "today", "planned"]]

    @named_arguments
    def response_curves(
        self, multipliers: NDArray | None = None, *, around: str = "plan"
    ) -> xr.DataArray:
        """Return each channel's outcome for other amounts of its money, the others as planned.

        Parameters
        ----------
        multipliers
            Multiples of the channel's larger budget in the two plans; 0 to 1.5 by default.
        around
            ``"plan"`` or ``"today"``: the plan whose spread over geos and dates is used.

        Returns
        -------
        xarray.DataArray
            ``(sample, channel, multiplier)`` with the coordinate ``spend (channel, multiplier)``.
        """
        if around not in ("plan", "today"):
            raise ValueError(f"around should be 'plan' or 'today', but is {around!r}.")
        factors = np.linspace(0.0, 1.5, 31) if multipliers is None else np.asarray(multipliers)
        base = (self.plan if around == "plan" else self.today).values
        other = (self.today if around == "plan" else self.plan).values
        own, alternative = base.sum((1, 2)), other.sum((1, 2))
        levels = np.multiply.outer(np.maximum(own, alternative), factors)
        shape = np.where((own > 0)[:, None, None], base, other)
        sums = shape.sum((1, 2), keepdims=True)
        shape = shape / np.where(sums > 0, sums, 1.0)
        names = [str(name) for name in self.plan["channel"].values]
        found = []
        for k in range(len(factors)):
            parts = []
            for c in range(len(names)) if _interacts(self.evaluator) else (None,):
                plan = base.copy()
                rows = slice(None) if c is None else slice(c, c + 1)
                plan[rows] = levels[rows, k][:, None, None] * shape[rows]
                values = self.evaluator.channel_outcomes(plan)
                parts.append(values if c is None else values[:, c])
            found.append(parts[0] if len(parts) == 1 and parts[0].ndim == 2 else np.stack(parts, 1))
        return xr.DataArray(
            np.stack(found, -1),
            {
                "channel": names,
                "multiplier": factors,
                "spend": (("channel", "multiplier"), levels),
            },
            ("sample", "channel", "multiplier"),
            "outcome",
        )

    def __str__(self) -> str:
        return "\n".join(
            [
                self.headline,
                "",
                f"{self.summary()}",
                "",
                *(f"- {line}" for line in self.explanation),
                *(["", "Warnings:"] if self.warnings else []),
                *(f"- {line}" for line in self.warnings),
            ]
        )

    def summary(self) -> pd.DataFrame:
        """Return the table of channels, which prints within 100 columns."""
        shown = [
            Shown("today", "today", "full"),
            Shown("planned", "planned", "full"),
            Shown("change", "change", "change"),
            Shown("contribution", "outcome_planned"),
            Shown("interval", ("outcome_planned_lower", "outcome_planned_upper")),
            Shown("marginal", "marginal_roas", "ratio"),
            Shown("interval", ("marginal_roas_lower", "marginal_roas_upper"), "ratio"),
        ]
        if self.binding:
            shown.insert(3, Shown("at limit", "binds", "text"))
        return SummaryTable(self.table, shown=shown)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The warnings."""
        return tuple(Finding("plan", "warning", text) for text in self.warnings)

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{visible_html(line)}</li>" for line in self.explanation)
        cautions = "".join(f"<li>{visible_html(line)}</li>" for line in self.warnings)
        warned = f"<p><strong>Warnings</strong></p><ul>{cautions}</ul>" if cautions else ""
        return (
            f"<p>{visible_html(self.headline)}</p>"
            f"{table_as_html(self.summary())}<ul>{lines}</ul>{warned}"
        )

    @property
    def headline(self) -> str:
        """The plan in one sentence."""
        dates = pd.DatetimeIndex(self.plan["date"].values)
        return (
            f"Plan of {in_full(self.total)} over {len(dates)} periods from {dates[0]:%Y-%m-%d}: "
            f"gain over today's plan {compact(self.gain.median, 4)} "
            f"({compact(self.gain.lower, 4)} to {compact(self.gain.upper, 4)}), "
            f"better with probability {self.probability_better:.2f}"
        )


def _interacts(evaluator: Evaluator) -> bool:
    """Return whether a channel's outcome depends on the other channels."""
    return bool(np.shape(evaluator.response.base)[-1])
