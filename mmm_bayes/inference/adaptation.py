"""Warm-up: when to update the mass matrix, and to which one, from draws and their gradients.

This runs in NumPy between blocks of draws, so it adds nothing to the compiled program.

Notes
-----
For a Gaussian posterior with covariance ``S`` the score has covariance ``S^-1``. The metric ``A``
that minimises the Fisher divergence between the whitened draws and a standard normal is the
geometric mean of the covariance of draws and the inverse covariance of scores. It needs a small
fraction of the draws that the covariance alone needs (Seyboldt, Carlson and Carpenter 2024,
Preconditioning Hamiltonian Monte Carlo by minimizing Fisher divergence).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.inference.nuts import Metric

NDArray = np.ndarray[Any, Any]

_WINDOW_ENDS = (0.03, 0.06, 0.1, 0.15, 0.25, 0.4, 0.6, 0.85)
_PRIOR_DRAWS = 1.0  # weight, in draws, of the identity in the whitened covariances
EARLY_DEPTH = 6
"""Largest tree depth before the second metric: far from the posterior, longer ones waste time."""


def window_ends(num_warmup: int) -> list[int]:
    """Return the iterations after which the metric is updated.

    Windows grow; the last 15% of the warm-up adapt the step size only.

    Examples
    --------
    >>> window_ends(1000)
    [30, 60, 100, 150, 250, 400, 600, 850]
    """
    ends = [round(fraction * num_warmup) for fraction in _WINDOW_ENDS]
    return sorted({end for end in ends if end >= 5})


def rank_for(dim: int) -> int:
    """Return the rank of the metric beyond its diagonal: dense up to 64 parameters, then 48."""
    return dim if dim <= 64 else 48


def first_metric(gradient: NDArray, rank: int) -> Metric:
    """Make a diagonal metric from one gradient: steep coordinates get a small scale."""
    dim = gradient.shape[0]
    scale = 1.0 / np.sqrt(np.abs(gradient) + 1.0)
    basis = np.eye(dim, rank, dtype=gradient.dtype)
    return Metric(scale.astype(gradient.dtype), basis, np.zeros(rank, gradient.dtype))


def fisher_metric(draws: NDArray, gradients: NDArray, rank: int) -> Metric:
    """Estimate a metric from warm-up draws (n, dim) and gradients (n, dim) of the potential.

    First the coordinates are scaled by ``(var(q) / var(g))^(1/4)``. In those units, the geometric
    mean of the (shrunken) covariances is computed in the span of draws and gradients, and the
    ``rank`` directions whose eigenvalues are furthest from one are kept.
    """
    dtype = draws.dtype
    dim = draws.shape[1]
    q = draws.astype(np.float64) - draws.mean(0, dtype=np.float64)
    g = gradients.astype(np.float64) - gradients.mean(0, dtype=np.float64)
    variance_q, variance_g = q.var(0), g.var(0)
    usable = (variance_q > 1e-20) & (variance_g > 1e-20)
    ratio = np.where(usable, variance_q, 1.0) / np.where(usable, variance_g, 1.0)
    scale = np.clip(ratio**0.25, 1e-8, 1e8)
    q, g = q / scale, g * scale

    basis = np.eye(dim)
    if dim > rank:
        # Above the dense size, only the span of the leading directions of both samples is used.
        leading = [np.linalg.svd(x, full_matrices=False)[2][:rank] for x in (q, g)]
        basis = np.linalg.qr(np.concatenate(leading).T)[0]
    values, vectors = np.linalg.eigh(_geometric_mean(q @ basis, g @ basis))
    order = np.argsort(-np.abs(np.log(values)))[:rank]
    directions = np.zeros((dim, rank))
    stretch = np.zeros(rank)
    directions[:, : order.size] = basis @ vectors[:, order]
    stretch[: order.size] = np.sqrt(values[order]) - 1.0
    return Metric(scale.astype(dtype), directions.astype(dtype), stretch.astype(dtype))


def _geometric_mean(q: NDArray, g: NDArray) -> NDArray:
    """Return ``A = Cq # Cg^-1``, the matrix with ``A Cg A = Cq``, shrunk towards the identity."""
    n, dim = q.shape
    identity = _PRIOR_DRAWS * np.eye(dim)
    covariance_q = (q.T @ q + identity) / (n + _PRIOR_DRAWS)
    covariance_g = (g.T @ g + identity) / (n + _PRIOR_DRAWS)
    values, vectors = np.linalg.eigh(covariance_g)
    root, inverse = (vectors * np.sqrt(values)) @ vectors.T, (vectors / np.sqrt(values)) @ vectors.T
    values, vectors = np.linalg.eigh(root @ covariance_q @ root)
    return inverse @ (vectors * np.sqrt(np.maximum(values, 1e-20))) @ vectors.T @ inverse
