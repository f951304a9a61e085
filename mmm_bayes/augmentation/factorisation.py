r"""The Markov factorisation of a table by a graph, estimated by kernels, as arrays.

Given the drawn values of its Markov pillow ``p``, a variable takes the value of training row ``k``
with the probability

.. math:: P_k(z) = \frac{K(z^{p} - x_k^{p})}{\sum_l K(z^{p} - x_l^{p})},

with ``K`` the product of the kernels of the pillow's columns. With an empty pillow all rows have
the probability ``1/n``. Rows are referred to by their *donors*: the training row of each value.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.augmentation.kernels import comparable, kernel_id, log_kernel
from mmm_bayes.augmentation.table import EncodedTable

Array = jax.Array
NDArray = np.ndarray[Any, Any]


class Problem(NamedTuple):
    """A table and its factorisation as arrays; ``V`` variables, ``C`` columns, ``n`` rows.

    Attributes
    ----------
    values, bandwidth
        Columns (C, n), and their bandwidths at each row (C, n).
    valid
        Whether a row is in the table (n,); others are padding, so that few shapes are compiled.
    kind, levels, node_of
        Kernel, number of levels and variable of each column (C,).
    pillow, size
        Columns of each variable's Markov pillow (V, P), and their number (V,).
    log_threshold
        Logarithm of the lowest weight that is kept.
    """

    values: Any
    bandwidth: Any
    valid: Any
    kind: Any
    levels: Any
    node_of: Any
    pillow: Any
    size: Any
    log_threshold: Any


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step


def problem_of(table: EncodedTable, threshold: float, dtype: Any) -> Problem:
    """Build the arrays of a table, padded so that few shapes are compiled."""
    n = table.num_rows
    rows = _round_up(n, 64)
    pillows = [table.pillow_columns(v) for v in range(len(table.nodes))]
    width = _round_up(max(2, *(len(p) for p in pillows)), 4)
    pillow = np.zeros((len(pillows), width), np.int32)
    for v, own in enumerate(pillows):
        pillow[v, : len(own)] = own
    pad = ((0, 0), (0, rows - n))
    values = np.stack([comparable(*own) for own in zip(table.values, table.kernel, strict=True)])
    return Problem(
        values=np.pad(values, pad, mode="edge").astype(dtype),
        bandwidth=np.pad(table.bandwidth, pad, mode="edge").astype(dtype),
        valid=np.arange(rows) < n,
        kind=np.array([kernel_id(name) for name in table.kernel], np.int32),
        levels=table.levels.astype(dtype),
        node_of=table.node_of,
        pillow=pillow,
        size=np.array([len(p) for p in pillows], np.int32),
        log_threshold=np.asarray(_log_threshold(threshold, n, dtype), dtype),
    )


def _log_threshold(threshold: float, n: int, dtype: Any) -> float:
    # Weights exactly at the threshold are kept (with two roots all weights can be 1/n**2), so allow
    # for a few roundings of the sum of logarithms. A threshold of zero keeps all possible rows.
    if threshold == 0.0:
        return float(np.finfo(dtype).min)
    log = float(np.log(threshold) - np.log(n))
    return log - 8.0 * float(np.finfo(dtype).eps) * (1.0 - log)


def log_product_kernel(problem: Problem, node: Array, donors: Array) -> Array:
    """Compute log product kernels (B, n) of partial rows with donors (V, B) to training rows."""
    start = jnp.where(problem.valid, 0.0, -jnp.inf).astype(problem.values.dtype)
    start = jnp.broadcast_to(start, (donors.shape[1], problem.valid.shape[0]))

    def add(position: Array, total: Array) -> Array:
        column = problem.pillow[node, position]
        rows = donors[problem.node_of[column]]
        x = problem.values[column]
        width = problem.bandwidth[column][rows]
        difference = x[rows][:, None] - x[None, :]
        kind, levels = problem.kind[column], problem.levels[column]
        return total + log_kernel(kind, difference, width[:, None], levels)

    return jax.lax.fori_loop(0, problem.size[node], add, start)


def log_normalise(values: Array) -> Array:
    """Subtract the log of the sum of exponentials over the last axis; all ``-inf`` stays so."""
    top = jnp.max(values, axis=-1, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.sum(jnp.exp(values - top), axis=-1, keepdims=True)
    return jnp.where(total > 0.0, values - top - jnp.log(total), -jnp.inf)
