r"""How much to spend: the least for an outcome, the most for a return.

With :math:`V(B)` the best objective at a total of ``B``, the least spend for a target outcome is
the smallest ``B`` with :math:`V(B) \ge Y`. The least spend at which a ROAS is reached is no useful
number, since the first unit of money returns most: what is found for a target ROAS ``r`` is the
largest spend whose best plan still returns it on the whole, :math:`V(B) / B \ge r`, and for a
target marginal ROAS the largest spend whose next unit of money still does, :math:`V'(B) \ge r`.
Totals are searched on a grid, each solved from the plan of the one before, and then by Brent's
method.
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

_LARGEST = 10.0  # times today's total, where no limit says how much may be spent
_LEVELS = 10
_TOLERANCE = 1e-6  # of the total


class Levels:
    """Best plans by total, each solved once and near ones from their neighbours."""

    def __init__(self, problem: Problem, rows: list[Row], starts: int) -> None:
        self.problem, self.rows, self.starts = problem, rows, starts
        self.found: dict[float, tuple[Solution, FeasibleSet]] = {}

    def at(self, total: float, *, afresh: bool = False) -> Solution:
        """Best plan of a total; ``afresh`` from all starts."""
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
        """Value of one more unit of money in total."""
        solution = self.at(total)
        feasible = self.found[total][1]
        found = optimality(feasible, solution.z, solution.gradient, self.problem.scale)
        return float(found.row_prices[0])


def spend_for(
    problem: Problem, rows: list[Row], goal: Goal, target: float, most: float | None, starts: int
) -> tuple[float, Solution, FeasibleSet, tuple[str, ...]]:
    """Total, plan, limits and notes for a goal.

    Parameters
    ----------
    problem, rows
        Objective and limits.
    goal, target
        What is to be reached.
    most
        Largest total to consider; by default what the limits allow, at most ten times today's.
    starts
        Draws from the simplex among the starts.

    Raises
    ------
    DataError
        If no total within the limits reaches the target, with the best that can be.
    """
    least, allowed = total_range(rows, problem.variables.size)
    today = max(float(problem.variables.today.sum()), 1e-300)
    capped = most is None and allowed > _LARGEST * today
    largest = min(allowed, _LARGEST * today if most is None else most)
    least = max(least, 1e-4 * min(today, largest))
    grid = np.geomspace(least, largest, _LEVELS) if largest > least else np.array([largest])
    levels = Levels(problem, rows, starts)
    for place, total in enumerate(grid):
        levels.at(float(total), afresh=place in (0, len(grid) // 2, len(grid) - 1))
    excess = _excess(levels, goal, target)
    met = [excess(float(total)) >= 0 for total in grid]
    notes: list[str] = []
    if not any(met):
        raise DataError([_out_of_reach(levels, grid, goal, target)], "the budget problem")
    if goal == "outcome":
        k = met.index(True)
        low = float(grid[k - 1]) if k else None
        high: float | None = float(grid[k])
        if low is None:
            notes.append(
                f"The least spend that the limits allow, {in_full(grid[k])}, reaches the target."
            )
    else:
        k = len(met) - 1 - met[::-1].index(True)
        low, high = float(grid[k]), (float(grid[k + 1]) if k + 1 < len(grid) else None)
        if high is None:
            why = (
                "ten times today's total, where the search ends"
                if capped
                else "all that is allowed"
            )
            notes.append(f"The target is met by {in_full(low)}, {why}.")
    total = _root(excess, low, high, goal == "outcome")
    levels.at(total, afresh=True)
    # A better plan of the same total may meet the target with less, or let more be spent.
    if low is not None and high is not None:
        ends = (low, total) if goal == "outcome" else (total, high)
        total = _root(excess, *ends, goal == "outcome")
    solution, feasible = levels.found[total]
    return total, solution, feasible, tuple(notes)


def _excess(levels: Levels, goal: Goal, target: float) -> Callable[[float], float]:
    """How far a total is above the target: zero or more where it is met."""

    def excess(total: float) -> float:
        if goal == "outcome":
            return levels.at(total).value - target
        if goal == "roas":
            return levels.at(total).value / total - target
        levels.at(total)
        return levels.price(total) - target

    return excess


def _root(
    excess: Callable[[float], float], low: float | None, high: float | None, from_above: bool
) -> float:
    """The total where a target is just met, between one that misses and one that meets it."""
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


def _out_of_reach(levels: Levels, grid: NDArray, goal: Goal, target: float) -> Finding:
    values = {
        "outcome": lambda total: levels.at(total).value,
        "roas": lambda total: levels.at(total).value / total,
        "marginal_roas": levels.price,
    }[goal]
    reached = [(values(float(total)), float(total)) for total in grid]
    best, at = max(reached)
    name = {"outcome": "outcome", "roas": "ROAS", "marginal_roas": "marginal ROAS"}[goal]
    return Finding(
        "target_out_of_reach",
        "error",
        f"No spend from {in_full(grid[0])} to {in_full(grid[-1])} reaches the {name} of "
        f"{in_full(target)}; the best is {in_full(best)}, at a spend of {in_full(at)}.",
        f"Ask for {compact(best, 4)} or less, or widen the limits.",
        "target_value",
    )
