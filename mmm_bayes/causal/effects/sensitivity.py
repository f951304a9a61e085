"""Sensitivity analysis: the strength a hidden confounder needs to explain an effect away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mmm_bayes.causal.effects.estimate import EffectEstimate
from mmm_bayes.causal.effects.regression import least_squares
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import DataError, Finding, listing
from mmm_bayes.runtime.report import Report

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.causal.effects.estimators import Design

NDArray = np.ndarray[Any, Any]

__all__ = ["Contour", "Sensitivity", "bias", "e_value", "robustness_value", "sensitivity"]


@final
@dataclass(frozen=True, eq=False)
class Contour:
    """Adjusted estimates over a grid of confounder strengths.

    Attributes
    ----------
    on_dose, on_outcome : ndarray
        Partial R2 of the confounder with the dose (k,) and with the outcome (m,).
    value : ndarray
        Estimate (m, k) after adjusting for a confounder of these strengths.
    bound : ndarray
        Bound (m, k) of its interval that is closer to the threshold.
    """

    on_dose: NDArray
    on_outcome: NDArray
    value: NDArray
    bound: NDArray


@final
@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity(Report):
    """Strength of a hidden confounder that would explain an effect away.

    Attributes
    ----------
    estimate : EffectEstimate
        The analysed estimate.
    partial_r2 : float
        Partial R2 of the dose with the outcome. A confounder that explains all residual variance of
        the outcome must explain this proportion of the residual variance of the dose to move the
        estimate to the threshold.
    robustness_value : float
        Partial R2, equal for dose and outcome, that moves the estimate to the threshold.
    robustness_value_interval : float
        The same for the interval bound closer to the threshold.
    e_value, e_value_interval : float
        Risk ratio with dose and outcome that explains away the estimate, and its interval.
    benchmarks : pandas.DataFrame
        One row per adjusted node and multiple of its strength: partial R2 of such a confounder with
        dose and outcome, and the estimate after adjusting for it.
    contour : Contour
        Data for the contour plot.
    threshold : float
        Value that counts as "no effect".
    """

    estimate: EffectEstimate
    partial_r2: float
    robustness_value: float
    robustness_value_interval: float
    e_value: float
    e_value_interval: float
    benchmarks: pd.DataFrame
    contour: Contour
    threshold: float = 0.0

    def __str__(self) -> str:
        own = self.estimate
        goal = "to zero" if self.threshold == 0.0 else f"to {self.threshold:.4g}"
        worth = f" (ROAS {own.roas:.3g})" if np.isfinite(own.roas) else ""
        lines = [
            f"{own.effect.capitalize()} effect of {own.treatment} on {own.outcome}: "
            f"{own.value:.4g}{worth}",
            f"  To move the effect {goal}, a hidden confounder must explain "
            f"{100 * self.robustness_value:.1f}% of the residual variance of both "
            f"{own.treatment} and {own.outcome}; "
            f"{100 * self.robustness_value_interval:.1f}% moves the interval there.",
            f"  If it explained all residual variance of {own.outcome}, "
            f"{100 * self.partial_r2:.1f}% of {own.treatment} would be enough.",
            f"  E-value {self.e_value:.2f} (interval {self.e_value_interval:.2f}): the risk ratio "
            "with both that the confounder must have.",
        ]
        if len(self.benchmarks):
            lines += ["  " + text for text in self._next_to_benchmarks()]
        return "\n".join(lines)

    def _strongest(self) -> tuple[pd.Series[Any], bool]:
        """Return the benchmark that removes most of the effect, and whether it removes all."""
        sign = np.sign(self.estimate.value - self.threshold)
        once = self.benchmarks[self.benchmarks["times"] == self.benchmarks["times"].min()]
        strong = once.assign(left=sign * (once["value"] - self.threshold)).sort_values("left")
        return strong.iloc[0], bool(strong["left"].iloc[0] <= 0)

    def _next_to_benchmarks(self) -> list[str]:
        first, enough = self._strongest()
        verdict = "would be enough" if enough else "would not be enough"
        times = f"{first['times']:g} times " if first["times"] != 1 else ""
        return [
            f"A confounder {times}as strong as {first['node']}, the strongest covariate, "
            f"{verdict}: the estimate would be {first['value']:.4g}."
        ]

    def to_frame(self) -> pd.DataFrame:
        """Return the table of benchmarks."""
        return self.benchmarks

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if a confounder as strong as an adjusted node would explain the effect away."""
        if not len(self.benchmarks):
            return ()
        first, enough = self._strongest()
        if not enough:
            return ()
        text = f"A hidden confounder as strong as {first['node']} would explain the effect away."
        remedy = "Measure more common causes of treatment and outcome, or run an experiment."
        return (Finding("hidden_confounder", "warning", text, remedy, self.estimate.treatment),)


