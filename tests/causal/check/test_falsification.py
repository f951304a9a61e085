"""Graphs against data: equivalence by brute force, level, power, words."""

from __future__ import annotations

import itertools
import math

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmm_bayes import simulate
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.check.falsification import falsify
from mmm_bayes.causal.check.permutation_baseline import _QuickTests, permutation_baseline
from mmm_bayes.causal.check.variables import node_table
from mmm_bayes.causal.graph.equivalence import (
    implied_claims,
    joined,
    same_class,
    turned,
    undecided_edges,
    without,
)
from mmm_bayes.runtime.findings import DataError

SHOP = CausalGraph(
    edges={
        "season": ["tv", "sales"],
        "tv": ["search", "sales"],
        "search": ["sales"],
        "price": ["sales"],
    }
)


def random_graph(rng: np.random.Generator, count: int, hidden: float = 0.0) -> CausalGraph:
    names = [f"v{i}" for i in range(count)]
    order = rng.permutation(names).tolist()
    pairs = list(itertools.combinations(order, 2))
    edges = [pair for pair in pairs if rng.uniform() < 0.5]
    return CausalGraph(names, edges, [pair for pair in pairs if rng.uniform() < hidden])


def linear_table(rng: np.random.Generator, graph: CausalGraph, n: int) -> pd.DataFrame:
    """Every effect is the sum of its causes, some of them turned, and of noise as large as one."""
    values: dict[str, np.ndarray] = {}
    for name in graph.topological_order():
        signs = rng.choice([-1.0, 1.0], len(graph.parents(name)))
        causes = [s * values[c] for s, c in zip(signs, graph.parents(name), strict=True)]
        values[name] = sum(causes, rng.standard_normal(n))
    return pd.DataFrame({name: values[name] for name in graph.nodes})


def class_members(graph: CausalGraph) -> list[CausalGraph]:
    """All DAGs on the same pairs that separate what the graph does, by trying them all."""
    found = []
    for flips in itertools.product([False, True], repeat=len(graph.edges)):
        edges = [e[::-1] if flip else e for e, flip in zip(graph.edges, flips, strict=True)]
        try:
            other = CausalGraph(graph.nodes, edges)
        except ValueError:
            continue
        if separations(other) == separations(graph):
            found.append(other)
    return found


def separations(graph: CausalGraph) -> list[bool]:
    return [
        graph.m_separated(x, y, given)
        for x, y in itertools.combinations(graph.nodes, 2)
        for size in range(len(graph.nodes) - 1)
        for given in itertools.combinations([v for v in graph.nodes if v not in (x, y)], size)
    ]


# Graphs


@pytest.mark.parametrize("seed", range(25))
def test_undecided_edges_are_those_that_differ_within_the_class(seed):
    graph = random_graph(np.random.default_rng(seed), 4)
    members = class_members(graph)
    free = {edge for edge in graph.edges if any(edge not in other.edges for other in members)}
    assert set(undecided_edges(graph)) == free
    for edge in graph.edges:
        if (other := turned(graph, edge)) is not None:
            assert same_class(graph, other) == (other in members)


def test_meeks_third_rule_settles_an_edge():
    edges = [("a", "c"), ("a", "d"), ("c", "b"), ("d", "b"), ("a", "b")]
    assert ("a", "b") not in undecided_edges(CausalGraph(edges=edges))
    assert ("a", "c") in undecided_edges(CausalGraph(edges=edges))


@pytest.mark.parametrize("seed", range(20))
def test_claims_are_implied_and_name_every_pair_that_can_be_separated(seed):
    graph = random_graph(np.random.default_rng(seed), 5, hidden=0.15 * (seed % 2))
    claims = implied_claims(graph)
    assert all(graph.m_separated(claim.x, claim.y, claim.given) for claim in claims)
    assert [{c.x, c.y} for c in claims] == [{i.x, i.y} for i in graph.implied_independences()]


def test_edges_are_turned_added_and_removed():
    chain = CausalGraph(edges=[("a", "b"), ("b", "c"), ("a", "c")], roles={"a": "channel"})
    assert turned(chain, ("a", "c")) is None  # a cycle
    assert turned(chain, ("a", "b")).edges == (("a", "c"), ("b", "a"), ("b", "c"))
    assert joined(without(chain, ("a", "c")), ("c", "a")) is None
    assert joined(without(chain, ("a", "c")), ("a", "c")) == chain


