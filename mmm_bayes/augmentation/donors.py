r"""Donors drawn by kernel weights: the compiled inner loop of ancestral sampling.

For each draw a training row ``k`` is picked with a probability proportional to the product kernel
between the pillow values of the draw and of row ``k``. The cost is ``O(n)`` per pillow column and
draw, in blocks of bounded memory. A donor is found in two steps, first among tiles of training rows
by their sums, then within the tile, which avoids a cumulative sum over all rows.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.augmentation import kernels
from mmm_bayes.augmentation.columns import Columns

Array = jax.Array
NDArray = np.ndarray[Any, Any]

_TILE = 64
_BLOCK_ELEMENTS = 1 << 18  # draws times training rows in one block, which fits a core's cache
_NONE = -2


class Pillow(NamedTuple):
    """Columns of a pillow as arrays (P, n), padded so that few shapes are compiled."""

    values: Any
    bandwidth: Any
    kind: Any
    levels: Any
    valid: Any
    size: Any


def pillow_arrays(columns: Columns, dtype: Any = np.float32) -> Pillow:
    """Build the arrays of a pillow, with values transformed by :func:`.kernels.comparable`."""
    count, n = columns.values.shape
    rows = -(-n // _TILE) * _TILE
    width = -(-max(count, 1) // 4) * 4
    values, bandwidth = np.zeros((width, rows)), np.ones((width, rows))
    for c, (x, name) in enumerate(zip(columns.values, columns.kernel, strict=True)):
        values[c, :n] = kernels.comparable(x, name)
    bandwidth[:count, :n] = columns.bandwidth
    kind, levels = np.zeros(width, np.int32), np.ones(width)
    kind[:count] = [kernels.kernel_id(name) for name in columns.kernel]
    levels[:count] = columns.levels
    return Pillow(
        values.astype(dtype), bandwidth.astype(dtype), kind, levels.astype(dtype),
        np.arange(rows) < n, np.asarray(count, np.int32),
    )  # fmt: skip


def _log_block(pillow: Pillow, query: Array, width: Array) -> Array:
    """Compute log product kernels (B, n) between pillow values (P, B) and training rows."""
    start = jnp.where(pillow.valid, 0.0, -jnp.inf).astype(pillow.values.dtype)
    start = jnp.broadcast_to(start, (query.shape[1], pillow.valid.shape[0]))

    def add(c: Array, total: Array) -> Array:
        difference = query[c][:, None] - pillow.values[c][None, :]
        return total + kernels.log_kernel(
            pillow.kind[c], difference, width[c][:, None], pillow.levels[c]
        )

    return jax.lax.fori_loop(0, pillow.size, add, start)


def _pick(cumulative: Array, point: Array) -> Array:
    """Find the first position (B,) at which a cumulative sum (B, m) exceeds a point (B,)."""
    at = jnp.sum(cumulative <= point[:, None], axis=1)
    return jnp.minimum(at, cumulative.shape[1] - 1)


@functools.partial(jax.jit, static_argnames="block")
def donors_of(rng_key: Array, pillow: Pillow, query: Array, width: Array, block: int) -> Array:
    """Draw a donor (M,) for each column of ``query`` (P, M), with bandwidths ``width`` (P, M).

    ``M`` is a multiple of ``block`` (static), the number of draws in one block. Draws for which
    every weight is zero get -2.
    """
    draws, n = query.shape[1], pillow.valid.shape[0]
    uniform = jax.random.uniform(rng_key, (2, draws), query.dtype)

    def one(start: Array) -> Array:
        cut = lambda x: jax.lax.dynamic_slice_in_dim(x, start, block, 1)  # noqa: E731
        u, logs = cut(uniform), _log_block(pillow, cut(query), cut(width))
        top = jnp.max(logs, axis=1, keepdims=True)
        weights = jnp.exp(logs - jnp.where(jnp.isfinite(top), top, 0.0))
        tiles = weights.reshape(block, n // _TILE, _TILE)
        sums = jnp.cumsum(jnp.sum(tiles, axis=2), axis=1)
        tile = _pick(sums, u[0] * sums[:, -1])
        inner = jnp.cumsum(jnp.take_along_axis(tiles, tile[:, None, None], axis=1)[:, 0], axis=1)
        row = tile * _TILE + _pick(inner, u[1] * inner[:, -1])
        return jnp.where(jnp.isfinite(top[:, 0]), row, _NONE).astype(jnp.int32)

    return jax.lax.map(one, jnp.arange(draws // block) * block).reshape(-1)


def query_bandwidth(columns: Columns, query: NDArray) -> NDArray:
    """Look up the bandwidth (column, draw) of pillow values, that of the nearest training value."""
    result = np.empty_like(query)
    for c, (x, width) in enumerate(zip(columns.values, columns.bandwidth, strict=True)):
        if np.all(width == width[0]):
            result[c] = width[0]
            continue
        order = np.argsort(x, kind="stable")
        at = np.clip(np.searchsorted(x[order], query[c]), 1, len(x) - 1)
        left = query[c] - x[order[at - 1]] < x[order[at]] - query[c]
        result[c] = width[order[np.where(left, at - 1, at)]]
    return result


def draw_donors(rng_key: jax.Array, columns: Columns, query: NDArray) -> NDArray:
    """Draw a donor for each column of pillow values (P, M); -2 if every weight is zero.

    Parameters
    ----------
    rng_key
        Random key.
    columns
        The pillow's columns over the training rows; without columns all rows are equally likely.
    query
        Pillow values of the draws (P, M), in the units of the table.
    """
    draws = query.shape[1]
    pillow = pillow_arrays(columns)
    width = pillow.values.shape[0]
    block = max(1, min(_BLOCK_ELEMENTS // pillow.valid.shape[0], -(-draws // 8)))
    block = 1 << (block.bit_length() - 1)
    total = -(-draws // block) * block
    at, bandwidth = np.zeros((width, total)), np.ones((width, total))
    for c, (x, name) in enumerate(zip(columns.values, columns.kernel, strict=True)):
        at[c, :draws] = kernels.comparable(x, name, query[c])
    bandwidth[: len(query), :draws] = query_bandwidth(columns, query)
    single = lambda x: x.astype(np.float32)  # noqa: E731
    return np.asarray(donors_of(rng_key, pillow, single(at), single(bandwidth), block))[:draws]


def log_weights(columns: Columns, query: NDArray, *, left_out: NDArray | None = None) -> NDArray:
    """Compute normalised log weights (row, training row) in NumPy, for small tables.

    ``left_out`` is the training row, such as its own, that gets no weight in each row.
    """
    rows = query.shape[1]
    total = np.zeros((rows, columns.values.shape[1]))
    bandwidth = query_bandwidth(columns, query)
    for c, name in enumerate(columns.kernel):
        difference = query[c][:, None] - columns.values[c][None, :]
        total += kernels.log_kernel_host(
            name, difference, bandwidth[c][:, None], float(columns.levels[c])
        )
    if left_out is not None:
        total[np.arange(rows), left_out] = -np.inf
    top = total.max(1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    sums = np.exp(total - top).sum(1, keepdims=True)
    return np.where(sums > 0.0, total - top - np.log(np.maximum(sums, 1e-300)), -np.inf)
