"""Check that a model can be fitted to a table; all problems are reported, with remedies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from mmm_bayes.data.media_scale import check_never_on
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.baseline import TimeFrame, event_indicator
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.spec import EventSpec, ModelSpec, SeasonalitySpec
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

# A prior of an effect may allow negative values.
_ANY_SIGN = ("beta", "roas", "marginal_roas")


class ModelDataError(DataError):
    """A model cannot be fitted to a table; ``findings`` lists every reason."""

    def __init__(
        self, findings: Iterable[Finding], source: str = "the model and its table together"
    ) -> None:
        super().__init__(findings, source)

    @property
    def problems(self) -> tuple[str, ...]:
        """The findings as sentences."""
        return tuple(map(str, self.findings))


def check_model(spec: ModelSpec, data: MMMData) -> None:
    """Raise :class:`ModelDataError` with every reason why a model cannot be fitted to a table."""
    findings = [
        *_names(spec, data),
        *check_effects(spec, data),
        *_priors(spec),
        *_target(spec, data),
    ]
    findings += _time(spec, data)
    findings += [f for f in check_never_on(data.ds) if f.severity == "error"]
    if findings:
        raise ModelDataError(findings)


def _finding(check: str, where: str, message: str, remedy: str) -> Finding:
    return Finding(check, "error", message, remedy, where)


def _names(spec: ModelSpec, data: MMMData) -> list[Finding]:
    found = []
    for kind, named, known in (
        ("channel", spec.channels, data.channels),
        ("control", spec.controls.priors, data.controls),
    ):
        for name in named:
            if name not in known:
                message = f"The model names the {kind} {name!r}, which the table does not have."
                have = f"The table has {listing(map(repr, known), 12) or 'none'}."
                remedy = nearest(name, known).strip() or have
                found.append(_finding(f"unknown_{kind}", name, message, remedy))
    return found


def check_effects(spec: ModelSpec, data: MMMData) -> list[Finding]:
    """Find effects on a quantity that a channel does not have: a ROAS or share without spend."""
    found = []
    spend = data.ds["spend"].values.sum((0, 1))
    for position, channel in enumerate(data.channels):
        effect = spec.channel_transforms(channel)[2]
        if effect == "contribution_share" and not data.ds["exposure"].values[..., position].any():
            message = f"Channel {channel!r} is 0 in every row, so its share has no prior."
            remedy = f'Set channels.{channel}.effect = "coefficient", or leave the channel out.'
            found.append(_finding("share_never_on", channel, message, remedy))
        if effect in ("roas", "marginal_roas") and spend[position] <= 0:
            found.append(
                _finding(
                    "roas_without_spend",
                    channel,
                    f"Channel {channel!r} has no spend, so its ROAS cannot have a prior.",
                    f'Set channels.{channel}.effect = "coefficient" or "contribution_share".',
                )
            )
    return found


def _priors(spec: ModelSpec) -> list[Finding]:
    """Check that parameters with a restricted range have priors within it."""
    found = []
    positive = {
        "likelihood.sigma": spec.likelihood.sigma,
        "likelihood.nu": spec.likelihood.nu,
        "likelihood.dispersion": spec.likelihood.dispersion,
        "trend.amplitude": spec.trend.amplitude,
        "trend.length": spec.trend.length,
        "geo.media_scale": spec.geo.media_scale,
        "geo.intercept_scale": spec.geo.intercept_scale,
        "geo.control_scale": spec.geo.control_scale,
    }
    scopes = [("media", spec.media.priors)]
    scopes += [(f"channels.{name}", own.priors) for name, own in spec.channels.items()]
    for scope, priors in scopes:
        positive |= {
            f"{scope}.priors.{name}": prior
            for name, prior in priors.items()
            if name not in _ANY_SIGN
        }
        for name in ("alpha", "contribution_share", "exponent"):
            prior = priors.get(name)
            if prior is not None and not _within_unit_interval(prior):
                where = f"{scope}.priors.{name}"
                message = (
                    f"{where} should lie between 0 and 1, but a {prior.dist} prior can exceed 1."
                )
                remedy = "Use beta, or uniform or truncated_normal with high <= 1."
                found.append(_finding("prior_outside_unit_interval", where, message, remedy))
    for where, prior in positive.items():
        if not prior.is_positive:
            message = f"{where} should be positive, but a {prior.dist} prior can be negative."
            remedy = "Use half_normal, log_normal, gamma or truncated_normal with low = 0."
            found.append(_finding("prior_not_positive", where, message, remedy))
    return found


def _within_unit_interval(prior: PriorSpec) -> bool:
    if prior.dist == "constant":
        return prior.value is not None and 0.0 <= prior.value <= 1.0
    return prior.dist == "beta" or (prior.high is not None and prior.high <= 1.0)


def _target(spec: ModelSpec, data: MMMData) -> list[Finding]:
    target, family, name = data.ds["target"].values, spec.likelihood.family, data.target_name
    if not np.isfinite(target).all():
        message = "The target has empty cells."
        return [_finding("empty_target", name, message, "Fit only on rows whose target is known.")]
    if family == "log_normal" and (target <= 0).any():
        message = (
            f"A log_normal likelihood needs a positive target, but {int((target <= 0).sum())} "
            f"value(s) are not (the smallest is {target.min():g})."
        )
        remedy = 'Use likelihood.family = "normal" or "student_t".'
        return [_finding("target_not_positive", name, message, remedy)]
    if family in ("poisson", "negative_binomial"):
        wrong = int(((target < 0) | (target % 1 != 0)).sum())
        if wrong:
            message = (
                f"A {family} likelihood needs counts, but {wrong} value(s) of the target are not "
                "whole numbers of 0 or more."
            )
            remedy = 'Use likelihood.family = "normal" or "log_normal".'
            return [_finding("target_not_a_count", name, message, remedy)]
    return []


def _time(spec: ModelSpec, data: MMMData) -> list[Finding]:
    if data.num_dates < 2:
        message = "The table has 1 date; adstock and trend need at least 2, and a model many more."
        return [_finding("one_date", data.roles.date, message, "Use a longer history.")]
    frame = TimeFrame.from_data(data)
    found = [_season(season, frame.step_days) for season in spec.seasonality]
    if spec.media.max_lag > data.num_dates:
        message = (
            f"media.max_lag is {spec.media.max_lag}, but the table has {data.num_dates} dates."
        )
        found.append(_finding("max_lag", "media.max_lag", message, "Lower it."))
    found += [_event(event, data, frame.periods(data.dates)) for event in spec.events]
    return [finding for finding in found if finding is not None]


def _season(season: SeasonalitySpec, step_days: float) -> Finding | None:
    if season.days / season.order >= 2.0 * step_days - 1e-6:
        return None
    possible = int(season.days / (2.0 * step_days))
    message = (
        f"Seasonality with period {season.period} and order {season.order} is too fine for rows "
        f"every {step_days:g} days."
    )
    remedy = f"Lower the order to {possible}." if possible else "Leave it out."
    return _finding("seasonality_too_fine", "seasonality", message, remedy)


def _event(event: EventSpec, data: MMMData, periods: pd.IntervalIndex) -> Finding | None:
    try:
        touched = event_indicator(event, periods)
    except DataError as error:
        reasons = " ".join(own.message for own in error.findings)
        message = f"Event {event.name!r} has a date that cannot be read. {reasons}"
        return _finding("event_date", event.name, message, "Write dates like 2024-01-31.")
    if touched.any():
        return None
    message = (
        f"Event {event.name!r} overlaps no row between {data.dates[0]:%Y-%m-%d} and "
        f"{data.dates[-1]:%Y-%m-%d}."
    )
    return _finding("event_outside", event.name, message, "Correct its dates or leave it out.")
