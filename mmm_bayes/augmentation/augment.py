"""Augment a table along a causal graph: one function over all methods, and ADMGDA by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd

from mmm_bayes._typing import RngKey
from mmm_bayes.augmentation.admgda import enumerate_table
from mmm_bayes.augmentation.settings_checks import METHODS, check_settings
from mmm_bayes.augmentation.table import AugmentedData, encode, warn_of_lost_mass
from mmm_bayes.augmentation.table_checks import Bandwidth
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.runtime.choices import refuse_ignored
from mmm_bayes.runtime.deprecation import named_arguments, warn_deprecated
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.streams import as_key

NDArray = np.ndarray[Any, Any]

_THRESHOLD = 1e-2
_NOT_OF_ADMGDA = {"method", "estimator", "num_rows", "smoothing", "rng_key"}


@named_arguments
def augment(
    rng_key: RngKey | None,
    frame: pd.DataFrame,
    graph: CausalGraph,
    *,
    method: str = "sample",
    estimator: str | Mapping[str, str] | None = None,
    threshold: float | None = None,
    num_rows: int | None = None,
    kernel: str | Mapping[str, str] = "gaussian",
    bandwidth: Bandwidth = "normal_reference",
    bandwidth_scale: float = 1.0,
    smoothing: float | None = None,
    order: Sequence[str] | None = None,
    blocks: Mapping[str, Sequence[str]] | None = None,
    precision: Literal["float32", "float64"] | None = None,
) -> AugmentedData:
    r"""Augment a table by rows that a causal graph implies.

    The rows follow the Markov factorisation of the data by the graph,
    :math:`\prod_v \hat P(x_v \mid \mathrm{pillow}(v))`: dependence that the graph denies is gone.
    Rows of the table are taken to be exchangeable; for time series augment features (adstocked
    media, lags, season) rather than raw columns (:class:`mmm_bayes.CausalDA` does).

    Parameters
    ----------
    rng_key
        Random key, or an integer seed; ``"enumerate"`` draws nothing and takes ``None`` as well.
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
        published (:func:`admgda`), all rows above a threshold; empty where the graph has several
        roots.
    estimator
        Of conditionals, for ``"sample"``: a name in
        :data:`mmm_bayes.augmentation.estimators.ESTIMATORS`, or one per variable (``"kernel"``
        for those not named). ``"cross_validated"`` chooses for each variable. Default:
        ``"kernel"``.
    threshold
        For ``"enumerate"``: rows are kept while their weight is at least ``threshold / n``; by
        default 0.01.
    num_rows
        Number of rows to draw (``"resample"``: at most), by default ``max(2 n, 500)``; not for
        ``"enumerate"``.
    kernel
        Of continuous columns, or by column: :data:`mmm_bayes.augmentation.kernels.KERNELS`.
    bandwidth
        ``"normal_reference"``, ``"silverman"``, ``"robust"`` (tables with outliers), ``"nearest"``
        (k-nearest-neighbour), a number, or numbers by column in the column's units.
    bandwidth_scale
        Multiplies all bandwidths.
    smoothing
        Jitter of drawn continuous values, in bandwidths, for diversity; by default none. For
        ``"sample"`` and ``"residual"``.
    order
        The order of visiting; matters where the graph has bidirected edges.
    blocks
        Variables of the graph that stand for several columns, which then move together.
    precision
        For ``"enumerate"``: by default ``"float64"``.

    Returns
    -------
    AugmentedData

    Raises
    ------
    ValueError
        If the method has no use for one of the settings.
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
    >>> mb.augment(jax.random.key(0), table, graph, num_rows=1000).frame.shape
    (1000, 2)
    """
    if method in METHODS:
        refuse_ignored(
            "method",
            method,
            {
                "estimator": (estimator, ("sample",)),
                "threshold": (threshold, ("enumerate",)),
                "num_rows": (num_rows, ("sample", "resample", "residual")),
                "smoothing": (smoothing, ("sample", "residual")),
                "precision": (precision, ("enumerate",)),
            },
        )
    threshold = _THRESHOLD if threshold is None else threshold
    smoothing = 0.0 if smoothing is None else smoothing
    precision = "float64" if precision is None else precision
    names = _estimators(graph, method, "kernel" if estimator is None else estimator)
    findings = check_settings(
        graph, method, names, threshold, num_rows, smoothing, rng_key, precision
    )
    if findings:
        raise DataError(findings, "the settings of the augmentation")
    table = encode(
        frame, graph, kernel=kernel, bandwidth=bandwidth, bandwidth_scale=bandwidth_scale,
        order=order, blocks=blocks,
    )  # fmt: skip
    size = num_rows or max(2 * table.num_rows, 500)
    values: Mapping[int, NDArray] = {}
    if method == "enumerate":
        rows, weights = enumerate_table(table, threshold, precision)
        warn_of_lost_mass(float(weights.sum()), threshold)
    elif method == "resample":
        from mmm_bayes.augmentation.resampling import resample_table

        rows, weights = resample_table(as_key(rng_key), table, size)
    else:
        from mmm_bayes.augmentation import sampling

        key_fit, key_draw = jax.random.split(as_key(rng_key))
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
        table.decode(rows, values), rows, weights, table.nodes, table.num_rows, method, settings
    )


def _old_form(function: Callable[..., AugmentedData]) -> Callable[..., AugmentedData]:
    """Hand calls from when ``admgda`` had all methods on to :func:`augment`, with a warning."""

    @functools.wraps(function)
    def call(*args: Any, **settings: Any) -> AugmentedData:
        if not settings.keys() & _NOT_OF_ADMGDA:
            return function(*args, **settings)
        warn_deprecated("admgda() with a method or a random key", "mmm_bayes.augment(rng_key, ...)")
        return augment(settings.pop("rng_key", None), *args, **settings)

    return call


@_old_form
@named_arguments
def admgda(
    frame: pd.DataFrame,
    graph: CausalGraph,
    threshold: float = 1e-2,
    *,
    kernel: str | Mapping[str, str] = "gaussian",
    bandwidth: Bandwidth = "normal_reference",
    bandwidth_scale: float = 1.0,
    order: Sequence[str] | None = None,
    blocks: Mapping[str, Sequence[str]] | None = None,
    precision: Literal["float32", "float64"] = "float64",
) -> AugmentedData:
    """Augment a table by ADMGDA as published: enumerate the rows that a causal graph implies.

    Nothing is drawn at random. :func:`augment` has this and three other methods.

    Parameters
    ----------
    frame, graph, kernel, bandwidth, bandwidth_scale, order, blocks
        As in :func:`augment`.
    threshold
        Rows are kept while their weight is at least ``threshold / n``.
    precision
        Of the weights.

    Returns
    -------
    AugmentedData
        Recombined rows of the table and their weights; empty where the graph has several roots.

    Raises
    ------
    DataError
        With every problem of table, graph and settings.

    Warns
    -----
    AugmentationWarning
        If the rows hold less than half of the probability.

    References
    ----------
    Teshima and Sugiyama (2021); Poinsot and Leite (2023): see
    :mod:`mmm_bayes.augmentation.admgda`.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> import mmm_bayes as mb
    >>> rng = np.random.default_rng(0)
    >>> tv = rng.normal(size=50)
    >>> table = pd.DataFrame({"tv": tv, "search": tv + rng.normal(size=50)})
    >>> added = mb.admgda(table, mb.CausalGraph(edges=[("tv", "search")]), threshold=1e-3)
    >>> bool(0.99 < added.weights.sum() <= 1.0)
    True
    """
    return augment(
        None,
        frame,
        graph,
        method="enumerate",
        threshold=threshold,
        kernel=kernel,
        bandwidth=bandwidth,
        bandwidth_scale=bandwidth_scale,
        order=order,
        blocks=blocks,
        precision=precision,
    )


def _estimators(
    graph: CausalGraph, method: str, estimator: str | Mapping[str, str]
) -> dict[str, str]:
    """Name of the estimator of every variable."""
    if method == "residual":
        estimator = "residual"
    if isinstance(estimator, str):
        return dict.fromkeys(graph.nodes, estimator)
    return dict.fromkeys(graph.nodes, "kernel") | dict(estimator)
