"""Explain whether a proposed adjustment set is valid, member by member and path by path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names
from mmm_bayes.causal.identify.adjustment import adjustment_set
from mmm_bayes.causal.identify.adjustment_findings import (
    AdjustmentFinding,
    members_that_bias,
    members_to_spare,
    paths_that_bias,
)
from mmm_bayes.causal.identify.criteria import Effect, IdentificationError, check_given, criterion
from mmm_bayes.runtime.deprecation import named_arguments, warn_deprecated
from mmm_bayes.runtime.report import Report, text_as_html

if TYPE_CHECKING:
    import pandas as pd


@final
@dataclass(frozen=True, repr=False)
class AdjustmentReport(Report):
    """Verdict on a proposed adjustment set, with the reasons.

    Attributes
    ----------
    treatment, outcome : str
    effect : {"total", "direct"}
    given : tuple of str
        The proposed set.
    valid : bool
        Whether the set meets the generalised adjustment criterion, which is necessary and
        sufficient.
    findings : tuple of AdjustmentFinding
        Findings, errors first. There is an error if and only if the set is not valid.
    instead : tuple of str or None
        The smallest valid set; None if there is no valid set.
    """

    treatment: str
    outcome: str
    effect: Effect
    given: tuple[str, ...]
    valid: bool
    findings: tuple[AdjustmentFinding, ...] = field()
    instead: tuple[str, ...] | None

    @property
    def errors(self) -> tuple[AdjustmentFinding, ...]:
        """Findings that bias the effect."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finding: severity, kind, node, path and message."""
        import pandas as pd

        rows = [
            (f.severity, f.check, f.where or "", str(f.path or ""), f.message)
            for f in self.findings
        ]
        return pd.DataFrame(rows, columns=["severity", "kind", "node", "path", "message"])

    def table(self) -> pd.DataFrame:
        """Return the table of :meth:`to_frame`; the deprecated name."""
        warn_deprecated("AdjustmentReport.table()", "to_frame()")
        return self.to_frame()

    def __str__(self) -> str:
        own = ", ".join(self.given) or "nothing"
        verdict = "identifies" if self.valid else "does not identify"
        lines = [
            f"Adjusting for {own} {verdict} the {self.effect} effect of {self.treatment} on "
            f"{self.outcome}."
        ]
        lines += [f"  {finding}" for finding in self.findings]
        if not self.valid:
            better = "no set does" if self.instead is None else (
                f"adjust for {', '.join(self.instead) or 'nothing'}")  # fmt: skip
            lines.append(f"  instead: {better}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return text_as_html(str(self))


@named_arguments
def explain_adjustment(
    graph: MixedGraph,
    treatment: str,
    outcome: str,
    given: Names = (),
    effect: Effect = "total",
    latent: Names = (),
) -> AdjustmentReport:
    """Explain whether a proposed adjustment set is valid, and the role of each member.

    Parameters
    ----------
    treatment, outcome : str
    given : str or iterable of str
        The proposed set.
    effect : {"total", "direct"}
    latent : str or iterable of str
        Nodes that are not measured; ``instead`` contains none of them.

    Raises
    ------
    GraphError
        If names are unknown or the sets overlap.

    Examples
    --------
    >>> from mmm_bayes import CausalGraph
    >>> graph = CausalGraph(
    ...     edges=[("season", "tv"), ("season", "sales"), ("tv", "search"), ("search", "sales")]
    ... )
    >>> print(graph.explain_adjustment("tv", "sales", ["season", "search"]))
    Adjusting for season, search does not identify the total effect of tv on sales.
      error: search is a mediator (tv -> search -> sales): ...
      instead: adjust for season
    """
    if not isinstance(treatment, str):
        raise GraphError(["explain_adjustment takes one treatment: name a node."], "the question")
    goal = criterion(graph, treatment, outcome, effect)
    known = check_given(graph, given, goal)
    findings = [
        *members_that_bias(graph, goal, known),
        *paths_that_bias(graph, goal, known),
        *members_to_spare(graph, goal, known),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    try:
        instead = adjustment_set(graph, treatment, outcome, effect=effect, latent=latent)
    except IdentificationError:
        instead = None
    return AdjustmentReport(
        treatment, outcome, effect, known, goal.is_met(known),
        tuple(sorted(findings, key=lambda finding: order[finding.severity])), instead,
    )  # fmt: skip
