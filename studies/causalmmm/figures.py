"""Figures of the CausalMMM experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mmm_bayes.present.plots.style import (
    FAINT,
    INK,
    canvas,
    channel_colours,
    compact_ticks,
    grid,
    headline,
)
from studies.causalmmm.summary import reliability_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from studies.causalmmm.studies import Study

NDArray = np.ndarray[Any, Any]

_ROW = 0.27  # inches per method


def draw_study(study: Study, table: pd.DataFrame, summary: pd.DataFrame) -> dict[str, Figure]:
    """Draw a study; figures by suffix of a file's name."""
    if study.kind == "curve":
        return {"": _draw_curve(study, table, summary)}
    if study.kind == "timing":
        return {"": _draw_timing(study, summary)}
    if study.kind == "forecast":
        return {"": _draw_forecasts(study, summary)}
    figures = {}
    if study.name == "figure7":
        figures[""] = _draw_grid(study, summary)
    elif study.name == "figure4":
        figures[""] = _draw_lines(study, summary)
    else:
        figures[""] = _draw_dots(study, summary)
    found = reliability_of(table)
    if len(found):
        figures["_reliability"] = _draw_reliability(study, found)
    return figures


def _draw_dots(study: Study, summary: pd.DataFrame) -> Figure:
    """Draw the AUROC of every method, one panel per cell."""
    methods = list(dict.fromkeys(summary["method"]))
    cells = list(dict.fromkeys(summary["cell"]))
    columns = 3 if len(cells) % 3 == 0 else 2
    rows = -(-len(cells) // columns)
    least, most = int(summary["runs"].min()), int(summary["runs"].max())
    runs = f"{most} runs" if least == most else f"{least} to {most} runs"
    with canvas(
        3.6 * min(columns, len(cells)) + 1.6, rows * (_ROW * len(methods) + 0.8) + 0.9
    ) as f:
        headline(f, f"{study.title}: AUROC, mean and standard deviation, {runs}")
        axes = grid(f, len(cells), columns, sharex=True, sharey=True)
        for ax, cell in zip(axes, cells, strict=True):
            _draw_cell(ax, summary[summary["cell"] == cell], methods)
            ax.set_title(cell)
            ax.set_yticks(range(len(methods)), methods, fontsize=8.5)
        axes[0].invert_yaxis()
        handles, labels = axes[0].get_legend_handles_labels()
        f.legend(handles, labels, loc="outside lower left", ncols=3)
    return f


def _draw_cell(ax: Axes, part: pd.DataFrame, methods: list[str]) -> None:
    place = {method: row for row, method in enumerate(methods)}
    looks = (("test", -0.15, "o", "#0072b2"), ("unseen", 0.15, "s", "#e69f00"))
    for shops, shift, marker, colour in looks:
        own = part[part["shops"] == shops]
        ax.errorbar(
            own["auroc"], own["method"].map(place) + shift,
            xerr=own["auroc_sd"].fillna(0.0), fmt=marker, color=colour, markersize=4.0,
            elinewidth=1.0, label="graphs seen in training" if shops == "test" else "unseen graphs",
        )  # fmt: skip
    theirs = part[part["shops"] == "test"]
    if "published_auroc" in theirs:
        ax.plot(
            theirs["published_auroc"], theirs["method"].map(place), "D", color=INK,
            markerfacecolor="white", markersize=4.5, label="published",
        )  # fmt: skip
    ax.axvline(0.5, color=FAINT, linewidth=1.0, zorder=0.5)


def _draw_lines(study: Study, summary: pd.DataFrame) -> Figure:
    """Draw AUROC by number of training shops."""
    methods = list(dict.fromkeys(summary["method"]))
    colours = channel_colours(methods)
    sizes = {cell.label: cell.run.shops for cell in study.cells}
    with canvas(9.0, 4.2) as figure:
        headline(figure, f"{study.title}: AUROC, mean and standard deviation")
        axes = grid(figure, 2, 2, sharey=True)
        names = {"test": "graphs seen in training", "unseen": "unseen graphs"}
        for ax, (shops, title) in zip(axes, names.items(), strict=True):
            for method in methods:
                own = summary[(summary["method"] == method) & (summary["shops"] == shops)]
                ax.errorbar(
                    own["cell"].map(sizes), own["auroc"], yerr=own["auroc_sd"].fillna(0.0),
                    color=colours[method], marker="o", markersize=4.0, label=method,
                )  # fmt: skip
            ax.set_title(title)
            ax.set_xscale("log")
            ticks = sorted(set(sizes.values()))
            ax.set_xticks(ticks, [str(tick) for tick in ticks])
            ax.minorticks_off()
            ax.set_xlabel(study.label)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=4)
    return figure


