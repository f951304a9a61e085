"""Two weighted samples, checked together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmm_bayes.runtime.findings import DataError, Finding, listing

NDArray = np.ndarray[Any, Any]


def checked_samples(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None, y_weights: ArrayLike | None
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return both samples as matrices with weights that sum to one, or raise every finding."""
    findings: list[Finding] = []
    x, a = _sample("x", x, x_weights, findings)
    y, b = _sample("y", y, y_weights, findings)
    if x.ndim == y.ndim == 2 and x.shape[1] != y.shape[1]:
        findings.append(
            Finding(
                "column_count",
                "error",
                f"Both samples should have the same columns; x has {x.shape[1]}, y {y.shape[1]}.",
                "Give the columns they share, in one order.",
            )
        )
    if findings:
        raise DataError(findings, "the samples")
    return x, y, a, b


def _sample(
    name: str, sample: ArrayLike, weights: ArrayLike | None, findings: list[Finding]
) -> tuple[NDArray, NDArray]:
    def found(check: str, message: str, remedy: str, rows: NDArray | None = None) -> None:
        at = () if rows is None else tuple(int(row) for row in rows)
        findings.append(Finding(check, "error", message, remedy, where=name, rows=at))

    values = np.asarray(sample, dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or 0 in values.shape:
        found(
            "shape",
            f"{name} should have rows and columns; got shape {values.shape}.",
            "Give a matrix of at least one row, or a vector for one column.",
        )
        return values, np.empty(0)
    missing = np.flatnonzero(~np.isfinite(values).all(1))
    if missing.size:
        found(
            "not_finite",
            f"{name} has empty or infinite values in row {listing(missing)}.",
            "Drop these rows.",
            missing,
        )
    if weights is None:
        return values, np.full(len(values), 1.0 / len(values))
    mass = np.asarray(weights, dtype=float)
    if mass.shape != (len(values),):
        found(
            "weights_shape",
            f"{name}_weights should be one number a row, {len(values)}; got shape {mass.shape}.",
            "Give a vector with one weight a row.",
        )
        return values, np.empty(0)
    wrong = np.flatnonzero(~(np.isfinite(mass) & (mass >= 0.0)))
    if wrong.size:
        found(
            "weights_range",
            f"{name}_weights should be finite and not negative; row {listing(wrong)} is not.",
            "Set them to zero or drop these rows.",
            wrong,
        )
    elif mass.sum() <= 0.0:
        found(
            "weights_zero",
            f"{name}_weights are all zero.",
            "Give some row a weight; an empty augmentation has no distance to compute.",
        )
    else:
        mass = mass / mass.sum()
    return values, mass
