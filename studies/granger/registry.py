"""Every baseline by its name, behind one signature, so that experiments treat all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, final

import numpy as np

from mmm_bayes.runtime.findings import DataError, Finding
from studies.granger import trivial
from studies.granger.gvar import GVARSettings, gvar
from studies.granger.ingra import InGRASettings, fit_ingra
from studies.granger.linear_granger import granger_tests, ridge_norms
from studies.granger.ngc import NGCSettings, neural_granger

NDArray = np.ndarray[Any, Any]
Scorer = Callable[[NDArray], NDArray]
"""Scores (shop, source, target), float64, of series (shop, time, node)."""
Fit = Callable[[Any, NDArray, NDArray | None], Scorer]


@final
@dataclass(frozen=True)
class Baseline:
    """One method.

    Attributes
    ----------
    name : str
        Its name.
    learns_from : {"nothing", "series", "graphs"}
        What of the training shops it uses. A method that uses nothing is fitted to each shop that
        it scores.
    fit : callable
        ``fit(rng_key, train_series, train_adjacency) -> scorer``; the adjacency may be None but for
        methods that learn from graphs.
    """

    name: str
    learns_from: Literal["nothing", "series", "graphs"]
    fit: Fit


def per_shop(name: str, score: Callable[[Any, NDArray], NDArray]) -> Baseline:
    """Return the baseline of a method that is fitted to each shop it scores."""

    def fit(rng_key: Any, train_series: NDArray, train_adjacency: NDArray | None) -> Scorer:
        return lambda series: score(rng_key, series)

    return Baseline(name, "nothing", fit)


def ngc_baseline(name: str, settings: NGCSettings) -> Baseline:
    """Return neural Granger causality with these settings."""
    return per_shop(name, lambda key, series: neural_granger(key, series, settings).scores)


def gvar_baseline(name: str, settings: GVARSettings) -> Baseline:
    """Return the generalised vector autoregression with these settings; its scores, forward."""
    return per_shop(
        name, lambda key, series: gvar(key, series, settings, time_reversal=False).scores
    )


def ingra_baseline(name: str, settings: InGRASettings) -> Baseline:
    """Return InGRA with these settings."""

    def fit(rng_key: Any, train_series: NDArray, train_adjacency: NDArray | None) -> Scorer:
        return fit_ingra(rng_key, train_series, settings).scores

    return Baseline(name, "series", fit)


def from_graphs(name: str, learn: Callable[[NDArray, NDArray], Scorer]) -> Baseline:
    """Return the baseline of a method that learns from series with known graphs."""

    def fit(rng_key: Any, train_series: NDArray, train_adjacency: NDArray | None) -> Scorer:
        if train_adjacency is None:
            message = f"{name} learns from the graphs of training shops, and there are none."
            remedy = "Give train_adjacency, or leave this baseline out."
            finding = Finding("graphs", "error", message, remedy, where="train_adjacency")
            raise DataError([finding], "the training shops")
        return learn(train_series, train_adjacency)

    return Baseline(name, "graphs", fit)


_ALL = (
    per_shop("linear_granger", lambda _, series: granger_tests(series).scores),
    per_shop("linear_granger_bic", lambda _, series: granger_tests(series, criterion="bic").scores),
    per_shop("ridge_var", lambda _, series: ridge_norms(series)),
    ngc_baseline("ngc_mlp", NGCSettings()),
    ngc_baseline("ngc_mlp_hierarchical", NGCSettings.hierarchical()),
    ngc_baseline("ngc_lstm", NGCSettings.lstm()),
    gvar_baseline("gvar", GVARSettings()),
    ingra_baseline("ingra", InGRASettings()),
    per_shop("all_zero", lambda _, series: trivial.all_zero(series)),
    per_shop("last_nodes_receive", lambda _, series: trivial.last_nodes_receive(series)),
    per_shop("low_variance_first", lambda _, series: trivial.variance_order(series)),
    per_shop(
        "high_variance_first", lambda _, series: trivial.variance_order(series, increasing=False)
    ),
    per_shop("lagged_correlation", lambda _, series: trivial.lagged_correlation(series)),
    from_graphs("mean_graph", lambda _, adjacency: trivial.mean_graph(adjacency)),
    from_graphs("nearest_neighbour", trivial.nearest_neighbour),
)

BASELINES: Mapping[str, Baseline] = MappingProxyType({each.name: each for each in _ALL})
"""All baselines with default settings, by name."""
