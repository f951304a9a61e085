"""Linear structural models whose effects are known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmm_bayes.causal.causal_graph import CausalGraph

GRAPH = CausalGraph(
    edges=[
        ("season", "tv"),
        ("season", "sales"),
        ("tv", "search"),
        ("tv", "sales"),
        ("search", "sales"),
        ("price", "sales"),
    ],
    roles={"tv": "channel", "search": "channel", "sales": "target", "season": "control"},
)
DIRECT, INDIRECT = 1.0, 0.5 * 2.0
TOTAL = DIRECT + INDIRECT


def persistent(rng: np.random.Generator, n: int, slope: float) -> np.ndarray:
    """AR(1) of deviation 1."""
    noise = rng.standard_normal(n + 50)
    series = np.zeros(n + 50)
    for t in range(1, n + 50):
        series[t] = slope * series[t - 1] + np.sqrt(1 - slope**2) * noise[t]
    return series[50:]


def weeks(seed: int, n: int = 150, slope: float = 0.0) -> pd.DataFrame:
    """season -> tv, sales; tv -> search -> sales; tv -> sales; price -> sales."""
    rng = np.random.default_rng(seed)
    season, price = persistent(rng, n, slope), persistent(rng, n, slope)
    tv = 6.0 + 0.8 * season + persistent(rng, n, slope)
    search = 2.0 + 0.5 * tv + persistent(rng, n, slope)
    sales = 60.0 + DIRECT * tv + 2.0 * search + 3.0 * season - 2.0 * price
    return pd.DataFrame(
        {
            "week": pd.date_range("2021-01-04", periods=n, freq="W-MON"),
            "season": season,
            "price": price,
            "tv": tv,
            "search": search,
            "sales": sales + persistent(rng, n, slope),
        }
    )
