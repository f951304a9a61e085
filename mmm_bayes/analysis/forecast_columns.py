"""Columns that a user gives for future dates: rows matched to the table, cells checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.data.dates import parse_dates
from mmm_bayes.data.labels import known_labels
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import Finding, listing, nearest

NDArray = np.ndarray[Any, Any]


def problem(check: str, message: str, remedy: str, column: str | None = None) -> Finding:
    """Make an error among the findings of a forecast."""
    return Finding(check, "error", message, remedy, where=column)


def given_columns(
    data: MMMData, frame: pd.DataFrame, findings: list[Finding]
) -> tuple[int, dict[str, NDArray]]:
    """Read the numeric columns of the frame that the model knows, each (geo, date)."""
    roles = data.roles
    keys = [roles.date] if roles.geo is None else [roles.geo, roles.date]
    for key in keys:
        if key not in frame.columns:
            text = f"The future table has no column {key!r}.{nearest(key, map(str, frame.columns))}"
            remedy = "Use the column names of the training table."
            findings.append(problem("missing_column", text, remedy, key))
    if findings:
        return 0, {}
    known = data.future_dates(max(1, len(frame) // data.num_geos))
    parsed = parse_dates(frame[roles.date], roles.date, known=known)
    findings += parsed.findings
    dates = parsed.values.unique().sort_values()
    expected = data.future_dates(max(1, len(dates)))
    if not findings and not dates.equals(pd.DatetimeIndex(expected)):
        off = [f"{date:%Y-%m-%d}" for date in expected.difference(dates)]
        text = "The dates should continue those of the training table, from "
        text += f"{expected[0]:%Y-%m-%d} to {expected[-1]:%Y-%m-%d}, but "
        text += f"{listing(off)} are missing." if off else "there are others."
        remedy = "Give every date after the training table: carry-over needs every step."
        findings.append(problem("dates", text, remedy, roles.date))
    index = _rows(data, frame, parsed.values)
    wanted = pd.MultiIndex.from_product([data.geos, expected])
    absent, double = wanted.difference(index), index[index.duplicated()]
    if not findings and len(double):
        text = f"{len(double)} rows are duplicates: {listing(map(_row_name, double))}."
        findings.append(problem("duplicate_rows", text, "Keep one row per geo and date."))
    if not findings and len(absent):
        text = f"{len(absent)} rows are missing: {listing(map(_row_name, absent))}."
        findings.append(problem("missing_rows", text, "Add them: every geo needs every date."))
    if findings:
        return 0, {}
    columns = {c for _, c in roles.numeric_columns() if c in frame.columns} - {roles.target}
    found = {}
    for column in sorted(columns):
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(float)
        table = pd.Series(numbers, index).reindex(wanted).to_numpy().reshape(data.num_geos, -1)
        found[column] = checked(table, f"column {column!r}", expected, findings, column)
    return len(expected), found


def _rows(data: MMMData, frame: pd.DataFrame, dates: pd.DatetimeIndex) -> pd.MultiIndex:
    """Return the geo and the date of each row."""
    geo = data.roles.geo
    geos = data.geos * len(frame) if geo is None else known_labels(frame[geo], data.geos)
    return pd.MultiIndex.from_arrays([geos, dates])


def _row_name(key: Any) -> str:
    return f"{key[0]} {key[1]:%Y-%m-%d}"


def checked(
    values: NDArray,
    what: str,
    dates: pd.DatetimeIndex,
    findings: list[Finding],
    column: str | None = None,
    *,
    positive: bool = False,
) -> NDArray:
    """Return the values; report cells that are not finite numbers (or are negative)."""
    bad = ~np.isfinite(values)
    if positive:
        bad = bad | (values < 0)
    if bad.any():
        where = listing(f"{date:%Y-%m-%d}" for date in dates[np.flatnonzero(bad.any(0))])
        expected = "numbers of at least 0" if positive else "numbers"
        text = f"Expected {expected} in {what}, but {int(bad.sum())} cells differ ({where})."
        findings.append(problem("values", text, "Fill or correct them.", column))
    return values


def by_name(
    data: MMMData,
    dates: pd.DatetimeIndex,
    frame: pd.DataFrame,
    names: list[str],
    what: str,
    findings: list[Finding],
    *,
    positive: bool = False,
) -> dict[str, NDArray]:
    """Read a frame (rows: dates, or geo and date) whose columns are channels or controls."""
    roles = data.roles
    columns = roles.exposure if what == "channel" else roles.controls
    alias = {column: name for name, column in columns.items()} | {n: n for n in names}
    if what == "channel":
        alias |= {cost: name for name, cost in roles.spend.items() if cost is not None}
    frame = frame.reset_index() if roles.date not in frame.columns else frame
    frame = frame.rename(columns={frame.columns[0]: roles.date}) if (
        roles.date not in frame.columns
    ) else frame  # fmt: skip
    keys = {roles.date, roles.geo, "index"}
    if roles.geo is not None and roles.geo not in frame.columns:
        text = f"A frame of {what}s for a panel needs the column {roles.geo!r}."
        findings.append(
            problem("missing_column", text, "Give one row per geo and date.", roles.geo)
        )
        return {}
    parsed = parse_dates(frame[roles.date], roles.date, known=dates)
    if parsed.findings:
        findings += parsed.findings
        return {}
    index = _rows(data, frame, parsed.values)
    wanted = pd.MultiIndex.from_product([data.geos, dates])
    if index.has_duplicates:
        text = f"The frame of {what}s has duplicate rows."
        findings.append(problem("duplicate_rows", text, "Keep one row per geo and date."))
        return {}
    found = {}
    for column in frame.columns:
        if column in keys:
            continue
        name = alias.get(str(column))
        if name is None:
            text = f"{column!r} is not a {what}.{nearest(str(column), names)}"
            remedy = f"The {what}s are {listing(names, 20)}."
            findings.append(problem(f"{what}s", text, remedy))
            continue
        numbers = pd.Series(pd.to_numeric(frame[column], errors="coerce").to_numpy(float), index)
        values = numbers.reindex(wanted).to_numpy().reshape(data.num_geos, -1)
        label = f"{what} {name!r}"
        found[name] = checked(values, label, dates, findings, str(column), positive=positive)
    return found
