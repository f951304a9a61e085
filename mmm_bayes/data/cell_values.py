"""Single cells of a table: plain values out of whatever a data frame may hold."""

from __future__ import annotations

import decimal
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

NDArray = np.ndarray[Any, Any]

LARGEST = 1e30
"""Sizes past which a column is refused: products of three such numbers and their squares are still
finite, so that no sum of squares, rate or return overflows anywhere in a model."""


def plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose cells can be compared, hashed and asked whether they are missing.

    Lists, mappings and the like become their text, which no column can mean as a value; decimal
    numbers become floats. Columns of one type are returned as they are.
    """
    columns = [plain_column(frame.iloc[:, k]) for k in range(frame.shape[1])]
    if all(new is old for new, old in zip(columns, _columns(frame), strict=True)):
        return frame
    return pd.concat(columns, axis=1).set_axis(frame.columns, axis=1)


def plain_column(column: pd.Series) -> pd.Series:
    """Return a column of plain cells; see `plain_frame`."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("object")
    if isinstance(column.dtype, pd.ArrowDtype) and column.dtype.kind in "bO":
        # Arrow's truth values and decimal numbers, which pandas does not turn into floats.
        column = column.astype("object")
    if column.dtype == np.float16:  # pandas can neither group by these nor sum them
        return column.astype("float64")
    if column.dtype != object:
        return column
    cells = [_plain(value) for value in column]
    if all(new is old for new, old in zip(cells, column, strict=True)):
        return column
    plain = np.empty(len(cells), dtype=object)
    plain[:] = cells
    return pd.Series(plain, index=column.index, name=column.name, dtype="object")


def to_floats(series: pd.Series) -> tuple[NDArray, NDArray]:
    """Return the cells as floats, and a mask of those that are present but not a number."""
    series = plain_column(series)
    blank = series.isna().to_numpy()
    numeric = pd.api.types.is_numeric_dtype(series.dtype)
    if numeric and not pd.api.types.is_complex_dtype(series.dtype):
        return series.to_numpy(dtype="float64", na_value=np.nan), np.zeros(len(series), bool)
    if not (series.dtype == object or pd.api.types.is_string_dtype(series.dtype)):
        # Dates, durations and complex numbers would pass pd.to_numeric.
        return np.full(len(series), np.nan), ~blank
    values = np.full(len(series), np.nan)
    for row in np.flatnonzero(~blank):
        values[row] = to_float(series.iloc[row])
    return values, ~blank & np.isnan(values)


def to_float(value: object) -> float:
    """Read a cell as a number; NaN if it is none, infinite if it is too large for one."""
    # float() reads digits with underscores, which no table means as a number.
    if isinstance(value, str | bytes) and "_" in str(value):
        return np.nan
    if isinstance(value, np.ndarray | complex):
        return np.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return np.inf if value > 0 else -np.inf  # type: ignore[operator]
    except (TypeError, ValueError):
        return np.nan


def cell_text(value: object, width: int = 60) -> str:
    """Write a cell as Python does, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"a {type(value).__name__} of very many digits"
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _columns(frame: pd.DataFrame) -> list[pd.Series]:
    return [frame.iloc[:, k] for k in range(frame.shape[1])]


def _plain(value: Any) -> Any:
    if isinstance(value, str | float | int):
        return value
    if isinstance(value, decimal.Decimal):
        # Overflow of a float is an infinite number; a signalling NaN cannot even be asked.
        return to_float(value)
    if not isinstance(value, Hashable) or isinstance(value, tuple | frozenset | pd.Interval):
        return cell_text(value)
    try:
        hash(value)
        missing = pd.isna(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return cell_text(value)
    return value if isinstance(missing, bool | np.bool_) else cell_text(value)
