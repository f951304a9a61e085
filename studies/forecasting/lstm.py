"""One recurrent network for all shops: an LSTM that predicts every node a day ahead."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mmm_bayes._typing import RngKey
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.validation.panel.forecast import (
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
from studies.forecasting.training import LEAST_LOG_SD, MOST_LOG_SD, gaussian_loss, train

NDArray = np.ndarray[Any, Any]

_WEEK = 7
_ROOM = 1.0  # share of the training range by which a simulated path may leave it


@final
@dataclass(frozen=True)
class LSTM:
    r"""Global LSTM (Hochreiter & Schmidhuber 1997) with a Gaussian head.

    From the scaled values of all nodes on day :math:`t`, which of them are there, and the context
    and weekday of day :math:`t + 1`, it gives mean and standard deviation of every node on day
    :math:`t + 1`; a table of shops and weekdays adds to the mean. Trained on random windows of all
    shops (teacher forcing); the target weighs as much as all other nodes together. The last
    ``validation_days`` of training only decide when to stop.

    Forecasts are recursive: paths of all nodes are simulated from the head and fed back, and mean
    and quantiles are those of the paths, kept within the range of the shop's training values,
    widened by its width on either side.

    Attributes
    ----------
    hidden : int
        Hidden units.
    window : int
        Days of a training window, and of history read before a forecast.
    batch : int
        Windows a step.
    steps : int
        Most steps; every ``block`` of them validation decides whether to go on.
    block : int
        Steps between validations.
    patience : int
        Blocks without improvement after which training ends.
    learning_rate, weight_decay : float
        Of AdamW.
    validation_days : int
        Days held out for early stopping, at most a fifth of the panel.
    paths : int
        Simulated paths per shop.
    transform : {"auto", "standard", "log1p"}
        Scale of the series.
    """

    hidden: int = 48
    window: int = 56
    batch: int = 32
    steps: int = 1500
    block: int = 75
    patience: int = 4
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    validation_days: int = 28
    paths: int = 200
    transform: Transform = "auto"

    def __post_init__(self) -> None:
        whole = ("hidden", "batch", "steps", "block", "patience", "validation_days", "paths")
        check_settings(
            self,
            dict.fromkeys(whole, (1, 1_000_000))
            | {"window": (2, 100_000), "learning_rate": (1e-7, 1.0), "weight_decay": (0.0, 1.0)},
        )
        check_transform(self.transform)

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedLSTM:
        """Train the network."""
        check_training(panel)
        scale = PanelScale.of(panel, self.transform)
        inputs = scale.inputs(panel)
        held_out = max(1, min(self.validation_days, panel.length // 5))
        window = min(self.window, panel.length - held_out - 1)
        data = _Data(*(jnp.asarray(part) for part in _sequences(inputs)))
        start_key, batch_key = jax.random.split(rng_key)
        network = LSTMNetwork(
            start_key,
            features=data.features.shape[-1],
            hidden=self.hidden,
            shops=panel.num_shops,
            nodes=panel.num_nodes,
        )
        network = train(
            batch_key,
            network,
            data,
            _Loss(window, self.batch, held_out),
            _Validation(window, held_out),
            steps=self.steps,
            block=self.block,
            patience=self.patience,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        return FittedLSTM(panel.window(0, 1), scale, network, window, self.paths)


@final
class LSTMNetwork(eqx.Module):
    """LSTM cell, a linear head over its state and its input, and each shop's week."""

    cell: eqx.nn.LSTMCell
    head: eqx.nn.Linear
    week: Float[Array, "shop day node"]

    def __init__(
        self, rng_key: RngKey, *, features: int, hidden: int, shops: int, nodes: int
    ) -> None:
        cell_key, head_key = jax.random.split(rng_key)
        self.cell = eqx.nn.LSTMCell(features, hidden, key=cell_key)
        self.head = eqx.nn.Linear(hidden + features, 2 * nodes, key=head_key)
        self.week = jnp.zeros((shops, _WEEK, nodes))

    def start(self) -> tuple[Array, Array]:
        """Return the state before the first day."""
        return jnp.zeros(self.cell.hidden_size), jnp.zeros(self.cell.hidden_size)

    def __call__(
        self, shop: Array, state: tuple[Array, Array], features: Float[Array, " feature"]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Read one day; give the state after it, and mean and log sd of the next one.

        The last seven features are indicators of the next day's weekday.
        """
        state = self.cell(features, state)
        out = self.head(jnp.concatenate([state[0], features]))
        mean, log_sd = jnp.split(out, 2)
        mean = mean + features[-_WEEK:] @ self.week[shop]
        return state, (mean, jnp.clip(log_sd, LEAST_LOG_SD, MOST_LOG_SD))


class _Data(NamedTuple):
    """Pairs of a day and the next: features of the one, values of the other (shop, pair, ...)."""

    features: Any
    next_values: Any
    next_observed: Any


@dataclass(frozen=True)
class _Loss:
    """Loss of random windows that end before the days held out; hashable by its settings."""

    window: int
    batch: int
    held_out: int

    def __call__(self, network: LSTMNetwork, data: _Data, key: RngKey) -> Float[Array, ""]:
        shops, pairs, _ = data.features.shape
        shop_key, start_key = jax.random.split(key)
        shop = jax.random.randint(shop_key, (self.batch,), 0, shops)
        last = pairs - self.held_out - self.window
        start = jax.random.randint(start_key, (self.batch,), 0, last + 1)
        cut = partial(_windows, shop=shop, start=start, length=self.window)
        part = jax.tree.map(cut, data)
        return _sequence_loss(network, shop, part, part.next_observed)


@dataclass(frozen=True)
class _Validation:
    """Loss of the days held out, after a window of days that are only read."""

    window: int
    held_out: int

    def __call__(self, network: LSTMNetwork, data: _Data) -> Float[Array, ""]:
        span = min(self.window + self.held_out, data.features.shape[1])
        part = jax.tree.map(lambda whole: whole[:, -span:], data)
        scored = jnp.arange(span) >= span - self.held_out
        shop = jnp.arange(data.features.shape[0])
        return _sequence_loss(network, shop, part, part.next_observed * scored[:, None])


@final
@dataclass(frozen=True, eq=False)
class FittedLSTM:
    """A trained network with the scale of its training panel."""

    labels: ShopPanel
    scale: PanelScale
    network: LSTMNetwork
    window: int
    paths: int

    def forecast(
        self,
        rng_key: RngKey,
        panel_history: ShopPanel,
        horizon: int,
        context_future: NDArray | None,
    ) -> Forecast:
        """Forecast as :meth:`FittedForecaster.forecast` says, from the last ``window`` days."""
        inputs = requested(self.labels, self.scale, panel_history, horizon, context_future)
        span = min(self.window + 1, inputs.length)
        features = _features(inputs)[:, inputs.length - span : inputs.length]
        width = self.scale.high - self.scale.low
        low, high = self.scale.low - _ROOM * width, self.scale.high + _ROOM * width
        ahead = _known(inputs)[:, inputs.length :]
        read, known = jnp.asarray(features), jnp.asarray(ahead)
        bounds = jnp.asarray(low), jnp.asarray(high)
        draws = _paths(self.network, read, known, *bounds, rng_key, self.paths)
        return Forecast.from_draws(self.scale.target(np.asarray(draws, dtype=float)))


def _known(inputs: Inputs) -> Float[NDArray, "shop days known"]:
    """Return context and weekday of a day, which are known before it."""
    days = np.eye(_WEEK, dtype=np.float32)[inputs.weekday]
    shops = inputs.values.shape[0]
    days = np.broadcast_to(days, (shops, *days.shape))
    return np.concatenate([inputs.context.astype(np.float32), days], -1)


def _features(inputs: Inputs) -> Float[NDArray, "shop days feature"]:
    """Join values and mask of day t with the known features of day t + 1."""
    known = _known(inputs)[:, 1 : inputs.length + 1]
    span = known.shape[1]
    parts = (inputs.values[:, :span], inputs.observed[:, :span], known)
    return np.concatenate([part.astype(np.float32) for part in parts], -1)


def _sequences(inputs: Inputs) -> tuple[NDArray, NDArray, NDArray]:
    features = _features(inputs)
    following = slice(1, features.shape[1] + 1)
    return (
        features,
        inputs.values[:, following].astype(np.float32),
        inputs.observed[:, following].astype(np.float32),
    )


def _windows(whole: Array, shop: Array, start: Array, length: int) -> Array:
    def one(shop: Array, start: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(whole[shop], start, length)

    return jax.vmap(one)(shop, start)


def _read(
    network: LSTMNetwork, shop: Array, features: Float[Array, "day feature"]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the state after the last day, and the heads' mean and log sd (day, node)."""

    def step(state: tuple[Array, Array], day: Array) -> Any:
        return network(shop, state, day)

    state, heads = jax.lax.scan(step, network.start(), features)
    return state, heads


def _sequence_loss(
    network: LSTMNetwork, shop: Array, data: _Data, weight: Array
) -> Float[Array, ""]:
    """Return the loss over windows (window, day, feature) of the shops they are from."""
    mean, log_sd = jax.vmap(lambda *window: _read(network, *window)[1])(shop, data.features)
    nodes = mean.shape[-1]
    importance = jnp.full(nodes, 1.0 / max(nodes - 1, 1)).at[-1].set(1.0)
    return gaussian_loss(mean, log_sd, data.next_values, weight * importance)


@eqx.filter_jit
def _paths(
    network: LSTMNetwork,
    features: Float[Array, "shop day feature"],
    ahead: Float[Array, "shop horizon known"],
    low: Float[Array, "shop node"],
    high: Float[Array, "shop node"],
    rng_key: RngKey,
    paths: int,
) -> Float[Array, "path shop horizon"]:
    """Return the simulated paths of the target.

    The last day's features know the first day ahead; the step from day h to h + 1 needs that of
    h + 1, and the step after the last day is not taken.
    """

    def one(
        shop: Array, features: Array, ahead: Array, low: Array, high: Array, key: RngKey
    ) -> Array:
        state, heads = _read(network, shop, features)
        first = jax.tree.map(lambda part: part[-1], heads)

        def path(key: RngKey) -> Array:
            noise = jax.random.normal(key, (ahead.shape[0], low.shape[0]))

            def draw(head: tuple[Array, Array], noise: Array) -> Array:
                return jnp.clip(head[0] + jnp.exp(head[1]) * noise, low, high)

            def step(carry: Any, given: tuple[Array, Array]) -> tuple[Any, Array]:
                state, values = carry
                noise, known = given
                there = jnp.ones_like(values)
                state, head = network(shop, state, jnp.concatenate([values, there, known]))
                values = draw(head, noise)
                return (state, values), values[-1]

            values = draw(first, noise[0])
            _, rest = jax.lax.scan(step, (state, values), (noise[1:], ahead[1:]))
            return jnp.concatenate([values[-1:], rest])

        return jax.vmap(path)(jax.random.split(key, paths))

    shops = features.shape[0]
    keys = jax.random.split(rng_key, shops)
    draws = jax.vmap(one)(jnp.arange(shops), features, ahead, low, high, keys)
    return jnp.moveaxis(draws, 0, 1)
