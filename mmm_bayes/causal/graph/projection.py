"""Latent projection: the graph of the measured nodes."""

from __future__ import annotations

import itertools

from mmm_bayes.causal.graph.checks import reach
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names
from mmm_bayes.runtime.deprecation import named_arguments


@named_arguments
def project_out[G: MixedGraph](graph: G, latent: Names) -> G:
    """Return the graph of the joint distribution of the other nodes.

    There is an edge ``a -> b`` where a directed path leads from a to b through latent nodes alone,
    and ``a <-> b`` where a path without colliders through latent nodes alone has arrowheads at
    both. Separations and effects among the nodes that remain are the same (Verma and Pearl 1990;
    Richardson et al. 2023).

    Parameters
    ----------
    latent : str or iterable of str
        Nodes that are not measured.

    Raises
    ------
    GraphError
        If names are unknown.

    Examples
    --------
    >>> from mmm_bayes import CausalGraph
    >>> print(CausalGraph(edges={"demand": ["tv", "sales"], "tv": "sales"}).project_out("demand"))
    tv -> sales
    tv <-> sales
    """
    hidden = set(as_names(latent))
    graph.check_nodes(as_names(latent))
    links = graph.links
    below = {v: links.children[v] if v in hidden else () for v in graph.nodes}
    # Nodes reached along directed paths on which all nodes but the last are latent.
    reached = {v: reach([v], below) for v in graph.nodes}
    kept = [v for v in graph.nodes if v not in hidden]
    edges = {
        (a, b)
        for a in kept
        for child in links.children[a]
        for b in reached[child]
        if b not in hidden
    }
    joined = set()
    sources = [(v, v) for v in hidden] + list(graph.bidirected)
    for one, other in sources:
        ends = [[v for v in reached[side] if v not in hidden] for side in (one, other)]
        joined |= {frozenset(pair) for pair in itertools.product(*ends) if pair[0] != pair[1]}
    roles = {name: role for name, role in graph.roles if name not in hidden}
    position = {v: i for i, v in enumerate(kept)}
    pairs = [sorted(pair, key=position.__getitem__) for pair in joined]
    return type(graph)(kept, sorted(edges, key=lambda e: [position[v] for v in e]), pairs, roles)
