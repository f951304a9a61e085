r"""Edges of a shop from their posterior under the additive decoder, by Gibbs sampling.

The encoder looks at a shop once. Given the mechanisms that were learned, the posterior of a shop's
edges is known up to a constant: every conditional

.. math:: \log \frac{P(z_{ij} = 1 \mid z_{-ij}, x)}{P(z_{ij} = 0 \mid z_{-ij}, x)}
          = \operatorname{logit} \pi_{rij} + \log p(x_j \mid z_{ij} = 1)
          - \log p(x_j \mid z_{ij} = 0)

has two marginal likelihoods, and the component ``r`` of the prior given all edges is a categorical
draw. Chains start at the encoder's edges; edge probabilities are means of the conditionals
(Rao-Blackwell).

References
----------
George and McCulloch (1993), Variable selection via Gibbs sampling. JASA.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mmm_bayes.graph_learning.additive import AdditiveDecoder, log_marginal, target_sums
from mmm_bayes.graph_learning.lagged import Lagged
from mmm_bayes.graph_learning.prior import GraphPrior, impose, mixed_logits, responsibilities

Array = jax.Array

_TOGETHER = 16  # shops at a time: bounds memory


class EdgeDraws(NamedTuple):
    """``probability`` (shop, D, D), and edges of single draws (draw, shop, D, D)."""

    probability: Any
    edges: Any


def _visit_target(
    decoder: AdditiveDecoder,
    sums: Lagged,
    free: Array,
    logits: Array,
    target: Array,
    edges: Array,
    key: Array,
) -> tuple[Array, Array]:
    """Draw the edges into one target (source,) in turn; also their conditional probabilities."""
    own = target_sums(sums, target)

    def visit(edges: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        source, uniform = given
        both = jnp.stack([edges.at[source].set(0.0), edges.at[source].set(1.0)])
        log = jax.vmap(lambda z: log_marginal(own, decoder.prior(z, target)))(both)
        p = jax.nn.sigmoid(logits[source] + log[1] - log[0])
        p = jnp.where(free[source], p, edges[source])
        drawn = jnp.where(free[source], (uniform < p).astype(edges.dtype), edges[source])
        return edges.at[source].set(drawn), p

    uniform = jax.random.uniform(key, edges.shape)
    return jax.lax.scan(visit, edges, (jnp.arange(len(edges)), uniform))


@functools.partial(jax.jit, static_argnames=("warmup", "draws"))
def sample_edges(
    rng_keys: Array,
    decoder: AdditiveDecoder,
    prior: GraphPrior,
    sums: Lagged,
    start: Array,
    warmup: int,
    draws: int,
) -> EdgeDraws:
    """Draw the edges of shops.

    Parameters
    ----------
    rng_keys
        Keys (shop,): a shop's edges do not depend on the shops beside it.
    decoder, prior
        As trained.
    sums
        Of the shops.
    start
        Edge probabilities to start at (shop, D, D).
    warmup, draws
        Sweeps over all edges that are thrown away, and that are kept.
    """
    free = jnp.isnan(prior.fixed)
    nodes = free.shape[0]

    def sweep(state: Array, key: Array, own: Lagged) -> tuple[Array, tuple[Array, Array]]:
        key_component, key_edges = jax.random.split(key)
        weights = responsibilities(prior, state)
        component = jax.random.categorical(key_component, jnp.log(weights + 1e-30))
        logits = mixed_logits(prior, jax.nn.one_hot(component, len(prior.log_weights)))
        visit = functools.partial(_visit_target, decoder, own)
        state, p = jax.vmap(visit, in_axes=(1, 1, 0, 1, 0), out_axes=(1, 1))(
            free, logits, jnp.arange(nodes), state, jax.random.split(key_edges, nodes)
        )
        return state, (state, p)

    def one(given: tuple[Array, Lagged, Array]) -> tuple[Array, Array]:
        key, own, begin = given
        key_start, key_warmup, key_draws = jax.random.split(key, 3)
        state = (jax.random.uniform(key_start, begin.shape) < begin).astype(begin.dtype)
        state = impose(prior.fixed, state)
        step = lambda state, key: sweep(state, key, own)  # noqa: E731
        quiet = lambda state, key: (step(state, key)[0], None)  # noqa: E731
        state, _ = jax.lax.scan(quiet, state, jax.random.split(key_warmup, warmup))
        _, (edges, p) = jax.lax.scan(step, state, jax.random.split(key_draws, draws))
        return jnp.mean(p, axis=0), edges

    probability, edges = jax.lax.map(one, (rng_keys, sums, start), batch_size=_TOGETHER)
    return EdgeDraws(probability, jnp.swapaxes(edges, 0, 1))
