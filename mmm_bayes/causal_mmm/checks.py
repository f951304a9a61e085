"""Checks of the panels and settings of a CausalMMM; every finding at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np

from mmm_bayes._typing import SHOP
from mmm_bayes.causal_mmm.inputs import Fitted, is_weekly, prepare_panel
from mmm_bayes.causal_mmm.networks.arrays import Prepared
from mmm_bayes.causal_mmm.spec import CausalMMMSpec
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest
from mmm_bayes.simulate.shop_panel import duplicated_shops

NDArray = np.ndarray[Any, Any]

_ROWS = 4  # fewest times in addition to the lags, and fewest times with every node observed


def training_findings(
    spec: CausalMMMSpec, panel: ShopPanel, validation: ShopPanel | None
) -> list[Finding]:
    """List the reasons why a model cannot be trained on a panel."""
    return [
        *_panel_findings(spec, panel),
        *_validation_findings(spec, panel, validation),
        *_edge_findings(spec, panel.nodes),
    ]


def new_panel_findings(spec: CausalMMMSpec, trained: ShopPanel, panel: ShopPanel) -> list[Finding]:
    """List the reasons why a trained model cannot be used on another panel."""
    found = []
    for name in ("nodes", "context_names"):
        ours, theirs = getattr(trained, name), getattr(panel, name)
        if ours != theirs:
            message = f"{name} should be {listing(ours, 20)}, but are {listing(theirs, 20)}."
            remedy = "Give the same names in the same order as in training."
            found.append(_error(name, message, remedy, name))
    if is_weekly(spec, trained) != is_weekly(spec, panel):
        daily = "daily" if is_weekly(spec, trained) else "not daily"
        message = f"Dates should be {daily}, as in the training panel."
        remedy = "Give dates with the same step, or train with weekly=False."
        found.append(_error("calendar", message, remedy, "dates"))
    if panel.length < spec.lags + _ROWS:
        message = f"The panel has {panel.length} times, but the model needs {spec.lags + _ROWS}."
        found.append(_error("too_short", message, "Give a longer history.", "series"))
    return found


def panel_arrays(fitted: Fitted, panel: ShopPanel | None) -> tuple[ShopPanel, Prepared]:
    """Return a panel (by default that of training), checked, and its inputs of the networks.

    Raises
    ------
    DataError
        If the trained model cannot be used on the panel.
    """
    if panel is None or panel is fitted.panel:
        return fitted.panel, fitted.prepared
    if findings := new_panel_findings(fitted.spec, fitted.panel, panel):
        raise DataError(findings, "the panel of shops")
    return panel, prepare_panel(fitted.spec, panel, fitted.prepared)


def position(panel: ShopPanel, shop: str) -> int:
    """Return the position of a shop.

    Raises
    ------
    DataError
        If there is no such shop.
    """
    if shop not in panel.shops:
        message = f"There is no shop {shop!r}.{nearest(shop, panel.shops)}"
        found = _error("shop", message, f"The shops are {listing(panel.shops, 10)}.", SHOP)
        raise DataError([found], "the panel of shops")
    return panel.shops.index(shop)


def _panel_findings(spec: CausalMMMSpec, panel: ShopPanel) -> list[Finding]:
    found, fewest = [], spec.lags + _ROWS
    if panel.length < fewest:
        message = f"The panel has {panel.length} times, but {spec.lags} lags need {fewest}."
        found.append(_error("too_short", message, "Use fewer lags.", "lags"))
    rows = np.isfinite(panel.series).all(-1).sum(1)
    empty = [shop for shop, n in zip(panel.shops, rows, strict=True) if n < _ROWS]
    if empty:
        message = f"Fewer than {_ROWS} times have every node observed: {listing(empty)}."
        remedy = "Leave these shops out: panel.select([...])."
        found.append(_error("too_few_rows", message, remedy, "series"))
    for one, other in duplicated_shops(panel)[:5]:
        message = f"{one!r} and {other!r} have the same series."
        remedy = "Keep every shop once: panel.select([...])."
        found.append(_error("duplicate", message, remedy, "series"))
    return found


def _validation_findings(
    spec: CausalMMMSpec, panel: ShopPanel, validation: ShopPanel | None
) -> list[Finding]:
    if validation is None:
        return []
    found = [_as_validation(one) for one in new_panel_findings(spec, panel, validation)]
    if validation.nodes == panel.nodes:
        for one, other in duplicated_shops(validation, panel)[:5]:
            message = f"Validation shop {one!r} has the same series as training shop {other!r}."
            remedy = "Validate on shops that are not in the training panel."
            found.append(_error("duplicate", message, remedy, "validation"))
    return found


def _as_validation(finding: Finding) -> Finding:
    remedy = "Split one panel: panel.select([...])."
    return _error("validation", f"Validation: {finding.message}", remedy, "validation")


def _edge_findings(spec: CausalMMMSpec, nodes: tuple[str, ...]) -> list[Finding]:
    found = []
    named = [("logarithm", name) for name in _names(spec.logarithm)]
    for setting in ("required", "forbidden", "edge_prior"):
        for source, target, *_ in getattr(spec, setting):
            named += [(setting, source), (setting, target)]
            if source == target:
                message = f"{setting} has an edge from {source!r} to itself."
                remedy = "Remove it: every node depends on its own past anyway."
                found.append(_error("self_edge", message, remedy, setting))
    for setting, name in dict.fromkeys(named):
        if name not in nodes:
            message = f"{setting} has {name!r}, which is not a node of the panel."
            hint = f"The nodes are {listing(nodes, 20)}.{nearest(name, nodes)}"
            found.append(_error("unknown_node", message, hint, setting))
    if both := sorted(set(spec.required) & set(spec.forbidden)):
        message = f"Edges are both required and forbidden: {listing(both)}."
        found.append(_error("contradiction", message, "Remove them from one of the two."))
    for _, _, probability in spec.edge_prior:
        if not 0.0 < probability < 1.0:
            message = f"Probabilities in edge_prior should be in (0, 1), but got {probability}."
            remedy = "For edges that are certain use required= or forbidden=."
            found.append(_error("edge_prior", message, remedy, "edge_prior"))
    return found


def _names(which: bool | Iterable[str]) -> tuple[str, ...]:
    return () if isinstance(which, bool) else tuple(which)


def _error(check: str, message: str, remedy: str, column: str | None = None) -> Finding:
    return Finding(check, "error", message, remedy, column)


def horizon_first(given: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Return whether a call has the horizon where the random key now is: both are whole numbers."""
    return "horizon" not in named and not (len(given) > 1 and isinstance(given[1], Integral))
