"""Factors of the conditional posterior of shared and group coefficients of a linear block."""

from __future__ import annotations

from typing import NamedTuple

import jax
from jax.scipy.linalg import solve_triangular

Array = jax.Array


class Solved(NamedTuple):
    """Factors of the grouped posterior, all standardised: per group (G, p, p) and shared (K, K)."""

    group_factor: Array
    whitened_cross: Array
    whitened_moment: Array
    factor: Array
    moment: Array
    squares: Array


def solve_lower(factor: Array, right: Array) -> Array:
    """Solve with a batch of lower triangular factors; 1 x 1 and empty ones need no LAPACK call."""
    if factor.shape[-1] <= 1:
        return right / factor if factor.shape[-1] == 1 else right
    return solve_triangular(factor, right, lower=True)