@named_arguments
def sensitivity(
    estimate: EffectEstimate,
    *,
    threshold: float = 0.0,
    benchmarks: Mapping[str, Sequence[str]] | None = None,
    times: Sequence[float] = (1.0, 2.0, 3.0),
    points: int = 46,
) -> Sensitivity:
    r"""Compute how strong a hidden confounder must be to move an effect to a threshold.

    Adjusting for a confounder that has partial :math:`R^2` :math:`r_d` with the dose and
    :math:`r_y` with the outcome would change a regression coefficient by

    .. math:: |\mathrm{bias}| = \mathrm{se} \sqrt{\mathrm{df}}\,
              \sqrt{\frac{r_y\, r_d}{1 - r_d}},

    where se is the standard error for independent rows. The robustness value is the
    :math:`r = r_y = r_d` at which the bias equals the distance of the estimate from the threshold.
    For nonlinear estimators, the linear regression on the same rows is used, scaled to the
    estimate.

    Parameters
    ----------
    estimate : EffectEstimate
        A total or direct effect.
    threshold : float
        Value that counts as "no effect", such as the value at a ROAS of one:
        ``1 / estimate.money_factor``.
    benchmarks : mapping of str to sequence of str, optional
        Groups of covariates with which the confounder is compared. Default: one group for each node
        of the adjustment set.
    times : sequence of float
        Multiples of the strength of a group.
    points : int
        Number of grid points along each side of the contour.

    Raises
    ------
    DataError
        If the estimate has no arrays, or a benchmark is not a covariate.

    References
    ----------
    C. Cinelli and C. Hazlett (2020), Making sense of sensitivity: extending omitted variable bias.
    JRSS-B 82(1).
    T. VanderWeele and P. Ding (2017), Sensitivity analysis in observational research: introducing
    the E-value. Annals of Internal Medicine 167(4).
    """
    design = estimate.design
    if design is None:
        message = "The estimate has no arrays; an indirect effect is a difference of two estimates."
        found = Finding("estimate", "error", message, "Use the total and the direct effect.")
        raise DataError([found], "the sensitivity analysis")
    slope, error, df = _plain_regression(design)
    scale = estimate.value / slope if slope else 0.0
    plain = abs(scale) * error
    distance = abs(estimate.value - threshold)
    low, high = estimate.interval
    near = max(low - threshold, threshold - high, 0.0)
    side = float(np.sign(estimate.value - threshold)) or 1.0
    reach = distance - near if near > 0 else distance
    strengths = np.linspace(0.0, 0.9, points)
    grid_d, grid_y = np.meshgrid(strengths, strengths)
    moved = estimate.value - side * bias(plain, df, grid_d, grid_y)
    contour = Contour(strengths, strengths, moved, moved - side * reach)
    standardised = abs(estimate_per_deviation(design, distance, estimate))
    beyond = near / distance if distance > 0 else 0.0
    t_value = distance / plain if plain > 0 else 0.0
    return Sensitivity(
        estimate=estimate,
        partial_r2=t_value**2 / (t_value**2 + df),
        robustness_value=robustness_value(distance, plain, df),
        robustness_value_interval=robustness_value(near, plain, df),
        e_value=e_value(standardised),
        e_value_interval=e_value(standardised * beyond),
        benchmarks=_benchmarks(estimate, design, plain, df, side, benchmarks, times),
        contour=contour,
        threshold=threshold,
    )


def bias(error: float, df: float, on_dose: Any, on_outcome: Any) -> Any:
    """Return the bias due to an omitted confounder (Cinelli and Hazlett 2020, equation 10)."""
    r_d = np.minimum(on_dose, 1.0 - 1e-12)
    return error * np.sqrt(df) * np.sqrt(on_outcome * r_d / (1.0 - r_d))


def robustness_value(distance: float, error: float, df: float) -> float:
    r"""Return the partial R2, equal for dose and outcome, that causes a bias of ``distance``.

    .. math:: \mathrm{RV} = \tfrac12 \bigl(\sqrt{f^4 + 4 f^2} - f^2\bigr), \qquad
              f = \frac{\mathrm{distance}}{\mathrm{se} \sqrt{\mathrm{df}}}

    Examples
    --------
    >>> round(robustness_value(distance=4.18, error=1.0, df=783), 3)  # Cinelli and Hazlett, table 1
    0.139
    """
    if error <= 0 or distance <= 0:
        return 0.0
    square = distance**2 / (error**2 * df)
    return float(0.5 * (np.sqrt(square**2 + 4.0 * square) - square))


