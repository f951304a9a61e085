"""Draws from a trained CausalMMM in the panel's units: edges, series to come, series under do()."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.causal_mmm.inputs import Fitted, context_of, objective_of, one_blas_thread
from mmm_bayes.causal_mmm.spec import CausalMMMSpec
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.graph_learning.additive import AdditiveDecoder
from mmm_bayes.graph_learning.arrays import Prepared, from_scores
from mmm_bayes.graph_learning.effects import counterfactual_targets
from mmm_bayes.graph_learning.forecast import additive_paths, recurrent_paths
from mmm_bayes.graph_learning.gibbs import sample_edges
from mmm_bayes.graph_learning.model import edge_probabilities, graph_prior
from mmm_bayes.graph_learning.normalise import restore, transform
from mmm_bayes.graph_learning.training import take

NDArray = np.ndarray[Any, Any]


def edge_draws(
    key: Any, spec: CausalMMMSpec, fitted: Fitted, prepared: Prepared, refine: bool = True
) -> tuple[NDArray, NDArray]:
    """Edge probabilities (shop, D, D) and draws of edges (draw, shop, D, D).

    Refined edges of the panel of training are drawn once, with the key of the fit.
    """
    own = refine and prepared is fitted.prepared
    if own and "edges" in fitted.kept:
        kept: tuple[NDArray, NDArray] = fitted.kept["edges"]
        return kept
    if own:
        key = jax.random.fold_in(fitted.key, 0)
        fitted.kept["edges"] = _draw_edges(key, spec, fitted, prepared, refine)
        return edge_draws(key, spec, fitted, prepared)
    return _draw_edges(key, spec, fitted, prepared, refine)


def _draw_edges(
    key: Any, spec: CausalMMMSpec, fitted: Fitted, prepared: Prepared, refine: bool
) -> tuple[NDArray, NDArray]:
    networks, nodes = fitted.networks, fitted.panel.nodes
    if spec.ablation == "full":
        full = np.broadcast_to(1.0 - np.eye(len(nodes)), prepared.shops.evidence.shape[:3])
        return full, full[None]
    objective = objective_of(spec, nodes)
    first = edge_probabilities(networks.encoder, objective, prepared.shops)
    if not refine or not isinstance(networks.decoder, AdditiveDecoder):
        uniform = jax.random.uniform(key, (spec.sweeps[1], *first.shape))
        return np.asarray(first), np.asarray((uniform < first).astype(first.dtype))
    prior = graph_prior(objective, networks.components, networks.weights)
    with one_blas_thread():
        found = sample_edges(key, networks.decoder, prior, prepared.shops.sums, first, *spec.sweeps)
        return np.asarray(found.probability), np.asarray(found.edges)


def forecast_paths(
    key: Any,
    spec: CausalMMMSpec,
    fitted: Fitted,
    panel: ShopPanel,
    prepared: Prepared,
    context: NDArray,
    num_draws: int,
) -> NDArray:
    """Paths (draw, shop, step, node), given the context of the steps (shop, step, variable)."""
    key_edges, key_which, key_paths = jax.random.split(key, 3)
    norm, shops = prepared.norm, prepared.shops
    around = (context_of(spec, panel, context) - norm.context_location) / norm.context_scale
    future = jnp.asarray(around, jnp.float32)
    _, edges = edge_draws(key_edges, spec, fitted, prepared)
    which = np.asarray(jax.random.randint(key_which, (num_draws,), 0, len(edges)))
    drawn = jnp.asarray(edges[which], jnp.float32)
    decoder = fitted.networks.decoder
    if isinstance(decoder, AdditiveDecoder):
        past = shops.values[:, -decoder.layout.lags :]
        with one_blas_thread():
            paths = additive_paths(key_paths, decoder, shops.sums, drawn, past, future)
            paths.block_until_ready()
    else:
        noise = jnp.exp(decoder.log_noise)
        if spec.noise is not None:
            noise = jnp.full_like(noise, spec.noise)
        paths = recurrent_paths(
            key_paths, decoder, noise, drawn, shops.values, shops.observed, shops.context, future
        )
    values = np.asarray(paths, np.float64)
    if prepared.ranked is not None:
        values[..., -1] = from_scores(values[..., -1], prepared.ranked)
    return restore(values, norm)


def response_draws(
    spec: CausalMMMSpec, fitted: Fitted, at: int, multipliers: Sequence[float]
) -> NDArray:
    """Sum over the panel of a shop's target (draw, channel, multiplier), channels multiplied.

    Raises
    ------
    TypeError
        For the recurrent decoder.
    """
    panel, prepared, decoder = fitted.panel, fitted.prepared, fitted.networks.decoder
    if not isinstance(decoder, AdditiveDecoder):
        raise TypeError("Effects are of the additive decoder; use decoder='additive'.")
    own, norm = take(prepared.shops, at), prepared.norm
    _, edges = edge_draws(fitted.key, spec, fitted, prepared)
    channels = np.arange(panel.n_nodes - 1)
    paths = _multiplied(panel, prepared, at, multipliers)
    with one_blas_thread():
        targets = counterfactual_targets(
            jax.random.fold_in(fitted.key, 3),
            decoder,
            own.sums,
            jnp.asarray(edges[:, at], jnp.float32),
            own.values,
            own.context,
            jnp.asarray(np.repeat(channels, len(multipliers))),
            jnp.asarray(paths, jnp.float32),
        )
        values = np.asarray(targets, np.float64)
    if prepared.ranked is not None:
        values = from_scores(values[..., None, :], prepared.ranked[[at]])[..., 0, :]
    values = values * norm.scale[at, -1] + norm.location[at, -1]
    if norm.logarithm[-1]:
        values = np.expm1(values) * norm.unit[at, -1]
    return values.sum(-1).reshape(len(values), len(channels), len(multipliers))


def _multiplied(
    panel: ShopPanel, prepared: Prepared, at: int, multipliers: Sequence[float]
) -> NDArray:
    """Standardised values of every channel under every multiplier (intervention, time).

    A missing value is the series' mean, as the decoder takes it to be.
    """
    norm = prepared.norm
    mean = restore(np.zeros((panel.n_shops, 1, panel.n_nodes)), norm)[at]
    raw = np.where(np.isfinite(panel.series[at]), panel.series[at], mean)
    paths = []
    for channel in range(panel.n_nodes - 1):
        for factor in multipliers:
            shaped = transform(factor * raw[None], norm.unit[[at]], norm.logarithm)[0, :, channel]
            paths.append((shaped - norm.location[at, channel]) / norm.scale[at, channel])
    return np.stack(paths)
