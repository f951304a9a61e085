r"""Rounds of Monte Carlo EM after training: draw edges from their posterior, then learn given them.

Stochastic variational inference learns with relaxed edges that are independent given the series.
If series are short, components of the prior can become blends of several graphs, and false edges
can acquire mechanisms. A round

1. draws the edges :math:`z_n` of every training shop by Gibbs sampling, starting from the edges of
   the previous round (:mod:`mmm_bayes.causal_mmm.networks.gibbs`); the first rounds use a sparser
   prior;
2. sets the components of the prior and their weights to the frequencies of the drawn edges;
3. takes gradient steps of the decoder on :math:`\log p(x_n \mid z_n)`, and of the encoder towards
   the drawn edges, in one pass over all shops.

A shop's edges are judged by mechanisms learned from the *other* shops. With the gradient
:math:`g_{nij}` of :math:`\log p(x_n \mid z_n)` with respect to the shared mechanism :math:`B_{ij}`,
the precision :math:`\Lambda_{ij} = 1 / s^2 + \sum_n z_{nij} \lambda_j` of that mechanism given all
shops, and the contribution :math:`\lambda_j` of a single shop,

.. math:: B_{ij}^{(-n)} = B_{ij} - \frac{g_{nij}}{\Lambda_{ij} - z_{nij} \lambda_j}, \qquad
          v_{ij}^{(-n)} = \frac{1}{\Lambda_{ij} - z_{nij} \lambda_j},

which is a Gaussian posterior without the shop (if :math:`B` is at its mode). An edge that only one
shop has is therefore judged by the prior of mechanisms, however well a mechanism fitted to that
shop may suit it. This is Gibbs sampling with the mechanisms integrated out.

References
----------
Wei and Tanner (1990), A Monte Carlo implementation of the EM algorithm. JASA.
Delyon, Lavielle and Moulines (1999), Convergence of a stochastic approximation version of the EM
algorithm. Annals of Statistics.
Liu (1994), The collapsed Gibbs sampler in Bayesian computations. JASA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.gibbs import Mechanisms, sample_edges
from mmm_bayes.causal_mmm.networks.model import (
    PSEUDO_COUNTS,
    Networks,
    Objective,
    Shops,
    edge_logits,
    graph_prior,
    mechanism_penalty,
    regression_sums,
)
from mmm_bayes.causal_mmm.networks.prior import (
    GraphPrior,
    component_log_probabilities,
    responsibilities,
)
from mmm_bayes.causal_mmm.networks.shop_blocks import edges_by_block, take

Array = jax.Array

_SWEEPS = 2
_STEP, _LAST_STEP = 0.01, 0.05  # initial step size of Adam, and its final share
# The sparse component, for shops with a graph of their own, keeps at least this probability.
_OWN_GRAPH = 0.05
# In the first 60% of rounds, every fourth round moves components that fewer than one shop has.
_DEAD, _EVERY, _EARLY = 1.0, 4, 0.6
# The first rounds reduce the logits of edges by the ratio of columns to rows of a shop's
# regression, at most by this much: the fewer the rows, the better false edges fit.
_SPARSEST = 3.0
_LATEST = 0.2  # weight of the latest round in the running mean of probabilities


class State(NamedTuple):
    """State between two rounds.

    Attributes
    ----------
    round
        Number of rounds that are done.
    networks
        Arrays of the networks, ``None`` in place of other leaves.
    steps
        State of the optimiser.
    edges
        Latest draw of the edges of each shop (shop, D, D).
    probability
        Edge probabilities of each shop (shop, D, D), a running mean over the rounds.
    pull
        Gradient of each shop's log likelihood in the shared mechanisms (shop, D, B, D).
    """

    round: Any
    networks: Networks
    steps: Any
    edges: Any
    probability: Any
    pull: Any


class Rounds(NamedTuple):
    """Number of rounds, and number of shops per step."""

    number: int
    size: int


def first_state(networks: Networks, objective: Objective, shops: Shops, rounds: Rounds) -> State:
    """Make the state before the first round, at the encoder's probabilities."""
    decoder = _additive(networks)
    known = eqx.tree_at(lambda tree: tree.unknown, decoder, jnp.zeros_like(decoder.unknown))
    arrays = eqx.filter(networks._replace(decoder=known), eqx.is_inexact_array)
    edges = edges_by_block(networks.encoder, objective, shops)
    learned = (arrays.encoder, arrays.decoder)
    steps = _optimiser(rounds, len(edges)).init(learned)
    pull = jnp.zeros((len(edges), *decoder.mean.shape))
    return State(jnp.zeros((), jnp.int32), arrays, steps, edges, edges, pull)


