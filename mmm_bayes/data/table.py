"""Read the cells of a table as numbers, dates and geo names; report cells that cannot be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import LARGEST, cell_text, plain_frame, to_floats
from mmm_bayes.data.dates import parse_dates
from mmm_bayes.data.labels import Labels, known_label, read_labels
from mmm_bayes.data.number_format import number_remedy
from mmm_bayes.data.roles import Roles
from mmm_bayes.runtime.findings import Finding, Severity, listing, nearest

# Rows listed in one finding: enough to show the pattern.
SHOWN = 5
# The only geo of a table without a geo column.
NATIONAL = "national"


@dataclass(frozen=True)
class Table:
    """The columns of a table as arrays, rows in the given order.

    ``dates`` and ``geos`` are None if their column is missing. A cell that could not be read is
    ``NaT``, an empty label or NaN.
    """

    roles: Roles
    num_rows: int
    dates: pd.DatetimeIndex | None
    date_form: str
    geos: Labels | None
    numbers: dict[str, np.ndarray]
    names_periods: bool = False
    """Whether the cells of the date column name whole periods, such as ``"2024-05"``."""

    def place(self, row: int) -> str:
        """Describe a row by position, geo and date."""
        notes = []
        if self.geos is not None and self.roles.geo is not None:
            notes.append(self.geos.name(row))
        if self.dates is not None and not pd.isna(self.dates[row]):
            notes.append(f"{self.dates[row]:%Y-%m-%d}")
        return f"row {row}" + (f" ({', '.join(notes)})" if notes else "")

    def dates_of(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Return the ISO dates of rows."""
        if self.dates is None:
            return ()
        return tuple(f"{self.dates[r]:%Y-%m-%d}" for r in rows if not pd.isna(self.dates[r]))

    def cells(
        self,
        check: str,
        severity: Severity,
        column: str,
        rows: np.ndarray,
        message: str,
        remedy: str,
    ) -> Finding:
        """Make a finding about cells; the message's ``{where}`` and ``{count}`` are filled in."""
        positions = tuple(int(r) for r in rows)
        where = listing((self.place(r) for r in positions), SHOWN)
        return Finding(
            check,
            severity,
            # Not str.format: column names may contain braces.
            message.replace("{where}", where).replace("{count}", str(len(positions))),
            remedy,
            where=column,
            rows=positions,
            dates=self.dates_of(positions),
        )


def read_cells(
    df: pd.DataFrame,
    roles: Roles,
    *,
    target_optional: bool = False,
    known_geos: Sequence[str] = (),
    known_dates: pd.DatetimeIndex | None = None,
) -> tuple[Table, list[Finding]]:
    """Read every column that has a role.

    ``target_optional`` lets the target be absent or empty, as in a table of future dates;
    ``known_geos`` are the geos of a fit, whose names the table may write as numbers;
    ``known_dates`` are dates that it may have, which tell the day from the month.
    """
    frame = _flat(df, roles)
    findings = _column_findings(frame, roles, target_optional)
    usable = [c for c in frame.columns if (frame.columns == c).sum() == 1]
    dates, form, geos, names_periods = None, "datetime", None, False
    if roles.date in usable:
        parsed = parse_dates(frame[roles.date], roles.date, known=known_dates)
        dates, form, names_periods = parsed.values, parsed.form, parsed.names_periods
        findings += parsed.findings
    if roles.geo is None:
        geos = Labels((NATIONAL,), np.zeros(len(frame), np.int64))
    elif roles.geo in usable:
        geos, geo_findings = _read_geos(frame[roles.geo], roles.geo)
        geos = geos.matched(known_geos)
        findings += geo_findings
    if geos is not None and isinstance(roles.population, dict):
        people = {known_label(name, geos.names): n for name, n in roles.population.items()}
        roles = replace(roles, population=people)
    table = Table(roles, len(frame), dates, form, geos, {}, names_periods)
    for part, column in roles.numeric_columns():
        if column not in usable or column in table.numbers:
            continue
        empty_ok = target_optional and part == "target"
        values, cell_findings = _read_numbers(frame[column], column, part, table, empty_ok)
        table.numbers[column] = values
        findings += cell_findings
    return table, findings


