"""Labelled results of a trained CausalMMM: history, lag profiles, graphs, and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes._typing import LAG
from mmm_bayes.causal_mmm.inputs import Fitted
from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.spec import Edge

NDArray = np.ndarray[Any, Any]


def history_of(fitted: Fitted) -> xr.Dataset:
    """Collect the losses of training; see :attr:`CausalMMM.history`."""
    attrs: dict[str, Any] = {"best_epoch": fitted.best_epoch + 1}
    if isinstance(fitted.networks.decoder, AdditiveDecoder):
        attrs["basis"] = list(fitted.networks.decoder.layout.basis)
    if fitted.interrupted:
        attrs["interrupted"] = fitted.interrupted
    return xr.Dataset(
        {
            "loss": ("epoch", fitted.history.loss),
            "validation": ("epoch", fitted.history.validation),
            "round_loss": ("round", fitted.history.rounds),
        },
        {
            "epoch": np.arange(1, len(fitted.history.loss) + 1),
            "round": np.arange(1, len(fitted.history.rounds) + 1),
        },
        attrs,
    )


def lag_profiles_of(fitted: Fitted) -> xr.DataArray:
    """Collect the shared lag profiles (source, target, lag) of the additive decoder.

    Raises
    ------
    TypeError
        For the recurrent decoder.
    """
    decoder = fitted.networks.decoder
    if not isinstance(decoder, AdditiveDecoder):
        raise TypeError("Lag profiles require the additive decoder: use decoder='additive'.")
    lags, nodes = decoder.layout.lags, list(fitted.panel.nodes)
    values = np.moveaxis(np.asarray(decoder.mean)[:, :lags], 1, 2)
    labels = {"source": nodes, "target": nodes, LAG: np.arange(1, lags + 1)}
    return xr.DataArray(values, labels, ("source", "target", LAG), "lag_profile")


def acyclic_edges(
    nodes: Sequence[str], probabilities: NDArray, threshold: float
) -> dict[Edge, float]:
    """Select edges above the threshold, from the most probable down, that close no cycle."""
    above = np.argwhere(probabilities > threshold).tolist()
    kept: dict[Edge, float] = {}
    reach = np.eye(len(nodes), dtype=bool)  # reach[i, j]: there is a path from i to j
    for i, j in sorted(above, key=lambda at: -probabilities[tuple(at)]):
        if not reach[j, i]:
            kept[nodes[i], nodes[j]] = float(probabilities[i, j])
            reach |= np.outer(reach[:, i], reach[j])
    return kept


def forecast_intervals(
    labels: Mapping[str, Any], blocks: Iterable[tuple[slice, NDArray]], ci_prob: float
) -> xr.Dataset:
    """Summarise paths, given in blocks of shops (draw, shop, step, node)."""
    tail = (1.0 - ci_prob) / 2.0
    sizes = tuple(len(label) for label in labels.values())
    values = {name: np.empty(sizes) for name in ("mean", "median", "low", "high")}
    for place, draws in blocks:
        values["mean"][place] = draws.mean(0)
        found = np.quantile(draws, [0.5, tail, 1.0 - tail], axis=0)
        for name, value in zip(("median", "low", "high"), found, strict=True):
            values[name][place] = value
    dims = tuple(labels)
    attrs = {"ci_prob": ci_prob, "ci_kind": "eti"}
    return xr.Dataset({name: (dims, value) for name, value in values.items()}, labels, attrs)


def effect_intervals(draws: xr.DataArray, ci_prob: float) -> xr.Dataset:
    """Summarise draws of effects by their mean and an interval with equal tails."""
    tail = (1.0 - ci_prob) / 2.0
    return xr.Dataset(
        {
            "mean": draws.mean("draw"),
            "low": draws.quantile(tail, "draw").drop_vars("quantile"),
            "high": draws.quantile(1.0 - tail, "draw").drop_vars("quantile"),
        },
        attrs={"ci_prob": ci_prob, "ci_kind": "eti"},
    )
