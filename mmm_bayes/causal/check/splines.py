"""Restricted cubic splines, which are linear beyond the outermost knots."""

from __future__ import annotations

from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]


def knots_of(values: NDArray, count: int) -> NDArray:
    """Place knots at quantiles (Harrell 2015); return none for too few distinct values."""
    if len(np.unique(values)) < 3 * count:
        return np.empty(0)
    outer = 0.05 if count > 4 else 0.1
    knots = np.unique(np.quantile(values, np.linspace(outer, 1.0 - outer, count)))
    return knots if len(knots) >= 3 else np.empty(0)


def restricted_cubic(values: NDArray, knots: NDArray) -> NDArray:
    """Return the natural cubic spline basis (row, knots - 1): the values, then nonlinear terms."""
    if not knots.size:
        return values[:, None]
    span = (knots[-1] - knots[0]) ** 2

    def cube(knot: float) -> NDArray:
        return np.maximum(values - knot, 0.0) ** 3

    last, previous = knots[-1], knots[-2]
    bends = [
        (
            cube(knot)
            - cube(previous) * (last - knot) / (last - previous)
            + cube(last) * (previous - knot) / (last - previous)
        )
        / span
        for knot in knots[:-2]
    ]
    return np.column_stack([values, *bends])


def bends_of(knots: NDArray) -> NDArray:
    """Return 1 for each nonlinear column of a spline basis, and 0 for the first, linear one."""
    return np.concatenate([np.zeros(1), np.ones(max(len(knots) - 2, 0))])
