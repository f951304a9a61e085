"""Checks of the settings of simulators; all problems are reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.runtime.findings import Finding, listing, nearest
from mmm_bayes.simulate.scm_graph import causal_order, parents_of


def setting_finding(
    name: str, expected: str, given: object, remedy: str = "Correct it."
) -> Finding:
    """Return an error about one setting."""
    text = f"{name} should be {expected}, but is {given!r}."
    return Finding("setting", "error", text, remedy, where=name)


def size_findings(sizes: Mapping[str, tuple[Any, int]]) -> list[Finding]:
    """Check whole numbers, each given with its smallest allowed value."""
    return [
        setting_finding(name, f"a whole number of {least} or more", value, "Give one.")
        for name, (value, least) in sizes.items()
        if not isinstance(value, int | np.integer) or value < least
    ]


def share_findings(shares: Mapping[str, Any]) -> list[Finding]:
    """Check numbers that should be finite and not negative."""
    return [
        setting_finding(name, "a number of 0 or more", value, "Give one.")
        for name, value in shares.items()
        if not isinstance(value, int | float | np.number) or not 0 <= value < np.inf
    ]


def interval_findings(values: Mapping[str, tuple[Any, str]]) -> list[Finding]:
    """Check numbers, each given with its interval, such as ``"(0, 0.8)"`` or ``"[0, 1)"``."""
    return [
        setting_finding(name, f"a number in {interval}", value, "Give one.")
        for name, (value, interval) in values.items()
        if not _lies_in(value, interval)
    ]


def _lies_in(value: Any, interval: str) -> bool:
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        return False
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return bool(above and below)


def name_findings(names: Mapping[str, tuple[Any, Sequence[str]]]) -> list[Finding]:
    """Check names, each given with the known ones."""
    return [
        setting_finding(
            name,
            f"one of {', '.join(known)}",
            value,
            nearest(str(value), known).strip() or "Choose one of these.",
        )
        for name, (value, known) in names.items()
        if value not in known
    ]


def confounder_findings(num_confounders: int, num_nodes: int) -> list[Finding]:
    """Check that there are no more hidden causes than pairs of nodes."""
    pairs = num_nodes * (num_nodes - 1) // 2
    if num_confounders <= pairs:
        return []
    expected = f"at most {pairs}, one per pair of the {num_nodes} nodes"
    return [
        setting_finding(
            "num_confounders", expected, num_confounders, "Lower it or raise num_nodes."
        )
    ]


def edge_findings(edges: Any, nodes: Sequence[str]) -> list[Finding]:
    """Check that edges form an acyclic graph over the nodes."""
    remedy = 'Write [("V0", "V1"), ("V1", "V2")].'
    if isinstance(edges, str) or not isinstance(edges, Iterable):
        return [setting_finding("edges", "a list of (cause, effect) pairs", edges, remedy)]
    found: list[Finding] = []
    kept: list[tuple[str, str]] = []
    for edge in edges:
        if not isinstance(edge, tuple | list) or [type(v) for v in edge] != [str, str]:
            found.append(setting_finding("edges", "pairs of names, (cause, effect)", edge, remedy))
            continue
        known = [_unknown(edge, name, nodes) for name in dict.fromkeys(edge) if name not in nodes]
        found += known
        if known:
            continue
        pair = (edge[0], edge[1])
        if pair[0] == pair[1]:
            found.append(_edge(edge, "joins a node with itself.", "Remove it."))
        elif pair in kept:
            found.append(_edge(edge, "is given more than once.", "Remove one."))
        else:
            kept.append(pair)
    cycle = _cycle(parents_of(kept, nodes))
    if cycle:
        text = f"edges contain the directed cycle {' -> '.join(nodes[i] for i in cycle)}."
        remedy = "Remove or reverse one of its edges."
        found.append(Finding("cycle", "error", text, remedy, where="edges"))
    return found


def column_findings(frame: pd.DataFrame) -> list[Finding]:
    """Check that columns hold finite numbers, and that the table has rows."""
    found = []
    if not len(frame):
        text = "The table has no rows, so the range of its columns is unknown."
        found.append(Finding("no_rows", "error", text, "Give at least one row."))
    for name, column in frame.items():
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            text = f"Column {name!r} should hold numbers, but has type {column.dtype}."
            found.append(Finding("not_numeric", "error", text, "Leave it out.", where=str(name)))
            continue
        wrong = np.flatnonzero(~np.isfinite(column.to_numpy(dtype=np.float64, na_value=np.nan)))
        if len(wrong):
            text = f"Column {name!r} is empty or infinite in rows {listing(wrong)}."
            rows = tuple(int(row) for row in wrong)
            remedy = "Fill these cells or leave the rows out."
            found.append(Finding("not_finite", "error", text, remedy, where=str(name), rows=rows))
    return found


def _edge(edge: Sequence[str], text: str, remedy: str) -> Finding:
    return Finding("edge", "error", f"Edge {edge[0]} -> {edge[1]} {text}", remedy, where="edges")


def _unknown(edge: Sequence[str], name: str, nodes: Sequence[str]) -> Finding:
    known = f"Nodes are {nodes[0]} to {nodes[-1]} (num_nodes={len(nodes)})."
    return _edge(edge, f"names {name!r}, which is not a node.", known)


def _cycle(parents: Sequence[Sequence[int]]) -> list[int]:
    """Find one cycle by walking back through parents that are not in the causal order."""
    left = set(range(len(parents))) - set(causal_order(parents))
    walk = [min(left)] if left else []
    while walk:
        before = next(p for p in parents[walk[-1]] if p in left)
        if before in walk:
            return [before, *reversed(walk[walk.index(before) :])]
        walk.append(before)
    return []
