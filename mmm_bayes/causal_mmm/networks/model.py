r"""CausalMMM as a NumPyro model and guide (section 3.3).

The model draws the edges of each shop, and its series given the edges; the guide draws the edges
from the encoder. Stochastic variational inference maximises

.. math:: E_{q(z \mid x)} \log p(x \mid z)
          - \lambda \, \mathrm{KL}\bigl(q(z \mid x) \,\|\, p(z)\bigr),

with the divergence of discrete edges in closed form, so that :math:`\lambda = 1` is the evidence
lower bound. The noise of the likelihood is learned (or given by the user), so that
:math:`\lambda` has the same meaning whatever the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import eqx_module

from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.encoder import Encoder
from mmm_bayes.causal_mmm.networks.gumbel import GumbelSoftmaxEdges
from mmm_bayes.causal_mmm.networks.lagged import Lagged, lagged_sums
from mmm_bayes.causal_mmm.networks.prior import GraphPrior, divergence, impose
from mmm_bayes.causal_mmm.networks.recurrent import RecurrentDecoder

Array = jax.Array

PSEUDO_COUNTS = 8.0
"""Weight, in shops, of the sparse prior's edges in the prior of each component."""

_MECHANISM_SD = 0.5


class Shops(NamedTuple):
    """Inputs of the networks.

    Attributes
    ----------
    values, observed
        Standardised series (shop, time, D), zero where missing, and 1 where observed, else 0.
    context
        Standardised context (shop, time, C).
    evidence
        Regression evidence of pairs (shop, source, target, F).
    sums
        Sums of the lagged regression, with the initial saturation of sources.
    """

    values: Any
    observed: Any
    context: Any
    evidence: Any
    sums: Lagged


class Networks(NamedTuple):
    """Encoder, decoder, and the learned components of the prior (all but the sparse one)."""

    encoder: Encoder
    decoder: AdditiveDecoder | RecurrentDecoder
    components: Any  # logits of edges (component, D, D)
    weights: Any  # logits of the components, with the sparse one first


class Objective(NamedTuple):
    r"""Constants of the training objective; ``D`` nodes.

    Attributes
    ----------
    sparse
        Logits (D, D) of the first component of the prior.
    fixed
        Required (1) and forbidden (0) edges (D, D), NaN elsewhere.
    penalty
        :math:`\lambda`.
    noise
        Standard deviation of the recurrent decoder's likelihood; NaN if it is learned.
    """

    sparse: Any
    fixed: Any
    penalty: Any
    noise: Any


class Steps(NamedTuple):
    """Static settings of training."""

    given_every: int
    straight_through: bool
    full_graph: bool


def graph_prior(objective: Objective, components: Array, weights: Array) -> GraphPrior:
    """Put the sparse component before the learned ones."""
    logits = jnp.concatenate([objective.sparse[None], components])
    return GraphPrior(logits, jax.nn.log_softmax(weights), objective.fixed)


def edge_logits(encoder: Encoder, shops: Shops) -> Array:
    """Compute the encoder's logits (shop, source, target, 2)."""
    return jax.vmap(encoder)(shops.values, shops.observed, shops.evidence)


@eqx.filter_jit
def edge_probabilities(encoder: Encoder, objective: Objective, shops: Shops) -> Array:
    """Compute the encoder's edge probabilities (shop, source, target)."""
    return impose(objective.fixed, jax.nn.softmax(edge_logits(encoder, shops))[..., 1])


def regression_sums(decoder: AdditiveDecoder, shops: Shops) -> Lagged:
    """Compute the sums of the lagged regression with the decoder's saturation of sources."""
    if decoder.saturation is None:
        return shops.sums
    return lagged_sums(
        shops.values, shops.observed, shops.context, decoder.layout, decoder.saturation
    )


