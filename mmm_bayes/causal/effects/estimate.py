"""The estimate of an effect: value, errors, draws, and the effect of every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from mmm_bayes.causal.effects.estimators import Design, Fitted
from mmm_bayes.causal.effects.media import MediaTransform
from mmm_bayes.data.time_step import TimeStep
from mmm_bayes.runtime.deprecation import named_arguments, renamed, warn_deprecated
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]

Effect = Literal["total", "direct", "indirect"]
Contrast = Literal["per_unit", "as_spent_vs_zero"]
Bootstrap = Literal["wild", "blocks"]


@final
@dataclass(frozen=True)
class EffectSettings:
    """Settings of an estimate; the same settings estimate it again from other arrays."""

    estimator: str
    contrast: Contrast
    bootstrap: Bootstrap
    num_draws: int
    ci_prob: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class EffectEstimate(Report):
    r"""Effect of one treatment on the outcome.

    Attributes
    ----------
    treatment, outcome, effect : str
        What on what, and through which paths: ``"total"``, ``"direct"`` or ``"indirect"``.
    adjustment : tuple of str
        Nodes adjusted for; of an indirect effect those of the direct one.
    value : float
        Per unit: outcome for one more unit of the treatment. As spent against zero: outcome brought
        over all rows together.
    standard_error, dof : float
        Error that holds under autocorrelation, and degrees of freedom of Student's t.
    draws : ndarray
        Bootstrap draws (draw,) of the value.
    settings : EffectSettings
        Estimator, contrast, bootstrap, number of draws and interval probability.
    amount : ndarray
        Treatment (row,) in its units, money where it is a channel with spend.
    exposure : ndarray
        Treatment (row,) as the table has it; the amount itself where that is no spend.
    revenue : ndarray
        Money (row,) that a unit of the outcome is worth.
    transform : MediaTransform or None
        Of the treatment.
    notes : tuple of str
        What a reader should know: doses extrapolated to zero, findings on a set given by hand.
    """

    treatment: str
    outcome: str
    effect: Effect
    adjustment: tuple[str, ...]
    value: float
    standard_error: float
    dof: float
    draws: NDArray = field(repr=False)
    settings: EffectSettings
    amount: NDArray = field(repr=False)
    exposure: NDArray = field(repr=False)
    revenue: NDArray = field(repr=False)
    dates: Any = field(default=None, repr=False)
    transform: MediaTransform | None = None
    notes: tuple[str, ...] = ()
    design: Design | None = field(default=None, repr=False)
    fitted: Fitted | None = field(default=None, repr=False)
    parameter_draws: NDArray | None = field(default=None, repr=False)
    influence: NDArray | None = field(default=None, repr=False)
    parts: tuple[EffectEstimate, EffectEstimate] | None = field(default=None, repr=False)
    step: TimeStep | None = field(default=None, repr=False)

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of probability ``ci_prob``: Student's t, or percentiles of a block bootstrap."""
        return self.interval_at(self.settings.ci_prob)

    @renamed(level="ci_prob")
    def interval_at(self, ci_prob: float) -> tuple[float, float]:
        """Return the interval of another probability."""
        tail = 0.5 * (1.0 - ci_prob)
        if self.settings.bootstrap == "blocks" and self.draws.size:
            low, high = np.quantile(self.draws, [tail, 1.0 - tail])
            return float(low), float(high)
        from scipy.stats import t

        reach = float(t.ppf(1.0 - tail, self.dof)) * self.standard_error
        return self.value - reach, self.value + reach

    @property
    def t_value(self) -> float:
        """Value over its standard error."""
        return self.value / self.standard_error if self.standard_error > 0 else float("nan")

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no effect."""
        from scipy.stats import t

        return float(2.0 * t.sf(abs(self.t_value), self.dof))

    @property
    def roas(self) -> float:
        """Revenue per unit of spend: average as spent, or marginal per unit."""
        return self.value * self.money_factor

    @property
    def roas_interval(self) -> tuple[float, float]:
        """Interval of the ROAS."""
        low, high = sorted(bound * self.money_factor for bound in self.interval)
        return low, high

    @property
    def money_factor(self) -> float:
        """Revenue per unit of spend that corresponds to one unit of the value."""
        total = float(self.amount.sum())
        worth = float(self.revenue.mean())
        if self.settings.contrast == "per_unit":
            return worth
        return worth / total if total > 0 else float("nan")

    @property
    def per_date(self) -> float:
        """Value as spent compared with zero, divided by the number of rows."""
        return self.value / len(self.amount)

    def rows(self) -> NDArray:
        """Return the effect (row,) of every row's dose compared with zero (ITE)."""
        return self._rows(None)

    def row_draws(self) -> NDArray:
        """Return bootstrap draws (draw, row) of :meth:`rows`."""
        return self._rows("draws")

    def _rows(self, which: str | None) -> NDArray:
        if self.parts is not None:
            return self.parts[0]._rows(which) - self.parts[1]._rows(which)
        if self.fitted is None or self.design is None or self.parameter_draws is None:
            raise ValueError("The estimate does not keep its arrays, so it has no effects of rows.")
        theta = self.fitted.parameters if which is None else self.parameter_draws
        return self.fitted.change(theta, self.design.off, self.design.dose, self.design)

    @named_arguments
    def by(self, key: str | Sequence[Any] | NDArray) -> pd.DataFrame:
        """Return the effect as spent compared with zero within groups of rows (CATE).

        Parameters
        ----------
        key : str or sequence
            ``"row"``, ``"geo"``, ``"week"``, ``"month"`` (of the year), ``"quarter"``, ``"season"``
            or ``"year"`` of its first day, or a label for every row (a campaign).

        Returns
        -------
        pandas.DataFrame
            By group: ``amount``, ``effect``, ``low``, ``high``, and ``roas`` with its bounds.

        Raises
        ------
        ValueError
            If the key is unknown, has another length, or there are no dates or geos.
        """
        import pandas as pd

        labels = self._labels(key)
        groups, position = np.unique(labels, return_inverse=True)
        tail = 0.5 * (1.0 - self.settings.ci_prob)
        rows, draws = self.rows(), self.row_draws()
        table = []
        for number, group in enumerate(groups):
            own = position == number
            low, high = np.quantile(draws[:, own].sum(1), [tail, 1.0 - tail])
            spent = float(self.amount[own].sum())
            worth = float(self.revenue[own].mean()) / spent if spent > 0 else float("nan")
            effect = float(rows[own].sum())
            table.append(
                [group, int(own.sum()), spent, effect, float(low), float(high)]
                + [bound * worth for bound in (effect, float(low), float(high))]
            )
        columns = ["group", "rows", "amount", "effect", "low", "high"]
        columns += ["roas", "roas_low", "roas_high"]
        return pd.DataFrame(table, columns=columns).set_index("group")

    def _labels(self, key: str | Sequence[Any] | NDArray) -> NDArray:
        count = len(self.amount)
        if not isinstance(key, str):
            labels = np.asarray(key)
            if labels.shape != (count,):
                raise ValueError(f"There are {count} rows; got labels of shape {labels.shape}.")
            return labels
        if key == "row":
            return np.arange(count)
        if key == "geo":
            design = self.parts[0].design if self.parts is not None else self.design
            if design is None or design.geos is None:
                raise ValueError("There are no geos: the table is one series.")
            return design.geos
        known = ("week", "month", "quarter", "season", "year")
        if key not in known:
            raise ValueError(f"key should be row, geo, {', '.join(known)} or labels; got {key!r}.")
        if self.dates is None:
            raise ValueError(f"There are no dates to group by {key}: give date= to the estimate.")
        first_days = self.dates if self.step is None else self.step.first_days(self.dates)
        months = np.asarray(first_days.month)
        if key == "season":
            names = np.array(["1 winter", "2 spring", "3 summer", "4 autumn"])
            return names[(months % 12) // 3]
        if key == "week":
            return np.asarray(self.dates.strftime("%Y-%m-%d"))
        return np.asarray(getattr(first_days, key))

    @named_arguments
    def with_ci_prob(self, ci_prob: float) -> EffectEstimate:
        """Return the same estimate with intervals of another probability."""
        return replace(self, settings=replace(self.settings, ci_prob=ci_prob))

    @named_arguments
    def with_level(self, level: float) -> EffectEstimate:
        """Return :meth:`with_ci_prob`, under its old name."""
        warn_deprecated("with_level()", "with_ci_prob()")
        return self.with_ci_prob(level)

    def to_frame(self) -> pd.DataFrame:
        """Return one row: value, error, interval, t, p, ROAS and adjustment set."""
        import pandas as pd

        return pd.DataFrame([self.record()])

    def record(self) -> dict[str, Any]:
        """Return the fields of :meth:`to_frame`."""
        (low, high), (roas_low, roas_high) = self.interval, self.roas_interval
        return {
            "treatment": self.treatment,
            "effect": self.effect,
            "value": self.value,
            "low": low,
            "high": high,
            "std_error": self.standard_error,
            "t": self.t_value,
            "p": self.p_value,
            "roas": self.roas,
            "roas_low": roas_low,
            "roas_high": roas_high,
            "adjusted_for": ", ".join(self.adjustment) or "(nothing)",
        }

    def __str__(self) -> str:
        low, high = self.interval
        unit = (
            "a unit more"
            if self.settings.contrast == "per_unit"
            else "as spent, compared with zero"
        )
        lines = [
            f"{self.effect.capitalize()} effect of {self.treatment} on {self.outcome}, {unit}: "
            f"{self.value:.4g} ({100 * self.settings.ci_prob:g}% interval {low:.4g} to {high:.4g}, "
            f"p = {self.p_value:.2g})",
            f"  estimator {self.settings.estimator}, adjusted for "
            f"{', '.join(self.adjustment) or 'nothing'}",
        ]
        if self.settings.contrast == "as_spent_vs_zero" and np.isfinite(self.roas):
            roas_low, roas_high = self.roas_interval
            lines.append(
                f"  return per unit spent {self.roas:.3g} ({roas_low:.3g}, {roas_high:.3g})"
            )
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The notes."""
        return tuple(Finding("note", "note", note, where=self.treatment) for note in self.notes)

    def summary(self) -> pd.DataFrame:
        """Return the row of :meth:`to_frame`, which prints value, interval and ROAS."""
        return effects_summary([self])


@final
@dataclass(frozen=True, eq=False, repr=False)
class EffectsTable(Report):
    """Effects of several treatments.

    Attributes
    ----------
    estimates : tuple of EffectEstimate
        Total, direct and indirect effects, treatment by treatment.
    refused : mapping of str to str
        Treatments whose effect the graph does not identify, with the reason.
    """

    estimates: tuple[EffectEstimate, ...]
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def treatments(self) -> tuple[str, ...]:
        """Treatments with estimates."""
        return tuple(dict.fromkeys(own.treatment for own in self.estimates))

    @named_arguments
    def estimate(self, treatment: str, effect: Effect = "total") -> EffectEstimate:
        """Return one of the estimates.

        Raises
        ------
        KeyError
            If there is none; with the reason, where the graph does not identify it.
        """
        for own in self.estimates:
            if (own.treatment, own.effect) == (treatment, effect):
                return own
        reason = self.refused.get(treatment, f"There are {', '.join(self.treatments)}.")
        raise KeyError(f"No {effect} effect of {treatment!r}. {reason}")

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per estimate; see :meth:`EffectEstimate.to_frame`."""
        import pandas as pd

        return pd.DataFrame([own.record() for own in self.estimates])

    def __str__(self) -> str:
        lines = [f"{self.summary()}"]
        lines += [f"{name}: {reason}" for name, reason in self.refused.items()]
        return "\n".join(lines)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning for every treatment whose effect the graph does not identify."""
        return tuple(
            Finding("not_identified", "warning", f"{name}: {reason}", where=name)
            for name, reason in self.refused.items()
        )

    def summary(self) -> pd.DataFrame:
        """Return the table of :meth:`to_frame`, with values, intervals and ROAS in print."""
        return effects_summary(self.estimates)

    def _repr_html_(self) -> str:
        refused = "".join(
            text_as_html(f"{name}: {reason}") for name, reason in self.refused.items()
        )
        return table_as_html(self.summary()) + refused


def effects_summary(estimates: Sequence[EffectEstimate]) -> pd.DataFrame:
    """Return one row per estimate, which prints within 100 columns."""
    import pandas as pd

    from mmm_bayes.runtime.summary_table import Shown, SummaryTable

    probabilities = {own.settings.ci_prob for own in estimates}
    percent = f"{100 * probabilities.pop():g}% interval" if len(probabilities) == 1 else "interval"
    shown = [
        Shown("treatment", "treatment"),
        Shown("effect", "effect"),
        Shown("value", "value"),
        Shown(percent, ("low", "high")),
        Shown("p", "p", "p"),
        Shown("adjusted for", "adjusted_for", "text"),
    ]
    if any(np.isfinite(own.roas) for own in estimates):
        shown[5:5] = [
            Shown("ROAS", "roas", "ratio"), Shown(percent, ("roas_low", "roas_high"), "ratio"),
        ]  # fmt: skip
    return SummaryTable(pd.DataFrame([own.record() for own in estimates]), shown=shown)
