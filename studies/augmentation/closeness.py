"""Overlap of augmented rows with training rows, and their published distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.augmentation.closeness import closeness
from mmm_bayes.runtime.findings import DataError
from studies.augmentation.published import PublishedSimilarity, published_similarity

NDArray = np.ndarray[Any, Any]


def overlap(
    train: pd.DataFrame, augmented: pd.DataFrame, weights: NDArray, outliers: pd.DataFrame
) -> dict[str, float]:
    """Measure which rows augmentation repeats, drops and adds, under the published names.

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


def published_closeness(
    rng_key: Any,
    train: pd.DataFrame,
    test: pd.DataFrame,
    augmented: pd.DataFrame,
    weights: NDArray,
) -> dict[str, float]:
    """Compute :func:`~mmm_bayes.augmentation.closeness.closeness` and both published measures.

    These are between training and augmented rows: ``published_kl`` and ``published_wasserstein``,
    NaN where they are not defined.
    """
    measured = closeness(rng_key, train, test, augmented, weights)
    try:
        published = published_similarity(
            train.to_numpy(float), augmented.to_numpy(float), None, weights
        )
    except DataError:
        published = PublishedSimilarity(np.nan, np.nan)
    return measured | {f"published_{name}": value for name, value in published._asdict().items()}


def _keys(frame: pd.DataFrame) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(frame.to_numpy(float))]


def _share(flags: Any) -> float:
    values = list(flags)
    return sum(values) / len(values) if values else np.nan
