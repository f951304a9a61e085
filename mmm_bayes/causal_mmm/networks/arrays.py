"""Inputs of the networks from the series of shops, and the way back."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri

from mmm_bayes.causal_mmm.networks.evidence import evidence
from mmm_bayes.causal_mmm.networks.lagged import Layout, all_but_linear, lagged_sums
from mmm_bayes.causal_mmm.networks.model import Shops
from mmm_bayes.causal_mmm.networks.normalise import (
    By,
    Normalisation,
    fit_normalisation,
    standardise,
)

NDArray = np.ndarray[Any, Any]


# Limits of the standard deviation over shops of the log scale: of its mean over nodes, and of
# single nodes. Shops with different graphs reach 0.2 for the first and, with 30 channels, 1.3 for
# the second. Shops with sizes from one to thirty reach 1 and more for the first, and channels with
# scales of their own 3 for the second.
_SIZES, _SINGLE = 0.5, 2.0


class Prepared(NamedTuple):
    """Inputs of the networks, and what is needed to go back to the panel's units.

    Attributes
    ----------
    shops
        Arrays for the networks.
    norm
        Standardisation.
    ranked
        Sorted standardised targets (shop, time), NaN last, if normal scores replace the target;
        else ``None``.
    by
        Whether series or nodes were standardised.
    """

    shops: Shops
    norm: Normalisation
    ranked: NDArray | None
    by: By


def on_one_scale(series: NDArray) -> bool:
    """Tell whether shops share the scale of each node.

    A larger shop varies more in all nodes at once; a shop with more causes of a node varies more in
    that node and its descendants. Shops therefore have their own scales if the mean of their log
    standard deviations over nodes differs, or if those of single nodes differ by orders of
    magnitude.

    Parameters
    ----------
    series
        (shop, time, node), NaN where missing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(np.nanstd(np.nan_to_num(series), axis=1))
    if len(log) < 2 or not np.isfinite(log).all():
        return False
    sizes, single = log.mean(1).std(), np.median(log.std(0))
    return bool(sizes < _SIZES and single < _SINGLE)


def normal_scores(values: NDArray) -> tuple[NDArray, NDArray]:
    """Compute normal scores of rows (shop, time) that may hold NaN, and the sorted values."""
    ranked = np.sort(values, axis=1)
    count = np.isfinite(values).sum(1, keepdims=True)
    below = np.array([np.searchsorted(r, v) for r, v in zip(ranked, values, strict=True)])
    upto = np.array([np.searchsorted(r, v, "right") for r, v in zip(ranked, values, strict=True)])
    rank = (below + np.minimum(upto, count) + 1.0) / 2.0
    # Blom's plotting positions.
    scores = ndtri(np.clip((rank - 0.375) / (count + 0.25), 1e-9, 1 - 1e-9))
    return np.where(np.isfinite(values), scores, np.nan), ranked


def from_scores(scores: NDArray, ranked: NDArray) -> NDArray:
    """Invert normal scores (..., shop, time), extrapolating linearly beyond the extremes."""
    result = np.empty_like(scores)
    for shop in range(len(ranked)):
        values = ranked[shop][np.isfinite(ranked[shop])]
        count = len(values)
        at = ndtri((np.arange(1, count + 1) - 0.375) / (count + 0.25))
        own = scores[..., shop, :]
        inner = np.interp(own, at, values)
        edge = max(count // 10, 1)
        low = (values[edge] - values[0]) / max(at[edge] - at[0], 1e-9)
        high = (values[-1] - values[-1 - edge]) / max(at[-1] - at[-1 - edge], 1e-9)
        inner = np.where(own < at[0], values[0] + low * (own - at[0]), inner)
        result[..., shop, :] = np.where(own > at[-1], values[-1] + high * (own - at[-1]), inner)
    return result


def prepare(
    series: NDArray,
    context: NDArray,
    layout: Layout,
    logarithm: NDArray,
    *,
    by: By,
    scores: bool,
    norm: Normalisation | None = None,
    with_evidence: bool = True,
) -> Prepared:
    """Standardise series and compute the inputs of the networks.

    Parameters
    ----------
    series, context
        Series (shop, time, node) that may hold NaN, and context (shop, time, variable).
    layout
        Layout of the lagged regression.
    logarithm, by
        As in :func:`~mmm_bayes.causal_mmm.networks.normalise.fit_normalisation`.
    scores
        Whether the target is replaced by its normal scores.
    norm
        Normalisation of the training shops, used for the context, and with ``by="node"`` for series
        too.
    with_evidence
        Whether to compute the regression evidence of pairs for the encoder.
    """
    own = fit_normalisation(series, context, logarithm, by=by)
    if norm is not None:
        own = own._replace(context_location=norm.context_location, context_scale=norm.context_scale)
        if by == "node":
            sizes = own.location.shape
            own = own._replace(
                location=np.broadcast_to(norm.location[0], sizes),
                scale=np.broadcast_to(norm.scale[0], sizes),
            )
    values, ranked = standardise(series, own), None
    if scores:
        values[..., -1], ranked = normal_scores(values[..., -1])
    observed = np.isfinite(values).astype(np.float32)
    around = ((context - own.context_location) / own.context_scale).astype(np.float32)
    filled = np.clip(np.nan_to_num(values), -10.0, 10.0).astype(np.float32)
    start = all_but_linear(layout.nodes)
    sums = lagged_sums(filled, observed, around, layout, start)
    found = jnp.zeros((*series.shape[::2], layout.nodes, 0), jnp.float32)
    if with_evidence:
        found = jax.jit(evidence, static_argnames="layout")(sums, layout=layout)
    shops = Shops(jnp.asarray(filled), jnp.asarray(observed), jnp.asarray(around), found, sums)
    return Prepared(shops, own, ranked, by)
