r"""What is known of graphs before a shop's series are seen.

A mixture over latent graphs,

.. math:: p(z) = \sum_r \omega_r \prod_{i \ne j} \pi_{rij}^{z_{ij}} (1 - \pi_{rij})^{1 - z_{ij}},

whose first component is the sparse prior of the paper, the same probability for all edges or what
experts give for each; the others are learned, and hold what shops have in common. Edges that are
required or forbidden have probability one or zero in every component.

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
    """Logits of edges in each component (component, D, D) and log weights (component,).

    ``fixed`` (D, D) is 1 for required edges, 0 for forbidden ones (the diagonal among them) and NaN
    for all others.
    """

    logits: Any
    log_weights: Any
    fixed: Any


def impose(fixed: Array, edges: Array) -> Array:
    """Edges (..., D, D) with required ones set to one and forbidden ones to zero."""
    return jnp.where(jnp.isnan(fixed), edges, jnp.nan_to_num(fixed))


def component_log_probabilities(prior: GraphPrior, edges: Array) -> Array:
    """Log weight and expected log probability of independent edges (..., D, D) by component."""
    free = jnp.isnan(prior.fixed)
    present = jax.nn.log_sigmoid(prior.logits)
    absent = jax.nn.log_sigmoid(-prior.logits)
    each = edges[..., None, :, :] * present + (1.0 - edges[..., None, :, :]) * absent
    return prior.log_weights + jnp.sum(jnp.where(free, each, 0.0), axis=(-1, -2))


def responsibilities(prior: GraphPrior, edges: Array) -> Array:
    """Probability of each component given edges or their probabilities (..., component)."""
    return jax.nn.softmax(component_log_probabilities(prior, edges), axis=-1)


def divergence(prior: GraphPrior, probabilities: Array) -> Array:
    r"""Upper bound (...) of the divergence of independent edges from the prior.

    .. math:: \sum_{ij} \bigl(q \log q + (1 - q) \log (1 - q)\bigr)
              - \log \sum_r \omega_r \exp E_q \log p_r(z),

    exact with one component.
    """
    q = jnp.clip(probabilities, 1e-6, 1.0 - 1e-6)
    entropy = -(q * jnp.log(q) + (1.0 - q) * jnp.log1p(-q))
    entropy = jnp.sum(jnp.where(jnp.isnan(prior.fixed), entropy, 0.0), axis=(-1, -2))
    return -entropy - logsumexp(component_log_probabilities(prior, q), axis=-1)


def mixed_logits(prior: GraphPrior, weights: Array) -> Array:
    """Logits of edges (..., D, D) given a component each, one-hot or soft (..., component)."""
    return jnp.einsum("...c,cij->...ij", weights, prior.logits)
