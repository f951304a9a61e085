"""Residuals of variables after smooth regression on other variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

NDArray = np.ndarray[Any, Any]

# Largest number of kernel features; there is also at most one feature per three rows.
_MOST_FEATURES = 100
_PENALTIES = np.concatenate([np.logspace(-7, 1, 25), [np.inf]])
# Width of the kernels in standard deviations, half the usual width. If the fit misses curvature,
# independent variables look dependent; if it is too flexible, cross-validation corrects it.
_WIDTH = 0.5


@final
@dataclass(frozen=True)
class Smoother:
    r"""A prepared regression on linear columns and smooth functions, applicable to any target.

    The fit of a target :math:`t` is :math:`Q Q' t + U D_\lambda U' t`. Here :math:`Q` is an
    orthonormal basis of the linear columns, and :math:`U` contains the left singular vectors of the
    kernel features orthogonal to :math:`Q`, which are shrunk by :math:`d^2 / (d^2 + \lambda)`.

    Attributes
    ----------
    linear : ndarray
        Basis :math:`Q` (row, column).
    smooth : ndarray
        Singular vectors :math:`U` (row, feature).
    strength : ndarray
        Squared singular values :math:`d^2` (feature,), scaled to a maximum of 1.
    """

    linear: NDArray
    smooth: NDArray
    strength: NDArray

    def residuals(self, targets: NDArray) -> tuple[NDArray, NDArray]:
        r"""Return targets (row, k) minus their fits, and the degrees of freedom (k,) of each fit.

        For each target, :math:`\lambda` minimises generalised cross-validation (Golub, Heath and
        Wahba 1979) over a grid that includes the purely linear fit.
        """
        rows = len(targets)
        left = targets - self.linear @ (self.linear.T @ targets)
        spent = float(self.linear.shape[1])
        if not self.strength.size:
            return left, np.full(targets.shape[1], spent)
        scores = self.smooth.T @ left
        shrink = self.strength[:, None] / (self.strength[:, None] + _PENALTIES)
        total = (left**2).sum(0)
        taken = np.einsum("fk,fl->lk", scores**2, shrink * (2.0 - shrink))
        freedom = spent + shrink.sum(0)
        error = (total - taken) / np.maximum(1.0 - freedom[:, None] / rows, 1e-3) ** 2
        best = error.argmin(0)
        return left - self.smooth @ (shrink[:, best] * scores), freedom[best]


def smoother(linear: NDArray, smooth: NDArray) -> Smoother:
    r"""Prepare the regression on linear columns and on smooth functions of other columns.

    Let :math:`u` be the normal scores of the :math:`m` smooth columns in one row. The kernel

    .. math:: k(u, v) = \frac{1}{m} \sum_j e^{-(u_j - v_j)^2 / (2 w^2)}
              + e^{-|u - v|^2 / (2 m w^2)}, \qquad w = \frac{1}{2},

    represents one smooth function of each column, plus one of all columns jointly. A pivoted
    Cholesky factorisation keeps the computing time linear in the number of rows.

    Parameters
    ----------
    linear : ndarray
        Columns (row, p) that enter linearly and without penalty; an intercept is not added.
    smooth : ndarray
        Columns (row, m), in any units.
    """
    basis = orthonormal(linear)
    if not smooth.shape[1]:
        return Smoother(basis, np.empty((len(linear), 0)), np.empty(0))
    features = _features(normal_scores(smooth), min(_MOST_FEATURES, len(smooth) // 3))
    features = features - basis @ (basis.T @ features)
    # An eigendecomposition of the small Gram matrix is several times faster than an SVD.
    values, vectors = np.linalg.eigh(features.T @ features)
    kept = values > 1e-10 * max(values[-1], 1e-9)
    if not kept.any():
        return Smoother(basis, np.empty((len(linear), 0)), np.empty(0))
    left = features @ (vectors[:, kept] / np.sqrt(values[kept]))
    return Smoother(basis, left, values[kept] / values[-1])


def orthonormal(columns: NDArray) -> NDArray:
    """Return an orthonormal basis of the space spanned by columns (row, p)."""
    if not columns.shape[1]:
        return columns
    scale = np.sqrt((columns**2).sum(0))
    left, values, _ = np.linalg.svd(columns / np.where(scale > 0, scale, 1.0), full_matrices=False)
    return left[:, values > 1e-9 * values[0]]


def normal_scores(values: NDArray) -> NDArray:
    """Return normal quantiles of the ranks in each column (row, k); ties get their mean rank."""
    from scipy.stats import norm, rankdata

    return norm.ppf((rankdata(values, axis=0) - 0.5) / len(values))


def _features(scores: NDArray, most: int) -> NDArray:
    """Return features (row, r) with the kernel as inner product, by pivoted Cholesky."""
    rows, columns = scores.shape
    factor = np.zeros((most, rows))
    left = np.full(rows, 2.0)
    for rank in range(most):
        pivot = int(left.argmax())
        if left[pivot] < 1e-6:
            return factor[:rank].T
        squares = ((scores - scores[pivot]) / _WIDTH) ** 2
        total = squares.sum(1)
        column = np.exp(-0.5 * total / columns)
        column += column if columns == 1 else np.exp(-0.5 * squares).mean(1)
        column -= factor[:rank, pivot] @ factor[:rank]
        factor[rank] = column / np.sqrt(left[pivot])
        left = np.maximum(left - factor[rank] ** 2, 0.0)
        left[pivot] = 0.0
    return factor.T
