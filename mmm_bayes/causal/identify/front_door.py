"""Front-door sets: mediators that carry the whole effect and are themselves not confounded."""

from __future__ import annotations

from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names
from mmm_bayes.causal.graph.separation import Links
from mmm_bayes.causal.identify.criteria import causal_nodes, criterion
from mmm_bayes.runtime.deprecation import named_arguments


@named_arguments
def is_front_door_set(graph: MixedGraph, treatment: str, outcome: str, through: Names) -> bool:
    r"""Return whether a set of nodes meets Pearl's front-door criterion.

    A set :math:`M` meets it if (i) every directed path from treatment :math:`x` to outcome
    :math:`y` passes through :math:`M`, (ii) no back-door path from :math:`x` to :math:`M` is open,
    and (iii) :math:`x` closes all back-door paths from :math:`M` to :math:`y`. Then

    .. math:: p(y \mid do(x)) = \sum_m p(m \mid x) \sum_{x'} p(y \mid x', m) p(x').

    Raises
    ------
    GraphError
        If names are unknown or the sets overlap.

    References
    ----------
    J. Pearl (2009), Causality, definition 3.3.3.
    """
    goal = criterion(graph, treatment, outcome)
    names = as_names(through)
    problems = graph.unknown(names)
    problems += [f"{v!r} is treatment or outcome." for v in names if v in (treatment, outcome)]
    if problems:
        raise GraphError(problems, "the question")
    links = graph.links
    return (
        _meets_all(links, goal.treatment[0], outcome, set(names))
        and links.without_arrows_from([treatment]).separated([treatment], names, ())
        and links.without_arrows_from(names).separated(names, [outcome], [treatment])
    )


@named_arguments
def front_door_set(
    graph: MixedGraph, treatment: str, outcome: str, *, latent: Names = (), forbidden: Names = ()
) -> tuple[str, ...] | None:
    """Return a minimal front-door set in the order of the nodes, or None if there is none.

    The union of sets that meet conditions (ii) and (iii) of :meth:`is_front_door_set` meets them
    too, so there is a largest such set. It is found by dropping nodes with an open back-door path
    until none is left. Members that are not needed are then removed, later nodes first. The time is
    polynomial (compare Jeong, Tian and Bareinboim 2022, who list all sets). The result is also None
    if the treatment does not cause the outcome.

    Raises
    ------
    GraphError
        If names are unknown or treatment and outcome are the same.
    """
    criterion(graph, treatment, outcome)
    out = {*as_names(latent), *as_names(forbidden), treatment, outcome}
    graph.check_nodes(out)
    links = graph.links
    if not causal_nodes(links, [treatment], outcome):
        return None
    found = _largest(links, treatment, outcome, [v for v in graph.nodes if v not in out])
    if not _meets_all(links, treatment, outcome, found):
        return None
    for name in reversed(graph.nodes):
        if name in found:
            fewer = _largest(links, treatment, outcome, found - {name})
            if _meets_all(links, treatment, outcome, fewer):
                found = fewer
    return tuple(v for v in graph.nodes if v in found)


def _meets_all(links: Links, treatment: str, outcome: str, through: set[str]) -> bool:
    """Return whether every directed path from treatment to outcome passes through a set."""
    return outcome not in links.without_arrows_from(through).descendants([treatment])


def _largest(links: Links, treatment: str, outcome: str, nodes: list[str] | set[str]) -> set[str]:
    """Find the largest subset of some nodes that meets conditions (ii) and (iii)."""
    behind = links.without_arrows_from([treatment])
    found = {v for v in nodes if behind.separated([treatment], [v], ())}
    while True:
        cut = links.without_arrows_from(found)
        bad = {v for v in found if not cut.separated([v], [outcome], [treatment])}
        if not bad:
            return found
        found -= bad
