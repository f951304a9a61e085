"""Graphs against networkx and brute force; names that files could stumble over."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmm_bayes import CausalGraph

QUICK = settings(max_examples=40, deadline=None, derandomize=True)
# Anything UTF-8 can hold but surrogates; carriage returns and the like among them.
PLAIN = st.sampled_from("abcde")
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@st.composite
def graphs(draw: st.DrawFn, names: st.SearchStrategy[str] = PLAIN, most: int = 5) -> CausalGraph:
    nodes = draw(st.lists(names, min_size=1, max_size=most, unique=True))
    pairs = list(itertools.combinations(nodes, 2))
    flags = st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))
    kinds = draw(flags)
    edges = [pair for pair, kind in zip(pairs, kinds, strict=True) if kind in (1, 3)]
    hidden = [pair for pair, kind in zip(pairs, kinds, strict=True) if kind in (2, 3)]
    return CausalGraph(draw(st.permutations(nodes)), edges, hidden)


def canonical(graph: CausalGraph) -> nx.DiGraph:
    dag = nx.DiGraph(graph.edges)
    dag.add_nodes_from(graph.nodes)
    for i, (one, other) in enumerate(graph.bidirected):
        dag.add_edges_from([(("hidden", i), one), (("hidden", i), other)])
    return dag


@QUICK
@given(graphs(), st.data())
def test_projection_keeps_every_separation(graph: CausalGraph, data: st.DataObject) -> None:
    assume(len(graph.nodes) >= 3)
    hidden = data.draw(st.lists(st.sampled_from(graph.nodes), unique=True, max_size=2))
    small = graph.project_out(hidden)
    assert set(small.nodes) == set(graph.nodes) - set(hidden)
    dag = canonical(graph)
    for x, y in itertools.combinations(small.nodes, 2):
        rest = [v for v in small.nodes if v not in (x, y)]
        for size in range(len(rest) + 1):
            for z in itertools.combinations(rest, size):
                expected = nx.is_d_separator(dag, {x}, {y}, set(z))
                assert small.m_separated(x, y, z) == expected


@QUICK
@given(graphs())
def test_separation_is_symmetric_and_of_sets(graph: CausalGraph) -> None:
    assume(len(graph.nodes) >= 4)
    a, b, c, *rest = graph.nodes
    assert graph.m_separated(a, b, rest) == graph.m_separated(b, a, rest)
    both = graph.m_separated(a, [b, c], rest)
    assert both <= (graph.m_separated(a, b, rest) and graph.m_separated(a, c, rest))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graphs(NAMES, 4), st.sampled_from([".toml", ".json", ".dot", ".gml"]))
def test_files_bring_any_names_back(graph: CausalGraph, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = graph.to_file(Path(folder) / f"graph{suffix}")
        assert CausalGraph.from_file(path) == graph


@QUICK
@given(graphs(NAMES, 4))
def test_matrices_and_networkx_bring_graphs_back(graph: CausalGraph) -> None:
    assert CausalGraph.from_networkx(*graph.to_networkx()) == graph
    matrix = graph.adjacency()
    assert CausalGraph.from_adjacency(matrix, graph.nodes, graph.bidirected) == graph
    # Causes before effects: a triangular matrix.
    order = [graph.nodes.index(v) for v in graph.topological_order()]
    assert not np.tril(matrix[np.ix_(order, order)]).any()


@pytest.mark.parametrize("suffix", [".toml", ".json", ".dot", ".gml"])
@pytest.mark.parametrize(
    "name", ["a\r\nb", "\x00", "\x1b[31m", "&amp;", "&#65;", "\ufeff", "\x85", "]]", "a\\"]
)
def test_names_with_signs_of_the_formats(name: str, suffix: str, tmp_path: Path) -> None:
    graph = CausalGraph(edges=[(name, "sales")])
    assert CausalGraph.from_file(graph.to_file(tmp_path / f"graph{suffix}")) == graph
