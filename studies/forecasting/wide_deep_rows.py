"""Rows of the Wide & Deep network: what a shop looks like at an origin, and what followed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmm_bayes.validation.panel.inputs import Inputs
from studies.forecasting.lagged import lags, rolling_mean

NDArray = np.ndarray[Any, Any]

_RECENT = 7  # days of channels and context that a row holds


class WideDeepRows(NamedTuple):
    """Rows (shop x origin), with what is known and what happened on each day ahead."""

    shop: Any  # (row,)
    target_lags: Any  # (row, lag)
    dense: Any  # (row, column)
    ahead: Any  # (row, horizon, variable): context of the day
    weekday: Any  # (row, horizon)
    truth: Any  # (row, horizon)
    training: Any  # (row, horizon): 1 where the day is observed, before the days held out
    validation: Any  # (row, horizon): 1 where it is observed and among them


def wide_deep_rows(
    inputs: Inputs, ends: NDArray, count: int, horizon: int, cut: int, shift: int = 0
) -> WideDeepRows:
    """Return rows by origin, then shop; head h is for the day ``end + 1 + h + shift``.

    Days from ``cut`` on are held out.
    """
    shops, length = inputs.values.shape[:2]
    values = np.where(inputs.observed, inputs.values, np.nan)
    target = lags(values[..., -1], ends, count)
    recent = [values[..., :-1], inputs.context[:, :length]]
    recent = [
        lags(part, ends, _RECENT).reshape(shops, len(ends), _RECENT * part.shape[-1])
        for part in recent
    ]
    means = [rolling_mean(values, ends, window) for window in (7, 28)]
    missing = np.isnan(target)
    dense = np.concatenate([target, missing, *recent, *means], -1)

    days = ends[:, None] + 1 + shift + np.arange(horizon)
    known = np.minimum(days, inputs.context.shape[1] - 1)
    past = np.minimum(days, length - 1)
    there = inputs.observed[:, past, -1] & (days < length)

    def by_row(table: NDArray) -> NDArray:
        """Reshape (shop, origin, ...) to (origin x shop, ...)."""
        return (
            np.swapaxes(table, 0, 1).reshape(shops * len(ends), *table.shape[2:]).astype(np.float32)
        )

    weekday = np.broadcast_to(inputs.weekday[known], (shops, *known.shape))
    return WideDeepRows(
        np.tile(np.arange(shops), len(ends)),
        np.nan_to_num(by_row(target)),
        np.nan_to_num(by_row(dense)),
        by_row(inputs.context[:, known]),
        np.swapaxes(weekday, 0, 1).reshape(-1, horizon),
        by_row(np.where(there, inputs.values[:, past, -1], 0.0)),
        by_row(there & (days < cut)),
        by_row(there & (days >= cut)),
    )
