"""What is wrong with the panels that a CausalMMM is given; every finding at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mmm_bayes._typing import SHOP
from mmm_bayes.causal_mmm.inputs import is_weekly
from mmm_bayes.causal_mmm.spec import CausalMMMSpec
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest
from mmm_bayes.simulate.shop_panel import duplicated_shops

NDArray = np.ndarray[Any, Any]

_ROWS = 4  # times beside the lags, and times at which every node is there


def training_findings(
    spec: CausalMMMSpec, panel: ShopPanel, validation: ShopPanel | None
) -> list[Finding]:
    """What keeps a model from being trained on a panel."""
    return [
        *_panel_findings(spec, panel),
        *_validation_findings(spec, panel, validation),
        *_edge_findings(spec, panel.nodes),
    ]


def new_panel_findings(spec: CausalMMMSpec, trained: ShopPanel, panel: ShopPanel) -> list[Finding]:
    """What keeps a trained model from being used on another panel."""
    found = []
    for name in ("nodes", "context_names"):
        ours, theirs = getattr(trained, name), getattr(panel, name)
        if ours != theirs:
            message = f"{name} should be {listing(ours, 20)}, but are {listing(theirs, 20)}."
            found.append(_error(name, message, "Order counts.", name))
    if is_weekly(spec, trained) != is_weekly(spec, panel):
        daily = "daily" if is_weekly(spec, trained) else "not daily"
        message = f"Dates should be {daily}, as those of the panel of training are."
        remedy = "Give dates of the same steps, or train with weekly=False."
        found.append(_error("calendar", message, remedy, "dates"))
    if panel.length < spec.lags + _ROWS:
        message = f"The panel has {panel.length} times; the model needs {spec.lags + _ROWS}."
        found.append(_error("too_short", message, "Give more history.", "series"))
    return found


def position(panel: ShopPanel, shop: str) -> int:
    """Position of a shop.

    Raises
    ------
    DataError
        If there is no such shop.
    """
    if shop not in panel.shops:
        message = f"There is no shop {shop!r}.{nearest(shop, panel.shops)}"
        found = _error("shop", message, f"Known: {listing(panel.shops, 10)}.", SHOP)
        raise DataError([found], "the panel of shops")
    return panel.shops.index(shop)


def _panel_findings(spec: CausalMMMSpec, panel: ShopPanel) -> list[Finding]:
    found, least = [], spec.lags + _ROWS
    if panel.length < least:
        message = f"The panel has {panel.length} times; {spec.lags} lags need {least}."
        found.append(_error("too_short", message, "Use fewer lags.", "lags"))
    rows = np.isfinite(panel.series).all(-1).sum(1)
    empty = [shop for shop, n in zip(panel.shops, rows, strict=True) if n < _ROWS]
    if empty:
        message = f"{listing(empty)} have fewer than {_ROWS} times at which every node is observed."
        remedy = "Leave them out: panel.select([...])."
        found.append(_error("too_few_rows", message, remedy, "series"))
    for one, other in duplicated_shops(panel)[:5]:
        message = f"{one!r} and {other!r} are the same series."
        found.append(_error("duplicate", message, "Every shop should come once.", "series"))
    return found


def _validation_findings(
    spec: CausalMMMSpec, panel: ShopPanel, validation: ShopPanel | None
) -> list[Finding]:
    if validation is None:
        return []
    found = [_of_validation(one) for one in new_panel_findings(spec, panel, validation)]
    if validation.nodes == panel.nodes:
        for one, other in duplicated_shops(validation, panel)[:5]:
            message = f"Validation shop {one!r} repeats {other!r}, which is trained on."
            remedy = "Validate on shops that are not trained on."
            found.append(_error("duplicate", message, remedy, "validation"))
    return found


def _of_validation(finding: Finding) -> Finding:
    remedy = "Split one panel: panel.select([...])."
    return _error("validation", f"Validation: {finding.message}", remedy, "validation")


def _edge_findings(spec: CausalMMMSpec, nodes: tuple[str, ...]) -> list[Finding]:
    found = []
    named = [("logarithm", name) for name in _names(spec.logarithm)]
    for setting in ("required", "forbidden", "edge_prior"):
        for source, target, *_ in getattr(spec, setting):
            named += [(setting, source), (setting, target)]
            if source == target:
                message = f"{setting} names the edge from {source!r} to itself."
                remedy = "Every node has its own past; take the edge out."
                found.append(_error("self_edge", message, remedy, setting))
    for setting, name in dict.fromkeys(named):
        if name not in nodes:
            message = f"{setting} names {name!r}, which is no node of the panel."
            hint = f"Known: {listing(nodes, 20)}.{nearest(name, nodes)}"
            found.append(_error("unknown_node", message, hint, setting))
    if both := sorted(set(spec.required) & set(spec.forbidden)):
        message = f"{listing(both)} are required and forbidden."
        found.append(_error("contradiction", message, "Take them out of one of the two."))
    for _, _, probability in spec.edge_prior:
        if not 0.0 < probability < 1.0:
            message = f"A probability in edge_prior should be in (0, 1), but is {probability}."
            remedy = "Use required= or forbidden= for certain edges."
            found.append(_error("edge_prior", message, remedy, "edge_prior"))
    return found


def _names(which: bool | Iterable[str]) -> tuple[str, ...]:
    return () if isinstance(which, bool) else tuple(which)


def _error(check: str, message: str, remedy: str, column: str | None = None) -> Finding:
    return Finding(check, "error", message, remedy, column)
