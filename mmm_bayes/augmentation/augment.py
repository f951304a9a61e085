"""Augment a table along a causal graph: one function over all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd

from mmm_bayes.augmentation.admgda import enumerate_table
from mmm_bayes.augmentation.settings_checks import Method, check_settings
from mmm_bayes.augmentation.table import AugmentedData, encode, warn_of_lost_mass
from mmm_bayes.augmentation.table_checks import Bandwidth
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.runtime.findings import DataError

NDArray = np.ndarray[Any, Any]


def admgda(
    frame: pd.DataFrame,
    graph: CausalGraph,
    *,
    method: Method = "sample",
    estimator: str | Mapping[str, str] = "kernel",
    threshold: float = 1e-2,
    num_rows: int | None = None,
    kernel: str | Mapping[str, str] = "gaussian",
    bandwidth: Bandwidth = "normal_reference",
    bandwidth_scale: float = 1.0,
    smoothing: float = 0.0,
    order: Sequence[str] | None = None,
    blocks: Mapping[str, Sequence[str]] | None = None,
    rng_key: jax.Array | None = None,
    precision: Literal["float32", "float64"] = "float64",
) -> AugmentedData:
    r"""Augment a table by rows that a causal graph implies.

    The rows follow the Markov factorisation of the data by the graph,
    :math:`\prod_v \hat P(x_v \mid \mathrm{pillow}(v))`: dependence that the graph denies is gone.
    Rows of the table are taken to be exchangeable; for time series augment features (adstocked
    media, lags, season) rather than raw columns (:class:`mmm_bayes.CausalDA` does).

    Parameters
    ----------
    frame
        The table: one column per variable. Floating-point columns are continuous; integers,
        booleans and categories match exactly. No missing values.
    graph
        The experts' graph, over the columns of the table (or over ``blocks``).
    method
        ``"sample"``: ancestral sampling, which is what causal data augmentation is defined as.
        ``"resample"``: the tree of recombined rows with unbiased pruning; less variance, copies
        of training values only. ``"residual"``: ``"sample"`` with a regression plus resampled
        residual for each variable; for additive noise and few rows. ``"enumerate"``: ADMGDA as
        published, all rows above a threshold; empty where the graph has several roots.
    estimator
        Of conditionals, for ``"sample"``: a name in
        :data:`mmm_bayes.augmentation.estimators.ESTIMATORS`, or one a variable (``"kernel"`` for
        those not named). ``"cross_validated"`` chooses for each variable.
    threshold
        For ``"enumerate"``: rows are kept while their weight is at least ``threshold / n``.
    num_rows
        Rows to draw (``"resample"``: at most); ``max(2 n, 500)`` by default.
    kernel
        Of continuous columns, or by column: :data:`mmm_bayes.augmentation.kernels.KERNELS`.
    bandwidth
        ``"normal_reference"``, ``"silverman"``, ``"robust"`` (tables with outliers), ``"nearest"``
        (k-nearest-neighbour), a number, or numbers by column in the column's units.
    bandwidth_scale
        Multiplies all bandwidths.
    smoothing
        Jitter of drawn continuous values, in bandwidths: for diversity.
    order
        The order of visiting; matters where the graph has bidirected edges.
    blocks
        Variables of the graph that stand for several columns, which then move together.
    rng_key
        Random key; needed for all methods but ``"enumerate"``.
    precision
        Of ``"enumerate"``.

    Returns
    -------
    AugmentedData

    Raises
    ------
    DataError
        With every problem of table, graph and settings.

    Warns
    -----
    AugmentationWarning
        If enumeration keeps less than half of the probability.

    References
    ----------
    Teshima and Sugiyama (2021); Poinsot and Leite (2023): see
    :mod:`mmm_bayes.augmentation.admgda`.

    Examples
    --------
    >>> import jax, numpy as np, pandas as pd
    >>> import mmm_bayes as mb
    >>> rng = np.random.default_rng(0)
    >>> tv = rng.normal(size=100)
    >>> table = pd.DataFrame({"tv": tv, "search": tv + rng.normal(size=100)})
    >>> graph = mb.CausalGraph(edges=[("tv", "search")])
    >>> mb.admgda(table, graph, rng_key=jax.random.key(0), num_rows=1000).frame.shape
    (1000, 2)
    """
    names = _estimators(graph, method, estimator)
    findings = check_settings(
        graph, method, names, threshold, num_rows, smoothing, rng_key, precision
    )
    if findings:
        raise DataError(findings, "the settings of the augmentation")
    table = encode(
        frame, graph, kernel=kernel, bandwidth=bandwidth, bandwidth_scale=bandwidth_scale,
        order=order, blocks=blocks,
    )  # fmt: skip
    size = num_rows or max(2 * table.n_rows, 500)
    values: Mapping[int, NDArray] = {}
    if method == "enumerate":
        rows, weights = enumerate_table(table, threshold, precision)
        warn_of_lost_mass(float(weights.sum()), threshold)
    elif method == "resample":
        from mmm_bayes.augmentation.resampling import resample_table

        rows, weights = resample_table(_given(rng_key), table, size)
    else:
        from mmm_bayes.augmentation import sampling

        key_fit, key_draw = jax.random.split(_given(rng_key))
        fitted = sampling.fit_conditionals(key_fit, table, names, smoothing)
        rows, values, weights = sampling.sample(key_draw, table, fitted, size)
    settings = {
        "threshold": threshold if method == "enumerate" else None,
        "estimator": dict(names) if method == "sample" else None,
        "bandwidth": dict(bandwidth) if isinstance(bandwidth, Mapping) else bandwidth,
        "bandwidth_scale": bandwidth_scale,
        "smoothing": smoothing,
    }
    return AugmentedData(
        table.decode(rows, values), rows, weights, table.nodes, table.n_rows, method, settings
    )


def _given(rng_key: jax.Array | None) -> jax.Array:
    assert rng_key is not None  # checked with the other settings
    return rng_key


def _estimators(
    graph: CausalGraph, method: str, estimator: str | Mapping[str, str]
) -> dict[str, str]:
    """Name of the estimator of every variable."""
    if method == "residual":
        estimator = "residual"
    if isinstance(estimator, str):
        return dict.fromkeys(graph.nodes, estimator)
    return dict.fromkeys(graph.nodes, "kernel") | dict(estimator)
