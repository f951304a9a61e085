"""Comparison of effects along a graph with a plain media-mix model, with reasons to differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.identify.criteria import IdentificationError
from mmm_bayes.fit_result import FitResult
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.findings import listing

if TYPE_CHECKING:
    import pandas as pd


def reconciled(
    ours: pd.DataFrame, plain: FitResult, graph: CausalGraph, target: str, ci_prob: float
) -> pd.DataFrame:
    """Compare the summary ``ours`` with a plain fit; see :meth:`StructuralFit.reconcile`."""
    import pandas as pd

    theirs = plain.summary(ci_prob)
    rows = []
    for channel in dict.fromkeys(ours.index.get_level_values("channel")):
        if channel not in theirs.index:
            continue
        total, direct = ours.loc[(channel, "total")], ours.loc[(channel, "direct")]
        own = theirs.loc[channel]
        overlap = (
            own["contribution_lower"] <= total["contribution_upper"]
            and total["contribution_lower"] <= own["contribution_upper"]
        )
        row: dict[str, Any] = {"channel": channel}
        for name, part in (("plain", own), ("total", total), ("direct", direct)):
            row[name] = part["contribution"]
            row[f"{name}_lower"] = part["contribution_lower"]
            row[f"{name}_upper"] = part["contribution_upper"]
        used = [*plain.data.channels, *plain.data.controls]
        others = [name for name in used if name != channel]
        why = reasons_to_differ(graph, channel, target, others, plain.spec)
        rows.append(row | {"overlap": overlap, "why": " ".join(why)})
    return pd.DataFrame(rows).set_index("channel")


def reasons_to_differ(
    graph: CausalGraph, channel: str, target: str, used: Sequence[str], spec: ModelSpec
) -> list[str]:
    """Return reasons why a regression on ``used`` does not give the total effect of a channel."""
    known = [name for name in used if name in graph.nodes]
    if spec.seasonality:
        known += [name for name in graph.nodes_of("seasonality") if name not in known]
    after = set(graph.descendants(channel))
    mediators = [n for n in known if n in after and target in graph.descendants(n)]
    late = [n for n in known if n in graph.descendants(target)]
    why = []
    if mediators:
        why.append(
            f"{channel} acts through {listing(mediators)}, which the plain model holds fixed: it "
            "estimates a direct effect."
        )
    if late:
        why.append(
            f"The plain model adjusts for {listing(late)}, caused by {target}, which biases all "
            "channels."
        )
    try:
        wanted = graph.adjustment_set(channel, target)
    except IdentificationError:
        why.append("No adjustment set exists: a hidden common cause confounds the channel.")
    else:
        if missing := [n for n in wanted if n not in known]:
            why.append(f"The plain model does not adjust for {listing(missing)}.")
    others = [n for n in used if n not in graph.nodes]
    if others:
        why.append(f"The plain model uses {listing(others)}, not in the graph.")
    return why or ["Both models adjust as the graph requires, so they should agree."]
