"""What networks see of series: standardised values, with an exact way back."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

NDArray = np.ndarray[Any, Any]

By = Literal["series", "node"]
"""Whether every series has its own location and scale, or all shops share those of a node."""


class Normalisation(NamedTuple):
    """How series were standardised.

    Attributes
    ----------
    location, scale
        Of each series (shop, node), after the transform.
    unit
        What each series (shop, node) is divided by before ``log1p``; ones otherwise.
    logarithm
        Whether each node is transformed by ``log1p(x / unit)`` (node,).
    context_location, context_scale
        Of each context variable (variable,), over all shops.
    """

    location: NDArray
    scale: NDArray
    unit: NDArray
    logarithm: NDArray
    context_location: NDArray
    context_scale: NDArray


def _spread(sd: NDArray) -> NDArray:
    """Standard deviations, with one in place of those of constant series."""
    return np.where(np.isfinite(sd) & (sd > 1e-12), sd, 1.0)


def fit_normalisation(
    series: NDArray, context: NDArray, logarithm: NDArray, *, by: By
) -> Normalisation:
    """Location and scale of series (shop, time, node) that may hold NaN.

    Parameters
    ----------
    series, context
        Values (shop, time, node) and (shop, time, variable).
    logarithm
        Which nodes are transformed by ``log1p`` of their value over their mean (node,).
    by
        One location and scale a series, or one a node (shops on one scale).
    """
    with np.errstate(invalid="ignore"):
        unit = np.where(logarithm, np.nanmean(_full(series), axis=1), 1.0)
    unit = np.where(np.isfinite(unit) & (unit > 0), unit, 1.0)
    shaped = transform(series, unit, logarithm)
    axis: Any = 1 if by == "series" else (0, 1)
    location = np.nanmean(_full(shaped), axis=axis)
    scale = _spread(np.nanstd(_full(shaped), axis=axis))
    sizes = (series.shape[0], series.shape[2])
    return Normalisation(
        np.broadcast_to(location, sizes).copy(),
        np.broadcast_to(scale, sizes).copy(),
        unit,
        logarithm,
        context.mean((0, 1)),
        _spread(context.std((0, 1))),
    )


def _full(series: NDArray) -> NDArray:
    """Series where one without any value is zero throughout: means of nothing would warn."""
    empty = ~np.isfinite(series).any(axis=1, keepdims=True)
    return np.where(empty, 0.0, series)


def transform(series: NDArray, unit: NDArray, logarithm: NDArray) -> NDArray:
    """``log1p(x / unit)`` where a node asks for it."""
    ratio = np.where(logarithm, series / unit[:, None], 0.0)
    return np.where(logarithm, np.log1p(np.maximum(ratio, -0.999999)), series)


def standardise(series: NDArray, norm: Normalisation) -> NDArray:
    """Standardised series (shop, time, node); NaN stays."""
    shaped = transform(series, norm.unit, norm.logarithm)
    return (shaped - norm.location[:, None]) / norm.scale[:, None]


def restore(values: NDArray, norm: Normalisation) -> NDArray:
    """Series in their own units from standardised ones (..., shop, time, node)."""
    shaped = values * norm.scale[:, None] + norm.location[:, None]
    # Of other nodes the exponential may well be infinite.
    ratio = np.expm1(np.where(norm.logarithm, shaped, 0.0))
    return np.where(norm.logarithm, ratio * norm.unit[:, None], shaped)
