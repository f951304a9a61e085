"""Districts, Markov pillows and Markov blankets of a mixed graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmm_bayes.causal.graph.checks import GraphError, reach
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names


def districts(graph: MixedGraph) -> tuple[tuple[str, ...], ...]:
    """Return the districts: groups of one or more nodes that bidirected edges connect."""
    return tuple(dict.fromkeys(district(graph, name) for name in graph.nodes))


def district(graph: MixedGraph, node: str, within: Names | None = None) -> tuple[str, ...]:
    """Return the nodes that bidirected edges connect with a node, including the node itself.

    Parameters
    ----------
    node : str
        The node.
    within : iterable of str, optional
        Nodes to stay within, including ``node``. Default: all.

    Raises
    ------
    GraphError
        If names are unknown, or ``node`` is not in ``within``.
    """
    inside = graph.nodes if within is None else as_names(within)
    graph.check_nodes([node, *inside])
    if node not in inside:
        raise GraphError([f"{node!r} is not among the nodes given as within: add it."])
    return graph.in_order(_district(graph, node, set(inside)))


def markov_pillow(
    graph: MixedGraph, node: str, order: Iterable[str] | None = None
) -> tuple[str, ...]:
    r"""Return the Markov pillow of a node: the predecessors that it depends on.

    With :math:`P` the node :math:`v` and all before it in the order, and :math:`D` the district of
    :math:`v` within :math:`P`,

    .. math:: \mathrm{mp}(v) = D \cup \mathrm{pa}(D) \setminus \{v\}.

    In a DAG these are the parents; in a mixed graph they may depend on the order. Given its pillow,
    a node is independent of all other predecessors.

    Parameters
    ----------
    node : str
        The node.
    order : iterable of str, optional
        All nodes, causes before effects. Default: :meth:`topological_order`.

    Raises
    ------
    GraphError
        If the node is unknown or the order is not valid for this graph.

    References
    ----------
    R. Bhattacharya, R. Nabi and I. Shpitser (2022), Semiparametric inference for causal effects in
    graphical models with hidden variables. JMLR 23(295).
    """
    graph.check_nodes([node])
    names = graph.topological_order() if order is None else graph.check_order(order)
    return _pillow(graph, names[: names.index(node) + 1])


def topological_factorization(
    graph: MixedGraph, order: Iterable[str] | None = None
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    r"""Return each node with its Markov pillow, in topological order.

    Together they factorise the density, :math:`p(v_1, .., v_d) = \prod_i p(v_i \mid
    \mathrm{mp}(v_i))` (Bhattacharya, Nabi and Shpitser 2022). Arguments and errors are those of
    :meth:`markov_pillow`.
    """
    names = graph.topological_order() if order is None else graph.check_order(order)
    return tuple((v, _pillow(graph, names[: i + 1])) for i, v in enumerate(names))


def markov_blanket(graph: MixedGraph, node: str) -> tuple[str, ...]:
    r"""Return the nodes given which a node is independent of all others.

    With :math:`D_w` the district of :math:`w`: the union of :math:`D_w \cup \mathrm{pa}(D_w)` over
    the node and its children, without the node itself. In a DAG: parents, children, and the
    children's other parents.

    Raises
    ------
    GraphError
        If the node is unknown.
    """
    graph.check_nodes([node])
    found: set[str] = set()
    for member in (node, *graph.links.children[node]):
        own = _district(graph, member, set(graph.nodes))
        found |= own.union(*(graph.links.parents[other] for other in own))
    return graph.in_order(found - {node})


def _district(graph: MixedGraph, node: str, inside: set[str]) -> set[str]:
    siblings = graph.links.siblings
    return reach([node], {v: [w for w in siblings[v] if w in inside] for v in inside})


def _pillow(graph: MixedGraph, upto: Sequence[str]) -> tuple[str, ...]:
    """Return the pillow of the last of the nodes at the start of an order."""
    own = _district(graph, upto[-1], set(upto))
    parents = {parent for member in own for parent in graph.links.parents[member]}
    return graph.in_order((own | parents) - {upto[-1]})
