"""Regressions that measure how well a weighted table predicts held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

NDArray = np.ndarray[Any, Any]

Predict = Callable[[NDArray], NDArray]
"""Predict the target of the rows of a matrix."""
Fit = Callable[[NDArray, NDArray, NDArray], Predict]
"""Fit predictors (row, column), target (row,) and weights (row,)."""
LearnerName = Literal["boosted_trees", "ridge"]

_FOLDS = 3
_TREES = (10, 50, 200)
_TREE_PENALTIES = (1.0, 10.0, 100.0)
_RIDGE_PENALTIES = (0.01, 1.0, 10.0, 100.0)


def tuned_learner(
    name: LearnerName, rng: np.random.Generator, x: NDArray, y: NDArray
) -> tuple[Fit, dict[str, float]]:
    """Choose the settings of a learner by cross-validation on observed rows.

    Parameters
    ----------
    name : {"boosted_trees", "ridge"}
        Gradient-boosted trees (XGBoost): 10, 50 or 200 trees with a penalty of 1, 10 or 100. Or
        ridge regression on standardised columns with a penalty of 0.01, 1, 10 or 100.
    rng : numpy.random.Generator
        Generator that draws the folds.
    x, y : numpy.ndarray
        Predictors (row, column) and target (row,).

    Returns
    -------
    tuple
        The learner with these settings, and the settings.

    Raises
    ------
    ImportError
        For boosted trees without XGBoost.
    """
    if name == "ridge":
        settings = [{"penalty": penalty} for penalty in _RIDGE_PENALTIES]
        learners: list[Fit] = [_ridge(penalty) for penalty in _RIDGE_PENALTIES]
    else:
        grid = [(trees, penalty) for trees in _TREES for penalty in _TREE_PENALTIES]
        settings = [{"trees": trees, "penalty": penalty} for trees, penalty in grid]
        learners = [_boosted_trees(*each) for each in grid]
    folds = np.array_split(rng.permutation(len(y)), _FOLDS)
    errors = [_error(learner, folds, x, y) for learner in learners]
    best = int(np.argmin(errors))
    return learners[best], settings[best]


def r2(observed: ArrayLike, predicted: ArrayLike) -> float:
    r"""Compute the coefficient of determination, one minus squared errors over squared deviations.

    Where the observed values do not vary it is 1 for exact predictions and 0 otherwise.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    y, guess = np.asarray(observed, dtype=float), np.asarray(predicted, dtype=float)
    residual, total = np.sum((y - guess) ** 2), np.sum((y - y.mean()) ** 2)
    if total == 0.0:
        return 1.0 if residual == 0.0 else 0.0
    return float(1.0 - residual / total)


def mape(observed: ArrayLike, predicted: ArrayLike) -> float:
    r"""Compute the mean absolute percentage error, :math:`\frac1n \sum |y - \hat y| / |y|`.

    The result is a share (0.1 is 10%). A few rows decide it if the target comes close to zero; the
    divisor is at least the float precision.

    Examples
    --------
    >>> mape([10.0, 20.0], [11.0, 18.0])
    0.1
    """
    y, guess = np.asarray(observed, dtype=float), np.asarray(predicted, dtype=float)
    return float(np.mean(np.abs(y - guess) / np.maximum(np.abs(y), np.finfo(float).eps)))


def _error(learner: Fit, folds: list[NDArray], x: NDArray, y: NDArray) -> float:
    total = 0.0
    for held_out in folds:
        kept = np.setdiff1d(np.arange(len(y)), held_out)
        predict = learner(x[kept], y[kept], np.ones(len(kept)))
        total += float(np.sum((y[held_out] - predict(x[held_out])) ** 2))
    return total


def _ridge(penalty: float) -> Fit:
    def fit(x: NDArray, y: NDArray, weights: NDArray) -> Predict:
        total = weights.sum()
        centre, level = weights @ x / total, float(weights @ y / total)
        spread = np.sqrt(weights @ (x - centre) ** 2 / total)
        scale: Float[NDArray, " column"] = np.where(spread > 0, spread, 1.0)
        z = (x - centre) / scale
        gram = (z * weights[:, None]).T @ z + penalty * np.eye(z.shape[1])
        coefficients = np.linalg.solve(gram, (z * weights[:, None]).T @ (y - level))
        return lambda rows: level + (rows - centre) / scale @ coefficients

    return fit


def _boosted_trees(trees: int, penalty: float) -> Fit:
    try:
        import xgboost
    except ImportError as error:
        raise ImportError(
            'Boosted trees need XGBoost: pip install "mmm-bayes[augmentation]"; or choose '
            "learner='ridge', which needs nothing."
        ) from error

    def fit(x: NDArray, y: NDArray, weights: NDArray) -> Predict:
        matrix = xgboost.DMatrix(x, label=y, weight=weights, nthread=1)
        settings = {"nthread": 1, "verbosity": 0, "reg_lambda": penalty}
        booster = xgboost.train(settings, matrix, num_boost_round=trees)
        return lambda rows: np.asarray(booster.inplace_predict(rows, validate_features=False))

    return fit
