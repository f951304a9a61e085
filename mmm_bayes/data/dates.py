"""The one reader of dates: a whole column at once, in every form that tables have.

Tables, panels, lift tests, data frames of graphs, plans, limits and events are all read here, so a
date means the same wherever it enters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import cell_text, plain_column
from mmm_bayes.data.date_readings import EXCEL_DAY_0, readings_of
from mmm_bayes.data.date_text import PERIOD_FORMATS, Reading
from mmm_bayes.data.local_days import local_days
from mmm_bayes.data.time_step import check_regular
from mmm_bayes.runtime.findings import DataError, Finding, listing

# Differences of dates are nanoseconds in 64 bits, at most 292 years.
FIRST_DATE, LAST_DATE = pd.Timestamp("1850-01-01"), pd.Timestamp("2129-12-31 23:59:59")


@dataclass(frozen=True)
class ParsedDates:
    """Dates of a column, at midnight; ``NaT`` where a cell could not be read.

    ``form`` is the form that they have in the table (``"datetime"``, ``"period:FREQ"``,
    ``"int:FORMAT"`` or ``"text:FORMAT"``), so that they can be written back the same way.
    """

    values: pd.DatetimeIndex
    form: str
    findings: tuple[Finding, ...]

    @property
    def names_periods(self) -> bool:
        """Whether cells name a whole month, quarter or year (``"2024-05"``) instead of a day."""
        kind, _, pattern = self.form.partition(":")
        return kind == "period" or pattern in PERIOD_FORMATS

    @property
    def last_days(self) -> pd.DatetimeIndex:
        """The last day of each cell: of the month for ``"2024-05"``, of the year for ``"2024"``."""
        if not self.names_periods:
            return self.values
        kind, _, pattern = self.form.partition(":")
        unit = {"%Y": "Y", "quarter": "Q", "week": "W-SUN"}.get(pattern, "M")
        periods = self.values.to_period(pattern if kind == "period" else unit)
        return periods.end_time.normalize().as_unit("ns")


def parse_dates(
    column: Any, name: str, *, known: pd.DatetimeIndex | None = None, regular: bool = True
) -> ParsedDates:
    """Read a column of dates, and report cells that cannot be read.

    Parameters
    ----------
    column
        A Series or Index of pandas with any dtype (datetimes with or without a time zone, periods,
        Arrow dates and timestamps, text, numbers, Python dates), a column of polars or Arrow, an
        array or a list. Text may be ISO, day or month first, with month names, a time of day and
        an offset; numbers may be years, ``yyyymm``, ``yyyymmdd``, day numbers of spreadsheets, and
        seconds (or their thousandths, ...) since 1970.
    name
        Name of the column, for findings.
    known
        Dates that the column should be among. If it can be read in several ways, the one reading
        whose dates are all known is taken.
    regular
        Whether the column is expected to have regular dates. If it can be read in several ways,
        the one reading with regular dates is taken.

    Returns
    -------
    ParsedDates
        One reading for the whole column. If several remain possible (day or month first, the time
        zone of the midnights), there is a finding ``"ambiguous_date"`` with all of them.
    """
    column = plain_column(_without_arrow(_series(column)))
    codes, distinct = _factorized(column)
    blank = codes < 0
    options = _options(readings_of(distinct))
    findings: list[Finding] = []
    if len(options) > 1:
        options, findings = _chosen(options, distinct, name, known, regular)
    form, _, days = options[0]
    nothing = pd.DatetimeIndex([pd.NaT] * len(column))
    cells = days.take(np.where(blank, 0, codes)) if len(days) else nothing
    index = pd.DatetimeIndex(cells.where(~blank)).as_unit("ns")
    if not findings and (bad := np.flatnonzero(index.isna() & ~blank)).size:
        findings = [_unreadable(column, name, bad)]
    if blank.any():
        findings.append(_missing(name, np.flatnonzero(blank)))
    return ParsedDates(index, form, tuple(findings))


def read_dates(
    values: Any, name: str, *, known: pd.DatetimeIndex | None = None
) -> pd.DatetimeIndex:
    """Read one date or several, given as an argument.

    Parameters
    ----------
    values
        A date in any form that `parse_dates` reads, or several.
    name
        Name of the argument, for findings.
    known
        Dates of the table that these dates refer to; see `parse_dates`.

    Raises
    ------
    DataError
        If a date cannot be read, or can be read in two ways.

    Examples
    --------
    >>> read_dates(["2024-03-04", "2024-03-11"], "date").strftime("%d %b").tolist()
    ['04 Mar', '11 Mar']
    """
    parsed = parse_dates(values, name, known=known, regular=False)
    if parsed.findings:
        raise DataError(parsed.findings, name)
    return parsed.values


def read_date(value: Any, name: str, *, known: pd.DatetimeIndex | None = None) -> pd.Timestamp:
    """Read one date, given as an argument; see `read_dates`."""
    return read_dates([value], name, known=known)[0]


def holds_dates(column: pd.Series) -> bool:
    """Return whether the type of a column, or of all its cells, is one of dates."""
    dtype = column.dtype
    if isinstance(dtype, pd.PeriodDtype) or pd.api.types.is_datetime64_any_dtype(dtype):
        return True
    if dtype.kind != "O" or not (column.dtype == object or isinstance(dtype, pd.ArrowDtype)):
        return False
    cells = column.dropna()
    return bool(len(cells)) and all(hasattr(cell, "year") for cell in cells)


def format_dates(dates: pd.DatetimeIndex, form: str) -> pd.Index:
    """Write dates in the form that the table had (the inverse of `parse_dates`)."""
    kind, _, pattern = form.partition(":")
    if pattern == "excel":
        return pd.Index((dates - EXCEL_DAY_0).days.astype("int64"))
    if kind == "int":
        return pd.Index(dates.strftime(pattern).astype("int64"))
    if kind == "period":
        return dates.to_period(pattern)
    if pattern == "quarter":
        return pd.Index([f"{d.year}Q{d.quarter}" for d in dates])
    if pattern == "week":
        return pd.Index([f"{y}-W{w:02d}" for y, w, _ in (d.isocalendar() for d in dates)])
    if kind == "text":
        return pd.Index(dates.strftime(pattern))
    return dates


# --- Columns -------------------------------------------------------------------------------------


def _series(values: Any) -> pd.Series:
    """Return one date, or several in any container, as a Series."""
    if isinstance(values, pd.Series):
        return values.reset_index(drop=True)
    if isinstance(values, pd.Index):
        return pd.Series(values)
    values = getattr(values, "values", values)  # xarray
    if isinstance(values, np.ndarray):
        return pd.Series(values.ravel())
    if hasattr(values, "to_pylist"):  # Arrow
        return pd.Series(pd.arrays.ArrowExtensionArray(values))
    if hasattr(values, "to_list"):  # polars
        values = values.to_list()
    if isinstance(values, str | bytes) or not np.iterable(values):
        values = [values]
    cells = list(values)
    periods = bool(cells) and all(isinstance(cell, pd.Period) for cell in cells)
    return pd.Series(cells) if periods else pd.Series(cells, dtype="object")


def _without_arrow(column: pd.Series) -> pd.Series:
    """Return Arrow dates and timestamps as those of NumPy, and other encodings as plain objects.

    They do not pass through Python dates, which end with the year 9999.
    """
    if not isinstance(column.dtype, pd.ArrowDtype):
        return column
    import pyarrow as pa

    kind = column.dtype.pyarrow_dtype
    if pa.types.is_date(kind):
        kind = pa.timestamp("s" if pa.types.is_date32(kind) else "ms")
        column = column.astype(pd.ArrowDtype(kind))
    if pa.types.is_timestamp(kind):
        plain = np.dtype(f"datetime64[{kind.unit}]")
        return column.astype(plain if kind.tz is None else pd.DatetimeTZDtype(kind.unit, kind.tz))
    return pd.Series(column.to_list(), dtype="object") if column.dtype.kind == "O" else column


def _factorized(column: pd.Series) -> tuple[np.ndarray, pd.Series]:
    """Return the code of each cell (-1 where it is empty), and the distinct cells."""
    codes, found = pd.factorize(column)
    distinct = pd.Series(found)
    text = distinct.dtype == object or pd.api.types.is_string_dtype(distinct.dtype)
    spaces = [isinstance(cell, str) and not cell.strip() for cell in distinct] if text else []
    if any(spaces):
        kept = ~np.array(spaces)
        renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
        codes = np.where(codes < 0, -1, renumbered[codes])
        distinct = distinct[kept].reset_index(drop=True)
    return codes, distinct


# --- One reading for the column ------------------------------------------------------------------

_Option = tuple[str, str, pd.DatetimeIndex]
"""Form, description and days of one way to read the column."""


def _options(readings: list[Reading]) -> list[_Option]:
    """Return the different days that the readings give, within the years of dates."""
    found: list[_Option] = []
    for form, wall, utc in readings:
        inside = (wall >= FIRST_DATE) & (wall <= LAST_DATE)
        wall, utc = (pd.DatetimeIndex(times.where(inside)) for times in (wall, utc))
        # A form is kept where it writes the same cell again, without a time of day.
        kept = form if bool((wall.dropna() == wall.dropna().floor("D")).all()) else "datetime"
        for words, days in local_days(wall, utc):
            option = (kept, words if len(readings) == 1 else form.partition(":")[2], days)
            if not any(days.equals(other) for _, _, other in found):
                found.append(option)
    return found or [("datetime", "", pd.DatetimeIndex([]))]


def _chosen(
    options: list[_Option],
    cells: pd.Series,
    name: str,
    known: pd.DatetimeIndex | None,
    regular: bool,
) -> tuple[list[_Option], list[Finding]]:
    """Choose the one reading that fits the known dates or a regular step, or report all."""
    if known is not None:
        fitting = [own for own in options if bool(own[2].dropna().isin(known).all())]
        if len(fitting) == 1:
            return fitting, []
    if regular:
        fitting = [own for own in options if _is_regular(own[2])]
        if len(fitting) == 1:
            return fitting, []
    zone = options[0][0] == "datetime"
    first, second = options[0][2], options[1][2]
    # The first cell that has two readings shows what the choice is about.
    differs = np.flatnonzero((first != second) & first.notna() & second.notna())
    if not differs.size:  # a mixture of forms: each reads other cells
        return options[:1], []
    at = int(differs[0])
    read = [(words, days[at]) for _, words, days in options if not pd.isna(days[at])]
    shown = " or ".join(f"{day:%Y-%m-%d} ({words})" for words, day in read)
    remedy = (
        "Give local dates without a time of day, for example with "
        "column.dt.tz_convert('Europe/Berlin').dt.date (after .dt.tz_localize('UTC') if the times "
        "have no time zone)."
        if zone
        else f"Write dates as YYYY-MM-DD, for example with pd.to_datetime(column, format="
        f"{options[0][1]!r})."
    )
    finding = Finding(
        "ambiguous_date",
        "error",
        f"Dates in {name!r} can be read in more than one way: {cell_text(str(cells.iloc[at]))} is "
        f"{shown}.",
        remedy,
        where=name,
    )
    return options, [finding]


def _is_regular(days: pd.DatetimeIndex) -> bool:
    unique = pd.DatetimeIndex(days.dropna().unique()).sort_values()
    return not check_regular(unique, "date")[1]


def _unreadable(column: pd.Series, name: str, rows: np.ndarray) -> Finding:
    shown = listing(f"row {i}: {cell_text(column.iloc[i])}" for i in rows)
    return Finding(
        "unreadable_date",
        "error",
        f"{name!r} should hold dates, but {rows.size} cell(s) cannot be read as dates ({shown}).",
        f"Write dates as YYYY-MM-DD, from {FIRST_DATE.year} to {LAST_DATE.year} (numbers are read "
        "as years, yyyymm, yyyymmdd, day numbers of spreadsheets, or seconds since 1970).",
        where=name,
        rows=tuple(int(i) for i in rows),
    )


def _missing(name: str, rows: np.ndarray) -> Finding:
    positions = tuple(int(i) for i in rows)
    return Finding(
        "missing_date",
        "error",
        f"{name!r} has {len(positions)} empty cell(s) (rows {listing(positions)}); every "
        "row needs a date.",
        "Fill in the dates, or drop these rows.",
        where=name,
        rows=positions,
    )
