"""Plans of a fit: results, explanations and refusals."""

import numpy as np
import pandas as pd
import pytest

from mmm_bayes import ModelSpec
from mmm_bayes.budget import BudgetPlan, Limit, compare_plans, optimize_budget
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.findings import DataError
from tests.budget.problems import prior_fit, simulated

SMALL = {"periods": 6, "num_starts": 1}


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return prior_fit(simulated(), ModelSpec(media={"max_lag": 4}), draws=60)


@pytest.fixture(scope="module")
def geo() -> Fitted:
    return prior_fit(simulated(num_geos=3), ModelSpec(media={"max_lag": 4, "effect": "roas"}), 40)


@pytest.fixture(scope="module")
def plan(fitted: Fitted) -> BudgetPlan:
    return optimize_budget(fitted, change=(0.5, 1.6), **SMALL)


def test_plan_keeps_the_total_and_its_limits(plan: BudgetPlan):
    today = float(plan.today.sum())
    assert plan.total == pytest.approx(today, rel=1e-9)
    ratio = plan.table["planned"] / plan.table["today"]
    assert (ratio >= 0.5 - 1e-9).all()
    assert (ratio <= 1.6 + 1e-9).all()
    assert plan.value > plan.value_today
    assert plan.kkt_residual < 1e-2
    assert (plan.plan >= 0).all()


def test_free_channels_have_one_marginal_return(fitted: Fitted):
    """On the draws that chose the plan: here all of them, since they are few."""
    few = prior_fit(fitted.data, fitted.spec, draws=9)
    plan = optimize_budget(few, change=(0.2, 5.0), **SMALL)
    free = plan.table["binds"] == ""
    assert free.sum() >= 2
    slopes = plan.evaluator.marginal(plan.plan.values, plan.today.values).mean(0)[free]
    np.testing.assert_allclose(slopes, plan.price_of_total, rtol=2e-3)
    assert any("hold any out" in line for line in plan.explanation)


def test_gain_is_evaluated_on_held_out_draws(plan: BudgetPlan):
    draws = plan.evaluator.outcomes(plan.plan.values) - plan.evaluator.outcomes(plan.today.values)
    assert len(draws) == 60  # one of two chains
    assert plan.gain.median == pytest.approx(np.median(draws))
    assert plan.probability_better == pytest.approx(np.mean(draws > 0))


def test_tight_limits_reproduce_today_exactly(fitted: Fitted, geo: Fitted):
    for fit, by in ((fitted, ("channel", "date")), (geo, ("channel",))):
        held = optimize_budget(
            fit, by=by, limits=[Limit(lower=1, upper=1, unit="today", each=by)], **SMALL
        )
        np.testing.assert_array_equal(held.plan.values, held.today.values)
        assert held.gain == (0.0, 0.0, 0.0, 0.0)
        assert held.probability_better == 0.5
        assert any("no room to move money" in line for line in held.explanation)


def test_limits_of_geos_groups_and_shares_hold(geo: Fitted):
    limits = [
        Limit(each=("geo",), lower=0.8, upper=1.25, unit="today"),
        Limit(channel=("tv", "radio"), upper=0.6, unit="share"),
        Limit(channel="tv", geo="geo_1", upper=0.9, unit="today"),
    ]
    plan = optimize_budget(geo, by=("channel", "geo"), limits=limits, **SMALL)
    total, by_geo = plan.total, plan.plan.sum(("channel", "date"))
    slack = 1e-9 * total
    today = plan.today.sum(("channel", "date"))
    assert (by_geo >= 0.8 * today - slack).all()
    assert (by_geo <= 1.25 * today + slack).all()
    assert float(plan.plan.sel(channel=["tv", "radio"]).sum()) <= 0.6 * total + slack
    cell = {"channel": "tv", "geo": "geo_1"}
    assert float(plan.plan.sel(cell).sum()) <= 0.9 * float(plan.today.sel(cell).sum()) + slack
    assert total == pytest.approx(float(plan.today.sum()), rel=1e-9)


