r"""Linear blocks of several regressions with correlated errors, integrated out together.

For equations ``j = 1..m`` of ``T`` observations each (seemingly unrelated regressions)

.. math:: r_j = A_j b_j + e_j, \quad b_j \sim N(0, \mathrm{diag}(s_j^2)), \quad
          (e_{1t}, .., e_{mt}) \sim N(0, \Sigma),

where ``r`` holds the residuals of the nonlinear parts. With :math:`b_j = s_j \odot \omega_j` and
:math:`S = \Sigma^{-1}`,

.. math:: \log p(r) = -\tfrac12 \Big[ mT \log 2\pi + T \log|\Sigma| + \log|M|
          + \sum_{jk} S_{jk} r_j'r_k - c'M^{-1}c \Big],

.. math:: M_{jk} = \delta_{jk} I + S_{jk}\, \mathrm{diag}(s_j) A_j'A_k\, \mathrm{diag}(s_k),
          \qquad c_j = s_j \odot A_j' \textstyle\sum_k S_{jk} r_k,

and :math:`\omega \mid r \sim N(M^{-1}c, M^{-1})`. Cross products are formed once; one evaluation
costs a Cholesky factor of order :math:`\sum_j K_j` and passes over the residuals.

References
----------
Zellner (1962), An efficient method of estimating seemingly unrelated regressions. JASA 57.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular

Array = jax.Array
Leaf = Any  # an array of JAX on the device, of NumPy on the host
NDArray = np.ndarray[Any, Any]

_LOG_2PI = float(np.log(2.0 * np.pi))


class JointBlock(NamedTuple):
    """Designs side by side (T, K), and the products of all of their columns (K, K)."""

    columns: Leaf
    products: Leaf


class _Solved(NamedTuple):
    factor: Array
    shift: Array
    scale: Array


def join(designs: Sequence[NDArray]) -> JointBlock:
    """Put the designs (T, K_j) of the equations side by side."""
    columns = np.concatenate(designs, axis=1)
    return JointBlock(columns, columns.T @ columns)


def _solve(
    block: JointBlock, residuals: Array, precision: Array, scales: Sequence[Array]
) -> _Solved:
    owner = np.repeat(np.arange(len(scales)), [len(own) for own in scales])
    scale = jnp.concatenate(list(scales))
    weight = precision[owner[:, None], owner[None, :]] * scale[:, None] * scale[None, :]
    system = weight * block.products + jnp.eye(len(owner), dtype=block.products.dtype)
    projected = block.columns.T @ (precision @ residuals).T  # (K, m)
    shift = scale * projected[np.arange(len(owner)), owner]
    return _Solved(jnp.linalg.cholesky(system), shift, scale)


def joint_log_density(
    block: JointBlock, residuals: Array, covariance: Array, scales: Sequence[Array]
) -> Array:
    """Return the log marginal density of the residuals.

    Parameters
    ----------
    block
        Linear blocks of the equations.
    residuals
        Residuals of the nonlinear parts (m, T).
    covariance
        Covariance of the errors (m, m).
    scales
        Prior standard deviations (K_j,) of each equation's coefficients.
    """
    count, length = residuals.shape
    root = jnp.linalg.cholesky(covariance)
    white = solve_triangular(root, residuals, lower=True)
    precision = cho_solve((root, True), jnp.eye(count, dtype=covariance.dtype))
    solved = _solve(block, residuals, precision, scales)
    half = solve_triangular(solved.factor, solved.shift, lower=True)
    return (
        -0.5 * (jnp.sum(white * white) - jnp.sum(half * half))
        - length * jnp.sum(jnp.log(jnp.diagonal(root)))
        - jnp.sum(jnp.log(jnp.diagonal(solved.factor)))
        - 0.5 * count * length * _LOG_2PI
    )


def joint_draw(
    rng_key: Array,
    block: JointBlock,
    residuals: Array,
    covariance: Array,
    scales: Sequence[Array],
) -> list[Array]:
    """Draw the coefficients (K_j,) of all equations given residuals and covariance."""
    precision = jnp.linalg.inv(covariance)
    solved = _solve(block, residuals, precision, scales)
    noise = jax.random.normal(rng_key, solved.shift.shape, solved.shift.dtype)
    mean = cho_solve((solved.factor, True), solved.shift)
    drawn = solved.scale * (mean + solve_triangular(solved.factor.T, noise, lower=False))
    ends = np.cumsum([len(own) for own in scales])[:-1]
    return jnp.split(drawn, ends)