def networks_of(state: State, networks: Networks) -> Networks:
    """Combine networks with the arrays of a state."""
    found: Networks = eqx.combine(state.networks, networks)
    return found


def monte_carlo_em(
    rng_key: Array,
    networks: Networks,
    objective: Objective,
    shops: Shops,
    rounds: Rounds,
    state: State,
) -> Iterator[tuple[State, float]]:
    """Run the remaining rounds, and yield the state and the loss per shop after each.

    Parameters
    ----------
    rng_key
        Random key of the edges and batches of all rounds.
    networks
        Networks with the additive decoder; their arrays are taken from the state.
    objective, shops
        Constants of the objective, and training shops.
    rounds, state
        Number of rounds and size of a step, and the state to continue from.
    """
    static = eqx.filter(networks, eqx.is_inexact_array, inverse=True)
    while (done := int(state.round)) < rounds.number:
        key = jax.random.fold_in(rng_key, done)
        state, loss = one_round(key, static, objective, shops, rounds, state)
        yield state, float(loss)


@eqx.filter_jit
def one_round(
    rng_key: Array,
    static: Networks,
    objective: Objective,
    shops: Shops,
    rounds: Rounds,
    state: State,
) -> tuple[State, Array]:
    """Draw edges, set components, and take gradient steps; also return the loss per shop.

    Parameters
    ----------
    rng_key
        Random key of the round.
    static
        Leaves of the networks that are not arrays.
    objective, shops, rounds, state
        As in :func:`monte_carlo_em`.
    """
    key_edges, key_batches = jax.random.split(rng_key)
    networks: Networks = eqx.combine(state.networks, static)
    decoder, count = _additive(networks), len(state.edges)
    early = state.round / (_EARLY * rounds.number)
    prior = graph_prior(objective, networks.components, networks.weights)
    few = decoder.layout.width / jnp.maximum(jnp.mean(shops.sums.count), 1.0)
    sparser = jnp.minimum(few, _SPARSEST) * jnp.maximum(1.0 - early, 0.0)
    drawn = sample_edges(
        jax.random.split(key_edges, count),
        decoder,
        prior._replace(logits=prior.logits - sparser),
        regression_sums(decoder, shops),
        state.edges,
        0,
        _SWEEPS,
        leave_one_out_mechanisms(decoder, shops, state),
    )
    components, weights = learned_components(prior, drawn.edges)
    move = (state.round % _EVERY == _EVERY - 1) & (early < 1.0)
    components, weights = jax.lax.cond(
        move, moved_components, lambda *same: same[1:3],
        objective, components, weights, drawn.edges[-1],
    )  # fmt: skip
    batches = jnp.resize(
        jax.random.permutation(key_batches, count), (_steps_per_round(rounds, count), rounds.size)
    )
    optimiser = _optimiser(rounds, count)
    learned = (state.networks.encoder, state.networks.decoder)

    def step(carry: Any, at: Array) -> Any:
        learned, steps, pull = carry
        some = take(shops, at)
        given = (static, objective, some, drawn.edges[-1][at], drawn.probability[at], count)
        none = jnp.zeros((len(at), *pull.shape[1:]))
        loss, (slope, pulls) = jax.value_and_grad(_loss, (0, 1))(learned, none, *given)
        updates, steps = optimiser.update(slope, steps, learned)
        # The loss is a mean of negative log likelihoods: undo the mean and the sign.
        pull = pull.at[at].set(-len(at) * pulls)
        return (optax.apply_updates(learned, updates), steps, pull), loss

    carry = (learned, state.steps, state.pull)
    ((encoder, inner), steps, pull), losses = jax.lax.scan(step, carry, batches)
    arrays = Networks(encoder, inner, components, weights)
    probability = state.probability + _LATEST * (drawn.probability - state.probability)
    after = State(state.round + 1, arrays, steps, drawn.edges[-1], probability, pull)
    return after, jnp.mean(losses)


def leave_one_out_mechanisms(decoder: AdditiveDecoder, shops: Shops, state: State) -> Mechanisms:
    """Compute each shop's mechanisms from the other shops; effects of own pasts are not changed."""
    edges = state.edges
    size, per_shop = decoder.mechanism_variances(edges, shops.sums.count)
    known = 1.0 / size + (jnp.sum(edges, axis=0) - edges)[:, :, None, :] / per_shop
    others = 1.0 - jnp.eye(decoder.layout.nodes)[:, None, :]
    shift = state.pull * jnp.repeat(others / known, decoder.layout.lags, axis=2)
    return Mechanisms(decoder.mean - shift, 1.0 / known)