def test_goals_are_met_and_no_more(fitted: Fitted):
    outcome = optimize_budget(fitted, **SMALL)
    least = optimize_budget(fitted, goal="outcome", target_value=outcome.value * 0.9, **SMALL)
    assert least.value >= outcome.value * 0.9 * (1 - 1e-9)
    assert least.value == pytest.approx(outcome.value * 0.9, rel=1e-4)
    assert least.total < outcome.total
    ratio = 1.2 * outcome.value / outcome.total
    largest = optimize_budget(fitted, goal="roas", target_value=ratio, **SMALL)
    assert largest.value / largest.total == pytest.approx(ratio, rel=1e-4)
    assert largest.total < outcome.total
    price = 1.5 * outcome.price_of_total
    margin = optimize_budget(fitted, goal="marginal_roas", target_value=price, **SMALL)
    assert margin.price_of_total == pytest.approx(price, rel=1e-2)
    assert margin.total < outcome.total


def test_a_target_out_of_reach_names_the_best_value(fitted: Fitted):
    with pytest.raises(DataError) as caught:
        optimize_budget(fitted, goal="outcome", target_value=1e15, **SMALL)
    assert [finding.check for finding in caught.value.findings] == ["target_out_of_reach"]


def test_all_problems_are_named_at_once(fitted: Fitted):
    with pytest.raises(DataError) as caught:
        optimize_budget(fitted, -5.0, objective="median", by=("chanel",), periods=0)
    checks = {finding.check for finding in caught.value.findings}
    assert {"total", "objective", "by", "periods"} <= checks
    limits = [
        Limit(channel="tvv", upper=1.0),
        Limit(channel="tv", lower=5.0, upper=1.0),
        Limit(channel="radio", lower=-1.0),
        Limit(channel="tv", date="1999-01-01"),
        Limit(channel="tv", unit="euro"),
    ]
    with pytest.raises(DataError, match="'tv'") as caught:
        optimize_budget(fitted, limits=limits)
    checks = {finding.check for finding in caught.value.findings}
    assert checks == {
        "unknown_channel", "crossed_limits", "negative_limit", "unknown_date", "unknown_unit",
    }  # fmt: skip


def test_infeasible_limits_are_named_with_the_remedy(fitted: Fitted):
    with pytest.raises(DataError) as caught:
        optimize_budget(fitted, 10.0, bounds={"tv": (20.0, None)})
    assert [finding.check for finding in caught.value.findings] == ["total_too_small"]
    with pytest.raises(DataError, match="spend='at_most'") as caught:
        optimize_budget(fitted, change=(0.1, 0.5))
    assert [finding.check for finding in caught.value.findings] == ["total_too_large"]
    with pytest.raises(DataError) as caught:
        optimize_budget(
            fitted,
            change=(0.9, 1.1),
            limits=[
                Limit(channel=("tv", "radio"), upper=0.5, unit="today"),
                Limit(channel=("radio", "search"), lower=2.0, unit="today"),
            ],
        )
    assert [finding.check for finding in caught.value.findings] == [
        "group_too_small", "group_too_large",
    ]  # fmt: skip
    # Any two of these limits can be met, but not all three.
    with pytest.raises(DataError) as caught:
        optimize_budget(
            fitted,
            limits=[
                Limit(channel=("tv", "radio"), upper=0.4, unit="share"),
                Limit(channel=("radio", "search"), upper=0.4, unit="share"),
                Limit(channel=("tv", "search"), upper=0.4, unit="share"),
            ],
        )
    assert [finding.check for finding in caught.value.findings] == ["limits_clash"]


def test_less_than_the_total_may_be_spent(fitted: Fitted):
    plan = optimize_budget(fitted, change=(0.1, 0.5), spend="at_most", **SMALL)
    assert plan.total == pytest.approx(0.5 * float(plan.today.sum()), rel=1e-6)


