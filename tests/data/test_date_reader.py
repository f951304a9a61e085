"""One reader of dates: the same column means the same dates wherever dates enter."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmm_bayes as mb
from mmm_bayes.budget.checks import read_plan, start_date
from mmm_bayes.causal.check.variables import node_table
from mmm_bayes.data.date_selection import date_positions
from mmm_bayes.data.dates import format_dates, parse_dates, read_dates
from mmm_bayes.data.lift_tests import read_lift_tests
from mmm_bayes.data.panel_load import load_shops
from mmm_bayes.errors import DataError
from mmm_bayes.model.spec import EventSpec

_EXCEL, _EPOCH = pd.Timestamp("1899-12-30"), pd.Timestamp("1970-01-01")


def _zone(name: str, as_written: str = "UTC") -> Any:
    return lambda s: s.dt.tz_localize(name).dt.tz_convert(as_written)


def _text(form: str) -> Any:
    return lambda s: s.dt.strftime(form)


def _arrow(kind: Any) -> Any:
    return lambda s: s.astype(pd.ArrowDtype(kind))


def _arrow_dates(kind: Any) -> Any:
    return lambda s: pd.Series(
        pd.array(s.dt.date.tolist(), dtype=pd.ArrowDtype(pa.date32()))
    ).astype(pd.ArrowDtype(kind))


FORMS: dict[str, Any] = {
    "nanoseconds": lambda s: s.dt.as_unit("ns"),
    "seconds": lambda s: s.dt.as_unit("s"),
    "in Berlin": lambda s: s.dt.tz_localize("Europe/Berlin"),
    "in UTC": lambda s: s.dt.tz_localize("UTC"),
    "Berlin in UTC": _zone("Europe/Berlin"),
    "Berlin in UTC, no zone": lambda s: _zone("Europe/Berlin")(s).dt.tz_localize(None),
    "Berlin in UTC, text": lambda s: _zone("Europe/Berlin")(s).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "Berlin, text with offsets": lambda s: s.dt.tz_localize("Europe/Berlin").map(
        lambda t: t.isoformat()
    ),
    "Berlin in UTC, Arrow": lambda s: _zone("Europe/Berlin")(s).astype(
        pd.ArrowDtype(pa.timestamp("us", "UTC"))
    ),
    "London in UTC": _zone("Europe/London"),
    "New York in UTC": _zone("America/New_York"),
    "Sydney in UTC": _zone("Australia/Sydney"),
    "Auckland in UTC": _zone("Pacific/Auckland"),
    "UTC in New York": _zone("UTC", "America/New_York"),
    "date32": _arrow_dates(pa.date32()),
    "date64": _arrow_dates(pa.date64()),
    "Arrow timestamp": _arrow(pa.timestamp("ms")),
    "Arrow timestamp with zone": lambda s: s.dt.tz_localize("UTC").astype(
        pd.ArrowDtype(pa.timestamp("us", "UTC"))
    ),
    "Arrow text": lambda s: s.dt.strftime("%Y-%m-%d").astype(pd.ArrowDtype(pa.string())),
    "Arrow dictionary": lambda s: pd.Series(
        pd.arrays.ArrowExtensionArray(pa.array(list(s.dt.strftime("%Y-%m-%d"))).dictionary_encode())
    ),
    "Arrow integers": lambda s: (
        s.dt.strftime("%Y%m%d").astype(int).astype(pd.ArrowDtype(pa.int64()))
    ),
    "Python dates": lambda s: pd.Series(s.dt.date.tolist(), dtype="object"),
    "Python datetimes": lambda s: (
        pd.Series(s.dt.to_pydatetime().tolist(), dtype="object")
        if hasattr(s.dt, "to_pydatetime")
        else pd.Series(list(s), dtype="object")
    ),
    "Python datetimes in Berlin": lambda s: pd.Series(
        [t.tz_localize("Europe/Berlin").to_pydatetime() for t in s], dtype="object"
    ),
    "ISO": _text("%Y-%m-%d"),
    "ISO with time": _text("%Y-%m-%d %H:%M:%S"),
    "ISO, string type": lambda s: s.dt.strftime("%Y-%m-%d").astype("string"),
    "ISO, category": lambda s: s.dt.strftime("%Y-%m-%d").astype("category"),
    "slashes, year first": _text("%Y/%m/%d"),
    "slashes, day first": _text("%d/%m/%Y"),
    "slashes, month first": _text("%m/%d/%Y"),
    "slashes, month first, with time": _text("%m/%d/%Y 12:00:00 AM"),
    "dots": _text("%d.%m.%Y"),
    "dots, short year": _text("%d.%m.%y"),
    "month names": _text("%d-%b-%y"),
    "days of the week": _text("%a, %d %b %Y"),
    "yyyymmdd": lambda s: s.dt.strftime("%Y%m%d").astype(int),
    "yyyymmdd, floats": lambda s: s.dt.strftime("%Y%m%d").astype(float),
    "yyyymmdd, nullable": lambda s: s.dt.strftime("%Y%m%d").astype(int).astype("Int64"),
    "yyyymmdd, text": _text("%Y%m%d"),
    "spreadsheet day numbers": lambda s: (s - _EXCEL).dt.days,
    "spreadsheet day numbers, text": lambda s: (s - _EXCEL).dt.days.astype(float).astype(str),
    "seconds since 1970": lambda s: (s - _EPOCH).dt.days * 86400,
    "milliseconds since 1970": lambda s: (s - _EPOCH).dt.days * 86_400_000,
    "periods of a day": lambda s: s.dt.to_period("D"),
}
STARTS = {"D": 400, "W-MON": 110, "W-SUN": 110, "MS": 30, "ME": 30, "QS": 14}


@pytest.mark.parametrize("freq", STARTS)
@pytest.mark.parametrize("form", FORMS)
def test_reads_every_form(form: str, freq: str) -> None:
    dates = pd.date_range("2019-01-01", periods=STARTS[freq], freq=freq)
    parsed = parse_dates(FORMS[form](pd.Series(dates)), "when")
    assert parsed.findings == ()
    assert list(parsed.values) == list(dates)


@pytest.mark.parametrize("form", ["list", "tuple", "array", "Index", "Arrow array", "polars"])
def test_reads_every_container(form: str) -> None:
    dates = pd.date_range("2024-01-01", periods=5, freq="W-MON")
    days = dates.date.tolist()

    class Column:  # a Series of polars, as far as the reader knows it
        def to_list(self) -> list[datetime.date]:
            return days

    column = {
        "list": days, "tuple": tuple(days), "array": dates.to_numpy(), "Index": dates,
        "Arrow array": pa.array(days), "polars": Column(),
    }[form]  # fmt: skip
    assert list(read_dates(column, "when")) == list(dates)


@pytest.mark.parametrize(
    "form",
    ["yyyymmdd", "yyyymmdd, text", "spreadsheet day numbers", "slashes, day first", "month names"],
)
def test_writes_the_form_that_it_read(form: str) -> None:
    column = FORMS[form](pd.Series(pd.date_range("2020-01-01", periods=40, freq="W-MON")))
    parsed = parse_dates(column, "when")
    assert list(format_dates(parsed.values, parsed.form)) == list(column)


# --- What cannot be known is refused ---


def test_refuses_day_or_month_first_with_both_readings() -> None:
    column = pd.Series(["01/02/2021", "02/03/2021", "03/04/2021"])
    (finding,) = parse_dates(column, "when", regular=False).findings
    assert finding.check == "ambiguous_date"
    for word in ("2021-02-01", "2021-01-02", "%d/%m/%Y", "%m/%d/%Y"):
        assert word in finding.message


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Asia/Kolkata"])
def test_refuses_a_constant_hour_with_both_days(zone: str) -> None:
    """Midnights without summer time look like a time of day."""
    local = pd.date_range("2023-01-01", periods=24, freq="MS", tz=zone)
    (finding,) = parse_dates(pd.Series(local.tz_convert("UTC")), "when").findings
    assert finding.check == "ambiguous_date"
    assert "2022-12-31" in finding.message
    assert "2023-01-01" in finding.message
    assert "tz_convert" in finding.remedy


@pytest.mark.parametrize(
    "value",
    [
        "now", "today", "soon", "2024-02-30", "13:00", 5, -1, 1e300, float("inf"), True, 1 + 2j,
        datetime.time(1), datetime.date(1, 1, 1), datetime.datetime(9999, 12, 31), b"2024-01-01",
        pd.Timedelta("1D"), {"a": 1}, [[1]], slice(1), object(), None, float("nan"), pd.NaT, "",
    ],
)  # fmt: skip
def test_anything_else_is_one_finding(value: object) -> None:
    with pytest.raises(DataError) as caught:
        read_dates([value], "when")
    assert [own.check for own in caught.value.findings] in (["unreadable_date"], ["missing_date"])


def test_times_of_one_day_are_that_day() -> None:
    days = pd.date_range("2024-01-01", periods=30)
    for hours in (6, 12):
        assert list(read_dates(days + pd.Timedelta(hours=hours), "when")) == list(days)
    assert list(read_dates(days + pd.Timedelta("23:59:59"), "when")) == list(days)


def test_one_time_of_day_in_a_zone_with_summer_time() -> None:
    """18:00 in Berlin is 16:00 or 17:00 in UTC, and still no midnight further east."""
    evenings = pd.date_range("2023-01-02 18:00", periods=60, freq="W-MON", tz="Europe/Berlin")
    (finding,) = parse_dates(evenings, "when").findings
    assert finding.check == "ambiguous_date"
    mornings = evenings - pd.Timedelta(hours=9)
    assert list(parse_dates(mornings, "when").values) == list(
        mornings.tz_localize(None).normalize()
    )


def test_known_dates_decide() -> None:
    weeks = pd.date_range("2024-01-01", periods=30, freq="W-MON")
    assert date_positions(weeks, "04/03/2024").tolist() == [9]  # 3 April is a Wednesday
    with pytest.raises(DataError, match="2024-04-03"):
        read_dates("04/03/2024", "when")
    evening = pd.Timestamp("2024-03-03 23:00", tz="UTC")
    assert date_positions(weeks, [evening]).tolist() == [9]


def test_positions() -> None:
    weeks = pd.date_range("2022-12-05", periods=60, freq="W-MON")
    assert date_positions(weeks, None).tolist() == list(range(60))
    for year in (
        "2023",
        pd.Period("2023", "Y"),
        slice("2023", "2023"),
        slice("2023-01", "2023-12"),
    ):
        assert date_positions(weeks, year).tolist() == list(range(4, 56))
    assert date_positions(weeks, slice(20221212, datetime.date(2022, 12, 20))).tolist() == [1, 2]
    with pytest.raises(DataError) as caught:
        date_positions(weeks, ["2023-01-03"])
    assert caught.value.findings[0].check == "unknown_date"


# --- The same everywhere ---

N = 110


def _places(column: pd.Series, dates: pd.DatetimeIndex) -> dict[str, pd.DatetimeIndex]:
    """Dates that a column gives at every place where dates enter."""
    r = np.random.default_rng(0)
    tv, sales = r.gamma(2.0, 5.0, N), r.normal(100.0, 5.0, N)
    frame = pd.DataFrame({"when": column.array, "tv": tv, "sales": sales})
    roles = {"date": "when", "target": "sales", "channels": ["tv"]}
    data = mb.MMMData.from_dataframe(frame, **roles)
    shops = pd.DataFrame({"shop_id": "a", "ds": column.array, "x0": tv, "gmv": sales})
    half = N // 2
    file = pd.DataFrame(
        {"channel": "tv", "start": column[:half].array, "end": column[half:].array,
         "lift": 1.0, "standard_error": 1.0}
    )  # fmt: skip
    tests = read_lift_tests(file)
    plan = pd.DataFrame({"date": column.array, "tv": np.arange(1.0, N + 1)})
    zeros = np.zeros((1, 1, N))
    read, findings = read_plan(plan, zeros, data, dates, np.array([True]))
    assert not findings
    assert read is not None
    plain = mb.MMMData.from_dataframe(frame.assign(when=dates), **roles)
    later = plain.subset(slice(None, dates[9]))
    future = later.with_table(frame[["when", "tv"]][10:])
    return {
        "wide table": data.dates,
        "long table": mb.MMMData.from_long(
            pd.concat([frame[["when"]].assign(name=k, value=frame[k]) for k in ("tv", "sales")]),
            variable="name", value="value", **roles,
        ).dates,
        "shops": pd.DatetimeIndex(load_shops(shops).dates),
        "graph": node_table(frame, ["tv"], date="when").dates,
        "plan": dates[np.argsort(read[0, 0])],
        "subset": plain.subset(list(column)).dates,
        "lift tests": pd.DatetimeIndex([t.start for t in tests] + [t.end for t in tests]),
        "future table": dates[:10].append(future.dates),
        "events": pd.DatetimeIndex(EventSpec(name="e", dates=list(column)).dates),
    }  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(form=st.sampled_from(sorted(FORMS)), days=st.integers(0, 3000))
def test_a_column_means_the_same_wherever_it_enters(form: str, days: int) -> None:
    dates = pd.date_range(pd.Timestamp("2015-01-05") + pd.Timedelta(days=7 * (days // 7)),
                          periods=N, freq="W-MON")  # fmt: skip
    for place, found in _places(FORMS[form](pd.Series(dates)), dates).items():
        assert list(found) == list(dates), place


def test_start_of_a_window_in_any_form() -> None:
    data = mb.simulate.mmm(0, num_dates=60, num_channels=1).data
    day = data.dates[7]
    for given_start in (
        day,
        day.date(),
        f"{day:%Y-%m-%d}",
        f"{day:%d.%m.%Y}",
        int(f"{day:%Y%m%d}"),
    ):
        assert start_date(data, given_start) == day


def test_lift_tests_of_a_file_are_read_alike() -> None:
    """Days after the twelfth show that the file writes the day first."""
    file = pd.DataFrame(
        {"channel": ["tv", "tv"], "start": ["02/05/2022", "04/07/2022"],
         "end": ["29/05/2022", "07/08/2022"], "lift": 1.0, "standard_error": 1.0}
    )  # fmt: skip
    first, second = read_lift_tests(file)
    assert (first.start, first.end) == (pd.Timestamp("2022-05-02"), pd.Timestamp("2022-05-29"))
    assert (second.start, second.end) == (pd.Timestamp("2022-07-04"), pd.Timestamp("2022-08-07"))
    with pytest.raises(DataError) as caught:
        read_lift_tests(file.assign(end=["09/05/2022", "07/08/2022"]))
    assert [own.check for own in caught.value.findings] == ["ambiguous_date"]
    assert mb.LiftTest("tv", "02/05/2022", "29/05/2022", 1.0, 1.0).start == first.start


def test_short_tables_of_the_future_follow_the_dates_of_the_fit() -> None:
    """Two dates are always regular; those that continue the table are meant."""
    data = mb.simulate.mmm(0, num_dates=60, num_channels=1).data.subset(slice(None, "2022-12-26"))
    later = data.future_dates(2)
    assert list(later.strftime("%d/%m/%Y")) == ["02/01/2023", "09/01/2023"]
    frame = data.to_frame().iloc[:2].assign(date=later.strftime("%d/%m/%Y"))
    assert list(data.with_table(frame).dates) == list(later)
