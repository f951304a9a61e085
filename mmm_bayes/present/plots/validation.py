"""Forecasts compared with observations, their scores and calibration, and models compared."""

from __future__ import annotations

from typing import Any, Protocol, final

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK, MODEL, OBSERVED
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.visible import shown_safely

_MOST_GEOS = 6
_SHADE = {"50": 0.34, "90": 0.18}


class Validated(Protocol):
    """What the figures read of a rolling-origin validation."""

    @property
    def data(self) -> Any:
        """The table."""

    @property
    def table(self) -> pd.DataFrame:
        """A row a forecast."""

    @property
    def totals(self) -> pd.DataFrame:
        """A row a forecast of the sum over geos."""

    def summary(self, by: str | list[str] | None = None, *, total: bool = False) -> pd.DataFrame:
        """Average scores."""

    def roas(self, ci_prob: float = 0.9) -> pd.DataFrame:
        """ROAS by fold."""


@final
class RollingPlots:
    """Figures of a rolling-origin validation; each method returns a figure."""

    def __init__(self, found: Validated) -> None:
        self._found = found
        data = found.data
        self._target = data.target_name
        self._period = style.period_name(data.time_step)

    @shown_safely
    def __repr__(self) -> str:
        return "RollingPlots: forecasts, scores, roas, calibration"

    def forecasts(self) -> Figure:
        """Draw forecasts of every fold over observations; see :func:`plot_rolling_forecasts`."""
        return plot_rolling_forecasts(
            self._found.table if self._found.data.num_geos == 1 else self._found.totals,
            self._found.data.ds["target"].sum("geo"),
            target=self._target,
            period=self._period,
        )

    def scores(self) -> Figure:
        """Scores by step ahead; see :func:`plot_scores_by_step`."""
        return plot_scores_by_step(
            self._found.summary("step"), target=self._target, period=self._period
        )

    def roas(self, *, ci_prob: float = 0.9) -> Figure:
        """ROAS that each fold found; see :func:`plot_roas_over_folds`."""
        data = self._found.data
        return plot_roas_over_folds(
            self._found.roas(ci_prob),
            colours=style.channel_colours(data.channels),
            ci_prob=ci_prob,
        )

    def calibration(self) -> Figure:
        """Draw the places of observations within the forecasts; see :func:`plot_calibration`."""
        return plot_calibration(self._found.table)


@named_arguments
def plot_rolling_forecasts(
    table: pd.DataFrame,
    observed: xr.DataArray,
    *,
    target: str = "target",
    period: str = "period",
) -> Figure:
    """Draw the forecasts of every fold, with 50% and 90% intervals, on the observed series.

    Parameters
    ----------
    table
        A row a forecast: ``fold``, ``origin``, ``date``, ``median`` and bounds, of one series.
    observed
        The whole series (date,), same unit.
    target, period
        Words for the axes.
    """
    with style.canvas(10, 4.0) as figure:
        ax = figure.subplots()
        ax.plot(observed["date"].values, observed, color=OBSERVED, lw=0.9, label="observed")
        overlapping = table.groupby("date")["fold"].nunique().max() > 1
        for number, (_, own) in enumerate(table.groupby("fold", sort=False)):
            first = number == 0
            for level, alpha in sorted(_SHADE.items(), reverse=True):
                ax.fill_between(
                    own["date"].to_numpy(),
                    own[f"lower_{level}"].to_numpy(float),
                    own[f"upper_{level}"].to_numpy(float),
                    color=MODEL,
                    alpha=alpha * (0.5 if overlapping else 1.0),
                    lw=0,
                    label=f"{level}% interval of the forecast" if first else None,
                )
            ax.plot(
                own["date"].to_numpy(),
                own["median"].to_numpy(float),
                color=MODEL,
                label="median of the forecast" if first else None,
            )
            ax.axvline(own["date"].iloc[0], color=FAINT, lw=0.7, ls=":")
        ax.set_ylabel(f"{target} per {period}")
        ax.margins(x=0.01)
        ax.set_title("Forecasts from every origin (dotted) and observations")
        style.compact_ticks(ax.yaxis)
        style.date_ticks(ax)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


