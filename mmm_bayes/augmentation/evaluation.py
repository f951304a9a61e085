"""Whether augmented rows of a table help: efficiency, similarity and diversity on held-out rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import jax
import numpy as np
import pandas as pd

from mmm_bayes.augmentation.augment import augment
from mmm_bayes.augmentation.closeness import closeness
from mmm_bayes.augmentation.evaluation_report import AugmentationEvaluation
from mmm_bayes.augmentation.learners import Fit, LearnerName, mape, r2, tuned_learner
from mmm_bayes.augmentation.settings_checks import Method
from mmm_bayes.augmentation.table import AugmentationWarning, AugmentedData
from mmm_bayes.augmentation.table_checks import Bandwidth, unknown_choice
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.streams import as_key, generator

NDArray = np.ndarray[Any, Any]

# One stream of random numbers per part of a split.
_PARTS = ("split", "augment", "folds", "directions")
_LEAST_TRAINING = 10


@named_arguments
def evaluate_augmentation(
    rng_key: Any,
    table: pd.DataFrame,
    graph: CausalGraph,
    *,
    target: str,
    method: Method = "sample",
    estimator: str | Mapping[str, str] | None = None,
    threshold: float | None = None,
    num_rows: int | None = None,
    bandwidth: Bandwidth = "normal_reference",
    bandwidth_scale: float = 1.0,
    smoothing: float | None = None,
    mixture: float = 0.5,
    test_fraction: float = 0.3,
    num_splits: int = 10,
    learner: LearnerName | Fit = "boosted_trees",
    ci_prob: float = 0.9,
) -> AugmentationEvaluation:
    r"""Measure what augmenting a table does for predictions of a target on held-out rows.

    Every split holds out a share of the observed rows, augments the others along the graph, and
    fits a learner twice: to the training rows alone (the control), and to training and augmented
    rows together. Measured are

    * efficiency: R2 and MAPE on the held-out rows, with and without augmented rows;
    * similarity: Kullback-Leibler divergence, energy distance and sliced Wasserstein distance from
      the held-out rows to the augmented rows, and to the training rows as the control, in standard
      deviations of the training rows;
    * diversity: relative difference in variance from the training rows, averaged over columns, and
      the share of the weight on augmented rows that repeat a row of the table.

    The trees or penalty of the learner are chosen by cross-validation on the training rows, for the
    control; the augmented fit uses the same.

    Parameters
    ----------
    rng_key : jax.Array or int
        Key of splits, folds and augmentations.
    table
        Observed rows, as for :func:`mmm_bayes.augment`. Rows are split at random, so they should be
        exchangeable: augment features (adstocked media, lags, season) of time series.
    graph
        The experts' graph over the columns.
    target
        Column to predict from all others.
    method, estimator, threshold, num_rows, bandwidth, bandwidth_scale, smoothing
        Settings of the augmentation, as in :func:`mmm_bayes.augment`.
    mixture
        Share of the weight on augmented rows in the augmented fit.
    test_fraction
        Share of the observed rows held out in each split.
    num_splits
        Number of random splits.
    learner
        ``"boosted_trees"`` (needs XGBoost), ``"ridge"``, or a function that fits predictors
        (row, column), target (row,) and weights (row,) and returns a function that predicts.
        Columns of categories are given as indicators.
    ci_prob
        Mass of the intervals.

    Returns
    -------
    AugmentationEvaluation
        Figures of every split in ``splits``; ``print`` gives the conclusion in words.

    Raises
    ------
    DataError
        With every problem of the settings, or of table and graph.
    ImportError
        Without XGBoost (for boosted trees) or POT.

    Notes
    -----
    Splits share rows, so their differences are not independent. Intervals of a mean over :math:`J`
    splits are :math:`\bar d \pm t_{J-1} s \sqrt{1/J + n_\text{test} / n_\text{train}}`, the
    corrected resampled t interval.

    References
    ----------
    Poinsot & Leite (2023), *A Guide for Practical Use of ADMG Causal Data Augmentation*;
    Nadeau & Bengio (2003), *Inference for the Generalization Error*.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import mmm_bayes as mb
    >>> rng = np.random.default_rng(0)
    >>> tv = rng.normal(size=80)
    >>> search = tv + rng.normal(size=80)
    >>> table = pd.DataFrame({"tv": tv, "search": search, "sales": search + rng.normal(size=80)})
    >>> graph = mb.CausalGraph(edges=[("tv", "search"), ("search", "sales")])
    >>> result = mb.evaluate_augmentation(
    ...     0, table, graph, target="sales", learner="ridge", num_splits=3
    ... )
    >>> list(result.to_frame().columns)
    ['augmented', 'control', 'difference', 'lower', 'upper', 'better']
    """
    table = table.rename(columns=str).reset_index(drop=True)
    num_test = round(test_fraction * len(table)) if 0 < test_fraction < 1 else 0
    _check(table, target, mixture, test_fraction, num_splits, learner, ci_prob, num_test)
    numbers = _Numbers(table)
    rows = []
    for number in range(num_splits):
        key = jax.random.fold_in(as_key(rng_key), number)
        keys = {part: jax.random.fold_in(key, place) for place, part in enumerate(_PARTS)}
        order = generator(keys["split"]).permutation(len(table))
        test, train = (
            table.iloc[np.sort(part)].reset_index(drop=True)
            for part in (order[:num_test], order[num_test:])
        )
        with warnings.catch_warnings():
            # The probability that enumeration keeps is reported as a finding.
            warnings.simplefilter("ignore", AugmentationWarning)
            augmented = augment(
                keys["augment"], train, graph, method=method, estimator=estimator,
                threshold=threshold, num_rows=num_rows, bandwidth=bandwidth,
                bandwidth_scale=bandwidth_scale,
                smoothing=smoothing,
            )  # fmt: skip
        efficiency = _efficiency(
            generator(keys["folds"]), numbers, train, test, augmented, target, mixture, learner
        )
        rows.append(efficiency | _resemblance(keys["directions"], numbers, train, test, augmented))
    return AugmentationEvaluation(
        pd.DataFrame(rows).rename_axis("split"), target, method, len(table) - num_test, num_test,
        mixture, ci_prob,
    )  # fmt: skip


class _Numbers:
    """Turns rows of a table into numbers: categories become one indicator per level."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.levels = {
            name: pd.unique(table[name])
            for name in table.columns
            if not pd.api.types.is_numeric_dtype(table[name].dtype)
        }

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        parts = {}
        for name in frame.columns:
            if name in self.levels:
                for level in self.levels[name]:
                    parts[f"{name}={level}"] = (frame[name] == level).astype(float)
            else:
                parts[name] = frame[name].astype(float)
        return pd.DataFrame(parts)


