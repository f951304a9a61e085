"""Dates written as text: all the ways in which a whole column can be read."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd

FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y-%m",
    "%Y/%m",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%m/%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%b-%y",
)
PERIOD_FORMATS = frozenset(
    ("%Y", "%Y%m", "%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y", "%b-%y")
)
"""Formats that name a whole week, month, quarter or year rather than a day."""

_TIME = re.compile(
    r"^(?P<date>.*?[0-9A-Za-z,.])[T ]\s*(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)\s*"
    r"(?P<half>[AaPp][Mm])?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)
_WEEKDAY = re.compile(r"^(mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+", re.IGNORECASE)
_QUARTER = re.compile(r"^(?:([12]\d{3})[- ]?Q([1-4])|Q([1-4])[-/ ]?([12]\d{3}))$", re.IGNORECASE)
_WEEK = re.compile(r"^([12]\d{3})-?W(\d{2})$", re.IGNORECASE)


class Reading(NamedTuple):
    """One way to read distinct texts: its format, the times as written, and in UTC."""

    form: str
    wall: pd.DatetimeIndex
    utc: pd.DatetimeIndex


def read_texts(texts: list[str]) -> list[Reading]:
    """Return the readings that fit the most texts; several if they give different dates.

    A reading applies one format to all texts. It is ``NaT`` where a text does not follow it.
    """
    for pattern, form, start in (
        (_QUARTER, "quarter", _quarter_start),
        (_WEEK, "week", _week_start),
    ):
        found = [pattern.match(text) for text in texts]
        if texts and all(found):
            days = _index([start(match) for match in found if match is not None])
            return [Reading(form, days, days)]
    parts = [_split(_WEEKDAY.sub("", text)) for text in texts]
    dates = pd.Series([date for date, _, _ in parts], dtype="object")
    of_day = pd.to_timedelta([time for _, time, _ in parts], unit="s")
    offset = pd.to_timedelta([zone for _, _, zone in parts], unit="s")
    tries: dict[str, pd.DatetimeIndex] = {}
    for form in FORMATS:
        tries[form] = _parsed(dates, form)
        if form.startswith("%Y") and not tries[form].hasnans:  # no other format begins so
            break
    fits = {form: int(np.count_nonzero(days.notna())) for form, days in tries.items()}
    readings: list[Reading] = []
    for form, days in tries.items():
        wall = days + of_day
        best = 0 < fits[form] == max(fits.values())
        if best and not any(wall.equals(other.wall) for other in readings):
            readings.append(Reading(form, wall, wall - offset))
    return readings


def _parsed(dates: pd.Series, form: str) -> pd.DatetimeIndex:
    with_digits = dates.where(dates.map(_has_digit))  # pandas reads "now" in any format
    parsed = pd.to_datetime(with_digits, format=form, errors="coerce")
    return pd.DatetimeIndex(parsed).as_unit("s")


def _has_digit(text: str) -> bool:
    return any("0" <= sign <= "9" for sign in text)


def _split(text: str) -> tuple[str, float, float]:
    """Split a text into its date, its time of day and its offset from UTC, both in seconds."""
    match = _TIME.match(text)
    if match is None:
        return text, 0.0, 0.0
    hours, minutes, *rest = match["time"].replace(",", ".").split(":")
    hour = int(hours)
    if match["half"] is not None:
        hour = hour % 12 + (12 if match["half"].lower() == "pm" else 0)
    seconds = 3600.0 * hour + 60.0 * int(minutes) + (float(rest[0]) if rest else 0.0)
    if not (hour < 24 and int(minutes) < 60 and seconds < 86400):
        return text, 0.0, 0.0
    zone = match["zone"]
    if zone is None or zone[0] not in "+-":
        return match["date"], float(int(seconds)), 0.0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = 3600.0 * int(digits[:2]) + 60.0 * int(digits[2:])
    return match["date"], float(int(seconds)), -offset if zone[0] == "-" else offset


def _quarter_start(match: re.Match[str]) -> pd.Timestamp:
    year, quarter = (match[1], match[2]) if match[1] else (match[4], match[3])
    return pd.Timestamp(int(year), 3 * int(quarter) - 2, 1)


def _week_start(match: re.Match[str]) -> pd.Timestamp | None:
    try:
        return pd.Timestamp.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError:
        return None


def _index(days: list[pd.Timestamp | None]) -> pd.DatetimeIndex:
    plain = [np.datetime64("NaT") if day is None else day.to_datetime64() for day in days]
    return pd.DatetimeIndex(np.array(plain, "datetime64[s]"))
