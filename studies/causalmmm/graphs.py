"""One run on graphs: simulate shops, score their edges, and say how good the scores are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from mmm_bayes import simulate
from mmm_bayes.causal_mmm.networks import metrics
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.simulate.shop_panel import duplicated_shops
from studies.causalmmm.methods import PanelSplit, Scored, score

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey
    from studies.causalmmm.settings import CurveRun, GraphRun
    from studies.runs import Row

NDArray = np.ndarray[Any, Any]

BINS = 10
_ATTEMPTS = 50


def evaluate_graphs(rng_key: RngKey, settings: GraphRun) -> list[Row]:
    """Return the rows of one run, one per method it covers and set of shops.

    Thresholds of accuracies are chosen on the training shops' true graphs.
    """
    key_data, key_methods = jax.random.split(rng_key)
    panels = simulate_panels(
        key_data, settings, difficulty=settings.difficulty, mechanisms=settings.mechanisms
    )
    scored = score(key_methods, settings.method, panels, settings.options)
    return [row for each in scored for row in rows_of(each, panels)]


def simulate_panels(rng_key: RngKey, settings: GraphRun | CurveRun, **more: Any) -> PanelSplit:
    """Simulate training shops, test shops of the same graphs, and shops of unseen graphs.

    All obey the same mechanisms. Test shops come first in their panel, so that they stay the same
    for any number of training shops.

    Raises
    ------
    DataError
        If a test shop repeats a training shop, or all graphs of so few channels are in training.
    """
    key_mechanisms, key_shops, key_unseen = jax.random.split(rng_key, 3)
    common: dict[str, Any] = {
        "simulation": settings.simulation,
        "num_channels": settings.channels,
        "num_dates": settings.length,
        "num_structures": settings.structures,
        "mechanism_key": key_mechanisms,
        **more,
    }
    both = simulate.shops(key_shops, num_shops=settings.test_shops + settings.shops, **common)
    test = both.select(slice(0, settings.test_shops))
    train = both.select(slice(settings.test_shops, None))
    if same := duplicated_shops(test, train):
        message = f"Test shops repeat training shops: {same[:3]}."
        raise DataError([Finding("duplicate", "error", message, "", "shops")], "the simulation")
    seen = {graph.tobytes() for graph in truth_of(both)}
    for attempt in range(_ATTEMPTS):
        key = jax.random.fold_in(key_unseen, attempt)
        unseen = simulate.shops(key, num_shops=settings.test_shops, **common)
        if not seen & {graph.tobytes() for graph in truth_of(unseen)}:
            return PanelSplit(train, test, unseen)
    message = f"{_ATTEMPTS} draws of {settings.structures} graphs held one of training each."
    remedy = "Take more channels, or fewer structures."
    raise DataError([Finding("unseen", "error", message, remedy, "channels")], "the simulation")


def truth_of(panel: ShopPanel) -> NDArray:
    """Return the true graphs (shop, source, target) of a simulated panel."""
    assert panel.adjacency is not None  # simulated panels have them
    return panel.adjacency


def rows_of(scored: Scored, panels: PanelSplit) -> list[Row]:
    """Score one method on test shops and on shops of unseen graphs."""
    threshold = metrics.best_threshold(scored.train, truth_of(panels.train))
    rows = []
    for name, scores, panel in (
        ("test", scored.test, panels.test),
        ("unseen", scored.unseen, panels.unseen),
    ):
        truth = truth_of(panel)
        row: Row = {
            "method": scored.method,
            "shops": name,
            "auroc": metrics.auroc(scores, truth),
            "pooled_auroc": metrics.pooled_auroc(scores, truth),
            "accuracy": metrics.accuracy(scores, truth, threshold),
            "f1": metrics.f1(scores, truth, threshold),
            "swapped_auroc": metrics.auroc(scores[_partners(panel)], truth),
            "density": float(metrics.pairs(scores, truth)[1].mean()),
            "threshold": threshold,
            "fit_seconds": scored.fit_seconds,
            "score_seconds": scored.score_seconds,
        }
        if scored.is_probability:
            row |= _calibration(scores, truth)
        rows.append(row)
    return rows


def _partners(panel: ShopPanel) -> NDArray:
    """Return for each shop the next shop with another graph, or itself if there is none."""
    graphs, count = truth_of(panel), panel.num_shops
    partner = np.arange(count)
    for shop in range(count):
        for step in range(1, count):
            other = (shop + step) % count
            if (graphs[other] != graphs[shop]).any():
                partner[shop] = other
                break
    return partner


def _calibration(probabilities: NDArray, truth: NDArray) -> Row:
    """Return calibration measures, and sums by bin that can be added over runs."""
    table = metrics.reliability(probabilities, truth, BINS)
    some = table.count > 0
    return {
        "ece": metrics.expected_calibration_error(probabilities, truth, BINS),
        "brier": metrics.brier(probabilities, truth),
        "accuracy_half": metrics.accuracy(probabilities, truth, 0.5),
        "bin_count": table.count.tolist(),
        "bin_probability": np.where(some, table.predicted * table.count, 0.0).tolist(),
        "bin_edges": np.where(some, table.observed * table.count, 0.0).tolist(),
    }
