r"""ADMGDA: every row that a graph implies, with its weight (Teshima and Sugiyama 2021).

The Markov factorisation of a distribution by a graph, with kernel-weighted training rows for its
conditionals, is a discrete distribution over recombined rows. Variables are visited in a
topological order; a partial row ``z`` of weight ``w`` goes on with the value of training row ``k``
with

.. math:: w_k = w \frac{K(z^{p} - x_k^{p})}{\sum_l K(z^{p} - x_l^{p})},

``p`` the Markov pillow of the next variable and ``K`` a product kernel. An empty pillow gives every
row the factor ``1/n``; a denominator that is zero in double precision ends the row. Rows are kept
while ``w >= theta / n``, so that no more than ``n / theta`` are alive at any time. Weights are not
renormalised: their sum is the mass kept.

:func:`enumerate_rows` is the compiled recursion. A partial row is a path in a tree (parent and
donor of each node), not a row of values, and the tree grows in blocks of bounded size:

1. The conditional probability of a donor is at most ``1 / sum(K)``, kernels peaking at one. With
   one or two columns in the pillow all sums come from one product of ``n x n`` matrices, and most
   rows end here, before anything is computed of them.
2. Rows that are left get their log weights over all donors, and survivors are appended.

Sizes are data, not shapes (number of live rows, sizes of pillows), so that a program is compiled
once for a class of shapes, runs on CPU, GPU and TPU, and may be mapped over replicates of the table
and over bandwidths (``jax.vmap``).

References
----------
Teshima and Sugiyama (2021), Incorporating causal graphical prior knowledge into predictive modeling
via simple data augmentation. UAI 2021.
Poinsot and Leite (2023), A guide for practical use of ADMG causal data augmentation. ICLR workshop.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.augmentation.kernels import comparable, kernel_id, log_kernel
from mmm_bayes.augmentation.table import EncodedTable

Array = jax.Array
NDArray = np.ndarray[Any, Any]

# The published code multiplies kernels in double precision, where less than half the least positive
# number is zero: with narrow bandwidths that decides which rows end.
_LOG_ZERO = float(-1075.0 * np.log(2.0))
_BLOCK = 4096  # partial rows looked at together
_DENSE = 128  # of them, expanded over all training rows together
_PIECE = 2048  # survivors written together
_MATRIX_ROWS = 1024  # up to so many training rows pairs of columns have their matrix of sums
_LEAST_CAPACITY = 1 << 10
_START_CAPACITY = 1 << 16
_MAX_CAPACITY = 1 << 27


class Problem(NamedTuple):
    """A table and its factorisation as arrays; ``V`` variables, ``C`` columns, ``n`` rows.

    Attributes
    ----------
    values, bandwidth
        Columns (C, n) and their bandwidths at each row (C, n).
    valid
        Which rows are there (n,); others fill a class of shapes up.
    kind, levels, node_of
        Kernel, number of levels and variable of each column (C,).
    pillow, size
        Columns each variable is conditioned on (V, P), and how many they are (V,).
    log_threshold
        Logarithm of the least weight kept.
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


class Tree(NamedTuple):
    """Partial rows of every depth: ``donor`` and ``parent`` (V, capacity), ``count`` (V,).

    ``log_weight`` (capacity + 1,) is that of the deepest rows. ``overflow`` says that the capacity
    did not do, and the tree is worthless.
    """

    donor: Any
    parent: Any
    log_weight: Any
    count: Any
    overflow: Any


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step


def problem_of(table: EncodedTable, threshold: float, dtype: Any) -> Problem:
    """Arrays of a table, filled up to a class of shapes."""
    n = table.n_rows
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
    # Weights at the threshold are kept (several roots make 1/n**2 of all of them): their logarithms
    # are sums that are off by a few roundings. Without a threshold all but impossible rows stay.
    if threshold == 0.0:
        return float(np.finfo(dtype).min)
    log = float(np.log(threshold) - np.log(n))
    return log - 8.0 * float(np.finfo(dtype).eps) * (1.0 - log)


