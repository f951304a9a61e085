r"""What a shop's own series say of each edge: the inputs of the encoder beside its embeddings.

A ridge regression of every node on the pasts of all nodes (:mod:`mmm_bayes.graph_learning.lagged`)
gives coefficients :math:`b_{ij}` of source ``i`` in target ``j`` and the Wald statistic

.. math:: w_{ij} = b_{ij}' [(F'F + \kappa I)^{-1}]_{ii}^{-1} b_{ij} / s_j^2,

which for :math:`\kappa \to 0` is the F statistic of the block times its size. Beside it stand the
lagged cross-correlations, and both of the reverse direction.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl

from mmm_bayes.graph_learning.lagged import Lagged, Layout

Array = jax.Array

_RIDGE = 1.0  # one row's worth of information on standardised columns


def wald_statistics(sums: Lagged, layout: Layout) -> Array:
    """Wald statistics over the block size (shop, source, target), and zero on the diagonal."""
    nodes, block, width = layout.nodes, layout.block, layout.width

    def one(own: Lagged) -> Array:
        factor = jsl.cho_factor(own.gram + _RIDGE * jnp.eye(width, dtype=own.gram.dtype))
        inverse = jsl.cho_solve(factor, jnp.eye(width, dtype=own.gram.dtype))
        found = inverse @ own.moment
        left = own.square - jnp.sum(found * own.moment, axis=0)
        # Effective number of coefficients: the trace of the hat matrix.
        spent = jnp.trace(inverse @ own.gram)
        variance = jnp.maximum(left, 1e-6) / jnp.maximum(own.count - spent, 2.0)
        at = jnp.arange(nodes)[:, None] * block + jnp.arange(block)
        pieces = inverse[at[:, :, None], at[:, None, :]]  # (source, block, block)
        slopes = found[at]  # (source, block, target)
        solved = jnp.linalg.solve(pieces, slopes)
        wald = jnp.sum(slopes * solved, axis=1) / variance / block
        return wald * (1.0 - jnp.eye(nodes, dtype=wald.dtype))

    return jax.vmap(one)(sums)


def evidence(sums: Lagged, layout: Layout) -> Array:
    """Inputs of the encoder (shop, source, target, 2 (1 + lags)); the first is log(1 + Wald)."""
    wald = jnp.log1p(jnp.maximum(wald_statistics(sums, layout), 0.0))[..., None]
    at = jnp.arange(layout.nodes)[:, None] * layout.block + jnp.arange(layout.lags)
    scale = jnp.sqrt(jnp.maximum(jax.vmap(jnp.diag)(sums.gram)[:, at], 1e-6))
    own = jnp.sqrt(jnp.maximum(sums.square, 1e-6))
    moment = sums.moment[:, at] / scale[..., None] / own[:, None, None, :]
    correlation = jnp.moveaxis(moment, 2, 3)  # (shop, source, target, lag)
    one_way = jnp.concatenate([wald, correlation], axis=-1)
    return jnp.concatenate([one_way, jnp.swapaxes(one_way, 1, 2)], axis=-1)
