"""Instruments: nodes that affect the outcome only through the treatment, given other nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names
from mmm_bayes.causal.graph.separators import Question, nearest
from mmm_bayes.causal.identify.criteria import Criterion, check_given, criterion
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.visible import shown_safely


@final
@dataclass(frozen=True)
class Instrument:
    """A node that is an instrument, possibly conditional on other nodes.

    Attributes
    ----------
    node : str
    given : tuple of str
        Nodes to condition on; often empty.
    """

    node: str
    given: tuple[str, ...] = ()

    @shown_safely
    def __str__(self) -> str:
        return f"{self.node} given {', '.join(self.given)}" if self.given else self.node


@named_arguments
def is_instrument(
    graph: MixedGraph, node: str, treatment: str, outcome: str, given: Names = ()
) -> bool:
    r"""Return whether a node is an instrument for the total effect, given other nodes.

    Node :math:`z` and the given nodes :math:`W` must not descend from causal paths; :math:`z` must
    be m-connected with the treatment given :math:`W`, and m-separated from the outcome in the graph
    without the first edges of causal paths (Brito and Pearl 2002, for total effects). With linear
    effects

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


@named_arguments
def instruments(
    graph: MixedGraph, treatment: str, outcome: str, *, latent: Names = (), forbidden: Names = ()
) -> tuple[Instrument, ...]:
    """Return the nodes that are instruments, with the nodes to condition on (none if possible).

    Conditioning sets consist of ancestors of instrument and outcome. If any such set works, the
    separator nearest to the outcome works (van der Zander, Textor and Liskiewicz 2015). Descendants
    of the treatment are excluded. If neither adjustment nor an instrument found here identifies the
    effect, no node is an instrument given any set. Instruments without conditioning nodes come
    first. The result is empty if the treatment does not cause the outcome.

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
