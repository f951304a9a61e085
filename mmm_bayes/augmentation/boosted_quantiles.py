r"""Conditional quantiles by boosted trees, and the distribution they make.

XGBoost fits a grid of conditional quantiles :math:`q_1(z), .., q_m(z)` by the pinball loss, of the
leave-one-out residuals of a regression (:mod:`mmm_bayes.augmentation.residual`): trees need many
rows to follow a line, and are left with how the noise depends on the pillow. Sorted (monotone
rearrangement), they are points of the quantile function; it is linear between them, and beyond the
outer ones goes on exponentially with the slope it has there. For a residual :math:`x`,

.. math::

    \hat p(x \mid z) = \begin{cases}
        s_1 \, e^{-s_1 (q_1 - x) / p_1} & x < q_1 \\
        (p_{j+1} - p_j) / (q_{j+1} - q_j) & q_j \le x < q_{j+1} \\
        s_m \, e^{-s_m (x - q_m) / (1 - p_m)} & x \ge q_m,
    \end{cases}

with :math:`s` the densities of the first and last interval: it is continuous at the outer quantiles
and integrates to one.

References
----------
Koenker and Bassett (1978), Regression quantiles. Econometrica 46.
Chernozhukov, Fernandez-Val and Galichon (2010), Quantile and probability curves without crossing.
Econometrica 78.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy.special import ndtri

from mmm_bayes.augmentation.estimators import (
    Conditional,
    ConditionalData,
    Draws,
    NDArray,
    fit_kernel,
    generator,
)
from mmm_bayes.augmentation.residual import Features, GaussianProcess, fit_regression, regresses

# Chosen on simulated tables of 100 to 600 rows, for the log density of rows not seen.
_MOST_LEVELS = 9
_ROWS_PER_LEVEL = 10
_NORMAL_SHARE = 0.3  # of the quantiles: the rest is the trees'
_LEAST_RANGE = 1e-6  # between the outer quantiles, of residuals over their scale
_ROUNDS = 600
_PATIENCE = 20
_HELD_OUT = 5  # one row in so many chooses the number of rounds
_TREES = {
    "objective": "reg:quantileerror",
    "tree_method": "hist",
    "max_depth": 2,
    "eta": 0.1,
    "subsample": 0.5,
    "min_child_weight": 5.0,
    "lambda": 5.0,
    "nthread": 1,
}


@dataclass(frozen=True)
class QuantileConditional:
    """Distribution with boosted quantiles: see the head of the module.

    Attributes
    ----------
    features
        Regressors of a pillow.
    process
        The regression on them.
    booster
        XGBoost's booster, predicting the quantiles of its residuals over ``scale``.
    probabilities
        Those of the quantiles (m,), increasing.
    scale
        Standard deviation of the residuals.
    """

    features: Features
    process: GaussianProcess
    booster: Any
    probabilities: NDArray
    scale: float
    donates: bool = False

    def sample(self, rng_key: jax.Array, pillow: NDArray) -> Draws:
        """Invert the distribution function at uniform numbers."""
        uniform = generator(rng_key).random(pillow.shape[1])
        values = inverse_cdf(self._quantiles(pillow), self.probabilities, uniform)
        values = self.process.predict(self.features(pillow)) + self.scale * values
        return Draws(values[None], np.full(len(values), -1, np.int32))

    def log_density(self, pillow: NDArray, own: NDArray) -> NDArray:
        """Log density of values given the pillow."""
        values = (own[0] - self.process.predict(self.features(pillow))) / self.scale
        logs = log_slope(self._quantiles(pillow), self.probabilities, values)
        return logs - np.log(self.scale)

    def _quantiles(self, pillow: NDArray) -> NDArray:
        """Increasing quantiles (row, m) of residuals over their scale."""
        found = self.booster.inplace_predict(
            self.features(pillow), iteration_range=(0, self.booster.best_iteration + 1)
        )
        return increasing(np.asarray(found, float).reshape(pillow.shape[1], -1), self.probabilities)


def increasing(quantiles: NDArray, probabilities: NDArray) -> NDArray:
    """Sort quantiles (row, m), and draw them towards those of a normal with the same outer two.

    Neighbouring levels often get the same value from trees, and a density has no use for that.
    """
    ordered = np.sort(quantiles, axis=1)
    first, last = ordered[:, :1], ordered[:, -1:]
    last = np.maximum(last, first + _LEAST_RANGE)
    normal = ndtri(probabilities)
    even = first + (last - first) * (normal - normal[0]) / (normal[-1] - normal[0])
    return (1.0 - _NORMAL_SHARE) * ordered + _NORMAL_SHARE * even


def _ends(quantiles: NDArray, probabilities: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Densities between the quantiles (row, m - 1), and scales of the lower and upper tail."""
    slope = np.diff(probabilities) / np.diff(quantiles, axis=1)
    return slope, probabilities[0] / slope[:, 0], (1.0 - probabilities[-1]) / slope[:, -1]


