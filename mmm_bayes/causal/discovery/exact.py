"""Find the best acyclic graph, and draw graphs, by dynamic programming over sets of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.causal.discovery.score import LocalScores

NDArray = np.ndarray[Any, Any]

MOST_NODES = 12
"""Largest number of nodes for which all subsets are enumerated."""


def dense(scores: LocalScores) -> NDArray:
    """Arrange scores by node and bit mask of its causes, (node, subset); -inf if not scored."""
    d = len(scores.nodes)
    table = np.full((d, 1 << d), -np.inf)
    for i, (masks, values) in enumerate(zip(scores.sets, scores.values, strict=True)):
        table[i, masks] = values
    return table


def best_graph(table: NDArray) -> tuple[NDArray, float]:
    r"""Return the acyclic graph with the greatest sum of scores, and that sum.

    With :math:`b_i(U)` the best score of node :math:`i` over all sets of causes within :math:`U`,
    the best sum over the nodes in :math:`U` is

    .. math:: B(U) = \max_{i \in U} B(U \setminus i) + b_i(U \setminus i)

    (Silander and Myllymaki 2006).

    Parameters
    ----------
    table : ndarray
        Scores (node, subset).

    Returns
    -------
    ndarray
        Edges ``[cause, effect]``, boolean array of shape (node, node).
    float
        Sum of its scores; -inf if no graph is possible.
    """
    d = len(table)
    best, which = table.copy(), np.tile(np.arange(table.shape[1]), (d, 1))
    every = np.arange(table.shape[1])
    for j in range(d):
        with_j = every[every >> j & 1 == 1]
        without = with_j ^ (1 << j)
        better = best[:, without] > best[:, with_j]
        best[:, with_j] = np.where(better, best[:, without], best[:, with_j])
        which[:, with_j] = np.where(better, which[:, without], which[:, with_j])
    total = np.full(table.shape[1], -np.inf)
    total[0] = 0.0
    last = np.zeros(table.shape[1], int)
    for masks in _layers(d)[1:]:
        choices = np.full((d, len(masks)), -np.inf)
        for i in range(d):
            has = masks >> i & 1 == 1
            before = masks[has] ^ (1 << i)
            choices[i, has] = total[before] + best[i, before]
        last[masks], total[masks] = choices.argmax(0), choices.max(0)
    edges = np.zeros((d, d), bool)
    left = table.shape[1] - 1
    while left and np.isfinite(total[-1]):
        i = int(last[left])
        left ^= 1 << i
        edges[:, i] = which[i, left] >> np.arange(d) & 1
    return edges, float(total[-1])


def draw_graphs(rng: np.random.Generator, table: NDArray, count: int) -> tuple[NDArray, NDArray]:
    r"""Draw weighted acyclic graphs that represent :math:`p(G) \propto e^{s(G)}`.

    First an order of the nodes is drawn from its exact distribution by dynamic programming
    (Koivisto and Sood 2004), then the causes of each node among its predecessors in this order.
    A graph is thus drawn too often by a factor, the number of orders that are consistent with it;
    each draw is weighted by the inverse of this number (He, Tian and Wu 2016).

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    table : ndarray
        Scores (node, subset).
    count : int
        Number of graphs.

    Returns
    -------
    ndarray
        Edges ``[cause, effect]``, boolean array of shape (draw, node, node).
    ndarray
        Weights (draw,) that sum to one.

    References
    ----------
    M. Koivisto and K. Sood (2004), Exact Bayesian structure discovery in Bayesian networks. JMLR 5.
    R. He, J. Tian and H. Wu (2016), Structure learning in Bayesian networks of a moderate size by
    efficient sampling. JMLR 17(101).
    """
    d = len(table)
    sums = _subset_sums(table)
    total = _order_sums(sums)
    left = np.full(count, table.shape[1] - 1)
    graphs = np.zeros((count, d, d), bool)
    rows = np.arange(count)
    for _ in range(d):
        # Draw the last of the remaining nodes; all others come before it.
        before = left[:, None] & ~(1 << np.arange(d))
        has = left[:, None] >> np.arange(d) & 1 == 1
        logs = np.where(has, total[before] + sums[np.arange(d), before], -np.inf)
        node = (logs + rng.gumbel(size=logs.shape)).argmax(1)
        left = before[rows, node]
        for i in np.unique(node):
            mine = rows[node == i]
            sets = np.flatnonzero(np.isfinite(table[i]))
            options = np.where(sets & ~left[mine, None] == 0, table[i, sets], -np.inf)
            drawn = sets[(options + rng.gumbel(size=options.shape)).argmax(1)]
            graphs[mine, :, i] = drawn[:, None] >> np.arange(d) & 1
    orders = count_orders(graphs)
    weights = 1.0 / orders
    return graphs, weights / weights.sum()


def count_orders(graphs: NDArray) -> NDArray:
    """Count the causal orders of each acyclic graph (graph, node, node), as floats."""
    count, d = graphs.shape[:2]
    parents = (graphs * (1 << np.arange(d))[:, None]).sum(1)
    ways = np.zeros((1 << d, count))
    ways[0] = 1.0
    for mask in range(1, 1 << d):
        for i in range(d):
            if mask >> i & 1:
                ways[mask] += ways[mask ^ (1 << i)] * (parents[:, i] & ~mask == 0)
    return ways[-1]


def _layers(d: int) -> list[NDArray]:
    """Return the bit masks of all subsets of ``d`` nodes, grouped by size."""
    every = np.arange(1 << d)
    size = np.bitwise_count(every)
    return [every[size == k] for k in range(d + 1)]


def _subset_sums(table: NDArray) -> NDArray:
    """Return, for each node and set, the log of the sum of ``exp(score)`` over all subsets."""
    sums = table.copy()
    every = np.arange(table.shape[1])
    for j in range(len(table)):
        with_j = every[every >> j & 1 == 1]
        sums[:, with_j] = np.logaddexp(sums[:, with_j], sums[:, with_j ^ (1 << j)])
    return sums


def _order_sums(sums: NDArray) -> NDArray:
    """Return, for each set of nodes, the log of the sum over the orders of this set."""
    d = len(sums)
    total = np.full(sums.shape[1], -np.inf)
    total[0] = 0.0
    for masks in _layers(d)[1:]:
        found = np.full(len(masks), -np.inf)
        for i in range(d):
            has = masks >> i & 1 == 1
            before = masks[has] ^ (1 << i)
            found[has] = np.logaddexp(found[has], total[before] + sums[i, before])
        total[masks] = found
    return total
