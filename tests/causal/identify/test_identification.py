"""Identification against brute force on random graphs, and on graphs of the textbooks."""

from __future__ import annotations

import pickle

import networkx as nx
import numpy as np
import pytest

from benchmarks import brute_graphs as brute
from mmm_bayes import CausalGraph
from mmm_bayes.causal.graph.implied import Independence
from mmm_bayes.causal.graph.separation import open_path, open_paths
from mmm_bayes.causal.identify import adjustment_findings
from mmm_bayes.causal.identify.criteria import IdentificationError
from mmm_bayes.causal.identify.id_algorithm import id_formula, is_identifiable
from mmm_bayes.causal.identify.instruments import Instrument
from mmm_bayes.errors import GraphError

M_BIAS = CausalGraph(
    ["x", "y", "a", "b", "m"], [("a", "x"), ("a", "m"), ("b", "m"), ("b", "y"), ("x", "y")]
)
# Everything of M-bias, and m confounds besides.
BUTTERFLY = CausalGraph(M_BIAS.nodes, [*M_BIAS.edges, ("m", "x"), ("m", "y")])
FRONT_DOOR = CausalGraph(edges=[("x", "m"), ("m", "y")], bidirected=[("x", "y")])
INSTRUMENT = CausalGraph(edges=[("z", "x"), ("x", "y")], bidirected=[("x", "y")])
NAPKIN = CausalGraph(
    edges=[("w", "r"), ("r", "x"), ("x", "y")], bidirected=[("w", "x"), ("w", "y")]
)
BOW = CausalGraph(edges=[("x", "y")], bidirected=[("x", "y")])
MEDIA = CausalGraph(
    edges={
        "season": ["tv", "digital", "sales"],
        "tv": ["search", "sales"],
        **{channel: ["sales"] for channel in ("digital", "search", "email")},
    }
)


