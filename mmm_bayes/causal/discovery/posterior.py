"""Compute edge probabilities over resampled tables, and the graph with the least errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.discovery.exact import MOST_NODES, best_graph, dense, draw_graphs
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.order import draw_graphs_by_order, greedy_graph
from mmm_bayes.causal.discovery.score import LocalScores, local_scores
from mmm_bayes.causal.graph.checks import GraphError

NDArray = np.ndarray[Any, Any]

_CANDIDATES = 8
# With many nodes there are too many sets with more causes to enumerate.
_MOST_PARENTS_OF_MANY = 3


@final
@dataclass(frozen=True)
class Draws:
    """Graphs drawn under one prior, for each resampled table.

    Attributes
    ----------
    graphs : ndarray
        Edges ``[cause, effect]``, boolean array of shape (resample, draw, node, node).
    weights : ndarray
        Weights of shape (resample, draw); the weights of each resample sum to one.
    """

    graphs: NDArray
    weights: NDArray

    @property
    def by_resample(self) -> NDArray:
        """Edge probabilities of each resampled table, shape (resample, node, node)."""
        return np.einsum("rk,rkij->rij", self.weights, self.graphs)

    @property
    def probabilities(self) -> NDArray:
        """Edge probabilities ``[cause, effect]`` averaged over resamples, shape (node, node)."""
        return self.by_resample.mean(0)

    def most_probable(self, count: int) -> list[tuple[NDArray, float]]:
        """Return the ``count`` most probable graphs with their probabilities."""
        d = self.graphs.shape[-1]
        flat = self.graphs.reshape(-1, d * d)
        unique, which = np.unique(flat, axis=0, return_inverse=True)
        mass = np.bincount(which.ravel(), self.weights.ravel() / len(self.weights))
        order = np.argsort(-mass, kind="stable")[:count]
        return [(unique[k].reshape(d, d), float(mass[k])) for k in order]


def draw_under(
    rng: np.random.Generator,
    scored: Sequence[LocalScores],
    odds: NDArray,
    ruled: NDArray,
    count: int,
) -> Draws:
    """Draw ``count`` graphs for each resampled table, given prior log odds and required edges."""
    graphs, weights = [], []
    for scores in scored:
        under = scores.weighed(odds).requiring(ruled)
        if len(scores.nodes) <= MOST_NODES:
            found = draw_graphs(rng, dense(under), count)
        else:
            found = draw_graphs_by_order(rng, under, count)
        graphs.append(found[0])
        weights.append(found[1])
    return Draws(np.array(graphs), np.array(weights))


def least_errors(probabilities: NDArray, required: NDArray, forbidden: NDArray) -> NDArray:
    r"""Return the acyclic graph with the least expected structural Hamming distance.

    A pair of nodes is wrong if its edge is missing, superfluous or reversed. Adding an edge i -> j
    lowers the expected number of wrong pairs by :math:`p_{ij} - p_{\text{none}}`. The sum of these
    gains is maximised over acyclic graphs by dynamic programming, or by a greedy search if there
    are more than 12 nodes.

    Parameters
    ----------
    probabilities : ndarray
        Edge probabilities ``[cause, effect]``; the two directions of a pair sum to at most 1.
    required, forbidden : ndarray
        Rules, as boolean arrays ``[cause, effect]``.

    Raises
    ------
    GraphError
        If no acyclic graph obeys the rules.
    """
    d = len(probabilities)
    gains = probabilities - (1.0 - probabilities - probabilities.T)
    if d > MOST_NODES:
        return greedy_graph(gains, required, forbidden)
    masks = np.arange(1 << d)
    table = np.zeros((d, 1 << d))
    for i in range(d):
        for j in range(d):
            with_j = masks >> j & 1 == 1
            table[i, with_j] += gains[j, i] if i != j else 0.0
            if i == j or forbidden[j, i]:
                table[i, with_j] = -np.inf
            if required[j, i]:
                table[i, ~with_j] = -np.inf
    edges, total = best_graph(table)
    if not np.isfinite(total):
        raise GraphError(
            ["No acyclic graph obeys all rules: lower the confidence of one below 1."],
            "the knowledge",
        )
    return edges


def candidate_sets(
    table: NodeTable, knowledge: Knowledge, max_parents: int
) -> tuple[dict[str, list[str]] | None, int, dict[str, list[str]]]:
    """Choose the sets of causes that are scored.

    With up to 12 nodes, all sets of up to ``max_parents`` causes are scored. With more nodes, the
    sets have up to 3 causes, chosen from the 8 nodes that best explain a node alone and the causes
    that experts state.

    Returns
    -------
    mapping or None
        Possible causes of each node; None if all nodes are possible.
    int
        Size of the largest set.
    mapping
        Causes that experts state, by node: sets close to them are scored regardless of size.
    """
    stated: dict[str, list[str]] = {name: [] for name in table.nodes}
    for cause, effect in knowledge.required:
        stated[effect].append(cause)
    if len(table.nodes) <= MOST_NODES:
        return None, max_parents, stated
    alone = local_scores(table, max_parents=1)
    chosen: dict[str, list[str]] = {}
    for i, name in enumerate(table.nodes):
        order = np.argsort(-alone.values[i], kind="stable")
        best = [int(alone.sets[i][k]).bit_length() - 1 for k in order if alone.sets[i][k]]
        named = [table.nodes[j] for j in best[:_CANDIDATES]]
        chosen[name] = list(dict.fromkeys([*named, *stated[name]]))
    return chosen, min(max_parents, _MOST_PARENTS_OF_MANY), stated


def pooled(shares: NDArray, odds: NDArray, base: float) -> NDArray:
    """Combine edge shares from a search without a prior with the experts' prior odds.

    The shares of the three states of a pair (edge, reversed edge, no edge) are taken as the
    likelihood. The odds of each edge are multiplied by the ratio of the experts' odds to ``base``,
    the odds of an edge without a statement.
    """
    with np.errstate(divide="ignore"):
        factor = np.exp(odds) / base
    one, other = shares * factor, shares.T * factor.T
    none = np.clip(1.0 - shares - shares.T, 0.0, 1.0)
    return one / np.maximum(one + other + none, 1e-12)


def prior_probabilities(odds: NDArray) -> NDArray:
    """Convert log odds against no edge to prior edge probabilities, pair by pair."""
    with np.errstate(over="ignore"):
        weight = np.exp(odds)
    return weight / (1.0 + weight + weight.T)
