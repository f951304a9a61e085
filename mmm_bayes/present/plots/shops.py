"""Panels of shops: calibration of edges, lag profiles, forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK, MODEL, OBSERVED
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import listing, nearest
from mmm_bayes.runtime.numbers import compact

NDArray = np.ndarray[Any, Any]

_MOST_SHOPS = 6
_HISTORY = 60


@named_arguments
def plot_reliability(
    probabilities: xr.DataArray | NDArray,
    adjacency: xr.DataArray | NDArray,
    *,
    bins: int = 10,
    title: str = "Calibration of edge probabilities",
) -> Figure:
    """Draw how often pairs with a predicted probability are edges, and how many pairs there are.

    Parameters
    ----------
    probabilities, adjacency
        Probabilities and known edges (shop, source, target), or of one shop (source, target).
    bins
        Number of bins of equal width.
    title
        Before the expected calibration error (mean distance from the diagonal over pairs).

    Raises
    ------
    DataError
        If shapes differ or probabilities lie outside 0 to 1.
    """
    from mmm_bayes.causal_mmm.networks.metrics import expected_calibration_error, reliability

    p, truth = np.asarray(probabilities, float), np.asarray(adjacency)
    table = reliability(p, truth, bins)
    error = expected_calibration_error(p, truth, bins)
    some = table.count > 0
    with style.canvas(5.4, 5.6) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1.0))
        top.plot([0, 1], [0, 1], color=FAINT, ls="--", lw=1.0, label="as often as predicted")
        x, y = table.predicted[some], table.observed[some]
        bounds = np.clip([y - table.low[some], table.high[some] - y], 0.0, None)
        top.errorbar(x, y, bounds, fmt="o", ms=5, color=MODEL, lw=1.2, label="share, 95% interval")
        top.set(ylabel="share of pairs that are edges", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        top.legend(loc="upper left")
        middles = 0.5 * (table.edges[1:] + table.edges[:-1])
        bars = bottom.bar(middles, table.count, 0.92 / bins, color=style.lighter(MODEL, 0.45))
        bottom.bar_label(bars, [compact(c) if c else "" for c in table.count], fontsize=8)
        bottom.set_yscale("symlog", linthresh=1.0)
        bottom.set_ylim(0.0, 8.0 * max(table.count.max(), 1))
        bottom.set_yticks([])
        bottom.yaxis.set_minor_locator(NullLocator())
        bottom.grid(False)
        bottom.spines["left"].set_visible(False)
        bottom.set(xlabel="predicted probability of the edge", ylabel="pairs (log)")
        style.headline(figure, f"{title}: expected error {error:.3f}")
    return figure


@named_arguments
def plot_lag_profiles(
    profiles: xr.DataArray,
    pairs: int | Sequence[tuple[str, str]] = 9,
    *,
    probabilities: xr.DataArray | None = None,
    period: str = "period",
) -> Figure:
    """Draw by how much, and after how long, a source moves a target.

    Parameters
    ----------
    profiles
        Effect (source, target, lag), as ``CausalMMM.lag_profiles()`` returns.
    pairs
        Which (source, target), or how many: those with the greatest sum of absolute effects, times
        the mean probability if it is given. What a node does to itself is left out.
    probabilities
        Of edges (shop, source, target), whose mean over shops is shown with each pair: the profile
        of an edge that hardly any shop has means little.
    period
        Word for one lag.

    Raises
    ------
    ValueError
        If a pair names no node of the profiles, or none is left to draw.
    """
    profiles = profiles.transpose("source", "target", "lag")
    share = None
    if probabilities is not None:
        rest = [dim for dim in probabilities.dims if dim not in ("source", "target")]
        share = probabilities.mean(rest).transpose("source", "target")
    chosen = _strongest(profiles, share, pairs) if isinstance(pairs, int) else list(pairs)
    nodes = [str(name) for name in profiles["source"].values]
    unknown = {name for pair in chosen for name in pair if name not in nodes}
    if unknown or not chosen:
        name = min(unknown, default="")
        what = f"no node {name!r}.{nearest(name, nodes)}" if unknown else "no pair to draw."
        raise ValueError(f"The lag profiles have {what} Known: {listing(nodes, 20)}.")
    lags = profiles["lag"].values
    columns = min(3 if len(chosen) != 4 else 2, len(chosen))
    rows = -(-len(chosen) // columns)
    with style.canvas(max(4.5, 3.1 * columns), 0.9 + 1.75 * rows) as figure:
        axes = style.grid(figure, len(chosen), columns, sharex=True, sharey=True)
        for place, (ax, (source, target)) in enumerate(zip(axes, chosen, strict=True)):
            values = profiles.sel(source=source, target=target).values
            ax.axhline(0.0, color=FAINT, lw=1.0, zorder=1)
            ax.bar(lags, values, 0.7, color=MODEL, zorder=2)
            ax.set_title(f"{source} → {target}{_percent(share, source, target)}", fontsize=10)
            if place >= len(chosen) - columns:
                ax.set_xlabel(f"{period}s later")
            if place % columns == 0:
                ax.set_ylabel("effect (sd)")
            ax.grid(False, axis="x")
            ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        which = f"the {len(chosen)} strongest pairs, " if isinstance(pairs, int) else ""
        style.headline(
            figure,
            f"Timing of effects: {which}in standard deviations",
        )
    return figure


def _percent(share: xr.DataArray | None, source: str, target: str) -> str:
    if share is None:
        return ""
    return f" ({100 * float(share.sel(source=source, target=target)):.0f}% of shops)"


def _strongest(
    profiles: xr.DataArray, share: xr.DataArray | None, count: int
) -> list[tuple[str, str]]:
    size = np.abs(profiles.values).sum(-1)
    if share is not None:
        size = size * share.sel(source=profiles["source"], target=profiles["target"]).values
    np.fill_diagonal(size, -1.0)
    names = [str(name) for name in profiles["source"].values]
    order = np.argsort(-size, axis=None, kind="stable")[: max(count, 0)]
    places = np.stack(np.unravel_index(order, size.shape), axis=1)
    return [(names[i], names[j]) for i, j in places if i != j]


@named_arguments
def plot_shop_forecast(
    panel: ShopPanel,
    forecast: xr.Dataset,
    shops: Sequence[str] | None = None,
    *,
    future: ShopPanel | None = None,
    node: str | None = None,
    history: int = _HISTORY,
) -> Figure:
    """Draw forecasts of shops after the last of their history.

    Parameters
    ----------
    panel
        History that the forecast goes on from.
    forecast
        ``median``, ``low`` and ``high`` (shop, step, node), as ``CausalMMM.forecast`` returns.
    shops
        Which; by default the first six of the forecast.
    future
        Panel of the times after, where they are known: drawn as points.
    node
        Which node; by default the target.
    history
        Number of times drawn before the forecast.

    Raises
    ------
    ValueError
        If there is no such shop or node, in the forecast or in the panels.
    """
    node = panel.target if node is None else node
    known = [str(name) for name in forecast["shop"].values]
    names = known[:_MOST_SHOPS] if shops is None else list(shops)
    _check_forecast(panel, forecast, names, future, node)
    columns = min(3 if len(names) not in (2, 4) else 2, len(names))
    rows = -(-len(names) // columns)
    with style.canvas(max(6.5, 3.8 * columns), 1.2 + 2.2 * rows) as figure:
        axes = style.grid(figure, len(names), columns)
        for ax, name in zip(axes, names, strict=True):
            _one_forecast(ax, panel, forecast, name, future, node, history)
        axes[0].set_ylabel(node)
        prob = forecast.attrs.get("ci_prob")
        band = "interval" if prob is None else style.interval_name(float(prob))
        handles, labels = axes[0].get_legend_handles_labels()
        labels = [label.replace("interval", band) for label in labels]
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        style.headline(figure, f"Forecast of {node}, by shop")
    return figure


def _one_forecast(
    ax: Axes,
    panel: ShopPanel,
    forecast: xr.Dataset,
    shop: str,
    future: ShopPanel | None,
    node: str,
    history: int,
) -> None:
    steps = forecast.sizes["step"]
    past = panel.series[panel.shops.index(shop), :, panel.nodes.index(node)]
    # A shorter shop ends in missing values, and so may its last days: they stay as they are.
    first = max(0, panel.length - history)
    times = _times(panel, steps)
    ax.plot(times[first : panel.length], past[first:], color=OBSERVED, lw=1.1, label="history")
    own = forecast.sel(shop=shop, node=node)
    ahead = times[panel.length :]
    shade = style.lighter(MODEL, 0.7)
    ax.fill_between(ahead, own["low"], own["high"], color=shade, lw=0, label="interval")
    ax.plot(ahead, own["median"], color=MODEL, lw=1.6, label="forecast (median)")
    if future is not None:
        came = future.series[future.shops.index(shop), :steps, future.nodes.index(node)]
        ax.plot(ahead[: len(came)], came, "o", ms=3.2, color=INK, label="observed")
    ax.set_title(shop, fontsize=10)
    ax.margins(x=0.01)
    style.compact_ticks(ax.yaxis)
    if panel.dates is not None:
        style.date_ticks(ax, most=5)
    else:
        ax.set_xlabel("time")


def _times(panel: ShopPanel, steps: int) -> Any:
    """Return the times of the panel and of the steps after it."""
    if panel.dates is None or panel.length < 2:
        return np.arange(panel.length + steps)
    step = panel.dates[-1] - panel.dates[-2]
    after = [panel.dates[-1] + step * k for k in range(1, steps + 1)]
    return panel.dates.append(type(panel.dates)(after)).to_numpy()


def _check_forecast(
    panel: ShopPanel,
    forecast: xr.Dataset,
    shops: Sequence[str],
    future: ShopPanel | None,
    node: str,
) -> None:
    wrong = [
        f"the forecast has no {name!r} (CausalMMM.forecast returns it)."
        for name in ("median", "low", "high")
        if name not in forecast
    ]
    if not shops:
        wrong.append("shops is empty.")
    holders = {"the panel": (panel.shops, panel.nodes)}
    if not wrong:
        labels = (forecast[name].values.tolist() for name in ("shop", "node"))
        holders["the forecast"] = (*map(tuple, labels),)  # type: ignore[assignment]
    if future is not None:
        holders["future"] = (future.shops, future.nodes)
    for name, (known, nodes) in holders.items():
        for shop in shops:
            if shop not in known:
                wrong.append(f"{name} has no shop {shop!r}.{nearest(shop, known)}")
        if node not in nodes:
            wrong.append(f"{name} has no node {node!r}.{nearest(node, nodes)}")
    if wrong:
        raise ValueError("The forecast cannot be drawn: " + " ".join(wrong))
