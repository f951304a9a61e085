"""Block resampling of rows, and the effective sample size of autocorrelated rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mmm_bayes.causal.check.variables import NodeTable

NDArray = np.ndarray[Any, Any]

# Lower bound of the effective sample ratio, however smooth a series is.
_LEAST_RATIO = 0.05


def default_block(table: NodeTable) -> int:
    r"""Return the length of blocks in dates, :math:`\lceil n^{1/3} \rceil`; 1 without dates.

    This is the rate that Hall, Horowitz and Jing (1995, Biometrika 82) derive for variances.
    """
    if table.dates is None:
        return 1
    return max(1, int(np.ceil(len(np.unique(np.asarray(table.dates))) ** (1.0 / 3.0))))


def block_rows(rng: np.random.Generator, table: NodeTable, block: int) -> tuple[NDArray, NDArray]:
    """Draw rows of a table with replacement, in blocks of dates that all geos share.

    Blocks wrap around from the last date to the first, so that every date is equally likely
    (circular block bootstrap, Politis and Romano 1992).

    Parameters
    ----------
    rng : numpy.random.Generator
        Random number generator.
    table : NodeTable
        The table; without dates, every row counts as a date of its own.
    block : int
        Number of dates per block.

    Returns
    -------
    ndarray
        Positions of the rows, in order of time within each geo.
    ndarray
        How often the row at each of these positions was drawn.
    """
    n = table.num_rows
    dates = np.arange(n) if table.dates is None else np.asarray(table.dates)
    moments, when = np.unique(dates, return_inverse=True)
    starts = rng.integers(0, len(moments), -(-len(moments) // block))
    drawn = (starts[:, None] + np.arange(block)).ravel()[: len(moments)] % len(moments)
    times = np.bincount(drawn, minlength=len(moments))
    if len(moments) == n:  # one series: keep the blocks in the order drawn
        at = np.empty(n, int)
        at[when] = np.arange(n)
        rows = at[drawn]
    else:
        rows = np.repeat(np.arange(n), times[when])
    return rows, times[when[rows]]


def within_geos(table: NodeTable) -> NodeTable:
    """Standardise every column within its geo, so that the sizes of geos have no effect."""
    if table.geos is None:
        return table
    columns = {name: column.astype(float).copy() for name, column in table.columns.items()}
    for geo in np.unique(table.geos):
        rows = table.geos == geo
        for column in columns.values():
            spread = column[rows].std(0)
            centred = column[rows] - column[rows].mean(0)
            column[rows] = centred / np.where(spread > 0, spread, 1.0)
    return replace(table, columns=columns)


def effective_sample_ratio(residuals: NDArray, geos: NDArray | None) -> float:
    r"""Return the effective sample ratio, from residuals (row, node) in order of time.

    With :math:`\rho_i` the lag-one autocorrelation of the residuals of node :math:`i`, this is the
    mean of :math:`(1 - \rho_i) / (1 + \rho_i)` over the nodes, at most 1. Each term is the
    effective sample ratio of the mean of a first-order autoregressive series. All nodes share one
    number, so that it favours neither direction of an edge.
    """
    follows = np.ones(len(residuals) - 1, bool) if geos is None else geos[1:] == geos[:-1]
    early, late = residuals[:-1][follows], residuals[1:][follows]
    spread = np.maximum((residuals**2).mean(0), 1e-12)
    rho = np.clip((early * late).mean(0) / spread, 0.0, 0.99)
    return float(np.clip(((1.0 - rho) / (1.0 + rho)).mean(), _LEAST_RATIO, 1.0))
