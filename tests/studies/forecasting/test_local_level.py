"""The level integrated out, against dense normal distributions."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from studies.forecasting.local_level import (
    FIRST_VARIANCE,
    last_level,
    level_design,
    log_likelihood,
)

SIGMA, OMEGA = np.array([0.5, 1.2]), np.array([0.3, 0.05])
RANDOM = np.random.default_rng(0)
LENGTH = 40
RESIDUAL = RANDOM.normal(size=(2, LENGTH))
THERE = RANDOM.random((2, LENGTH)) < 0.8


def dense(shop: int, days: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of knots on observed days by interpolation, and the covariances of both."""
    knots = -days * np.arange(int(np.ceil((LENGTH - 1) / days)) + 1)[::-1]
    time = np.arange(LENGTH) - (LENGTH - 1)
    weights = np.stack([np.interp(time, knots, unit) for unit in np.eye(len(knots))], 1)
    steps = np.minimum.outer(np.arange(len(knots)), np.arange(len(knots)))
    prior = FIRST_VARIANCE + OMEGA[shop] ** 2 * steps
    observed = weights[THERE[shop]]
    noise = SIGMA[shop] ** 2 * np.eye(len(observed))
    return observed, prior, observed @ prior @ observed.T + noise


@pytest.mark.parametrize("days", [1, 7, 60])
def test_likelihood(days: int) -> None:
    design = level_design(THERE, days)
    values = np.where(THERE, RESIDUAL, 99.0)  # what is missing does not matter
    found = log_likelihood(design, jnp.asarray(values), jnp.asarray(SIGMA), jnp.asarray(OMEGA))
    for shop in range(2):
        covariance = dense(shop, days)[2]
        exact = stats.multivariate_normal(cov=covariance).logpdf(RESIDUAL[shop, THERE[shop]])
        # Single precision: log pivots of 1 / omega^2 = 400 cancel against their prior's.
        np.testing.assert_allclose(found[shop], exact, atol=2e-3)


@pytest.mark.parametrize("days", [1, 7, 60])
def test_posterior_of_the_last_day(days: int) -> None:
    mean, sd = last_level(level_design(THERE, days), RESIDUAL, SIGMA, OMEGA)
    for shop in range(2):
        weights, prior, covariance = dense(shop, days)
        gain = np.linalg.solve(covariance, weights @ prior[:, -1])
        np.testing.assert_allclose(mean[shop], gain @ RESIDUAL[shop, THERE[shop]], rtol=1e-9)
        variance = prior[-1, -1] - gain @ weights @ prior[:, -1]
        np.testing.assert_allclose(sd[shop], np.sqrt(variance), rtol=1e-9)


def test_draws_go_together() -> None:
    residual = np.stack([RESIDUAL, 2 * RESIDUAL])
    sigma, omega = np.stack([SIGMA, SIGMA + 1]), np.stack([OMEGA, OMEGA + 1])
    design = level_design(THERE, 7)
    mean, sd = last_level(design, residual, sigma, omega)
    again = last_level(design, residual[1], sigma[1], omega[1])
    np.testing.assert_allclose(np.stack([mean[1], sd[1]]), again)
