"""Metrics of edge scores against known graphs; the diagonal never counts.

Scores and graphs are (shop, source, target), or (source, target) for one shop. The AUROC to report
is :func:`auroc`, the mean over shops of each shop's AUROC: it measures whether a shop's edges rank
above its other pairs, and does not change under increasing transformations of a shop's scores.
:func:`pooled_auroc` ranks the pairs of all shops together, which also requires scores on a common
scale; methods that are fitted to one shop at a time do not have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from mmm_bayes.runtime.findings import DataError, Finding

NDArray = np.ndarray[Any, Any]

_Z = 1.959963984540054  # normal quantile of a two-sided interval of 95%


def off_diagonal(num_nodes: int) -> NDArray:
    """Return the mask of pairs (source, target) that are scored: all but the diagonal."""
    return ~np.eye(num_nodes, dtype=bool)


def pairs(scores: NDArray, truth: NDArray) -> tuple[NDArray, NDArray]:
    """Return scores and edges (shop, pair) of all pairs but the diagonal.

    Raises
    ------
    DataError
        If the shapes differ or are not those of graphs, a score off the diagonal is NaN, or a graph
        has values other than 0 and 1.
    """
    scores, truth = np.asarray(scores, float), np.asarray(truth)
    found = []
    if scores.shape != truth.shape:
        message = f"scores have the shape {scores.shape}, but the graphs {truth.shape}."
        found.append(_wrong("truth", message, "Both should be (shop, source, target)."))
    if scores.ndim not in (2, 3) or scores.shape[-1] != scores.shape[-2] or scores.shape[-1] < 2:
        message = f"scores should be (shop, source, target), but have the shape {scores.shape}."
        found.append(_wrong("scores", message, "Give at least two nodes."))
    if found:
        raise DataError(found, "the scores of edges")
    keep = off_diagonal(scores.shape[-1])
    scores, truth = np.atleast_2d(scores[..., keep]), np.atleast_2d(truth[..., keep])
    if bad := int(np.isnan(scores).sum()):
        message = f"{bad} scores off the diagonal are NaN."
        found.append(_wrong("scores", message, "Give pairs without a score the lowest score."))
    if not np.isin(truth, (0, 1)).all():
        message = "The graphs should have only the values 0 and 1."
        found.append(_wrong("truth", message, "Convert weights with weights != 0."))
    if found:
        raise DataError(found, "the scores of edges")
    return scores, truth.astype(bool)


def auroc(scores: NDArray, truth: NDArray) -> float:
    """Average over shops the area under the ROC curve of each shop's pairs.

    The area is not defined for shops whose graph has no edges or all edges; they are left out. The
    result is NaN if no shop remains.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]], bool)
    >>> auroc(np.array([[0, 0.9, 0.4], [0.2, 0, 0.5], [0.1, 0.3, 0]]), truth)
    0.875
    """
    areas = shop_aurocs(scores, truth)
    return float(areas[np.isfinite(areas)].mean()) if np.isfinite(areas).any() else float("nan")


def pooled_auroc(scores: NDArray, truth: NDArray) -> float:
    """Compute the area under the ROC curve of the pairs of all shops together."""
    scored, edges = pairs(scores, truth)
    return _area(scored.ravel(), edges.ravel())


def shop_aurocs(scores: NDArray, truth: NDArray) -> NDArray:
    """Compute the area under the ROC curve of each shop (shop,), NaN if it is not defined."""
    scored, edges = pairs(scores, truth)
    return np.array([_area(s, e) for s, e in zip(scored, edges, strict=True)])


def _area(scores: NDArray, edges: NDArray) -> float:
    """Compute P(edge scores above non-edge) + P(equal) / 2 (Mann and Whitney 1947)."""
    positive = int(edges.sum())
    negative = edges.size - positive
    if positive == 0 or negative == 0:
        return float("nan")
    _, inverse, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[inverse]
    return float((rank[edges].sum() - positive * (positive + 1) / 2) / (positive * negative))


def accuracy(scores: NDArray, truth: NDArray, threshold: float) -> float:
    """Compute the share of pairs that ``scores >= threshold`` classifies correctly."""
    scored, edges = pairs(scores, truth)
    return float(((scored >= threshold) == edges).mean())


def f1(scores: NDArray, truth: NDArray, threshold: float) -> float:
    """Compute ``2 TP / (2 TP + FP + FN)`` over the pairs of all shops; 0 if undefined."""
    scored, edges = pairs(scores, truth)
    chosen = scored >= threshold
    right = 2 * (chosen & edges).sum()
    total = chosen.sum() + edges.sum()
    return float(right / total) if total else 0.0


def best_threshold(
    scores: NDArray, truth: NDArray, metric: Literal["accuracy", "f1"] = "accuracy"
) -> float:
    """Choose the threshold with the highest accuracy or F1; use training shops for this.

    Candidates are the midpoints between neighbouring scores, minus infinity (every pair is an edge)
    and infinity (none is). Among equally good candidates the highest is returned, which has the
    fewest edges.
    """
    scored, edges = (part.ravel() for part in pairs(scores, truth))
    values, inverse = np.unique(scored, return_inverse=True)
    with np.errstate(invalid="ignore"):  # infinite scores have no midpoint
        between = values[:-1] + (values[1:] - values[:-1]) / 2
    # Rounding may put the midpoint on the lower score, which would change that score's decision.
    between = np.where(between > values[:-1], between, values[1:])
    candidates = np.concatenate([[-np.inf], between, [np.inf]])
    # Edges, and pairs without one, at or above each candidate.
    positive = _at_or_above(inverse, edges, values.size)
    negative = _at_or_above(inverse, ~edges, values.size)
    if metric == "accuracy":
        quality = positive - negative
    else:
        quality = 2 * positive / np.maximum(positive + negative + edges.sum(), 1)
    return float(candidates[np.flatnonzero(quality == quality.max())[-1]])


def _at_or_above(inverse: NDArray, chosen: NDArray, size: int) -> NDArray:
    count = np.bincount(inverse[chosen], minlength=size)
    return np.append(np.cumsum(count[::-1])[::-1], 0)


@final
@dataclass(frozen=True, eq=False)
class Reliability:
    """Frequency of edges by predicted probability, the content of a reliability diagram.

    Attributes
    ----------
    edges : numpy.ndarray
        Limits of the bins (bin + 1,).
    count : numpy.ndarray
        Number of pairs (bin,).
    predicted, observed : numpy.ndarray
        Mean probability and share of edges (bin,); NaN in an empty bin.
    low, high : numpy.ndarray
        Wilson's 95% interval of the share (bin,). It assumes independent pairs, which those of one
        shop are not quite.
    """

    edges: NDArray
    count: NDArray
    predicted: NDArray
    observed: NDArray
    low: NDArray
    high: NDArray


def reliability(probabilities: NDArray, truth: NDArray, bins: int = 10) -> Reliability:
    """Bin pairs by their probability; bins have equal widths and exclude their upper limit.

    Raises
    ------
    DataError
        If a probability is not between 0 and 1, or for the reasons of :func:`pairs`.
    """
    p, edges = _probabilities(probabilities, truth)
    limits = np.linspace(0, 1, bins + 1)
    at = np.clip(np.searchsorted(limits, p, side="right") - 1, 0, bins - 1)
    count = np.bincount(at, minlength=bins)
    n = np.where(count, count, np.nan)
    predicted = np.bincount(at, p, bins) / n
    observed = np.bincount(at, edges, bins) / n
    centre = (observed + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(observed * (1 - observed) / n + _Z**2 / (4 * n**2))
    return Reliability(limits, count, predicted, observed, centre - half, centre + half)


def expected_calibration_error(probabilities: NDArray, truth: NDArray, bins: int = 10) -> float:
    """Average ``|share of edges - mean probability|`` in a bin over pairs (Naeini et al. 2015)."""
    table = reliability(probabilities, truth, bins)
    some = table.count > 0
    gap = np.abs(table.observed[some] - table.predicted[some])
    return float(np.average(gap, weights=table.count[some]))


def brier(probabilities: NDArray, truth: NDArray) -> float:
    """Compute the mean squared difference of probability and edge (Brier 1950)."""
    p, edges = _probabilities(probabilities, truth)
    return float(np.mean((p - edges) ** 2))


def _probabilities(probabilities: NDArray, truth: NDArray) -> tuple[NDArray, NDArray]:
    p, edges = pairs(probabilities, truth)
    if p.min() < 0 or p.max() > 1:
        message = f"probabilities should be between 0 and 1, but got {p.min():g} to {p.max():g}."
        remedy = "Calibration is defined for probabilities only, not for other scores."
        raise DataError([_wrong("probabilities", message, remedy)], "the probabilities of edges")
    return p.ravel(), edges.ravel()


def _wrong(name: str, message: str, remedy: str) -> Finding:
    return Finding("metrics", "error", message, remedy, where=name)
