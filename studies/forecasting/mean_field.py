"""A quick normal approximation of a NumPyro model with thousands of parameters.

:mod:`mmm_bayes.inference.svi` searches modes and checks what it finds; it is for models whose
parameters one reads. Here they only serve a forecast, which the backtest judges.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
from numpyro.infer import util as numpyro_util

from mmm_bayes._typing import RngKey
from mmm_bayes.inference.tracing import tracing
from mmm_bayes.runtime.streams import generator

NDArray = np.ndarray[Any, Any]
Model = Callable[[Any], None]
Shapes = tuple[tuple[str, tuple[int, ...]], ...]

_START = 0.1  # of positive parameters; others start at 0


class Guide(NamedTuple):
    """Independent normal distributions of the unconstrained parameters, in one vector."""

    mean: Any
    log_sd: Any


def mean_field_draws(
    rng_key: RngKey,
    model: Model,
    arrays: Any,
    *,
    positive: tuple[str, ...],
    steps: int,
    learning_rate: float,
    draws: int,
) -> dict[str, NDArray]:
    """Draw each parameter (draw, ...) from the approximation with the highest lower bound.

    Parameters
    ----------
    rng_key : key
        Key of the steps and the draws.
    model : callable
        NumPyro model of one argument; a module-level function, so that fits of equal shapes share
        its compiled steps.
    arrays : pytree
        Argument of the model.
    positive : tuple of str
        Parameters above zero, approximated in logarithms; all others are real.
    steps, learning_rate
        Of Adam; the rate falls to a hundredth along a cosine.
    draws : int
        Number of draws.
    """
    fit_key, draw_key = jax.random.split(rng_key)
    with tracing():
        shapes = parameter_shapes(model, arrays)
        guide = _ascend(arrays, fit_key, model, shapes, positive, steps, learning_rate)
    mean, log_sd = (np.asarray(part, dtype=float) for part in guide)
    noise = generator(draw_key).standard_normal((draws, len(mean)))
    parts = split(mean + np.exp(log_sd) * noise, shapes)
    return {name: np.exp(part) if name in positive else part for name, part in parts.items()}


def parameter_shapes(model: Model, arrays: Any) -> Shapes:
    """Return the shape of each parameter, without compiling the model's operations."""

    def values(arrays: Any) -> dict[str, Any]:
        traced = numpyro.handlers.trace(numpyro.handlers.seed(model, 0)).get_trace(arrays)
        return {
            name: site["value"]
            for name, site in traced.items()
            if site["type"] == "sample" and not site["is_observed"]
        }

    found = jax.eval_shape(values, arrays)
    return tuple((name, found[name].shape) for name in sorted(found))


def split(flat: Any, shapes: Shapes) -> dict[str, Any]:
    """Return parts of a vector (..., dimension) by parameter."""
    parts, start = {}, 0
    for name, shape in shapes:
        size = int(np.prod(shape))
        parts[name] = flat[..., start : start + size].reshape(*flat.shape[:-1], *shape)
        start += size
    return parts


@partial(jax.jit, static_argnames=("model", "shapes", "positive", "steps", "learning_rate"))
def _ascend(
    arrays: Any,
    rng_key: RngKey,
    model: Model,
    shapes: Shapes,
    positive: tuple[str, ...],
    steps: int,
    learning_rate: float,
) -> Guide:
    """Run Adam on the evidence lower bound, with one draw per step."""
    optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, steps, alpha=0.01))
    start = jnp.concatenate(
        [jnp.full(int(np.prod(s)), np.log(_START) * (name in positive)) for name, s in shapes]
    )
    guide = Guide(start, jnp.full_like(start, -3.0))

    def loss(guide: Guide, key: RngKey) -> Any:
        z = guide.mean + jnp.exp(guide.log_sd) * jax.random.normal(key, start.shape)
        potential = numpyro_util.potential_energy(model, (arrays,), {}, split(z, shapes))
        return potential - guide.log_sd.sum()

    def step(carry: tuple[Guide, Any], key: RngKey) -> tuple[tuple[Guide, Any], None]:
        guide, state = carry
        update, state = optimiser.update(jax.grad(loss)(guide, key), state)
        return (optax.apply_updates(guide, update), state), None

    keys = jax.random.split(rng_key, steps)
    (guide, _), _ = jax.lax.scan(step, (guide, optimiser.init(guide)), keys)
    return guide
