"""What augmentation does for prediction, on one random causal model: data, fits, rows of results.

The protocol of Poinsot & Leite (2023), *A Guide for Practical Use of ADMG Causal Data
Augmentation*: split the table, augment the training rows along the true graph, fit boosted trees
with and without, and compare their errors on the test rows, one variable after the other.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from mmm_bayes.augmentation.learners import mape, r2
from mmm_bayes.runtime.streams import generator
from studies.augmentation.boosting import (
    BoostedFit,
    fit_augmented,
    fit_boosted,
    neighbouring_folds,
)
from studies.augmentation.boosting_tables import AugmentedFold
from studies.augmentation.closeness import overlap, published_closeness
from studies.augmentation.run_settings import ENUMERATES, RunSettings

if TYPE_CHECKING:
    from mmm_bayes.augmentation.settings_checks import Method
    from mmm_bayes.augmentation.table import AugmentedData
    from mmm_bayes.causal.causal_graph import CausalGraph

NDArray = np.ndarray[Any, Any]

TRAIN_SHARE = 0.7
PUBLISHED_BANDWIDTH_SCALE = 1e-3
"""What the published runs multiply bandwidths by: a setting meant for constant bandwidths
(``bandwidth_temperature``) reaches the normal reference rule too."""
FOLDS = 3
# One stream of random numbers a part, so that one more method does not change the data.
_PARTS = ("scm", "split", "targets", "folds", "outliers", "augment", "directions")


def default_augmentation(rng_key: Any, frame: pd.DataFrame, graph: CausalGraph) -> AugmentedData:
    """Augment as the package recommends; this is the method ``"default"``.

    Ancestral sampling with the estimator of every variable chosen by its leave-one-out likelihood
    on the rows given.

    Parameters
    ----------
    rng_key : jax.Array
        Key.
    frame : pandas.DataFrame
        Observed rows.
    graph : CausalGraph
        Over the columns of ``frame``.
    """
    from mmm_bayes.augmentation.augment import augment

    return augment(rng_key, frame, graph, estimator="cross_validated")


def evaluate_run(rng_key: Any, settings: RunSettings) -> list[dict[str, Any]]:
    r"""Draw a causal model and measure what each augmentation does for each target.

    The table has ``n_rows`` rows, of which :math:`\lfloor 0.7 N \rfloor` drawn at random are for
    training. Method ``"enumerate"`` is the published protocol: augmentation of the training rows
    with the bandwidths of the published runs (a thousandth of those the text states, which
    ``"enumerate_stated"`` has), weights times ``n_rows``, fitted and tuned on the augmented rows
    alone (:func:`fit_boosted`), if there are more than two. Every other method joins observed and
    augmented rows, tuned on held-out observed rows (:func:`fit_augmented`), by default with the
    trees and penalty that the baseline's cross-validation has chosen. The baseline is
    :func:`fit_boosted` on the training rows; it and the methods without threshold are fitted once.

    With ``outliers``, the same is done to training tables with rows added that are uniform on the
    range of each column. The test rows stay as they are.

    Parameters
    ----------
    rng_key : jax.Array
        Key. The data depend on it and on the settings of the causal model only.
    settings : RunSettings
        What to do.

    Returns
    -------
    list of dict
        One a training table, method, threshold and target, with: ``train`` (``"clean"`` or
        ``"outliers"``), ``outliers``, ``method``, ``threshold``, ``target``, ``node_type``,
        ``n_train``, ``n_augmented``, ``empty`` (at most two augmented rows), ``mass``, ``ess``,
        ``r2``, ``mape`` (missing where nothing could be fitted), ``r2_baseline`` and
        ``mape_baseline`` (same training table), ``r2_baseline_clean`` and ``mape_baseline_clean``
        (without outliers), ``n_estimators``, ``reg_lambda``, ``mixture``, the baseline's, seconds,
        and what :func:`~studies.augmentation.closeness.overlap` and
        :func:`~studies.augmentation.closeness.published_closeness` return.

    Raises
    ------
    ImportError
        Without XGBoost or POT.
    """
    import jax

    keys = {part: jax.random.fold_in(rng_key, i) for i, part in enumerate(_PARTS)}
    run = _draw(keys, settings)
    clean = _table("clean", 0.0, run, run.train, keys, settings)
    rows = _rows_of_table(clean, clean, run, keys, settings)
    for place, share in enumerate(settings.outliers):
        own = keys | {
            part: jax.random.fold_in(keys[part], 1 + place) for part in ("outliers", "augment")
        }
        dirty = _with_outliers(share, run, own, settings)
        rows += _rows_of_table(dirty, clean, run, own, settings)
    return rows


@dataclass(frozen=True)
class _Run:
    """Training and test rows of one causal model, its graph, and what to predict."""

    train: pd.DataFrame
    test: pd.DataFrame
    graph: CausalGraph
    targets: tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    """A training table with its folds and the baseline of every target."""

    train: str
    outliers: float
    frame: pd.DataFrame
    folds: tuple[NDArray, ...]
    baseline: dict[str, BoostedFit]


def split_sizes(n: int) -> tuple[int, int]:
    """Return the numbers of training and test rows, like scikit-learn's ``train_size=0.7``.

    Examples
    --------
    >>> split_sizes(700)  # 0.7 * 700 is a little less than 490 in floating point
    (489, 211)
    """
    train = int(np.floor(TRAIN_SHARE * n))
    return train, n - train


def node_type(graph: CausalGraph, node: str) -> str:
    """Return ``"source"``, ``"sink"``, ``"middle"`` or ``"isolated"``, by the edges of a node."""
    has_causes, has_effects = bool(graph.parents(node)), bool(graph.children(node))
    if has_causes:
        return "middle" if has_effects else "sink"
    return "source" if has_effects else "isolated"


def _draw(keys: dict[str, Any], settings: RunSettings) -> _Run:
    from mmm_bayes import simulate
    from mmm_bayes.causal.causal_graph import CausalGraph

    scm = simulate.scm(
        keys["scm"],
        num_rows=settings.n_rows,
        num_nodes=settings.n_nodes,
        expected_degree=settings.expected_degree,
        mechanism=settings.mechanism,
        noise_coeff=settings.noise_coeff,
        guide_compat=settings.guide_compat,
    )
    order = generator(keys["split"]).permutation(settings.n_rows)
    n_train, _ = split_sizes(settings.n_rows)
    nodes = [str(name) for name in scm.frame.columns]
    chosen = generator(keys["targets"]).permutation(len(nodes))[: settings.max_targets]
    return _Run(
        scm.frame.iloc[order[:n_train]].reset_index(drop=True),
        scm.frame.iloc[order[n_train:]].reset_index(drop=True),
        CausalGraph(nodes, scm.edges),
        tuple(nodes[i] for i in sorted(chosen)),
    )


def _table(
    train: str,
    outliers: float,
    run: _Run,
    frame: pd.DataFrame,
    keys: dict[str, Any],
    settings: RunSettings,
) -> _Table:
    baseline = {
        target: fit_boosted(
            frame.drop(columns=target),
            frame[target],
            n_estimators=settings.n_estimators,
            reg_lambda=settings.reg_lambda,
            folds=FOLDS,
        )
        for target in run.targets
    }
    # Outliers stand last, so that neighbours would make a fold of them.
    order = generator(keys["folds"]).permutation(len(frame))
    folds = tuple(np.sort(order[fold]) for fold in neighbouring_folds(len(frame), FOLDS))
    return _Table(train, outliers, frame, folds, baseline)


def _with_outliers(share: float, run: _Run, keys: dict[str, Any], settings: RunSettings) -> _Table:
    from mmm_bayes.simulate.scm_table import add_uniform_outliers

    frame, _ = add_uniform_outliers(keys["outliers"], run.train, share)
    frame = frame.reset_index(drop=True)
    return _table("outliers", share, run, frame, keys, settings)


def _rows_of_table(
    table: _Table, clean: _Table, run: _Run, keys: dict[str, Any], settings: RunSettings
) -> list[dict[str, Any]]:
    common = [_common(target, table, clean, run) for target in run.targets]
    rows = []
    for method in settings.methods:
        for threshold in settings.thresholds if method in ENUMERATES else (None,):
            start = time.perf_counter()
            augmented = _augment(keys["augment"], method, table.frame, run.graph, threshold)
            folds: tuple[AugmentedFold, ...] = ()
            if method not in ENUMERATES and settings.tuning == "augmented":
                folds = _augmented_folds(keys, method, table, run)
            seconds = time.perf_counter() - start
            about = _about(augmented, method, threshold, table, run, keys)
            for first in common:
                start = time.perf_counter()
                fit = _fit(augmented, folds, first["target"], method, table, settings)
                scores = _scores(fit, run.test, first["target"])
                spent = {
                    "seconds_augment": seconds,
                    "seconds_fit": time.perf_counter() - start,
                }
                rows.append(first | about | scores | spent)
    return rows


def _augment(
    rng_key: Any, method: str, frame: pd.DataFrame, graph: CausalGraph, threshold: float | None
) -> AugmentedData:
    from mmm_bayes.augmentation.augment import admgda, augment
    from mmm_bayes.augmentation.table import AugmentationWarning

    if method == "default":
        return default_augmentation(rng_key, frame, graph)
    if method in ENUMERATES:
        assert threshold is not None
        scale = PUBLISHED_BANDWIDTH_SCALE if method == "enumerate" else 1.0
        with warnings.catch_warnings():
            # How much probability is lost is what is measured here.
            warnings.simplefilter("ignore", AugmentationWarning)
            return admgda(frame, graph, threshold=threshold, bandwidth_scale=scale)
    named = cast("Method", method)
    return augment(rng_key, frame, graph, method=named, num_rows=3 * len(frame))


def _augmented_folds(
    keys: dict[str, Any], method: str, table: _Table, run: _Run
) -> tuple[AugmentedFold, ...]:
    import jax

    folds = []
    for number, held_out in enumerate(table.folds, start=1):
        rest = table.frame.drop(index=list(held_out)).reset_index(drop=True)
        key = jax.random.fold_in(keys["augment"], number)
        folds.append(AugmentedFold(held_out, _augment(key, method, rest, run.graph, None)))
    return tuple(folds)


def _fit(
    augmented: AugmentedData,
    folds: Sequence[AugmentedFold],
    target: str,
    method: str,
    table: _Table,
    settings: RunSettings,
) -> BoostedFit | None:
    if method not in ENUMERATES and settings.tuning == "observed":
        chosen = table.baseline[target]
        return fit_augmented(
            table.frame,
            target,
            augmented,
            mixtures=settings.mixtures[:1],
            n_estimators=(chosen.n_estimators,),
            reg_lambda=(chosen.reg_lambda,),
        )
    if method not in ENUMERATES:
        return fit_augmented(
            table.frame,
            target,
            augmented,
            folds,
            mixtures=settings.mixtures,
            n_estimators=settings.n_estimators,
            reg_lambda=settings.reg_lambda,
        )
    if _is_empty(augmented):
        return None
    return fit_boosted(
        augmented.frame.drop(columns=target),
        augmented.frame[target],
        # All rows of the table, not those for training: as published.
        augmented.weights * settings.n_rows,
        n_estimators=settings.n_estimators,
        reg_lambda=settings.reg_lambda,
        folds=FOLDS,
    )


def _is_empty(augmented: AugmentedData) -> bool:
    return len(augmented.frame) <= 2


def _common(target: str, table: _Table, clean: _Table, run: _Run) -> dict[str, Any]:
    own = _scores(table.baseline[target], run.test, target)
    without = _scores(clean.baseline[target], run.test, target)
    return {
        "train": table.train,
        "outliers": table.outliers,
        "target": target,
        "node_type": node_type(run.graph, target),
        "n_train": len(table.frame),
        "r2_baseline": own["r2"],
        "mape_baseline": own["mape"],
        "r2_baseline_clean": without["r2"],
        "mape_baseline_clean": without["mape"],
        "n_estimators_baseline": own["n_estimators"],
        "reg_lambda_baseline": own["reg_lambda"],
    }


def _about(
    augmented: AugmentedData,
    method: str,
    threshold: float | None,
    table: _Table,
    run: _Run,
    keys: dict[str, Any],
) -> dict[str, Any]:
    about = {
        "method": method,
        "threshold": threshold,
        "n_augmented": len(augmented.frame),
        "empty": _is_empty(augmented),
        "mass": float(augmented.mass),
        "ess": float(augmented.ess),
    }
    about |= overlap(run.train, augmented.frame, augmented.weights, table.frame[len(run.train) :])
    return about | published_closeness(
        keys["directions"], table.frame, run.test, augmented.frame, augmented.weights
    )


def _scores(fit: BoostedFit | None, test: pd.DataFrame, target: str) -> dict[str, Any]:
    if fit is None:
        return dict.fromkeys(("r2", "mape", "n_estimators", "reg_lambda", "mixture"))
    predicted = fit.predict(test.drop(columns=target))
    observed = test[target]
    return {
        "r2": r2(observed, predicted),
        "mape": mape(observed, predicted),
        "n_estimators": fit.n_estimators,
        "reg_lambda": fit.reg_lambda,
        "mixture": fit.mixture,
    }
