"""Limits on parts of a plan, and the feasible set that they define."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mmm_bayes.budget.projection import Polytope
from mmm_bayes.budget.variables import BY, Variables
from mmm_bayes.data.date_selection import date_positions
from mmm_bayes.data.labels import known_label, label_text
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

NDArray = np.ndarray[Any, Any]
Labels = str | Sequence[str] | None


@dataclass(frozen=True)
class Limit:
    """A lower and an upper limit on the money that some cells of a plan get together.

    Attributes
    ----------
    channel, geo
        One label or several; all by default.
    date
        One date, several, a period such as ``"2024-05"``, or a slice of dates; all by default.
    lower, upper
        The limits, in the unit below; None for no limit.
    unit
        ``"money"`` over the window, ``"today"`` for multiples of the same cells' money in today's
        plan, or ``"share"`` for shares of the plan's total.
    each
        Axes along which the limit applies separately: ``"channel"``, ``"geo"``, ``"date"``.

    Examples
    --------
    >>> together = Limit(channel=("tv", "radio"), upper=0.4, unit="share")  # at most 40%
    >>> by_week = Limit(channel="tv", each=("date",), lower=0.8, upper=1.2, unit="today")
    """

    channel: Labels = None
    geo: Labels = None
    date: Any = None
    lower: float | None = None
    upper: float | None = None
    unit: Literal["money", "today", "share"] = "money"
    each: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Row:
    """A named limit on a weighted sum of variables; if ``is_share``, relative to the total."""

    name: str
    coefficients: NDArray
    lower: float
    upper: float
    is_share: bool


@dataclass(frozen=True, eq=False)
class FeasibleSet:
    """Bounds and named rows at a given total.

    Attributes
    ----------
    polytope
        Bounds and rows; row 0 is the total, if it is limited.
    names
        Names of the rows.
    lower_names, upper_names
        Names of the limits that set each variable's bounds.
    """

    polytope: Polytope
    names: tuple[str, ...]
    lower_names: tuple[str, ...]
    upper_names: tuple[str, ...]


def limits_of(
    bounds: Mapping[str, tuple[float | None, float | None]] | None,
    change: Mapping[str, tuple[float | None, float | None]]
    | tuple[float | None, float | None]
    | None,
    limits: Sequence[Limit],
) -> list[Limit]:
    """Combine ``bounds``, ``change`` and ``limits`` into one list of limits."""
    found = [
        Limit(channel=name, lower=own[0], upper=own[1]) for name, own in (bounds or {}).items()
    ]
    if isinstance(change, Mapping):
        found += [
            Limit(channel=name, lower=own[0], upper=own[1], unit="today")
            for name, own in change.items()
        ]
    elif change is not None:
        found.append(Limit(lower=change[0], upper=change[1], unit="today", each=("channel",)))
    return [*found, *limits]


def rows_of(
    limits: Sequence[Limit],
    variables: Variables,
    channels: Sequence[str],
    geos: Sequence[str],
    dates: pd.DatetimeIndex,
    paid: NDArray,
) -> tuple[list[Row], list[Finding]]:
    """Translate limits into rows over the variables; also return all problems of all limits."""
    rows: list[Row] = []
    findings: list[Finding] = []
    for limit in limits:
        problems = _problems(limit, channels, geos, dates, paid)
        findings += problems
        if problems:
            continue
        for own in _expanded(limit, channels, geos, dates, paid):
            cells = _cells(own, channels, geos, dates) & paid[:, None, None]
            coefficients = variables.row(cells)
            factor = _today(variables, coefficients, cells) if own.unit == "today" else 1.0
            lower = 0.0 if own.lower is None else own.lower * factor
            upper = np.inf if own.upper is None else own.upper * factor
            name = _name(own, geos, dates)
            rows.append(Row(name, coefficients, lower, upper, own.unit == "share"))
    return rows, findings


def feasible_set(
    rows: Sequence[Row], size: int, total: float | None, exact: bool = True
) -> FeasibleSet:
    """Return bounds and rows for a total that is met (``exact``) or not exceeded, or for none."""
    lower, upper = np.zeros(size), np.full(size, np.inf)
    lower_names, upper_names = ["no spend below zero"] * size, [""] * size
    kept: list[tuple[str, NDArray, float, float]] = []
    if total is not None:
        kept.append(("total", np.ones(size), total if exact else -np.inf, total))
    for row in rows:
        low, high = (-np.inf if row.lower <= 0 else row.lower), row.upper
        a = row.coefficients
        if row.is_share:
            if total is not None and exact:
                low, high = low * total, high * total
            else:
                # A share of an unknown total: one homogeneous row per side.
                if np.isfinite(low):
                    kept.append((row.name, a - low, 0.0, np.inf))
                if np.isfinite(high):
                    kept.append((row.name, a - high, -np.inf, 0.0))
                continue
        touched = np.flatnonzero(np.abs(a) > 1e-12)
        if len(touched) == 1:
            k = touched[0]
            weight = a[k] if abs(a[k] - 1.0) > 1e-12 else 1.0
            if low / weight > lower[k]:
                lower[k], lower_names[k] = low / weight, row.name
            if high / weight < upper[k]:
                upper[k], upper_names[k] = high / weight, row.name
        elif len(touched) and (np.isfinite(low) or np.isfinite(high)):
            kept.append((row.name, a, low, high))
    polytope = Polytope(
        lower,
        upper,
        np.array([a for _, a, _, _ in kept]).reshape(len(kept), size),
        np.array([low for _, _, low, _ in kept]),
        np.array([high for _, _, _, high in kept]),
    )
    names = tuple(name for name, *_ in kept)
    return FeasibleSet(polytope, names, tuple(lower_names), tuple(upper_names))


def _today(variables: Variables, coefficients: NDArray, cells: NDArray) -> float:
    """Return today's money of some cells, bit for bit if they are one whole variable.

    A limit of 1 times today's money then holds that variable exactly where it is.
    """
    touched = np.flatnonzero(coefficients)
    if len(touched) == 1 and abs(coefficients[touched[0]] - 1.0) < 1e-12:
        return float(variables.today[touched[0]])
    return float(variables.reference[cells].sum())


def _as_tuple(labels: Labels, known: Sequence[str]) -> tuple[str, ...]:
    if labels is None:
        return tuple(known)
    own = [labels] if isinstance(labels, str) or not isinstance(labels, Iterable) else labels
    return tuple(known_label(label_text(name), known) for name in own)


def _dates(date: Any, dates: pd.DatetimeIndex) -> NDArray:
    """Return which dates of the window a limit selects."""
    chosen = np.zeros(len(dates), bool)
    chosen[date_positions(dates, date, "date of a limit")] = True
    return chosen


def _cells(
    limit: Limit, channels: Sequence[str], geos: Sequence[str], dates: pd.DatetimeIndex
) -> NDArray:
    by_channel = np.isin(channels, _as_tuple(limit.channel, channels))
    by_geo = np.isin(geos, _as_tuple(limit.geo, geos))
    return by_channel[:, None, None] & by_geo[None, :, None] & _dates(limit.date, dates)[None, None]


def _expanded(
    limit: Limit,
    channels: Sequence[str],
    geos: Sequence[str],
    dates: pd.DatetimeIndex,
    paid: NDArray,
) -> list[Limit]:
    members: dict[str, list[Any]] = {}
    if "channel" in limit.each:
        members["channel"] = [
            name for name in _as_tuple(limit.channel, channels) if paid[list(channels).index(name)]
        ]
    if "geo" in limit.each:
        members["geo"] = list(_as_tuple(limit.geo, geos))
    if "date" in limit.each:
        members["date"] = list(dates[_dates(limit.date, dates)])
    return [
        replace(limit, each=(), **dict(zip(members, own, strict=True)))
        for own in itertools.product(*members.values())
    ]


def _name(limit: Limit, geos: Sequence[str], dates: pd.DatetimeIndex) -> str:
    name = _channel_names(limit)
    if limit.geo is not None and len(geos) > 1:
        name += " in " + (limit.geo if isinstance(limit.geo, str) else listing(limit.geo))
    if isinstance(limit.date, slice):
        ends = (limit.date.start, limit.date.stop)
        name += " from {} to {}".format(*("..." if end is None else end for end in ends))
    elif limit.date is not None:
        name += " on " + listing(f"{day:%Y-%m-%d}" for day in dates[_dates(limit.date, dates)])
    return name


def _channel_names(limit: Limit) -> str:
    if limit.channel is None:
        return "all channels"
    return " + ".join(map(str, _as_tuple(limit.channel, ())))


def _problems(
    limit: Limit,
    channels: Sequence[str],
    geos: Sequence[str],
    dates: pd.DatetimeIndex,
    paid: NDArray,
) -> list[Finding]:
    return [
        *_label_problems(limit, channels, geos, paid),
        *_date_problems(limit, dates),
        *_amount_problems(limit),
    ]


def _problem(check: str, message: str, remedy: str) -> Finding:
    return Finding(check, "error", message, remedy, "limits")


def _label_problems(
    limit: Limit, channels: Sequence[str], geos: Sequence[str], paid: NDArray
) -> list[Finding]:
    found = []
    for kind, given, known in (("channel", limit.channel, channels), ("geo", limit.geo, geos)):
        for name in _as_tuple(given, known):
            if name not in known:
                message = (
                    f"A limit names the {kind} {name!r}, which the table does not have."
                    f"{nearest(str(name), known)}"
                )
                remedy = f"The table has {listing(known, 12)}."
                found.append(_problem(f"unknown_{kind}", message, remedy))
            elif kind == "channel" and given is not None and not paid[list(channels).index(name)]:
                message = f"A limit names {name!r}, which has no spend in the table."
                remedy = "Leave it out: only channels with spend are planned."
                found.append(_problem("unpaid_channel", message, remedy))
    for axis in limit.each:
        if axis not in BY:
            message = f"each= names {axis!r}.{nearest(str(axis), BY)}"
            found.append(_problem("unknown_each", message, f"Use any of {listing(BY)}."))
    return found


def _date_problems(limit: Limit, dates: pd.DatetimeIndex) -> list[Finding]:
    try:
        if _dates(limit.date, dates).any():
            return []
    except DataError as error:
        return [_problem("unknown_date", own.message, own.remedy) for own in error.findings]
    message = f"No date of the window matches the limit's date={limit.date!r}."
    remedy = f"The window runs from {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}."
    return [_problem("unknown_date", message, remedy)]


def _amount_problems(limit: Limit) -> list[Finding]:
    found = []
    name = _channel_names(limit)
    for side in ("lower", "upper"):
        value = getattr(limit, side)
        if value is not None and not (np.isfinite(value) and value >= 0):
            message = f"The {side} limit of {name} should be 0 or more, but is {value:g}."
            remedy = "Give an amount, or None for no limit on that side."
            found.append(_problem("negative_limit", message, remedy))
    if limit.lower is not None and limit.upper is not None and limit.lower > limit.upper:
        message = (
            f"The lower limit of {name} ({limit.lower:g}) is above its upper limit "
            f"({limit.upper:g})."
        )
        remedy = "Swap them; give the same number twice to fix the spend."
        found.append(_problem("crossed_limits", message, remedy))
    if limit.unit not in ("money", "today", "share"):
        message = f"The limit of {name} has the unknown unit {limit.unit!r}."
        remedy = "Use 'money', 'today' (multiples of today's plan) or 'share' (of the total)."
        found.append(_problem("unknown_unit", message, remedy))
    return found
