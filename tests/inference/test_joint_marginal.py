"""Linear blocks of correlated regressions, against the dense normal distribution."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mmm_bayes.inference import joint_marginal as joint

NDArray = np.ndarray[Any, Any]
LENGTH, WIDTHS = 12, (2, 3, 1)


@pytest.fixture(scope="module")
def case() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    designs = [rng.normal(size=(LENGTH, k)) for k in WIDTHS]
    root = rng.normal(size=(3, 3))
    return {
        "designs": designs,
        "residuals": rng.normal(size=(3, LENGTH)),
        "covariance": root @ root.T + 0.5 * np.eye(3),
        # A scale of zero: a coefficient that is a constant.
        "scales": [np.array([0.7, 1.3]), np.array([2.0, 0.4, 0.0]), np.array([1.1])],
    }


def dense(case: dict[str, Any]) -> tuple[NDArray, NDArray]:
    """Stacked design (3T, K), and covariance of the stacked errors."""
    whole = np.zeros((3 * LENGTH, sum(WIDTHS)))
    start = 0
    for j, design in enumerate(case["designs"]):
        whole[j * LENGTH : (j + 1) * LENGTH, start : start + design.shape[1]] = design
        start += design.shape[1]
    return whole, np.kron(case["covariance"], np.eye(LENGTH))


def test_density_is_that_of_the_stacked_normal(case: dict[str, Any]) -> None:
    design, errors = dense(case)
    scale = np.concatenate(case["scales"])
    expected = multivariate_normal(cov=errors + (design * scale**2) @ design.T)
    with jax.enable_x64(True):
        found = joint.joint_log_density(
            joint.join(case["designs"]),
            jnp.asarray(case["residuals"]),
            jnp.asarray(case["covariance"]),
            [jnp.asarray(s) for s in case["scales"]],
        )
    assert float(found) == pytest.approx(expected.logpdf(case["residuals"].ravel()), rel=1e-10)


def test_draws_have_the_moments_of_the_conditional(case: dict[str, Any]) -> None:
    design, errors = dense(case)
    scale = np.concatenate(case["scales"])
    some = scale > 0
    inner = design[:, some].T @ np.linalg.solve(errors, design[:, some]) + np.diag(
        scale[some] ** -2
    )
    variance = np.linalg.inv(inner)
    shift = design[:, some].T @ np.linalg.solve(errors, case["residuals"].ravel())
    mean, count = variance @ shift, 20_000
    with jax.enable_x64(True):
        block = joint.join(case["designs"])
        given = (
            jnp.asarray(case["residuals"]),
            jnp.asarray(case["covariance"]),
            [jnp.asarray(s) for s in case["scales"]],
        )
        draw = jax.jit(jax.vmap(lambda key: jnp.concatenate(joint.joint_draw(key, block, *given))))
        drawn = np.asarray(draw(jax.random.split(jax.random.key(1), count)))
    assert (drawn[:, ~some] == 0).all()
    error = np.sqrt(np.diag(variance) / count)
    assert (np.abs(drawn[:, some].mean(0) - mean) < 4.5 * error).all()
    found = np.cov(drawn[:, some].T)
    bound = 4.5 * np.sqrt((np.outer(np.diag(variance), np.diag(variance)) + variance**2) / count)
    assert (np.abs(found - variance) < bound).all()
