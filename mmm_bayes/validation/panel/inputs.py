"""Inputs of forecasters from a panel: scaled series, masks, scaled context, weekdays.

Series of different shops differ by orders of magnitude, so each has its own scale. The scale comes
from the training panel and stays the same when later days arrive.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.validation.panel.forecast import check_request, refuse

NDArray = np.ndarray[Any, Any]

Transform = Literal["auto", "standard", "log1p"]
"""``"log1p"`` takes logarithms of every node, ``"auto"`` of nodes that are nowhere negative."""

_WEEK = 7


class Inputs(NamedTuple):
    """A panel on the scale of the training panel, extended by the days to forecast.

    Attributes
    ----------
    values : numpy.ndarray
        Scaled series (shop, time, node); 0, the training mean, where a value is missing.
    observed : numpy.ndarray
        Which values are observed (shop, time, node).
    context : numpy.ndarray
        Scaled context (shop, time + horizon, variable).
    weekday : numpy.ndarray
        Day of the week (time + horizon,), 0 for Monday; without dates, days from the first on
        modulo 7.
    """

    values: Float[NDArray, "shop time node"]
    observed: Bool[NDArray, "shop time node"]
    context: Float[NDArray, "shop days variable"]
    weekday: Int[NDArray, " days"]

    @property
    def length(self) -> int:
        """Number of days of history."""
        return self.values.shape[1]


class PanelScale(NamedTuple):
    r"""Scale of every series and context variable, from a training panel.

    A series becomes :math:`(g(x) - m) / s` with its training mean :math:`m` and standard deviation
    :math:`s`, where :math:`g(x) = \log(1 + \max(x, 0) / u)` with its mean absolute value :math:`u`,
    or :math:`g(x) = x`. The units of a series thus never matter. A constant series has
    :math:`s = 1`.

    Attributes
    ----------
    log : numpy.ndarray
        Which nodes are on a logarithmic scale (node,).
    unit, center, spread : numpy.ndarray
        :math:`u`, :math:`m` and :math:`s` (shop, node).
    low, high : numpy.ndarray
        Smallest and largest scaled training value (shop, node).
    context_center, context_spread : numpy.ndarray
        Means and standard deviations (variable,) over shops and days.
    """

    log: NDArray
    unit: NDArray
    center: NDArray
    spread: NDArray
    low: NDArray
    high: NDArray
    context_center: NDArray
    context_spread: NDArray

    @classmethod
    def of(cls, panel: ShopPanel, transform: Transform = "auto") -> PanelScale:
        """Return the scale of a training panel."""
        check_transform(transform)
        there = panel.observed
        filled = np.where(there, panel.series, 0.0)
        negative: NDArray = np.asarray((filled < 0).any((0, 1)))
        log = {
            "auto": np.logical_not(negative),
            "standard": negative & False,
            "log1p": negative | True,
        }[transform]
        unit = _mean(np.abs(filled), there)
        unit = np.where(unit > 0, unit, 1.0)
        values = np.where(log, np.log1p(np.maximum(filled, 0.0) / unit[:, None]), filled)
        center = _mean(values, there)
        deviation = np.where(there, values - center[:, None], 0.0)
        spread = np.sqrt(_mean(deviation**2, there))
        # Rounding leaves a constant series with a standard deviation of about 1e-16 of its size.
        spread = np.where(spread > 1e-9 * np.maximum(np.abs(center), 1e-300), spread, 1.0)
        scaled = deviation / spread[:, None]
        context_spread = panel.context.std((0, 1))
        return cls(
            log,
            unit,
            center,
            spread,
            scaled.min(1),
            scaled.max(1),
            panel.context.mean((0, 1)),
            np.where(context_spread > 0, context_spread, 1.0),
        )

    def inputs(self, panel: ShopPanel, context_future: NDArray | None = None) -> Inputs:
        """Return a panel on this scale, its context extended by that of the days to forecast."""
        there = panel.observed
        series = np.where(there, panel.series, 0.0)
        logs = np.log1p(np.maximum(series, 0.0) / self.unit[:, None])
        scaled = (np.where(self.log, logs, series) - self.center[:, None]) / self.spread[:, None]
        context, ahead = panel.context, 0
        if context_future is not None:
            context, ahead = np.concatenate([context, context_future], 1), context_future.shape[1]
        context = (context - self.context_center) / self.context_spread
        days = weekdays(panel, ahead)
        return Inputs(np.where(there, scaled, 0.0), there, context, days)

    def target(self, scaled: Float[NDArray, "draw shop horizon"]) -> NDArray:
        """Return scaled values of the target in its units, at least zero on a logarithmic scale."""
        place = (slice(None), -1)
        values = scaled * self.spread[place][:, None] + self.center[place][:, None]
        if not self.log[-1]:
            return values
        return np.maximum(np.expm1(values), 0.0) * self.unit[place][:, None]


def check_transform(transform: str) -> None:
    """Raise :class:`DataError` if ``transform`` is unknown."""
    known = get_args(Transform)
    if transform not in known:
        message = f"transform should be one of {', '.join(known)}, but is {transform!r}."
        finding = Finding("forecast", "error", message, "Choose one of these.", where="transform")
        refuse([finding], "the settings of the forecaster")


def requested(
    labels: ShopPanel,
    scale: PanelScale,
    history: ShopPanel,
    horizon: int,
    context_future: NDArray | None,
) -> Inputs:
    """Check a request for a forecast; return the history with the context of the days ahead."""
    check_request(labels, history, horizon, context_future)
    return scale.inputs(history, future_context(history, horizon, context_future))


def future_context(panel: ShopPanel, horizon: int, context_future: NDArray | None) -> NDArray:
    """Return the given context, or an empty one (shop, horizon, 0) if there is none."""
    if context_future is None:
        return np.zeros((panel.num_shops, horizon, 0))
    return np.asarray(context_future, dtype=float)


def weekdays(panel: ShopPanel, ahead: int) -> Int[NDArray, " days"]:
    """Return the day of the week of every day of a panel and of ``ahead`` days after it."""
    if panel.dates is None:
        return np.arange(panel.length + ahead) % _WEEK
    return np.asarray(dates_ahead(panel.dates, ahead).day_of_week)


def dates_ahead(dates: pd.DatetimeIndex, ahead: int) -> pd.DatetimeIndex:
    """Return dates and ``ahead`` more at their last spacing (daily after a single date)."""
    own = dates.tz_localize(None).to_numpy()
    step = own[-1] - own[-2] if len(own) > 1 else np.timedelta64(1, "D")
    return pd.DatetimeIndex(np.concatenate([own, own[-1] + step * np.arange(1, ahead + 1)]))


def _mean(values: NDArray, there: NDArray) -> NDArray:
    """Return the mean over observed days (shop, node); 0 where there are none."""
    return np.sum(np.where(there, values, 0.0), 1) / np.maximum(there.sum(1), 1)
