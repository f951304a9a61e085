"""The cells a result is summed to: geos, dates, and years, quarters or months."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import nearest

NDArray = np.ndarray[Any, Any]
TimeMode = Literal["total", "period", "date"]

PERIODS = ("year", "quarter", "month")
_KNOWN = ("geo", "date", *PERIODS)


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells that values of a table (geo, date) are summed to.

    Attributes
    ----------
    by
        Names, in the order of the result's dimensions.
    coords
        Labels along each dimension; periods are in order of time.
    groups
        Indicator (date, period) of each date's period; ``None`` unless time is split into periods.
    """

    by: tuple[str, ...]
    coords: dict[str, Any]
    groups: NDArray | None

    @property
    def mode(self) -> tuple[bool, TimeMode]:
        """Static arguments of a compiled sum: whether geos are kept, and how time is summed."""
        time: TimeMode = "period" if self.groups is not None else "total"
        return "geo" in self.by, "date" if "date" in self.by else time

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions in the order that :func:`total` returns them: geo first, then time."""
        return tuple(sorted(self.by, key=lambda name: name != "geo"))

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod([len(values) for values in self.coords.values()], dtype=int))

    def of(self, values: NDArray) -> NDArray:
        """Sum an array of the table (..., geo, date) to these cells."""
        return np.asarray(total(values, self.groups, self.mode))


def cells_of(by: Sequence[str] | str, data: MMMData) -> Cells:
    """Parse a ``by=`` argument.

    Raises
    ------
    ValueError
        If a name is unknown or repeated, or two divisions of time are requested at once.
    """
    names = (by,) if isinstance(by, str) else tuple(by)
    for name in names:
        if name not in _KNOWN:
            raise ValueError(
                "by= accepts 'geo' and one of 'date', 'year', 'quarter', 'month', but got "
                f"{name!r}.{nearest(str(name), _KNOWN)}"
            )
    timely = [name for name in names if name != "geo"]
    if len(set(names)) < len(names) or len(timely) > 1:
        raise ValueError(
            f"by= accepts each name once and one division of time, but got {names}: leave out "
            f"{' or '.join(map(repr, dict.fromkeys(timely or names)))}."
        )
    coords: dict[str, Any] = {}
    groups = None
    for name in names:
        if name == "geo":
            coords[name] = data.geos
        elif name == "date":
            coords[name] = data.dates
        else:
            # A row belongs to the month in which it begins, whichever of its days the date is.
            codes, labels = pd.factorize(_periods(data.time_step.first_days(data.dates), name))
            coords[name] = np.asarray(labels)
            groups = (codes[:, None] == np.arange(len(labels))).astype(float)
    return Cells(names, coords, groups)


def _periods(dates: pd.DatetimeIndex, kind: str) -> NDArray:
    if kind == "year":
        return np.asarray(dates.year, int)
    if kind == "quarter":
        return np.array([f"{date.year}-Q{date.quarter}" for date in dates])
    return np.array([f"{date.year}-{date.month:02d}" for date in dates])


def total(values: Any, groups: Any, mode: tuple[bool, TimeMode]) -> Any:
    """Sum a NumPy or JAX array (..., geo, date) to cells (..., [geo], [date or period])."""
    keep_geo, time = mode
    if not keep_geo:
        values = values.sum(-2)
    if time == "period":
        return values @ groups
    return values if time == "date" else values.sum(-1)
