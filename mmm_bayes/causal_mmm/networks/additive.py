r"""The additive decoder: lagged effects along the edges, shop-specific deviations integrated out.

The next value of node ``j`` in shop ``n`` is

.. math:: x_{nj}^t = \sum_i z_{nij} \beta_{nij}' f_{ni}^t + \beta_{njj}' f_{nj}^t
          + \gamma_{nj}' e_n^t + \sqrt{s_{nj}} \, \varepsilon, \qquad
          \beta_{nij} \sim N(B_{ij}, s_{nj} (\tau_j^2 + v_{ij}) I),

with :math:`\varepsilon \sim N(0, \sigma_j^2)`, the shop's noise
:math:`s_{nj} \sim \mathrm{IG}(\nu_j / 2, \nu_j / 2)`, the lag columns :math:`f` and the columns
:math:`e` of every target (one, and the context) of :mod:`mmm_bayes.causal_mmm.networks.lagged`.
Mechanisms :math:`B` are shared, as in the paper. Shops deviate from them with the standard
deviation :math:`\tau`, which is learned, so that shops are pooled as far as the data allow.
:math:`v_{ij}` is the uncertainty about :math:`B_{ij}`: small if many shops have the edge, and that
of the prior if none has. Each function of the basis has its own :math:`\tau` and :math:`v`, so that
a function that is not needed is shrunk away. The deviations and the noise of a shop are integrated
out exactly, so that an edge is judged by the marginal likelihood of its block rather than by one
fitted set of coefficients; :math:`z_{nij} = 0` removes source ``i`` from the equation of ``j``
(Claim 1). Carry-over is the lag profile :math:`B_{ij}`. Each source saturates before it, by a
learned curve; saturation of the target is removed beforehand, by its normal scores.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jax.scipy.special import gammaln

from mmm_bayes.causal_mmm.networks.lagged import STEEPNESS, Lagged, Layout, Saturation

Array = jax.Array

_LARGEST_SHIFT = 1.5
_ALWAYS_SD = 1.0  # prior of intercepts and context effects, in standard deviations of the series


class TargetSums(NamedTuple):
    """Sums for one target of one shop: ``gram`` (P, P), ``moment`` (P,), ``square``, ``count``."""

    gram: Any
    moment: Any
    square: Any
    count: Any


class Prior(NamedTuple):
    """Prior of one target: ``mean`` and ``sd`` (P,) of its coefficients, and its noise.

    ``noise`` is the standard deviation common to all shops, and ``shape`` (nu) its weight, in rows,
    in the prior of a shop's own noise.
    """

    mean: Any
    sd: Any
    noise: Any
    shape: Any


class AdditiveDecoder(eqx.Module):
    """Shared mechanisms, and the scale of the shops' deviations from them."""

    mean: Array  # (source, block, target); the diagonal holds the node's own past
    always: Array  # (E, target)
    log_slab: Array  # (function, target)
    log_own: Array  # (function, target)
    log_noise: Array  # (target,)
    log_shape: Array  # (target,)
    unknown: Array  # (source, function, target): variance of the mean; set after training
    bend: Array | None  # (2, source): log steepness over its start, and shift before its limit
    layout: Layout = eqx.field(static=True)

    def __init__(self, layout: Layout) -> None:
        nodes = layout.nodes
        self.mean = jnp.zeros((nodes, layout.block, nodes))
        self.always = jnp.zeros((layout.always, nodes))
        functions = len(layout.basis)
        self.log_slab = jnp.full((functions, nodes), jnp.log(0.3))
        self.log_own = jnp.full((functions, nodes), jnp.log(0.3))
        self.log_noise = jnp.full(nodes, jnp.log(0.7))
        self.log_shape = jnp.full(nodes, jnp.log(10.0))
        self.unknown = jnp.zeros((nodes, functions, nodes))
        self.bend = jnp.zeros((2, nodes)) if layout.saturates else None
        self.layout = layout

    @property
    def saturation(self) -> Saturation | None:
        """Saturation of the sources; ``None`` if the layout has none."""
        if self.bend is None:
            return None
        steepness = STEEPNESS * jnp.exp(jnp.clip(self.bend[0], -3.0, 3.0))
        return Saturation(steepness, _LARGEST_SHIFT * jnp.tanh(self.bend[1] / _LARGEST_SHIFT))

    def prior(self, edges: Array, target: Array) -> Prior:
        """Build the prior of a target, given the edges into it (source,)."""
        layout = self.layout
        own = jnp.arange(layout.nodes) == target
        gate = jnp.where(own, 1.0, edges)
        slab = jnp.exp(2.0 * self.log_slab[:, target])
        slab = slab + jax.lax.stop_gradient(self.unknown[:, :, target])
        spread = jnp.where(own[:, None], jnp.exp(self.log_own[:, target]), jnp.sqrt(slab))
        mean = gate[:, None] * self.mean[:, :, target]
        sd = jnp.repeat(gate[:, None] * spread, layout.lags, axis=1)
        return Prior(
            jnp.concatenate([mean.ravel(), self.always[:, target]]),
            jnp.concatenate([sd.ravel(), jnp.full(layout.always, _ALWAYS_SD, sd.dtype)]),
            jnp.exp(self.log_noise[target]),
            1.0 + jnp.exp(self.log_shape[target]),
        )

    def log_likelihood(self, sums: Lagged, edges: Array) -> Array:
        """Compute the log marginal likelihood (target,) of a shop, given its edges (D, D)."""

        def one(target: Array) -> Array:
            return log_marginal(target_sums(sums, target), self.prior(edges[:, target], target))

        return jax.vmap(one)(jnp.arange(self.layout.nodes))

    def mechanism_variances(self, edges: Array, counts: Array) -> tuple[Array, Array]:
        r"""Compute the mean square of mechanisms in use, and the variance given a single shop.

        Parameters
        ----------
        edges
            Edges of the training shops, or their probabilities (shop, D, D).
        counts
            Number of rows of each shop (shop,).

        Returns
        -------
        tuple
            :math:`s^2` (function, 1), and :math:`\tau_j^2 + \sigma_j^2 / T` (function, target).
        """
        nodes, layout = self.layout.nodes, self.layout
        having = jnp.sum(edges, axis=0) * (1.0 - jnp.eye(nodes))
        by_function = self.mean.reshape(nodes, len(layout.basis), layout.lags, nodes)
        square = jnp.mean(by_function**2, axis=2)
        size = jnp.einsum("ij,ifj->f", having, square) / jnp.maximum(jnp.sum(having), 1e-6)
        per_shop = jnp.exp(2.0 * self.log_slab) + jnp.exp(2.0 * self.log_noise) / jnp.mean(counts)
        return jnp.maximum(size, 1e-4)[:, None], per_shop

    def with_unknown(self, edges: Array, counts: Array) -> AdditiveDecoder:
        r"""Set the uncertainty about every mechanism, which is large if few shops have the edge.

        With the mean square :math:`s^2` of the mechanisms in use, edge probabilities
        :math:`q_{nij}`, and :math:`T` rows per shop,

        .. math:: v_{ij} = \Bigl(\frac{1}{s^2} + \frac{\sum_n q_{nij}^2}{\tau_j^2 + \sigma_j^2 / T}
                  \Bigr)^{-1}.

        Probabilities enter squared: the expected information of a shop is :math:`q` times that of a
        shop with the edge, and the share :math:`q (1 - q)` of it is lost because the edge is
        uncertain (Louis' identity).

        Parameters
        ----------
        edges
            Edge probabilities of the training shops (shop, D, D).
        counts
            Number of rows of each shop (shop,).

        References
        ----------
        Louis (1982), Finding the observed information matrix when using the EM algorithm. JRSS B.
        """
        size, per_shop = self.mechanism_variances(edges, counts)
        unknown = 1.0 / (1.0 / size + jnp.sum(edges**2, axis=0)[:, None] / per_shop)
        return eqx.tree_at(lambda tree: tree.unknown, self, unknown)


