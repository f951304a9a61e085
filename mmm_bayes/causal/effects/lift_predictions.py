"""Predictions of lift tests by estimated effects."""

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
    """Return a prediction of lift tests by the total effects of a table.

    A change of spend scales the channel by the same factor over the test's rows; what is carried
    over beyond its last measured day is not counted, as the test does not see it.

    Parameters
    ----------
    table : EffectsTable
        Total effects, made with ``date``.
    geos : sequence of str
        Names of the geos in alphabetical order, where tests name any.
    """

    def predict(test: LiftTest) -> NDArray:
        return predicted_lift(table.estimate(test.channels[0], "total"), test, geos)

    return predict


def predicted_lift(estimate: EffectEstimate, test: LiftTest, geos: Sequence[str] = ()) -> NDArray:
    """Return draws (draw,) of one test's lift by an estimated effect.

    Raises
    ------
    DataError
        If the estimate has no dates or arrays, or no row falls into the test.
    """
    design, fitted = estimate.design, estimate.fitted
    draws = estimate.parameter_draws
    if estimate.dates is None or design is None or fitted is None or draws is None:
        message = "The estimate has no dates."
        raise DataError(
            [Finding("dates", "error", message, "Give date= to the estimate.")], "the test"
        )
    if len(test.channels) > 1 or test.measure != "lift":
        message = (
            f"{test.name!r} is not the lift of one channel, and effects predict one channel only."
        )
        remedy = "Compare it with a fitted model: fit.predict_lift."
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
        message = f"{test.name!r}: the channel has no spend (or less than the change) in the test."
        raise DataError([Finding("rows", "error", message, "Check dates and geos.")], "the test")
    # As spent compared with off, with and without the change, or with less than was spent.
    factor = 0.0 if change is None else 1.0 - taken / spent
    x = (1.0 - rows * (1.0 - factor)) * estimate.exposure
    other = x
    if estimate.transform is not None:
        other = estimate.transform.apply(x, design.geos, mean_positive(estimate.exposure))
    difference = (fitted.change(draws, design.dose, other, design) * measured).sum(-1)
    return difference if change is not None and not test.recorded else -difference
