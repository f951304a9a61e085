"""Training of CausalMMM: stochastic variational inference over batches of shops."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.infer import SVI, Trace_ELBO
from pydantic import Field

from mmm_bayes.graph_learning.additive import AdditiveDecoder
from mmm_bayes.graph_learning.model import (
    Networks,
    Objective,
    Shops,
    Steps,
    edge_probabilities,
    parameters_of,
    program,
)
from mmm_bayes.inference.settings import Frozen
from mmm_bayes.inference.tracing import compile_program, tracing

Array = jax.Array
NDArray = np.ndarray[Any, Any]


# Share of the epochs in which the encoder stays as it starts: with mechanisms that are still zero,
# edges explain nothing, and it could settle on none for all shops.
_WARM = 0.3


@final
class TrainingSpec(Frozen):
    """Settings of training.

    Parameters
    ----------
    epochs
        Passes over all shops.
    batch_size
        Shops a step.
    learning_rate
        First step of Adam; falls to a hundredth along a cosine.
    temperature
        Of the relaxed edges, at the start and at the end; it falls geometrically.
    patience
        With validation shops: epochs without a better loss after which training ends, and the best
        parameters are taken. Zero never stops.
    """

    epochs: int = Field(200, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(0.01, gt=0.0, le=1.0)
    temperature: tuple[float, float] = (1.0, 0.3)
    patience: int = Field(0, ge=0)


class History(NamedTuple):
    """Loss a shop of each epoch, of training and (NaN without) validation shops.

    The first epochs, in which the encoder waits, leave the divergence from the prior out of the
    loss of training.
    """

    loss: NDArray
    validation: NDArray


class Trained(NamedTuple):
    """Networks with their parameters, the epoch they are of, and how it went."""

    networks: Networks
    best_epoch: int
    history: History


def take(shops: Shops, at: Any) -> Shops:
    """Some shops, by position."""
    return jax.tree.map(lambda x: x[at], shops)


def train_epoch(
    svi: SVI, shops: Shops, state: Any, batches: Array, temperature: Array, weight: Any = 1.0
) -> Any:
    """One pass: ``batches`` (step, shop) are positions; returns the state and the mean loss.

    ``weight`` multiplies the divergence from the prior and what the encoder learns.
    """
    share = batches.shape[1] / shops.values.shape[0]

    def step(state: Any, at: Array) -> Any:
        return svi.update(state, take(shops, at), temperature, share, weight)

    state, losses = jax.lax.scan(step, state, batches)
    return state, jnp.mean(losses) / batches.shape[1]


def train(
    rng_key: Array,
    networks: Networks,
    objective: Objective,
    steps: Steps,
    spec: TrainingSpec,
    shops: Shops,
    validation: Shops | None = None,
    on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
) -> Trained:
    """Train on shops.

    Parameters
    ----------
    rng_key
        Key of batches and relaxed edges.
    networks
        With their initial parameters.
    objective, steps, spec
        What is maximised, and how.
    shops, validation
        Shops to learn from, and shops to stop by.
    on_epoch
        Told the epoch, how many there are, and the loss a shop.

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    """
    key_init, key_batches, key_validation = jax.random.split(rng_key, 3)
    count = shops.values.shape[0]
    size = min(spec.batch_size, count)
    per_epoch = -(-count // size)
    schedule = optax.cosine_decay_schedule(spec.learning_rate, spec.epochs * per_epoch, 0.01)
    optimiser = optax.chain(optax.clip_by_global_norm(100.0), optax.adam(schedule))
    svi = SVI(*program(networks, objective, steps), optimiser, Trace_ELBO())
    share = size / count
    # Compiled, it leaves out the likelihood; run as it stands, it takes longer than an epoch's
    # compilation.
    with tracing():
        state = jax.jit(svi.init)(key_init, take(shops, np.arange(1)), jnp.asarray(1.0), share)
    blank = jnp.zeros((per_epoch, size), int)
    epoch_of = compile_program(
        jax.jit(functools.partial(train_epoch, svi)),
        shops,
        state,
        blank,
        jnp.float32(1.0),
        jnp.float32(1.0),
    )
    evaluate = None
    if validation is not None:
        others = validation.values.shape[0]
        evaluate = jax.jit(
            lambda state, temperature: svi.evaluate(state, validation, temperature, 0.0) / others
        )
    temperatures = np.geomspace(*spec.temperature, spec.epochs).astype(np.float32)
    weights = (np.arange(spec.epochs) >= np.floor(_WARM * spec.epochs)).astype(np.float32)
    losses, checks = [], []
    best, best_state, best_epoch = np.inf, state, 0
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key_batches)).ravel())
    # Different relaxed edges every time would make the choice of the best epoch one of luck.
    for epoch in range(spec.epochs):
        order = rng.permutation(count)
        batches = np.resize(order, (per_epoch, size))  # the last batch is filled up from the first
        state, loss = epoch_of(
            shops,
            state,
            jnp.asarray(batches, int),
            jnp.asarray(temperatures[epoch]),
            jnp.asarray(weights[epoch]),
        )
        losses.append(float(loss))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(
                f"The loss of epoch {epoch + 1} is not finite. Lower learning_rate, or look at the "
                "series for extreme values."
            )
        check = np.nan
        if evaluate is not None:
            fixed = state._replace(rng_key=key_validation)
            check = float(evaluate(fixed, jnp.asarray(temperatures[-1])))
            if check < best:
                best, best_state, best_epoch = check, state, epoch
        checks.append(check)
        on_epoch(epoch + 1, spec.epochs, losses[-1])
        if evaluate is not None and spec.patience and epoch - best_epoch >= spec.patience:
            break
    if evaluate is None or not spec.patience:
        best_state, best_epoch = state, len(losses) - 1
    trained = parameters_of(networks, svi.get_params(best_state))
    if isinstance(trained.decoder, AdditiveDecoder):
        edges = edge_probabilities(trained.encoder, objective, shops)
        decoder = trained.decoder.with_unknown(edges, shops.sums.count)
        trained = trained._replace(decoder=decoder)
    return Trained(trained, best_epoch, History(np.array(losses), np.array(checks)))
