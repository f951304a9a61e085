"""Regressions on autocorrelated rows: influence functions, wild bootstrap, blocks of dates.

Rows are consecutive weeks and therefore not independent draws. The error of an estimate is a sum of
one influence value per row. These values give standard errors that are valid under autocorrelation,
and a dependent wild bootstrap without refits.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

NDArray = np.ndarray[Any, Any]


class Regression(NamedTuple):
    r"""A least-squares fit :math:`y = X\theta + e`.

    Attributes
    ----------
    coefficients : ndarray
        :math:`\hat\theta` (p,).
    residuals : ndarray
        Residuals (row,).
    influence : ndarray
        Influence function (row, p), :math:`(X'X)^{-1} x_t e_t`: the contribution of each row to the
        estimation error of :math:`\hat\theta`, to first order.
    dof : float
        Number of rows minus the effective number of parameters.
    """

    coefficients: NDArray
    residuals: NDArray
    influence: NDArray
    dof: float


def least_squares(y: NDArray, x: NDArray, penalty: NDArray | None = None) -> Regression:
    r"""Fit by least squares, or with a ridge penalty :math:`\sum_j \lambda_j \theta_j^2`.

    Columns are first scaled to unit length, so that the treatment of collinearity does not depend
    on units. With exactly collinear columns, the solution is the one with minimum norm.

    Parameters
    ----------
    y : ndarray
        Outcome (row,).
    x : ndarray
        Columns (row, p); an intercept is not added.
    penalty : ndarray, optional
        Penalty weights :math:`\lambda` (p,), which apply to the scaled columns.
    """
    scale = np.sqrt((x**2).sum(0))
    scale[scale == 0] = 1.0
    scaled = x / scale
    if penalty is None:
        inverse = np.linalg.pinv(scaled, rcond=1e-12)  # (p, row)
    else:
        inner = scaled.T @ scaled + np.diag(penalty)
        inverse = np.linalg.lstsq(inner, scaled.T, rcond=1e-14)[0]
    theta = inverse @ y
    residuals = y - scaled @ theta
    effective = float(np.einsum("rp,pr->", scaled, inverse))
    influence = (inverse * residuals).T / scale
    return Regression(theta / scale, residuals, influence, max(len(y) - effective, 1.0))


def block_length(num_dates: int) -> int:
    r"""Return the length of a bootstrap block, :math:`\max(4, \lceil 1.5\, n^{1/3} \rceil)`."""
    return int(max(4, np.ceil(1.5 * num_dates ** (1.0 / 3.0))))


def wild_multipliers(rng: np.random.Generator, draws: int, num_dates: int, length: int) -> NDArray:
    r"""Draw multipliers (draw, date) of the dependent wild bootstrap.

    The multipliers are standard normal series with autocovariance :math:`\max(0, 1 - |l| / \ell)`
    (Bartlett's window), computed as moving sums of ``length`` independent normal variables.

    References
    ----------
    X. Shao (2010), The dependent wild bootstrap. JASA 105(489).
    """
    noise = rng.standard_normal((draws, num_dates + length - 1))
    sums = np.cumsum(np.concatenate([np.zeros((draws, 1)), noise], axis=1), axis=1)
    return (sums[:, length:] - sums[:, :-length]) / np.sqrt(length)


def persistence(series: NDArray) -> float:
    """Return the first autocorrelation of a series (row,), clipped to 0 to 0.95."""
    centred = series - series.mean()
    power = float(centred[:-1] @ centred[:-1])
    return float(np.clip(centred[1:] @ centred[:-1] / power, 0.0, 0.95)) if power > 0 else 0.0


def block_rows(rng: np.random.Generator, dates: NDArray, length: int) -> NDArray:
    """Resample rows in blocks of dates that wrap around the end (circular block bootstrap).

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    dates : ndarray
        Date (row,) of each row, numbered from 0; rows of one date stay together.
    length : int
        Number of dates per block.

    Returns
    -------
    ndarray
        Positions of the resampled rows, for the original number of dates.
    """
    num_dates = int(dates.max()) + 1
    starts = rng.integers(0, num_dates, -(-num_dates // length))
    drawn = ((starts[:, None] + np.arange(length)) % num_dates).ravel()[:num_dates]
    order = np.argsort(dates, kind="stable")
    first = np.searchsorted(dates[order], np.arange(num_dates + 1))
    return np.concatenate([order[first[date] : first[date + 1]] for date in drawn])


def date_numbers(num_rows: int, dates: Any, geos: NDArray | None) -> NDArray:
    """Return the date of each row, numbered from 0; without dates, its position in its geo."""
    if dates is not None:
        return np.unique(np.asarray(dates), return_inverse=True)[1]
    if geos is None:
        return np.arange(num_rows)
    numbers = np.empty(num_rows, int)
    for geo in np.unique(geos):
        rows = np.flatnonzero(geos == geo)
        numbers[rows] = np.arange(len(rows))
    return numbers


def time_folds(
    num_rows: int, geos: NDArray | None, folds: int, gap: int = 0, dates: Any = None
) -> list[tuple[NDArray, NDArray]]:
    """Split rows into consecutive blocks of dates; return (training rows, held-out rows) for each.

    Training rows are at least ``gap`` dates away from the held-out block, so that carry-over does
    not leak.
    """
    numbers = date_numbers(num_rows, dates, geos)
    edges = np.linspace(0, numbers.max() + 1, folds + 1).round().astype(int)
    splits = []
    for low, high in itertools.pairwise(edges):
        held = (numbers >= low) & (numbers < high)
        near = (numbers >= low - gap) & (numbers < high + gap)
        if held.any() and (~near).any():
            splits.append((np.flatnonzero(~near), np.flatnonzero(held)))
    return splits


def held_out_errors(
    y: NDArray, fixed: NDArray, candidates: NDArray, splits: list[tuple[NDArray, NDArray]]
) -> tuple[NDArray, NDArray]:
    """Return the squared error on held-out rows, and the slope on all rows, of each candidate.

    Each candidate column (row, candidate) is added to the ``fixed`` columns on its own. By the
    theorem of Frisch, Waugh and Lovell, one projection serves all candidates.
    """
    errors = np.zeros(candidates.shape[1])
    for train, held in splits:
        residual, slope, left = _partial(y[train], fixed[train], candidates[train])
        base, own = residual, left
        error = (y[held] - fixed[held] @ base)[:, None] - (
            candidates[held] - fixed[held] @ own
        ) * slope
        errors += (error**2).sum(0)
    _, slopes, _ = _partial(y, fixed, candidates)
    return errors, slopes


def _partial(y: NDArray, fixed: NDArray, candidates: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return coefficients of y on the fixed columns, slopes, and coefficients of candidates."""
    inverse = np.linalg.pinv(fixed, rcond=1e-10)
    of_y, of_candidates = inverse @ y, inverse @ candidates
    rest = candidates - fixed @ of_candidates
    power = (rest**2).sum(0)
    flat = power <= 1e-12 * np.maximum((candidates**2).sum(0), 1e-300)
    slope = np.where(flat, 0.0, rest.T @ (y - fixed @ of_y) / np.where(flat, 1.0, power))
    return of_y, slope, of_candidates


def held_out_errors_of(
    y: NDArray, x: NDArray, penalties: NDArray, splits: list[tuple[NDArray, NDArray]]
) -> NDArray:
    """Return the squared error on held-out rows for each of the ridge penalties (candidate, p)."""
    return np.array(
        [
            sum(
                float(((y[held] - x[held] @ least_squares(y[train], x[train], own)[0]) ** 2).sum())
                for train, held in splits
            )
            for own in penalties
        ]
    )
