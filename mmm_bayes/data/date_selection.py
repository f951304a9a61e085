"""Choose rows by date: a slice, one date, or several, as an argument gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.data.dates import parse_dates
from mmm_bayes.runtime.findings import DataError, Finding, listing


def date_positions(dates: pd.DatetimeIndex, wanted: Any, name: str = "dates") -> np.ndarray:
    """Return the positions of the wanted dates among those of a table.

    Parameters
    ----------
    dates
        Dates of the table, sorted.
    wanted
        A slice of dates, both ends included, where ``"2022"`` or ``"2022-06"`` is a whole year or
        month; one such period or date; or several dates. None for all.
    name
        Name of the argument, for errors.

    Raises
    ------
    DataError
        If a date cannot be read, can be read in two ways, or is not in the table.

    Examples
    --------
    >>> weeks = pd.date_range("2022-05-23", periods=4, freq="W-MON")
    >>> date_positions(weeks, slice("2022-06", None)).tolist()
    [2, 3]
    """
    if wanted is None:
        return np.arange(len(dates))
    if isinstance(wanted, slice):
        first = None if wanted.start is None else _bounds(wanted.start, name, dates)[0]
        last = None if wanted.stop is None else _bounds(wanted.stop, name, dates)[1]
        return _between(dates, first, last)[:: wanted.step]
    if isinstance(wanted, str | pd.Period):
        first, last = _bounds(wanted, name, dates)
        if first != last:
            return _between(dates, first, last)
    parsed = parse_dates(wanted, name, known=dates, regular=False)
    if parsed.findings:
        raise DataError(parsed.findings, name)
    positions = np.asarray(dates.get_indexer(parsed.values))
    if (positions < 0).any():
        absent = [f"{day:%Y-%m-%d}" for day in parsed.values[positions < 0]]
        message = f"The table has no row dated {listing(absent)}."
        remedy = f"Its dates run from {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}."
        raise DataError([Finding("unknown_date", "error", message, remedy, name)], name)
    return positions


def _between(
    dates: pd.DatetimeIndex, first: pd.Timestamp | None, last: pd.Timestamp | None
) -> np.ndarray:
    chosen = np.ones(len(dates), bool)
    if first is not None:
        chosen &= np.asarray(dates >= first)
    if last is not None:
        chosen &= np.asarray(dates <= last)
    return np.flatnonzero(chosen)


def _bounds(value: Any, name: str, dates: pd.DatetimeIndex) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and last day that one value stands for: a day, or a whole period."""
    parsed = parse_dates([value], name, known=dates, regular=False)
    if parsed.findings:
        raise DataError(parsed.findings, name)
    return parsed.values[0], parsed.last_days[0]
