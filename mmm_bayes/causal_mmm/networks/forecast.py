r"""Forecasts drawn from a trained decoder, with edges, coefficients and noise all random.

With the additive decoder each draw has edges from their posterior, coefficients from their normal
posterior given the edges (which include the shop's own deviations), and noise at every step, so
that intervals include the uncertainty of graph, mechanism and future. With the recurrent decoder
only edges and noise are random, and the networks are those of training.

Noise is a stretch of the shop's own one-step errors :math:`r`, of all nodes and days together,

.. math:: e_j^{T + h} = \sigma_j \,
          \frac{r_j^{(s + h) \bmod n}}{\sqrt{\tfrac1n \sum_t (r_j^t)^2}},
          \qquad s \sim \mathrm{U}\{0, \ldots, n - 1\}:

Errors of real series are correlated between nodes and over time, and heavy-tailed. Independent
normal noise is not, which matters for sums over a month. Short series with too few errors to
represent a distribution get normal noise.

References
----------
Politis and Romano (1992), A circular block-resampling procedure for stationary data.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder, posterior, target_sums
from mmm_bayes.causal_mmm.networks.lagged import BASES, Lagged, Layout, Saturation, lag_columns
from mmm_bayes.causal_mmm.networks.recurrent import RecurrentDecoder, Step

Array = jax.Array

LIMIT = 20.0
"""Drawn values are clipped at this many standard deviations."""

_MIN_ERRORS = 50  # a shop with fewer errors gets normal noise
_MIN_STRETCHES = 4  # a stretch is at most a quarter of a shop's errors


class Coefficients(NamedTuple):
    """Coefficients of all targets of a shop: columns (P, D), and the noise of each target (D,)."""

    columns: Any
    noise: Any


def draw_coefficients(
    rng_key: Array, decoder: AdditiveDecoder, sums: Lagged, edges: Array
) -> Coefficients:
    """Draw coefficients and noise of one shop from their posterior, given its edges (D, D)."""
    nodes = decoder.layout.nodes

    def one(key: Array, target: Array) -> tuple[Array, Array]:
        prior = decoder.prior(edges[:, target], target)
        found = posterior(target_sums(sums, target), prior)
        key_noise, key_columns = jax.random.split(key)
        factor = jnp.sqrt(found.beta / jax.random.gamma(key_noise, found.alpha))
        normal = jax.random.normal(key_columns, found.mean.shape, found.mean.dtype)
        return found.mean + factor * (found.root @ normal), factor * prior.noise

    keys = jax.random.split(rng_key, nodes)
    columns, noise = jax.vmap(one)(keys, jnp.arange(nodes))
    return Coefficients(columns.T, noise)


def lag_row(
    past: Array, context: Array, layout: Layout, saturation: Saturation | None = None
) -> Array:
    """Build the columns (P,) from the last K values (K, D), newest last, and the context (C,)."""
    newest_first = past[::-1]
    blocks = jnp.concatenate([BASES[name](newest_first, saturation) for name in layout.basis])
    one = jnp.ones(1, past.dtype)
    return jnp.concatenate([blocks.T.ravel(), one, context])


def draw_noise(rng_key: Array, errors: Array, there: Array, noise: Array, horizon: int) -> Array:
    """Draw noise (horizon, D): one stretch of a shop's errors, or several if it has few.

    Parameters
    ----------
    rng_key
        Random key of the starts of stretches, and of normal noise in place of missing errors.
    errors, there
        One-step errors of a shop (time, D), and the times at which all nodes have one (time,).
    noise
        Standard deviations (D,).
    horizon
        Number of steps.
    """
    rows = errors.shape[0]
    size = max(1, min(horizon, rows // _MIN_STRETCHES))
    key_start, key_normal = jax.random.split(rng_key)
    start = jax.random.randint(key_start, (-(-horizon // size), 1), 0, rows)
    at = jnp.ravel((start + jnp.arange(size)) % rows)[:horizon]
    count = jnp.sum(there)
    square = there @ errors**2 / jnp.maximum(count, 1.0)
    own = (there[at, None] > 0) & (square > 0) & (count >= _MIN_ERRORS)
    normal = jax.random.normal(key_normal, (horizon, errors.shape[1]), errors.dtype)
    unit = errors[at] / jnp.sqrt(jnp.where(square > 0, square, 1.0))
    return noise * jnp.where(own, unit, normal)


def simulate_additive(
    columns: Array,
    noise: Array,
    past: Array,
    context: Array,
    layout: Layout,
    saturation: Saturation | None = None,
    floor: Array | float = -LIMIT,
) -> Array:
    """Simulate the next values (horizon, D) of one shop.

    Parameters
    ----------
    columns
        One draw of the coefficients (P, D).
    noise
        Noise added at each step (horizon, D); zero for the mean path.
    past
        Last values (K, D), standardised, zero where missing.
    context
        Context of the future steps (horizon, C).
    layout, saturation
        Layout and saturation of the columns.
    floor
        Lowest values (D,), such as the standardised zero of nodes that cannot be negative.
    """

    def step(past: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        error, around = given
        mean = lag_row(past, around, layout, saturation) @ columns
        new = jnp.clip(mean + error, floor, LIMIT)  # explosive draws stay finite
        return jnp.concatenate([past[1:], new[None]]), new

    return jax.lax.scan(step, past, (noise, context))[1]


@functools.partial(jax.jit, static_argnames="together")
def additive_paths(
    rng_keys: Array,
    decoder: AdditiveDecoder,
    sums: Lagged,
    edges: Array,
    values: Array,
    observed: Array,
    context: Array,
    future: Array,
    floor: Array,
    together: int = 4,
) -> Array:
    """Draw paths (draw, shop, horizon, D), given edges (draw, shop, D, D) and the history."""
    layout = decoder.layout
    lags, bends = layout.lags, decoder.saturation

    def shop(given: Any) -> Array:
        key, own, edges, values, observed, around, ahead, lowest = given
        rows = lag_columns(values, around, layout, bends)
        there = jnp.all(observed[lags:] > 0, axis=1).astype(values.dtype)

        def path(key: Array, z: Array) -> Array:
            key_coefficients, key_noise = jax.random.split(key)
            columns, noise = draw_coefficients(key_coefficients, decoder, own, z)
            errors = values[lags:] - rows @ columns
            drawn = draw_noise(key_noise, errors, there, noise, len(ahead))
            return simulate_additive(columns, drawn, values[-lags:], ahead, layout, bends, lowest)

        return jax.vmap(path)(jax.random.split(key, edges.shape[0]), edges)

    of_shops = (values, observed, context, future, floor)
    given = (rng_keys, sums, jnp.swapaxes(edges, 0, 1), *of_shops)
    return jnp.swapaxes(jax.lax.map(shop, given, batch_size=together), 0, 1)


@eqx.filter_jit
def recurrent_paths(
    rng_keys: Array,
    decoder: RecurrentDecoder,
    noise: Array,
    edges: Array,
    values: Array,
    observed: Array,
    context: Array,
    future: Array,
    floor: Array,
) -> Array:
    """Draw paths (draw, shop, horizon, D), given edges (draw, shop, D, D) and the history."""

    def path(
        key: Array, z: Array, own: Array, there: Array, around: Array, ahead: Array, lowest: Array
    ) -> Array:
        follow = jnp.concatenate([around[1:], ahead[:1]])

        def listen(state: Any, given: Any) -> Any:
            x, seen, context = given
            at = jnp.where(seen > 0, x, state.mean)
            return decoder.step(z, context, state.hidden, at), at - state.mean

        start = Step(decoder.start(), jnp.zeros(own.shape[1], own.dtype))
        state, errors = jax.lax.scan(listen, start, (own, there, follow))
        complete = jnp.all(there > 0, axis=1).astype(own.dtype)
        drawn = draw_noise(key, errors, complete, noise, len(ahead))

        def speak(state: Any, given: Any) -> Any:
            error, context = given
            new = jnp.clip(state.mean + error, lowest, LIMIT)
            return decoder.step(z, context, state.hidden, new), new

        later = jnp.concatenate([ahead[1:], ahead[-1:]])
        return jax.lax.scan(speak, state, (drawn, later))[1]

    keys = jax.vmap(lambda key: jax.random.split(key, edges.shape[0]), out_axes=1)(rng_keys)
    return jax.vmap(jax.vmap(path), in_axes=(0, 0, None, None, None, None, None))(
        keys, edges, values, observed, context, future, floor
    )