def inverse_cdf(quantiles: NDArray, probabilities: NDArray, uniform: NDArray) -> NDArray:
    """Quantile function (row,) through increasing ``quantiles`` (row, m) at ``uniform`` (row,)."""
    slope, lower, upper = _ends(quantiles, probabilities)
    rows = np.arange(len(uniform))
    at = np.clip(np.searchsorted(probabilities, uniform) - 1, 0, len(probabilities) - 2)
    value = quantiles[rows, at] + (uniform - probabilities[at]) / slope[rows, at]
    first, last = probabilities[0], probabilities[-1]
    with np.errstate(divide="ignore"):
        below = quantiles[:, 0] + lower * np.log(uniform / first)
        above = quantiles[:, -1] - upper * np.log((1.0 - uniform) / (1.0 - last))
    return np.where(uniform < first, below, np.where(uniform > last, above, value))


def log_slope(quantiles: NDArray, probabilities: NDArray, values: NDArray) -> NDArray:
    """Log density (row,) of the same distribution at ``values`` (row,)."""
    slope, lower, upper = _ends(quantiles, probabilities)
    rows = np.arange(len(values))
    at = np.sum(values[:, None] >= quantiles, axis=1) - 1
    inner = np.log(slope[rows, np.clip(at, 0, slope.shape[1] - 1)])
    below = np.minimum(values - quantiles[:, 0], 0.0) / lower
    above = np.minimum(quantiles[:, -1] - values, 0.0) / upper
    return inner + below + above


def fit_boosted_quantiles(data: ConditionalData, rng_key: jax.Array) -> Conditional:
    """Fit :class:`QuantileConditional`, the number of rounds by the loss of a held-out fifth.

    A variable that is discrete, has several columns or an empty pillow gets the kernel estimate.

    Raises
    ------
    ImportError
        If XGBoost is not installed.
    """
    if not regresses(data) or data.own.values.shape[1] < 2 * _HELD_OUT:
        return fit_kernel(data, rng_key)
    xgboost = _xgboost()
    key_location, key_trees = jax.random.split(rng_key)
    process, features = fit_regression(data, key_location)
    residuals = process.residuals
    n, scale = len(residuals), float(residuals.std()) or 1.0
    levels = int(np.clip(n // _ROWS_PER_LEVEL, 5, _MOST_LEVELS))
    probabilities = (np.arange(levels) + 0.5) / levels
    rng = generator(key_trees)
    z, y, order = features(data.pillow.values), residuals / scale, rng.permutation(n)
    parts = np.array_split(order, [n // _HELD_OUT])
    held_out, kept = (xgboost.DMatrix(z[rows], y[rows]) for rows in parts)
    booster = xgboost.train(
        {**_TREES, "quantile_alpha": probabilities, "seed": int(rng.integers(2**31))},
        kept,
        num_boost_round=_ROUNDS,
        evals=[(held_out, "held_out")],
        early_stopping_rounds=_PATIENCE,
        verbose_eval=False,
    )
    return QuantileConditional(features, process, booster, probabilities, scale)


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise ImportError(
            'Boosted quantiles need XGBoost: pip install "mmm-bayes[augmentation]"'
        ) from error
    return xgboost
