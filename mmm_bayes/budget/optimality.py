r"""How far a plan is from satisfying the conditions of an optimum, and what each limit costs.

At a maximum over :math:`l \le z \le u`, :math:`a \le A z \le b` there are prices :math:`\nu` of the
rows (positive at an upper limit, negative at a lower one, of either sign at an equality) and of the
bounds with (Karush, Kuhn and Tucker)

.. math:: \nabla F(z) = A'\nu + \pi^u - \pi^l, \qquad \pi^u, \pi^l \ge 0,

where only limits that bind have a price. Given the plan, the prices that leave the smallest largest
remainder are a linear program; that remainder, over the plan's mean marginal return, is the
residual. It is the largest difference between the return of the next unit of money in a free
variable and what the limits say it should be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmm_bayes.budget.limits import FeasibleSet

NDArray = np.ndarray[Any, Any]

_NEAR = 1e-7  # of a variable's typical size: closer to a bound than that is at it


@dataclass(frozen=True, eq=False)
class Optimality:
    """Prices of limits in objective per unit of money, and what they leave.

    Attributes
    ----------
    residual
        Largest remainder over the mean marginal return.
    row_prices
        Of the rows (m,): what the objective gains by one more unit of money in an upper limit.
    lower_prices, upper_prices
        Of the bounds (n,), zero or more, zero where they do not bind.
    free
        Variables strictly inside their bounds (n,).
    """

    residual: float
    row_prices: NDArray
    lower_prices: NDArray
    upper_prices: NDArray
    free: NDArray


def optimality(feasible: FeasibleSet, z: NDArray, gradient: NDArray, scale: NDArray) -> Optimality:
    """Prices and residual at a plan.

    Parameters
    ----------
    feasible
        Limits.
    z, gradient, scale
        Plan, derivative of the objective in money, and typical sizes, each (n,).
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
    """Prices of the rows with the smallest largest remainder, and that remainder.

    A variable that can rise must not have a return above its price, one that can fall none below.
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
    # The solver's own tolerance would round a small remainder to zero.
    rest = gradient - prices @ rows
    over = float(np.abs(rest[can_rise & can_fall]).max(initial=0.0))
    over = max(
        over, float(rest[can_rise].max(initial=0.0)), float((-rest[can_fall]).max(initial=0.0))
    )
    return prices, over