def _loss(
    learned: tuple[Any, Any],
    shifts: Array,
    static: Networks,
    objective: Objective,
    shops: Shops,
    edges: Array,
    probabilities: Array,
    count: int,
) -> Array:
    """Compute the loss per shop: of the series given edges, and of the encoder's probabilities.

    ``shifts`` (shop, source, block, target) of each shop's mechanisms are zero; their gradient is
    the pull of the shop.
    """
    encoder, decoder = eqx.combine(learned, (static.encoder, static.decoder))

    def of_shop(sums: Any, own: Array, shift: Array) -> Array:
        shifted = eqx.tree_at(lambda tree: tree.mean, decoder, decoder.mean + shift)
        return jnp.sum(shifted.log_likelihood(sums, own))

    series = jax.vmap(of_shop)(regression_sums(decoder, shops), edges, shifts)
    logits = edge_logits(encoder, shops)
    each = optax.sigmoid_binary_cross_entropy(logits[..., 1] - logits[..., 0], probabilities)
    each = jnp.sum(jnp.where(jnp.isnan(objective.fixed), each, 0.0), axis=(-1, -2))
    return jnp.mean(each - series) + mechanism_penalty(decoder) / count


def learned_components(prior: GraphPrior, edges: Array) -> tuple[Array, Array]:
    r"""Set the learned components: logits of edges (component, D, D), and logits of all weights.

    Given draws, the edge probabilities of a component are

    .. math:: \pi_{rij} = \frac{\sum_n w_{nr} z_{nij} + c \, \pi_{0ij}}{\sum_n w_{nr} + c}

    with responsibilities :math:`w`, the sparse prior :math:`\pi_0` and :math:`c` pseudo-counts.

    Parameters
    ----------
    prior
        Prior that assigns the draws to components.
    edges
        Draws of edges (draw, shop, D, D).
    """
    share = responsibilities(prior, edges) / len(edges)  # (draw, shop, component)
    size = jnp.sum(share, axis=(0, 1))
    having = jnp.einsum("msc,msij->cij", share, edges)[1:]
    start = PSEUDO_COUNTS * jax.nn.sigmoid(prior.logits[0])
    found = (having + start) / (size[1:, None, None] + PSEUDO_COUNTS)
    found = jnp.clip(found, 1e-4, 1.0 - 1e-4)
    return jnp.log(found) - jnp.log1p(-found), jnp.log(_weights(size))


def _weights(size: Array) -> Array:
    """Compute component weights from their numbers of shops; the first has a minimum."""
    weight = (size + 0.1) / jnp.sum(size + 0.1)
    own = jnp.maximum(weight[0], _OWN_GRAPH)
    rest = weight[1:] / jnp.maximum(jnp.sum(weight[1:]), 1e-6) * (1.0 - own)
    return jnp.concatenate([own[None], rest])


def moved_components(
    objective: Objective, components: Array, weights: Array, edges: Array
) -> tuple[Array, Array]:
    """Move each component without shops to the shop that the other components fit worst.

    Parameters
    ----------
    objective, components, weights
        The prior, as returned by :func:`learned_components`.
    edges
        One draw of edges (shop, D, D).
    """
    if not len(components):
        return components, weights
    count = len(edges)
    sparse = jax.nn.sigmoid(objective.sparse)

    def place(k: int, found: tuple[Array, Array]) -> tuple[Array, Array]:
        components, weights = found
        prior = graph_prior(objective, components, weights)
        fit = jax.scipy.special.logsumexp(component_log_probabilities(prior, edges), axis=-1)
        own = (edges[jnp.argmin(fit)] + sparse) / 2.0
        share = jax.nn.softmax(weights)
        dead = share[k + 1] * count < _DEAD
        share = share.at[k + 1].set(jnp.where(dead, 1.0 / len(share), share[k + 1]))
        logits = jnp.where(dead, jnp.log(own) - jnp.log1p(-own), components[k])
        return components.at[k].set(logits), jnp.log(share / jnp.sum(share))

    return jax.lax.fori_loop(0, len(components), place, (components, weights))


def _additive(networks: Networks) -> AdditiveDecoder:
    assert isinstance(networks.decoder, AdditiveDecoder)
    return networks.decoder


def _steps_per_round(rounds: Rounds, count: int) -> int:
    return -(-count // rounds.size)


def _optimiser(rounds: Rounds, count: int) -> optax.GradientTransformation:
    steps = rounds.number * _steps_per_round(rounds, count)
    schedule = optax.cosine_decay_schedule(_STEP, steps, _LAST_STEP)
    return optax.chain(optax.clip_by_global_norm(100.0), optax.adam(schedule))
