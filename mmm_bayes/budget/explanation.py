"""Explain a plan in sentences, and list cautions about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.budget.evaluation import Evaluator, Summary
from mmm_bayes.budget.limits import FeasibleSet
from mmm_bayes.budget.optimality import Optimality
from mmm_bayes.budget.plan import Binding
from mmm_bayes.budget.problem import Problem
from mmm_bayes.budget.solver import Solution
from mmm_bayes.budget.variables import Variables
from mmm_bayes.budget.window import PlanWindow
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import transform_parameters
from mmm_bayes.runtime.findings import listing
from mmm_bayes.runtime.numbers import compact, in_full

NDArray = np.ndarray[Any, Any]

_PRIOR_ONLY = 0.85  # ratio of posterior to prior width above which the data added little


def binding_limits(
    feasible: FeasibleSet, found: Optimality, z: NDArray, scale: NDArray
) -> tuple[Binding, ...]:
    """Return binding limits, groups first; each name once per side, with its largest price."""
    p = feasible.polytope
    result: dict[tuple[str, str], float] = {}
    sums = p.rows @ z
    slack = 1e-7 * float(scale.sum())
    for k, name in enumerate(feasible.names):
        if p.row_lower[k] == p.row_upper[k]:
            side = "equal"
        elif sums[k] >= p.row_upper[k] - slack:
            side = "upper"
        elif sums[k] <= p.row_lower[k] + slack:
            side = "lower"
        else:
            continue
        result[name, side] = float(found.row_prices[k])
    near = 1e-7 * scale
    held = p.upper - p.lower <= near
    for side, names, at, price in (
        ("equal", feasible.upper_names, held, found.upper_prices - found.lower_prices),
        ("lower", feasible.lower_names, ~held & (z <= p.lower + near), found.lower_prices),
        ("upper", feasible.upper_names, ~held & (z >= p.upper - near), found.upper_prices),
    ):
        for position in np.flatnonzero(at):
            key = (names[position], side)
            result[key] = max(result.get(key, 0.0), float(price[position]), key=abs)
    return tuple(Binding(name, side, price) for (name, side), price in result.items())


def explain(
    problem: Problem,
    window: PlanWindow,
    feasible: FeasibleSet,
    solution: Solution,
    found: Optimality,
    binding: tuple[Binding, ...],
    table: pd.DataFrame,
    gain: Summary,
    probability: float,
    settings: dict[str, Any],
    is_split: bool,
) -> tuple[str, ...]:
    """Write sentences on the window, the optimum, the limits, the gain and the assumptions."""
    lines = [_window_line(window, problem, settings)]
    lines.append(_movement(problem, solution, found, binding))
    lines.append(_returns(problem, feasible, found, solution, settings))
    groups = [b for b in binding if b.name not in ("total", "no spend below zero")]
    if groups:
        shown = sorted(groups, key=lambda b: -abs(b.price))
        each = (
            f"{b.name} ({'fixed' if b.side == 'equal' else f'{b.side} limit'}, {abs(b.price):.3g})"
            for b in shown
        )
        lines.append(
            "Binding limits, with the gain of the objective per unit of money by which they are "
            f"widened: {listing(each, 8)}."
        )
    zero = table.index[(table["planned"] <= 0) & (table["today"] > 0)]
    if len(zero):
        lines.append(f"The plan stops spending on {listing(zero)}.")
    held = (
        "on held-out draws of the posterior"
        if is_split
        else "on the draws that chose the plan (too few to hold any out), which is optimistic"
    )
    if np.array_equal(table["planned"], table["today"]) and gain.lower == gain.upper == 0.0:
        return (*lines, *_assumptions(problem, window, settings))
    lines.append(
        f"Gain over today's plan: {compact(gain.median, 4)} ({settings['ci_prob']:.0%} interval "
        f"{compact(gain.lower, 4)} to {compact(gain.upper, 4)}; mean {compact(gain.mean, 4)}). The "
        f"plan is better with probability {probability:.2f}, {held}."
    )
    spent = float(table["planned"].sum() - table["today"].sum())
    if abs(spent) > 1e-6 * max(float(table["today"].sum()), 1e-300):
        lines.append(
            f"It spends {in_full(abs(spent))} {'more' if spent > 0 else 'less'} than today's plan."
        )
    lines += _assumptions(problem, window, settings)
    return tuple(lines)


def _window_line(window: PlanWindow, problem: Problem, settings: dict[str, Any]) -> str:
    later = len(window.later)
    tail = "no spend" if settings["after"] == "zero" else "today's plan again"
    line = (
        f"{_aim(problem, settings)} over {len(window.dates)} periods from "
        f"{window.dates[0]:%Y-%m-%d} to {window.dates[-1]:%Y-%m-%d}"
    )
    if later:
        line += f", plus its effect in the {later} periods after it (assuming {tail} there)"
    return line + f". Money moves between {_variables(problem)}."


def _variables(problem: Problem) -> str:
    names = {"channel": "channels", "geo": "geos", "date": "dates"}
    words = [names[name] for name in problem.variables.by]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _aim(problem: Problem, settings: dict[str, Any]) -> str:
    objective = str(problem.objective)
    unit = "revenue" if settings["unit"] == "revenue" else "target"
    target = settings["target_value"]
    return {
        "maximise": f"Objective: {objective} of the incremental {unit}",
        "outcome": f"Least spend at which {objective} of the incremental {unit} is "
        f"{in_full(target or 0)}",
        "roas": f"Largest spend whose best plan returns {target or 0:g} per unit of money "
        f"({objective} of the incremental {unit})",
        "marginal_roas": f"Largest spend whose next unit of money returns {target or 0:g} "
        f"({objective} of the incremental {unit})",
    }[settings["goal"]]


def _movement(
    problem: Problem, solution: Solution, found: Optimality, binding: tuple[Binding, ...]
) -> str:
    """Say how far the plan differs from today's and, if it does not, why."""
    today, total = problem.variables.today, max(float(solution.z.sum()), 1e-300)
    moved = 0.5 * float(np.abs(solution.z - today).sum())
    reached = [value for value in solution.starts.values() if np.isfinite(value)]
    agree = sum(value >= solution.value - 1e-4 * abs(solution.value) for value in reached)
    tried = f"{agree} of {len(reached)} starting plans led within 0.01% of this objective"
    if moved > 1e-9 * total:
        share = moved / max(total, float(today.sum()))
        return f"The plan moves {share:.1%} of the money; {tried}."
    if not found.free.any():
        return "The plan is today's: the limits leave no room to move money."
    if float(np.abs(solution.gradient).max(initial=0.0)) <= 1e-12:
        return "The plan is today's: the objective is flat, so moving money does not change it."
    if found.residual < 1e-3:
        return f"The plan is today's, which already satisfies the optimality conditions; {tried}."
    return (
        "The plan is today's: no better plan was found, although the optimality conditions are not "
        f"satisfied (residual {found.residual:.1e}); increase starts=."
    )


