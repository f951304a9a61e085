"""Draws from a trained CausalMMM in the panel's units: edges, forecasts, counterfactuals."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.causal_mmm.inputs import Fitted, context_of, objective_of, one_blas_thread
from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.arrays import Prepared, from_scores
from mmm_bayes.causal_mmm.networks.effects import counterfactual_targets
from mmm_bayes.causal_mmm.networks.forecast import LIMIT, additive_paths, recurrent_paths
from mmm_bayes.causal_mmm.networks.gibbs import sample_edges
from mmm_bayes.causal_mmm.networks.model import graph_prior, regression_sums
from mmm_bayes.causal_mmm.networks.normalise import Normalisation, restore, transform
from mmm_bayes.causal_mmm.networks.recurrent import RecurrentDecoder
from mmm_bayes.causal_mmm.networks.shop_blocks import WORKSPACE, blocks, edges_by_block, take
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import DataError, Finding

NDArray = np.ndarray[Any, Any]


def edge_draws(
    fitted: Fitted,
    panel: ShopPanel,
    prepared: Prepared,
    refine: bool = True,
) -> tuple[NDArray, NDArray]:
    """Draw edges (draw, shop, D, D), and compute edge probabilities (shop, D, D).

    The result for a shop depends only on the fit, the shop's series and its label, not on the other
    shops or their order. For the training panel edges are drawn once and kept.
    """
    own = refine and prepared is fitted.prepared
    if own and "edges" in fitted.kept:
        kept: tuple[NDArray, NDArray] = fitted.kept["edges"]
        return kept
    keys = shop_keys(jax.random.fold_in(fitted.key, 0), panel.shops)
    found = _draw_edges(keys, fitted, prepared, refine)
    if own:
        fitted.kept["edges"] = found
    return found


def shop_keys(key: Any, shops: Sequence[str]) -> Any:
    """Derive random keys (shop,) from the labels of the shops."""
    codes = np.array([zlib.crc32(str(shop).encode()) for shop in shops], np.uint32)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, codes)


def _draw_edges(
    keys: Any, fitted: Fitted, prepared: Prepared, refine: bool
) -> tuple[NDArray, NDArray]:
    spec, networks, nodes = fitted.spec, fitted.networks, fitted.panel.nodes
    if spec.ablation == "full":
        full = np.broadcast_to(1.0 - np.eye(len(nodes)), prepared.shops.evidence.shape[:3])
        return full, full[None]
    objective = objective_of(spec, nodes)
    first = edges_by_block(networks.encoder, objective, prepared.shops)
    if not refine or not isinstance(networks.decoder, AdditiveDecoder):
        draw = functools.partial(jax.random.uniform, shape=(spec.sweeps[1], *first.shape[1:]))
        uniform = jax.vmap(draw, out_axes=1)(keys)
        return np.asarray(first), np.asarray((uniform < first).astype(first.dtype))
    prior = graph_prior(objective, networks.components, networks.weights)
    with one_blas_thread():
        sums = regression_sums(networks.decoder, prepared.shops)
        found = sample_edges(keys, networks.decoder, prior, sums, first, *spec.sweeps)
        return np.asarray(found.probability), np.asarray(found.edges)


def future_context(panel: ShopPanel, horizon: int, context: NDArray | None) -> NDArray:
    """Check the context of future times (shop, horizon, variable); by default repeat the last.

    Raises
    ------
    DataError
        If the context has another shape.
    """
    if context is None:
        return np.repeat(panel.context[:, -1:], horizon, axis=1)
    wanted = (panel.num_shops, horizon, len(panel.context_names))
    if np.shape(context) != wanted:
        message = f"context should have the shape {wanted}, but has {np.shape(context)}."
        remedy = "Its dimensions are (shop, horizon, variable)."
        found = Finding("context", "error", message, remedy, "context")
        raise DataError([found], "the forecast")
    return context


def forecast_paths(
    key: Any,
    fitted: Fitted,
    panel: ShopPanel,
    prepared: Prepared,
    context: NDArray,
    num_draws: int,
) -> Iterator[tuple[slice, NDArray]]:
    """Draw paths (draw, shop, step, node), given the context of the steps (shop, step, variable).

    Yields blocks of shops with their position, so that memory does not grow with the number of
    shops.
    """
    spec = fitted.spec
    key_which, key_paths = jax.random.split(key)
    keys = shop_keys(key_paths, panel.shops)
    norm, decoder = prepared.norm, fitted.networks.decoder
    around = (context_of(spec, panel, context) - norm.context_location) / norm.context_scale
    _, edges = edge_draws(fitted, panel, prepared)
    which = np.asarray(jax.random.randint(key_which, (num_draws,), 0, len(edges)))
    floor, bounded = _least_values(panel, prepared), _nonnegative(panel)
    for at, place in blocks(
        panel.num_shops, _bytes_per_shop(decoder, panel.length, num_draws, len(around[0]))
    ):
        future = jnp.asarray(around[at], jnp.float32)
        drawn = jnp.asarray(edges[which[:, None], at], jnp.float32)
        own = take(prepared.shops, at) if len(at) < panel.num_shops else prepared.shops
        history = (own.values, own.observed, own.context)
        given = (drawn, *history, future, floor[at])
        if isinstance(decoder, AdditiveDecoder):
            together = _shops_together(decoder, num_draws)
            with one_blas_thread():
                sums = regression_sums(decoder, own)
                paths = additive_paths(keys[at], decoder, sums, *given, together)
                paths.block_until_ready()
        else:
            noise = jnp.exp(decoder.log_noise)
            if spec.noise is not None:
                noise = jnp.full_like(noise, spec.noise)
            paths = recurrent_paths(keys[at], decoder, noise, *given)
        at = at[: place.stop - place.start]
        values = np.asarray(paths, np.float64)[:, : len(at)]
        if prepared.ranked is not None:
            values[..., -1] = from_scores(values[..., -1], prepared.ranked[at])
        yield place, np.maximum(restore(values, _of_shops(norm, at)), np.where(bounded, 0, -np.inf))


def _bytes_per_shop(
    decoder: AdditiveDecoder | RecurrentDecoder, length: int, draws: int, horizon: int
) -> int:
    """Estimate the memory of a shop's paths, with the copies made to restore their units."""
    if isinstance(decoder, AdditiveDecoder):
        return draws * horizon * decoder.layout.nodes * 48
    nodes, hidden = len(decoder.names), decoder.unit.hidden_size
    messages = nodes * (nodes + 4) * hidden * 8  # of all pairs at one step
    return draws * ((horizon * 48 + length * 8) * nodes + messages)


