r"""Conditional densities by nearest neighbours and by a Gaussian mixture.

Both implement :class:`mmm_bayes.augmentation.estimators.Conditional`. Variables with an empty
pillow get the kernel estimate, as do discrete variables and blocks in case of the mixture.

References
----------
Stone (1977), Consistent nonparametric regression. Annals of Statistics 5.
McLachlan and Peel (2000), Finite Mixture Models, chapters 3 and 6.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from mmm_bayes.augmentation.columns import Columns
from mmm_bayes.augmentation.estimators import (
    Conditional,
    ConditionalData,
    Draws,
    NDArray,
    fit_kernel,
    generator,
    log_kernel_density,
    log_sum,
    smoothed,
)
from mmm_bayes.augmentation.residual import Features, features_of, regresses

_BLOCK_ELEMENTS = 1 << 22  # draws times training rows in one block
_SCORED_ROWS = 400
_WIDTHS = (0.15, 0.5, 1.0)  # bandwidths of the value's kernel for scoring neighbours


# --- Nearest neighbours --------------------------------------------------------------------------


@dataclass(frozen=True)
class NearestConditional:
    r"""Values of the ``count`` training rows that are nearest in the pillow, equally likely.

    .. math:: \hat p(x \mid z) = \frac{1}{|N(z)|} \sum_{k \in N(z)} K_b(x - x_k),

    with :math:`N(z)` the rows no farther from ``z`` than the ``count``-th nearest. Distances are
    Euclidean between standardised columns; rows that differ from ``z`` in fewer categories come
    first. Draws copy values, plus a draw from the kernel if there is ``smoothing``; the density
    has the bandwidth ``width`` (a factor of the variable's bandwidth).
    """

    own: Columns
    pillow: Columns
    count: int
    width: float
    smoothing: float = 0.0

    @property
    def donates(self) -> bool:
        """Tell whether draws are copies of training values."""
        return self.smoothing == 0.0 or not bool(self.own.is_continuous.any())

    def sample(self, rng_key: jax.Array, pillow: NDArray) -> Draws:
        """Draw donors among the nearest rows, and smooth their values."""
        key_donor, key_noise = jax.random.split(rng_key)
        uniform, draws = generator(key_donor).random(pillow.shape[1]), pillow.shape[1]
        donors = np.zeros(draws, np.int32)
        step = max(1, _BLOCK_ELEMENTS // self.pillow.values.shape[1])
        for start in range(0, draws, step):
            part = slice(start, start + step)
            near = np.cumsum(self._neighbours(pillow[:, part]), axis=1)
            # The position among the neighbours is uniform on 0 .. size - 1.
            place = np.floor(uniform[part] * near[:, -1]).astype(int)
            donors[part] = np.argmax(near > place[:, None], axis=1)
        return Draws(smoothed(key_noise, self.own, donors, self.smoothing), donors)

    def log_density(self, pillow: NDArray, own: NDArray) -> NDArray:
        """Compute the log density of values given the pillow."""
        near = self._neighbours(pillow)
        logs = log_kernel_density(self.own.scaled(self.smoothing or self.width), own)
        return log_sum(np.where(near, logs, -np.inf)) - np.log(near.sum(1))

    def _neighbours(self, pillow: NDArray) -> NDArray:
        return nearest_rows(pillow_distances(self.pillow, pillow), self.count)


def pillow_distances(pillow: Columns, query: NDArray) -> NDArray:
    """Compute distances (row, training row); a different category counts as very far."""
    total = np.zeros((query.shape[1], pillow.values.shape[1]))
    for x, name, real, at in zip(
        pillow.values, pillow.kernel, pillow.is_continuous, query, strict=True
    ):
        difference = at[:, None] - x[None, :]
        if real or name == "wang_ryzin":
            total += (difference / (float(np.std(x)) or 1.0)) ** 2
        else:
            total += np.where(difference == 0.0, 0.0, 1e12)
    return np.sqrt(total)


def nearest_rows(distances: NDArray, count: int) -> NDArray:
    """Mark the training rows (row, training row) no farther than the ``count``-th nearest."""
    limit = np.partition(distances, count - 1, axis=1)[:, count - 1, None]
    # Categories come first: leave out rows that differ in more categories than the nearest row.
    return distances <= np.minimum(limit, distances.min(1, keepdims=True) + 1e5)


def fit_nearest(data: ConditionalData, rng_key: jax.Array) -> Conditional:
    """Fit :class:`NearestConditional`; leave-one-out likelihood chooses ``count`` and ``width``.

    Candidate counts range from 3 to ``n / 2`` and include the square root of ``n``. Blocks and
    discrete variables are treated like any other.
    """
    n = data.own.values.shape[1]
    if not len(data.pillow.values) or n < 4:
        return fit_kernel(data, rng_key)
    rows = generator(rng_key).permutation(n)[:_SCORED_ROWS]
    _, count, width = max(_scores(data, rows))
    return NearestConditional(data.own, data.pillow, count, width, data.smoothing)


def _scores(data: ConditionalData, rows: NDArray) -> Iterator[tuple[float, int, float]]:
    """Compute the mean leave-one-out log likelihood of each count and width."""
    own, n = data.own, data.own.values.shape[1]
    distances = pillow_distances(data.pillow, data.pillow.values[:, rows])
    distances[np.arange(len(rows)), rows] = np.inf
    widths = _WIDTHS if bool(own.is_continuous.any()) else (1.0,)
    logs = {width: log_kernel_density(own.scaled(width), own.values[:, rows]) for width in widths}
    grid = np.geomspace(3.0, max(3.0, n / 2.0), 8)
    for count in sorted({min(round(k), n - 1) for k in (*grid, np.sqrt(n))}):
        near = nearest_rows(distances, count)
        for width in widths:
            score = log_sum(np.where(near, logs[width], -np.inf)) - np.log(near.sum(1))
            # A row without similar rows counts as very unlikely rather than impossible.
            yield float(np.maximum(score, -50.0).mean()), count, width


# --- Gaussian mixture ----------------------------------------------------------------------------


@dataclass(frozen=True)
class MixtureConditional:
    r"""Conditional of a Gaussian mixture over pillow and variable.

    With component weights :math:`\pi_c` and means and covariances partitioned into regressors ``z``
    and value ``x``,

    .. math:: \hat p(x \mid z) = \sum_c r_c(z)\, N(x;\; a_c + b_c' z,\; s_c^2), \qquad
              r_c(z) \propto \pi_c N(z; \mu_c, \Sigma_c).

    Values and regressors are standardised. The first axis of arrays is the component; covariances
    are stored as inverse Cholesky factors.
    """

    features: Features
    centre: float
    scale: float
    log_weights: NDArray
    means: NDArray
    inverse_roots: NDArray
    intercepts: NDArray
    slopes: NDArray
    deviations: NDArray
    donates: bool = False

    def sample(self, rng_key: jax.Array, pillow: NDArray) -> Draws:
        """Draw a component, and a value from its conditional."""
        rng = generator(rng_key)
        z = self.features(pillow)
        shares = np.cumsum(np.exp(self._responsibilities(z)), axis=1)
        point = rng.random(len(z))[:, None] * shares[:, -1:]
        chosen = np.minimum(np.sum(shares <= point, axis=1), shares.shape[1] - 1)
        mean = self._conditional_means(z)[np.arange(len(z)), chosen]
        values = mean + self.deviations[chosen] * rng.standard_normal(len(z))
        return Draws((self.centre + self.scale * values)[None], np.full(len(z), -1, np.int32))

    def log_density(self, pillow: NDArray, own: NDArray) -> NDArray:
        """Compute the log density of values given the pillow."""
        z = self.features(pillow)
        value = (own[0] - self.centre) / self.scale
        u = (value[:, None] - self._conditional_means(z)) / self.deviations
        normal = -0.5 * u * u - np.log(self.deviations * np.sqrt(2.0 * np.pi))
        return log_sum(self._responsibilities(z) + normal) - np.log(self.scale)

    def _conditional_means(self, z: NDArray) -> NDArray:
        return self.intercepts + z @ self.slopes.T

    def _responsibilities(self, z: NDArray) -> NDArray:
        """Compute the log weights (row, component) of the components given regressors."""
        logs = np.empty((len(z), len(self.means)))
        for c, (mean, root) in enumerate(zip(self.means, self.inverse_roots, strict=True)):
            u = (z - mean) @ root.T
            logs[:, c] = self.log_weights[c] - 0.5 * (u * u).sum(1) + np.log(np.diag(root)).sum()
        return logs - log_sum(logs)[:, None]


_COMPONENTS = 6
_COVARIANCE_FLOOR = 1e-3  # of standardised columns; a binary column may be constant in a component


def fit_gaussian_mixture(data: ConditionalData, rng_key: jax.Array) -> Conditional:
    """Fit :class:`MixtureConditional`; the BIC chooses among up to six components.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    """
    if not regresses(data):
        return fit_kernel(data, rng_key)
    mixture_of, threads = _gaussian_mixture()
    features = features_of(data.pillow)
    z, x = features(data.pillow.values), data.own.values[0]
    centre, scale = float(x.mean()), float(x.std())
    joint = np.column_stack([z, (x - centre) / scale])
    size = joint.shape[1]
    # Each component learns a full covariance from its share of the rows.
    most = int(np.clip(len(x) // (2 * (size + 1)), 1, _COMPONENTS))
    seed = int(generator(rng_key).integers(2**31))
    fits = []
    # With several threads BLAS distributes even 2 x 2 triangular systems, which is far slower.
    with threads(1, "blas"), warnings.catch_warnings():
        # A fit that has not converged has a lower likelihood, and is not chosen by the BIC.
        warnings.simplefilter("ignore", UserWarning)
        for count in range(1, most + 1):
            model = mixture_of(
                count,
                reg_covar=_COVARIANCE_FLOOR,
                random_state=seed,
                n_init=3,
                init_params="k-means++",
            )
            fits.append(model.fit(joint))
    best = min(fits, key=lambda fit: fit.bic(joint))
    return _conditional_of(best, features, centre, scale)


def _conditional_of(fit: Any, features: Features, centre: float, scale: float) -> Conditional:
    covariance, means = fit.covariances_, fit.means_
    slopes = np.stack([np.linalg.solve(s[:-1, :-1], s[:-1, -1]) for s in covariance])
    rest = covariance[:, -1, -1] - np.sum(slopes * covariance[:, :-1, -1], axis=1)
    return MixtureConditional(
        features, centre, scale, np.log(fit.weights_), means[:, :-1],
        np.linalg.inv(np.linalg.cholesky(covariance[:, :-1, :-1])),
        means[:, -1] - np.sum(slopes * means[:, :-1], axis=1), slopes, np.sqrt(rest),
    )  # fmt: skip


def _gaussian_mixture() -> tuple[Any, Any]:
    """Import scikit-learn's mixture, and the context that limits threads, its dependency."""
    try:
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ImportError(
            'Gaussian mixtures need scikit-learn: pip install "mmm-bayes[augmentation]"'
        ) from error
    return GaussianMixture, threadpool_limits
