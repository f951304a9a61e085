"""Convert every parameter between the sampler's scale and the units of the table.

All maps are affine, ``natural = offset + factor * scaled``, so the inverse is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.data.scaling import Scaling
from mmm_bayes.model.structure import Structure

NDArray = np.ndarray[Any, Any]

_EXPOSURE = {"ec": 1.0, "saturation_scale": 1.0, "lam": -1.0, "rate": -1.0}
_PER_TARGET = {"sigma", "trend_coef", "seasonality_coef", "event_coef", "trend_amplitude", "beta"}


def affine(
    structure: Structure, scaling: Scaling, log_rate: float, name: str
) -> tuple[NDArray, NDArray]:
    """Return the offset and the factor of a parameter.

    In the units of the table, exposure parameters are in media units (per head if geos have a
    population) and coefficients are in units of the target (per head), or on the logarithm of the
    target under a log link. A control's coefficient is per unit of the control.

    Parameters
    ----------
    structure, scaling
        The fixed part of the model, and its scales.
    log_rate
        Logarithm of the mean count (per head): where a count model's intercept is centred.
    name
        Name of the parameter.
    """
    zero, one = np.zeros(()), np.ones(())
    scale = np.asarray(scaling.target_scale)
    if name in _EXPOSURE:
        own = structure.media.parameter(name).channels
        index = [structure.channels.index(channel) for channel in own]
        return zero, scaling.media_scale[index] ** _EXPOSURE[name]
    if name == "intercept":
        centre = log_rate if scaling.link == "count" else scaling.target_center
        return np.asarray(centre), scale
    if name in _PER_TARGET or name in ("intercept_geo", "intercept_geo_scale", "coefficient__geo"):
        return zero, scale
    if name in ("control_coef", "control_geo", "control_geo_scale"):
        return zero, scale / scaling.control_scale
    return zero, one


def to_table_units(
    structure: Structure, scaling: Scaling, log_rate: float, params: dict[str, NDArray]
) -> dict[str, NDArray]:
    """Convert scaled parameters to table units; leading axes (chain, draw) are kept."""
    result = {}
    for name, value in _split_geo(structure, params).items():
        offset, factor = affine(structure, scaling, log_rate, name)
        result[_public(name)] = offset + factor * value
    return result


def to_scaled(
    structure: Structure, scaling: Scaling, log_rate: float, params: dict[str, NDArray]
) -> dict[str, NDArray]:
    """Invert :func:`to_table_units`."""
    result = {}
    for public, value in params.items():
        name = _private(public)
        offset, factor = affine(structure, scaling, log_rate, name)
        result[name] = (value - offset) / factor
    if "intercept_geo" in result:
        parts = [result.pop("intercept_geo")[..., None]]
        if "control_geo" in result:
            parts.append(result.pop("control_geo"))
        result["linear_geo"] = np.concatenate(parts, -1)
    return result


def _split_geo(structure: Structure, params: dict[str, NDArray]) -> dict[str, NDArray]:
    """Separate the geo differences of the intercept from those of the controls."""
    result = {name: value for name, value in params.items() if name != "linear_geo"}
    if "linear_geo" in params:
        result["intercept_geo"] = params["linear_geo"][..., 0]
        if len(structure.geo_columns) > 1:
            result["control_geo"] = params["linear_geo"][..., 1:]
    return result


def _public(name: str) -> str:
    return "beta_geo" if name == "coefficient__geo" else name


def _private(name: str) -> str:
    return "coefficient__geo" if name == "beta_geo" else name
