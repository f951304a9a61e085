"""Chi-squared test of conditional independence on categories, or on bins of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from mmm_bayes.causal.check.independence_result import IndependenceResult, nothing_left
from mmm_bayes.causal.check.long_run import mean_error
from mmm_bayes.causal.check.series import as_rows

NDArray = np.ndarray[Any, Any]

# Cochran's rule: below this expected count the chi-squared distribution is inaccurate.
_EXPECTED = 5.0


def chi_squared(
    x: NDArray,
    y: NDArray,
    z: NDArray,
    *,
    dates: Any = None,
    geos: Any = None,
    bins: int = 3,
    most_strata: int | None = None,
) -> IndependenceResult:
    r"""Test independence of categories within strata, by the summed likelihood ratio.

    A column with at most ``bins`` distinct values is used as categories; other columns are binned
    at their quantiles. Each combination of the categories of ``z`` (and the geo) is a stratum, and

    .. math:: G = 2 \sum_s \sum_{ab} n_{abs} \log \frac{n_{abs}\, n_s}{n_{as}\, n_{bs}}

    has :math:`d = \sum_s (A_s - 1)(B_s - 1)` degrees of freedom, where :math:`A_s` and :math:`B_s`
    count the categories that occur in the stratum. Autocorrelated rows carry less information than
    independent rows. Therefore :math:`G` is divided by the mean design effect of the cells, which
    is the long-run variance of the products of residual indicators over their variance (Rao and
    Scott 1984). Then :math:`G / d` is compared with the F distribution with :math:`d` degrees of
    freedom and those of the long-run variance.

    Coarse bins do not remove all influence of ``z``, because variation within a bin still links
    ``x`` and ``y``. Use this test for categorical variables; for numeric variables,
    :func:`mmm_bayes.causal.check.generalised_covariance.generalised_covariance` is safer.

    Parameters
    ----------
    x, y, z : ndarray
        Columns (row, k); several columns of ``x`` or ``y`` are combined like those of ``z``.
    dates, geos : array_like, optional
        Date and geo of each row.
    bins : int
        Number of bins for a numeric column.
    most_strata : int, optional
        Largest number of strata. If there would be more, the columns of ``z`` get fewer bins, down
        to two. Default: one stratum for every ``5 bins**2`` rows.

    References
    ----------
    J. N. K. Rao and A. J. Scott (1984), On chi-squared tests for multiway contingency tables with
    cell proportions estimated from survey data. Annals of Statistics 12(1).
    """
    from scipy.stats import f

    rows = as_rows(len(x), dates, geos)
    n = rows.count
    a, b = categories(x, bins), categories(y, bins)
    if a.max() == 0 or b.max() == 0:
        return nothing_left("chi_squared", n, "x or y")
    most = max(1, int(n / (_EXPECTED * bins**2))) if most_strata is None else most_strata
    strata = _strata(z, rows.geos, bins, most)
    statistic, freedom, sparse = 0.0, 0, 0
    for own, counts in _tables(a, b, strata):
        statistic += _likelihood_ratio(counts)
        freedom += (counts.shape[0] - 1) * (counts.shape[1] - 1)
        sparse += int((_expected(counts) < _EXPECTED).any()) * len(own)
    if freedom == 0:
        return nothing_left("chi_squared", n, "x or y")
    cells = np.array(list(_cells(a, b, strata, rows.times)))
    design, certain = float(cells[:, 0].mean()), float(np.median(cells[:, 1]))
    notes = []
    if sparse:
        share = f"{100 * sparse / n:.0f}% of the rows are in strata"
        notes.append(f"{share} with expected counts below 5: the p-value is approximate.")
    if int(strata.max()) + 1 > most:
        notes.append(
            f"{int(strata.max()) + 1} strata are too many for {n} rows: condition on fewer nodes, "
            "or use fewer bins."
        )
    size = min(a.max(), b.max())
    return IndependenceResult(
        "chi_squared",
        statistic / design,
        float(f.sf(statistic / design / freedom, freedom, certain)),
        float(np.sqrt(min(1.0, statistic / (n * size)))),
        n,
        n / design,
        notes=tuple(notes),
    )


def categories(columns: NDArray, bins: int) -> NDArray:
    """Return the category (row,) of each row of columns (row, k), by values or quantile bins."""
    columns = np.asarray(columns)
    columns = columns[:, None] if columns.ndim == 1 else columns
    codes = [_cut(columns[:, k], bins) for k in range(columns.shape[1])]
    if not codes:
        return np.zeros(len(columns), dtype=np.int64)
    return np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def _cut(column: NDArray, bins: int) -> NDArray:
    values, codes = np.unique(column, return_inverse=True)
    if len(values) <= bins:
        return codes.reshape(-1)
    # If zero spend is frequent, several quantiles are zero, and zero becomes its own category.
    edges = np.unique(np.quantile(column, np.arange(1, bins) / bins))
    cut = np.searchsorted(edges, column, side="left" if edges[0] == values[0] else "right")
    return np.unique(cut, return_inverse=True)[1].reshape(-1)


def _strata(z: NDArray, geos: NDArray | None, bins: int, most: int) -> NDArray:
    z = np.asarray(z)
    count = 1 if geos is None else len(np.unique(geos))
    cut = [bins] * z.shape[1]
    # Coarsen the last columns first; they are the least important to the caller.
    for k in itertools.chain(*[reversed(range(len(cut)))] * (bins - 2)) if bins > 2 else ():
        if count * np.prod(cut) <= most:
            break
        cut[k] = max(2, cut[k] - 1)
    parts = [categories(z[:, [k]], size) for k, size in enumerate(cut)]
    parts += [] if geos is None else [np.unique(geos, return_inverse=True)[1]]
    return categories(np.stack(parts, axis=1), len(z)) if parts else np.zeros(len(z), np.int64)


def _tables(a: NDArray, b: NDArray, strata: NDArray) -> Iterator[tuple[NDArray, NDArray]]:
    """Yield the rows and the table of counts of each stratum, without empty rows and columns."""
    for stratum in range(int(strata.max()) + 1):
        own = np.flatnonzero(strata == stratum)
        counts = np.zeros((int(a.max()) + 1, int(b.max()) + 1))
        np.add.at(counts, (a[own], b[own]), 1.0)
        yield own, counts[counts.sum(1) > 0][:, counts.sum(0) > 0]


def _expected(counts: NDArray) -> NDArray:
    return np.outer(counts.sum(1), counts.sum(0)) / counts.sum()


def _likelihood_ratio(counts: NDArray) -> float:
    seen = counts > 0
    return float(2.0 * (counts[seen] * np.log(counts[seen] / _expected(counts)[seen])).sum())


def _cells(
    a: NDArray, b: NDArray, strata: NDArray, times: NDArray | None
) -> Iterator[tuple[float, float]]:
    """Yield the design effect of each cell's residual product, and its degrees of freedom."""
    for i, j in itertools.product(range(int(a.max()) + 1), range(int(b.max()) + 1)):
        product = np.ones(len(a))
        for indicator in ((a == i) * 1.0, (b == j) * 1.0):
            share = np.bincount(strata, indicator) / np.bincount(strata)
            product = product * (indicator - share[strata])
        found = mean_error(product, times)
        yield len(a) / found.effective, found.dof