def _draw_grid(study: Study, summary: pd.DataFrame) -> Figure:
    """Draw AUROC by weight of the prior and temperature, one panel per method."""
    own = summary[summary["shops"] == "test"].copy()
    parts = own["cell"].str.split(", ", expand=True).astype(float)
    own["penalty"], own["heat"] = parts[0], parts[1]
    methods = list(dict.fromkeys(own["method"]))
    low, high = own["auroc"].min(), own["auroc"].max()
    with canvas(4.4 * len(methods) + 0.6, 4.2) as figure:
        runs = int(own["runs"].max())
        headline(figure, f"{study.title}, {f'mean of {runs} runs' if runs > 1 else 'one run'}")
        for ax, method in zip(grid(figure, len(methods), 3), methods, strict=True):
            wide = own[own["method"] == method].pivot_table(
                index="penalty", columns="heat", values="auroc"
            )
            ax.imshow(
                wide, aspect="auto", cmap="Blues", vmin=low - 0.1 * (high - low + 1e-9), vmax=high
            )
            for (row, column), value in np.ndenumerate(wide.to_numpy(float)):
                if np.isnan(value):  # not run
                    continue
                light = value > (low + high) / 2
                ax.text(
                    column, row, f"{value:.3f}", ha="center", va="center", fontsize=8.5,
                    color="white" if light else INK,
                )  # fmt: skip
            ax.set_xticks(range(wide.shape[1]), [f"{x:g}" for x in wide.columns])
            ax.set_yticks(range(wide.shape[0]), [f"{x:g}" for x in wide.index])
            ax.set_title(method)
            ax.set_xlabel("temperature")
            ax.set_ylabel("weight of the divergence from the prior")
            ax.grid(visible=False)
    return figure


def _draw_reliability(study: Study, found: pd.DataFrame) -> Figure:
    """Draw the share of edges by probability, with the number of pairs."""
    methods = list(dict.fromkeys(found["method"]))
    colours = channel_colours(methods)
    with canvas(5.6, 5.8) as figure:
        headline(figure, f"{study.title}: edge probabilities of test shops, all cells and runs")
        top, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        top.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0)
        for method in methods:
            own = found[found["method"] == method]
            top.plot(
                own["probability"], own["edges"], "o-", markersize=4.0, color=colours[method],
                label=method,
            )  # fmt: skip
            bins = len(own)
            below.step((own["bin"] + 0.5) / bins, own["count"], where="mid", color=colours[method])
        top.set_ylabel("share of true edges")
        below.set_ylabel("pairs")
        below.set_yscale("symlog", linthresh=1)
        compact_ticks(below.yaxis)
        below.set_xlabel("probability of the edge")
        top.legend()
    return figure


