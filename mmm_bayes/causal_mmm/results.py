"""Labelled results of a trained CausalMMM: history, graphs, forecasts, effects and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr

from mmm_bayes._typing import LAG, NODE, SHOP, RngKey
from mmm_bayes.causal_mmm.checks import position
from mmm_bayes.causal_mmm.inputs import Fitted
from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.arrays import Prepared
from mmm_bayes.causal_mmm.paths import edge_draws, forecast_paths, future_context, response_draws
from mmm_bayes.causal_mmm.spec import CausalMMMSpec, Edge
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.streams import as_key

if TYPE_CHECKING:
    from mmm_bayes.causal.causal_graph import CausalGraph

NDArray = np.ndarray[Any, Any]
LabelledPaths = tuple[dict[str, Any], Iterator[tuple[slice, NDArray]]]


def in_one_line(spec: CausalMMMSpec, fitted: Fitted | None) -> str:
    """Return a model as text: the settings that are not defaults, and its state."""
    given = spec.model_dump(exclude_defaults=True)
    inside = ", ".join(f"{name}={value!r}" for name, value in given.items())
    state = "not trained"
    if fitted is not None:
        state = f"trained on {fitted.panel.num_shops} shops, {fitted.panel.num_nodes} nodes"
        if fitted.interrupted:
            state += f"; {fitted.interrupted}"
    return f"CausalMMM({inside}) <{state}>"


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


def edge_probabilities_of(
    fitted: Fitted, panel: ShopPanel, prepared: Prepared, refine: bool
) -> xr.DataArray:
    """Label the edge probabilities (shop, source, target) of a panel."""
    probability, _ = edge_draws(fitted, panel, prepared, refine)
    labels = {SHOP: list(panel.shops), "source": list(panel.nodes), "target": list(panel.nodes)}
    attrs = {"long_name": "probability of a Granger edge"}
    return xr.DataArray(probability, labels, (SHOP, "source", "target"), "edge_probability", attrs)


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


def graph_of(
    fitted: Fitted, panel: ShopPanel, prepared: Prepared, shop: str, threshold: float
) -> tuple[CausalGraph, dict[Edge, float]]:
    """Build an acyclic graph of a shop; see :meth:`CausalMMM.graph`."""
    from mmm_bayes.causal.causal_graph import CausalGraph

    position(panel, shop)
    found = edge_probabilities_of(fitted, panel, prepared, refine=True).sel({SHOP: shop}).values
    kept = acyclic_edges(panel.nodes, found, threshold)
    return CausalGraph(panel.nodes, list(kept)), kept


def labelled_paths(
    rng_key: RngKey | None,
    fitted: Fitted,
    panel: ShopPanel,
    prepared: Prepared,
    horizon: int,
    context: NDArray | None,
    num_draws: int,
) -> LabelledPaths:
    """Prepare the labels (shop, step, node) of paths, and an iterator over blocks of shops.

    Without ``rng_key`` the key of the paths follows from the key of training.

    Raises
    ------
    DataError
        If the context has the wrong shape.
    ValueError
        If there is no step or no path to draw.
    """
    if horizon < 1 or num_draws < 1:
        raise ValueError(
            f"horizon and num_draws should be 1 or more, but got {horizon} and {num_draws}."
        )
    key = jax.random.fold_in(fitted.key, 1) if rng_key is None else as_key(rng_key)
    ahead = future_context(panel, horizon, context)
    labels: dict[str, Any] = {
        SHOP: list(panel.shops),
        "step": np.arange(1, horizon + 1),
        NODE: list(panel.nodes),
    }
    return labels, forecast_paths(key, fitted, panel, prepared, ahead, num_draws)


def forecast_paths_of(
    labels: Mapping[str, Any], blocks: Iterable[tuple[slice, NDArray]], num_draws: int
) -> xr.DataArray:
    """Collect paths, given in blocks of shops, as one array (draw, shop, step, node)."""
    values = np.empty((num_draws, *(len(label) for label in labels.values())))
    for place, draws in blocks:
        values[:, place] = draws
    return xr.DataArray(values, labels, ("draw", *labels), "forecast")


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


def response_draws_of(fitted: Fitted, shop: str, multipliers: Sequence[float]) -> xr.DataArray:
    """Label a shop's total target (draw, channel, multiplier) with one channel multiplied."""
    panel = fitted.panel
    total = response_draws(fitted, position(panel, shop), multipliers)
    labels = {"channel": list(panel.nodes[:-1]), "multiplier": list(multipliers)}
    return xr.DataArray(total, labels, ("draw", "channel", "multiplier"), panel.target)


def contribution_draws_of(fitted: Fitted, shop: str) -> xr.DataArray:
    """Draw each channel's contribution (draw, channel): observed minus do(channel = 0)."""
    draws = response_draws_of(fitted, shop, (0.0, 1.0))
    return draws.sel(multiplier=1.0) - draws.sel(multiplier=0.0)


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
