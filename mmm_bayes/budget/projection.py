r"""The feasible set, and the nearest plan in it.

Plans are :math:`\{z : l \le z \le u,\; a \le A z \le b\}`. The nearest point to ``y`` is
:math:`\mathrm{clip}(y + A'\lambda, l, u)`, where :math:`\lambda` maximises the concave dual, one
multiplier a row. With a single row (the total) the dual's derivative is piecewise linear in one
variable and solved exactly from its corners; with several rows a semi-smooth Newton method finds
the multipliers, and L-BFGS-B of SciPy where it does not get on.
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
    """Bounds of every variable and of every row.

    Attributes
    ----------
    lower, upper
        Of the variables (n,); ``upper`` may be infinite.
    rows
        Coefficients (m, n).
    row_lower, row_upper
        Of ``rows @ z`` (m,), infinite where there is none.
    """

    lower: NDArray
    upper: NDArray
    rows: NDArray
    row_lower: NDArray
    row_upper: NDArray

    def violation(self, z: NDArray) -> float:
        """Largest amount by which a bound or a row is broken."""
        parts = [self.lower - z, z - self.upper]
        if len(self.rows):
            sums = self.rows @ z
            parts += [self.row_lower - sums, sums - self.row_upper]
        return max(0.0, *(float(part.max()) for part in parts if part.size))

    @functools.cached_property
    def sided(self) -> Sided:
        """Rows of length one with a single limit each."""
        size = np.sqrt((self.rows**2).sum(1))
        some = size > 0  # a row without coefficients says nothing of the variables
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
        """The same set for ``z / scale``."""
        return Polytope(
            self.lower / scale,
            self.upper / scale,
            self.rows * scale,
            self.row_lower,
            self.row_upper,
        )


def project(polytope: Polytope, y: NDArray, multipliers: NDArray | None = None) -> NDArray:
    """Nearest feasible point to ``y``; ``multipliers`` of an earlier call are a start, and kept up.

    Parameters
    ----------
    polytope
        A set that is not empty.
    y
        Point (n,).
    multipliers
        One a limit of :attr:`Polytope.sided`, changed in place.
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
    """Where ``w @ clip(y + t w, low, high)`` reaches ``aim``; its last corner if it never does.

    It is piecewise linear and rises in ``t``; at a corner a variable enters or leaves its bounds.
    """
    moving = w != 0
    rest = float(w[~moving] @ np.clip(y[~moving], low[~moving], high[~moving]))
    y, w, low, high, aim = y[moving], w[moving], low[moving], high[moving], aim - rest

    def total(t: float) -> float:
        return float(w @ np.clip(y + t * w, low, high))

    corners = np.concatenate([(low - y) / w, (high - y) / w])
    corners = np.sort(corners[np.isfinite(corners)])
    left, right = 0, len(corners)
    while left < right:
        middle = (left + right) // 2
        if total(corners[middle]) < aim:
            left = middle + 1
        else:
            right = middle
    if not len(corners):
        start, within = 0.0, 0.0
    elif left == 0:
        start, within = float(corners[0]), float(corners[0]) - 1.0
    elif left == len(corners):
        start, within = float(corners[-1]), float(corners[-1]) + 1.0
    else:
        start = float(corners[left - 1])
        within = 0.5 * (start + float(corners[left]))
    # Between two corners the slope is that of the variables inside their bounds.
    trial = y + within * w
    inside = (trial > low) & (trial < high)
    slope = float(w[inside] @ w[inside])
    return start + (aim - total(start)) / slope if slope > 0 else start


class Sided(NamedTuple):
    """Rows of one limit each: ``rows @ z`` at least (``sign`` 1), at most (-1) or equal to (0)."""

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
    """Dual value, its derivative, and the point."""
    z = np.clip(y + lam @ sided.rows, p.lower, p.upper)
    slope = sided.limit - sided.rows @ z
    return float(0.5 * np.sum((z - y) ** 2) + lam @ slope), slope, z


def _newton(p: Polytope, sided: Sided, y: NDArray, lam: NDArray) -> tuple[NDArray, bool]:
    """Semi-smooth Newton steps on the multipliers that their sign does not hold at zero.

    Along a step the dual is piecewise quadratic: its best point is found exactly, and the step ends
    where a multiplier reaches zero.
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
        # A multiplier at zero that Newton's step would take over does not move.
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
    """The same maximum by L-BFGS-B of SciPy, where Newton's method does not get on."""
    from scipy.optimize import minimize

    bounds = [(0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in sided.sign]

    def fun(at: NDArray) -> tuple[float, NDArray]:
        value, slope, _ = _dual(p, sided, y, at)
        return -value, -slope

    options = {"maxiter": 500, "ftol": 1e-16, "gtol": 1e-12}
    return minimize(fun, lam, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x


def _settle(p: Polytope, z: NDArray) -> NDArray:
    """Take out what rounding left of equality rows, spread over variables inside their bounds."""
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
