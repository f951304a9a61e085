"""Response curves of spend, and the adstock and saturation curves behind them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr

from mmm_bayes.analysis import decomposition as parts
from mmm_bayes.analysis.decomposition import Units
from mmm_bayes.analysis.draws import compiled, over_draws
from mmm_bayes.analysis.window import window_of
from mmm_bayes.model import media
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.media import Params
from mmm_bayes.model.structure import ModelArrays, Structure
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.findings import nearest

NDArray = np.ndarray[Any, Any]

_MULTIPLIERS = np.linspace(0.0, 2.0, 41)


@functools.lru_cache(maxsize=32)
def _response(structure: Structure) -> Any:
    def run(params: Params, arrays: ModelArrays, units: Units, factors: Any) -> Any:
        return parts.response_totals(structure, params, arrays, units, factors)

    return compiled(run)


@functools.lru_cache(maxsize=32)
def _kernels(structure: Structure) -> Any:
    return compiled(lambda params: media.kernel_weights(structure.media, params))


@functools.lru_cache(maxsize=32)
def _saturation(structure: Structure) -> Any:
    def run(params: Params, points: Any) -> Any:
        x = jnp.broadcast_to(points, (len(structure.channels), 1, points.shape[0]))
        return media.saturate(structure.media, params, x)[:, 0]

    return compiled(run)


def response_curves(
    fitted: Fitted,
    channels: Sequence[str] | str | None = None,
    multipliers: Sequence[float] | NDArray = _MULTIPLIERS,
    *,
    unit: Literal["revenue", "target"] = "revenue",
    group: str = "posterior",
    max_draws: int | None = 500,
) -> xr.DataArray:
    """Compute total contributions over the window with a channel's exposure scaled.

    The timing of the spend, the price of exposure and the other channels are kept as observed.

    Parameters
    ----------
    fitted
        A fit.
    channels
        Channels; all by default.
    multipliers
        Factors of spend and exposure; 1 is the observed spend.
    unit
        ``"revenue"``, or ``"target"``.
    group, max_draws
        As in :func:`mmm_bayes.analysis.contributions.contributions`.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, channel, multiplier)`` with the coordinate ``spend (channel, multiplier)``
        in currency (0 for unpaid media).

    Raises
    ------
    ValueError
        If a channel is unknown, or a multiplier negative.
    """
    factors = np.asarray(multipliers, float)
    if factors.ndim != 1 or not factors.size or not np.isfinite(factors).all() or factors.min() < 0:
        raise ValueError(
            f"multipliers should be a list of numbers of at least 0, but got {multipliers}."
        )
    if unit not in ("revenue", "target"):
        raise ValueError(f"unit should be 'revenue' or 'target', but got {unit!r}.")
    window = window_of(fitted, revenue=unit == "revenue")
    names = fitted.data.channels
    result = over_draws(
        fitted,
        _response(fitted.structure),
        (window.arrays, window.units, factors.astype(fitted.dtype)),
        dims=("channel", "multiplier"),
        coords={"channel": names, "multiplier": factors},
        group=group,
        max_draws=max_draws,
        elements=window.arrays.target.size * len(names),
    )
    spent = np.multiply.outer(fitted.data.ds["spend"].values.sum((0, 1)), factors)
    result = result.assign_coords(spend=(("channel", "multiplier"), spent))
    return result.sel(channel=_chosen(channels, names)).rename("response").assign_attrs(unit=unit)


def adstock_curves(
    fitted: Fitted, *, group: str = "posterior", max_draws: int | None = None
) -> xr.DataArray:
    """Compute adstock weights: the share of an exposure's effect at each lag.

    Parameters
    ----------
    fitted
        A fit.
    group
        ``"posterior"`` or ``"prior"``.
    max_draws
        Thin the draws evenly to at most this many.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, channel, lag)``; lag 0 is the period of the exposure. Each curve sums to one
        if the model normalises its weights.
    """
    result = over_draws(
        fitted,
        _kernels(fitted.structure),
        (),
        dims=("channel", "lag"),
        coords={
            "channel": fitted.data.channels,
            "lag": np.arange(fitted.structure.media.max_lag),
        },
        group=group,
        max_draws=max_draws,
    )
    return result.rename("adstock")


@renamed(points="num_points")
def saturation_curves(
    fitted: Fitted,
    num_points: int = 61,
    *,
    group: str = "posterior",
    max_draws: int | None = None,
) -> xr.DataArray:
    """Compute the saturation of a constant exposure, before coefficients.

    Parameters
    ----------
    fitted
        A fit.
    num_points
        Number of exposures, evenly spaced from zero to the largest observed.
    group, max_draws
        As in :func:`adstock_curves`.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, channel, point)`` with the coordinate ``exposure (channel, point)`` in
        media units per period (per head if geos have a population).
    """
    data, scaling = fitted.data, fitted.scaling
    exposure = data.ds["exposure"].values / data.ds["population"].values[:, None, None]
    scaled = exposure / scaling.media_scale
    grid = np.linspace(0.0, float(scaled.max()), num_points)
    result = over_draws(
        fitted,
        _saturation(fitted.structure),
        (grid.astype(fitted.dtype),),
        dims=("channel", "point"),
        coords={"channel": data.channels, "point": np.arange(num_points)},
        group=group,
        max_draws=max_draws,
    )
    natural = np.multiply.outer(scaling.media_scale, grid)
    return result.assign_coords(exposure=(("channel", "point"), natural)).rename("saturation")


def _chosen(channels: Sequence[str] | str | None, known: list[str]) -> list[str]:
    if channels is None:
        return known
    names = [channels] if isinstance(channels, str) else list(channels)
    for name in names:
        if name not in known:
            raise ValueError(
                f"{name!r} is not a channel.{nearest(str(name), known)} Channels are {known}."
            )
    return names
