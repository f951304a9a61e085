r"""The outcome of a plan of spend for every draw: array functions, differentiable in the spend.

A plan buys exposure :math:`x_{cgt}` in a window of ``T`` periods, whose effect lasts through the
``K = max_lag - 1`` periods after it. The outcome of the plan is

.. math:: f_d(\text{plan}) = \sum_{g,\,t \le T + K} v_{gt}
          \bigl(\mu_{dgt}(\text{plan}) - \mu_{dgt}(\text{nothing spent in the window})\bigr),

with :math:`v` the revenue per unit of target (or one) and :math:`\mu_d` the expected target of
draw ``d``. Exposure before and after the window is the same in both terms. With an identity link
the outcome is a sum over channels; with a logarithmic one channels multiply each other and the
baseline.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mmm_bayes.model import media
from mmm_bayes.model.media import MediaStructure
from mmm_bayes.transforms import causal_convolution, lag_tensor

Array = jax.Array
Leaf = Any

# Below this share of the anchor the price is constant, so that slopes stay finite at zero spend.
_NEAR_ZERO = 1e-6


class Prices(NamedTuple):
    """Prices of exposure.

    Attributes
    ----------
    rate
        Scaled exposure per unit of money at the anchor's spend (channel, geo, time).
    elasticity
        Elasticity of the price in spend (channel,): see :class:`mmm_bayes.budget.cost.CostCurve`.
    anchor
        Spend of each cell (channel, geo, time) at which ``rate`` holds.
    """

    rate: Leaf
    elasticity: Leaf
    anchor: Leaf


class Response(NamedTuple):
    """Everything that does not depend on the plan; arrays with draws have them on the first axis.

    Attributes
    ----------
    params
        Parameters of the saturation, each (draw, channels that have it).
    kernels
        Adstock weights (draw, channel, lag).
    effect
        Coefficients (draw, channel, geo): on the mean per head with an identity link, on the
        logarithm of the mean with a logarithmic link.
    weight
        Value of one unit of the mean (geo, time): heads times revenue, or revenue alone with a
        logarithmic link.
    base
        Logarithm of the mean without media (draw, geo, time); without dates for an identity link.
    fixed
        Scaled exposure (channel, geo, history + time) if nothing is spent in the window.
    prices
        Prices, from money to scaled exposure.
    nothing
        Sums of `channel_sums` if nothing is spent: (draw, channel), or (draw, 1) for a logarithmic
        link.
    """

    params: dict[str, Leaf]
    kernels: Leaf
    effect: Leaf
    weight: Leaf
    base: Leaf
    fixed: Leaf
    prices: Prices
    nothing: Leaf


def is_log(response: Response) -> bool:
    """Return whether effects are on the logarithm of the mean."""
    return response.base.shape[-1] > 0


def exposure(prices: Prices, spend: Array) -> Array:
    r"""Return the scaled exposure (channel, geo, time) of spend: :math:`r s (s / s_0)^{-e}`."""
    e = prices.elasticity[:, None, None]
    relative = jnp.maximum(spend / prices.anchor, _NEAR_ZERO)
    return prices.rate * spend * jnp.where(e == 0, 1.0, relative ** (-e))


def effects(structure: MediaStructure, response: Response, spend: Array) -> Array:
    """Return effects (draw, channel, geo, time) of a plan together with the exposure around it."""
    own = exposure(response.prices, spend)
    history = structure.max_lag - 1
    padded = response.fixed + jnp.pad(own, ((0, 0), (0, 0), (history, history)))
    if structure.adstock_first:
        lags = lag_tensor(padded, structure.max_lag)[..., history:]
        # One matrix product per channel: the lag tensor is the same for all draws.
        carried = jnp.einsum("dcl,cglt->dcgt", response.kernels, lags)
        curves = jax.vmap(lambda p, x: media.saturate(structure, p, x))(response.params, carried)
    else:
        curves = jax.vmap(lambda p: media.saturate(structure, p, padded))(response.params)
        curves = causal_convolution(curves, response.kernels[:, :, None, :])[..., history:]
    return response.effect[..., None] * curves


def channel_sums(structure: MediaStructure, response: Response, spend: Array) -> Array:
    """Sum the value of the mean: (draw, channel), or (draw, 1) with a logarithmic link."""
    found = effects(structure, response, spend)
    if not is_log(response):
        return jnp.einsum("dcgt,gt->dc", found, response.weight)
    mean = jnp.exp(response.base + found.sum(1))
    return jnp.einsum("dgt,gt->d", mean, response.weight)[:, None]


def outcome(structure: MediaStructure, response: Response, spend: Array) -> Array:
    """Return the outcome (draw,) of a plan (channel, geo, date)."""
    return (channel_sums(structure, response, spend) - response.nothing).sum(1)


def channel_outcomes(structure: MediaStructure, response: Response, spend: Array) -> Array:
    """Return each channel's outcome (draw, channel): the loss if it were left out of the plan.

    With a logarithmic link the other channels stay as planned, and the parts sum to more or less
    than the outcome of the plan.
    """
    if not is_log(response):
        return channel_sums(structure, response, spend) - response.nothing
    found = effects(structure, response, spend)
    alone = effects(structure, response, jnp.zeros_like(spend))
    mean = jnp.exp(response.base + found.sum(1)) * response.weight
    return jnp.einsum("dgt,dcgt->dc", mean, -jnp.expm1(alone - found))


def channel_slopes(
    structure: MediaStructure, response: Response, spend: Array, directions: Array
) -> Array:
    """Return derivatives (draw, channel) of the outcome along ``directions`` (as plans)."""
    n = spend.shape[0]
    tangents = jnp.eye(n)[:, :, None, None] * directions

    def along(tangent: Array) -> Array:
        return jax.jvp(lambda s: outcome(structure, response, s), (spend,), (tangent,))[1]

    return jax.lax.map(along, tangents).T


def with_nothing(structure: MediaStructure, response: Response) -> Response:
    """Fill in ``nothing``: the sums without spend in the window."""
    empty = jnp.zeros_like(jnp.asarray(response.prices.rate))
    return response._replace(nothing=channel_sums(structure, response, empty))


@functools.lru_cache(maxsize=32)
def compiled(structure: MediaStructure, function: Callable[..., Any]) -> Any:
    """Compile one of the functions above for a structure."""
    return jax.jit(functools.partial(function, structure))
