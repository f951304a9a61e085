"""Whether any plan meets all limits and, if none does, which limits conflict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmm_bayes.budget.limits import FeasibleSet, Row, feasible_set
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.numbers import compact, in_full

NDArray = np.ndarray[Any, Any]

_TOLERANCE = 1e-9  # of the total; linear-program solvers do not resolve less


def infeasible(
    rows: Sequence[Row], size: int, total: float | None, exact: bool = True
) -> list[Finding]:
    """Return every reason why no plan meets the limits at this total; empty if one does."""
    found = feasible_set(rows, size, total, exact)
    polytope = found.polytope
    scale = max(total or 0.0, float(polytope.lower.sum()), 1e-300)
    findings = _crossed(found, scale)
    for row in rows:
        findings += _against_bounds(row, found, total, scale)
    if total is not None:
        findings += _against_total(found, total, exact, scale)
    if findings:
        return findings
    excess = _elastic(found, scale)
    broken = [
        f"{name} by {compact(amount, 4)}"
        for name, amount in zip(found.names, excess, strict=True)
        if amount > _TOLERANCE * scale * 10
    ]
    if broken:
        findings.append(
            Finding(
                "limits_clash",
                "error",
                "The limits cannot all be met: even the plan that comes closest misses "
                f"{'; '.join(broken)}.",
                "Widen one of these limits, or change the total, by at least that much.",
                "limits",
            )
        )
    return findings


def total_range(rows: Sequence[Row], size: int) -> tuple[float, float]:
    """Return the smallest and largest total that the limits allow; the latter may be infinite."""
    from scipy.optimize import linprog

    polytope = feasible_set(rows, size, None).polytope
    ends = []
    for sign in (1.0, -1.0):
        found = linprog(sign * np.ones(size), **_program(polytope), method="highs")
        ends.append(float(found.fun * sign) if found.status == 0 else np.inf)
    return ends[0], ends[1]


def _program(polytope: Any) -> dict[str, Any]:
    """Return limits as arguments of `scipy.optimize.linprog`."""
    upper, lower = np.isfinite(polytope.row_upper), np.isfinite(polytope.row_lower)
    a = np.concatenate([polytope.rows[upper], -polytope.rows[lower]])
    b = np.concatenate([polytope.row_upper[upper], -polytope.row_lower[lower]])
    bounds = [
        (low, high if np.isfinite(high) else None)
        for low, high in zip(polytope.lower, polytope.upper, strict=True)
    ]
    return {"A_ub": a if len(a) else None, "b_ub": b if len(b) else None, "bounds": bounds}


def _elastic(found: FeasibleSet, scale: float) -> NDArray:
    """Return each row's violation, with the total violation minimised within the bounds."""
    from scipy.optimize import linprog

    p = found.polytope
    m, n = p.rows.shape
    if m == 0:
        return np.zeros(0)
    upper, lower = np.isfinite(p.row_upper), np.isfinite(p.row_lower)
    slack = np.eye(m)
    a = np.concatenate(
        [
            np.concatenate([p.rows[upper], -slack[upper]], 1),
            np.concatenate([-p.rows[lower], -slack[lower]], 1),
        ]
    )
    b = np.concatenate([p.row_upper[upper], -p.row_lower[lower]]) / scale
    low = np.concatenate([p.lower / scale, np.zeros(m)])
    high = np.concatenate([p.upper / scale, np.full(m, np.inf)])
    bounds = [(x, y if np.isfinite(y) else None) for x, y in zip(low, high, strict=True)]
    cost = np.concatenate([np.zeros(n), np.ones(m)])
    result = linprog(cost, A_ub=a, b_ub=b, bounds=bounds, method="highs")
    return np.zeros(m) if result.status else result.x[n:] * scale


def _crossed(found: FeasibleSet, scale: float) -> list[Finding]:
    p = found.polytope
    findings = []
    seen = set()
    for k in np.flatnonzero(p.lower > p.upper + _TOLERANCE * scale):
        pair = (found.lower_names[k], found.upper_names[k])
        if pair in seen:
            continue
        seen.add(pair)
        findings.append(
            Finding(
                "limits_clash",
                "error",
                f"One limit requires at least {in_full(p.lower[k])} for {pair[0]}, another allows "
                f"at most {in_full(p.upper[k])} for {pair[1]}.",
                "Lower the first or raise the second.",
                "limits",
            )
        )
    return findings


def _against_bounds(
    row: Row, found: FeasibleSet, total: float | None, scale: float
) -> list[Finding]:
    """Report a group whose members' own limits rule out the limits of the group."""
    if row.is_share:
        if total is None:
            return []
        lower, upper = row.lower * total, row.upper * total
    else:
        lower, upper = row.lower, row.upper
    a = row.coefficients
    if np.count_nonzero(np.abs(a) > 1e-12) < 2:
        return []
    p = found.polytope
    least, most = float(a @ p.lower), float(a[a > 0] @ p.upper[a > 0])
    findings = []
    if least > upper + _TOLERANCE * scale:
        findings.append(
            Finding(
                "group_too_small",
                "error",
                f"{row.name} may get at most {in_full(upper)} together, but the lower limits of "
                f"its members add up to {in_full(least)}.",
                f"Raise the limit to {in_full(least)} or more, or lower the limits of its members.",
                "limits",
            )
        )
    if most < lower - _TOLERANCE * scale:
        findings.append(
            Finding(
                "group_too_large",
                "error",
                f"{row.name} should get at least {in_full(lower)} together, but the upper limits "
                f"of its members add up to {in_full(most)}.",
                f"Lower the limit to {in_full(most)} or less, or raise the limits of its members.",
                "limits",
            )
        )
    return findings


def _against_total(found: FeasibleSet, total: float, exact: bool, scale: float) -> list[Finding]:
    p = found.polytope
    least, most = float(p.lower.sum()), float(p.upper.sum())
    if least > total + _TOLERANCE * scale:
        return [
            Finding(
                "total_too_small",
                "error",
                f"The lower limits add up to {in_full(least)}, more than the total of "
                f"{in_full(total)}.",
                f"Raise the total to {in_full(least)} or more, or lower some of the limits.",
                "total",
            )
        ]
    if exact and most < total - _TOLERANCE * scale:
        return [
            Finding(
                "total_too_large",
                "error",
                f"The upper limits add up to {in_full(most)}, less than the total of "
                f"{in_full(total)}.",
                f"Lower the total to {in_full(most)} or less, raise some of the limits, or "
                "allow spending less with spend='at_most'.",
                "total",
            )
        ]
    return []
