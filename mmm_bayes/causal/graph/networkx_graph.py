"""Graphs of networkx: nodes with roles, directed edges, and edges marked as bidirected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mmm_bayes.causal.graph.checks import Pair
from mmm_bayes.causal.graph.raw_graph import RawGraph, is_called_hidden, is_marked_hidden

if TYPE_CHECKING:
    import networkx as nx


def read_networkx(
    directed: nx.DiGraph, bidirected: nx.Graph | Iterable[Sequence[Any]] = ()
) -> RawGraph:
    """Take the parts out of a ``networkx.DiGraph`` (or ``MultiDiGraph``).

    Parameters
    ----------
    directed : networkx.DiGraph
        Edges with the attribute ``dir="both"`` are bidirected; the attribute ``role`` of a node is
        its role, and ``latent`` (or ``observed="no"``) marks a hidden node.
    bidirected : networkx.Graph or iterable of pairs
        Further bidirected edges.
    """
    if not hasattr(directed, "is_directed"):
        return RawGraph(
            problems=[f"The graph should be a networkx.DiGraph, but is {directed!r:.60}."]
        )
    if not directed.is_directed():
        return RawGraph(
            problems=[
                "The graph is undirected, so causes cannot be told from effects: give a "
                "networkx.DiGraph, or write 'directed 1' in a GML file, with causes as sources."
            ]
        )
    edges: list[tuple[Any, Any]] = []
    both: list[tuple[Any, Any]] = []
    for cause, effect, attributes in directed.edges(data=True):
        (both if attributes.get("dir") == "both" else edges).append((cause, effect))
    more: Any = getattr(bidirected, "edges", bidirected)
    latent = [
        name
        for name, attributes in directed.nodes(data=True)
        if is_marked_hidden(attributes) or is_called_hidden(name)
    ]
    roles = {name: role for name, role in directed.nodes(data="role") if role is not None}
    return RawGraph(
        nodes=list(directed.nodes),
        edges=edges,
        bidirected=[*both, *(tuple(pair)[:2] for pair in more)],
        roles=roles,
        latent=latent,
    )


def networkx_parts(
    nodes: Sequence[str], edges: Sequence[Pair], bidirected: Sequence[Pair], roles: Sequence[Pair]
) -> tuple[nx.DiGraph, nx.Graph]:
    """Write the directed and the bidirected edges as two graphs over all nodes."""
    import networkx as nx

    directed, undirected = nx.DiGraph(), nx.Graph()
    for part, pairs in ((directed, edges), (undirected, bidirected)):
        part.add_nodes_from(nodes)
        part.add_edges_from(pairs)
    for name, role in roles:
        directed.nodes[name]["role"] = role
    return directed, undirected


def one_networkx_graph(
    nodes: Sequence[str], edges: Sequence[Pair], bidirected: Sequence[Pair], roles: Sequence[Pair]
) -> nx.DiGraph:
    """Write both kinds of edge in one graph, bidirected ones with the attribute ``dir="both"``.

    It is a ``MultiDiGraph`` where a pair has an edge of either kind.
    """
    import networkx as nx

    graph = nx.MultiDiGraph() if set(edges) & set(bidirected) else nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    graph.add_edges_from(bidirected, dir="both")
    for name, role in roles:
        graph.nodes[name]["role"] = role
    return graph
