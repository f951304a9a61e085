"""Read and write GML, the format of yEd, Gephi and DoWhy, by networkx."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmm_bayes.causal.graph.checks import Pair
from mmm_bayes.causal.graph.networkx_graph import one_networkx_graph, read_networkx
from mmm_bayes.causal.graph.raw_graph import RawGraph

_DEEPEST = 100  # lists within lists; networkx reads them by recursion


def parse_gml(text: str) -> RawGraph:
    """Read ``graph [directed 1 node [id 0 label "tv"] .. edge [source 0 target 1] ..]``.

    Nodes are called by their labels. An edge with the attribute ``dir "both"`` is bidirected; the
    attribute ``role`` of a node is its role, and ``latent 1`` or ``observed "no"`` marks a hidden
    one.
    """
    import networkx as nx

    if (line := _too_deep(text)) is not None:
        problem = f"line {line}: more than {_DEEPEST} lists are nested in each other."
        return RawGraph(problems=[problem])
    try:
        graph = nx.parse_gml(text)
    except (nx.NetworkXError, ValueError, KeyError, TypeError) as error:
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


def _too_deep(text: str) -> int | None:
    """Return the line on which lists are nested too deeply, if there is one."""
    depth = 0
    for line, content in enumerate(re.sub(r'"[^"]*"', _line_ends, text).split("\n"), 1):
        for sign in re.findall(r"[\[\]]", content):
            depth += 1 if sign == "[" else -1
            if depth > _DEEPEST:
                return line
    return None


def _line_ends(quoted: re.Match[str]) -> str:
    return "\n" * quoted[0].count("\n")
