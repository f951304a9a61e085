"""What the data say of a graph: objections, edges, remedies, and how much chance explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from mmm_bayes.causal.check.independence_result import IndependenceResult
from mmm_bayes.causal.check.permutation_baseline import PermutationBaseline
from mmm_bayes.causal.graph.equivalence import TimeOrder
from mmm_bayes.causal.graph.implied import Independence
from mmm_bayes.causal.graph.mixed_graph import MixedGraph

if TYPE_CHECKING:
    import pandas as pd


Claim = Independence | TimeOrder
_ADJUSTED = {
    "holm": "family-wise by Holm",
    "bh": "false discoveries by Benjamini and Hochberg",
    "by": "false discoveries by Benjamini and Yekutieli",
    "none": "not adjusted",
}
Sight = Literal["seen", "faint", "not seen", "cannot be told"]


@final
@dataclass(frozen=True)
class IndependenceCheck:
    """One implied independence against the data.

    Attributes
    ----------
    claim : Independence or TimeOrder
        What the graph implies; of series, also that effects do not come before their causes.
    result : IndependenceResult
        The test.
    p_adjusted : float
        P-value adjusted for the number of claims.
    objects : bool
        Whether the data object here.
    """

    claim: Claim
    result: IndependenceResult
    p_adjusted: float
    objects: bool

    def __str__(self) -> str:
        low, high = self.result.interval
        span = f" ({low:.2f} to {high:.2f})" if low == low else ""  # a number: not for all tests
        verdict = "the data object here" if self.objects else "the data do not object"
        text = (
            f"{self.claim}: {verdict}; effect {self.result.effect:.2f}{span}, "
            f"p = {self.p_adjusted:.3g} adjusted"
        )
        loudest = self.result.loudest
        told = isinstance(self.claim, TimeOrder) or loudest in ("", "x and y")
        if self.objects and not told:
            text += f", through {_named(loudest, self.claim.x, self.claim.y)}"
        return text


@final
@dataclass(frozen=True)
class EdgeCheck:
    """One edge against the data, and whether there is anything to see of it.

    Attributes
    ----------
    cause, effect : str
        The edge.
    given : tuple of str
        What separates the two once the edge is gone.
    result : IndependenceResult or None
        Test of the independence that would hold without the edge; None where none would.
    p_adjusted : float
        Adjusted for the number of edges.
    sight : {"seen", "faint", "not seen", "cannot be told"}
        ``"faint"`` does not outlast the adjustment; ``"cannot be told"`` where hidden causes join
        the two.
    direction : str
        ``"settled"`` where independences fix it, else ``"not settled"``: turned round within its
        Markov equivalence class, an edge is invisible to them.
    hint : str
        What else speaks for a direction, with what it assumes; empty if nothing, or not asked for.
    """

    cause: str
    effect: str
    given: tuple[str, ...]
    result: IndependenceResult | None
    p_adjusted: float
    sight: Sight
    direction: Literal["settled", "not settled"]
    hint: str = ""

    def __str__(self) -> str:
        edge = f"{self.cause} -> {self.effect}"
        if self.result is None:
            return f"{edge}: cannot be told, hidden causes join the two"
        words = {
            "seen": "the data see it",
            "faint": "the data see it faintly",
            "not seen": "the data see nothing of this edge",
        }
        low, high = self.result.interval
        text = f"{edge}: {words[self.sight]}; effect {self.result.effect:.2f}"
        text += f" ({low:.2f} to {high:.2f})" if low == low else ""
        text += f", p = {self.p_adjusted:.3g} adjusted"
        return text + ("" if self.direction == "settled" else "; its direction is not settled")


@final
@dataclass(frozen=True)
class Suggestion[G: MixedGraph]:
    """One change of the graph, and what it does to the objections.

    Attributes
    ----------
    change : str
        ``"add tv -> sales"``, ``"turn tv -> search"``, ``"hidden cause tv <-> sales"``.
    graph : MixedGraph or CausalGraph
        The graph after it.
    removed, left : int
        Objections fewer than now, and objections to the changed graph.
    """

    change: str
    graph: G
    removed: int
    left: int

    def __str__(self) -> str:
        return f"{self.change}: removes {self.removed}, leaves {self.left}"


@final
@dataclass(frozen=True)
class FalsificationReport[G: MixedGraph]:
    """A graph against a table.

    Attributes
    ----------
    graph : MixedGraph or CausalGraph
        What was tested, without unmeasured nodes.
    test, adjustment : str
        Test of each independence, and how p-values were adjusted.
    alpha : float
        Probability, with ``"holm"``, of any objection to a right graph.
    independences : tuple of IndependenceCheck
    edges : tuple of EdgeCheck
    suggestions : tuple of Suggestion
        Changes that remove objections, best first.
    baseline : PermutationBaseline or None
        Quick tests of the graph and of graphs with shuffled names.
    n_rows : int
        Rows of the table.
    """

    graph: G
    test: str
    adjustment: str
    alpha: float
    independences: tuple[IndependenceCheck, ...]
    edges: tuple[EdgeCheck, ...]
    suggestions: tuple[Suggestion[G], ...]
    baseline: PermutationBaseline | None
    n_rows: int

    @property
    def objected(self) -> bool:
        """Whether the data object anywhere."""
        return bool(self.objections)

    @property
    def objections(self) -> tuple[IndependenceCheck, ...]:
        """Where the data object, the smallest p-value first."""
        found = [check for check in self.independences if check.objects]
        return tuple(sorted(found, key=lambda check: check.result.p_value))

    @property
    def p_value(self) -> float:
        """The least adjusted p-value: that of the whole graph."""
        return min((check.p_adjusted for check in self.independences), default=1.0)

    @property
    def unseen(self) -> tuple[EdgeCheck, ...]:
        """Edges that the data see nothing of."""
        return tuple(edge for edge in self.edges if edge.sight == "not seen")

    @property
    def verdict(self) -> str:
        """One sentence."""
        count, total = len(self.objections), len(self.independences)
        if not total:
            return "The graph implies no independence: no data could object to it."
        level = f"{_ADJUSTED[self.adjustment]}, {100 * self.alpha:g}%"
        if not count:
            claims = "the one independence" if total == 1 else f"any of {total} independences"
            return f"The data do not object to {claims} that the graph implies ({level})."
        which = "the one independence" if total == 1 else f"{count} of {total} independences"
        return f"The data object to {which} that the graph implies ({level})."

    def summary(self) -> pd.DataFrame:
        """Independences and edges as a table, one row each."""
        import pandas as pd

        rows = []
        for check in self.independences:
            says = "objects" if check.objects else "does not object"
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
            lines.append("Edges to reconsider (objections):")
            lines += [f"  {suggestion}" for suggestion in self.suggestions[:5]]
        elif self.objections:
            lines.append("No single change of an edge removes an objection.")
        if self.unseen:
            lines.append("Edges that the data see nothing of (no proof that they are not there):")
            lines += [f"  {edge}" for edge in self.unseen]
        open_ = [f"{edge.cause} -> {edge.effect}" for edge in self.edges if _open(edge)]
        if open_:
            lines.append(f"Directions that no independence settles: {', '.join(open_)}.")
        lines += [f"  Hint: {edge.hint}." for edge in self.edges if edge.hint]
        if self.baseline is not None and self.baseline.n_tests:
            lines.append(f"Against chance: {self.baseline}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        table: Any = self.summary().round(3)
        return f"<pre>{escape(str(self))}</pre>{table.to_html(index=False)}"


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
    """Put the nodes' names in place of x and y: ``"past of tv and sales"``."""
    names = {"x": x, "y": y, "x²": f"the square of {x}", "y²": f"the square of {y}"}
    return " ".join(names.get(word, word) for word in part.split())
