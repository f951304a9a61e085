"""Return on ad spend of every channel, and of the next percent of spend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK, IntervalKind
from mmm_bayes.runtime.deprecation import named_arguments


@named_arguments
def plot_roas(
    roas: xr.DataArray,
    marginal_roas: xr.DataArray | None = None,
    *,
    truth: xr.Dataset | None = None,
    colours: Mapping[str, str] | None = None,
    ci_prob: float = 0.9,
    ci_kind: IntervalKind = "eti",
) -> Figure:
    """Draw ROAS, and marginal ROAS beneath it, with intervals, and the line of break-even.

    Parameters
    ----------
    roas
        Revenue per unit of spend (chain, draw, channel); channels without spend are left out.
    marginal_roas
        Revenue per unit of spend of the next percent, same dimensions.
    truth
        Variables ``roas`` and ``marginal_roas`` (channel), where the truth is known.
    colours
        By channel.
    ci_prob, ci_kind
        The thin line; the thick one has half of the draws.

    Raises
    ------
    ValueError
        If no channel has a ROAS.
    """
    paid = np.isfinite(roas.values).all((0, 1))
    names = [str(name) for name in roas["channel"].values[paid]]
    if not names:
        raise ValueError("No channel has spend, so there is no ROAS to draw.")
    palette = style.colours_for([str(name) for name in roas["channel"].values], colours)
    rows = [("roas", roas.sel(channel=names), True)]
    if marginal_roas is not None:
        rows.append(("marginal_roas", marginal_roas.sel(channel=names), False))
    step = 0.36 if len(rows) > 1 else 0.0
    with style.canvas(8.5, 1.9 + (0.62 if len(rows) > 1 else 0.42) * len(names)) as figure:
        ax = figure.subplots()
        for place, channel in enumerate(reversed(names)):
            for line, (variable, draws, filled) in enumerate(rows):
                y = place + step / 2 - step * line
                own = draws.sel(channel=channel)
                _interval_row(ax, y, own, palette[channel], filled, ci_prob, ci_kind)
                if truth is not None and variable in truth:
                    value = float(truth[variable].sel(channel=channel))
                    ax.plot(value, y, marker="D", ms=5, mfc="white", mec=INK, mew=1.3, zorder=5)
        ax.axvline(1.0, color=FAINT, lw=1.1, ls="--", zorder=1)
        lowest = min(
            float(style.interval(draws, ci_prob, ci_kind)[0].min()) for _, draws, _ in rows
        )
        if lowest >= 0.0:
            ax.set_xlim(left=0.0)
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.set_yticks(range(len(names)), list(reversed(names)))
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.grid(axis="y", visible=False)
        ax.set_xlabel("revenue per unit of spend; dashed: break-even")
        ax.set_title("Return on ad spend, by channel")
        handles = _key(len(rows) > 1, truth is not None, ci_prob, ci_kind)
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure


def _interval_row(
    ax: Axes,
    y: float,
    draws: xr.DataArray,
    colour: str,
    filled: bool,
    ci_prob: float,
    ci_kind: IntervalKind,
) -> None:
    if not filled:
        colour = style.lighter(colour, 0.35)
    low, high = style.interval(draws, ci_prob, ci_kind)
    inner_low, inner_high = style.interval(draws, _inner(ci_prob), ci_kind)
    ax.hlines(y, float(low), float(high), color=colour, lw=1.6)
    ax.hlines(y, float(inner_low), float(inner_high), color=colour, lw=5.0 if filled else 3.5)
    face = colour if filled else "white"
    ax.plot(float(draws.median()), y, marker="o", ms=7, mfc=face, mec=colour, mew=1.8, zorder=4)


def _inner(ci_prob: float) -> float:
    return 0.5 if ci_prob > 0.5 else ci_prob / 2


def _key(marginal: bool, truth: bool, ci_prob: float, ci_kind: IntervalKind) -> list[Line2D]:
    grey = "#555a61"
    median = f"median, {100 * _inner(ci_prob):g}% and {style.interval_name(ci_prob, ci_kind)}"
    handles = [Line2D([], [], color=grey, marker="o", ms=7, label=f"ROAS: {median}")]
    if marginal:
        handles.append(
            Line2D([], [], color=grey, marker="o", ms=7, mfc="white", label="ROAS of the next 1%")
        )
    if truth:
        handles.append(
            Line2D([], [], lw=0, marker="D", ms=5, mfc="white", mec=INK, mew=1.3, label="truth")
        )
    return handles
