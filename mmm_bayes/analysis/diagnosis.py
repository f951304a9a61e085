"""Diagnostics of a fitted model: baseline, residuals, returns, and fit to the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.analysis.contributions import (
    fitted_mean,
    media_contributions,
    media_totals,
    spend,
    target_total,
)
from mmm_bayes.analysis.decomposition import is_log
from mmm_bayes.analysis.model_thresholds import ModelThresholds
from mmm_bayes.analysis.predictive import autocorrelation, is_augmented, ranks, residuals, thinned
from mmm_bayes.inference.diagnostics import diagnose_sampling
from mmm_bayes.inference.psis import smooth_weights
from mmm_bayes.inference.verdict import DiagnosticsReport, combine
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import EFFECT_SITE
from mmm_bayes.runtime.findings import Finding

NDArray = np.ndarray[Any, Any]

_DRAWS = ("chain", "draw")
_MIN_DRAWS_FOR_TAIL = 100
_MAX_DRAWS = 1000  # enough for quantiles accurate to a percent


_LIMITS = ModelThresholds()


def diagnose(fitted: Fitted, thresholds: ModelThresholds = _LIMITS) -> DiagnosticsReport:
    """Diagnose a fit: convergence of the draws, and plausibility of the results.

    Returns
    -------
    DiagnosticsReport
        PASS, REVIEW or FAIL, with reasons and advice.
    """
    sampling = diagnose_sampling(fitted.tree)
    shapes, others = _merge_shape_findings(fitted, sampling.findings)
    findings = [*check_interrupted(fitted), *others, *shapes, *check_model(fitted, thresholds)]
    return combine(replace(sampling, findings=()), findings)


def _merge_shape_findings(
    fitted: Fitted, findings: Sequence[Finding]
) -> tuple[list[Finding], list[Finding]]:
    """Merge findings about curve parameters that the data do not inform into a single one.

    Returns the merged finding (if any), and the other findings.
    """
    # beta counts as a shape: it trades off against the half-saturation point. The information
    # about a channel's effect shows in its ROAS, which has its own check.
    stated = set(EFFECT_SITE.values()) - {"beta"}
    shapes = {p.site for p in fitted.structure.media.parameters} - stated
    shapes |= {"media_geo_scale"}
    # The coefficients of a process are judged by its amplitude and length scale.
    learned = {term.site for term in fitted.structure.terms if term.scaled_by_process}
    joined: list[Finding] = []
    others: list[Finding] = []
    for finding in findings:
        name = (finding.where or "").partition("[")[0]
        if name in learned and finding.check.startswith("prior_"):
            continue
        about = finding.check == "prior_equals_posterior" and name in shapes
        (joined if about else others).append(finding)
    if not joined:
        return [], others
    overlap = min(finding.value for finding in joined if finding.value is not None)
    names = ", ".join(finding.where or "" for finding in joined)
    together = Finding(
        check="prior_equals_posterior",
        severity="note",
        where=names,
        value=overlap,
        threshold=joined[0].threshold,
        message=f"The data do not inform the shape of some curves: {names} (prior and "
        f"posterior overlap by {overlap:.0%} or more).",
        remedy="Contributions at past spend are not affected, but the carry-over and response "
        "curves of these channels at other levels of spend come largely from the prior: choose "
        "priors you would defend, and move budgets in steps, or test other levels first.",
    )
    return [together], others


def check_interrupted(fitted: Fitted) -> list[Finding]:
    """Find a fit that the user interrupted before all draws were made."""
    posterior = fitted.tree["posterior"]
    if "interrupted" not in posterior.attrs:
        return []
    wanted = fitted.spec.sampler.num_samples * fitted.spec.sampler.num_chains
    made = posterior.sizes["chain"] * posterior.sizes["draw"]
    return [
        Finding(
            check="interrupted",
            severity="warning",
            where="all chains",
            value=made / wanted,
            threshold=1.0,
            message=f"The fit was {posterior.attrs['interrupted']}.",
            remedy="The results describe the draws made so far; whether they are enough is judged "
            "below. Run the same call again to get all of them; with checkpoint=FOLDER it "
            "continues where it stopped.",
        )
    ]


def check_model(fitted: Fitted, thresholds: ModelThresholds = _LIMITS) -> list[Finding]:
    """Run every check of the model and return the findings; an empty list is good news."""
    return [
        *check_baseline(fitted, thresholds),
        *check_residuals(fitted, thresholds),
        *check_shared_residuals(fitted, thresholds),
        *check_returns(fitted, thresholds),
        *check_influence(fitted, thresholds),
        *check_approximation(fitted, thresholds),
        *check_coverage(fitted, thresholds),
    ]


def check_baseline(fitted: Fitted, limits: ModelThresholds = _LIMITS) -> list[Finding]:
    """Find a negative baseline (everything but media) where the target is never negative."""
    if is_log(fitted.structure) or (fitted.data.ds["target"].values < 0).any():
        return []
    mean = fitted_mean(fitted, "date", max_draws=_MAX_DRAWS)
    media = media_contributions(fitted, "date", max_draws=_MAX_DRAWS).sum("channel")
    baseline = mean - media
    below = float((baseline.sum("date") < 0).mean())
    advice = (
        "Media take credit that belongs to the baseline: look for a missing control that moves "
        "with spend, raise the intercept's prior, tighten the channels' effect priors (or put them "
        'on ROAS), or use likelihood.family = "log_normal", whose baseline is never negative.'
    )
    if below > limits.negative_review:
        failed = below > limits.negative_fail
        return [
            Finding(
                check="negative_baseline",
                severity="error" if failed else "warning",
                where="baseline",
                value=below,
                threshold=limits.negative_fail if failed else limits.negative_review,
                message="The total baseline (the target without media) is negative with "
                f"probability {below:.0%}.",
                remedy=advice,
            )
        ]
    dates = np.asarray((baseline < 0).mean(_DRAWS) > 0.5)
    share = float(dates.mean())
    if share <= limits.negative_dates:
        return []
    which = _listing([f"{date:%Y-%m-%d}" for date in fitted.data.dates[dates]])
    return [
        Finding(
            check="negative_baseline",
            severity="warning",
            where="baseline",
            value=share,
            threshold=limits.negative_dates,
            message="The baseline (the target without media) is more likely negative than not on "
            f"{share:.0%} of dates ({which}).",
            remedy=advice,
        )
    ]


def check_residuals(fitted: Fitted, limits: ModelThresholds = _LIMITS) -> list[Finding]:
    """Find autocorrelated residuals (averaged over geos)."""
    found = residuals(fitted).values
    lags = min(limits.lags, found.shape[-1] // 4)
    if lags < 1:
        return []
    values = autocorrelation(found, lags).mean(0)
    worst = int(np.abs(values).argmax())
    value = float(values[worst])
    bound = max(limits.autocorrelation, 3.0 / np.sqrt(found.size))
    if abs(value) <= bound:
        return []
    if value > 0:
        advice = (
            "A slow component is missing, and intervals are too narrow: add trend knots "
            '(trend.kind = "knots" or "hsgp"), seasonality, or a control that moves the target '
            "(price, promotion, distribution); look at a plot of the residuals over time."
        )
    else:
        advice = (
            "The baseline overfits the noise, or sales shift between neighbouring periods: use "
            "fewer trend knots or Fourier terms, or longer periods."
        )
    return [
        Finding(
            check="residual_autocorrelation",
            severity="warning",
            where="residuals",
            value=value,
            threshold=bound,
            message=f"Residuals {worst + 1} period{'s' if worst else ''} apart are correlated: "
            f"{value:.2f} (white noise stays within {bound:.2f}).",
            remedy=advice,
        )
    ]


def check_shared_residuals(fitted: Fitted, limits: ModelThresholds = _LIMITS) -> list[Finding]:
    r"""Find residuals correlated between geos: a cause that moves all of them is missing.

    With standardised residuals of ``G`` geos the mean correlation is
    :math:`(G\,\mathrm{Var}_t(\bar r_t) - 1) / (G - 1)`.
    """
    found = residuals(fitted).values
    num_geos, num_dates = found.shape
    if num_geos < 2:
        return []
    scale = np.maximum(found.std(1, keepdims=True), np.finfo(float).tiny)
    standard = (found - found.mean(1, keepdims=True)) / scale
    value = float((num_geos * standard.mean(0).var() - 1.0) / (num_geos - 1))
    # Three standard errors of the variance of a mean over num_dates dates.
    bound = max(limits.shared_residuals, 3.0 * np.sqrt(2.0 / num_dates) / (num_geos - 1))
    if value <= bound:
        return []
    return [
        Finding(
            check="shared_residuals",
            severity="warning",
            where="residuals",
            value=value,
            threshold=bound,
            message="Residuals of geos move together: their mean correlation on the same date is "
            f"{value:.2f} (the model assumes them independent).",
            remedy="A cause that moves all geos at once is missing, and the intervals of ROAS "
            "are too narrow: add a control for it (holidays, promotions, prices, demand), a trend "
            "with more knots, or seasonality. Forecasts do account for noise that geos share.",
        )
    ]


def check_returns(fitted: Fitted, limits: ModelThresholds = _LIMITS) -> list[Finding]:
    """Find implausible or unidentified ROAS, and media that explain nearly all of the target."""
    findings: list[Finding] = []
    if not fitted.data.channels:
        return findings
    contribution, revenue = media_totals(fitted, max_draws=_MAX_DRAWS)
    spent = spend(fitted.data)  # NaN for unpaid channels, which sums and comparisons skip
    quantiles = (revenue / spent).quantile([0.05, 0.5, 0.95], _DRAWS, skipna=False)
    low, median, high = quantiles.values
    paid = revenue.where(spent.notnull()).sum("channel").median()
    average = float(paid / max(float(spent.sum()), np.finfo(float).tiny))
    for index, channel in enumerate(fitted.data.channels):
        if not np.isfinite(median[index]):
            continue
        if median[index] > limits.roas:
            findings.append(
                Finding(
                    check="implausible_roas",
                    severity="warning",
                    where=channel,
                    value=float(median[index]),
                    threshold=limits.roas,
                    message=f"The ROAS of {channel!r} has a posterior median of "
                    f"{median[index]:.3g}.",
                    remedy="Check that spend and revenue are in the same currency and unit "
                    "(revenue_per_target for a target in units), and that the spend column holds "
                    "the full cost of the channel; else put a prior on the ROAS: "
                    f'channels.{channel}.effect = "roas".',
                )
            )
        elif low[index] * limits.roas_ratio < high[index] and high[index] > average:
            findings.append(
                Finding(
                    check="uncertain_roas",
                    severity="warning",
                    where=channel,
                    value=float(high[index] / low[index]) if low[index] > 0 else np.inf,
                    threshold=limits.roas_ratio,
                    message=f"The data say little about the ROAS of {channel!r}: its 90% interval "
                    f"reaches from {low[index]:.2g} to {high[index]:.2g}.",
                    remedy="Do not act on this channel's median. Run a lift test, vary its spend "
                    "more or separately from the others, or state what is known: "
                    f'channels.{channel}.effect = "roas" with a prior.',
                )
            )
    findings += _low_returns(fitted, revenue, spent, limits)
    target = float(target_total(fitted.data))
    share = float((contribution.sum("channel") / target).median()) if target > 0 else 0.0
    if share > limits.media_share:
        findings.append(
            Finding(
                check="media_share",
                severity="warning",
                where="all channels",
                value=share,
                threshold=limits.media_share,
                message=f"All channels together contribute {share:.0%} of the target.",
                remedy="Few businesses would lose that much without media: look for missing "
                "controls or a trend, and tighten the priors of the effects "
                "(contribution_share, or ROAS).",
            )
        )
    return findings


def _low_returns(
    fitted: Fitted, revenue: xr.DataArray, spent: xr.DataArray, limits: ModelThresholds
) -> list[Finding]:
    """Find paid channels that together surely return far less than they cost."""
    total = float(spent.sum())
    if not total > 0:
        return []
    joint = revenue.where(spent.notnull()).sum("channel") / total
    high = float(joint.quantile(0.95))
    if high >= limits.low_roas:
        return []
    data = fitted.data
    unit = (
        f"The target {data.target_name!r} is read as revenue: if it counts orders or customers, "
        "give the revenue of one as revenue_per_target; else check"
        if data.roles.revenue_per_target is None
        else "Check"
    )
    return [
        Finding(
            check="low_roas",
            severity="warning",
            where="all channels",
            value=high,
            threshold=limits.low_roas,
            message=f"All paid channels together have a ROAS of {float(joint.median()):.2g}, and "
            f"less than {high:.2g} with 95% probability.",
            remedy=f"{unit} that target and spend are in the same currency and unit (one may be in "
            "thousands), and that the spend columns hold money rather than impressions or clicks.",
        )
    ]


def check_influence(fitted: Fitted, limits: ModelThresholds = _LIMITS) -> list[Finding]:
    """Find observations that dominate the posterior: leave-one-out Pareto k above its limit."""
    if is_augmented(fitted):
        return []  # leaving a row out would need its likelihood weight
    if "log_likelihood" not in fitted.tree.children:
        return []
    values = thinned(fitted, "log_likelihood")
    if len(values) < _MIN_DRAWS_FOR_TAIL:
        return []
    k = np.array([smooth_weights(-row)[1] for row in values.T])
    beyond = np.flatnonzero(k > limits.pareto_k)
    if len(beyond) <= max(1, int(limits.pareto_share * len(k))) and not (k > 1.0).any():
        return []
    if not len(beyond):
        return []
    dates, geos = fitted.data.dates, fitted.data.geos
    worst = beyond[np.argsort(-k[beyond])]
    names = [f"{dates[i % len(dates)]:%Y-%m-%d}" for i in worst]
    if len(geos) > 1:
        names = [f"{geos[i // len(dates)]} {name}" for i, name in zip(worst, names, strict=True)]
    return [
        Finding(
            check="influential_observations",
            severity="warning",
            where="leave-one-out",
            value=float(k.max()),
            threshold=limits.pareto_k,
            message=f"{len(beyond)} of {len(k)} observations dominate parts of the posterior "
            f"(Pareto k above {limits.pareto_k:g}): {_listing(names)}.",
            remedy="Look at these rows: they may be a data error, or an event the model does not "
            "know (add it to events). If they are genuine outliers, use "
            'likelihood.family = "student_t". LOO is not reliable for this fit.',
        )
    ]


def check_approximation(fitted: Fitted, limits: ModelThresholds = _LIMITS) -> list[Finding]:
    """Find a variational approximation that is too far from the posterior."""
    k = fitted.tree["posterior"].attrs.get("pareto_k")
    if k is None or float(k) <= limits.svi_k:
        return []
    return [
        Finding(
            check="variational_approximation",
            severity="error" if float(k) > 1.0 else "warning",
            where="posterior",
            value=float(k),
            threshold=limits.svi_k,
            message="The variational approximation is not close to the posterior (Pareto k "
            f"{float(k):.2f}, reliable up to {limits.svi_k:g}).",
            remedy='Use it for exploration only; for final results fit with method="nuts".',
        )
    ]


def check_coverage(fitted: Fitted, limits: ModelThresholds = _LIMITS) -> list[Finding]:
    """Find predictive intervals whose coverage is far from nominal."""
    if "posterior_predictive" not in fitted.tree.children:
        return []
    target = fitted.data.ds["target"].values
    replicated = thinned(fitted, "posterior_predictive").reshape(-1, *target.shape)
    within = float((np.abs(ranks(replicated, target) - 0.5) < 0.45).mean())
    bound = max(limits.coverage, 4.0 * np.sqrt(0.9 * 0.1 / target.size))
    if abs(within - 0.9) <= bound:
        return []
    if within < 0.9:
        advice = (
            "The noise is larger or heavier-tailed than the model allows: look at the residuals, "
            'try likelihood.family = "student_t" (or "negative_binomial" for counts), and widen '
            "likelihood.sigma's prior if it is narrow."
        )
    else:
        advice = (
            'A few outliers inflate the noise (try likelihood.family = "student_t"), or the prior '
            "of the noise keeps it too large."
        )
    return [
        Finding(
            check="coverage",
            severity="warning",
            where="posterior predictive",
            value=within,
            threshold=bound,
            message=f"90% predictive intervals cover {within:.0%} of the observations.",
            remedy=advice,
        )
    ]


def _listing(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
