r"""Evidence of a shop's own series for each edge, as additional inputs of the encoder.

A ridge regression of every node on the pasts of all nodes
(:mod:`mmm_bayes.causal_mmm.networks.lagged`, first function of the basis) gives coefficients
:math:`b_{ij}` of source ``i`` in target ``j`` and the Wald statistic

.. math:: w_{ij} = b_{ij}' [(F'F + \kappa I)^{-1}]_{ii}^{-1} b_{ij} / (K s_j^2), \qquad
          \kappa = 8 P / n,

which is the F statistic of the block for :math:`\kappa \to 0`. :math:`\kappa` grows with the ratio
of columns to rows, as short series require. Further functions of the basis contribute a score
statistic: the mean square of the correlations of their columns with the residuals, times the number
of rows. The inputs also include lagged correlations, and everything for the reverse direction.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl

from mmm_bayes.causal_mmm.networks.lagged import Lagged, Layout

Array = jax.Array

_RIDGE = 8.0  # times columns over rows; chosen on simulations that are not used elsewhere


def linear_evidence(sums: Lagged, layout: Layout) -> tuple[Array, Array]:
    """Compute Wald statistics (shop, source, target), and moments of the residuals.

    The second result (shop, P, target) holds the moments of all columns with the residuals, divided
    by the residual standard deviation.
    """
    nodes, lags, width = layout.nodes, layout.lags, layout.width
    first = jnp.arange(nodes)[:, None] * layout.block + jnp.arange(lags)
    used = jnp.concatenate([first.ravel(), jnp.arange(width - layout.always, width)])
    at = jnp.arange(nodes)[:, None] * lags + jnp.arange(lags)

    def one(own: Lagged) -> tuple[Array, Array]:
        gram, moment = own.gram[used[:, None], used[None, :]], own.moment[used]
        ridge = _RIDGE * len(used) / jnp.maximum(own.count, 1.0)
        identity = jnp.eye(len(used), dtype=gram.dtype)
        inverse = jsl.cho_solve(jsl.cho_factor(gram + ridge * identity), identity)
        found = inverse @ moment
        left = own.square - jnp.sum(found * moment, axis=0)
        # Effective number of coefficients: the trace of the hat matrix.
        spent = jnp.trace(inverse @ gram)
        variance = jnp.maximum(left, 1e-6) / jnp.maximum(own.count - spent, 2.0)
        pieces = inverse[at[:, :, None], at[:, None, :]]  # (source, lag, lag)
        slopes = found[at]  # (source, lag, target)
        wald = jnp.sum(slopes * jnp.linalg.solve(pieces, slopes), axis=1) / variance / lags
        residual = (own.moment - own.gram[:, used] @ found) / jnp.sqrt(variance)
        return jnp.maximum(wald, 0.0), residual

    return jax.vmap(one)(sums)


def evidence(sums: Lagged, layout: Layout) -> Array:
    """Compute the inputs of the encoder (shop, source, target, 2 (1 + B)).

    The first is ``log1p`` of the largest statistic. The next B are correlations of lagged columns
    with the target (first function of the basis) or with its residuals (further functions). The
    rest is the same for the reverse direction.
    """
    nodes, lags = layout.nodes, layout.lags
    wald, residual = linear_evidence(sums, layout)
    at = jnp.arange(nodes)[:, None] * layout.block + jnp.arange(layout.block)
    squares = jnp.maximum(jax.vmap(jnp.diag)(sums.gram)[:, at], 1e-6)  # (shop, source, B)
    count = jnp.maximum(sums.count, 1.0)[:, None, None, None]
    own = jnp.sqrt(jnp.maximum(sums.square, 1e-6))[:, None, None, :]
    plain = sums.moment[:, at[:, :lags]] / jnp.sqrt(squares[:, :, :lags, None]) / own
    further = residual[:, at[:, lags:]] / jnp.sqrt(squares[:, :, lags:, None])
    statistics = [wald]
    for start in range(0, layout.block - lags, lags):
        statistics.append(jnp.mean(further[:, :, start : start + lags] ** 2, axis=2))
    correlation = jnp.concatenate([plain, further / jnp.sqrt(count)], axis=2)
    strongest = jnp.log1p(jnp.max(jnp.stack(statistics), axis=0))
    strongest = strongest * (1.0 - jnp.eye(nodes, dtype=strongest.dtype))
    one_way = jnp.concatenate([strongest[..., None], jnp.moveaxis(correlation, 2, 3)], axis=-1)
    return jnp.concatenate([one_way, jnp.swapaxes(one_way, 1, 2)], axis=-1)
