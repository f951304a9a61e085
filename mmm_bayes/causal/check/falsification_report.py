"""Report of a graph test: rejected claims, edges, suggested changes, permutation baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from mmm_bayes.causal.check.independence_result import IndependenceResult
from mmm_bayes.causal.check.permutation_baseline import PermutationBaseline
from mmm_bayes.causal.graph.equivalence import TimeOrder
from mmm_bayes.causal.graph.implied import Independence
from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.runtime.deprecation import old_name
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.report import Report
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import pandas as pd


Claim = Independence | TimeOrder
_ADJUSTED = {
    "holm": "family-wise error rate by Holm",
    "bh": "false discovery rate by Benjamini and Hochberg",
    "by": "false discovery rate by Benjamini and Yekutieli",
    "none": "not adjusted for the number of tests",
}
Sight = Literal["seen", "faint", "not seen", "cannot be told"]


@final
@dataclass(frozen=True)
class IndependenceCheck:
    """The test of one implied independence.

    Attributes
    ----------
    claim : Independence or TimeOrder
        The tested implication: an independence or, for time series, that an effect does not precede
        its cause.
    result : IndependenceResult
        Result of the test.
    p_adjusted : float
        P-value adjusted for the number of claims.
    objects : bool
        Whether the data reject the claim.
    """

    claim: Claim
    result: IndependenceResult
    p_adjusted: float
    objects: bool

    @shown_safely
    def __str__(self) -> str:
        low, high = self.result.interval
        span = f" ({low:.2f} to {high:.2f})" if low == low else ""  # some tests give no interval
        verdict = "rejected by the data" if self.objects else "not rejected"
        text = (
            f"{self.claim}: {verdict}; effect {self.result.effect:.2f}{span}, "
            f"p = {self.p_adjusted:.3g} adjusted"
        )
        loudest = self.result.loudest
        plain = isinstance(self.claim, TimeOrder) or loudest in ("", "x and y")
        if self.objects and not plain:
            text += f", through {_named(loudest, self.claim.x, self.claim.y)}"
        return text


@final
@dataclass(frozen=True)
class EdgeCheck:
    """The test of one edge: whether the data show a sign of it.

    Attributes
    ----------
    cause, effect : str
        Start and end of the edge.
    given : tuple of str
        Nodes that separate cause and effect when the edge is removed.
    result : IndependenceResult or None
        Test of the independence that would hold without the edge; None if there is none.
    p_adjusted : float
        P-value adjusted for the number of edges.
    sight : {"seen", "faint", "not seen", "cannot be told"}
        Evidence for the edge. ``"seen"``: significant after adjustment; ``"faint"``: significant
        only before adjustment; ``"not seen"``: not significant; ``"cannot be told"``: not testable,
        because hidden causes link the two nodes.
    direction : str
        ``"settled"`` if independences determine the direction, else ``"not settled"``: the graph
        with the edge reversed implies the same independences.
    hint : str
        Further evidence about the direction, with its assumptions; empty if there is none, or if
        hints were not requested.
    """

    cause: str
    effect: str
    given: tuple[str, ...]
    result: IndependenceResult | None
    p_adjusted: float
    sight: Sight
    direction: Literal["settled", "not settled"]
    hint: str = ""

    @shown_safely
    def __str__(self) -> str:
        edge = f"{self.cause} -> {self.effect}"
        if self.result is None:
            return f"{edge}: cannot be tested, because hidden causes link the two nodes"
        words = {
            "seen": "supported by the data",
            "faint": "weakly supported by the data",
            "not seen": "the data show no sign of this edge",
        }
        low, high = self.result.interval
        text = f"{edge}: {words[self.sight]}; effect {self.result.effect:.2f}"
        text += f" ({low:.2f} to {high:.2f})" if low == low else ""
        text += f", p = {self.p_adjusted:.3g} adjusted"
        return text + ("" if self.direction == "settled" else "; its direction is not determined")


@final
@dataclass(frozen=True)
class Suggestion[G: MixedGraph]:
    """One change of the graph, with the number of rejections that it removes.

    Attributes
    ----------
    change : str
        Description such as ``"add tv -> sales"``, ``"turn tv -> search"`` (reverse the edge), or
        ``"hidden cause tv <-> sales"``.
    graph : MixedGraph or CausalGraph
        The changed graph.
    removed, left : int
        Number of rejections that the change removes, and number of remaining rejections.
    """

    change: str
    graph: G
    removed: int
    left: int

    @shown_safely
    def __str__(self) -> str:
        return f"{self.change}: removes {self.removed}, leaves {self.left}"


@final
@dataclass(frozen=True, repr=False)
class FalsificationReport[G: MixedGraph](Report):
    """The test of a graph on a table.

    Attributes
    ----------
    graph : MixedGraph or CausalGraph
        The tested graph, without unmeasured nodes.
    test, adjustment : str
        Name of the independence test, and adjustment of the p-values.
    alpha : float
        Significance level; with ``"holm"``, the probability of any rejection of a correct graph.
    independences : tuple of IndependenceCheck
        Tests of the implied independences.
    edges : tuple of EdgeCheck
        Tests of the edges.
    suggestions : tuple of Suggestion
        Changes that remove rejections, best first.
    baseline : PermutationBaseline or None
        Comparison of the graph with graphs that have shuffled names, by simple tests.
    num_rows : int
        Number of rows of the table.
    """

    graph: G
    test: str
    adjustment: str
    alpha: float
    independences: tuple[IndependenceCheck, ...]
    edges: tuple[EdgeCheck, ...]
    suggestions: tuple[Suggestion[G], ...]
    baseline: PermutationBaseline | None
    num_rows: int

    n_rows = old_name("num_rows")

    @property
    def objected(self) -> bool:
        """Whether the data reject any claim."""
        return bool(self.objections)

    @property
    def objections(self) -> tuple[IndependenceCheck, ...]:
        """Rejected claims, with the smallest p-value first."""
        found = [check for check in self.independences if check.objects]
        return tuple(sorted(found, key=lambda check: check.result.p_value))

    @property
    def p_value(self) -> float:
        """P-value of the whole graph: the smallest adjusted p-value."""
        return min((check.p_adjusted for check in self.independences), default=1.0)

    @property
    def unseen(self) -> tuple[EdgeCheck, ...]:
        """Edges without a sign in the data."""
        return tuple(edge for edge in self.edges if edge.sight == "not seen")

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        count, total = len(self.objections), len(self.independences)
        if not total:
            return "The graph implies no independence, so no data could contradict it."
        level = f"{_ADJUSTED[self.adjustment]}, {100 * self.alpha:g}%"
        if not count:
            claims = "the one independence" if total == 1 else f"any of the {total} independences"
            return f"The data do not contradict {claims} that the graph implies ({level})."
        which = "the one independence" if total == 1 else f"{count} of the {total} independences"
        return f"The data contradict {which} that the graph implies ({level})."

    @property
    def findings(self) -> tuple[Finding, ...]:
        """One error for each rejected claim, and one note for each edge without a sign in data."""
        remedy = "; ".join(str(own) for own in self.suggestions[:5])
        objections = [
            Finding("independence", "error", f"{own}.", remedy, str(own.claim),
                    value=own.p_adjusted, threshold=self.alpha)
            for own in self.objections
        ]  # fmt: skip
        silent = [
            Finding("edge", "note", f"{own}.", where=f"{own.cause} -> {own.effect}")
            for own in self.unseen
        ]
        return (*objections, *silent)

    def to_frame(self) -> pd.DataFrame:
        """Return independences and edges as a table, one row each."""
        import pandas as pd

        rows = []
        for check in self.independences:
            says = "rejected" if check.objects else "not rejected"
            kind = "time order" if isinstance(check.claim, TimeOrder) else "independence"
            rows.append(_row(kind, str(check.claim), check.result, check.p_adjusted, says))
        for edge in self.edges:
            name = f"{edge.cause} -> {edge.effect}"
            rows.append(_row("edge", name, edge.result, edge.p_adjusted, edge.sight))
        columns = ["kind", "claim", "effect", "low", "high", "p", "p_adjusted", "n", "verdict"]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        lines = [self.verdict]
        lines += [f"  {check}" for check in self.objections]
        if self.objections and self.suggestions:
            lines.append("Changes to consider, with the number of rejections removed and left:")
            lines += [f"  {suggestion}" for suggestion in self.suggestions[:5]]
        elif self.objections:
            lines.append("No single change to the graph removes a rejection.")
        if self.unseen:
            lines.append("Edges without a sign in the data (this does not disprove them):")
            lines += [f"  {edge}" for edge in self.unseen]
        open_ = [f"{edge.cause} -> {edge.effect}" for edge in self.edges if _open(edge)]
        if open_:
            lines.append(f"Directions that the data cannot determine: {', '.join(open_)}.")
        lines += [f"  Hint: {edge.hint}." for edge in self.edges if edge.hint]
        if self.baseline is not None and self.baseline.num_tests:
            lines.append(f"Compared with chance: {self.baseline}")
        return "\n".join(lines)


def _open(edge: EdgeCheck) -> bool:
    return edge.direction == "not settled"


def _row(
    kind: str, claim: str, result: IndependenceResult | None, adjusted: float, verdict: str
) -> tuple[Any, ...]:
    missing = float("nan")
    if result is None:
        return kind, claim, missing, missing, missing, missing, missing, 0, verdict
    low, high = result.interval
    return kind, claim, result.effect, low, high, result.p_value, adjusted, result.n, verdict


def _named(part: str, x: str, y: str) -> str:
    """Replace x and y by the names of the nodes, as in ``"past of tv and sales"``."""
    names = {"x": x, "y": y, "x²": f"the square of {x}", "y²": f"the square of {y}"}
    return " ".join(names.get(word, word) for word in part.split())
