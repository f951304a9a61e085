"""The score test of squares: against its definition, and what it sees and does not see."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mmm_bayes.causal_mmm.networks.curvature import curvature
from mmm_bayes.causal_mmm.networks.lagged import Layout

from .test_lagged import rows_of

NDArray = np.ndarray[Any, Any]


LAYOUT = Layout(3, 2, ("saturating",), 1)


def panel(shape: Any, shops: int = 24, length: int = 150, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Node 1 follows node 0 through a function in half of the shops; node 2 is alone."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(shops, length, 3))
    has = np.arange(shops) % 2 == 0
    x[has, 2:, 1] += shape(x[has, 1:-1, 0]) + 0.5 * shape(x[has, :-2, 0])
    x[:, 1:, 2] += 0.6 * x[:, :-1, 2]
    x = (x - x.mean((0, 1))) / x.std((0, 1))
    return x, random.normal(size=(shops, length, 1))


def found(values: NDArray, context: NDArray, there: NDArray | None = None) -> NDArray:
    seen = np.ones_like(values) if there is None else there
    given = (jnp.asarray(x, jnp.float32) for x in (np.where(seen > 0, values, 0.0), seen, context))
    return np.asarray(curvature(*given, LAYOUT))


def test_it_is_the_score_of_squares_given_the_regression() -> None:
    values, context = panel(np.square, shops=3, length=40)
    total = np.zeros((3, 3))
    for own, around in zip(values, context, strict=True):
        plain = rows_of(own, around, LAYOUT._replace(basis=("linear",)))
        squares = rows_of(own, around, LAYOUT._replace(basis=("square",)))
        for j in range(3):
            y = own[2:, j]
            sd = np.repeat(np.where(np.arange(3) == j, 0.3, 0.1), 2)
            sd = np.concatenate([sd, [1.0, 1.0]]) / 0.7
            spread = np.eye(len(y)) + (plain * sd**2) @ plain.T
            inverse = np.linalg.inv(spread)
            beta = (10 + y @ inverse @ y / 0.49) / 2
            noise = beta / ((10 + len(y)) / 2) * 0.49
            for i in range(3):
                block = squares[:, 2 * i : 2 * i + 2]
                score, width = block.T @ inverse @ y, block.T @ inverse @ block
                width += 1e-3 * np.trace(width) / 2 * np.eye(2)
                total[i, j] += score @ np.linalg.solve(width, score) / noise
    np.testing.assert_allclose(found(values, context), (total - 6) / np.sqrt(12), rtol=2e-3)


def test_a_parabola_is_seen_where_it_is() -> None:
    z = found(*panel(lambda x: 0.7 * x**2))
    assert z[0, 1] > 20
    rest = np.delete(z.ravel(), 1)
    assert (np.abs(rest) < 5).all()


@pytest.mark.parametrize("shape", [lambda x: 0.7 * x, lambda x: np.tanh(2 * x), np.zeros_like])
def test_lines_and_what_saturates_evenly_are_no_curves(shape: Any) -> None:
    assert (np.abs(found(*panel(shape))) < 5).all()


def test_without_curves_it_is_chance() -> None:
    """Statistics of shops add up to one of as many times the lags degrees of freedom."""
    each = np.stack([found(*panel(np.zeros_like, shops=4, seed=k)) for k in range(1, 60)])
    sums = 8 + each[:, 0, 1] * np.sqrt(16)
    # The noise is estimated, and a part of the target fitted: all but chi-squared.
    assert stats.kstest(sums, stats.chi2(8).cdf).pvalue > 0.01


def test_missing_and_constant_series_are_no_curves() -> None:
    values, context = panel(lambda x: 0.7 * x**2)
    there = (np.random.default_rng(1).random(values.shape) > 0.1).astype(float)
    z = found(values, context, there)
    assert z[0, 1] > 10
    values[..., 2] = 0.0
    z = found(values, context)
    assert np.isfinite(z).all()
    assert (z[2] < 0).all()