def log_product_kernel(problem: Problem, node: Array, donors: Array) -> Array:
    """Log product kernel (B, n) of partial rows, given their donors (V, B), over training rows."""
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
    """Subtract the log of the sum of exponentials of the last axis; all ``-inf`` stays so."""
    top = jnp.max(values, axis=-1, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.sum(jnp.exp(values - top), axis=-1, keepdims=True)
    return jnp.where(total > 0.0, values - top - jnp.log(total), -jnp.inf)


def _pair_sums(problem: Problem, node: Array) -> Array:
    """Sums over training rows of the kernels of the pillow's first two columns (n, n)."""
    n = problem.valid.shape[0]

    def matrix(position: int) -> Array:
        column = problem.pillow[node, position]
        x = problem.values[column]
        logs = log_kernel(
            problem.kind[column],
            x[:, None] - x[None, :],
            problem.bandwidth[column][:, None],
            problem.levels[column],
        )
        own = jnp.where(position < problem.size[node], jnp.exp(logs), jnp.ones((n, n), x.dtype))
        return own * problem.valid

    # Accelerators multiply in fewer digits unless told, and a sum too large loses rows.
    return jnp.matmul(matrix(0), matrix(1).T, precision="highest")


def _upper_bound(problem: Problem, node: Array, donors: Array, sums: Array) -> Array:
    """Greatest log probability (B,) that any donor can have; zero where nothing is known."""
    first, second = problem.pillow[node, 0], problem.pillow[node, 1]
    total = sums[donors[problem.node_of[first]], donors[problem.node_of[second]]]
    # Sums that have underflown say nothing; the margin covers rounding.
    known = (problem.size[node] <= 2) & (total > 1e-30)
    return jnp.where(known, 1e-3 - jnp.log(jnp.where(known, total, 1.0)), 0.0)


def _ancestry(tree: Tree, node: Array, rows: Array) -> Array:
    """Donors (V, B) of the variables before ``node`` on the paths to rows of the last depth."""

    def step(back: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        donors, at = state
        depth = node - 1 - back
        donors = donors.at[depth].set(tree.donor[depth, at])
        return donors, tree.parent[depth, at]

    donors = jnp.zeros((tree.donor.shape[0], rows.shape[0]), jnp.int32)
    return jax.lax.fori_loop(0, node, step, (donors, rows))[0]


def _expand(
    problem: Problem, node: Array, donors: Array, log_weight: Array, rows: Array, grown: Tree
) -> Tree:
    """Append to ``grown`` the surviving continuations of the given rows (B of them)."""
    capacity, n = grown.log_weight.shape[0] - _PIECE, problem.valid.shape[0]
    logs = log_product_kernel(problem, node, donors)
    logs = log_normalise(jnp.where(logs < _LOG_ZERO, -jnp.inf, logs)) + log_weight[:, None]
    logs = logs.reshape(-1)
    rank = jnp.cumsum(logs >= problem.log_threshold, dtype=jnp.int32)
    total, found = grown.count[node], rank[-1]
    fits = total + found <= capacity

    def piece(state: tuple[Array, Tree]) -> tuple[Array, Tree]:
        done, grown = state
        # The k-th survivor is where the count of survivors first reaches k.
        flat = jnp.searchsorted(rank, done + 1 + jnp.arange(_PIECE, dtype=jnp.int32))
        flat = jnp.minimum(flat, logs.shape[0] - 1).astype(jnp.int32)
        at = total + done
        write = jax.lax.dynamic_update_slice
        grown = grown._replace(
            donor=write(grown.donor, (flat % n)[None], (node, at)),
            parent=write(grown.parent, rows[flat // n][None], (node, at)),
            log_weight=write(grown.log_weight, logs[flat], (at,)),
        )
        return done + _PIECE, grown

    zero = jnp.zeros((), jnp.int32)
    # Past the last survivor a piece holds rubbish, which the next one or nobody reads.
    _, grown = jax.lax.while_loop(lambda s: fits & (s[0] < found), piece, (zero, grown))
    return grown._replace(
        count=grown.count.at[node].set(jnp.where(fits, total + found, total)),
        overflow=grown.overflow | ~fits,
    )


def _grow(problem: Problem, node: Array, tree: Tree) -> Tree:
    """Visit one variable."""
    capacity = tree.log_weight.shape[0] - _PIECE
    n = problem.valid.shape[0]
    live = jnp.where(node == 0, 1, tree.count[jnp.maximum(node - 1, 0)])
    # The product of matrices pays where more rows are live than a few dense blocks hold.
    few = (live <= 4 * _DENSE) | (problem.size[node] > 2) | (n > _MATRIX_ROWS)
    sums = None
    if n <= _MATRIX_ROWS:
        nothing = lambda: jnp.zeros((n, n), problem.values.dtype)  # noqa: E731
        sums = jax.lax.cond(few, nothing, lambda: _pair_sums(problem, node))

    def block(state: tuple[Array, Tree]) -> tuple[Array, Tree]:
        start, grown = state
        rows = start + jnp.arange(_BLOCK, dtype=jnp.int32)
        here = rows < live
        rows = jnp.where(here, rows, capacity)
        donors = _ancestry(tree, node, rows)
        weight = jnp.where(here, tree.log_weight[rows], -jnp.inf)
        bound = weight
        if sums is not None:
            bound = weight + _upper_bound(problem, node, donors, sums)
        hopeful = here & (bound >= problem.log_threshold)
        (order,) = jnp.nonzero(hopeful, size=_BLOCK, fill_value=_BLOCK - 1)
        many = jnp.sum(hopeful)

        def dense(inner: tuple[Array, Tree]) -> tuple[Array, Tree]:
            first, grown = inner
            place = first + jnp.arange(_DENSE, dtype=jnp.int32)
            own = order[jnp.minimum(place, _BLOCK - 1)]
            weights = jnp.where(place < many, weight[own], -jnp.inf)
            grown = _expand(problem, node, donors[:, own], weights, rows[own], grown)
            return first + _DENSE, grown

        zero = jnp.zeros((), jnp.int32)
        _, grown = jax.lax.while_loop(lambda s: s[0] < many, dense, (zero, grown))
        return start + _BLOCK, grown

    start = jnp.zeros((), jnp.int32)
    grown = tree._replace(log_weight=jnp.full_like(tree.log_weight, -jnp.inf))
    return jax.lax.while_loop(lambda s: s[0] < live, block, (start, grown))[1]


@functools.partial(jax.jit, static_argnames="capacity")
def enumerate_rows(problem: Problem, capacity: int) -> Tree:
    """Enumerate the rows of a factorisation.

    Parameters
    ----------
    problem
        The table; leaves may be mapped over (``jax.vmap``).
    capacity
        Most rows alive at any time (static).

    Returns
    -------
    Tree
        Rows of the last depth are the result; :func:`walk` lists their donors.
    """
    nodes = problem.size.shape[0]
    dtype = problem.values.dtype
    zero = 0.0 * problem.values[0, 0]
    empty = Tree(
        donor=jnp.zeros((nodes, capacity + _PIECE), jnp.int32),
        parent=jnp.zeros((nodes, capacity + _PIECE), jnp.int32),
        # Written as data: XLA would fold a constant of this size at compile time.
        log_weight=jnp.full(capacity + _PIECE, -jnp.inf, dtype).at[0].set(zero),
        count=jnp.zeros(nodes, jnp.int32),
        overflow=jnp.zeros((), bool),
    )
    visit = lambda node, tree: _grow(problem, jnp.int32(node), tree)  # noqa: E731
    return jax.lax.fori_loop(0, nodes, visit, empty)


def walk(tree: Tree) -> tuple[NDArray, NDArray]:
    """Donors (row, variable) and log weights of the rows of the last depth."""
    donor, parent = np.asarray(tree.donor), np.asarray(tree.parent)
    count = int(np.asarray(tree.count)[-1])
    at = np.arange(count)
    rows = np.zeros((count, len(donor)), np.int32)
    for depth in range(len(donor) - 1, -1, -1):
        rows[:, depth] = donor[depth, at]
        at = parent[depth, at]
    return rows, np.asarray(tree.log_weight)[:count]


def enumerate_table(
    table: EncodedTable, threshold: float, precision: str
) -> tuple[NDArray, NDArray]:
    """Enumerate a table: donors (row, variable) and weights, identical rows merged.

    Raises
    ------
    MemoryError
        If more rows are alive at once than can be held.
    """
    bound = table.n_rows / threshold if threshold > 0 else np.inf
    capacity = _LEAST_CAPACITY
    while capacity < min(bound, _START_CAPACITY):  # powers of two: few programs for all tables
        capacity *= 2
    with jax.enable_x64(precision == "float64"):
        problem = problem_of(table, threshold, np.dtype(precision))
        while True:
            tree = jax.device_get(enumerate_rows(problem, capacity))
            if not tree.overflow:
                break
            capacity *= 4
            if capacity > _MAX_CAPACITY:
                raise MemoryError(
                    f"More than {_MAX_CAPACITY} rows are alive at threshold={threshold:g}. Raise "
                    "the threshold, or use method='sample' or 'resample'."
                )
    rows, log_weights = walk(tree)
    weights = np.exp(log_weights.astype(np.float64))
    if all(
        len(np.unique(table.values[list(own)], axis=1).T) == table.n_rows for own in table.members
    ):
        return rows, weights  # paths differ, and so do values
    return merge_identical(table, rows, weights)


def merge_identical(
    table: EncodedTable, rows: NDArray, weights: NDArray
) -> tuple[NDArray, NDArray]:
    """Add the weights of rows with the same values; the first donors stand for all."""
    if not len(rows):
        return rows, weights
    codes = np.empty_like(rows)
    for node, members in enumerate(table.members):
        _, code = np.unique(table.values[list(members)], axis=1, return_inverse=True)
        codes[:, node] = code.reshape(-1)[rows[:, node]]
    _, first, group = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    total = np.bincount(group.reshape(-1), weights=weights, minlength=len(first))
    order = np.argsort(first)
    return rows[first[order]], total[order]
