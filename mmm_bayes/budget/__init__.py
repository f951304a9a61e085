"""Plans of spend: the best plan under a fit, and comparisons of given plans.

Functions take a :class:`mmm_bayes.model.fitted.Fitted` first.
"""

from __future__ import annotations

from mmm_bayes.budget.compare import PlanComparison, compare_plans
from mmm_bayes.budget.cost import CostCurve
from mmm_bayes.budget.limits import Limit
from mmm_bayes.budget.optimize import optimize_budget
from mmm_bayes.budget.plan import Binding, BudgetPlan

__all__ = [
    "Binding",
    "BudgetPlan",
    "CostCurve",
    "Limit",
    "PlanComparison",
    "compare_plans",
    "optimize_budget",
]
