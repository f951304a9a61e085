"""Checks of the posterior against the prior: conflict with it, or no difference from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from scipy import special

from mmm_bayes.inference.quantities import Quantities
from mmm_bayes.inference.thresholds import DiagnosticsThresholds
from mmm_bayes.runtime.findings import Finding

_SINGLY = 5  # elements of one variable that get a finding each; more are reported together


def _per_variable(
    q: Quantities,
    scores: np.ndarray,
    where: np.ndarray,
    make: Callable[[int, list[int]], Finding],
) -> list[Finding]:
    """Make one finding per quantity, or one for a variable with many; the worst comes first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index in np.flatnonzero(where):
        groups[q.variables[index]].append(int(index))
    findings = []
    for members in groups.values():
        members.sort(key=lambda index: -scores[index])
        if len(members) > _SINGLY:
            findings.append(make(members[0], members))
        else:
            findings += [make(index, [index]) for index in members]
    return findings


def _together(q: Quantities, members: list[int]) -> str:
    if len(members) == 1:
        return ""
    size = q.variables.count(q.variables[members[0]])
    return f" The same holds for {len(members)} of the {size} elements of this variable."


def check_conflict(q: Quantities, t: DiagnosticsThresholds) -> list[Finding]:
    """Report posteriors in the tail of their prior."""
    sizes = np.array([q.variables.count(name) for name in q.variables])
    # One threshold per variable: a normal tail split over its elements.
    limits = -special.ndtri(special.ndtr(-t.conflict_sd) / sizes)
    distance = np.abs(q.prior_distance)
    with np.errstate(invalid="ignore"):
        where = q.usable & (distance > limits) & (q.prior_tail <= t.conflict_tail)

    def make(index: int, members: list[int]) -> Finding:
        name, channel = q.names[index], q.channels[index]
        side = "above" if q.prior_distance[index] > 0 else "below"
        data = f"the units and the column of {channel}" if channel else "the units of the data"
        return Finding(
            check="prior_conflict",
            severity="warning",
            where=name,
            value=float(distance[index]),
            threshold=float(limits[index]),
            message=f"{name} (posterior median {q.median[index]:.3g}) lies {side} "
            f"{1 - q.prior_tail[index]:.1%} of its prior (90% of it: {q.prior_low[index]:.3g} to "
            f"{q.prior_high[index]:.3g})." + _together(q, members),
            remedy=f"Check {data} first. Then either the prior is wrong (widen it if you "
            "would not defend it), or this parameter compensates for something that the model "
            "lacks: a season, a promotion, a trend.",
        )

    return _per_variable(q, distance, where, make)


def check_unidentified(q: Quantities, t: DiagnosticsThresholds) -> list[Finding]:
    """Report posteriors that do not differ from their prior: the data are uninformative."""
    with np.errstate(invalid="ignore"):
        where = q.usable & (q.overlap > t.overlap_review)

    def make(index: int, members: list[int]) -> Finding:
        name, channel = q.names[index], q.channels[index]
        remedy = f"add a lift test for {channel}" if channel else "collect data that vary more"
        return Finding(
            check="prior_equals_posterior",
            severity="warning",
            where=name,
            value=float(q.overlap[index]),
            threshold=t.overlap_review,
            message=f"The data say nothing about {name}: prior and posterior overlap by "
            f"{q.overlap[index]:.0%}." + _together(q, members),
            remedy=f"Its estimate is your prior. Fix the parameter, choose a prior you would "
            f"defend, or {remedy}.",
        )

    return _per_variable(q, q.overlap, where, make)
