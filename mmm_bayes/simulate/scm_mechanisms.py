"""Mechanisms of random causal models: functions of causes and noise.

Each family has a formula over arrays, and a function that draws its coefficients and applies it, as
in the Causal Discovery Toolbox (Kalainathan, Goudet and Dutta 2020, JMLR 21(37)).
``causes`` has shape (row, cause) with at least one cause; ``noise`` and effects have shape (row,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

Mechanism = Literal["linear", "polynomial", "sigmoid_add", "sigmoid_mix", "gp_add", "gp_mix", "nn"]

_COMPONENTS = 4
_FIT_SIZE = 300
_HIDDEN_UNITS = 20


def linear(causes: np.ndarray, noise: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    r"""Return the sum of the causes, :math:`\sum_j a_j x_j + e`."""
    return causes @ coefficients + noise


def polynomial(
    causes: np.ndarray, noise: np.ndarray, coefficients: np.ndarray, multiply: bool
) -> np.ndarray:
    r"""Sum clipped parabolas, :math:`\sum_j [a_{j0} + a_{j1} x_j + a_{j2} x_j^2]_{-1}^{1}`.

    The noise is added to the sum, or multiplies it. ``coefficients`` has shape (cause, 3).
    """
    powers = causes[:, :, None] ** np.arange(coefficients.shape[1])
    total = np.clip((powers * coefficients).sum(2), -1.0, 1.0).sum(1)
    return total * noise if multiply else total + noise


def sigmoid(x: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    r"""Apply a soft step between -a and a, :math:`s(x) = a b (x + c) / (1 + |b (x + c)|)`."""
    inner = b * (x + c)
    return a * inner / (1.0 + np.abs(inner))


def network(
    inputs: np.ndarray,
    hidden: tuple[np.ndarray, np.ndarray],
    output: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    r"""Apply a network of two layers, :math:`w_2' \tanh(W_1 x + b_1) + b_2`.

    ``hidden`` is :math:`(W_1, b_1)` of shapes (unit, input) and (unit,), ``output`` is
    :math:`(w_2, b_2)` of shapes (unit,) and ().
    """
    (w1, b1), (w2, b2) = hidden, output
    return np.tanh(inputs @ w1.T + b1) @ w2 + b2


def gaussian_process(rng: np.random.Generator, inputs: np.ndarray) -> np.ndarray:
    r"""Draw a Gaussian process with covariance :math:`\exp(-|x - x'|^2 / 2)` at the inputs.

    The covariance of close points is singular in floating point, so it is factorised by a pivoted
    Cholesky decomposition that stops when no point has more than 1e-12 of its unit variance left:
    after about 20 columns for one input, and at most after as many columns as rows. ``inputs`` has
    shape (row, input).
    """
    rows = len(inputs)
    left = np.ones(rows)
    factor = np.zeros((min(rows, 32), rows))
    rank = 0
    while rank < rows and left[pivot := int(left.argmax())] > 1e-12:
        if rank == len(factor):
            factor = np.concatenate([factor, np.zeros((min(rank, rows - rank), rows))])
        column = np.exp(-0.5 * ((inputs - inputs[pivot]) ** 2).sum(1))
        column -= factor[:rank, pivot] @ factor[:rank]
        factor[rank] = column / np.sqrt(left[pivot])
        left = np.maximum(left - factor[rank] ** 2, 0.0)
        left[pivot] = 0.0
        rank += 1
    # As many normal draws as rows for any rank, so that the stream does not depend on rounding.
    return rng.standard_normal(rows)[:rank] @ factor[:rank]


def _draw_linear(rng: np.random.Generator, causes: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return linear(causes, noise, rng.uniform(size=(causes.shape[1],)))


def _draw_polynomial(rng: np.random.Generator, causes: np.ndarray, noise: np.ndarray) -> np.ndarray:
    coefficients = rng.uniform(size=(causes.shape[1], 3))
    return polynomial(causes, noise, coefficients, bool(rng.uniform() < 0.5))


def _draw_step(rng: np.random.Generator) -> tuple[float, float, float]:
    a = 1.0 + rng.exponential(0.25)
    b = rng.choice((-1.0, 1.0)) * rng.uniform(0.5, 2.0)
    return a, b, rng.uniform(-2.0, 2.0)


def _draw_sigmoid_add(
    rng: np.random.Generator, causes: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    # The noise is added once per cause and once more, as in the published mechanism.
    total = sigmoid(causes, *_draw_step(rng)).sum(1)
    return total + (causes.shape[1] + 1) * noise


def _draw_sigmoid_mix(
    rng: np.random.Generator, causes: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    return sigmoid(causes.sum(1) + noise, *_draw_step(rng))


def _draw_gp_add(rng: np.random.Generator, causes: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return sum((gaussian_process(rng, cause[:, None]) for cause in causes.T), start=noise)


def _draw_gp_mix(rng: np.random.Generator, causes: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return gaussian_process(rng, np.column_stack([causes, noise]))


def _draw_nn(rng: np.random.Generator, causes: np.ndarray, noise: np.ndarray) -> np.ndarray:
    inputs = np.column_stack([causes, noise])
    fan_in = inputs.shape[1]
    # PyTorch's default for linear layers: U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weight and bias.
    first, second = fan_in**-0.5, _HIDDEN_UNITS**-0.5
    hidden = (
        rng.uniform(-first, first, (_HIDDEN_UNITS, fan_in)),
        rng.uniform(-first, first, _HIDDEN_UNITS),
    )
    output = (rng.uniform(-second, second, _HIDDEN_UNITS), rng.uniform(-second, second, ()))
    return network(inputs, hidden, output)


MECHANISMS: dict[str, Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]] = {
    "linear": _draw_linear,
    "polynomial": _draw_polynomial,
    "sigmoid_add": _draw_sigmoid_add,
    "sigmoid_mix": _draw_sigmoid_mix,
    "gp_add": _draw_gp_add,
    "gp_mix": _draw_gp_mix,
    "nn": _draw_nn,
}
"""Functions by name that draw coefficients and return the effect of ``(causes, noise)``."""


def draw_mixture(
    rng: np.random.Generator, num_rows: int, *, by_component: bool = False
) -> np.ndarray:
    r"""Draw from a random mixture of four normal distributions, shape (row,).

    Means are :math:`2 z` with standard normal :math:`z`, weights are proportional to
    :math:`U(0, 1)`, and variances are those of a mixture fitted to 300 standard normal draws (0.1
    to 0.5): the toolbox intends to draw them too, but sets an attribute that is never read.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all draws.
    num_rows : int
        Number of draws.
    by_component : bool
        Whether draws are grouped by component. Otherwise the rows are independent.
    """
    variances = fit_mixture(rng.standard_normal(_FIT_SIZE), _COMPONENTS)[2]
    means = 2.0 * rng.standard_normal(_COMPONENTS)
    weights = rng.uniform(size=_COMPONENTS)
    counts = rng.multinomial(num_rows, weights / weights.sum())
    draws = rng.normal(np.repeat(means, counts), np.repeat(np.sqrt(variances), counts))
    shuffled = rng.permutation(num_rows)
    return draws if by_component else draws[shuffled]


def fit_mixture(
    x: np.ndarray, num_components: int, *, tolerance: float = 1e-3, max_steps: int = 100
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit weights, means and variances of a normal mixture by expectation maximisation.

    It starts from k-means clusters (initialised by quantiles, so that nothing is random) and stops
    when the mean log likelihood gains less than ``tolerance``. These are the settings of
    scikit-learn's ``GaussianMixture``, whose early stop affects the variances of the toolbox.

    Parameters
    ----------
    x : numpy.ndarray
        Values, shape (row,), with at least as many distinct values as components.
    num_components : int
        Number of components.
    tolerance, max_steps : float, int
        Stopping criteria.
    """
    centres = np.quantile(x, (np.arange(num_components) + 0.5) / num_components)
    for _ in range(max_steps):
        nearest = np.abs(x[:, None] - centres).argmin(1)
        moved = np.array([x[nearest == k].mean() for k in range(num_components)])
        if np.allclose(moved, centres):
            break
        centres = moved
    share = (np.abs(x[:, None] - centres).argmin(1)[:, None] == np.arange(num_components)) * 1.0
    weights, means, variances = _weighted_moments(x, share)
    before = -np.inf
    for _ in range(max_steps):
        log_joint = (
            np.log(weights)
            - 0.5 * np.log(2.0 * np.pi * variances)
            - 0.5 * (x[:, None] - means) ** 2 / variances
        )
        log_density = np.logaddexp.reduce(log_joint, axis=1)
        weights, means, variances = _weighted_moments(x, np.exp(log_joint - log_density[:, None]))
        if abs(log_density.mean() - before) < tolerance:
            break
        before = log_density.mean()
    return weights, means, variances


def _weighted_moments(
    x: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, means and variances of components with shares (row, component)."""
    mass = share.sum(0)
    means = x @ share / mass
    # 1e-6 prevents a component from collapsing onto a single row.
    return mass / len(x), means, (share * (x[:, None] - means) ** 2).sum(0) / mass + 1e-6
