"""Experiments: compared with the model, before and after calibration, and the next to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK, MODEL
from mmm_bayes.runtime.deprecation import named_arguments

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.analysis.calibration_effect import CalibrationEffect
    from mmm_bayes.analysis.next_experiment import ExperimentRanking
    from mmm_bayes.causal.effects.lift_comparison import LiftComparison

_WRONG = "#d55e00"

_MEASURES = {
    "lift": "lift of the outcome over the test's dates and geos",
    "roas": "revenue per unit of money of the test",
    "cost_per_target": "money of the test per unit of target",
}


@named_arguments
def plot_lift_tests(comparison: LiftComparison) -> Figure:
    """Draw every lift test's observed and predicted value, both with intervals.

    Tests of different measures have axes of their own.

    Parameters
    ----------
    comparison
        Result of :func:`mmm_bayes.causal.effects.lift_comparison.compare_lift_tests`.
    """
    table = comparison.table
    groups = [table[table["measure"] == name] for name in _MEASURES]
    groups = [own for own in groups if len(own)]
    sizes = [len(own) for own in groups]
    height = 1.4 + 0.5 * len(groups) + 0.55 * len(table)
    with style.canvas(8.8, height) as figure:
        ratios = [0.7 + size for size in sizes]
        axes = figure.subplots(len(groups), squeeze=False, height_ratios=ratios)[:, 0]
        for ax, own in zip(axes, groups, strict=True):
            _tests_on(ax, own)
        style.headline(figure, "Lift tests and the model: " + comparison.verdict)
        level = style.interval_name(comparison.ci_prob)
        handles = [
            Line2D([], [], color=INK, marker="o", ms=6, label=f"observed, {level}"),
            Line2D([], [], color=MODEL, marker="s", ms=6, label="predicted"),
        ]
        if (table["agreement"] != "agrees").any():
            handles.append(
                Line2D([], [], color=_WRONG, marker="s", ms=6, label="predicted, disagrees")
            )
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


def _tests_on(ax: Axes, table: pd.DataFrame) -> None:
    for place, (_, row) in enumerate(table.iterrows()):
        good = row["agreement"] == "agrees"
        for shift, kind, colour, marker in (
            (-0.13, "observed", INK, "o"),
            (0.13, "predicted", MODEL if good else _WRONG, "s"),
        ):
            y = place + shift
            ax.hlines(y, row[f"{kind}_low"], row[f"{kind}_high"], color=colour, lw=2.2)
            ax.plot(row[kind], y, marker=marker, ms=6.5, color=colour, zorder=4)
        ax.annotate(
            f"{row['agreement']} (z = {round(row['z'], 1) + 0.0:.1f})", (1.01, place),
            xycoords=("axes fraction", "data"), va="center", fontsize=9,
            color=INK if good else _WRONG, annotation_clip=False,
        )  # fmt: skip
    ax.axvline(0.0, color=FAINT, lw=1.0, zorder=1)
    names = [
        str(name) if str(row["channel"]) in str(name) else f"{name} ({row['channel']})"
        for name, row in table.iterrows()
    ]
    _rows(ax, names)
    style.compact_ticks(ax.xaxis)
    ax.set_xlabel(_MEASURES[str(table["measure"].iloc[0])])


def _rows(ax: Axes, names: list[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.grid(axis="y", visible=False)


@named_arguments
def plot_calibration_effect(effect: CalibrationEffect, truth: Any | None = None) -> Figure:
    """Draw each channel's ROAS before and after its experiments, with intervals.

    Parameters
    ----------
    effect
        Result of ``fit.calibration_effect(before)``.
    truth
        Variable ``roas`` (channel), where the truth is known.
    """
    table = effect.channels[effect.channels["roas_after"].notna()]
    tested = {name for label in effect.tests["channel"] for name in str(label).split(" + ")}
    with style.canvas(8.5, 1.7 + 0.6 * len(table)) as figure:
        ax = figure.subplots()
        for place, (name, row) in enumerate(table.iterrows()):
            for shift, when, colour, marker in (
                (-0.14, "before", "#8b9097", "o"),
                (0.14, "after", MODEL, "s"),
            ):
                own = f"roas_{when}"
                y = place + shift
                ax.hlines(y, row[f"{own}_lower"], row[f"{own}_upper"], color=colour, lw=2.4)
                ax.plot(row[own], y, marker=marker, ms=6.5, color=colour, zorder=4)
            if truth is not None:
                value = float(truth["roas"].sel(channel=name))
                ax.plot(value, place, marker="D", ms=5, mfc="white", mec=INK, mew=1.3, zorder=5)
        ax.axvline(1.0, color=FAINT, lw=1.1, ls="--", zorder=1)
        _rows(ax, [f"{name} (tested)" if name in tested else str(name) for name in table.index])
        ax.set_xlabel("revenue per unit of spend; dashed: break-even")
        ax.set_title("ROAS before and after the experiments")
        level = style.interval_name(effect.ci_prob)
        handles = [
            Line2D([], [], color="#8b9097", marker="o", ms=6, label=f"before: median, {level}"),
            Line2D([], [], color=MODEL, marker="s", ms=6, label="after"),
        ]
        if truth is not None:
            handles.append(
                Line2D([], [], lw=0, marker="D", ms=5, mfc="white", mec=INK, mew=1.3, label="truth")
            )
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


@named_arguments
def plot_experiment_ranking(ranking: ExperimentRanking) -> Figure:
    """Draw what each candidate test is worth to the next budget, with its Monte Carlo error.

    Parameters
    ----------
    ranking
        Result of ``fit.rank_experiments(rng_key)``.
    """
    table = ranking.table
    with style.canvas(8.5, 1.9 + 0.42 * len(table)) as figure:
        ax = figure.subplots()
        place = np.arange(len(table))
        ax.barh(place, table["value"], height=0.6, color=MODEL)
        ax.errorbar(
            table["value"], place, xerr=2.0 * table["value_error"], fmt="none", ecolor=INK, lw=1.2
        )
        ax.axvline(ranking.perfect, color=FAINT, lw=1.1, ls="--", zorder=1)
        _rows(ax, [str(name) for name in table.index])
        ax.set_xlim(left=0.0)
        style.compact_ticks(ax.xaxis)
        ax.set_xlabel(
            "revenue that deciding after the test adds, two standard errors; dashed: knowing all"
        )
        style.headline(figure, "Next experiment: " + ranking.verdict)
    return figure
