"""Relaxed edges: their frequencies and gradients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from mmm_bayes.causal_mmm.networks.gumbel import GumbelSoftmaxEdges

LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2)) * 1.5, jnp.float32)
KEY = jax.random.key(1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_edges_are_as_frequent_as_their_logits_say(temperature: float) -> None:
    draws = 20_000
    edges = GumbelSoftmaxEdges(LOGITS, temperature).sample(KEY, (draws,))
    assert edges.shape == (draws, 3, 3)
    assert 0.0 <= edges.min() <= edges.max() <= 1.0
    chance = expit(np.asarray(LOGITS[..., 1] - LOGITS[..., 0], float))
    error = np.sqrt(chance * (1 - chance) / draws)
    assert (np.abs(np.mean(edges > 0.5, axis=0) - chance) < 4 * error).all()


def test_lower_temperatures_are_nearer_to_zero_and_one() -> None:
    between = [
        float(jnp.mean(edges * (1 - edges)))
        for t in (2.0, 1.0, 0.3, 0.05)
        for edges in [GumbelSoftmaxEdges(LOGITS, t).sample(KEY, (200,))]
    ]
    assert between == sorted(between, reverse=True)
    assert between[-1] < 0.02


def test_straight_through_edges_are_hard_with_the_gradient_of_relaxed_ones() -> None:
    def total(logits: jax.Array, hard: bool) -> jax.Array:
        return jnp.sum(GumbelSoftmaxEdges(logits, jnp.array(0.7), hard).rsample(KEY))

    relaxed = GumbelSoftmaxEdges(LOGITS, 0.7).sample(KEY)
    hard = GumbelSoftmaxEdges(LOGITS, 0.7, True).sample(KEY)
    # relaxed + (hard - relaxed) rounds once.
    np.testing.assert_allclose(hard, np.asarray(relaxed) > 0.5, atol=1e-6)
    slopes = [jax.grad(total)(LOGITS, which) for which in (True, False)]
    np.testing.assert_array_equal(*slopes)
    np.testing.assert_allclose(slopes[0][..., 1], relaxed * (1 - relaxed) / 0.7, rtol=1e-4)
    np.testing.assert_array_equal(slopes[0][..., 0], -slopes[0][..., 1])


def test_it_is_a_distribution_of_whole_graphs() -> None:
    edges = GumbelSoftmaxEdges(jnp.zeros((5, 3, 3, 2)), 1.0, validate_args=True).to_event(2)
    assert (edges.batch_shape, edges.event_shape) == ((5,), (3, 3))
    found = edges.log_prob(edges.sample(KEY))
    np.testing.assert_array_equal(found, np.zeros(5))
    assert edges.has_rsample
