"""Scores, draws and best graphs against enumeration of all acyclic graphs."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.discovery.exact import best_graph, count_orders, dense, draw_graphs
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.order import draw_graphs_by_order, greedy_graph
from mmm_bayes.causal.discovery.posterior import least_errors, pooled, prior_probabilities
from mmm_bayes.causal.discovery.rows import (
    block_rows,
    default_block,
    effective_sample_ratio,
    within_geos,
)
from mmm_bayes.causal.discovery.score import LocalScores, fitted_set, local_scores, scores_near
from mmm_bayes.causal.graph.checks import GraphError, find_cycles


def is_acyclic(edges: np.ndarray) -> bool:
    names = [str(i) for i in range(len(edges))]
    return not find_cycles(names, [(str(i), str(j)) for i, j in np.argwhere(edges)])


def all_graphs(d: int) -> list[np.ndarray]:
    pairs = list(itertools.combinations(range(d), 2))
    found = []
    for states in itertools.product(range(3), repeat=len(pairs)):
        edges = np.zeros((d, d), bool)
        for (i, j), state in zip(pairs, states, strict=True):
            edges[i, j], edges[j, i] = state == 1, state == 2
        if is_acyclic(edges):
            found.append(edges)
    return found


def total(table: np.ndarray, edges: np.ndarray) -> float:
    masks = (edges * (1 << np.arange(len(edges)))[:, None]).sum(0)
    return float(table[np.arange(len(edges)), masks].sum())


def random_scores(seed: int, d: int = 4, spread: float = 1.5) -> LocalScores:
    rng = np.random.default_rng(seed)
    sets = tuple(np.array([m for m in range(1 << d) if not m >> i & 1]) for i in range(d))
    values = tuple(rng.normal(0.0, spread, len(found)) for found in sets)
    return LocalScores(tuple("abcdefgh"[:d]), sets, values)


ALL_FOUR = all_graphs(4)


def test_there_are_543_acyclic_graphs_of_four_nodes() -> None:
    assert len(ALL_FOUR) == 543


@pytest.mark.parametrize("seed", range(5))
def test_best_graph_is_that_of_enumeration(seed: int) -> None:
    table = dense(random_scores(seed))
    edges, score = best_graph(table)
    scores = [total(table, graph) for graph in ALL_FOUR]
    assert score == pytest.approx(max(scores), abs=1e-9)
    assert np.array_equal(edges, ALL_FOUR[int(np.argmax(scores))])


def test_orders_are_counted_as_by_enumeration() -> None:
    graphs = np.array(ALL_FOUR[::37])
    expected = [
        sum(all(order.index(i) < order.index(j) for i, j in np.argwhere(graph)) for order in
            itertools.permutations(range(4)))
        for graph in graphs
    ]  # fmt: skip
    assert count_orders(graphs).tolist() == expected


def exact_probabilities(table: np.ndarray, by_orders: bool) -> np.ndarray:
    logs = np.array([total(table, graph) for graph in ALL_FOUR])
    weights = np.exp(logs - logs.max())
    if by_orders:
        weights *= count_orders(np.array(ALL_FOUR))
    return np.einsum("g,gij->ij", weights / weights.sum(), np.array(ALL_FOUR))


def test_weighted_draws_have_the_probabilities_of_enumeration() -> None:
    table = dense(random_scores(7))
    graphs, weights = draw_graphs(np.random.default_rng(0), table, 20_000)
    found = np.einsum("k,kij->ij", weights, graphs)
    # Weights spread over a factor of 24: at worst an effective size of a tenth of the draws.
    size = 1.0 / (weights**2).sum()
    expected = exact_probabilities(table, by_orders=False)
    assert size > 2_000
    assert np.abs(found - expected).max() < 4.5 * 0.5 / np.sqrt(size)
    assert all(is_acyclic(graph) for graph in graphs[:200])


def test_a_chain_over_orders_has_the_probabilities_of_enumeration() -> None:
    scores = random_scores(8)
    graphs, _ = draw_graphs_by_order(np.random.default_rng(0), scores, 4_000)
    expected = exact_probabilities(dense(scores), by_orders=True)
    # Neighbouring draws share an order most of the time: an effective size of a tenth, say.
    assert np.abs(graphs.mean(0) - expected).max() < 4.5 * 0.5 / np.sqrt(400)


def test_priors_and_rules_enter_the_scores_of_sets() -> None:
    scores = random_scores(3)
    weights = np.random.default_rng(1).normal(size=(4, 4))
    weights[0, 1] = -np.inf
    required = np.zeros((4, 4), bool)
    required[2, 3] = True
    under = dense(scores.weighed(weights).requiring(required))
    plain = dense(scores)
    for graph in ALL_FOUR[::11]:
        expected = total(plain, graph) + weights[graph].sum()
        expected = -np.inf if not graph[2, 3] else expected
        assert total(under, graph) == pytest.approx(expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_least_errors_obeys_rules_and_has_no_cycle(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    raw = rng.uniform(size=(d, d)) * (1 - np.eye(d))
    probabilities = raw / np.maximum(raw + raw.T, 1.0)
    order = rng.permutation(d)
    required = np.zeros((d, d), bool)
    for i, j in itertools.combinations(order, 2):
        required[i, j] = rng.random() < 0.2
    forbidden = (rng.random((d, d)) < 0.2) & ~required | np.eye(d, dtype=bool)
    for edges in (
        least_errors(probabilities, required, forbidden),
        greedy_graph(2 * probabilities - 0.8, required, forbidden),
    ):
        assert is_acyclic(edges)
        assert edges[required].all()
        assert not edges[forbidden].any()


def test_least_errors_is_that_of_enumeration() -> None:
    raw = np.random.default_rng(5).uniform(size=(4, 4)) * (1 - np.eye(4))
    p = raw / np.maximum(raw + raw.T, 1.0)
    none = 1.0 - p - p.T
    upper = np.triu(np.ones((4, 4), bool), 1)

    def errors(graph: np.ndarray) -> float:
        right = np.where(graph, p, 0.0) + np.where(graph.T, p.T, 0.0)
        right = np.where(graph | graph.T, right, none)
        return float((1.0 - right)[upper].sum())

    nothing = np.zeros((4, 4), bool)
    found = least_errors(p, nothing, np.eye(4, dtype=bool))
    assert errors(found) == pytest.approx(min(map(errors, ALL_FOUR)))


def test_rules_that_no_graph_obeys_are_told() -> None:
    required = np.zeros((2, 2), bool)
    required[0, 1] = True
    with pytest.raises(GraphError, match="No acyclic graph obeys"):
        least_errors(np.zeros((2, 2)), required, required | np.eye(2, dtype=bool))


def nonlinear(rng: np.random.Generator, n: int = 300) -> NodeTable:
    x = rng.normal(size=n)
    y = np.tanh(2.0 * x) + 0.2 * rng.normal(size=n)
    z = rng.normal(size=n)
    return NodeTable({"x": x[:, None], "y": y[:, None], "z": z[:, None]})


def test_scores_tell_cause_from_effect_and_leave_out_what_has_none() -> None:
    scores = local_scores(nonlinear(np.random.default_rng(0)), max_parents=2)
    pairs = zip(scores.sets, scores.values, strict=True)
    by_set = [dict(zip(sets.tolist(), values, strict=True)) for sets, values in pairs]
    x_to_y = by_set[0][0b000] + by_set[1][0b001]
    y_to_x = by_set[1][0b000] + by_set[0][0b010]
    assert x_to_y > y_to_x + 5.0
    assert x_to_y > by_set[0][0] + by_set[1][0] + 50.0
    # A cause of nothing costs a little: the prior allows for it.
    assert by_set[1][0b101] < by_set[1][0b001]


def test_noise_that_is_not_normal_tells_directions_of_straight_lines() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, 400)
    y = x + rng.uniform(-0.7, 0.7, 400)
    scores = local_scores(NodeTable({"x": x[:, None], "y": y[:, None]}), max_parents=1)
    assert scores.values[0][0] + scores.values[1][1] > scores.values[1][0] + scores.values[0][1]


def test_score_of_one_set_is_that_among_all() -> None:
    table = nonlinear(np.random.default_rng(2), 80)
    scores = local_scores(table, max_parents=2)
    position = scores.sets[1].tolist().index(0b101)
    found, residual = fitted_set(table, "y", ["x", "z"])
    assert found == pytest.approx(scores.values[1][position], rel=1e-6)
    assert residual.shape == (80,)


def test_large_sets_near_those_that_experts_state_are_scored() -> None:
    rng = np.random.default_rng(3)
    table = NodeTable({name: rng.normal(size=(60, 1)) for name in "abcde"})
    few = local_scores(table, max_parents=1)
    scores = scores_near(table, {"e": ["a", "b", "c", "d"]}, few)
    assert len(scores.sets[4]) == len(np.unique(scores.sets[4])) == 5 + 1 + 4 + 6
    every = local_scores(table, max_parents=4)
    position = every.sets[4].tolist().index(0b01011)
    assert every.values[4][position] == scores.values[4][scores.sets[4] == 0b01011]
    assert scores_near(table, {"e": ["a"]}, every) is every
    assert 0b01111 in scores.sets[4]
    assert 0b00011 in scores.sets[4]
    assert max(map(int.bit_count, scores.sets[0].tolist())) == 1


def test_a_season_has_no_causes() -> None:
    rng = np.random.default_rng(4)
    table = NodeTable({"season": rng.normal(size=(60, 4)), "y": rng.normal(size=(60, 1))})
    scores = local_scores(table, max_parents=1)
    assert scores.sets[0].tolist() == [0]
    assert scores.sets[1].tolist() == [0, 1]


def test_blocks_keep_dates_together_over_geos() -> None:
    dates = pd.date_range("2024-01-01", periods=20, freq="W")
    geos = np.repeat([0, 1], 20)
    table = NodeTable({"x": np.arange(40.0)[:, None]}, dates.append(dates), geos)
    rows, counts = block_rows(np.random.default_rng(0), table, 5)
    assert len(rows) == 40
    taken = Counter(rows.tolist())
    assert all(taken[row] == taken[row + 20] for row in range(20))
    assert counts.tolist() == [taken[row] for row in rows.tolist()]
    one = NodeTable({"x": np.arange(20.0)[:, None]}, dates)
    rows, counts = block_rows(np.random.default_rng(0), one, 5)
    assert ((np.diff(rows.reshape(4, 5)) - 1) % 20 == 0).all()
    assert counts.tolist() == [Counter(rows.tolist())[row] for row in rows.tolist()]
    assert default_block(one) == 3
    assert default_block(NodeTable({"x": np.zeros((20, 1))})) == 1


def test_autocorrelated_rows_lower_the_effective_sample_ratio() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(4_000, 1))
    series = noise.copy()
    for t in range(1, len(series)):
        series[t] += 0.6 * series[t - 1]
    assert effective_sample_ratio(noise, None) == pytest.approx(1.0, abs=0.08)
    # (1 - 0.6) / (1 + 0.6); the autocorrelation has a standard error of 0.013.
    assert effective_sample_ratio(series, None) == pytest.approx(0.25, abs=0.04)


def test_geos_are_put_on_one_scale() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 1)) * np.repeat([1.0, 50.0], 20)[:, None] + 7.0
    found = within_geos(NodeTable({"x": values}, None, np.repeat([0, 1], 20))).columns["x"]
    for rows in (slice(0, 20), slice(20, 40)):
        assert found[rows].mean() == pytest.approx(0.0, abs=1e-12)
        assert found[rows].std() == pytest.approx(1.0)


def test_pooling_multiplies_the_odds_of_pairs() -> None:
    shares = np.array([[0.0, 0.3], [0.2, 0.0]])
    odds, _ = Knowledge(required=[("a", "b")]).prior(("a", "b"), 0.05)
    # 0.8 / 0.2 over 0.05 is a factor of 80; the reversed edge and none keep their shares.
    whole = 0.3 * 80 + 0.2 + 0.5
    found = pooled(shares, odds, 0.05)
    assert found[0, 1] == pytest.approx(0.3 * 80 / whole)
    assert found[1, 0] == pytest.approx(0.2 / whole)


def test_prior_probabilities_are_those_of_pairs() -> None:
    odds, ruled = Knowledge(required=[("a", "b")]).prior(("a", "b"), 0.05)
    found = prior_probabilities(odds)
    assert found[0, 1] == pytest.approx(4.0 / 5.05)
    assert found[1, 0] == pytest.approx(0.05 / 5.05)
    assert not ruled.any()
