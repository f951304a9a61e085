"""KPIs against arithmetic and statsmodels."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mmm_bayes.causal.effects.effects import average_treatment_effect, effects_table
from mmm_bayes.causal.effects.kpis import KpiColumns, business_kpis, regression_statistics
from mmm_bayes.runtime.findings import DataError
from tests.causal.effect_tables import GRAPH, weeks

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def frame():
    data = weeks(1)
    rng = np.random.default_rng(0)
    data["shown"] = rng.poisson(5000, len(data))
    data["clicked"] = rng.poisson(100, len(data))
    data["bought"] = rng.poisson(7, len(data))
    return data


@pytest.fixture(scope="module")
def table(frame):
    return effects_table(KEY, frame, GRAPH, date="week")


def test_variance_inflation_and_coefficients_are_those_of_statsmodels(frame):
    import statsmodels.api as sm
    from statsmodels.stats.outliers_influence import variance_inflation_factor

    estimate = average_treatment_effect(KEY, frame, GRAPH, "tv")
    found = regression_statistics(estimate)
    names = ["tv", "season", "price"]
    columns = sm.add_constant(frame[names])
    plain = sm.OLS(frame["sales"], columns).fit()
    for position, name in enumerate(names, start=1):
        assert found.loc[name, "coefficient"] == pytest.approx(plain.params[name], rel=1e-8)
        vif = variance_inflation_factor(columns.to_numpy(), position)
        assert found.loc[name, "vif"] == pytest.approx(vif, rel=1e-8)
    assert found.loc["tv", "t"] == pytest.approx(
        found.loc["tv", "coefficient"] / found.loc["tv", "std_error"]
    )
    assert found.loc["tv", "std_error"] == pytest.approx(
        estimate.standard_error / frame["tv"].sum(), rel=1e-6
    )
    assert np.isnan(found.loc["(intercept)", "vif"])


def test_a_column_that_others_determine_has_infinite_inflation(frame):
    twice = frame.assign(price=2.0 * frame["season"] + frame["tv"])
    estimate = average_treatment_effect(KEY, twice, GRAPH, "tv")
    assert regression_statistics(estimate).loc["price", "vif"] == np.inf


def test_returns(frame, table):
    found = business_kpis(table, margin=0.4)
    own = table.estimate("tv")
    row = found.loc["tv"]
    assert list(found.index) == ["tv", "search"]
    assert row["roas"] == pytest.approx(own.value / frame["tv"].sum())
    assert row["roi"] == pytest.approx(0.4 * row["roas"] - 1)
    assert row["cost_per_outcome"] == pytest.approx(frame["tv"].sum() / own.value)
    # Linear without saturation: marginal is average, elasticity the share of the outcome.
    assert row["marginal_roas"] == pytest.approx(row["roas"], rel=1e-8)
    assert row["elasticity"] == pytest.approx(own.value / frame["sales"].sum(), rel=1e-8)


def test_saturated_channels_return_less_at_the_margin(frame):
    transform = {"tv": {"alpha": 0.3, "ec": 0.5, "slope": 1.0}}
    found = business_kpis(effects_table(KEY, frame, GRAPH, ["tv"], transform=transform))
    assert found.loc["tv", "marginal_roas"] < 0.7 * found.loc["tv", "roas"]


def test_funnel_where_the_columns_are(frame, table):
    names = KpiColumns(impressions="shown", clicks="clicked", conversions="bought")
    found = business_kpis(table, data=frame, columns={"tv": names, "search": {"clicks": "clicked"}})
    row, spent = found.loc["tv"], frame["tv"].sum()
    assert row["click_through_rate"] == frame["clicked"].sum() / frame["shown"].sum()
    assert row["conversion_rate"] == frame["bought"].sum() / frame["clicked"].sum()
    assert row["cost_per_thousand"] == pytest.approx(1000 * spent / frame["shown"].sum())
    assert row["cost_per_conversion"] == pytest.approx(spent / frame["bought"].sum())
    assert "cost_per_customer" not in found
    assert np.isnan(found.loc["search", "click_through_rate"])


def test_every_finding_at_once(frame, table):
    with pytest.raises(DataError) as caught:
        business_kpis(
            table, data=frame, columns={"tv": {"clicks": "clickd"}, "serch": {"click": "clicked"}}
        )
    for word in ("clickd", "clicked", "serch", "search", "'click'"):
        assert word in str(caught.value)
