r"""Contributions of a shop's channels to its target, by do() on the decoder.

Under :math:`do(x_i = \tilde x_i)` channel ``i`` is set, and everything downstream of it follows the
learned mechanisms. Each later value of another node keeps its own noise,

.. math:: e_j^t = x_j^t - \mu_j(x^{<t}), \qquad
          \tilde x_j^t = \mu_j(\tilde x^{<t}) + e_j^t \quad (j \ne i),

so that :math:`\tilde x_i = x_i` returns the observed series exactly. The difference in the target
is the total effect, including effects through other channels.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.forecast import draw_coefficients, lag_row
from mmm_bayes.causal_mmm.networks.lagged import Lagged, Layout, Saturation

Array = jax.Array


def counterfactual(
    columns: Array,
    values: Array,
    context: Array,
    channel: Array,
    path: Array,
    layout: Layout,
    saturation: Saturation | None = None,
) -> Array:
    """Compute the series (time, D) of one shop under do(channel = path).

    Parameters
    ----------
    columns
        Coefficients (P, D).
    values, context
        Observed series (time, D) and context (time, C), standardised.
    channel, path
        The node that is set, and its values (time,).
    layout, saturation
        Layout and saturation of the columns.
    """
    lags = layout.lags
    ours = jnp.arange(values.shape[1]) == channel

    def step(
        state: tuple[Array, Array], given: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], Array]:
        past, new_past = state
        value, set_to, around = given
        noise = value - lag_row(past, around, layout, saturation) @ columns
        free = lag_row(new_past, around, layout, saturation) @ columns + noise
        new = jnp.where(ours, set_to, jnp.clip(free, -50.0, 50.0))
        shifted = jnp.concatenate([past[1:], value[None]])
        return (shifted, jnp.concatenate([new_past[1:], new[None]])), new

    before = values[:lags]
    new_before = jnp.where(ours, path[:lags, None], before)
    given = (values[lags:], path[lags:], context[lags:])
    later = jax.lax.scan(step, (before, new_before), given)[1]
    return jnp.concatenate([new_before, later])


@functools.partial(jax.jit, static_argnames="together")
def counterfactual_targets(
    rng_key: Array,
    decoder: AdditiveDecoder,
    sums: Lagged,
    edges: Array,
    values: Array,
    context: Array,
    channels: Array,
    paths: Array,
    together: int = 8,
) -> Array:
    """Draw the target of one shop under interventions (draw, intervention, time).

    Parameters
    ----------
    rng_key, decoder
        Key of the coefficients, and the trained decoder.
    sums, values, context
        Sums, series and context of one shop.
    edges
        Draws of its edges (draw, D, D).
    channels, paths
        Nodes that are set (intervention,) and their values (intervention, time).
    """
    layout = decoder.layout

    def draw(given: tuple[Array, Array]) -> Array:
        key, z = given
        columns = draw_coefficients(key, decoder, sums, z).columns
        under = functools.partial(
            counterfactual, columns, values, context, layout=layout, saturation=decoder.saturation
        )
        return jax.vmap(lambda c, p: under(c, p)[:, -1])(channels, paths)

    keys = jax.random.split(rng_key, edges.shape[0])
    return jax.lax.map(draw, (keys, edges), batch_size=together)
