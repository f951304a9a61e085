"""Columns of dates that lie, and arguments that choose dates."""

from __future__ import annotations

import contextlib
import datetime
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fuzz_inputs import Rng, pick

from mmm_bayes.data.date_selection import date_positions
from mmm_bayes.data.dates import FIRST_DATE, LAST_DATE, ParsedDates, format_dates, parse_dates
from mmm_bayes.runtime.findings import DataError

_WEEKS = pd.date_range("2022-01-03", periods=60, freq="W-MON")
_FORMATS = (
    "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M",
    "%b %Y", "%Y%m%d", "%G-W%V", "%YQ1", "%d %B %Y", "%Y-%m-%d %H:%M:%S+02:00", "%I:%M %p",
    "%m/%d/%Y %I:%M:%S %p", "%a, %d %b %Y",
)  # fmt: skip
_SIGNS = tuple("0123456789/-:. TZW+QAPMabjñ\uff10\x00\n")
_DTYPES = (
    "object", "string", "category", "Int64", "float64", "uint64", "float32", "boolean",
    "complex128", "datetime64[s]", "datetime64[ns]", "datetime64[us, Europe/Berlin]",
)  # fmt: skip


@dataclass(frozen=True)
class Dated:
    """A column, and a choice of dates among weeks."""

    column: Any
    wanted: Any


def dates(rng: Rng) -> Dated:
    """Draw a column of any type, mostly of one form, and a choice of dates."""
    cells = _cells(rng)
    return Dated(_typed(rng, cells), pick(rng, [_cell(rng), slice(_cell(rng), _cell(rng)), cells]))


def _cells(rng: Rng) -> list[Any]:
    count, kind = int(rng.integers(0, 9)), rng.random()
    if kind < 0.4:
        form = pick(rng, _FORMATS)
        return [_day(rng).strftime(form) for _ in range(count)]
    if kind < 0.5:
        size = int(rng.integers(1, 19))
        return [int(rng.integers(10**size)) for _ in range(count)]
    return [_text(rng) if kind < 0.7 else _cell(rng) for _ in range(count)]


def _day(rng: Rng) -> pd.Timestamp:
    hours = int(rng.choice([0, 0, 0, 5, 22, 23]))
    return pd.Timestamp("2020-01-01") + pd.Timedelta(days=int(rng.integers(2000)), hours=hours)


def _text(rng: Rng) -> str:
    if rng.random() < 0.4:
        return "".join(pick(rng, _SIGNS) for _ in range(int(rng.integers(0, 24))))
    text = _day(rng).strftime(pick(rng, _FORMATS))
    at = int(rng.integers(len(text)))
    return text[:at] + pick(rng, _SIGNS) + text[at + 1 :] if rng.random() < 0.2 else text


def _cell(rng: Rng) -> Any:
    offset = datetime.timezone(datetime.timedelta(hours=int(rng.integers(-12, 14))))
    year = int(rng.integers(1, 9999))
    return pick(rng, [
        _text(rng), _text(rng), int(rng.integers(-(10**17), 10**17)), 10.0 ** rng.integers(-5, 300),
        None, float("nan"), float("inf"), pd.NaT, datetime.date(year, 1, 1), True, b"x", [1], 1j,
        datetime.datetime(year, 2, 3, tzinfo=offset), np.datetime64("2024-01-01"),
        np.datetime64(int(rng.integers(-(10**15), 10**15)), "s"), datetime.time(1), object(),
        pd.Period("2024-01", pick(rng, ["M", "D", "Y", "Q"])), _day(rng).tz_localize("Asia/Tokyo"),
    ])  # fmt: skip


def _typed(rng: Rng, cells: list[Any]) -> Any:
    import pyarrow as pa

    kind = rng.random()
    if kind < 0.3:
        return cells
    try:
        if kind < 0.5:
            return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(cells)))
        if kind < 0.6:
            return pa.array(cells)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas, about text that it reads as dates
            return pd.Series(cells, dtype=pick(rng, _DTYPES))
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        return pd.Series(cells, dtype="object")


def read_dates(given: Dated, folder: Path) -> ParsedDates:
    """Read the column, and choose rows of a table of weeks."""
    with contextlib.suppress(DataError):
        date_positions(_WEEKS, given.wanted)
    parsed = parse_dates(given.column, "when")
    if parsed.findings:
        raise DataError(parsed.findings, "when")
    return parsed


def sound_dates(parsed: ParsedDates) -> None:
    """Check that accepted dates are days within the years of dates, and can be written again."""
    days = parsed.values
    if not len(days):
        return
    assert not days.hasnans
    assert bool((days == days.normalize()).all())
    assert days.min() >= FIRST_DATE
    assert days.max() <= LAST_DATE
    assert bool((parsed.last_days >= days).all())
    written = pd.Series(format_dates(days, parsed.form))
    again = parse_dates(written, "when", known=days)
    assert again.findings or list(again.values) == list(days)
