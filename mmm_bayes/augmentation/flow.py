r"""A conditional normalising flow: a monotone map of the value to a normal, given the pillow.

A small network with the pillow ``z`` as input predicts a location, a scale and a monotone
rational-quadratic spline :math:`g_z`, and

.. math:: \hat p(x \mid z) = \varphi\bigl(g_z(u)\bigr)\, g_z'(u)\, e^{-\sigma(z)}, \qquad
          u = (x - \mu(z))\, e^{-\sigma(z)},

with ``x`` standardised. The spline is the identity beyond :math:`\pm 4`, so that tails are normal.
The network is trained by maximum likelihood, until the likelihood of a held-out fifth stops rising.

References
----------
Durkan, Bekasov, Murray and Papamakarios (2019), Neural spline flows. NeurIPS 32, section 3.1.
Kingma and Ba (2015), Adam: a method for stochastic optimization. ICLR.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mmm_bayes.augmentation.estimators import (
    Conditional,
    ConditionalData,
    Draws,
    NDArray,
    fit_kernel,
    generator,
)
from mmm_bayes.augmentation.residual import Features, features_of, regresses

Array = jax.Array

_BINS = 5
_BOUND = 4.0
_MIN_BIN = 1e-3  # smallest width, height and slope of a bin
_HIDDEN = 16
_LEARNING_RATE = 5e-3
_DECAY = 0.1
_CHECK_EVERY = 20  # steps between evaluations of the held-out rows
_PATIENCE = 20  # evaluations without an improvement
_MAX_CHECKS = 150
_BATCH = 512
_HELD_OUT = 5  # one row in five
_MIN_ROWS = 20


class Network(NamedTuple):
    """Two hidden layers: weights (in, out) and biases (out,)."""

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]


class Spline(NamedTuple):
    """Knots (row, bin + 1) of the spline, their images, and the slopes there."""

    left: Array
    image: Array
    slope: Array


def identity(rng: np.random.Generator, inputs: int) -> Network:
    """Initialise a network whose flow is the identity: standardised values are normal."""
    sizes = (inputs, _HIDDEN, _HIDDEN, 3 * _BINS + 1)
    weights = [rng.standard_normal((a, b)) / np.sqrt(a) for a, b in pairwise(sizes[:-1])]
    weights.append(np.zeros(sizes[2:]))
    single = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
    return Network(tuple(map(single, weights)), tuple(single(np.zeros(b)) for b in sizes[1:]))


def outputs(network: Network, z: Array) -> tuple[Array, Array, Spline]:
    """Compute location and log scale (row,) and the spline, given regressors (row, feature)."""
    hidden = z
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        hidden = jnp.tanh(hidden @ weight + bias)
    raw = hidden @ network.weights[-1] + network.biases[-1]
    location, scale = raw[:, 0], 3.0 * jnp.tanh(raw[:, 1] / 3.0)
    widths, heights, slopes = jnp.split(raw[:, 2:], (_BINS, 2 * _BINS), axis=1)
    # The slope is softplus(raw + log(e - 1)) = 1 at zero, and 1 at both ends, where the tails join.
    inner = jax.nn.softplus(slopes + np.float32(math.log(math.e - 1.0)))
    inner = _MIN_BIN + (1.0 - _MIN_BIN) * inner
    slope = jnp.pad(inner, ((0, 0), (1, 1)), constant_values=1.0)
    return location, scale, Spline(_knots(widths), _knots(heights), slope)


def _knots(raw: Array) -> Array:
    share = _MIN_BIN + (1.0 - _MIN_BIN * _BINS) * jax.nn.softmax(raw, axis=1)
    inner = jnp.cumsum(share, axis=1)[:, :-1]
    return (2.0 * jnp.pad(inner, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))) - 1.0) * _BOUND


def _bin(knots: Array, values: Array, spline: Spline) -> tuple[Array, ...]:
    """Find the bin of each value: left end, width, image, height, and slopes at both ends."""
    at = jnp.clip(jnp.sum(values[:, None] >= knots, axis=1) - 1, 0, _BINS - 1)[:, None]
    take = lambda x, k: jnp.take_along_axis(x, at + k, axis=1)[:, 0]  # noqa: E731
    left, right = take(spline.left, 0), take(spline.left, 1)
    low, high = take(spline.image, 0), take(spline.image, 1)
    return left, right - left, low, high - low, take(spline.slope, 0), take(spline.slope, 1)


def forward(spline: Spline, u: Array) -> tuple[Array, Array]:
    """Map ``u`` (row,), and compute the log derivative (row,) there (equations 4 and 5)."""
    inside = jnp.abs(u) < _BOUND
    left, width, low, height, d0, d1 = _bin(spline.left, jnp.where(inside, u, 0.0), spline)
    s = height / width
    t = jnp.clip((jnp.where(inside, u, 0.0) - left) / width, 0.0, 1.0)
    rest = t * (1.0 - t)
    below = s + (d1 + d0 - 2.0 * s) * rest
    value = low + height * (s * t * t + d0 * rest) / below
    slope = s * s * (d1 * t * t + 2.0 * s * rest + d0 * (1.0 - t) ** 2) / (below * below)
    return jnp.where(inside, value, u), jnp.where(inside, jnp.log(slope), 0.0)


def inverse(spline: Spline, value: Array) -> Array:
    """Solve :func:`forward` for ``u``: a quadratic equation (equations 6 to 8)."""
    inside = jnp.abs(value) < _BOUND
    y = jnp.where(inside, value, 0.0)
    left, width, low, height, d0, d1 = _bin(spline.image, y, spline)
    s, above = height / width, y - low
    bend = above * (d1 + d0 - 2.0 * s)
    a, b, c = height * (s - d0) + bend, height * d0 - bend, -s * above
    root = jnp.sqrt(jnp.maximum(b * b - 4.0 * a * c, 0.0))
    t = jnp.clip(2.0 * c / (-b - root), 0.0, 1.0)
    return jnp.where(inside, left + t * width, value)


def log_likelihood(network: Network, z: Array, x: Array) -> Array:
    """Compute the log density (row,) of standardised values ``x`` given ``z`` (row, feature)."""
    location, scale, spline = outputs(network, z)
    value, log_slope = forward(spline, (x - location) * jnp.exp(-scale))
    return -0.5 * (value * value + np.float32(np.log(2.0 * np.pi))) + log_slope - scale


@jax.jit
def _densities(network: Network, z: Array, x: Array) -> Array:
    return log_likelihood(network, z, x)


@jax.jit
def _draws(network: Network, z: Array, normal: Array) -> Array:
    location, scale, spline = outputs(network, z)
    return location + jnp.exp(scale) * inverse(spline, normal)


class Training(NamedTuple):
    """State of the optimisation: present and best network, checks since the best, checks made."""

    network: Network
    state: Any
    best: Network
    best_loss: Array
    since_best: Array
    checks: Array


@functools.partial(jax.jit, static_argnames="batch")
def train(
    rng_key: Array,
    network: Network,
    z: Array,
    x: Array,
    held_out: Array,
    count: Array,
    batch: int,
) -> Network:
    """Train a network on the first ``count`` rows, except those ``held_out`` (row,).

    Each step uses ``batch`` rows (static), drawn at random unless they are all rows.
    """
    optimiser = optax.adamw(_LEARNING_RATE, weight_decay=_DECAY)
    there = jnp.arange(len(x)) < count
    kept = (there & ~held_out).astype(x.dtype)
    scored = (there & held_out).astype(x.dtype)

    def mean_loss(network: Network, z: Array, x: Array, weight: Array) -> Array:
        return -jnp.sum(weight * log_likelihood(network, z, x)) / jnp.sum(weight)

    def step(k: Array, carry: tuple[Network, Any, Array]) -> tuple[Network, Any, Array]:
        network, state, check = carry
        rows = jnp.arange(batch)
        if batch < len(x):
            key = jax.random.fold_in(rng_key, check * _CHECK_EVERY + k)
            rows = jax.random.randint(key, (batch,), 0, count)
        gradient = jax.grad(mean_loss)(network, z[rows], x[rows], kept[rows])
        update, state = optimiser.update(gradient, state, network)
        return optax.apply_updates(network, update), state, check

    def train_and_check(now: Training) -> Training:
        carry = (now.network, now.state, now.checks)
        network, state, _ = jax.lax.fori_loop(0, _CHECK_EVERY, step, carry)
        loss = mean_loss(network, z, x, scored)
        better = loss < now.best_loss
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), network, now.best)
        return Training(
            network, state, best, jnp.where(better, loss, now.best_loss),
            jnp.where(better, 0, now.since_best + 1), now.checks + 1,
        )  # fmt: skip

    zero = jnp.zeros((), jnp.int32)
    no_loss = jnp.full((), jnp.inf, x.dtype)
    first = Training(network, optimiser.init(network), network, no_loss, zero, zero)
    going = lambda now: (now.since_best < _PATIENCE) & (now.checks < _MAX_CHECKS)  # noqa: E731
    return jax.lax.while_loop(going, train_and_check, first).best


@dataclass(frozen=True)
class FlowConditional:
    """A trained flow; see the module docstring."""

    features: Features
    network: Network
    centre: float
    scale: float
    donates: bool = False

    def sample(self, rng_key: jax.Array, pillow: NDArray) -> Draws:
        """Draw values by mapping normal numbers through the inverse flow."""
        normal = generator(rng_key).standard_normal(pillow.shape[1])
        z = _filled(self.features(pillow), self.network.weights[0].shape[0])
        values = np.asarray(_draws(self.network, z, _rows(normal)), float)[: len(normal)]
        return Draws((self.centre + self.scale * values)[None], np.full(len(normal), -1, np.int32))

    def log_density(self, pillow: NDArray, own: NDArray) -> NDArray:
        """Compute the log density of values given the pillow."""
        values = (own[0] - self.centre) / self.scale
        z = _filled(self.features(pillow), self.network.weights[0].shape[0])
        logs = np.asarray(_densities(self.network, z, _rows(values)), float)
        return logs[: len(values)] - np.log(self.scale)


def _rows(x: NDArray) -> NDArray:
    """Pad rows with zeros to a power of two, so that few shapes are compiled."""
    size = 1 << max(6, int(len(x) - 1).bit_length())
    return np.pad(x, ((0, size - len(x)), *((0, 0),) * (x.ndim - 1))).astype(np.float32)


def _filled(z: NDArray, width: int) -> NDArray:
    return _rows(np.pad(z, ((0, 0), (0, width - z.shape[1]))))


def fit_flow(data: ConditionalData, rng_key: jax.Array) -> Conditional:
    """Fit :class:`FlowConditional`.

    The kernel estimate is returned for a variable that is discrete, has several columns or an empty
    pillow, and for fewer than 20 rows.
    """
    if not regresses(data) or data.own.values.shape[1] < _MIN_ROWS:
        return fit_kernel(data, rng_key)
    key_order, key_train = jax.random.split(rng_key)
    rng = generator(key_order)
    features, x = features_of(data.pillow), data.own.values[0]
    centre, scale, n = float(x.mean()), float(x.std()), len(x)
    order = rng.permutation(n)
    z = features(data.pillow.values[:, order])
    width = -(-z.shape[1] // 4) * 4
    values = _rows((x[order] - centre) / scale)
    held_out = np.arange(len(values)) % _HELD_OUT == 0
    batch = min(len(values), _BATCH)
    network = train(
        key_train, identity(rng, width), _filled(z, width), values, held_out, np.int32(n), batch
    )
    return FlowConditional(features, network, centre, scale)
