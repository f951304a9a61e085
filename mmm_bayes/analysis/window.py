"""The window a result covers: the training dates, the same with other spend, or later dates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mmm_bayes.analysis.decomposition import Units
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model import arrays as model_arrays
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.structure import ModelArrays


class Window(NamedTuple):
    """A table, its arrays, and the units of its target."""

    data: MMMData
    arrays: ModelArrays
    units: Units


def window_of(
    fitted: Fitted, data: MMMData | pd.DataFrame | None = None, *, revenue: bool = False
) -> Window:
    """Prepare the training window (``data=None``), or one that overlaps or continues it.

    Exposure of the training table before the window's first date carries over into the window.

    Parameters
    ----------
    fitted
        A fit.
    data
        A table with the same columns, or a data frame of one.
    revenue
        Measure the target in revenue.

    Raises
    ------
    ValueError
        If columns or geos differ, or the dates leave a gap; names the date that was expected.
    """
    if data is None:
        arrays, table = fitted.arrays._replace(block=None), fitted.data
    else:
        table = data if isinstance(data, MMMData) else fitted.data.with_table(data)
        _check_names(fitted.data, table)
        start = _start(fitted.data, table.dates)
        known = model_arrays.scaled_media(fitted.data, fitted.scaling)
        history = known[..., :start] if start else None
        with fitted.precision():
            arrays = model_arrays.window_arrays(
                fitted.structure,
                table,
                fitted.scaling,
                fitted.frame,
                history,
                fitted.log_rate,
                model_arrays.effect_reference(fitted.data, fitted.scaling),
            )
        arrays = model_arrays.cast(arrays, fitted.dtype)
    scaling, ds = fitted.scaling, table.ds
    weight = ds["revenue_per_target"].values if revenue else np.ones(arrays.target.shape)
    units = Units(
        np.asarray(scaling.target_center),
        np.asarray(scaling.target_scale),
        ds["population"].values,
        weight,
    )
    return Window(table, arrays, Units(*(np.asarray(x, fitted.dtype) for x in units)))


def _check_names(training: MMMData, table: MMMData) -> None:
    for what, expected, given in (
        ("channels", training.channels, table.channels),
        ("controls", training.controls, table.controls),
        ("geos", training.geos, table.geos),
    ):
        if expected != given:
            raise ValueError(
                f"The model was fitted with the {what} {expected}, but the new table has {given}. "
                "Read it with fit.data.with_table(frame), which puts the columns in order."
            )


def _start(training: MMMData, dates: pd.DatetimeIndex) -> int:
    """Count the training dates before the window; its dates must continue that grid."""
    known = training.dates
    first = dates[0]
    if first in known:
        start = int(np.flatnonzero(known == first)[0])
        grid = known[start:]
        if len(dates) > len(grid):
            later = training.future_dates(len(dates) - len(grid))
            grid = pd.DatetimeIndex(grid.append(later))
    elif first > known[-1]:
        start, grid = len(known), training.future_dates(len(dates))
    else:
        raise ValueError(
            f"New dates should start on a training date, from {known[0]:%Y-%m-%d} on, or right "
            f"after the last, but they start at {first:%Y-%m-%d}."
        )
    expected = grid[: len(dates)]
    wrong = np.flatnonzero(np.asarray(dates != expected))
    if wrong.size:
        at = int(wrong[0])
        before = "the training table ends at " if at == 0 else "the date before it is "
        last = known[-1] if at == 0 else dates[at - 1]
        raise ValueError(
            f"Expected the date {expected[at]:%Y-%m-%d}, but got {dates[at]:%Y-%m-%d} ({before}"
            f"{last:%Y-%m-%d}, steps are {training.time_step.alias}): carry-over needs every step. "
            "Add the missing rows, with spend 0 where nothing was spent."
        )
    return start