def _returns(
    problem: Problem,
    feasible: FeasibleSet,
    found: Optimality,
    solution: Solution,
    settings: dict[str, Any],
) -> str:
    free = found.free & (solution.z > 0)
    if not free.any():
        return f"KKT residual {found.residual:.1e}: every channel is at a limit."
    # Net of the prices of groups: the same for all free variables at an optimum.
    slopes = _net(solution.gradient, feasible, found)[free]
    channels = problem.variables.owner[0][free]
    names = settings["channels"]
    inside = listing(names[c] for c in np.unique(channels))
    low, high = float(slopes.min()), float(slopes.max())
    span = f"{low:.4g}" if high - low <= 5e-4 * abs(high) else f"{low:.4g} to {high:.4g}"
    priced = found.row_prices[1:] if feasible.names[:1] == ("total",) else found.row_prices
    net = " (after the price of its group limits)" if np.any(priced != 0) else ""
    return (
        f"KKT residual {found.residual:.1e} of the mean marginal return. The next unit of money "
        f"adds {span} to the objective{net} in channels that are not at a limit ({inside})."
    )


def _net(gradient: NDArray, feasible: FeasibleSet, found: Optimality) -> NDArray:
    """Return derivatives less the prices of all rows except the total."""
    first = 1 if feasible.names[:1] == ("total",) else 0
    return gradient - found.row_prices[first:] @ feasible.polytope.rows[first:]


