"""One model for all shops by prototypical Granger attention, after InGRA (Chu et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from mmm_bayes.runtime.streams import generator
from studies.granger.compiled import compiled
from studies.granger.lagged import by_parts, standardise, without_diagonal
from studies.granger.settings import above, at_least, raise_settings

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class InGRASettings:
    """How the model is built and trained.

    Attributes
    ----------
    prototypes : int
        Number of attention patterns that the shops are taken to share.
    pull : float
        Share of the prototypes' pattern in a shop's attention; the shop's own has the rest.
    hidden, width : int
        Units of each node's recurrent network; size of queries, keys, and messages.
    entropy, commitment : float
        Factors of the attention's entropy, and of the squared distance of a shop's own attention
        from its prototypes.
    epochs, batch : int
        Passes over the shops, and shops per step.
    learning_rate : float
        Adam's first rate, which falls to zero by half a cosine.
    """

    prototypes: int = 5
    pull: float = 0.5
    hidden: int = 24
    width: int = 16
    entropy: float = 0.05
    commitment: float = 0.01
    epochs: int = 150
    batch: int = 8
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        found = [
            *at_least("prototypes", self.prototypes, 1),
            *above("pull", self.pull, 0, 1),
            *at_least("hidden", self.hidden, 1),
            *at_least("width", self.width, 1),
            *above("entropy", self.entropy, 0),
            *above("commitment", self.commitment, 0),
            *at_least("epochs", self.epochs, 1),
            *at_least("batch", self.batch, 1),
            *above("learning_rate", self.learning_rate, 1e-9),
        ]
        raise_settings(found, "InGRA")


@final
@dataclass(frozen=True, eq=False)
class InGRAFit:
    """A trained model.

    Attributes
    ----------
    parameters : dict of str to jax.Array
        Weights of the networks.
    settings : InGRASettings
        Those it was trained with.
    losses : numpy.ndarray
        Mean squared error of the shops of each step (step,).
    """

    parameters: dict[str, Array]
    settings: InGRASettings
    losses: NDArray

    def scores(self, series: NDArray) -> NDArray:
        """Return attention of each target to each source, without further training.

        Parameters
        ----------
        series : numpy.ndarray
            (shop, time, node) with the nodes of the training shops; any length.
        """
        values, there = _filled(series)
        attend = partial(_attention_of, self.parameters, settings=self.settings)
        return without_diagonal(by_parts(attend, self.settings.batch, values, there))

    def prototypes(self) -> NDArray:
        """Return attention patterns that shops share (prototype, source, target), with diagonal."""
        return np.asarray(jax.nn.softmax(self.parameters["prototypes"], axis=1))


class _Attention(NamedTuple):
    own: Array  # (shop, source, target), as the others
    shared: Array  # the shop's mixture of prototypes
    used: Array


def _start(rng_key: Array, nodes: int, settings: InGRASettings) -> dict[str, Array]:
    h, m = settings.hidden, settings.width
    # Shape, and number of inputs to a sum over it, by which its variance is divided.
    drawn: dict[str, tuple[tuple[int, ...], int]] = {
        "input": ((nodes, 3 * h), 1),
        "state": ((nodes, h, 3 * h), h),
        "key": ((nodes, h, m), h),
        "query": ((nodes, h, m), h),
        "next": ((nodes, m), 1),
        "logit_in": ((m, 2 * m), m),
        "logit_out": ((2 * m,), 2 * m),
        "message": ((nodes, nodes, h, m), h),
        "out": ((nodes, m), m),
        "prototypes": ((settings.prototypes, nodes, nodes), 1),
    }
    flat = {"gates": (nodes, 3 * h), "pair": (nodes, nodes), "logit_inner": (2 * m,)}
    flat |= {"linear": (nodes, m), "inner": (nodes, m)}
    keys = jax.random.split(rng_key, len(drawn))
    start = {
        name: jax.random.normal(key, shape) / np.sqrt(inputs)
        for key, (name, (shape, inputs)) in zip(keys, drawn.items(), strict=True)
    }
    zeros = {name: jnp.zeros(shape) for name, shape in flat.items()}
    # Attention that no source draws should stay with the target's own past.
    own = 2 * jnp.eye(nodes)
    return start | zeros | {"pair": own, "prototypes": start["prototypes"] + own}


def _histories(p: dict[str, Array], values: Array) -> Array:
    """Return the states of each node's recurrent unit (shop, time, node, hidden)."""
    driven = jnp.einsum("btn,nh->tbnh", values, p["input"]) + p["gates"]
    size = p["state"].shape[1]

    def step(state: Array, given: Array) -> tuple[Array, Array]:
        recurrent = jnp.einsum("bnh,nhk->bnk", state, p["state"])
        gates = jax.nn.sigmoid(given[..., : 2 * size] + recurrent[..., : 2 * size])
        reset, keep = gates[..., :size], gates[..., size:]
        fresh = jnp.tanh(given[..., 2 * size :] + reset * recurrent[..., 2 * size :])
        state = keep * state + (1 - keep) * fresh
        return state, state

    zero = jnp.zeros((*driven.shape[1:3], size))
    return jax.lax.scan(step, zero, driven)[1].swapaxes(0, 1)