def e_value(standardised: float) -> float:
    r"""Return the E-value of an effect size :math:`d` in standard deviations of the outcome.

    .. math:: \mathrm{RR} \approx e^{0.91\, |d|}, \qquad
              E = \mathrm{RR} + \sqrt{\mathrm{RR} (\mathrm{RR} - 1)}

    Examples
    --------
    >>> round(e_value(0.5), 2)
    2.53
    """
    ratio = float(np.exp(0.91 * abs(standardised)))
    return ratio + float(np.sqrt(ratio * (ratio - 1.0)))


def estimate_per_deviation(design: Design, value: float, estimate: EffectEstimate) -> float:
    """Return the effect in standard deviations of the outcome, per standard deviation of dose."""
    moved = float((design.dose - design.off).sum())
    if estimate.settings.contrast == "per_unit":
        moved = float((design.more - design.dose).sum() / design.extra.sum())
    spread = float(design.outcome.std())
    return value / moved * float(design.dose.std()) / spread if moved and spread else 0.0


def _plain_regression(design: Design) -> tuple[float, float, float]:
    """Return the dose coefficient, its standard error for independent rows, and the dof."""
    x = np.column_stack([design.dose, np.ones(design.num_rows), design.covariates])
    fit = least_squares(design.outcome, x)
    rest = least_squares(design.dose, x[:, 1:]).residuals
    power = float(rest @ rest)
    if power <= 1e-12 * float(design.dose @ design.dose):
        return 0.0, 0.0, fit.dof
    variance = float(fit.residuals @ fit.residuals) / fit.dof / power
    return float(fit.coefficients[0]), float(np.sqrt(variance)), fit.dof


def _benchmarks(
    estimate: EffectEstimate,
    design: Design,
    error: float,
    df: float,
    side: float,
    groups: Mapping[str, Sequence[str]] | None,
    times: Sequence[float],
) -> pd.DataFrame:
    """Return a table of confounders as strong as adjusted nodes, and the adjusted estimates."""
    import pandas as pd

    if groups is None:
        groups = {
            node: [name for name in design.names if name == node or name.startswith(f"{node}[")]
            for node in estimate.adjustment
        }
    unknown = [name for own in groups.values() for name in own if name not in design.names]
    if unknown:
        message = f"No covariate has the name {listing(unknown)}."
        remedy = f"Covariates are {listing(design.names, 20)}."
        raise DataError(
            [Finding("benchmarks", "error", message, remedy)], "the sensitivity analysis"
        )
    ones = np.ones((design.num_rows, 1))
    rows = []
    for group, own in groups.items():
        position = [design.names.index(name) for name in own]
        without = np.concatenate([ones, np.delete(design.covariates, position, axis=1)], axis=1)
        full = np.concatenate([ones, design.covariates], axis=1)
        dose = design.dose[:, None]
        with_dose = _share(design.dose, without, full)
        with_outcome = _share(
            design.outcome, np.concatenate([without, dose], 1), np.concatenate([full, dose], 1)
        )
        for multiple in times:
            r_d, r_y = as_strong_as(with_dose, with_outcome, multiple)
            value = estimate.value - side * float(bias(error, df, r_d, r_y))
            rows.append([group, multiple, r_d, r_y, value])
    return pd.DataFrame(rows, columns=["node", "times", "with_dose", "with_outcome", "value"])


def as_strong_as(with_dose: float, with_outcome: float, times: float) -> tuple[float, float]:
    r"""Return the partial R2s of a confounder ``times`` as strong as a covariate.

    This is the benchmark of Cinelli and Hazlett (2020, section 4.4). Let :math:`f^2 = r / (1 - r)`
    for the covariate, and let the confounder be :math:`k` times as strong. Then

    .. math:: r_d' = k f_d^2, \qquad
              r_y' = \frac{(\sqrt{k} + \rho)^2}{1 - \rho^2} f_y^2, \qquad
              \rho^2 = \frac{k\, r_d^2}{(1 - k r_d)(1 - r_d)},

    both limited to one.
    """
    odds_d = with_dose / max(1.0 - with_dose, 1e-12)
    odds_y = with_outcome / max(1.0 - with_outcome, 1e-12)
    r_d = min(times * odds_d, 1.0)
    # Squared partial correlation of the confounder with the covariate, given the dose.
    shared = times * with_dose**2 / max((1.0 - times * with_dose) * (1.0 - with_dose), 1e-12)
    shared = min(shared, 1.0 - 1e-9)
    eta = (np.sqrt(times) + np.sqrt(shared)) / np.sqrt(1.0 - shared)
    return r_d, float(min(eta**2 * odds_y, 1.0))


def _share(y: NDArray, without: NDArray, full: NDArray) -> float:
    """Return the partial R2 of the columns in ``full`` that are not in ``without``."""
    before = least_squares(y, without).residuals
    after = least_squares(y, full).residuals
    total = float(before @ before)
    return max(0.0, 1.0 - float(after @ after) / total) if total > 0 else 0.0
