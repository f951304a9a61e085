r"""ADMGDA: enumerate the rows that a causal graph implies, each with its weight.

The algorithm as published (Poinsot and Leite 2023), for training rows :math:`X_1, \dots, X_n`, the
variables :math:`1, \dots, d` of a graph in topological order, and a threshold :math:`\theta`:

1. Start with the ``n`` values of the first variable as partial rows, each with the weight ``1/n``.
2. For each further variable :math:`j`, extend every partial row :math:`Z_i` by the value
   :math:`X_k^j` of every training row :math:`k`, with the weight

   .. math:: w_{ik} = w_i \,
             \frac{K^j(Z_i^{a(j)} - X_k^{a(j)})}{\sum_l K^j(Z_i^{a(j)} - X_l^{a(j)})},

   where :math:`a(j)` is the Markov pillow of the variable and :math:`K^j` a product kernel
   (:mod:`mmm_bayes.augmentation.factorisation`); with an empty pillow the factor is ``1/n``.
3. Keep the new rows whose weights are above the threshold, and go on with the next variable.

The threshold is relative to the initial weight: rows are kept while :math:`w \ge \theta / n`, so
that at most :math:`n / \theta` rows are alive at any time. A denominator that is zero in double
precision ends the row, as in the published code. Weights are not renormalised: their sum is the
probability kept.

The implementation, :func:`enumerate_rows`, is one compiled program. A partial row is a node of a
tree (its parent and the donor of its last value) rather than a row of values, and each variable
adds one level, in blocks of bounded size (:func:`_add_variable`):

1. The probability of any donor is at most ``1 / sum(K)``, since kernels peak at one. With one or
   two columns in the pillow all these sums are one product of ``n x n`` matrices, which rules out
   most rows before anything else is computed for them (:func:`_upper_bound`).
2. The other rows get the log weights of all donors, and survivors are appended to the level
   (:func:`_append_survivors`).

Sizes are data rather than shapes (number of rows alive, sizes of pillows), so that one compilation
serves many tables, runs on CPU, GPU and TPU, and can be mapped over replicates of the table and
over bandwidths (``jax.vmap``).

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

from mmm_bayes.augmentation.factorisation import (
    Problem,
    log_normalise,
    log_product_kernel,
    problem_of,
)
from mmm_bayes.augmentation.kernels import log_kernel
from mmm_bayes.augmentation.table import EncodedTable

Array = jax.Array
NDArray = np.ndarray[Any, Any]

# The published code multiplies kernels in double precision, where anything below half the smallest
# positive number is zero. With narrow bandwidths this decides which rows end.
_LOG_ZERO = float(-1075.0 * np.log(2.0))
_BLOCK = 4096  # partial rows whose bounds are computed together
_DENSE = 128  # partial rows of a block that are extended by all training rows together
_PIECE = 2048  # survivors written together
_MATRIX_ROWS = 1024  # largest number of training rows for which the matrix of sums is used
_LEAST_CAPACITY = 1 << 10
_START_CAPACITY = 1 << 16
_MAX_CAPACITY = 1 << 27


class Tree(NamedTuple):
    """Partial rows by level: ``donor`` and ``parent`` (V, capacity), and their ``count`` (V,).

    ``log_weight`` holds the log weights of the deepest level. If ``overflow`` is true, the capacity
    was too small, and the tree is incomplete. Arrays have room for one more piece at the end.
    """

    donor: Any
    parent: Any
    log_weight: Any
    count: Any
    overflow: Any


def _pair_sums(problem: Problem, node: Array) -> Array:
    """Sum the product kernel over training rows, for all pairs of donors of two columns (n, n)."""
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

    # By default accelerators multiply with lower precision, and too large a sum would lose rows.
    return jnp.matmul(matrix(0), matrix(1).T, precision="highest")


def _upper_bound(problem: Problem, node: Array, donors: Array, sums: Array) -> Array:
    """Bound the log probability (B,) of any donor from above; zero if no bound is known."""
    first, second = problem.pillow[node, 0], problem.pillow[node, 1]
    total = sums[donors[problem.node_of[first]], donors[problem.node_of[second]]]
    # Sums that underflow give no bound; the margin of 1e-3 covers rounding.
    known = (problem.size[node] <= 2) & (total > 1e-30)
    return jnp.where(known, 1e-3 - jnp.log(jnp.where(known, total, 1.0)), 0.0)


def _ancestry(tree: Tree, node: Array, rows: Array) -> Array:
    """Collect the donors (V, B) of the variables before ``node`` of rows of the last level."""

    def step(back: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        donors, at = state
        depth = node - 1 - back
        donors = donors.at[depth].set(tree.donor[depth, at])
        return donors, tree.parent[depth, at]

    donors = jnp.zeros((tree.donor.shape[0], rows.shape[0]), jnp.int32)
    return jax.lax.fori_loop(0, node, step, (donors, rows))[0]


def _append_survivors(
    problem: Problem, node: Array, donors: Array, log_weight: Array, rows: Array, grown: Tree
) -> Tree:
    """Extend partial rows (B,) by every donor, and append those above the threshold."""
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
    # After the last survivor a piece holds garbage, which the next piece overwrites.
    _, grown = jax.lax.while_loop(lambda s: fits & (s[0] < found), piece, (zero, grown))
    return grown._replace(
        count=grown.count.at[node].set(jnp.where(fits, total + found, total)),
        overflow=grown.overflow | ~fits,
    )


def _add_variable(problem: Problem, node: Array, tree: Tree) -> Tree:
    """Add one variable: extend all partial rows of the tree by one level."""
    capacity = tree.log_weight.shape[0] - _PIECE
    n = problem.valid.shape[0]
    live = jnp.where(node == 0, 1, tree.count[jnp.maximum(node - 1, 0)])
    # The product of matrices pays off if more rows are alive than a few dense blocks hold.
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
        possible = here & (bound >= problem.log_threshold)
        (order,) = jnp.nonzero(possible, size=_BLOCK, fill_value=_BLOCK - 1)
        many = jnp.sum(possible)

        def dense(inner: tuple[Array, Tree]) -> tuple[Array, Tree]:
            first, grown = inner
            place = first + jnp.arange(_DENSE, dtype=jnp.int32)
            own = order[jnp.minimum(place, _BLOCK - 1)]
            weights = jnp.where(place < many, weight[own], -jnp.inf)
            grown = _append_survivors(problem, node, donors[:, own], weights, rows[own], grown)
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
        The table; its leaves may be mapped over (``jax.vmap``).
    capacity
        Largest number of rows alive at any time (static).

    Returns
    -------
    Tree
        The rows of the last level are the result; :func:`leaf_rows` lists their donors.
    """
    nodes = problem.size.shape[0]
    dtype = problem.values.dtype
    zero = 0.0 * problem.values[0, 0]
    empty = Tree(
        donor=jnp.zeros((nodes, capacity + _PIECE), jnp.int32),
        parent=jnp.zeros((nodes, capacity + _PIECE), jnp.int32),
        # Depends on data, since XLA would evaluate a constant of this size at compile time.
        log_weight=jnp.full(capacity + _PIECE, -jnp.inf, dtype).at[0].set(zero),
        count=jnp.zeros(nodes, jnp.int32),
        overflow=jnp.zeros((), bool),
    )
    add = lambda node, tree: _add_variable(problem, jnp.int32(node), tree)  # noqa: E731
    return jax.lax.fori_loop(0, nodes, add, empty)


