"""How the figures look: colours, numbers, intervals and grids of small panels."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from mmm_bayes.runtime.numbers import compact, typographic
from mmm_bayes.runtime.visible import visible, visible_text

NDArray = np.ndarray[Any, Any]
IntervalKind = Literal["eti", "hdi"]

INK, FAINT, BASELINE = "#222222", "#8a8f98", "#c3c8d0"
OBSERVED, MODEL = "#222222", "#0072b2"
# Okabe and Ito's colours without black and yellow, then Tol's: safe for the colour-blind.
_CYCLE = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7",
    "#56b4e9", "#332288", "#999933", "#882255", "#44aa99",
)  # fmt: skip
_RC: dict[Any, Any] = {
    "figure.dpi": 96,
    "figure.constrained_layout.use": True,
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "normal",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.7,
    "xtick.color": "#555a61",
    "ytick.color": "#555a61",
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "butt",
}
# A column may be called "us$_spend", whatever the user's settings say.
PLAIN: dict[Any, Any] = {"text.parse_math": False, "text.usetex": False}


class PlainFigure(Figure):
    """A figure in which a dollar sign is a dollar sign, also in the ticks made when it is drawn."""

    def draw(self, renderer: Any) -> None:
        """Draw the figure with names as they are, not as mathematical text."""
        with plt.rc_context(PLAIN):
            super().draw(renderer)

    def get_tightbbox(self, renderer: Any = None, **settings: Any) -> Any:
        """Measure the figure with names as they are, not as mathematical text."""
        with plt.rc_context(PLAIN):
            return super().get_tightbbox(renderer, **settings)


def legend_name(name: object) -> str:
    """Return a name as matplotlib's legends show it: they leave out those that begin with ``_``."""
    text = visible(name)
    return f" {text}" if text.startswith("_") else text


@contextmanager
def plain_texts(ax: Axes) -> Iterator[None]:
    """Draw in axes of a user's own figure with names as they are."""
    with plt.rc_context(PLAIN):
        yield
    show_names(ax)


def show_names(artist: Figure | Axes) -> None:
    """Escape the characters in all texts of a figure that no font can show."""
    for ax in artist.findobj(Axes):
        for axis in (ax.xaxis, ax.yaxis):
            ticks = axis.get_major_formatter()
            if isinstance(ticks, FixedFormatter):
                ticks.seq = [visible_text(text) for text in ticks.seq]
            elif isinstance(ticks, FuncFormatter):
                ticks.func = lambda *at, own=ticks.func: visible_text(own(*at))
    for text in artist.findobj(Text):
        own = text.get_text()
        if (shown := visible_text(own)) != own:
            text.set_text(shown)


@contextmanager
def canvas(width: float, height: float) -> Iterator[Figure]:
    """Open a figure in the style of the package; the user's own settings stay as they are.

    Parameters
    ----------
    width, height
        Size in inches.
    """
    with plt.rc_context(_RC | PLAIN):
        figure = plt.figure(figsize=(width, height), FigureClass=PlainFigure)
        try:
            yield figure
        except BaseException:
            plt.close(figure)
            raise
        show_names(figure)
        # Without a window pyplot would only hold on to the figure, and a notebook show it twice.
        if figure.canvas.required_interactive_framework is None:
            plt.close(figure)
        else:
            figure.canvas.draw_idle()


