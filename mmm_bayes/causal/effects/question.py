"""Check a question about effects: nodes, treatments, settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from mmm_bayes.causal.effects.estimate import Bootstrap, Contrast, Effect
from mmm_bayes.causal.effects.estimators import ESTIMATORS
from mmm_bayes.runtime.findings import DataError, Finding, nearest

if TYPE_CHECKING:
    from mmm_bayes.causal.causal_graph import CausalGraph


def nodes_needed(
    graph: CausalGraph,
    treatment: str,
    outcome: str,
    sets: Mapping[str, tuple[str, ...]],
    modifiers: Sequence[str],
) -> tuple[str, ...]:
    """Return the nodes whose columns an estimation reads, in the order of the graph.

    Raises
    ------
    DataError
        If a modifier is neither a node nor ``"season"`` or ``"geo"``.
    """
    named = {treatment, outcome, *(v for own in sets.values() for v in own)}
    named |= {v for v in modifiers if v in graph.nodes}
    wrong = [v for v in modifiers if v not in graph.nodes and v not in ("season", "geo")]
    if wrong:
        raise DataError(
            [
                Finding(
                    "modifiers", "error", f"{v!r} is neither a node nor 'season' or 'geo'.",
                    nearest(v, (*graph.nodes, "season", "geo")).strip() or "Use a node.", v,
                )
                for v in wrong
            ],
            "the question",
        )  # fmt: skip
    return tuple(v for v in graph.nodes if v in named)


def treatments_of(
    data: Any, graph: CausalGraph, treatments: Iterable[str] | None
) -> tuple[str, ...]:
    """Return the given treatments, or else the channels of the graph or the table.

    Raises
    ------
    DataError
        If no treatments are given and there are no channels.
    """
    if treatments is not None:
        return tuple(treatments)
    names = graph.nodes_of("channel")
    if not names and hasattr(data, "channels"):
        names = tuple(v for v in graph.nodes if v in set(map(str, data.channels)))
    if not names:
        message = "No treatments are given, and neither the graph nor the table names channels."
        remedy = 'Pass treatments=, or give nodes of the graph the role "channel".'
        raise DataError([Finding("treatments", "error", message, remedy)], "the question")
    return names


def check_question(
    effect: str,
    estimator: str,
    contrast: str,
    bootstrap: str,
    num_draws: int,
    ci_prob: float,
    adjustment: Iterable[str] | None,
) -> None:
    """Raise a DataError that lists every problem of the question, if there are any."""
    findings = [
        Finding(
            name, "error", f"{name} should be one of {', '.join(known)}; got {value!r}.",
            nearest(value, known).strip() or "Choose one of these.", name,
        )
        for name, value, known in (
            ("effect", effect, get_args(Effect)),
            ("estimator", estimator, tuple(ESTIMATORS)),
            ("contrast", contrast, get_args(Contrast)),
            ("bootstrap", bootstrap, get_args(Bootstrap)),
        )
        if value not in known
    ]  # fmt: skip
    if estimator == "double_ml" and bootstrap == "blocks":
        message = (
            "Cross-fitting cannot be combined with a block bootstrap, because copies of a row "
            "could be in the training part and in the held-out part."
        )
        findings.append(Finding("bootstrap", "error", message, "Use bootstrap='wild'."))
    if effect == "indirect" and adjustment is not None:
        message = (
            "An indirect effect requires two adjustment sets, one for the total and one for the "
            "direct effect."
        )
        remedy = "Leave out adjustment=, or estimate the total and the direct effect separately."
        findings.append(Finding("adjustment", "error", message, remedy, "adjustment"))
    if num_draws < 1:
        message = f"num_draws should be 1 or more; got {num_draws}."
        findings.append(Finding("num_draws", "error", message, "Use 500.", "num_draws"))
    if not 0.0 < ci_prob < 1.0:
        message = f"ci_prob should be between 0 and 1; got {ci_prob}."
        findings.append(Finding("ci_prob", "error", message, "Use 0.9.", "ci_prob"))
    if findings:
        raise DataError(findings, "the question")
