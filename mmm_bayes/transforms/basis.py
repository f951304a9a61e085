r"""Bases over time: Fourier, B-splines and knots.

A basis is a matrix ``(time, basis)``, made once outside the model; the model multiplies it by
coefficients. For forecasting, pass the new times with the *same* period or knots.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from mmm_bayes._typing import ArrayLike, Basis, Number, Times
from mmm_bayes.transforms._arguments import require_count, with_namespace

__all__ = [
    "bspline_basis",
    "equispaced_knots",
    "fourier",
    "hat_basis",
]

Extrapolation = Literal["constant", "linear"]


# --- Fourier -------------------------------------------------------------------------------------


def fourier(t: Times, period: Number, order: int) -> Basis:
    r"""Fourier basis of one period, :math:`\sin(2\pi k t / P), \cos(2\pi k t / P)`.

    It continues periodically, so forecasting needs nothing more than the new times.

    Parameters
    ----------
    t
        Times, shape ``(time,)``.
    period
        Period :math:`P > 0`, in the units of ``t`` (weeks: 52.18 for a year).
    order
        Number of harmonics. Harmonics beyond ``period / 2`` per step of time cannot be told apart.

    Returns
    -------
    Array
        Shape ``(time, 2 * order)``: sin 1, cos 1, sin 2, cos 2, ...

    Raises
    ------
    ValueError
        If the period is not positive or the order is below one.
    """
    if not period > 0:
        raise ValueError(f"period must be positive, got {period!r}; give it in the units of t.")
    require_count("order", order, 1)
    xp, dtype, (times,) = with_namespace(t)
    # Whole periods are dropped first: the phase of a large day number would lose its last digits.
    phase = xp.mod(times / period, 1.0)
    angle = 2 * np.pi * phase[:, None] * xp.arange(1, order + 1, dtype=times.dtype)
    columns = xp.stack([xp.sin(angle), xp.cos(angle)], axis=-1)
    return jnp.asarray(columns.reshape(times.shape[0], 2 * order), dtype)


# --- Splines and knots ---------------------------------------------------------------------------


def equispaced_knots(t: Times, n_knots: int) -> np.ndarray:
    """Evenly spaced knots over the range of ``t``, both ends included.

    Parameters
    ----------
    t
        Times of the training window.
    n_knots
        Number of knots, at least 2.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_knots,)``.
    """
    require_count("n_knots", n_knots, 2)
    times = np.asarray(t, dtype=float)
    return np.linspace(times.min(), times.max(), n_knots)


def bspline_basis(
    t: Times,
    knots: ArrayLike | Sequence[Number] | int,
    degree: int = 3,
    *,
    extrapolation: Extrapolation = "constant",
) -> Basis:
    """B-spline basis with clamped ends; its rows sum to one everywhere.

    Outside the knots the curve either keeps the value it has at the end (``"constant"``) or goes
    on along its tangent there (``"linear"``); a polynomial would run away from the data.

    Parameters
    ----------
    t
        Times, shape ``(time,)``.
    knots
        Breakpoints with both ends, strictly increasing, or how many to spread evenly over ``t``.
        Forecasts need the breakpoints of the training window: see :func:`equispaced_knots`.
    degree
        Degree of the pieces; 1 gives :func:`hat_basis`.
    extrapolation
        ``"constant"`` or ``"linear"``.

    Returns
    -------
    Array
        Shape ``(time, n_knots + degree - 1)``.

    Raises
    ------
    ValueError
        If the knots are fewer than two or not increasing, or the degree is negative.

    References
    ----------
    de Boor (2001), "A Practical Guide to Splines", chapters IX and X.
    """
    require_count("degree", degree, 0)
    if extrapolation not in ("constant", "linear"):
        raise ValueError(f"extrapolation must be 'constant' or 'linear', got {extrapolation!r}.")
    xp, dtype, (times,) = with_namespace(t)
    breakpoints = (
        equispaced_knots(t, int(knots))
        if isinstance(knots, int | np.integer)
        else np.asarray(knots, float)
    )
    if breakpoints.ndim != 1 or breakpoints.size < 2 or not np.all(np.diff(breakpoints) > 0):
        raise ValueError(
            "knots must be at least two strictly increasing times, got "
            f"{breakpoints.tolist()}; drop repeated ones and sort the rest."
        )
    padded = np.concatenate(
        [np.repeat(breakpoints[0], degree), breakpoints, np.repeat(breakpoints[-1], degree)]
    )
    inside = xp.clip(times, float(breakpoints[0]), float(breakpoints[-1]))
    values, lower = _de_boor(xp, inside, padded, degree)
    if extrapolation == "linear" and degree > 0:
        # B'_{i,p} = p B_{i,p-1} / (k_{i+p} - k_i) - p B_{i+1,p-1} / (k_{i+p+1} - k_{i+1})
        width = xp.asarray(_reciprocal(padded[degree:] - padded[:-degree]), inside.dtype)
        scaled = degree * lower * width
        values = values + (scaled[:, :-1] - scaled[:, 1:]) * (times - inside)[:, None]
    return jnp.asarray(values, dtype)


def hat_basis(
    t: Times,
    knots: ArrayLike | Sequence[Number] | int,
    *,
    extrapolation: Extrapolation = "constant",
) -> Basis:
    """Linear interpolation between knots: the coefficient of a knot is the curve's value there.

    Parameters
    ----------
    t
        Times, shape ``(time,)``.
    knots
        As in :func:`bspline_basis`.
    extrapolation
        ``"constant"`` keeps the value of the nearest end knot, ``"linear"`` continues the last
        piece.

    Returns
    -------
    Array
        Shape ``(time, n_knots)``, rows summing to one.
    """
    return bspline_basis(t, knots, 1, extrapolation=extrapolation)


def _de_boor(xp: ModuleType, t: Any, padded: np.ndarray, degree: int) -> tuple[Any, Any]:
    """Values of the basis of this degree and of the one below, by the Cox-de Boor recursion."""
    # The last interval that is not empty closes on the right, so that the end knot belongs to it.
    is_last = (padded[1:] == padded[-1]) & (padded[:-1] < padded[1:])
    knots = xp.asarray(padded, t.dtype)
    column = t[:, None]
    inside = (column >= knots[:-1]) & ((column < knots[1:]) | (is_last & (column <= knots[1:])))
    values = inside.astype(t.dtype)
    lower = values
    for order in range(1, degree + 1):
        lower = values
        width = xp.asarray(_reciprocal(padded[order:] - padded[:-order]), t.dtype)
        left = (column - knots[: -order - 1]) * width[:-1] * values[:, :-1]
        right = (knots[order + 1 :] - column) * width[1:] * values[:, 1:]
        values = left + right
    return values, lower


def _reciprocal(width: np.ndarray) -> np.ndarray:
    # Repeated knots make empty intervals, whose term of the recursion is zero by convention.
    return np.divide(1.0, width, out=np.zeros_like(width), where=width > 0)
