"""The specification of a model: all settings of a fit in one frozen object."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self, TypedDict, Unpack

from pydantic import AfterValidator, Field, field_validator, model_validator

from mmm_bayes.data.dates import parse_dates
from mmm_bayes.data.table_spec import TableSpec
from mmm_bayes.inference.mcmc import SamplerSpec
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.spec_file import ModelSpecError, read_model_text, unreadable
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.deprecation import named_arguments, spelled_out
from mmm_bayes.runtime.report import rows_as_html, rows_as_text
from mmm_bayes.runtime.settings import Frozen, SettingsError, nearest
from mmm_bayes.runtime.text_file import TextError, parse_toml
from mmm_bayes.runtime.visible import shown_safely
from mmm_bayes.transforms import ADSTOCKS, SATURATIONS


def _in_table(kind: str, known: Mapping[str, Any]) -> Callable[[str], str]:
    """Return a validator of names in a table of transforms, to which users may add their own."""

    def check(name: str) -> str:
        if name not in (*known, "none"):
            raise ValueError(f"unknown {kind} {name!r}: {nearest(name, [*known, 'none'])}")
        return name

    return check


AdstockName = Annotated[str, AfterValidator(_in_table("adstock", ADSTOCKS))]
SaturationName = Annotated[str, AfterValidator(_in_table("saturation", SATURATIONS))]
EffectPrior = Literal["coefficient", "roas", "marginal_roas", "contribution_share"]
Family = Literal["normal", "student_t", "log_normal", "poisson", "negative_binomial"]


def _normal(scale: float, loc: float = 0.0) -> PriorSpec:
    return PriorSpec(dist="normal", loc=loc, scale=scale)


def _half_normal(scale: float) -> PriorSpec:
    return PriorSpec(dist="half_normal", scale=scale)


MEDIA_PRIORS: dict[str, PriorSpec] = {
    "alpha": PriorSpec(dist="beta", a=2.0, b=2.0),
    "theta": PriorSpec(dist="half_normal", scale=2.0),
    "shape": PriorSpec(dist="log_normal", loc=0.3, scale=0.4),
    "scale": PriorSpec(dist="log_normal", loc=0.7, scale=0.5),
    "ec": PriorSpec(dist="log_normal", loc=0.0, scale=0.6),
    "slope": PriorSpec(dist="log_normal", loc=0.2, scale=0.4),
    "lam": PriorSpec(dist="log_normal", loc=0.3, scale=0.6),
    "saturation_scale": PriorSpec(dist="log_normal", loc=0.4, scale=0.6),
    "exponent": PriorSpec(dist="beta", a=3.0, b=2.0),
    "rate": PriorSpec(dist="log_normal", loc=0.0, scale=0.6),
    "beta": _half_normal(2.0),
    "roas": PriorSpec(dist="log_normal", loc=0.2, scale=0.9),
    "marginal_roas": PriorSpec(dist="log_normal", loc=-0.2, scale=0.9),
    "contribution_share": PriorSpec(dist="beta", a=1.0, b=12.0),
}
"""Default priors of media parameters. Saturation acts on exposure divided by the channel's mean
positive exposure (per head if there is a population); ``beta`` is in standard deviations of the
target."""

EFFECT_SITE: dict[str, str] = {
    "coefficient": "beta",
    "roas": "roas",
    "marginal_roas": "marginal_roas",
    "contribution_share": "contribution_share",
}


class ChannelSpec(Frozen):
    """Settings of a single channel; those that are None come from ``media``."""

    adstock: AdstockName | None = None
    saturation: SaturationName | None = None
    effect: EffectPrior | None = None
    priors: dict[str, PriorSpec] = {}

    @field_validator("priors")
    @classmethod
    def _known(cls, priors: dict[str, PriorSpec]) -> dict[str, PriorSpec]:
        return _known_names(priors, MEDIA_PRIORS, "media parameter")


class MediaSpec(Frozen):
    """Adstock, saturation and effect of every channel.

    Attributes
    ----------
    adstock, saturation
        Names of the transforms; ``"none"`` leaves the step out.
    max_lag
        Number of periods over which one period's exposure has an effect, including its own.
    normalise
        Whether adstock weights sum to one.
    order
        ``"adstock_first"`` or ``"saturation_first"``.
    effect
        The quantity that the effect's prior is placed on: the ``"coefficient"`` (in standard
        deviations of the target at full saturation), the ``"roas"``, the ``"marginal_roas"``
        (of 1% more spend) or the ``"contribution_share"`` of the summed target.
    priors
        Priors by parameter name; see ``MEDIA_PRIORS`` for names and defaults.
    """

    adstock: AdstockName = "geometric"
    saturation: SaturationName = "hill"
    max_lag: int = Field(8, ge=1, le=400)
    normalise: bool = True
    order: Literal["adstock_first", "saturation_first"] = "adstock_first"
    effect: EffectPrior = "coefficient"
    priors: dict[str, PriorSpec] = {}

    @field_validator("priors")
    @classmethod
    def _known(cls, priors: dict[str, PriorSpec]) -> dict[str, PriorSpec]:
        return _known_names(priors, MEDIA_PRIORS, "media parameter")


class TrendSpec(Frozen):
    """Slow changes of the baseline.

    Attributes
    ----------
    kind
        ``"none"``; ``"linear"``; ``"knots"``, a piecewise-linear random walk over ``n_knots``
        equally spaced knots; ``"hsgp"``, a Gaussian process with squared-exponential kernel and
        ``n_basis`` basis functions, whose amplitude and length scale are estimated.
    scale
        Prior standard deviation of the total linear change, or of one step of the random walk, in
        standard deviations of the target.
    amplitude, length
        Priors of the Gaussian process; the length scale is a fraction of the training window.
    """

    kind: Literal["none", "linear", "knots", "hsgp"] = "linear"
    scale: float = Field(1.0, gt=0)
    n_knots: int = Field(6, ge=2, le=500)
    n_basis: int = Field(12, ge=2, le=500)
    amplitude: PriorSpec = _half_normal(1.0)
    length: PriorSpec = PriorSpec(dist="inverse_gamma", concentration=5.0, rate=2.0)


class SeasonalitySpec(Frozen):
    """Fourier terms of one period: ``order`` sines and cosines.

    ``period`` is in days, or one of ``"year"`` (365.25), ``"quarter"``, ``"month"``, ``"week"``.
    """

    period: float | Literal["year", "quarter", "month", "week"] = "year"
    order: int = Field(2, ge=1, le=50)
    scale: float = Field(0.5, gt=0)

    @field_validator("period", mode="before")
    @classmethod
    def _length(cls, period: Any) -> Any:
        if isinstance(period, int | float) and not 0 < period < float("inf"):
            raise ValueError("a period should be a positive number of days, such as 30.5")
        return period

    @property
    def days(self) -> float:
        """Length of the period in days."""
        if not isinstance(self.period, str):
            return float(self.period)
        return {"year": 365.25, "quarter": 365.25 / 4, "month": 365.25 / 12, "week": 7.0}[
            self.period
        ]


class EventSpec(Frozen):
    """An event: its name, its dates, and for how many days before and after it has an effect.

    A row is affected if the days it stands for overlap the event. ``yearly`` repeats month and day
    every year.
    """

    name: str
    dates: tuple[str, ...]
    days_before: int = Field(0, ge=0, le=3660)
    days_after: int = Field(0, ge=0, le=3660)
    yearly: bool = False
    prior: PriorSpec = _normal(1.0)

    @field_validator("dates", mode="before")
    @classmethod
    def _iso(cls, dates: object) -> object:
        # Dates that cannot be read stay as they are, and are reported with the table.
        given = dates if isinstance(dates, list | tuple) else [dates]
        parsed = parse_dates(list(given), "dates", regular=False)
        if parsed.findings or parsed.names_periods:
            return tuple(map(str, given))
        return tuple(parsed.values.strftime("%Y-%m-%d"))


class ControlsSpec(Frozen):
    """Priors of control coefficients, per standard deviation (per unit for a binary control)."""

    prior: PriorSpec = _normal(1.0)
    priors: dict[str, PriorSpec] = {}


class LikelihoodSpec(Frozen):
    """Distribution of the target around its mean.

    ``"normal"`` and ``"student_t"`` are additive (targets may be negative); ``"log_normal"`` is
    multiplicative; ``"poisson"`` and ``"negative_binomial"`` are for counts, with a log link.
    """

    family: Family = "normal"
    sigma: PriorSpec = _half_normal(1.0)
    nu: PriorSpec = PriorSpec(dist="gamma", concentration=2.0, rate=0.1)
    dispersion: PriorSpec = PriorSpec(dist="half_normal", scale=0.5)

    @property
    def link(self) -> Literal["identity", "log", "count"]:
        """Relation of the linear predictor to the target."""
        if self.family in ("normal", "student_t"):
            return "identity"
        return "log" if self.family == "log_normal" else "count"

    @property
    def is_gaussian(self) -> bool:
        """Whether the likelihood allows integrating out the linear block."""
        return self.family in ("normal", "log_normal")


class GeoSpec(Frozen):
    """Partial pooling over geos (no effect on national data).

    Attributes
    ----------
    media
        ``"normal"``: the coefficient of a geo is ``beta * (1 + tau z)`` with ``z`` standard normal,
        integrated out exactly under a Gaussian likelihood; it can be negative if ``tau`` is large.
        ``"log_normal"``: ``beta * exp(tau z)``, which always has the sign of ``beta`` but is
        several times slower, since every ``z`` is sampled. ``"pooled"``: the same coefficient in
        every geo.
    controls
        ``"normal"``: the coefficients of controls differ by geo; ``"pooled"``: they do not.
    media_scale, intercept_scale, control_scale
        Priors of the between-geo standard deviations.
    """

    media: Literal["normal", "log_normal", "pooled"] = "normal"
    controls: Literal["normal", "pooled"] = "normal"
    media_scale: PriorSpec = _half_normal(0.3)
    intercept_scale: PriorSpec = _half_normal(1.0)
    control_scale: PriorSpec = _half_normal(0.3)


class ModelSettings(TypedDict, total=False):
    """Fields of :class:`ModelSpec`, or mappings of their fields."""

    name: Any
    description: Any
    data: Any
    media: Any
    channels: Any
    intercept: Any
    trend: Any
    seasonality: Any
    events: Any
    controls: Any
    likelihood: Any
    geo: Any
    sampler: Any


class ModelSpec(Frozen):
    """Everything that defines a model; reads and writes TOML.

    Attributes
    ----------
    name, description
        Name and purpose of the model.
    data
        The table and the roles of its columns (optional: a spec can be used with any data).
    media, channels
        Settings of all channels, and settings of single channels.
    intercept
        Prior of the baseline, in standard deviations of the target around its mean.
    trend, seasonality, events, controls, likelihood, geo, sampler
        Settings of the other parts of the model.

    Examples
    --------
    >>> spec = ModelSpec(seasonality=[{"period": "year", "order": 3}])
    >>> ModelSpec.from_toml(spec.to_toml()) == spec
    True
    """

    name: str = "model"
    description: str = ""
    data: TableSpec | None = None
    media: MediaSpec = MediaSpec()
    channels: dict[str, ChannelSpec] = {}
    intercept: PriorSpec = _normal(2.0)
    trend: TrendSpec = TrendSpec()
    seasonality: tuple[SeasonalitySpec, ...] = ()
    events: tuple[EventSpec, ...] = ()
    controls: ControlsSpec = ControlsSpec()
    likelihood: LikelihoodSpec = LikelihoodSpec()
    geo: GeoSpec = GeoSpec()
    sampler: SamplerSpec = SamplerSpec()

    @model_validator(mode="after")
    def _unique(self) -> Self:
        periods = [season.days for season in self.seasonality]
        names = [event.name for event in self.events]
        given: tuple[tuple[str, list[Any]], ...] = (
            ("seasonality period", periods),
            ("event name", names),
        )
        for what, values in given:
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise ValueError(f"The {what} is given more than once: {sorted(twice)}.")
        return self

    @shown_safely
    def __repr__(self) -> str:
        return rows_as_text(self._lines())

    @shown_safely
    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return rows_as_html(self._lines())

    def _lines(self) -> list[tuple[str, str]]:
        media, sampler = self.media, self.sampler
        seasons = ", ".join(
            own.period if isinstance(own.period, str) else f"{own.period:g} days"
            for own in self.seasonality
        )
        lines = [
            ("ModelSpec", self.name),
            ("media", f"{media.adstock} adstock over {media.max_lag} periods, {media.saturation} "
                      f"saturation, priors on {media.effect}"),
            ("baseline", f"trend {self.trend.kind}, seasonality {seasons or 'none'}"),
            ("likelihood", self.likelihood.family),
            ("sampler", f"{sampler.num_chains} chains of {sampler.num_samples} draws after "
                        f"{sampler.num_warmup} of warm-up"),
        ]  # fmt: skip
        if self.channels:
            lines.insert(2, ("channels", f"own settings for {', '.join(self.channels)}"))
        if self.events:
            lines.insert(-2, ("events", ", ".join(own.name for own in self.events)))
        return lines

    @classmethod
    @named_arguments
    def from_toml(cls, source: str | os.PathLike[str]) -> Self:
        """Read a model file, or the text of one.

        Raises
        ------
        ModelSpecError
            Listing every problem of the file: where it is, what was expected and the nearest name.
        """
        text, where = read_model_text(source)
        try:
            return cls.model_validate(parse_toml(text))
        except TextError as error:
            raise unreadable(error, where) from None
        except SettingsError as error:
            raise ModelSpecError(error.findings, where) from None

    @named_arguments
    def to_toml(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return settings that differ from the defaults as TOML; with ``path``, write them too."""
        import tomli_w

        values = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        # Entries of a list are written in full: one with all defaults would be an empty {}.
        for name in ("seasonality", "events"):
            if name in values:
                members = getattr(self, name)
                values[name] = [own.model_dump(mode="json", exclude_none=True) for own in members]
        text = tomli_w.dumps(values)
        if path is not None:
            with atomic_write(path) as place:
                place.write_text(text, encoding="utf-8")
        return text

    @spelled_out(ModelSettings)
    def evolve(self, **changes: Unpack[ModelSettings]) -> Self:
        """Return a copy with some fields changed; all fields are checked again."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate(values | changes)

    def channel_transforms(self, channel: str) -> tuple[str, str, str]:
        """Return the adstock, the saturation and the kind of effect prior of a channel."""
        own = self.channels.get(channel, ChannelSpec())
        return (
            own.adstock or self.media.adstock,
            own.saturation or self.media.saturation,
            own.effect or self.media.effect,
        )

    def media_prior(self, channel: str, parameter: str) -> PriorSpec:
        """Return a parameter's prior: the channel's own, else that of all media, else a default."""
        own = self.channels.get(channel, ChannelSpec())
        for priors in (own.priors, self.media.priors, MEDIA_PRIORS):
            if parameter in priors:
                return priors[parameter]
        raise KeyError(parameter)

    def control_prior(self, control: str) -> PriorSpec:
        """Return the prior of a control's coefficient."""
        return self.controls.priors.get(control, self.controls.prior)


def transform_parameters(adstock: str, saturation: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return parameter names of both transforms as they appear in specifications and results.

    The scale of a tanh saturation is ``saturation_scale``, since ``scale`` belongs to the Weibull
    adstock.
    """
    kernel = () if adstock == "none" else ADSTOCKS[adstock].parameters
    curve = () if saturation == "none" else SATURATIONS[saturation].parameters
    return kernel, tuple("saturation_scale" if name == "scale" else name for name in curve)


def _known_names(
    priors: dict[str, PriorSpec], known: dict[str, PriorSpec], what: str
) -> dict[str, PriorSpec]:
    wrong = [name for name in priors if name not in known]
    if wrong:
        hints = (f"unknown {what} {name!r}: {nearest(name, sorted(known))}" for name in wrong)
        raise ValueError(" ".join(hints))
    return priors