def test_a_turned_edge_of_a_mixed_graph_may_go_unseen():
    graph = CausalGraph(edges=[("a", "b"), ("c", "d")], bidirected=[("d", "e")])
    assert undecided_edges(graph) == (("a", "b"),)  # c -> d <-> e is a collider


# Level and power


def test_right_graphs_meet_objections_no_more_often_than_alpha():
    rng = np.random.default_rng(1)
    objected = []
    for _ in range(80):
        graph = random_graph(rng, 5)
        table = linear_table(rng, graph, 150)
        report = falsify(
            0,
            graph,
            table,
            test="partial_correlation",
            num_permutations=0,
            alpha=0.1,
            suggest=False,
        )
        objected.append(report.objected)
    assert np.mean(objected) <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 80)


def test_wrong_graphs_meet_objections():
    rng = np.random.default_rng(2)
    objected, named = [], []
    while len(objected) < 20:
        graph = random_graph(rng, 5)
        if not graph.edges:
            continue
        table = linear_table(rng, graph, 300)
        edge = graph.edges[rng.integers(len(graph.edges))]
        report = falsify(
            0, without(graph, edge), table, test="partial_correlation", num_permutations=0
        )
        objected.append(report.objected)
        changes = [s.change for s in report.suggestions[:2]]
        named.append(any(f"{a} -> {b}" in c for c in changes for a, b in (edge, edge[::-1])))
    assert np.mean(objected) >= 0.8
    assert np.sum(named) >= 0.7 * np.sum(objected)


def test_a_turned_edge_within_the_class_is_invisible_and_said_to_be():
    table = linear_table(np.random.default_rng(3), CausalGraph(edges=[("a", "b"), ("b", "c")]), 300)
    reports = [
        falsify(0, CausalGraph(["a", "b", "c"], edges), table, test="partial_correlation")
        for edges in ([("a", "b"), ("b", "c")], [("b", "a"), ("b", "c")], [("b", "a"), ("c", "b")])
    ]
    assert not any(report.objected for report in reports)
    assert len({report.p_value for report in reports}) == 1
    assert "a -> b, b -> c." in str(reports[0])
    collider = falsify(0, CausalGraph(["a", "b", "c"], [("a", "b"), ("c", "b")]), table)
    assert collider.objected
    assert {edge.direction for edge in collider.edges} == {"settled"}


def test_the_suggestion_puts_the_missing_edge_back():
    rng = np.random.default_rng(4)
    table = linear_table(rng, SHOP, 300)
    report = falsify(0, without(SHOP, ("tv", "search")), table, test="partial_correlation")
    assert report.objected
    assert report.suggestions[0].change == "add tv -> search"
    assert report.suggestions[0].left == 0
    assert report.suggestions[0].graph == SHOP
    assert "tv ⊥ search" in str(report.objections[0].claim)


def test_edges_without_an_effect_are_not_seen():
    rng = np.random.default_rng(5)
    table = linear_table(rng, without(SHOP, ("price", "sales")), 300)
    report = falsify(0, SHOP, table, test="partial_correlation")
    assert not report.objected
    assert [(edge.cause, edge.effect) for edge in report.unseen] == [("price", "sales")]
    assert str(report.unseen[0]) in str(report)


def test_rows_of_a_series_are_no_more_than_they_are():
    """Random walks objected to as independent rows are not objected to as weeks."""
    rng = np.random.default_rng(6)
    graph = CausalGraph(["a", "b", "c"], [("a", "b")])
    rows, weeks = [], []
    for _ in range(25):
        noise = rng.standard_normal((120, 3))
        for t in range(1, 120):
            noise[t] += 0.85 * noise[t - 1]
        frame = pd.DataFrame(noise, columns=list("abc"))
        frame["b"] += frame["a"]
        frame["date"] = pd.date_range("2020-01-06", periods=120, freq="W-MON")
        correlations = [stats.pearsonr(frame[v], frame["c"]).pvalue for v in "ab"]
        rows.append(2 * min(correlations) <= 0.05)
        report = falsify(
            0, graph, frame, date="date", test="partial_correlation", num_permutations=0
        )
        weeks.append(report.objected)
    assert np.mean(rows) > 0.3
    assert np.mean(weeks) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 25)


