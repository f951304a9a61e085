"""The ID algorithm: write p(y | do(x)) as a product of factors, one for each district."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmm_bayes.causal.graph.checks import reach
from mmm_bayes.causal.graph.districts import district, markov_pillow
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names
from mmm_bayes.causal.graph.projection import project_out
from mmm_bayes.causal.identify.criteria import criterion


def id_formula(
    graph: MixedGraph, treatment: Names, outcome: str, *, latent: Names = ()
) -> str | None:
    r"""Write p(outcome | do(treatment)) in terms of the observed distribution.

    Return None if the effect is not identified.

    With :math:`D` the ancestors of the outcome in the graph without the treatments, and
    :math:`D_1, .., D_k` its districts,

    .. math:: p(y \mid do(x)) = \sum_{D \setminus y} \prod_i Q[D_i],

    where :math:`Q[C]` is the distribution of :math:`C` under an intervention on all other nodes.
    The derivation of each :math:`Q[D_i]` starts from the district of the whole graph that contains
    :math:`D_i`. Nodes that are not ancestors of :math:`D_i` are summed out, and the step is
    repeated with the district that contains :math:`D_i` among the remaining nodes. If no node can
    be summed out before only :math:`D_i` is left, neither the factor nor the effect is identified.
    The algorithm is complete (Tian and Pearl 2002; Shpitser and Pearl 2006; Huang and Valtorta
    2006).

    Raises
    ------
    GraphError
        If names are unknown or treatment and outcome overlap.

    Examples
    --------
    >>> from mmm_bayes import CausalGraph
    >>> from mmm_bayes.causal.identify.id_algorithm import id_formula
    >>> door = CausalGraph(edges=[("x", "m"), ("m", "y")], bidirected=[("x", "y")])
    >>> id_formula(door, "x", "y")
    'sum over m: p(m | x) [sum over x: p(x) p(y | x, m)]'
    >>> id_formula(CausalGraph(edges=[("x", "y")], bidirected=[("x", "y")]), "x", "y") is None
    True
    """
    criterion(graph, treatment, outcome)
    graph = project_out(graph, as_names(latent))
    kept = set(graph.nodes) - set(as_names(treatment))
    ancestors = _ancestors(graph, [outcome], kept)
    factors = []
    for part in _districts(graph, ancestors):
        whole = set(district(graph, next(iter(part))))
        order = graph.topological_order()
        start = [_conditional(v, markov_pillow(graph, v)) for v in order if v in whole]
        factor = _factor(graph, part, whole, start)
        if factor is None:
            return None
        factors.append((min(order.index(v) for v in part), factor))
    text = _product([factor for _, factor in sorted(factors)])
    return _summed(graph, ancestors - {outcome}, text, outer=True)


def is_identifiable(
    graph: MixedGraph, treatment: Names, outcome: str, *, latent: Names = ()
) -> bool:
    """Return whether the observed distribution determines p(outcome | do(treatment))."""
    return id_formula(graph, treatment, outcome, latent=latent) is not None


def _factor(graph: MixedGraph, part: set[str], whole: set[str], terms: Sequence[str]) -> str | None:
    """Derive Q[part] from Q[whole], a product of terms; None if it is not identified."""
    ancestors = _ancestors(graph, part, whole)
    if ancestors == part:
        return _summed(graph, whole - part, _product(terms))
    if ancestors == whole:
        return None
    smaller = next(own for own in _districts(graph, ancestors) if part <= own)
    order = [v for v in graph.topological_order() if v in ancestors]
    ratios = []
    for i, name in enumerate(order):
        if name in smaller:
            # Marginal of Q[whole] up to and with this node, over the marginal without this node.
            after = whole - ancestors | set(order[i + 1 :])
            above = _summed(graph, after, _product(terms))
            below = _summed(graph, after | {name}, _product(terms)) if i else "1"
            ratios.append(above if below == "1" else f"({above} / {below})")
    return _factor(graph, part, smaller, ratios)


def _ancestors(graph: MixedGraph, names: Iterable[str], within: set[str]) -> set[str]:
    links = graph.links
    return reach(names, {v: [p for p in links.parents[v] if p in within] for v in within})


def _districts(graph: MixedGraph, within: set[str]) -> list[set[str]]:
    chosen = [v for v in graph.nodes if v in within]
    found = dict.fromkeys(district(graph, v, within=chosen) for v in chosen)
    return [set(own) for own in found]


def _conditional(name: str, given: Sequence[str]) -> str:
    return f"p({name} | {', '.join(given)})" if given else f"p({name})"


def _product(terms: Sequence[str]) -> str:
    return " ".join(terms)


def _summed(graph: MixedGraph, names: set[str], text: str, outer: bool = False) -> str:
    if not names:
        return text
    over = ", ".join(v for v in graph.nodes if v in names)
    return f"sum over {over}: {text}" if outer else f"[sum over {over}: {text}]"
