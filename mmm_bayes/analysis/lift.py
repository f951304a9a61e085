"""What fitted equations predict of lift tests: the same dates, geos and channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.analysis import interventions as do_engine
from mmm_bayes.causal.lift_tests import LiftTest
from mmm_bayes.data.findings import DataError, Finding, listing, nearest
from mmm_bayes.data.schema import MMMData

NDArray = np.ndarray[Any, Any]


def predicted_lift(system: do_engine.System, data: MMMData, target: str, test: LiftTest) -> NDArray:
    """Draws (draw,) of one test's lift.

    A change of spend scales the channel's exposure by the same factor over the rows of the test;
    without one the channel as spent is compared with the channel off. What is carried over beyond
    the last day is not counted, as the test does not see it. In a system of several equations other
    nodes respond, as they do in the field.

    Parameters
    ----------
    system
        Fitted equations; of a plain model the one of the target.
    data
        The table.
    target
        Node of the outcome.
    test
        The experiment.

    Raises
    ------
    DataError
        If the channel is unknown, or no row with spend falls into the test.
    """
    if test.channel not in data.channels:
        hint = nearest(test.channel, data.channels).strip() or f"Have {listing(data.channels)}."
        message = f"{test.name!r}: there is no channel {test.channel!r}."
        raise DataError([Finding("channel", "error", message, hint, test.channel)], "the test")
    rows = np.asarray((data.dates >= test.start) & (data.dates <= test.end))[None, :]
    geos = np.isin(data.geos, test.geos) if test.geos else np.ones(data.n_geos, bool)
    rows = rows & geos[:, None]
    spent = float((data.ds["spend"].sel(channel=test.channel).values * rows).sum())
    if not rows.any() or (test.spend_change is not None and spent <= 0):
        message = f"{test.name!r}: {test.channel} has no spend in any row of the test."
        raise DataError([Finding("rows", "error", message, "Check dates and geos.")], "the test")
    factor = 0.0 if test.spend_change is None else max(1.0 + test.spend_change / spent, 0.0)
    observed = system.observed[test.channel]
    found = do_engine.under(system, {test.channel: np.where(rows, factor, 1.0) * observed})
    before = system.observed[target]
    change = (found.get(target, before[None]) - before)[:, rows].sum(-1)
    return -change if test.spend_change is None else change
