r"""A local level on knots, integrated out of a Gaussian likelihood.

Between knots the level is a straight line; from knot to knot it is a random walk,

.. math:: r_t = \sum_j k_{tj} b_j + \varepsilon_t, \quad \varepsilon_t \sim N(0, \sigma^2), \quad
          b_1 \sim N(0, v), \quad b_j - b_{j-1} \sim N(0, \omega^2).

A day lies between two neighbouring knots, so the posterior precision of :math:`b` is tridiagonal
and one sweep over the knots eliminates them: it gives the marginal likelihood of :math:`r` and the
posterior of the last knot, which is all that a forecast needs of the past.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

NDArray = np.ndarray[Any, Any]

FIRST_VARIANCE = 4.0
"""Prior variance v of the first knot, for series of unit variance."""


class LevelDesign(NamedTuple):
    """What days say about knots, for a pattern of missing days.

    Attributes
    ----------
    kernel : array
        Weights :math:`k_{tj}` (day, knot), at most two a day.
    there : array
        1 where a day is observed (shop, day).
    diagonal, off_diagonal : array
        Of :math:`K'WK` (shop, knot) and (shop, knot - 1).
    """

    kernel: Any
    there: Any
    diagonal: Any
    off_diagonal: Any


def level_design(there: NDArray, days: int) -> LevelDesign:
    """Return the design of knots ``days`` apart, the last of them on the last day."""
    length = there.shape[1]
    kernel = level_kernel(np.arange(length) - (length - 1), days)
    w = there.astype(float)
    return LevelDesign(kernel, w, w @ kernel**2, w @ (kernel[:, :-1] * kernel[:, 1:]))


def level_kernel(day: NDArray, days: int) -> Float[NDArray, "day knot"]:
    """Return the weights of knots on the days up to day 0; there are at least two knots."""
    knots = max(2, int(np.ceil(-day.min() / days)) + 1)
    places = -days * np.arange(knots)[::-1]
    return np.maximum(0.0, 1.0 - np.abs(day[:, None] - places) / days)


class Swept(NamedTuple):
    """After eliminating all knots: of the last one, and sums over all of them."""

    pivot: Any
    right: Any
    log_pivots: Any
    square: Any


def _sweep(diagonal: Any, off_diagonal: Any, right: Any, scan: Any, xp: Any) -> Swept:
    """Eliminate a tridiagonal system, knots first."""

    def step(state: Swept, knot: tuple[Any, Any, Any]) -> tuple[Swept, None]:
        diagonal, off_diagonal, right = knot
        factor = off_diagonal / state.pivot
        pivot = diagonal - factor * off_diagonal
        right = right - factor * state.right
        log_pivots = state.log_pivots + xp.log(pivot)
        return Swept(pivot, right, log_pivots, state.square + right**2 / pivot), None

    first = Swept(diagonal[0], right[0], xp.log(diagonal[0]), right[0] ** 2 / diagonal[0])
    swept: Swept = scan(step, first, (diagonal[1:], off_diagonal, right[1:]))
    return swept


def _system(
    design: LevelDesign, residual: Any, sigma: Any, omega: Any, xp: Any
) -> tuple[Any, Any, Any]:
    """Return precision and right-hand side of the knots, knots first; batches are (..., shop)."""
    weight = 1.0 / sigma**2
    step = 1.0 / omega**2
    knots = design.kernel.shape[1]
    ends = np.zeros(knots)
    ends[0] = ends[-1] = 1.0
    links = 2.0 - ends
    prior = step[..., None] * links + (np.arange(knots) == 0) / FIRST_VARIANCE
    diagonal = weight[..., None] * design.diagonal + prior
    off_diagonal = weight[..., None] * design.off_diagonal - step[..., None]
    right = weight[..., None] * ((design.there * residual) @ design.kernel)
    return xp.moveaxis(diagonal, -1, 0), xp.moveaxis(off_diagonal, -1, 0), xp.moveaxis(right, -1, 0)


def log_likelihood(
    design: LevelDesign,
    residual: Float[Array, "shop day"],
    sigma: Float[Array, " shop"],
    omega: Float[Array, " shop"],
) -> Float[Array, " shop"]:
    r"""Log density of what is observed, with the level integrated out.

    With :math:`A` the knots' posterior precision, :math:`Q` their prior precision and
    :math:`m = K'Wr / \sigma^2`,

    .. math:: -\tfrac12 \left[ n \log 2\pi\sigma^2 + \log|A| - \log|Q| + r'Wr / \sigma^2
              - m'A^{-1}m \right].
    """

    def scan(step: Any, first: Swept, knots: Any) -> Swept:
        return jax.lax.scan(step, first, knots)[0]

    swept = _sweep(*_system(design, residual, sigma, omega, jnp), scan, jnp)
    count = design.there.sum(-1)
    knots = design.kernel.shape[1]
    log_prior = -jnp.log(FIRST_VARIANCE) - 2.0 * (knots - 1) * jnp.log(omega)
    square = (design.there * residual**2).sum(-1) / sigma**2
    log_noise = count * (jnp.log(2.0 * jnp.pi) + 2.0 * jnp.log(sigma))
    return -0.5 * (log_noise + swept.log_pivots - log_prior + square - swept.square)


def last_level(
    design: LevelDesign,
    residual: Float[NDArray, "*draw shop day"],
    sigma: Float[NDArray, "*draw shop"],
    omega: Float[NDArray, "*draw shop"],
) -> tuple[NDArray, NDArray]:
    """Return posterior mean and standard deviation (*draw, shop) of the level on the last day."""

    def scan(step: Any, state: Swept, knots: Any) -> Swept:
        for knot in zip(*knots, strict=True):
            state, _ = step(state, knot)
        return state

    swept = _sweep(*_system(design, residual, sigma, omega, np), scan, np)
    return swept.right / swept.pivot, 1.0 / np.sqrt(swept.pivot)
