"""Rules that know next to nothing: what every method has to beat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from studies.granger.lagged import check_series, standardise, without_diagonal

NDArray = np.ndarray[Any, Any]
Scorer = Callable[[NDArray], NDArray]


def all_zero(series: NDArray) -> NDArray:
    """Give every pair 0: no edges (shop, source, target)."""
    shops, _, nodes = check_series(series).shape
    return np.zeros((shops, nodes, nodes))


def last_nodes_receive(series: NDArray) -> NDArray:
    """Give pairs 1 whose target is among the last half of the nodes, and 0 to the others.

    Simulations tend to list causes before effects.
    """
    scores = all_zero(series)
    scores[:, :, scores.shape[-1] // 2 :] = 1
    return without_diagonal(scores)


def variance_order(series: NDArray, *, increasing: bool = True) -> NDArray:
    """Score ``log var(target) - log var(source)``, or its negative.

    In simulated additive models variances tend to grow along the causal order (Reisach, Seiler and
    Weichwald 2021): ``increasing`` scores edges from nodes of low to nodes of high variance, and
    otherwise from high to low. A series without variance is the lowest of all.
    """
    observed = np.isfinite(check_series(series))
    count = np.maximum(observed.sum(1), 1)
    filled = np.where(observed, series, 0)
    mean = filled.sum(1) / count
    variance = (np.where(observed, series - mean[:, None], 0) ** 2).sum(1) / count
    level = np.log(np.maximum(variance, np.finfo(float).tiny))
    difference = level[:, None, :] - level[:, :, None]
    return without_diagonal(difference if increasing else -difference)


def lagged_correlations(series: NDArray, max_lag: int = 7) -> NDArray:
    """Return correlations of each source with each target 1 to ``max_lag`` steps later.

    Products of series standardised over their whole length, averaged over the times where both are
    observed: (shop, lag, source, target), the diagonal too.
    """
    scaled = standardise(series)
    there = np.isfinite(scaled)
    filled = np.where(there, scaled, 0)
    found = []
    for k in range(1, min(max_lag, series.shape[1] - 1) + 1):
        count = there[:, :-k].mT.astype(float) @ there[:, k:]
        found.append(filled[:, :-k].mT @ filled[:, k:] / np.maximum(count, 1))
    return np.stack(found, axis=1)


def lagged_correlation(series: NDArray, max_lag: int = 7) -> NDArray:
    """Score the largest absolute lagged correlation (shop, source, target)."""
    return without_diagonal(np.abs(lagged_correlations(series, max_lag)).max(1))


def mean_graph(adjacency: NDArray) -> Scorer:
    """Score each pair by the share of training graphs (shop, source, target) that have the edge."""
    scores = without_diagonal(np.asarray(adjacency, float).mean(0))
    return lambda series: np.broadcast_to(scores, (len(series), *scores.shape)).copy()


def nearest_neighbour(series: NDArray, adjacency: NDArray, max_lag: int = 7) -> Scorer:
    """Give each shop the graph of the training shop with the most similar lagged correlations.

    Similarity is Euclidean, over correlations standardised by the training shops' mean and standard
    deviation.
    """

    def features(of: NDArray) -> NDArray:
        return lagged_correlations(of, max_lag).reshape(len(of), -1)

    known = features(series)
    mean, sd = known.mean(0), known.std(0)
    sd = np.where(sd > 0, sd, 1)
    known = (known - mean) / sd
    graphs = without_diagonal(adjacency)

    def score(new: NDArray) -> NDArray:
        asked = (features(new) - mean) / sd
        apart = (asked**2).sum(1)[:, None] - 2 * asked @ known.T + (known**2).sum(1)
        return graphs[apart.argmin(1)].copy()

    return score
