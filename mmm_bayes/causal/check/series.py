"""Rows as time series: geos, dates, and columns with past values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

NDArray = np.ndarray[Any, Any]

# Moving means with these decay rates combine to approximate any geometric adstock. A rate of 0
# gives the value itself.
DECAYS = (0.0, 0.5, 0.8)
# Number of rows at the start of a series that are dropped because their past is too short.
_START = 2


@final
@dataclass(frozen=True)
class Rows:
    """Rows of a table, sorted by date within each geo.

    Attributes
    ----------
    count : int
        Number of rows.
    geos : ndarray or None
        Geo of each row as an integer; None for a single series.
    times : ndarray or None
        Date of each row, numbered from 0, if there are several geos; None for a single series.
    is_series : bool
        Whether the rows are dated.
    """

    count: int
    geos: NDArray | None
    times: NDArray | None
    is_series: bool

    @property
    def constants(self) -> NDArray:
        """Columns (row, geo) of ones: one intercept per geo."""
        if self.geos is None:
            return np.ones((self.count, 1))
        _, codes = np.unique(self.geos, return_inverse=True)
        return np.eye(int(codes.max()) + 1)[codes]

    @property
    def parts(self) -> list[NDArray]:
        """Positions of the rows of each geo."""
        if self.geos is None:
            return [np.arange(self.count)]
        return [np.flatnonzero(self.geos == geo) for geo in np.unique(self.geos)]

    def lagged(self, values: NDArray, lag: int = 1) -> NDArray:
        """Return the values (row, k) ``lag`` dates ago; before its start, a geo's first value."""
        result = np.empty_like(values)
        for part in self.parts:
            result[part] = values[part[np.maximum(np.arange(len(part)) - lag, 0)]]
        return result

    def carried(self, values: NDArray, decay: float) -> NDArray:
        r"""Compute the moving mean :math:`c_t = \delta c_{t-1} + (1 - \delta) v_t` in each geo."""
        from scipy.signal import lfilter

        if decay == 0.0:
            return values
        result = np.empty_like(values)
        for part in self.parts:
            own = values[part]
            result[part] = lfilter(
                [1.0 - decay], [1.0, -decay], own, axis=0, zi=decay * own[:1]
            )[0]  # fmt: skip
        return result

    def without_start(self, lags: int) -> NDArray:
        """Return the positions of the rows that have at least ``lags`` earlier dates."""
        return np.sort(np.concatenate([part[lags:] for part in self.parts]))


def as_rows(count: int, dates: Any = None, geos: Any = None) -> Rows:
    """Describe the rows of a table by their dates and geos, either of which may be None.

    Raises
    ------
    ValueError
        If the number of dates or geos differs from the number of rows.
    """
    import pandas as pd

    for name, given in (("dates", dates), ("geos", geos)):
        if given is not None and len(given) != count:
            raise ValueError(
                f"{name} should have one value per row: expected {count}, got {len(given)}."
            )
    if geos is None:
        return Rows(count, None, None, dates is not None)
    codes = pd.factorize(pd.Series(np.asarray(geos)), sort=True)[0]
    if dates is None:
        times = pd.Series(codes).groupby(codes).cumcount().to_numpy()
    else:
        times = pd.factorize(pd.Series(dates), sort=True)[0]
    return Rows(count, codes, times, dates is not None)


@final
@dataclass(frozen=True)
class Conditions:
    """Conditioning columns of a test: present and past values of other variables.

    Attributes
    ----------
    linear : ndarray
        Columns (row, p) that enter linearly: intercepts, the given variables, and their past.
    smooth : ndarray
        Present values (row, m) of the given variables, which enter as smooth functions.
    past_x, past_y : ndarray
        Past values (row, j) of either variable; without columns if rows are exchangeable.
    kept : ndarray
        Positions of the rows that have a past.
    """

    linear: NDArray
    smooth: NDArray
    past_x: NDArray
    past_y: NDArray
    kept: NDArray


def conditions(
    x: NDArray, y: NDArray, given: NDArray, rows: Rows, lags: int | str, *, smooth: bool
) -> Conditions:
    """Assemble the columns that ``x`` and ``y`` are conditioned on.

    In a time series with carry-over, past causes act today. The given variables then separate ``x``
    from ``y`` only together with their past. For dated rows, ``lags="auto"`` adds exponentially
    weighted means with three decay rates, at the present and the previous date, which approximate
    any geometric adstock; for rows without dates it adds nothing. A number of lags adds the lagged
    values themselves, with or without dates.

    Parameters
    ----------
    x, y, given : ndarray
        Standardised columns (row, k).
    rows : Rows
        Dates and geos.
    lags : int or "auto"
        Past values to condition on.
    smooth : bool
        Whether the linear columns contain normal scores in addition to the values.
    """
    from mmm_bayes.causal.check.smooth import normal_scores

    if lags == "auto":
        use, start = rows.is_series, _START
        today = [rows.carried(given, decay) for decay in DECAYS] if use else [given]
        before = [rows.lagged(given)] if use else []
    else:
        use, start = int(lags) > 0, int(lags)
        today = [given]
        before = [rows.lagged(given, lag) for lag in range(1, start + 1)]
    columns = np.concatenate(today + before, axis=1)
    parts = [rows.constants, columns]
    # Normal scores double the number of columns, so they are added only if there are enough rows.
    if smooth and columns.shape[1] and 6 * columns.shape[1] < rows.count:
        parts.append(normal_scores(columns))
    pasts = [_past(own, rows, lags if use else 0) for own in (x, y)]
    kept = rows.without_start(start) if use else np.arange(rows.count)
    linear = np.concatenate(parts, axis=1)
    return Conditions(linear[kept], given[kept], pasts[0][kept], pasts[1][kept], kept)


def _past(own: NDArray, rows: Rows, lags: int | str) -> NDArray:
    """Return past values of a variable; none for a season, which its past predicts exactly."""
    if lags == 0 or own.shape[1] > 1:
        return own[:, :0]
    if lags == "auto":
        before = rows.lagged(own)
        return np.concatenate([rows.carried(before, decay) for decay in DECAYS], axis=1)
    return np.concatenate([rows.lagged(own, lag) for lag in range(1, int(lags) + 1)], axis=1)
