"""Check the settings of an augmentation against each other: every finding at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from mmm_bayes.augmentation.estimators import ESTIMATORS
from mmm_bayes.augmentation.table_checks import unknown_choice
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.runtime.findings import Finding

Method = Literal["sample", "resample", "residual", "enumerate"]

METHODS: tuple[str, ...] = get_args(Method)
PRECISIONS = ("float32", "float64")


def check_settings(
    graph: CausalGraph,
    method: str,
    names: Mapping[str, str],
    threshold: float,
    num_rows: int | None,
    smoothing: float,
    rng_key: Any,
    precision: str,
) -> list[Finding]:
    """Check what is asked of an augmentation, before its table."""
    findings = []
    if method not in METHODS:
        findings.append(unknown_choice("method", method, METHODS))
    if precision not in PRECISIONS:
        findings.append(unknown_choice("precision", precision, PRECISIONS))
    for node, name in names.items():
        if node not in graph.nodes:
            findings.append(unknown_choice("variable", node, graph.nodes))
        elif name not in ESTIMATORS:
            same = [own for own in names if names[own] == name]
            if node == same[0]:  # once for all variables that have it
                own = node if len(same) == 1 else None
                findings.append(unknown_choice("estimator", name, tuple(ESTIMATORS), own))
    if not 0.0 <= threshold <= 1.0:
        message = f"threshold should lie between 0 and 1, but is {threshold}."
        findings.append(Finding("threshold", "error", message, "The usual one is 0.01."))
    if num_rows is not None and num_rows < 1:
        message = f"num_rows should be at least 1, but is {num_rows}."
        findings.append(Finding("num_rows", "error", message, "Leave it out for max(2 n, 500)."))
    if not (np.isfinite(smoothing) and smoothing >= 0.0):
        message = f"smoothing should be 0 or more, but is {smoothing}."
        findings.append(Finding("smoothing", "error", message, "It is in bandwidths: try 0.5."))
    if method != "enumerate" and rng_key is None:
        message = f"method={method!r} draws at random, and there is no rng_key."
        findings.append(Finding("rng_key", "error", message, "Give jax.random.key(0), or a seed."))
    return findings