def _assumptions(problem: Problem, window: PlanWindow, settings: dict[str, Any]) -> list[str]:
    lines = []
    where = "each channel's average price in each geo over the last observed year"
    if not window.is_future:
        where = "the prices observed on the dates of the window"
    lines.append(f"Exposure is bought at {where}, except where cost= was given.")
    if np.shape(problem.response.base)[-1]:
        lines.append(
            "Channels multiply the baseline. For future dates it uses the controls of one year "
            "earlier (unless controls= was given) and the model's trend and seasonality. A "
            "channel's outcome is the loss without that channel, so channels need not sum to the "
            "total."
        )
    unpaid = [name for name, own in zip(settings["channels"], window.paid, strict=True) if not own]
    if unpaid:
        lines.append(f"Channels without spend are not planned: {listing(unpaid)}.")
    return lines


def cautions(
    fitted: Fitted,
    window: PlanWindow,
    variables: Variables,
    plan: NDArray,
    table: pd.DataFrame,
    gain: Summary,
    ci_prob: float,
    draws: int,
) -> tuple[str, ...]:
    """Warn about extrapolation, gains that may be zero, and curves known only from the prior."""
    found = []
    out = [
        f"{name} ({compact(row['planned'], 4)}; observed {compact(row['observed_low'], 4)} to "
        f"{compact(row['observed_high'], 4)})"
        for name, row in table.iterrows()
        if row["planned"] > row["observed_high"] * (1 + 1e-9)
        or row["planned"] < row["observed_low"] * (1 - 1e-9)
    ]
    if out:
        found.append(
            "Totals outside the range observed in windows of this length, where the curve is "
            f"extrapolated: {listing(out, 8)}."
        )
    found += _cells_beyond(fitted, window, plan)
    changed = np.any(plan != variables.reference)
    if changed and gain.lower < 0.0 < gain.upper:
        found.append(
            f"The {ci_prob:.0%} interval of the gain includes zero: the data do not establish that "
            "the plan is better than today's."
        )
    if weak := prior_only(fitted):
        found.append(
            f"The shape of the response curve comes almost entirely from the prior for "
            f"{listing(weak, 8)}: an experiment or more varied spend would inform it."
        )
    if draws < 100:
        found.append(f"The plan was evaluated on only {draws} draws: intervals are rough.")
    return tuple(found)


def _cells_beyond(fitted: Fitted, window: PlanWindow, plan: NDArray) -> list[str]:
    spend = np.moveaxis(fitted.data.ds["spend"].values, 2, 0)
    largest = spend.max(2)
    over = plan > largest[:, :, None] * (1 + 1e-9)
    over &= plan > window.reference * (1 + 1e-9)
    lines = []
    for c, name in enumerate(fitted.data.channels):
        if not over[c].any():
            continue
        geos = [fitted.data.geos[g] for g in np.flatnonzero(over[c].any(1))]
        ratio = float((plan[c] / np.maximum(largest[c][:, None], 1e-300))[over[c]].max())
        where = "" if fitted.data.num_geos == 1 else f" in {listing(geos)}"
        times = f", by up to {ratio:.2f} times" if ratio < 1e6 else ""
        lines.append(f"{name}{where} ({int(over[c].sum())} of {over[c].size}{times})")
    if not lines:
        return []
    return [f"Periods with more spend than any observed period: {listing(lines, 8)}."]


