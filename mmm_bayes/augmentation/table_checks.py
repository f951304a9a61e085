"""Check a table against a graph, and its kernels and bandwidths: every finding at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.augmentation import kernels
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.graph.checks import if_hidden
from mmm_bayes.data.collinearity import is_same_series, same_series
from mmm_bayes.data.dates import holds_dates
from mmm_bayes.runtime.findings import Finding, listing, nearest

Bandwidth = str | float | Mapping[str, float]

_SHOW_ROWS = 5
_LEAST_VALUES = 10  # columns of fewer values may agree by chance


def check_table(
    frame: pd.DataFrame,
    graph: CausalGraph,
    blocks: Mapping[str, tuple[str, ...]],
    kernel: str | Mapping[str, str],
    bandwidth: Bandwidth,
    bandwidth_scale: float,
) -> list[Finding]:
    """Check columns and blocks against the graph, then cells, kernels and bandwidths."""
    findings: list[Finding] = []

    def report(check: str, message: str, remedy: str, column: str | None = None) -> None:
        findings.append(Finding(check, "error", message, remedy, column))

    names = [str(name) for name in frame.columns]
    claimed = [c for node in graph.nodes for c in blocks.get(node, (node,))]
    wanted = {c: node for node in graph.nodes for c in blocks.get(node, (node,))}
    for node in [node for node in blocks if node not in graph.nodes]:
        report(
            "unknown_block",
            f"Block {node!r} is not a variable of the graph.",
            f"The variables are {listing(graph.nodes, 12)}.{nearest(node, graph.nodes)}",
        )
    for node in graph.nodes:
        if not blocks.get(node, (node,)):
            report("empty_block", f"Block {node!r} has no columns.", "List its columns.")
    for name in dict.fromkeys(name for name in claimed if claimed.count(name) > 1):
        report(
            "shared_column",
            f"Column {name!r} is used {claimed.count(name)} times in the variables and blocks.",
            "Use each column once: in one block, or as the variable of its name.",
            name,
        )
    for name, node in wanted.items():
        if name not in names:
            where = "" if name == node else f" of block {node!r}"
            report(
                "missing_column",
                f"The graph's variable {name!r}{where} is not a column of the table.",
                f"The columns are {listing(names, 12)}.{nearest(name, names)} {if_hidden(node)}",
                name,
            )
    for name in names:
        if name not in wanted:
            report(
                "column_not_in_graph",
                f"Column {name!r} is not in the graph.",
                "Add it as a node (without edges if it has none), or drop the column.",
                name,
            )
    for name in sorted({name for name in names if names.count(name) > 1}):
        report("repeated_column", f"Column {name!r} is duplicated.", "Keep one of them.", name)
    findings += _same_series(frame, [name for name in wanted if names.count(name) == 1])
    if len(frame) < 2:
        message = f"The table has too few rows: {len(frame)}."
        report("too_few_rows", message, "Give at least two rows.")
    if findings:
        return findings
    for name in names:
        findings += _check_column(frame[name], name)
    findings += _check_kernels(frame, kernel)
    findings += _check_bandwidth(frame, kernel, bandwidth, bandwidth_scale)
    return findings


def _check_column(series: pd.Series[Any], name: str) -> list[Finding]:
    missing = np.flatnonzero(series.isna().to_numpy())
    if missing.size:
        shown = listing(missing.tolist(), _SHOW_ROWS)
        return [
            Finding(
                "missing_value",
                "error",
                f"Column {name!r} has {missing.size} missing values, in rows {shown}.",
                "Fill them in or drop these rows before augmenting.",
                name,
                tuple(map(int, missing)),
            )
        ]
    if holds_dates(series):
        return [
            Finding(
                "dates",
                "error",
                f"Column {name!r} holds dates, which cannot be a variable of a graph.",
                "Drop it, or replace it by columns for trend and season.",
                name,
            )
        ]
    if pd.api.types.is_float_dtype(series.dtype):
        wrong = np.flatnonzero(~np.isfinite(series.to_numpy(float)))
        if wrong.size:
            shown = listing(wrong.tolist(), _SHOW_ROWS)
            return [
                Finding(
                    "not_finite",
                    "error",
                    f"Column {name!r} has infinite values, in rows {shown}.",
                    "Replace them or drop these rows.",
                    name,
                    tuple(map(int, wrong)),
                )
            ]
    return []


def _check_kernels(frame: pd.DataFrame, kernel: str | Mapping[str, str]) -> list[Finding]:
    asked = kernel if isinstance(kernel, Mapping) else {}
    findings: list[Finding] = []
    if isinstance(kernel, str) and kernel not in kernels.CONTINUOUS:
        findings.append(unknown_choice("kernel", kernel, kernels.CONTINUOUS, None))
    for name, own in asked.items():
        if name not in frame.columns:
            findings.append(unknown_choice("kernel of", name, list(map(str, frame.columns)), None))
        elif own not in kernels.KERNELS:
            findings.append(unknown_choice("kernel", own, kernels.KERNELS, name))
        elif own in (*kernels.CONTINUOUS, "wang_ryzin") and not pd.api.types.is_numeric_dtype(
            frame[name].dtype
        ):
            findings.append(
                Finding(
                    "kernel_of_categories",
                    "error",
                    f"Column {name!r} holds categories, but kernel {own!r} needs numbers.",
                    "Use 'indicator' or 'aitchison_aitken'.",
                    name,
                )
            )
    return findings


def _check_bandwidth(
    frame: pd.DataFrame,
    kernel: str | Mapping[str, str],
    bandwidth: Bandwidth,
    bandwidth_scale: float,
) -> list[Finding]:
    findings: list[Finding] = []
    names = list(frame.columns)
    numbers: dict[str, float] = {"bandwidth_scale": bandwidth_scale}
    if isinstance(bandwidth, str):
        if bandwidth not in kernels.BANDWIDTH_RULES:
            findings.append(unknown_choice("bandwidth", bandwidth, kernels.BANDWIDTH_RULES, None))
    elif isinstance(bandwidth, Mapping):
        for name, value in bandwidth.items():
            if name not in names:
                findings.append(unknown_choice("bandwidth of", name, names, None))
            else:
                numbers[name] = value
    else:
        numbers["bandwidth"] = bandwidth
    for name, value in numbers.items():
        own = kernel.get(str(name)) if isinstance(kernel, Mapping) else None
        if name in names and own in ("aitchison_aitken", "wang_ryzin"):
            most = kernels.largest_bandwidth(own, frame[name].nunique())
            if not 0 < value <= most:
                findings.append(
                    Finding(
                        "bandwidth",
                        "error",
                        f"The bandwidth of {name!r} should be above 0 and at most {most:.3g}, but "
                        f"got {value}.",
                        f"It is the lambda of kernel {own!r}; leave it out for n**-0.4.",
                        name,
                    )
                )
        elif not (np.isfinite(value) and value > 0):
            findings.append(
                Finding(
                    "bandwidth",
                    "error",
                    f"The bandwidth {name!r} should be a positive number, but got {value}.",
                    "Give it in the units of the column, or use a rule such as 'silverman'.",
                    name if name in names else None,
                )
            )
    return findings


def check_combination(
    augmented: pd.DataFrame, observed: pd.DataFrame, mixture: float
) -> list[Finding]:
    """Check the share of augmented rows, and that both tables have the same columns."""
    findings = []
    if not 0.0 <= mixture <= 1.0:
        message = f"mixture should be between 0 and 1, but got {mixture}."
        findings.append(Finding("mixture", "error", message, "A usual value is 0.5."))
    for name in observed.columns.difference(augmented.columns, sort=False):
        message = f"Column {name!r} of the observed rows is not in the augmented rows."
        findings.append(Finding("other_columns", "error", message, "Drop it.", str(name)))
    for name in augmented.columns.difference(observed.columns, sort=False):
        message = f"The observed rows lack the column {name!r}."
        remedy = "Give the table that was augmented."
        findings.append(Finding("other_columns", "error", message, remedy, str(name)))
    return findings


def unknown_choice(
    what: str, given: str, options: Sequence[str], column: str | None = None
) -> Finding:
    """Make the finding that a name is not among the options."""
    return Finding(
        "unknown_choice",
        "error",
        f"There is no {what} {given!r}.",
        f"Choose from {listing(options, 12)}.{nearest(given, options)}",
        column,
    )


def _same_series(frame: pd.DataFrame, names: list[str]) -> list[Finding]:
    """Compare the columns of continuous values."""
    series = {
        name: frame[name].to_numpy(float)
        for name in names
        if pd.api.types.is_float_dtype(frame[name].dtype) and not frame[name].isna().any()
    }
    series = {name: v for name, v in series.items() if len(np.unique(v)) >= _LEAST_VALUES}
    remedy = "Leave one of them out of the table and the graph."
    return [
        same_series(f"column {one!r}", f"column {other!r}", remedy, other)
        for (one, a), (other, b) in combinations(series.items(), 2)
        if is_same_series(a, b)
    ]
