"""Response to spend, and how the effect of one period spreads over the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, IntervalKind
from mmm_bayes.runtime.deprecation import named_arguments


@named_arguments
def plot_response_curves(
    curves: xr.DataArray,
    *,
    colours: Mapping[str, str] | None = None,
    ci_prob: float = 0.9,
    ci_kind: IntervalKind = "eti",
    unit: str = "revenue",
    share_y: bool = True,
) -> Figure:
    """Draw what each channel would bring over the window at other levels of spend.

    Parameters
    ----------
    curves
        Contribution over the window (chain, draw, channel, multiplier) if all of a channel's spend
        were scaled by ``multiplier``, with the coordinate ``spend`` (channel, multiplier).
    colours
        By channel.
    ci_prob, ci_kind
        Interval of the band.
    unit
        What the contribution is measured in.
    share_y
        Whether all panels have one scale of contribution.

    Raises
    ------
    ValueError
        If the coordinate ``spend`` is missing.
    """
    if "spend" not in curves.coords:
        raise ValueError(
            "plot_response_curves needs the coordinate 'spend' (channel, multiplier), as "
            f"response_curves() returns; got {sorted(map(str, curves.coords))}."
        )
    names = [str(name) for name in curves["channel"].values]
    palette = style.colours_for(names, colours)
    curves = style.thin(curves)
    low, high = style.interval(curves, ci_prob, ci_kind)
    middle = curves.median(("chain", "draw"))
    multiplier = curves["multiplier"].values
    columns = min(3 if len(names) != 4 else 2, len(names))
    rows = -(-len(names) // columns)
    with style.canvas(max(5.0, 3.5 * columns), 0.9 + 2.5 * rows) as figure:
        axes = style.grid(figure, len(names), columns, sharey=share_y)
        for place, (ax, name) in enumerate(zip(axes, names, strict=True)):
            spend = curves["spend"].sel(channel=name).values
            # Unpaid media have no spend: their scale is the multiplier itself.
            paid = bool(np.nanmax(spend) > 0)
            x = spend if paid else multiplier
            colour = palette[name]
            ax.fill_between(
                x, low.sel(channel=name), high.sel(channel=name), color=colour, alpha=0.22, lw=0
            )
            ax.plot(x, middle.sel(channel=name), color=colour, lw=1.8)
            now = float(np.interp(1.0, multiplier, x))
            brings = float(np.interp(1.0, multiplier, middle.sel(channel=name)))
            ax.axvline(now, color=FAINT, lw=1.0, ls="--", zorder=1)
            ax.plot(now, brings, marker="o", ms=6, mfc="white", mec=colour, mew=1.8, zorder=4)
            ax.set_title(name, fontsize=10)
            ax.margins(x=0)
            ax.set_xlabel("spend over the window" if paid else "exposure, times today's")
            if not share_y or place % columns == 0:
                ax.set_ylabel(f"contribution, {unit}")
            style.compact_ticks(ax.xaxis)
            style.compact_ticks(ax.yaxis)
            ax.locator_params(axis="x", nbins=5)
        if share_y:
            axes[0].set_ylim(bottom=min(0.0, float(low.min())))
        name = style.interval_name(ci_prob, ci_kind)
        style.headline(
            figure,
            f"Contribution by spend: median, {name}; circle: actual spend",
        )
    return figure


@named_arguments
def plot_adstock_curves(
    posterior: xr.DataArray,
    prior: xr.DataArray | None = None,
    *,
    colours: Mapping[str, str] | None = None,
    ci_prob: float = 0.9,
    ci_kind: IntervalKind = "eti",
    period: str = "period",
) -> Figure:
    """Draw the share of one period's effect that is felt in the periods after it.

    Parameters
    ----------
    posterior
        Adstock weights (chain, draw, channel, lag).
    prior
        The same from the prior, drawn in grey.
    colours
        By channel.
    ci_prob, ci_kind
        Interval of the bands.
    period
        Word for one lag.
    """
    names = [str(name) for name in posterior["channel"].values]
    palette = style.colours_for(names, colours)
    lags = posterior["lag"].values
    columns = min(3 if len(names) != 4 else 2, len(names))
    rows = -(-len(names) // columns)
    mean = posterior.mean(("chain", "draw"))
    low, high = style.interval(style.thin(posterior), ci_prob, ci_kind)
    if prior is not None:
        prior_low, prior_high = style.interval(style.thin(prior), ci_prob, ci_kind)
    with style.canvas(max(5.0, 3.5 * columns), 1.2 + 2.2 * rows) as figure:
        axes = style.grid(figure, len(names), columns, sharex=True, sharey=True)
        for place, (ax, name) in enumerate(zip(axes, names, strict=True)):
            colour = palette[name]
            if prior is not None:
                ax.fill_between(
                    lags,
                    prior_low.sel(channel=name),
                    prior_high.sel(channel=name),
                    color=FAINT,
                    alpha=0.22,
                    lw=0,
                )
            ax.fill_between(
                lags, low.sel(channel=name), high.sel(channel=name), color=colour, alpha=0.3, lw=0
            )
            ax.plot(lags, mean.sel(channel=name), color=colour, marker="o", ms=3.5)
            ax.set_title(name, fontsize=10)
            ax.margins(x=0.02)
            if place >= len(names) - columns:
                ax.set_xlabel(f"{period}s after the spend")
            if place % columns == 0:
                ax.set_ylabel("share of the effect")
            ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes[0].set_ylim(bottom=0.0)
        bands = style.interval_name(ci_prob, ci_kind)
        grey = ", grey: prior" if prior is not None else ""
        style.headline(
            figure,
            f"Carry-over of the effect: posterior mean and {bands}{grey}",
        )
    return figure
