"""How training goes: losses and graphs by epochs, and seconds by the size of a panel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from mmm_bayes import simulate
from mmm_bayes.causal_mmm.networks import metrics
from studies.causalmmm.graphs import simulate_panels, truth_of
from studies.causalmmm.methods import VARIANTS, causal_mmm_of, method_key

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey
    from mmm_bayes.data.panel import ShopPanel
    from studies.causalmmm.settings import CurveRun, TimingRun
    from studies.runs import Row


def evaluate_curve(rng_key: RngKey, settings: CurveRun) -> list[Row]:
    """Train once; return the losses of all epochs, and AUROC at the end.

    Test shops are those of validation; nothing is chosen by them. Epochs alone: no rounds follow.
    """
    key_data, key_methods = jax.random.split(rng_key)
    panels = simulate_panels(key_data, settings)
    options = {**dict(settings.options), "epochs": settings.epochs, "patience": 0, "rounds": 0}
    cm = causal_mmm_of(settings.method, options)
    began = time.perf_counter()
    cm.fit(method_key(key_methods, settings.method), panels.train, validation=panels.test)
    seconds = time.perf_counter() - began
    found = {
        name: metrics.auroc(cm.edge_probabilities(panel).values, truth_of(panel))
        for name, panel in (("auroc", panels.test), ("unseen_auroc", panels.unseen))
    }
    history = cm.history
    loss, validation = history["loss"].values.tolist(), history["validation"].values.tolist()
    row: Row = {"method": settings.method, "epochs": settings.epochs, "fit_seconds": seconds}
    row |= {"last_loss": loss[-1], "last_validation": validation[-1], **found}
    return [row | {"loss": loss, "validation": validation}]


def evaluate_timing(rng_key: RngKey, settings: TimingRun) -> list[Row]:
    """Return the row of one timing, without compilation.

    Of CausalMMM and its variants it is the median epoch after the first; of other methods, whose
    compiled functions are kept, a second fit to all shops and the scoring of them.
    """
    key_data, key_methods = jax.random.split(rng_key)
    panel = simulate.shops(
        key_data,
        num_shops=settings.shops,
        num_channels=settings.channels,
        num_dates=settings.length,
        num_structures=settings.structures,
    )
    key = method_key(key_methods, settings.method)
    if settings.method in VARIANTS:
        seconds = _epoch_seconds(key, settings, panel)
    else:
        seconds = _second_fit(key, settings.method, panel)
    size = settings.shops if settings.axis == "shops" else settings.length
    return [{"method": settings.method, "axis": settings.axis, "size": size, "seconds": seconds}]


def _epoch_seconds(key: RngKey, settings: TimingRun, panel: ShopPanel) -> float:
    options: dict[str, Any] = {**dict(settings.options), "epochs": settings.epochs, "rounds": 0}
    ends: list[float] = []
    causal_mmm_of(settings.method, options).fit(
        key, panel, on_epoch=lambda epoch, epochs, loss: ends.append(time.perf_counter())
    )
    return float(np.median(np.diff(ends)))


def _second_fit(key: RngKey, method: str, panel: ShopPanel) -> float:
    from studies.granger.registry import BASELINES

    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        BASELINES[method].fit(key, panel.series, panel.adjacency)(panel.series)
        seconds = time.perf_counter() - began
    return seconds
