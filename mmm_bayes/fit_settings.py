"""Keyword arguments that methods of a fit hand on to the functions behind them.

Defaults and meanings are those of the function; :func:`~mmm_bayes.runtime.deprecation.spelled_out`
shows the names in ``help()`` and completion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np

if TYPE_CHECKING:
    import datetime

    from mmm_bayes.analysis.contributions import Unit
    from mmm_bayes.analysis.decomposition import Method
    from mmm_bayes.analysis.forecast_errors import Errors
    from mmm_bayes.analysis.forecast_table import Controls, SpendPlan
    from mmm_bayes.budget import CostCurve, Limit
    from mmm_bayes.budget.goals import Goal
    from mmm_bayes.budget.optimize import Range
    from mmm_bayes.budget.risk import Kind
    from mmm_bayes.budget.window import After
    from mmm_bayes.causal.causal_graph import CausalGraph
    from mmm_bayes.data.lift_tests import LiftTest
    from mmm_bayes.data.schema import MMMData

NDArray = np.ndarray[Any, Any]


class DrawSettings(TypedDict, total=False):
    """Which draws."""

    group: str
    max_draws: int | None


class MeanSettings(DrawSettings, total=False):
    """Of :func:`mmm_bayes.analysis.contributions.fitted_mean`."""

    unit: Unit
    data: MMMData | None


class ContributionSettings(MeanSettings, total=False):
    """Of :func:`mmm_bayes.analysis.contributions.contributions`."""

    method: Method


class ResponseSettings(DrawSettings, total=False):
    """Of :func:`mmm_bayes.analysis.response.response_curves`."""

    multipliers: Sequence[float] | NDArray
    unit: Unit


class ForecastSettings(TypedDict, total=False):
    """Of :func:`mmm_bayes.analysis.forecast.forecast`."""

    spend: SpendPlan
    controls: Controls
    errors: Errors
    max_draws: int | None


class WindowSettings(TypedDict, total=False):
    """The window that a plan of spend is for, and what its outcome is."""

    periods: int | None
    start: Any
    reference: Any
    cost: Mapping[str, CostCurve | float] | None
    controls: Mapping[str, NDArray] | None
    unit: Unit
    after: After
    max_draws: int
    ci_prob: float


class BudgetSettings(WindowSettings, total=False):
    """Of :func:`mmm_bayes.budget.optimize.optimize_budget`."""

    goal: Goal
    target_value: float | None
    spend: str
    objective: Kind
    level: float | None
    risk_aversion: float | None
    by: Sequence[str] | str
    bounds: Mapping[str, Range] | None
    change: Mapping[str, Range] | Range | None
    limits: Sequence[Limit]
    num_starts: int


class RankingSettings(TypedDict, total=False):
    """Of :func:`mmm_bayes.analysis.next_experiment.rank_experiments`."""

    change: float
    ci_prob: float
    max_draws: int
    num_results: int
    num_points: int


class ReportSettings(TypedDict, total=False):
    """Of :func:`mmm_bayes.present.report.write_report`."""

    graph: CausalGraph | None
    budget: Any | Literal["auto"] | None
    tests: Sequence[LiftTest] | None
    title: str | None
    ci_prob: float
    date: datetime.date | None
