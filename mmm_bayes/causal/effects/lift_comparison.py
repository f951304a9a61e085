"""Compare the observed lifts of experiments with the lifts that a model predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.runtime.deprecation import renamed, warn_deprecated
from mmm_bayes.runtime.findings import DataError, Finding, listing
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html

if TYPE_CHECKING:
    import pandas as pd


NDArray = np.ndarray[Any, Any]

Agreement = Literal["agrees", "model too low", "model too high"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class LiftComparison(Report):
    """Observed and predicted lifts.

    Attributes
    ----------
    tests : tuple of LiftTest
        The experiments.
    draws : tuple of ndarray
        Draws (draw,) of the predicted lift, one array per test.
    table : pandas.DataFrame
        One row per test: its measure, the observed value and the predicted median with their
        intervals, ``z``, ``p``, ``share_beyond`` (the proportion of predicted draws above the
        observed value), ``overlap`` of the intervals, ``agreement``.
    ci_prob : float
        Probability mass of the intervals.
    chi_squared_p : float
        Probability that the tests together deviate at least this much by chance.
    """

    tests: tuple[LiftTest, ...]
    draws: tuple[NDArray, ...]
    table: pd.DataFrame
    ci_prob: float
    chi_squared_p: float

    @property
    def level(self) -> float:
        """Deprecated name of ``ci_prob``."""
        warn_deprecated("LiftComparison.level", "LiftComparison.ci_prob")
        return self.ci_prob

    @property
    def verdict(self) -> str:
        """A sentence with the joint result of the tests."""
        count, agreeing = len(self.tests), int((self.table["agreement"] == "agrees").sum())
        words = f"{agreeing} of {count} tests agree with the model"
        off = self.table[self.table["agreement"] != "agrees"]
        words += "".join(f"; {name}: {own}" for name, own in off["agreement"].items())
        if self.chi_squared_p < 0.05:
            return words + f". Together they contradict it (p = {self.chi_squared_p:.2g})."
        return words + f". Together they do not contradict it (p = {self.chi_squared_p:.2g})."

    def to_frame(self) -> pd.DataFrame:
        """Return the table of tests."""
        return self.table

    def __str__(self) -> str:
        return f"{self.verdict}\n{self.summary()}"

    def _repr_html_(self) -> str:
        return text_as_html(self.verdict) + table_as_html(self.table)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One warning for each test that disagrees with the model."""
        off = self.table[self.table["agreement"] != "agrees"]
        return tuple(
            Finding("lift_test", "warning", f"{name}: {own}.", where=str(name))
            for name, own in off["agreement"].items()
        )


@renamed(level="ci_prob")
def compare_lift_tests(
    predict: Callable[[LiftTest], NDArray], tests: Iterable[LiftTest], *, ci_prob: float = 0.9
) -> LiftComparison:
    r"""Compare lift tests with predictions for the same dates, geos and channel.

    Let the draws have mean :math:`m` and standard deviation :math:`s`, and let the test have lift
    :math:`l` and standard error :math:`e`. Then :math:`z = (l - m) / \sqrt{s^2 + e^2}`. A test
    agrees with the model if :math:`|z|` does not exceed the two-sided normal quantile for
    ``ci_prob``. Costs per target are compared by their inverses, see
    :func:`mmm_bayes.data.lift_exposure.as_weighted_sum`.

    Parameters
    ----------
    predict : callable
        Function that takes a :class:`LiftTest` and returns draws (draw,) of the lift.
    tests : iterable of LiftTest
        The experiments.
    ci_prob : float
        Probability mass of the intervals, also used to judge agreement.

    Raises
    ------
    DataError
        If there are no tests, or a prediction is empty or not finite.
    """
    import pandas as pd
    from scipy.stats import chi2, norm

    own = tuple(tests)
    if not own:
        found = Finding("tests", "error", "There are no lift tests.", "Pass at least one.")
        raise DataError([found], "the comparison")
    draws = tuple(np.asarray(predict(test), float).ravel() for test in own)
    bad = [
        t.name
        for t, d in zip(own, draws, strict=True)
        if not d.size or not np.isfinite(_gaussian(t, d)).all()
    ]
    if bad:
        message = f"The prediction for {listing(bad)} is empty or has values that are not finite."
        remedy = "predict should return draws (draw,) of the lift."
        raise DataError([Finding("predict", "error", message, remedy)], "the comparison")
    reach = float(norm.ppf(0.5 + 0.5 * ci_prob))
    rows = [_row(test, d, reach, ci_prob) for test, d in zip(own, draws, strict=True)]
    table = pd.DataFrame(rows).set_index("test")
    p = float(chi2.sf(float((table["z"] ** 2).sum()), len(own)))
    return LiftComparison(own, draws, table, ci_prob, p)


def _gaussian(test: LiftTest, values: Any) -> Any:
    """Return the values on the scale with a Gaussian error: the inverse of a cost."""
    return 1.0 / values if test.measure == "cost_per_target" else values


def _row(test: LiftTest, draws: NDArray, reach: float, ci_prob: float) -> dict[str, Any]:
    from scipy.stats import norm

    tail = 0.5 * (1.0 - ci_prob)
    low, median, high = np.quantile(draws, [tail, 0.5, 1.0 - tail])
    seen_low, seen_high = (test.lift + sign * reach * test.standard_error for sign in (-1, 1))
    scale = _gaussian(test, draws)
    error = test.standard_error * (test.lift**-2.0 if test.measure == "cost_per_target" else 1.0)
    z = (_gaussian(test, test.lift) - scale.mean()) / np.hypot(scale.std(), error)
    z = -z if test.measure == "cost_per_target" else z
    shared = max(0.0, min(high, seen_high) - max(low, seen_low))
    shorter = min(high - low, seen_high - seen_low)
    inside = low <= seen_high and seen_low <= high
    overlap = shared / shorter if shorter > 0 else float(inside)
    agreement: Agreement = "agrees"
    if abs(z) > reach:
        agreement = "model too low" if z > 0 else "model too high"
    return {
        "test": test.name,
        "channel": test.label,
        "measure": test.measure,
        "observed": test.lift,
        "observed_low": seen_low,
        "observed_high": seen_high,
        "predicted": median,
        "predicted_low": low,
        "predicted_high": high,
        "z": z,
        "p": float(2.0 * norm.sf(abs(z))),
        "share_beyond": float((draws > test.lift).mean()),
        "overlap": overlap,
        "agreement": agreement,
    }
