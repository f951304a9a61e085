"""What every baseline starts from: standardised series, their lags, and which rows are whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mmm_bayes.runtime.findings import DataError, Finding, listing

NDArray = np.ndarray[Any, Any]

_FEWEST_ROWS = 8  # a shop with fewer whole rows cannot be validated or tested in any method


class LaggedRows(NamedTuple):
    """Regressors and responses of one step ahead; what is missing is 0.

    Attributes
    ----------
    past : numpy.ndarray
        Values before each row (shop, row, lag, node), the latest first: ``past[:, t, k]`` is one
        step and ``k`` more before row ``t``.
    present : numpy.ndarray
        Values of each row (shop, row, node).
    whole : numpy.ndarray
        Which rows miss neither a value nor a lag of any node (shop, row).
    """

    past: NDArray
    present: NDArray
    whole: NDArray


def check_series(series: NDArray) -> NDArray:
    """Return the series as floats (shop, time, node).

    Raises
    ------
    DataError
        If they have another number of axes, fewer than two nodes, or infinite values.
    """
    series = np.asarray(series, float)
    found = []
    if series.ndim != 3 or series.shape[-1] < 2:
        message = f"series should be (shop, time, node), but have the shape {series.shape}."
        found.append(_wrong(message, "One shop needs a leading axis of length 1, and two nodes."))
    if np.isinf(series).any():
        message = f"series have {int(np.isinf(series).sum())} infinite values."
        found.append(_wrong(message, "Missing values are NaN."))
    if found:
        raise DataError(found, "the series of shops")
    return series


def standardise(series: NDArray) -> NDArray:
    """Return each series with mean 0 and variance 1 over its observed values.

    A series without variance, or without values, becomes 0 where it is observed.
    """
    series = check_series(series)
    there = np.isfinite(series)
    count = np.maximum(there.sum(1, keepdims=True), 1)
    centred = np.where(there, series, 0)
    mean = centred.sum(1, keepdims=True) / count
    centred = np.where(there, series - mean, 0)
    sd = np.sqrt((centred**2).sum(1, keepdims=True) / count)
    # A constant's deviations from its rounded mean are not zero exactly.
    flat = sd <= 1e-12 * np.maximum(np.abs(mean), np.finfo(float).tiny)
    scaled = np.where(flat, 0, centred / np.where(flat, 1, sd))
    return np.where(there, scaled, np.nan)


def lag(series: NDArray, lags: int) -> LaggedRows:
    """Return lags 1 to ``lags`` of the series, from time ``lags`` on: time - lags rows."""
    length = series.shape[1]
    rows = max(length - lags, 0)
    past = np.stack([series[:, lags - k : lags - k + rows] for k in range(1, lags + 1)], axis=2)
    present = series[:, length - rows :]
    whole = np.isfinite(present).all(-1) & np.isfinite(past).all((-1, -2))
    blank = ~whole
    past, present = (
        np.where(blank[..., None, None], 0, past),
        np.where(blank[..., None], 0, present),
    )
    return LaggedRows(past, present, whole)


def lag_checked(series: NDArray, lags: int) -> LaggedRows:
    """Return the lags of standardised series.

    Raises
    ------
    DataError
        If a shop has fewer than 8 whole rows.
    """
    lagged = lag(standardise(series), lags)
    rows = lagged.whole.sum(1)
    if short := np.flatnonzero(rows < _FEWEST_ROWS).tolist():
        message = (
            f"{len(short)} shops have fewer than {_FEWEST_ROWS} rows with all {lags} lags of all "
            f"nodes, at positions {listing(short)}."
        )
        remedy = "Use fewer lags, fill gaps, or leave these shops out."
        raise DataError([_wrong(message, remedy)], "the series of shops")
    return lagged


def last_rows(whole: NDArray, share: float) -> NDArray:
    """Return the last ``share`` of each shop's whole rows (shop, row), one at least."""
    total = whole.sum(1, keepdims=True)
    held = np.maximum(np.round(share * total), 1)
    return whole & (np.cumsum(whole, axis=1) > total - held)


def by_parts(
    function: Callable[..., NDArray | tuple[NDArray, ...]], size: int, *arrays: Any
) -> Any:
    """Apply a function to ``size`` shops at a time and join its results.

    The last part is filled up with its first shop, so that a compiled function sees one shape.
    """
    count = len(arrays[0])
    size = min(size, count)
    joined = []
    for start in range(0, count, size):
        at = np.arange(start, start + size)
        at = np.where(at < count, at, start)
        part = function(*(array[at] for array in arrays))
        kept = min(size, count - start)
        many = part if isinstance(part, tuple) else (part,)
        joined.append(tuple(np.asarray(value)[:kept] for value in many))
    results = tuple(np.concatenate(values) for values in zip(*joined, strict=True))
    return results if isinstance(part, tuple) else results[0]


def shop_keys(rng_key: Any, shops: int) -> Any:
    """Return one key per shop; more shops leave the keys of the first ones as they are."""
    import jax

    return jax.vmap(lambda shop: jax.random.fold_in(rng_key, shop))(np.arange(shops))


def without_diagonal(scores: NDArray) -> NDArray:
    """Return scores as float64 with a diagonal of 0."""
    return np.where(np.eye(scores.shape[-1], dtype=bool), 0.0, np.asarray(scores, float))


def _wrong(message: str, remedy: str) -> Finding:
    return Finding("series", "error", message, remedy, where="series")
