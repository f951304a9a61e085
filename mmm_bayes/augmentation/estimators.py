r"""The protocol of estimators of a variable's conditional distribution given its Markov pillow.

Causal data augmentation is a graph plus estimates of :math:`P(X_v \mid \mathrm{pillow}(v))`. An
estimator is a function from :class:`ConditionalData` to a :class:`Conditional`, which can be
sampled and has a density. Their names in :data:`ESTIMATORS` are

``kernel``
    Training rows weighted by a product kernel over the pillow, as in ADMGDA. Values are copies of
    training values (or, with ``smoothing``, draws from the kernel around them).
``residual``
    A smooth regression on the pillow plus a resampled residual
    (:mod:`mmm_bayes.augmentation.residual`).
``nearest``, ``gaussian_mixture``
    Values of the nearest rows, and the conditional of a mixture
    (:mod:`mmm_bayes.augmentation.densities`).
``flow``, ``boosted_quantiles``
    A normalising flow, and quantiles by boosted trees (modules with these names).
``cross_validated``
    For each variable the candidate with the highest leave-one-out likelihood
    (:mod:`mmm_bayes.augmentation.selection`); ``cross_validated_kernel`` only chooses the bandwidth
    of ``kernel``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from mmm_bayes.augmentation import kernels
from mmm_bayes.augmentation.columns import Columns
from mmm_bayes.augmentation.donors import draw_donors, log_weights
from mmm_bayes.augmentation.table import EncodedTable

NDArray = np.ndarray[Any, Any]


class ConditionalData(NamedTuple):
    """Training data of an estimator: a variable (``own``) and its pillow, row by row."""

    own: Columns
    pillow: Columns
    smoothing: float


class Draws(NamedTuple):
    """Drawn values (column, draw) and the training row each comes from (draw,).

    Values copy that row, are smoothed around it, or have its residual. The donor is -1 if the value
    comes from no row, and -2 if the draw is impossible since no training row has a positive weight.
    """

    values: NDArray
    donors: NDArray


class Conditional(Protocol):
    """An estimated conditional distribution."""

    @property
    def donates(self) -> bool:
        """Whether draws are copies of training values."""
        ...

    def sample(self, rng_key: jax.Array, pillow: NDArray) -> Draws:
        """Draw one value for each row of pillow values (column, draw)."""
        ...

    def log_density(self, pillow: NDArray, own: NDArray) -> NDArray:
        """Compute the log density (row,) of values (column, row) given pillow values."""
        ...


Estimator = Callable[[ConditionalData, jax.Array], Conditional]

ESTIMATORS = {
    "kernel": "estimators.fit_kernel",
    "residual": "residual.fit_residual",
    "nearest": "densities.fit_nearest",
    "gaussian_mixture": "densities.fit_gaussian_mixture",
    "flow": "flow.fit_flow",
    "boosted_quantiles": "boosted_quantiles.fit_boosted_quantiles",
    "cross_validated": "selection.fit_cross_validated",
    "cross_validated_kernel": "selection.fit_cross_validated_kernel",
}
# Estimators whose draws are copies of training values.
DONATING = ("kernel", "nearest", "cross_validated_kernel")


def estimator(name: str) -> Estimator:
    """Look an estimator up by its name in :data:`ESTIMATORS`."""
    import importlib

    module, function = ESTIMATORS[name].split(".")
    return getattr(importlib.import_module(f"mmm_bayes.augmentation.{module}"), function)


def columns_of(table: EncodedTable, positions: tuple[int, ...]) -> Columns:
    """Select columns of a table."""
    at = list(positions)
    return Columns(
        table.values[at].reshape(len(at), table.num_rows),
        tuple(table.kernel[c] for c in at),
        table.bandwidth[at].reshape(len(at), table.num_rows),
        table.levels[at],
    )


@dataclass(frozen=True)
class KernelConditional:
    r"""Training values weighted by a product kernel over the pillow.

    .. math:: \hat p(x \mid z) = \frac{\sum_k K_h(z - z_k) K_b(x - x_k)}{\sum_k K_h(z - z_k)},

    with ``b`` the smoothing times the variable's own bandwidth. With a smoothing of zero draws copy
    :math:`x_k`, and the density uses one bandwidth, since it needs some smoothing.
    """

    own: Columns
    pillow: Columns
    smoothing: float = 0.0

    @property
    def donates(self) -> bool:
        """Whether draws are copies of training values."""
        return self.smoothing == 0.0 or not bool(self.own.is_continuous.any())

    def sample(self, rng_key: jax.Array, pillow: NDArray) -> Draws:
        """Draw donors by their weights, and smooth their values."""
        key_donor, key_noise = jax.random.split(rng_key)
        donors = draw_donors(key_donor, self.pillow, pillow)
        return Draws(smoothed(key_noise, self.own, donors, self.smoothing), donors)

    def log_density(self, pillow: NDArray, own: NDArray) -> NDArray:
        """Compute the log density of values given the pillow."""
        return log_sum(log_weights(self.pillow, pillow) + self._log_own(own))

    def _log_own(self, own: NDArray) -> NDArray:
        return log_kernel_density(self.own.scaled(self.smoothing or 1.0), own)


def smoothed(rng_key: jax.Array, own: Columns, donors: NDArray, smoothing: float) -> NDArray:
    """Copy values (column, draw) of donors, plus draws from ``smoothing`` times their kernels."""
    rows = np.maximum(donors, 0)
    values = own.values[:, rows]
    if smoothing == 0.0:
        return values
    noise = kernel_noise(generator(rng_key), own.kernel, values.shape)
    width = np.where(own.is_continuous[:, None], smoothing * own.bandwidth[:, rows], 0.0)
    return values + width * noise


def fit_kernel(data: ConditionalData, rng_key: jax.Array) -> KernelConditional:
    """Fit :class:`KernelConditional`."""
    return KernelConditional(data.own, data.pillow, data.smoothing)


def log_kernel_density(columns: Columns, at: NDArray) -> NDArray:
    """Compute log normalised product kernels (row, training row) at values (column, row)."""
    total = np.zeros((at.shape[1], columns.values.shape[1]))
    for x, name, width, levels, here in zip(
        columns.values, columns.kernel, columns.bandwidth, columns.levels, at, strict=True
    ):
        kind = kernels.kernel_id(name)
        floor = 1e-9 * max(float(np.ptp(x)), 1e-300) if name in kernels.CONTINUOUS else 0.0
        width = np.maximum(width, floor)
        total += kernels.log_kernel_host(name, here[:, None] - x[None, :], width[None, :], levels)
        total -= [kernels.log_integral(kind, float(b), float(levels)) for b in width]
    return total


def log_sum(values: NDArray) -> NDArray:
    """Compute the log of the sum of exponentials over the last axis; empty sums do not warn."""
    top = values.max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - top).sum(-1)) + top[..., 0]


def generator(rng_key: jax.Array) -> np.random.Generator:
    """NumPy generator seeded by a JAX key."""
    return np.random.default_rng(np.asarray(jax.random.bits(rng_key, (4,), "uint32")))


def kernel_noise(
    rng: np.random.Generator, names: tuple[str, ...], shape: tuple[int, ...]
) -> NDArray:
    """Draw (column, draw) from the continuous kernels with bandwidth one."""
    # Densities proportional to (1 - u^2)^(a - 1) are those of 2 Beta(a, a) - 1.
    beta = {"epanechnikov": 2.0, "biweight": 3.0, "triweight": 4.0}
    rows = []
    for name in names:
        if name in beta:
            rows.append(2.0 * rng.beta(beta[name], beta[name], shape[1:]) - 1.0)
        elif name == "laplace":
            rows.append(rng.laplace(size=shape[1:]))
        elif name == "tricube":
            # (1 - |u|^3)^3: |u|^3 is Beta(1/3, 4).
            size = rng.beta(1.0 / 3.0, 4.0, shape[1:]) ** (1.0 / 3.0)
            rows.append(size * rng.choice([-1.0, 1.0], shape[1:]))
        else:
            rows.append(rng.standard_normal(shape[1:]))
    return np.stack(rows)
