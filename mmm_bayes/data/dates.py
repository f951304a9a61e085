"""Dates of a table: reading them in common formats, and finding the regular step between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import cell_text, plain_column
from mmm_bayes.runtime.findings import Finding, listing

Unit = Literal["day", "month", "month_end", "unknown"]

_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# Differences of dates are nanoseconds in 64 bits, at most 292 years.
FIRST_DATE, LAST_DATE = pd.Timestamp("1850-01-01"), pd.Timestamp("2129-12-31 23:59:59")
_TEXT_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d",
    "%Y%m%d",
    "%Y-%m",
    "%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %Y",
    "%B %Y",
)


@dataclass(frozen=True)
class TimeStep:
    """The regular step between the dates of a table.

    Attributes
    ----------
    unit : {"day", "month", "month_end", "unknown"}
        ``"unknown"`` for a table with a single date.
    n : int
        Number of units in a step: 7 days, 1 month, 12 months.
    alias : str
        The frequency as named by pandas, e.g. ``"W-MON"``, ``"MS"``, ``"YS"``. Months that
        begin on another day than the first are written ``"MS+14D"``.
    """

    unit: Unit
    n: int
    alias: str

    @property
    def days(self) -> float:
        """Mean length of a step in days (a month is 365.25 / 12)."""
        return float(self.n) if self.unit == "day" else self.n * 365.25 / 12

    @property
    def per_year(self) -> float:
        """Steps in a year of 365.25 days."""
        return 365.25 / self.days

    def after(self, last: pd.Timestamp, periods: int) -> pd.DatetimeIndex:
        """Return the next ``periods`` dates after ``last``."""
        if self.unit == "unknown":
            raise ValueError(
                "The step between dates is unknown, since the table has only one date. "
                "Use a table with at least two dates."
            )
        return self._following(last, periods).as_unit("ns")

    def between(self, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
        """Return ``first`` and the dates that follow it, up to ``last``."""
        # Generate more steps than can fit by their mean length, then cut at the last date.
        count = int((last - first).days / self.days) + 2
        following = self._following(first, count)
        kept = following[following <= last].as_unit("ns")
        return pd.DatetimeIndex([first, *kept], name="date").as_unit("ns")

    def _following(self, last: pd.Timestamp, periods: int) -> pd.DatetimeIndex:
        # In seconds: a span of centuries overflows nanoseconds.
        last = last.as_unit("s")
        if self.unit == "day":
            dates = [last + pd.Timedelta(days=self.n * k) for k in range(1, periods + 1)]
        else:
            dates = [last + pd.DateOffset(months=self.n * k) for k in range(1, periods + 1)]
            if self.unit == "month_end":
                dates = [date + pd.offsets.MonthEnd(0) for date in dates]
        return pd.DatetimeIndex(dates, name="date")


UNKNOWN_STEP = TimeStep("unknown", 1, "")


@dataclass(frozen=True)
class ParsedDates:
    """Dates of a column, at midnight; ``NaT`` where a cell could not be read.

    ``form`` is the form that they have in the table (``"datetime"``, ``"period:FREQ"``,
    ``"int:FORMAT"`` or ``"text:FORMAT"``), so that they can be written back the same way.
    """

    values: pd.DatetimeIndex
    form: str
    findings: tuple[Finding, ...]


def parse_dates(column: pd.Series, name: str) -> ParsedDates:
    """Read a column of dates: datetimes, periods, text, ``yyyymmdd`` or plain years.

    Text is read with one format for the whole column. If two formats fit (day/month or month/day),
    the one that gives regular dates is used; if both do, the column is refused.
    """
    findings: list[Finding] = []
    column = plain_column(column)
    blank = column.isna().to_numpy()
    if isinstance(column.dtype, pd.PeriodDtype):
        values, form = column.dt.to_timestamp(), f"period:{column.dtype.name[7:-1]}"
    elif pd.api.types.is_datetime64_any_dtype(column.dtype):
        values, form = column, "datetime"
    elif pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind in "iuf":
        values, form = _from_numbers(column)
    else:
        values, form, findings = _from_text(column, name)
    if getattr(values.dtype, "tz", None) is not None:
        values = values.dt.tz_localize(None)
    values = values.where((values >= FIRST_DATE) & (values <= LAST_DATE))
    index = pd.DatetimeIndex(values).as_unit("ns").normalize()
    if not findings:
        bad = np.flatnonzero(index.isna() & ~blank)
        if bad.size:
            shown = listing(f"row {i}: {cell_text(column.iloc[i])}" for i in bad)
            findings.append(
                Finding(
                    "unreadable_date",
                    "error",
                    f"Column {name!r} should hold dates, but {bad.size} cell(s) cannot be read as "
                    f"dates ({shown}).",
                    "Write dates as YYYY-MM-DD, from 1850 to 2129 (an integer is read as a year "
                    "such as 1907 or as yyyymmdd; for spreadsheet day numbers use "
                    "pd.to_datetime(column, unit='D', origin='1899-12-30')).",
                    where=name,
                    rows=tuple(int(i) for i in bad),
                )
            )
    if blank.any():
        rows = tuple(int(i) for i in np.flatnonzero(blank))
        findings.append(
            Finding(
                "missing_date",
                "error",
                f"Column {name!r} has {len(rows)} empty cell(s) (rows {listing(rows)}); every row "
                "needs a date.",
                "Fill in the dates, or drop these rows.",
                where=name,
                rows=rows,
            )
        )
    return ParsedDates(index, form, tuple(findings))


def _from_numbers(column: pd.Series) -> tuple[pd.Series, str]:
    numbers = column.astype("float64")
    present = numbers.dropna()
    years = bool(len(present)) and bool(present.between(1000, 2999).mean() > 0.5)
    form = "%Y" if years else "%Y%m%d"
    low, high = (1850, 2129) if years else (18500101, 21291231)
    sound = numbers.between(low, high) & (numbers % 1 == 0)
    text = numbers.where(sound).map(lambda v: f"{v:.0f}", na_action="ignore")
    return pd.to_datetime(text, format=form, errors="coerce"), f"int:{form}"


def _from_text(column: pd.Series, name: str) -> tuple[pd.Series, str, list[Finding]]:
    # A panel repeats each date in every geo: read the distinct ones only.
    distinct = column.dropna().drop_duplicates().astype("object")
    if distinct.map(lambda v: hasattr(v, "year")).all():
        # Python date or datetime objects in an object column.
        return pd.to_datetime(column.astype("object"), errors="coerce"), "datetime", []
    text = distinct.map(lambda v: str(v).strip())
    values, form, findings = _read_text(text, name)
    read = dict(zip(distinct, values, strict=True))
    return pd.to_datetime(column.astype("object").map(read)), form, findings


def _read_text(text: pd.Series, name: str) -> tuple[pd.Series, str, list[Finding]]:
    """Read distinct texts with the one format that reads most of them."""
    if text.map(lambda v: bool(re.fullmatch(r"[12][0-9]{3}-?Q[1-4]", v))).all():
        starts = text.map(lambda v: pd.Period(v.replace("-", ""), freq="Q").to_timestamp())
        return pd.to_datetime(starts), "text:quarter", []
    tries = {form: pd.to_datetime(text, format=form, errors="coerce") for form in _TEXT_FORMATS}
    best = max(int(values.notna().sum()) for values in tries.values())
    fitting = {f: values for f, values in tries.items() if 0 < best == values.notna().sum()}
    if not fitting:
        return pd.Series(pd.NaT, index=text.index), "datetime", []
    first = next(iter(fitting))
    if len({tuple(values.dropna()) for values in fitting.values()}) == 1:
        return fitting[first], f"text:{first}", []
    regular = [form for form, values in fitting.items() if _is_regular(values)]
    if len(regular) == 1:
        return fitting[regular[0]], f"text:{regular[0]}", []
    finding = Finding(
        "ambiguous_date",
        "error",
        f"Dates in column {name!r} can be read in more than one way "
        f"({listing(map(cell_text, text.iloc[:3]))}: {' or '.join(fitting)}).",
        f"Convert them first, for example df[{name!r}] = pd.to_datetime(df[{name!r}], "
        f"format={first!r}).",
        where=name,
    )
    return fitting[first], f"text:{first}", [finding]


def _is_regular(values: pd.Series) -> bool:
    unique = pd.DatetimeIndex(values.dropna().unique()).sort_values()
    return not check_regular(unique, "date")[1]


def format_dates(dates: pd.DatetimeIndex, form: str) -> pd.Index:
    """Write dates in the form that the table had (the inverse of `parse_dates`)."""
    kind, _, pattern = form.partition(":")
    if kind == "int":
        return pd.Index(dates.strftime(pattern).astype("int64"))
    if kind == "period":
        return dates.to_period(pattern)
    if pattern == "quarter":
        return pd.Index([f"{d.year}Q{d.quarter}" for d in dates])
    if kind == "text":
        return pd.Index(dates.strftime(pattern))
    return dates


def infer_step(dates: pd.DatetimeIndex) -> TimeStep:
    """Return the most common step between sorted, distinct dates."""
    if len(dates) < 2:
        return UNKNOWN_STEP
    day, ends = np.asarray(dates.day), np.asarray(dates.is_month_end)
    months = np.asarray(dates.year * 12 + dates.month - 1)
    gaps = np.diff(dates.to_numpy()).astype("timedelta64[D]").astype(int)
    usual_day = _mode(day)
    # Four-weekly dates rarely share the day of the month, so a 70% majority indicates months.
    if np.median(gaps) >= 28 and max((day == usual_day).mean(), ends.mean()) >= 0.7:
        step = _mode(np.diff(months)[np.diff(months) > 0])
        at_end = bool(ends.mean() >= 0.7 and usual_day != 1)
        month = _MONTHS[_mode(months % 12)]
        alias = _month_alias(step, month, at_end, months % 12)
        if not at_end and usual_day != 1:
            alias += f"+{usual_day - 1}D"
        return TimeStep("month_end" if at_end else "month", int(step), alias)
    n = _mode(gaps)
    weekday = _WEEKDAYS[_mode(np.asarray(dates.day_of_week))]
    alias = "D" if n == 1 else f"W-{weekday}" if n == 7 else f"{n}D"
    return TimeStep("day", int(n), alias)


def _month_alias(step: int, month: str, at_end: bool, months: np.ndarray) -> str:
    kind = "E" if at_end else "S"
    if step == 3:
        first = _MONTHS[int(months[0]) % 3] if not at_end else _MONTHS[int(months[0]) % 3 + 9]
        return f"Q{kind}-{first}"
    if step == 12:
        usual = month == ("DEC" if at_end else "JAN")
        return f"Y{kind}" if usual else f"Y{kind}-{month}"
    return f"M{kind}" if step == 1 else f"{step}M{kind}"


def check_regular(
    dates: pd.DatetimeIndex, column: str, step: TimeStep | None = None
) -> tuple[TimeStep, list[Finding]]:
    """Compare sorted, distinct dates with the regular grid that most of them lie on.

    Return the step, and findings for dates off the grid and for dates missing from it.
    """
    step = step or infer_step(dates)
    if step.unit == "unknown" or len(dates) < 2:
        return step, []
    on_grid, grid = _grid(dates, step)
    off, absent = dates[~on_grid], grid.difference(dates)
    if len(off) > 0.3 * len(dates):
        gaps = np.diff(dates.to_numpy()).astype("timedelta64[D]").astype(int)
        finding = Finding(
            "irregular_dates",
            "error",
            f"Dates in column {column!r} have no regular step: steps range from {gaps.min()} to "
            f"{gaps.max()} days; the most common is {_mode(gaps)}.",
            "Aggregate the table to one row per day, week, month, quarter or year.",
            where=column,
        )
        return step, [finding]
    findings = []
    if len(off):
        shown = listing(f"{d:%Y-%m-%d}" for d in off)
        findings.append(
            Finding(
                "irregular_dates",
                "error",
                f"Dates in column {column!r} have the step {step.alias}, but {len(off)} of them "
                f"lie between steps: {shown}.",
                "Correct these dates or aggregate the table to one regular step.",
                where=column,
                dates=tuple(f"{d:%Y-%m-%d}" for d in off),
            )
        )
    if len(absent):
        shown = listing(f"{d:%Y-%m-%d}" for d in absent)
        findings.append(
            Finding(
                "date_gap",
                "error",
                f"Dates in column {column!r} have the step {step.alias} from {dates[0]:%Y-%m-%d} "
                f"to {dates[-1]:%Y-%m-%d}, but {len(absent)} date(s) are missing: {shown}.",
                "Add the missing rows (with spend 0 where nothing was spent), or keep only the "
                "dates on one side of the gap: adstock needs every step.",
                where=column,
                dates=tuple(f"{d:%Y-%m-%d}" for d in absent),
            )
        )
    return step, findings


def _grid(dates: pd.DatetimeIndex, step: TimeStep) -> tuple[np.ndarray, pd.DatetimeIndex]:
    if step.unit == "day":
        number = dates.to_numpy().astype("datetime64[D]").astype(int)
        on_grid = number % step.n == _mode(number % step.n)
    else:
        months = np.asarray(dates.year * 12 + dates.month - 1)
        day = np.asarray(dates.day)
        right_day = dates.is_month_end if step.unit == "month_end" else day == _mode(day)
        on_grid = np.asarray(right_day) & (months % step.n == _mode(months % step.n))
    kept = dates[on_grid]
    if not len(kept):
        return on_grid, kept
    return on_grid, step.between(kept[0], kept[-1])


def _mode(values: np.ndarray) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])
