"""Lift that fitted equations predict for a test: same dates, geos and change of spend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmm_bayes.analysis import interventions as do_engine
from mmm_bayes.causal.effects.lift_comparison import LiftComparison, compare_lift_tests
from mmm_bayes.data.lift_exposure import as_weighted_sum, place_tests
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.findings import DataError, Finding

NDArray = np.ndarray[Any, Any]


def predicted_lift(system: do_engine.System, data: MMMData, target: str, test: LiftTest) -> NDArray:
    """Predict the result of one test, as draws (draw,) in the unit of its measure.

    Exposure with and without the change passes through the model. The outcome is summed
    over the test's geos from its start to its last measured day. In a system of several equations
    the other nodes respond too, as they do in the field. Each row keeps its error.

    Parameters
    ----------
    system
        Fitted equations; for a plain model, the equation of the target alone.
    data
        The table.
    target
        Node of the outcome.
    test
        The experiment.

    Raises
    ------
    DataError
        If the test does not fit the table, with all reasons.
    """
    (placed,) = place_tests(data, [test])
    weight, _, _ = as_weighted_sum(data, placed)
    before = system.observed[target]

    def outcome(which: int) -> NDArray:
        paths = {channel: pair[which] for channel, pair in placed.exposure.items()}
        changed = {n: x for n, x in paths.items() if not np.array_equal(x, system.observed[n])}
        found = do_engine.under(system, changed) if changed else {}
        return found.get(target, before[None])

    change = ((outcome(0) - outcome(1)) * weight).sum((-2, -1))
    if test.measure == "cost_per_target":
        with np.errstate(divide="ignore"):
            return 1.0 / change
    return change


def lift_of(fitted: Fitted, test: LiftTest, max_draws: int | None = 1000) -> NDArray:
    """Predict the result of a test with one fit, as draws (draw,); see :func:`predicted_lift`."""
    target = fitted.data.target_name
    system = do_engine.System({target: fitted}, fitted.data.columns(), frozenset(), max_draws)
    return predicted_lift(system, fitted.data, target, test)


@renamed(level="ci_prob")
def compare_lift_tests_of(
    fitted: Fitted, tests: Sequence[LiftTest] | None = None, ci_prob: float = 0.9
) -> LiftComparison:
    """Compare measured lifts with the predictions of a fit for the same rows.

    Parameters
    ----------
    fitted
        A fit.
    tests
        Experiments; by default those the fit was calibrated with.
    ci_prob
        Probability of the intervals.

    Raises
    ------
    DataError
        If there are no tests, or one does not fit the table.
    """
    own = fitted.lift_tests if tests is None else tuple(tests)
    if not own:
        found = Finding(
            "tests", "error", "The fit has no lift tests.", "Give tests, or fit with lift_tests=."
        )
        raise DataError([found], "the comparison")
    return compare_lift_tests(lambda test: lift_of(fitted, test), own, ci_prob=ci_prob)
