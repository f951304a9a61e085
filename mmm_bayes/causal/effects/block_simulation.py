"""Simulated data that preserve autocorrelation: permuted blocks of dates, persistent series."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.causal.effects.estimators import Design
from mmm_bayes.causal.effects.regression import block_length, least_squares, persistence

NDArray = np.ndarray[Any, Any]


def permuted_blocks(rng: np.random.Generator, design: Design) -> NDArray:
    """Permute rows (row,) in blocks of dates, within each geo and in one order for all geos."""
    num_dates = int(design.dates.max()) + 1
    length = block_length(num_dates)
    shifted = np.roll(np.arange(num_dates), int(rng.integers(num_dates)))
    blocks = np.array_split(shifted, max(num_dates // length, 2))
    order = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
    geos = np.zeros(design.num_rows, int) if design.geos is None else design.geos
    rows = np.empty(design.num_rows, int)
    for geo in np.unique(geos):
        own = np.flatnonzero(geos == geo)
        own = own[np.argsort(design.dates[own])]
        rows[own] = own[order[order < len(own)]]
    return rows


def persistent_series(rng: np.random.Generator, design: Design) -> NDArray:
    """Draw a standardised series (row,): one AR(1) process per geo, as persistent as the dose."""
    x = np.column_stack([np.ones(design.num_rows), design.covariates])
    rest = least_squares(design.dose, x).residuals
    geos = np.zeros(design.num_rows, int) if design.geos is None else design.geos
    series = np.empty(design.num_rows)
    for geo in np.unique(geos):
        own = np.flatnonzero(geos == geo)
        slope = persistence(rest[own])
        noise = rng.standard_normal(len(own)) * np.sqrt(1.0 - slope**2)
        value = rng.standard_normal()
        for place, row in enumerate(own):
            value = slope * value + noise[place]
            series[row] = value
    return (series - series.mean()) / series.std()
