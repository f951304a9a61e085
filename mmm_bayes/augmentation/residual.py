r"""Causal residual bootstrap: a smooth regression on the pillow plus a resampled residual.

For additive noise, :math:`X_v = f(\mathrm{pillow}) + \varepsilon`, ``f`` can be estimated from far
fewer rows than the full conditional distribution. ``f`` is a Gaussian process with a linear and a
squared exponential part, whose scales maximise the marginal likelihood. Residuals are leave-one-out
residuals, which are not too small where the regression overfits. A residual is drawn from all
training rows, or with ``locality`` from those near in the pillow, for noise that depends on it.

References
----------
Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, sections 2.3, 5.4.
Davison and Hinkley (1997), Bootstrap Methods and their Application, section 6.2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist
from threadpoolctl import threadpool_limits

from mmm_bayes.augmentation.columns import Columns
from mmm_bayes.augmentation.donors import draw_donors, log_weights
from mmm_bayes.augmentation.estimators import (
    Conditional,
    ConditionalData,
    Draws,
    NDArray,
    fit_kernel,
    generator,
    log_sum,
)

_LENGTHS = (0.7, 1.5, 3.0, 6.0)  # of standardised columns, times the root of their number
_LINEAR = (0.0, 0.5)
_NOISES = np.logspace(-3.5, 1.0, 19)  # noise variance relative to that of the process
_SCALES_FROM = 200  # rows used to choose the scales
_INDUCING = 512  # largest number of inducing rows
_MAX_LEVELS = 12
_JITTER = 1e-8
_MIN_WIDTH = 1e-12  # of a density, if all residuals are equal


class Features(NamedTuple):
    """Map from pillow columns to regressors: standardised numbers, or one column per level."""

    centre: NDArray
    scale: NDArray
    levels: tuple[NDArray | None, ...]

    def __call__(self, pillow: NDArray) -> NDArray:
        """Compute regressors (row, feature) from pillow values (column, row)."""
        parts = []
        for x, centre, scale, levels in zip(
            pillow, self.centre, self.scale, self.levels, strict=True
        ):
            if levels is None:
                parts.append(((x - centre) / scale)[:, None])
            else:
                parts.append((x[:, None] == levels[None, :]).astype(float))
        return np.concatenate(parts, 1)


def features_of(pillow: Columns) -> Features:
    """Choose regressors; a category with few levels gets one column per level."""
    levels: list[NDArray | None] = []
    for x, name, continuous in zip(pillow.values, pillow.kernel, pillow.is_continuous, strict=True):
        found = np.unique(x)
        unordered = not continuous and name != "wang_ryzin" and len(found) <= _MAX_LEVELS
        levels.append(found if unordered else None)
    scale = pillow.values.std(1)
    return Features(pillow.values.mean(1), np.where(scale > 0, scale, 1.0), tuple(levels))


@dataclass(frozen=True)
class GaussianProcess:
    """Posterior mean of a Gaussian process regression, and its leave-one-out residuals (n,)."""

    inputs: NDArray
    weights: NDArray
    mean: float
    length: float
    linear: float
    noise: float
    residuals: NDArray

    def predict(self, x: NDArray) -> NDArray:
        """Predict the mean (row,) at regressors (row, feature)."""
        return _covariance(x, self.inputs, self.length, self.linear) @ self.weights + self.mean


def _covariance(x: NDArray, z: NDArray, length: float, linear: float) -> NDArray:
    """Compute the covariance of the process: squared exponential plus linear."""
    size = x.shape[1]
    smooth = np.exp(cdist(x, z, "sqeuclidean") * (-0.5 / (length**2 * size)))
    return smooth + (linear / size) * (x @ z.T) if linear else smooth


def _evidence(eigenvalues: NDArray, projected: NDArray, rest: float, n: int) -> NDArray:
    """Compute the log marginal likelihood for each noise, maximised over the process's scale."""
    total = eigenvalues[:, None] + _NOISES
    missing = n - len(eigenvalues)
    amplitude = (np.sum(projected[:, None] ** 2 / total, 0) + rest / _NOISES) / n
    amplitude = np.maximum(amplitude, 1e-300)
    log_det = np.log(total).sum(0) + missing * np.log(_NOISES)
    return -0.5 * (n * np.log(amplitude) + log_det)


def fit_process(x: NDArray, y: NDArray, rng: np.random.Generator) -> GaussianProcess:
    """Fit the regression of ``y`` (n,) on ``x`` (n, feature).

    Scales are chosen on a subset of rows, and the noise on all rows. For more than 512 rows the
    process uses 512 inducing rows (subset of regressors).
    """
    n = len(y)
    mean = float(y.mean())
    some = rng.permutation(n)[:_SCALES_FROM]
    best: tuple[float, float, float] | None = None
    for length in _LENGTHS:
        for linear in _LINEAR:
            values, vectors = eigh(_covariance(x[some], x[some], length, linear))
            projected = vectors.T @ (y[some] - mean)
            evidence = _evidence(np.maximum(values, 0.0), projected, 0.0, len(some)).max()
            if best is None or evidence > best[0]:
                best = (float(evidence), length, linear)
    assert best is not None  # the grid is not empty
    _, length, linear = best
    inputs = x if n <= _INDUCING else x[rng.permutation(n)[:_INDUCING]]
    return _solve(x, y - mean, inputs, length, linear, mean)


