r"""Score test of curvature: do targets respond to squares of sources? Needs no training.

In the lagged regression of a target on the pasts of all nodes, with independent normal
coefficients, the residuals are uncorrelated with the squares of a source's lags if the response to
the source is linear. With the squares :math:`S` of one source, the other columns :math:`F`, prior
variances :math:`\Lambda` and :math:`V = I + F \Lambda F'`, the statistic of a shop is

.. math:: Q_{nij} = \frac{1}{s_{nj}} \, (S' V^{-1} x_j)' \, (S' V^{-1} S)^{-1} \, (S' V^{-1} x_j),

which has a :math:`\chi^2_K` distribution for a linear source. Statistics are summed over shops;
shops without the edge do not count against curvature.

References
----------
Rao (1948), Large sample tests of statistical hypotheses concerning several parameters. Proceedings
of the Cambridge Philosophical Society.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

from mmm_bayes.causal_mmm.networks.additive import Prior, posterior, target_sums
from mmm_bayes.causal_mmm.networks.lagged import SQUARE, Lagged, Layout, lagged_sums

Array = jax.Array

# Prior standard deviations of coefficients: of other nodes, of the node's own past, of the rest.
_OTHERS, _OWN, _ALWAYS = 0.1, 0.3, 1.0
_NOISE, _SHAPE = 0.7, 10.0  # prior noise of a target, and its weight in rows
_RIDGE = 1e-3


@functools.partial(jax.jit, static_argnames="layout")
def curvature(values: Array, observed: Array, context: Array, layout: Layout) -> Array:
    """Compute how far the statistic of each source exceeds chance (source, target).

    The result is in standard deviations of the statistic for linear responses.

    Parameters
    ----------
    values, observed, context
        As in :func:`~mmm_bayes.causal_mmm.networks.lagged.lagged_sums`.
    layout
        Layout of the regression; its basis is ignored.
    """
    both = layout._replace(basis=("linear", SQUARE))
    nodes, lags = layout.nodes, layout.lags
    first = np.arange(nodes)[:, None] * both.block + np.arange(lags)
    always = np.arange(nodes * both.block, both.width)
    plain, squares = np.concatenate([first.ravel(), always]), jnp.asarray(first + lags)

    def of_shop(sums: Lagged) -> Array:
        def of_target(target: Array) -> Array:
            own = target_sums(sums, target)
            own = own._replace(gram=own.gram[np.ix_(plain, plain)], moment=own.moment[plain])
            sd = jnp.where(jnp.arange(nodes) == target, _OWN, _OTHERS)
            sd = jnp.concatenate([jnp.repeat(sd, lags), jnp.full(len(always), _ALWAYS)])
            found = posterior(own, Prior(0.0 * sd, sd, jnp.asarray(_NOISE), jnp.asarray(_SHAPE)))
            variance = found.beta / found.alpha * _NOISE**2

            def of_source(at: Array) -> Array:
                across = sums.gram[at][:, plain]
                left = sums.moment[at, target] - across @ found.mean
                half = across @ found.root / _NOISE
                spread = sums.gram[at][:, at] - half @ half.T
                ridge = _RIDGE * jnp.trace(spread) / lags + jnp.finfo(spread.dtype).tiny
                factor = jnp.linalg.cholesky(spread + ridge * jnp.eye(lags))
                scaled = jsl.solve_triangular(factor, left, lower=True)
                # A source with fewer than three distinct values has no squares: it counts as zero.
                return jnp.nan_to_num(scaled @ scaled / variance, nan=0.0, posinf=0.0)

            return jax.vmap(of_source)(squares)

        return jax.lax.map(of_target, jnp.arange(nodes)).T

    each = jax.lax.map(of_shop, lagged_sums(values, observed, context, both))
    expected = len(each) * lags
    return (jnp.sum(each, axis=0) - expected) / jnp.sqrt(2.0 * expected)
