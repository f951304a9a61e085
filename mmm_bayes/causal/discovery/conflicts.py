"""Conflicts between experts and data: evidence on each conflict, and questions to settle it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.discovery.evidence import Evidence, evidence_of
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.posterior import prior_probabilities
from mmm_bayes.causal.graph.checks import Pair
from mmm_bayes.runtime.deprecation import warn_deprecated
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.report import Report
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]

Kind = Literal["rejected", "reversed", "insisted"]

# Bayes factor below which a statement is disputed: the data halve its odds. A stricter bound would
# miss statements about absent edges, because data contain less evidence against these than against
# reversed edges (docs/results/discovery.md).
_AGAINST = 0.5
# Odds of two to one; where the data do not determine a direction, the odds stay at one to one.
_INSIST = 2.0 / 3.0
_TITLES = {
    "rejected": "human bias?",
    "reversed": "direction?",
    "insisted": "data issue?",
}


@final
@dataclass(frozen=True)
class Conflict:
    """One edge on which experts and data disagree.

    Attributes
    ----------
    kind : {"rejected", "reversed", "insisted"}
        ``"rejected"``: experts state the edge, and the data show none. ``"reversed"``: experts
        state the edge, and the data favour the opposite direction. ``"insisted"``: experts forbid
        the edge, and the data support it.
    edge : (str, str)
        The edge in question.
    confidence : float
        Confidence in the experts' statement.
    probability, data_probability, reversed_probability : float
        Probability of the edge given data and knowledge; probability of the edge, and of the
        reversed edge, from the data alone.
    bayes_factor : float
        Factor by which the data and all other statements change the odds of the edge.
    stability : float
        Share of resampled tables whose best graph joins the two nodes.
    direction_share : float
        Share of these graphs with this direction; NaN if no graph joins the two nodes.
    log_evidence, strength, p_value : float
        Evidence on the edge, given the other causes of its effect in the graph from the data alone
        (:class:`mmm_bayes.causal.discovery.evidence.Evidence`).
    questions : tuple of str
        Questions for the experts and about the data.
    """

    kind: Kind
    edge: Pair
    confidence: float
    probability: float
    data_probability: float
    reversed_probability: float
    bayes_factor: float
    stability: float
    direction_share: float
    log_evidence: float
    strength: float
    p_value: float
    questions: tuple[str, ...]

    @property
    def title(self) -> str:
        """Short name: ``"human bias?"``, ``"direction?"`` or ``"data issue?"``."""
        return _TITLES[self.kind]

    @shown_safely
    def __str__(self) -> str:
        a, b = self.edge
        says = {
            "rejected": f"experts state it ({self.confidence:.0%} sure), the data show no effect",
            "reversed": f"experts state it ({self.confidence:.0%} sure), data favour {b} -> {a}",
            "insisted": f"experts forbid it ({self.confidence:.0%} sure), the data support it",
        }[self.kind]
        numbers = (
            f"    probability from data alone {self.data_probability:.2f} (reversed "
            f"{self.reversed_probability:.2f}), with knowledge {self.probability:.2f}; Bayes "
            f"factor {self.bayes_factor:.2g}; joined in {self.stability:.0%} of resampled tables; "
            f"p {self.p_value:.2g} given the other causes"
        )
        asked = "\n".join(f"    - {question}" for question in self.questions)
        return f"{self.title} {a} -> {b}: {says}.\n{numbers}.\n{asked}"


@final
@dataclass(frozen=True, repr=False)
class Conflicts(Report, Sequence[Conflict]):
    """All disputes, ordered by the strength of the evidence."""

    items: tuple[Conflict, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: Any) -> Any:
        return self.items[position]

    def __iter__(self) -> Iterator[Conflict]:
        return iter(self.items)

    def on(self, edge: Sequence[str]) -> Conflict | None:
        """Return the dispute on a pair of nodes, in either direction."""
        return next((item for item in self.items if set(item.edge) == set(edge)), None)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning for every dispute."""
        return tuple(
            Finding(own.kind, "warning", str(own).splitlines()[0], " ".join(own.questions),
                    where=" -> ".join(own.edge))
            for own in self.items
        )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """Return the table of :meth:`to_frame`; the deprecated name."""
        warn_deprecated("Conflicts.table()", "to_frame()")
        return self.to_frame()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per dispute, without the questions."""
        import pandas as pd

        names = [f.name for f in fields(Conflict) if f.name not in ("edge", "questions")]
        rows = [
            {"cause": c.edge[0], "effect": c.edge[1], "question": c.title}
            | {name: getattr(c, name) for name in names}
            for c in self.items
        ]
        return pd.DataFrame(rows, columns=["cause", "effect", "question", *names])

    def __str__(self) -> str:
        if not self.items:
            return "No disputes between experts and data."
        return "\n".join(f"{k}. {item}" for k, item in enumerate(self.items, 1))


@final
@dataclass(frozen=True)
class Seen:
    """Evidence from resampled tables on every edge, as arrays ``[cause, effect]``.

    Attributes
    ----------
    aligned, alone, doubted : ndarray
        Probability of each edge with the knowledge, without it, and with every rule weakened to a
        strong prior.
    joined, directed : ndarray
        Share of resamples whose graph (without knowledge) joins the two nodes in either direction,
        and share whose graph contains this edge.
    doubts : ndarray
        Prior log odds on which ``doubted`` is based.
    """

    aligned: NDArray
    alone: NDArray
    doubted: NDArray
    joined: NDArray
    directed: NDArray
    doubts: NDArray

    def bayes_factors(self, least: float) -> NDArray:
        """Return posterior over prior odds, with probabilities kept away from 0 and 1."""
        after = np.clip(self.doubted, least, 1.0 - least)
        before = np.clip(prior_probabilities(self.doubts), 1e-9, 1.0 - 1e-9)
        return after / (1.0 - after) * (1.0 - before) / before


def find_conflicts(
    table: NodeTable,
    knowledge: Knowledge,
    graph: CausalGraph,
    seen: Seen,
    sample_ratio: float,
    draws: int,
) -> Conflicts:
    """List every statement that the data contradict.

    A stated edge is disputed if the data and all other statements at least halve its odds. A
    forbidden edge is disputed if the data alone give it a probability of two thirds or more; if
    both directions of a pair are forbidden, their sum is compared with two thirds. Rules can be
    disputed too: for this purpose they count as strong priors. ``graph`` is the graph from the data
    alone; tests of an edge hold the other causes of its effect in this graph fixed.
    """
    position = {name: i for i, name in enumerate(table.nodes)}
    factors = seen.bayes_factors(0.5 / max(draws, 1))
    found: list[Conflict] = []
    stated = [(edge, knowledge.confidence_of(edge)) for edge in knowledge.required]
    stated += [(edge, p) for edge, p in knowledge.probabilities.items() if p > 0.5]
    for edge, sure in stated:
        i, j = position[edge[0]], position[edge[1]]
        if factors[i, j] < _AGAINST:
            back, none = seen.doubted[j, i], 1.0 - seen.doubted[i, j] - seen.doubted[j, i]
            kind: Kind = "reversed" if back > none else "rejected"
            found.append(
                _conflict(kind, edge, sure, table, graph, seen, factors[i, j], sample_ratio)
            )
    found += _insisted(table, knowledge, graph, seen, factors, sample_ratio)
    order = sorted(found, key=lambda c: -abs(np.log(max(c.bayes_factor, 1e-12))))
    return Conflicts(tuple(order))


def _insisted(
    table: NodeTable,
    knowledge: Knowledge,
    graph: CausalGraph,
    seen: Seen,
    factors: NDArray,
    sample_ratio: float,
) -> list[Conflict]:
    nodes = table.nodes
    sure = {edge: knowledge.confidence_of(edge) for edge in knowledge.forbidden}
    for a in nodes:
        for b in nodes:
            if a != b and knowledge.against_tiers((a, b)):
                sure[a, b] = max(sure.get((a, b), 0.0), knowledge.tier_confidence)
    required = {frozenset(edge) for edge in knowledge.required}
    found: list[Conflict] = []
    for (a, b), confidence in sure.items():
        i, j = nodes.index(a), nodes.index(b)
        one, other = seen.alone[i, j], seen.alone[j, i]
        whole = one + other if (b, a) in sure else one
        # For a pair forbidden in both directions, the likelier direction represents both.
        doubled = (b, a) in sure and (other, j) > (one, i)
        if whole >= _INSIST and not doubled and frozenset((a, b)) not in required:
            found.append(
                _conflict(
                    "insisted", (a, b), confidence, table, graph, seen, factors[i, j], sample_ratio
                )
            )
    return found


def _conflict(
    kind: Kind,
    edge: Pair,
    confidence: float,
    table: NodeTable,
    graph: CausalGraph,
    seen: Seen,
    factor: float,
    sample_ratio: float,
) -> Conflict:
    i, j = table.nodes.index(edge[0]), table.nodes.index(edge[1])
    others = [name for name in graph.parents(edge[1]) if name != edge[0]]
    if table.columns[edge[1]].shape[1] == 1:
        evidence = evidence_of(table, *edge, others, sample_ratio)
    else:
        evidence = Evidence(np.nan, np.nan, np.nan)
    joined = float(seen.joined[i, j])
    return Conflict(
        kind=kind,
        edge=edge,
        confidence=float(confidence),
        probability=float(seen.aligned[i, j]),
        data_probability=float(seen.alone[i, j]),
        reversed_probability=float(seen.alone[j, i]),
        bayes_factor=float(factor),
        stability=joined,
        direction_share=float(seen.directed[i, j]) / joined if joined > 0 else float("nan"),
        log_evidence=evidence.log_evidence,
        strength=evidence.strength,
        p_value=evidence.p_value,
        questions=_questions(kind, edge, graph),
    )


def _questions(kind: Kind, edge: Pair, graph: CausalGraph) -> tuple[str, ...]:
    a, b = edge
    between = [v for v in graph.descendants(a) if b in graph.descendants(v)]
    way = (
        f" The data support a path through {', '.join(between)}: is this the effect you mean?"
        if between
        else ""
    )
    if kind == "rejected":
        return (
            f"For experts: what would one observe if {a} had no direct effect on {b}?{way}",
            f"For experts: does {a} -> {b} come from an experiment, or from habit or a plan?",
            f"About the data: did {a} vary enough, apart from the other causes of {b}, to show it?",
            f"About the data: does {a} act with a delay of more than one row (a lag or adstock)?",
        )
    if kind == "reversed":
        return (
            f"For experts: which of {a} and {b} changes first, and who decides on {a}?",
            f"For experts: could {a} be planned from {b}, or from a forecast of it?",
            "About the data: do both follow a hidden cause? Then neither direction holds.",
        )
    return (
        f"About the data: is {a} or {b} measured with error, or is one computed from the other "
        "(a quota, a formula)?",
        f"About the data: which hidden variable could move both {a} and {b}?",
        f"About the data: were rows selected by {b} or by one of its effects?",
        f"For experts: why can {a} -> {b} not exist, and would you know of an exception?",
    )
