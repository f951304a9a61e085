"""Sensitivity to hidden confounders against the algebra, and to the graph against enumeration."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.effects.effects import average_treatment_effect
from mmm_bayes.causal.effects.graph_sensitivity import graph_sensitivity
from mmm_bayes.causal.effects.sensitivity import (
    as_strong_as,
    bias,
    e_value,
    robustness_value,
    sensitivity,
)
from mmm_bayes.runtime.findings import DataError
from tests.causal.effect_tables import GRAPH, TOTAL, weeks

KEY = jax.random.key(0)


def ate(data, graph=GRAPH, **settings):
    return average_treatment_effect(KEY, data, graph, "tv", **settings)


@pytest.fixture(scope="module")
def estimate():
    return ate(weeks(1), contrast="per_unit")


class TestConfounder:
    def test_bias_formula_is_exact_for_a_variable_left_out(self):
        # Cinelli and Hazlett: leaving season out biases by exactly what its partial R2 say.
        data = weeks(2)
        full = ate(data, contrast="per_unit", adjustment=["season", "price"])
        with pytest.warns(UserWarning, match="season"):
            short = ate(data, contrast="per_unit", adjustment=["price"])
        own = sensitivity(full, benchmarks={"season": ["season"]}, times=[1.0])
        x = np.column_stack([data[["tv", "price"]], np.ones(150)])
        rest = data["sales"] - x @ np.linalg.lstsq(x, data["sales"], rcond=None)[0]
        of_tv = data["tv"] - x[:, 1:] @ np.linalg.lstsq(x[:, 1:], data["tv"], rcond=None)[0]
        error = np.sqrt(float(rest @ rest) / 147 / float(of_tv @ of_tv))
        r_d = _partial_r2(data["tv"], data[["price"]], data["season"])
        r_y = _partial_r2(data["sales"], data[["price", "tv"]], data["season"])
        moved = bias(error, 147, r_d, r_y)
        assert abs(short.value - full.value) == pytest.approx(moved, rel=1e-8)
        assert own.benchmarks["with_dose"][0] > 0

    def test_robustness_value_takes_the_estimate_to_zero(self, estimate):
        own = sensitivity(estimate)
        x = np.column_stack([estimate.design.dose, estimate.design.covariates, np.ones(150)])
        y = estimate.design.outcome
        theta = np.linalg.lstsq(x, y, rcond=None)[0]
        rest = y - x @ theta
        df = 150 - x.shape[1]
        error = np.sqrt(np.linalg.inv(x.T @ x)[0, 0] * (rest @ rest) / df)
        left = estimate.value - bias(error, df, own.robustness_value, own.robustness_value)
        assert left == pytest.approx(0.0, abs=1e-6)
        t = theta[0] / error
        assert own.partial_r2 == pytest.approx(t**2 / (t**2 + df), rel=1e-8)
        assert own.robustness_value_interval < own.robustness_value

    def test_published_example(self):
        # Cinelli and Hazlett (2020), table 1: t = 4.184, df = 783.
        assert robustness_value(4.184, 1.0, 783) == pytest.approx(0.1388, abs=5e-4)
        assert robustness_value(0.0, 1.0, 783) == 0.0

    def test_e_value_closed_form(self):
        assert e_value(0.0) == 1.0
        ratio = np.exp(0.91 * 0.4)
        assert e_value(-0.4) == pytest.approx(ratio + np.sqrt(ratio * (ratio - 1)))

    def test_benchmark_of_independent_covariate(self):
        # With no association with the dose, a confounder once as strong has the same odds.
        r_d, r_y = as_strong_as(0.0, 0.2, 1.0)
        assert (r_d, r_y) == (0.0, pytest.approx(0.25))
        assert as_strong_as(0.1, 0.2, 1.0)[0] == pytest.approx(0.1 / 0.9)

    def test_contour_and_words(self, estimate):
        own = sensitivity(estimate)
        assert own.contour.value[0, 0] == pytest.approx(estimate.value)
        assert (np.diff(own.contour.value, axis=0) <= 0).all()
        assert (np.diff(own.contour.value, axis=1) <= 0).all()
        assert own.contour.bound[0, 0] == pytest.approx(estimate.interval[0])
        assert set(own.benchmarks["node"]) == {"season", "price"}
        assert f"{100 * own.robustness_value:.1f}%" in str(own)
        assert "season" in str(own)
        assert "<table" in own._repr_html_()

    def test_threshold_of_break_even_is_nearer(self):
        found = ate(weeks(1))
        to_zero, to_one = sensitivity(found), sensitivity(found, threshold=1 / found.money_factor)
        assert to_one.robustness_value < to_zero.robustness_value

    def test_negative_effects_mirror(self):
        data = weeks(1)
        flipped = data.assign(sales=200 - data["sales"])
        one = sensitivity(ate(data, contrast="per_unit"))
        other = sensitivity(ate(flipped, contrast="per_unit"))
        assert other.robustness_value == pytest.approx(one.robustness_value, rel=1e-8)
        assert other.contour.value == pytest.approx(-one.contour.value, rel=1e-8)

    def test_wrong_benchmark(self, estimate):
        with pytest.raises(DataError, match=r"No covariate.*snow.*season"):
            sensitivity(estimate, benchmarks={"weather": ["snow"]})


UNCERTAIN = {("season", "tv"): 0.9, ("tv", "search"): 0.6, ("search", "tv"): 0.3}


@pytest.fixture(scope="module")
def found():
    return graph_sensitivity(
        KEY, weeks(3, 400), GRAPH, "tv", edge_probabilities=UNCERTAIN, contrast="per_unit"
    )


class TestGraph:
    def test_changes_of_every_edge(self, found):
        table = found.table.set_index("change")
        assert list(table.index) == [
            "drop season -> tv", "flip season -> tv", "drop tv -> search", "flip tv -> search",
        ]  # fmt: skip
        # Flipped, search is a confounder: adjusting for it leaves the direct effect.
        assert "search" in table.loc["flip tv -> search", "adjusted_for"]
        assert table.loc["flip tv -> search", "value"] == pytest.approx(1.0, abs=0.3)
        assert table.loc["drop tv -> search", "probability"] == pytest.approx(0.1)
        assert found.base.value == pytest.approx(TOTAL, abs=4 * found.base.standard_error)

    def test_average_is_that_of_all_graphs(self, found):
        weights, values, errors = [], [], []
        for season, p in ((True, 0.9), (False, 0.1)):
            for pair, q in ((("tv", "search"), 0.6), (("search", "tv"), 0.3), (None, 0.1)):
                edges = [e for e in GRAPH.edges if e not in UNCERTAIN]
                edges += [("season", "tv")] if season else []
                edges += [pair] if pair else []
                own = ate(
                    weeks(3, 400), CausalGraph(GRAPH.nodes, edges, roles=GRAPH.roles),
                    contrast="per_unit",
                )  # fmt: skip
                weights.append(p * q)
                values.append(own.value)
                errors.append(own.standard_error)
        mean = np.dot(weights, values)
        assert found.mean == pytest.approx(mean)
        assert found.between == pytest.approx(np.sqrt(np.dot(weights, (values - mean) ** 2)))
        assert found.within == pytest.approx(np.sqrt(np.dot(weights, np.square(errors))))
        assert found.low < found.mean < found.high
        assert "on average over graphs" in str(found)

    def test_cycles_and_lost_paths(self):
        graph = CausalGraph(
            edges=[("tv", "search"), ("search", "sales"), ("tv", "visits"), ("visits", "search")],
            roles={"tv": "channel", "sales": "target"},
        )
        data = weeks(4).assign(visits=np.random.default_rng(0).normal(size=150))
        found = graph_sensitivity(
            KEY, data, graph, "tv",
            edge_probabilities={("tv", "search"): 0.5, ("search", "sales"): 0.8},
        )  # fmt: skip
        table = found.table.set_index("change")
        assert table.loc["flip tv -> search", "note"] == "makes a cycle"
        assert "zero" in table.loc["drop search -> sales", "note"]
        assert found.no_effect == pytest.approx(0.2)

    def test_unidentified_graphs_are_counted(self):
        graph = CausalGraph(
            edges=[("tv", "sales"), ("u", "sales"), ("u", "tv")],
            roles={"tv": "channel", "sales": "target"},
        )
        found = graph_sensitivity(
            KEY, weeks(5), graph, "tv", edge_probabilities={("u", "tv"): 0.25}, latent=["u"],
        )  # fmt: skip
        assert found.base is None
        assert found.unidentified == pytest.approx(0.25)

    def test_wrong_edges_are_all_told(self):
        with pytest.raises(DataError) as caught:
            graph_sensitivity(
                KEY, weeks(1), GRAPH, "tv",
                edge_probabilities={("tvs", "sales"): 0.5, ("price", "sales"): 1.5},
            )  # fmt: skip
        assert "tvs" in str(caught.value)
        assert "1.5" in str(caught.value)


def _partial_r2(y, given, own):
    x = np.column_stack([given, np.ones(len(y))])

    def rest(v):
        return v - x @ np.linalg.lstsq(x, v, rcond=None)[0]

    return float(np.corrcoef(rest(y), rest(pd.Series(own).to_numpy()))[0, 1] ** 2)
