r"""How far a plan is from the conditions of an optimum, and the price of each limit.

At a maximum over :math:`l \le z \le u`, :math:`a \le A z \le b` there are prices :math:`\nu` of the
rows (positive at an upper limit, negative at a lower one, of either sign at an equality) and of the
bounds with (Karush, Kuhn and Tucker)

.. math:: \nabla F(z) = A'\nu + \pi^u - \pi^l, \qquad \pi^u, \pi^l \ge 0,

where only binding limits have a price. Given the plan, a linear program finds the prices with the
smallest maximum violation of these conditions; that maximum over the plan's mean marginal return is
the residual. It is the largest difference between the marginal return of a free variable and the
marginal return that the prices imply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmm_bayes.budget.limits import FeasibleSet

NDArray = np.ndarray[Any, Any]

_NEAR = 1e-7  # of a variable's typical size; closer to a bound counts as being at it


@dataclass(frozen=True, eq=False)
class Optimality:
    """Prices of limits (objective per unit of money), and the residual of the conditions.

    Attributes
    ----------
    residual
        Largest violation of the conditions, over the mean marginal return.
    row_prices
        Prices of the rows (m,): how much the objective gains if an upper limit is raised by one.
    lower_prices, upper_prices
        Prices of the bounds (n,): 0 or more, and 0 where they do not bind.
    free
        Variables strictly inside their bounds (n,).
    """

    residual: float
    row_prices: NDArray
    lower_prices: NDArray
    upper_prices: NDArray
    free: NDArray


def optimality(feasible: FeasibleSet, z: NDArray, gradient: NDArray, scale: NDArray) -> Optimality:
    """Compute prices and residual at a plan.

    Parameters
    ----------
    feasible
        Limits.
    z, gradient, scale
        Plan, derivative of the objective in money, and typical size of each variable; all (n,).
    """
    p = feasible.polytope
    near = _NEAR * scale
    at_lower, at_upper = z <= p.lower + near, z >= p.upper - near
    free = ~(at_lower | at_upper)
    mean = float(np.abs(gradient) @ z) / max(float(z.sum()), 1e-300)
    unit = mean if mean > 0 else max(float(np.abs(gradient).max(initial=0.0)), 1e-300)
    slack = 1e-7 * float(scale.sum())
    sums = p.rows @ z
    low = sums <= p.row_lower + slack
    high = sums >= p.row_upper - slack
    active = low | high
    rows = p.rows[active]
    prices = np.zeros(len(p.rows))
    held = at_lower & at_upper
    found, remainder = _prices(
        gradient / unit, rows, ~at_lower & ~held, ~at_upper & ~held, low[active], high[active]
    )
    prices[active] = found * unit
    rest = gradient - prices @ p.rows if len(p.rows) else gradient.copy()
    return Optimality(
        residual=remainder,
        row_prices=prices,
        lower_prices=np.where(at_lower, np.maximum(-rest, 0.0), 0.0),
        upper_prices=np.where(at_upper, np.maximum(rest, 0.0), 0.0),
        free=free,
    )


def _prices(
    gradient: NDArray,
    rows: NDArray,
    can_fall: NDArray,
    can_rise: NDArray,
    low: NDArray,
    high: NDArray,
) -> tuple[NDArray, float]:
    """Find row prices with the smallest maximum violation, and that violation.

    The return of a variable that can rise must not exceed its price; the return of one that can
    fall must not be below it.
    """
    from scipy.optimize import linprog

    m = len(rows)
    above = gradient[can_rise]
    below = gradient[can_fall]
    if not m:
        return np.zeros(0), max(
            float(above.max(initial=0.0)), float((-below).max(initial=0.0)), 0.0
        )
    a = np.concatenate([-rows[:, can_rise].T, rows[:, can_fall].T])
    a = np.concatenate([a, -np.ones((len(a), 1))], 1)
    b = np.concatenate([-above, below])
    bounds = [
        (None if own_low else 0.0, None if own_high else 0.0)
        for own_low, own_high in zip(low, high, strict=True)
    ]
    cost = np.append(np.zeros(m), 1.0)
    result = linprog(cost, A_ub=a, b_ub=b, bounds=[*bounds, (0.0, None)], method="highs")
    if result.status:
        return np.zeros(m), np.inf
    prices = np.asarray(result.x[:m])
    # Recomputed, since the solver's own tolerance would round a small violation to zero.
    rest = gradient - prices @ rows
    over = float(np.abs(rest[can_rise & can_fall]).max(initial=0.0))
    over = max(
        over, float(rest[can_rise].max(initial=0.0)), float((-rest[can_fall]).max(initial=0.0))
    )
    return prices, over
