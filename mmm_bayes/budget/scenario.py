"""The scenario that plans are evaluated in: a window, its prices, and two sets of draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmm_bayes.budget.checks import read_plan, start_date
from mmm_bayes.budget.cost import CostCurve
from mmm_bayes.budget.evaluation import Evaluator, all_draws, split_draws
from mmm_bayes.budget.outcome import Response
from mmm_bayes.budget.window import (
    After,
    PlanWindow,
    Unit,
    periods_of_quarter,
    prices_of,
    response_of,
    window_at,
)
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.findings import Finding

NDArray = np.ndarray[Any, Any]

_HELD_OUT = 1000  # draws; a 90% interval's end then has a Monte Carlo error of 1/10 of its width


@dataclass(frozen=True, eq=False)
class Scenario:
    """A window, a response over the choosing draws, and an evaluator over the held-out draws."""

    window: PlanWindow
    chosen: Response
    evaluator: Evaluator
    is_split: bool


def window_asked_for(
    fitted: Fitted, periods: int | None, start: Any, reference: Any
) -> tuple[PlanWindow, list[Finding]]:
    """Return the window with today's plan, and the problems of ``reference``."""
    data = fitted.data
    first = data.num_dates if start is None else _position(fitted, start)
    count = periods_of_quarter(data) if periods is None else int(periods)
    window = window_at(fitted, first, count, None)
    if reference is None:
        return window, []
    plan, findings = read_plan(
        reference, window.reference, data, window.dates, window.paid, "the reference"
    )
    return (window if plan is None else window_at(fitted, first, count, plan)), findings


def scenario_of(
    fitted: Fitted,
    window: PlanWindow,
    *,
    cost: Mapping[str, CostCurve | float] | None,
    controls: Mapping[str, NDArray] | None,
    unit: Unit,
    after: After,
    max_draws: int,
) -> Scenario:
    """Compute everything that does not depend on a plan."""
    prices = prices_of(fitted, window, cost)
    params, chains, draws = all_draws(fitted)
    split = split_draws(chains, draws, max_draws, _HELD_OUT)

    def respond(draws: NDArray) -> Response:
        own = {name: value[draws] for name, value in params.items()}
        return response_of(fitted, window, prices, own, unit=unit, after=after, controls=controls)

    held_out = Evaluator(fitted.structure.media, respond(split.held_out))
    return Scenario(window, respond(split.chosen), held_out, split.is_split)


def _position(fitted: Fitted, start: Any) -> int:
    found = np.flatnonzero(fitted.data.dates == start_date(fitted.data, start))
    return int(found[0]) if found.size else fitted.data.num_dates
