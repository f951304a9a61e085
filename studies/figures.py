"""Figure of a scenario: how often augmentation is empty, wins, and by how much, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from mmm_bayes.present.plots.style import FAINT, INK, canvas, channel_colours, grid, headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NDArray = np.ndarray[Any, Any]


class _Series(NamedTuple):
    """One line of all panels."""

    label: str
    rows: pd.DataFrame
    prefix: str
    colour: str
    marker: str


class _Panel(NamedTuple):
    """What one panel shows, the value that means no difference, and up to where it is small.

    Without the last it is a share.
    """

    title: str
    column: str
    neutral: float | None
    linear: float | None


_PANELS = (
    _Panel("Runs with an empty augmentation", "empty", None, None),
    _Panel("Targets predicted better (higher R²)", "win_rate", 0.5, None),
    _Panel("Change of R², median (up is better)", "r2_change_median", 0.0, 1e-3),
    _Panel("Change of MAPE, median (down is better)", "mape_change_median", 0.0, 1e-2),
)
_NAMES = {
    "enumerate": "published method, run again",
    "enumerate_stated": "published method, bandwidths as stated",
    "default": "this package's default",
}


def draw_scenario(summary: pd.DataFrame, label: str) -> dict[str, Figure]:
    """Draw a summary: four panels over the cells, one line per method.

    Bars are 95% intervals, clustered by run. Cells are evenly spaced, whatever their values.

    Parameters
    ----------
    summary
        Rows of :func:`~studies.summary.summarise` of one scenario.
    label
        What varies between cells.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By suffix of a file's name. ``""`` compares with trees on the same training rows, those with
        outliers where there are any; ``"_as_published"``, of such scenarios only, compares the
        published method, with and without outliers, with trees that never saw them.
    """
    same = summary["baseline"] == "same rows"
    dirty = summary["train"] == "outliers"
    runs = f"{int(summary['runs'].max())} runs per cell"
    if not dirty.any():
        return {"": _draw(summary, label, f"Boosted trees with and without augmented rows, {runs}")}
    title = f"Augmented rows with outliers, {runs}; compared with trees fitted to"
    published = (same ^ dirty) & (summary["method"] == "enumerate")
    figures = {"": _draw(summary[same & dirty], label, f"{title} the same rows")}
    if published.any():
        clean = f"{title} rows without"
        figures["_as_published"] = _draw(summary[published], label, clean)
    return figures


def _draw(summary: pd.DataFrame, label: str, title: str) -> Figure:
    values = list(dict.fromkeys(summary["value"]))
    series = _series(summary)
    with canvas(9.0, 6.6) as figure:
        headline(figure, title)
        axes = grid(figure, len(_PANELS), 2)
        for ax, panel in zip(axes, _PANELS, strict=True):
            _draw_panel(ax, panel, series, values)
            ax.set_xlabel(label)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2 if len(series) == 4 else 3)
    return figure


def _series(summary: pd.DataFrame) -> list[_Series]:
    groups = list(summary.groupby(["method", "train"], sort=False))
    colours = channel_colours([str(number) for number in range(len(groups))])
    mixed = summary["train"].nunique() > 1
    series = []
    for number, ((method, train), rows) in enumerate(groups):
        suffix = f", {'with' if train == 'outliers' else 'no'} outliers" if mixed else ""
        label = _NAMES.get(str(method), str(method)) + suffix
        series.append(_Series(label, rows, "", colours[str(number)], "o"))
        if "published_runs" in rows and rows["published_runs"].notna().any():
            ink = INK if train == "clean" else FAINT
            series.append(_Series(f"published results{suffix}", rows, "published_", ink, "D"))
    return series


def _draw_panel(ax: Axes, panel: _Panel, series: list[_Series], values: list[Any]) -> None:
    unordered = isinstance(values[0], str)
    place = {value: float(position) for position, value in enumerate(values)}
    for number, line in enumerate(series):
        # Side by side, so that intervals do not hide each other.
        shift = 0.13 * (number - (len(series) - 1) / 2)
        x = line.rows["value"].map(place).to_numpy(float) + shift
        y = line.rows[line.prefix + panel.column].to_numpy(float)
        ax.errorbar(
            x,
            y,
            yerr=_reach(line, panel, y),
            label=line.label,
            color=line.colour,
            marker=line.marker,
            markersize=4.5,
            markerfacecolor="white" if line.prefix else line.colour,
            linestyle="none" if unordered else ":" if line.prefix else "-",
            elinewidth=1.0,
            linewidth=1.0,
        )
    if panel.neutral is not None:
        ax.axhline(panel.neutral, color=FAINT, linewidth=1.0, zorder=0.5)
    ax.set_title(panel.title)
    ax.set_xticks(range(len(values)), [_tick(value) for value in values])
    if unordered:
        ax.tick_params(axis="x", labelsize=8.5)
    ax.grid(axis="x", visible=False)
    _scale(ax, panel)


def _reach(line: _Series, panel: _Panel, y: NDArray) -> NDArray:
    """Return lengths (2, cells) of the intervals below and above."""
    rows = line.rows
    if panel.column == "empty":
        # Wilson's interval: shares of 0 and 1 have one too.
        n = rows[f"{line.prefix}runs"].to_numpy(float)
        z2 = 1.96**2
        centre = (y + z2 / (2 * n)) / (1 + z2 / n)
        half = 1.96 * np.sqrt(y * (1 - y) / n + z2 / (4 * n**2)) / (1 + z2 / n)
        bounds = centre - half, centre + half
    elif panel.column == "win_rate":
        half = 1.96 * rows[f"{line.prefix}win_se"].to_numpy(float)
        bounds = np.maximum(y - half, 0.0), np.minimum(y + half, 1.0)
    else:
        name = line.prefix + panel.column.removesuffix("_median")
        bounds = rows[f"{name}_low"].to_numpy(float), rows[f"{name}_high"].to_numpy(float)
    return np.maximum(np.nan_to_num([y - bounds[0], bounds[1] - y]), 0.0)


def _scale(ax: Axes, panel: _Panel) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

    if panel.linear is None:
        ax.set_ylim(-0.03, 1.03)
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        return
    low, high = ax.get_ylim()
    if max(-low, high) <= 50 * panel.linear:
        ax.yaxis.set_major_locator(MaxNLocator(6))
    else:
        # A cell where all goes wrong would press all others onto one line.
        ax.set_yscale("symlog", linthresh=panel.linear, linscale=0.7)
        ax.set_ylim(low, high)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))


def _number(value: float) -> str:
    return f"{value:+g}".replace("-", "\N{MINUS SIGN}") if value else "0"


def _tick(value: Any) -> str:
    return str(value).replace("_", "\n") if isinstance(value, str) else f"{value:g}"
