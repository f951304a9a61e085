"""One run on forecasts: a panel in the shape of an online platform's, and one forecaster."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax

from mmm_bayes import simulate
from mmm_bayes.causal_mmm import CausalMMMSpec
from mmm_bayes.validation.panel.backtest import backtest
from mmm_bayes.validation.panel.causal_forecaster import CausalForecaster
from mmm_bayes.validation.panel.forecast import Forecaster
from mmm_bayes.validation.panel.scores import mse_table
from studies.causalmmm.methods import VARIANTS, method_key

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey
    from studies.causalmmm.settings import ForecastRun
    from studies.runs import Row

# Spend and sales range over orders of magnitude, and a week of memory is needed.
_AIR: dict[str, Any] = {"logarithm": True, "lags": 7}
_SETTINGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {**VARIANTS, "cm_full": {"ablation": "full"}}
)


def forecaster_of(method: str, options: Any = ()) -> Forecaster:
    """Return the forecaster of a name."""
    from mmm_bayes.validation.panel.naive import LastValue, SeasonalNaive
    from studies.forecasting.boosted_lags import BoostedLags
    from studies.forecasting.btvc import BTVC
    from studies.forecasting.lstm import LSTM
    from studies.forecasting.wide_deep import WideDeep

    if method in _SETTINGS:
        own = {**_AIR, **_SETTINGS[method], **dict(options)}
        return CausalForecaster(CausalMMMSpec(**own))
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
    """Return the rows of one run, one per horizon."""
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
