r"""The linear-Gaussian block of a regression, integrated out exactly and drawn back afterwards.

For one group ``g`` of ``T`` observations

.. math:: r_g = A_g b + B_g u_g + e_g, \quad b \sim N(0, \mathrm{diag}(s^2)), \quad
          u_g \sim N(0, \mathrm{diag}(\tau^2)), \quad e_g \sim N(0, \sigma^2 I),

where ``r`` is the residual of the nonlinear part (target less media). A sampler then moves in the
nonlinear parameters alone. There are two forms, depending on the scales:

* :class:`RotatedBlock`: no group columns and a fixed ``s``. With ``A diag(s) = U D V'`` the
  marginal covariance is diagonal in the rotated basis: ``O(NK)`` per gradient, no factorisation.
* :class:`GroupedBlock`: group columns, or scales that are parameters themselves. All cross products
  are formed once; a gradient costs ``O(NK)`` plus Cholesky factors of order ``p`` and ``K``.

Observations may have weights :math:`w_i \ge 0`, powers of their likelihood. Then

.. math:: \prod_i N(r_i \mid \mu_i, \sigma^2)^{w_i} = (2\pi\sigma^2)^{-W/2}
          \exp\Big(-\frac{1}{2\sigma^2} \sum_i (\sqrt{w_i}\, r_i - \sqrt{w_i}\, \mu_i)^2\Big),
          \quad W = \sum_i w_i:

the same problem with every column and the residual multiplied by :math:`\sqrt{w_i}`, and ``W`` in
place of the number of observations in the terms of :math:`\log\sigma` and :math:`\log 2\pi`. A
block keeps :math:`\sqrt{w}` and all functions below apply it; residuals and further columns are
passed unweighted. An integer weight stands for that many copies of a row.

References
----------
Lindley and Smith (1972), Bayes Estimates for the Linear Model, JRSS B 34; Woodbury identity and
matrix determinant lemma for the grouped form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular

from mmm_bayes.inference.functionals import (
    Functionals,
    conditioned_draw,
    functionals_log_density,
)
from mmm_bayes.inference.grouped_posterior import Solved, solve_lower

Array = jax.Array
Leaf = Any  # an array of JAX on the device, of NumPy on the host
NDArray = np.ndarray[Any, Any]

_LOG_2PI = float(np.log(2.0 * np.pi))
_FUNCTIONALS = 0x66756E63  # stream of random numbers of their simulated observations


class RotatedBlock(NamedTuple):
    """A block with fixed prior scales: ``left`` (N, K), ``singular`` (K,), ``back`` (K, K).

    Columns of ``left`` are the left singular vectors of the prior-scaled design, and
    ``b = back @ omega`` with ``omega`` standard normal a priori. ``root_weight`` (N,) holds the
    square roots of the weights; ``None`` if all are one.
    """

    left: Leaf
    singular: Leaf
    back: Leaf
    root_weight: Leaf | None = None


class GroupedBlock(NamedTuple):
    """Columns (G, K + p, T), shared then group ones, time innermost, and their cross products.

    Columns and products are those of the rows times ``root_weight`` (G, T), the square roots of
    the weights; ``None`` if all are one.
    """

    columns: Leaf
    shared_shared: Leaf
    shared_group: Leaf
    group_group: Leaf
    root_weight: Leaf | None = None


def rotate(
    design: NDArray, scale: NDArray, likelihood_weight: NDArray | None = None
) -> RotatedBlock:
    """Build the rotated form from a design (N, K) and the prior scales (K,) of its coefficients.

    ``likelihood_weight`` (N,) holds the weights of the observations; ones by default.
    """
    root = None if likelihood_weight is None else np.sqrt(likelihood_weight)
    if root is not None:
        design = root[:, None] * design
    left, singular, right = np.linalg.svd(design * scale, full_matrices=False)
    return RotatedBlock(left, singular, scale[:, None] * right.T, root)


def group(
    shared: NDArray, group: NDArray, likelihood_weight: NDArray | None = None
) -> GroupedBlock:
    """Build the grouped form from the designs (G, T, K) and (G, T, p).

    ``likelihood_weight`` (G, T) holds the weights of the observations; ones by default.
    """
    root = None if likelihood_weight is None else np.sqrt(likelihood_weight)
    if root is not None:
        shared, group = root[..., None] * shared, root[..., None] * group
    return GroupedBlock(
        np.ascontiguousarray(np.swapaxes(np.concatenate([shared, group], 2), 1, 2)),
        np.einsum("gtk,gtj->gkj", shared, shared),
        np.einsum("gtk,gtp->gkp", shared, group),
        np.einsum("gtp,gtq->gpq", group, group),
        root,
    )


def _weighed(block: RotatedBlock | GroupedBlock, values: Array) -> Array:
    """Return values times the square roots of the weights of their rows."""
    return values if block.root_weight is None else block.root_weight * values


def _count(block: RotatedBlock | GroupedBlock, residual: Array) -> Any:
    """Return the number of observations, or the sum of their likelihood weights."""
    root = block.root_weight
    return residual.size if root is None else jnp.sum(root * root)


def rotated_log_density(block: RotatedBlock, residual: Array, sigma: Array) -> Array:
    r"""Return the log marginal density of the residual (N,).

    .. math:: \log p = -\tfrac12 \sum_k \Big[\log(\sigma^2 + d_k^2) + \frac{p_k^2}{\sigma^2 + d_k^2}
              \Big] - (W-K) \log\sigma - \frac{\|r\|^2 - \|p\|^2}{2\sigma^2} - \tfrac W2 \log 2\pi,
              \quad p = U'r,

    with ``r`` already times the square roots of the weights, and ``W`` their sum (``N`` without).
    """
    n, k = _count(block, residual), block.left.shape[1]
    residual = _weighed(block, residual)
    projected = residual @ block.left
    variance = sigma**2 + block.singular**2
    rest = jnp.sum(residual * residual) - jnp.sum(projected * projected)
    return (
        -0.5 * jnp.sum(projected**2 / variance + jnp.log(variance))
        - (n - k) * jnp.log(sigma)
        - 0.5 * rest / sigma**2
        - 0.5 * n * _LOG_2PI
    )


def rotated_draw(rng_key: Array, block: RotatedBlock, residual: Array, sigma: Array) -> Array:
    """Draw the coefficients (K,) from their conditional given the residual and ``sigma``."""
    projected = _weighed(block, residual) @ block.left
    variance = sigma**2 + block.singular**2
    noise = jax.random.normal(rng_key, projected.shape, projected.dtype)
    omega = block.singular * projected / variance + sigma / jnp.sqrt(variance) * noise
    return block.back @ omega


def _solve(
    block: GroupedBlock,
    residual: Array,
    sigma: Array,
    scale: Array,
    group_scale: Array,
    extra: Array | None,
) -> Solved:
    """Condition on the residual (G, T), in units where every coefficient is standard normal."""
    residual = _weighed(block, residual)
    k, p = block.shared_group.shape[1:]
    shared_group, group_group = block.shared_group, block.group_group
    # All products that depend on parameters come from one contraction over time.
    new = residual[:, None, :]
    if extra is not None:
        if block.root_weight is not None:
            extra = block.root_weight[:, None] * extra
        new = jnp.concatenate([extra, new], 1)
    q = new.shape[1] - 1
    cross = jnp.einsum("gat,gbt->gab", new, block.columns)
    inner = jnp.einsum("gat,gbt->gab", new, new)
    if extra is not None:
        with_shared, with_group = cross[:, :q, :k], cross[:, :q, k:]
        shared_group = jnp.concatenate([shared_group, jnp.swapaxes(with_shared, 1, 2)], 2)
        upper = jnp.concatenate([group_group, jnp.swapaxes(with_group, 1, 2)], 2)
        lower = jnp.concatenate([with_group, inner[:, :q, :q]], 2)
        group_group = jnp.concatenate([upper, lower], 1)
        p += q
    precision = 1.0 / sigma**2
    group_moment = jnp.concatenate([cross[:, q, k:], inner[:, :q, q]], 1)
    right = jnp.concatenate([jnp.swapaxes(shared_group, 1, 2) * scale, group_moment[:, :, None]], 2)
    right = precision * group_scale[:, None] * right
    matrix = precision * group_scale[:, None] * group_scale * group_group
    group_factor = _cholesky(jnp.eye(p, dtype=residual.dtype) + matrix)
    whitened = solve_lower(group_factor, right)
    whitened_cross, whitened_moment = whitened[..., :k], whitened[..., k]
    explained = jnp.einsum("gpa,gpb->ab", whitened_cross, whitened)
    shared = precision * scale[:, None] * scale * jnp.sum(block.shared_shared, 0)
    shared = jnp.eye(k, dtype=residual.dtype) + shared - explained[:, :k]
    moment = precision * scale * jnp.sum(cross[:, q, :k], 0) - explained[:, k]
    squares = precision * jnp.sum(inner[:, q, q]) - jnp.sum(whitened_moment**2)
    return Solved(
        group_factor, whitened_cross, whitened_moment, jnp.linalg.cholesky(shared), moment, squares
    )


def _cholesky(matrix: Array) -> Array:
    # A batch of 1 x 1 matrices (geo intercepts alone) needs no LAPACK call.
    return jnp.sqrt(matrix) if matrix.shape[-1] == 1 else jnp.linalg.cholesky(matrix)


def grouped_log_density(
    block: GroupedBlock,
    residual: Array,
    sigma: Array,
    scale: Array,
    group_scale: Array,
    extra: Array | None = None,
    functionals: Functionals | None = None,
) -> Array:
    r"""Return the log marginal density of the residual (G, T), by Woodbury in and across groups.

    With ``V_g`` the covariance of group ``g`` given ``b`` and ``P`` the posterior precision of the
    standardised ``b``,

    .. math:: \log p = -\tfrac12 \Big[\sum_g (r_g' V_g^{-1} r_g + \log|V_g|) - h' P^{-1} h + \log|P|
              \Big] - \tfrac N2 \log 2\pi.

    With weights, ``r`` and all columns are multiplied by their square roots, and
    :math:`(N - W)(\log\sigma + \tfrac12 \log 2\pi)` is added (``W`` is the sum of the weights).

    Parameters
    ----------
    block, residual, sigma
        The designs, the residual of the nonlinear part (G, T), and the noise scale.
    scale, group_scale
        Prior scales (K,) of the shared and (p + q,) of the group coefficients.
    extra
        Further group columns (G, q, T) that depend on parameters themselves.
    functionals
        Observed functionals of their coefficients, whose density is included.
    """
    solved = _solve(block, residual, sigma, scale, group_scale, extra)
    half = solve_triangular(solved.factor, solved.moment, lower=True)
    count = _count(block, residual)
    log_det = (
        jnp.sum(jnp.log(_diagonal(solved.group_factor)))
        + jnp.sum(jnp.log(_diagonal(solved.factor)))
        + count * jnp.log(sigma)
    )
    quadratic = solved.squares - jnp.sum(half * half)
    result = -0.5 * quadratic - log_det - 0.5 * count * _LOG_2PI
    if functionals is not None:
        result += functionals_log_density(solved, group_scale, functionals)
    return result


def grouped_draw(
    rng_key: Array,
    block: GroupedBlock,
    residual: Array,
    sigma: Array,
    scale: Array,
    group_scale: Array,
    extra: Array | None = None,
    functionals: Functionals | None = None,
) -> tuple[Array, Array]:
    """Draw ``b`` (K,) and the group coefficients ``u`` (G, p + q) from their joint conditional."""
    key_shared, key_group = jax.random.split(rng_key)
    solved = _solve(block, residual, sigma, scale, group_scale, extra)
    noise = jax.random.normal(key_shared, solved.moment.shape, residual.dtype)
    standard = cho_solve((solved.factor, True), solved.moment) + solve_triangular(
        solved.factor, noise, lower=True, trans=1
    )
    # Given b, the groups are independent: mean and noise share one triangular solve.
    whitened = solved.whitened_moment - jnp.einsum("gpk,k->gp", solved.whitened_cross, standard)
    right = whitened + jax.random.normal(key_group, whitened.shape, residual.dtype)
    factor = solved.group_factor
    if factor.shape[-1] <= 1:
        effects = right / factor[..., 0] if factor.shape[-1] == 1 else right
    else:
        effects = solve_triangular(factor, right[..., None], lower=True, trans=1)[..., 0]
    if functionals is not None:
        key = jax.random.fold_in(rng_key, _FUNCTIONALS)
        standard, effects = conditioned_draw(
            key, solved, group_scale, functionals, standard, effects
        )
    return scale * standard, group_scale * effects


def transport(
    block: GroupedBlock,
    residual: Array,
    sigma: Array,
    scale: Array,
    group_scale: Array,
    extra: Array,
    unit: Array,
) -> tuple[Array, Array]:
    r"""Place standardised coefficients where a linear model would have them.

    Maps ``unit`` (G, q) to ``z = m + C unit``, with ``m`` and ``C C'`` the conditional mean and
    covariance of the standardised coefficients of the ``extra`` columns (shared coefficients at
    their mean). If ``z`` enters the target nearly linearly, ``unit`` is nearly standard normal a
    posteriori, whether a group has much data (centred) or little (non-centred).

    Returns
    -------
    tuple
        ``z`` (G, q) and the log volume of the map.
    """
    solved = _solve(block, residual, sigma, scale, group_scale, extra)
    q = unit.shape[-1]
    shared = cho_solve((solved.factor, True), solved.moment)
    centre = solved.whitened_moment - jnp.einsum("gpk,k->gp", solved.whitened_cross, shared)
    # The trailing block of a Cholesky factor is that of the coefficients' own precision.
    factor = solved.group_factor[:, -q:, -q:]
    right = (centre[:, -q:] + unit)[..., None]
    z = solve_triangular(factor, right, lower=True, trans=1)[..., 0]
    return z, -jnp.sum(jnp.log(_diagonal(factor)))


def _diagonal(matrix: Array) -> Array:
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)
