"""Checks of units: media units given as money, money in two units, national media repeated."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from mmm_bayes.data.table import Table
from mmm_bayes.runtime.findings import Finding, Severity, listing

# Advertisers spend a few percent of their revenue, rarely a fifth: ten times the revenue is a
# matter of units, whatever the business.
MOST_SPEND = 10.0

_MEDIA_UNITS = re.compile(
    r"(?:^|[^a-z])(impressions?|imps?|impr|clicks?|grps?|trps?|views?|pageviews?|reach|sessions?)"
    r"(?:$|[^a-z])"
)


def check_units(table: Table) -> list[Finding]:
    """Check that columns read as spend can be money in the unit of the target."""
    return [*_media_units(table), *_spend_and_target(table), *_repeated_over_geos(table)]


def _media_units(table: Table) -> list[Finding]:
    """Find channels whose only column is named like impressions, clicks or rating points."""
    findings = []
    for name, column in table.roles.exposure.items():
        word = _MEDIA_UNITS.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).lower())
        if word is None or table.roles.spend[name] != column:
            continue
        message = (
            f"Column {column!r} of channel {name!r} is named like {word[1]}, but is also read as "
            "its spend, because spend= was not given; its ROAS would be per "
            f"{word[1]}, not per unit of money."
        )
        findings.append(
            Finding("exposure_as_spend", "warning", message, _spend_remedy(name), column)
        )
    return findings


def _spend_remedy(name: str) -> str:
    return (
        f"Give the column of its cost, spend={{{name!r}: COLUMN, ...}}, or {name!r}: None if it "
        'costs nothing ("" in a model file).'
    )


def _spend_and_target(table: Table) -> list[Finding]:
    """Find spend that is many times the target."""
    roles, numbers = table.roles, table.numbers
    if roles.target is None or roles.target not in numbers:
        return []
    price = roles.revenue_per_target
    worth = numbers.get(price, np.nan) if isinstance(price, str) else price or 1.0
    revenue = float(np.nansum(np.abs(numbers[roles.target] * worth)))
    spent = {
        name: float(np.nansum(numbers[column]))
        for name, column in roles.spend.items()
        if column is not None and column in numbers
    }
    total = sum(spent.values())
    if revenue <= 0 or not total > MOST_SPEND * revenue:
        return []
    large = [name for name, value in spent.items() if value > MOST_SPEND * revenue]
    units = [name for name in large if roles.spend[name] == roles.exposure[name]]
    times = f"{total / revenue:,.3g} times the {'revenue' if price is not None else 'target'}"
    message = (
        f"Spend adds up to {times} ({roles.target!r}): most of it in "
        f"{listing(repr(name) for name in large or spent)}."
    )
    causes = ["Give spend and target in the same unit (not one of them in thousands)."]
    if price is None:
        causes.append(
            "If the target counts orders or customers, give the revenue of one as "
            "revenue_per_target."
        )
    if units:
        causes.append(
            f"If {listing(map(repr, units))} holds impressions or clicks, give the cost as spend=."
        )
    where = str(roles.spend[(large or list(spent))[0]])
    return [
        Finding(
            "spend_above_target",
            "warning",
            message,
            " ".join(causes),
            where,
            value=total / revenue,
            threshold=MOST_SPEND,
        )
    ]


def _repeated_over_geos(table: Table) -> list[Finding]:
    """Find national media whose numbers are repeated in the rows of every geo."""
    roles, geos, dates = table.roles, table.geos, table.dates
    if roles.geo is None or geos is None or dates is None or len(geos.names) < 2:
        return []
    when, _ = pd.factorize(dates)
    media = {c: v for c, v in table.numbers.items() if c in _media_columns(table)}
    repeated = {column: _is_repeated(values, when) for column, values in media.items()}
    findings = []
    for column, same in repeated.items():
        if not same:
            continue
        # Where no channel differs between geos, the table may be a copy made for a trial.
        severity: Severity = "warning" if all(repeated.values()) else "error"
        message = (
            f"Column {column!r} has the same value in all {len(geos.names)} geos on every date, as "
            "if national media were repeated for each geo: its total would count "
            f"{len(geos.names)} times."
        )
        people = roles.population if isinstance(roles.population, str) else "population"
        remedy = (
            f"Share it out between the geos by population, df[{column!r}] *= df[{people!r}] / "
            f"df.groupby({roles.date!r})[{people!r}].transform('sum'), or give it once: sum the "
            "other columns over geos and leave out geo=."
        )
        findings.append(Finding("repeated_over_geos", severity, message, remedy, column))
    return findings


def _media_columns(table: Table) -> set[str]:
    """Return columns of spend, and with a population also those of exposure."""
    roles = table.roles
    columns = {column for column in roles.spend.values() if column is not None}
    # Without a population the model takes exposure as it is: rating points are the same in each.
    return columns | (set(roles.exposure.values()) if roles.population is not None else set())


def _is_repeated(values: np.ndarray, when: np.ndarray) -> bool:
    if not (values > 0).any() or (when < 0).any():
        return False
    first = np.zeros(when.max() + 1)
    first[when[::-1]] = values[::-1]  # the last assignment counts: the first row of each date
    return bool((values == first[when]).all() and np.ptp(first) > 0)
