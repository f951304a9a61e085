"""Compiled programs of a training epoch, and of the loss of validation shops."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import SVI

from mmm_bayes.causal_mmm.networks.model import Shops
from mmm_bayes.causal_mmm.networks.shop_blocks import take
from mmm_bayes.causal_mmm.networks.training_devices import Placement
from mmm_bayes.inference.tracing import compile_program

Array = jax.Array


class Epochs(NamedTuple):
    """Compiled programs of a training.

    Attributes
    ----------
    run
        Maps state, batches (step, shop), temperature and weight to the next state and the loss per
        shop.
    check
        Maps a state to the loss per validation shop; ``None`` without validation shops.
    shops, size
        Number of shops, and size of a batch.
    """

    run: Callable[..., Any]
    check: Callable[[Any], float] | None
    shops: int
    size: int


def train_epoch(
    svi: SVI,
    shops: Shops,
    state: Any,
    batches: Array,
    temperature: Array,
    weight: Any = 1.0,
    share: float | None = None,
) -> Any:
    """Make one pass over ``batches`` (step, shop) of positions; return state and loss per shop.

    ``weight`` multiplies the divergence from the prior and the gradient of the encoder; ``share``
    is that of a batch in all shops.
    """
    of_all = batches.shape[1] / shops.values.shape[0] if share is None else share

    def step(state: Any, at: Array) -> Any:
        return svi.update(state, take(shops, at), temperature, of_all, weight)

    state, losses = jax.lax.scan(step, state, batches)
    return state, jnp.mean(losses) / batches.shape[1]


def compiled_epochs(
    svi: SVI,
    shops: Shops,
    validation: Shops | None,
    state: Any,
    key_validation: Array,
    size: int,
    temperature: float,
    placement: Placement,
) -> Epochs:
    """Compile an epoch, and the loss of validation shops.

    Parameters
    ----------
    svi
        Inference that is initialised.
    shops, validation
        Shops to learn from, and shops for early stopping.
    state
        State before the first epoch, placed on the devices.
    key_validation, temperature
        Random key and temperature of the relaxed edges of validation shops.
    size
        Number of shops per step.
    placement
        Devices.
    """
    count = shops.values.shape[0]
    share = size / count / placement.count
    own = placement.of_own_shops(svi, size)

    def epoch(shops: Shops, state: Any, batches: Array, temperature: Array, weight: Array) -> Any:
        state, loss = train_epoch(own, shops, state, batches, temperature, weight, share)
        return state, placement.total(loss) * (batches.shape[1] / size)

    shops = placement.everywhere(shops)
    blank = placement.passed(placement.padded(np.zeros((-(-count // size), size), int)))
    one = placement.passed(np.float32(1.0))
    program = compile_program(
        jax.jit(placement.shared_out(epoch, 2)), shops, state, blank, one, one
    )
    check = None
    if validation is not None:
        check = _check_of(svi, validation, state, key_validation, temperature, placement)
    return Epochs(functools.partial(program, shops), check, count, size)


def _check_of(
    svi: SVI,
    validation: Shops,
    state: Any,
    rng_key: Array,
    temperature: float,
    placement: Placement,
) -> Callable[[Any], float]:
    count = validation.values.shape[0]
    own = placement.of_own_shops(svi, count)

    def evaluate(shops: Shops, state: Any, at: Array, temperature: Array) -> Array:
        found = own.evaluate(state, take(shops, at), temperature, 0.0)
        return placement.total(found) / count

    shops, key = placement.everywhere((validation, rng_key))
    at = placement.passed(placement.padded(np.arange(count)))
    last = placement.passed(np.float32(temperature))
    run = compile_program(jax.jit(placement.shared_out(evaluate, 2)), shops, state, at, last)

    def check(state: Any) -> float:
        # With new relaxed edges every time, the choice of the best epoch would depend on chance.
        return float(run(shops, state._replace(rng_key=key), at, last))

    return check