@named_arguments
def plot_scores_by_step(
    summary: pd.DataFrame, *, target: str = "target", period: str = "period"
) -> Figure:
    """Draw CRPS, compared with the seasonal naive forecast, and coverage, by steps ahead.

    Parameters
    ----------
    summary
        Scores indexed by ``step``: ``n``, ``crps``, ``crps_naive``, ``coverage_50``,
        ``coverage_90``.
    target, period
        Words for the axes.
    """
    steps = summary.index.to_numpy()
    with style.canvas(10, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        left.plot(steps, summary["crps"], color=MODEL, marker="o", ms=3, label="model")
        naive = {"color": FAINT, "marker": "s", "ms": 3, "label": "seasonal naive"}
        left.plot(steps, summary["crps_naive"], **naive)
        left.set_ylim(bottom=0)
        left.set_ylabel(f"CRPS, {target}")
        left.set_title("Error of the whole forecast (lower is better)")
        style.compact_ticks(left.yaxis)
        for level, colour in (("90", MODEL), ("50", "#e69f00")):
            share = int(level) / 100
            # 95% of binomial counts about the nominal share, were forecasts independent.
            error = 1.96 * np.sqrt(share * (1 - share) / summary["n"])
            right.fill_between(steps, share - error, share + error, color=colour, alpha=0.15, lw=0)
            right.axhline(share, color=colour, lw=0.8, ls="--")
            values = summary[f"coverage_{level}"]
            right.plot(steps, values, color=colour, marker="o", ms=3, label=f"{level}% interval")
        right.set_ylim(0, 1.02)
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
        right.set_title("Share of observations inside intervals (shaded: chance)")
        for ax in (left, right):
            ax.set_xlabel(f"{period}s ahead")
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@named_arguments
def plot_roas_over_folds(
    roas: pd.DataFrame, *, colours: dict[str, str] | None = None, ci_prob: float = 0.9
) -> Figure:
    """Draw the ROAS that each fold found, a panel a channel.

    Parameters
    ----------
    roas
        ``median``, ``lower`` and ``upper``, indexed by ``fold`` and ``channel``.
    colours
        Colour by channel.
    ci_prob
        Mass of the intervals, for the title.
    """
    channels = list(dict.fromkeys(roas.index.get_level_values("channel")))
    known = style.colours_for(channels, colours)
    rows = -(-len(channels) // min(4, max(1, len(channels))))
    with style.canvas(10, 0.7 + 2.3 * rows) as figure:
        text = f"ROAS by fold: medians and {style.interval_name(ci_prob)}s"
        style.headline(figure, text)
        for ax, channel in zip(style.grid(figure, len(channels), 4), channels, strict=True):
            own = roas.xs(channel, level="channel")
            folds, median = own.index.to_numpy(), own["median"].to_numpy()
            gaps = [median - own["lower"], own["upper"] - median]
            ax.errorbar(
                folds, median, yerr=gaps, color=known[channel], fmt="o", ms=4, lw=1.4, capsize=2
            )
            ax.axhline(float(median[-1]), color=FAINT, lw=0.8, ls="--")
            ax.set_ylim(bottom=min(0.0, float(own["lower"].min())))
            ax.set_title(channel, fontsize=10)
            ax.set_xlabel("fold")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.margins(x=0.15)
    return figure


@named_arguments
def plot_calibration(table: pd.DataFrame) -> Figure:
    """Draw where observations fall within their forecasts: histogram and distribution.

    Calibrated forecasts give uniform places. A hump in the middle means intervals that are too
    wide, heaps at both ends too narrow ones, and a slope a bias.

    Parameters
    ----------
    table
        One row per forecast with ``pit``, the share of draws below the observation.
    """
    places = np.sort(table["pit"].to_numpy(float))
    n = len(places)
    with style.canvas(9, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        bins = int(np.clip(n // 8, 5, 20))
        left.hist(places, bins=bins, range=(0, 1), color=MODEL, alpha=0.6, density=True)
        error = 1.96 * np.sqrt(bins / n * (1 - 1 / bins))
        left.axhspan(max(0.0, 1 - error), 1 + error, color=FAINT, alpha=0.25, lw=0)
        left.axhline(1.0, color=INK, lw=0.8, ls="--")
        left.set_yticks([])
        left.set_xlabel("share of forecast draws below the observation")
        left.set_title("Observations within forecasts (shaded: chance)")
        right.plot([0, 1], [0, 1], color=INK, lw=0.8, ls="--")
        # 95% of the greatest distance of independent uniforms (Kolmogorov).
        band = 1.36 / np.sqrt(n)
        grid = np.linspace(0, 1, 50)
        low, high = np.clip(grid - band, 0, 1), np.clip(grid + band, 0, 1)
        right.fill_between(grid, low, high, color=FAINT, alpha=0.25, lw=0)
        right.step(places, np.arange(1, n + 1) / n, color=MODEL, where="post")
        right.set_xlabel("forecast probability")
        right.set_ylabel("observed share")
        right.set_title("Calibration (shaded: chance)")
        right.set_aspect("equal")
    return figure


@named_arguments
def plot_forecast(
    summary: pd.DataFrame,
    observed: xr.DataArray,
    *,
    target: str = "target",
    period: str = "period",
    ci_prob: float = 0.9,
    history: int = 104,
) -> Figure:
    """Draw a forecast after the last observed dates.

    Parameters
    ----------
    summary
        By ``date``: ``median``, ``lower``, ``upper``, ``expected_lower``, ``expected_upper``.
    observed
        Observed series (date,), same unit.
    target, period
        Words for the axes.
    ci_prob
        Mass of the intervals, for the legend.
    history
        Observed dates shown at most.
    """
    shown = observed.isel(date=slice(-history, None))
    name = style.interval_name(ci_prob)
    with style.canvas(10, 3.8) as figure:
        ax = figure.subplots()
        ax.plot(shown["date"].values, shown, color=OBSERVED, lw=1.0, label="observed")
        dates = summary.index.to_numpy()
        for low, high, alpha, label in (
            ("lower", "upper", 0.2, f"{name} of the target"),
            ("expected_lower", "expected_upper", 0.35, f"{name} of its expectation"),
        ):
            bounds = summary[low].to_numpy(float), summary[high].to_numpy(float)
            ax.fill_between(dates, *bounds, color=MODEL, alpha=alpha, lw=0, label=label)
        ax.plot(dates, summary["median"].to_numpy(float), color=MODEL, label="median")
        ax.set_ylabel(f"{target} per {period}")
        ax.set_title(f"Forecast of {target}")
        ax.margins(x=0.01)
        style.compact_ticks(ax.yaxis)
        style.date_ticks(ax)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


@named_arguments
def plot_comparison(
    table: pd.DataFrame, roas: pd.DataFrame, *, criterion: str = "lfo", max_channels: int = 8
) -> Figure:
    """Draw how models predict, and the ROAS each finds.

    Parameters
    ----------
    table
        A row a model, best first: ``elpd_diff`` (or ``crps_diff``) and ``dse``.
    roas
        ``median``, ``lower``, ``upper`` by ``model`` and ``channel``.
    criterion
        Name of what was compared.
    max_channels
        Most channels drawn: those whose ROAS differ most between models.
    """
    names = [str(name) for name in table.index]
    score = "crps_diff" if "crps_diff" in table else "elpd_diff"
    spread = roas["median"].unstack("channel")
    order = (spread.max() / spread.min().clip(lower=1e-9)).sort_values(ascending=False)
    channels = [c for c in spread.columns if c in set(order.index[:max_channels])]
    places = np.arange(len(names))
    with style.canvas(11, 1.6 + 0.3 * len(names) + 0.09 * len(names) * len(channels)) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.3])
        _scores_of_models(left, table[score], table["dse"], places)
        left.set_yticks(places, names)
        words = "lower is better" if score == "crps_diff" else "higher is better"
        kind = "CRPS" if score == "crps_diff" else f"log density ({criterion})"
        left.set_title(f"Difference of {kind} from the best\n({words}; bars: 2 standard errors)")
        colours = style.channel_colours(channels)
        step = 0.8 / max(1, len(channels))
        for number, channel in enumerate(channels):
            own = roas.xs(channel, level="channel").loc[names]
            y = places + (number - 0.5 * (len(channels) - 1)) * step
            gaps = [own["median"] - own["lower"], own["upper"] - own["median"]]
            right.errorbar(
                own["median"], y, xerr=gaps, fmt="o", ms=3.5, lw=1.2, color=colours[channel],
                label=style.legend_name(channel),
            )  # fmt: skip
        right.set_yticks(places, [""] * len(names))
        right.set_title("ROAS by model, with intervals")
        for ax in (left, right):
            ax.set_ylim(len(names) - 0.5, -0.5)
            for edge in places[:-1] + 0.5:
                ax.axhline(edge, color=FAINT, lw=0.4)
            ax.grid(visible=False, axis="y")
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=8)
    return figure


def _scores_of_models(
    ax: Axes, difference: pd.Series, error: pd.Series, places: style.NDArray
) -> None:
    ax.axvline(0.0, color=INK, lw=0.8)
    bars = 2.0 * error.fillna(0.0).to_numpy(float)
    ax.errorbar(difference.to_numpy(float), places, xerr=bars, fmt="o", ms=5, lw=1.4, color=MODEL)
