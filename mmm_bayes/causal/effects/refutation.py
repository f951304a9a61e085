"""Attempts to refute an effect, by changing the data so that the correct answer is known.

The tests follow DoWhy (Sharma and Kiciman 2020), adapted to autocorrelated rows: placebos and dummy
outcomes are permuted in blocks of dates, subsets leave out blocks of dates, and simulated causes
are as persistent as the dose. DoWhy's own tests assume independent rows and run on request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mmm_bayes.causal.effects.block_simulation import permuted_blocks, persistent_series
from mmm_bayes.causal.effects.dowhy_effects import DoWhyEffect
from mmm_bayes.causal.effects.estimate import EffectEstimate
from mmm_bayes.causal.effects.estimation import estimate_design, robust_error, value_of
from mmm_bayes.causal.effects.estimators import ESTIMATORS, Design
from mmm_bayes.causal.effects.refutation_report import Refutation, RefutationReport
from mmm_bayes.causal.effects.regression import block_length, least_squares
from mmm_bayes.runtime.deprecation import renamed, rng_key_first
from mmm_bayes.runtime.findings import DataError, Finding, nearest
from mmm_bayes.runtime.streams import streams

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]

_DOWHY = ("placebo_treatment", "random_common_cause", "data_subset")


@rng_key_first()
@renamed(simulations="num_simulations")
def refute(
    rng_key: Any,
    estimate: EffectEstimate,
    *,
    tests: Sequence[str] | None = None,
    num_simulations: int = 100,
    strengths: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7),
) -> RefutationReport:
    """Try to refute an effect.

    Parameters
    ----------
    rng_key : jax.Array or int
        Random key, or a seed.
    estimate : EffectEstimate
        A total or direct effect. For an indirect effect, refute its total and its direct effect.
    tests : sequence of str, optional
        Names of the tests. Default: ``"placebo_treatment"``, ``"random_common_cause"``,
        ``"data_subset"``, ``"dummy_outcome"`` and ``"unobserved_confounder"``. DoWhy's own tests
        are ``"dowhy.placebo_treatment"``, ``"dowhy.random_common_cause"`` and
        ``"dowhy.data_subset"``.
    num_simulations : int
        Number of simulated tables per test.
    strengths : sequence of float
        Strengths of the simulated hidden confounder, from 0 to below 1. A strength is the
        correlation of the confounder with the dose, or its effect on the outcome in standard
        deviations, both after adjustment. An outcome without negative values stays non-negative.

    Raises
    ------
    DataError
        If a test is unknown, there are too few simulations, or the estimate has no arrays. The
        message lists every problem.

    References
    ----------
    A. Sharma and E. Kiciman (2020), DoWhy: an end-to-end library for causal inference.
    arXiv:2011.04216.
    """
    names = tuple(_TESTS) if tests is None else tuple(tests)
    _check(estimate, names, num_simulations)
    rngs = streams(rng_key, names)
    found, table = [], None
    for name in names:
        if name.startswith("dowhy."):
            found.append(_by_dowhy(estimate, name, rngs[name], num_simulations))
        elif name == "unobserved_confounder":
            table = _confounding(
                estimate, rngs[name], min(max(num_simulations // 10, 3), 10), strengths
            )
            found.append(_confounder_verdict(estimate, table))
        else:
            found.append(_TESTS[name](estimate, rngs[name], num_simulations))
    return RefutationReport(estimate, tuple(found), table)


def _placebo_treatment(
    estimate: EffectEstimate, rng: np.random.Generator, count: int
) -> Refutation:
    design = _design(estimate)
    values = np.empty(count)
    for i in range(count):
        rows = permuted_blocks(rng, design)
        values[i] = _again(
            estimate,
            replace(
                design, dose=design.dose[rows], off=design.off[rows], more=design.more[rows],
                extra=design.extra[rows],
            ),
        )  # fmt: skip
    p = _tail(values, estimate.value, 0.0)
    centre = abs(values.mean()) / (values.std() / np.sqrt(count) + 1e-300)
    good = p < 0.1 and (centre < 4 or abs(values.mean()) < 0.25 * abs(estimate.value))
    words = (
        f"with the treatment permuted in blocks of dates, the effect is {values.mean():.3g} on "
        f"average (expected 0) and at least as large as the estimate in {100 * p:.0f}% of "
        f"{count} placebos: "
        + ("the estimate is unlikely to arise by chance." if good else
           "an effect of this size can arise by chance.")
    )  # fmt: skip
    return Refutation("placebo_treatment", values, 0.0, p, "holds" if good else "doubtful", words)


def _random_common_cause(
    estimate: EffectEstimate, rng: np.random.Generator, count: int
) -> Refutation:
    design = _design(estimate)
    values = np.empty(count)
    for i in range(count):
        extra = persistent_series(rng, design)
        values[i] = _again(
            estimate, replace(design, covariates=np.column_stack([design.covariates, extra]))
        )
    return _unchanged(
        "random_common_cause", estimate, values, 0.5,
        "with an additional random covariate, as persistent as the dose,",
    )  # fmt: skip


def _data_subset(estimate: EffectEstimate, rng: np.random.Generator, count: int) -> Refutation:
    design = _design(estimate)
    num_dates = int(design.dates.max()) + 1
    length = block_length(num_dates)
    values = np.empty(count)
    for i in range(count):
        out = np.zeros(num_dates, bool)
        while out.mean() < 0.2:
            start = rng.integers(0, num_dates)
            out[(start + np.arange(length)) % num_dates] = True
        rows = np.flatnonzero(~out[design.dates])
        values[i] = value_of(estimate, _fitted(estimate).refit(design.select(rows)))
    return _unchanged(
        "data_subset", estimate, values, 1.0, "with a fifth of the dates left out in blocks,"
    )


def _dummy_outcome(estimate: EffectEstimate, rng: np.random.Generator, count: int) -> Refutation:
    design = _design(estimate)
    without = design.outcome - estimate.rows()
    x = np.column_stack([np.ones(design.num_rows), design.covariates])
    base = least_squares(without, x)
    fitted = x @ base.coefficients
    values, said = np.empty(count), np.empty(count, bool)
    from scipy.stats import t

    for i in range(count):
        rows = permuted_blocks(rng, design)
        outcome = np.maximum(fitted + base.residuals[rows], _floor(design))
        own = replace(design, outcome=outcome)
        settings = replace(estimate.settings, estimator=_own_name(estimate))
        values[i], influence, fit = estimate_design(own, settings)
        error, dof = robust_error(influence, own, fit.dof)
        said[i] = abs(values[i]) > t.ppf(0.95, dof) * error
    p, rate = _tail(values, estimate.value, 0.0), float(said.mean())
    # The nominal rate is 10%. Allow five points, and two Monte Carlo standard errors.
    good = rate <= 0.15 + 2.0 * np.sqrt(0.1 * 0.9 / count)
    words = (
        f"on outcomes that the treatment does not affect, the effect is {values.mean():.3g} on "
        f"average (expected 0), and the 90% interval excludes 0 in {100 * rate:.0f}% of {count}: "
        + ("standard errors are realistic." if good else "standard errors are too small.")
    )
    return Refutation("dummy_outcome", values, 0.0, p, "holds" if good else "doubtful", words)


def _confounding(
    estimate: EffectEstimate, rng: np.random.Generator, count: int, strengths: Sequence[float]
) -> pd.DataFrame:
    """Return the mean estimate after removing a hidden confounder of each pair of strengths.

    The confounder is constructed to correlate with the residuals of the dose given the adjustment
    set. The dose itself stays unchanged, because added noise would by itself attenuate the effect.
    """
    import pandas as pd

    design = _design(estimate)
    x = np.column_stack([np.ones(design.num_rows), design.covariates])
    rest = least_squares(design.dose, x).residuals
    of_dose = rest / (rest.std() or 1.0)
    of_outcome = least_squares(design.outcome - estimate.rows(), x).residuals.std()
    towards, floor = -np.sign(estimate.value), _floor(design)
    spanned = np.column_stack([x, design.dose])
    series = [
        own / (own.std() or 1.0)
        for own in (
            least_squares(persistent_series(rng, design), spanned).residuals for _ in range(count)
        )
    ]
    table = np.empty((len(strengths), len(strengths)))
    for i, on_dose in enumerate(strengths):
        hidden = [on_dose * of_dose + np.sqrt(1.0 - on_dose**2) * own for own in series]
        for j, on_outcome in enumerate(strengths):
            outcomes = [
                np.maximum(design.outcome + towards * on_outcome * of_outcome * own, floor)
                for own in hidden
            ]
            table[i, j] = np.mean(
                [
                    value_of(estimate, _fitted(estimate).refit(replace(design, outcome=own)))
                    for own in outcomes
                ]
            )
    index = pd.Index(list(strengths), name="on the dose")
    return pd.DataFrame(table, index, pd.Index(list(strengths), name="on the outcome"))


def _confounder_verdict(estimate: EffectEstimate, table: pd.DataFrame) -> Refutation:
    """Find the smallest strength on both sides that flips the sign, or moves the interval to 0."""
    strengths = np.asarray(table.index, float)
    own = np.diag(table.to_numpy()) * np.sign(estimate.value)
    low = min(abs(bound) for bound in estimate.interval)
    margin = abs(estimate.value) - (low if np.prod(estimate.interval) > 0 else 0.0)
    turned = strengths[own <= 0.0]
    doubtful = strengths[own <= margin]
    good = not doubtful.size or doubtful[0] >= 0.3
    if turned.size:
        words = (
            f"a hidden confounder of strength {turned[0]:g} on both dose and outcome changes the "
            "sign of the effect"
        )
    else:
        words = (
            f"no hidden confounder of strength up to {strengths.max():g} on both dose and outcome "
            "changes the sign of the effect"
        )
    if doubtful.size:
        words += f"; strength {doubtful[0]:g} moves the interval to zero."
    else:
        words += ", or moves the interval to zero."
    return Refutation(
        "unobserved_confounder", np.diag(table.to_numpy()), estimate.value, float("nan"),
        "holds" if good else "doubtful", words,
    )  # fmt: skip


def _by_dowhy(
    estimate: EffectEstimate, name: str, rng: np.random.Generator, count: int
) -> Refutation:
    """Run DoWhy's own refuter on the effect of one unit of the dose."""
    method = _own_name(estimate, dowhy=True)
    model = DoWhyEffect(_design(estimate), method)
    kind = name.removeprefix("dowhy.")
    before, after, p = model.refute(kind, count, int(rng.integers(2**31 - 1)))
    expected = 0.0 if kind == "placebo_treatment" else before
    good = p >= 0.05
    words = (
        f"in DoWhy's test, which assumes independent rows, the effect per unit changes from "
        f"{before:.3g} to {after:.3g} (p = {p:.2g} under the expectation {expected:.3g})."
    )
    return Refutation(name, np.array([after]), expected, p, "holds" if good else "doubtful", words)


