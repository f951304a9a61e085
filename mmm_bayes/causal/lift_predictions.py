"""What estimated effects predict of lift tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmm_bayes.causal.lift_tests import LiftTest
from mmm_bayes.causal.media import mean_positive
from mmm_bayes.data.findings import DataError, Finding

if TYPE_CHECKING:
    from mmm_bayes.causal.effect_estimate import EffectEstimate, EffectsTable

NDArray = np.ndarray[Any, Any]


def effect_predictions(
    table: EffectsTable, geos: Sequence[str] = ()
) -> Callable[[LiftTest], NDArray]:
    """Return a prediction of lift tests by the total effects of a table.

    A change of spend scales the channel by the same factor over the test's rows; what is carried
    over beyond its last day is not counted, as the test does not see it.

    Parameters
    ----------
    table : EffectsTable
        Total effects, made with ``date``.
    geos : sequence of str
        Names of the geos in alphabetical order, where tests name any.
    """

    def predict(test: LiftTest) -> NDArray:
        return predicted_lift(table.estimate(test.channel, "total"), test, geos)

    return predict


def predicted_lift(estimate: EffectEstimate, test: LiftTest, geos: Sequence[str] = ()) -> NDArray:
    """Draws (draw,) of one test's lift by an estimated effect.

    Raises
    ------
    DataError
        If the estimate has no dates or arrays, or no row falls into the test.
    """
    design, fitted = estimate.design, estimate.fitted
    draws = estimate.parameter_draws
    if estimate.dates is None or design is None or fitted is None or draws is None:
        message = "The estimate has no dates."
        raise DataError([Finding("dates", "error", message, "Estimate with date=.")], "the test")
    rows = np.asarray((estimate.dates >= test.start) & (estimate.dates <= test.end))
    if test.geos:
        codes = [geo for geo, name in enumerate(geos) if name in test.geos]
        rows &= np.isin(np.zeros(len(rows), int) if design.geos is None else design.geos, codes)
    spent = float(estimate.amount[rows].sum())
    if not rows.any() or (test.spend_change is not None and spent <= 0):
        message = f"{test.name!r}: the channel has no spend in any row of the test."
        raise DataError([Finding("rows", "error", message, "Check dates and geos.")], "the test")
    factor = 0.0 if test.spend_change is None else 1.0 + test.spend_change / spent
    x = np.where(rows, np.maximum(factor, 0.0) * estimate.exposure, estimate.exposure)
    other = x
    if estimate.transform is not None:
        other = estimate.transform.apply(x, design.geos, mean_positive(estimate.exposure))
    change = fitted.change(draws, design.dose, other, design)[:, rows].sum(-1)
    return -change if test.spend_change is None else change
