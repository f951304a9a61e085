"""How the nodes and edges of a causal graph look: by their roles, and by what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.present.plots.style import INK, MODEL

Key = tuple[str, str, str]
"""An edge: one node, ``"->"`` or ``"<->"``, the other, as the graph has it."""

OPEN = "#c8102e"


class Look(NamedTuple):
    """How a kind of node is drawn: in colour, and by shape for those who do not see it."""

    label: str
    face: str
    edge: str
    text: str = INK
    rounding: float = 0.07
    line: str = "-"


LOOKS = {
    "treatment": Look("treatment", "#9cc7e6", "#0072b2"),
    "channel": Look("channel", "#e2eff8", "#0072b2"),
    "mediator": Look("mediator", "#fdf0d5", "#d58f00"),
    "confounder": Look("confounder", "#f9dcd3", "#c04a1b", rounding=0.0),
    "control": Look("control", "#f0f1f3", "#7d838c", rounding=0.0),
    "seasonality": Look("seasonality", "#d9efe6", "#00795a", rounding=0.16),
    "target": Look("outcome", "#2b3a4a", "#2b3a4a", "white"),
    "other": Look("other", "white", "#9aa0a8", line="--"),
}


def kind_of(graph: CausalGraph, name: str, treatment: str | None, outcome: str | None) -> str:
    """Find the part of a node in the question; where there is none, in the model."""
    role = graph.role(name)
    if name == outcome or role == "target":
        return "target"
    if name == treatment:
        return "treatment"
    if outcome is None:
        return role or "other"
    causes = [treatment] if treatment is not None else list(graph.nodes_of("channel"))
    if treatment is not None and name in graph.descendants(treatment):
        return "mediator" if name in graph.ancestors(outcome) else role or "other"
    asked = treatment is not None or role in ("control", None)
    around = graph.links.without_arrows_from(causes)
    causes_one = any(name in graph.ancestors(x) for x in causes)
    if asked and causes_one and outcome in around.descendants([name]):
        return "confounder"
    return role or "other"


def question_colours(
    graph: CausalGraph,
    treatment: str | None,
    outcome: str | None,
    adjusted: Sequence[str] | None,
) -> dict[Key, str]:
    """Choose the colours of the edges of the effect, and of open paths that bias it."""
    found: dict[Key, str] = {}
    if treatment is None or outcome is None:
        return found
    if adjusted is not None:
        for finding in graph.explain_adjustment(treatment, outcome, adjusted).errors:
            if finding.path is None or finding.check not in ("open_back_door", "collider"):
                continue
            path = finding.path
            for one, arrow, other in zip(path.nodes[:-1], path.arrows, path.nodes[1:], strict=True):
                found[key_of(graph, one, arrow, other)] = OPEN
    through = {treatment, *(v for v in graph.descendants(treatment)
                            if v == outcome or v in graph.ancestors(outcome))}  # fmt: skip
    after = set(graph.descendants(outcome))
    for cause, effect in graph.edges:
        if {cause, effect} <= through - after and cause != outcome:
            found[cause, "->", effect] = MODEL
    return found


def key_of(graph: CausalGraph, one: str, arrow: str, other: str) -> Key:
    """Return an edge, read in either direction, as the graph has it."""
    if arrow == "<->":
        pair = (one, other) if (one, other) in graph.bidirected else (other, one)
        return pair[0], "<->", pair[1]
    return (one, "->", other) if arrow == "->" else (other, "->", one)