def _shops_together(decoder: AdditiveDecoder, draws: int) -> int:
    """Choose the number of shops to draw coefficients for at once, to bound memory."""
    layout = decoder.layout
    return int(np.clip(WORKSPACE // (draws * layout.nodes * layout.width**2 * 12), 1, 4))


def _of_shops(norm: Normalisation, at: NDArray) -> Normalisation:
    return norm._replace(location=norm.location[at], scale=norm.scale[at], unit=norm.unit[at])


def _nonnegative(panel: ShopPanel) -> NDArray:
    """Mark the nodes (node,) without any negative value."""
    with np.errstate(invalid="ignore"):
        found: NDArray = np.logical_not((panel.series < 0).any(axis=(0, 1)))
    return found


def _least_values(panel: ShopPanel, prepared: Prepared) -> Any:
    """Compute the lowest standardised values (shop, node): zero for nonnegative nodes, or a limit.

    A target that is replaced by its normal scores is bounded after the scores are inverted.
    """
    norm, bounded = prepared.norm, _nonnegative(panel)
    if prepared.ranked is not None:
        bounded[-1] = False
    zero = np.maximum(-norm.location / norm.scale, -LIMIT)
    return jnp.asarray(np.where(bounded, zero, -LIMIT), jnp.float32)


def response_draws(fitted: Fitted, at: int, multipliers: Sequence[float]) -> NDArray:
    """Draw a shop's total target (draw, channel, multiplier) with one channel multiplied.

    Raises
    ------
    TypeError
        For the recurrent decoder.
    """
    panel, prepared, decoder = fitted.panel, fitted.prepared, fitted.networks.decoder
    if not isinstance(decoder, AdditiveDecoder):
        raise TypeError("Effects require the additive decoder: train with decoder='additive'.")
    own, norm = take(prepared.shops, slice(at, at + 1)), prepared.norm
    sums = jax.tree.map(lambda x: x[0], regression_sums(decoder, own))
    _, edges = edge_draws(fitted, panel, prepared)
    channels = np.arange(panel.num_nodes - 1)
    paths = _multiplied(panel, prepared, at, multipliers)
    with one_blas_thread():
        targets = counterfactual_targets(
            jax.random.fold_in(fitted.key, 3),
            decoder,
            sums,
            jnp.asarray(edges[:, at], jnp.float32),
            own.values[0],
            own.context[0],
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
    """Compute standardised values (intervention, time) of every channel and multiplier.

    Missing values are the mean of the series, as in the decoder.
    """
    norm = prepared.norm
    mean = restore(np.zeros((panel.num_shops, 1, panel.num_nodes)), norm)[at]
    raw = np.where(np.isfinite(panel.series[at]), panel.series[at], mean)
    paths = []
    for channel in range(panel.num_nodes - 1):
        for factor in multipliers:
            shaped = transform(factor * raw[None], norm.unit[[at]], norm.logarithm)[0, :, channel]
            paths.append((shaped - norm.location[at, channel]) / norm.scale[at, channel])
    return np.stack(paths)
