"""Columns made of the days before an origin, for methods that do not read sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

NDArray = np.ndarray[Any, Any]


def lags(
    values: Float[NDArray, "shop time *rest"], ends: Int[NDArray, " origin"], count: int
) -> Float[NDArray, "shop origin lag *rest"]:
    """Return the ``count`` days up to each end, latest first; NaN before the first day."""
    days = ends[:, None] - np.arange(count)
    before = (days < 0).reshape(1, *days.shape, *(1,) * (values.ndim - 2))
    return np.where(before, np.nan, values[:, np.maximum(days, 0)])


def rolling_mean(
    values: Float[NDArray, "shop time node"], ends: Int[NDArray, " origin"], window: int
) -> Float[NDArray, "shop origin node"]:
    """Return the mean of observed values in the ``window`` days up to each end, or NaN."""
    there = np.isfinite(values)
    total = np.cumsum(np.where(there, values, 0.0), 1)
    count = np.cumsum(there, 1)
    first = ends - window
    inside = (first >= 0)[:, None]
    totals = total[:, ends] - np.where(inside, total[:, np.maximum(first, 0)], 0.0)
    counts = count[:, ends] - np.where(inside, count[:, np.maximum(first, 0)], 0)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def same_weekday(
    target: Float[NDArray, "shop time"],
    ends: Int[NDArray, " row"],
    horizons: Int[NDArray, " row"],
    shops: Int[NDArray, " row"],
    weeks: int,
) -> Float[NDArray, "row week"]:
    """Return targets on the weekday of ``end + horizon`` in the last weeks up to ``end``.

    The latest first; NaN where it is missing or before the first day.
    """
    latest = ends + horizons - 7 * (-(-horizons // 7))
    days = latest[:, None] - 7 * np.arange(weeks)
    found = target[shops[:, None], np.maximum(days, 0)]
    return np.where(days < 0, np.nan, found)
