"""Carry-over and saturation of media, given or chosen from a grid.

Spend acts with carry-over and saturation, and a regression on raw spend misses both. The parameters
are those of :mod:`mmm_bayes.transforms`. They are given by hand, taken from a fitted model, or
chosen from a grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from mmm_bayes.causal.effects.regression import held_out_errors, time_folds
from mmm_bayes.runtime.findings import DataError, Finding, nearest
from mmm_bayes.runtime.visible import shown_safely
from mmm_bayes.transforms import ADSTOCKS, SATURATIONS

NDArray = np.ndarray[Any, Any]

Criterion = Literal["profile", "held_out"]

_OWN = ("adstock", "saturation", "max_lag", "normalise", "unit")


@final
@dataclass(frozen=True)
class MediaTransform:
    r"""Carry-over and saturation of one channel.

    .. math:: m_t = S\Bigl(\sum_{l=0}^{L-1} w_l\, x_{t-l} / u\Bigr)

    Parameters
    ----------
    adstock, saturation : str
        Names in ``mmm_bayes.transforms.ADSTOCKS`` and ``SATURATIONS``, or ``"none"``.
    parameters : mapping of str to float
        Parameters of adstock and saturation, by name.
    max_lag : int
        Number :math:`L` of periods over which spend acts, including the period of the spend.
    normalise : bool
        Whether the weights :math:`w` sum to one.
    unit : float, optional
        Unit :math:`u` of the input. Default: the mean of the channel's positive values, as in
        the package's marketing-mix model.

    Raises
    ------
    ValueError
        If names are unknown, or parameters are missing or not used. The message lists them all.
    """

    adstock: str = "geometric"
    saturation: str = "hill"
    parameters: Mapping[str, float] = field(default_factory=dict)
    max_lag: int = 8
    normalise: bool = True
    unit: float | None = None

    def __post_init__(self) -> None:
        problems = []
        wanted: list[str] = []
        for kind, name, family in (
            ("adstock", self.adstock, ADSTOCKS),
            ("saturation", self.saturation, SATURATIONS),
        ):
            if name in family:
                wanted += family[name].parameters
            elif name != "none":
                hint = nearest(name, family) or f" Choose one of {', '.join(family)} or none."
                problems.append(f"There is no {kind} {name!r}.{hint}")
        if not problems:
            problems += [
                f"Parameter {name!r} is missing." for name in wanted if name not in self.parameters
            ]
            problems += [
                f"{name!r} is not a parameter of {self.adstock} adstock and {self.saturation} "
                f"saturation.{nearest(name, wanted)}"
                for name in self.parameters
                if name not in wanted
            ]
        if self.max_lag < 1:
            problems.append(f"max_lag should be at least 1; got {self.max_lag}.")
        if self.unit is not None and not self.unit > 0:
            problems.append(f"unit should be above zero; got {self.unit}.")
        if problems:
            raise ValueError("The media transform cannot be used: " + " ".join(problems))

    @property
    def weights(self) -> NDArray:
        """Carry-over weights (lag,); ``[1.0]`` without adstock."""
        if self.adstock == "none":
            return np.ones(1)
        own = {name: self.parameters[name] for name in ADSTOCKS[self.adstock].parameters}
        return _float64(
            ADSTOCKS[self.adstock].kernel, **own, max_lag=self.max_lag, normalise=self.normalise
        )

    def apply(self, x: NDArray, geos: NDArray | None = None, unit: float | None = None) -> NDArray:
        """Return the transformed media (row,) of spend or exposure (row,).

        Parameters
        ----------
        x : ndarray
            Media (row,), with the rows of each geo in order of time.
        geos : ndarray, optional
            Geo (row,) of each row; there is no carry-over from one geo to another.
        unit : float, optional
            Replaces the default of the attribute ``unit``. For changed spend, pass the unit of the
            original spend.
        """
        own_unit = self.unit or unit or mean_positive(x)
        carried = convolve(x / own_unit, self.weights, geos)
        if self.saturation == "none":
            return carried * own_unit
        family = SATURATIONS[self.saturation]
        own = {name: self.parameters[name] for name in family.parameters}
        # Media are not negative; a filled gap may be slightly negative by rounding.
        return _float64(family.function, np.maximum(carried, 0.0), **own)

    @shown_safely
    def __str__(self) -> str:
        values = ", ".join(f"{name}={value:.3g}" for name, value in self.parameters.items())
        return f"{self.adstock} + {self.saturation}({values})"


Transforms = Mapping[str, MediaTransform | Mapping[str, Any]]


def media_transforms(given: Transforms | None) -> dict[str, MediaTransform]:
    """Convert transforms by channel, each a :class:`MediaTransform` or a plain dictionary.

    A dictionary holds parameter values, for example the posterior medians of a fit:
    ``{"alpha": 0.5, "ec": 1.2, "slope": 1.0}``. The entries ``adstock`` and ``saturation`` name the
    functions unless they are geometric adstock and the Hill curve; ``max_lag``, ``normalise`` and
    ``unit`` are optional entries.
    """
    found = {}
    for channel, own in (given or {}).items():
        if isinstance(own, MediaTransform):
            found[str(channel)] = own
            continue
        settings = {name: value for name, value in own.items() if name in _OWN}
        parameters = {name: float(value) for name, value in own.items() if name not in _OWN}
        try:
            found[str(channel)] = MediaTransform(parameters=parameters, **settings)
        except ValueError as error:
            raise ValueError(f"Channel {channel!r}: {error}") from None
    return found


def mean_positive(x: NDArray) -> float:
    """Return the mean of the positive values, or 1 if no value is positive."""
    positive = x[x > 0]
    return float(positive.mean()) if positive.size else 1.0


def convolve(x: NDArray, weights: NDArray, geos: NDArray | None = None) -> NDArray:
    r"""Return :math:`\sum_l w_l x_{t-l}` (row,) within each geo, with zeros before its start."""
    if geos is None:
        return np.convolve(x, weights)[: len(x)]
    carried = np.empty(len(x))
    for geo in np.unique(geos):
        rows = np.flatnonzero(geos == geo)
        carried[rows] = np.convolve(x[rows], weights)[: len(rows)]
    return carried


def _float64(function: Any, *arguments: Any, **parameters: Any) -> NDArray:
    import jax

    with jax.enable_x64(True):
        return np.asarray(function(*arguments, **parameters), dtype=float)


GRID: dict[str, tuple[float, ...]] = {
    "alpha": (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85),
    "ec": (0.5, 1.0, 2.0),
    "slope": (0.7, 1.0, 1.5),
}
"""Default grid of :func:`choose_transforms`."""

# Mean and standard deviation of plausible values, close to the priors of the package's
# marketing-mix model. alpha is a proportion; the others are positive and given on the log scale.
_PLAUSIBLE: dict[str, tuple[float, float]] = {
    "alpha": (0.45, 0.25),
    "ec": (0.0, 0.6),
    "slope": (0.2, 0.4),
    "lam": (0.3, 0.6),
    "rate": (0.0, 0.6),
    "shape": (0.3, 0.4),
}


def choose_transforms(
    outcome: NDArray,
    media: Mapping[str, NDArray],
    covariates: NDArray,
    *,
    geos: NDArray | None = None,
    adstock: str = "geometric",
    saturation: str = "hill",
    max_lag: int = 8,
    grid: Mapping[str, Sequence[float]] | None = None,
    criterion: Criterion = "profile",
    folds: int = 5,
    sweeps: int = 4,
) -> dict[str, MediaTransform]:
    r"""Choose each channel's transform from a grid.

    The search visits the channels in turn, holding the transforms of the others fixed, and takes
    the transform that minimises

    .. math:: \tfrac n2 \log \mathrm{SSE} + \tfrac12 \sum_p \Bigl(\frac{p - m_p}{s_p}\Bigr)^2.

    It stops when nothing changes, or after ``sweeps`` rounds. SSE is the squared error of the
    regression on all transformed channels and covariates. The sum runs over the parameters (all
    except ``alpha`` on the log scale) and favours plausible values, because a hundred weeks contain
    little information about a curve. Candidates with a negative coefficient of the channel are
    allowed only if every candidate has one.

    Parameters
    ----------
    outcome : ndarray
        Outcome (row,).
    media : mapping of str to ndarray
        Spend or exposure (row,) by channel.
    covariates : ndarray
        Covariates (row, k), without the intercept.
    geos : ndarray, optional
        Geo (row,) of each row.
    adstock, saturation, max_lag
        As in :class:`MediaTransform`.
    grid : mapping of str to sequence of float, optional
        Candidate values of each parameter. Default: those of ``GRID``.
    criterion : {"profile", "held_out"}
        Whether SSE is computed on all rows, or on held-out blocks of dates.
    folds : int
        Number of blocks, each held out once, with a gap of ``max_lag`` dates around it.
    sweeps : int
        Largest number of rounds.

    Raises
    ------
    DataError
        If the grid lacks values of a parameter.
    """
    names = _parameters(adstock, saturation)
    values = {**GRID, **(grid or {})}
    if missing := [name for name in names if name not in values]:
        message = f"The grid has no values for {', '.join(missing)}."
        remedy = f'Pass grid={{"{missing[0]}": (...)}}.'
        raise DataError([Finding("grid", "error", message, remedy, "grid")], "the search")
    options = [
        MediaTransform(adstock, saturation, dict(zip(names, combination, strict=True)), max_lag)
        for combination in itertools.product(*(values[name] for name in names))
    ]
    columns = {channel: _under_all(options, x, geos) for channel, x in media.items()}
    everything = np.arange(len(outcome))
    splits = [(everything, everything)]
    if criterion == "held_out":
        splits = time_folds(len(outcome), geos, folds, gap=max_lag)
    implausible = np.array([_implausibility(option.parameters) for option in options])
    chosen = dict.fromkeys(media, int(np.argmin(implausible)))
    for _ in range(sweeps):
        before = dict(chosen)
        for channel in media:
            others = [columns[name][:, chosen[name]] for name in media if name != channel]
            fixed = np.column_stack([np.ones(len(outcome)), covariates, *others])
            errors, slopes = held_out_errors(outcome, fixed, columns[channel], splits)
            score = 0.5 * len(outcome) * np.log(np.maximum(errors, 1e-300)) + implausible
            allowed = slopes > 0 if (slopes > 0).any() else np.ones(len(options), bool)
            chosen[channel] = int(np.argmin(np.where(allowed, score, np.inf)))
        if chosen == before:
            break
    return {channel: options[position] for channel, position in chosen.items()}


def _under_all(options: Sequence[MediaTransform], x: NDArray, geos: NDArray | None) -> NDArray:
    """Return media (row, option) under transforms of one family, in one call of the curve."""
    first, unit = options[0], mean_positive(x)
    carried: dict[tuple[float, ...], NDArray] = {}
    parts = []
    for option in options:
        own = [] if option.adstock == "none" else list(ADSTOCKS[option.adstock].parameters)
        key = tuple(option.parameters[name] for name in own)
        if key not in carried:
            carried[key] = convolve(x / unit, option.weights, geos)
        parts.append(carried[key])
    stacked = np.stack(parts, axis=1)
    if first.saturation == "none":
        return stacked * unit
    family = SATURATIONS[first.saturation]
    parameters = {
        name: np.array([option.parameters[name] for option in options])
        for name in family.parameters
    }
    return _float64(family.function, np.maximum(stacked, 0.0), **parameters)


def _implausibility(parameters: Mapping[str, float]) -> float:
    total = 0.0
    for name, value in parameters.items():
        if name in _PLAUSIBLE:
            centre, spread = _PLAUSIBLE[name]
            own = value if name == "alpha" else float(np.log(value))
            total += 0.5 * ((own - centre) / spread) ** 2
    return total


def _parameters(adstock: str, saturation: str) -> list[str]:
    families: Iterable[tuple[str, Any]] = ((adstock, ADSTOCKS), (saturation, SATURATIONS))
    return [name for key, family in families if key != "none" for name in family[key].parameters]
