r"""The prior of graphs: a mixture over latent graphs.

.. math:: p(z) = \sum_r \omega_r \prod_{i \ne j} \pi_{rij}^{z_{ij}} (1 - \pi_{rij})^{1 - z_{ij}},

whose first component is the sparse prior of the paper, with one probability for all edges or the
experts' probability of each; the other components are learned, and represent graphs shared by
shops. Required and forbidden edges have probability one and zero in every component.

References
----------
Chu, Wang, Ma, Jia, Zhou and Yang (2020), Inductive Granger causal modeling for multivariate time
series. ICDM (prototypes of graphs shared by series).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

Array = jax.Array


class GraphPrior(NamedTuple):
    """Logits of edges in each component (component, D, D), and log weights (component,).

    ``fixed`` (D, D) is 1 for required edges, 0 for forbidden edges and the diagonal, and NaN for
    all others.
    """

    logits: Any
    log_weights: Any
    fixed: Any


def impose(fixed: Array, edges: Array) -> Array:
    """Set required edges (..., D, D) to one and forbidden edges to zero."""
    return jnp.where(jnp.isnan(fixed), edges, jnp.nan_to_num(fixed))


def component_log_probabilities(prior: GraphPrior, edges: Array) -> Array:
    """Add each component's log weight to the expected log probability of edges (..., D, D)."""
    free = jnp.isnan(prior.fixed)
    present = jax.nn.log_sigmoid(prior.logits)
    absent = jax.nn.log_sigmoid(-prior.logits)
    each = edges[..., None, :, :] * present + (1.0 - edges[..., None, :, :]) * absent
    return prior.log_weights + jnp.sum(jnp.where(free, each, 0.0), axis=(-1, -2))


def responsibilities(prior: GraphPrior, edges: Array) -> Array:
    """Compute component probabilities (..., component) given edges or their probabilities."""
    return jax.nn.softmax(component_log_probabilities(prior, edges), axis=-1)


def divergence(prior: GraphPrior, probabilities: Array) -> Array:
    r"""Compute an upper bound (...) of the divergence of independent edges from the prior.

    .. math:: \sum_{ij} \bigl(q \log q + (1 - q) \log (1 - q)\bigr)
              - \log \sum_r \omega_r \exp E_q \log p_r(z),

    exact with one component.
    """
    q = jnp.clip(probabilities, 1e-6, 1.0 - 1e-6)
    entropy = -(q * jnp.log(q) + (1.0 - q) * jnp.log1p(-q))
    entropy = jnp.sum(jnp.where(jnp.isnan(prior.fixed), entropy, 0.0), axis=(-1, -2))
    return -entropy - logsumexp(component_log_probabilities(prior, q), axis=-1)


def mixed_logits(prior: GraphPrior, weights: Array) -> Array:
    """Mix the logits of edges (..., D, D) by one-hot or soft components (..., component)."""
    return jnp.einsum("...c,cij->...ij", weights, prior.logits)
