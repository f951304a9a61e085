"""Lift tests: reading, agreement by arithmetic, and predictions from effects."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm

from mmm_bayes.causal.effects.effects import effects_table
from mmm_bayes.causal.effects.lift_comparison import compare_lift_tests
from mmm_bayes.causal.effects.lift_predictions import effect_predictions
from mmm_bayes.data.lift_tests import LiftTest, read_lift_tests
from mmm_bayes.runtime.findings import DataError
from tests.causal.effect_tables import GRAPH, weeks

KEY = jax.random.key(0)
TEST = LiftTest("tv", "2021-03-01", "2021-03-28", lift=10.0, standard_error=2.0)


def draws_of(mean: float, sd: float, n: int = 40_000):
    return lambda test: mean + sd * norm.ppf((np.arange(n) + 0.5) / n)


def test_agreement_by_arithmetic():
    found = compare_lift_tests(draws_of(13.0, 1.5), [TEST])
    row = found.table.iloc[0]
    z = (10.0 - 13.0) / np.hypot(2.0, 1.5)
    assert row["z"] == pytest.approx(z, rel=1e-3)
    assert row["p"] == pytest.approx(2 * norm.sf(abs(z)), rel=1e-3)
    assert row["share_beyond"] == pytest.approx(norm.cdf(2.0), abs=1e-3)
    reach = norm.ppf(0.95)
    low, high = 13.0 - 1.5 * reach, 10.0 + 2.0 * reach
    assert row["overlap"] == pytest.approx((high - low) / (2 * 1.5 * reach), rel=1e-2)
    assert row["agreement"] == "agrees"
    assert found.chi_squared_p == pytest.approx(chi2.sf(z**2, 1), rel=1e-3)


@pytest.mark.parametrize(("mean", "word"), [(30.0, "model too high"), (-20.0, "model too low")])
def test_disagreement_is_named(mean, word):
    found = compare_lift_tests(draws_of(mean, 1.0), [TEST])
    assert found.table["agreement"].iloc[0] == word
    assert word in found.verdict
    assert "contradict it" in found.verdict
    assert found.table["overlap"].iloc[0] == 0.0


def test_many_tests_together_by_chance():
    rng = np.random.default_rng(0)
    p = []
    for _ in range(200):
        tests = [LiftTest("tv", "2021-03-01", "2021-03-28", 5 + 2 * e, 1.2)
                 for e in rng.standard_normal(4)]  # fmt: skip
        p.append(compare_lift_tests(draws_of(5.0, 1.6, 500), tests).chi_squared_p)
    # 2**2 = 1.2**2 + 1.6**2: p-values are uniform, here within three Monte Carlo errors.
    assert abs(np.mean(np.array(p) < 0.1) - 0.1) < 3 * np.sqrt(0.09 / 200)


def test_reading_all_rows_and_columns():
    frame = pd.DataFrame(
        {
            "media": ["tv", "search"],
            "start": ["2021-03-01", "2021-04-05"],
            "end": ["2021-03-28", "2021-04-11"],
            "lift": [10, "7.5"],
            "standard_error": [2.0, 1.0],
            "geo": ["north|south", None],
            "spend_change": [np.nan, 50.0],
        }
    )
    one, two = read_lift_tests(
        frame, {"channel": "media"}, channels=["tv", "search"], geos=["north", "south"]
    )
    assert one.geos == ("north", "south")
    assert one.spend_change is None
    assert (two.lift, two.spend_change, two.geos) == (7.5, 50.0, ())
    assert two.name == "search 2021-04-05"


def test_every_row_that_is_wrong_is_told():
    frame = pd.DataFrame(
        {
            "channel": ["tvs", "tv", "tv", "tv", "tv"],
            "start": ["2021-03-01", "2021-05-01", "soon", "2021-03-01", "1999-01-01"],
            "end": ["2021-03-28", "2021-03-28", "2021-03-28", "2021-03-28", "1999-02-01"],
            "lift": [1.0, 1.0, 1.0, "much", 1.0],
            "standard_error": [1.0, -1.0, 1.0, 1.0, 1.0],
        }
    )
    dates = pd.date_range("2021-01-04", periods=60, freq="W-MON")
    with pytest.raises(DataError) as caught:
        read_lift_tests(frame, channels=["tv", "search"], dates=dates)
    text = str(caught.value)
    for word in (
        "Row 0", "Did you mean 'tv'", "Row 1", "2021-05-01", "-1", "Row 2", "soon",
        "Row 3", "much", "Row 4", "1999-01-01",
    ):  # fmt: skip
        assert word in text, word
    with pytest.raises(DataError, match="standard_error"):
        read_lift_tests(frame.drop(columns="standard_error"))


def test_predictions_of_effects_match_the_truth():
    data = weeks(1)
    table = effects_table(KEY, data, GRAPH, date="week", num_draws=2000)
    rows = (data["week"] >= TEST.start) & (data["week"] <= TEST.end)
    slope = table.estimate("tv").value / data["tv"].sum()
    predict = effect_predictions(table)
    own = predict(TEST)
    true = slope * data.loc[rows, "tv"].sum()
    assert own.mean() == pytest.approx(true, abs=4 * own.std() / np.sqrt(2000))
    more = LiftTest("tv", "2021-03-01", "2021-03-28", 1.0, 1.0, spend_change=5.0)
    assert np.median(predict(more)) == pytest.approx(5.0 * slope, rel=0.05)
    seen = LiftTest("tv", "2021-03-01", "2021-03-28", 2.0 * data.loc[rows, "tv"].sum(), 1.0)
    assert compare_lift_tests(predict, [seen]).table["agreement"].iloc[0] == "agrees"
    with pytest.raises(DataError, match="no spend"):
        predict(LiftTest("tv", "2031-03-01", "2031-03-28", 1.0, 1.0))


def test_predictions_of_geos():
    data = pd.concat([weeks(i, 80).assign(geo=g) for i, g in enumerate("ab")], ignore_index=True)
    table = effects_table(KEY, data, GRAPH, ["tv"], date="week", geo="geo")
    rows = (data["week"] >= TEST.start) & (data["week"] <= TEST.end) & (data["geo"] == "b")
    own = LiftTest("tv", TEST.start, TEST.end, 1.0, 1.0, geos=("b",))
    slope = table.estimate("tv").value / data["tv"].sum()
    found = effect_predictions(table, ["a", "b"])(own)
    assert np.median(found) == pytest.approx(slope * data.loc[rows, "tv"].sum(), rel=0.05)


def test_wrong_tests_and_predictions():
    with pytest.raises(DataError) as caught:
        LiftTest("", "2021-03-02", "2021-03-01", np.nan, 0.0, spend_change=0.0)
    assert len(caught.value.findings) == 5
    with pytest.raises(DataError, match="no lift tests"):
        compare_lift_tests(draws_of(1, 1), [])
    with pytest.raises(DataError, match="finite"):
        compare_lift_tests(lambda test: np.array([np.nan]), [TEST])


def test_predictions_count_the_days_of_a_test() -> None:
    """A test of four days of a week changes four sevenths of its spend."""
    data = weeks(1)
    predict = effect_predictions(effects_table(KEY, data, GRAPH, ["tv"], date="week"))
    monday = pd.Timestamp("2021-03-01")
    days = [monday + pd.Timedelta(days=n) for n in (1, 3, 6)]
    week = predict(LiftTest("tv", monday, days[2], 1.0, 1.0))
    part = predict(LiftTest("tv", monday, days[1], 1.0, 1.0))
    assert np.median(part) == pytest.approx(4 / 7 * np.median(week), rel=0.02)
    outside = predict(LiftTest("tv", days[0], days[2], 1.0, 1.0))
    assert np.median(outside) == pytest.approx(6 / 7 * np.median(week), rel=0.02)
