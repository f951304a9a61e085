"""Every reading of the distinct cells of a date column, by their type."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

from mmm_bayes.data.date_text import Reading, read_texts

EXCEL_DAY_0 = pd.Timestamp("1899-12-30")
_EPOCH = pd.Timestamp("1970-01-01")


class _NumberForm(NamedTuple):
    """Numbers from ``low`` to ``high`` are dates of this form; the ranges do not overlap.

    ``seconds`` is the length of one unit where the numbers count time, and 0 where their digits are
    the date.
    """

    low: float
    high: float
    seconds: float = 0.0


_NUMBER_FORMS = {
    "%Y": _NumberForm(1000, 2999),
    "%Y%m": _NumberForm(100001, 299912),
    "%Y%m%d": _NumberForm(10000101, 29991231),
    "excel": _NumberForm(18264, 73415, 86400.0),  # 1950 to 2100
    "epoch_s": _NumberForm(3e8, 5.1e9, 1.0),  # 1979 to 2131, in seconds and smaller units
    "epoch_ms": _NumberForm(3e11, 5.1e12, 1e-3),
    "epoch_us": _NumberForm(3e14, 5.1e15, 1e-6),
    "epoch_ns": _NumberForm(3e17, 5.1e18, 1e-9),
}


def readings_of(cells: pd.Series) -> list[Reading]:
    """Return every reading of distinct, non-empty cells; none for cells that are no dates."""
    if isinstance(cells.dtype, pd.PeriodDtype):
        days = pd.DatetimeIndex(cells.dt.start_time).as_unit("s")
        return [Reading(f"period:{cells.dtype.name[7:-1]}", days, days)]
    kind = getattr(cells.dtype, "kind", "O")
    if kind == "M":
        return [_from_datetimes(pd.DatetimeIndex(cells))]
    if kind in "iuf":
        return [_from_numbers(cells.to_numpy("float64", na_value=np.nan), "int")]
    if kind not in "OU" or not len(cells):
        return []
    if all(hasattr(cell, "year") or isinstance(cell, np.datetime64) for cell in cells):
        return [_from_objects(cells)]
    texts = [str(cell).strip() for cell in cells]
    digits = np.array([re.fullmatch(r"[0-9]{1,20}(\.0*)?", text) is not None for text in texts])
    if digits.mean() > 0.5:
        numbers = [float(t) if d else np.nan for t, d in zip(texts, digits, strict=True)]
        return [_from_numbers(np.array(numbers), "text")]
    return [own._replace(form=f"text:{own.form}") for own in read_texts(texts)]


def _from_datetimes(times: pd.DatetimeIndex) -> Reading:
    wall, utc = times.tz_localize(None), times if times.tz is None else times.tz_convert(None)
    return Reading("datetime", wall.as_unit("s"), utc.as_unit("s"))


def _from_objects(cells: pd.Series) -> Reading:
    """Read Python dates and datetimes, each with its own time zone."""
    wall = np.full(len(cells), np.datetime64("NaT"), "datetime64[s]")
    utc = wall.copy()
    for at, cell in enumerate(cells):
        try:
            time = cell.start_time if isinstance(cell, pd.Period) else pd.Timestamp(cell)
            own = time if time.tz is None else time.tz_convert(None)
            wall[at], utc[at] = time.tz_localize(None).to_datetime64(), own.to_datetime64()
        except (ValueError, TypeError, OverflowError):
            continue
    return Reading("datetime", pd.DatetimeIndex(wall), pd.DatetimeIndex(utc))


def _from_numbers(numbers: np.ndarray, kind: str) -> Reading:
    """Read numbers in the form whose range holds the most of them."""
    inside = {
        form: (numbers >= own.low) & (numbers <= own.high) for form, own in _NUMBER_FORMS.items()
    }
    form = max(inside, key=lambda form: int(inside[form].sum()))
    unit, sound = _NUMBER_FORMS[form].seconds, inside[form]
    if not unit:
        sound &= np.mod(np.where(sound, numbers, 0.5), 1) == 0
        digits = [f"{n:.0f}" if ok else None for n, ok in zip(numbers, sound, strict=True)]
        parsed = pd.to_datetime(pd.Series(digits, dtype="object"), format=form, errors="coerce")
        days = pd.DatetimeIndex(parsed).as_unit("s")
        return Reading(f"{kind}:{form}", days, days)
    origin = (EXCEL_DAY_0 if form == "excel" else _EPOCH).to_datetime64().astype("datetime64[s]")
    # In whole seconds: floats do not hold nanoseconds since 1970.
    seconds = np.round(np.where(sound, numbers * unit, 0.0)).astype("timedelta64[s]")
    times = pd.DatetimeIndex(pd.DatetimeIndex(origin + seconds).where(sound))
    is_day_number = form == "excel" and kind == "int"
    return Reading("int:excel" if is_day_number else "datetime", times, times)
