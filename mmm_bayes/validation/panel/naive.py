"""Naive forecasts: repeat the last value, or the value of the same day one period ago.

A method that does not beat them has learned nothing about the days ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float

from mmm_bayes._typing import RngKey
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.validation.panel.forecast import (
    LEVELS,
    Forecast,
    check_settings,
    check_training,
)
from mmm_bayes.validation.panel.inputs import (
    Inputs,
    PanelScale,
    Transform,
    check_transform,
    requested,
)

NDArray = np.ndarray[Any, Any]

# With this many differences of a shop, its own 5% quantile rests on two values or more.
_OWN_FROM = 40


@final
@dataclass(frozen=True)
class SeasonalNaive:
    r"""Repeat the last period: :math:`\hat y_{T+h} = y_{T+h-kp}`, :math:`k = \lceil h/p \rceil`.

    Direct for every horizon. A missing value is taken from the period before. Quantiles add those
    of the training differences :math:`y_t - y_{t-kp}` (on the scale of the transform), of the shop
    where it has 40 of them, otherwise of all shops; for a :math:`k` too long for the training panel
    those of the longest possible :math:`k'`, times :math:`\sqrt{k / k'}` as for a random walk.

    Attributes
    ----------
    period : int
        Days :math:`p` after which the series repeats; 1 for the last value.
    transform : {"auto", "standard", "log1p"}
        Scale on which differences are taken.
    """

    period: int = 7
    transform: Transform = "auto"

    def __post_init__(self) -> None:
        check_settings(self, {"period": (1, 10_000)})
        check_transform(self.transform)

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedNaive:
        """Keep the scale and the differences of a panel; nothing is random."""
        check_training(panel, self.period + 1)
        scale = PanelScale.of(panel, self.transform)
        return FittedNaive(self.period, panel.window(0, 1), scale, scale.inputs(panel))


@final
@dataclass(frozen=True)
class LastValue:
    """Repeat the last observed value: :class:`SeasonalNaive` of period 1.

    Attributes
    ----------
    transform : {"auto", "standard", "log1p"}
        Scale on which differences are taken.
    """

    transform: Transform = "auto"

    def __post_init__(self) -> None:
        check_transform(self.transform)

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedNaive:
        """Keep the scale and the differences of a panel; nothing is random."""
        return SeasonalNaive(1, self.transform).fit(rng_key, panel)


@final
@dataclass(frozen=True, eq=False)
class FittedNaive:
    """A naive forecaster with the differences of its training panel."""

    period: int
    labels: ShopPanel
    scale: PanelScale
    training: Inputs

    def forecast(
        self,
        rng_key: RngKey,
        panel_history: ShopPanel,
        horizon: int,
        context_future: NDArray | None,
    ) -> Forecast:
        """Forecast as in :meth:`FittedForecaster.forecast`; context and key are not used."""
        history = requested(self.labels, self.scale, panel_history, horizon, context_future)
        last = last_period(history.values[..., -1], history.observed[..., -1], self.period)
        steps = range(horizon)
        point = last[:, np.arange(horizon) % self.period]
        spread = np.stack([self._differences(step // self.period + 1) for step in steps], 1)
        quantiles = self.scale.target(np.moveaxis(point[..., None] + spread, -1, 0))
        return Forecast(self.scale.target(point[None])[0], np.moveaxis(quantiles, 0, -1))

    def _differences(self, periods: int) -> Float[NDArray, "shop level"]:
        """Return quantiles of the difference over a number of periods."""
        target, there = self.training.values[..., -1], self.training.observed[..., -1]
        longest = max(1, min(periods, (self.training.length - 1) // (2 * self.period)))
        lag = longest * self.period
        both = there[:, lag:] & there[:, :-lag]
        difference = np.where(both, target[:, lag:] - target[:, :-lag], np.nan)
        pooled = np.quantile(difference[both], LEVELS) if both.any() else np.zeros(len(LEVELS))
        result = np.tile(pooled, (len(target), 1))
        for shop in np.flatnonzero(both.sum(1) >= _OWN_FROM):
            result[shop] = np.quantile(difference[shop, both[shop]], LEVELS)
        return result * np.sqrt(periods / longest)


def last_period(
    values: Float[NDArray, "shop time"], there: NDArray, period: int
) -> Float[NDArray, "shop period"]:
    """Return the last observed value of each day of the period, in the order of the days ahead.

    A day that is never observed gets the last observed value of the shop, or 0.
    """
    shops, times = values.shape
    missing = -times % period
    padded = np.pad(np.where(there, values, np.nan), ((0, 0), (missing, 0)), constant_values=np.nan)
    by_day = padded.reshape(shops, -1, period)
    found = np.isfinite(by_day)
    latest = by_day.shape[1] - 1 - found[:, ::-1].argmax(1)
    result = np.take_along_axis(by_day, latest[:, None], 1)[:, 0]
    end = times - 1 - there[:, ::-1].argmax(1)
    fallback = np.where(there.any(1), values[np.arange(shops), end], 0.0)
    return np.where(found.any(1), result, fallback[:, None])
