"""Predictions of lift-test results from estimated effects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmm_bayes.causal.effects.media import mean_positive
from mmm_bayes.data.lift_exposure import tested_days
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.time_step import infer_step
from mmm_bayes.runtime.findings import DataError, Finding

if TYPE_CHECKING:
    from mmm_bayes.causal.effects.estimate import EffectEstimate, EffectsTable

NDArray = np.ndarray[Any, Any]


def effect_predictions(
    table: EffectsTable, geos: Sequence[str] = ()
) -> Callable[[LiftTest], NDArray]:
    """Return a function that predicts the result of a lift test from estimated total effects.

    A change in spend multiplies the channel by one factor in all rows of the test. Effects carried
    over beyond the last measured day are not counted, because the test does not measure them.

    Parameters
    ----------
    table : EffectsTable
        Total effects, estimated with ``date``.
    geos : sequence of str
        Names of all geos in alphabetical order; required if a test names geos.
    """

    def predict(test: LiftTest) -> NDArray:
        return predicted_lift(table.estimate(test.channels[0], "total"), test, geos)

    return predict


def predicted_lift(estimate: EffectEstimate, test: LiftTest, geos: Sequence[str] = ()) -> NDArray:
    """Return draws (draw,) of one test's lift from an estimated effect.

    Raises
    ------
    DataError
        If the estimate has no dates or arrays, if the test is not the lift of a single channel, or
        if the channel has too little spend in the rows of the test.
    """
    design, fitted = estimate.design, estimate.fitted
    draws = estimate.parameter_draws
    if estimate.dates is None or design is None or fitted is None or draws is None:
        message = "The estimate has no dates, or was made without its arrays."
        remedy = "Pass date= to the estimation, and use a total or direct effect."
        raise DataError([Finding("dates", "error", message, remedy)], "the test")
    if len(test.channels) > 1 or test.measure != "lift":
        message = (
            f"{test.name!r} does not measure the lift of a single channel, which is all that "
            "effect estimates can predict."
        )
        remedy = "Compare the test with a fitted model by fit.predict_lift."
        raise DataError([Finding("lift_test", "error", message, remedy)], "the test")
    step = estimate.step or infer_step(estimate.dates.unique().sort_values())
    rows, measured = tested_days(estimate.dates, step, test.start, test.end, test.until)
    if test.geos:
        codes = [geo for geo, name in enumerate(geos) if name in test.geos]
        own = np.isin(np.zeros(len(rows), int) if design.geos is None else design.geos, codes)
        rows, measured = rows * own, measured * own
    change = None if test.changes is None else test.changes[0]
    spent = float((rows * estimate.amount).sum())
    taken = 0.0 if change is None else change if test.recorded else -change
    if not rows.any() or (change is not None and spent <= 0) or taken > spent:
        message = (
            f"{test.name!r}: the channel has no spend during the test, or less than the change "
            "in spend."
        )
        remedy = "Check the dates, geos and change of the test."
        raise DataError([Finding("rows", "error", message, remedy)], "the test")
    # Compare spend as recorded with the channel off, or with spend multiplied by this factor.
    factor = 0.0 if change is None else 1.0 - taken / spent
    x = (1.0 - rows * (1.0 - factor)) * estimate.exposure
    other = x
    if estimate.transform is not None:
        other = estimate.transform.apply(x, design.geos, mean_positive(estimate.exposure))
    difference = (fitted.change(draws, design.dose, other, design) * measured).sum(-1)
    return difference if change is not None and not test.recorded else -difference
