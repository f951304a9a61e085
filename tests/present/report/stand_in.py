"""A budget plan by hand, for the section that shows one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.model.fitted import Fitted


@dataclass(frozen=True)
class Gain:
    median: float = 900.0
    mean: float = 950.0
    lower: float = -120.0
    upper: float = 2200.0


@dataclass(frozen=True, eq=False)
class Plan:
    """What the report reads of a ``BudgetPlan``."""

    plan: xr.DataArray
    today: xr.DataArray
    table: pd.DataFrame
    gain: Any = Gain()
    probability_better: float = 0.87
    kkt_residual: float = 3e-7
    explanation: tuple[str, ...] = ("The plan keeps the total of today.", "No bound binds <tv>.")
    settings: Any = field(default_factory=lambda: {"unit": "revenue", "ci_prob": 0.9})
    warnings: tuple[str, ...] = ("tv leaves the range of spend that was observed.",)


def plan_of(fitted: Fitted, factors: list[float]) -> Plan:
    """Multiply the last ten dates' spends by ``factors``."""
    today = fitted.data.ds["spend"].transpose("channel", "geo", "date").isel(date=slice(-10, None))
    plan = today * xr.DataArray(factors, dims="channel", coords={"channel": today["channel"]})
    now, then = (x.sum(("geo", "date")).values for x in (today, plan))
    ones = np.ones(len(factors))
    table = pd.DataFrame(
        {
            "today": now, "planned": then, "change": then - now, "lower": 0.5 * now,
            "upper": 2.0 * now, "binds": ["upper", *[""] * (len(factors) - 1)],
            "outcome_today": 100 * ones, "outcome_planned": 110 * ones,
            "outcome_planned_lower": 80 * ones, "outcome_planned_upper": 150 * ones,
            "roas": 1.4 * ones, "roas_lower": ones, "roas_upper": 1.9 * ones,
            "marginal_roas": ones, "marginal_roas_lower": 0.5 * ones,
            "marginal_roas_upper": 1.6 * ones,
            "observed_low": 0.7 * now, "observed_high": 1.2 * now,
        },
        index=pd.Index(fitted.data.channels, name="channel"),
    )  # fmt: skip
    return Plan(plan, today, table)
