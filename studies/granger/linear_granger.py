"""Linear Granger causality: F-tests in a vector autoregression, and a ridge regression's norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from scipy.special import betainc, betaln, hyp2f1
from scipy.stats import false_discovery_control
from threadpoolctl import threadpool_limits

from mmm_bayes.runtime.findings import DataError, Finding
from studies.granger.lagged import (
    LaggedRows,
    lag,
    lag_checked,
    standardise,
    without_diagonal,
)

NDArray = np.ndarray[Any, Any]
Criterion = Literal["aic", "bic", "most"]

# Relative size of a diagonal element of R below which a regressor follows from the others.
_COLLINEAR = 1e-8


@final
@dataclass(frozen=True, eq=False)
class GrangerTests:
    """F-tests of every pair of every shop.

    Attributes
    ----------
    scores : numpy.ndarray
        ``-log p`` (shop, source, target), 0 on the diagonal. Of a shop that cannot be tested, the
        norms of :func:`ridge_norms`, which lie on another scale.
    p_values : numpy.ndarray
        (shop, source, target); not a number on the diagonal and for shops that cannot be tested.
        Of a constant series, as source or target, they are 1.
    lags, residual_df : numpy.ndarray
        Number of lags, and residual degrees of freedom (shop,); 0 where no test is possible.
    """

    scores: NDArray
    p_values: NDArray
    lags: NDArray
    residual_df: NDArray


def granger_tests(
    series: NDArray,
    *,
    max_lag: int = 7,
    criterion: Criterion = "aic",
    min_residual_df: int = 5,
) -> GrangerTests:
    r"""Test for every pair whether the source's lags help to predict the target.

    Each shop has a vector autoregression of order ``p`` with intercepts, fitted by least squares to
    the rows with all ``p`` lags of all nodes. For source ``i`` and target ``j``

    .. math:: F = \frac{b_{ij}' (S_{ii})^{-1} b_{ij} / p}{RSS_j / (n - p d - 1)}

    with the ``p`` coefficients ``b`` and their block ``S_ii`` of ``(X'X)^{-1}``: the F-test of the
    regression with against the one without the source's lags, at the price of one decomposition a
    shop (Granger 1969; Lütkepohl 2005, section 3.6).

    Parameters
    ----------
    series : numpy.ndarray
        (shop, time, node), NaN where missing.
    max_lag : int
        Most lags.
    criterion : {"aic", "bic", "most"}
        How a shop's order is chosen from 1 to ``max_lag``: by ``log det S + c p d^2 / n`` with the
        residuals' covariance ``S`` and ``c`` of 2 or ``log n``, all orders on the same rows; or
        the highest possible one. A further lag has ``d^2`` coefficients, most of which a sparse
        graph has at zero, so that the Bayesian criterion keeps to one lag where edges act later.
    min_residual_df : int
        Fewest residual degrees of freedom ``n - p d - 1``; higher orders are not considered. A
        shop with none left even for one lag, or with collinear nodes, is scored by
        :func:`ridge_norms`.

    Raises
    ------
    DataError
        If the series are no (shop, time, node), or a shop has fewer than 8 whole rows at lag 1.
    """
    lag_checked(series, 1)
    scaled = standardise(series)
    shops, _, nodes = scaled.shape
    with threadpool_limits(1, user_api="blas"):
        order = _orders(scaled, max_lag, criterion, min_residual_df)
        log_p = np.zeros((shops, nodes, nodes))
        residual_df = np.zeros(shops, int)
        for p in np.unique(order[order > 0]):
            at = np.flatnonzero(order == p)
            log_p[at], residual_df[at], sound = _f_tests(scaled[at], int(p))
            order[at[~sound]] = 0
        scores = -log_p
        untested = np.flatnonzero(order == 0)
        residual_df[untested] = 0
        if untested.size:
            scores[untested] = ridge_norms(series[untested], lags=1)
    p_values = np.exp(log_p)
    p_values[untested] = np.nan
    p_values[:, np.eye(nodes, dtype=bool)] = np.nan
    return GrangerTests(without_diagonal(scores), p_values, order, residual_df)


def _orders(scaled: NDArray, max_lag: int, criterion: Criterion, min_df: int) -> NDArray:
    """Order of each shop, 0 where not even one lag leaves enough residual degrees of freedom."""
    shops, length, nodes = scaled.shape
    lagged = {p: lag(scaled, p) for p in range(1, min(max_lag, length - 1) + 1)}
    most = np.zeros(shops, int)
    for p, part in lagged.items():
        most[part.whole.sum(1) - p * nodes - 1 >= min_df] = p
    if criterion == "most":
        return most
    best, order = np.full(shops, np.inf), np.where(most > 0, 1, 0)
    for top in np.unique(most[most > 1]):
        at = np.flatnonzero(most == top)
        rows = lagged[top].whole[at]
        n = rows.sum(1)
        price = (np.log(n) if criterion == "bic" else 2) * nodes**2 / n
        for p in range(1, top + 1):
            # The rows of the highest order, whatever the order.
            part = LaggedRows(*(value[at, top - p :] for value in lagged[p]))._replace(whole=rows)
            value = _log_det(_regress(part).residual, n) + p * price
            better = value < best[at]
            best[at], order[at] = np.where(better, value, best[at]), np.where(better, p, order[at])
    return order


def _log_det(residual: NDArray, n: NDArray) -> NDArray:
    covariance = residual.mT @ residual / n[:, None, None]
    # A constant series is predicted without error at every order: its variance is set to 1.
    at = np.arange(covariance.shape[-1])
    variance = covariance[:, at, at]
    covariance[:, at, at] = np.where(variance > 1e-20, variance, 1)
    return np.linalg.slogdet(covariance)[1]


@dataclass(frozen=True, eq=False)
class _Regression:
    """Least squares of all targets of each shop on lags and intercept."""

    coefficients: NDArray  # (shop, regressor, target), the intercept last
    root: NDArray  # inverse of R (shop, regressor, regressor): (X'X)^-1 = root root'
    residual: NDArray  # (shop, row, target)
    sound: NDArray  # whether the regressors are independent (shop,)
    residual_df: NDArray  # rows less regressors, without those that are zero (shop,)


def _regress(lagged: LaggedRows) -> _Regression:
    shops, rows, lags, nodes = lagged.past.shape
    # The lags of one node side by side, so that a source is a run of columns.
    design = lagged.past.swapaxes(2, 3).reshape(shops, rows, nodes * lags)
    design = np.concatenate([design, np.ones((shops, rows, 1))], axis=2)
    design = design * lagged.whole[..., None]
    present = lagged.present * lagged.whole[..., None]
    width = nodes * lags + 1
    # A column of nothing but zeros gets a row of its own, where its coefficient is 0.
    empty = np.logical_not(design.any(1))
    q, r = np.linalg.qr(np.concatenate([design, empty[:, None] * np.eye(width)], axis=1))
    size = np.abs(np.einsum("sii->si", r))
    length = np.sqrt((design**2).sum(1) + empty)
    sound = (size > _COLLINEAR * length).all(1)
    r = np.where(sound[:, None, None], r, np.eye(width))
    root = np.linalg.inv(r)
    q = q[:, :rows]
    projected = q.mT @ present
    residual_df = lagged.whole.sum(1) - (~empty).sum(1)
    return _Regression(root @ projected, root, present - q @ projected, sound, residual_df)


def _f_tests(scaled: NDArray, p: int) -> tuple[NDArray, NDArray, NDArray]:
    """Log p-values (shop, source, target), residual degrees of freedom, and what is sound."""
    lagged = lag(scaled, p)
    shops, _, nodes = scaled.shape
    fit = _regress(lagged)
    df = fit.residual_df
    blocks = fit.root[:, :-1].reshape(shops, nodes, p, -1)
    b = fit.coefficients[:, :-1].reshape(shops, nodes, p, nodes)
    covariance = blocks @ blocks.mT
    explained = np.einsum("sikj,sikj->sij", b, np.linalg.solve(covariance, b)) / p
    variance = (fit.residual**2).sum(1) / df[:, None]
    # A constant target has no variance to explain.
    flat = variance <= 1e-20
    statistic = np.where(flat[:, None], 0, explained / np.where(flat, 1, variance)[:, None])
    return log_f_survival(statistic, p, df[:, None, None]), df, fit.sound


def log_f_survival(
    statistic: NDArray, numerator_df: NDArray | int, residual_df: NDArray
) -> NDArray:
    r"""Log of the upper tail of the F distribution, also where the tail itself underflows.

    The tail is :math:`I_x(a, b)` with ``a`` and ``b`` half the residual and numerator degrees of
    freedom and ``x = residual_df / (residual_df + numerator_df F)``; where that is below 1e-280,
    :math:`x^a (1 - x)^b {}_2F_1(a + b, 1; a + 1; x) / (a B(a, b))` (DLMF 8.17.8) is taken by its
    logarithm.
    """
    a, b = np.asarray(residual_df) / 2, np.asarray(numerator_df) / 2
    ratio = numerator_df * np.asarray(statistic, float) / residual_df
    x = 1 / (1 + ratio)
    tail = betainc(a, b, x)
    a, b, x, ratio = np.broadcast_arrays(a, b, x, ratio)
    small = tail < 1e-280
    result = np.log(np.where(small, 1, tail))
    a, b, x, ratio = a[small], b[small], x[small], ratio[small]
    series = np.log(hyp2f1(a + b, 1, a + 1, x))
    log_x, log_rest = -np.log1p(ratio), -np.log1p(1 / ratio)
    result[small] = a * log_x + b * log_rest - np.log(a) - betaln(a, b) + series
    return result


def benjamini_hochberg(p_values: NDArray, level: float = 0.05) -> NDArray:
    """Decide edges so that of each shop's decisions at most ``level`` are wrong on average.

    The ``k`` smallest of a shop's ``m`` p-values are edges, with the largest ``k`` whose p-value is
    at most ``k level / m`` (Benjamini and Hochberg 1995, for independent tests).

    Parameters
    ----------
    p_values : numpy.ndarray
        (shop, source, target); those that are not a number are no edges and do not count.
    level : float
        False discovery rate.

    Returns
    -------
    numpy.ndarray
        Edges (shop, source, target), boolean.
    """
    if not 0 < level < 1:
        message = f"level should lie between 0 and 1, but is {level!r}."
        remedy = "0.05 is a usual false discovery rate."
        raise DataError([Finding("level", "error", message, remedy, where="level")], "the test")
    decided = np.zeros(p_values.shape, bool)
    for own, shop in zip(decided, p_values, strict=True):
        known = np.isfinite(shop)
        own[known] = false_discovery_control(shop[known]) <= level
    return decided


def ridge_norms(series: NDArray, *, lags: int = 7) -> NDArray:
    r"""Return norms of each source's coefficients in a ridge regression on all lags.

    The series are standardised. Every target of a shop has its own penalty, the one among 31 from
    1e-3 to 1e3 times the number of rows with the smallest generalised cross-validation
    ``n RSS / (n - 1 - df)^2`` (Golub, Heath and Wahba 1979), with
    :math:`df = \sum_k s_k / (s_k + \lambda)` over the eigenvalues of ``X'X``. Large coefficients
    may find edges better than small p-values (Weichwald et al. 2020).

    Parameters
    ----------
    series : numpy.ndarray
        (shop, time, node), NaN where missing.
    lags : int
        Number of lags.

    Returns
    -------
    numpy.ndarray
        Norms over lags (shop, source, target), 0 on the diagonal.
    """
    lagged = lag_checked(series, lags)
    shops, rows, _, nodes = lagged.past.shape
    n = lagged.whole.sum(1)[:, None, None]
    design = lagged.past.swapaxes(2, 3).reshape(shops, rows, nodes * lags)
    mask = lagged.whole[..., None]
    design = (design - design.sum(1, keepdims=True) / n) * mask
    present = (lagged.present - lagged.present.sum(1, keepdims=True) / n) * mask
    with threadpool_limits(1, user_api="blas"):
        eigenvalue, vectors = np.linalg.eigh(design.mT @ design)
        eigenvalue = np.maximum(eigenvalue, 0)
        rotated = vectors.mT @ (design.mT @ present)
    penalty = n * np.logspace(-3, 3, 31)
    kept = 1 / (eigenvalue[..., None] + penalty)  # (shop, eigenvalue, penalty)
    squares = rotated**2
    total = (present**2).sum(1)[:, :, None]
    rss = total - squares.mT @ (kept * (1 + penalty * kept))
    df = (eigenvalue[..., None] * kept).sum(1, keepdims=True)
    best = np.argmin(np.maximum(rss, 0) / np.maximum(n - 1 - df, 1e-9) ** 2, axis=2)
    chosen = np.take_along_axis(kept, best[:, None, :], axis=2)
    coefficients = (vectors @ (chosen * rotated)).reshape(shops, nodes, lags, nodes)
    return without_diagonal(np.sqrt((coefficients**2).sum(2)))
