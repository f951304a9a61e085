"""Parameters: prior against posterior, traces and ranks of the chains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mmm_bayes.present.parameter_names import parameter_label
from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK, MODEL
from mmm_bayes.runtime.deprecation import named_arguments

_MOST_PANELS = 40
_SAMPLE_DIMS = ("chain", "draw")


def scalars(
    posterior: xr.Dataset, var_names: Sequence[str] | None = None
) -> Iterator[tuple[str, str, dict[str, object], xr.DataArray]]:
    """Walk over single quantities: label, variable, place in it, draws (chain, draw).

    Raises
    ------
    ValueError
        If a name is not a variable.
    """
    names = [str(name) for name in posterior.data_vars] if var_names is None else list(var_names)
    unknown = [name for name in names if name not in posterior]
    if unknown:
        raise ValueError(
            f"There is no parameter {', '.join(map(repr, unknown))}. There are "
            f"{', '.join(sorted(map(str, posterior.data_vars)))}."
        )
    for name in names:
        variable = posterior[name].transpose(*_SAMPLE_DIMS, ...)
        dims, shape = variable.dims[2:], variable.shape[2:]
        for index in np.ndindex(*shape):
            place = {
                str(dim): variable[dim].values[i] if dim in variable.coords else i
                for dim, i in zip(dims, index, strict=True)
            }
            inner = ", ".join(map(str, place.values()))
            label = parameter_label(name, inner)
            yield label, name, place, variable[(slice(None), slice(None), *index)]


def _chosen(
    posterior: xr.Dataset, var_names: Sequence[str] | None, most: int
) -> tuple[list[tuple[str, str, dict[str, object], xr.DataArray]], str]:
    """Choose the quantities to draw, and word the title where some are left out."""
    found = list(scalars(posterior, var_names))
    if not found:
        raise ValueError("There is no parameter to draw: var_names is empty.")
    left_out = f" (the first {most} of {len(found)} quantities)" if len(found) > most else ""
    return found[:most], left_out


@named_arguments
def plot_prior_posterior(
    posterior: xr.Dataset,
    prior: xr.Dataset,
    var_names: Sequence[str] | None = None,
    *,
    truth: Mapping[str, xr.DataArray] | xr.Dataset | None = None,
    colours: Mapping[str, str] | None = None,
    max_panels: int = _MOST_PANELS,
) -> Figure:
    """Draw the density of every parameter before and after the data.

    Parameters
    ----------
    posterior, prior
        Draws (chain, draw, ...) of each parameter.
    var_names
        Parameters; all of the posterior unless given.
    truth
        True values by name, with the parameter's own dimensions.
    colours
        By channel.
    max_panels
        Most panels; further quantities are left out.
    """
    chosen, left_out = _chosen(posterior, var_names, max_panels)
    columns = min(5, len(chosen))
    rows = -(-len(chosen) // columns)
    with style.canvas(max(4.0, 2.3 * columns), 1.0 + 1.55 * rows) as figure:
        axes = style.grid(figure, len(chosen), columns)
        for ax, (label, name, place, draws) in zip(axes, chosen, strict=True):
            own = (colours or {}).get(str(place.get("channel")), MODEL)
            after = draws.values.ravel()
            span = np.quantile(after, [0.001, 0.999])
            if name in prior:
                before = prior[name].sel(place).values.ravel()
                middle = np.quantile(before, [0.02, 0.98])
                span = np.array([min(span[0], middle[0]), max(span[1], middle[1])])
                x, y = style.density(before, span)
                ax.fill_between(x, y, color=FAINT, alpha=0.35, lw=0)
            x, y = style.density(after, span)
            ax.plot(x, y, color=own, lw=1.6)
            if truth is not None and name in truth:
                ax.axvline(float(truth[name].sel(place)), color=INK, lw=1.1, ls="--")
            if span[1] > span[0]:
                ax.set_xlim(span[0] - 0.02 * np.ptp(span), span[1] + 0.02 * np.ptp(span))
            ax.set_ylim(bottom=0)
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)
            ax.grid(visible=False)
            ax.set_title(label, fontsize=9)
            ax.tick_params(labelsize=8)
            ax.locator_params(axis="x", nbins=4)
            style.compact_ticks(ax.xaxis)
        extra = ", truth (dashed)" if truth is not None else ""
        style.headline(
            figure, f"Prior (grey) and posterior (line) of the parameters{extra}{left_out}"
        )
    return figure


@named_arguments
def plot_trace(
    posterior: xr.Dataset,
    var_names: Sequence[str] | None = None,
    *,
    max_panels: int = 24,
) -> Figure:
    """Draw every chain in the order of its draws: healthy ones look alike, and like noise.

    Parameters
    ----------
    posterior
        Draws (chain, draw, ...).
    var_names
        Parameters; all unless given.
    max_panels
        Most panels.
    """
    chosen, left_out = _chosen(posterior, var_names, max_panels)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    palette = list(style.channel_colours(list(map(str, posterior["chain"].values))).values())
    with style.canvas(max(5.0, 3.7 * columns), 1.1 + 1.3 * rows) as figure:
        axes = style.grid(figure, len(chosen), columns, sharex=True)
        for place, (ax, (label, _, _, draws)) in enumerate(zip(axes, chosen, strict=True)):
            for colour, chain in zip(palette, draws.values, strict=True):
                ax.plot(chain, color=colour, lw=0.5, alpha=0.7)
            ax.margins(x=0)
            ax.set_title(label, fontsize=9)
            ax.tick_params(labelsize=8)
            style.compact_ticks(ax.yaxis)
            ax.locator_params(axis="y", nbins=4)
            if place >= len(chosen) - columns:
                ax.set_xlabel("draw")
        lines = f"one line per chain ({len(palette)} chains)"
        style.headline(figure, f"Draws in order, {lines}{left_out}; healthy chains look alike")
    return figure


@named_arguments
def plot_ranks(
    posterior: xr.Dataset,
    var_names: Sequence[str] | None = None,
    *,
    bins: int = 20,
    max_panels: int = 24,
) -> Figure:
    """Draw histograms of every chain's ranks among all draws: flat where the chains agree.

    Parameters
    ----------
    posterior
        Draws (chain, draw, ...).
    var_names
        Parameters; all unless given.
    bins
        Number of bins.
    max_panels
        Most panels.
    """
    chosen, left_out = _chosen(posterior, var_names, max_panels)
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    palette = list(style.channel_colours(list(map(str, posterior["chain"].values))).values())
    with style.canvas(max(4.5, 2.8 * columns), 1.1 + 1.35 * rows) as figure:
        axes = style.grid(figure, len(chosen), columns, sharex=True, sharey=True)
        for place, (ax, (label, _, _, draws)) in enumerate(zip(axes, chosen, strict=True)):
            values = draws.values
            ranks = (values.ravel().argsort().argsort() + 0.5).reshape(values.shape) / values.size
            edges = np.linspace(0.0, 1.0, bins + 1)
            expected = values.shape[1] / bins
            ax.axhline(1.0, color=INK, lw=0.8)
            for colour, chain in zip(palette, ranks, strict=True):
                height = np.histogram(chain, edges)[0] / expected
                ax.stairs(height, edges, baseline=None, color=colour, lw=1.0)
            ax.set_title(label, fontsize=9)
            ax.tick_params(labelsize=8)
            if place >= len(chosen) - columns:
                ax.set_xlabel("rank among all draws", fontsize=9)
            if place % columns == 0:
                ax.set_ylabel("times expected", fontsize=9)
        axes[0].set_ylim(bottom=0)
        lines = f"one line per chain ({len(palette)} chains)"
        style.headline(
            figure, f"Ranks of the draws, {lines}{left_out}; flat lines mean that chains agree"
        )
    return figure
