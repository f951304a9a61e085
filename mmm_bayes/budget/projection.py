r"""The feasible set, and projection onto it.

Plans are :math:`\{z : l \le z \le u,\; a \le A z \le b\}`. The nearest point to ``y`` is
:math:`\mathrm{clip}(y + A'\lambda, l, u)`, where :math:`\lambda` maximises the concave dual, with
one multiplier per row. With a single row (the total) the dual's derivative is piecewise linear in
one variable and solved exactly from its breakpoints. With several rows a semi-smooth Newton method
finds the multipliers, and SciPy's L-BFGS-B takes over where it makes no progress.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

NDArray = np.ndarray[Any, Any]

_ROUNDS = 60


@dataclass(frozen=True, eq=False)
class Polytope:
    """Bounds on variables and on weighted sums of them.

    Attributes
    ----------
    lower, upper
        Bounds of the variables (n,); ``upper`` may be infinite.
    rows
        Coefficients (m, n).
    row_lower, row_upper
        Bounds of ``rows @ z`` (m,), infinite where there is none.
    """

    lower: NDArray
    upper: NDArray
    rows: NDArray
    row_lower: NDArray
    row_upper: NDArray

    def violation(self, z: NDArray) -> float:
        """Return the largest amount by which a bound or a row is violated."""
        parts = [self.lower - z, z - self.upper]
        if len(self.rows):
            sums = self.rows @ z
            parts += [self.row_lower - sums, sums - self.row_upper]
        return max(0.0, *(float(part.max()) for part in parts if part.size))

    @functools.cached_property
    def sided(self) -> Sided:
        """Rows scaled to unit norm, each with a single limit."""
        size = np.sqrt((self.rows**2).sum(1))
        some = size > 0  # a row without coefficients does not restrict any variable
        size = size[some]
        rows = self.rows[some] / size[:, None]
        low, high = self.row_lower[some] / size, self.row_upper[some] / size
        equal = low == high
        below = np.isfinite(low) & ~equal
        above = np.isfinite(high) & ~equal
        limit = np.concatenate([low[equal], low[below], high[above]])
        sign = np.repeat([0.0, 1.0, -1.0], [equal.sum(), below.sum(), above.sum()])
        scale = 1.0 + float(np.abs(limit).max(initial=0.0))
        return Sided(np.concatenate([rows[equal], rows[below], rows[above]]), limit, sign, scale)

    def scaled(self, scale: NDArray) -> Polytope:
        """Return the same set for ``z / scale``."""
        return Polytope(
            self.lower / scale,
            self.upper / scale,
            self.rows * scale,
            self.row_lower,
            self.row_upper,
        )


def project(polytope: Polytope, y: NDArray, multipliers: NDArray | None = None) -> NDArray:
    """Return the nearest feasible point to ``y``.

    Parameters
    ----------
    polytope
        A set that is not empty.
    y
        Point (n,).
    multipliers
        Starting values from an earlier call, one per limit of :attr:`Polytope.sided`; updated in
        place.
    """
    m = len(polytope.rows)
    if m == 0:
        return np.clip(y, polytope.lower, polytope.upper)
    if m == 1:
        return _one_row(polytope, y)
    return _many_rows(polytope, y, multipliers)


def _one_row(p: Polytope, y: NDArray) -> NDArray:
    a = p.rows[0]
    plain = np.clip(y, p.lower, p.upper)
    total = float(a @ plain)
    aim = min(max(total, float(p.row_lower[0])), float(p.row_upper[0]))
    if total == aim:
        return plain
    return _settle(p, np.clip(y + _crossing(y, a, p.lower, p.upper, aim) * a, p.lower, p.upper))


def _crossing(y: NDArray, w: NDArray, low: NDArray, high: NDArray, aim: float) -> float:
    """Return the ``t`` at which ``w @ clip(y + t w, low, high)`` reaches ``aim``.

    The sum is piecewise linear and increasing in ``t``; at a breakpoint a variable enters or leaves
    its bounds. If ``aim`` is never reached, return the last breakpoint.
    """
    moving = w != 0
    rest = float(w[~moving] @ np.clip(y[~moving], low[~moving], high[~moving]))
    y, w, low, high, aim = y[moving], w[moving], low[moving], high[moving], aim - rest

    def total(t: float) -> float:
        return float(w @ np.clip(y + t * w, low, high))

    breakpoints = np.concatenate([(low - y) / w, (high - y) / w])
    breakpoints = np.sort(breakpoints[np.isfinite(breakpoints)])
    left, right = 0, len(breakpoints)
    while left < right:
        middle = (left + right) // 2
        if total(breakpoints[middle]) < aim:
            left = middle + 1
        else:
            right = middle
    if not len(breakpoints):
        start, within = 0.0, 0.0
    elif left == 0:
        start, within = float(breakpoints[0]), float(breakpoints[0]) - 1.0
    elif left == len(breakpoints):
        start, within = float(breakpoints[-1]), float(breakpoints[-1]) + 1.0
    else:
        start = float(breakpoints[left - 1])
        within = 0.5 * (start + float(breakpoints[left]))
    # Between two breakpoints the slope comes from the variables inside their bounds.
    trial = y + within * w
    inside = (trial > low) & (trial < high)
    slope = float(w[inside] @ w[inside])
    return start + (aim - total(start)) / slope if slope > 0 else start


class Sided(NamedTuple):
    """Rows with one limit: ``rows @ z`` is at least (``sign`` 1), at most (-1) or equal (0)."""

    rows: NDArray
    limit: NDArray
    sign: NDArray
    scale: float


def _many_rows(p: Polytope, y: NDArray, multipliers: NDArray | None) -> NDArray:
    sided = p.sided
    lam = np.zeros(len(sided.limit))
    if multipliers is not None and len(multipliers) == len(lam):
        lam = multipliers.copy()
    lam, done = _newton(p, sided, y, lam)
    if not done:
        lam = _quasi_newton(p, sided, y, lam)
        lam, _ = _newton(p, sided, y, lam)
    if multipliers is not None and len(multipliers) == len(lam):
        multipliers[:] = lam
    return _settle(p, np.clip(y + lam @ sided.rows, p.lower, p.upper))


def _dual(p: Polytope, sided: Sided, y: NDArray, lam: NDArray) -> tuple[float, NDArray, NDArray]:
    """Return the dual value, its derivative, and the point."""
    z = np.clip(y + lam @ sided.rows, p.lower, p.upper)
    slope = sided.limit - sided.rows @ z
    return float(0.5 * np.sum((z - y) ** 2) + lam @ slope), slope, z


def _newton(p: Polytope, sided: Sided, y: NDArray, lam: NDArray) -> tuple[NDArray, bool]:
    """Take semi-smooth Newton steps on the multipliers whose sign constraint is not active.

    Along a step the dual is piecewise quadratic, so its maximum is found exactly; the step ends
    early where a multiplier reaches zero. Also return whether the iteration converged.
    """
    tolerance = 1e-12 * sided.scale
    for _ in range(_ROUNDS):
        _, slope, z = _dual(p, sided, y, lam)
        moving = (sided.sign == 0) | (sided.sign * lam > 0) | (sided.sign * slope > 0)
        if np.abs(slope[moving]).max(initial=0.0) <= tolerance:
            return lam, True
        inside = (z > p.lower) & (z < p.upper)
        part = sided.rows[moving][:, inside]
        curvature = part @ part.T
        curvature[np.diag_indices_from(curvature)] += 1e-9 + 1e-9 * np.trace(curvature)
        step = np.zeros_like(lam)
        step[moving] = np.linalg.solve(curvature, slope[moving])
        along = step @ sided.rows
        length = _crossing(y + lam @ sided.rows, along, p.lower, p.upper, float(step @ sided.limit))
        falling = sided.sign * step < 0
        limits = np.where(falling, -lam / np.where(falling, step, 1.0), np.inf)
        # Multipliers at zero must not change sign: hold them, and step along the gradient.
        stuck = falling & (lam == 0)
        if stuck.any():
            step = np.where(stuck, 0.0, np.where(moving, slope, 0.0))
            along = step @ sided.rows
            length = _crossing(
                y + lam @ sided.rows, along, p.lower, p.upper, float(step @ sided.limit)
            )
            falling = sided.sign * step < 0
            limits = np.where(falling, -lam / np.where(falling, step, 1.0), np.inf)
        nearest = float(limits.min(initial=np.inf))
        if not length > 0:
            return lam, False
        trial = lam + min(length, nearest) * step
        lam = np.where((limits <= length) & (limits == nearest), 0.0, trial)
    return lam, False


def _quasi_newton(p: Polytope, sided: Sided, y: NDArray, lam: NDArray) -> NDArray:
    """Maximise the dual by SciPy's L-BFGS-B, for cases where Newton's method makes no progress."""
    from scipy.optimize import minimize

    bounds = [(0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in sided.sign]

    def fun(at: NDArray) -> tuple[float, NDArray]:
        value, slope, _ = _dual(p, sided, y, at)
        return -value, -slope

    options = {"maxiter": 500, "ftol": 1e-16, "gtol": 1e-12}
    return minimize(fun, lam, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x


def _settle(p: Polytope, z: NDArray) -> NDArray:
    """Remove rounding errors of the rows by spreading them over variables inside their bounds."""
    for _ in range(3):
        sums = p.rows @ z
        gap = np.clip(sums, p.row_lower, p.row_upper) - sums
        wrong = np.flatnonzero(gap)
        if not wrong.size:
            break
        inside = (z > p.lower) & (z < p.upper)
        part = p.rows[wrong][:, inside]
        if not part.size or not part.any():
            break
        z = z.copy()
        if len(wrong) == 1:
            z[inside] += part[0] * (gap[wrong[0]] / float(part[0] @ part[0]))
        else:
            z[inside] += np.linalg.lstsq(part, gap[wrong], rcond=None)[0]
        z = np.clip(z, p.lower, p.upper)
    return z