def _attention(
    p: dict[str, Array], settings: InGRASettings, states: Array, values: Array, there: Array
) -> _Attention:
    """Compute attention from how each source's past moves with each target's next value."""
    key = jnp.einsum("btnh,nhm->btnm", states[:, :-1], p["key"])
    query = jnp.einsum("btnh,nhm->btnm", states[:, :-1], p["query"])
    query = query + values[:, 1:, :, None] * p["next"]
    weight = there[:, 1:, :]
    count = jnp.maximum(weight.sum(1), 1)[:, None, :, None]
    # Centred keys: what a source's level says about a target is no influence of its past.
    key = key - key.mean(1, keepdims=True)
    moments = jnp.einsum("btim,btj,btjm->bijm", key, weight, query) / count
    # Independent series have moments of the order 1 / sqrt(rows): longer shops speak louder.
    moments = moments * jnp.sqrt(count)
    inner = jax.nn.gelu(moments @ p["logit_in"] + p["logit_inner"])
    own = jax.nn.softmax(inner @ p["logit_out"] + p["pair"], axis=1)
    patterns = jax.nn.softmax(p["prototypes"], axis=1)
    apart = ((own[:, None] - patterns) ** 2).sum((2, 3))
    shared = jnp.einsum("bk,kij->bij", jax.nn.softmax(-apart, axis=1), patterns)
    return _Attention(own, shared, (1 - settings.pull) * own + settings.pull * shared)


def _loss(
    p: dict[str, Array], settings: InGRASettings, values: Array, there: Array
) -> tuple[Array, Array]:
    states = _histories(p, values)
    attention = _attention(p, settings, states, values, there)
    messages = attention.used[..., None, None] * p["message"]
    context = jnp.einsum("btih,bijhm->btjm", states[:, :-1], messages)
    bent = jnp.tanh(context + p["inner"])
    predicted = (bent * p["out"] + context * p["linear"]).sum(-1)
    weight = there[:, 1:]
    squares = weight * (predicted - values[:, 1:]) ** 2
    error = squares.sum() / jnp.maximum(weight.sum(), 1)
    entropy = -(attention.used * jnp.log(attention.used + 1e-9)).sum(1).mean()
    distance = ((attention.own - attention.shared) ** 2).sum(1).mean()
    return error + settings.entropy * entropy + settings.commitment * distance, error


@compiled
def _train(
    rng_key: Array, values: Array, there: Array, batches: Array, settings: InGRASettings
) -> tuple[dict[str, Array], Array]:
    rate = optax.cosine_decay_schedule(settings.learning_rate, len(batches))
    adam = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    start = _start(rng_key, values.shape[2], settings)
    slope = jax.value_and_grad(_loss, has_aux=True)

    def step(state: Any, at: Array) -> tuple[Any, Array]:
        parameters, moments = state
        (_, error), gradient = slope(parameters, settings, values[at], there[at])
        change, moments = adam.update(gradient, moments, parameters)
        return (optax.apply_updates(parameters, change), moments), error

    (parameters, _), errors = jax.lax.scan(step, (start, adam.init(start)), batches)
    return parameters, errors


def _batches(rng_key: Array, shops: int, settings: InGRASettings) -> NDArray:
    """Return positions of the shops of each step (step, shop), in a new order every epoch."""
    size = min(settings.batch, shops)
    rng = generator(rng_key)
    epochs = []
    for _ in range(settings.epochs):
        order = rng.permutation(shops)
        # The last batch is filled up with the first of the epoch.
        epochs.append(np.resize(order, (-(-shops // size), size)))
    return np.concatenate(epochs)


@compiled
def _attention_of(
    parameters: dict[str, Array], values: Array, there: Array, settings: InGRASettings
) -> Array:
    states = _histories(parameters, values)
    return _attention(parameters, settings, states, values, there).used


def _filled(series: NDArray) -> tuple[NDArray, NDArray]:
    scaled = standardise(series)
    there = np.isfinite(scaled)
    return np.where(there, scaled, 0).astype(np.float32), there.astype(np.float32)


def fit_ingra(rng_key: Array, series: NDArray, settings: InGRASettings | None = None) -> InGRAFit:
    r"""Train one model of attention over sources on all shops.

    From Chu, Wang, Ma, Jia, Zhou and Yang (2020), *Inductive Granger causal modeling for
    multivariate time series*, ICDM, come: one model for all shops, whose targets attend to the
    encoded pasts of all series, themselves among them; prototypes of attention that shops share and
    that a shop's own attention is mixed with,

    .. math:: \alpha = (1 - \pi) a + \pi \sum_k s_k P_k, \qquad
              s_k \propto \exp(-\lVert a - P_k \rVert^2);

    training by the error of the next step; attention as the score of an edge; and that a new shop
    is scored without training. No code of it is public, and these are ours: a gated recurrent unit
    a node; logits from the mean over time of the product of keys of a source's past and queries of
    a target's past and next value, so that attention is one matrix a shop; prototypes of the whole
    graph rather than a target; messages from a matrix for each pair of nodes; the penalties of
    entropy and of the distance from prototypes.

    Parameters
    ----------
    rng_key : jax.Array
        Key of the start and of the minibatches.
    series : numpy.ndarray
        (shop, time, node), NaN where missing: read as the mean, and never predicted.
    settings : InGRASettings, optional
        All settings.
    """
    settings = settings or InGRASettings()
    values, there = _filled(series)
    key_start, key_order = jax.random.split(rng_key)
    batches = _batches(key_order, len(values), settings)
    parameters, errors = _train(key_start, values, there, batches, settings)
    return InGRAFit(parameters, settings, np.asarray(errors))