def leaf_rows(tree: Tree) -> tuple[NDArray, NDArray]:
    """List the donors (row, variable) and the log weights (row,) of the last level."""
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
    """Enumerate the rows of a table: donors (row, variable) and weights, identical rows merged.

    Raises
    ------
    MemoryError
        If more rows are alive at a time than can be held.
    """
    bound = table.num_rows / threshold if threshold > 0 else np.inf
    capacity = _LEAST_CAPACITY
    while capacity < min(
        bound, _START_CAPACITY
    ):  # powers of two, so that few capacities are compiled
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
                    f"The enumeration needs more than {_MAX_CAPACITY} rows at "
                    f"threshold={threshold:g}. Raise the threshold, or use method='sample' or "
                    "'resample'."
                )
    rows, log_weights = leaf_rows(tree)
    weights = np.exp(log_weights.astype(np.float64))
    if all(
        len(np.unique(table.values[list(own)], axis=1).T) == table.num_rows for own in table.members
    ):
        return rows, weights  # without repeated values, different donors give different rows
    return merge_identical(table, rows, weights)


def merge_identical(
    table: EncodedTable, rows: NDArray, weights: NDArray
) -> tuple[NDArray, NDArray]:
    """Merge rows with the same values: weights are added, and the first donors are kept."""
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