# The baseline


def test_quick_tests_are_likelihood_ratios_of_regressions():
    rng = np.random.default_rng(7)
    table = node_table(linear_table(rng, SHOP, 200), SHOP.nodes)
    tests = _QuickTests(table, SHOP.nodes)
    columns = np.concatenate([quick_columns(table, name) for name in SHOP.nodes], axis=1)
    x, y, z = columns[:, 0:2], columns[:, 4:6], columns[:, 2:4]
    basis = np.linalg.qr(z - z.mean(0))[0]
    left = [v - v.mean(0) - basis @ (basis.T @ (v - v.mean(0))) for v in (x, y)]
    both = np.linalg.slogdet(np.cov(np.hstack(left), rowvar=False))[1]
    alone = sum(np.linalg.slogdet(np.cov(v, rowvar=False))[1] for v in left)
    expected = stats.chi2.sf((200 - 1 - 2 - 2.5) * (alone - both), 4)
    assert tests(0, 2, [1]) == pytest.approx(expected, rel=1e-4)


def quick_columns(table, name):
    ranks = stats.rankdata(table.vector(name))
    scores = stats.norm.ppf((ranks - 0.5) / len(ranks))
    return np.stack([scores, (scores**2 - 1) / np.sqrt(2)], axis=1)


def test_the_baseline_counts_objections_to_every_order_of_the_names():
    rng = np.random.default_rng(8)
    graph = CausalGraph(["a", "b", "c", "d"], [("a", "b"), ("b", "c"), ("d", "c")])
    table = node_table(linear_table(rng, graph, 200), graph.nodes)
    found = permutation_baseline(None, graph, table)
    assert found.exhaustive
    assert len(found.permuted) == 24
    tests = _QuickTests(table, graph.nodes)
    counts = []
    for order in itertools.permutations(range(4)):
        name = {v: graph.nodes[i] for v, i in zip(graph.nodes, order, strict=True)}
        other = CausalGraph(graph.nodes, [(name[a], name[b]) for a, b in graph.edges])
        place = graph.nodes.index
        counts.append(
            sum(
                tests(place(c.x), place(c.y), [place(v) for v in c.given]) <= 0.05
                for c in implied_claims(other)
            )
        )
    assert found.permuted.tolist() == counts
    assert found.objections == counts[0]
    assert found.p_value == np.mean(np.array(counts) <= counts[0])
    assert found.better_than == np.mean(np.array(counts) > counts[0])
    assert "shuffled names" in str(found)


def test_many_nodes_need_a_key_for_the_baseline():
    rng = np.random.default_rng(9)
    graph = random_graph(rng, 7)
    table = linear_table(rng, graph, 150)
    plain = falsify(None, graph, table, test="partial_correlation")
    assert plain.baseline is None
    key = jax.random.key(0)
    report = falsify(key, graph, table, num_permutations=60, test="partial_correlation")
    again = falsify(key, graph, table, num_permutations=60, test="partial_correlation")
    assert len(report.baseline.permuted) == 60
    np.testing.assert_array_equal(report.baseline.permuted, again.baseline.permuted)
    assert report.baseline.better_than > 0.8
    with pytest.raises(TypeError, match="JAX key"):
        permutation_baseline(None, graph, node_table(table, graph.nodes))


# Mixed graphs, seasons, tables


def test_hidden_causes_take_claims_away():
    rng = np.random.default_rng(10)
    full = CausalGraph(edges=[("u", "a"), ("u", "b"), ("a", "c"), ("b", "c")])
    table = linear_table(rng, full, 300)
    objected = falsify(0, CausalGraph(["a", "b", "c"], [("a", "c"), ("b", "c")]), table)
    assert objected.objected
    assert "hidden cause a <-> b" in [s.change for s in objected.suggestions]
    projected = falsify(0, full, table.drop(columns="u"), latent=["u"])
    assert projected.graph.bidirected == (("a", "b"),)
    assert projected.independences == ()
    assert not projected.objected
    bow = falsify(0, CausalGraph(edges=[("a", "c")], bidirected=[("a", "c")]), table)
    assert str(bow.edges[0]).startswith("a -> c: ")
    assert bow.summary()["verdict"].tolist() == ["cannot be told"]