def channel_colours(channels: Sequence[str]) -> dict[str, str]:
    """Colour of every channel, by its place in the table; lighter from the eleventh on."""
    colours = {}
    for position, channel in enumerate(channels):
        colour = _CYCLE[position % len(_CYCLE)]
        for _ in range(position // len(_CYCLE)):
            colour = lighter(colour, 0.45)
        colours[str(channel)] = colour
    return colours


def colours_for(channels: Sequence[str], colours: Mapping[str, str] | None) -> dict[str, str]:
    """Return the given colours, and those by place for channels that have none."""
    return channel_colours(channels) | dict(colours or {})


def headline(figure: Figure, text: str) -> None:
    """Write the title of a figure at its left, in as many lines as its width needs."""
    characters = int(figure.get_figwidth() / 0.088)  # inches of an average one at this size
    figure.suptitle(textwrap.fill(text, characters), x=0.01, ha="left", fontsize=11)


def lighter(colour: str, share: float) -> str:
    """Mix a colour with white."""
    r, g, b = (round(255 * (part + (1.0 - part) * share)) for part in to_rgb(colour))
    return f"#{r:02x}{g:02x}{b:02x}"


def compact_ticks(axis: Axis) -> None:
    """Write the ticks of an axis with k, M or bn."""
    # Matplotlib writes its own ticks with a minus sign, not with a hyphen.
    axis.set_major_formatter(FuncFormatter(lambda value, _: typographic(compact(value, 4))))


def date_ticks(ax: Axes, most: int = 7) -> None:
    """Write few, short dates on the x axis."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=most)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def interval(
    draws: xr.DataArray, ci_prob: float = 0.9, ci_kind: IntervalKind = "eti"
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bounds of the central (``"eti"``) or of the shortest (``"hdi"``) interval over the draws.

    Parameters
    ----------
    draws
        (chain, draw, ...) in any unit.
    ci_prob
        Probability of the interval, between 0 and 1.
    ci_kind
        Which interval.

    Raises
    ------
    ValueError
        If the probability or the kind is not one of those.
    """
    if not 0.0 < ci_prob < 1.0:
        raise ValueError(f"ci_prob should be between 0 and 1, such as 0.9; got {ci_prob}.")
    if ci_kind not in ("eti", "hdi"):
        raise ValueError(f"ci_kind should be 'eti' or 'hdi'; got {ci_kind!r}.")
    flat = draws.stack(sample=("chain", "draw"), create_index=False)
    if ci_kind == "eti":
        tail = (1.0 - ci_prob) / 2.0
        bounds = flat.quantile([tail, 1.0 - tail], dim="sample").drop_vars("quantile")
        return bounds.isel(quantile=0), bounds.isel(quantile=1)
    values = np.sort(flat.transpose(..., "sample").values, axis=-1)
    count = values.shape[-1]
    reach = min(count - 1, int(np.floor(ci_prob * count)))
    widths = values[..., reach:] - values[..., : count - reach]
    first = np.argmin(widths, axis=-1)[..., None]
    template = flat.isel(sample=0, drop=True)
    low = np.take_along_axis(values, first, -1)[..., 0]
    high = np.take_along_axis(values, first + reach, -1)[..., 0]
    return template.copy(data=low), template.copy(data=high)


def interval_name(ci_prob: float, ci_kind: IntervalKind = "eti") -> str:
    """Name an interval for a legend: ``"90% interval"``."""
    return f"{100 * ci_prob:g}% interval" + (" (HDI)" if ci_kind == "hdi" else "")


def thin(draws: xr.DataArray, most: int = 1000) -> xr.DataArray:
    """Keep at most about ``most`` draws, evenly: a band does not need more."""
    per_chain = max(1, most // draws.sizes["chain"])
    if draws.sizes["draw"] <= per_chain:
        return draws
    keep = np.linspace(0, draws.sizes["draw"] - 1, per_chain).round().astype(int)
    return draws.isel(draw=keep)


def density(
    values: NDArray, span: NDArray | None = None, points: int = 200
) -> tuple[NDArray, NDArray]:
    """Smoothed histogram of the draws within ``span``, by default all of them.

    A Gaussian window of Silverman's width, reflected at both ends, so that a density does not leak
    over the bounds of its parameter.

    Returns
    -------
    tuple of numpy.ndarray
        Places and densities; the density of all draws, inside and outside of ``span``, is one.
    """
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.zeros(2), np.zeros(2)
    low, high = values.min(), values.max()
    if span is not None:
        low, high = max(low, span[0]), min(high, span[1])
    if high - low <= 1e-12 * max(1.0, abs(low)):
        return np.array([low, low]), np.array([0.0, 1.0])
    counts, edges = np.histogram(values, bins=points, range=(low, high))
    step = edges[1] - edges[0]
    height = counts / (values.size * step)
    q1, q3 = np.quantile(values, [0.25, 0.75])
    spread = min(values.std(), (q3 - q1) / 1.34) or values.std()
    width = max(0.9 * spread * values.size**-0.2 / step, 1e-3)
    reach = int(min(points, np.ceil(4 * width)))
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.concatenate([height[:reach][::-1], height, height[points - reach :][::-1]])
    smooth = np.convolve(padded, window / window.sum(), mode="valid")
    return 0.5 * (edges[1:] + edges[:-1]), smooth


def grid(
    figure: Figure, count: int, columns: int, *, sharex: bool = False, sharey: bool = False
) -> list[Axes]:
    """Lay out ``count`` panels in rows of ``columns``; the places left over stay empty."""
    columns = min(columns, count)
    rows = -(-count // columns)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    flat = list(axes.ravel())
    for ax in flat[count:]:
        ax.remove()
    if sharex:
        # Panels above an empty place keep their ticks.
        for ax in flat[max(0, count - columns) : count]:
            ax.tick_params(labelbottom=True)
    return flat[:count]


def period_name(data_step: Any) -> str:
    """Word for one row's period: day, week, month, quarter, year, or period."""
    if data_step is None:
        return "period"
    known = {
        ("day", 1): "day",
        ("day", 7): "week",
        ("month", 1): "month",
        ("month_end", 1): "month",
        ("month", 3): "quarter",
        ("month_end", 3): "quarter",
        ("month", 12): "year",
        ("month_end", 12): "year",
    }
    return known.get((data_step.unit, data_step.n), "period")