def target_sums(sums: Lagged, target: Array) -> TargetSums:
    """Select the sums for one target of one shop."""
    return TargetSums(sums.gram, sums.moment[:, target], sums.square[target], sums.count)


def _factor(gram: Array, sd: Array) -> Array:
    """Compute the Cholesky factor of :math:`I + S G S`."""
    scaled = sd[:, None] * gram * sd[None, :]
    return jnp.linalg.cholesky(scaled + jnp.eye(len(sd), dtype=scaled.dtype))


@jax.custom_vjp
def explained(gram: Array, sd: Array, moment: Array) -> tuple[Array, Array]:
    r"""Compute the quadratic form and the log determinant due to Gaussian coefficients.

    .. math:: q = b' S (I + S G S)^{-1} S b, \qquad d = \log \det (I + S G S).

    The custom derivative needs one inverse; differentiating the Cholesky factor would need several
    matrix products.

    Parameters
    ----------
    gram, sd, moment
        (P, P), (P,) and (P,), the last two divided by the noise.
    """
    factor = _factor(gram, sd)
    solved = jsl.solve_triangular(factor, sd * moment, lower=True)
    return solved @ solved, 2.0 * jnp.sum(jnp.log(jnp.diag(factor)))


def _explained_forward(gram: Array, sd: Array, moment: Array) -> Any:
    factor = _factor(gram, sd)
    root = jsl.solve_triangular(factor, jnp.eye(len(sd), dtype=gram.dtype), lower=True)
    inverse = root.T @ root
    drawn = inverse @ (sd * moment)  # whitened posterior mean
    quadratic = (sd * moment) @ drawn
    log_det = 2.0 * jnp.sum(jnp.log(jnp.diag(factor)))
    return (quadratic, log_det), (gram, sd, moment, inverse, drawn)