def test_a_season_is_known_by_its_role():
    rng = np.random.default_rng(11)
    dates = pd.date_range("2019-01-07", periods=208, freq="W-MON")
    wave = np.sin(2 * np.pi * np.asarray(dates.day_of_year) / 365.25)
    frame = pd.DataFrame({"day": dates, "tv": wave + rng.standard_normal(208)})
    frame["email"] = rng.standard_normal(208)
    frame["sales"] = wave + frame["tv"] + frame["email"] + rng.standard_normal(208)
    edges = [("season", "tv"), ("season", "sales"), ("tv", "sales"), ("email", "sales")]
    right = CausalGraph(edges=edges, roles={"season": "seasonality"})
    assert not falsify(0, right, frame, date="day").objected
    wrong = falsify(0, without(right, ("season", "sales")), frame, date="day")
    assert [str(check.claim) for check in wrong.objections] == ["season ⊥ sales | tv, email"]
    assert wrong.suggestions[0].change == "add season -> sales"
    with pytest.raises(DataError, match="date="):
        falsify(0, right, frame)


def test_media_data_are_a_table_too():
    data = simulate.mmm(jax.random.key(1), num_dates=104, num_channels=2, num_controls=1).data
    target = data.roles.target or "target"
    graph = CausalGraph(edges=[(name, target) for name in (*data.channels, *data.controls)])
    report = falsify(0, graph, data, test="partial_correlation")
    assert report.num_rows == 104
    assert len(report.independences) == 3
    assert {edge.effect for edge in report.edges} == {target}


# Words


def test_the_report_reads_well():
    rng = np.random.default_rng(12)
    table = linear_table(rng, SHOP, 300)
    right = falsify(0, SHOP, table, test="partial_correlation")
    count = len(right.independences)
    for part in (f"{count} independences", "Holm", "5%"):
        assert part in right.verdict
    wrong = falsify(0, without(SHOP, ("tv", "search")), table, test="partial_correlation")
    text = str(wrong)
    found = len(wrong.objections)
    assert text.startswith(wrong.verdict)
    assert f"{found} of the {count + 1} independences" in wrong.verdict
    assert str(wrong.objections[0]) in text
    assert f"add tv -> search: removes {found}, leaves 0" in text
    summary = wrong.summary()
    assert summary["kind"].value_counts().to_dict() == {
        "independence": count + 1, "edge": len(SHOP.edges) - 1
    }  # fmt: skip
    assert (summary["low"] <= summary["effect"]).all()
    assert "<table" in wrong._repr_html_()
    assert "&gt;" in wrong._repr_html_()


def test_what_an_objection_comes_through_is_named():
    rng = np.random.default_rng(13)
    tv = rng.standard_normal(300)
    frame = pd.DataFrame({"tv": tv, "sales": tv**2 + 0.5 * rng.standard_normal(300)})
    report = falsify(0, CausalGraph(["tv", "sales"]), frame)
    assert report.objected
    assert "through the square of tv and sales" in str(report)
    assert "the one independence" in report.verdict


def test_directions_are_hinted_at_where_the_shape_or_time_speaks():
    rng = np.random.default_rng(16)
    cause = rng.uniform(-1, 1, 300)
    effect = cause + cause**3 + 0.3 * rng.uniform(-1, 1, 300)
    frame = pd.DataFrame({"b": effect, "a": cause})
    for edge in (("a", "b"), ("b", "a")):
        report = falsify(0, CausalGraph(["a", "b"], [edge]), frame, hints=True)
        assert "a -> b (p = " in str(report)
    normal = pd.DataFrame({"a": rng.standard_normal(300)})
    normal["b"] = normal["a"] + rng.standard_normal(300)
    plain = CausalGraph(edges=[("a", "b")])
    assert falsify(0, plain, normal, hints=True).edges[0].hint == ""
    normal["b"] = np.roll(normal["a"], 1) + 0.5 * normal["b"]
    normal["date"] = pd.date_range("2020-01-06", periods=300, freq="W-MON")
    for graph in (plain, turned(plain, ("a", "b"))):
        hint = falsify(0, graph, normal, date="date", hints=True).edges[0].hint
        assert hint.startswith("the past of a predicts b")


