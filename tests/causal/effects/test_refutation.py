"""Refuters: what is true holds, what is planted is found, and weeks stay in blocks."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.effects.block_simulation import permuted_blocks, persistent_series
from mmm_bayes.causal.effects.effects import average_treatment_effect
from mmm_bayes.causal.effects.refutation import refute
from mmm_bayes.causal.effects.regression import (
    block_length,
    block_rows,
    persistence,
    wild_multipliers,
)
from mmm_bayes.runtime.findings import DataError
from tests.causal.effect_tables import GRAPH, persistent, weeks

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def estimate():
    return average_treatment_effect(KEY, weeks(1, 150, 0.4), GRAPH, "tv")


@pytest.fixture(scope="module")
def report(estimate):
    return refute(KEY, estimate, num_simulations=60)


def test_true_effect_holds(report):
    assert report.verdict == "holds"
    assert [own.test for own in report.tests] == [
        "placebo_treatment", "random_common_cause", "data_subset", "dummy_outcome",
        "unobserved_confounder",
    ]  # fmt: skip
    assert len(report.to_frame()) == 5
    assert "holds" in str(report)
    assert "<table" in report._repr_html_()


def test_placebos_and_dummies_centre_on_zero(report, estimate):
    by_name = {own.test: own for own in report.tests}
    for name in ("placebo_treatment", "dummy_outcome"):
        values = by_name[name].values
        # Blocks of 150 weeks leave little chance correlation: four Monte Carlo errors.
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert by_name["placebo_treatment"].p_value == pytest.approx(1 / 61)
    subset = by_name["data_subset"].values
    assert subset.mean() == pytest.approx(estimate.value, abs=estimate.standard_error)


def test_hidden_confounder_moves_as_in_the_formula(report, estimate):
    # Of a linear estimate: by its effect times its correlation, in units of what is left.
    design = estimate.design
    x = np.column_stack([np.ones(len(design.dose)), design.covariates])
    rest = design.dose - x @ np.linalg.lstsq(x, design.dose, rcond=None)[0]
    without = design.outcome - estimate.rows()
    left = without - x @ np.linalg.lstsq(x, without, rcond=None)[0]
    table = report.confounding
    for on_dose in table.index:
        for on_outcome in table.columns:
            slope = on_outcome * left.std() * on_dose / rest.std()
            true = estimate.value - slope * design.dose.sum()
            assert table.loc[on_dose, on_outcome] == pytest.approx(true, rel=1e-6)


def test_no_effect_is_doubted():
    data = weeks(3).assign(sales=60 + persistent(np.random.default_rng(4), 150, 0.0))
    found = average_treatment_effect(KEY, data, GRAPH, "tv")
    own = refute(KEY, found, tests=["placebo_treatment"], num_simulations=40)
    assert own.verdict == "doubtful"
    assert own.tests[0].p_value > 0.1


def test_effect_of_one_fortnight_is_doubted():
    # All of the effect comes from one block of weeks.
    rng = np.random.default_rng(5)
    x = rng.normal(size=200)
    y = rng.normal(size=200)
    x[100:108] = 12.0
    y[100:108] += 40.0
    data = pd.DataFrame({"x": x, "y": y})
    graph = CausalGraph(edges=[("x", "y")], roles={"x": "channel", "y": "target"})
    found = average_treatment_effect(KEY, data, graph, "x", contrast="per_unit")
    own = refute(KEY, found, tests=["data_subset"], num_simulations=60)
    assert own.verdict == "doubtful"


def test_weak_effect_falls_to_a_weak_confounder():
    data = weeks(6)
    data["sales"] = 60 + 0.16 * data["tv"] + persistent(np.random.default_rng(7), 150, 0.0)
    found = average_treatment_effect(KEY, data, GRAPH, "tv", contrast="per_unit")
    own = refute(KEY, found, tests=["unobserved_confounder"])
    assert own.tests[0].verdict == "doubtful"
    assert "interval to zero" in own.tests[0].words


@pytest.mark.filterwarnings("error")
def test_refuters_of_dowhy(estimate):
    pytest.importorskip("dowhy")
    names = ["dowhy.placebo_treatment", "dowhy.random_common_cause", "dowhy.data_subset"]
    own = refute(KEY, estimate, tests=names, num_simulations=10)
    assert [test.test for test in own.tests] == names
    slope = estimate.fitted.parameters[0]
    assert own.tests[1].expected == pytest.approx(slope, rel=1e-6)
    assert own.tests[1].values[0] == pytest.approx(slope, rel=0.1)
    assert abs(own.tests[0].values[0]) < 0.5 * abs(slope)


def test_other_estimators_go_through(estimate):
    data = weeks(1)
    for name in ("splines", "log_linear"):
        own = average_treatment_effect(KEY, data, GRAPH, "tv", estimator=name)
        found = refute(KEY, own, num_simulations=12, tests=["placebo_treatment", "data_subset"])
        assert found.verdict == "holds", str(found)


def test_every_finding_at_once(estimate):
    indirect = average_treatment_effect(KEY, weeks(1), GRAPH, "tv", effect="indirect")
    with pytest.raises(DataError) as caught:
        refute(KEY, indirect, tests=["placebo"], num_simulations=1)
    for word in ("placebo_treatment", "simulations", "difference"):
        assert word in str(caught.value)


def test_blocks_keep_weeks_together(estimate):
    rng = np.random.default_rng(0)
    rows = permuted_blocks(rng, estimate.design)
    assert sorted(rows) == list(range(150))
    follows = np.mean((np.diff(rows) % 150) == 1)
    assert follows > 1.0 - 2.0 / block_length(150)
    drawn = block_rows(rng, np.arange(150), 8)
    assert len(drawn) == 150
    assert np.mean((np.diff(drawn) % 150) == 1) > 1.0 - 1.5 / 8


def test_panels_move_dates_together():
    data = pd.concat([weeks(i, 60).assign(geo=f"g{i}") for i in range(3)], ignore_index=True)
    found = average_treatment_effect(KEY, data, GRAPH, "tv", date="week", geo="geo")
    rows = permuted_blocks(np.random.default_rng(1), found.design)
    geos, dates = found.design.geos, found.design.dates
    assert np.array_equal(geos[rows], geos)
    assert all(len(set(dates[rows][dates == date])) == 1 for date in range(60))
    series = persistent_series(np.random.default_rng(1), found.design)
    assert series.mean() == pytest.approx(0.0, abs=1e-12)


def test_multipliers_have_the_covariance_of_their_window():
    draws = wild_multipliers(np.random.default_rng(2), 20_000, 12, 4)
    found = np.cov(draws.T)
    lags = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    # Error of a covariance of 20,000 normal draws: sqrt(2 / 20,000) at most; five of them.
    assert np.abs(found - np.maximum(0, 1 - lags / 4)).max() < 5 * np.sqrt(2 / 20_000)
    assert 0.5 < persistence(persistent(np.random.default_rng(3), 4000, 0.6)) < 0.7
