"""The recurrent decoder against loops; no edge, no influence (Claim 1); Hill at its extremes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmm_bayes.causal_mmm.networks.recurrent import RecurrentDecoder, Step

from .small import CHAIN, HIDDEN, NODES, recurrent, series

NDArray = np.ndarray[Any, Any]


LENGTH = 9
VALUES = np.asarray(series(seed=20, shops=1, length=LENGTH)[0], np.float32)
CONTEXT = np.random.default_rng(21).normal(size=(LENGTH, 1)).astype(np.float32)
SEEN = np.ones((LENGTH, NODES), np.float32)

# One program per combination of settings; the observed steps are data of the loop below.
predictions = eqx.filter_jit(RecurrentDecoder.predictions)
step = eqx.filter_jit(RecurrentDecoder.step)


def predicted(
    decoder: RecurrentDecoder, values: NDArray = VALUES, edges: NDArray = CHAIN, every: int = 1
) -> NDArray:
    given = (jnp.asarray(x, jnp.float32) for x in (values, SEEN, CONTEXT, edges))
    return np.asarray(predictions(decoder, *given, every))


def perceptron(network: eqx.nn.MLP, inputs: NDArray) -> NDArray:
    first, last = network.layers
    hidden = np.asarray(first.weight) @ inputs + np.asarray(first.bias)
    hidden = np.where(hidden > 0, hidden, np.expm1(hidden))
    return np.asarray(last.weight) @ hidden + np.asarray(last.bias)


@pytest.mark.parametrize("centred", [True, False])
def test_a_step_is_the_loop_over_all_pairs(centred: bool) -> None:
    decoder = recurrent(centred=centred)
    random = np.random.default_rng(22)
    edges = random.uniform(size=(NODES, NODES)) * (1 - np.eye(NODES))
    values, context = random.normal(size=NODES), random.normal(size=1)
    hidden = random.normal(size=(NODES, HIDDEN))
    found = step(decoder, *(jnp.asarray(x, jnp.float32) for x in (edges, context, hidden, values)))
    names, unit = np.asarray(decoder.names), eqx.filter_jit(decoder.unit)

    def edge(i: int, j: int, value: float) -> NDArray:
        sent = np.asarray(decoder.sender.weight) @ [value, *names[i]]
        inside = np.asarray(decoder.receiver.weight) @ [values[j], *names[j], *hidden[j]]
        inside = np.tanh(sent + inside + np.asarray(decoder.receiver.bias))
        return np.asarray(decoder.spread.weight) @ inside + np.asarray(decoder.spread.bias)

    for j in range(NODES):
        message = np.zeros(HIDDEN)
        for i in set(range(NODES)) - {j}:
            at_mean = edge(i, j, 0.0) if centred else 0.0
            message += edges[i, j] * (edge(i, j, values[i]) - at_mean)
        inputs = jnp.asarray([*message, values[j], *names[j]], jnp.float32)
        after = np.asarray(unit(inputs, jnp.asarray(hidden[j], jnp.float32)))
        np.testing.assert_allclose(found.hidden[j], after, rtol=1e-4, atol=1e-5)
        (mean,) = perceptron(decoder.predict, np.array([*after, values[j], *names[j]]))
        if j == NODES - 1:
            effect = np.log1p(np.exp(mean))
            alpha = np.log1p(np.exp(perceptron(decoder.alpha, context)[0])) + 0.1
            gamma = np.log1p(np.exp(perceptron(decoder.gamma, context)[0])) + 0.01
            curve = effect**alpha / (effect**alpha + gamma)
            mean = float(decoder.line[0]) + float(decoder.line[1]) * curve
        np.testing.assert_allclose(found.mean[j], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("every", [1, 3])
def test_predictions_are_those_of_stepping_by_hand(every: int) -> None:
    decoder = recurrent()
    seen = SEEN.copy()
    seen[3, 1] = seen[6, 2] = seen[6, 0] = 0.0
    values = np.where(seen > 0, VALUES, 100.0)  # what stands at a missing value must not matter
    given = (jnp.asarray(x) for x in (values, seen, CONTEXT))
    found = predictions(decoder, *given, jnp.asarray(CHAIN, jnp.float32), every)
    state = Step(decoder.start(), jnp.zeros(NODES))
    for t in range(LENGTH - 1):
        known = (seen[t] > 0) & (t % every == 0)
        inputs = jnp.where(known, values[t], state.mean)
        edges, context = jnp.asarray(CHAIN, jnp.float32), jnp.asarray(CONTEXT[t + 1])
        state = step(decoder, edges, context, state.hidden, inputs)
        np.testing.assert_allclose(found[t], state.mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["chain", "cycle", "full"])
def test_without_an_edge_a_prediction_never_changes(name: str) -> None:
    # In the chain, node 0 reaches node 2 only through node 1.
    edges = {"chain": CHAIN, "cycle": CHAIN + CHAIN.T, "full": 1.0 - np.eye(NODES)}[name]
    decoder = recurrent()
    before = predicted(decoder, edges=edges)
    for i, j in permutations(range(NODES), 2):
        values = VALUES.copy()
        values[:, i] = series(seed=23, shops=1, length=LENGTH)[0, :, i]
        after = predicted(decoder, values, edges)
        if edges[i, j]:
            assert (before[:, j] != after[:, j]).all()
        else:
            np.testing.assert_array_equal(before[:, j], after[:, j])


def test_an_edge_from_a_source_at_its_mean_says_nothing() -> None:
    values = VALUES.copy()
    values[:, 0] = 0.0
    without = CHAIN.copy()
    without[0] = 0.0
    centred, free = (
        predicted(recurrent(centred=c), values, CHAIN)
        != predicted(recurrent(centred=c), values, without)
        for c in (True, False)
    )
    assert not centred.any()
    np.testing.assert_array_equal(free.any(0), CHAIN[0] > 0)


def test_a_change_reaches_the_next_time_and_never_the_past() -> None:
    decoder, t = recurrent(), 4
    for i in range(NODES):
        values = VALUES.copy()
        values[t, i] += 1.0
        changed = predicted(decoder, values) != predicted(decoder)
        assert not changed[:t].any()  # row t predicts time t + 1
        np.testing.assert_array_equal(changed[t], (CHAIN[i] > 0) | (np.arange(NODES) == i))
        assert changed[t + 1 :, i].all()  # it is remembered


def test_markov_forgets() -> None:
    decoder, t = recurrent(markov=True), 4
    values = VALUES.copy()
    values[t] += 1.0
    changed = predicted(decoder, values) != predicted(decoder)
    np.testing.assert_array_equal(changed.any(1), np.arange(LENGTH - 1) == t)


@pytest.mark.parametrize("size", [1.0, 1e3])
def test_hill_rises_within_its_line(size: float) -> None:
    decoder = recurrent()
    low, height = np.asarray(decoder.line)
    effects = jnp.asarray([-1e30, -1e4, *np.linspace(-8, 8, 33), 1e4, 1e30])
    for context in (-size, 0.0, size):
        hill = jax.jit(jax.vmap(decoder.hill, in_axes=(0, None)))
        found = np.asarray(hill(effects, jnp.asarray([context])))
        assert np.isfinite(found).all()
        assert (np.diff(found) * np.sign(height) >= 0).all()
        assert (found - low >= min(height, 0) - 1e-5).all()
        assert (found - low <= max(height, 0) + 1e-5).all()
        if size == 1.0:
            assert (np.diff(found[2:-2]) * np.sign(height) > 0).all()
        slopes = jax.vmap(jax.grad(decoder.hill), in_axes=(0, None))
        assert np.isfinite(jax.jit(slopes)(effects, jnp.asarray([context]))).all()


def test_without_saturation_the_target_is_as_the_others() -> None:
    with_hill, without = recurrent(), recurrent(saturation=False)
    one, two = predicted(with_hill), predicted(without)
    np.testing.assert_allclose(one[:, :-1], two[:, :-1], rtol=1e-5)
    low, height = np.asarray(with_hill.line)
    hill = jax.jit(jax.vmap(with_hill.hill))
    alone = np.asarray(hill(jnp.asarray(two[:, -1]), jnp.asarray(CONTEXT[1:])))
    np.testing.assert_allclose(one[:, -1], alone, rtol=1e-4)
    assert min(low, low + height) <= alone.min() <= alone.max() <= max(low, low + height)