def _solve(
    x: NDArray, y: NDArray, inputs: NDArray, length: float, linear: float, mean: float
) -> GaussianProcess:
    n = len(y)
    if inputs is x:
        values, vectors = eigh(_covariance(x, x, length, linear))
        values, back = np.maximum(values, 0.0), None
    else:
        # With K_mm = R R', the features K_nm R^-T have the covariance K_nm K_mm^-1 K_mn.
        inner, rotation = eigh(_covariance(inputs, inputs, length, linear))
        root = rotation / np.sqrt(np.maximum(inner, _JITTER))
        seen = _covariance(x, inputs, length, linear) @ root
        values, right = eigh(seen.T @ seen)
        keep = values > _JITTER * values[-1]
        values, right = values[keep], right[:, keep]
        vectors, back = seen @ right / np.sqrt(values), root @ right / np.sqrt(values)
    projected = vectors.T @ y
    rest = max(float(y @ y - projected @ projected), 0.0) if back is not None else 0.0
    noise = float(_NOISES[np.argmax(_evidence(values, projected, rest, n))])
    share = values / (values + noise)
    fitted = vectors @ (share * projected)
    leverage = (vectors**2) @ share
    weights = vectors @ (projected / (values + noise))
    if back is not None:
        weights = back @ (share * projected)
    residuals = (y - fitted) / np.maximum(1.0 - leverage, 1e-6)
    return GaussianProcess(inputs, weights, mean, length, linear, noise, residuals)


@dataclass(frozen=True)
class ResidualConditional:
    r"""A regression plus a resampled residual.

    .. math:: \hat p(x \mid z) = \sum_k w_k(z)\, N\bigl(x - f(z);\; r_k, b^2\bigr),

    with leave-one-out residuals :math:`r_k`. Weights are equal, or those of a product kernel over
    the pillow with ``locality`` times its bandwidths. With a ``width`` of zero residuals are drawn
    without smoothing, and the density uses a normal reference bandwidth, since it needs some.
    """

    features: Features
    process: GaussianProcess
    pillow: Columns
    locality: float
    width: float
    donates: bool = False

    def sample(self, rng_key: jax.Array, pillow: NDArray) -> Draws:
        """Add a resampled (and smoothed) residual to the regression."""
        key_donor, key_noise = jax.random.split(rng_key)
        rng = generator(key_noise)
        draws = pillow.shape[1]
        if np.isinf(self.locality):
            donors = rng.integers(len(self.process.residuals), size=draws)
        else:
            donors = draw_donors(key_donor, self.pillow.scaled(self.locality), pillow)
        residual = self.process.residuals[np.maximum(donors, 0)]
        values = self.process.predict(self.features(pillow)) + residual
        values = values + self.width * rng.standard_normal(draws)
        return Draws(values[None], donors.astype(np.int32))

    def log_density(self, pillow: NDArray, own: NDArray) -> NDArray:
        """Compute the log density of values given the pillow."""
        residual = own[0] - self.process.predict(self.features(pillow))
        return self._score(pillow, residual, None)

    def leave_one_out(self, rows: NDArray) -> NDArray:
        """Compute the log density of training rows given all others, with the scales kept."""
        return self._score(self.pillow.values[:, rows], self.process.residuals[rows], rows)

    def _score(self, pillow: NDArray, residual: NDArray, left_out: NDArray | None) -> NDArray:
        width = max(self.width or residual_width(self.process.residuals), _MIN_WIDTH)
        z = (residual[:, None] - self.process.residuals[None, :]) / width
        logs = -0.5 * z * z - np.log(width * np.sqrt(2.0 * np.pi))
        if np.isinf(self.locality):
            if left_out is not None:
                logs[np.arange(len(residual)), left_out] = -np.inf
            count = logs.shape[1] - (left_out is not None)
            return log_sum(logs) - np.log(count)
        near = self.pillow.scaled(self.locality)
        return log_sum(logs + log_weights(near, pillow, left_out=left_out))


def fit_residual(data: ConditionalData, rng_key: jax.Array) -> Conditional:
    """Fit :class:`ResidualConditional` with residuals drawn from all rows.

    The kernel estimate is returned for a variable that is discrete, has several columns or an empty
    pillow.
    """
    if not regresses(data):
        return fit_kernel(data, rng_key)
    process, features = fit_regression(data, rng_key)
    width = data.smoothing * residual_width(process.residuals)
    return ResidualConditional(features, process, data.pillow, np.inf, width)


def regresses(data: ConditionalData) -> bool:
    """Tell whether a variable can be regressed on its pillow."""
    single = len(data.own.values) == 1 and bool(data.own.is_continuous[0])
    return single and len(data.pillow.values) > 0 and np.ptp(data.own.values[0]) > 0


def fit_regression(data: ConditionalData, rng_key: jax.Array) -> tuple[GaussianProcess, Features]:
    """Regress a variable on its pillow."""
    features = features_of(data.pillow)
    x = features(data.pillow.values)
    # On busy cores BLAS threads wait for each other, which makes small decompositions far slower.
    with threadpool_limits(1, user_api="blas"):
        return fit_process(x, data.own.values[0], generator(rng_key)), features


def residual_width(residuals: NDArray) -> float:
    """Compute the normal reference bandwidth of residuals."""
    from mmm_bayes.augmentation.kernels import bandwidth_of

    return float(bandwidth_of(residuals, "gaussian", "normal_reference")[0])
