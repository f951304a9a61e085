"""Valid tables, which the tests of the loaders damage in one place each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

NATIONAL: dict[str, Any] = {
    "date": "week",
    "target": "sales",
    "channels": ["tv", "search"],
    "controls": ["price"],
}
WITH_SPEND: dict[str, Any] = {
    "date": "week",
    "target": "sales",
    "channels": {"tv": "tv_grp", "search": "search_clicks"},
    "spend": {"tv": "tv_cost", "search": "search_cost"},
    "controls": ["price"],
    "revenue_per_target": "revenue",
}
GEO: dict[str, Any] = NATIONAL | {"geo": "region", "population": "people"}


def national(n: int = 30) -> pd.DataFrame:
    """Weekly table with spend columns."""
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "week": pd.date_range("2021-01-04", periods=n, freq="W-MON"),
            "sales": 100 + 10 * rng.standard_normal(n),
            "tv": 20 * rng.gamma(2.0, size=n),
            "search": 5 * rng.gamma(3.0, size=n),
            "price": 10 + rng.standard_normal(n),
        }
    )


def with_spend(n: int = 30) -> pd.DataFrame:
    """Weekly table with media units as well as spend, and revenue per unit of the target."""
    frame = national(n).rename(columns={"tv": "tv_cost", "search": "search_cost"})
    rng = np.random.default_rng(12)
    frame["tv_grp"] = frame["tv_cost"] * rng.uniform(2, 3, n)
    frame["search_clicks"] = frame["search_cost"] * rng.uniform(5, 9, n)
    frame["revenue"] = rng.uniform(9, 11, n)
    return frame


def geo(n: int = 12) -> pd.DataFrame:
    """Three regions, one after the other."""
    parts = []
    for g, (name, people) in enumerate({"north": 1e5, "south": 3e5, "west": 2e5}.items()):
        rng = np.random.default_rng(20 + g)
        part = national(n)
        for column in ("sales", "tv", "search", "price"):
            part[column] = part[column] * rng.uniform(0.5, 1.5, n)
        parts.append(part.assign(region=name, people=people))
    return pd.concat(parts, ignore_index=True)
