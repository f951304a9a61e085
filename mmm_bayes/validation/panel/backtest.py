"""Compare forecasters on the last part of a panel, from rolling origins.

A forecaster learns from and reads only the days before those it forecasts, plus the context of the
days to forecast.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import jax
import numpy as np
import pandas as pd

from mmm_bayes._typing import RngKey
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.streams import as_key
from mmm_bayes.validation.panel.forecast import (
    FittedForecaster,
    Forecast,
    Forecaster,
    refuse,
)
from mmm_bayes.validation.panel.scores import step_metrics, target_scale

if TYPE_CHECKING:
    from mmm_bayes.causal_mmm import CausalMMM

NDArray = np.ndarray[Any, Any]

_LEAST_TRAINING = 8  # days before the first origin: a week and a day


@final
@dataclass(frozen=True, eq=False)
class OriginForecast:
    """Forecast of one method from one origin.

    Attributes
    ----------
    method : str
        Name of the method.
    origin : int
        First day forecast, counted from the start of the panel.
    forecast : Forecast
        Forecast of the days from ``origin`` on.
    fit_seconds, forecast_seconds : float
        Wall-clock seconds; those of a fit count at the origin that it was made for, and are 0 at
        origins that use an earlier one.
    """

    method: str
    origin: int
    forecast: Forecast
    fit_seconds: float
    forecast_seconds: float


@named_arguments
def backtest(
    rng_key: RngKey,
    panel: ShopPanel,
    forecasters: Mapping[str, Forecaster | CausalMMM],
    *,
    horizons: Sequence[int] = (1, 7, 30),
    origins: int | Sequence[int] = 3,
    refit: bool = False,
) -> pd.DataFrame:
    r"""Forecast the target from several origins and score every forecast.

    Errors are standardised: :math:`s` is the standard deviation of the shop's target before the
    first origin. The error at horizon :math:`M` is a mean over steps,

    .. math:: \frac1M \sum_{h=1}^{M} \Big(\frac{y_{T+h} - \hat y_{T+h}}{s}\Big)^2,

    over the steps whose target is observed. (Gong et al. (2024) write MSE; their figures for
    :math:`M = 1, 7, 30` grow like :math:`M`, as sums over steps would. :func:`scores.mse_table`
    gives the sum, too.)

    Parameters
    ----------
    rng_key : jax.Array or int
        Key of fits and simulated paths, split by method and origin: adding a method does not change
        the results of the others.
    panel : ShopPanel
        The whole panel, with the days to forecast.
    forecasters : mapping
        Methods by name: forecasters
        (:class:`~mmm_bayes.validation.panel.forecast.Forecaster`) such as
        :class:`~mmm_bayes.validation.panel.naive.SeasonalNaive`, or a
        :class:`~mmm_bayes.CausalMMM`, trained or not, whose settings are then trained on the days
        before the origin.
    horizons : sequence of int
        Numbers of steps to score. The largest of them is forecast.
    origins : int or sequence of int
        First days to forecast. A number stands for that many non-overlapping stretches of the
        largest horizon at the end of the panel.
    refit : bool
        Whether to fit at every origin, on all days before it; otherwise each method is fitted once,
        on the days before the first origin, and reads the later days as history.

    Returns
    -------
    pandas.DataFrame
        One row per ``method``, ``shop``, ``origin`` and ``horizon`` with an observed target, with
        means over its steps of

        ``squared_error``
            standardised squared error of the mean;
        ``squared_error_units``
            the same in squared units of the target;
        ``coverage``
            whether the target lies within the 90% interval;
        ``width``
            standardised width of this interval;
        ``pinball``
            standardised quantile loss, averaged over the levels;
        ``crps``
            standardised continuous ranked probability score, as in :func:`scores.crps`;
        ``steps``
            number of observed steps (a count, not a mean);

        and ``fit_seconds`` and ``forecast_seconds``, over all shops: the same in every row of a
        method and origin.

    Raises
    ------
    DataError
        For origins and horizons that do not fit the panel, with every reason.

    Examples
    --------
    >>> import jax, numpy as np
    >>> import mmm_bayes as mb
    >>> from mmm_bayes.validation.panel.naive import SeasonalNaive
    >>> day = np.arange(70)
    >>> target = np.stack([5 + day % 7, 50 - day % 7]).astype(float)[..., None]
    >>> panel = mb.ShopPanel(target, ("sales",), ("a", "b"), np.zeros((2, 70, 0)))
    >>> table = mb.backtest(jax.random.key(0), panel, {"week": SeasonalNaive()}, horizons=(1, 7))
    >>> float(table["squared_error"].max())
    0.0
    """
    forecasts = rolling_forecasts(
        rng_key, panel, forecasters, horizon=max(horizons, default=0), origins=origins, refit=refit
    )
    results = list(forecasts)
    first = min((result.origin for result in results), default=panel.length)
    scale = target_scale(panel.window(0, first))
    rows = [_rows(panel, result, horizons, scale) for result in results]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def rolling_forecasts(
    rng_key: RngKey,
    panel: ShopPanel,
    forecasters: Mapping[str, Forecaster | CausalMMM],
    *,
    horizon: int,
    origins: int | Sequence[int] = 3,
    refit: bool = False,
) -> Iterator[OriginForecast]:
    """Forecast ``horizon`` days with every method from every origin; arguments as in `backtest`."""
    places = origin_places(panel.length, horizon, origins)
    for name, given in forecasters.items():
        forecaster = _as_forecaster(given)
        method_key = jax.random.fold_in(as_key(rng_key), _number(name))
        fitted: FittedForecaster | None = None
        for origin in places:
            fit_key, path_key = jax.random.split(jax.random.fold_in(method_key, origin))
            history = panel.window(0, origin)
            learning = 0.0
            if fitted is None or refit:
                began = time.perf_counter()
                fitted = forecaster.fit(fit_key, history)
                learning = time.perf_counter() - began
            began = time.perf_counter()
            forecast = fitted.forecast(
                panel_history=history,
                horizon=horizon,
                context_future=panel.context[:, origin : origin + horizon],
                rng_key=path_key,
            )
            yield OriginForecast(name, origin, forecast, learning, time.perf_counter() - began)


def _as_forecaster(given: Forecaster | CausalMMM) -> Forecaster:
    from mmm_bayes.causal_mmm import CausalMMM
    from mmm_bayes.validation.panel.causal_forecaster import CausalForecaster

    return CausalForecaster(given.spec) if isinstance(given, CausalMMM) else given


def origin_places(length: int, horizon: int, origins: int | Sequence[int]) -> tuple[int, ...]:
    """Return the first days to forecast, in increasing order.

    Raises
    ------
    DataError
        Where too few days come before one, or fewer than ``horizon`` after it.
    """
    if isinstance(origins, int | np.integer):
        places = [length - horizon * back for back in range(int(origins), 0, -1)]
    else:
        places = sorted({int(origin) for origin in origins})
    findings = []
    if horizon < 1:
        message = f"horizons should be whole numbers from 1 on; the largest is {horizon}."
        findings.append(Finding("backtest", "error", message, "Give (7,).", where="horizons"))
    if not places:
        findings.append(
            Finding("backtest", "error", "There are no origins.", "Give some.", where="origins")
        )
    for origin in places:
        if origin < _LEAST_TRAINING or origin + horizon > length:
            message = (
                f"origin {origin} should have at least {_LEAST_TRAINING} days before it and "
                f"{horizon} days from it on, but the panel has {length} days."
            )
            remedy = "Use fewer or other origins, or shorter horizons."
            findings.append(Finding("backtest", "error", message, remedy, where="origins"))
    refuse(findings, "the backtest")
    return tuple(places)


def _rows(
    panel: ShopPanel, result: OriginForecast, horizons: Sequence[int], scale: NDArray
) -> pd.DataFrame:
    """Return the rows of one forecast at several horizons."""
    longest = result.forecast.mean.shape[1]
    truth = panel.series[:, result.origin : result.origin + longest, -1]
    metrics = step_metrics(result.forecast, truth, scale)
    frames = []
    for horizon in horizons:
        there = np.isfinite(truth[:, :horizon])
        steps = there.sum(1)
        kept = steps > 0
        columns: dict[str, Any] = {
            "method": result.method,
            "shop": np.asarray(panel.shops, dtype=object)[kept],
            "origin": result.origin,
            "horizon": horizon,
        }
        for name, values in metrics.items():
            total = np.where(there, values[:, :horizon], 0.0).sum(1)
            columns[name] = total[kept] / steps[kept]
        columns |= {
            "steps": steps[kept],
            "fit_seconds": result.fit_seconds,
            "forecast_seconds": result.forecast_seconds,
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _number(name: str) -> int:
    """Return a number below 2**31 for a name, the same in every process."""
    number = 0
    for byte in name.encode():
        number = (number * 257 + byte) % 2_147_483_647
    return number
