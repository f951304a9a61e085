"""Dates in every common form, and the step between them."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_bayes.data.dates import format_dates, parse_dates
from mmm_bayes.data.time_step import UNKNOWN_STEP, check_regular, infer_step

WEEKS = pd.date_range("2021-01-04", periods=20, freq="W-MON")
MONTHS = pd.date_range("2021-01-01", periods=20, freq="MS")
FORMS = {
    "datetime": (WEEKS, pd.Series(WEEKS)),
    "seconds": (WEEKS, pd.Series(WEEKS.as_unit("s"))),
    "with a time of day": (WEEKS, pd.Series(WEEKS + pd.Timedelta(hours=6))),
    "time zone": (WEEKS, pd.Series(WEEKS.tz_localize("Europe/Berlin"))),
    "python dates": (WEEKS, pd.Series([d.date() for d in WEEKS], dtype="object")),
    "iso text": (WEEKS, pd.Series(WEEKS.strftime("%Y-%m-%d"))),
    "iso text with time": (WEEKS, pd.Series(WEEKS.strftime("%Y-%m-%dT%H:%M:%S"))),
    "slashes, day first": (WEEKS, pd.Series(WEEKS.strftime("%d/%m/%Y"))),
    "slashes, month first": (WEEKS, pd.Series(WEEKS.strftime("%m/%d/%Y"))),
    "german": (WEEKS, pd.Series(WEEKS.strftime("%d.%m.%Y"))),
    "english": (WEEKS, pd.Series(WEEKS.strftime("%d %b %Y"))),
    "yyyymmdd": (WEEKS, pd.Series(WEEKS.strftime("%Y%m%d").astype(int))),
    "yyyymmdd text": (WEEKS, pd.Series(WEEKS.strftime("%Y%m%d"))),
    "category": (WEEKS, pd.Series(WEEKS.strftime("%Y-%m-%d")).astype("category")),
    "months": (MONTHS, pd.Series(MONTHS.strftime("%Y-%m"))),
    "month names": (MONTHS, pd.Series(MONTHS.strftime("%b %Y"))),
    "periods": (MONTHS, pd.Series(MONTHS.to_period("M"))),
    "quarters": (
        pd.date_range("2019-01-01", periods=9, freq="QS"),
        pd.Series([f"{2019 + q // 4}Q{q % 4 + 1}" for q in range(9)]),
    ),
    "years": (pd.date_range("1907", periods=54, freq="YS"), pd.Series(range(1907, 1961))),
    "years as floats": (
        pd.date_range("1907", periods=9, freq="YS"),
        pd.Series(range(1907, 1916), dtype="float64"),
    ),
    "years as text": (
        pd.date_range("1990", periods=9, freq="YS"),
        pd.Series([str(year) for year in range(1990, 1999)]),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_reads_form(form: str) -> None:
    expected, column = FORMS[form]
    parsed = parse_dates(column, "when")
    assert parsed.findings == ()
    assert list(parsed.values) == list(expected)


@pytest.mark.parametrize(
    "form",
    ["datetime", "iso text", "slashes, day first", "yyyymmdd", "quarters", "years", "periods"],
)
def test_writes_dates_in_their_original_form(form: str) -> None:
    _, column = FORMS[form]
    parsed = parse_dates(column, "when")
    assert list(format_dates(parsed.values, parsed.form)) == list(column)


STEPS = {
    "D": ("day", 1),
    "W-SUN": ("day", 7),
    "W-WED": ("day", 7),
    "14D": ("day", 14),
    "28D": ("day", 28),
    "MS": ("month", 1),
    "ME": ("month_end", 1),
    "2MS": ("month", 2),
    "QS-JAN": ("month", 3),
    "QS-FEB": ("month", 3),
    "QE-DEC": ("month_end", 3),
    "QE-NOV": ("month_end", 3),
    "YS": ("month", 12),
    "YS-APR": ("month", 12),
    "YE": ("month_end", 12),
}


@pytest.mark.parametrize("freq", STEPS)
def test_step(freq: str) -> None:
    dates = pd.date_range("2015-03-01", periods=30, freq=freq)
    step, findings = check_regular(dates, "when")
    assert findings == []
    assert (step.unit, step.n) == STEPS[freq]
    following = step.after(dates[-1], 6)
    assert list(following) == list(pd.date_range(dates[0], periods=36, freq=freq)[30:])
    # The alias is one that pandas reads, with the same dates.
    assert list(pd.date_range(dates[0], periods=30, freq=step.alias)) == list(dates)


def test_months_from_the_middle() -> None:
    dates = pd.DatetimeIndex([datetime.date(2021 + m // 12, m % 12 + 1, 15) for m in range(20)])
    step, findings = check_regular(dates, "when")
    assert (findings, step.alias, step.unit) == ([], "MS+14D", "month")
    assert step.after(dates[-1], 1)[0] == pd.Timestamp("2022-09-15")


def test_lengths() -> None:
    assert infer_step(WEEKS).per_year == pytest.approx(365.25 / 7)
    assert infer_step(MONTHS).per_year == pytest.approx(12)


def test_one_date_has_no_step() -> None:
    step, findings = check_regular(WEEKS[:1], "when")
    assert (step, findings) == (UNKNOWN_STEP, [])
    with pytest.raises(ValueError, match="at least two dates"):
        step.after(WEEKS[0], 1)


@settings(max_examples=25, deadline=None)
@given(
    freq=st.sampled_from(["D", "W-MON", "MS", "YS", "ME"]),
    n=st.integers(12, 40),
    absent=st.sets(st.integers(1, 10), max_size=2),
)
def test_names_exactly_the_missing_dates(freq: str, n: int, absent: set[int]) -> None:
    dates = pd.date_range("2010-01-01", periods=n, freq=freq)
    _, findings = check_regular(dates.delete(sorted(absent)), "when")
    expected = tuple(f"{dates[i]:%Y-%m-%d}" for i in sorted(absent))
    assert tuple(d for f in findings for d in f.dates) == expected
