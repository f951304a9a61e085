"""How calibration with lift tests changed a fit, before against after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import xarray as xr

from mmm_bayes.analysis.contributions import marginal_roas, roas
from mmm_bayes.analysis.lift import lift_of
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html
from mmm_bayes.runtime.summary_table import SummaryTable

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True, eq=False, repr=False)
class CalibrationEffect(Report):
    """Changes in a fit due to lift tests in its likelihood.

    Attributes
    ----------
    tests
        One row per test: the ``measured`` lift with its ``standard_error``, the model's prediction
        ``before`` and ``after`` with intervals, and the z-score of the test before and after.
    channels
        One row per channel: ROAS and marginal ROAS ``before`` and ``after`` with intervals,
        ``moved`` (difference of the medians, in standard deviations of ``before``) and ``width``
        (width of the interval of ROAS after, relative to before).
    ci_prob
        Mass of the intervals.
    """

    tests: pd.DataFrame
    channels: pd.DataFrame
    ci_prob: float

    @property
    def verdict(self) -> str:
        """Describe in words what changed."""
        words = []
        for name, row in self.channels.iterrows():
            if abs(row["moved"]) < 0.5 and row["width"] > 0.8:
                continue
            words.append(
                f"{name}: ROAS {row['roas_before']:.3g} -> {row['roas_after']:.3g}, interval "
                f"{row['width']:.0%} as wide"
            )
        if not words:
            return "The experiments changed little: they agree with the table."
        return "; ".join(words) + "."

    def __str__(self) -> str:
        return "\n\n".join([self.verdict, f"{SummaryTable(self.tests)}", f"{self.summary()}"])

    def to_frame(self) -> pd.DataFrame:
        """Return the table of channels."""
        return self.channels

    def _repr_html_(self) -> str:
        tables = table_as_html(self.tests) + table_as_html(self.channels)
        return text_as_html(self.verdict) + tables


def calibration_effect(
    before: Fitted, after: Fitted, *, ci_prob: float = 0.9, max_draws: int | None = 1000
) -> CalibrationEffect:
    """Compare a fit calibrated with lift tests with one of the same table without them.

    Parameters
    ----------
    before
        A fit without the tests (or with fewer of them).
    after
        A fit with the tests.
    ci_prob
        Mass of the intervals.
    max_draws
        Thin the draws evenly to at most this many.

    Raises
    ------
    DataError
        If the second fit has no lift tests, or the tables differ in channels, geos or dates.
    """
    import pandas as pd

    findings = []
    if not after.lift_tests:
        findings.append(
            Finding("tests", "error", "The second fit has no lift tests.",
                    "Fit it with MMM(data, spec, lift_tests=...).")
        )  # fmt: skip
    for what in ("channels", "geos", "dates"):
        if list(getattr(before.data, what)) != list(getattr(after.data, what)):
            findings.append(
                Finding(
                    what, "error", f"The two fits have different {what}.",
                    "Fit both to the same table.",
                )
            )  # fmt: skip
    if findings:
        raise DataError(findings, "the comparison of fits")
    tests = [_test_row(test, before, after, ci_prob, max_draws) for test in after.lift_tests]
    return CalibrationEffect(
        pd.DataFrame(tests).set_index("test"), _channel_table(before, after, ci_prob), ci_prob
    )


def _interval(name: str, draws: NDArray, ci_prob: float) -> dict[str, float]:
    tail = 0.5 * (1.0 - ci_prob)
    low, middle, high = np.quantile(draws, [tail, 0.5, 1.0 - tail])
    return {name: middle, f"{name}_lower": low, f"{name}_upper": high}


def _test_row(
    test: LiftTest, before: Fitted, after: Fitted, ci_prob: float, max_draws: int | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "test": test.name,
        "channel": test.label,
        "measure": test.measure,
        "measured": test.lift,
        "standard_error": test.standard_error,
    }
    for name, fitted in (("before", before), ("after", after)):
        draws = lift_of(fitted, test, max_draws)
        row |= _interval(name, draws, ci_prob)
        row[f"z_{name}"] = (test.lift - row[name]) / np.hypot(draws.std(), test.standard_error)
    return row


def _channel_table(before: Fitted, after: Fitted, ci_prob: float) -> pd.DataFrame:
    import pandas as pd

    def draws(value: xr.DataArray) -> NDArray:
        return value.stack(sample=("chain", "draw")).transpose("channel", "sample").values

    found = {
        (what, name): draws(quantity(fitted))
        for what, quantity in (("roas", roas), ("marginal_roas", marginal_roas))
        for name, fitted in (("before", before), ("after", after))
    }
    rows = []
    for c, channel in enumerate(before.data.channels):
        row: dict[str, Any] = {"channel": channel}
        for (what, name), own in found.items():
            row |= _interval(f"{what}_{name}", own[c], ci_prob)
        spread = max(float(found["roas", "before"][c].std()), np.finfo(float).tiny)
        row["moved"] = (row["roas_after"] - row["roas_before"]) / spread
        wide = row["roas_before_upper"] - row["roas_before_lower"]
        row["width"] = (row["roas_after_upper"] - row["roas_after_lower"]) / wide
        rows.append(row)
    return pd.DataFrame(rows).set_index("channel")