def graphs(count: int, most: int) -> list[tuple[CausalGraph, np.random.Generator]]:
    """Random DAGs and mixed graphs in turn, each with a generator of its own."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng([11, seed])
        found.append((brute.random_graph(rng, bool(seed % 2), 4, most), rng))
    return found


@pytest.mark.parametrize("effect", ["total", "direct"])
def test_adjustment_sets_are_those_of_the_definition(effect) -> None:
    for graph, rng in graphs(40, 6):
        own, names = brute.Brute.of(graph), graph.nodes
        model = brute.LinearModel(own, rng)
        i, j = rng.choice(len(names), 2, replace=False)
        x, y = names[i], names[j]
        valid = own.adjusting(i, j, effect)
        wanted = model.effects[i, j] if effect == "total" else model.edges[i, j]
        for bits in np.flatnonzero(own.without_ends(i, j)):
            given = brute.members(bits, names)
            assert graph.is_adjustment_set(x, y, given, effect) == valid[bits]
            # The slope of a random linear model of the graph is the effect just as often.
            slope = model.slope(i, j, [names.index(v) for v in given])
            assert (abs(slope - wanted) < 1e-7) == valid[bits]
        sets = {brute.members(bits, names) for bits in np.flatnonzero(valid)}
        least = {brute.members(bits, names) for bits in brute.least(valid)}
        every = graph.adjustment_sets(x, y, effect=effect, minimal=False)
        assert set(every) == sets
        assert len(every) == len(sets)
        assert [len(own) for own in every] == sorted(len(own) for own in every)
        assert set(graph.adjustment_sets(x, y, effect=effect)) == least
        if sets:
            one = graph.adjustment_set(x, y, effect=effect)
            assert one in least
            assert len(one) == min(map(len, least))
        else:
            with pytest.raises(IdentificationError, match="an experiment on"):
                graph.adjustment_set(x, y, effect=effect)


def test_required_forbidden_and_hidden_nodes_are_kept_to() -> None:
    for graph, rng in graphs(40, 7):
        own, names = brute.Brute.of(graph), graph.nodes
        i, j, need, out = rng.choice(len(names), 4, replace=False)
        x, y = names[i], names[j]
        valid = own.adjusting(i, j, "total") & own.without_ends(out)
        valid &= own.sets >> need & 1 == 1
        least = {brute.members(bits, names) for bits in brute.least(valid)}
        limits = {"required": names[need], rng.choice(["latent", "forbidden"]): names[out]}
        assert set(graph.adjustment_sets(x, y, **limits)) == least
        if least:
            assert len(graph.adjustment_set(x, y, **limits)) == min(map(len, least))
        else:
            with pytest.raises(IdentificationError):
                graph.adjustment_set(x, y, **limits)


def test_several_treatments_are_set_together() -> None:
    # In a linear model the slopes are those of setting all, where and only where a set is valid.
    seen = set()
    for graph, rng in graphs(60, 6):
        own, names = brute.Brute.of(graph), graph.nodes
        model = brute.LinearModel(own, rng)
        i, k, j = rng.choice(len(names), 3, replace=False)
        kept = model.edges.copy()
        kept[:, [i, k]] = 0.0
        wanted = np.linalg.inv(np.eye(len(names)) - kept)[[i, k], j]
        for bits in np.flatnonzero(own.without_ends(i, j, k)):
            given = [v for v in range(len(names)) if bits >> v & 1]
            slopes = [model.slope(i, j, [k, *given]), model.slope(k, j, [i, *given])]
            right = np.allclose(slopes, wanted, atol=1e-7)
            treatment, known = [names[i], names[k]], brute.members(bits, names)
            assert graph.is_adjustment_set(treatment, names[j], known) == right
            seen.add(right)
    assert seen == {True, False}


@pytest.mark.parametrize("most_paths", [adjustment_findings._MOST_LOOKED_AT, 1])
@pytest.mark.parametrize("effect", ["total", "direct"])
def test_every_trap_is_named(effect, most_paths, monkeypatch) -> None:
    """Also in graphs with so many open paths that not all of them are looked at."""
    monkeypatch.setattr(adjustment_findings, "_MOST_LOOKED_AT", most_paths)
    traps = 0
    for graph, rng in graphs(50, 6):
        own, names = brute.Brute.of(graph), graph.nodes
        i, j = rng.choice(len(names), 2, replace=False)
        valid, biasing = own.adjusting(i, j, effect), own.traps(i, j, effect)
        for bits in np.flatnonzero(own.without_ends(i, j)):
            given = brute.members(bits, names)
            report = graph.explain_adjustment(names[i], names[j], given, effect)
            assert report.valid == valid[bits]
            assert bool(report.errors) == (not valid[bits])
            named = {finding.where for finding in report.errors}
            wanted = {v for v in given if biasing[names.index(v)][bits]}
            assert wanted <= named
            traps += len(wanted)
            if report.instead is not None:
                assert graph.is_adjustment_set(names[i], names[j], report.instead, effect)
    assert traps > 100


def test_other_ways_are_those_of_the_definition() -> None:
    found = []
    for graph, rng in graphs(60, 6):
        own, names = brute.Brute.of(graph), graph.nodes
        i, j = rng.choice(len(names), 2, replace=False)
        x, y = names[i], names[j]
        sets = [brute.members(bits, names) for bits in own.sets]
        doors = [
            bits for bits in np.flatnonzero(own.without_ends(i, j))
            if own.is_front_door(i, j, [names.index(v) for v in sets[bits]])
        ]  # fmt: skip
        for bits in np.flatnonzero(own.without_ends(i, j)):
            assert graph.is_front_door_set(x, y, sets[bits]) == (bits in doors)
        door = graph.front_door_set(x, y)
        if own.below[i] >> j & 1:
            assert (door is None) == (not doors)
            assert door is None or door in [sets[bits] for bits in brute.least_of(doors)]
        else:
            assert door is None
        instruments = {one.node: one.given for one in graph.instruments(x, y)}
        for k, z in enumerate(names):
            if k in (i, j):
                continue
            possible, ancestral = own.instrument_given(k, i, j)
            for bits in np.flatnonzero(own.without_ends(i, j, k)):
                assert graph.is_instrument(z, x, y, sets[bits]) == possible[bits]
            if own.below[i] >> k & 1:
                assert z not in instruments
            else:
                assert (z in instruments) == ancestral.any()
                assert z not in instruments or graph.is_instrument(z, x, y, instruments[z])
        found += [door is not None, bool(instruments)]
    assert set(found) == {True, False}


def test_formulas_give_the_effect_in_models_of_the_graph() -> None:
    strategies = set()
    for graph, rng in graphs(40, 5):
        model = brute.BinaryModel(graph, rng)
        for x, y in [(x, y) for x in graph.nodes for y in graph.nodes if x != y]:
            formula = id_formula(graph, x, y)
            told = graph.identify(x, y)
            strategies.add(told.strategy)
            if formula is None:
                assert not told.identified
                assert told.adjustment is None
                assert told.front_door is None
            else:
                assert told.identified
                value = model.value(formula, x, y)
                np.testing.assert_allclose(value, model.truth(x, y), atol=1e-10)
    assert {"no effect", "back door", "not identified"} <= strategies


def test_formulas_of_textbooks() -> None:
    rng = np.random.default_rng(5)
    # Shpitser and Pearl (2008): identified ones with nested districts, besides the napkin.
    nested = CausalGraph(
        ["w1", "w2", "x", "y1", "y2"],
        [("w1", "x"), ("x", "y1"), ("w2", "y2")],
        [("w1", "w2"), ("w2", "x"), ("w1", "y1"), ("w1", "y2")],
    )
    for graph, y in ((NAPKIN, "y"), (FRONT_DOOR, "y"), (nested, "y1")):
        model = brute.BinaryModel(graph, rng)
        formula = id_formula(graph, "x", y)
        assert formula is not None
        np.testing.assert_allclose(model.value(formula, "x", y), model.truth("x", y), atol=1e-10)
    assert "/" in str(id_formula(NAPKIN, "x", "y"))
    for graph in (BOW, INSTRUMENT):
        assert not is_identifiable(graph, "x", "y")
    # A hidden node in the graph is a bidirected edge.
    drawn = CausalGraph(edges={"u": ["x", "y"], "x": "m", "m": "y"})
    assert id_formula(drawn, "x", "y", latent="u") == id_formula(FRONT_DOOR, "x", "y")


def test_projection_keeps_separations_and_effects() -> None:
    for graph, rng in graphs(60, 7):
        names = graph.nodes
        hidden = [v for v in names if rng.uniform() < 0.3][: len(names) - 2]
        small = graph.project_out(hidden)
        kept = small.nodes
        assert set(kept) == set(names) - set(hidden)
        for v in kept:
            assert set(small.ancestors(v)) == set(graph.ancestors(v)) - set(hidden)
        for _ in range(20):
            sides = rng.integers(0, 4, len(kept))
            x, y, z = ([v for v, s in zip(kept, sides, strict=True) if s == k] for k in (1, 2, 3))
            assert small.m_separated(x, y, z) == graph.m_separated(x, y, z)
        x, y = kept[0], kept[1]
        all_small = small.adjustment_sets(x, y, minimal=False)
        assert all_small == graph.adjustment_sets(x, y, minimal=False, latent=hidden)


def test_implied_independences_hold_with_smallest_sets() -> None:
    for graph, _ in graphs(60, 7):
        own, names = brute.Brute.of(graph), graph.nodes
        implied = {(names.index(one.x), names.index(one.y)): one
                   for one in graph.implied_independences()}  # fmt: skip
        for i in range(len(names)):
            for j in range(i + 1, len(names)):
                sizes = [int(b).bit_count() for b in np.flatnonzero(own.separating(i, j))]
                one = implied.get((i, j))
                assert (one is None) == (not sizes)
                if one is not None:
                    assert len(one.given) == min(sizes)
                    assert graph.m_separated(one.x, one.y, one.given)
        few = graph.implied_independences(max_given=1)
        assert few == tuple(one for one in implied.values() if len(one.given) <= 1)
    hidden = MEDIA.implied_independences(latent="season")
    assert Independence("tv", "digital") not in hidden
    assert {(one.x, one.y) for one in hidden} == {
        *[("tv", "email"), ("digital", "search"), ("digital", "email"), ("search", "email")]
    }
    assert str(Independence("a", "b", ("c", "d"))) == "a ⊥ b | c, d"
    assert str(Independence("a", "b")) == "a ⊥ b"


def test_markov_blankets_shield_a_node_and_none_of_them_can_be_spared() -> None:
    for graph, _ in graphs(40, 7):
        for v in graph.nodes:
            blanket = graph.markov_blanket(v)
            rest = set(graph.nodes) - set(blanket) - {v}
            assert graph.m_separated(v, rest, blanket)
            for member in blanket:
                assert not graph.m_separated(v, member, set(blanket) - {member})
    assert MEDIA.markov_blanket("tv") == ("season", "digital", "sales", "search", "email")


def test_open_paths_are_open_and_all_are_found() -> None:
    for graph, rng in graphs(40, 6):
        own, names = brute.Brute.of(graph), graph.nodes
        i, j = rng.choice(len(names), 2, replace=False)
        every = own.paths(i, j)
        for bits in np.flatnonzero(own.without_ends(i, j))[:8]:
            given = brute.members(bits, names)
            opened = [p for p in every if own.opened_by(p)[bits]]
            wanted = {(tuple(names[v] for v in nodes), tuple(arrows)) for nodes, arrows in opened}
            found = list(open_paths(graph.links, names[i], names[j], given))
            assert {(path.nodes, path.arrows) for path in found} == wanted
            assert len(found) == len(wanted)
            first = open_path(graph.links, [names[i]], [names[j]], given)
            assert (first is None) == (not wanted)
            if first is not None:
                assert len(first.nodes) == min(len(nodes) for nodes, _ in wanted)


# Textbooks.


def test_m_bias_and_butterfly() -> None:
    assert M_BIAS.adjustment_set("x", "y") == ()
    assert not M_BIAS.is_adjustment_set("x", "y", "m")
    assert M_BIAS.is_adjustment_set("x", "y", ["m", "a"])
    (finding,) = M_BIAS.explain_adjustment("x", "y", "m").errors
    assert (finding.check, finding.where) == ("collider", "m")
    assert "m is a collider on x <- a -> m <- b -> y" in finding.message
    assert BUTTERFLY.adjustment_sets("x", "y") == (("a", "m"), ("b", "m"))
    assert BUTTERFLY.adjustment_set("x", "y") == ("a", "m")
    assert BUTTERFLY.adjustment_set("x", "y", forbidden="a") == ("b", "m")
    # m both confounds and opens a path: both are said.
    kinds = {f.check for f in BUTTERFLY.explain_adjustment("x", "y", "m").errors}
    assert kinds == {"collider"}
    report = BUTTERFLY.explain_adjustment("x", "y", ())
    assert {str(f.path) for f in report.errors} == {
        *["x <- m -> y", "x <- a -> m -> y", "x <- m <- b -> y"]
    }
    assert report.instead == ("a", "m")


def test_a_collider_that_is_open_by_way_of_the_effect_is_named() -> None:
    # c is a collider through which x -> y -> w opens; then z, too, lets the path through.
    graph = CausalGraph(
        edges=[("x", "y"), ("y", "w"), ("c", "x")],
        bidirected=[("x", "z"), ("z", "c"), ("c", "w")],
    )
    report = graph.explain_adjustment("x", "y", ["w", "z"], "direct")
    assert {finding.where for finding in report.errors} >= {"w", "z"}


def test_where_a_hidden_cause_is_in_the_way() -> None:
    with pytest.raises(IdentificationError) as error:
        FRONT_DOOR.adjustment_set("x", "y")
    told = str(error.value)
    assert "the total effect of x on y" in told
    assert "No allowed set closes the path x <-> y. It runs through a hidden cause" in told
    assert "the front door through m" in told
    assert pickle.loads(pickle.dumps(error.value)).problems == error.value.problems
    assert FRONT_DOOR.identify("x", "y").strategy == "front door"
    assert FRONT_DOOR.front_door_set("x", "y") == ("m",)
    assert NAPKIN.identify("x", "y").strategy == "general formula"
    found = INSTRUMENT.identify("x", "y")
    assert (found.strategy, found.instruments) == ("instrument", (Instrument("z"),))
    assert not found.identified
    assert "<li>instruments (linear effects): z</li>" in found._repr_html_()
    door = str(FRONT_DOOR.identify("x", "y"))
    assert door.startswith("The total effect of x on y: front door.\n  front door through: m\n")
    assert "p(y | do(x)) = " in str(NAPKIN.identify("x", "y"))
    assert "or for: b, m" in str(BUTTERFLY.identify("x", "y"))
    assert BOW.identify("x", "y").strategy == "not identified"
    assert BOW.identify("y", "x").strategy == "no effect"
    drawn = CausalGraph(edges={"demand": ["tv", "sales"], "tv": "sales"})
    with pytest.raises(IdentificationError, match=r"demand \(not measured\)[^$]*measuring demand"):
        drawn.adjustment_set("tv", "sales", latent="demand")
    with pytest.raises(IdentificationError, match="forbidden and required"):
        drawn.adjustment_set("tv", "sales", forbidden="demand")
    with pytest.raises(IdentificationError, match="'search' is required, but descends from a node"):
        MEDIA.adjustment_set("tv", "sales", required="search")


def test_conditional_instruments() -> None:
    # z is confounded with the outcome by c (Brito and Pearl 2002).
    graph = CausalGraph(
        edges=[("c", "z"), ("c", "y"), ("z", "x"), ("x", "y")], bidirected=[("x", "y")]
    )
    assert graph.instruments("x", "y") == (Instrument("z", ("c",)),)
    assert str(graph.instruments("x", "y")[0]) == "z given c"
    assert graph.instruments("x", "y", latent="c") == ()
    assert not graph.is_instrument("z", "x", "y")
    assert graph.is_instrument("z", "x", "y", "c")
    with pytest.raises(GraphError, match="'z' is in given"):
        graph.is_instrument("z", "x", "y", ["z", "c"])


def test_the_seeds_example() -> None:
    assert MEDIA.adjustment_set("tv", "sales") == ("season",)
    assert MEDIA.adjustment_set("tv", "sales", effect="direct") == ("season", "search")
    assert MEDIA.adjustment_set(["tv", "digital", "search", "email"], "sales") == ("season",)
    text = str(MEDIA.explain_adjustment("tv", "sales", ["search", "digital", "email"]))
    for line in (
        "total effect of tv on sales",
        "error: search is a mediator (tv -> search -> sales)",
        "error: The path tv <- season -> sales is open",
        "note: email is not needed, but explains sales",
        "instead: adjust for season",
    ):
        assert line in text
    fine = MEDIA.explain_adjustment("tv", "sales", "season")
    assert fine.valid
    assert fine.findings == ()
    assert (fine.treatment, fine.outcome, fine.instead) == ("tv", "sales", ("season",))
    direct = MEDIA.explain_adjustment("tv", "sales", "season", "direct")
    assert [f.check for f in direct.errors] == ["open_mediator"]
    assert "adjust for search as well" in direct.errors[0].message
    graph = CausalGraph(
        edges={"budget": "tv", "tv": ["sales", "reach"], "sales": "visits", "moon": []}
    )
    report = graph.explain_adjustment("tv", "sales", ["budget", "reach", "visits", "moon"])
    assert [(f.severity, f.check, f.where) for f in report.findings] == [
        ("error", "outcome_descendant", "visits"),
        ("warning", "instrument", "budget"),
        ("warning", "treatment_descendant", "reach"),
        ("note", "irrelevant", "moon"),
    ]
    assert list(report.to_frame().columns) == ["severity", "kind", "node", "path", "message"]
    assert len(report.to_frame()) == 4
    assert "<li>error: visits is caused by the outcome" in report._repr_html_()


def test_ties_go_to_roles_and_then_to_earlier_nodes() -> None:
    edges = {"a": "b", "b": ["x"], "a2": [], "c": ["a", "y"], "x": "y"}
    chain = CausalGraph(["x", "y", "b", "a", "c"], [(k, v) for k, own in edges.items() for v in own
                        if v in "xyabc"])  # fmt: skip
    assert chain.adjustment_sets("x", "y") == (("b",), ("a",), ("c",))
    assert chain.adjustment_set("x", "y") == ("b",)
    roles = {"b": "channel", "a": "mediator", "c": "control"}
    assert chain.with_roles(roles).adjustment_set("x", "y") == ("c",)
    assert chain.with_roles(a="seasonality").adjustment_set("x", "y") == ("a",)


def test_a_large_graph_takes_no_time_and_too_many_sets_are_said() -> None:
    # 20 separate confounders, each with a chain of 3: 3^20 minimal sets, one smallest.
    edges = [("x", "y")]
    for k in range(20):
        names = ["x", f"a{k}", f"b{k}", f"c{k}", "y"]
        edges += [(names[1], "x"), (names[2], names[1]), (names[2], names[3]), (names[3], "y")]
    graph = CausalGraph(edges=edges)
    assert graph.adjustment_set("x", "y") == tuple(
        v for v in graph.nodes if v.startswith("a") and v != "x"
    )
    with pytest.raises(GraphError, match=r"more than limit=100 minimal adjustment sets\. Raise"):
        graph.adjustment_sets("x", "y", limit=100)
    with pytest.raises(GraphError, match="or ask for minimal=True"):
        MEDIA.adjustment_sets("tv", "sales", minimal=False, limit=2)
    assert graph.identify("x", "y").adjustment_sets == ()


def test_separators_agree_with_those_of_networkx() -> None:
    for graph, rng in graphs(30, 7)[::2]:
        dag, _ = graph.to_networkx()
        x, y = (str(v) for v in rng.choice(graph.nodes, 2, replace=False))
        if x in graph.parents(y) or y in graph.parents(x):
            continue
        (one,) = [i for i in graph.implied_independences() if {i.x, i.y} == {x, y}]
        assert nx.is_d_separator(dag, {x}, {y}, set(one.given))
        assert len(one.given) <= len(nx.find_minimal_d_separator(dag, {x}, {y}))


def test_questions_that_make_no_sense() -> None:
    with pytest.raises(GraphError) as error:
        MEDIA.is_adjustment_set(["tvv", "sales"], "sales", effect="indirect")
    assert len(error.value.problems) == 3
    with pytest.raises(GraphError, match="There is no treatment"):
        MEDIA.adjustment_set([], "sales")
    with pytest.raises(GraphError) as error:
        MEDIA.is_adjustment_set("tv", "sales", ["tv", "sales", "radio"])
    assert len(error.value.problems) == 3
    with pytest.raises(GraphError) as error:
        MEDIA.adjustment_set(
            "tv", "sales", required=["tv", "season", "email"], latent="season", forbidden="email"
        )
    assert len(error.value.problems) == 3
    for ask in (MEDIA.identify, MEDIA.explain_adjustment):
        with pytest.raises(GraphError, match="takes one treatment"):
            ask(["tv", "digital"], "sales")
    for ask in (MEDIA.front_door_set, MEDIA.instruments):
        with pytest.raises(GraphError, match="'radio' is not a node"):
            ask("tv", "sales", latent="radio")
    with pytest.raises(GraphError, match="'radio' is not a node"):
        MEDIA.implied_independences(latent="radio")
    with pytest.raises(GraphError, match="'radio' is not a node"):
        MEDIA.project_out("radio")
    with pytest.raises(GraphError, match="treatment or outcome"):
        MEDIA.is_front_door_set("tv", "sales", ["tv", "search"])
