"""A plan of spend compared with today's: money, contribution, response curves, timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mmm_bayes.budget.plan import BudgetPlan
from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK
from mmm_bayes.runtime.deprecation import named_arguments, renamed
from mmm_bayes.runtime.numbers import compact

NDArray = np.ndarray[Any, Any]

_GREY = "#555a61"


@named_arguments
def plot_plan(plan: BudgetPlan, *, colours: Mapping[str, str] | None = None) -> Figure:
    """Draw each channel's money and outcome, today's and planned, outcomes with intervals.

    Parameters
    ----------
    plan
        A result of :func:`mmm_bayes.budget.optimize_budget`.
    colours
        By channel.
    """
    table = plan.table
    names = [str(name) for name in table.index]
    palette = _palette(plan, colours)
    with style.canvas(9.5, 1.7 + 0.62 * len(names)) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for place, name in enumerate(reversed(names)):
            row, colour = table.loc[name], palette[name]
            pale = style.lighter(colour, 0.55)
            left.barh(place + 0.19, row["today"], 0.34, color=pale)
            left.barh(place - 0.19, row["planned"], 0.34, color=colour)
            for shift, side, shade in ((0.19, "today", pale), (-0.19, "planned", colour)):
                middle = row[f"outcome_{side}"]
                ends = row[f"outcome_{side}_lower"], row[f"outcome_{side}_upper"]
                right.barh(place + shift, middle, 0.34, color=shade)
                right.hlines(place + shift, *ends, color=INK, lw=1.3)
            if row["binds"]:
                left.annotate(
                    f" {row['binds']}",
                    (max(row["planned"], 0.0), place - 0.19),
                    va="center",
                    fontsize=8,
                    color=_GREY,
                )
        left.set_yticks(range(len(names)), list(reversed(names)))
        left.tick_params(axis="y", length=0, labelcolor=INK)
        for ax, title in (
            (left, "Spend over the window"),
            (right, f"{_unit(plan).capitalize()} it brings, {_interval(plan)}"),
        ):
            ax.grid(axis="y", visible=False)
            ax.set_title(title)
            style.compact_ticks(ax.xaxis)
            ax.locator_params(axis="x", nbins=6)
        left.margins(x=0.16)
        handles = [
            Patch(color=style.lighter(_GREY, 0.55), label="today"),
            Patch(color=_GREY, label="planned (limits are named)"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2)
        style.headline(figure, _gain(plan))
    return figure


@renamed(points="num_points")
def plot_plan_curves(
    plan: BudgetPlan, *, colours: Mapping[str, str] | None = None, num_points: int = 25
) -> Figure:
    """Draw what each channel brings at other amounts, spread as planned, with both plans' points.

    The observed range of windows of this length is shaded on the axis: beyond it the curve is
    extrapolated.
    """
    curves = plan.response_curves(np.linspace(0.0, 1.5, num_points))
    table = plan.table
    names = [str(name) for name in table.index]
    palette = _palette(plan, colours)
    tail = 0.5 * (1.0 - float(plan.settings["ci_prob"]))
    columns = min(3 if len(names) != 4 else 2, len(names))
    rows = -(-len(names) // columns)
    with style.canvas(max(5.0, 3.5 * columns), 1.3 + 2.5 * rows) as figure:
        axes = style.grid(figure, len(names), columns)
        for place, (ax, name) in enumerate(zip(axes, names, strict=True)):
            own = curves.sel(channel=name)
            spend, colour = own["spend"].values, palette[name]
            low, middle, high = np.quantile(own.values, [tail, 0.5, 1.0 - tail], axis=0)
            ax.fill_between(spend, low, high, color=colour, alpha=0.22, lw=0)
            ax.plot(spend, middle, color=colour, lw=1.8)
            row = table.loc[name]
            _observed(ax, float(table["observed_low"][name]), float(table["observed_high"][name]))
            for amount, face in ((row["today"], "white"), (row["planned"], colour)):
                brings = float(np.interp(amount, spend, middle))
                ax.plot(amount, brings, marker="o", ms=7, mfc=face, mec=colour, mew=1.8, zorder=5)
            next_unit = compact(float(table["marginal_roas"][name]))
            ax.set_title(f"{name}: next unit returns {next_unit}", fontsize=10)
            ax.set_xlim(0.0, float(spend.max()) or 1.0)
            ax.set_xlabel("spend over the window")
            if place % columns == 0:
                ax.set_ylabel(_unit(plan))
            style.compact_ticks(ax.xaxis)
            style.compact_ticks(ax.yaxis)
            ax.locator_params(axis="x", nbins=5)
        handles = [
            Line2D([], [], lw=0, marker="o", ms=7, mfc="white", mec=_GREY, mew=1.8, label="today"),
            Line2D([], [], lw=0, marker="o", ms=7, color=_GREY, label="planned"),
            Patch(color=FAINT, alpha=0.35, label="observed range of spend"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
        style.headline(
            figure,
            f"Contribution at other levels of spend, spread as planned: median, {_interval(plan)}",
        )
    return figure


@named_arguments
def plot_flighting(plan: BudgetPlan, *, colours: Mapping[str, str] | None = None) -> Figure:
    """Draw the money of every channel over the dates of the window, today's and planned."""
    planned, today = plan.plan.sum("geo"), plan.today.sum("geo")
    names = [str(name) for name in plan.table.index]
    palette = _palette(plan, colours)
    columns = min(3 if len(names) != 4 else 2, len(names))
    rows = -(-len(names) // columns)
    with style.canvas(max(6.0, 3.7 * columns), 1.3 + 1.9 * rows) as figure:
        axes = style.grid(figure, len(names), columns, sharex=True)
        for place, (ax, name) in enumerate(zip(axes, names, strict=True)):
            dates, colour = planned["date"].values, palette[name]
            ax.step(dates, today.sel(channel=name), where="mid", color=FAINT, lw=1.2)
            ax.step(dates, planned.sel(channel=name), where="mid", color=colour, lw=1.8)
            ax.fill_between(
                dates, _values(planned, name), step="mid", color=colour, alpha=0.18, lw=0
            )
            ax.set_title(name, fontsize=10)
            ax.set_ylim(bottom=0.0)
            if place % columns == 0:
                ax.set_ylabel("spend per period")
            style.compact_ticks(ax.yaxis)
            style.date_ticks(ax, 5)
        handles = [
            Line2D([], [], color=FAINT, lw=1.2, label="today"),
            Line2D([], [], color=_GREY, lw=1.8, label="planned"),
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2)
        style.headline(figure, "Spend over time")
    return figure


def _values(values: xr.DataArray, name: str) -> NDArray:
    return np.asarray(values.sel(channel=name).values)


def _observed(ax: Axes, low: float, high: float) -> None:
    ax.axvspan(low, high, ymax=0.035, color=FAINT, alpha=0.45, lw=0, zorder=0)


def _palette(plan: BudgetPlan, colours: Mapping[str, str] | None) -> dict[str, str]:
    return style.colours_for([str(name) for name in plan.plan["channel"].values], colours)


def _unit(plan: BudgetPlan) -> str:
    return "revenue" if plan.settings["unit"] == "revenue" else "target"


def _interval(plan: BudgetPlan) -> str:
    return style.interval_name(float(plan.settings["ci_prob"]))


def _gain(plan: BudgetPlan) -> str:
    gain, spent = plan.gain, plan.total - float(plan.today.sum())
    text = (
        f"Gain over today's plan: {compact(gain.median)} ({compact(gain.lower)} to "
        f"{compact(gain.upper)}), better with probability {plan.probability_better:.2f}"
    )
    if abs(spent) > 1e-6 * max(float(plan.today.sum()), 1e-300):
        text += f"; spend {compact(abs(spent))} {'more' if spent > 0 else 'less'}"
    return text
