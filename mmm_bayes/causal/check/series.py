"""Rows as time series: geos, dates, and columns of the past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

NDArray = np.ndarray[Any, Any]

# Carry-over rates whose sums approximate any geometric adstock: 0 is the value itself.
DECAYS = (0.0, 0.5, 0.8)
# Rows at the start of a series whose past is too short.
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
        Geo of every row as an integer; None for one series.
    times : ndarray or None
        Date of every row as an integer from 0, where geos share dates; None for one series.
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
        """Return values (row, k) some dates ago; the first of a geo stand for earlier ones."""
        result = np.empty_like(values)
        for part in self.parts:
            result[part] = values[part[np.maximum(np.arange(len(part)) - lag, 0)]]
        return result

    def carried(self, values: NDArray, decay: float) -> NDArray:
        r"""Compute the moving mean :math:`c_t = \delta c_{t-1} + (1 - \delta) v_t`."""
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
        """Return the positions of the rows with a past of some dates."""
        return np.sort(np.concatenate([part[lags:] for part in self.parts]))


def as_rows(count: int, dates: Any = None, geos: Any = None) -> Rows:
    """Describe the rows of a table by their dates and geos, either of which may be None.

    Raises
    ------
    ValueError
        If there is not one date, or one geo, a row.
    """
    import pandas as pd

    for name, given in (("dates", dates), ("geos", geos)):
        if given is not None and len(given) != count:
            raise ValueError(
                f"{name} should have one value per row, {count}, but has {len(given)}."
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
    """Conditioning columns of a test: other variables, now and in the past.

    Attributes
    ----------
    linear : ndarray
        Columns (row, p) that enter linearly: constants, what is given, and its past.
    smooth : ndarray
        Columns (row, m) of what is given today, which may enter in any shape.
    past_x, past_y : ndarray
        The past (row, j) of either variable; no columns where rows are exchangeable.
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

    Of a series, carry-over makes yesterday's causes act today: without its past, what is given does
    not separate what it should. ``lags="auto"`` gives dated rows exponentially weighted means of
    three rates, today's and yesterday's, which come close to any geometric adstock, and rows
    without dates nothing; a number of lags gives the plain lags, undated or not.

    Parameters
    ----------
    x, y, given : ndarray
        Standardised columns (row, k).
    rows : Rows
        Dates and geos.
    lags : int or "auto"
        The past to take in.
    smooth : bool
        Whether the linear columns hold normal scores beside the values themselves.
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
    # Twice as many columns only if there are enough rows.
    if smooth and columns.shape[1] and 6 * columns.shape[1] < rows.count:
        parts.append(normal_scores(columns))
    pasts = [_past(own, rows, lags if use else 0) for own in (x, y)]
    kept = rows.without_start(start) if use else np.arange(rows.count)
    linear = np.concatenate(parts, axis=1)
    return Conditions(linear[kept], given[kept], pasts[0][kept], pasts[1][kept], kept)


def _past(own: NDArray, rows: Rows, lags: int | str) -> NDArray:
    """Return columns of the past of a variable; none for a season, which it predicts exactly."""
    if lags == 0 or own.shape[1] > 1:
        return own[:, :0]
    if lags == "auto":
        before = rows.lagged(own)
        return np.concatenate([rows.carried(before, decay) for decay in DECAYS], axis=1)
    return np.concatenate([rows.lagged(own, lag) for lag in range(1, int(lags) + 1)], axis=1)
