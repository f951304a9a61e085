"""Boosted trees on lags: one model of all shops and horizons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Float

from mmm_bayes._typing import RngKey
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.streams import streams
from mmm_bayes.validation.panel.forecast import (
    Forecast,
    check_request,
    check_settings,
    check_training,
)
from mmm_bayes.validation.panel.inputs import (
    Inputs,
    PanelScale,
    Transform,
    check_transform,
    future_context,
)
from studies.forecasting.lagged import lags, rolling_mean, same_weekday

NDArray = np.ndarray[Any, Any]

_WINDOWS = (7, 28)  # days of rolling means
_WEEKS = 4  # values on the weekday of the day ahead
_POINTS = 100  # equally likely residuals kept a horizon
_NEAR = 2  # horizons on either side whose residuals are taken together
_PRIOR_ROWS = 28  # residuals for which the mean size over all shops stands in a shop's own


@final
@dataclass(frozen=True)
class BoostedLags:
    r"""XGBoost (Chen & Guestrin 2016) on lagged values, direct for every horizon.

    One model for all shops and horizons: a row is a shop, an origin :math:`t` and a horizon
    :math:`h`, its columns are the last ``target_lags`` values of the target, its values on the
    weekday of day :math:`t + h` in the last four weeks, rolling means over 7 and 28 days and last
    values of all nodes, weekday and context of that day, :math:`h` and the shop's number. It
    predicts the scaled target of day :math:`t + h` by squared error; missing values stay missing.

    The last ``validation_days`` decide on the number of trees and give residuals: their quantiles
    by horizon, in proportion to the size of a shop's own residuals, make the predictive
    distribution. Then all days are fitted with that number of trees. Days further ahead than
    ``horizon`` are refused; those the training panel is too short to show are predicted as the last
    horizon it shows, with their own weekday and context.

    Attributes
    ----------
    horizon : int
        Days ahead to learn.
    target_lags : int
        Lags of the target.
    trees : int
        Most trees.
    depth : int
        Greatest depth of a tree.
    learning_rate : float
        Shrinkage of each tree.
    rows : int
        Most training rows; a random part of them is taken where there are more.
    validation_days : int
        Days held out, at most a fifth of the panel.
    threads : int
        Threads of XGBoost.
    transform : {"auto", "standard", "log1p"}
        Scale of the series.
    """

    horizon: int = 30
    target_lags: int = 14
    trees: int = 400
    depth: int = 5
    learning_rate: float = 0.05
    rows: int = 100_000
    validation_days: int = 28
    threads: int = 1
    transform: Transform = "auto"

    def __post_init__(self) -> None:
        whole = ("horizon", "target_lags", "trees", "depth", "validation_days", "threads")
        check_settings(
            self,
            dict.fromkeys(whole, (1, 1_000_000))
            | {"learning_rate": (1e-4, 1.0), "rows": (100, 1e9)},
        )
        check_transform(self.transform)

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedBoostedLags:
        """Fit the trees.

        Raises
        ------
        ImportError
            Without XGBoost.
        """
        _xgboost()
        check_training(panel, 12)
        scale = PanelScale.of(panel, self.transform)
        inputs = scale.inputs(panel)
        held_out = max(1, min(self.validation_days, panel.length // 5))
        cut = panel.length - held_out
        first = max(1, min(self.target_lags, panel.length // 3)) - 1
        horizon = max(1, min(self.horizon, cut - 1 - first))
        random = streams(rng_key, ("rows", "trees"))
        rows = _all_rows(inputs, first, horizon)
        day = rows.end + rows.horizon
        settings = {
            "max_depth": self.depth,
            "learning_rate": self.learning_rate,
            "nthread": self.threads,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "min_child_weight": 5.0,
            "verbosity": 0,
            "seed": int(random["trees"].integers(2**31)),
        }

        def table(kept: NDArray) -> tuple[_Target, NDArray]:
            some = _sample(random["rows"], rows, kept, self.rows)
            return some, _columns(inputs, some, self.target_lags, 0)

        early, early_columns = table(day < cut)
        late, late_columns = table(day >= cut)
        truth = _truth(inputs, late)
        booster = _train(
            settings,
            early_columns,
            _truth(inputs, early),
            self.trees,
            (late_columns, truth),
        )
        best = booster.best_iteration + 1
        guess = booster.inplace_predict(late_columns, iteration_range=(0, best))
        residuals = _residuals(late, truth - guess, panel.num_shops, horizon)
        everything, columns = table(day < panel.length)
        booster = _train(settings, columns, _truth(inputs, everything), best)
        return FittedBoostedLags(panel.window(0, 1), scale, booster, self, horizon, residuals)


class _Target(NamedTuple):
    """Shop, origin and horizon of each row."""

    shop: NDArray
    end: NDArray
    horizon: NDArray


class _Residuals(NamedTuple):
    """Residuals in units of their size in a shop: equally likely ones (horizon, point)."""

    points: NDArray
    size: NDArray


@final
@dataclass(frozen=True, eq=False)
class FittedBoostedLags:
    """Fitted trees with their residuals and the scale of the training panel."""

    labels: ShopPanel
    scale: PanelScale
    booster: Any
    settings: BoostedLags
    trained_horizon: int
    residuals: _Residuals

    def forecast(
        self,
        rng_key: RngKey,
        panel_history: ShopPanel,
        horizon: int,
        context_future: NDArray | None,
    ) -> Forecast:
        """Forecast as :meth:`FittedForecaster.forecast` says; the key is not used.

        Raises
        ------
        ValueError
            For more days than ``settings.horizon``.
        """
        check_request(self.labels, panel_history, horizon, context_future)
        if horizon > self.settings.horizon:
            raise ValueError(
                f"The trees have learned {self.settings.horizon} days ahead, but {horizon} are "
                f"asked for: fit BoostedLags(horizon={horizon})."
            )
        context = future_context(panel_history, horizon, context_future)
        inputs = self.scale.inputs(panel_history, context)
        shop, ahead = np.divmod(np.arange(panel_history.num_shops * horizon), horizon)
        rows = _Target(shop, np.full(len(shop), panel_history.length - 1), ahead + 1)
        columns = _columns(inputs, rows, self.settings.target_lags, self.trained_horizon)
        mean = self.booster.inplace_predict(columns).reshape(-1, horizon).astype(float)
        known = np.minimum(np.arange(horizon), self.trained_horizon - 1)
        points = self.residuals.points[known].T[:, None]
        draws = mean + self.residuals.size[:, None] * points
        return Forecast.from_draws(self.scale.target(draws))


def _all_rows(inputs: Inputs, first: int, horizon: int) -> _Target:
    """Return every row whose target is observed."""
    shops, length = inputs.values.shape[:2]
    grid = np.meshgrid(
        np.arange(shops), np.arange(first, length - 1), np.arange(1, horizon + 1), indexing="ij"
    )
    shop, end, ahead = (axis.ravel() for axis in grid)
    kept = end + ahead < length
    shop, end, ahead = shop[kept], end[kept], ahead[kept]
    there = inputs.observed[shop, end + ahead, -1]
    return _Target(shop[there], end[there], ahead[there])


def _sample(random: np.random.Generator, rows: _Target, kept: NDArray, most: int) -> _Target:
    at = np.flatnonzero(kept)
    if len(at) > most:
        at = np.sort(random.choice(at, most, replace=False))
    return _Target(*(part[at] for part in rows))


def _truth(inputs: Inputs, rows: _Target) -> NDArray:
    return inputs.values[rows.shop, rows.end + rows.horizon, -1]


def _columns(
    inputs: Inputs, rows: _Target, count: int, last_horizon: int
) -> Float[NDArray, "row column"]:
    """Return the columns of each row; trees see horizons up to ``last_horizon`` (0: none)."""
    values = np.where(inputs.observed, inputs.values, np.nan)
    ends, at = np.unique(rows.end, return_inverse=True)
    by_origin = [
        lags(values[..., -1], ends, count),
        values[:, ends, :-1],
        *(rolling_mean(values, ends, window) for window in _WINDOWS),
    ]
    origin = np.concatenate(by_origin, -1).astype(np.float32)[rows.shop, at]
    day = rows.end + rows.horizon
    horizon = np.minimum(rows.horizon, last_horizon) if last_horizon else rows.horizon
    own = np.column_stack(
        [
            same_weekday(values[..., -1], rows.end, rows.horizon, rows.shop, _WEEKS),
            inputs.weekday[day],
            horizon,
            rows.shop,
            inputs.context[rows.shop, day],
        ]
    )
    return np.concatenate([origin, own.astype(np.float32)], -1)


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise ImportError(
            'Boosted trees need XGBoost: pip install "mmm-bayes[augmentation]"'
        ) from error
    return xgboost


def _train(
    settings: dict[str, Any],
    columns: NDArray,
    truth: NDArray,
    trees: int,
    validation: tuple[NDArray, NDArray] | None = None,
) -> Any:
    """Train boosted trees, stopped early if there is a validation table."""
    xgboost = _xgboost()
    threads = settings["nthread"]
    matrix = xgboost.QuantileDMatrix(columns, label=truth, nthread=threads)
    if validation is None:
        return xgboost.train(settings, matrix, num_boost_round=trees)
    held_out = xgboost.QuantileDMatrix(
        validation[0], label=validation[1], ref=matrix, nthread=threads
    )
    return xgboost.train(
        settings,
        matrix,
        num_boost_round=trees,
        evals=[(held_out, "validation")],
        early_stopping_rounds=25,
        verbose_eval=False,
    )


def _residuals(rows: _Target, residual: NDArray, shops: int, horizon: int) -> _Residuals:
    """Return residuals by horizon, and their size by shop, shrunk towards that of all shops."""
    squares = np.bincount(rows.shop, residual**2, minlength=shops)
    count = np.bincount(rows.shop, minlength=shops)
    everywhere = max(float(np.mean(residual**2)), 1e-12)
    size = np.sqrt((squares + _PRIOR_ROWS * everywhere) / (count + _PRIOR_ROWS))
    scaled = residual / size[rows.shop]
    probabilities = (np.arange(_POINTS) + 0.5) / _POINTS
    points = np.empty((horizon, _POINTS))
    for step in range(1, horizon + 1):
        near = np.abs(rows.horizon - step) <= _NEAR
        chosen = scaled[near] if near.sum() >= _POINTS else scaled
        points[step - 1] = np.quantile(chosen, probabilities)
    return _Residuals(points, size)
