"""Gradient-boosted trees on observed and augmented rows, tuned by cross-validation.

Two protocols: :func:`fit_boosted` is the published one, a weighted table tuned on its own rows;
:func:`fit_augmented` tunes on observed rows that neither the trees nor the augmentation has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike

from studies.augmentation.boosting_checks import (
    column_findings,
    fold_findings,
    grid_findings,
    mixture_findings,
    refuse,
    table_findings,
)
from studies.augmentation.boosting_tables import AugmentedFold, WeightedTable

NDArray = np.ndarray[Any, Any]

DEFAULT_TREES = (10, 50, 200)
DEFAULT_LAMBDA = (1.0, 10.0, 100.0)
DEFAULT_MIXTURES = (0.0, 0.5, 0.8)
PUBLISHED_BOOSTER: Mapping[str, Any] = {"tree_method": "exact", "base_score": 0.5}
"""Defaults of XGBoost when the experiment was published; later versions changed both."""


@final
@dataclass(frozen=True)
class BoostedFit:
    """Boosted trees, refitted on all rows with what cross-validation chose.

    Attributes
    ----------
    booster : xgboost.Booster
        The trees.
    n_estimators : int
        Number of trees.
    reg_lambda : float
        Penalty on the squared leaf values.
    mixture : float
        Share of the weight that augmented rows carry; 0 for :func:`fit_boosted`.
    cv : pandas.DataFrame
        ``mixture``, ``n_estimators``, ``reg_lambda`` and ``mse``, the mean over folds of the mean
        squared error on held-out rows, in squared units of the target; NaN where there was nothing
        to choose.
    """

    booster: Any
    n_estimators: int
    reg_lambda: float
    mixture: float
    cv: pd.DataFrame

    def predict(self, features: ArrayLike) -> Float[NDArray, " n"]:
        """Return the predicted target of each row of ``features`` (n, d), in its units."""
        values = np.asarray(features, dtype=float)
        return np.asarray(self.booster.inplace_predict(values, validate_features=False))


def fit_boosted(
    features: ArrayLike,
    target: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    n_estimators: Sequence[int] = DEFAULT_TREES,
    reg_lambda: Sequence[float] = DEFAULT_LAMBDA,
    folds: int = 3,
    booster: Mapping[str, Any] = PUBLISHED_BOOSTER,
) -> BoostedFit:
    r"""Fit boosted trees to a weighted table, tuned on that table (Poinsot & Leite 2023).

    Minimises :math:`\sum_i w_i (y_i - f(x_i))^2 / 2` plus XGBoost's penalty. Number of trees and
    :math:`\lambda` are those of the smallest error

    .. math:: \frac{1}{K} \sum_{k=1}^{K} \frac{\sum_{i \in k} w_i (y_i - f_{-k}(x_i))^2}
              {\sum_{i \in k} w_i}

    over folds of neighbouring rows, as they are given, unshuffled; then all rows are fitted again.
    Rows of weight zero are dropped first. Given augmented rows, the folds hold recombinations of
    each other's rows, and the error flatters large models: see :func:`fit_augmented`.

    One booster of the most trees serves a fold and :math:`\lambda`: its first 10 trees are the
    booster of 10.

    Parameters
    ----------
    features : array_like of shape (n, d)
        Predictors.
    target : array_like of shape (n,)
        What to predict.
    weights : array_like of shape (n,), optional
        Weights, not negative; their scale matters, because the penalty has none.
    n_estimators, reg_lambda : sequence
        Numbers of trees and penalties to choose among; the first of equals is taken.
    folds : int
        Number of folds :math:`K`.
    booster : mapping
        Further parameters of XGBoost.

    Returns
    -------
    BoostedFit

    Raises
    ------
    DataError
        For tables and grids that cannot be fitted, with every reason.
    ImportError
        Without XGBoost.

    References
    ----------
    Chen & Guestrin (2016), *XGBoost: A Scalable Tree Boosting System*;
    Poinsot & Leite (2023), *A Guide for Practical Use of ADMG Causal Data Augmentation*.
    """
    x, y = np.asarray(features, dtype=float), np.asarray(target, dtype=float)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    refuse(table_findings(x, y, w, folds) + grid_findings(n_estimators, reg_lambda, folds))
    kept = w > 0
    x, y, w = x[kept], y[kept], w[kept]
    errors = np.zeros((len(n_estimators), len(reg_lambda)))
    for held_out in neighbouring_folds(len(y), folds):
        train = np.setdiff1d(np.arange(len(y)), held_out)
        errors += _errors(
            (x[train], y[train], w[train]),
            (x[held_out], y[held_out], w[held_out]),
            n_estimators,
            reg_lambda,
            booster,
        )
    cv = _cv_table((0.0,), n_estimators, reg_lambda, errors[None] / folds)
    return _refit(cv, {0.0: (x, y, w)}, booster)


def fit_augmented(
    observed: pd.DataFrame,
    target: str,
    augmented: WeightedTable,
    folds: Sequence[AugmentedFold] = (),
    *,
    mixtures: Sequence[float] = DEFAULT_MIXTURES,
    n_estimators: Sequence[int] = DEFAULT_TREES,
    reg_lambda: Sequence[float] = DEFAULT_LAMBDA,
    booster: Mapping[str, Any] = PUBLISHED_BOOSTER,
) -> BoostedFit:
    r"""Fit boosted trees to observed and augmented rows, tuned on held-out observed rows.

    With a mixture :math:`\alpha`, an observed row weighs :math:`1 - \alpha` and augmented row
    :math:`j` weighs :math:`\alpha n w_j / \sum_k w_k`: together :math:`n`, the number of observed
    rows, so that the penalty means the same for every :math:`\alpha`. Trees, :math:`\lambda` and
    :math:`\alpha` are those of the smallest mean squared error on the *observed* rows of each fold,
    predicted from the other observed rows and their augmentation. :math:`\alpha = 0` is no
    augmentation, so data that it does not help can do without.

    Parameters
    ----------
    observed : pandas.DataFrame
        Observed rows; every column but ``target`` is a predictor.
    target : str
        Column to predict.
    augmented : WeightedTable
        Augmentation of all observed rows; may be empty, and then every mixture is 0.
    folds : sequence of AugmentedFold
        Held-out rows, and the augmentation of the rest. They depend on no target: make them once.
        Not needed where there is nothing to choose.
    mixtures : sequence of float
        Shares of augmented weight to choose among, each in 0 to 1.
    n_estimators, reg_lambda, booster
        As in :func:`fit_boosted`.

    Returns
    -------
    BoostedFit

    Raises
    ------
    DataError
        For tables, folds and grids that cannot be fitted, with every reason.
    ImportError
        Without XGBoost.
    """
    findings = column_findings(observed, target, [augmented, *(fold.augmented for fold in folds)])
    if len(mixtures) * len(n_estimators) * len(reg_lambda) > 1:
        findings += fold_findings(folds, len(observed))
    findings += mixture_findings(mixtures) + grid_findings(n_estimators, reg_lambda)
    refuse(findings)
    x, y = _columns(observed, target)
    findings = table_findings(x, y, np.ones(len(y)), least=2)
    for table in (augmented, *(fold.augmented for fold in folds)):
        findings += table_findings(
            *_columns(table.frame, target), np.asarray(table.weights), least=0
        )
    refuse(findings)
    if not np.sum(augmented.weights) > 0:
        mixtures = (0.0,)
    errors = np.zeros((len(mixtures), len(n_estimators), len(reg_lambda)))
    for fold in folds:
        train = np.setdiff1d(np.arange(len(y)), fold.held_out)
        test = (x[fold.held_out], y[fold.held_out], np.ones(len(fold.held_out)))
        tables = _mixed(x[train], y[train], fold.augmented, target, mixtures)
        for position, mixture in enumerate(mixtures):
            errors[position] += _errors(tables[mixture], test, n_estimators, reg_lambda, booster)
    errors = errors / len(folds) if folds else np.full_like(errors, np.nan)
    cv = _cv_table(mixtures, n_estimators, reg_lambda, errors)
    return _refit(cv, _mixed(x, y, augmented, target, mixtures), booster)


def neighbouring_folds(n: int, folds: int) -> list[NDArray]:
    """Split the positions of ``n`` rows into ``folds`` blocks; the first are longer by one."""
    return np.array_split(np.arange(n), folds)


Rows = tuple[NDArray, NDArray, NDArray]  # predictors, target, weights


def _columns(frame: pd.DataFrame, target: str) -> tuple[NDArray, NDArray]:
    return frame.drop(columns=target).to_numpy(float), frame[target].to_numpy(float)


def _mixed(
    x: NDArray, y: NDArray, augmented: WeightedTable, target: str, mixtures: Sequence[float]
) -> dict[float, Rows]:
    """Return rows to fit by mixture; those of weight zero are left out."""
    weights = np.asarray(augmented.weights, dtype=float)
    mass = weights.sum()
    more_x, more_y = _columns(augmented.frame, target)
    tables = {}
    for mixture in mixtures:
        share = mixture if mass > 0 else 0.0
        added = share * len(y) * weights / mass if mass > 0 else weights
        weight = np.concatenate([np.full(len(y), 1.0 - share), added])
        kept = weight > 0
        tables[mixture] = (
            np.concatenate([x, more_x])[kept],
            np.concatenate([y, more_y])[kept],
            weight[kept],
        )
    return tables


def _train(rows: Rows, trees: int, penalty: float, booster: Mapping[str, Any]) -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise ImportError(
            'Boosted trees need XGBoost: pip install "mmm-bayes[augmentation]"'
        ) from error
    x, y, w = rows
    matrix = xgboost.DMatrix(x, label=y, weight=w, nthread=1)
    settings = {"nthread": 1, "verbosity": 0, **booster, "reg_lambda": penalty}
    return xgboost.train(settings, matrix, num_boost_round=trees)


def _errors(
    train: Rows,
    test: Rows,
    n_estimators: Sequence[int],
    reg_lambda: Sequence[float],
    booster: Mapping[str, Any],
) -> Float[NDArray, "trees penalties"]:
    """Return the weighted mean squared errors on ``test`` over the grid."""
    x, y, w = test
    errors = np.empty((len(n_estimators), len(reg_lambda)))
    for column, penalty in enumerate(reg_lambda):
        model = _train(train, max(n_estimators), penalty, booster)
        for row, trees in enumerate(n_estimators):
            predicted = model.inplace_predict(x, iteration_range=(0, trees))
            errors[row, column] = np.average((y - predicted) ** 2, weights=w)
    return errors


def _cv_table(
    mixtures: Sequence[float],
    n_estimators: Sequence[int],
    reg_lambda: Sequence[float],
    errors: Float[NDArray, "mixtures trees penalties"],
) -> pd.DataFrame:
    grid = pd.MultiIndex.from_product(
        [mixtures, n_estimators, reg_lambda], names=["mixture", "n_estimators", "reg_lambda"]
    )
    return pd.DataFrame({"mse": errors.ravel()}, index=grid).reset_index()


def _refit(
    cv: pd.DataFrame, tables: Mapping[float, Rows], booster: Mapping[str, Any]
) -> BoostedFit:
    best = cv.iloc[int(np.argmin(cv["mse"].to_numpy()))]
    mixture, penalty = float(best["mixture"]), float(best["reg_lambda"])
    trees = int(best["n_estimators"])
    model = _train(tables[mixture], trees, penalty, booster)
    return BoostedFit(model, trees, penalty, mixture, cv)
