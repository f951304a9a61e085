"""Markov equivalence: which edges have a direction that independences determine."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import final

from mmm_bayes.causal.graph.implied import Independence, implied_independences
from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.runtime.visible import shown_safely

Pair = tuple[str, str]


def implied_claims(graph: MixedGraph) -> tuple[Independence, ...]:
    r"""Return one implied independence for every pair of nodes that some set separates.

    The independence is given the parents of both nodes where these separate the pair, as they
    always do in a DAG: they remove the most noise from either side, and in time series much of the
    autocorrelation. Elsewhere it is given the smallest separating set.
    """
    smallest: dict[Pair, Independence] | None = None
    joined = {frozenset(pair) for pair in (*graph.edges, *graph.bidirected)}
    found = []
    for x, y in itertools.combinations(graph.nodes, 2):
        if frozenset((x, y)) in joined:
            continue
        both = {*graph.parents(x), *graph.parents(y)} - {x, y}
        given = tuple(v for v in graph.nodes if v in both)
        if graph.is_dag or graph.m_separated(x, y, given):
            found.append(Independence(x, y, given))
            continue
        if smallest is None:
            smallest = {(one.x, one.y): one for one in implied_independences(graph)}
        if (x, y) in smallest:
            found.append(smallest[x, y])
    return tuple(found)


@final
@dataclass(frozen=True)
class TimeOrder:
    """A claim that the past of an effect does not predict its cause, given that cause's causes.

    Attributes
    ----------
    x, y : str
        Cause and effect: the past of ``y`` is independent of ``x``, ...
    given : tuple of str
        ... given the present and past causes of ``x``, and its own past.
    """

    x: str
    y: str
    given: tuple[str, ...] = ()

    @shown_safely
    def __str__(self) -> str:
        return f"past of {self.y} ⊥ {self.x} | {', '.join((f'past of {self.x}', *self.given))}"


def time_order_claims(graph: MixedGraph) -> tuple[TimeOrder, ...]:
    """Return the claim of every edge about time series: effects do not precede their causes.

    In the graph over all dates, where causes act at once or later, a node without hidden causes is
    independent of everything earlier, given its own causes and its past (its local Markov
    property). Unlike independences within a date, this differs between directions.
    """
    hidden = {name for pair in graph.bidirected for name in pair}
    return tuple(
        TimeOrder(cause, effect, graph.parents(cause))
        for cause, effect in graph.edges
        if cause not in hidden
    )


def undecided_edges(graph: MixedGraph) -> tuple[Pair, ...]:
    r"""Return the edges whose reversal implies the same independences.

    Graphs with the same independences form a Markov equivalence class: those with the same edges
    but for direction, and the same colliders of two nodes that no edge joins (Verma and Pearl
    1990). Edges that point the same way in all of them follow from the colliders by Meek's (1995)
    rules; the others are returned. For a mixed graph these are the edges whose reversal alone
    leaves every tested independence unchanged.

    References
    ----------
    C. Meek (1995), Causal inference and causal explanation with background knowledge. UAI 11.
    """
    if not graph.is_dag:
        return tuple(
            edge
            for edge in graph.edges
            if (other := turned(graph, edge)) is not None and _same_claims(graph, other)
        )
    near = {v: {*graph.parents(v), *graph.children(v)} for v in graph.nodes}
    settled: set[Pair] = set()
    for v in graph.nodes:
        for a, b in itertools.combinations(graph.parents(v), 2):
            if b not in near[a]:
                settled |= {(a, v), (b, v)}
    changed = True
    while changed:
        more = {
            edge for edge in graph.edges if edge not in settled and _forced(edge, settled, near)
        }
        settled |= more
        changed = bool(more)
    return tuple(edge for edge in graph.edges if edge not in settled)


def turned[G: MixedGraph](graph: G, edge: Pair) -> G | None:
    """Reverse an edge; return None where that makes a cycle."""
    cause, effect = edge
    left = [other for other in graph.edges if other != edge]
    if _leads(left, cause, effect) or (effect, cause) in left:
        return None
    return graph.with_edges([*left, (effect, cause)])


def joined[G: MixedGraph](graph: G, edge: Pair) -> G | None:
    """Add an edge; return None where it exists already or makes a cycle."""
    if edge in graph.edges or _leads(graph.edges, edge[1], edge[0]):
        return None
    return graph.with_edges([*graph.edges, edge])


def without[G: MixedGraph](graph: G, edge: Pair) -> G:
    """Remove an edge."""
    return graph.with_edges([other for other in graph.edges if other != edge])


def same_class(one: MixedGraph, other: MixedGraph) -> bool:
    """Return whether two DAGs over the same nodes imply the same independences."""
    return _pattern(one) == _pattern(other)


def _leads(edges: tuple[Pair, ...] | list[Pair], start: str, end: str) -> bool:
    """Return whether a directed path leads from one node to another."""
    reached, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        for cause, effect in edges:
            if cause == node and effect not in reached:
                reached.add(effect)
                waiting.append(effect)
    return end in reached


def _forced(edge: Pair, settled: set[Pair], near: dict[str, set[str]]) -> bool:
    """Apply Meek's rules 1 to 3; the fourth is for background knowledge only."""
    a, b = edge
    first = any(y == a and x not in near[b] for x, y in settled)
    second = any(x == a and (y, b) in settled for x, y in settled)
    into = [x for x, y in settled if y == b and x in near[a] and x != a]
    open_ = [x for x in into if (a, x) not in settled and (x, a) not in settled]
    third = any(d not in near[c] for c, d in itertools.combinations(open_, 2))
    return first or second or third


def _pattern(graph: MixedGraph) -> tuple[frozenset[frozenset[str]], frozenset[object]]:
    pairs = frozenset(frozenset(edge) for edge in graph.edges)
    colliders = frozenset(
        (frozenset((a, b)), v)
        for v in graph.nodes
        for a, b in itertools.combinations(graph.parents(v), 2)
        if frozenset((a, b)) not in pairs
    )
    return pairs, colliders


def _same_claims(one: MixedGraph, other: MixedGraph) -> bool:
    return all(
        graph.m_separated(claim.x, claim.y, claim.given)
        for graph, claims in (
            (other, implied_claims(one)),
            (one, implied_claims(other)),
        )
        for claim in claims
    )