def _efficiency(
    rng: np.random.Generator,
    numbers: _Numbers,
    train: pd.DataFrame,
    test: pd.DataFrame,
    augmented: AugmentedData,
    target: str,
    mixture: float,
    learner: LearnerName | Fit,
) -> dict[str, Any]:
    """Compute R2 and MAPE on held-out rows, with and without augmented rows."""

    def predictors(frame: pd.DataFrame) -> NDArray:
        return numbers(frame.drop(columns=target, errors="ignore")).to_numpy(float)

    x, y = predictors(train), train[target].to_numpy(float)
    chosen: dict[str, float] = {}
    if isinstance(learner, str):
        fit, chosen = tuned_learner(learner, rng, x, y)
    else:
        fit = learner
    both, both_target, weights = augmented.training_set(train, target, mixture)
    predictions = {
        "": fit(predictors(both), both_target.to_numpy(float), weights)(predictors(test)),
        "_control": fit(x, y, np.ones(len(y)))(predictors(test)),
    }
    observed = test[target].to_numpy(float)
    scores = {
        f"{name}{suffix}": score(observed, predicted)
        for name, score in (("r2", r2), ("mape", mape))
        for suffix, predicted in predictions.items()
    }
    return scores | chosen


def _resemblance(
    rng_key: Any,
    numbers: _Numbers,
    train: pd.DataFrame,
    test: pd.DataFrame,
    augmented: AugmentedData,
) -> dict[str, Any]:
    """Compute similarity and diversity, in standard deviations of the training rows."""
    own = numbers(train)
    spread = own.std(ddof=0)
    moving = list(spread.index[spread > 0])

    def scaled(frame: pd.DataFrame) -> pd.DataFrame:
        return (numbers(frame)[moving] - own[moving].mean()) / spread[moving]

    found = closeness(
        rng_key, scaled(train), scaled(test), scaled(augmented.frame), augmented.weights
    )
    result = {}
    for name in ("kl", "energy", "sliced_wasserstein"):
        result[name], result[f"{name}_control"] = found[f"{name}_test"], found[f"{name}_test_train"]
    return result | {
        "variance_difference": found["variance_difference"],
        "variance_difference_signed": found["variance_difference_signed"],
        "repeated": augmented.share_observed,
        "num_augmented": len(augmented),
        "mass": augmented.mass,
    }


def _check(
    table: pd.DataFrame,
    target: str,
    mixture: float,
    test_fraction: float,
    num_splits: int,
    learner: Any,
    ci_prob: float,
    num_test: int,
) -> None:
    def problems() -> Iterator[Finding]:
        names = [str(name) for name in table.columns]
        if target not in names:
            yield unknown_choice("column", target, names)
        elif not pd.api.types.is_numeric_dtype(table[target].dtype):
            yield _finding("target", f"The target {target!r} is not numeric.", "Choose another.")
        for name, value, good, expected in (
            ("mixture", mixture, 0 < mixture <= 1, "above 0 and at most 1"),
            ("test_fraction", test_fraction, 0 < test_fraction < 1, "between 0 and 1"),
            ("num_splits", num_splits, num_splits >= 2, "2 or more"),
            ("ci_prob", ci_prob, 0 < ci_prob < 1, "between 0 and 1"),
        ):
            if not good:
                yield _finding(name, f"{name} should be {expected}; got {value}.", "Change it.")
        if isinstance(learner, str) and learner not in get_args(LearnerName):
            yield unknown_choice("learner", learner, list(get_args(LearnerName)))
        if 0 < test_fraction < 1 and (num_test < 2 or len(table) - num_test < _LEAST_TRAINING):
            yield _finding(
                "table",
                f"A split of {len(table)} rows should leave at least 2 to test and "
                f"{_LEAST_TRAINING} to train; it leaves {num_test} and {len(table) - num_test}.",
                "Give more rows, or another test_fraction.",
            )

    if findings := list(problems()):
        raise DataError(findings, "the settings of the evaluation")


def _finding(name: str, message: str, remedy: str) -> Finding:
    return Finding(name, "error", message, remedy, where=name)
