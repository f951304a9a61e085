"""The divergence from a mixture of graphs against the enumeration of all graphs."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from mmm_bayes.causal_mmm.networks.prior import (
    GraphPrior,
    divergence,
    impose,
    mixed_logits,
    responsibilities,
)

from .small import NODES, graphs

NDArray = np.ndarray[Any, Any]


FREE = np.where(np.eye(NODES), 0.0, np.nan)
FIXED = FREE.copy()
FIXED[0, 1], FIXED[2, 0] = 1.0, 0.0


def prior_of(components: int, fixed: NDArray = FREE, seed: int = 0) -> GraphPrior:
    random = np.random.default_rng(seed)
    logits = 1.5 * random.normal(size=(components, NODES, NODES))
    weights = random.dirichlet(np.ones(components))
    return GraphPrior(
        jnp.asarray(logits, jnp.float32), jnp.asarray(np.log(weights), jnp.float32),
        jnp.asarray(fixed, jnp.float32),
    )  # fmt: skip


def probability(edges: NDArray, of_edges: NDArray, fixed: NDArray) -> NDArray:
    """Of graphs (graph, D, D) with independent free edges."""
    each = np.where(edges == 1, of_edges, 1 - of_edges)
    return np.where(np.isnan(fixed), each, 1.0).prod((-1, -2))


def mixture(prior: GraphPrior, edges: NDArray) -> NDArray:
    """Joint probability of graphs and components (graph, component)."""
    fixed, of_edges = np.asarray(prior.fixed), expit(np.asarray(prior.logits, float))
    each = [probability(edges, p, fixed) for p in of_edges]
    return np.stack(each, -1) * np.exp(np.asarray(prior.log_weights, float))


@pytest.mark.parametrize("fixed", [FREE, FIXED], ids=["free", "fixed"])
@pytest.mark.parametrize("components", [1, 3])
def test_divergence_is_that_of_all_graphs(components: int, fixed: NDArray) -> None:
    prior = prior_of(components, fixed)
    random = np.random.default_rng(1)
    for _ in range(5):
        chances = random.uniform(0.02, 0.98, (NODES, NODES))
        every = graphs(fixed)
        q, p = probability(every, chances, fixed), mixture(prior, every).sum(-1)
        np.testing.assert_allclose([q.sum(), p.sum()], 1.0, rtol=1e-5)
        exact = float(np.sum(q * np.log(q / p)))
        found = float(divergence(prior, jnp.asarray(chances, jnp.float32)))
        if components == 1:
            np.testing.assert_allclose(found, exact, rtol=1e-4)
        else:
            assert found > exact
            # No looser than any single component is (the bound of the best of them).
            each = np.log(mixture(prior, every))
            assert found < np.min(np.sum(q[:, None] * (np.log(q)[:, None] - each), 0)) + 1e-4


def test_the_bound_is_sharp_for_certain_graphs() -> None:
    prior = prior_of(3)
    for graph in graphs(FREE)[::7]:
        found = float(divergence(prior, jnp.asarray(graph, jnp.float32)))
        # Probabilities of zero and one are moved by 1e-6: six edges with 6e-6 times 14 each.
        exact = -np.log(mixture(prior, graph[None]).sum())
        np.testing.assert_allclose(found, exact, atol=2e-4)


def test_fixed_edges_count_nothing() -> None:
    prior, random = prior_of(3, FIXED), np.random.default_rng(2)
    chances = random.uniform(0.02, 0.98, (NODES, NODES))
    other = np.where(np.isnan(FIXED), chances, 0.5)
    one, two = (divergence(prior, jnp.asarray(x, jnp.float32)) for x in (chances, other))
    assert one == two
    moved = prior._replace(logits=prior.logits + 3.0 * ~np.isnan(FIXED))
    assert divergence(moved, jnp.asarray(chances, jnp.float32)) == one


def test_responsibilities_follow_bayes_rule() -> None:
    prior = prior_of(3, FIXED)
    every = graphs(FIXED)
    joint = mixture(prior, every)
    found = responsibilities(prior, jnp.asarray(every, jnp.float32))
    np.testing.assert_allclose(found, joint / joint.sum(-1, keepdims=True), rtol=1e-4, atol=1e-7)


def test_impose_and_components() -> None:
    chances = np.random.default_rng(3).uniform(size=(5, NODES, NODES)).astype(np.float32)
    found = np.asarray(impose(jnp.asarray(FIXED), jnp.asarray(chances)))
    assert (found[:, 0, 1] == 1).all()
    assert (found[:, 2, 0] == 0).all()
    assert (np.diagonal(found, axis1=1, axis2=2) == 0).all()
    np.testing.assert_array_equal(found[:, np.isnan(FIXED)], chances[:, np.isnan(FIXED)])
    prior = prior_of(3)
    weights = jnp.eye(3)[jnp.array([2, 0])]
    np.testing.assert_array_equal(mixed_logits(prior, weights), prior.logits[np.array([2, 0])])
