"""Read and write GML, the format of yEd, Gephi and DoWhy, by networkx."""

from __future__ import annotations

from collections.abc import Sequence

from mmm_bayes.causal.graph.checks import Pair
from mmm_bayes.causal.graph.networkx_graph import one_networkx_graph, read_networkx
from mmm_bayes.causal.graph.raw_graph import RawGraph


def parse_gml(text: str) -> RawGraph:
    """Read ``graph [directed 1 node [id 0 label "tv"] .. edge [source 0 target 1] ..]``.

    Nodes are called by their labels. An edge with the attribute ``dir "both"`` is bidirected; the
    attribute ``role`` of a node is its role.
    """
    import networkx as nx

    try:
        graph = nx.parse_gml(text)
    except (nx.NetworkXError, ValueError, KeyError, TypeError, RecursionError) as error:
        return RawGraph(problems=[f"The file is not GML: {error}."])
    # Labels may be written as numbers.
    return read_networkx(nx.relabel_nodes(graph, {name: str(name) for name in graph}))


def gml_text(
    nodes: Sequence[str],
    edges: Sequence[Pair],
    bidirected: Sequence[Pair],
    roles: Sequence[Pair] = (),
) -> str:
    """Write a graph in GML; as a multigraph where a pair has an edge of either kind."""
    import networkx as nx

    graph = one_networkx_graph(nodes, edges, bidirected, roles)
    return "\n".join(nx.generate_gml(graph)) + "\n"
