"""Priors by the name of their family, and their NumPyro distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
import numpyro.distributions as dist
from pydantic import ConfigDict, field_validator, model_validator
from scipy import special

from mmm_bayes.runtime.settings import Frozen

Family = Literal[
    "normal",
    "half_normal",
    "log_normal",
    "beta",
    "gamma",
    "inverse_gamma",
    "exponential",
    "uniform",
    "truncated_normal",
    "student_t",
    "half_cauchy",
    "laplace",
    "constant",
]

NDArray = np.ndarray[Any, Any]
_Builder = Callable[..., dist.Distribution]


def _truncated_quantile(u: NDArray, loc: float, scale: float, low: float, high: float) -> NDArray:
    first, last = special.ndtr((low - loc) / scale), special.ndtr((high - loc) / scale)
    return np.clip(loc + scale * special.ndtri(first + u * (last - first)), low, high)


# Family -> parameters, NumPyro constructor, and the quantile function in closed form.
_FAMILIES: dict[str, tuple[tuple[str, ...], _Builder, Callable[..., NDArray]]] = {
    "normal": (
        ("loc", "scale"),
        dist.Normal,
        lambda u, loc, scale: loc + scale * special.ndtri(u),
    ),
    "half_normal": (
        ("scale",),
        dist.HalfNormal,
        lambda u, scale: scale * special.ndtri(0.5 + 0.5 * u),
    ),
    "log_normal": (
        ("loc", "scale"),
        dist.LogNormal,
        lambda u, loc, scale: np.exp(loc + scale * special.ndtri(u)),
    ),
    "beta": (("a", "b"), dist.Beta, lambda u, a, b: special.betaincinv(a, b, u)),
    "gamma": (
        ("concentration", "rate"),
        dist.Gamma,
        lambda u, concentration, rate: special.gammaincinv(concentration, u) / rate,
    ),
    "inverse_gamma": (
        ("concentration", "rate"),
        dist.InverseGamma,
        lambda u, concentration, rate: rate / special.gammainccinv(concentration, u),
    ),
    "exponential": (("rate",), dist.Exponential, lambda u, rate: -np.log1p(-u) / rate),
    "uniform": (("low", "high"), dist.Uniform, lambda u, low, high: low + u * (high - low)),
    "truncated_normal": (
        ("loc", "scale", "low", "high"),
        lambda loc, scale, low, high: dist.TruncatedNormal(loc, scale, low=low, high=high),
        _truncated_quantile,
    ),
    "student_t": (
        ("df", "loc", "scale"),
        dist.StudentT,
        lambda u, df, loc, scale: loc + scale * special.stdtrit(df, u),
    ),
    "half_cauchy": (
        ("scale",),
        dist.HalfCauchy,
        lambda u, scale: scale * np.tan(0.5 * np.pi * u),
    ),
    "laplace": (
        ("loc", "scale"),
        dist.Laplace,
        lambda u, loc, scale: loc - scale * np.sign(u - 0.5) * np.log1p(-2.0 * np.abs(u - 0.5)),
    ),
    "constant": (("value",), dist.Delta, lambda u, value: np.full_like(u, value)),
}
_POSITIVE = {"scale", "a", "b", "concentration", "rate", "df"}
_DEFAULTS = {"loc": 0.0}


class PriorSpec(Frozen):
    """A prior by the name of its family and the family's parameters.

    Attributes
    ----------
    dist
        ``normal(loc, scale)``, ``half_normal(scale)``, ``log_normal(loc, scale)`` (of the
        logarithm), ``beta(a, b)``, ``gamma(concentration, rate)``,
        ``inverse_gamma(concentration, rate)``, ``exponential(rate)``, ``uniform(low, high)``,
        ``truncated_normal(loc, scale, low, high)``, ``student_t(df, loc, scale)``,
        ``half_cauchy(scale)``, ``laplace(loc, scale)`` or ``constant(value)``; ``loc`` is 0 when
        not given.

    Examples
    --------
    >>> PriorSpec(dist="log_normal", loc=0.0, scale=0.5).median
    1.0
    """

    # Checked below, in words that name the prior.
    model_config = ConfigDict(allow_inf_nan=True)

    dist: Family
    loc: float | None = None
    scale: float | None = None
    a: float | None = None
    b: float | None = None
    concentration: float | None = None
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    df: float | None = None
    value: float | None = None

    @field_validator("*")
    @classmethod
    def _one_zero(cls, value: Any) -> Any:
        # Equal priors must have the same JSON text, which their hash is made of: no "-0.0".
        return value + 0.0 if isinstance(value, float) else value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted = _FAMILIES[self.dist][0]
        given = {
            name: value
            for name in type(self).model_fields
            if name != "dist" and (value := getattr(self, name)) is not None
        }
        surplus = [name for name in given if name not in wanted]
        absent = [name for name in wanted if name not in given and name not in _DEFAULTS]
        if surplus or absent:
            raise ValueError(
                f"A {self.dist} prior takes {', '.join(wanted)}"
                + (f"; missing: {', '.join(absent)}" if absent else "")
                + (f"; not accepted: {', '.join(surplus)}" if surplus else "")
                + "."
            )
        for name, value in given.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} of a {self.dist} prior should be finite, but is {value}.")
            if name in _POSITIVE and value <= 0:
                raise ValueError(f"{name} of a {self.dist} prior should be > 0, but is {value}.")
        bounds = (given.get("low"), given.get("high"))
        if bounds[0] is not None and bounds[1] is not None and bounds[0] >= bounds[1]:
            raise ValueError(f"low should be below high, but they are {self.low} and {self.high}.")
        return self

    @property
    def parameters(self) -> tuple[float, ...]:
        """Values of the family's parameters, in the family's order."""
        values = (getattr(self, name) for name in _FAMILIES[self.dist][0])
        return tuple(
            _DEFAULTS[name] if value is None else value
            for name, value in zip(_FAMILIES[self.dist][0], values, strict=True)
        )

    @property
    def median(self) -> float:
        """Median of the prior."""
        return float(self.quantile(np.asarray(0.5)))

    def quantile(self, u: NDArray) -> NDArray:
        """Return quantiles at probabilities ``u`` in (0, 1)."""
        # A quantile beyond the largest float is infinite, which is no reason to warn.
        with np.errstate(over="ignore", divide="ignore"):
            return np.asarray(_FAMILIES[self.dist][2](u, *self.parameters))

    @property
    def is_positive(self) -> bool:
        """Whether the prior allows no negative value."""
        if self.dist == "constant":
            return (self.value or 0.0) >= 0
        if self.dist in ("uniform", "truncated_normal"):
            return (self.low or 0.0) >= 0
        return self.dist not in ("normal", "student_t", "laplace")

    def scaled(self, factor: float) -> Self:
        """Return the prior of ``factor`` times the quantity (``normal`` and ``half_normal``)."""
        updates = {
            name: value * factor
            for name in ("loc", "scale")
            if (value := getattr(self, name)) is not None
        }
        return self.model_copy(update=updates)


def distribution(priors: Sequence[PriorSpec]) -> dist.Distribution:
    """Return one distribution over several quantities with priors of the same family."""
    family = priors[0].dist
    columns = np.array([prior.parameters for prior in priors]).T
    # NumPy rather than JAX, since bounds must stay concrete while tracing.
    arguments: list[Any] = [
        float(column[0]) if len(set(column.tolist())) == 1 else column for column in columns
    ]
    return _FAMILIES[family][1](*arguments)


FAMILIES: tuple[str, ...] = get_args(Family)
