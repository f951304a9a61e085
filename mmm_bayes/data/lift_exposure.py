"""Place lift tests on a table: each channel's exposure with and without the change of spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.schema import MMMData
from mmm_bayes.data.time_step import TimeStep, share_within
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

NDArray = np.ndarray[Any, Any]


class ExposurePair(NamedTuple):
    """A channel's exposure (geo, date) with and without the change of spend.

    Outside the rows of the test both equal the exposure of the table.
    """

    factual: NDArray
    counterfactual: NDArray


@dataclass(frozen=True, eq=False)
class PlacedTest:
    """A lift test placed on the rows of a table.

    Attributes
    ----------
    test
        The test.
    exposure
        Exposure with and without the change, by channel.
    spend_change
        Money by which the two differ in spend, over all channels.
    changed, measured
        Shares (geo, date) of each row's days: those whose spend changes, and those whose outcome
        counts.
    """

    test: LiftTest
    exposure: dict[str, ExposurePair]
    spend_change: float
    changed: NDArray
    measured: NDArray


def exposures_of_channel(
    exposure: NDArray,
    spend: NDArray,
    rows: NDArray,
    change: float | None,
    recorded: bool,
    price: float,
    heads: NDArray,
) -> ExposurePair:
    """Return exposure with and without a change of spend.

    The change is spread over the rows in proportion to their spend. Where that is not possible (no
    spend, or spend cut to zero in some of the rows) it follows the spend of the other geos on those
    dates, times the geo's own spend outside the test. Where these are missing too, dates count
    equally and geos by population. The change buys exposure at the channel's price.

    Parameters
    ----------
    exposure, spend
        Exposure and spend of the table (geo, date).
    rows
        Share of each row's days (geo, date) under test; 1 for whole rows.
    change
        Money over all rows; None compares the spend of the table with no spend at all.
    recorded
        Whether the spend of the table already includes the change.
    price
        Money per unit of exposure.
    heads
        Population (geo,).
    """
    if change is None:
        return ExposurePair(exposure, exposure * (1.0 - rows))
    spent = rows * spend
    total = float(spent.sum())
    cut_to_nothing = recorded and change < 0 and bool((spent[rows > 0] <= 0).any())
    if total <= 0 or cut_to_nothing:
        share = _usual_pattern(spend, rows, heads)
        difference = change * share / share.sum() / price
    else:
        difference = rows * exposure * change / total
    if recorded:
        return ExposurePair(exposure, exposure - difference)
    return ExposurePair(exposure + difference, exposure)


def _usual_pattern(spend: NDArray, rows: NDArray, heads: NDArray) -> NDArray:
    """Estimate the pattern (geo, date) of spend in the rows without the test."""
    inside = rows > 0
    tested, dates = np.asarray(inside.any(1)), np.asarray(inside.any(0))
    others: NDArray = np.where(tested[:, None], 0.0, spend).sum(0)
    over_dates = others if (others[dates] > 0).any() else np.ones(len(others))
    outside = np.where(inside, 0.0, spend).sum(1) / np.maximum((~inside).sum(1), 1)
    by_geo = outside if (outside[tested] > 0).all() else heads
    return rows * by_geo[:, None] * over_dates


def tested_days(
    dates: pd.DatetimeIndex,
    step: TimeStep,
    start: pd.Timestamp,
    end: pd.Timestamp,
    until: pd.Timestamp,
) -> tuple[NDArray, NDArray]:
    """Return the shares (row,) of each row's days on which spend changes, and that are measured.

    A test is given by days. If it begins in the middle of a row (14 days of a month), only this
    part of the row's spend changes. All of the change's effect in that row counts, since none of it
    precedes the change; of later rows up to ``until``, the share of their days. Tests whose start
    and end are both dates of rows are given by rows, and change these rows as a whole.
    """
    periods = step.intervals(dates)
    by_rows = step.marks == "nominal" or (start in dates and end in dates)
    if by_rows:
        changed = np.asarray((dates >= start) & (dates <= end), float)
    else:
        changed = share_within(periods, start, end)
    if by_rows and (until == end or until in dates or step.marks == "nominal"):
        return changed, np.asarray((dates >= start) & (dates <= until), float)
    later = share_within(periods, end, until) * np.asarray(periods.left > end)
    return changed, np.where(changed > 0, 1.0, later)


def place_tests(data: MMMData, tests: Sequence[LiftTest]) -> tuple[PlacedTest, ...]:
    """Place lift tests on the rows of a table.

    Raises
    ------
    DataError
        Listing every reason why a test does not fit the table: unknown channels or geos, dates
        outside the table, no spend to compare with, a cut larger than the spend.
    """
    findings: list[Finding] = []
    found = []
    for test in tests:
        test = test.with_known_labels(data.channels, data.geos)
        problems = _fits(data, test)
        if not problems:
            placed = _place(data, test)
            problems = _possible(data, placed)
            found.append(placed)
        findings += problems
    if findings:
        raise DataError(findings, "the lift tests")
    return tuple(found)


def _finding(test: LiftTest, message: str, remedy: str) -> Finding:
    return Finding("lift_test", "error", f"{test.name!r}: {message}", remedy, test.label)


def _fits(data: MMMData, test: LiftTest) -> list[Finding]:
    """Check the names and dates of a test against the table."""
    findings = []
    for kind, names, known in (
        ("channel", test.channels, data.channels),
        ("geo", test.geos, data.geos),
    ):
        for name in names:
            if name in known:
                continue
            hint = nearest(name, known).strip() or f"The table has {listing(known, 12)}."
            if kind == "geo" and data.is_national:
                hint = "The table is national: use a table by geo, or leave out geos=."
            findings.append(_finding(test, f"there is no {kind} {name!r}.", hint))
    dates, periods = data.dates, data.periods
    first, last = periods.left[0], periods.right[-1] - pd.Timedelta(days=1)
    changed, _ = tested_days(dates, data.time_step, test.start, test.end, test.until)
    if not changed.any():
        findings.append(
            _finding(
                test,
                f"the table has no day from {test.start:%Y-%m-%d} to {test.end:%Y-%m-%d}; its rows "
                f"stand for {first:%Y-%m-%d} to {last:%Y-%m-%d}.",
                "Correct the dates.",
            )
        )
    if test.until > last:
        findings.append(
            _finding(
                test,
                f"the outcome is measured until {test.until:%Y-%m-%d}, after the table's last "
                f"period ({dates[-1]:%Y-%m-%d}).",
                "Add these rows to the table, or leave this test out.",
            )
        )
    if first > test.start and changed.any():
        findings.append(
            _finding(
                test,
                f"it starts on {test.start:%Y-%m-%d}, before the first day of the table "
                f"({first:%Y-%m-%d}), so part of its spend is unknown.",
                "Use a longer table, or describe only the part of the test that the table covers.",
            )
        )
    return findings


def _place(data: MMMData, test: LiftTest) -> PlacedTest:
    ds = data.ds
    geos = np.isin(data.geos, test.geos) if test.geos else np.ones(data.num_geos, bool)
    days = tested_days(data.dates, data.time_step, test.start, test.end, test.until)
    changed, measured = (geos[:, None] * own for own in days)
    heads = ds["population"].values
    changes = test.changes
    pairs, money = {}, 0.0
    for at, channel in enumerate(test.channels):
        own = ds.sel(channel=channel)
        exposure, spend = own["exposure"].values, np.nan_to_num(own["spend"].values)
        change = None if changes is None else changes[at]
        pairs[channel] = exposures_of_channel(
            exposure, spend, changed, change, test.recorded, _price(exposure, spend, geos), heads
        )
        money += float((changed * spend).sum()) if change is None else change
    return PlacedTest(test, pairs, money, changed, measured)


def _price(exposure: NDArray, spend: NDArray, geos: NDArray) -> float:
    """Return money per unit of exposure: in these geos if they have spend, else in all."""
    for rows in (geos, np.ones_like(geos)):
        if spend[rows].sum() > 0 and exposure[rows].sum() > 0:
            return float(spend[rows].sum() / exposure[rows].sum())
    return np.nan


def _possible(data: MMMData, placed: PlacedTest) -> list[Finding]:
    """Check that both exposures are possible, and that they differ."""
    test, findings = placed.test, []
    for channel, (factual, counterfactual) in placed.exposure.items():
        if not (np.isfinite(factual).all() and np.isfinite(counterfactual).all()):
            findings.append(
                _finding(
                    test,
                    f"{channel} has no spend in the table, so its price is unknown.",
                    "Test a channel with spend, or leave out spend_change.",
                )
            )
        elif min(counterfactual.min(), factual.min()) < -1e-9 * np.abs(factual).max():
            spent = float((placed.changed * data.ds["spend"].sel(channel=channel).values).sum())
            findings.append(
                _finding(
                    test,
                    f"the change of {channel} is larger than its spend in these rows of the table, "
                    f"{spent:.6g}.",
                    "If the table does not include the change, set recorded=False."
                    if test.recorded
                    else "Correct spend_change, the dates or the geos.",
                )
            )
    if not findings and all(np.array_equal(*pair) for pair in placed.exposure.values()):
        findings.append(
            _finding(
                test,
                f"{test.label} has no spend in any row of the test.",
                "Check the dates and geos, or give spend_change.",
            )
        )
    elif not findings and test.measure != "lift" and not placed.spend_change:
        message = f"its spend does not change, so measure={test.measure!r} is undefined."
        findings.append(_finding(test, message, 'Give spend_change, or use measure="lift".'))
    return findings


def as_weighted_sum(data: MMMData, placed: PlacedTest) -> tuple[NDArray, float, float]:
    r"""Express a measurement as a weighted sum over rows.

    With :math:`\Delta_{gt}` the target with the change of spend less the target without it, a lift
    is :math:`\sum \Delta` and a ROAS is :math:`\sum r_{gt} \Delta_{gt} / s`, with revenue per
    target :math:`r` and change of spend :math:`s`. A cost per target :math:`c` is treated as its
    inverse :math:`\sum \Delta / s`, whose value and standard error are :math:`1/c` and
    :math:`e/c^2`: the inverse is nearly Gaussian, and finite where the change had no effect.

    Returns
    -------
    weights
        Array (geo, date).
    value, standard_error
        The measurement in the unit of the weighted sum.
    """
    test = placed.test
    weight = placed.measured
    if test.measure == "lift":
        return weight, test.lift, test.standard_error
    if test.measure == "roas":
        money = weight * data.ds["revenue_per_target"].values / placed.spend_change
        return money, test.lift, test.standard_error
    inverse = 1.0 / test.lift
    return weight / placed.spend_change, inverse, test.standard_error * inverse**2
