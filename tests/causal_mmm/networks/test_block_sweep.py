"""Blocks let in and out of a regression, against inverses of whole matrices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.causal_mmm.networks.block_sweep import change, moved

NDArray = np.ndarray[Any, Any]


SIZE, BLOCKS = 2, 4


def case(seed: int) -> NDArray:
    """Positive definite matrix with a right-hand side as its last row and column."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(30, SIZE * BLOCKS + 1))
    return rows.T @ rows


def expected(whole: NDArray, inside: NDArray) -> tuple[NDArray, float]:
    """Table and log determinant by their definition."""
    columns = np.append(np.repeat(inside, SIZE), False)
    a, b = np.flatnonzero(columns), np.flatnonzero(~columns)
    inverse = np.linalg.inv(whole[np.ix_(a, a)])
    table = np.empty_like(whole)
    table[np.ix_(a, a)] = -inverse
    table[np.ix_(a, b)] = inverse @ whole[np.ix_(a, b)]
    table[np.ix_(b, a)] = table[np.ix_(a, b)].T
    table[np.ix_(b, b)] = whole[np.ix_(b, b)] - whole[np.ix_(b, a)] @ table[np.ix_(a, b)]
    return table, float(np.linalg.slogdet(whole[np.ix_(a, a)])[1])


def test_blocks_in_and_out_in_any_order() -> None:
    whole = case(0)
    with jax.enable_x64(True):
        table, log_det, inside = jnp.asarray(whole), 0.0, np.zeros(BLOCKS, bool)
        for block in (2, 0, 3, 2, 1, 0, 2):
            was = jnp.asarray(float(inside[block]))
            found = change(table, block * SIZE, SIZE, was)
            corner = float(table[-1, -1] + found.corner)
            table = moved(table, block * SIZE, SIZE, was, jnp.ones(()), found.inverse)
            log_det += float(found.log_det)
            inside[block] = not inside[block]
            wanted, determinant = expected(whole, inside)
            np.testing.assert_allclose(table, wanted, rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(log_det, determinant, rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(corner, wanted[-1, -1], rtol=1e-9)


def test_a_block_that_stays_leaves_the_table_as_it_is() -> None:
    with jax.enable_x64(True):
        table = jnp.asarray(case(1))
        found = change(table, SIZE, SIZE, jnp.zeros(()))
        same = moved(table, SIZE, SIZE, jnp.zeros(()), jnp.zeros(()), found.inverse)
        np.testing.assert_array_equal(same, table)


def test_a_block_that_others_determine_is_left_where_it_is() -> None:
    rows = np.random.default_rng(2).normal(size=(30, SIZE * BLOCKS + 1))
    rows[:, 2:4] = rows[:, :2]
    with jax.enable_x64(True):
        table = jnp.asarray(rows.T @ rows)
        first = change(table, 0, SIZE, jnp.zeros(()))
        table = moved(table, 0, SIZE, jnp.zeros(()), jnp.ones(()), first.inverse)
        # Nothing is left but rounding, here below zero.
        table = table.at[2:4, 2:4].set(-1e-15)
        found = change(table, 2, SIZE, jnp.zeros(()))
    assert (float(first.possible), float(found.possible)) == (1.0, 0.0)
    assert not found.corner.any()
    assert not found.log_det.any()
    assert not found.inverse.any()