def _explained_backward(kept: Any, given: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    gram, sd, moment, inverse, drawn = kept
    of_quadratic, of_log_det = given
    left = moment - gram @ (sd * drawn)
    slope = 2.0 * of_quadratic * drawn * left
    slope = slope + 2.0 * of_log_det * jnp.sum(inverse * (gram * sd[None, :]), axis=1)
    found = sd * drawn  # posterior mean
    of_gram = of_log_det * (sd[:, None] * inverse * sd[None, :])
    of_gram = of_gram - of_quadratic * jnp.outer(found, found)
    return of_gram, slope, 2.0 * of_quadratic * found


explained.defvjp(_explained_forward, _explained_backward)


def _in_noise_units(sums: TargetSums, prior: Prior) -> tuple[Array, Array, Array]:
    """Scale the prior deviations, and the sums of residuals from the prior mean, by the noise."""
    fitted = sums.gram @ prior.mean
    square = sums.square - prior.mean @ (2.0 * sums.moment - fitted)
    return (
        prior.sd / prior.noise, (sums.moment - fitted) / prior.noise, square / prior.noise**2
    )  # fmt: skip


def log_marginal(sums: TargetSums, prior: Prior) -> Array:
    r"""Compute the log density of a target with its coefficients and noise integrated out.

    This is a multivariate t density with :math:`\nu` degrees of freedom, location :math:`F m` and
    scale matrix :math:`\sigma^2 I + F S^2 F'`. By the determinant lemma and the Woodbury identity
    it needs only sums over time.
    """
    sd, moment, square = _in_noise_units(sums, prior)
    taken, log_det = explained(sums.gram, sd, moment)
    return marginal_of(sums, prior, square - taken, log_det)


def marginal_of(sums: TargetSums, prior: Prior, quadratic: Array, log_det: Array) -> Array:
    r"""Compute the log density of a target from a quadratic form and a log determinant.

    Parameters
    ----------
    sums, prior
        Sums and prior of the target.
    quadratic, log_det
        :math:`(y - F m)' V^{-1} (y - F m) / \sigma^2` and :math:`\log \det V`, with
        :math:`V = I + F S^2 F' / \sigma^2`.
    """
    quadratic = jnp.maximum(quadratic, 0.0)
    shape, count = prior.shape, sums.count
    log_det = log_det + count * (2.0 * jnp.log(prior.noise) + jnp.log(2.0 * jnp.pi))
    whole = 0.5 * (shape + count)
    return (
        -0.5 * log_det
        + gammaln(whole)
        - gammaln(0.5 * shape)
        + 0.5 * shape * jnp.log(0.5 * shape)
        - whole * jnp.log(0.5 * (shape + quadratic))
    )


class TargetPosterior(NamedTuple):
    """Posterior of one target of a shop, given its edges.

    ``mean`` (P,) of its coefficients, and a root (P, P) of their covariance for a noise factor of
    one; the noise factor ``s`` is inverse-gamma with ``alpha`` and ``beta``.
    """

    mean: Any
    root: Any
    alpha: Any
    beta: Any


def posterior(sums: TargetSums, prior: Prior) -> TargetPosterior:
    """Compute the posterior of the coefficients and the noise of a target."""
    sd, moment, square = _in_noise_units(sums, prior)
    factor = _factor(sums.gram, sd)
    root = jsl.solve_triangular(factor, jnp.eye(len(sd), dtype=sd.dtype), lower=True)
    whitened = root @ (sd * moment)
    mean = prior.mean + prior.sd * (root.T @ whitened)
    quadratic = jnp.maximum(square - whitened @ whitened, 0.0)
    return TargetPosterior(
        mean, prior.sd[:, None] * root.T,
        0.5 * (prior.shape + sums.count), 0.5 * (prior.shape + quadratic),
    )  # fmt: skip
