"""One augmentation against the rows it was made from and the rows it should resemble."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.streams import generator
from studies.augmentation.published import PublishedSimilarity, published_similarity
from studies.augmentation.similarity import (
    energy_distance,
    kl_divergence,
    relative_variance_difference,
    sliced_wasserstein,
)

NDArray = np.ndarray[Any, Any]

# The energy distance takes all pairs of rows, and an enumeration may have hundreds of thousands.
_MOST_PAIRED = 4000


def overlap(
    train: pd.DataFrame, augmented: pd.DataFrame, weights: NDArray, outliers: pd.DataFrame
) -> dict[str, float]:
    """Which rows augmentation repeats, drops and adds, under the published names.

    Parameters
    ----------
    train : pandas.DataFrame
        Training rows without outliers.
    augmented : pandas.DataFrame
        Augmented rows, with ``weights``.
    outliers : pandas.DataFrame
        Outliers added to the training rows; may be empty.

    Returns
    -------
    dict
        ``frac_filtered``: share of training rows that are not among the augmented ones;
        ``frac_augmented``: augmented rows that are not training rows, over the number of training
        rows; ``frac_outliers_filtered``: share of outliers that are not among the augmented rows
        (NaN without outliers); ``mass_in_train``: share of weight on training rows.
    """
    made = _keys(augmented)
    known, kept = set(_keys(train)), set(made)
    old = np.array([key in known for key in made], dtype=bool)
    total = float(weights.sum())
    stray = _keys(outliers)
    return {
        "frac_filtered": len(known - kept) / len(known),
        "frac_augmented": float((~old).sum()) / len(train),
        "frac_outliers_filtered": _share(key not in kept for key in stray),
        "mass_in_train": float(weights[old].sum()) / total if total > 0 else np.nan,
    }


def closeness(
    rng_key: Any,
    train: pd.DataFrame,
    test: pd.DataFrame,
    augmented: pd.DataFrame,
    weights: NDArray,
) -> dict[str, float]:
    """Distances of augmented rows from training and from held-out rows.

    Whether augmentation brings the training rows closer to the truth is the difference between a
    measure's ``_test`` and ``_test_train``: the distance of augmented, and of training, rows from
    the test rows. The published measures are between training and augmented rows.

    Parameters
    ----------
    rng_key : jax.Array
        Key of the directions of the sliced distance.
    train, test, augmented : pandas.DataFrame
        Rows over the same columns.
    weights : numpy.ndarray
        (rows,) of the augmented rows.

    Returns
    -------
    dict
        ``kl``, ``energy``, ``sliced_wasserstein`` (training against augmented rows), each with
        ``_test`` and ``_test_train``; ``variance_difference`` and its ``_signed`` form;
        ``published_kl``, ``published_wasserstein``. NaN where a measure is not defined, as for an
        empty augmentation. Of more than 4,000 augmented rows, as many are drawn by weight for the
        energy distance.
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
    try:
        published = published_similarity(t, z, None, weights)
    except DataError:
        published = PublishedSimilarity(np.nan, np.nan)
    return measured | {f"published_{name}": value for name, value in published._asdict().items()}


def _thinned(rng_key: Any, rows: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """At most ``_MOST_PAIRED`` rows, drawn by weight where there are more."""
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


def _keys(frame: pd.DataFrame) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(frame.to_numpy(float))]


def _share(flags: Any) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else np.nan
