"""An effect estimate: value, standard error, bootstrap draws, and the effect in each row."""

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
    """Settings of an estimate, which can be reused to estimate again from other arrays."""

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
        Treatment node, outcome node, and type of effect: ``"total"``, ``"direct"`` or
        ``"indirect"``.
    adjustment : tuple of str
        Adjustment set; for an indirect effect, the adjustment set of the direct effect.
    value : float
        Per unit: additional outcome for one more unit of the treatment. As spent compared with
        zero: contribution of the treatment to the outcome, summed over all rows.
    standard_error, dof : float
        Standard error that is valid under autocorrelation, and degrees of freedom of Student's t.
    draws : ndarray
        Bootstrap draws (draw,) of the value.
    settings : EffectSettings
        Estimator, contrast, bootstrap, number of draws and interval probability.
    amount : ndarray
        Spend (row,) in money if the treatment is a channel with known spend, else the treatment in
        its own units.
    exposure : ndarray
        Treatment (row,) in the units of its column in the table.
    revenue : ndarray
        Monetary value (row,) of one unit of the outcome.
    transform : MediaTransform or None
        Transform of the treatment.
    notes : tuple of str
        Remarks on the estimate: extrapolation to zero, problems of a given adjustment set.
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
        """Interval with mass ``ci_prob``, by Student's t or percentiles of the block bootstrap."""
        return self.interval_at(self.settings.ci_prob)

    @renamed(level="ci_prob")
    def interval_at(self, ci_prob: float) -> tuple[float, float]:
        """Return the interval with the given probability mass."""
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
        """Two-sided p-value of the null hypothesis of no effect."""
        from scipy.stats import t

        return float(2.0 * t.sf(abs(self.t_value), self.dof))

    @property
    def roas(self) -> float:
        """Revenue per unit of spend: the average as spent, or the marginal return per unit."""
        return self.value * self.money_factor

    @property
    def roas_interval(self) -> tuple[float, float]:
        """Interval of the ROAS."""
        low, high = sorted(bound * self.money_factor for bound in self.interval)
        return low, high

    @property
    def money_factor(self) -> float:
        """Factor that converts the value into revenue per unit of spend."""
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
        """Return the effect (row,) of each row's dose compared with zero (ITE)."""
        return self._rows(None)

    def row_draws(self) -> NDArray:
        """Return bootstrap draws (draw, row) of :meth:`rows`."""
        return self._rows("draws")

    def _rows(self, which: str | None) -> NDArray:
        if self.parts is not None:
            return self.parts[0]._rows(which) - self.parts[1]._rows(which)
        if self.fitted is None or self.design is None or self.parameter_draws is None:
            raise ValueError("The estimate was made without its arrays and has no row effects.")
        theta = self.fitted.parameters if which is None else self.parameter_draws
        return self.fitted.change(theta, self.design.off, self.design.dose, self.design)

    @named_arguments
    def by(self, key: str | Sequence[Any] | NDArray) -> pd.DataFrame:
        """Return the effect as spent compared with zero within groups of rows (CATE).

        Parameters
        ----------
        key : str or sequence
            ``"row"``, ``"geo"``, ``"week"``, or the ``"month"`` (of the year), ``"quarter"``,
            ``"season"`` or ``"year"`` that contains the first day of the row; or a sequence with
            one label per row, such as the campaign.

        Returns
        -------
        pandas.DataFrame
            One row per group, with the columns ``rows`` (their number), ``amount``, ``effect`` and
            ``roas``, and the interval bounds of the last two.

        Raises
        ------
        ValueError
            If the key is unknown, the number of labels differs from the number of rows, or the
            table has no dates or geos to group by.
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
            raise ValueError(f"There are no dates to group by {key}: pass date= to the estimation.")
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
        """Return the same estimate with intervals of the given probability mass."""
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
            "per additional unit"
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
        """The notes, one finding each."""
        return tuple(Finding("note", "note", note, where=self.treatment) for note in self.notes)

    def summary(self) -> pd.DataFrame:
        """Return the row of :meth:`to_frame` in a short form for printing."""
        return effects_summary([self])


@final
@dataclass(frozen=True, eq=False, repr=False)
class EffectsTable(Report):
    """Effects of several treatments.

    Attributes
    ----------
    estimates : tuple of EffectEstimate
        Total, direct and indirect effects, grouped by treatment.
    refused : mapping of str to str
        Reason for each treatment whose effect the graph does not identify.
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
            If there is no such estimate. If the graph does not identify the effect, the message
            states the reason.
        """
        for own in self.estimates:
            if (own.treatment, own.effect) == (treatment, effect):
                return own
        reason = self.refused.get(treatment, f"Treatments are {', '.join(self.treatments)}.")
        raise KeyError(f"There is no {effect} effect of {treatment!r}. {reason}")

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
        """One warning for each treatment whose effect the graph does not identify."""
        return tuple(
            Finding("not_identified", "warning", f"{name}: {reason}", where=name)
            for name, reason in self.refused.items()
        )

    def summary(self) -> pd.DataFrame:
        """Return the table of :meth:`to_frame` in a short form for printing."""
        return effects_summary(self.estimates)

    def _repr_html_(self) -> str:
        refused = "".join(
            text_as_html(f"{name}: {reason}") for name, reason in self.refused.items()
        )
        return table_as_html(self.summary()) + refused


def effects_summary(estimates: Sequence[EffectEstimate]) -> pd.DataFrame:
    """Return a table with one row per estimate that prints within 100 characters."""
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
