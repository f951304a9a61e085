"""The linear part of the predictor: intercept, trend, seasonality, events and controls.

Every term is a set of design columns with independent priors, built once on the host. Terms with
normal priors can be integrated out (:mod:`mmm_bayes.inference.marginal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd

from mmm_bayes.data.dates import read_dates
from mmm_bayes.data.schema import MMMData
from mmm_bayes.data.time_step import TimeStep
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.spec import EventSpec, ModelSpec
from mmm_bayes.transforms import fourier, hat_basis, hsgp_basis

NDArray = np.ndarray[Any, Any]

_EPOCH = pd.Timestamp("1970-01-05")  # a Monday, so that weekly phases start with the week
_HSGP_HALF_WIDTH = 1.0  # domain [-0.5, 1.5] around the training window [0, 1]


@dataclass(frozen=True)
class Term:
    """A term of the linear predictor: name, dimension, labels and priors of its coefficients.

    ``scaled_by_process`` marks coefficients whose prior scales come from the Gaussian process.
    """

    site: str
    component: str
    dim: str | None
    labels: tuple[str, ...]
    priors: tuple[PriorSpec, ...]
    scaled_by_process: bool = False

    @property
    def is_normal(self) -> bool:
        """Whether every coefficient has a normal prior; a constant counts as one of width zero."""
        families = {prior.dist for prior in self.priors}
        return "normal" in families and families <= {"normal", "constant"}

    @property
    def width(self) -> int:
        """Number of design columns."""
        return len(self.priors)


@dataclass(frozen=True)
class TimeFrame:
    """The training window: time runs from 0 at its first date to 1 at its last.

    ``step_days`` is the median number of days between dates, and ``step`` tells which days a row
    stands for.
    """

    dates: tuple[str, ...]
    step_days: float
    step: TimeStep

    @classmethod
    def from_data(cls, data: MMMData) -> TimeFrame:
        """Take the window and the step from the training table."""
        days = np.diff(data.dates.to_numpy()).astype("timedelta64[h]").astype(float) / 24.0
        dates = tuple(data.dates.strftime("%Y-%m-%dT%H:%M:%S"))
        return cls(dates, float(np.median(days)), data.time_step)

    @property
    def index(self) -> pd.DatetimeIndex:
        """The training dates."""
        return pd.DatetimeIndex(self.dates)

    def periods(self, dates: pd.DatetimeIndex) -> pd.IntervalIndex:
        """Return the days that rows with these dates stand for."""
        if self.step.marks != "nominal":
            return self.step.intervals(dates)
        after = dates + pd.Timedelta(hours=round(24 * self.step_days))
        return pd.IntervalIndex.from_arrays(dates, after, closed="left")

    def time(self, dates: pd.DatetimeIndex) -> NDArray:
        """Return dates as fractions of the training window."""
        first, last = self.index[0], self.index[-1]
        return np.asarray((dates - first) / (last - first), float)


def terms_of(spec: ModelSpec, controls: tuple[str, ...]) -> tuple[Term, ...]:
    """List the terms of a model, in the order of their design columns."""
    normal = PriorSpec(dist="normal", loc=0.0, scale=1.0)
    trend = spec.trend
    terms = [Term("intercept", "intercept", None, ("intercept",), (spec.intercept,))]
    if trend.kind == "linear":
        prior = normal.scaled(trend.scale)
        terms.append(Term("trend_coef", "trend", "trend_term", ("slope",), (prior,)))
    elif trend.kind == "knots":
        labels = tuple(f"step_{j}" for j in range(1, trend.n_knots))
        prior = normal.scaled(trend.scale)
        terms.append(Term("trend_coef", "trend", "trend_term", labels, (prior,) * len(labels)))
    elif trend.kind == "hsgp":
        labels = tuple(f"basis_{j}" for j in range(1, trend.n_basis + 1))
        terms.append(
            Term("trend_coef", "trend", "trend_term", labels, (normal,) * len(labels), True)
        )
    if spec.seasonality:
        labels_, priors = [], []
        for season in spec.seasonality:
            name = season.period if isinstance(season.period, str) else f"{season.period:g}d"
            for k in range(1, season.order + 1):
                labels_ += [f"{name}_sin{k}", f"{name}_cos{k}"]
                priors += [normal.scaled(season.scale)] * 2
        terms.append(
            Term("seasonality_coef", "seasonality", "fourier", tuple(labels_), tuple(priors))
        )
    if spec.events:
        names = tuple(event.name for event in spec.events)
        priors_ = tuple(event.prior for event in spec.events)
        terms.append(Term("event_coef", "events", "event", names, priors_))
    if controls:
        priors_ = tuple(spec.control_prior(control) for control in controls)
        terms.append(Term("control_coef", "controls", "control", controls, priors_))
    return tuple(terms)


def design_columns(
    spec: ModelSpec, frame: TimeFrame, dates: pd.DatetimeIndex, controls: NDArray
) -> NDArray:
    """Build the design (geo, time, column) of all terms for any dates.

    Parameters
    ----------
    spec, frame
        The model, and its training window.
    dates
        Dates of the rows: training dates or future dates.
    controls
        Scaled controls (geo, time, control).
    """
    num_geos, num_dates = controls.shape[:2]
    shared = [np.ones((num_dates, 1)), _trend(spec, frame, dates)]
    periods = frame.periods(dates)
    # A period is represented by its middle: a week has the phase of its Thursday.
    first = np.asarray((pd.DatetimeIndex(periods.left) - _EPOCH) / pd.Timedelta(days=1), float)
    middle = first + 0.5 * np.asarray(pd.TimedeltaIndex(periods.length) / pd.Timedelta(days=1))
    for season in spec.seasonality:
        shared.append(_fourier(middle, season.days, season.order))
    for event in spec.events:
        shared.append(event_indicator(event, periods)[:, None])
    columns = np.concatenate(shared, 1)
    return np.concatenate([np.broadcast_to(columns, (num_geos, *columns.shape)), controls], axis=2)


def _fourier(days: NDArray, period: float, order: int) -> NDArray:
    # Phases within one period, since single precision cannot hold days since 1970 to the hour.
    # Jitted as a whole: one small compilation instead of one per operation.
    compiled = jax.jit(fourier, static_argnums=(1, 2))
    return np.asarray(compiled(np.mod(days, period), period, order), float)


def _trend(spec: ModelSpec, frame: TimeFrame, dates: pd.DatetimeIndex) -> NDArray:
    kind = spec.trend.kind
    time = frame.time(dates)
    if kind == "linear":
        return time[:, None] - 0.5
    if kind == "knots":
        return _knot_columns(spec, time) - _knot_columns(spec, frame.time(frame.index)).mean(0)
    if kind == "hsgp":
        clipped = np.clip(time, -0.45, 1.45)  # within the domain of the basis; constant beyond
        width, m = _HSGP_HALF_WIDTH, spec.trend.n_basis
        compiled = jax.jit(lambda t: hsgp_basis(t, m, centre=0.5, half_width=width).functions)
        return np.asarray(compiled(clipped), float)
    return np.zeros((len(dates), 0))


def hsgp_frequencies(n_basis: int) -> NDArray:
    """Return the frequencies of the trend's basis functions, per training window."""
    return np.arange(1, n_basis + 1) * np.pi / (2 * _HSGP_HALF_WIDTH)