def log_likelihood(
    decoder: AdditiveDecoder | RecurrentDecoder,
    objective: Objective,
    shops: Shops,
    edges: Array,
    given_every: int = 1,
) -> Array:
    """Compute the log likelihood (shop, target) given edges (shop, D, D)."""
    if isinstance(decoder, AdditiveDecoder):
        return jax.vmap(decoder.log_likelihood)(regression_sums(decoder, shops), edges)
    noise = jnp.where(jnp.isnan(objective.noise), jnp.exp(decoder.log_noise), objective.noise)

    def means_of(values: Array, observed: Array, context: Array, z: Array) -> Array:
        return decoder.predictions(values, observed, context, z, given_every)

    means = jax.vmap(means_of)(shops.values, shops.observed, shops.context, edges)
    each = dist.Normal(means, noise).log_prob(shops.values[:, 1:])
    return jnp.sum(each * shops.observed[:, 1:], axis=1)


def program(
    networks: Networks, objective: Objective, steps: Steps
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Make the model and the guide: functions of a batch of shops, temperature, share and weight.

    ``share`` is that of the batch in all shops, and scales the priors of shared parameters.
    ``weight`` multiplies the penalty and the gradient of the encoder: zero trains the decoder only.
    """
    nodes = objective.fixed.shape[0]

    def model(shops: Shops, temperature: Array, share: Array, weight: float = 1.0) -> None:
        decoder = eqx_module("decoder", networks.decoder)
        if isinstance(decoder, AdditiveDecoder):
            numpyro.factor("mechanisms", -share * mechanism_penalty(decoder))
        with numpyro.plate("shop", len(shops.values)):
            unit = dist.constraints.unit_interval
            edges = numpyro.sample("z", dist.ImproperUniform(unit, (), (nodes, nodes)))
            edges = impose(objective.fixed, edges)
            if steps.full_graph:
                edges = jnp.broadcast_to(1.0 - jnp.eye(nodes), edges.shape)
            each = log_likelihood(decoder, objective, shops, edges, steps.given_every)
            numpyro.factor("series", jnp.sum(each, axis=-1))

    def guide(shops: Shops, temperature: Array, share: Array, weight: float = 1.0) -> None:
        encoder = eqx_module("encoder", networks.encoder)
        components = numpyro.param("components", networks.components)
        weights = numpyro.param("weights", networks.weights)
        prior = graph_prior(objective, components, weights)
        logits = edge_logits(encoder, shops)
        fixed = jax.lax.stop_gradient(logits)
        logits = fixed + weight * (logits - fixed)
        probabilities = impose(objective.fixed, jax.nn.softmax(logits)[..., 1])
        # A factor in the guide counts as part of its log density, which is subtracted.
        numpyro.factor("components_prior", share * _component_penalty(objective, components))
        with numpyro.plate("shop", len(shops.values)):
            edges = GumbelSoftmaxEdges(logits, temperature, steps.straight_through)
            numpyro.sample("z", edges.to_event(2))
            penalty = weight * objective.penalty
            numpyro.factor("structure", penalty * divergence(prior, probabilities))

    return model, guide


def mechanism_penalty(decoder: AdditiveDecoder) -> Array:
    """Compute the negative log prior of the shared mechanisms, up to a constant."""
    penalty = 0.5 * jnp.sum(decoder.mean**2) / _MECHANISM_SD**2
    return penalty if decoder.bend is None else penalty + 0.5 * jnp.sum(decoder.bend**2)


def _component_penalty(objective: Objective, components: Array) -> Array:
    """Compute the negative log beta prior of the components' edges, around the sparse prior."""
    mean = jax.nn.sigmoid(objective.sparse)
    present, absent = jax.nn.log_sigmoid(components), jax.nn.log_sigmoid(-components)
    each = PSEUDO_COUNTS * (mean * present + (1.0 - mean) * absent)
    return -jnp.sum(jnp.where(jnp.isnan(objective.fixed), each, 0.0))


def parameters_of(networks: Networks, params: dict[str, Any]) -> Networks:
    """Insert trained parameters into the networks."""

    def filled(module: Any, name: str) -> Any:
        static = eqx.partition(module, eqx.is_inexact_array)[1]
        return eqx.combine(params[f"{name}$params"], static)

    return Networks(
        filled(networks.encoder, "encoder"),
        filled(networks.decoder, "decoder"),
        params["components"],
        params["weights"],
    )
