"""Find a mode of the posterior and its curvature, from values and gradients alone.

The Hessian is computed by central differences of the gradient. That is exact to about eight digits
in double precision and, unlike a second derivative, needs no further compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from mmm_bayes.inference.nuts import Metric

NDArray = np.ndarray[Any, Any]
Potential = Callable[[jax.Array, Any], jax.Array]
ProposeStart = Callable[[np.random.Generator, float], NDArray]
ValueAndGrad = Callable[[NDArray], tuple[Any, Any]]

_MAX_TRIES = 50
_FLATTEST = 1e-6  # smallest curvature, in units of the diagonal, that counts as one


class Mode(NamedTuple):
    """A minimum of the potential, in float64.

    ``hessian`` is (dim, dim); in the units ``scale`` (dim,), which give it a diagonal of one, its
    eigenvalues are ``values`` (made positive) and its eigenvectors the columns of ``vectors``.
    ``is_minimum`` is true if all were positive; ``log_evidence`` is the Laplace approximation.
    """

    position: NDArray
    potential: float
    hessian: NDArray
    scale: NDArray
    values: NDArray
    vectors: NDArray
    is_minimum: bool
    log_evidence: float


def find_mode(
    rng_key: jax.Array,
    value_and_grad: ValueAndGrad,
    propose_start: ProposeStart,
    num_starts: int,
    dtype: Any,
) -> Mode:
    """Find the mode with the largest Laplace evidence among those reached from a few starts.

    Parameters
    ----------
    rng_key
        Seeds the starts.
    value_and_grad
        Maps a position (dim,) to the potential and its gradient.
    propose_start
        Maps a generator and a spread in (0, 1] to a starting position (dim,); called again with
        a smaller spread where the density is not finite.
    num_starts, dtype
        Maximum number of searches (two that end in the same mode are enough), and the precision of
        the potential.

    Raises
    ------
    FloatingPointError
        If no start with a finite density is found, with the usual causes.
    """
    seeds = np.asarray(jax.random.bits(rng_key, (num_starts, 4), "uint32"))
    modes: list[Mode] = []
    for seed in seeds:
        start = _start(np.random.default_rng(seed), value_and_grad, propose_start, dtype)
        position, potential, step = _descend(value_and_grad, start, dtype)
        if any(_same(position, known) for known in modes):
            break  # found twice: further searches are not worth their time
        modes.append(_curvature(value_and_grad, position, potential, step, dtype))
    return max(modes, key=lambda found: found.log_evidence)


def curvature_metric(found: Mode, rank: int, dtype: Any) -> Metric:
    """Build the map from whitened coordinates implied by the curvature, with ``rank`` directions.

    ``rank = dim`` gives a root of the inverse Hessian, ``rank = 0`` its diagonal (the best diagonal
    Gaussian for a Gaussian posterior has the inverse of the precision's diagonal as variances).
    """
    order = np.argsort(-np.abs(np.log(found.values)))[:rank]
    stretch = 1.0 / np.sqrt(found.values[order]) - 1.0
    parts: list[Any] = [found.scale, found.vectors[:, order], stretch]
    return Metric(*(part.astype(dtype) for part in parts))


def dense(metric: Metric) -> NDArray:
    """Return the map of a metric as a matrix (dim, dim), in float64."""
    scale, vectors, stretch = (np.asarray(x, np.float64) for x in metric)
    return scale[:, None] * (np.eye(scale.size) + (vectors * stretch) @ vectors.T)


def _start(
    rng: np.random.Generator, value_and_grad: ValueAndGrad, propose: ProposeStart, dtype: Any
) -> NDArray:
    for attempt in range(_MAX_TRIES):
        position = np.asarray(propose(rng, 0.8**attempt), dtype)
        value, gradient = (np.asarray(x) for x in value_and_grad(position))
        if np.isfinite(value) and np.isfinite(gradient).all():
            return position
    raise FloatingPointError(
        f"No start with a finite density in {_MAX_TRIES} tries. Usual causes: a prior whose "
        "support excludes the data (a bounded prior too narrow), or targets far from the "
        "likelihood's range. Look at the prior predictive draws first."
    )


def _descend(
    value_and_grad: ValueAndGrad, start: NDArray, dtype: Any
) -> tuple[NDArray, float, NDArray]:
    """Descend by quasi-Newton steps; return position, value and rough standard deviations."""
    from scipy.optimize import minimize

    best, lowest, highest = start.astype(np.float64), np.inf, -np.inf

    def objective(x: NDArray) -> tuple[float, NDArray]:
        nonlocal best, lowest, highest
        value, gradient = value_and_grad(x.astype(dtype))
        value, gradient = float(value), np.asarray(gradient, np.float64)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            # Well above everything seen, so that the line search comes back.
            return highest + 10.0 * (abs(highest) + 1.0), np.zeros_like(gradient)
        highest = max(highest, value)
        if value < lowest:
            best, lowest = x.copy(), value
        return value, gradient

    precise = dtype == np.float64
    options = {
        "maxiter": 1000, "maxfun": 2000, "maxcor": 20,
        "ftol": 1e-10 if precise else 1e-6, "gtol": 1e-6 if precise else 1e-3,
    }  # fmt: skip
    found = minimize(objective, best, jac=True, method="L-BFGS-B", options=options)
    variance = np.diag(found.hess_inv.todense())
    return best, lowest, np.sqrt(np.clip(variance, 1e-12, 1.0))


def _same(position: NDArray, known: Mode) -> bool:
    """Return whether two searches ended within a tenth of a standard deviation of each other."""
    y = known.vectors.T @ ((position - known.position) / known.scale)
    return bool(np.sum(known.values * y * y) < 0.01)


def _curvature(
    value_and_grad: ValueAndGrad, position: NDArray, potential: float, step: NDArray, dtype: Any
) -> Mode:
    dim = position.size
    # In standard deviations: truncation and rounding are both of the order of sqrt(eps).
    step = float(np.finfo(dtype).eps) ** 0.25 * step
    hessian = np.empty((dim, dim))
    for i in range(dim):
        ends = []
        for sign in (1.0, -1.0):
            moved = position.copy()
            moved[i] += sign * step[i]
            moved = moved.astype(dtype)
            ends.append((moved[i], np.asarray(value_and_grad(moved)[1], np.float64)))
        # The distance is the one that the precision represents.
        hessian[i] = (ends[0][1] - ends[1][1]) / (float(ends[0][0]) - float(ends[1][0]))
    hessian = np.nan_to_num(0.5 * (hessian + hessian.T), nan=0.0, posinf=0.0, neginf=0.0)
    diagonal = np.abs(np.diag(hessian))
    flat = diagonal < 1e-10
    scale = 1.0 / np.sqrt(np.where(flat, 1.0, diagonal))
    values, vectors = np.linalg.eigh(scale[:, None] * hessian * scale)
    is_minimum = not flat.any() and bool(values[0] > _FLATTEST)
    # Where the density curves upwards, the size of the curvature still is a guess of a scale.
    values = np.maximum(np.abs(values), _FLATTEST)
    if is_minimum:
        # One Newton step: quasi-Newton ends within 1e-4 standard deviations, this within rounding.
        gradient = np.asarray(value_and_grad(position.astype(dtype))[1], np.float64)
        move = scale * (vectors @ ((vectors.T @ (scale * gradient)) / values))
        value = float(value_and_grad((position - move).astype(dtype))[0])
        if value <= potential:
            position, potential = position - move, value
    log_evidence = (
        -potential
        + 0.5 * dim * np.log(2.0 * np.pi)
        + np.log(scale).sum()
        - 0.5 * np.log(values).sum()
    )
    return Mode(
        position, potential, hessian, scale, values, vectors, is_minimum, float(log_evidence)
    )
