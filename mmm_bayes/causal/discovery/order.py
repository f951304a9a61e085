"""Graphs with many nodes: Metropolis draws of causal orders, and a greedy best graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.causal.discovery.score import LocalScores

NDArray = np.ndarray[Any, Any]

_STEPS_A_NODE = 150
_SHORT_MOVES = 0.7


def draw_graphs_by_order(
    rng: np.random.Generator, scores: LocalScores, count: int
) -> tuple[NDArray, NDArray]:
    r"""Draw graphs along a Markov chain over causal orders (Friedman and Koller 2003).

    The posterior of an order :math:`\prec` is the product over nodes of sums over the sets of
    predecessors,

    .. math:: p(\prec) \propto \prod_i \sum_{S \subseteq \mathrm{pred}(i)} e^{s_i(S)}.

    A step swaps two nodes of the order, most often neighbours. The first half of the chain is left
    out; at evenly spaced steps of the rest, causes of every node are drawn given the order. Graphs
    with many orders come up more often than under a prior that is even over graphs: over so many
    nodes the orders of a graph are not counted.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of everything drawn.
    scores : LocalScores
        Scores of at most 63 nodes.
    count : int
        Number of graphs.

    Returns
    -------
    ndarray
        Edges ``[cause, effect]`` as truths, shape (draw, node, node).
    ndarray
        Weights (draw,), all the same.
    """
    d = len(scores.nodes)
    chain = _Orders(scores)
    order = chain.start(rng)
    steps = 2 * max(count, _STEPS_A_NODE * d)
    keep = {int(step) for step in np.linspace(steps // 2, steps - 1, count)}
    kept: list[list[int]] = []
    sums = chain.terms(order)
    for step in range(steps):
        near = rng.random() < _SHORT_MOVES
        a = int(rng.integers(d - 1)) if d > 1 else 0
        b = min(a + 1, d - 1) if near else int(rng.integers(d))
        low, high = min(a, b), max(a, b)
        proposal = order.copy()
        proposal[low], proposal[high] = order[high], order[low]
        changed = chain.terms(proposal, low, high)
        gain = sum(changed.values()) - sum(sums[i] for i in changed)
        if np.log(rng.random()) < gain:
            order, sums = proposal, sums | changed
        if step in keep:
            kept.append(order)
    graphs = np.array([chain.draw(rng, kept[k % len(kept)]) for k in range(count)])
    return graphs, np.full(count, 1.0 / count)


def greedy_graph(gains: NDArray, required: NDArray, forbidden: NDArray) -> NDArray:
    """Add edges in order of gain ``[cause, effect]`` unless a cycle forms; boolean (node, node)."""
    edges = required.copy()
    reached = _closure(edges)
    for flat in np.argsort(-gains, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(gains))
        if gains[i, j] <= 0.0:
            break
        if i != j and not forbidden[i, j] and not edges[j, i] and not reached[j, i]:
            edges[i, j] = True
            before, after = reached[:, i].copy(), reached[j].copy()
            before[i] = after[j] = True
            reached |= np.outer(before, after)
    return edges


def _closure(edges: NDArray) -> NDArray:
    reached = edges.copy()
    for k in range(len(edges)):
        reached |= np.outer(reached[:, k], reached[k])
    return reached


class _Orders:
    """Sums over the sets of causes that an order admits, cached."""

    def __init__(self, scores: LocalScores) -> None:
        self.scores = scores
        self.possible = [
            (masks[np.isfinite(values)], values[np.isfinite(values)])
            for masks, values in zip(scores.sets, scores.values, strict=True)
        ]
        self.known: dict[tuple[int, int], float] = {}
        self.relevant = [int(np.bitwise_or.reduce(masks)) for masks, _ in self.possible]

    def start(self, rng: np.random.Generator) -> list[int]:
        """Return an order that admits causes for every node, starting with nodes that need none."""
        left, before, order = list(range(len(self.possible))), 0, []
        while left:
            ready = [i for i in left if (self.possible[i][0] & ~before == 0).any()]
            if not ready:
                raise ValueError("No acyclic graph has all required edges: they form a cycle.")
            i = ready[int(rng.integers(len(ready)))]
            order.append(i)
            left.remove(i)
            before |= 1 << i
        return order

    def terms(self, order: list[int], low: int = 0, high: int | None = None) -> dict[int, float]:
        """Return log sums of the nodes at positions ``low`` to ``high`` of an order."""
        high = len(order) - 1 if high is None else high
        before = sum(1 << i for i in order[:low])
        found = {}
        for i in order[low : high + 1]:
            key = (i, before & self.relevant[i])
            if key not in self.known:
                masks, values = self.possible[i]
                fits = values[masks & ~before == 0]
                self.known[key] = float(np.logaddexp.reduce(fits)) if fits.size else -np.inf
            found[i] = self.known[key]
            before |= 1 << i
        return found

    def draw(self, rng: np.random.Generator, order: list[int]) -> NDArray:
        """Draw the causes of every node given an order."""
        d = len(order)
        edges = np.zeros((d, d), bool)
        before = 0
        for i in order:
            masks, values = self.possible[i]
            fits = masks & ~before == 0
            drawn = masks[fits][(values[fits] + rng.gumbel(size=int(fits.sum()))).argmax()]
            edges[:, i] = drawn >> np.arange(d) & 1
            before |= 1 << i
        return edges
