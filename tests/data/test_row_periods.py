"""The days that a row stands for, and what uses them: events, seasons, lift tests."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.data.lift_exposure import place_tests
from mmm_bayes.data.table_spec import TableSpec
from mmm_bayes.data.time_step import infer_step, share_within
from mmm_bayes.errors import DataError
from mmm_bayes.model.baseline import TimeFrame, design_columns, event_indicator
from mmm_bayes.model.spec import EventSpec, ModelSpec

N = 48
ENDS = pd.date_range("2020-01-31", periods=N, freq="ME")
STARTS = pd.date_range("2020-01-01", periods=N, freq="MS")


def table(dates: pd.DatetimeIndex, **settings: object) -> mb.MMMData:
    r = np.random.default_rng(0)
    frame = pd.DataFrame({"when": dates, "tv": r.gamma(2.0, 5.0, len(dates))})
    frame["sales"] = 100.0 + frame["tv"] + r.normal(0.0, 1.0, len(dates))
    return mb.MMMData.from_dataframe(
        frame, date="when", target="sales", channels=["tv"], **settings
    )


STEPS = {
    "D": ("start", "inferred", "2021-03-07", "2021-03-07"),
    "W-MON": ("start", "inferred", "2021-03-08", "2021-03-14"),
    "W-SUN": ("start", "assumed", "2021-03-07", "2021-03-13"),
    "MS": ("start", "inferred", "2021-04-01", "2021-04-30"),
    "ME": ("end", "inferred", "2021-03-01", "2021-03-31"),
    "QS-JAN": ("start", "inferred", "2021-04-01", "2021-06-30"),
    "QE-DEC": ("end", "inferred", "2021-01-01", "2021-03-31"),
    "YE": ("end", "inferred", "2021-01-01", "2021-12-31"),
    "14D": ("start", "assumed", "2021-03-07", "2021-03-20"),
}


@pytest.mark.parametrize("freq", STEPS)
def test_days_of_a_row(freq: str) -> None:
    dates = pd.date_range("2021-03-07", periods=30, freq=freq)
    step = infer_step(dates)
    marks, source, first, last = STEPS[freq]
    assert (step.marks, step.source) == (marks, source)
    periods = step.intervals(dates)
    assert periods[0].left == pd.Timestamp(first)
    assert periods[0].right - pd.Timedelta(days=1) == pd.Timestamp(last)
    for known in (step, step.marked("start"), step.marked("end")):
        own = known.intervals(dates)  # neither gaps nor overlaps
        assert list(own.right[:-1]) == list(own.left[1:])


def test_sundays_may_be_last_days() -> None:
    sundays = pd.date_range("2023-01-01", periods=60, freq="W-SUN")
    assumed, given = table(sundays), table(sundays, date_marks="end")
    assert assumed.periods[0].left == pd.Timestamp("2023-01-01")
    assert given.periods[0].left == pd.Timestamp("2022-12-26")
    assert "assumed" in repr(assumed)
    assert "ending on its date" in repr(given)
    assert set(assumed.summary()["date_marks"]) == {"start (assumed)"}
    assert set(given.summary()["date_marks"]) == {"end"}


def test_names_of_months_are_these_months() -> None:
    for dates in (ENDS.to_period("M"), ENDS.strftime("%Y-%m"), ENDS.strftime("%b %Y")):
        assert list(table(dates).periods) == list(table(ENDS).periods)
        assert list(table(dates, date_marks="end").periods) == list(table(ENDS).periods)


def test_wrong_marks_are_a_finding() -> None:
    with pytest.raises(DataError) as caught:
        table(ENDS, date_marks="ends")
    assert [own.check for own in caught.value.findings] == ["date_marks"]


def test_marks_travel_with_the_table(tmp_path) -> None:
    sundays = pd.date_range("2023-01-01", periods=60, freq="W-SUN")
    data = table(sundays, date_marks="end")
    frame = data.to_frame()
    assert data.subset(slice("2023-03", None)).time_step.marks == "end"
    later = frame.assign(when=data.future_dates(60))
    assert data.with_table(later).time_step.marks == "end"
    frame.to_csv(tmp_path / "t.csv", index=False)
    roles = {"date": "when", "target": "sales", "channels": ("tv",)}
    spec = TableSpec(file="t.csv", date_marks="end", **roles)
    assert list(spec.load(tmp_path).periods) == list(data.periods)
    assert list(TableSpec(file="t.csv", **roles).load(tmp_path).periods) != list(data.periods)


# --- Events and seasons ---


def _hit(event: EventSpec, dates: pd.DatetimeIndex, **settings: object) -> list[str]:
    data = table(dates, **settings)
    return [f"{d:%Y-%m-%d}" for d in data.dates[event_indicator(event, data.periods) > 0]]


def test_an_event_marks_the_rows_of_its_days() -> None:
    christmas = EventSpec(name="Christmas", dates=["2021-12-24"], days_after=2)
    assert _hit(christmas, ENDS) == ["2021-12-31"]
    assert _hit(christmas, STARTS) == ["2021-12-01"]
    # 1 May is May; with months of 31 days it would be April as well.
    assert _hit(EventSpec(name="May", dates=["2021-05-01"]), STARTS) == ["2021-05-01"]
    assert _hit(EventSpec(name="May", dates=["2021-05-01"]), ENDS) == ["2021-05-31"]
    sundays = pd.date_range("2021-11-07", periods=12, freq="W-SUN")
    assert _hit(christmas, sundays, date_marks="end") == ["2021-12-26"]
    assert _hit(christmas, sundays, date_marks="start") == ["2021-12-19", "2021-12-26"]


def _design(data: mb.MMMData, spec: ModelSpec) -> np.ndarray:
    frame = TimeFrame.from_data(data)
    return design_columns(spec, frame, data.dates, np.zeros((1, data.num_dates, 0)))[0]


SPEC = ModelSpec(
    seasonality=[{"period": "year", "order": 2}],
    events=[{"name": "Christmas", "dates": ["2020-12-24"], "days_after": 2, "yearly": True}],
    trend={"kind": "none"},
)


def test_first_and_last_days_give_the_same_model() -> None:
    starts, ends = _design(table(STARTS), SPEC), _design(table(ENDS), SPEC)
    np.testing.assert_array_equal(starts, ends)
    middle = np.asarray(table(ENDS).periods.mid.day_of_year, float)
    angle = 2.0 * np.pi * middle / 365.25
    # A phase of the year: the columns are a rotation of sine and cosine of the middle.
    fitted = np.linalg.lstsq(starts[:, 1:3], np.c_[np.sin(angle), np.cos(angle)], rcond=None)[0]
    np.testing.assert_allclose(fitted @ fitted.T, np.eye(2), atol=0.02)


def test_tables_of_earlier_versions_keep_their_meaning() -> None:
    """Without a record, rows last their median length from their date, 31 days for months."""
    data = table(STARTS)
    attrs = {k: v for k, v in data.ds.attrs.items() if not k.startswith("date_marks")}
    ds = data.ds.copy()
    ds.attrs = attrs
    old = mb.MMMData(ds)
    assert old.time_step.marks == "nominal"
    assert "earlier version" in repr(old)
    frame = TimeFrame.from_data(old)
    hit = event_indicator(EventSpec(name="May", dates=["2021-05-01"]), frame.periods(old.dates))
    assert [f"{d:%Y-%m-%d}" for d in old.dates[hit > 0]] == ["2021-04-01", "2021-05-01"]
    test = mb.LiftTest("tv", "2021-04-20", "2021-05-10", 5.0, 1.0)
    (placed,) = place_tests(old, [test])
    assert placed.changed.sum() == 1.0  # the row dated within the test, as a whole
    weeks = pd.date_range("2020-01-06", periods=N, freq="W-MON")
    new = table(weeks)
    ds = new.ds.copy()
    ds.attrs = {k: v for k, v in new.ds.attrs.items() if not k.startswith("date_marks")}
    np.testing.assert_array_equal(_design(new, SPEC), _design(mb.MMMData(ds), SPEC))


@pytest.mark.parametrize("dates", [STARTS, ENDS], ids=["first days", "last days"])
def test_an_effect_of_december_is_found(dates: pd.DatetimeIndex) -> None:
    """Sales rise by 400 every December, as does spend; both kinds of dates give the same answer."""
    r = np.random.default_rng(4)
    december = dates.month == 12
    tv = r.gamma(2.0, 20.0, N) * (1.0 + 0.5 * december)
    sales = 2000.0 + 1.5 * tv + 400.0 * december + r.normal(0.0, 15.0, N)
    frame = pd.DataFrame({"month": dates, "tv": tv, "sales": sales})
    data = mb.MMMData.from_dataframe(frame, date="month", target="sales", channels=["tv"])
    spec = ModelSpec(
        media={"max_lag": 1}, events=SPEC.events, trend={"kind": "none"}, seasonality=[],
        sampler={"num_warmup": 200, "num_samples": 200, "num_chains": 2},
    )  # fmt: skip
    fit = mb.MMM(data, spec).fit(jax.random.key(0), progress=False)
    effect = fit.tree["posterior"]["event_coef"].values
    # Four Decembers with a noise of 15: a standard error of at least 15 / 2.
    assert abs(effect.mean() - 400.0) < 4 * 15 / 2
    assert effect.std() < 15.0


# --- Lift tests ---


def test_share_within_counts_days() -> None:
    periods = table(STARTS).periods
    first, last = pd.Timestamp("2021-04-16"), pd.Timestamp("2021-06-10")
    share = pd.Series(share_within(periods, first, last), STARTS)
    assert share["2021-04-01"] == pytest.approx(15 / 30)
    assert share["2021-05-01"] == 1.0
    assert share["2021-06-01"] == pytest.approx(10 / 30)
    assert share.sum() == pytest.approx(15 / 30 + 1 + 10 / 30)


@pytest.mark.parametrize("dates", [STARTS, ENDS], ids=["first days", "last days"])
def test_a_test_of_two_weeks_is_not_a_month(dates: pd.DatetimeIndex) -> None:
    data = table(dates)
    may = 16  # position of May 2021
    spend = data.ds["spend"].values[0, :, 0]
    test = mb.LiftTest("tv", "2021-05-03", "2021-05-16", 5.0, 1.0)
    (placed,) = place_tests(data, [test])
    assert placed.changed[0, may] == pytest.approx(14 / 31)
    assert placed.changed.sum() == pytest.approx(14 / 31)
    assert placed.spend_change == pytest.approx(spend[may] * 14 / 31)
    factual, without = placed.exposure["tv"]
    assert without[0, may] == pytest.approx(factual[0, may] * 17 / 31)
    np.testing.assert_array_equal(np.delete(without, may), np.delete(factual, may))
    assert placed.measured.sum() == placed.measured[0, may] == 1.0

    longer = mb.LiftTest("tv", "2021-05-03", "2021-06-10", 5.0, 1.0, spend_change=-6.0,
                         measured_until="2021-07-10")  # fmt: skip
    (placed,) = place_tests(data, [longer])
    np.testing.assert_allclose(placed.changed[0, may : may + 3], [29 / 31, 10 / 30, 0.0])
    np.testing.assert_allclose(placed.measured[0, may : may + 3], [1.0, 1.0, 10 / 31])
    factual, without = placed.exposure["tv"]
    assert (without - factual).sum() == pytest.approx(6.0)


def test_a_test_given_by_dates_of_rows_is_these_rows() -> None:
    weeks = pd.date_range("2021-01-04", periods=60, freq="W-MON")
    by_days = mb.LiftTest("tv", weeks[10], weeks[12] + pd.Timedelta(days=6), 5.0, 1.0)
    by_rows = mb.LiftTest("tv", weeks[10], weeks[12], 5.0, 1.0)
    for test in (by_days, by_rows):
        (placed,) = place_tests(table(weeks), [test])
        assert np.flatnonzero(placed.changed[0]).tolist() == [10, 11, 12]
        assert placed.changed.sum() == 3.0


def test_a_test_outside_the_days_of_the_table_is_refused() -> None:
    data = table(ENDS)
    assert place_tests(data, [mb.LiftTest("tv", "2020-01-01", "2020-01-20", 5.0, 1.0)])
    for start, end in (("2019-12-20", "2020-01-20"), ("2023-12-20", "2024-01-02")):
        with pytest.raises(DataError) as caught:
            place_tests(data, [mb.LiftTest("tv", start, end, 5.0, 1.0)])
        assert [own.check for own in caught.value.findings] == ["lift_test"]


def test_sums_by_month_follow_the_days_of_rows() -> None:
    """The same weeks, dated at their first or last days, are in the same months."""
    from mmm_bayes.analysis.cells import cells_of

    mondays = pd.date_range("2021-11-29", periods=20, freq="W-MON")
    sundays = mondays + pd.Timedelta(days=6)
    starts, ends = table(mondays), table(sundays, date_marks="end")
    for by in ("month", "quarter", "year"):
        own, other = cells_of(by, starts), cells_of(by, ends)
        assert list(own.coords[by]) == list(other.coords[by])
        np.testing.assert_array_equal(own.groups, other.groups)
    assert cells_of("month", starts).coords["month"][0] == "2021-11"
