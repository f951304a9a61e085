"""Wide & Deep: a linear model of lags and crossed features, plus a network on embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mmm_bayes._typing import RngKey
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.validation.panel.forecast import (
    Forecast,
    check_request,
    check_settings,
    check_training,
)
from mmm_bayes.validation.panel.inputs import (
    PanelScale,
    Transform,
    check_transform,
    future_context,
)
from studies.forecasting.training import LEAST_LOG_SD, MOST_LOG_SD, gaussian_loss, train
from studies.forecasting.wide_deep_rows import WideDeepRows, wide_deep_rows

NDArray = np.ndarray[Any, Any]

_EMBEDDING = 6
_DRAWS = 200  # equally likely points of the predictive distribution


@final
@dataclass(frozen=True)
class WideDeep:
    r"""Wide & Deep (Cheng et al. 2016) with a head for every horizon: direct forecasts.

    A row is a shop and an origin :math:`t`; from it the target of each day :math:`t + h` is
    predicted at once, normal on the scale of the series. The mean is the sum of

    * the wide part, linear in the last ``target_lags`` values of the target (coefficients of their
      own for each :math:`h`), the context of the day and the crossed features
      (shop × weekday) and (horizon × weekday);
    * the deep part: a network reads lags and rolling means of all nodes, recent context and an
      embedding of the shop, and a second one joins this with the day's context and with embeddings
      of weekday and horizon; it gives the standard deviation as well.

    Both parts are trained together by AdamW (the original: FTRL with an L1 penalty, and AdaGrad);
    the last ``validation_days`` only decide when to stop, and standard deviations are then scaled
    so that the 90% intervals hold there. Days further ahead than ``horizon`` are refused; those
    that the training panel is too short to show take the head of the last one it shows.

    Attributes
    ----------
    horizon : int
        Days ahead that there are heads for.
    target_lags : int
        Days of the target in a row, at most a third of the panel.
    hidden : int
        Units of each layer.
    batch, steps, block, patience, learning_rate, weight_decay, validation_days, transform
        As of :class:`LSTM`; a batch is of rows.
    """

    horizon: int = 30
    target_lags: int = 28
    hidden: int = 64
    batch: int = 128
    steps: int = 1500
    block: int = 75
    patience: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    validation_days: int = 28
    transform: Transform = "auto"

    def __post_init__(self) -> None:
        whole = ("horizon", "target_lags", "hidden", "batch", "steps", "block", "patience")
        check_settings(
            self,
            dict.fromkeys((*whole, "validation_days"), (1, 1_000_000))
            | {"learning_rate": (1e-7, 1.0), "weight_decay": (0.0, 1.0)},
        )
        check_transform(self.transform)

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedWideDeep:
        """Train both parts."""
        check_training(panel, 12)
        scale = PanelScale.of(panel, self.transform)
        inputs = scale.inputs(panel)
        count = max(1, min(self.target_lags, panel.length // 3))
        held_out = max(1, min(self.validation_days, panel.length // 5))
        # Day `end + h` has to come before the days held out for every h that there is a head for.
        horizon = max(1, min(self.horizon, panel.length - held_out - count))
        ends = np.arange(count - 1, panel.length - 1)
        cut = panel.length - held_out
        data = wide_deep_rows(inputs, ends, count, horizon, cut)
        validation = _Validation(panel.num_shops * min(len(ends), horizon + held_out))
        start_key, batch_key = jax.random.split(rng_key)
        network = WideDeepNetwork(
            start_key,
            shops=panel.num_shops,
            dense=data.dense.shape[-1],
            lags=count,
            context=data.ahead.shape[-1],
            horizon=horizon,
            hidden=self.hidden,
        )
        network = train(
            batch_key,
            network,
            jax.tree.map(jnp.asarray, data),
            _Loss(self.batch, panel.num_shops * int(np.sum(ends < cut - 1))),
            validation,
            steps=self.steps,
            block=self.block,
            patience=self.patience,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        factor = _interval_factor(network, validation.rows(data))
        return FittedWideDeep(
            panel.window(0, 1), scale, network, count, horizon, self.horizon, factor
        )


@final
class WideDeepNetwork(eqx.Module):
    """Both parts: mean and log sd of every horizon for one row."""

    shop: eqx.nn.Embedding
    weekday: eqx.nn.Embedding
    day_ahead: eqx.nn.Embedding
    trunk: eqx.nn.MLP
    head: eqx.nn.MLP
    wide_lags: Array
    wide_context: Array
    wide_shop_weekday: Array
    wide_horizon_weekday: Array

    def __init__(
        self,
        rng_key: RngKey,
        *,
        shops: int,
        dense: int,
        lags: int,
        context: int,
        horizon: int,
        hidden: int,
    ) -> None:
        keys = jax.random.split(rng_key, 5)
        self.shop = eqx.nn.Embedding(shops, _EMBEDDING, key=keys[0])
        self.weekday = eqx.nn.Embedding(7, _EMBEDDING, key=keys[1])
        self.day_ahead = eqx.nn.Embedding(horizon, _EMBEDDING, key=keys[2])
        self.trunk = eqx.nn.MLP(
            dense + _EMBEDDING, hidden, hidden, 1, final_activation=jax.nn.relu, key=keys[3]
        )
        self.head = eqx.nn.MLP(hidden + 2 * _EMBEDDING + context, 2, hidden, 1, key=keys[4])
        self.wide_lags = jnp.zeros((horizon, lags))
        self.wide_context = jnp.zeros(context)
        self.wide_shop_weekday = jnp.zeros((shops, 7))
        self.wide_horizon_weekday = jnp.zeros((horizon, 7))

    def __call__(
        self, row: WideDeepRows
    ) -> tuple[Float[Array, " horizon"], Float[Array, " horizon"]]:
        """Predict one row."""
        horizons = jnp.arange(self.wide_lags.shape[0])
        wide = (
            self.wide_lags @ row.target_lags
            + row.ahead @ self.wide_context
            + self.wide_shop_weekday[row.shop, row.weekday]
            + self.wide_horizon_weekday[horizons, row.weekday]
        )
        trunk = self.trunk(jnp.concatenate([row.dense, self.shop(row.shop)]))

        def one(step: Array, weekday: Array, context: Array) -> Array:
            parts = [trunk, self.day_ahead(step), self.weekday(weekday), context]
            return self.head(jnp.concatenate(parts))

        deep = jax.vmap(one)(horizons, row.weekday, row.ahead)
        return wide + deep[:, 0], jnp.clip(deep[:, 1], LEAST_LOG_SD, MOST_LOG_SD)


@dataclass(frozen=True)
class _Loss:
    """Loss of a batch out of the first ``among`` rows; hashable by its settings."""

    batch: int
    among: int

    def __call__(
        self, network: WideDeepNetwork, data: WideDeepRows, key: RngKey
    ) -> Float[Array, ""]:
        at = jax.random.randint(key, (self.batch,), 0, self.among)
        rows = jax.tree.map(lambda whole: whole[at], data)
        mean, log_sd = jax.vmap(network)(rows)
        return gaussian_loss(mean, log_sd, rows.truth, rows.training)


@dataclass(frozen=True)
class _Validation:
    """Loss of the days held out, which only the last ``reaching`` rows reach."""

    reaching: int

    def rows(self, data: WideDeepRows) -> WideDeepRows:
        last: WideDeepRows = jax.tree.map(lambda whole: whole[-self.reaching :], data)
        return last

    def __call__(self, network: WideDeepNetwork, data: WideDeepRows) -> Float[Array, ""]:
        rows = self.rows(data)
        mean, log_sd = jax.vmap(network)(rows)
        return gaussian_loss(mean, log_sd, rows.truth, rows.validation)


@final
@dataclass(frozen=True, eq=False)
class FittedWideDeep:
    """A trained network with the scale of its training panel."""

    labels: ShopPanel
    scale: PanelScale
    network: WideDeepNetwork
    target_lags: int
    trained_horizon: int
    horizon: int
    interval_factor: float

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
            For more days than there are heads for.
        """
        check_request(self.labels, panel_history, horizon, context_future)
        if horizon > self.horizon:
            raise ValueError(
                f"There are heads for {self.horizon} days, but {horizon} are asked for: fit "
                f"WideDeep(horizon={horizon})."
            )
        context = future_context(panel_history, horizon, context_future)
        inputs = self.scale.inputs(panel_history, context)
        end = np.asarray([panel_history.length - 1])
        means, log_sds = [], []
        # Days past the trained heads take the last head, with their own context and weekday.
        for shift in _shifts(horizon, self.trained_horizon):
            rows = wide_deep_rows(inputs, end, self.target_lags, self.trained_horizon, 0, shift)
            mean, log_sd = _predict(self.network, jax.tree.map(jnp.asarray, rows))
            skipped = 0 if shift == 0 else self.trained_horizon - 1
            means.append(np.asarray(mean)[:, skipped:])
            log_sds.append(np.asarray(log_sd)[:, skipped:])
        center = np.concatenate(means, 1)[:, :horizon].astype(float)
        sd = np.exp(np.concatenate(log_sds, 1)[:, :horizon].astype(float)) * self.interval_factor
        return Forecast.from_draws(self.scale.target(center + sd * normal_points(_DRAWS)))


def _shifts(horizon: int, trained: int) -> list[int]:
    """Return shifts of the days ahead: none, then one per day past the trained heads."""
    return [0, *range(1, horizon - trained + 1)]


def normal_points(count: int) -> Float[NDArray, "count 1 1"]:
    """Return equally likely points of the standard normal distribution (point, 1, 1)."""
    from scipy.special import ndtri

    return ndtri((np.arange(count) + 0.5) / count)[:, None, None]


@eqx.filter_jit
def _predict(network: WideDeepNetwork, rows: WideDeepRows) -> tuple[Array, Array]:
    return jax.vmap(network)(rows)


def _interval_factor(network: WideDeepNetwork, rows: WideDeepRows) -> float:
    """Return the factor of the sds at which 90% of held-out days lie in their intervals."""
    mean, log_sd = _predict(network, jax.tree.map(jnp.asarray, rows))
    within = rows.validation > 0
    if not within.any():
        return 1.0
    z = np.abs((rows.truth - np.asarray(mean)) * np.exp(-np.asarray(log_sd)))[within]
    return float(np.clip(np.quantile(z, 0.9) / 1.6448536269514722, 0.5, 3.0))
