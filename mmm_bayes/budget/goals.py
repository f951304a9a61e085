r"""How much to spend: the least for a target outcome, the most for a target return.

Let :math:`V(B)` be the best objective at a total of ``B``. The least spend for a target outcome
``Y`` is the smallest ``B`` with :math:`V(B) \ge Y`. For returns the question is turned round, since
the first unit of money returns most: for a target ROAS ``r`` the answer is the largest spend whose
best plan still returns it overall, :math:`V(B) / B \ge r`, and for a target marginal ROAS it is the
largest spend whose next unit of money still returns it, :math:`V'(B) \ge r`. Totals are first
searched on a grid, each solved from its neighbour's plan, and then by Brent's method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from mmm_bayes.budget.feasibility import total_range
from mmm_bayes.budget.limits import FeasibleSet, Row, feasible_set
from mmm_bayes.budget.optimality import optimality
from mmm_bayes.budget.problem import Problem
from mmm_bayes.budget.solver import Solution, maximise
from mmm_bayes.budget.starts import starting_plans
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.numbers import compact, in_full

NDArray = np.ndarray[Any, Any]
Goal = Literal["maximise", "outcome", "roas", "marginal_roas"]

_LARGEST = 10.0  # times today's total, if no limit says how much may be spent
_NUM_TOTALS = 10  # of the first grid
_TOLERANCE = 1e-6  # of the total


class PlansByTotal:
    """Best plans by total; each is solved once, starting from the nearest total solved before."""

    def __init__(self, problem: Problem, rows: list[Row], starts: int) -> None:
        self.problem, self.rows, self.starts = problem, rows, starts
        self.found: dict[float, tuple[Solution, FeasibleSet]] = {}

    def at(self, total: float, *, afresh: bool = False) -> Solution:
        """Return the best plan of a total; ``afresh`` solves it from all starting plans."""
        if total in self.found and not afresh:
            return self.found[total][0]
        problem = self.problem
        feasible = feasible_set(self.rows, problem.variables.size, total)
        plans: dict[str, NDArray] = {}
        if self.found:
            near = min(self.found, key=lambda other: abs(np.log(other / total)))
            plans["neighbour"] = self.found[near][0].z * (total / near)
        if afresh or not plans:
            plans |= starting_plans(problem, feasible, total, self.starts)
        solution = maximise(problem, feasible, plans, keep=2)
        if total in self.found and self.found[total][0].value > solution.value:
            solution = self.found[total][0]
        self.found[total] = solution, feasible
        return solution

    def price(self, total: float) -> float:
        """Return how much one more unit of money in the total adds to the objective."""
        solution = self.at(total)
        feasible = self.found[total][1]
        found = optimality(feasible, solution.z, solution.gradient, self.problem.scale)
        return float(found.row_prices[0])


def spend_for(
    problem: Problem, rows: list[Row], goal: Goal, target: float, most: float | None, starts: int
) -> tuple[float, Solution, FeasibleSet, tuple[str, ...]]:
    """Find the total and its plan for a goal; also return the limits used, and notes.

    Parameters
    ----------
    problem, rows
        Objective and limits.
    goal, target
        What should be reached.
    most
        Largest total to consider; by default the limits decide, up to ten times today's total.
    starts
        Number of starting plans drawn from the simplex.

    Raises
    ------
    DataError
        If no total within the limits reaches the target; the message names the best one.
    """
    least, allowed = total_range(rows, problem.variables.size)
    today = max(float(problem.variables.today.sum()), 1e-300)
    capped = most is None and allowed > _LARGEST * today
    largest = min(allowed, _LARGEST * today if most is None else most)
    least = max(least, 1e-4 * min(today, largest))
    grid = np.geomspace(least, largest, _NUM_TOTALS) if largest > least else np.array([largest])
    plans = PlansByTotal(problem, rows, starts)
    for place, total in enumerate(grid):
        plans.at(float(total), afresh=place in (0, len(grid) // 2, len(grid) - 1))
    excess = _excess(plans, goal, target)
    met = [excess(float(total)) >= 0 for total in grid]
    notes: list[str] = []
    if not any(met):
        raise DataError([_out_of_reach(plans, grid, goal, target)], "the budget problem")
    if goal == "outcome":
        k = met.index(True)
        low = float(grid[k - 1]) if k else None
        high: float | None = float(grid[k])
        if low is None:
            notes.append(
                f"The target is reached at {in_full(grid[k])}, the least that the limits allow."
            )
    else:
        k = len(met) - 1 - met[::-1].index(True)
        low, high = float(grid[k]), (float(grid[k + 1]) if k + 1 < len(grid) else None)
        if high is None:
            why = (
                "ten times today's total, where the search stops"
                if capped
                else "the most that is allowed"
            )
            notes.append(f"The target is still met at {in_full(low)}, {why}.")
    total = _root(excess, low, high, goal == "outcome")
    plans.at(total, afresh=True)
    # If that found a better plan, the target is met with less money, or more may be spent.
    if low is not None and high is not None:
        ends = (low, total) if goal == "outcome" else (total, high)
        total = _root(excess, *ends, goal == "outcome")
    solution, feasible = plans.found[total]
    return total, solution, feasible, tuple(notes)


def _excess(plans: PlansByTotal, goal: Goal, target: float) -> Callable[[float], float]:
    """Return a function of the total: the margin above the target, 0 or more where it is met."""

    def excess(total: float) -> float:
        if goal == "outcome":
            return plans.at(total).value - target
        if goal == "roas":
            return plans.at(total).value / total - target
        plans.at(total)
        return plans.price(total) - target

    return excess


def _root(
    excess: Callable[[float], float], low: float | None, high: float | None, from_above: bool
) -> float:
    """Find the total that just meets a target, between one that misses and one that meets it."""
    from scipy.optimize import brentq

    if low is None or high is None:
        end = high if low is None else low
        assert end is not None  # one of them is
        return end
    if excess(low) * excess(high) >= 0:
        return high if from_above else low
    root = float(brentq(excess, low, high, xtol=_TOLERANCE * high, rtol=_TOLERANCE, maxiter=40))
    step = _TOLERANCE * high if from_above else -_TOLERANCE * high
    while excess(root) < 0 and low < root < high:
        root, step = float(np.clip(root + step, low, high)), 2.0 * step
    return root


def _out_of_reach(plans: PlansByTotal, grid: NDArray, goal: Goal, target: float) -> Finding:
    values = {
        "outcome": lambda total: plans.at(total).value,
        "roas": lambda total: plans.at(total).value / total,
        "marginal_roas": plans.price,
    }[goal]
    reached = [(values(float(total)), float(total)) for total in grid]
    best, at = max(reached)
    name = {"outcome": "outcome", "roas": "ROAS", "marginal_roas": "marginal ROAS"}[goal]
    return Finding(
        "target_out_of_reach",
        "error",
        f"No total from {in_full(grid[0])} to {in_full(grid[-1])} reaches {name} "
        f"{in_full(target)}; the best is {in_full(best)}, at a total of {in_full(at)}.",
        f"Lower target_value to {compact(best, 4)} or less, or widen the limits.",
        "target_value",
    )
