r"""The tree of ADMGDA with unbiased pruning (Fearnhead and Clifford 2003).

A threshold drops small weights, and with several roots all weights are small. Here, when more than
``N`` rows are alive, a level ``c`` is chosen such that :math:`\sum_i \min(w_i / c, 1) = N`. Rows
with larger weights are kept unchanged; any other row survives :math:`w_i / c` times on average,
with weight ``c``. Expectations equal those of the full tree, and among all unbiased schemes that
keep ``N`` rows this one has the smallest variance of the weights.

References
----------
Fearnhead and Clifford (2003), On-line inference for hidden Markov models via particle filters.
JRSS B 65.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.augmentation.admgda import merge_identical
from mmm_bayes.augmentation.factorisation import (
    Problem,
    log_normalise,
    log_product_kernel,
    problem_of,
)
from mmm_bayes.augmentation.table import EncodedTable

Array = jax.Array
NDArray = np.ndarray[Any, Any]

_BISECTIONS = 60
_BLOCK_ELEMENTS = 1 << 22


def level_of(log_weights: Array, count: Array | int) -> Array:
    r"""Compute the log of the level ``c`` with :math:`\sum_i \min(w_i / c, 1)` = ``count``.

    The sum decreases in ``c``, so bisection of ``log c`` finds it. The result is ``-inf`` if at
    most ``count`` rows are alive.
    """
    alive = jnp.isfinite(log_weights)
    top = jnp.max(log_weights)
    total = jax.scipy.special.logsumexp(log_weights)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = 0.5 * (low + high)
        expected = jnp.sum(jnp.exp(jnp.minimum(log_weights - middle, 0.0)))
        return jnp.where(expected > count, middle, low), jnp.where(expected > count, high, middle)

    low = jnp.minimum(jnp.min(jnp.where(alive, log_weights, jnp.inf)), top)
    high = jnp.maximum(total - jnp.log(count), low) + 1e-6
    level = jax.lax.fori_loop(0, _BISECTIONS, halve, (low, high))[1]
    return jnp.where(jnp.sum(alive) <= count, -jnp.inf, level)


@jax.jit
def resample_step(
    rng_key: Array, problem: Problem, node: Array, donors: Array, log_weights: Array, count: Array
) -> tuple[Array, Array]:
    """Extend rows (V, R) with log weights by one variable, and prune to ``count <= R`` rows."""
    rows, n = donors.shape[1], problem.valid.shape[0]
    block = max(1, min(rows, _BLOCK_ELEMENTS // n))
    block = 1 << (block.bit_length() - 1)
    while rows % block:
        block //= 2
    starts = jnp.arange(rows // block) * block

    def expand(start: Array) -> Array:
        own = jax.lax.dynamic_slice_in_dim(donors, start, block, 1)
        weights = jax.lax.dynamic_slice_in_dim(log_weights, start, block)
        logs = log_normalise(log_product_kernel(problem, node, own))
        # Padding rows must not become NaN by adding infinities.
        logs = jnp.where(jnp.isfinite(weights)[:, None], logs, -jnp.inf)
        return logs + jnp.where(jnp.isfinite(weights), weights, 0.0)[:, None]

    logs = jax.lax.map(expand, starts).reshape(-1)
    level = level_of(logs, count)
    few = jnp.isneginf(level)
    large = jnp.where(few, jnp.isfinite(logs), logs >= level)
    share = jnp.where(large | ~jnp.isfinite(logs), 0.0, jnp.exp(logs - jnp.where(few, 0.0, level)))
    share = jnp.where(few, 0.0, share)
    place = jnp.arange(rows)
    kept = jnp.cumsum(large)
    # Large weights come first. The others are resampled in strata with independent uniforms: a
    # single uniform would pick the same donors for row after row.
    reached = jnp.cumsum(share)
    points = place - kept[-1] + jax.random.uniform(rng_key, (rows,), share.dtype)
    at_small = jnp.searchsorted(reached, points, side="right")
    is_large = place < kept[-1]
    flat = jnp.where(is_large, jnp.searchsorted(kept, place + 1), at_small)
    there = is_large | (points < reached[-1])
    flat = jnp.minimum(flat, logs.shape[0] - 1)
    weights = jnp.where(there, jnp.where(is_large, logs[flat], level), -jnp.inf)
    donors = donors[:, flat // n].at[node].set((flat % n).astype(jnp.int32))
    return donors, weights


def resample_table(rng_key: Array, table: EncodedTable, num_rows: int) -> tuple[NDArray, NDArray]:
    """Grow a tree of at most ``num_rows`` rows; return donors (row, variable) and weights."""
    keys = jax.random.split(rng_key, len(table.nodes))
    rows = -(-num_rows // 64) * 64
    with jax.enable_x64(True):  # cumulative sums over all candidates need double precision
        problem = problem_of(table, 1.0, np.float64)
        donors = jnp.zeros((len(table.nodes), rows), jnp.int32)
        weights = jnp.full(rows, -jnp.inf, np.float64).at[0].set(0.0)
        for node in range(len(table.nodes)):
            donors, weights = resample_step(
                keys[node], problem, np.int32(node), donors, weights, np.int32(num_rows)
            )
        found, log_weights = np.asarray(donors).T, np.asarray(weights)
    alive = np.isfinite(log_weights)
    return merge_identical(table, found[alive], np.exp(log_weights[alive]))