def test_spend_that_follows_sales_comes_before_its_cause():
    rng = np.random.default_rng(17)
    tv, sales = np.zeros(250), np.zeros(250)
    for t in range(1, 250):
        tv[t] = 0.6 * sales[t - 1] + rng.standard_normal()
        sales[t] = 0.5 * tv[t] + rng.standard_normal()
    dates = pd.date_range("2020-01-06", periods=250, freq="W-MON")
    frame = pd.DataFrame({"week": dates, "tv": tv, "sales": sales})
    graph = CausalGraph(edges=[("tv", "sales")])
    assert not falsify(0, graph, frame, date="week").independences
    report = falsify(0, graph, frame, date="week", time_order=True)
    assert [str(check.claim) for check in report.objections] == ["past of sales ⊥ tv | past of tv"]
    assert "time order" in report.summary()["kind"].tolist()
    assert not falsify(0, graph, frame.drop(columns="week"), time_order=True).independences


def test_time_order_holds_in_right_graphs_and_not_in_turned_ones():
    rng = np.random.default_rng(18)
    dates = pd.date_range("2020-01-06", periods=200, freq="W-MON")
    right, wrong = [], []
    for _ in range(20):
        tv = rng.gamma(1.0, 1.0, 200)
        carried = np.convolve(tv, 0.6 ** np.arange(12))[:200]
        frame = pd.DataFrame({"d": dates, "tv": tv, "sales": carried + rng.standard_normal(200)})
        for found, edge in ((right, ("tv", "sales")), (wrong, ("sales", "tv"))):
            graph = CausalGraph(["tv", "sales"], [edge])
            report = falsify(
                0, graph, frame, date="d", time_order=True, suggest=False, num_permutations=0
            )
            found.append(report.objected)
    assert np.mean(right) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 20)
    assert np.mean(wrong) >= 0.9


def test_other_tests_and_adjustments_can_be_taken():
    rng = np.random.default_rng(14)
    table = linear_table(rng, SHOP, 200)
    plain = falsify(0, SHOP, table, test="partial_correlation", adjustment="none")
    for name, adjustment in (("chi_squared", "bh"), ("kernel", "by")):
        report = falsify(0, SHOP, table, test=name, adjustment=adjustment, num_permutations=0)
        assert report.test == name
        assert all(c.p_adjusted >= c.result.p_value for c in report.independences)
    assert [c.p_adjusted for c in plain.independences] == [
        c.result.p_value for c in plain.independences
    ]

    def never(x, y, z, *, dates=None, geos=None):
        from mmm_bayes.causal.check.independence_result import nothing_left

        return nothing_left("never", len(x), "x")

    assert falsify(0, SHOP, table, test=never).test == "never"


def test_wrong_questions_are_refused():
    table = linear_table(np.random.default_rng(15), SHOP, 50)
    with pytest.raises(ValueError, match="alpha should be"):
        falsify(0, SHOP, table, alpha=5)
    with pytest.raises(ValueError, match="test should be one of"):
        falsify(0, SHOP, table, test="magic")
    with pytest.raises(DataError, match="'tv' has no column"):
        falsify(0, SHOP, table.drop(columns=["tv", "price"]))
    with pytest.raises(DataError, match="8 rows"):
        falsify(0, SHOP, table.head(8))


def test_options_of_a_test_are_a_mapping():
    rng = np.random.default_rng(21)
    table = linear_table(rng, SHOP, 200)
    settings = {"test": "chi_squared", "num_permutations": 0, "suggest": False}
    new = falsify(0, SHOP, table, test_options={"bins": 2}, **settings)
    with pytest.warns(DeprecationWarning, match="test_options"):
        old = falsify(0, SHOP, table, bins=2, **settings)
    assert new.summary().equals(old.summary())
    assert not new.summary().equals(falsify(0, SHOP, table, **settings).summary())
    with pytest.raises(TypeError, match="'alpha'"):
        falsify(0, SHOP, table, alfa=0.1)