def test_warnings_name_spend_beyond_the_data(fitted: Fitted):
    plan = optimize_budget(fitted, 50.0 * float(simulated_spend(fitted)), **SMALL)
    text = " ".join(plan.warnings)
    assert "extrapolated" in text
    assert "observed period" in text


def simulated_spend(fitted: Fitted) -> float:
    return fitted.data.ds["spend"].values[:, -6:].sum()


def test_plan_is_shown_as_text_table_and_html(plan: BudgetPlan):
    assert "KKT residual" in str(plan)
    assert "<table" in plan._repr_html_()
    frame = plan.to_frame()
    assert list(frame.columns) == ["channel", "geo", "date", "today", "planned"]
    assert frame["planned"].sum() == pytest.approx(plan.total)


def test_curves_pass_through_the_plan(plan: BudgetPlan):
    name = plan.table.index[0]
    amount = float(plan.table["planned"][name])
    larger = max(amount, float(plan.table["today"][name]))
    curves = plan.response_curves(np.array([0.0, amount / larger])).sel(channel=name)
    found = curves.median("sample").values
    assert found[0] == pytest.approx(0.0, abs=1e-9)
    assert found[1] == pytest.approx(float(plan.table["outcome_planned"][name]), rel=1e-9)


def test_log_links_count_channels_together():
    data = simulated(likelihood="negative_binomial")
    spec = ModelSpec(media={"max_lag": 4}, likelihood={"family": "negative_binomial"})
    plan = optimize_budget(prior_fit(data, spec, draws=30), change=(0.5, 2.0), **SMALL)
    assert plan.value >= plan.value_today
    assert any("multiply the baseline" in line for line in plan.explanation)
    assert plan.response_curves(np.array([0.0, 1.0])).shape == (30, 3, 2)


# --- Comparison ----------------------------------------------------------------------------------


def test_hand_set_plans_side_by_side(fitted: Fitted, plan: BudgetPlan):
    dates = pd.DatetimeIndex(plan.plan["date"].values)
    table = pd.DataFrame({"date": dates, "tv": 0.0})
    money = float(plan.table["today"]["tv"])
    found = compare_plans(
        fitted,
        {"best": plan, "tv off": table, "tv off too": {"tv": 0.0}, "double": {"tv": "x2"},
         "same": {"tv": money}},
    )  # fmt: skip
    rows = found.table
    assert list(rows.index) == ["today", "best", "tv off", "tv off too", "double", "same"]
    assert rows["difference"]["today"] == 0.0
    np.testing.assert_array_equal(found.plans.sel(plan="same"), found.plans.sel(plan="today"))
    np.testing.assert_allclose(found.outcomes.sel(plan="tv off"),
                               found.outcomes.sel(plan="tv off too"))  # fmt: skip
    assert rows["difference"]["best"] == pytest.approx(plan.gain.median)
    assert rows["probability_best"].sum() == pytest.approx(1.0)
    # Without tv its outcome is missing.
    lost = -rows["difference"]["tv off"]
    assert lost == pytest.approx(float(plan.table["outcome_today"]["tv"]), rel=1e-9)
    assert rows["spend"]["double"] == pytest.approx(rows["spend"]["today"] + money)
    printed = str(found).splitlines()
    assert printed[0].split()[-2:] == ["better", "best"]
    assert max(map(len, printed)) <= 100
    assert "<table" in found._repr_html_()


def test_every_wrong_plan_is_named(fitted: Fitted):
    dates = pd.date_range("1990-01-01", periods=2)
    with pytest.raises(DataError) as caught:
        compare_plans(
            fitted,
            {"a": {"tvv": 1.0}, "b": {"tv": -1.0}, "c": 3, "d": pd.DataFrame({"tv": [1.0]}),
             "e": pd.DataFrame({"date": dates, "tv": 1.0})},
        )  # fmt: skip
    text = str(caught.value)
    assert all(f"'{name}'" in text for name in "abcde")
