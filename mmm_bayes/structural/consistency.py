"""Check that the parts of a saved structural fit are consistent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit_result import FitResult
from mmm_bayes.runtime.findings import Finding, listing

_DRAWS = ("chain", "draw")


def system_findings(
    data: MMMData,
    graph: CausalGraph,
    media: frozenset[str],
    equations: Mapping[str, FitResult],
    correlations: Mapping[tuple[str, ...], xr.DataArray],
) -> list[Finding]:
    """Return a finding for each inconsistency between the equations, the table and the graph."""
    columns = data.columns()
    found = list(_targets(data, {*graph.nodes, *columns}, media, equations))
    sizes: dict[str, Any] = {}
    for node, fit in equations.items():
        where = f"equation of {node!r}"
        if node not in graph.nodes:
            found.append(_finding("unknown_node", where, f"The graph has no node {node!r}."))
            continue
        sizes[node] = tuple(fit.tree["posterior"].sizes[dim] for dim in _DRAWS)
        found += _against_table(where, node, fit.data, data, columns)
        inputs = {*fit.data.channels, *fit.data.controls}
        if unknown := sorted(inputs - set(graph.parents(node))):
            message = (
                f"The {where} uses {listing(map(repr, unknown))}, but the graph has no edge from "
                f"there to {node!r}."
            )
            found.append(_finding("not_a_parent", where, message))
    if len(set(sizes.values())) > 1:
        listed = ", ".join(
            f"{node!r}: {chains} x {draws}" for node, (chains, draws) in sizes.items()
        )
        message = f"The equations have different numbers of chains and draws ({listed})."
        found.append(_finding("number_of_draws", "equations", message))
    for nodes, values in correlations.items():
        found += _correlation(nodes, values, equations, next(iter(sizes.values()), None))
    return found


def _targets(
    data: MMMData, known: set[str], media: frozenset[str], equations: Mapping[str, FitResult]
) -> Iterator[Finding]:
    if data.target_name not in equations:
        message = f"There is no equation for the target {data.target_name!r}."
        yield _finding("missing_equation", "equations", message)
    if unknown := sorted(media - known):
        message = f"The media include {listing(map(repr, unknown))}, missing from graph and table."
        yield _finding("unknown_node", "media", message)


def _against_table(
    where: str, node: str, own: MMMData, data: MMMData, columns: Mapping[str, Any]
) -> Iterator[Finding]:
    if own.target_name != node:
        message = f"The {where} has the target {own.target_name!r}."
        yield _finding("target", where, message)
    if not own.dates.equals(data.dates) or own.geos != data.geos:
        message = f"The dates or geos of the {where} differ from the table."
        yield _finding("labels", where, message)
    elif node in columns and not np.array_equal(own.ds["target"].values, columns[node]):
        message = f"The target of the {where} differs from {node!r} in the table."
        yield _finding("values", where, message)


def _correlation(
    nodes: tuple[str, ...],
    values: xr.DataArray,
    equations: Mapping[str, FitResult],
    draws: tuple[int, int] | None,
) -> Iterator[Finding]:
    where = f"error correlations of {listing(nodes)}"
    wanted = (*_DRAWS, "node", "other")
    if values.dims != wanted:
        message = f"The {where} have the dimensions {values.dims}; expected {wanted}."
        yield _finding("dimensions", where, message)
        return
    for dim in ("node", "other"):
        labels = [str(label) for label in values[dim].values] if dim in values.coords else []
        if labels != list(nodes) or not set(nodes) <= set(equations):
            message = (
                f"The {where} have the labels {labels} along {dim!r}; expected {list(nodes)}, "
                "each with an equation."
            )
            yield _finding("labels", where, message)
    if draws is not None and values.shape[:2] != draws:
        message = (
            f"The {where} have {values.shape[0]} chains of {values.shape[1]} draws, but the "
            f"equations have {draws[0]} chains of {draws[1]} draws."
        )
        yield _finding("number_of_draws", where, message)
    if not np.isfinite(values.values).all():
        yield _finding("not_finite", where, f"The {where} contain values that are not finite.")


def _finding(check: str, where: str, message: str) -> Finding:
    return Finding(check, "error", message, where=where)
