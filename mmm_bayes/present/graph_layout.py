"""The layout of every graph that is drawn: layers from left to right, with few crossings.

The method is that of Sugiyama, Tagawa and Toda (1981): nodes are assigned to layers, edges that
skip layers get a place in each, and the order within a layer follows that of its neighbours. Boxes
and arrows then come from :mod:`mmm_bayes.present.graph_arrows`.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.path import Path

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.present.graph_arrows import Box, Edge, arrange, routes

Pair = tuple[str, str]

Item = Hashable
"""A node, or the place ``(edge, layer)`` of an edge that crosses a layer."""

_SWEEPS = 16
_APART = 1.5  # how much longer edges may get, in layers, to keep nodes of a kind together
_LEVELS = 4  # rounds over all nodes; layers settle in two or three


class Layout(NamedTuple):
    """Where everything goes, in inches.

    Attributes
    ----------
    boxes
        By node.
    paths
        By edge; none meets a box that it does not start or end at.
    width
        Of the whole, margins included.
    """

    boxes: dict[str, Box]
    paths: dict[Pair, Path]
    width: float


def lay_out(
    labels: Mapping[str, str], level: Mapping[str, int], edges: Sequence[Pair], margin: float
) -> Layout:
    """Place the nodes and arrows of a graph whose layers are known.

    Parameters
    ----------
    labels
        Text of each node, in one line or more; their order breaks ties.
    level
        Layer of each node from the left.
    edges
        Pairs of nodes with an arrow.
    margin
        Room at the left and right, in inches.
    """
    if not labels:
        return Layout({}, {}, 2.0)
    rows = ordered(list(labels), level, edges)
    nodes = [item for row in rows for item in row if isinstance(item, str)]
    number = {name: i for i, name in enumerate(nodes)}
    pairs: list[Edge] = [(number[a], number[b]) for a, b in edges]
    columns = [level[name] for name in nodes]
    through = passes(rows, number)
    boxes, width = arrange([labels[name] for name in nodes], columns, pairs, margin, through)
    paths = routes(boxes, columns, pairs, through)
    by_edge = {edge: paths[pair] for edge, pair in zip(edges, pairs, strict=True)}
    return Layout(dict(zip(nodes, boxes, strict=True)), by_edge, width)


def layers(graph: CausalGraph, kinds: Mapping[str, str], outcome: str | None) -> dict[str, int]:
    """Assign layers from the left: causes before effects, short edges, kinds together."""
    first: dict[str, int] = {}
    for name in graph.topological_order():
        first[name] = max((first[p] + 1 for p in graph.parents(name)), default=0)
    if outcome is not None:
        _alone(graph, first, outcome)
    after = () if outcome is None else graph.descendants(outcome)
    last = max(first.values(), default=0)
    found = dict(first)
    for _ in range(_LEVELS):
        for name in reversed(graph.topological_order()):
            low = max((found[p] + 1 for p in graph.parents(name)), default=0)
            high = min((found[c] - 1 for c in graph.children(name)), default=last)
            if name == outcome:
                continue
            if outcome is not None and name not in after:
                high = min(high, found[outcome] - 1)
            fellows = [found[v] for v in graph.nodes if v != name and kinds[v] == kinds[name]]
            usual = max(sorted(set(fellows)), key=fellows.count) if fellows else low

            def cost(level: int, name: str = name, usual: int = usual) -> tuple[float, int]:
                length = sum(level - found[p] for p in graph.parents(name))
                length += sum(found[c] - level for c in graph.children(name))
                return length + _APART * abs(level - usual), level

            found[name] = min(range(low, high + 1), key=cost)
    used = sorted(set(found.values()))
    return {name: used.index(level) for name, level in found.items()}


def _alone(graph: CausalGraph, level: dict[str, int], outcome: str) -> None:
    """Move the outcome, and what it causes, to the right of all else."""
    after = {outcome, *graph.descendants(outcome)}
    end = max((level[v] for v in graph.nodes if v not in after), default=-1)
    if (shift := end + 1 - level[outcome]) > 0:
        for name in after:
            level[name] += shift


def ordered(
    nodes: Sequence[str], level: Mapping[str, int], edges: Sequence[tuple[str, str]]
) -> list[list[Item]]:
    """Order the nodes and crossing edges of each layer from the top, with few crossings.

    Parameters
    ----------
    nodes
        In the order that breaks ties.
    level
        Layer of each.
    edges
        Pairs that are joined by an arrow of any kind.
    """
    rows: list[list[Item]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in nodes:
        rows[level[name]].append(name)
    links: list[tuple[Item, Item]] = []
    for edge in edges:
        chain: list[Item] = [edge[0]]
        step = 1 if level[edge[1]] > level[edge[0]] else -1
        for layer in range(level[edge[0]] + step, level[edge[1]], step):
            place = (edge, layer)
            rows[layer].append(place)
            chain.append(place)
        chain.append(edge[1])
        if level[edge[0]] != level[edge[1]]:
            links += [(a, b) if step > 0 else (b, a) for a, b in itertools.pairwise(chain)]
    near: tuple[dict[Item, list[Item]], dict[Item, list[Item]]] = ({}, {})
    for one, other in links:
        near[0].setdefault(other, []).append(one)
        near[1].setdefault(one, []).append(other)
    best, least = [list(row) for row in rows], _crossings(rows, near[1])
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        order = range(1, len(rows)) if forward else range(len(rows) - 2, -1, -1)
        for layer in order:
            fixed = rows[layer - 1 if forward else layer + 1]
            rows[layer] = _by_middle(rows[layer], fixed, near[0 if forward else 1])
        _swap(rows, near)
        if (count := _crossings(rows, near[1])) < least:
            best, least = [list(row) for row in rows], count
    return best


def passes(
    rows: Sequence[Sequence[Item]], number: Mapping[str, int]
) -> dict[tuple[Edge, int], tuple[int, float]]:
    """Find the gap (from the top) and rank of every edge in the layers that it crosses."""
    found: dict[tuple[Edge, int], tuple[int, float]] = {}
    for layer, row in enumerate(rows):
        above = 0
        for rank, item in enumerate(row):
            if isinstance(item, tuple):
                (one, other), _ = item
                found[(number[one], number[other]), layer] = (above, float(rank))
            else:
                above += 1
    return found


def _by_middle(
    row: Sequence[Item], fixed: Sequence[Item], near: Mapping[Item, list[Item]]
) -> list[Item]:
    """Sort a layer by the mean place of each item's neighbours; items without keep their place."""
    at = {item: (i + 0.5) / len(fixed) for i, item in enumerate(fixed)}
    here = {item: (i + 0.5) / len(row) for i, item in enumerate(row)}

    def middle(item: Item) -> float:
        own = [at[other] for other in near.get(item, [])]
        return sum(own) / len(own) if own else here[item]

    return sorted(row, key=lambda item: (middle(item), here[item]))


