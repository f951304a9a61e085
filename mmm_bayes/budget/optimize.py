"""The best plan of spend under a fitted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmm_bayes.budget.checks import check_arguments, finding
from mmm_bayes.budget.cost import CostCurve
from mmm_bayes.budget.evaluation import labelled, summary
from mmm_bayes.budget.explanation import binding_limits, cautions, explain, table_of
from mmm_bayes.budget.feasibility import infeasible
from mmm_bayes.budget.goals import Goal, spend_for
from mmm_bayes.budget.limits import FeasibleSet, Limit, feasible_set, limits_of, rows_of
from mmm_bayes.budget.optimality import optimality
from mmm_bayes.budget.plan import BudgetPlan
from mmm_bayes.budget.problem import Problem
from mmm_bayes.budget.risk import Kind, Objective
from mmm_bayes.budget.scenario import Scenario, scenario_of, window_asked_for
from mmm_bayes.budget.solver import Solution, maximise
from mmm_bayes.budget.starts import starting_plans
from mmm_bayes.budget.variables import variables_of
from mmm_bayes.budget.window import After, Unit
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.findings import DataError

NDArray = np.ndarray[Any, Any]
Range = tuple[float | None, float | None]


@renamed(starts="num_starts")
def optimize_budget(
    fitted: Fitted,
    total: float | None = None,
    *,
    goal: Goal = "maximise",
    target_value: float | None = None,
    spend: str = "exact",
    objective: Kind = "mean",
    level: float | None = None,
    risk_aversion: float | None = None,
    by: Sequence[str] | str = ("channel",),
    periods: int | None = None,
    start: Any = None,
    reference: Any = None,
    bounds: Mapping[str, Range] | None = None,
    change: Mapping[str, Range] | Range | None = None,
    limits: Sequence[Limit] = (),
    cost: Mapping[str, CostCurve | float] | None = None,
    controls: Mapping[str, NDArray] | None = None,
    unit: Unit = "revenue",
    after: After = "today",
    num_starts: int = 6,
    max_draws: int = 300,
    ci_prob: float = 0.9,
) -> BudgetPlan:
    """Find the best plan of spend under the posterior, and explain it.

    The outcome of a plan is the effect of the money spent in the window, within it and in the
    ``max_lag - 1`` periods after it, given the exposure carried over from before
    (:mod:`mmm_bayes.budget.outcome`). Half of the chains choose the plan; the others evaluate it.

    Parameters
    ----------
    fitted
        A fit.
    total
        Money over the window; by default that of today's plan. With a goal other than
        ``"maximise"``, the most that may be spent.
    goal, target_value
        ``"maximise"``: the largest objective for the total. ``"outcome"``: the least spend whose
        objective reaches ``target_value``. ``"roas"``: the largest spend whose best plan still has
        this objective over total. ``"marginal_roas"``: the largest spend whose next unit of money
        still returns ``target_value``. See :mod:`mmm_bayes.budget.goals`.
    spend
        ``"exact"``: the whole total is spent; ``"at_most"``: it may be less.
    objective, level, risk_aversion
        Of the outcome's draws: ``"mean"``; ``"quantile"``, the ``level`` quantile; ``"cvar"``, the
        mean of the worst share ``level`` (by default 0.1); ``"mean_sd"``, mean less
        ``risk_aversion`` (by default 1) deviations; ``"sharpe"``, mean over deviation.
    by
        Dimensions along which money moves: ``"channel"``, and optionally ``"date"`` (flighting),
        ``"geo"`` or both. Within one variable money is spread as in today's plan.
    periods, start
        Length of the window (by default a quarter of a year) and its first date: a date of the
        training table, or by default the first date after it.
    reference
        Today's plan: by default the spend observed in the window, or in the last ``periods``
        observed. Any form that :func:`mmm_bayes.budget.compare.compare_plans` accepts.
    bounds
        ``{channel: (lower, upper)}`` in money over the window; ``None`` leaves a side open.
    change
        ``(lower, upper)`` as multiples of today's money, for each channel or by channel.
    limits
        Other limits: on groups, geos, periods, shares of the total (:class:`Limit`).
    cost
        A price in money per media unit, or a :class:`CostCurve`, by channel.
    controls
        Future values by name, (date,) or (geo, date). They matter only with a logarithmic link.
    unit
        ``"revenue"`` or ``"target"``.
    after
        What is spent in the periods of carry-out, ``"today"`` (today's plan once more, or what was
        observed) or ``"zero"``. It decides how saturated they are for what is carried over.
    num_starts
        Number of starts drawn from the simplex, in addition to the fixed ones.
    max_draws
        Largest number of draws to optimise over.
    ci_prob
        Mass of the intervals.

    Returns
    -------
    BudgetPlan

    Raises
    ------
    DataError
        If arguments are wrong or no plan meets the limits, with all findings; if a target is out of
        reach, with the best value that can be reached.
    """
    by = (by,) if isinstance(by, str) else tuple(by)
    findings = check_arguments(
        fitted.data, total=total, goal=goal, target_value=target_value, spend=spend,
        objective=objective, level=level, risk_aversion=risk_aversion, by=by, periods=periods,
        start=start, unit=unit, after=after, num_starts=num_starts, max_draws=max_draws,
        ci_prob=ci_prob, cost=cost, controls=controls,
    )  # fmt: skip
    if findings:
        raise DataError(findings, "the budget problem")
    level = 0.1 if level is None else level
    risk_aversion = 1.0 if risk_aversion is None else risk_aversion
    window, findings = window_asked_for(fitted, periods, start, reference)
    heads = fitted.data.ds["population"].values
    variables = variables_of(window.reference, window.paid, heads, by)
    asked = limits_of(bounds, change, limits)
    channels, geos = fitted.data.channels, fitted.data.geos
    rows, more = rows_of(asked, variables, channels, geos, window.dates, window.paid)
    findings += more
    amount = float(variables.today.sum()) if total is None else float(total)
    if not amount > 0:
        findings.append(finding("total", "Today's plan has no spend.", "Give total=.", "total"))
    exact = spend == "exact" and goal == "maximise"
    if not findings:
        cap = amount if goal == "maximise" or total is not None else None
        findings = infeasible(rows, variables.size, cap, exact)
    if findings:
        raise DataError(findings, "the budget problem")
    scenario = scenario_of(
        fitted, window, cost=cost, controls=controls, unit=unit, after=after, max_draws=max_draws
    )
    problem = Problem(
        fitted.structure.media,
        scenario.chosen,
        variables,
        Objective(objective, float(level), float(risk_aversion)),
        len(window.dates),
    )
    notes: tuple[str, ...] = ()
    if goal == "maximise":
        feasible = feasible_set(rows, variables.size, amount, exact)
        begin = starting_plans(problem, feasible, amount, num_starts)
        solution = maximise(problem, feasible, begin)
    else:
        assert target_value is not None  # checked above
        cap = None if total is None else amount
        amount, solution, feasible, notes = spend_for(
            problem, rows, goal, float(target_value), cap, num_starts
        )
    settings = {
        "goal": goal, "target_value": target_value, "total": amount, "spend": spend,
        "objective": objective, "level": level, "risk_aversion": risk_aversion, "by": by,
        "unit": unit, "after": after, "ci_prob": ci_prob, "channels": channels,
        "max_draws": max_draws, "periods": len(window.dates),
    }  # fmt: skip
    return _result(fitted, scenario, problem, feasible, solution, settings, notes)


def _result(
    fitted: Fitted,
    scenario: Scenario,
    problem: Problem,
    feasible: FeasibleSet,
    solution: Solution,
    settings: dict[str, Any],
    notes: tuple[str, ...],
) -> BudgetPlan:
    """Evaluate the plan on held-out draws, and explain it."""
    window, evaluator, variables = scenario.window, scenario.evaluator, problem.variables
    ci_prob, scale = settings["ci_prob"], problem.scale
    plan = variables.spend(solution.z)
    table = table_of(
        fitted, window, variables, plan, evaluator, feasible, solution.z, scale, ci_prob
    )
    planned, today = evaluator.outcomes(plan), evaluator.outcomes(window.reference)
    gain = summary(planned - today, ci_prob)
    better = float(np.mean(planned > today) + 0.5 * np.mean(planned == today))
    found = optimality(feasible, solution.z, solution.gradient, scale)
    binding = binding_limits(feasible, found, solution.z, scale)
    explained = explain(
        problem, window, feasible, solution, found, binding, table, gain, better, settings,
        scenario.is_split,
    )  # fmt: skip
    warned = cautions(fitted, window, variables, plan, table, gain, ci_prob, len(planned))
    names = (fitted.data.channels, fitted.data.geos, window.dates)
    priced = feasible.names[:1] == ("total",)
    return BudgetPlan(
        plan=labelled(plan, *names, "spend"),
        today=labelled(window.reference, *names, "spend"),
        table=table,
        outcome=summary(planned, ci_prob),
        outcome_today=summary(today, ci_prob),
        gain=gain,
        probability_better=better,
        value=solution.value,
        value_today=problem.exact(variables.today),
        kkt_residual=found.residual,
        price_of_total=float(found.row_prices[0]) if priced else 0.0,
        binding=binding,
        explanation=(*explained, *notes),
        warnings=warned,
        settings=settings,
        starts=dict(solution.starts),
        evaluator=evaluator,
    )
