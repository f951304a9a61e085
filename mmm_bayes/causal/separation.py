"""Which nodes of a mixed graph open paths lead to: reachability over (node, arrowhead) states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmm_bayes.causal.graph_checks import reach

Neighbours = Mapping[str, Iterable[str]]


def connected(
    starts: set[str], given: set[str], parents: Neighbours, children: Neighbours, joined: Neighbours
) -> set[str]:
    r"""Collect the nodes outside ``given`` that an open path joins with ``starts``.

    A walk is followed edge by edge with the mark, arrowhead or tail, at its last node :math:`v`.
    Where two arrowheads meet, the walk goes on if :math:`v` is in ``given`` or has a descendant
    there; elsewhere, if :math:`v` is not in ``given``. An open walk exists exactly where an open
    path does (Koller & Friedman 2009, algorithm 3.1, with bidirected edges as a second way into an
    arrowhead), so each (node, mark) is visited once: time is linear in the number of edges.

    Parameters
    ----------
    starts, given : set of str
        Disjoint sets of nodes.
    parents, children, joined : mapping of str to names
        Neighbours of each node along directed edges, either way, and bidirected ones.
    """
    colliders = reach(given, parents)
    # A start is left by any edge, as a node entered by a tail would be.
    waiting = [(name, False) for name in starts]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        name, arrowhead = state
        if name not in given:
            waiting.extend((child, True) for child in children[name])
        if name in colliders if arrowhead else name not in given:
            waiting.extend((parent, False) for parent in parents[name])
            waiting.extend((other, True) for other in joined[name])
    return {name for name, _ in seen} - given
