"""Graphs against networkx and hand-worked mixed graphs; files; every error."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_bayes.causal.causal_graph import CausalGraph, GraphError

BOW = CausalGraph(edges=[("a", "b")], bidirected=[("a", "b")])
VERMA = CausalGraph(edges=[("a", "b"), ("b", "c"), ("c", "d")], bidirected=[("b", "d")])


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 7, mixed: bool = True) -> CausalGraph:
    """Mixed graphs whose order of nodes is not a causal one."""
    count = draw(st.integers(1, max_nodes))
    causal = draw(st.permutations([f"v{i}" for i in range(count)]))
    pairs = list(itertools.combinations(causal, 2))
    flags = st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs))
    edges = list(itertools.compress(pairs, draw(flags)))
    # Fewer hidden causes than edges: with as many, hardly any set is separated.
    hidden = zip(draw(flags), draw(flags), strict=True)
    joined = itertools.compress(pairs, (a and b for a, b in hidden)) if mixed else ()
    return CausalGraph(sorted(causal), draw(st.permutations(edges)), list(joined))


def canonical(graph: CausalGraph) -> nx.DiGraph:
    """The DAG with a hidden node for each bidirected edge."""
    dag = nx.DiGraph(graph.edges)
    dag.add_nodes_from(graph.nodes)
    for i, (one, other) in enumerate(graph.bidirected):
        dag.add_edges_from([(f"hidden{i}", one), (f"hidden{i}", other)])
    return dag


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_relations_are_those_of_networkx(graph: CausalGraph) -> None:
    dag, joined = graph.to_networkx()
    for v in graph.nodes:
        assert graph.parents(v) == tuple(sorted(dag.predecessors(v)))
        assert graph.children(v) == tuple(sorted(dag.successors(v)))
        assert graph.ancestors(v) == tuple(sorted(nx.ancestors(dag, v)))
        assert graph.descendants(v) == tuple(sorted(nx.descendants(dag, v)))
        assert graph.district(v) == tuple(sorted(nx.node_connected_component(joined, v)))
    assert graph.roots == tuple(v for v in sorted(dag) if dag.in_degree(v) == 0)
    assert set(graph.districts()) == {tuple(sorted(c)) for c in nx.connected_components(joined)}
    # networkx's breaks ties by the key: the smallest name that may come next.
    assert graph.topological_order() == tuple(nx.lexicographical_topological_sort(dag))
    assert graph.check_order(graph.topological_order()) == graph.topological_order()
    assert graph.is_dag == (not graph.bidirected)
    assert CausalGraph.from_networkx(dag, joined) == graph


@settings(max_examples=150, deadline=None, derandomize=True)
@given(graphs(), st.data())
def test_m_separation_is_d_separation_in_the_canonical_dag(
    graph: CausalGraph, data: st.DataObject
) -> None:
    # Zero of four leaves a node out.
    side = st.lists(st.integers(0, 3), min_size=len(graph.nodes), max_size=len(graph.nodes))
    for sides in (data.draw(side), data.draw(side)):
        x, y, z = (
            {v for v, s in zip(graph.nodes, sides, strict=True) if s == k} for k in (1, 2, 3)
        )
        expected = nx.is_d_separator(canonical(graph), x, y, z) if x and y else True
        assert graph.m_separated(x, y, z) == expected
        assert graph.m_separated(y, x, z) == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_pillows_by_definition_and_local_markov_property(graph: CausalGraph) -> None:
    dag, joined = graph.to_networkx()
    # Some topological order that is not the default.
    shuffled = graph.nodes[::-1]
    order = tuple(nx.lexicographical_topological_sort(dag, key=shuffled.index))
    for chosen in (order, graph.topological_order()):
        factors = graph.topological_factorization(chosen)
        assert tuple(v for v, _ in factors) == chosen
        for i, (v, pillow) in enumerate(factors):
            before = chosen[: i + 1]
            district = nx.node_connected_component(joined.subgraph(before), v)
            parents = {p for member in district for p in dag.predecessors(member)}
            assert pillow == tuple(sorted((district | parents) - {v}))
            assert pillow == graph.markov_pillow(v, chosen)
            assert set(pillow) <= set(before)
            rest = set(before) - set(pillow) - {v}
            assert graph.m_separated(v, rest, pillow)
            # And no smaller set separates: a pillow without one member is open to it.
            for member in pillow:
                assert not graph.m_separated(v, member, set(pillow) - {member})


@settings(max_examples=50, deadline=None, derandomize=True)
@given(graphs(mixed=False))
def test_pillows_in_a_dag_are_the_parents(graph: CausalGraph) -> None:
    assert graph.is_dag
    for v, pillow in graph.topological_factorization():
        assert pillow == graph.parents(v) == graph.markov_pillow(v)


def test_pillows_worked_by_hand() -> None:
    assert BOW.topological_factorization() == (("a", ()), ("b", ("a",)))
    # Verma: the district {b, d} brings a, the parent of b, to d.
    assert VERMA.topological_factorization() == (
        ("a", ()),
        ("b", ("a",)),
        ("c", ("b",)),
        ("d", ("a", "b", "c")),
    )
    assert VERMA.districts() == (("a",), ("b", "d"), ("c",))
    # The Verma constraint is no conditional independence: d depends on a given anything.
    for known in ((), ("b",), ("c",), ("b", "c")):
        assert not VERMA.m_separated("a", "d", known)
    assert VERMA.m_separated("a", "c", "b")
    # A chain of hidden causes a <-> b <-> c with parents x, y, z.
    chain = CausalGraph(
        ["x", "y", "z", "a", "b", "c"],
        [("x", "a"), ("y", "b"), ("z", "c")],
        [("a", "b"), ("b", "c")],
    )
    assert chain.district("c") == ("a", "b", "c")
    assert chain.district("c", within=["a", "c", "z"]) == ("c",)
    assert chain.markov_pillow("c") == ("x", "y", "z", "a", "b")


def test_pillow_may_depend_on_the_order() -> None:
    graph = CausalGraph(
        ["x", "y", "a", "b", "c"], [("x", "a"), ("y", "b")], [("a", "b"), ("b", "c")]
    )
    assert graph.markov_pillow("a", ["x", "a", "y", "b", "c"]) == ("x",)
    assert graph.markov_pillow("a", ["x", "y", "b", "a", "c"]) == ("x", "y", "b")
    # c is joined with a through b, but only where b comes before.
    assert graph.markov_pillow("c", ["x", "a", "c", "y", "b"]) == ()
    assert graph.markov_pillow("c", ["x", "a", "y", "b", "c"]) == ("x", "y", "a", "b")


def test_separation_worked_by_hand() -> None:
    collider = CausalGraph(edges=[("a", "c"), ("b", "c"), ("c", "d")])
    assert collider.m_separated("a", "b")
    assert not collider.m_separated("a", "b", "c")
    assert not collider.m_separated("a", "b", "d")
    assert collider.m_separated(["a", "b"], "d", "c")
    assert not BOW.m_separated("a", "b")
    # a <-> b <-> c: b is a collider.
    joined = CausalGraph(bidirected=[("a", "b"), ("b", "c")])
    assert joined.m_separated("a", "c")
    assert not joined.m_separated("a", "c", "b")


def test_construction_order_and_equality() -> None:
    graph = CausalGraph(edges=[("b", "a"), ("c", "a")], bidirected=[("d", "b"), ("a", "c")])
    assert graph.nodes == ("b", "a", "c", "d")
    assert graph.bidirected == (("b", "d"), ("a", "c"))
    same = CausalGraph(
        iter(["b", "a", "c", "d"]), [["c", "a"], ["b", "a"]], [("c", "a"), ("b", "d")]
    )
    assert graph == same
    assert hash(graph) == hash(same)
    assert graph != CausalGraph(["a", "b", "c", "d"], graph.edges, graph.bidirected)
    with pytest.raises(AttributeError):
        graph.nodes = ()  # type: ignore[misc]
    graph.topological_order()
    copy = pickle.loads(pickle.dumps(graph))
    assert copy == graph
    assert copy.parents("a") == ("b", "c")


def test_subgraph_and_text() -> None:
    sub = VERMA.subgraph(["d", "b", "c"])
    assert sub == CausalGraph(["b", "c", "d"], [("b", "c"), ("c", "d")], [("b", "d")])
    assert repr(VERMA).splitlines() == [
        "CausalGraph with 4 nodes, 3 edges, 1 bidirected",
        "  nodes       a, b, c, d",
        "  edges       a -> b, b -> c, c -> d",
        "  bidirected  b <-> d",
    ]
    assert repr(CausalGraph(["a"])) == "CausalGraph with 1 node, 0 edges\n  nodes       a"
    shown = CausalGraph(["lonely", "tv", "b", "c"], [("tv", "b"), ("tv", "c")], [("c", "b")])
    assert str(shown) == "lonely\ntv -> b, c\nb <-> c"
    assert str(CausalGraph()) == "(no nodes)"


def test_adjacency_both_ways() -> None:
    matrix = VERMA.adjacency()
    np.testing.assert_array_equal(matrix, np.diag([1, 1, 1], k=1))
    assert CausalGraph.from_adjacency(-0.5 * matrix, iter("abcd"), [("b", "d")]) == VERMA
    assert CausalGraph.from_adjacency(matrix.astype(bool), ["a", "b", "c", "d"]).is_dag


def test_long_graphs_wrap_between_edges() -> None:
    names = [f"channel {i}" for i in range(12)]
    graph = CausalGraph(edges=[(name, "sales") for name in names]).with_roles(sales="target")
    lines = repr(graph).splitlines()
    assert max(map(len, lines)) <= 88
    assert "sales (target)" in repr(graph)
    assert all(f"{name} -> sales" in repr(graph) for name in names)
    assert not any(line.endswith(("->", "channel")) for line in lines)
    many = CausalGraph(edges=[(f"v{i}", f"v{j}") for j in range(20) for i in range(j)])
    assert "and 130 more" in repr(many)


def test_html_is_a_table_of_the_nodes() -> None:
    graph = CausalGraph(["<b>", "s"], [("<b>", "s")], [("<b>", "s")], {"s": "target"})
    html = graph._repr_html_()
    assert "<b>" not in html
    assert html.count("&lt;b&gt;") == 3  # a node, a cause, and one that shares a hidden cause
    assert html.count("<tr>") == 3
    assert "role" not in VERMA._repr_html_()  # a column that is empty is left out


def test_import_needs_no_networkx() -> None:
    code = "import sys, mmm_bayes.causal.causal_graph; print('networkx' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_networkx_graphs_in_one_part() -> None:
    one = nx.MultiDiGraph([("tv", "sales")])
    one.add_edge("tv", "sales", dir="both")
    one.nodes["sales"]["role"] = "target"
    graph = CausalGraph(["tv", "sales"], [("tv", "sales")], [("tv", "sales")], {"sales": "target"})
    assert CausalGraph.from_networkx(one) == graph
    one.add_edges_from([("demand", "price"), ("demand", "sales")])
    one.add_node("demand", observed="no")
    hidden = CausalGraph.from_networkx(one)
    assert hidden.nodes == ("tv", "sales", "price")
    assert hidden.bidirected == (("tv", "sales"), ("sales", "price"))


def test_separation_on_random_dags_is_that_of_networkx() -> None:
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(400):
        count = int(rng.integers(2, 16))
        names = [f"v{i}" for i in range(count)]
        causal = rng.permutation(names).tolist()
        edges = [e for e in itertools.combinations(causal, 2) if rng.uniform() < 2.0 / count]
        graph = CausalGraph(names, edges)
        dag, _ = graph.to_networkx()
        for _ in range(5):
            sides = rng.choice(["x", "y", "given", "out"], count, p=[0.15, 0.15, 0.3, 0.4])
            x, y, z = ({v for v, own in zip(names, sides, strict=True) if own == side}
                       for side in ("x", "y", "given"))  # fmt: skip
            if x and y:
                verdicts.append(graph.m_separated(x, y, z))
                assert verdicts[-1] == nx.is_d_separator(dag, x, y, z)
    assert len(verdicts) > 900
    assert 0.2 < np.mean(verdicts) < 0.8


# Construction errors.


def problems(error: pytest.ExceptionInfo[GraphError]) -> str:
    return "\n".join(error.value.problems)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(GraphError) as error:
        CausalGraph(
            ["tv", "search", "tv", 3, ""],
            [
                *[("tv", "serch"), ("tv", "tv"), ("tv", "search"), ("search", "tv")],
                *[("tv", "search"), "ab", ("tv",), ("tv", None)],
            ],
            [("tv", "search"), ("search", "tv"), ("radio", "tv")],
        )
    told = problems(error)
    assert len(error.value.problems) == 12
    for text in (
        "Node 'tv' is listed more than once.",
        "Node 3 should be a name (a string that is not empty), but is a value of type int.",
        "Node '' should be a name (a string that is not empty), but is empty.",
        "Edge tv -> serch: 'serch' is not among the nodes. Did you mean 'search'?",
        "Edge tv -> tv joins a node to itself: remove it.",
        "Edge tv -> search is given more than once.",
        'Entry 6 of edges should be a pair of names such as ("tv", "sales"), but is \'ab\'.',
        "Entry 7 of edges should be a pair",
        "Entry 8 of edges, ('tv', None), should hold two names (strings that are not empty), "
        "but None is a value of type NoneType.",
        "Edge tv <-> search is given more than once.",
        "Edge radio <-> tv: 'radio' is not among the nodes. Add it to nodes, or remove",
        "Directed cycle tv -> search -> tv: a cause should come before its effect.",
    ):
        assert text in told
    assert str(error.value).startswith("12 problems in the graph:\n  1. ")
    copy = pickle.loads(pickle.dumps(error.value))
    assert (copy.problems, str(copy)) == (error.value.problems, str(error.value))


def test_lists_of_the_wrong_kind() -> None:
    with pytest.raises(GraphError) as error:
        CausalGraph("tv", "ab", 3)  # type: ignore[arg-type]
    told = problems(error)
    assert "nodes should be a list of names, but is 'tv': write ['tv']." in told
    assert "edges should be a list of pairs of names" in told
    assert "but is a value of type str." in told
    assert "bidirected should be a list of pairs" in told


def test_cycles_one_a_group_and_shortest() -> None:
    with pytest.raises(GraphError) as error:
        CausalGraph(
            ["r", "a", "b", "c", "x", "y", "end"],
            [
                *[("r", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")],
                *[("c", "x"), ("x", "y"), ("y", "x"), ("y", "end")],
            ],
        )
    assert [text.split(":")[0] for text in error.value.problems] == [
        "Directed cycle a -> b -> a",
        "Directed cycle x -> y -> x",
    ]


def test_orders_are_checked() -> None:
    with pytest.raises(GraphError) as error:
        VERMA.check_order(["c", "b", "a", "b", "e"])
    assert str(error.value).startswith("5 problems in the order of the nodes:")
    assert list(error.value.problems) == [
        "'e' is not a node of the graph. Nodes are a, b, c, d.",
        "'d' is missing.",
        "'b' is listed 2 times; list each node once.",
        "'a' should come before its effect 'b'.",
        "'b' should come before its effect 'c'.",
    ]
    with pytest.raises(GraphError, match="'b' should come before its effect 'c'"):
        VERMA.markov_pillow("d", ["a", "c", "b", "d"])
    with pytest.raises(GraphError, match="'d' is missing"):
        VERMA.topological_factorization("a")


def test_questions_are_checked() -> None:
    graph = CausalGraph(["search", "sales"])
    for ask in (graph.parents, graph.children, graph.ancestors, graph.descendants):
        with pytest.raises(GraphError, match=r"'sale' is not a node .*\. Did you mean 'sales'\?"):
            ask("sale")
    for question in (graph.district, graph.markov_pillow):
        with pytest.raises(GraphError, match=r"'tv' is not a node .*\. Nodes are search, sales\."):
            question("tv")
    with pytest.raises(GraphError, match="It has none"):
        CausalGraph().parents("tv")
    with pytest.raises(GraphError) as error:
        graph.subgraph(["tv", "radio", "sales"])
    assert len(error.value.problems) == 2
    with pytest.raises(GraphError, match="'search' is not among the nodes given as within"):
        graph.district("search", within="sales")
    with pytest.raises(GraphError) as error:
        VERMA.m_separated(["a", "b"], ["a", "c"], ["b", "c"])
    assert [text.split(":")[0] for text in error.value.problems] == [
        "'a' is in both x and y",
        "'b' is in both x and given",
        "'c' is in both y and given",
    ]


def test_matrices_and_graphs_of_the_wrong_kind() -> None:
    with pytest.raises(GraphError, match=r"should have shape \(2, 2\).*but has \(2, 3\)"):
        CausalGraph.from_adjacency(np.zeros((2, 3)), ["a", "b"])
    for bad in ([[0.0, np.nan], [0.0, 0.0]], [["", "x"], ["", ""]]):
        with pytest.raises(GraphError, match="should hold numbers only: write 0"):
            CausalGraph.from_adjacency(bad, ["a", "b"])
    with pytest.raises(GraphError, match="Directed cycle a -> b -> a"):
        CausalGraph.from_adjacency([[0, 1], [1, 0]], ["a", "b"])
    with pytest.raises(GraphError, match=r"networkx\.DiGraph"):
        CausalGraph.from_networkx(nx.Graph([("a", "b")]))
    with pytest.raises(GraphError, match="Node 0 should be a name"):
        CausalGraph.from_networkx(nx.DiGraph([(0, 1)]))


# Files.

AWKWARD = CausalGraph(
    [
        *['say "hi"', "back\\slash\\", "node", "paid search", "9", "é", "två", "a,b;{c}"],
        *["tab\tline\n", "// no comment", "<->", "alone", "\x7f"],
    ],
    [("node", "paid search"), ("9", "é"), ("<->", "node"), ("\x7f", 'say "hi"')],
    [("back\\slash\\", "två"), ("9", "é")],
)


PLAYED = CausalGraph(
    ["tv", 'the "season"', "sales", "demand"],
    [("tv", "sales"), ('the "season"', "tv")],
    [("tv", "sales"), ("demand", "sales")],
    {"sales": "target", 'the "season"': "seasonality", "tv": "channel"},
)


@pytest.mark.parametrize("suffix", [".toml", ".json", ".dot", ".gml"])
@pytest.mark.parametrize("graph", [VERMA, BOW, AWKWARD, PLAYED, CausalGraph(["only"])], ids=str)
def test_files_give_back_the_graph(graph: CausalGraph, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"graph{suffix}"
    assert graph.to_file(str(path)) == path
    assert CausalGraph.from_file(path) == graph
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_old_file_survives_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = VERMA.to_file(tmp_path / "graph.json")

    def full(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        BOW.to_file(path)
    assert CausalGraph.from_file(path) == VERMA
    assert len(list(tmp_path.iterdir())) == 1


def test_dot_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / "graph.dot"
    path.write_text(
        """# a line of the C preprocessor
        /* several
           lines */
        strict DIGRAPH "media plan" {  // with a name
          rankdir=LR; graph [label="x -> y"]
          node [shape=box, style="rounded"]
          edge [color=grey]
          tv -> search
          price -> sales [color=red, dir=both];
          a -> b -> c; a -> {d e}
          {f; g} -> "quoted name":n
          lonely [label="stands alone"][shape=circle];
          subgraph cluster_1 { label="inner"; m -> n }
          u <-> v [dir="both"]
          a -> c -> f [style=dotted, bold]
        }
        """
    )
    graph = CausalGraph.from_file(path)
    assert graph.nodes == (
        *("tv", "search", "price", "sales"),
        *("a", "b", "c", "d", "e", "f", "g"),
        *("quoted name", "lonely", "m", "n", "u", "v"),
    )
    assert set(graph.edges) == {
        *[("tv", "search"), ("a", "b"), ("b", "c"), ("a", "d"), ("a", "e")],
        *[("f", "quoted name"), ("g", "quoted name"), ("m", "n"), ("a", "c"), ("c", "f")],
    }
    assert graph.bidirected == (("price", "sales"), ("u", "v"))


def file_problems(tmp_path: Path, name: str, text: str) -> list[str]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GraphError) as error:
        CausalGraph.from_file(path)
    assert str(path) in str(error.value)
    return list(error.value.problems)


def test_every_problem_of_a_dot_file_with_its_line(tmp_path: Path) -> None:
    text = """digraph {
      tv -- search
      a -> ; b -> a
      a -> b  /* two
      lines */
      paid-search -> b
      hidden demand [latent]
      b -> a; x -> x
      c -> d [dir=back]
      edge [dir=both]
      e [
    """
    told = file_problems(tmp_path, "g.dot", text)
    for start in (
        "line 2: '--' does not say which node is the cause: write a -> b",
        "line 3: expected a node's name or a group '{a b}', but found ';'.",
        "line 6: '-' cannot stand here; put names with spaces or signs in double quotes",
        "line 7: 'hidden demand' without quotes could be one node or 2 nodes",
        "line 8: Edge b -> a is given more than once.",
        "line 8: Edge x -> x joins a node to itself",
        "line 9: [dir=back] does not say which node is the cause",
        "line 10: edge [dir=..] for all edges is not read",
        "line 12: expected an attribute such as dir=both, or ']', but found the end of the file.",
        "line 12: expected '}' to close the '{' of line 1, but found the end of the file.",
        "Directed cycle a -> b -> a",
    ):
        assert sum(text.startswith(start) for text in told) == 1, start
    assert len(told) == 11


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("graph { a }", "line 1: expected 'digraph { tv -> sales }', but found 'graph'."),
        ("", "line 1: expected 'digraph { tv -> sales }', but found the end of the file."),
        ("digraph a -> b", "line 1: expected '{' after digraph, but found '->'."),
        ("digraph { a }\n}", "line 2: expected nothing after the graph's closing '}'"),
        ('digraph {\n a -> "b }', "line 2: a quoted name or comment begins here and has no end."),
        ("digraph { /* a }", "line 1: a quoted name or comment begins here and has no end."),
        ('digraph { "" -> a }', "line 1: Entry 1 of edges"),
        ("digraph { }", "The graph has no nodes and no edges."),
        ("digraph { a -> node }", "line 1: expected a node's name"),
    ],
)
def test_dot_files_that_are_none(text: str, expected: str, tmp_path: Path) -> None:
    assert any(told.startswith(expected) for told in file_problems(tmp_path, "g.dot", text))


@pytest.mark.parametrize("inner", ["{" * 5000, "{" * 5000 + "a" + "}" * 5000, "a -> " + "{" * 5000])
def test_dot_groups_nested_without_end(inner: str, tmp_path: Path) -> None:
    (told,) = file_problems(tmp_path, "g.dot", f"digraph {{\n{inner}\n}}")
    assert told.startswith("line 2: ")
    path = tmp_path / "g.dot"
    path.write_text("digraph {" + "{" * 90 + "a -> b" + "}" * 91)
    assert CausalGraph.from_file(path).edges == (("a", "b"),)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("g.json", '{"edges": [["a", "b"],\n]}', ["line 2: not JSON: "]),
        ("g.json", "[1]", ['Expected {"edges": [["tv", "sales"]]}, but the file holds [1].']),
        ("g.json", "{}", ["The graph has no nodes and no edges."]),
        (
            "g.json",
            '{"node": ["a"], "sources": 1, "edges": [["a", "b", "c"], ["a", 1]], "bidirected": 2}',
            [
                "Unknown key 'node'. Did you mean 'nodes'?",
                "Unknown key 'sources'. Known are nodes, edges, bidirected, latent and roles.",
                "Entry 1 of edges should be a pair",
                "Entry 2 of edges, ['a', 1], should hold two names",
                "bidirected should be a list of pairs",
            ],
        ),
        ("g.toml", "nodes = [", ["The file is not TOML: "]),
        (
            "g.toml",
            'nodes = ["tv", "sales"]\nedges = [["tv", "sale"]]',
            ["Edge tv -> sale: 'sale' is not among the nodes. Did you mean 'sales'?"],
        ),
    ],
)
def test_problems_of_toml_and_json(
    name: str, text: str, expected: list[str], tmp_path: Path
) -> None:
    told = file_problems(tmp_path, name, text)
    assert len(told) == len(expected)
    assert all(text.startswith(start) for text, start in zip(told, expected, strict=True))


def test_files_of_other_kinds(tmp_path: Path) -> None:
    with pytest.raises(
        GraphError, match=r"should end in one of \.dagitty, \.dot, .*\.toml, .*but is 'g\.pdf"
    ):
        CausalGraph.from_file(tmp_path / "g.pdf")
    with pytest.raises(GraphError, match="from_text"):
        CausalGraph.from_file("dag { a -> b }")
    with pytest.raises(GraphError, match="path"):
        CausalGraph.from_file(None)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="should end in one of"):
        VERMA.to_file(tmp_path / "graph.dagitty")  # read, and not written
    with pytest.raises(GraphError, match="should end in one of"):
        VERMA.to_file(tmp_path / "graph")
    with pytest.raises(FileNotFoundError, match=r"No graph at .*g\.json"):
        CausalGraph.from_file(tmp_path / "g.json")
    (tmp_path / "g.json").write_bytes(b"\xff\xfe{\x00")
    with pytest.raises(GraphError, match="not UTF-8 text"):
        CausalGraph.from_file(tmp_path / "g.json")
    (tmp_path / "g.toml").write_text('\ufeffedges = [["a", "b"]]', encoding="utf-8")
    assert CausalGraph.from_file(tmp_path / "g.toml").edges == (("a", "b"),)
