r"""Series to come, drawn from a trained decoder: edges, coefficients and noise all drawn.

For the additive decoder each draw has edges from their posterior, coefficients from their normal
posterior given the edges (what shops do differently comes back here), and noise at every step, so
that intervals hold what is not known of graph, mechanism and future. The recurrent decoder has its
networks as they were trained; edges and noise are drawn.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from mmm_bayes.graph_learning.additive import AdditiveDecoder, posterior, target_sums
from mmm_bayes.graph_learning.lagged import BASES, Lagged, Layout, Saturation
from mmm_bayes.graph_learning.recurrent import RecurrentDecoder, Step

Array = jax.Array

LIMIT = 20.0
"""Standard deviations that no drawn value leaves."""


class Coefficients(NamedTuple):
    """Of all targets of a shop: columns (P, D), and the noise of each target (D,)."""

    columns: Any
    noise: Any


def draw_coefficients(
    rng_key: Array, decoder: AdditiveDecoder, sums: Lagged, edges: Array
) -> Coefficients:
    """Coefficients and noise of one shop from their posterior, given its edges (D, D)."""
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
    """Columns (P,) from the last K values (K, D), the newest last, and the context (C,)."""
    newest_first = past[::-1]
    blocks = jnp.concatenate([BASES[name](newest_first, saturation) for name in layout.basis])
    one = jnp.ones(1, past.dtype)
    return jnp.concatenate([blocks.T.ravel(), one, context])


def simulate_additive(
    rng_key: Array,
    coefficients: Coefficients,
    past: Array,
    context: Array,
    layout: Layout,
    saturation: Saturation | None = None,
    noisy: float = 1.0,
    floor: Array | float = -LIMIT,
) -> Array:
    """Next values (horizon, D) of one shop.

    Parameters
    ----------
    rng_key
        Key of the noise.
    coefficients
        One draw.
    past
        Last values (K, D), standardised, zero where missing.
    context
        Of the times to come (horizon, C).
    layout, saturation
        Of the columns.
    noisy
        Factor of the noise; zero for the mean path.
    floor
        Least values (D,): what cannot be negative is zero where a draw would fall below.
    """

    def step(past: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        key, around = given
        mean = lag_row(past, around, layout, saturation) @ coefficients.columns
        noise = jax.random.normal(key, mean.shape, mean.dtype) * coefficients.noise
        new = jnp.clip(mean + noisy * noise, floor, LIMIT)  # explosive draws stay numbers
        return jnp.concatenate([past[1:], new[None]]), new

    keys = jax.random.split(rng_key, context.shape[0])
    return jax.lax.scan(step, past, (keys, context))[1]


@functools.partial(jax.jit, static_argnames="together")
def additive_paths(
    rng_keys: Array,
    decoder: AdditiveDecoder,
    sums: Lagged,
    edges: Array,
    past: Array,
    context: Array,
    floor: Array,
    together: int = 4,
) -> Array:
    """Draws (draw, shop, horizon, D), given keys (shop,), edges (draw, shop, D, D), floors."""
    layout = decoder.layout

    def shop(given: Any) -> Array:
        key, own, edges, before, around, least = given

        def path(key: Array, z: Array) -> Array:
            key_coefficients, key_noise = jax.random.split(key)
            drawn = draw_coefficients(key_coefficients, decoder, own, z)
            return simulate_additive(
                key_noise, drawn, before, around, layout, decoder.saturation, floor=least
            )

        return jax.vmap(path)(jax.random.split(key, edges.shape[0]), edges)

    given = (rng_keys, sums, jnp.swapaxes(edges, 0, 1), past, context, floor)
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
    """Draws (draw, shop, horizon, D), given edges (draw, shop, D, D) and the series so far."""

    def path(
        key: Array, z: Array, own: Array, there: Array, around: Array, ahead: Array, least: Array
    ) -> Array:
        follow = jnp.concatenate([around[1:], ahead[:1]])

        def listen(state: Any, given: Any) -> Any:
            x, seen, context = given
            at = jnp.where(seen > 0, x, state.mean)
            return decoder.step(z, context, state.hidden, at), None

        start = Step(decoder.start(), jnp.zeros(own.shape[1], own.dtype))
        state, _ = jax.lax.scan(listen, start, (own, there, follow))

        def speak(state: Any, given: Any) -> Any:
            key, context = given
            error = noise * jax.random.normal(key, state.mean.shape, state.mean.dtype)
            new = jnp.clip(state.mean + error, least, LIMIT)
            return decoder.step(z, context, state.hidden, new), new

        later = jnp.concatenate([ahead[1:], ahead[-1:]])
        keys = jax.random.split(key, ahead.shape[0])
        return jax.lax.scan(speak, state, (keys, later))[1]

    keys = jax.vmap(lambda key: jax.random.split(key, edges.shape[0]), out_axes=1)(rng_keys)
    return jax.vmap(jax.vmap(path), in_axes=(0, 0, None, None, None, None, None))(
        keys, edges, values, observed, context, future, floor
    )
