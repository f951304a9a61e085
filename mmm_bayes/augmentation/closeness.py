"""Distances of augmented rows from training rows, and of both from held-out rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.augmentation.similarity import (
    energy_distance,
    kl_divergence,
    relative_variance_difference,
    sliced_wasserstein,
)
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.streams import generator

NDArray = np.ndarray[Any, Any]

# The energy distance takes all pairs of rows, and an enumeration may have hundreds of thousands.
_MOST_PAIRED = 4000


def closeness(
    rng_key: Any,
    train: pd.DataFrame,
    test: pd.DataFrame,
    augmented: pd.DataFrame,
    weights: NDArray,
) -> dict[str, float]:
    """Compute distances of augmented rows from training and from held-out rows.

    Whether augmentation brings the training rows closer to the truth is the difference between
    ``_test`` and ``_test_train`` of a measure: the distance of augmented rows, and of training
    rows, from the test rows.

    Parameters
    ----------
    rng_key : jax.Array or int
        Key of the directions of the sliced distance.
    train, test, augmented : pandas.DataFrame
        Rows over the same numeric columns, in comparable units.
    weights : numpy.ndarray
        (rows,) of the augmented rows.

    Returns
    -------
    dict
        ``kl``, ``energy``, ``sliced_wasserstein`` (training against augmented rows), each with
        ``_test`` and ``_test_train``; ``variance_difference`` and its ``_signed`` form. NaN where a
        measure is not defined, as for an empty augmentation. If there are more than 4,000 augmented
        rows, 4,000 are drawn by weight for the energy distance.
    """
    t, h, z = (frame.to_numpy(float) for frame in (train, test, augmented))
    thinned = _thinned(rng_key, z, weights)
    distances = {
        "kl": (kl_divergence, (z, weights)),
        "energy": (energy_distance, thinned),
        "sliced_wasserstein": (partial(sliced_wasserstein, rng_key), (z, weights)),
    }
    measured = {}
    for name, (distance, (rows, own)) in distances.items():
        measured[name] = _or_nan(distance, t, rows, None, own)
        measured[f"{name}_test"] = _or_nan(distance, h, rows, None, own)
        measured[f"{name}_test_train"] = _or_nan(distance, h, t, None, None)
    for suffix, signed in (("", False), ("_signed", True)):
        measured[f"variance_difference{suffix}"] = _or_nan(
            relative_variance_difference, z, t, weights, None, signed=signed
        )
    return measured


def _thinned(rng_key: Any, rows: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Return at most ``_MOST_PAIRED`` rows, drawn by weight if there are more."""
    if len(rows) <= _MOST_PAIRED:
        return rows, weights
    rng = generator(rng_key)
    # Evenly spaced quantiles of the weights: less noise than independent draws.
    edges = (np.arange(_MOST_PAIRED) + rng.uniform()) / _MOST_PAIRED * weights.sum()
    drawn = np.minimum(np.searchsorted(np.cumsum(weights), edges), len(rows) - 1)
    return rows[drawn], np.ones(_MOST_PAIRED)


def _or_nan(measure: Any, *samples: Any, **settings: Any) -> float:
    try:
        return float(measure(*samples, **settings))
    except DataError:
        return np.nan
