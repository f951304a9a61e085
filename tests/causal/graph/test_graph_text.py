"""Graphs as people write them: DAGitty, names with spaces, hidden nodes, deep nesting."""

from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from mmm_bayes import CausalGraph, simulate
from mmm_bayes.causal.check.graph_table import graph_table
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.errors import DataError

DAGITTY = """dag {
bb="-4.5,-3.2,4.1,3.9"
"TV spend" [exposure,pos="-2.200,-1.520"]
U [latent,pos="-0.6,-2.5"]
price [adjusted,pos=1.5,-2]
sales [outcome,pos="1.400,-1.460"]
search [pos="0,0"]
"TV spend" -> search -> sales
"TV spend" -> sales [pos="0.791,-0.045",beta=.3]
U -> { "TV spend" sales }
sales <- price
search <-> price [pos="0.1,0.2"]
}
"""


def told(text: str) -> str:
    with pytest.raises(GraphError) as error:
        CausalGraph.from_text(text)
    return "\n".join(error.value.problems)


@pytest.mark.parametrize("suffix", [".dagitty", ".txt", ".dot", ".gv"])
def test_dagitty_as_text_and_as_a_file(suffix: str, tmp_path: Path) -> None:
    graph = CausalGraph.from_text(DAGITTY)
    assert graph.nodes == ("TV spend", "price", "sales", "search")
    assert set(graph.edges) == {
        ("TV spend", "search"), ("search", "sales"), ("TV spend", "sales"), ("price", "sales"),
    }  # fmt: skip
    assert set(graph.bidirected) == {("TV spend", "sales"), ("price", "search")}
    assert dict(graph.roles) == {"TV spend": "channel", "sales": "target"}
    path = tmp_path / f"graph{suffix}"
    path.write_text(DAGITTY, encoding="utf-8")
    assert CausalGraph.from_file(path) == graph


@pytest.mark.parametrize(
    "text",
    [
        "dag { x -> y ; u [latent] ; u -> x ; u -> y }",
        "dag{x->y; u [u]; {x y} <- u}",
        "dag { subgraph { u [unobserved] } u -> {x y}; x -> y }",
        'digraph { x -> y; U [label="Unobserved Confounders"]; U -> x; U -> y }',
        'digraph { x -> y; u [observed="no"]; u -> x; u -> y }',
        '{"edges": [["x", "y"], ["u", "x"], ["u", "y"]], "latent": ["u"]}',
        'edges = [["x", "y"], ["u", "x"], ["u", "y"]]\nlatent = "u"',
        'nodes = ["x", "y"]\nedges = {x = "y", u = ["x", "y"]}\nlatent = ["u"]',
        'graph [ directed 1 node [ id 0 label "x" ] node [ id 1 label "y" ] node [ id 2 label "u" '
        "latent 1 ] edge [ source 0 target 1 ] edge [ source 2 target 0 ] edge [ source 2 target "
        "1 ] ]",
        "// a comment\ndag { x -> y; x <-> y }",
        "strict digraph g { x -> y; x -> y [dir=both] }",
    ],
)
def test_hidden_nodes_become_bidirected_edges(text: str) -> None:
    graph = CausalGraph.from_text(text)
    assert graph == CausalGraph(["x", "y"], [("x", "y")], [("x", "y")])


def test_hidden_nodes_of_networkx() -> None:
    one = nx.DiGraph([("u", "x"), ("u", "y"), ("x", "y")])
    one.nodes["u"]["latent"] = True
    one.nodes["x"]["latent"] = False
    assert CausalGraph.from_networkx(one).bidirected == (("x", "y"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("digraph { TV spend -> sales }", ['"TV spend"', "line 1"]),
        ("digraph {\n sales\n sales -> TV ad spend [style=bold] }", ['"TV ad spend"', "line 3"]),
        ("dag { a -> {TV spend, price} }", ['"TV spend"']),
        ("dag { a -> {price; TV spend} }", ['"TV spend"']),
        ("dag { TV spend [exposure] }", ['"TV spend"']),
        ('dag { "TV" spend -> sales }', ['"TV spend"']),
    ],
)
def test_names_with_spaces_ask_for_quotes(text: str, words: list[str]) -> None:
    assert all(word in told(text) for word in words)


def test_names_that_are_certain() -> None:
    graph = CausalGraph.from_text("dag { a -> {b c}; TV%20spend -> x.y; d\n e }")
    assert graph.nodes == ("a", "b", "c", "TV spend", "x.y", "d", "e")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pdag { a -> b -- c }", "'pdag' is a class of graphs"),
        ("dag { a @-> b }", "'@->' does not say which node is the cause"),
        ("dag { a -- b }", "'--' does not say which node is the cause"),
        ("dag { u [latent] }", "Every node is marked as hidden"),
        ("dag { u [latent, outcome]; u -> a }", "'u' is marked both as hidden and as target"),
        ("dag { node [latent]; a -> b }", "node [latent]"),
        ('edges = [["a", "b"]]\nlatent = ["c"]', "'c' is marked as hidden"),
        ('edges = [["a", "b"]]\nlatent = 3', "latent should be a list"),
        ("hello", "dag { tv -> sales }"),
        ("", "no nodes"),
    ],
)
def test_texts_that_are_no_graph(text: str, words: str) -> None:
    assert words in told(text)


def test_a_graph_that_is_not_text() -> None:
    for wrong in (None, 3, b"dag { a -> b }", ["a"]):
        with pytest.raises(GraphError, match="string"):
            CausalGraph.from_text(wrong)  # type: ignore[arg-type]
    for wrong in (None, "dag { a -> b }", [("a", "b")]):
        with pytest.raises(GraphError, match=r"networkx\.DiGraph"):
            CausalGraph.from_networkx(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", [900, 20_000])
@pytest.mark.parametrize("opened", ["subgraph {", "{", "subgraph s {", "a -> {"])
def test_nested_groups_are_read_or_refused(opened: str, depth: int) -> None:
    assert "nested" in told("digraph {" + opened * depth + "a" + "}" * depth + "}")
    assert "nested" in told('graph [ directed 1 x "[[[" ' + "a [ " * depth + "]" * depth + "]")
    assert "nested" in told("a = " + "[" * max(depth, 9000))
    assert "nested" in told('{"edges": ' + "[" * max(depth, 2000))


def test_a_node_without_a_column_says_how_to_mark_it_hidden() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 2)), columns=["x", "y"])
    graph = CausalGraph(edges=[("demand", "x"), ("demand", "y"), ("x", "y")])
    with pytest.raises(DataError, match=r"project_out\('demand'\)") as error:
        graph_table(graph, frame)
    assert "a <-> b" in str(error.value)
    assert graph_table(graph.project_out("demand"), frame).nodes == ("x", "y")
    data = simulate.mmm(0, num_dates=40, num_channels=1).data
    with pytest.raises(GraphError, match=r"project_out\('demand'\)"):
        graph.with_roles_of(data)