def _flat(df: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    """Turn index levels with dates and geos into columns, and labels into text."""
    wanted = {roles.date, roles.geo} - set(map(str, df.columns))
    if any(str(name) in wanted for name in df.index.names if name is not None):
        df = df.reset_index()
    return plain_frame(df.set_axis([str(c) for c in df.columns], axis=1).reset_index(drop=True))


def _column_findings(frame: pd.DataFrame, roles: Roles, target_optional: bool) -> list[Finding]:
    findings = []
    present = list(frame.columns)
    parts: dict[str, list[str]] = {}
    for part, column in roles.columns():
        parts.setdefault(column, []).append(part)
    for column, names in parts.items():
        if len(names) > 1:
            findings.append(
                Finding(
                    "two_roles",
                    "error",
                    f"Column {column!r} has {len(names)} roles: {listing(names)}.",
                    "Give each column one role.",
                    where=column,
                )
            )
        count = present.count(column)
        if count == 0 and not (target_optional and names == ["target"]):
            free = [c for c in present if c not in parts]
            hint = nearest(column, free) or nearest(column, present)
            findings.append(
                Finding(
                    "missing_column",
                    "error",
                    f"Column {column!r} ({listing(names)}) is not in the table.{hint}",
                    f"The table has {listing(map(repr, present), 20)}."
                    if present
                    else "The table has no columns.",
                    where=column,
                )
            )
        elif count > 1:
            findings.append(
                Finding(
                    "duplicate_column",
                    "error",
                    f"The table has {count} columns named {column!r}, so {listing(names)} is "
                    "ambiguous.",
                    "Rename or drop all but one of them.",
                    where=column,
                )
            )
    return findings


def _read_geos(column: pd.Series, name: str) -> tuple[Labels, list[Finding]]:
    labels = read_labels(column)
    rows = tuple(int(i) for i in np.flatnonzero(labels.codes < 0))
    if not rows:
        return labels, []
    finding = Finding(
        "missing_geo",
        "error",
        f"Column {name!r} has {len(rows)} empty cell(s) (rows {listing(rows)}); every row needs a "
        "geo.",
        "Fill in the geo, or drop these rows.",
        where=name,
        rows=rows,
    )
    return labels, [finding]


def _read_numbers(
    series: pd.Series, column: str, part: str, table: Table, empty_ok: bool
) -> tuple[np.ndarray, list[Finding]]:
    values, text = to_floats(series)
    missing = series.isna().to_numpy() | (np.isnan(values) & ~text)
    infinite = np.isinf(values)
    findings = []
    if text.any():
        findings.append(_text_finding(series, column, part, table, np.flatnonzero(text)))
    if missing.any() and not empty_ok:
        remedy = (
            "Fill in the cells (0 where nothing was spent or shown), or drop rows at the ends."
            if part.startswith(("channel", "spend"))
            else "Fill in the cells, or drop rows at the ends of the table."
        )
        findings.append(
            table.cells(
                "missing_value",
                "error",
                column,
                np.flatnonzero(missing),
                f"Column {column!r} ({part}) has {{count}} empty cell(s): {{where}}.",
                remedy,
            )
        )
    if infinite.any():
        findings.append(
            table.cells(
                "infinite_value",
                "error",
                column,
                np.flatnonzero(infinite),
                f"Column {column!r} ({part}) has {{count}} infinite cell(s): {{where}}.",
                "Look for a division by zero where the table was made.",
            )
        )
    values = np.where(infinite, np.nan, values)
    findings += _size_findings(values, column, part, table)
    return np.where(np.abs(values) > LARGEST, np.nan, values), findings


def _size_findings(values: np.ndarray, column: str, part: str, table: Table) -> list[Finding]:
    """Report numbers whose squares and products would overflow or underflow."""
    size = np.abs(np.nan_to_num(values))
    remedy = "Correct these cells, or give the column in another unit (thousands, millions)."
    if (size > LARGEST).any():
        message = f"Column {column!r} ({part}) has {{count}} cell(s) beyond {LARGEST:g}: {{where}}."
        rows = np.flatnonzero(size > LARGEST)
        return [table.cells("huge_value", "error", column, rows, message, remedy)]
    if 0 < size.max(initial=0.0) < 1 / LARGEST:
        message = (
            f"All cells of column {column!r} ({part}) are smaller than {1 / LARGEST:g} in absolute "
            f"value (the largest is {size.max():g}), too small for computations."
        )
        remedy = "Give the column in a smaller unit."
        return [Finding("tiny_values", "error", message, remedy, where=column)]
    return []


def _text_finding(
    series: pd.Series, column: str, part: str, table: Table, rows: np.ndarray
) -> Finding:
    shown = listing(
        (f"{table.place(int(r))}: {cell_text(series.iloc[int(r)])}" for r in rows), SHOWN
    )
    cells = [str(series.iloc[int(r)]) for r in rows]
    remedy = "Correct these cells, or mark them as empty with pd.read_csv(..., na_values=[...])."
    if written := number_remedy(cells):
        remedy = written
    elif all(re.search(r"[$€£¥%]", c) for c in cells):
        remedy = (
            f"Remove the signs: df[{column!r}].str.replace(r'[$€£¥%,]', '', regex=True)"
            ".astype(float)."
        )
    elif part.startswith("control") and len(rows) > series.notna().sum() / 2:
        kinds = sorted(set(cells))
        code = f"pd.get_dummies(df, columns=[{column!r}], drop_first=True)"
        if len(kinds) == 2:
            code = f"(df[{column!r}] == {kinds[1]!r}).astype(float)"
        remedy = f"Convert text into 0/1 columns ({code}) and use those as controls."
    return Finding(
        "not_a_number",
        "error",
        f"Column {column!r} ({part}) should hold numbers, but {len(rows)} cell(s) do not: {shown}.",
        remedy,
        where=column,
        rows=tuple(int(r) for r in rows),
        dates=table.dates_of(int(r) for r in rows),
    )
