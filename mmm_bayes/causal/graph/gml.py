"""Graphs in GML, as yEd, Gephi and DoWhy write them; read and written by networkx."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmm_bayes.causal.graph.checks import Pair


@dataclass
class ParsedGml:
    """Names, pairs and roles of a GML graph, and what is wrong with it."""

    nodes: list[str] = field(default_factory=list)
    edges: list[Pair] = field(default_factory=list)
    bidirected: list[Pair] = field(default_factory=list)
    roles: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def parse_gml(text: str) -> ParsedGml:
    """Read ``graph [directed 1 node [id 0 label "tv"] .. edge [source 0 target 1] ..]``.

    Nodes are called by their labels. An edge with the attribute ``dir "both"`` is bidirected; the
    attribute ``role`` of a node is its role.

    Raises
    ------
    ImportError
        If networkx is not installed.
    """
    nx = _networkx()
    try:
        graph = nx.parse_gml(text)
    except (nx.NetworkXError, ValueError, KeyError, TypeError, RecursionError) as error:
        return ParsedGml(problems=[f"The file is not GML: {error}."])
    if not graph.is_directed():
        problem = "The graph is undirected: write 'directed 1', and causes as sources of edges."
        return ParsedGml(problems=[problem])
    found = ParsedGml(nodes=[str(name) for name in graph.nodes])
    for one, other, attributes in graph.edges(data=True):
        both = attributes.get("dir") == "both"
        (found.bidirected if both else found.edges).append((str(one), str(other)))
    for name, attributes in graph.nodes(data=True):
        if "role" in attributes:
            found.roles[str(name)] = attributes["role"]
        if attributes.get("observed") == "no" or "latent" in attributes:
            found.problems.append(
                f"{name} is marked as hidden, but nodes are observed variables: leave it out and "
                'join its effects by edges with dir "both".'
            )
    return found


def gml_text(
    nodes: Sequence[str],
    edges: Sequence[Pair],
    bidirected: Sequence[Pair],
    roles: Sequence[Pair] = (),
) -> str:
    """Write a graph in GML; a multigraph where a pair has an edge of either kind.

    Raises
    ------
    ImportError
        If networkx is not installed.
    """
    nx = _networkx()
    graph = nx.MultiDiGraph() if set(edges) & set(bidirected) else nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    graph.add_edges_from(bidirected, dir="both")
    for name, role in roles:
        graph.nodes[name]["role"] = role
    return "\n".join(nx.generate_gml(graph)) + "\n"


def _networkx() -> Any:
    try:
        import networkx
    except ImportError as error:
        raise ImportError('networkx is missing: pip install "mmm-bayes[causal]"') from error
    return networkx
