"""Contributions of every component of the model, and the return on each channel's spend."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import numpy as np
import xarray as xr

from mmm_bayes.analysis import decomposition as parts
from mmm_bayes.analysis.cells import Cells, cells_of, total
from mmm_bayes.analysis.decomposition import Method, Units
from mmm_bayes.analysis.draws import compiled, over_draws
from mmm_bayes.analysis.window import Window, window_of
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.media import Params
from mmm_bayes.model.predictor import linear_predictor
from mmm_bayes.model.structure import ModelArrays, Structure
from mmm_bayes.runtime.findings import nearest

NDArray = np.ndarray[Any, Any]
By = Sequence[str] | str
Unit = Literal["target", "revenue"]


@functools.lru_cache(maxsize=64)
def _decomposition(structure: Structure, method: Method) -> Any:
    def run(params: Params, arrays: ModelArrays, units: Units) -> Any:
        return parts.decompose(structure, method, params, arrays, units)

    return compiled(run)


@functools.lru_cache(maxsize=64)
def _mean(structure: Structure) -> Any:
    def run(params: Params, arrays: ModelArrays, units: Units) -> Any:
        eta = linear_predictor(structure, params, arrays)
        return parts.mean(structure, params, eta, arrays, units)

    return compiled(run)


@functools.lru_cache(maxsize=64)
def _media(structure: Structure) -> Any:
    def run(params: Params, arrays: ModelArrays, units: Units) -> Any:
        return parts.media_parts(structure, params, arrays, units)

    return compiled(run)


@functools.lru_cache(maxsize=64)
def _increase(structure: Structure) -> Any:
    def run(params: Params, arrays: ModelArrays, units: Units, factor: Any) -> Any:
        return parts.media_increase(structure, params, arrays, units, factor)

    return compiled(run)


# Compiled on its own, so that each costly program above serves every by=.
_total = jax.jit(total, static_argnums=2)


def contributions(
    fitted: Fitted,
    by: By = (),
    *,
    group: str = "posterior",
    method: Method = "counterfactual",
    unit: Unit = "target",
    max_draws: int | None = None,
    data: MMMData | None = None,
) -> xr.DataArray:
    r"""Compute the contributions of intercept, trend, seasonality, events, controls and channels.

    A channel's contribution is the fitted mean minus the mean with the channel off. It includes
    carry-over within the window, but none beyond its end. All components sum to
    :func:`fitted_mean`. Controls are measured from their mean (binary controls from 0).

    With a logarithmic link, :math:`\mu = \exp(a + \sum_j d_j + \sum_c e_c)`, a channel contributes
    :math:`\mu (1 - e^{-e_c})`, and the effect that channels have only jointly is the component
    ``interaction``. The mean without media is divided between the intercept, :math:`e^a`, and the
    other terms, :math:`d_j L`, where :math:`L` is the logarithmic mean of the mean without media
    and :math:`e^a`. With ``method="shapley"`` a channel contributes
    :math:`e_c L(\mu, \mu_{\text{no media}})`, which leaves no interaction (Aumann-Shapley). With
    an identity link both methods agree.

    Parameters
    ----------
    fitted
        A fit.
    by
        Dimensions to keep: ``"geo"``, and one of ``"date"``, ``"year"``, ``"quarter"``,
        ``"month"``. Everything else is summed.
    group
        ``"posterior"`` or ``"prior"``.
    method
        ``"counterfactual"`` or ``"shapley"``.
    unit
        ``"target"``, or ``"revenue"`` (target times ``revenue_per_target``).
    max_draws
        Thin the draws evenly to at most this many.
    data
        Another table with the same columns (other spend, later dates); by default the training
        table. Exposure of the training table before its first date carries over into it.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, component, *by)`` in units of the target or in currency; the coordinate
        ``kind`` of ``component`` is ``"baseline"``, ``"control"``, ``"media"`` or
        ``"interaction"``.

    Raises
    ------
    ValueError
        If an argument is not one of its choices, or the dates leave a gap.
    """
    _choice("method", method, get_args(Method))
    window = _window(fitted, data, unit)
    found = parts.components(fitted.structure, method)
    result = _over_cells(
        fitted,
        window,
        cells_of(by, window.data),
        _decomposition(fitted.structure, method),
        ("component", [part.label for part in found]),
        group=group,
        max_draws=max_draws,
        width=len(found),
    )
    kinds = ("component", [part.kind for part in found])
    return result.assign_coords(kind=kinds).rename("contribution").assign_attrs(unit=unit)


def fitted_mean(
    fitted: Fitted,
    by: By = ("geo", "date"),
    *,
    group: str = "posterior",
    unit: Unit = "target",
    max_draws: int | None = None,
    data: MMMData | None = None,
) -> xr.DataArray:
    """Compute the expected target given the parameters; :func:`contributions` has the arguments.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, *by)``.
    """
    window = _window(fitted, data, unit)
    result = _over_cells(
        fitted,
        window,
        cells_of(by, window.data),
        _mean(fitted.structure),
        None,
        group=group,
        max_draws=max_draws,
    )
    return result.rename("mean").assign_attrs(unit=unit)


def media_contributions(
    fitted: Fitted,
    by: By = (),
    *,
    group: str = "posterior",
    unit: Unit = "target",
    max_draws: int | None = None,
    data: MMMData | None = None,
) -> xr.DataArray:
    """Compute counterfactual contributions of the channels only; see :func:`contributions`.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, channel, *by)``.
    """
    window = _window(fitted, data, unit)
    result = _over_cells(
        fitted,
        window,
        cells_of(by, window.data),
        _media(fitted.structure),
        ("channel", window.data.channels),
        group=group,
        max_draws=max_draws,
        width=len(window.data.channels),
    )
    return result.rename("contribution").assign_attrs(unit=unit)


def media_totals(
    fitted: Fitted, *, max_draws: int | None = None
) -> tuple[xr.DataArray, xr.DataArray]:
    """Compute total contributions of the channels, in units of the target and in revenue.

    The model is evaluated once if ``revenue_per_target`` is constant, else twice.
    """
    contribution = media_contributions(fitted, max_draws=max_draws)
    price = fitted.data.ds["revenue_per_target"].values
    if np.ptp(price) == 0:
        return contribution, (float(price.flat[0]) * contribution).assign_attrs(unit="revenue")
    return contribution, media_contributions(fitted, unit="revenue", max_draws=max_draws)


def roas(
    fitted: Fitted, by: By = (), *, group: str = "posterior", max_draws: int | None = None
) -> xr.DataArray:
    """Return on ad spend: revenue contributed by a channel over its spend in the same cells.

    In short periods it lags because of carry-over: part of a period's revenue is due to earlier
    spend.

    Parameters
    ----------
    fitted, by, group, max_draws
        As in :func:`contributions`.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, channel, *by)``, revenue per unit of money; NaN where nothing was spent.
    """
    revenue = media_contributions(fitted, by, group=group, unit="revenue", max_draws=max_draws)
    return (revenue / spend(fitted.data, by)).rename("roas")


def marginal_roas(
    fitted: Fitted,
    by: By = (),
    *,
    increase: float = 0.01,
    group: str = "posterior",
    max_draws: int | None = None,
) -> xr.DataArray:
    """Compute extra revenue per extra spend, were exposure 1% higher on every date.

    Parameters
    ----------
    fitted, by, group, max_draws
        As in :func:`contributions`.
    increase
        Relative increase of exposure and spend.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, channel, *by)``, revenue per unit of money; NaN where nothing was spent.
    """
    if not increase > 0:
        raise ValueError(f"increase should be above 0 (0.01 is 1%), but is {increase}.")
    window = _window(fitted, None, "revenue")
    gain = _over_cells(
        fitted,
        window,
        cells_of(by, window.data),
        _increase(fitted.structure),
        ("channel", window.data.channels),
        group=group,
        max_draws=max_draws,
        width=len(window.data.channels),
        extra=(np.asarray(1.0 + increase, fitted.dtype),),
    )
    extra = increase * spend(fitted.data, by)
    return (gain / extra).rename("marginal_roas").assign_attrs(increase=increase)


def contribution_share(
    fitted: Fitted, by: By = (), *, group: str = "posterior", max_draws: int | None = None
) -> xr.DataArray:
    """Compute a channel's contribution as a share of the observed target in the same cells.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, channel, *by)``; NaN where the target has both signs or sums to zero.
    """
    contribution = media_contributions(fitted, by, group=group, max_draws=max_draws)
    return (contribution / target_total(fitted.data, by)).rename("contribution_share")


def target_total(data: MMMData, by: By = ()) -> xr.DataArray:
    """Sum the target over cells, as the whole that shares refer to.

    NaN where the target has both signs, or sums to zero: parts can then exceed the whole many
    times, and a share has no meaning.
    """
    cells, target = cells_of(by, data), data.ds["target"].values
    total = cells.of(target)
    mixed = (cells.of((target < 0).astype(float)) > 0) & (cells.of((target > 0).astype(float)) > 0)
    return _labelled(np.where(mixed | (total == 0), np.nan, total), cells, ())


def spend(data: MMMData, by: By = ()) -> xr.DataArray:
    """Sum the spend of each channel ``(channel, *by)``; NaN where nothing was spent."""
    cells = cells_of(by, data)
    values = cells.of(np.moveaxis(data.ds["spend"].values, 2, 0))
    found = _labelled(values, cells, ("channel",)).assign_coords(channel=data.channels)
    return found.where(found > 0)


def _labelled(values: NDArray, cells: Cells, lead: tuple[str, ...]) -> xr.DataArray:
    array = xr.DataArray(values, cells.coords, (*lead, *cells.dims))
    return array.transpose(*lead, *cells.by)


def _over_cells(
    fitted: Fitted,
    window: Window,
    cells: Cells,
    program: Any,
    first: tuple[str, list[str]] | None,
    *,
    group: str,
    max_draws: int | None,
    width: int = 1,
    extra: tuple[Any, ...] = (),
) -> xr.DataArray:
    """Run a program over the draws and sum to cells; ``first`` is the dimension before them."""
    lead = {} if first is None else dict([first])
    groups = None if cells.groups is None else cells.groups.astype(fitted.dtype)

    def summed(*arguments: Any) -> Any:
        return _total(program(*arguments), groups, cells.mode)

    result = over_draws(
        fitted,
        summed,
        (window.arrays, window.units, *extra),
        dims=(*lead, *cells.dims),
        coords=lead | cells.coords,
        group=group,
        max_draws=max_draws,
        elements=window.arrays.target.size * max(width, window.arrays.design.shape[-1]),
    )
    return result.transpose("chain", "draw", *lead, *cells.by)


def _window(fitted: Fitted, data: MMMData | None, unit: str) -> Window:
    _choice("unit", unit, get_args(Unit))
    return window_of(fitted, data, revenue=unit == "revenue")


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(
            f"{name} should be one of {', '.join(map(repr, known))}, but got {value!r}."
            f"{nearest(str(value), known)}"
        )
