r"""Conditional distribution through boosted quantiles.

XGBoost fits a grid of conditional quantiles :math:`q_1(z), .., q_m(z)`, by the pinball loss, to the
leave-one-out residuals of a regression (:mod:`mmm_bayes.augmentation.residual`). The regression
takes care of the mean, for which trees would need many rows; the trees learn how the noise depends
on the pillow. The sorted quantiles (monotone rearrangement) are points of the quantile function.
The density is constant between them and falls exponentially beyond the outer ones. For a residual
:math:`x`,

.. math::

    \hat p(x \mid z) = \begin{cases}
        s_1 \, e^{-s_1 (q_1 - x) / p_1} & x < q_1 \\
        (p_{j+1} - p_j) / (q_{j+1} - q_j) & q_j \le x < q_{j+1} \\
        s_m \, e^{-s_m (x - q_m) / (1 - p_m)} & x \ge q_m,
    \end{cases}

with :math:`s_1` and :math:`s_m` the densities of the first and last interval. It is continuous at
the outer quantiles and integrates to one.

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

# Chosen on simulated tables of 100 to 600 rows, by the log density of held-out rows.
_MAX_LEVELS = 9
_ROWS_PER_LEVEL = 10
_NORMAL_SHARE = 0.3  # weight of normal quantiles; the rest are those of the trees
_MIN_RANGE = 1e-6  # between the outer quantiles of standardised residuals
_ROUNDS = 600
_PATIENCE = 20
_HELD_OUT = 5  # one row in five chooses the number of rounds
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
    """Distribution with boosted quantiles; see the module docstring.

    Attributes
    ----------
    features
        Regressors of a pillow.
    process
        The regression on them.
    booster
        XGBoost's booster, which predicts the quantiles of the residuals divided by ``scale``.
    probabilities
        Increasing probabilities (m,) of the quantiles.
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
        """Draw values by inverting the distribution function at uniform numbers."""
        uniform = generator(rng_key).random(pillow.shape[1])
        values = inverse_cdf(self._quantiles(pillow), self.probabilities, uniform)
        values = self.process.predict(self.features(pillow)) + self.scale * values
        return Draws(values[None], np.full(len(values), -1, np.int32))

    def log_density(self, pillow: NDArray, own: NDArray) -> NDArray:
        """Compute the log density of values given the pillow."""
        values = (own[0] - self.process.predict(self.features(pillow))) / self.scale
        logs = log_slope(self._quantiles(pillow), self.probabilities, values)
        return logs - np.log(self.scale)

    def _quantiles(self, pillow: NDArray) -> NDArray:
        """Predict increasing quantiles (row, m) of the standardised residuals."""
        found = self.booster.inplace_predict(
            self.features(pillow), iteration_range=(0, self.booster.best_iteration + 1)
        )
        return increasing(np.asarray(found, float).reshape(pillow.shape[1], -1), self.probabilities)


def increasing(quantiles: NDArray, probabilities: NDArray) -> NDArray:
    """Sort quantiles (row, m), and shrink them to those of a normal with the same outer quantiles.

    Trees often predict the same value for neighbouring levels, which would give infinite densities.
    """
    ordered = np.sort(quantiles, axis=1)
    first, last = ordered[:, :1], ordered[:, -1:]
    last = np.maximum(last, first + _MIN_RANGE)
    normal = ndtri(probabilities)
    even = first + (last - first) * (normal - normal[0]) / (normal[-1] - normal[0])
    return (1.0 - _NORMAL_SHARE) * ordered + _NORMAL_SHARE * even


def _ends(quantiles: NDArray, probabilities: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Compute densities between quantiles (row, m - 1), and the scales of both tails (row,)."""
    slope = np.diff(probabilities) / np.diff(quantiles, axis=1)
    return slope, probabilities[0] / slope[:, 0], (1.0 - probabilities[-1]) / slope[:, -1]


def inverse_cdf(quantiles: NDArray, probabilities: NDArray, uniform: NDArray) -> NDArray:
    """Evaluate the quantile function through ``quantiles`` (row, m) at ``uniform`` (row,)."""
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
    """Compute the log density (row,) of the same distribution at ``values`` (row,)."""
    slope, lower, upper = _ends(quantiles, probabilities)
    rows = np.arange(len(values))
    at = np.sum(values[:, None] >= quantiles, axis=1) - 1
    inner = np.log(slope[rows, np.clip(at, 0, slope.shape[1] - 1)])
    below = np.minimum(values - quantiles[:, 0], 0.0) / lower
    above = np.minimum(quantiles[:, -1] - values, 0.0) / upper
    return inner + below + above


def fit_boosted_quantiles(data: ConditionalData, rng_key: jax.Array) -> Conditional:
    """Fit :class:`QuantileConditional`; a held-out fifth chooses the number of rounds.

    The kernel estimate is returned for a variable that is discrete, has several columns or an empty
    pillow.

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
    levels = int(np.clip(n // _ROWS_PER_LEVEL, 5, _MAX_LEVELS))
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