_TESTS: dict[str, Callable[[EffectEstimate, np.random.Generator, int], Refutation]] = {
    "placebo_treatment": _placebo_treatment,
    "random_common_cause": _random_common_cause,
    "data_subset": _data_subset,
    "dummy_outcome": _dummy_outcome,
    "unobserved_confounder": lambda *_: _never(),
}


def _unchanged(
    test: str, estimate: EffectEstimate, values: NDArray, limit: float, what: str
) -> Refutation:
    """Return the verdict of a test that should leave the estimate unchanged."""
    error = estimate.standard_error
    shift = abs(values.mean() - estimate.value) / error if error > 0 else 0.0
    spread = values.std() / error if error > 0 else 0.0
    middle = np.median(values)
    tails = (values <= estimate.value).mean(), (values >= estimate.value).mean()
    p = float(np.clip(2.0 * min(tails), 1.0 / len(values), 1.0))
    good = shift <= 0.5 * limit and spread <= 1.5 * limit
    words = (
        f"{what} the median estimate is {middle:.4g} instead of {estimate.value:.4g}, with a "
        f"standard deviation of {spread:.2f} standard errors: "
        + ("the estimate is stable." if good else "a change that should not matter has an effect.")
    )
    return Refutation(test, values, estimate.value, p, "holds" if good else "doubtful", words)


