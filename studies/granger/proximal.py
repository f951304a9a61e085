"""Accelerated proximal gradient descent of many independent networks at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Parameters = Any
"""Pytree of arrays with the networks in their leading axes."""


class DescentState(NamedTuple):
    """What the next step needs; ``step``, ``age`` and ``objective`` are one per network."""

    current: Parameters
    previous: Parameters
    step: Array
    age: Array
    objective: Array


def descend(
    loss: Callable[[Parameters], Array],
    penalty: Callable[[Parameters], Array],
    shrink: Callable[[Parameters, Array], Parameters],
    start: Parameters,
    step: Array,
    iterations: int,
) -> DescentState:
    """Minimise ``loss + penalty`` of every network.

    A step goes from an extrapolated point ``y = w + a / (a + 3) (w - w')`` down the loss's gradient
    and through the proximal map of the penalty (Beck and Teboulle 2009). The extrapolation starts
    anew, ``a = 0``, in a network whose objective has risen (O'Donoghue and Candès 2015); where it
    rises without any extrapolation the step is too long, and is halved.

    Parameters
    ----------
    loss, penalty : callable
        Smooth and non-smooth part (network, ...) of parameters.
    shrink : callable
        Proximal map of the penalty times a step: ``shrink(parameters, step)``.
    start : pytree
        Parameters to start from.
    step : jax.Array
        First length of the step of each network.
    iterations : int
        Number of steps.
    """

    def total(parameters: Parameters) -> tuple[Array, Array]:
        each = loss(parameters)
        return each.sum(), each

    slope = jax.value_and_grad(total, has_aux=True)

    def advance(_: int, state: DescentState) -> DescentState:
        current, previous, step, age, objective = state
        momentum = age / (age + 3)
        ahead = jax.tree.map(lambda w, v: w + _aligned(momentum, w) * (w - v), current, previous)
        (_, smooth), gradient = slope(ahead)
        value = smooth + penalty(ahead)
        risen = ~(value <= objective)
        step = jnp.where(risen & (age < 1), step / 2, step)
        moved = jax.tree.map(lambda w, g: w - _aligned(step, w) * g, ahead, gradient)
        moved = shrink(moved, step)
        # A network whose objective is no number goes back to where it was.
        sound = jnp.isfinite(value)
        moved = jax.tree.map(lambda w, v: jnp.where(_aligned(sound, w), w, v), moved, previous)
        # Without extrapolation the next step starts from what has been reached.
        age = jnp.where(risen, 0.0, age + 1)
        return DescentState(moved, current, step, age, jnp.where(sound, value, objective))

    state = DescentState(start, start, step, jnp.zeros_like(step), jnp.full_like(step, jnp.inf))
    return jax.lax.fori_loop(0, iterations, advance, state)


def soft_threshold(groups: Array, limit: Array, axes: tuple[int, ...]) -> Array:
    """Shorten each group, whose members lie along ``axes``, by ``limit``, to zero at most."""
    length = jnp.sqrt((groups**2).sum(axes, keepdims=True))
    return groups * jnp.maximum(1 - limit / jnp.maximum(length, 1e-20), 0)


def safe_norm(groups: Array, axes: tuple[int, ...]) -> Array:
    """Return the length of each group whose members lie along ``axes``."""
    return jnp.sqrt((groups**2).sum(axes))


def _aligned(per_network: Array, like: Array) -> Array:
    return per_network.reshape(per_network.shape + (1,) * (like.ndim - per_network.ndim))
