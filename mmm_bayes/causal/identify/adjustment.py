"""Adjustment sets of a causal graph: check a set, find the smallest, list minimal or all sets."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from mmm_bayes.causal.graph import separators
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names
from mmm_bayes.causal.graph.separation import open_paths
from mmm_bayes.causal.identify.criteria import (
    Criterion,
    Effect,
    IdentificationError,
    check_given,
    criterion,
)
from mmm_bayes.causal.identify.front_door import front_door_set
from mmm_bayes.causal.identify.instruments import instruments
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import listing

Sets = tuple[tuple[str, ...], ...]

# Among sets of equal size, prefer nodes that media plans and calendars measure.
_RANK = {"control": 0, "seasonality": 0, "channel": 1, "mediator": 2, None: 3, "target": 4}
_MOST_PATHS = 4


@named_arguments
def is_adjustment_set(
    graph: MixedGraph,
    treatment: Names,
    outcome: str,
    given: Names = (),
    effect: Effect = "total",
) -> bool:
    r"""Return whether adjusting for ``given`` identifies the effect of a treatment on an outcome.

    The condition is necessary and sufficient; see
    :class:`mmm_bayes.causal.identify.criteria.Criterion`. Several treatments are
    intervened on jointly.

    Parameters
    ----------
    treatment : str or iterable of str
    outcome : str
    given : str or iterable of str
        Nodes adjusted for.
    effect : {"total", "direct"}
        Effect through all directed paths, or only through the edge from treatment to outcome.

    Raises
    ------
    GraphError
        If names are unknown or the sets overlap.

    Examples
    --------
    >>> from mmm_bayes import CausalGraph
    >>> graph = CausalGraph(
    ...     edges=[("season", "tv"), ("season", "sales"), ("tv", "search"), ("search", "sales")]
    ... )
    >>> graph.is_adjustment_set("tv", "sales", "season")
    True
    >>> graph.is_adjustment_set("tv", "sales", ["season", "search"])
    False
    """
    goal = criterion(graph, treatment, outcome, effect)
    return goal.is_met(check_given(graph, given, goal))


@named_arguments
def adjustment_set(
    graph: MixedGraph,
    treatment: Names,
    outcome: str,
    *,
    effect: Effect = "total",
    latent: Names = (),
    forbidden: Names = (),
    required: Names = (),
) -> tuple[str, ...]:
    """Return the smallest valid adjustment set, in the order of the nodes.

    Among sets of the same size, sets with more controls and seasons are preferred (then channels,
    mediators, and nodes without a role), and then sets with earlier nodes. The set is found as a
    minimum cut, in polynomial time.

    Parameters
    ----------
    treatment, outcome, effect
        As in :meth:`is_adjustment_set`.
    latent : str or iterable of str
        Nodes that are not measured.
    forbidden : str or iterable of str
        Measured nodes that should not be used.
    required : str or iterable of str
        Nodes that the set must contain.

    Raises
    ------
    IdentificationError
        If there is no valid set, listing the paths that stay open and remedies.
    GraphError
        If names are unknown or the sets overlap.

    References
    ----------
    B. van der Zander, M. Liskiewicz and J. Textor (2019), Separators and adjustment sets in causal
    graphs: complete criteria and an algorithmic framework. Artificial Intelligence 270.

    Examples
    --------
    >>> from mmm_bayes import CausalGraph
    >>> graph = CausalGraph(
    ...     edges=[("season", "tv"), ("season", "sales"), ("tv", "search"), ("search", "sales")]
    ... )
    >>> graph.adjustment_set("tv", "sales")
    ('season',)
    >>> graph.adjustment_set("tv", "sales", effect="direct")
    ('season', 'search')
    """
    goal = criterion(graph, treatment, outcome, effect)
    question = _question(graph, goal, latent, forbidden, required)
    found = separators.smallest(question, _costs(graph))
    if found is None:
        raise _not_found(graph, goal, question, as_names(latent))
    return graph.in_order(found)


@named_arguments
def adjustment_sets(
    graph: MixedGraph,
    treatment: Names,
    outcome: str,
    *,
    effect: Effect = "total",
    minimal: bool = True,
    latent: Names = (),
    forbidden: Names = (),
    required: Names = (),
    limit: int = 10_000,
) -> Sets:
    """Return all minimal valid adjustment sets, or all valid sets, smaller sets first.

    A minimal set has no valid proper subset (that contains the required nodes). The time per set is
    polynomial, but the number of sets may grow exponentially with the number of nodes.

    Parameters
    ----------
    treatment, outcome, effect, latent, forbidden, required
        As in :meth:`adjustment_set`.
    minimal : bool
        Whether to leave out sets that contain members that are not needed.
    limit : int
        Largest number of sets to list.

    Returns
    -------
    tuple of tuple of str
        Empty if there is no valid set.

    Raises
    ------
    GraphError
        If there are more sets than ``limit``, names are unknown or the sets overlap.
    """
    goal = criterion(graph, treatment, outcome, effect)
    question = _question(graph, goal, latent, forbidden, required)
    found: list[tuple[str, ...]] = []
    for names in (separators.minimal if minimal else separators.every)(question):
        if len(found) == limit:
            kind = "minimal" if minimal else "valid"
            remedy = "Raise limit" + ("." if minimal else ", or ask for minimal=True.")
            raise GraphError(
                [f"There are more than limit={limit} {kind} adjustment sets. {remedy}"],
                "the question",
            )
        found.append(graph.in_order(names))
    position = {name: i for i, name in enumerate(graph.nodes)}
    return tuple(sorted(found, key=lambda own: (len(own), [position[v] for v in own])))


def _question(
    graph: MixedGraph, goal: Criterion, latent: Names, forbidden: Names, required: Names
) -> separators.Question:
    hidden, banned, wanted = as_names(latent), as_names(forbidden), as_names(required)
    problems = graph.unknown([*hidden, *banned, *wanted])
    ends = {*goal.treatment, goal.outcome}
    problems += [f"{v!r} is the treatment or outcome: it cannot be required." for v in wanted
                 if v in ends]  # fmt: skip
    problems += [
        f"{v!r} is both required and {kind}: choose one."
        for kind, names in (("latent", hidden), ("forbidden", banned))
        for v in wanted
        if v in names
    ]
    if problems:
        raise GraphError(problems, "the question")
    out = {*hidden, *banned}
    return goal.question([v for v in graph.nodes if v not in out], wanted)


def _costs(graph: MixedGraph) -> Callable[[str], int]:
    """Return the cost of each node, so that the cheapest set is the preferred one.

    The size of a set counts first, then the ranks of its members, then their positions. The last
    part adds a power of two for each member, so that no two sets have the same cost.
    """
    count = len(graph.nodes)
    rank_unit = 1 << count
    size_unit = rank_unit * (1 + count * max(_RANK.values()))
    costs = {
        name: size_unit + rank_unit * _RANK[graph.role(name)] + (1 << position)
        for position, name in enumerate(graph.nodes)
    }
    return costs.__getitem__


def _not_found(
    graph: MixedGraph, goal: Criterion, question: separators.Question, latent: tuple[str, ...]
) -> IdentificationError:
    """Return the error that lists the paths no allowed set closes, with remedies."""
    what = f"the {goal.effect} effect of {', '.join(goal.treatment)} on {goal.outcome}"
    barred = [v for v in graph.in_order(question.required) if v in goal.forbidden]
    if barred:
        why = "descends from a node on a causal path" if goal.effect == "total" else (
            f"is caused by {goal.outcome}")  # fmt: skip
        return IdentificationError(
            [f"{v!r} is required, but {why}: no valid set contains it." for v in barred], what
        )
    paths = [
        path
        for x in goal.treatment
        for path in itertools.islice(
            open_paths(goal.links, x, goal.outcome, question.largest()), _MOST_PATHS
        )
        if set(goal.treatment).isdisjoint(path.nodes[1:])
    ]
    problems = []
    for path in paths[:_MOST_PATHS]:
        hidden = [f"a hidden cause of {one} and {other}" for one, other in path.hidden]
        hidden += [f"{v} (not measured)" for v in path.nodes if v in latent]
        why = f" It runs through {listing(hidden)}." if hidden else ""
        problems.append(f"No allowed set closes the path {path}.{why}")
    return IdentificationError([*problems, _what_helps(graph, goal, latent)], what)


def _what_helps(graph: MixedGraph, goal: Criterion, latent: tuple[str, ...]) -> str:
    ways = []
    nodes = [v for v in graph.nodes if v not in latent]
    x = goal.treatment[0]
    if len(goal.treatment) == 1 and goal.effect == "total":
        if (door := front_door_set(graph, x, goal.outcome, latent=latent)) is not None:
            ways.append(f"the front door through {', '.join(door)}")
        if found := instruments(graph, x, goal.outcome, latent=latent):
            ways.append(f"the instrument {found[0]} (linear effects)")
    without = goal.question(nodes)
    if not without.has_answer():
        measured = [v for v in latent if goal.question([*nodes, v]).has_answer()]
        ways += [f"measuring {v}" for v in measured]
        if not measured:
            ways.append("measuring the hidden causes on these paths (or proxies of them)")
    else:
        ways.append(
            "allowing more nodes: there is a valid set without the forbidden and required nodes"
        )
    ways.append(f"an experiment on {' and '.join(goal.treatment)}")
    return "Remedies: " + "; ".join(ways) + "."