def _tail(values: NDArray, value: float, centre: float) -> float:
    """Return the proportion (above zero) of values at least as far from the centre as ``value``."""
    return float((1 + (np.abs(values - centre) >= abs(value - centre)).sum()) / (len(values) + 1))


def _again(estimate: EffectEstimate, design: Design) -> float:
    """Return the estimate on changed arrays by the equivalent built-in estimator."""
    settings = replace(estimate.settings, estimator=_own_name(estimate))
    return estimate_design(design, settings)[0]


def _own_name(estimate: EffectEstimate, dowhy: bool = False) -> str:
    """Return the name of the equivalent built-in estimator, or of DoWhy's if ``dowhy``."""
    name = estimate.settings.estimator
    if dowhy:
        log = name in ("log_linear", "backdoor.generalized_linear_model")
        return "backdoor.generalized_linear_model" if log else "backdoor.linear_regression"
    return {
        "backdoor.linear_regression": "linear",
        "backdoor.generalized_linear_model": "log_linear",
    }.get(name, name)


def _design(estimate: EffectEstimate) -> Design:
    assert estimate.design is not None  # _check
    return estimate.design


def _fitted(estimate: EffectEstimate) -> Any:
    assert estimate.fitted is not None  # _check
    return estimate.fitted


def _floor(design: Design) -> float:
    """Return the smallest allowed outcome: zero if no observed outcome is negative."""
    return 0.0 if (design.outcome >= 0).all() else -np.inf


def _never() -> Refutation:
    raise RuntimeError("The confounder is simulated over a grid.")


def _check(estimate: EffectEstimate, names: Sequence[str], num_simulations: int) -> None:
    findings = []
    known = (*_TESTS, *(f"dowhy.{name}" for name in _DOWHY))
    for name in names:
        if name not in known:
            remedy = nearest(name, known).strip() or f"Tests are {', '.join(known)}."
            findings.append(Finding("tests", "error", f"There is no test {name!r}.", remedy, name))
    if num_simulations < 10:
        message = f"num_simulations should be at least 10; got {num_simulations}."
        remedy = "Use 100."
        findings.append(Finding("num_simulations", "error", message, remedy, "num_simulations"))
    if estimate.design is None or estimate.fitted is None:
        message = "The estimate has no arrays; an indirect effect is a difference of two estimates."
        findings.append(
            Finding("estimate", "error", message, "Refute the total and the direct effect.")
        )
    elif estimate.settings.estimator not in ESTIMATORS:
        message = f"There is no estimator {estimate.settings.estimator!r}."
        findings.append(Finding("estimator", "error", message, "Estimate again."))
    if findings:
        raise DataError(findings, "the refutation")
