"""The recommended budget, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.present.plots.style import interval_name
from mmm_bayes.present.report import traces
from mmm_bayes.present.report.blocks import Chart, Listing, Note, Section, Table, Text
from mmm_bayes.present.report.context import Context
from mmm_bayes.present.report.words import (
    MINUS,
    between,
    full,
    label,
    plural,
    probability,
    ratio,
    rounded,
    short,
)


def recommendation_section(c: Context, plan: Any) -> Section:
    """Today's and the recommended plan, what it gains, and the plan's own explanation.

    Parameters
    ----------
    c
        The fit.
    plan
        A ``BudgetPlan``.
    """
    table = plan.table
    names = [str(name) for name in table.index]
    today = table["today"].to_numpy(float)
    planned = table["planned"].to_numpy(float)
    bars = [
        {"type": "bar", "orientation": "h", "y": [label(n) for n in names], "x": rounded(values),
         "name": name, "marker": {"color": colour}}
        for name, values, colour in (("today", today, "@faint"), ("recommended", planned, "@model"))
    ]  # fmt: skip
    layout = traces.layout(
        hovermode="y unified",
        barmode="group",
        bargap=0.35,
        xaxis={"title": {"text": f"spend over {_dates(c, plan)}"}, "tickformat": "~s"},
        yaxis={"autorange": "reversed", "type": "category"},
        legend={"traceorder": "normal"},
    )
    moved = np.argsort(-np.abs(planned - today), kind="stable")[:2]
    says = "; ".join(
        f"{names[i]} from {short(today[i])} to {short(planned[i])} "
        f"({_change(planned[i], today[i])})"
        for i in moved
    )
    blocks: list[object] = [Text(_gain(c, plan))]
    blocks += [Note("look", str(text)) for text in plan.warnings]
    blocks.append(
        Chart(
            "budget-chart",
            "Spend by channel",
            f"The largest moves: {says}.",
            "Grey is today's spend, blue the recommended one, both over the dates of the plan. The "
            "table has the contribution of each channel under the recommended plan. Its marginal "
            "ROAS is the return on the next unit of money there: money moves from channels "
            "where it is low to channels where it is high, until its mean is the same in every "
            "channel that no bound holds.",
            {"data": bars, "layout": layout},
            _table(plan, names),
            110 + 46 * len(names),
        )
    )
    if plan.explanation:
        blocks += [Text("Why this plan:"), Listing(tuple(str(text) for text in plan.explanation))]
    residual = float(plan.kkt_residual)
    if np.isfinite(residual) and not any("KKT" in str(text) for text in plan.explanation):
        blocks.append(
            Text(
                f"Optimality (KKT) residual: {residual:.1e}. At 0 no small shift of money would "
                "improve the plan."
            )
        )
    return Section("budget", "Recommended budget", tuple(blocks))


def _change(new: float, old: float) -> str:
    if old <= 0:
        return "new"
    share = new / old - 1.0
    return f"{'+' if share >= 0 else MINUS}{abs(100 * share):.0f}%"


def _dates(c: Context, plan: Any) -> str:
    dates = pd.DatetimeIndex(plan.plan["date"].values)
    return f"{plural(len(dates), c.period)} from {dates[0]:%Y-%m-%d}"


def _gain(c: Context, plan: Any) -> str:
    median, low, high = (float(getattr(plan.gain, name)) for name in ("median", "lower", "upper"))
    unit = plan.settings.get("unit", "revenue")
    return (
        f"Over {_dates(c, plan)} the recommended plan changes "
        f"{c.target if unit == 'target' else 'revenue'} by {_signed(median)} compared with today's "
        f"({between(_signed(low), _signed(high))}, {_level(plan)}), and is the better one with a "
        f"probability of {probability(float(plan.probability_better))}."
    )


def _level(plan: Any) -> str:
    return interval_name(float(plan.settings.get("ci_prob", 0.9)))


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + short(value)


def _limit(value: float, none: str) -> str:
    return full(value) if np.isfinite(value) else none


def _table(plan: Any, names: list[str]) -> Table:
    """Choose the columns of the plan, with intervals next to their medians."""
    table = plan.table
    present = set(map(str, table.columns))
    header: list[str] = ["Channel", "Today", "Recommended", "Change"]
    cells = [
        [full(row["today"]), full(row["planned"]), _change(row["planned"], row["today"])]
        for row in table.to_dict("records")
    ]
    words: list[int] = []
    for low, high, title in (
        ("lower", "upper", "Bounds"), ("observed_low", "observed_high", "Observed"),
    ):  # fmt: skip
        if {low, high} <= present:
            header.append(title)
            for own, row in zip(cells, table.to_dict("records"), strict=True):
                own.append(between(_limit(row[low], "0"), _limit(row[high], "any")))
    if "binds" in present:
        header.append("At a bound")
        words.append(len(header) - 1)
        for own, value in zip(cells, table["binds"], strict=True):
            own.append(str(value) or "no")
    wanted: Iterable[tuple[str, str, Any]] = (
        ("outcome_planned", "Brings", full),
        ("roas", "ROAS", ratio),
        ("marginal_roas", "Marginal ROAS", ratio),
    )
    for column, title, write in wanted:
        if column not in present:
            continue
        header.append(title)
        for own, value in zip(cells, table[column], strict=True):
            own.append(write(float(value)))
        ends = (f"{column}_lower", f"{column}_upper")
        if set(ends) <= present:
            header.append(_level(plan))
            for own, low, high in zip(cells, table[ends[0]], table[ends[1]], strict=True):
                own.append(between(write(float(low)), write(float(high))))
    rows = tuple((name, *own) for name, own in zip(names, cells, strict=True))
    total_today, total = float(table["today"].sum()), float(table["planned"].sum())
    last = ("All", full(total_today), full(total), _change(total, total_today))
    rows += ((*last, *[""] * (len(header) - len(last))),)
    return Table("Today's and the recommended plan", tuple(header), rows, tuple(words))


def multiples_of(plan: Any, channels: Iterable[str]) -> dict[str, float]:
    """Recommended over today's spend of every channel that has any today."""
    table = plan.table
    found = {}
    for name in channels:
        if name in table.index and float(table.loc[name, "today"]) > 0:
            found[name] = float(table.loc[name, "planned"]) / float(table.loc[name, "today"])
    return found
