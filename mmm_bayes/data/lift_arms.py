"""The two arms of an experiment: a channel's exposure with the change of spend, and without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

NDArray = np.ndarray[Any, Any]


class Arms(NamedTuple):
    """Exposure (geo, date) with and without the change of spend; elsewhere both are the table's."""

    factual: NDArray
    counterfactual: NDArray


@dataclass(frozen=True, eq=False)
class TestArms:
    """An experiment over the rows of a table.

    Attributes
    ----------
    test
        The experiment.
    arms
        Exposures by channel.
    spend_change
        Money by which spend differs between the arms, over all channels.
    changed, measured
        Rows (geo, date) whose spend is changed, and those whose outcome counts.
    """

    __test__ = False  # no test of the test suite

    test: LiftTest
    arms: dict[str, Arms]
    spend_change: float
    changed: NDArray
    measured: NDArray


def arms_of_channel(
    exposure: NDArray,
    spend: NDArray,
    rows: NDArray,
    change: float | None,
    recorded: bool,
    price: float,
    heads: NDArray,
) -> Arms:
    """Exposure with a change of spend and without.

    The change is spread over the rows in proportion to what was spent there. Where that says
    nothing (no spend, or spend cut in some of the rows altogether) it is spread as the other geos
    spent on those dates, times what a geo spends otherwise (evenly, and by population, where there
    is neither), and buys exposure at the channel's price.

    Parameters
    ----------
    exposure, spend
        Of the table (geo, date).
    rows
        Rows (geo, date) under test.
    change
        Money over all rows; None for as spent against off.
    recorded
        Whether the table holds the change.
    price
        Money per unit of exposure.
    heads
        Population (geo,).
    """
    if change is None:
        return Arms(exposure, np.where(rows, 0.0, exposure))
    spent = np.where(rows, spend, 0.0)
    total = float(spent.sum())
    cut_to_nothing = recorded and change < 0 and bool((spent[rows] <= 0).any())
    if total <= 0 or cut_to_nothing:
        share = _usual(spend, rows, heads)
        difference = change * share / share.sum() / price
    else:
        difference = np.where(rows, exposure, 0.0) * change / total
    if recorded:
        return Arms(exposure, exposure - difference)
    return Arms(exposure + difference, exposure)


def _usual(spend: NDArray, rows: NDArray, heads: NDArray) -> NDArray:
    """Pattern (geo, date) of spend in the rows, had there been no test."""
    tested, dates = np.asarray(rows.any(1)), np.asarray(rows.any(0))
    others: NDArray = np.where(tested[:, None], 0.0, spend).sum(0)
    over_dates = others if (others[dates] > 0).any() else np.ones(len(others))
    outside = np.where(rows, 0.0, spend).sum(1) / np.maximum((~rows).sum(1), 1)
    by_geo = outside if (outside[tested] > 0).all() else heads
    return np.where(rows, by_geo[:, None] * over_dates, 0.0)


def arms_of(data: MMMData, tests: Sequence[LiftTest]) -> tuple[TestArms, ...]:
    """Place experiments on a table's rows.

    Raises
    ------
    DataError
        With every reason of every test that does not fit the table: unknown channels or geos, dates
        outside, no spend to compare with, more spend taken away than there was.
    """
    findings: list[Finding] = []
    found = []
    for test in tests:
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
    """Names and dates against the table."""
    findings = []
    for what, asked, known in (
        ("channel", test.channels, data.channels),
        ("geo", test.geos, data.geos),
    ):
        for name in asked:
            if name in known:
                continue
            hint = nearest(name, known).strip() or f"There are {listing(known, 12)}."
            if what == "geo" and data.is_national:
                hint = (
                    "The table is national: fit a table by geo, or state the test for the nation."
                )
            findings.append(_finding(test, f"there is no {what} {name!r}.", hint))
    dates = data.dates
    inside = (dates >= test.start) & (dates <= test.end)
    if not inside.any():
        findings.append(
            _finding(
                test,
                f"no date of the table lies from {test.start:%Y-%m-%d} to {test.end:%Y-%m-%d}; it "
                f"has {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}.",
                "Correct the dates; a row counts if its date lies in the test.",
            )
        )
    following = data.future_dates(1)[0]
    if test.until >= following:
        findings.append(
            _finding(
                test,
                f"the outcome is measured until {test.until:%Y-%m-%d}, after the table's last "
                f"period ({dates[-1]:%Y-%m-%d}).",
                "Add these rows to the table, or leave the test for later.",
            )
        )
    if dates[0] > test.start and inside.any():
        findings.append(
            _finding(
                test,
                f"it starts {test.start:%Y-%m-%d}, before the table ({dates[0]:%Y-%m-%d}): a part "
                "of its spend is unknown.",
                "Take a longer table, or state the part of the test that it holds.",
            )
        )
    return findings


