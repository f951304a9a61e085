"""Mechanisms of simulated shops: roots, edges, hidden drivers and the response curve.

Arrays run over shops: values are (shop, time, node), weights (shop or 1, source, target, lag) with
lag ``k`` at position ``k - 1``. ``unit`` is the standard deviation of the noise, the scale on which
steps and parabolas bend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, ndtr, ndtri

from mmm_bayes.simulate.shops_graph import partners

NDArray = np.ndarray[Any, Any]

# N(0, 0.1): the second number is a variance, like the 0.01 of the noise next to it in the paper.
COEFFICIENT_SD = 0.1**0.5
# A value beyond this many standard deviations of the noise has left the stable region for good.
DIVERGED = 20.0
_LARGEST_A = 0.9
# Within eight standard deviations the products of a root pull it back more than they push it away:
# with this limit 1 of 4,000 roots of 320 steps and 7 lags diverged, without it 330 did.
_STABLE = 8.0
_HIDDEN_RHO = 0.7


@dataclass(frozen=True)
class Mechanisms:
    """The mechanisms of a panel: everything except graphs and noise.

    The leading axis has length 1 where shops share the mechanism.

    Attributes
    ----------
    roots : numpy.ndarray
        Coefficients a, b and g of each node (shop or 1, 3, node).
    weights : numpy.ndarray
        Lag weights of all pairs of nodes, also without an edge (shop or 1, source, target, lag).
    shapes : numpy.ndarray
        Position in `SHAPES` of each pair (shop or 1, source, target).
    loadings : numpy.ndarray
        Effect of each hidden driver on each node (driver, node), in standard deviations of the
        noise.
    curve : numpy.ndarray
        Weights of the context in the exponent (first row) and in half saturation (second row).
    """

    roots: NDArray
    weights: NDArray
    shapes: NDArray
    loadings: NDArray
    curve: NDArray


def draw_roots(rng: np.random.Generator, nodes: int, lags: int, unit: float) -> NDArray:
    """Draw a, b and g of each node (3, node), redrawn until the series is stable.

    The limits are ``|a| < 0.9`` and ``|b| < (1 - |a|) / (8 unit lags)``. Redrawing until a normal
    number lies within limits equals inverting its truncated distribution, which takes one draw.
    """
    u = rng.uniform(size=(3, nodes))
    a = _within(u[0], np.full(nodes, _LARGEST_A))
    b = _within(u[1], (1 - np.abs(a)) / (_STABLE * unit * lags))
    return np.stack([a, b, COEFFICIENT_SD * ndtri(u[2])])


def _within(u: NDArray, limit: NDArray) -> NDArray:
    below = ndtr(-limit / COEFFICIENT_SD)
    return COEFFICIENT_SD * ndtri(below + u * (1 - 2 * below))


def draw_loadings(rng: np.random.Generator, channels: int, drivers: int) -> NDArray:
    """Draw the 2 or 3 channels that each hidden driver moves, by +1 or -1; (driver, node)."""
    loadings = np.zeros((drivers, channels + 1))
    for row in loadings:
        count = min(channels, int(rng.integers(2, 4)))
        moved = rng.permutation(channels)[:count]
        row[moved] = rng.choice((-1.0, 1.0), count)
    return loadings


def draw_hidden(rng: np.random.Generator, length: int, drivers: int) -> NDArray:
    """Draw hidden drivers (time, driver): AR(1) with coefficient 0.7 and unit variance."""
    steps = rng.standard_normal((length, drivers))
    hidden = steps.copy()
    for t in range(1, length):
        hidden[t] = _HIDDEN_RHO * hidden[t - 1] + np.sqrt(1 - _HIDDEN_RHO**2) * steps[t]
    return hidden


def through_tanh(x: NDArray, unit: float) -> NDArray:
    """Apply the edge function of the paper: nearly linear up to one half, bounded by 1."""
    return np.tanh(x)


def through_threshold(x: NDArray, unit: float) -> NDArray:
    """Apply a step of height 2 units at half a unit."""
    return unit * np.where(x > unit / 2, 1.0, -1.0)


def through_parabola(x: NDArray, unit: float) -> NDArray:
    """Apply a centred parabola, flat beyond 3 units: cause and effect are uncorrelated."""
    return unit * (np.minimum((x / unit) ** 2, 9.0) - 1.0)


# Pairs of nodes hold a position in this tuple; the next position is the product with a partner.
SHAPES: tuple[Callable[[NDArray, float], NDArray], ...] = (
    through_tanh,
    through_threshold,
    through_parabola,
)
PRODUCT = len(SHAPES)


def product(x: NDArray, other: NDArray, unit: float) -> NDArray:
    """Multiply two causes that act together, clipped at 9 units."""
    return unit * np.clip(x * other / unit**2, -9.0, 9.0)


def run(
    graphs: NDArray,
    mechanisms: Mechanisms,
    noise: NDArray,
    *,
    unit: float,
    pushes: NDArray,
    spend: NDArray | None = None,
) -> NDArray:
    r"""Compute the series of all nodes of shops from their noise, from rest.

    A channel without causes, with :math:`e` zero before the start, is

    .. math:: x_t = a x_{t-1} + b x_{t-1} \sum_{k=1}^K x_{t-k} + g e_{t-K} e_{t-1} + e_t

    and any other node, the target among them,
    :math:`x_{j,t} = \sum_{i \to j} \sum_k w_{ijk} f_{ij}(x_{i,t-k}) + e_{j,t}`.

    Parameters
    ----------
    graphs : numpy.ndarray
        Boolean (shop, source, target).
    mechanisms : Mechanisms
    noise : numpy.ndarray
        The e (shop, time, node).
    unit : float
        Standard deviation of the noise.
    pushes : numpy.ndarray
        Effect of hidden drivers, added to every value (shop, time, node).
    spend : numpy.ndarray, optional
        Values of the roots (shop, time, node), in place of the recursion.

    Returns
    -------
    numpy.ndarray
        Values (shop, time, node), cut at `DIVERGED` units in roots.
    """
    shops, length, nodes = noise.shape
    lags = mechanisms.weights.shape[-1]
    weights = graphs[..., None] * mechanisms.weights
    pull = _edges(graphs, weights, mechanisms.shapes, unit)
    is_root = np.logical_not(graphs.any(1))
    is_root[:, -1] = False
    a, b, g = np.moveaxis(mechanisms.roots, 1, 0)
    rest = np.zeros((shops, lags, nodes))
    x, e = np.concatenate([rest, np.zeros_like(noise)], 1), np.concatenate([rest, noise], 1)
    limit = DIVERGED * unit
    for t in range(lags, lags + length):
        past = x[:, t - lags : t][:, ::-1]
        before = past[:, 0]
        alone = a * before + b * before * past.sum(1) + g * e[:, t - lags] * e[:, t - 1]
        value = np.where(is_root, alone, pull(past)) + e[:, t] + pushes[:, t - lags]
        value = np.where(is_root, np.clip(value, -limit, limit), value)
        x[:, t] = value if spend is None else np.where(is_root, spend[:, t - lags], value)
    return x[:, lags:]


def _edges(
    graphs: NDArray, weights: NDArray, shapes: NDArray, unit: float
) -> Callable[[NDArray], NDArray]:
    """Return the function from the past (shop, lag, source) to the sum over edges (shop, node)."""
    shops, nodes, _, lags = weights.shape
    shapes = np.broadcast_to(shapes, graphs.shape)

    def flat(chosen: NDArray) -> NDArray:
        kept = np.where(chosen[..., None], weights, 0.0)
        return kept.transpose(0, 3, 1, 2).reshape(shops, lags * nodes, nodes)

    by_shape = [
        (SHAPES[s], flat(shapes == s)) for s in range(len(SHAPES)) if (graphs & (shapes == s)).any()
    ]
    together = graphs & (shapes == PRODUCT)
    joint = np.where(together[..., None], weights, 0.0) if together.any() else None
    other = partners(graphs).reshape(shops, 1, nodes * nodes)

    def pull(past: NDArray) -> NDArray:
        total = np.zeros((shops, nodes))
        for shape, kernel in by_shape:
            total += (shape(past, unit).reshape(shops, 1, -1) @ kernel)[:, 0]
        if joint is not None:
            second = np.take_along_axis(past, other, 2).reshape(shops, lags, nodes, nodes)
            total += np.einsum("nkij,nijk->nj", product(past[..., None], second, unit), joint)
        return total

    return pull


def spend_from_shocks(rng: np.random.Generator, shocks: NDArray, unit: float) -> NDArray:
    """Return spend (time, node) from shocks: log-normal AR(1) in flights, zero between them.

    In each step a flight ends with probability 0.1 and starts with probability 0.15 (40% zeros).
    Spend in flights has the mean ``3 unit``, at which a tanh edge is nonlinear.
    """
    length, nodes = shocks.shape
    z = shocks / unit
    for t in range(1, length):
        z[t] = 0.7 * z[t - 1] + np.sqrt(1 - 0.7**2) * z[t]
    u = rng.uniform(size=(length, nodes))
    is_on = np.empty((length, nodes), dtype=bool)
    is_on[0] = u[0] < 0.6
    for t in range(1, length):
        is_on[t] = np.where(is_on[t - 1], u[t] > 0.1, u[t] < 0.15)
    return 3 * unit * is_on * np.exp(0.6 * z - 0.6**2 / 2)


def hill_settings(context: NDArray, curve: NDArray) -> tuple[NDArray, NDArray]:
    """Return exponent (1 to 3) and half saturation of the curve, from context (..., variable)."""
    return 1 + 2 * expit(context @ curve[0]), np.exp(context @ curve[1])


def respond(u: NDArray, alpha: NDArray, gamma: NDArray, scale: float) -> NDArray:
    r"""Apply the S-curve :math:`v^\alpha / (v^\alpha + \gamma)` to a positive response.

    :math:`v = \log(1 + e^{u / s}) / \log 2` turns a response of either sign into a positive one
    that is 1 at 0.
    """
    v = np.logaddexp(0.0, u / scale) / np.log(2)
    return v**alpha / (v**alpha + gamma)
