"""Functionals joined to the linear block, against the dense Gaussian of everything together."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mmm_bayes.inference import marginal
from mmm_bayes.inference.functionals import Functionals


class Case:
    """Two shared columns, ``p`` group columns and ``q`` extra ones in three groups; two tests."""

    def __init__(self, p: int, q: int) -> None:
        rng = np.random.default_rng(p + 10 * q)
        g, t, k, m = 3, 7, 2, 2
        self.shared, self.group = rng.normal(size=(g, t, k)), rng.normal(size=(g, t, p))
        self.extra = rng.normal(size=(g, q, t))
        self.residual = rng.normal(size=(g, t))
        self.scale, self.group_scale = rng.uniform(0.5, 2, k), rng.uniform(0.5, 2, p + q)
        self.sigma = 0.7
        self.given = Functionals(
            rng.normal(size=(m, g, q)), rng.normal(size=m), rng.normal(size=m) + 1.0
        )
        # Everything linear in standardised (b, u_1, .., u_g): rows of y, then of f.
        n, width = g * t, k + g * (p + q)
        self.design = np.zeros((n + m, width))
        for i in range(g):
            rows = slice(i * t, (i + 1) * t)
            start = k + i * (p + q)
            own = np.concatenate([self.group[i], self.extra[i].T], 1)
            self.design[rows, :k] = self.shared[i] * self.scale
            self.design[rows, start : start + p + q] = own * self.group_scale
            self.design[n:, start + p : start + p + q] = (
                self.given.rows[:, i] * self.group_scale[p:]
            )
        self.noise = np.diag(np.r_[np.full(n, self.sigma**2), np.ones(m)])
        self.covariance = self.design @ self.design.T + self.noise
        self.values = np.r_[self.residual.ravel(), self.given.observed - self.given.offset]

    @property
    def arguments(self):
        block = marginal.group(self.shared, self.group)
        extra = self.extra if self.extra.shape[1] else None
        return block, self.residual, self.sigma, self.scale, self.group_scale, extra, self.given


@pytest.mark.parametrize(("p", "q"), [(1, 2), (2, 1), (0, 1)])
def test_density_is_that_of_the_dense_gaussian(p, q):
    case = Case(p, q)
    with jax.enable_x64(True):
        found = marginal.grouped_log_density(*jax.tree.map(jnp.asarray, case.arguments))
    expected = multivariate_normal.logpdf(case.values, cov=case.covariance)
    assert float(found) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("p", "q"), [(1, 2), (0, 1)])
def test_draws_are_from_the_dense_conditional(p, q):
    case = Case(p, q)
    count = 20_000
    with jax.enable_x64(True):
        arguments = jax.tree.map(jnp.asarray, case.arguments)
        keys = jax.random.split(jax.random.key(0), count)
        draw = jax.jit(jax.vmap(lambda key: marginal.grouped_draw(key, *arguments)))
        b, u = map(np.asarray, draw(keys))
    found = np.concatenate([b / case.scale, (u / case.group_scale).reshape(count, -1)], 1)
    weight = np.linalg.solve(case.covariance, case.design).T
    mean = weight @ case.values
    covariance = np.eye(case.design.shape[1]) - weight @ case.design
    error = np.sqrt(np.diag(covariance) / count)
    assert np.abs((found.mean(0) - mean) / error).max() < 4.5
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=6.0 / np.sqrt(count))