def _place(data: MMMData, test: LiftTest) -> TestArms:
    dates, ds = data.dates, data.ds
    geos = np.isin(data.geos, test.geos) if test.geos else np.ones(data.n_geos, bool)
    changed = geos[:, None] & np.asarray((dates >= test.start) & (dates <= test.end))
    measured = geos[:, None] & np.asarray((dates >= test.start) & (dates <= test.until))
    heads = ds["population"].values
    changes = test.changes
    arms, money = {}, 0.0
    for at, channel in enumerate(test.channels):
        own = ds.sel(channel=channel)
        exposure, spend = own["exposure"].values, np.nan_to_num(own["spend"].values)
        change = None if changes is None else changes[at]
        arms[channel] = arms_of_channel(
            exposure, spend, changed, change, test.recorded, _price(exposure, spend, geos), heads
        )
        money += float(spend[changed].sum()) if change is None else change
    return TestArms(test, arms, money, changed, measured)


def _price(exposure: NDArray, spend: NDArray, geos: NDArray) -> float:
    """Money per unit of exposure, in these geos if anything was spent there."""
    for rows in (geos, np.ones_like(geos)):
        if spend[rows].sum() > 0 and exposure[rows].sum() > 0:
            return float(spend[rows].sum() / exposure[rows].sum())
    return np.nan


def _possible(data: MMMData, placed: TestArms) -> list[Finding]:
    """Whether the arms can have been, and differ."""
    test, findings = placed.test, []
    for channel, (factual, counterfactual) in placed.arms.items():
        if not (np.isfinite(factual).all() and np.isfinite(counterfactual).all()):
            findings.append(
                _finding(
                    test,
                    f"{channel} has no spend in the table, so its price is unknown.",
                    "State the test of a paid channel, or as on against off.",
                )
            )
        elif min(counterfactual.min(), factual.min()) < -1e-9 * np.abs(factual).max():
            spent = float(data.ds["spend"].sel(channel=channel).values[placed.changed].sum())
            findings.append(
                _finding(
                    test,
                    f"the change of {channel} takes away more than the {spent:.6g} that the table "
                    "holds for these rows.",
                    "recorded=False says that the change comes on top of the table's spend."
                    if test.recorded
                    else "Correct the change of spend, dates and geos.",
                )
            )
    if not findings and all(np.array_equal(*arms) for arms in placed.arms.values()):
        findings.append(
            _finding(
                test,
                f"{test.label} has no spend in any row of the test.",
                "Check dates and geos, or give spend_change.",
            )
        )
    elif not findings and test.measure != "lift" and not placed.spend_change:
        message = f"there is no spend to measure a {test.measure} by."
        findings.append(_finding(test, message, 'Give spend_change, or state it as a "lift".'))
    return findings


def lift_scale(data: MMMData, placed: TestArms) -> tuple[NDArray, float, float]:
    r"""What a test measures, as a sum over rows: weights (geo, date), value, standard error.

    With :math:`\Delta_{gt}` the difference of the target between the arms, a lift is
    :math:`\sum \Delta`, and a ROAS :math:`\sum r_{gt} \Delta_{gt} / s` with revenue per target
    :math:`r` and the change of spend :math:`s`. A cost per target is its inverse
    :math:`\sum \Delta / s`: value and standard error become :math:`1/c` and :math:`e/c^2`, since
    the inverse is what is nearly Gaussian, and finite where nothing was brought.
    """
    test = placed.test
    weight = placed.measured.astype(float)
    if test.measure == "lift":
        return weight, test.lift, test.standard_error
    if test.measure == "roas":
        money = weight * data.ds["revenue_per_target"].values / placed.spend_change
        return money, test.lift, test.standard_error
    inverse = 1.0 / test.lift
    return weight / placed.spend_change, inverse, test.standard_error * inverse**2
