"""What a result is split by: geos, dates, and years, quarters or months of dates."""

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
    """Sums over the geos and dates of a table, kept apart by what was asked for.

    Attributes
    ----------
    by
        Names, in the order of the result's dimensions.
    coords
        Labels of each; a period also has no entry beyond its own, in the order of time.
    groups
        Membership (date, period) of zeros and ones, or ``None`` where time is not cut in periods.
    """

    by: tuple[str, ...]
    coords: dict[str, Any]
    groups: NDArray | None

    @property
    def mode(self) -> tuple[bool, TimeMode]:
        """What a compiled sum depends on: whether geos are kept, and how time is."""
        time: TimeMode = "period" if self.groups is not None else "total"
        return "geo" in self.by, "date" if "date" in self.by else time

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions as :func:`total` leaves them: the geo first, then time."""
        return tuple(sorted(self.by, key=lambda name: name != "geo"))

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod([len(values) for values in self.coords.values()], dtype=int))

    def of(self, values: NDArray) -> NDArray:
        """Sum an array of the table (..., geo, date) over what is not kept."""
        return np.asarray(total(values, self.groups, self.mode))


def cells_of(by: Sequence[str] | str, data: MMMData) -> Cells:
    """Read a ``by=`` argument.

    Raises
    ------
    ValueError
        If a name is unknown or given twice, or time is to be cut in two ways at once.
    """
    names = (by,) if isinstance(by, str) else tuple(by)
    for name in names:
        if name not in _KNOWN:
            raise ValueError(
                f"by= takes 'geo' and one of 'date', 'year', 'quarter', 'month', but {name!r} "
                f"came.{nearest(str(name), _KNOWN)}"
            )
    timely = [name for name in names if name != "geo"]
    if len(set(names)) < len(names) or len(timely) > 1:
        raise ValueError(
            f"by= takes each name once and one division of time, but {names} came: leave out "
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
            codes, labels = pd.factorize(_periods(data.dates, name))
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
    """Sum (..., geo, date), of NumPy or JAX, to the cells: (..., [geo], [date or period])."""
    keep_geo, time = mode
    if not keep_geo:
        values = values.sum(-2)
    if time == "period":
        return values @ groups
    return values if time == "date" else values.sum(-1)
