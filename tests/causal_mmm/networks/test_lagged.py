"""Sums of the lagged regression against loops; evidence for edges against F statistics."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm

from mmm_bayes.causal_mmm.networks import evidence as module
from mmm_bayes.causal_mmm.networks.evidence import evidence
from mmm_bayes.causal_mmm.networks.lagged import (
    Lagged,
    Layout,
    Saturation,
    lag_columns,
    lagged_sums,
    saturate,
)

from .small import series

NDArray = np.ndarray[Any, Any]


SHAPES = {
    "linear": lambda x: x,
    "square": lambda x: (9 * np.tanh(x**2 / 9) - 1) / np.sqrt(2),
}
BENT = Saturation(jnp.array([0.1, 0.8, 2.0]), jnp.array([0.0, -0.5, 1.0]))


def shaped(name: str, x: float, node: int) -> float:
    """One function of the basis, by its formula."""
    if name != "saturating":
        return float(SHAPES[name](x))
    c, s = float(BENT.steepness[node]), float(BENT.shift[node])
    return float((np.tanh(c * x + s) - np.tanh(s)) / (c * (1 - np.tanh(s) ** 2)))


def rows_of(values: NDArray, context: NDArray, layout: Layout) -> NDArray:
    rows = []
    for t in range(layout.lags, len(values)):
        row = [
            shaped(name, values[t - k, i], i)
            for i in range(layout.nodes)
            for name in layout.basis
            for k in range(1, layout.lags + 1)
        ]
        rows.append([*row, 1.0, *context[t]])
    return np.array(rows)


@pytest.mark.parametrize(
    ("basis", "context"), [(("linear",), 0), (("linear", "square", "saturating"), 2)]
)
def test_sums_are_those_of_loops(basis: tuple[str, ...], context: int) -> None:
    random = np.random.default_rng(0)
    layout = Layout(3, 2, basis, context)
    there = random.random((2, 25, 3)) > 0.1
    values = np.where(there, series(shops=2, length=25), 0.0)
    around = random.normal(size=(2, 25, context))
    with jax.enable_x64(True):
        given = (jnp.asarray(x, float) for x in (values, there, around))
        bent = jax.tree.map(lambda x: jnp.asarray(x, float), BENT)
        sums = lagged_sums(*given, layout, bent)
        found = Lagged(*map(np.asarray, sums))
    for shop in range(2):
        rows = rows_of(values[shop], around[shop], layout)
        assert rows.shape[1] == layout.width
        kept = [k for k in range(len(rows)) if there[shop, k + layout.lags].all()]
        assert 0 < len(kept) < len(rows)
        rows, targets = rows[kept], values[shop, layout.lags :][kept]
        np.testing.assert_allclose(found.gram[shop], rows.T @ rows, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.moment[shop], rows.T @ targets, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.square[shop], (targets**2).sum(0), rtol=1e-12)
        assert found.count[shop] == len(kept)


def regressions(layout: Layout, values: NDArray, around: NDArray) -> tuple[NDArray, list[Any]]:
    """F statistics (source, target) of the linear blocks by least squares, and the fits."""
    rows = rows_of(values, around, layout._replace(basis=("linear",)))
    lags, found, fits = layout.lags, np.zeros((3, 3)), []
    for j in range(3):
        fits.append(sm.OLS(values[lags:, j], rows).fit())
        for i in range(3):
            restriction = np.eye(rows.shape[1])[i * lags : (i + 1) * lags]
            found[i, j] = fits[j].f_test(restriction).fvalue
    return found, fits


@pytest.mark.parametrize("basis", [("linear",), ("linear", "square")])
def test_wald_statistics_are_f_statistics_without_a_ridge(
    basis: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RIDGE", 1e-9)
    layout = Layout(3, 2, basis, 1)
    values, around = series(seed=3, length=40), np.random.default_rng(4).normal(size=(2, 40, 1))
    values = values[:2] * [[[1.0]], [[0.0]]]  # nothing is observed of the second shop
    there = np.ones_like(values) * [[[1.0]], [[0.0]]]
    with jax.enable_x64(True):
        sums = lagged_sums(*(jnp.asarray(x) for x in (values, there, around)), layout)
        found, nothing = np.asarray(jax.jit(lambda own: evidence(own, layout))(sums))
    assert np.isfinite(nothing).all()
    expected, fits = regressions(layout, values[0], around[0])
    if len(basis) > 1:
        # Score of the second function: mean of squared t-like statistics of its columns.
        rows = rows_of(values[0], around[0], layout._replace(basis=("square",)))
        for i, j in permutations(range(3), 2):
            column = rows[:, 2 * i : 2 * i + 2]
            score = (column.T @ fits[j].resid) ** 2 / (column**2).sum(0) / fits[j].scale
            expected[i, j] = max(expected[i, j], score.mean())
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(found[..., 0], np.log1p(expected), rtol=1e-6)
    width = 1 + layout.block
    np.testing.assert_array_equal(found[..., width:], np.swapaxes(found[..., :width], 0, 1))
    for i, j in permutations(range(3), 2):
        for k in (1, 2):
            past, now = values[0, 2 - k : 40 - k, i], values[0, 2:, j]
            cosine = past @ now / np.sqrt((past @ past) * (now @ now))
            np.testing.assert_allclose(found[i, j, k], cosine, rtol=1e-10)


def test_a_source_saturates_from_a_slope_of_one_at_its_mean() -> None:
    with jax.enable_x64(True):
        bent = jax.tree.map(lambda x: jnp.asarray(x, float), BENT)
        at_mean = jnp.zeros(3)
        np.testing.assert_allclose(saturate(at_mean, bent), 0.0, atol=1e-12)
        slopes = jax.jacobian(lambda x: saturate(x, bent))(at_mean)
        np.testing.assert_allclose(slopes, np.eye(3), atol=1e-12)
        # With a small steepness it is linear; with a positive shift it is concave above the mean.
        line = bent._replace(steepness=jnp.full(3, 1e-4), shift=jnp.zeros(3))
        x = jnp.array([-3.0, 0.5, 4.0])
        np.testing.assert_allclose(saturate(x, line), x, rtol=1e-6)
        third = lambda much: saturate(jnp.full(3, much), bent)[2]  # noqa: E731
        assert jax.grad(jax.grad(third))(1.0) < 0


def test_columns_stand_lags_fastest() -> None:
    layout = Layout(2, 2, ("linear",), 1)
    values = jnp.asarray([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    context = jnp.asarray([[7.0], [8.0], [9.0]])
    found = lag_columns(values, context, layout)
    np.testing.assert_array_equal(found, [[2.0, 1.0, 20.0, 10.0, 1.0, 9.0]])
