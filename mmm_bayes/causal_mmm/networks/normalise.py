"""Standardisation of series, with an exact inverse."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

NDArray = np.ndarray[Any, Any]

By = Literal["series", "node"]
"""Whether each series has its own location and scale, or all shops share those of a node."""


class Normalisation(NamedTuple):
    """Constants of the standardisation.

    Attributes
    ----------
    location, scale
        Location and scale of each series (shop, node), after the logarithm.
    unit
        Divisor of each series (shop, node) before ``log1p``; one without a logarithm.
    logarithm
        Whether each node is transformed by ``log1p(x / unit)`` (node,).
    context_location, context_scale
        Location and scale of each context variable (variable,), over all shops.
    """

    location: NDArray
    scale: NDArray
    unit: NDArray
    logarithm: NDArray
    context_location: NDArray
    context_scale: NDArray


def _spread(sd: NDArray) -> NDArray:
    """Replace the standard deviations of constant series by one."""
    return np.where(np.isfinite(sd) & (sd > 1e-12), sd, 1.0)


def fit_normalisation(
    series: NDArray, context: NDArray, logarithm: NDArray, *, by: By
) -> Normalisation:
    """Fit the standardisation of series (shop, time, node) that may hold NaN.

    Parameters
    ----------
    series, context
        Values (shop, time, node) and (shop, time, variable).
    logarithm
        Nodes that are transformed by ``log1p`` of their value over their mean (node,).
    by
        One location and scale per series, or per node (shops on one scale).
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
    """Replace series without any value by zeros, since NumPy warns about means of nothing."""
    empty = ~np.isfinite(series).any(axis=1, keepdims=True)
    return np.where(empty, 0.0, series)


def transform(series: NDArray, unit: NDArray, logarithm: NDArray) -> NDArray:
    """Apply ``log1p(x / unit)`` to the nodes marked in ``logarithm``."""
    ratio = np.where(logarithm, series / unit[:, None], 0.0)
    return np.where(logarithm, np.log1p(np.maximum(ratio, -0.999999)), series)


def standardise(series: NDArray, norm: Normalisation) -> NDArray:
    """Standardise series (shop, time, node); NaN stays NaN."""
    shaped = transform(series, norm.unit, norm.logarithm)
    return (shaped - norm.location[:, None]) / norm.scale[:, None]


def restore(values: NDArray, norm: Normalisation) -> NDArray:
    """Convert standardised series (..., shop, time, node) to their own units."""
    shaped = values * norm.scale[:, None] + norm.location[:, None]
    # Elsewhere the exponential could be infinite.
    ratio = np.expm1(np.where(norm.logarithm, shaped, 0.0))
    return np.where(norm.logarithm, ratio * norm.unit[:, None], shaped)
