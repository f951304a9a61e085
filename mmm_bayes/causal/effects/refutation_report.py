"""Report on the attempts to refute an effect, in numbers and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from mmm_bayes.causal.effects.estimate import EffectEstimate
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.report import Report

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]

Verdict = Literal["holds", "doubtful"]


@final
@dataclass(frozen=True, eq=False)
class Refutation:
    """One attempt to refute an effect.

    Attributes
    ----------
    test : str
        Name of the test.
    values : ndarray
        Estimates (simulation,) on the changed data.
    expected : float
        Expected value of these estimates: the original estimate, or zero.
    p_value : float
        Two-sided p-value. For placebo treatments and dummy outcomes, the proportion of values at
        least as far from zero as the estimate; for other tests, from the position of the estimate
        among the values.
    verdict : {"holds", "doubtful"}
        Whether the effect survives the test.
    words : str
        Description of the test, its result and its meaning.
    """

    test: str
    values: NDArray
    expected: float
    p_value: float
    verdict: Verdict
    words: str


@final
@dataclass(frozen=True, eq=False, repr=False)
class RefutationReport(Report):
    """All attempts to refute one estimate.

    Attributes
    ----------
    estimate : EffectEstimate
        The tested estimate.
    tests : tuple of Refutation
        Results of the tests.
    confounding : pandas.DataFrame or None
        Estimates after removing a simulated hidden confounder. Rows: its correlation with the
        dose. Columns: its effect on the outcome in standard deviations. Both are measured after
        adjustment.
    """

    estimate: EffectEstimate
    tests: tuple[Refutation, ...]
    confounding: pd.DataFrame | None = None

    @property
    def verdict(self) -> Verdict:
        """``"holds"`` if the effect holds under every test, else ``"doubtful"``."""
        return "holds" if all(own.verdict == "holds" for own in self.tests) else "doubtful"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One warning for each test under which the effect is doubtful."""
        return tuple(
            Finding(own.test, "warning", own.words, where=self.estimate.treatment)
            for own in self.tests
            if own.verdict == "doubtful"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per test."""
        import pandas as pd

        columns = ["test", "expected", "mean", "low", "high", "p", "verdict", "words"]
        rows = []
        for own in self.tests:
            low, high = np.quantile(own.values, [0.05, 0.95]) if own.values.size else (np.nan,) * 2
            mean = float(own.values.mean()) if own.values.size else np.nan
            rows.append(
                [own.test, own.expected, mean, low, high, own.p_value, own.verdict, own.words]
            )
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        own = self.estimate
        head = (
            f"{own.effect.capitalize()} effect of {own.treatment} on {own.outcome}: {own.value:.4g}"
        )
        lines = [f"{head}; {self.verdict} under {len(self.tests)} attempts to refute it"]
        lines += [f"  {test.verdict:8} {test.test}: {test.words}" for test in self.tests]
        return "\n".join(lines)
