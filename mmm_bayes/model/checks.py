"""Check that a model can be fitted to a table; all problems are reported, with remedies."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.baseline import TimeFrame, event_indicator
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.settings import nearest


class ModelDataError(ValueError):
    """A model that cannot be fitted to a table; ``problems`` lists every reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {number}. {text}" for number, text in enumerate(problems, 1))
        super().__init__(f"Model and data do not fit together:\n{lines}")


def check_model(spec: ModelSpec, data: MMMData) -> None:
    """Raise :class:`ModelDataError` with every reason why a model cannot be fitted to a table."""
    problems = [*_names(spec, data), *_effects(spec, data), *_priors(spec), *_target(spec, data)]
    problems += _time(spec, data) if data.n_dates > 1 else [_ONE_DATE]
    if problems:
        raise ModelDataError(problems)


def _names(spec: ModelSpec, data: MMMData) -> list[str]:
    found = []
    for what, named, known in (
        ("channel", spec.channels, data.channels),
        ("control", spec.controls.priors, data.controls),
    ):
        for name in named:
            if name not in known:
                hint = nearest(name, list(known)) if known else "the data have none."
                found.append(
                    f"The model names the {what} {name!r}, which is not in the data: {hint}"
                )
    return found


def _effects(spec: ModelSpec, data: MMMData) -> list[str]:
    found = []
    spend = data.ds["spend"].values.sum((0, 1))
    for position, channel in enumerate(data.channels):
        effect = spec.channel_transforms(channel)[2]
        if effect in ("roas", "marginal_roas") and spend[position] <= 0:
            found.append(
                f"Channel {channel!r} has no spend, so a prior on its ROAS is not possible: set "
                f'channels.{channel}.effect = "coefficient" or "contribution_share".'
            )
    return found


def _priors(spec: ModelSpec) -> list[str]:
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
            f"{scope}.priors.{name}": prior for name, prior in priors.items() if name not in _ANY
        }
        for name in ("alpha", "contribution_share", "exponent"):
            prior = priors.get(name)
            if prior is not None and not _within_unit(prior.dist, prior.high, prior.value):
                found.append(
                    f"{scope}.priors.{name} should lie between 0 and 1, but a {prior.dist} prior "
                    "can exceed 1: use beta, or uniform or truncated_normal with high <= 1."
                )
    for place, prior in positive.items():
        if not prior.is_positive:
            found.append(
                f"{place} should be positive, but a {prior.dist} prior allows negative values: "
                "use half_normal, log_normal, gamma or truncated_normal with low = 0."
            )
    return found


_ONE_DATE = (
    "The table has 1 date; adstock and trend need at least 2, and a useful model many more. Use a "
    "longer history."
)
_ANY = ("beta", "roas", "marginal_roas")  # a prior of an effect may allow negative values


def _within_unit(family: str, high: float | None, value: float | None) -> bool:
    if family == "constant":
        return value is not None and 0.0 <= value <= 1.0
    return family == "beta" or (high is not None and high <= 1.0)


def _target(spec: ModelSpec, data: MMMData) -> list[str]:
    target = data.ds["target"].values
    family = spec.likelihood.family
    if not np.isfinite(target).all():
        return ["The target has empty cells: fit only on rows whose target is known."]
    if family == "log_normal" and (target <= 0).any():
        return [
            f"A log_normal likelihood needs a positive target; {int((target <= 0).sum())} values "
            f"are not (the smallest is {target.min():g}). Use likelihood.family = "
            '"normal" or "student_t".'
        ]
    if family in ("poisson", "negative_binomial"):
        wrong = int(((target < 0) | (target % 1 != 0)).sum())
        if wrong:
            return [
                f"A {family} likelihood needs counts; {wrong} values of the target are not whole "
                'numbers of 0 or more. Use likelihood.family = "normal" or "log_normal".'
            ]
    return []


def _time(spec: ModelSpec, data: MMMData) -> list[str]:
    found = []
    frame = TimeFrame.from_dates(data.dates)
    for season in spec.seasonality:
        shortest = season.days / season.order
        if shortest < 2.0 * frame.step_days - 1e-6:
            possible = int(season.days / (2.0 * frame.step_days))
            remedy = f"lower the order to {possible}" if possible else "leave it out"
            found.append(
                f"Seasonality with period {season.period} and order {season.order} is too fine for "
                f"rows every {frame.step_days:g} days: {remedy}."
            )
    if spec.media.max_lag > data.n_dates:
        found.append(
            f"media.max_lag is {spec.media.max_lag}, but there are {data.n_dates} dates: lower it."
        )
    for event in spec.events:
        try:
            for text in event.dates:
                # pandas would also accept "now" and numbers of nanoseconds.
                datetime.fromisoformat(text)
            touched = event_indicator(event, data.dates, frame.step_days)
        except ValueError as error:
            found.append(f"Event {event.name!r} has a date that cannot be read ({error}).")
            continue
        if not touched.any():
            found.append(
                f"Event {event.name!r} overlaps no row between {data.dates[0]:%Y-%m-%d} and "
                f"{data.dates[-1]:%Y-%m-%d}: correct its dates or leave it out."
            )
    return found
