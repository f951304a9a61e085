"""Overlap of doses: constructions whose answer is known, and the words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.check.dose_support import _alike, treatment_overlap
from mmm_bayes.causal.check.overlap import overlap
from mmm_bayes.causal.check.series import as_rows
from mmm_bayes.runtime.findings import DataError

WEEKS = pd.date_range("2021-01-04", periods=208, freq="W-MON")
GRAPH = CausalGraph(
    edges=[("demand", "tv"), ("demand", "sales"), ("tv", "sales"), ("radio", "sales")],
    roles={"tv": "channel", "radio": "channel", "sales": "target"},
)


def table(seed: int = 0) -> pd.DataFrame:
    """TV follows demand and is never off in weeks of high demand; radio is drawn alone."""
    rng = np.random.default_rng(seed)
    demand = rng.uniform(0.0, 1.0, 208)
    off = (demand < 0.5) & (rng.uniform(size=208) < 0.5)
    tv = np.where(off, 0.0, 100.0 + 40.0 * demand + 15.0 * rng.standard_normal(208))
    radio = rng.gamma(2.0, 10.0, 208) * (rng.uniform(size=208) < 0.6)
    sales = demand + tv / 100 + rng.standard_normal(208)
    return pd.DataFrame({"date": WEEKS, "demand": demand, "tv": tv, "radio": radio, "sales": sales})


def test_a_treatment_of_its_own_is_supported_everywhere():
    own = overlap(table(), GRAPH, date="date")["radio"]
    assert own.given == ()
    assert own.explained == 0.0
    assert own.effective == pytest.approx(208)
    assert own.supported == own.seen
    assert own.zero_seen == 1.0
    assert own.concerns == ()
    assert own.verdict.startswith("radio: ")
    assert "from 0 to" in own.verdict
    assert all(part.seen == 1.0 and part.effective == pytest.approx(part.n) for part in own.strata)


def test_weeks_in_which_zero_was_never_seen_are_named():
    frame = table()
    own = overlap(frame, GRAPH, date="date")["tv"]
    assert own.given == ("demand",)
    wrong = {violation.date for violation in own.violations}
    high = set(frame["date"][frame["demand"] > 0.65].dt.strftime("%Y-%m-%d"))
    low = set(frame["date"][frame["demand"] < 0.4].dt.strftime("%Y-%m-%d"))
    assert len(high & wrong) > 0.9 * len(high)
    assert not low & wrong
    first = own.violations[0]
    told = first.told("tv", "week")
    assert told.startswith(f"{first.date}: tv is {first.dose:.4g}")
    assert f"{first.alike} similar weeks: {first.nearest:.4g}" in told
    assert first.nearest > 80
    assert f"{100 * (1 - own.zero_seen):.0f}% of the weeks" in own.verdict
    assert own.strata[0].low == own.strata[0].high == 0.0
    assert own.strata[0].seen == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.95])
def test_own_variation_is_what_the_adjustment_leaves(correlation):
    rng = np.random.default_rng(1)
    z = rng.standard_normal((600, 1))
    rest = np.sqrt(1 - correlation**2)
    dose = 50 + 10 * (correlation * z[:, 0] + rest * rng.standard_normal(600))
    own = treatment_overlap(dose, z)
    assert own.own_variation == pytest.approx(10 * rest, rel=0.1)
    assert own.explained == pytest.approx(np.corrcoef(dose, z[:, 0])[0, 1] ** 2, abs=0.03)
    np.testing.assert_allclose(own.expected, 50 + 10 * correlation * z[:, 0], atol=10 * rest * 0.6)


def test_effective_rows_are_those_of_normal_doses():
    r"""With correlation r, E w^2 = s^(3/2) / sqrt((1 - 2 r^2)^2 - r^2) for s = 1 - r^2."""
    rng = np.random.default_rng(2)
    r = 0.3
    s = 1 - r**2
    expected = np.sqrt((1 - 2 * r**2) ** 2 - r**2) / s**1.5
    shares = []
    for _ in range(8):
        z = rng.standard_normal((500, 1))
        dose = r * z[:, 0] + np.sqrt(s) * rng.standard_normal(500)
        shares.append(treatment_overlap(dose, z).effective / 500)
    assert np.mean(shares) == pytest.approx(expected, abs=0.06)


def test_range_shrinks_to_what_all_circumstances_share():
    """Doses uniform on z to z + 2 for z on 0 to 1: 90% of the rows share .9 to 2.1."""
    rng = np.random.default_rng(3)
    z = rng.uniform(0.0, 1.0, (1500, 1))
    dose = z[:, 0] + 2.0 * rng.uniform(size=1500)
    low, high = treatment_overlap(dose, z).supported
    slack = 0.25 * np.sqrt(1 / 3)
    assert low == pytest.approx(0.9 - slack, abs=0.12)
    assert high == pytest.approx(2.1 + slack, abs=0.12)


def test_a_treatment_that_its_causes_determine_has_no_support():
    rng = np.random.default_rng(4)
    z = rng.standard_normal((200, 1))
    own = treatment_overlap(100 + 20 * z[:, 0] + 0.1 * rng.standard_normal(200), z, given=["plan"])
    assert own.supported is None
    assert "plan explains over 99%" in own.verdict
    assert "90% of the rows" in own.verdict
    constant = treatment_overlap(np.full(50, 3.0), rng.standard_normal((50, 1)))
    assert constant.supported is None
    assert constant.explained == 1.0
    assert constant.effective == 0.0


def test_alike_rows_are_the_nearest_by_brute_force():
    rng = np.random.default_rng(5)
    for count in (25, 80, 400):
        expected = rng.standard_normal(count).round(2)
        near = _alike(expected)
        number = near.shape[1]
        for row in range(count):
            gaps = np.abs(expected - expected[row])
            assert row in near[row]
            assert len(set(near[row].tolist())) == number
            assert gaps[near[row]].max() == pytest.approx(np.sort(gaps)[number - 1])


def test_the_share_of_rows_that_support_a_dose():
    own = overlap(table(), GRAPH, date="date")["tv"]
    assert own.supports(0.0) == pytest.approx(own.zero_seen)
    low, high = own.supported
    assert own.supports((low + high) / 2) >= 0.9 - 1e-9
    assert own.supports(1e6) == 0.0


def test_adstocked_series_take_the_place_of_spend():
    frame = table()
    carried = as_rows(208, WEEKS).carried(frame[["tv"]].to_numpy(), 0.7)[:, 0]
    own = overlap(frame, GRAPH, date="date", doses={"tv": carried})["tv"]
    np.testing.assert_array_equal(own.dose, carried)
    assert own.seen[1] == carried.max()
    past = overlap(frame, GRAPH, ["tv"], date="date", doses={"tv": carried}, lags="auto")["tv"]
    assert past.explained > own.explained  # it follows the demand of weeks before
    assert len(past.expected) == 208


def test_sets_may_be_given_in_place_of_a_graph():
    frame = table()
    by_graph = overlap(frame, GRAPH, date="date")
    for given in ({"tv": ["demand"], "radio": []}, GRAPH):
        report = overlap(frame, given, ["tv"], outcome="sales", date="date")
        assert report["tv"].effective == by_graph["tv"].effective
    one = overlap(frame, ["demand"], ["tv", "radio"], date="date")
    assert one["radio"].given == ("demand",)
    for wrong in ({"tv": ["demand"]}, ["demand"]):
        with pytest.raises(ValueError, match=r"adjustment set is given"):
            overlap(frame, wrong, None if isinstance(wrong, list) else ["tv", "radio"])
    with pytest.raises(ValueError, match="treatments= and outcome="):
        overlap(frame, CausalGraph(edges=[("tv", "sales")]))


def test_treatments_without_a_set_say_why():
    graph = CausalGraph(
        edges=[("tv", "sales"), ("radio", "sales")], bidirected=[("tv", "sales")],
        roles=GRAPH.roles,
    )  # fmt: skip
    report = overlap(table(), graph, date="date")
    assert [own.name for own in report.treatments] == ["radio"]
    assert "tv: no adjustment set." in str(report)
    with pytest.raises(KeyError):
        report["tv"]


def test_geos_have_levels_of_their_own():
    rng = np.random.default_rng(6)
    geos = np.repeat([0, 1], 104)
    dose = 100.0 * geos + 10 * rng.standard_normal(208)
    own = treatment_overlap(dose, np.empty((208, 0)), geos=geos, dates=np.tile(WEEKS[:104], 2))
    assert own.own_variation == pytest.approx(10, rel=0.15)
    assert own.supported is None
    assert {violation.geo for violation in own.violations} == {1}


def test_tables_of_the_report():
    report = overlap(table(), GRAPH, date="date")
    summary = report.summary()
    assert summary.index.tolist() == ["tv", "radio"]
    assert (summary["effective rows"] <= 208 + 1e-9).all()
    assert report.strata().groupby("treatment")["rows"].sum().tolist() == [208, 208]
    assert len(report.violations()) == len(report["tv"].violations)
    assert "<table" in report._repr_html_()


def test_tables_that_tell_nothing_are_refused():
    with pytest.raises(DataError, match="10 rows"):
        overlap(table().head(10), GRAPH, date="date")
    with pytest.raises(DataError, match="'demand' has no column"):
        overlap(table().drop(columns="demand"), GRAPH, date="date")
