r"""Gibbs sampling of a shop's edges from their posterior under the additive decoder.

The encoder gives a first approximation. Given the learned mechanisms, the posterior of a shop's
edges is known up to a constant. Every conditional

.. math:: \log \frac{P(z_{ij} = 1 \mid z_{-ij}, x)}{P(z_{ij} = 0 \mid z_{-ij}, x)}
          = \operatorname{logit} \pi_{rij} + \log p(x_j \mid z_{ij} = 1)
          - \log p(x_j \mid z_{ij} = 0)

needs two marginal likelihoods, and the component ``r`` of the prior given all edges is categorical.
Chains start at edges drawn from the encoder; edge probabilities are averages of the conditional
probabilities (Rao-Blackwell).

References
----------
George and McCulloch (1993), Variable selection via Gibbs sampling. JASA.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from mmm_bayes.causal_mmm.networks.additive import (
    AdditiveDecoder,
    Prior,
    TargetSums,
    marginal_of,
    target_sums,
)
from mmm_bayes.causal_mmm.networks.block_sweep import change, moved
from mmm_bayes.causal_mmm.networks.lagged import Lagged, Layout
from mmm_bayes.causal_mmm.networks.prior import GraphPrior, impose, mixed_logits, responsibilities

Array = jax.Array

# Number of shops at a time. On a CPU the tables of one shop just fit into a core's cache.
_TOGETHER = {"cpu": 1}
_TOGETHER_ELSEWHERE = 64


class EdgeDraws(NamedTuple):
    """Edge ``probability`` (shop, D, D), and ``edges`` of single draws (draw, shop, D, D)."""

    probability: Any
    edges: Any


class Mechanisms(NamedTuple):
    """Mechanisms per shop: ``mean`` (shop, source, block, target), and variance ``unknown``."""

    mean: Any
    unknown: Any


class _Target(NamedTuple):
    """State of one target of a shop while its edges are drawn.

    ``table`` (P + 1, P + 1) is the table of :mod:`mmm_bayes.causal_mmm.networks.block_sweep`, for
    coefficients in prior standard deviations. ``log_det`` is the log determinant of the blocks that
    are in, and ``means`` their squared prior means, which the last corner does not include.
    """

    table: Any
    log_det: Any
    means: Any


def _start(
    own: TargetSums, prior: Prior, layout: Layout, wanted: Array
) -> tuple[_Target, Array, Array]:
    """Build the table with the wanted blocks; also return which are in, and squared prior means.

    ``prior`` is that of the target with all edges. Wanted blocks are left out if they are
    numerically determined by others.
    """
    size, width = layout.block, layout.width
    sd, mean = prior.sd / prior.noise, prior.mean / prior.sd
    gram = sd[:, None] * own.gram * sd[None, :] + jnp.eye(width, dtype=sd.dtype)
    right = (sd * own.moment / prior.noise + mean)[:, None]
    corner = jnp.reshape(own.square / prior.noise**2, (1, 1))
    table = jnp.block([[gram, right], [right.T, corner]])
    out, first = jnp.zeros(()), layout.nodes * size
    squares = jnp.sum(mean[:first].reshape(layout.nodes, size) ** 2, axis=1)

    def let_in(state: _Target, given: tuple[Array, Array, Array]) -> tuple[_Target, Array]:
        source, by, square = given
        found = change(state.table, source * size, size, out)
        by = by * found.possible
        return _Target(
            moved(state.table, source * size, size, out, by, found.inverse),
            state.log_det + by * found.log_det,
            state.means + by * square,
        ), by

    found = change(table, first, layout.always, out)
    state = _Target(
        moved(table, first, layout.always, out, jnp.ones(()), found.inverse),
        found.log_det,
        jnp.sum(mean[first:] ** 2),
    )
    state, inside = jax.lax.scan(let_in, state, (jnp.arange(layout.nodes), wanted, squares))
    return state, inside, squares


def _visit_target(
    decoder: AdditiveDecoder,
    sums: Lagged,
    free: Array,
    logits: Array,
    target: Array,
    edges: Array,
    key: Array,
) -> tuple[Array, Array]:
    """Draw the edges into one target (source,) in turn, with their conditional probabilities."""
    layout, size = decoder.layout, decoder.layout.block
    own = target_sums(sums, target)
    prior = decoder.prior(jnp.ones_like(edges), target)
    itself = jnp.arange(layout.nodes) == target
    start, inside, squares = _start(own, prior, layout, jnp.where(itself, 1.0, edges))

    def visit(state: _Target, given: tuple[Array, ...]) -> tuple[_Target, tuple[Array, Array]]:
        source, uniform, edge, square, logit, may = given
        sign = 1.0 - 2.0 * edge
        found = change(state.table, source * size, size, edge)
        now = marginal_of(own, prior, state.table[-1, -1] + state.means, state.log_det)
        then = marginal_of(
            own, prior, state.table[-1, -1] + found.corner + state.means + sign * square,
            state.log_det + found.log_det,
        )  # fmt: skip
        p = jax.nn.sigmoid(logit + sign * (then - now))
        p = jnp.where(may & (found.possible > 0), p, edge)
        drawn = jnp.where(may, (uniform < p).astype(edge.dtype), edge)
        by = jnp.abs(drawn - edge)
        state = _Target(
            moved(state.table, source * size, size, edge, by, found.inverse),
            state.log_det + by * found.log_det,
            state.means + by * sign * square,
        )
        return state, (drawn, p)

    uniform = jax.random.uniform(key, edges.shape)
    given = (jnp.arange(layout.nodes), uniform, inside, squares, logits, free)
    drawn, p = jax.lax.scan(visit, start, given)[1]
    return jnp.where(free, drawn, edges), jnp.where(free, p, edges)


@functools.partial(jax.jit, static_argnames=("warmup", "draws"))
def sample_edges(
    rng_keys: Array,
    decoder: AdditiveDecoder,
    prior: GraphPrior,
    sums: Lagged,
    start: Array,
    warmup: int,
    draws: int,
    known: Mechanisms | None = None,
) -> EdgeDraws:
    """Draw the edges of shops.

    Parameters
    ----------
    rng_keys
        Random keys (shop,), so that a shop's edges do not depend on other shops.
    decoder, prior
        Trained decoder and prior of graphs.
    sums
        Sums of the lagged regression of the shops.
    start
        Edge probabilities to start from (shop, D, D).
    warmup, draws
        Number of sweeps over all edges that are discarded, and that are kept.
    known
        Mechanisms of each shop, in place of those of the decoder.
    """
    free = jnp.isnan(prior.fixed)
    nodes = free.shape[0]

    def sweep(
        state: Array, key: Array, own: Lagged, decoder: AdditiveDecoder
    ) -> tuple[Array, tuple[Array, Array]]:
        key_component, key_edges = jax.random.split(key)
        weights = responsibilities(prior, state)
        component = jax.random.categorical(key_component, jnp.log(weights + 1e-30))
        logits = mixed_logits(prior, jax.nn.one_hot(component, len(prior.log_weights)))
        visit = functools.partial(_visit_target, decoder, own)
        state, p = jax.vmap(visit, in_axes=(1, 1, 0, 1, 0), out_axes=(1, 1))(
            free, logits, jnp.arange(nodes), state, jax.random.split(key_edges, nodes)
        )
        return state, (state, p)

    def one(given: tuple[Array, Lagged, Array, Mechanisms | None]) -> tuple[Array, Array]:
        key, own, begin, mechanisms = given
        mine = decoder
        if mechanisms is not None:
            mine = eqx.tree_at(lambda tree: (tree.mean, tree.unknown), decoder, tuple(mechanisms))
        key_start, key_warmup, key_draws = jax.random.split(key, 3)
        state = (jax.random.uniform(key_start, begin.shape) < begin).astype(begin.dtype)
        state = impose(prior.fixed, state)
        step = lambda state, key: sweep(state, key, own, mine)  # noqa: E731
        quiet = lambda state, key: (step(state, key)[0], None)  # noqa: E731
        state, _ = jax.lax.scan(quiet, state, jax.random.split(key_warmup, warmup))
        _, (edges, p) = jax.lax.scan(step, state, jax.random.split(key_draws, draws))
        return jnp.mean(p, axis=0), edges

    together = _TOGETHER.get(jax.default_backend(), _TOGETHER_ELSEWHERE)
    probability, edges = jax.lax.map(one, (rng_keys, sums, start, known), batch_size=together)
    return EdgeDraws(probability, jnp.swapaxes(edges, 0, 1))
