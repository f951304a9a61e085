"""The adjustment criterion: nodes a valid set must not contain, and nodes it must separate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, final

from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names
from mmm_bayes.causal.graph.separation import Links
from mmm_bayes.causal.graph.separators import Question

Effect = Literal["total", "direct"]


class IdentificationError(GraphError):
    """No set of nodes or strategy identifies the effect; ``problems`` has reasons and remedies."""


@final
@dataclass(frozen=True)
class Criterion:
    r"""The generalised adjustment criterion for one effect.

    A set :math:`Z` is valid if it contains no forbidden node and m-separates treatment from outcome
    in a graph without the edges through which the effect runs. For the *total* effect (of one or
    several treatments), the nodes on proper causal paths and their descendants are forbidden, and
    the first edges of these paths are removed. The criterion is then necessary and sufficient for

    .. math:: p(y \mid do(x)) = \sum_z p(y \mid x, z) p(z)

    in every model of the graph, including those with hidden causes behind bidirected edges
    (Shpitser, VanderWeele and Robins 2010; Perkovic et al. 2018; van der Zander, Liskiewicz and
    Textor 2019). For the *direct* effect, the descendants of the outcome are forbidden (if there is
    an edge), and only the edge from treatment to outcome is removed. This is the single-door
    criterion (Pearl 2009, theorem 5.3.1), which gives the coefficient of the edge in linear models.
    It equals the criterion above for a copy :math:`x'` of the treatment that enters only the
    equation of the outcome, :math:`y = f(x', r)`. Without linearity it therefore gives

    .. math:: p(y \mid do(x')) = \int p(y \mid x', r) p(r) dr,

    the controlled direct effect given all other causes :math:`r` of the outcome, averaged over
    their observed distribution.

    Attributes
    ----------
    treatment : tuple of str
    outcome : str
    effect : {"total", "direct"}
    links : Links
        The graph in which the set must separate treatment and outcome.
    through : frozenset of str
        Nodes on proper causal paths, without the treatments. For direct effects: the outcome, if
        there is an edge.
    forbidden : frozenset of str
        Nodes that no valid set contains, not counting treatment and outcome.
    """

    treatment: tuple[str, ...]
    outcome: str
    effect: Effect
    links: Links
    through: frozenset[str]
    forbidden: frozenset[str]

    def is_met(self, given: Iterable[str]) -> bool:
        """Return whether a set, which must not contain treatment or outcome, is valid."""
        known = set(given)
        return self.forbidden.isdisjoint(known) and self.links.separated(
            self.treatment, [self.outcome], known
        )

    def question(self, nodes: Sequence[str], required: Iterable[str] = ()) -> Question:
        """Return the search for valid sets that consist of the given nodes."""
        out = self.forbidden | {*self.treatment, self.outcome}
        return Question(
            self.links,
            frozenset(self.treatment),
            frozenset({self.outcome}),
            frozenset(required),
            tuple(name for name in nodes if name not in out),
        )


def criterion(
    graph: MixedGraph, treatment: Names, outcome: str, effect: Effect = "total"
) -> Criterion:
    """Set up the criterion for one effect.

    Raises
    ------
    GraphError
        If names are unknown, treatment and outcome overlap, or the kind of effect is unknown.
    """
    causes = as_names(treatment)
    problems = graph.unknown([*causes, outcome])
    if not causes:
        problems.append("There is no treatment: name a node.")
    if outcome in causes:
        problems.append(f"{outcome!r} is both treatment and outcome: name two nodes.")
    if effect not in ("total", "direct"):
        problems.append(f"effect should be 'total' or 'direct', but is {effect!r}.")
    if problems:
        raise GraphError(problems, "the question")
    links = graph.links
    if effect == "direct":
        through = frozenset({outcome} if any(outcome in links.children[x] for x in causes) else ())
        cut = links.without((x, outcome) for x in causes)
        forbidden = links.descendants(through) - {*causes, outcome}
        return Criterion(causes, outcome, effect, cut, through, frozenset(forbidden))
    on_paths = causal_nodes(links, causes, outcome)
    cut = links.without((x, child) for x in causes for child in on_paths)
    forbidden = links.descendants(on_paths) - {*causes, outcome}
    return Criterion(causes, outcome, effect, cut, frozenset(on_paths), frozenset(forbidden))


def causal_nodes(links: Links, treatment: Sequence[str], outcome: str) -> set[str]:
    """Collect the nodes on directed paths from a treatment to the outcome that avoid the others."""
    caused = links.without_arrows_into(treatment).descendants(treatment) - set(treatment)
    return caused & links.without_arrows_from(treatment).ancestors([outcome])


def check_given(graph: MixedGraph, given: Names, goal: Criterion) -> tuple[str, ...]:
    """Check a proposed set, and return it in the order of the nodes.

    Raises
    ------
    GraphError
        If names are unknown, or the set contains treatment or outcome.
    """
    names = as_names(given)
    problems = graph.unknown(names)
    problems += [f"{v!r} is the treatment: leave it out of given." for v in names
                 if v in goal.treatment]  # fmt: skip
    problems += [f"{v!r} is the outcome: leave it out of given." for v in names
                 if v == goal.outcome]  # fmt: skip
    if problems:
        raise GraphError(problems, "the question")
    return graph.in_order(names)