def prior_only(fitted: Fitted) -> list[str]:
    """Return channels whose curve parameters have a posterior about as wide as the prior."""
    if "prior" not in fitted.tree.children:
        return []
    prior, posterior = (fitted.tree[group].to_dataset() for group in ("prior", "posterior"))
    weak = []
    for channel in fitted.data.channels:
        _, saturation, _ = fitted.spec.channel_transforms(channel)
        _, names = transform_parameters("none", saturation)
        ratios = []
        for name in names:
            if name not in prior or name not in posterior:
                continue
            dim = posterior[name].dims[-1]
            widths = [
                float(np.subtract(*np.quantile(group[name].sel({dim: channel}), [0.75, 0.25])))
                for group in (posterior, prior)
            ]
            if widths[1] > 0:
                ratios.append(widths[0] / widths[1])
        if ratios and min(ratios) > _PRIOR_ONLY:
            weak.append(channel)
    return weak


def table_of(
    fitted: Fitted,
    window: PlanWindow,
    variables: Variables,
    plan: NDArray,
    evaluator: Evaluator,
    feasible: FeasibleSet,
    z: NDArray,
    scale: NDArray,
    ci_prob: float,
) -> pd.DataFrame:
    """Build the table of :class:`mmm_bayes.budget.plan.BudgetPlan`."""
    today = window.reference
    tail = [0.5 * (1 - ci_prob), 0.5, 1 - 0.5 * (1 - ci_prob)]
    own, before = plan.sum((1, 2)), today.sum((1, 2))
    planned, spent = evaluator.channel_outcomes(plan), evaluator.channel_outcomes(today)
    with np.errstate(divide="ignore", invalid="ignore"):
        roas = planned / np.where(own > 0, own, np.nan)
        change = own / np.where(before > 0, before, np.nan) - 1.0
    columns: dict[str, Any] = {"today": before, "planned": own, "change": change}
    columns |= _bounds(variables, feasible, z, scale, len(own))
    low, high = observed_range(fitted, len(window.dates))
    marginal = evaluator.marginal(plan, today)
    for name, draws in (
        ("outcome_today", spent),
        ("outcome_planned", planned),
        ("roas", roas),
        ("marginal_roas", marginal),
    ):
        lower, middle, upper = np.quantile(draws, tail, axis=0)
        columns |= {name: middle, f"{name}_lower": lower, f"{name}_upper": upper}
    columns |= {"observed_low": low, "observed_high": high}
    names = pd.Index(fitted.data.channels, name="channel")
    return pd.DataFrame(columns, index=names)[window.paid]


def _bounds(
    variables: Variables, feasible: FeasibleSet, z: NDArray, scale: NDArray, channels: int
) -> dict[str, Any]:
    """Return the limits of each channel's money, and which of them bind, in words."""
    p, owner = feasible.polytope, variables.owner[0]
    lower = np.bincount(owner, p.lower, channels)
    upper = np.bincount(owner, p.upper, channels)
    for row, low, high in zip(p.rows, p.row_lower, p.row_upper, strict=True):
        for c in range(channels):
            # A limit on this channel's total alone.
            if np.abs(row - (owner == c)).max(initial=0.0) < 1e-9:
                lower[c], upper[c] = max(lower[c], low), min(upper[c], high)
    near = 1e-7 * scale
    at_low, at_high = z <= p.lower + near, z >= p.upper - near
    total = np.bincount(owner, z, channels)
    slack = np.bincount(owner, near, channels)
    words = []
    for c in range(channels):
        own = owner == c
        size = int(own.sum())
        sides = []
        for side, at, whole in (
            ("lower", at_low, total[c] <= lower[c] + slack[c]),
            ("upper", at_high, total[c] >= upper[c] - slack[c]),
        ):
            count = int(at[own].sum())
            if whole and size:
                sides.append(side)
            elif count:
                sides.append(f"{side} ({count} of {size})")
        words.append("fixed" if sides == ["lower", "upper"] else ", ".join(sides))
    return {"lower": lower, "upper": upper, "binds": words}


def observed_range(fitted: Fitted, periods: int) -> tuple[NDArray, NDArray]:
    """Return the smallest and largest total (channel,) over observed windows of this length."""
    spend = fitted.data.ds["spend"].values.sum(0)
    sums = np.concatenate([np.zeros((1, spend.shape[1])), np.cumsum(spend, 0)])
    totals = sums[periods:] - sums[:-periods]
    return totals.min(0), totals.max(0)
