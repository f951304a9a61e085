"""Report of the attempts to refute an effect, in numbers and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from mmm_bayes.causal.effects.estimate import EffectEstimate

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
        Name.
    values : ndarray
        Estimates (simulation,) of the changed data.
    expected : float
        What they should be: the estimate itself, or zero.
    p_value : float
        Two-sided: for placebos and dummies how often they come as far from zero as the estimate
        did; otherwise how far the estimate is from the middle of the values.
    verdict : {"holds", "doubtful"}
        Short for what ``words`` says.
    words : str
        What was done, what came, and what it means.
    """

    test: str
    values: NDArray
    expected: float
    p_value: float
    verdict: Verdict
    words: str


@final
@dataclass(frozen=True, eq=False)
class RefutationReport:
    """All attempts at one estimate.

    Attributes
    ----------
    estimate : EffectEstimate
        What was attacked.
    tests : tuple of Refutation
        The attempts.
    confounding : pandas.DataFrame or None
        Estimates had a hidden confounder been accounted for, by its correlation with the dose
        (rows) and its effect on the outcome in standard deviations (columns), both of what the
        adjustment set leaves.
    """

    estimate: EffectEstimate
    tests: tuple[Refutation, ...]
    confounding: pd.DataFrame | None = None

    @property
    def verdict(self) -> Verdict:
        """``"holds"`` if every test does."""
        return "holds" if all(own.verdict == "holds" for own in self.tests) else "doubtful"

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

    def summary(self) -> str:
        """Return the text of ``str()``."""
        return str(self)

    def __str__(self) -> str:
        own = self.estimate
        head = (
            f"{own.effect.capitalize()} effect of {own.treatment} on {own.outcome}: {own.value:.4g}"
        )
        lines = [f"{head}; {self.verdict} under {len(self.tests)} attempts to refute it"]
        lines += [f"  {test.verdict:8} {test.test}: {test.words}" for test in self.tests]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False, float_format=lambda x: f"{x:.4g}")
