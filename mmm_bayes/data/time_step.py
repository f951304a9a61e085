"""The regular step between the dates of a table, and the days that each row stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from mmm_bayes.runtime.findings import Finding, listing

Unit = Literal["day", "month", "month_end", "unknown"]
DateMarks = Literal["start", "end", "nominal"]
MARKS: tuple[Literal["start", "end"], ...] = ("start", "end")
MarksSource = Literal["given", "inferred", "assumed"]

_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


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
    marks : {"start", "end", "nominal"}
        Whether a date is the first or the last day of the period that its row stands for.
        ``"nominal"`` is for fits saved by versions that did not record it: dates are first days,
        and all periods of the table have its median length.
    source : {"given", "inferred", "assumed"}
        How ``marks`` is known: from ``date_marks=``, from the dates themselves, or not at all (the
        dates allow both, as Sundays do, and ``"start"`` is assumed).

    Examples
    --------
    >>> dates = pd.date_range("2024-01-31", periods=3, freq="ME")
    >>> step = infer_step(dates)
    >>> step.marks, step.source
    ('end', 'inferred')
    >>> step.intervals(dates).left.strftime("%d %b").tolist()
    ['01 Jan', '01 Feb', '01 Mar']
    """

    unit: Unit
    n: int
    alias: str
    marks: DateMarks = "start"
    source: MarksSource = "assumed"

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

    def intervals(self, dates: pd.DatetimeIndex) -> pd.IntervalIndex:
        """Return the days that rows with these dates stand for, closed on the left.

        With ``marks="start"`` a row lasts from its date to the day before the next date; with
        ``marks="end"`` from the day after the date before it to its own date. Months and years
        have their calendar lengths. A single date without a step stands for its day.
        """
        dates = pd.DatetimeIndex(dates).as_unit("ns")
        day = pd.Timedelta(days=1)
        if self.marks == "end":
            first, after = self._moved(dates, -1) + day, dates + day
        else:
            first, after = dates, self._moved(dates, 1)
        return pd.IntervalIndex.from_arrays(
            first.as_unit("ns"), after.as_unit("ns"), closed="left", name="period"
        )

    def first_days(self, dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Return the first day of each row with these dates."""
        return pd.DatetimeIndex(self.intervals(dates).left)

    def marked(self, marks: Literal["start", "end"], source: MarksSource = "given") -> TimeStep:
        """Return the same step for dates that are the first or the last days of their rows."""
        return replace(self, marks=marks, source=source)

    @property
    def description(self) -> str:
        """The time that a row stands for, in words: ``"one week, starting on its date"``."""
        if self.unit == "unknown" or (self.unit, self.n) == ("day", 1):
            return "one day"
        length = _length_in_words(self.unit, self.n)
        if self.marks == "nominal":
            return f"{length}, starting on its date, of median length (a fit of an earlier version)"
        text = f"{length}, {'starting' if self.marks == 'start' else 'ending'} on its date"
        if self.source != "assumed":
            return text
        return f"{text} (assumed; give date_marks='end' if dates are last days)"

    def _moved(self, dates: pd.DatetimeIndex, steps: int) -> pd.DatetimeIndex:
        """Return the dates of rows some steps later."""
        if self.unit in ("day", "unknown"):
            return dates + pd.Timedelta(days=self.n * steps)
        moved = [date + pd.DateOffset(months=self.n * steps) for date in dates]
        if self.unit == "month_end":
            moved = [date + pd.offsets.MonthEnd(0) for date in moved]
        return pd.DatetimeIndex(moved)

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


def share_within(
    intervals: pd.IntervalIndex, first: pd.Timestamp, last: pd.Timestamp
) -> np.ndarray:
    """Return the share of each interval's days that lie from ``first`` to ``last``, inclusive.

    Examples
    --------
    >>> months = infer_step(pd.date_range("2024-04-01", periods=2, freq="MS")).intervals(
    ...     pd.date_range("2024-04-01", periods=2, freq="MS")
    ... )
    >>> share_within(months, pd.Timestamp("2024-04-16"), pd.Timestamp("2024-05-31")).tolist()
    [0.5, 1.0]
    """
    left, right = intervals.left.to_numpy(), intervals.right.to_numpy()
    after = (last + pd.Timedelta(days=1)).to_datetime64()
    begun, ended = np.maximum(left, first.to_datetime64()), np.minimum(right, after)
    common = np.maximum(ended - begun, np.timedelta64(0, "ns"))
    return np.asarray(common / (right - left), float)


def _length_in_words(unit: Unit, n: int) -> str:
    if unit == "day":
        return "one week" if n == 7 else f"{n // 7} weeks" if n % 7 == 0 else f"{n} days"
    return {1: "one month", 3: "one quarter", 12: "one year"}.get(n, f"{n} months")


def infer_step(dates: pd.DatetimeIndex) -> TimeStep:
    """Return the most common step between sorted, distinct dates.

    Month ends are taken as last days, first days of months and Mondays as first days. Other days
    of the week and of the month may be either; they are assumed to be first days.
    """
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
        if at_end:
            return TimeStep("month_end", int(step), alias, "end", "inferred")
        return TimeStep(
            "month", int(step), alias, "start", "inferred" if usual_day == 1 else "assumed"
        )
    n = _mode(gaps)
    weekday = _WEEKDAYS[_mode(np.asarray(dates.day_of_week))]
    alias = "D" if n == 1 else f"W-{weekday}" if n == 7 else f"{n}D"
    known = n == 1 or (n % 7 == 0 and weekday == "MON")
    return TimeStep("day", int(n), alias, "start", "inferred" if known else "assumed")


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
