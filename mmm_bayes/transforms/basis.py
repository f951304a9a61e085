r"""Bases over time: Fourier terms and knots.

A basis is a matrix ``(time, basis)`` that is computed once, outside the model; the model multiplies
it by coefficients. For a forecast, pass the new times with the *same* period or knots.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from mmm_bayes._typing import ArrayLike, Basis, Number, Times
from mmm_bayes.transforms._arguments import require_count, with_namespace

__all__ = [
    "equispaced_knots",
    "fourier",
    "hat_basis",
]


# --- Fourier -------------------------------------------------------------------------------------


def fourier(t: Times, period: Number, order: int) -> Basis:
    r"""Build the Fourier basis of one period, :math:`\sin(2\pi k t / P), \cos(2\pi k t / P)`.

    It continues periodically, so a forecast needs only the new times.

    Parameters
    ----------
    t
        Times, shape ``(time,)``.
    period
        Period :math:`P > 0`, in the units of ``t`` (weeks: 52.18 for a year).
    order
        Number of harmonics. Those above ``period / 2`` (in steps of time) alias lower ones.

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
    # Drop whole periods first: the phase of a large day number would lose its last digits.
    phase = xp.mod(times / period, 1.0)
    angle = 2 * np.pi * phase[:, None] * xp.arange(1, order + 1, dtype=times.dtype)
    columns = xp.stack([xp.sin(angle), xp.cos(angle)], axis=-1)
    return jnp.asarray(columns.reshape(times.shape[0], 2 * order), dtype)


# --- Knots ---------------------------------------------------------------------------------------


def equispaced_knots(t: Times, n_knots: int) -> np.ndarray:
    """Return evenly spaced knots over the range of ``t``, both ends included.

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


def hat_basis(t: Times, knots: ArrayLike | Sequence[Number] | int) -> Basis:
    """Build linear interpolation between knots: a knot's coefficient is the curve's value there.

    Before the first and after the last knot the curve keeps the value of that knot.

    Parameters
    ----------
    t
        Times, shape ``(time,)``.
    knots
        Strictly increasing times of the knots, or how many to spread evenly over ``t``. Forecasts
        need the knots of the training window: see :func:`equispaced_knots`.

    Returns
    -------
    Array
        Shape ``(time, n_knots)``; each row sums to one.

    Raises
    ------
    ValueError
        If there are fewer than two knots, or they do not increase.
    """
    xp, dtype, (times,) = with_namespace(t)
    places = (
        equispaced_knots(t, int(knots))
        if isinstance(knots, int | np.integer)
        else np.asarray(knots, float)
    )
    if places.ndim != 1 or places.size < 2 or not np.all(np.diff(places) > 0):
        raise ValueError(
            "knots must be at least two strictly increasing times, got "
            f"{places.tolist()}; drop repeated knots and sort the rest."
        )
    left = xp.asarray(places[:-1], times.dtype)
    per_unit = xp.asarray(1.0 / np.diff(places), times.dtype)
    # How much of the way to the next knot is done: 0 before the interval, 1 after it.
    done = xp.clip((times[:, None] - left) * per_unit, 0.0, 1.0)
    ends = xp.ones_like(done[:, :1])
    return jnp.asarray(
        xp.concatenate([ends, done], axis=1) - xp.concatenate([done, 0 * ends], axis=1), dtype
    )
