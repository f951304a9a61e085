"""Draw graphs with many nodes by Metropolis steps over orders, and build one greedily."""

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

    The posterior of an order :math:`\prec` is a product over the nodes; each factor sums over all
    sets of predecessors of the node,

    .. math:: p(\prec) \propto \prod_i \sum_{S \subseteq \mathrm{pred}(i)} e^{s_i(S)}.

    Each step proposes to swap two nodes of the order, usually neighbours. The first half of the
    chain is discarded. At evenly spaced steps of the second half, the causes of every node are
    drawn given the order. The implied prior is uniform over orders, not over graphs, so graphs that
    are consistent with many orders are drawn more often; with so many nodes, counting these orders
    in order to correct for it would take too long.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    scores : LocalScores
        Scores of at most 63 nodes.
    count : int
        Number of graphs.

    Returns
    -------
    ndarray
        Edges ``[cause, effect]``, boolean array of shape (draw, node, node).
    ndarray
        Equal weights (draw,) that sum to one.
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
    """Add edges from the largest gain down to zero, skipping edges that would close a cycle.

    All arrays have the form ``[cause, effect]``; the result is boolean.
    """
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
    """Cached sums over the sets of causes that are possible under an order."""

    def __init__(self, scores: LocalScores) -> None:
        self.scores = scores
        self.possible = [
            (masks[np.isfinite(values)], values[np.isfinite(values)])
            for masks, values in zip(scores.sets, scores.values, strict=True)
        ]
        self.known: dict[tuple[int, int], float] = {}
        self.relevant = [int(np.bitwise_or.reduce(masks)) for masks, _ in self.possible]

    def start(self, rng: np.random.Generator) -> list[int]:
        """Draw an order in which every node has a possible set of causes among its predecessors."""
        left, before, order = list(range(len(self.possible))), 0, []
        while left:
            ready = [i for i in left if (self.possible[i][0] & ~before == 0).any()]
            if not ready:
                raise ValueError("Required edges form a cycle, so no acyclic graph has them all.")
            i = ready[int(rng.integers(len(ready)))]
            order.append(i)
            left.remove(i)
            before |= 1 << i
        return order

    def terms(self, order: list[int], low: int = 0, high: int | None = None) -> dict[int, float]:
        """Return the log sum for each node at positions ``low`` to ``high`` of an order."""
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
