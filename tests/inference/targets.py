"""Densities of known moments behind one potential, so that one compilation serves many tests."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DIM = 3
MEAN = np.array([1.0, -2.0, 0.5])
COVARIANCE = np.array([[4.0, 1.5, -0.12], [1.5, 1.0, -0.06], [-0.12, -0.06, 0.01]])
SHAPE = np.array([1.5, 4.0, 20.0])
OBSERVED = 40


def _normal(x: jax.Array, data: dict[str, Any]) -> jax.Array:
    r = x - data["mean"]
    return 0.5 * r @ data["precision"] @ r


def log_gamma_potential(x: jax.Array, data: dict[str, Any]) -> jax.Array:
    """Logarithms of independent Gamma variables of unit rate."""
    return jnp.sum(jnp.exp(x) - data["shape"] * x)


def _funnel(x: jax.Array, data: dict[str, Any]) -> jax.Array:
    return 0.5 * x[0] ** 2 / 9 + 0.5 * jnp.exp(-x[0]) * jnp.sum(x[1:] ** 2) + x[0]


def _banana(x: jax.Array, data: dict[str, Any]) -> jax.Array:
    return 0.5 * (x[0] ** 2 + ((x[1] - x[0] ** 2) / 0.3) ** 2 + x[2] ** 2)


def _logistic(x: jax.Array, data: dict[str, Any]) -> jax.Array:
    margin = data["design"] @ x
    return jnp.sum(jnp.logaddexp(0.0, margin) - data["success"] * margin) + 0.125 * x @ x


def _impossible(x: jax.Array, data: dict[str, Any]) -> jax.Array:
    return jnp.sum(x) * jnp.nan


_KINDS = {
    "normal": _normal,
    "log_gamma": log_gamma_potential,
    "funnel": _funnel,
    "banana": _banana,
    "logistic": _logistic,
    "impossible": _impossible,
}


def potential(position: jax.Array, data: dict[str, Any]) -> jax.Array:
    """Negative log density, not normalised, of the target that ``data`` names by its number."""
    return jax.lax.switch(data["kind"], list(_KINDS.values()), position, data)


def target(kind: str, dtype: Any = np.float64) -> dict[str, Any]:
    """Data of a target."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(OBSERVED, DIM))
    chance = 1 / (1 + np.exp(-design @ np.array([1.0, -1.0, 0.5])))
    real = {
        "mean": MEAN,
        "precision": np.linalg.inv(COVARIANCE),
        "shape": SHAPE,
        "design": design,
        "success": rng.random(OBSERVED) < chance,
    }
    arrays: dict[str, Any] = {name: np.asarray(x, dtype) for name, x in real.items()}
    return arrays | {"kind": np.int32(list(_KINDS).index(kind))}


def propose(rng: np.random.Generator, spread: float) -> np.ndarray:
    """A start within two of the origin."""
    return spread * rng.uniform(-2.0, 2.0, DIM)
