r"""Add and remove blocks of a Gaussian regression one at a time, by the sweep operator.

For a positive definite matrix with the blocks of a set ``a`` swept *in*, the table holds

.. math:: \begin{pmatrix} -A_{aa}^{-1} & A_{aa}^{-1} A_{ab} \\
          A_{ba} A_{aa}^{-1} & A_{bb} - A_{ba} A_{aa}^{-1} A_{ab} \end{pmatrix}.

With the right-hand side of the normal equations as the last row and column, the last corner is the
residual quadratic form given the blocks in the set. Its value with one block more or less needs
only that block's part of the table, a few columns; updating the whole table is a product of that
rank. Adding a block and removing it again restores the table.

References
----------
Dempster (1969), Elements of continuous multivariate analysis; Goodnight (1979), A tutorial on the
SWEEP operator. The American Statistician.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl

Array = jax.Array


class Change(NamedTuple):
    """Effect of adding a block to the set, or removing it.

    Attributes
    ----------
    corner, log_det
        Change of the last corner, and of the log determinant of :math:`A_{aa}`.
    inverse
        Inverse of the block's own part of the table, for :func:`moved`.
    possible
        1, or 0 if the block is numerically determined by the others; the rest is then zero.
    """

    corner: Any
    log_det: Any
    inverse: Any
    possible: Any


def change(table: Array, start: Any, size: int, inside: Array) -> Change:
    """Compute the effect of adding or removing the block of columns from ``start``.

    Parameters
    ----------
    table
        Symmetric (P + 1, P + 1).
    start, size
        First column and number of columns of the block.
    inside
        Whether the block is in (1), and would be removed, or out (0).
    """
    sign = 1.0 - 2.0 * inside
    rows = jax.lax.dynamic_slice(table, (start, 0), (size, table.shape[0]))
    own = sign * jax.lax.dynamic_slice(rows, (0, start), (size, size))
    last = rows[:, -1]
    factor = jnp.linalg.cholesky(own)
    root = jsl.solve_triangular(factor, jnp.eye(size, dtype=own.dtype), lower=True)
    inverse = sign * (root.T @ root)
    corner = -last @ (inverse @ last)
    log_det = 2.0 * jnp.sum(jnp.log(jnp.diag(factor)))
    possible = jnp.isfinite(corner) & jnp.isfinite(log_det)
    corner, log_det, inverse = (jnp.where(possible, x, 0.0) for x in (corner, log_det, inverse))
    return Change(corner, log_det, inverse, possible.astype(table.dtype))


def moved(table: Array, start: Any, size: int, inside: Array, by: Array, inverse: Array) -> Array:
    """Add or remove the block if ``by`` is one; return the same table if it is zero."""
    sign = 1.0 - 2.0 * inside
    rows = jax.lax.dynamic_slice(table, (start, 0), (size, table.shape[0]))
    own = jax.lax.dynamic_slice(rows, (0, start), (size, size))
    solved = inverse @ rows
    table = table - by * (rows.T @ solved)
    new = jnp.where(by > 0, sign * solved, rows)
    new = jax.lax.dynamic_update_slice(new, jnp.where(by > 0, -inverse, own), (0, start))
    table = jax.lax.dynamic_update_slice(table, new, (start, 0))
    return jax.lax.dynamic_update_slice(table, new.T, (0, start))
