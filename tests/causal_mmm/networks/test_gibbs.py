"""Gibbs sampling of edges against the enumeration of all graphs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp

from mmm_bayes.causal_mmm.networks.gibbs import EdgeDraws, sample_edges
from mmm_bayes.causal_mmm.networks.lagged import Lagged
from mmm_bayes.causal_mmm.networks.prior import GraphPrior

from .small import NODES, additive, graphs, prepared, series

NDArray = np.ndarray[Any, Any]


CHAINS, DRAWS = 16, 300
FREE = np.where(np.eye(NODES), 0.0, np.nan)
FIXED = FREE.copy()
FIXED[0, 1], FIXED[1, 2] = 1.0, 0.0


def prior_of(fixed: NDArray) -> GraphPrior:
    logits = 1.5 * np.random.default_rng(40).normal(size=(2, NODES, NODES))
    given = (logits, np.log([0.3, 0.7]), fixed)
    return GraphPrior(*(jnp.asarray(x, jnp.float32) for x in given))


@pytest.fixture(scope="module")
def sums() -> Lagged:
    # Twelve rows: all edges are in doubt.
    found = prepared(series(seed=41, shops=1, length=14)).shops.sums
    return jax.tree.map(lambda x: jnp.repeat(x, CHAINS, axis=0), found)


@jax.jit
def _likelihood(sums: Lagged, edges: Any) -> Any:
    own = jax.tree.map(lambda x: x[0], sums)
    return jax.vmap(lambda z: additive().log_likelihood(own, z).sum())(edges)


def exact(sums: Lagged, prior: GraphPrior) -> NDArray:
    """Probability of every edge, over all graphs and both components."""
    fixed, logits = np.asarray(prior.fixed), np.asarray(prior.logits, float)
    every = graphs(fixed)
    chance = np.where(every[:, None] == 1, expit(logits), expit(-logits))
    of_graphs = np.log(np.where(np.isnan(fixed), chance, 1.0)).sum((-1, -2))
    of_graphs = logsumexp(of_graphs + np.asarray(prior.log_weights), axis=1)
    log = of_graphs + np.asarray(_likelihood(sums, jnp.asarray(every, jnp.float32)), float)
    weight = np.exp(log - logsumexp(log))
    assert weight.max() < 0.9
    return np.einsum("g,gij->ij", weight, every)


def sampled(sums: Lagged, prior: GraphPrior) -> EdgeDraws:
    start = jnp.full((CHAINS, NODES, NODES), 0.5)
    keys = jax.random.split(jax.random.key(42), CHAINS)
    found = sample_edges(keys, additive(), prior, sums, start, 20, DRAWS)
    return EdgeDraws(np.asarray(found.probability), np.asarray(found.edges))


@pytest.mark.parametrize("fixed", [FREE, FIXED], ids=["free", "fixed"])
def test_probabilities_are_those_of_all_graphs(fixed: NDArray, sums: Lagged) -> None:
    prior = prior_of(fixed)
    found, wanted = sampled(sums, prior), exact(sums, prior)
    assert found.edges.shape == (DRAWS, CHAINS, NODES, NODES)
    # Chains are independent: their spread is the Monte Carlo error. 1e-5 is single precision's.
    for each in (found.probability, found.edges.mean(0)):
        error = each.std(0, ddof=1) / np.sqrt(CHAINS)
        assert (np.abs(each.mean(0) - wanted) < 4 * error + 1e-5).all()
    known = ~np.isnan(fixed)
    assert (found.edges[..., known] == fixed[known]).all()
    assert (found.probability[..., known] == fixed[known]).all()
    assert np.isin(found.edges, (0.0, 1.0)).all()
    free = np.isnan(fixed)
    # Means of conditional probabilities spread less than shares of draws.
    assert (found.probability.std(0)[free] < found.edges.mean(0).std(0)[free]).all()


def test_a_prior_of_one_component_and_no_rows_comes_back() -> None:
    empty = jax.tree.map(
        lambda x: jnp.zeros((CHAINS, *x.shape[1:])), prepared(series(length=14)).shops.sums
    )
    prior = prior_of(FREE)._replace(log_weights=jnp.array([-1e9, 0.0]))
    found = sampled(empty, prior).probability
    wanted = np.where(np.isnan(FREE), expit(np.asarray(prior.logits[1], float)), 0.0)
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=1e-5)
