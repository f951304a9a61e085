"""Report of the overlap of each treatment, in numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.report import Report
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]

# Beyond these limits an answer depends on the model: R2 of .9 leaves a tenth of the variance, and
# weights are commonly called extreme below a fifth of the rows.
_LITTLE_OWN, _FEW_ROWS, _FEW_ZERO = 0.1, 0.2, 0.9


@final
@dataclass(frozen=True)
class Violation:
    """A row in whose circumstances a treatment at zero was never seen.

    Attributes
    ----------
    row : int
        Position in the table, in order of geo and date.
    date : str or None
        ISO date.
    geo : int or None
        Number of the geo.
    dose : float
        What the treatment was.
    nearest : float
        The least of it in the rows most alike.
    alike : int
        Number of these rows.
    """

    row: int
    date: str | None
    geo: int | None
    dose: float
    nearest: float
    alike: int

    def told(self, name: str, period: str = "row") -> str:
        """Describe the violation: ``"2024-07-15: tv at 0 was never seen in such weeks (..)"``."""
        where = self.date or f"row {self.row}"
        where += "" if self.geo is None else f", geo {self.geo}"
        return (
            f"{where}: {name} at 0 was never seen in such {period}s "
            f"(least of the {self.alike} most alike: {self.nearest:.4g}; here {self.dose:.4g})"
        )


@final
@dataclass(frozen=True)
class Stratum:
    """A range of doses.

    Attributes
    ----------
    low, high : float
        Bounds of the dose; equal for a single value.
    n : int
        Rows in it.
    effective : float
        Effective rows once they are weighted to all rows' circumstances.
    seen : float
        Share of all rows in whose circumstances other rows were in it.
    """

    low: float
    high: float
    n: int
    effective: float
    seen: float


@final
@dataclass(frozen=True)
class TreatmentOverlap:
    """Overlap of one treatment given the adjustment set.

    Attributes
    ----------
    name : str
    given : tuple of str
        What is adjusted for.
    n : int
        Number of rows.
    dose, expected : ndarray
        Treatment (row,) and what is expected of it given the adjustment set, in its units.
    dates, geos : ndarray or None
        Of the rows.
    explained : float
        Share of the treatment's variance that the adjustment set explains.
    own_variation : float
        Standard deviation of the rest, in the treatment's units.
    weights : ndarray
        Stabilised weights (row,) of the generalised propensity score, with mean 1.
    seen : (float, float)
        Least and greatest dose.
    supported : (float, float) or None
        Doses that were seen in the circumstances of 90% of the rows; None if there are none.
    alike_low, alike_high : ndarray
        Bounds (row,) of the doses that were seen in a row's circumstances.
    violations : tuple of Violation
        Rows in whose circumstances zero was never seen.
    strata : tuple of Stratum
    """

    name: str
    given: tuple[str, ...]
    n: int
    dose: NDArray
    expected: NDArray
    dates: NDArray | None
    geos: NDArray | None
    explained: float
    own_variation: float
    weights: NDArray
    seen: tuple[float, float]
    supported: tuple[float, float] | None
    alike_low: NDArray
    alike_high: NDArray
    violations: tuple[Violation, ...]
    strata: tuple[Stratum, ...]

    @property
    def effective(self) -> float:
        """Effective number of rows of the weights (Kish 1965)."""
        total = float((self.weights**2).sum())
        return float(self.weights.sum()) ** 2 / total if total > 0.0 else 0.0

    @property
    def zero_seen(self) -> float:
        """Proportion of the rows in whose circumstances zero was seen."""
        return 1.0 - len(self.violations) / self.n

    def supports(self, dose: float) -> float:
        """Return the proportion of rows in whose circumstances a dose was seen."""
        return float(((self.alike_low <= dose) & (dose <= self.alike_high)).mean())

    @property
    def period(self) -> str:
        """Word for a row: day, week, month, or row."""
        if self.dates is None or self.n < 2:
            return "row"
        days = np.unique(np.asarray(self.dates, dtype="datetime64[D]")).astype(np.int64)
        step = float(np.median(np.diff(days))) if len(days) > 1 else 0.0
        return "month" if 28 <= step <= 31 else {1.0: "day", 7.0: "week"}.get(step, "row")

    @property
    def concerns(self) -> tuple[str, ...]:
        """Reasons to doubt an answer; empty if there are none."""
        found = []
        own = 1.0 - self.explained
        given = ", ".join(self.given) or "nothing"
        if own < _LITTLE_OWN:
            found.append(
                f"hardly any variation of its own: {given} explain{'s' * (len(self.given) == 1)} "
                f"{_percent(self.explained)} of it"
            )
        if self.effective < _FEW_ROWS * self.n:
            found.append(f"{self.n} {self.period}s count as {self.effective:.0f} after weighting")
        if self.zero_seen < _FEW_ZERO:
            found.append(
                f"for zero, only the model answers in {100 * (1 - self.zero_seen):.0f}% of the "
                f"{self.period}s: zero was never seen in similar circumstances"
            )
        return tuple(found)

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        if self.supported is None:
            span = f"no dose was seen in similar circumstances for 90% of the {self.period}s"
        else:
            low, high = self.supported
            span = f"answers are supported from {low:.4g} to {high:.4g}"
        if not self.concerns:
            return f"{self.name}: {span}."
        return f"{self.name}: {span}; {'; '.join(self.concerns)}."

    @shown_safely
    def __str__(self) -> str:
        lines = [self.verdict]
        lines += [
            f"  {violation.told(self.name, self.period)}" for violation in self.violations[:3]
        ]
        if len(self.violations) > 3:
            lines.append(f"  and {len(self.violations) - 3} more {self.period}s")
        return "\n".join(lines)


@final
@dataclass(frozen=True, repr=False)
class OverlapReport(Report):
    """Overlap of several treatments.

    Attributes
    ----------
    treatments : tuple of TreatmentOverlap
    refused : mapping of str to str
        Treatments without a valid adjustment set, and why.
    """

    treatments: tuple[TreatmentOverlap, ...]
    refused: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> TreatmentOverlap:
        for treatment in self.treatments:
            if treatment.name == name:
                return treatment
        raise KeyError(name)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning for every concern, and an error for treatments without an adjustment set."""
        refused = [
            Finding("no_adjustment_set", "error", f"{name}: {why}", where=name)
            for name, why in self.refused.items()
        ]
        concerns = [
            Finding("overlap", "warning", f"{own.name}: {concern}.", where=own.name)
            for own in self.treatments
            for concern in own.concerns
        ]
        return (*refused, *concerns)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per treatment."""
        import pandas as pd

        rows = {
            own.name: {
                "given": ", ".join(own.given),
                "own variation": 1.0 - own.explained,
                "effective rows": own.effective,
                "rows": own.n,
                "seen from": own.seen[0],
                "seen to": own.seen[1],
                "supported from": own.supported[0] if own.supported else np.nan,
                "supported to": own.supported[1] if own.supported else np.nan,
                "zero seen": own.zero_seen,
            }
            for own in self.treatments
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("treatment")

    def strata(self) -> pd.DataFrame:
        """Return a table with one row per treatment and stratum of its dose."""
        import pandas as pd

        rows = [
            (own.name, part.low, part.high, part.n, part.effective, part.seen)
            for own in self.treatments
            for part in own.strata
        ]
        columns = ["treatment", "from", "to", "rows", "effective rows", "seen"]
        return pd.DataFrame(rows, columns=columns)

    def violations(self) -> pd.DataFrame:
        """Return a table of rows in whose circumstances zero was never seen, by treatment."""
        import pandas as pd

        rows = [
            (own.name, one.date, one.geo, one.row, one.dose, one.nearest)
            for own in self.treatments
            for one in own.violations
        ]
        columns = ["treatment", "date", "geo", "row", "dose", "smallest dose of similar rows"]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        lines = [str(own) for own in self.treatments]
        lines += [f"{name}: no adjustment set. {why}" for name, why in self.refused.items()]
        return "\n".join(lines)


def _percent(share: float) -> str:
    """Write a proportion in percent; 100% only if it is exactly one."""
    return "over 99%" if 0.995 <= share < 1.0 else f"{100 * share:.0f}%"
