"""Report on the overlap of each treatment, in numbers and words."""

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

# Below these limits an effect estimate relies on the model: an R2 above 0.9 leaves less than a
# tenth of the variance, and weights are extreme if the effective rows are below a fifth of all.
_LITTLE_OWN, _FEW_ROWS, _FEW_ZERO = 0.1, 0.2, 0.9


@final
@dataclass(frozen=True)
class Violation:
    """A row in whose circumstances a treatment of zero was never observed.

    Attributes
    ----------
    row : int
        Position in the table, sorted by geo and date.
    date : str or None
        ISO date.
    geo : int or None
        Number of the geo.
    dose : float
        Dose of the treatment in this row.
    nearest : float
        Smallest dose among the similar rows.
    alike : int
        Number of similar rows.
    """

    row: int
    date: str | None
    geo: int | None
    dose: float
    nearest: float
    alike: int

    def told(self, name: str, period: str = "row") -> str:
        """Describe the violation in one line, with its date, dose and similar rows."""
        where = self.date or f"row {self.row}"
        where += "" if self.geo is None else f", geo {self.geo}"
        return (
            f"{where}: {name} is {self.dose:.4g}, and 0 was never observed in similar {period}s "
            f"(smallest value in {self.alike} similar {period}s: {self.nearest:.4g})"
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
        Number of rows in the stratum.
    effective : float
        Effective number of these rows after weighting them to the circumstances of all rows.
    seen : float
        Proportion of all rows that have other, similar rows in the stratum.
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
        Name of the treatment.
    given : tuple of str
        Adjustment set.
    n : int
        Number of rows.
    dose, expected : ndarray
        Dose (row,), and expected dose (row,) given the adjustment set, in units of the treatment.
    dates, geos : ndarray or None
        Date and geo of each row.
    explained : float
        Proportion of the variance of the dose that the adjustment set explains.
    own_variation : float
        Standard deviation of the residual dose, in units of the treatment.
    weights : ndarray
        Stabilised weights (row,) of the generalised propensity score, with mean 1.
    seen : (float, float)
        Smallest and largest observed dose.
    supported : (float, float) or None
        Range of doses that were observed in the circumstances of 90% of the rows; None if empty.
    alike_low, alike_high : ndarray
        Bounds (row,) of the doses observed in the circumstances of each row.
    violations : tuple of Violation
        Rows in whose circumstances zero was never observed.
    strata : tuple of Stratum
        Strata of the dose.
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
        """Effective number of rows after weighting (Kish 1965)."""
        total = float((self.weights**2).sum())
        return float(self.weights.sum()) ** 2 / total if total > 0.0 else 0.0

    @property
    def zero_seen(self) -> float:
        """Proportion of rows in whose circumstances zero was observed."""
        return 1.0 - len(self.violations) / self.n

    def supports(self, dose: float) -> float:
        """Return the proportion of rows in whose circumstances a dose was observed."""
        return float(((self.alike_low <= dose) & (dose <= self.alike_high)).mean())

    @property
    def period(self) -> str:
        """Name of the period that a row covers: day, week, month, or else row."""
        if self.dates is None or self.n < 2:
            return "row"
        days = np.unique(np.asarray(self.dates, dtype="datetime64[D]")).astype(np.int64)
        step = float(np.median(np.diff(days))) if len(days) > 1 else 0.0
        return "month" if 28 <= step <= 31 else {1.0: "day", 7.0: "week"}.get(step, "row")

    @property
    def concerns(self) -> tuple[str, ...]:
        """Reasons to doubt an effect estimate; empty if there are none."""
        found = []
        own = 1.0 - self.explained
        given = ", ".join(self.given) or "nothing"
        if own < _LITTLE_OWN:
            found.append(
                f"it has little independent variation: {given} "
                f"explain{'s' * (len(self.given) == 1)} {_percent(self.explained)} of its variance"
            )
        if self.effective < _FEW_ROWS * self.n:
            found.append(
                f"after weighting, the {self.n} {self.period}s carry the information of "
                f"{self.effective:.0f}"
            )
        if self.zero_seen < _FEW_ZERO:
            found.append(
                f"zero was never observed in similar circumstances for "
                f"{100 * (1 - self.zero_seen):.0f}% of the {self.period}s, so estimates at zero "
                "rely on the model"
            )
        return tuple(found)

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        if self.supported is None:
            span = f"no dose was observed in the circumstances of 90% of the {self.period}s"
        else:
            low, high = self.supported
            span = f"the data support estimates from {low:.4g} to {high:.4g}"
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
        Overlap of each treatment.
    refused : mapping of str to str
        Reason for each treatment without a valid adjustment set.
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
        """One warning per concern, and one error per treatment without an adjustment set."""
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
        """Return a table with one row per treatment."""
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
        """Return a table of the rows in whose circumstances zero was never observed."""
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
    """Write a proportion in percent; write 100% only if the proportion is exactly one."""
    return "over 99%" if 0.995 <= share < 1.0 else f"{100 * share:.0f}%"