def _swap(
    rows: list[list[Item]], joined: tuple[Mapping[Item, list[Item]], Mapping[Item, list[Item]]]
) -> None:
    """Exchange neighbours while that takes crossings away."""
    better = True
    while better:
        better = False
        for layer, row in enumerate(rows):
            around = [
                ({item: i for i, item in enumerate(rows[layer + side])}, near)
                for side, near in ((-1, joined[0]), (1, joined[1]))
                if 0 <= layer + side < len(rows)
            ]
            for i in range(len(row) - 1):
                now = sum(_between(row[i], row[i + 1], *own) for own in around)
                if sum(_between(row[i + 1], row[i], *own) for own in around) < now:
                    row[i], row[i + 1] = row[i + 1], row[i]
                    better = True


def _between(
    upper: Item, lower: Item, at: Mapping[Item, int], near: Mapping[Item, list[Item]]
) -> int:
    """Count crossings of the edges of two neighbours towards one side."""
    own, other = ([at[v] for v in near.get(item, [])] for item in (upper, lower))
    return sum(a > b for a in own for b in other)


def _crossings(rows: Sequence[Sequence[Item]], right: Mapping[Item, list[Item]]) -> int:
    total = 0
    for row, beyond in itertools.pairwise(rows):
        at = {item: i for i, item in enumerate(beyond)}
        total += sum(_between(a, b, at, right) for a, b in itertools.combinations(row, 2))
    return total
