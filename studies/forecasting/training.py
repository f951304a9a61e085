"""Training of a network by minibatches, stopped when the last training weeks get no better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from mmm_bayes._typing import RngKey

Loss = Callable[[Any, Any, RngKey], Float[Array, ""]]
Validate = Callable[[Any, Any], Float[Array, ""]]

LEAST_LOG_SD, MOST_LOG_SD = -4.0, 2.0
"""Bounds of a Gaussian head: no day is certain, and none has seven times the sd of its series."""


def train(
    rng_key: RngKey,
    model: Any,
    data: Any,
    loss: Loss,
    validate: Validate,
    *,
    steps: int,
    block: int,
    patience: int,
    learning_rate: float,
    weight_decay: float,
) -> Any:
    """Return the model of the smallest validation loss.

    AdamW with gradients clipped to norm 1; the learning rate halves whenever a block of steps
    brings no better validation, and training ends after ``patience`` such blocks in a row.

    Parameters
    ----------
    rng_key : key
        Key of the minibatches.
    model, data : pytree
        Network, and all arrays that the losses read.
    loss : callable
        Loss of a random minibatch, of ``(model, data, key)``. Hashable ones are compiled once for
        many fits of equal shapes.
    validate : callable
        Validation loss of ``(model, data)``.
    steps, block : int
        Most steps, and steps between validations.
    """
    best, best_loss, idle = model, float("inf"), 0
    rate = learning_rate
    state = _optimiser(weight_decay).init(eqx.filter(model, eqx.is_inexact_array))
    for number in range(-(-steps // block)):
        key = jax.random.fold_in(rng_key, number)
        model, state, found = _block(
            model, state, data, key, jnp.asarray(rate), loss, validate, block, weight_decay
        )
        if float(found) < best_loss:
            best, best_loss, idle = model, float(found), 0
            continue
        idle, rate = idle + 1, rate / 2.0
        if idle >= patience:
            break
    return best


def _optimiser(weight_decay: float) -> optax.GradientTransformation:
    """Return AdamW with learning rate 1; the rate is an argument of the compiled block."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1.0, weight_decay=weight_decay))


@eqx.filter_jit
def _block(
    model: Any,
    state: Any,
    data: Any,
    key: RngKey,
    rate: Array,
    loss: Loss,
    validate: Validate,
    block: int,
    weight_decay: float,
) -> tuple[Any, Any, Array]:
    """Take a block of steps, and the validation loss after it."""
    optimiser = _optimiser(weight_decay)
    weights, rest = eqx.partition(model, eqx.is_inexact_array)

    def step(carry: tuple[Any, Any], step_key: RngKey) -> tuple[tuple[Any, Any], None]:
        weights, state = carry
        gradient = jax.grad(lambda w: loss(eqx.combine(w, rest), data, step_key))(weights)
        update, state = optimiser.update(gradient, state, weights)
        update = jax.tree.map(lambda u: rate * u, update)
        return (optax.apply_updates(weights, update), state), None

    (weights, state), _ = jax.lax.scan(step, (weights, state), jax.random.split(key, block))
    model = eqx.combine(weights, rest)
    return model, state, validate(model, data)


def gaussian_loss(
    mean: Float[Array, "*batch"],
    log_sd: Float[Array, "*batch"],
    truth: Float[Array, "*batch"],
    weight: Float[Array, "*batch"],
) -> Float[Array, ""]:
    """Return the weighted mean negative log density of normal distributions, up to a constant."""
    density = log_sd + 0.5 * ((truth - mean) * jnp.exp(-log_sd)) ** 2
    return jnp.sum(weight * density) / jnp.maximum(jnp.sum(weight), 1e-9)
