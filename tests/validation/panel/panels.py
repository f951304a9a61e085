"""Panels with a known truth, of one shape: networks are compiled once for both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.data.panel import ShopPanel

NDArray = np.ndarray[Any, Any]

SHOPS, DAYS = 6, 240
FIRST_ORIGIN = 184
NOISE = 0.4
PROMOTION = 2.0
CARRIED = 0.5


def panel(series: NDArray, context: NDArray | None = None, dates: bool = True) -> ShopPanel:
    shops, days, nodes = series.shape
    context = np.zeros((shops, days, 0)) if context is None else context
    return ShopPanel(
        series,
        (*(f"x{i}" for i in range(nodes - 1)), "y"),
        tuple(f"shop {i}" for i in range(shops)),
        context,
        tuple(f"c{i}" for i in range(context.shape[-1])),
        pd.date_range("2024-01-03", periods=days) if dates else None,
    )


def seasonal(seed: int = 0) -> tuple[ShopPanel, NDArray]:
    """Weekly pattern of each shop, known promotions, a channel that acts the same day, noise.

    Given weekday and promotions, the variance of the target is NOISE**2 + CARRIED**2 in units of
    the shop; a week's difference has at least twice as much.
    """
    random = np.random.default_rng(seed)
    day = np.arange(DAYS)
    channels = random.normal(size=(SHOPS, DAYS, 2))
    promotion = (random.random((SHOPS, DAYS, 1)) < 0.15).astype(float)
    target = random.normal(size=(SHOPS, 7))[:, day % 7] + PROMOTION * promotion[..., 0]
    target += CARRIED * channels[..., 0] + NOISE * random.normal(size=(SHOPS, DAYS))
    unit = 10.0 ** random.uniform(0, 6, (SHOPS, 1, 1))
    return panel(np.concatenate([channels, target[..., None]], -1) * unit, promotion), unit[:, 0, 0]


def autoregressive(seed: int = 1, phi: float = 0.6) -> ShopPanel:
    """Independent stationary AR(1) series of unit innovations; the context says nothing."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(SHOPS, DAYS + 50, 3))
    series = np.zeros_like(noise)
    for t in range(1, DAYS + 50):
        series[:, t] = phi * series[:, t - 1] + noise[:, t]
    return panel(series[:, 50:], (random.random((SHOPS, DAYS, 1)) < 0.15).astype(float))
