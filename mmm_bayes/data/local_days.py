"""The day that a time stands for, where a table holds times of day or time zones.

A warehouse that stores the local midnights of Berlin in UTC writes 23:00 of the day before in
winter and 22:00 in summer. Read as written, every month would move to the one before. The times of
a whole column show what was meant.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

_HOUR = 3600
_DAY = 24 * _HOUR
AS_WRITTEN = "the day as written"
NEXT_MIDNIGHT = "midnight in a time zone east of UTC"


def local_days(wall: pd.DatetimeIndex, utc: pd.DatetimeIndex) -> list[tuple[str, pd.DatetimeIndex]]:
    """Return the days that distinct times can stand for: one reading, or two.

    Parameters
    ----------
    wall
        Times as written, in the time zone of the column if it has one.
    utc
        The same times in UTC; equal to ``wall`` where no time zone is given.

    Returns
    -------
    list of (description, days)
        - Midnights as written, or else in UTC, are these days.
        - Two or three full hours next to each other are midnights under summer and winter time:
          after 11:00 they belong to the following day (east of UTC), before that to the same one.
        - One time of day after noon, on a quarter of an hour, can be a midnight further east or a
          time of day: both readings are returned.
        - Any other times are times within the day as written.
    """
    written = wall.floor("D")
    if _all_midnight(wall):
        return [(AS_WRITTEN, written)]
    if _all_midnight(utc):
        return [("the day in UTC", utc)]
    for times in (wall, utc):
        hours = _times_of_day(times)
        if len(hours) == 1:
            if hours[0] > _DAY // 2 and hours[0] % 900 == 0:
                return [(AS_WRITTEN, written), (NEXT_MIDNIGHT, times.ceil("D"))]
            return [(AS_WRITTEN, written)]
    # Midnight in UTC itself follows 23:00.
    if hours[-1] >= _DAY - 2 * _HOUR:
        hours = np.unique(np.where(hours <= _HOUR, hours + _DAY, hours))
    one_apart = len(hours) in (2, 3) and bool((np.diff(hours) == _HOUR).all())
    if not one_apart or bool((hours % 900).any()):
        return [(AS_WRITTEN, written)]
    if hours[0] < 11 * _HOUR:
        return [(AS_WRITTEN, utc.floor("D"))]
    return [(NEXT_MIDNIGHT, (utc - pd.Timedelta(hours=2)).floor("D") + pd.Timedelta(days=1))]


def _times_of_day(times: pd.DatetimeIndex) -> np.ndarray:
    """Return the distinct times of day, in seconds after midnight."""
    known = times.dropna()
    return np.unique(((known - known.floor("D")) // pd.Timedelta(seconds=1)).to_numpy())


def _all_midnight(times: pd.DatetimeIndex) -> bool:
    known = times.dropna()
    return bool((known == known.floor("D")).all())
