"""Acyclic graphs over numbered nodes: random graphs, given graphs, and causal orders."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np


def draw_parents(
    rng: np.random.Generator, num_nodes: int, expected_degree: float
) -> list[tuple[int, ...]]:
    """Draw the parents of each node in a random acyclic graph of Erdos and Renyi.

    Nodes are in random order; each is joined with each node before it with probability
    ``min(1, 2 expected_degree / (num_nodes - 1))``, so that the expected number of edges is
    ``expected_degree * num_nodes`` where that many are possible.
    """
    probability = min(1.0, 2.0 * expected_degree / max(num_nodes - 1, 1))
    order = rng.permutation(num_nodes)
    parents: list[tuple[int, ...]] = [()] * num_nodes
    for position, node in enumerate(order):
        chosen = rng.choice(position, rng.binomial(position, probability), replace=False)
        parents[node] = tuple(sorted(int(order[k]) for k in chosen))
    return parents


def draw_pairs(rng: np.random.Generator, num_nodes: int, count: int) -> list[tuple[int, int]]:
    """Draw distinct pairs of nodes, in the order of the nodes."""
    possible = list(itertools.combinations(range(num_nodes), 2))
    chosen = rng.choice(len(possible), count, replace=False)
    return [possible[k] for k in sorted(chosen)]


def causal_order(parents: Sequence[Sequence[int]]) -> list[int]:
    """Order nodes with causes before effects; leave out nodes on or after a cycle."""
    order: list[int] = []
    left = list(range(len(parents)))
    while ready := [i for i in left if all(p in order for p in parents[i])]:
        order.append(ready[0])
        left.remove(ready[0])
    return order


def parents_of(edges: Sequence[Sequence[str]], nodes: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the sorted parents of each node, as positions."""
    position = {name: i for i, name in enumerate(nodes)}
    parents: list[set[int]] = [set() for _ in nodes]
    for cause, effect in edges:
        parents[position[effect]].add(position[cause])
    return [tuple(sorted(found)) for found in parents]
