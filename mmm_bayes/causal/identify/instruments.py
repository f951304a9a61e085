"""Instruments: what moves the outcome through the treatment alone, if need be given other nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names
from mmm_bayes.causal.graph.separators import Question, nearest
from mmm_bayes.causal.identify.criteria import Criterion, check_given, criterion


@final
@dataclass(frozen=True)
class Instrument:
    """A node that serves as an instrument, given others.

    Attributes
    ----------
    node : str
    given : tuple of str
        What to condition on; often nothing.
    """

    node: str
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.node} given {', '.join(self.given)}" if self.given else self.node


def is_instrument(
    graph: MixedGraph, node: str, treatment: str, outcome: str, given: Names = ()
) -> bool:
    r"""Whether a node is an instrument for the total effect, given others.

    Node :math:`z` and :math:`W` do not descend from causal paths, :math:`z` is m-connected with the
    treatment given :math:`W`, and m-separated from the outcome in the graph without the first edges
    of causal paths (Brito and Pearl 2002, for total effects). With linear effects

    .. math:: \tau = \mathrm{cov}(z, y \mid W) / \mathrm{cov}(z, x \mid W).

    Raises
    ------
    GraphError
        If names are unknown or the sets overlap.
    """
    goal = criterion(graph, treatment, outcome)
    check_given(graph, node, goal)
    known = check_given(graph, given, goal)
    if node in known:
        raise GraphError([f"{node!r} is in given: leave it out there."], "the question")
    return _serves(graph, goal, node, known)


def instruments(
    graph: MixedGraph, treatment: str, outcome: str, *, latent: Names = (), forbidden: Names = ()
) -> tuple[Instrument, ...]:
    """Return the nodes that are instruments, with what to condition on (nothing if possible).

    Sets to condition on are looked for among the ancestors of instrument and outcome. If one of
    them serves, the separator nearest to the outcome does (van der Zander, Textor and Liskiewicz
    2015). Descendants of the treatment are left out. Where neither adjustment serves nor a node
    that is found here, no node is an instrument given any set.
    Instruments given nothing come first. None where the treatment does not cause the outcome.

    Raises
    ------
    GraphError
        If names are unknown or treatment and outcome are the same.
    """
    goal = criterion(graph, treatment, outcome)
    out = {*as_names(latent), *as_names(forbidden)}
    graph.check_nodes(out)
    if not goal.through:
        return ()
    nodes = [
        v for v in graph.nodes
        if v not in out and v not in goal.forbidden and v not in (treatment, outcome)
    ]  # fmt: skip
    after = graph.links.descendants([treatment])
    found = []
    for node in (v for v in nodes if v not in after):
        if _serves(graph, goal, node, ()):
            found.append(Instrument(node))
            continue
        allowed = tuple(v for v in nodes if v != node)
        ends = frozenset({node}), frozenset({outcome})
        given = nearest(Question(goal.links, *ends, frozenset(), allowed))
        if given is not None and _serves(graph, goal, node, given):
            found.append(Instrument(node, tuple(v for v in graph.nodes if v in given)))
    return tuple(sorted(found, key=lambda one: bool(one.given)))


def _serves(
    graph: MixedGraph, goal: Criterion, node: str, given: tuple[str, ...] | frozenset[str]
) -> bool:
    return (
        goal.forbidden.isdisjoint([node, *given])
        and bool(goal.through)
        and not graph.links.separated(goal.treatment, [node], given)
        and goal.links.separated([node], [goal.outcome], given)
    )
