"""Interventions on a fitted system: checked values, and the resulting gain of the target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.analysis.interventions import Edge, System, edges_of, under
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

NDArray = np.ndarray[Any, Any]
Change = float | NDArray | xr.DataArray


def check_nodes(graph: CausalGraph, names: Iterable[str]) -> None:
    """Raise a ``DataError`` with all names that are not nodes of the graph, if there are any."""
    wrong = [name for name in names if name not in graph.nodes]
    if wrong:
        raise DataError(
            [
                Finding("unknown_node", "error", f"{name!r} is not a node of the graph.",
                        nearest(name, graph.nodes).strip()
                        or f"The nodes are {listing(graph.nodes, 12)}.", name)
                for name in wrong
            ],
            "the question",
        )  # fmt: skip


def expand_interventions(
    data: MMMData,
    graph: CausalGraph,
    media: Set[str],
    interventions: Mapping[str, Change],
    dates: slice | Sequence[Any] | None,
) -> dict[str, NDArray]:
    """Expand interventions to values (geo, date), with observed values on all other dates.

    Raises
    ------
    DataError
        If nodes are unknown or have no column, values have the wrong shape, or media are negative.
    """
    check_nodes(graph, interventions)
    observed, findings, changes = data.columns(), [], {}
    mask = np.ones(data.num_dates, bool)
    if dates is not None:
        mask = data.dates.isin(data.subset(dates).dates)
    for node, value in interventions.items():
        if node not in observed:
            message = f"{node!r} cannot be set, because it has no column in the table."
            remedy = f"Intervene on one of {listing(observed, 12)}."
            findings.append(Finding("intervention", "error", message, remedy, node))
            continue
        given = np.asarray(value, float)
        try:
            whole = np.broadcast_to(given, observed[node].shape)
        except ValueError:
            message = f"The values for {node!r} have the shape {given.shape}."
            remedy = f"Use a number, or an array (geo, date) of shape {observed[node].shape}."
            findings.append(Finding("intervention", "error", message, remedy, node))
            continue
        if node in media and (whole < 0).any():
            message = f"{node!r} is media exposure, but some of the given values are negative."
            remedy = "Use values of zero or more."
            findings.append(Finding("intervention", "error", message, remedy, node))
        changes[node] = np.where(mask, whole, observed[node])
    if findings:
        raise DataError(findings, "the intervention")
    return changes


def edges_along(graph: CausalGraph, paths: Sequence[Sequence[str]]) -> frozenset[Edge]:
    """Return the edges along the given paths.

    Raises
    ------
    DataError
        If a path has edges that are not in the graph.
    """
    edges = frozenset().union(*(edges_of(path) for path in paths))
    wrong = sorted(edges - set(graph.edges))
    if wrong:
        raise DataError(
            [
                Finding("edge", "error", f"{a} -> {b} is not an edge of the graph.",
                        f"fit.paths({a!r}) lists the paths.", a)
                for a, b in wrong
            ],
            "the paths",
        )  # fmt: skip
    return edges


def gain(
    system: System, target: str, change: Mapping[str, NDArray], edges: frozenset[Edge] | None
) -> NDArray:
    """Compute the observed target minus the target under the change (draw, geo, date)."""
    found = under(system, change, edges)
    observed = system.observed[target]
    chains, draws = system.draw_labels
    after = np.broadcast_to(
        found.get(target, observed[None]), (len(chains) * len(draws), *observed.shape)
    )
    return observed - after
