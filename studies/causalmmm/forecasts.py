"""One run on forecasts: a panel in the shape of an online platform's, and one forecaster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

import jax
import numpy as np

from mmm_bayes import simulate
from mmm_bayes.causal_mmm import CausalMMM
from mmm_bayes.validation.panel.backtest import backtest
from mmm_bayes.validation.panel.forecast import Forecast, Forecaster
from mmm_bayes.validation.panel.scores import mse_table
from studies.causalmmm.methods import VARIANTS, method_key

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey
    from mmm_bayes.data.panel import ShopPanel
    from studies.causalmmm.settings import ForecastRun
    from studies.runs import Row

NDArray = np.ndarray[Any, Any]

# Spends and sales over orders of magnitude, and a week of memory.
_AIR: dict[str, Any] = {"logarithm": True, "lags": 7}
_SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {**VARIANTS, "cm_full": {"ablation": "full"}}
)


@final
@dataclass(frozen=True)
class CausalForecaster:
    """CausalMMM as a forecaster of the target.

    Attributes
    ----------
    settings : tuple of (str, value)
        Settings of :class:`~mmm_bayes.causal_mmm.CausalMMM`.
    draws : int
        Paths drawn.
    """

    settings: tuple[tuple[str, Any], ...] = ()
    draws: int = 200

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedCausalForecaster:
        """Train on all days of a panel."""
        return FittedCausalForecaster(
            CausalMMM(**dict(self.settings)).fit(rng_key, panel), self.draws
        )


@final
@dataclass(frozen=True)
class FittedCausalForecaster:
    """A trained CausalMMM."""

    model: CausalMMM
    draws: int

    def forecast(
        self,
        panel_history: ShopPanel,
        horizon: int,
        context_future: NDArray | None,
        rng_key: RngKey,
    ) -> Forecast:
        """Forecast along paths of all nodes, from draws of each shop's graph given its history."""
        paths = self.model.forecast_draws(
            horizon, panel_history, context=context_future, num_draws=self.draws, rng_key=rng_key
        )
        return Forecast.from_draws(paths.values[..., -1])


def forecaster_of(method: str, options: Any = ()) -> Forecaster:
    """Return the forecaster of a name."""
    from mmm_bayes.validation.panel.naive import LastValue, SeasonalNaive
    from studies.forecasting.boosted_lags import BoostedLags
    from studies.forecasting.btvc import BTVC
    from studies.forecasting.lstm import LSTM
    from studies.forecasting.wide_deep import WideDeep

    if method in _SETTINGS:
        own = {**_AIR, **_SETTINGS[method], **dict(options)}
        return CausalForecaster(tuple(own.items()))
    forecasters: dict[str, Forecaster] = {
        "seasonal_naive": SeasonalNaive(),
        "last_value": LastValue(),
        "lstm": LSTM(),
        "wide_deep": WideDeep(),
        "btvc": BTVC(),
        "boosted_lags": BoostedLags(),
    }
    return forecasters[method]


def evaluate_forecasts(rng_key: RngKey, settings: ForecastRun) -> list[Row]:
    """Rows of one run: one for each horizon."""
    key_data, key_methods = jax.random.split(rng_key)
    panel = simulate.air_shops(key_data, num_shops=settings.shops, num_dates=settings.length)
    forecaster = forecaster_of(settings.method, settings.options)
    table = backtest(
        method_key(key_methods, settings.method),
        panel,
        {settings.method: forecaster},
        horizons=settings.horizons,
        origins=settings.origins,
    )
    # Seconds stand in every row of an origin; what a fit took, in those of the first.
    seconds = table.groupby("origin")[["fit_seconds", "forecast_seconds"]].first().sum()
    means = mse_table(table).reset_index().to_dict("records")
    return [
        {str(name): value for name, value in (row | seconds.to_dict()).items()} for row in means
    ]
