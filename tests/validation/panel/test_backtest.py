"""The backtest: origins, what forecasters see, and its table by loops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import pytest

import mmm_bayes as mb
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.validation.panel.backtest import (
    _as_forecaster,
    backtest,
    origin_places,
    rolling_forecasts,
)
from mmm_bayes.validation.panel.causal_forecaster import CausalForecaster
from mmm_bayes.validation.panel.forecast import Forecast
from mmm_bayes.validation.panel.naive import LastValue, SeasonalNaive
from tests.validation.panel import panels

KEY = jax.random.key(0)


@dataclass(frozen=True)
class Witness:
    """Forecasts a number made of everything that it is shown."""

    def fit(self, rng_key: Any, panel: ShopPanel) -> FittedWitness:
        return FittedWitness(panel.length, float(panel.series.sum() + panel.context.sum()))


@dataclass(frozen=True)
class FittedWitness:
    trained: int
    learned: float

    def forecast(
        self, panel_history: ShopPanel, horizon: int, context_future: Any, rng_key: Any
    ) -> Forecast:
        seen = self.learned + panel_history.series.sum() + panel_history.context.sum()
        shape = (panel_history.num_shops, horizon)
        mean = np.full(shape, seen + context_future.sum())
        mean[:, 0] = self.trained
        return Forecast(mean, np.repeat(mean[..., None], 19, -1))


def altered(panel: ShopPanel, series_from: int, context_from: int) -> ShopPanel:
    """The panel with other values from some days on."""
    series, context = panel.series.copy(), panel.context.copy()
    series[:, series_from:] += 1000.0
    context[:, context_from:] += 10.0
    return replace(panel, series=series, context=context)


def test_nothing_after_the_origin_is_seen_but_known_context() -> None:
    panel, _ = panels.seasonal()
    horizon, origin = 7, 200

    def mean(panel: ShopPanel) -> Any:
        (found,) = rolling_forecasts(
            KEY, panel, {"w": Witness()}, horizon=horizon, origins=[origin]
        )
        return found.forecast.mean

    kept = mean(panel)
    np.testing.assert_array_equal(mean(altered(panel, origin, origin + horizon)), kept)
    # The witness would have noticed.
    assert (mean(altered(panel, origin - 1, origin + horizon)) != kept).any()
    assert (mean(altered(panel, origin, origin + horizon - 1)) != kept).any()


@pytest.mark.parametrize("refit", [False, True])
def test_training_ends_before_the_first_origin_unless_refitted(refit: bool) -> None:
    panel, _ = panels.seasonal()
    found = rolling_forecasts(
        KEY, panel, {"w": Witness()}, horizon=7, origins=(200, 190), refit=refit
    )
    trained = {result.origin: result.forecast.mean[0, 0] for result in found}
    assert trained == {190: 190, 200: 200 if refit else 190}


def test_the_table_by_loops() -> None:
    panel, _ = panels.seasonal()
    panel.series[2, 226:, -1] = np.nan  # this shop ends within the second stretch
    panel.series[4, 210, -1] = np.nan
    table = backtest(KEY, panel, {"week": SeasonalNaive()}, horizons=(1, 14), origins=2)
    fitted = SeasonalNaive().fit(KEY, panel.window(0, 212))
    scale = np.nanstd(panel.series[:, :212, -1], axis=1)
    expected = {}
    for origin in (212, 226):
        context = panel.context[:, origin : origin + 14]
        forecast = fitted.forecast(KEY, panel.window(0, origin), 14, context)
        low, high = forecast.interval()
        for shop in range(panels.SHOPS):
            for horizon in (1, 14):
                errors, within = [], []
                for step in range(horizon):
                    truth = panel.series[shop, origin + step, -1]
                    if np.isfinite(truth):
                        errors.append((truth - forecast.mean[shop, step]) / scale[shop])
                        within.append(low[shop, step] <= truth <= high[shop, step])
                if errors:
                    expected[origin, panel.shops[shop], horizon] = (
                        np.mean(np.square(errors)),
                        np.mean(within),
                        len(errors),
                    )
    found = table.set_index(["origin", "shop", "horizon"])[["squared_error", "coverage", "steps"]]
    assert set(found.index) == set(expected)
    for place, values in expected.items():
        np.testing.assert_allclose(found.loc[place].to_numpy(float), values)
    assert (226, "shop 2", 14) not in expected


def test_methods_do_not_disturb_each_other() -> None:
    panel, _ = panels.seasonal()
    alone = backtest(KEY, panel, {"last": LastValue()}, horizons=(7,))
    both = backtest(KEY, panel, {"week": SeasonalNaive(), "last": LastValue()}, horizons=(7,))
    timed = ["fit_seconds", "forecast_seconds"]
    rest = both[both["method"] == "last"].reset_index(drop=True)
    assert rest.drop(columns=timed).equals(alone.drop(columns=timed))


def test_origins() -> None:
    assert origin_places(100, 30, 3) == (10, 40, 70)
    assert origin_places(100, 7, [90, 50]) == (50, 90)
    with pytest.raises(DataError) as error:
        origin_places(100, 30, [3, 60, 80])
    assert len(error.value.findings) == 2
    with pytest.raises(DataError, match="horizons should be"):
        origin_places(100, 0, 1)


def test_a_causal_mmm_stands_for_a_forecaster_with_its_settings() -> None:
    model = mb.CausalMMM(lags=2, logarithm=True)
    assert _as_forecaster(model) == CausalForecaster(mb.CausalMMMSpec(lags=2, logarithm=True))
    assert _as_forecaster(LastValue()) == LastValue()


@pytest.mark.slow
def test_a_trained_causal_mmm_is_trained_again_before_the_origin() -> None:
    panel = mb.simulate.shops(0, num_shops=3, num_channels=2, num_dates=60)
    settings: dict[str, Any] = {"lags": 2, "epochs": 1, "rounds": 0, "basis": ("saturating",)}
    trained = mb.CausalMMM(**settings, hidden=8).fit(1, panel)
    before = trained.edge_probabilities(refine=False)
    table = mb.backtest(0, panel, {"cm": trained}, horizons=(1, 5), origins=[50])
    assert len(table) == 3 * 2
    assert np.isfinite(table["squared_error"]).all()
    np.testing.assert_array_equal(trained.edge_probabilities(refine=False), before)


def test_the_number_of_paths_is_checked() -> None:
    with pytest.raises(DataError, match="num_draws should be from 2"):
        CausalForecaster(num_draws=0)
