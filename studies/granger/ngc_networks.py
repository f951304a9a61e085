"""The two networks of neural Granger causality, each for one target."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from studies.granger.proximal import Parameters


class Architecture(NamedTuple):
    """One network.

    Attributes
    ----------
    start : callable
        Parameters from a key: ``"input"`` (lag, source, ...), by which sources are dropped;
        ``"state"`` and ``"output"``, whose squares are penalised; ``"bias"``.
    predict : callable
        Predictions (row,) from parameters and the past (row, lag, node).
    """

    start: Callable[[Array], Parameters]
    predict: Callable[[Parameters, Array], Array]


def mlp(lags: int, nodes: int, hidden: int) -> Architecture:
    """Return the cMLP: one hidden layer of ``tanh`` over all lags of all nodes."""

    def start(rng_key: Array) -> Parameters:
        key_in, key_out = jax.random.split(rng_key)
        return {
            "input": jax.random.normal(key_in, (lags, nodes, hidden)) / np.sqrt(lags * nodes),
            "state": {},
            "output": jax.random.normal(key_out, (hidden,)) / np.sqrt(hidden),
            "bias": {"hidden": jnp.zeros(hidden), "output": jnp.zeros(())},
        }

    def predict(parameters: Parameters, past: Array) -> Array:
        inner = jnp.einsum("rkn,knh->rh", past, parameters["input"]) + parameters["bias"]["hidden"]
        return jnp.tanh(inner) @ parameters["output"] + parameters["bias"]["output"]

    return Architecture(start, predict)


def lstm(memory: int, nodes: int, hidden: int) -> Architecture:
    """Return the cLSTM, which reads windows of ``2 memory`` rows from zero states.

    Only lag 1 of the past is read. A row is predicted from ``memory + 1`` to ``2 memory`` steps;
    zeros, the means, stand before the first one.
    """

    def start(rng_key: Array) -> Parameters:
        key_in, key_state, key_out = jax.random.split(rng_key, 3)
        gates = jnp.zeros((4, hidden)).at[1].set(1.0)  # the forget gate starts open
        return {
            "input": jax.random.normal(key_in, (1, nodes, 4, hidden)) / np.sqrt(nodes),
            "state": {"gates": jax.random.normal(key_state, (4, hidden, hidden)) / np.sqrt(hidden)},
            "output": jax.random.normal(key_out, (hidden,)) / np.sqrt(hidden),
            "bias": {"gates": gates, "output": jnp.zeros(())},
        }

    def predict(parameters: Parameters, past: Array) -> Array:
        driven = jnp.einsum("rn,ngh->rgh", past[:, 0], parameters["input"][0])
        rows = driven.shape[0]
        windows = -(-rows // memory)
        # Windows overlap by half: the first half is memory alone, the second is predicted.
        filled = jnp.pad(driven, ((memory, windows * memory - rows), (0, 0), (0, 0)))
        blocks = filled.reshape(windows + 1, memory, 4, hidden)
        spans = jnp.concatenate([blocks[:-1], blocks[1:]], axis=1) + parameters["bias"]["gates"]

        def step(carry: tuple[Array, Array], given: Array) -> tuple[tuple[Array, Array], Array]:
            state, cell = carry
            gates = given + jnp.einsum("wh,ghk->wgk", state, parameters["state"]["gates"])
            write, keep = jax.nn.sigmoid(gates[:, 0]), jax.nn.sigmoid(gates[:, 1])
            cell = keep * cell + write * jnp.tanh(gates[:, 3])
            state = jax.nn.sigmoid(gates[:, 2]) * jnp.tanh(cell)
            return (state, cell), state @ parameters["output"]

        zero = jnp.zeros((windows, hidden))
        _, predicted = jax.lax.scan(step, (zero, zero), spans.swapaxes(0, 1))
        return predicted[memory:].T.reshape(-1)[:rows] + parameters["bias"]["output"]

    return Architecture(start, predict)
