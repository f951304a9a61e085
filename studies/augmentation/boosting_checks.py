"""Whether boosted trees can be fitted to tables, folds and grids: every reason at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest
from studies.augmentation.boosting_tables import AugmentedFold, WeightedTable

NDArray = np.ndarray[Any, Any]


def refuse(findings: Sequence[Finding]) -> None:
    """Raise :class:`DataError` where anything was found."""
    if findings:
        raise DataError(findings, "the fit of boosted trees")


def _finding(check: str, message: str, remedy: str, **where: Any) -> Finding:
    return Finding(check, "error", message, remedy, **where)


def table_findings(x: NDArray, y: NDArray, w: NDArray, least: int) -> list[Finding]:
    """Check that rows can be fitted, and that there are at least ``least`` of them."""
    if x.ndim != 2 or y.shape != x.shape[:1] or w.shape != y.shape:
        return [
            _finding(
                "shape",
                "Predictors, target and weights should be (n, d), (n,) and (n,); got "
                f"{x.shape}, {y.shape} and {w.shape}.",
                "Give one row of predictors, one target and one weight each.",
            )
        ]
    found = []
    missing = np.flatnonzero(~(np.isfinite(x).all(1) & np.isfinite(y)))
    if missing.size:
        found.append(
            _finding(
                "not_finite",
                f"Predictors and target should be finite; row {listing(missing)} is not.",
                "Drop these rows.",
                rows=tuple(int(row) for row in missing),
            )
        )
    wrong = np.flatnonzero(~(np.isfinite(w) & (w >= 0)))
    if wrong.size:
        found.append(
            _finding(
                "weights_range",
                f"Weights should be finite and not negative; row {listing(wrong)} is not.",
                "Set them to zero or drop these rows.",
                rows=tuple(int(row) for row in wrong),
            )
        )
    usable = int((w > 0).sum())
    if least and (x.shape[1] == 0 or usable < least):
        found.append(
            _finding(
                "too_few",
                f"A fit needs a predictor and at least {least} rows of positive weight; got "
                f"{x.shape[1]} predictors and {usable} such rows.",
                "Give more rows or fewer folds.",
            )
        )
    return found


def grid_findings(
    n_estimators: Sequence[int], reg_lambda: Sequence[float], folds: int = 2
) -> list[Finding]:
    """Check the numbers of trees, the penalties and the number of folds."""
    found = []
    if not n_estimators or any(trees < 1 for trees in n_estimators):
        found.append(
            _finding(
                "n_estimators",
                f"n_estimators should list whole numbers from 1; got {tuple(n_estimators)}.",
                "Give (10, 50, 200), for instance.",
            )
        )
    if not reg_lambda or any(not penalty >= 0 for penalty in reg_lambda):
        found.append(
            _finding(
                "reg_lambda",
                f"reg_lambda should list numbers from 0; got {tuple(reg_lambda)}.",
                "Give (1, 10, 100), for instance.",
            )
        )
    if folds < 2:
        found.append(_finding("folds", f"folds should be 2 or more; got {folds}.", "Give 3."))
    return found


def mixture_findings(mixtures: Sequence[float]) -> list[Finding]:
    """Check that the shares of augmented weight lie between 0 and 1."""
    if mixtures and all(0.0 <= mixture <= 1.0 for mixture in mixtures):
        return []
    return [
        _finding(
            "mixtures",
            f"mixtures should list shares in 0 to 1; got {tuple(mixtures)}.",
            "Give (0, 0.5, 0.8), for instance.",
        )
    ]


def column_findings(
    observed: pd.DataFrame, target: str, tables: Sequence[WeightedTable]
) -> list[Finding]:
    """Check that augmented tables have the observed columns, including the target."""
    names = [str(name) for name in observed.columns]
    found = []
    if target not in names:
        found.append(
            _finding(
                "target",
                f"The observed rows have no column {target!r}.{nearest(target, names)}",
                f"Give one of {listing(names)}.",
                where=target,
            )
        )
    for table in tables:
        columns = [str(name) for name in table.frame.columns]
        if columns != names:
            found.append(
                _finding(
                    "columns",
                    f"Augmented rows should have the observed columns, {listing(names)}, in this "
                    f"order; got {listing(columns)}.",
                    "Augment the same table that is fitted.",
                )
            )
    return found


def fold_findings(folds: Sequence[AugmentedFold], n: int) -> list[Finding]:
    """Check that each fold holds out some rows, each once, and leaves some."""
    found = []
    if not folds:
        found.append(_finding("folds", "There are no folds.", "Give at least two."))
    for number, fold in enumerate(folds, start=1):
        held = np.asarray(fold.held_out)
        distinct = np.unique(held)
        whole = np.issubdtype(held.dtype, np.integer) and distinct.size == held.size
        if not whole or not 0 < held.size < n or distinct[0] < 0 or distinct[-1] >= n:
            found.append(
                _finding(
                    "held_out",
                    f"Fold {number} should hold out some of the {n} observed rows, each once, by "
                    f"position; got {held.size} positions.",
                    "Split the positions 0 to n - 1, leaving rows to fit.",
                )
            )
    return found
