"""Checks of a table whose cells have been read: its panel, its values and its length."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import LARGEST
from mmm_bayes.data.table import Table
from mmm_bayes.data.time_step import TimeStep, check_regular
from mmm_bayes.runtime.findings import Finding, listing, nearest

# Geos with missing rows that are listed one by one: the column may not hold geos at all.
MOST_GEOS = 100


def check_panel(table: Table, step: TimeStep | None = None) -> tuple[TimeStep, list[Finding]]:
    """Check that every geo has each date of one regular grid exactly once."""
    dates, geos, roles = table.dates, table.geos, table.roles
    if dates is None or geos is None:
        return TimeStep("unknown", 1, ""), []
    valid = np.asarray(dates.notna()) & (geos.codes >= 0)
    when, found = pd.factorize(dates[valid], sort=True)
    unique = pd.DatetimeIndex(found)
    step, findings = check_regular(unique, roles.date, step)
    if not valid.all():
        # Rows without date or geo are reported already, and may be the very dates missing here.
        findings = [f for f in findings if f.check != "date_gap"]
    cells = geos.codes[valid] * len(unique) + when
    distinct = pd.unique(cells)
    repeated = np.empty(0, np.int64)
    if len(distinct) < len(cells):
        repeated = np.flatnonzero(valid)[np.asarray(pd.Series(cells).duplicated(keep="first"))]
    if repeated.size:
        remedy = "Sum the rows of each date into one."
        if roles.geo is None and repeated.size >= len(unique) / 2:
            remedy += " If each row is a different region, name the region column with geo=."
        findings.append(
            table.cells(
                "duplicate_date",
                "error",
                roles.date,
                repeated,
                "{count} row(s) repeat a date"
                + ("" if roles.geo is None else " of the same geo")
                + ": {where}.",
                remedy,
            )
        )
    if valid.all():
        findings += _ragged(table, unique, distinct)
    return step, findings


def _ragged(table: Table, dates: pd.DatetimeIndex, cells: np.ndarray) -> list[Finding]:
    """Report geos without a row for some dates; ``cells`` are the numbers of the present rows."""
    names = () if table.geos is None else table.geos.names
    geo, when = np.divmod(cells, max(len(dates), 1))
    lacking = np.flatnonzero(np.bincount(geo, minlength=len(names)) < len(dates))
    remedy = "Add the rows, or keep only the dates that all geos have."
    findings = []
    for g in lacking[:MOST_GEOS]:
        absent = dates[np.setdiff1d(np.arange(len(dates)), when[geo == g])]
        iso = tuple(f"{d:%Y-%m-%d}" for d in absent)
        message = (
            f"Geo {names[g]!r} has no row for {len(iso)} of the {len(dates)} dates of the other "
            f"geos: {listing(iso)}."
        )
        findings.append(
            Finding(
                "ragged_panel", "error", message, remedy, table.roles.geo, (), iso, geo=names[g]
            )
        )
    if len(lacking) > MOST_GEOS:
        rest = [names[g] for g in lacking[MOST_GEOS:]]
        message = f"{len(rest)} more geos have no row for some dates: {listing(map(repr, rest))}."
        findings.append(Finding("ragged_panel", "error", message, remedy, table.roles.geo))
    return findings


def check_values(table: Table) -> list[Finding]:
    """Check signs, and that spend and exposure occur together."""
    roles, numbers = table.roles, table.numbers
    findings = []
    for part, column in roles.numeric_columns():
        if not part.startswith(("channel", "spend")) or column not in numbers:
            continue
        rows = np.flatnonzero(numbers[column] < 0)
        if rows.size:
            findings.append(
                table.cells(
                    "negative_media",
                    "error",
                    column,
                    rows,
                    f"Column {column!r} ({part}) should be 0 or more, but {{count}} cell(s) are "
                    "negative: {where}.",
                    "Enter refunds and corrections on the date of the spend that they correct.",
                )
            )
    for name, units in roles.exposure.items():
        money = roles.spend[name]
        if money is None or money == units or not {money, units} <= numbers.keys():
            continue
        for positive, zero, check in (
            (money, units, "spend_without_exposure"),
            (units, money, "exposure_without_spend"),
        ):
            rows = np.flatnonzero((numbers[positive] > 0) & (numbers[zero] == 0))
            if rows.size:
                findings.append(
                    table.cells(
                        check,
                        "warning",
                        positive,
                        rows,
                        f"Channel {name!r} has {positive!r} above 0 where {zero!r} is 0 in "
                        "{count} row(s): {where}.",
                        "Check that both columns use the date of the media (invoices are often "
                        "dated later).",
                    )
                )
    return findings + _check_population(table) + _check_revenue(table)


def _check_population(table: Table) -> list[Finding]:
    population, geos = table.roles.population, table.geos
    if population is None or geos is None:
        return []
    names = geos.names
    column = population if isinstance(population, str) else "population"
    if isinstance(population, str):
        if population not in table.numbers:
            return []
        cells = {"geo": geos.codes, "n": table.numbers[population]}
        distinct = pd.DataFrame(cells)[geos.codes >= 0].drop_duplicates().groupby("geo")["n"]
        values = {names[int(str(g))]: found.to_numpy() for g, found in distinct}
    else:
        values = {g: np.array([population[g]]) for g in names if g in population}
    findings = []

    def report(check: str, geo: str, message: str, remedy: str) -> None:
        findings.append(Finding(check, "error", message, remedy, where=column, geo=geo))

    for geo in names:
        if geo not in values:
            report(
                "missing_population",
                geo,
                f"population has no value for geo {geo!r}.{nearest(geo, population)}",
                "Give a number for every geo.",
            )
            continue
        found = values[geo][~np.isnan(values[geo])]
        if found.size > 1:
            report(
                "varying_population",
                geo,
                f"Population of geo {geo!r} should be constant, but {column!r} ranges from "
                f"{found.min():g} to {found.max():g}.",
                "Use one number per geo, for example the mean.",
            )
        elif not ((found >= 1 / LARGEST) & (found <= LARGEST)).all() or (
            not isinstance(population, str) and not found.size
        ):
            report(
                "bad_population",
                geo,
                f"Population of geo {geo!r} should be above 0, but is {values[geo][0]:g}.",
                "Give the number of people, or leave population out.",
            )
    return findings


def _check_revenue(table: Table) -> list[Finding]:
    revenue = table.roles.revenue_per_target
    remedy = "Give the revenue per unit of the target, or leave it out if the target is revenue."
    if isinstance(revenue, str) and revenue in table.numbers:
        rows = np.flatnonzero(table.numbers[revenue] < 1 / LARGEST)
        if not rows.size:
            return []
        message = (
            f"Column {revenue!r} (revenue_per_target) should be above 0, but {{count}} cell(s) "
            "are not: {where}."
        )
        return [table.cells("bad_revenue", "error", revenue, rows, message, remedy)]
    if isinstance(revenue, int | float) and not 1 / LARGEST <= revenue <= LARGEST:
        message = f"revenue_per_target should be above 0, but is {revenue:g}."
        return [Finding("bad_revenue", "error", message, remedy, where="revenue_per_target")]
    return []


def check_rows(table: Table, min_rows: int | None) -> list[Finding]:
    """Check that the table is long enough for the model."""
    roles = table.roles
    coefficients = 1 + len(roles.exposure) + len(roles.controls)
    if min_rows is not None and table.dates is not None:
        num_dates = len(table.dates.dropna().unique())
        if num_dates < min_rows:
            return [
                Finding(
                    "too_few_rows",
                    "error",
                    f"The table has {num_dates} date(s), fewer than min_rows={min_rows}.",
                    "Use a longer history, or lower min_rows.",
                    where=roles.date,
                )
            ]
    parts = f"an intercept, {len(roles.exposure)} channel(s), {len(roles.controls)} control(s)"
    if table.num_rows <= coefficients and min_rows is None:
        return [
            Finding(
                "too_few_rows",
                "error",
                f"The table has {table.num_rows} row(s) for {coefficients} coefficients ({parts}); "
                f"at least {coefficients + 1} are needed, and 3 per coefficient are advisable.",
                "Use a longer history, weeks instead of months, or merge channels.",
                where=roles.date,
            )
        ]
    if table.num_rows < 3 * coefficients:
        return [
            Finding(
                "few_rows",
                "warning",
                f"The table has {table.num_rows} rows for {coefficients} coefficients ({parts}), "
                "so the priors will strongly influence the result.",
                "Use a longer history, merge channels, or choose the priors with care.",
                where=roles.date,
            )
        ]
    return []