def _draw_curve(study: Study, table: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw losses of the longest training by epoch, and AUROC by length of training."""
    with canvas(9.0, 4.0) as figure:
        headline(figure, study.title)
        left, right = grid(figure, 2, 2)
        for method, colour in channel_colours(list(dict.fromkeys(table["method"]))).items():
            own = table[table["method"] == method]
            longest = own[own["epochs"] == own["epochs"].max()]
            for name, line in (("loss", "-"), ("validation", ":")):
                curve = np.mean(np.array(longest[name].tolist(), dtype=float), axis=0)
                shops = "training" if name == "loss" else "test"
                at = np.arange(1, len(curve) + 1)
                left.plot(at, curve, line, color=colour, label=f"{method}, {shops} shops")
            part = summary[summary["method"] == method]
            ends = part["cell"].astype(int)
            right.errorbar(
                ends, part["auroc"], yerr=part["auroc_sd"].fillna(0.0), color=colour, marker="o",
                markersize=4.0, label=f"{method}, test shops",
            )  # fmt: skip
            right.plot(
                ends, part["unseen_auroc"], ":", color=colour, label=f"{method}, unseen graphs"
            )
        left.set_title("Loss per shop")
        right.set_title("AUROC by number of epochs, each trained separately")
        right.set_xscale("log")
        trained = sorted(summary["cell"].astype(int).unique())
        right.set_xticks(trained, [str(epochs) for epochs in trained])
        right.minorticks_off()
        for ax in (left, right):
            ax.set_xlabel("epoch")
            ax.legend()
    return figure


def _draw_timing(study: Study, summary: pd.DataFrame) -> Figure:
    """Draw seconds by number of shops and by length, with fitted exponents."""
    titles = {
        "shops": "Seconds by number of training shops",
        "length": "Seconds by length of the series",
    }
    colours = channel_colours(list(dict.fromkeys(summary["method"])))
    with canvas(9.0, 4.2) as figure:
        headline(figure, f"{study.title}: one epoch of CausalMMM, a whole fit of other methods")
        for ax, (axis, title) in zip(grid(figure, 2, 2), titles.items(), strict=True):
            for method, colour in colours.items():
                own = summary[(summary["axis"] == axis) & (summary["method"] == method)]
                if own.empty:
                    continue
                slope = own["exponent"].iloc[0] if "exponent" in own else np.nan
                ax.plot(
                    own["size"], own["seconds"], "o-", color=colour, markersize=4.0,
                    label=f"{method}, exponent {slope:.2f}",
                )  # fmt: skip
            ax.set_title(title)
            ax.set_xscale("log")
            ax.set_yscale("log")
            if ax.lines:
                ax.legend()
    return figure


def _draw_forecasts(study: Study, summary: pd.DataFrame) -> Figure:
    """Draw error and coverage of every method, one panel per horizon."""
    methods = list(dict.fromkeys(summary["method"]))
    horizons = sorted(set(summary["horizon"]))
    place = {method: row for row, method in enumerate(methods)}
    with canvas(3.4 * len(horizons) + 1.4, 2 * (_ROW * len(methods) + 0.9) + 0.6) as figure:
        panels = int(summary["runs"].max())
        headline(figure, f"{study.title}, {panels} panel{'s' if panels > 1 else ''}")
        axes = grid(figure, 2 * len(horizons), len(horizons), sharey=True)
        for number, horizon in enumerate(horizons):
            own = summary[summary["horizon"] == horizon]
            at = own["method"].map(place)
            top, below = axes[number], axes[number + len(horizons)]
            top.errorbar(own["mse"], at, xerr=own["mse_sd"].fillna(0.0), fmt="o", color="#0072b2")
            top.set_title(f"M = {horizon}: squared error a step")
            below.plot(own["coverage"], at, "o", color="#009e73")
            below.axvline(0.9, color=FAINT, linewidth=1.0, zorder=0.5)
            below.axvspan(0.82, 0.97, color="#e6e8eb", zorder=0.4)
            below.set_title("coverage of 90% intervals")
            for ax in (top, below):
                ax.set_yticks(range(len(methods)), methods, fontsize=8.5)
        axes[0].invert_yaxis()
    return figure
