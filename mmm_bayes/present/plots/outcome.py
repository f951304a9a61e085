"""The target over time: fit, prior predictive distribution and residuals."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK, MODEL, OBSERVED, IntervalKind
from mmm_bayes.runtime.deprecation import named_arguments

_MOST_GEOS = 12


@named_arguments
def plot_fit(
    observed: xr.DataArray,
    predictive: xr.DataArray,
    *,
    ci_prob: float = 0.9,
    ci_kind: IntervalKind = "eti",
    target: str = "target",
    period: str = "period",
    max_geos: int = _MOST_GEOS,
) -> Figure:
    """Draw the observed target on its posterior predictive distribution.

    Geo data show the total first, then the ``max_geos`` largest geos.

    Parameters
    ----------
    observed
        Target (geo, date).
    predictive
        Replicated target (chain, draw, geo, date), same unit.
    ci_prob, ci_kind
        Interval of the band.
    target, period
        Words for the axes: what is measured, and per what.
    max_geos
        Most geos drawn in addition to the total.
    """
    return _over_dates(
        observed,
        predictive,
        f"Observed and modelled {target} per {period}",
        "posterior mean",
        ci_prob,
        ci_kind,
        f"{target} per {period}",
        max_geos,
    )


@named_arguments
def plot_prior_predictive(
    observed: xr.DataArray,
    predictive: xr.DataArray,
    *,
    ci_prob: float = 0.9,
    ci_kind: IntervalKind = "eti",
    target: str = "target",
    period: str = "period",
    max_geos: int = _MOST_GEOS,
) -> Figure:
    """Draw the observed target on what the priors alone expect.

    The band should be wider than the data, by a factor of some units and not of hundreds.

    Parameters
    ----------
    observed
        Target (geo, date).
    predictive
        Target drawn from the prior (chain, draw, geo, date), same unit.
    ci_prob, ci_kind, target, period, max_geos
        As in :func:`plot_fit`.
    """
    return _over_dates(
        observed,
        predictive,
        f"What the priors expect of {target} per {period}, before any data",
        "prior mean",
        ci_prob,
        ci_kind,
        f"{target} per {period}",
        max_geos,
    )


def _over_dates(
    observed: xr.DataArray,
    predictive: xr.DataArray,
    title: str,
    centre: str,
    ci_prob: float,
    ci_kind: IntervalKind,
    label: str,
    max_geos: int,
) -> Figure:
    predictive = style.thin(predictive)
    if observed.sizes["geo"] == 1:
        with style.canvas(10, 3.8) as figure:
            ax = figure.subplots()
            _band(ax, observed.isel(geo=0), predictive.isel(geo=0), centre, ci_prob, ci_kind)
            ax.set_ylabel(label)
            ax.set_title(title)
            _legend_below(figure, ax)
        return figure
    largest = observed.mean("date").argsort().values[::-1][:max_geos]
    chosen = sorted(largest)
    columns = 4 if len(chosen) > 5 else 3
    rows = -(-len(chosen) // columns)
    with style.canvas(11, 3.4 + 1.9 * rows) as figure:
        style.headline(figure, _with_left_out(title, observed.sizes["geo"], len(chosen)))
        cells = figure.add_gridspec(rows + 1, columns, height_ratios=[1.6] + [1.0] * rows)
        top = figure.add_subplot(cells[0, :])
        _band(top, observed.sum("geo"), predictive.sum("geo"), centre, ci_prob, ci_kind)
        top.set_title("all geos together", fontsize=10)
        top.set_ylabel(label)
        for place, geo in enumerate(chosen):
            ax = figure.add_subplot(cells[1 + place // columns, place % columns])
            _band(ax, observed.isel(geo=geo), predictive.isel(geo=geo), centre, ci_prob, ci_kind)
            style.date_ticks(ax, 4)
            ax.tick_params(labelsize=8)
            ax.set_title(str(observed["geo"].values[geo]), fontsize=9.5)
        _legend_below(figure, top)
    return figure


def _with_left_out(title: str, geos: int, shown: int) -> str:
    return title if shown == geos else f"{title} (the {shown} largest of {geos} geos)"


def _legend_below(figure: Figure, ax: Axes) -> None:
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=3)


def _band(
    ax: Axes,
    observed: xr.DataArray,
    predictive: xr.DataArray,
    centre: str,
    ci_prob: float,
    ci_kind: IntervalKind,
) -> None:
    dates = observed["date"].values
    low, high = style.interval(predictive, ci_prob, ci_kind)
    name = style.interval_name(ci_prob, ci_kind).replace("interval", "predictive interval")
    ax.fill_between(dates, low, high, color=MODEL, alpha=0.22, lw=0, label=name)
    ax.plot(dates, predictive.mean(("chain", "draw")), color=MODEL, label=centre)
    ax.plot(dates, observed, color=OBSERVED, lw=0, marker="o", ms=2.2, label="observed")
    ax.margins(x=0.01)
    style.compact_ticks(ax.yaxis)
    style.date_ticks(ax)


@named_arguments
def plot_residuals(
    observed: xr.DataArray,
    mean: xr.DataArray,
    *,
    target: str = "target",
    period: str = "period",
    max_lag: int = 20,
) -> Figure:
    r"""Draw observed less fitted target over time, their autocorrelation and their distribution.

    Autocorrelation of lag ``k`` lies within ``±1.96 / sqrt(T)`` for 95% of white noise of length
    ``T``. Geo data: residuals of the total, and the autocorrelation averaged over geos.

    Parameters
    ----------
    observed
        Target (geo, date).
    mean
        Posterior mean of the target (geo, date), same unit.
    target, period
        Words for the axes.
    max_lag
        Longest lag.
    """
    residual = (observed - mean).transpose("geo", "date")
    total = residual.sum("geo").values
    num_dates = len(total)
    lags = np.arange(1, min(max_lag, num_dates - 2) + 1)
    correlation = np.mean([_autocorrelation(row, lags) for row in residual.values], axis=0)
    with style.canvas(10, 5.6) as figure:
        style.headline(figure, f"Part of {target} that the model does not explain")
        cells = figure.add_gridspec(2, 2, width_ratios=[1.4, 1.0])
        over = figure.add_subplot(cells[0, :])
        over.axhline(0.0, color=INK, lw=0.8)
        over.vlines(residual["date"].values, 0.0, total, color=MODEL, lw=1.0, alpha=0.6)
        over.plot(residual["date"].values, total, color=MODEL, lw=0, marker="o", ms=2.5)
        over.set_ylabel(f"residual per {period}")
        over.set_title("observed minus posterior mean", fontsize=10)
        over.margins(x=0.01)
        style.date_ticks(over)
        style.compact_ticks(over.yaxis)
        lagged = figure.add_subplot(cells[1, 0])
        limit = 1.96 / np.sqrt(num_dates)
        lagged.axhspan(-limit, limit, color=FAINT, alpha=0.2, lw=0)
        lagged.axhline(0.0, color=INK, lw=0.8)
        lagged.vlines(lags, 0.0, correlation, color=MODEL, lw=2.5)
        reach = max(0.4, 1.1 * float(np.abs(correlation).max()))
        lagged.set_ylim(-reach, reach)
        lagged.xaxis.set_major_locator(MaxNLocator(integer=True))
        lagged.set_xlabel(f"lag in {period}s")
        averaged = " (mean over geos)" if residual.sizes["geo"] > 1 else ""
        lagged.set_title(
            f"autocorrelation{averaged}; shaded: 95% range of white noise", fontsize=10
        )
        spread = figure.add_subplot(cells[1, 1])
        spread.hist(total, bins="auto", color=MODEL, alpha=0.6, density=True)
        grid = np.linspace(total.min(), total.max(), 200)
        scale = total.std() or 1.0
        bell = np.exp(-0.5 * ((grid - total.mean()) / scale) ** 2) / (scale * np.sqrt(2 * np.pi))
        spread.plot(grid, bell, color=INK, lw=1.0, label="normal, same variance")
        spread.set_yticks([])
        spread.set_ylim(0, 1.35 * spread.get_ylim()[1])
        spread.set_xlabel(f"residual per {period}")
        spread.set_title("distribution", fontsize=10)
        spread.legend(loc="upper right")
        spread.locator_params(axis="x", nbins=5)
        style.compact_ticks(spread.xaxis)
    return figure


def _autocorrelation(residual: style.NDArray, lags: style.NDArray) -> style.NDArray:
    centred = residual - residual.mean()
    variance = float(centred @ centred)
    if variance <= 0:
        return np.zeros(len(lags))
    return np.array([centred[lag:] @ centred[:-lag] / variance for lag in lags])
