"""Estimators of the outcome at a different dose, with one common interface.

Each estimator regresses the outcome on the dose of a treatment and its adjustment set, and returns
the influence function of its parameters. Standard errors, bootstraps and differences of estimates
use this influence function and need no formula specific to an estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, final

import numpy as np

from mmm_bayes.causal.check.splines import bends_of, knots_of, restricted_cubic
from mmm_bayes.causal.effects.regression import held_out_errors_of, least_squares, time_folds

NDArray = np.ndarray[Any, Any]

Estimator = Literal[
    "linear",
    "splines",
    "double_ml",
    "log_linear",
    "backdoor.linear_regression",
    "backdoor.generalized_linear_model",
]


@final
@dataclass(frozen=True)
class Design:
    """Arrays of one estimation, in the units of the table.

    Attributes
    ----------
    outcome : ndarray
        Outcome (row,).
    dose : ndarray
        Dose (row,): the treatment after its transform; for media, after carry-over and saturation.
    off : ndarray
        Dose (row,) if the treatment were zero in every row.
    more : ndarray
        Dose (row,) if the treatment were slightly higher in every row.
    extra : ndarray
        The corresponding increase (row,) of the treatment, in its units.
    covariates : ndarray
        Adjustment set, modifiers and geo indicators (row, k), without an intercept.
    modifiers : ndarray
        Effect modifiers (row, m) with mean zero; often there are none.
    dates : ndarray
        Date (row,) of each row, numbered from 0.
    geos : ndarray or None
        Geo (row,) of each row as an integer.
    names : tuple of str
        Names of the covariates.
    """

    outcome: NDArray
    dose: NDArray
    off: NDArray
    more: NDArray
    extra: NDArray
    covariates: NDArray
    modifiers: NDArray
    dates: NDArray
    geos: NDArray | None = None
    names: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.outcome)

    def select(self, rows: NDArray) -> Design:
        """Return the design of the given rows, in any order and with repetitions."""
        arrays = {
            name: getattr(self, name)[rows]
            for name in ("outcome", "dose", "off", "more", "extra", "covariates", "modifiers")
        }
        geos = None if self.geos is None else self.geos[rows]
        return replace(self, **arrays, dates=self.dates[rows], geos=geos)


class Fitted(NamedTuple):
    """A fitted estimator.

    Attributes
    ----------
    parameters : ndarray
        Parameters (p,).
    influence : ndarray
        Influence function (row, p): the contribution of each row to the estimation error of the
        parameters, to first order.
    change : callable
        ``change(parameters, from_dose, to_dose, design)``: difference in the outcome (..., row)
        between two doses (row,), for parameters (..., p).
    dof : float
        Number of rows minus number of parameters.
    refit : callable
        ``refit(design)``: parameters refitted to another design, with the same knots and penalty.
    linear : bool
        Whether the change is linear in the parameters.
    """

    parameters: NDArray
    influence: NDArray
    change: Callable[[NDArray, NDArray, NDArray, Design], NDArray]
    dof: float
    refit: Callable[[Design], NDArray]
    linear: bool = True


def fit_linear(design: Design) -> Fitted:
    r"""Fit :math:`y = \alpha + \beta d + d\,\gamma' w + \delta' z` by least squares.

    The dose :math:`d` and its products with the modifiers :math:`w` are the first columns.
    """

    def features(at: Design) -> NDArray:
        return np.column_stack([_with_modifiers(at.dose[:, None], at), _baseline(at)])

    return _linear_in_features(design, features, None, _itself)


def fit_splines(design: Design) -> Fitted:
    r"""Fit smooth functions of the dose and of each covariate, and compare doses (g-computation).

    .. math:: y = \alpha + h(d) + \sum_j g_j(z_j), \qquad
              \hat\tau = \sum_t \hat h(d_t) - \hat h(d_t')

    :math:`h` and :math:`g_j` are restricted cubic splines, which are linear beyond their outermost
    knots; columns with few distinct values enter linearly. A ridge penalty shrinks the splines
    towards straight lines. Its weight minimises the squared error on held-out blocks of dates.

    References
    ----------
    J. Robins (1986), A new approach to causal inference in mortality studies with a sustained
    exposure period. Mathematical Modelling 7.
    """
    knots = knots_of(design.dose, 5)
    others = [knots_of(column, 4) for column in design.covariates.T]

    def basis(dose: NDArray) -> NDArray:
        return restricted_cubic(dose, knots)

    def features(at: Design) -> NDArray:
        columns = zip(at.covariates.T, others, strict=True)
        smooth = [restricted_cubic(column, own) for column, own in columns]
        dose_part = _with_modifiers(basis(at.dose), at)
        return np.column_stack([dose_part, np.ones(at.num_rows), *smooth])

    own_bends = np.tile(bends_of(knots), 1 + design.modifiers.shape[1])
    bends = np.concatenate([own_bends, np.zeros(1), *(bends_of(own) for own in others)])
    splits = time_folds(design.num_rows, None, 5, dates=design.dates)
    weights = np.logspace(-4, 1, 6)
    errors = held_out_errors_of(design.outcome, features(design), weights[:, None] * bends, splits)
    penalty = weights[int(np.argmin(errors))] * bends
    return _linear_in_features(design, features, penalty, basis)


def fit_double_ml(design: Design, *, folds: int = 5) -> Fitted:
    r"""Fit a partially linear model by double machine learning.

    .. math:: y - \hat E[y \mid z] = \beta\, (d - \hat E[d \mid z]) + e

    Both expectations are predicted by gradient-boosted trees trained on the other blocks of dates
    (cross-fitting). The slope is the regression coefficient of the outcome residuals on the dose
    residuals. With modifiers :math:`w`, the slope is :math:`\beta + \gamma' w` (the R-learner).

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    References
    ----------
    P. Robinson (1988), Root-n-consistent semiparametric regression. Econometrica 56(4).
    V. Chernozhukov et al. (2018), Double/debiased machine learning for treatment and structural
    parameters. Econometrics Journal 21(1).
    X. Nie and S. Wager (2021), Quasi-oracle estimation of heterogeneous treatment effects.
    Biometrika 108(2).
    """
    rest_y, rest_d = design.outcome.copy(), design.dose.copy()
    for train, held in time_folds(design.num_rows, None, folds, dates=design.dates):
        rest_y[held] -= _boosted(design, design.outcome, train, held)
        rest_d[held] -= _boosted(design, design.dose, train, held)

    def features(at: Design) -> NDArray:
        return np.column_stack([_with_modifiers(at.dose[:, None], at), np.ones(at.num_rows)])

    rests = replace(design, outcome=rest_y, dose=rest_d)
    fit = _linear_in_features(rests, features, None, _itself)
    return fit._replace(refit=lambda at: fit_double_ml(at, folds=folds).parameters)


def fit_log_linear(design: Design) -> Fitted:
    r"""Fit a log-linear mean by Poisson regression.

    .. math:: E[y] = \exp(\alpha + \beta d + d\,\gamma' w + \delta' z)

    The estimator is consistent for any non-negative outcome whose mean has this form (Gourieroux,
    Monfort and Trognon 1984); its standard errors do not assume a Poisson distribution. Effects are
    multiplicative and therefore differ between rows.
    """
    dose = _with_modifiers(design.dose[:, None], design)
    x = np.column_stack([dose, _baseline(design)])
    scale = np.sqrt((x**2).mean(0))
    scale[scale == 0] = 1.0
    theta = _poisson(design.outcome, x / scale) / scale
    mean = np.exp(x @ theta)
    bread = np.linalg.pinv((x / scale).T @ (mean[:, None] * (x / scale)), rcond=1e-12)
    influence = ((design.outcome - mean)[:, None] * (x / scale)) @ bread / scale

    def change(parameters: NDArray, one: NDArray, other: NDArray, at: Design) -> NDArray:
        rest = parameters[..., dose.shape[1] :] @ _baseline(at).T
        own = parameters[..., : dose.shape[1]]
        low, high = (own @ _with_modifiers(d[:, None], at).T for d in (one, other))
        return np.exp(rest + high) - np.exp(rest + low)

    def refit(at: Design) -> NDArray:
        own = np.column_stack([_with_modifiers(at.dose[:, None], at), _baseline(at)])
        return _poisson(at.outcome, own / scale) / scale

    dof = max(design.num_rows - x.shape[1], 1.0)
    return Fitted(theta, influence, change, dof, refit, linear=False)


ESTIMATORS: dict[str, Callable[[Design], Fitted]] = {
    "linear": fit_linear,
    "splines": fit_splines,
    "double_ml": fit_double_ml,
    "log_linear": fit_log_linear,
    "backdoor.linear_regression": fit_linear,
    "backdoor.generalized_linear_model": fit_log_linear,
}
"""Estimators by name. DoWhy computes the ``backdoor`` estimates; ours give their errors."""


def _linear_in_features(
    design: Design,
    features: Callable[[Design], NDArray],
    penalty: NDArray | None,
    basis: Callable[[NDArray], NDArray],
) -> Fitted:
    """Fit by least squares on features whose first columns are the basis of the dose."""
    fit = least_squares(design.outcome, features(design), penalty)

    def change(parameters: NDArray, one: NDArray, other: NDArray, at: Design) -> NDArray:
        columns = _with_modifiers(basis(other) - basis(one), at)
        return parameters[..., : columns.shape[1]] @ columns.T

    def refit(at: Design) -> NDArray:
        return least_squares(at.outcome, features(at), penalty).coefficients

    return Fitted(fit.coefficients, fit.influence, change, fit.dof, refit)


def _itself(dose: NDArray) -> NDArray:
    return dose[:, None]


def _with_modifiers(dose: NDArray, design: Design) -> NDArray:
    products = [dose * column[:, None] for column in design.modifiers.T]
    return np.concatenate([dose, *products], axis=1)


def _baseline(design: Design) -> NDArray:
    return np.column_stack([np.ones(design.num_rows), design.covariates])


def _boosted(design: Design, target: NDArray, train: NDArray, held: NDArray) -> NDArray:
    """Predict held-out rows by a linear fit plus trees, as trees alone do not fit a trend."""
    try:
        from sklearn.ensemble import GradientBoostingRegressor
    except ImportError as error:
        raise ImportError('scikit-learn is missing: pip install "mmm-bayes[causal]"') from error
    line = least_squares(target[train], _baseline(design)[train])
    base = _baseline(design) @ line.coefficients
    if not design.covariates.shape[1]:
        return base[held]
    trees = GradientBoostingRegressor(
        n_estimators=60, max_depth=2, learning_rate=0.05, subsample=0.7, min_samples_leaf=8,
        random_state=0,
    )  # fmt: skip
    trees.fit(design.covariates[train], (target - base)[train])
    return base[held] + trees.predict(design.covariates[held])


def _poisson(y: NDArray, x: NDArray, steps: int = 100) -> NDArray:
    """Fit Poisson regression with a log link by weighted least squares."""
    if (y < 0).any():
        raise ValueError(
            f"The outcome is negative in {int((y < 0).sum())} rows, but a log-linear model "
            "requires values of zero or more. Use estimator='linear' or 'splines'."
        )
    mean = 0.5 * (y + y.mean())
    theta = np.zeros(x.shape[1])
    for _ in range(steps):
        eta = np.log(np.maximum(mean, 1e-300))
        weight = np.sqrt(mean)
        working = eta + (y - mean) / mean
        new = np.linalg.lstsq(weight[:, None] * x, weight * working, rcond=1e-13)[0]
        mean = np.exp(np.clip(x @ new, -50.0, 50.0))
        if np.allclose(new, theta, rtol=1e-10, atol=1e-11):
            break
        theta = new
    return new
