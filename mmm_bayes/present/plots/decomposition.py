"""What the target is made of: baseline, controls and channels."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import BASELINE, FAINT, INK, OBSERVED, IntervalKind, legend_name
from mmm_bayes.runtime.deprecation import named_arguments


@named_arguments
def plot_contributions(
    contributions: xr.DataArray,
    *,
    observed: xr.DataArray | None = None,
    colours: Mapping[str, str] | None = None,
    target: str = "target",
    period: str = "period",
) -> Figure:
    """Stack posterior mean contributions over the dates: all of them, then media alone.

    Controls count into the grey area, since many of them pull down as often as they lift.

    Parameters
    ----------
    contributions
        (chain, draw, component, date) in units of the target, with the coordinate ``kind``
        (``"baseline"``, ``"control"``, ``"media"``, ``"interaction"``) along ``component``.
    observed
        Target (date), drawn over the stack.
    colours
        By channel; by the channels' order unless given.
    target, period
        Words for the axes.

    Raises
    ------
    ValueError
        If ``contributions`` lack the coordinate ``kind`` or the dimension ``date``.
    """
    if "kind" not in contributions.coords or "date" not in contributions.dims:
        raise ValueError(
            "plot_contributions needs contributions by date with the coordinate 'kind', as "
            f"contributions(by=['date']) returns; got dimensions {contributions.dims} and "
            f"coordinates {sorted(map(str, contributions.coords))}."
        )
    mean = contributions.mean(("chain", "draw"))
    kind = mean["kind"]
    channels = [str(name) for name in mean["component"].values[kind.values == "media"]]
    palette = style.colours_for(channels, colours)
    dates = mean["date"].values
    ground = mean.isel(component=(kind != "media").values).sum("component").values
    media = [mean.sel(component=name).values for name in channels]
    name = "baseline and controls" if (kind == "control").any() else "baseline"
    with style.canvas(10, 6.4) as figure:
        whole, alone = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, 1.0])
        whole.fill_between(dates, 0.0, ground, color=BASELINE, lw=0, label=name)
        _stack(whole, dates, ground, media, channels, palette)
        if observed is not None:
            whole.plot(dates, observed, color=OBSERVED, lw=0.9, label="observed")
        whole.set_title(f"Contributions to {target} (posterior means)")
        whole.set_ylabel(f"{target} per {period}")
        _stack(alone, dates, 0.0 * ground, media, channels, palette)
        alone.set_title("media only")
        alone.set_ylabel(f"{target} per {period}")
        for ax in (whole, alone):
            ax.margins(x=0.005)
            if all(part.min() >= 0 for part in (ground, *media)):
                ax.set_ylim(bottom=0)
            style.compact_ticks(ax.yaxis)
            style.date_ticks(ax)
        whole.tick_params(labelbottom=False)
        # Top of the legend is top of the stack.
        handles, labels = whole.get_legend_handles_labels()
        areas = len(channels) + 1
        order = [*range(areas - 1, -1, -1), *range(areas, len(labels))]
        figure.legend(
            [handles[i] for i in order],
            [labels[i] for i in order],
            loc="outside right upper",
        )
    return figure


def _stack(
    ax: Axes,
    dates: style.NDArray,
    ground: style.NDArray,
    parts: list[style.NDArray],
    names: list[str],
    palette: Mapping[str, str],
) -> None:
    lower = ground
    for name, part in zip(names, parts, strict=True):
        upper = lower + part
        ax.fill_between(dates, lower, upper, color=palette[name], lw=0, label=legend_name(name))
        lower = upper


@named_arguments
def plot_contribution_bars(
    contributions: xr.DataArray,
    *,
    colours: Mapping[str, str] | None = None,
    ci_prob: float = 0.9,
    ci_kind: IntervalKind = "eti",
    target: str = "target",
    shares: bool = True,
) -> Figure:
    """Draw the total contribution of every channel: median, interval and share.

    Parameters
    ----------
    contributions
        Totals (chain, draw, component) in units of the target, with the coordinate ``kind``.
    colours
        By channel.
    ci_prob, ci_kind
        Interval of the whiskers and shares.
    target
        What is measured.
    shares
        Whether shares of the target are shown; they have no meaning for a target of both signs.
    """
    kind = contributions["kind"].values
    media = contributions.isel(component=kind == "media")
    total = contributions.sum("component")
    middle = media.median(("chain", "draw"))
    order = middle.argsort().values
    names = [str(name) for name in middle["component"].values]
    palette = style.colours_for(names, colours)
    low, high = style.interval(media, ci_prob, ci_kind)
    share_low, share_high = style.interval(media / total, ci_prob, ci_kind)
    share = (media / total).median(("chain", "draw"))
    whole = media.sum("component") / total
    whole_low, whole_high = style.interval(whole, ci_prob, ci_kind)
    with style.canvas(9, 1.5 + 0.48 * len(names)) as figure:
        ax = figure.subplots()
        for place, c in enumerate(order):
            value = float(middle[c])
            lower, upper = float(low[c]), float(high[c])
            ax.barh(place, value, color=palette[names[c]], height=0.62, alpha=0.9)
            ax.hlines(place, lower, upper, color=INK, lw=1.4)
            ax.vlines([lower, upper], place - 0.12, place + 0.12, color=INK, lw=1.4)
            text = (
                f"{compact_percent(share[c])}  "
                f"({compact_percent(share_low[c])} to {compact_percent(share_high[c])})"
                if shares
                else ""
            )
            ax.annotate(
                text,
                (max(upper, value, 0.0), place),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        ax.axvline(0.0, color=FAINT, lw=0.8)
        ax.set_ylim(-0.7, len(names) - 0.3)
        ax.set_yticks(range(len(names)), [names[c] for c in order])
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.grid(axis="y", visible=False)
        # Room for the shares at the right.
        right = max(float(high.max()), 0.0)
        left = min(float(low.min()), 0.0)
        ax.set_xlim(left * 1.05, right + 0.3 * (right - left))
        style.compact_ticks(ax.xaxis)
        name = style.interval_name(ci_prob, ci_kind)
        if not shares:
            ax.set_xlabel(f"{target} over the whole window; median, {name}")
            ax.set_title(f"Contribution of each channel (no shares: {target} has both signs)")
            return figure
        ax.set_xlabel(f"{target} over the whole window; median, {name}, share of {target}")
        ax.set_title(
            "Contribution of each channel; "
            f"all media {compact_percent(whole.median())} of {target} "
            f"({compact_percent(whole_low)} to {compact_percent(whole_high)})"
        )
    return figure


def compact_percent(share: xr.DataArray | float) -> str:
    """Write a share as percent, to a tenth below ten percent."""
    value = 100.0 * float(share)
    return f"{value:.1f}%" if abs(value) < 10 else f"{value:.0f}%"