def _knot_columns(spec: ModelSpec, time: NDArray) -> NDArray:
    """Return one column per step of the random walk over the knots, constant after the last."""
    knots = np.linspace(0.0, 1.0, spec.trend.n_knots)
    hats = np.asarray(jax.jit(lambda t: hat_basis(t, knots))(np.clip(time, 0.0, 1.0)), float)
    return np.cumsum(hats[:, ::-1], 1)[:, ::-1][:, 1:]


def event_indicator(event: EventSpec, periods: pd.IntervalIndex) -> NDArray:
    """Return 1 for rows whose days overlap the event, and 0 for others."""
    starts, ends = periods.left.to_numpy(), periods.right.to_numpy()
    result = np.zeros(len(periods))
    for given in read_dates(list(event.dates), "dates"):
        first_year, last_year = periods.left[0].year - 1, periods.right[-1].year + 1
        years = range(first_year, last_year + 1) if event.yearly else (given.year,)
        for year in years:
            # 29 February falls on the 28th in other years.
            day = min(given.day, 28) if (given.month, given.day) == (2, 29) else given.day
            at = given if year == given.year else given.replace(year=year, day=day)
            first = (at - pd.Timedelta(days=event.days_before)).to_datetime64()
            last = (at + pd.Timedelta(days=event.days_after + 1)).to_datetime64()
            result[(starts < last) & (ends > first)] = 1.0
    return result
