"""Checks of a table whose cells have been read: its panel, its values and its length."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import LARGEST
from mmm_bayes.data.dates import TimeStep, check_regular
from mmm_bayes.data.table import Table
from mmm_bayes.runtime.findings import Finding, listing, nearest


def geo_order(geos: Iterable[str]) -> list[str]:
    """Sort names by the numbers within them: geo_2 before geo_10."""

    def key(name: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"([0-9]+)", name)
        # Not int(): a name may have more digits than Python converts to a number.
        numbers = [part.lstrip("0") if part[:1].isdecimal() else None for part in parts]
        return [
            (1, 0, part) if number is None else (0, len(number), number)
            for part, number in zip(parts, numbers, strict=True)
        ]

    return sorted(set(geos) - {""}, key=key)


def check_panel(table: Table, step: TimeStep | None = None) -> tuple[TimeStep, list[Finding]]:
    """Check that every geo has each date of one regular grid exactly once."""
    dates, geos, roles = table.dates, table.geos, table.roles
    if dates is None or geos is None:
        return TimeStep("unknown", 1, ""), []
    valid = np.asarray(dates.notna()) & (geos != "")
    unique = dates[valid].unique().sort_values()
    step, findings = check_regular(unique, roles.date, step)
    if not valid.all():
        # Rows without date or geo are reported already, and may be the very dates missing here.
        findings = [f for f in findings if f.check != "date_gap"]
    keys = pd.DataFrame({"geo": geos, "date": dates})[valid]
    repeated = keys.index[keys.duplicated(keep="first")].to_numpy()
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
    for name in geo_order(keys["geo"]) if valid.all() else ():
        absent = unique.difference(pd.DatetimeIndex(keys.loc[keys["geo"] == name, "date"]))
        if len(absent):
            shown = listing(f"{d:%Y-%m-%d}" for d in absent)
            findings.append(
                Finding(
                    "ragged_panel",
                    "error",
                    f"Geo {name!r} has no row for {len(absent)} of the {len(unique)} dates of the "
                    f"other geos: {shown}.",
                    "Add the rows, or keep only the dates that all geos have.",
                    where=roles.geo,
                    dates=tuple(f"{d:%Y-%m-%d}" for d in absent),
                    geo=name,
                )
            )
    return step, findings


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
    names = geo_order(geos)
    column = population if isinstance(population, str) else "population"
    if isinstance(population, str):
        if population not in table.numbers:
            return []
        distinct = pd.DataFrame({"geo": geos, "n": table.numbers[population]}).drop_duplicates()
        values = {g: distinct["n"].to_numpy()[distinct["geo"] == g] for g in names}
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
