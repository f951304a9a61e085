"""CausalMMM as a forecaster, so that a backtest can compare it with others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mmm_bayes.causal_mmm import CausalMMM, CausalMMMSpec
from mmm_bayes.validation.panel.forecast import Forecast, check_settings

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey
    from mmm_bayes.data.panel import ShopPanel

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class CausalForecaster:
    """Forecast the target with a :class:`~mmm_bayes.CausalMMM` of given settings.

    A backtest trains it again on the days before each origin; a model that was trained on the whole
    panel is not reused, because it has seen the days to forecast.

    Attributes
    ----------
    spec : CausalMMMSpec
        Settings of the model (:attr:`mmm_bayes.CausalMMM.spec`).
    num_draws : int
        Number of paths drawn per forecast.
    """

    spec: CausalMMMSpec = field(default_factory=CausalMMMSpec)
    num_draws: int = 200

    def __post_init__(self) -> None:
        check_settings(self, {"num_draws": (2, 1_000_000)})

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedCausalForecaster:
        """Train on all days of a panel."""
        model = CausalMMM.from_spec(self.spec)
        return FittedCausalForecaster(model.fit(rng_key, panel), self.num_draws)


@final
@dataclass(frozen=True)
class FittedCausalForecaster:
    """A trained CausalMMM that forecasts the target of each shop.

    Attributes
    ----------
    model : CausalMMM
        The trained model.
    num_draws : int
        Number of paths drawn per forecast.
    """

    model: CausalMMM
    num_draws: int = 200

    def forecast(
        self,
        rng_key: RngKey,
        panel_history: ShopPanel,
        horizon: int,
        context_future: NDArray | None,
    ) -> Forecast:
        """Forecast along paths of all nodes, from draws of each shop's graph given its history."""
        paths = self.model.forecast_draws(
            rng_key,
            horizon,
            panel_history,
            context=context_future,
            num_draws=self.num_draws,
        )
        return Forecast.from_draws(paths.values[..., -1])
