"""Prior knowledge of experts about a graph: edges, tiers, probabilities and confidences."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.discovery.knowledge_checks import (
    check_against,
    check_knowledge,
    read_probabilities,
)
from mmm_bayes.causal.graph.checks import GraphError, Pair
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import nearest
from mmm_bayes.runtime.text_file import TextError, parse_toml, read_text

NDArray = np.ndarray[Any, Any]

_KEYS = (
    "required", "forbidden", "tiers", "probabilities",
    "confidence", "confidences", "tier_confidence",
)  # fmt: skip
# A probability of exactly 0 or 1 from a fitted model is rounding, not certainty.
_LEAST = 0.005


@final
@dataclass(frozen=True)
class Knowledge:
    r"""Statements of experts about the edges of a graph, each with a confidence.

    A statement with confidence 1 is a rule that the aligned graph obeys. A statement with lower
    confidence is a prior: experts may be wrong, and clear evidence in the data overrules it.

    Parameters
    ----------
    required : iterable of (cause, effect)
        Direct effects. With confidence :math:`c`, the prior odds of the edge against no edge are
        :math:`c / (1 - c)`; the reversed edge keeps the odds of an edge without a statement.
    forbidden : iterable of (cause, effect)
        Edges that do not exist in this direction. With confidence :math:`c`, the prior odds of the
        edge are multiplied by :math:`(1 - c) / c`.
    tiers : sequence of sequences of str
        Stages, from first to last (brand, page views, effect channels, sales). Edges from a later
        to an earlier stage are forbidden with confidence ``tier_confidence``. Nodes may be left
        out.
    probabilities : mapping of (cause, effect) to float, or xarray.DataArray
        Prior probabilities of edges, for example ``CausalMMM.edge_probabilities``. An array needs
        the dimensions ``source`` and ``target``; it is averaged over all others (shops).
    confidence : float
        Confidence in required and forbidden edges, above 0.5 and at most 1.
    confidences : mapping of (cause, effect) to float
        Confidence in individual required or forbidden edges, in place of ``confidence``.
    tier_confidence : float
        Confidence in the order of the tiers.

    Raises
    ------
    GraphError
        Listing every problem: duplicate or contradictory statements, cycles of required edges,
        required edges that contradict the tiers, nodes in two tiers, and numbers out of range.

    Examples
    --------
    >>> knowledge = Knowledge(
    ...     required=[("tv", "search"), ("search", "sales")],
    ...     tiers=[["tv"], ["search"], ["sales"]],
    ...     confidences={("tv", "search"): 0.95},
    ... )
    >>> knowledge.confidence_of(("tv", "search")), knowledge.confidence_of(("search", "sales"))
    (0.95, 0.8)
    """

    required: tuple[Pair, ...] = ()
    forbidden: tuple[Pair, ...] = ()
    tiers: tuple[tuple[str, ...], ...] = ()
    probabilities: Mapping[Pair, float] = field(default_factory=dict)
    confidence: float = 0.8
    confidences: Mapping[Pair, float] = field(default_factory=dict)
    tier_confidence: float = 1.0

    def __post_init__(self) -> None:
        problems: list[str] = []
        probabilities = read_probabilities(self.probabilities, problems)
        found, more = check_knowledge(
            self.required, self.forbidden, self.tiers, probabilities,
            self.confidence, self.confidences, self.tier_confidence,
        )  # fmt: skip
        if problems or more:
            raise GraphError([*problems, *more], "the knowledge")
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @classmethod
    @named_arguments
    def from_graph(
        cls, graph: CausalGraph, *, confidence: float = 0.8, absent: float | None = None
    ) -> Knowledge:
        """State a whole graph: its edges are required, and all other pairs of nodes have no edge.

        Parameters
        ----------
        graph : CausalGraph
            The experts' graph. Bidirected edges are left out: they do not state a direct effect.
        confidence : float
            Confidence in the edges.
        absent : float, optional
            Confidence in the absence of all other edges. Default: ``confidence``.
        """
        joined = {frozenset(pair) for pair in graph.edges}
        missing = [
            (a, b)
            for a in graph.nodes
            for b in graph.nodes
            if a != b and frozenset((a, b)) not in joined
        ]
        sure = confidence if absent is None else absent
        return cls(
            required=graph.edges,
            forbidden=tuple(missing),
            confidence=confidence,
            confidences=dict.fromkeys(missing, sure) if sure != confidence else {},
        )

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes that appear in a statement."""
        pairs = [*self.required, *self.forbidden, *self.probabilities]
        named = [name for pair in pairs for name in pair]
        return tuple(dict.fromkeys([*named, *(v for tier in self.tiers for v in tier)]))

    def confidence_of(self, edge: Sequence[str]) -> float:
        """Return the confidence in a required or forbidden edge."""
        return self.confidences.get((edge[0], edge[1]), self.confidence)

    def against_tiers(self, edge: Sequence[str]) -> bool:
        """Return whether an edge leads from a later stage to an earlier one."""
        stage = {name: i for i, tier in enumerate(self.tiers) for name in tier}
        return stage.get(edge[0], -1) > stage.get(edge[1], len(self.tiers))

    def check(self, nodes: Iterable[str]) -> None:
        """Raise :class:`GraphError` listing every name that is not among the nodes."""
        if problems := check_against(self.nodes, tuple(nodes)):
            raise GraphError(problems, "the knowledge")

    def softened(self, most: float) -> Knowledge:
        """Return the statements with every confidence limited to ``most``: none is a rule."""
        stated = [*self.required, *self.forbidden]
        return Knowledge(
            self.required, self.forbidden, self.tiers, self.probabilities,
            min(self.confidence, most),
            {edge: min(self.confidence_of(edge), most) for edge in stated},
            min(self.tier_confidence, most),
        )  # fmt: skip

    def prior(self, nodes: Sequence[str], edge_odds: float) -> tuple[NDArray, NDArray]:
        r"""Return the log prior odds of every edge against no edge, and the required edges.

        Parameters
        ----------
        nodes : sequence of str
            Nodes of the graph.
        edge_odds : float
            Prior odds of an edge without a statement.

        Returns
        -------
        ndarray
            Log odds ``[cause, effect]``; -inf where the edge is ruled out.
        ndarray
            Boolean array ``[cause, effect]`` of the edges that must be present.
        """
        position = {name: i for i, name in enumerate(nodes)}
        odds = np.full((len(nodes), len(nodes)), np.log(edge_odds))
        ruled = np.zeros(odds.shape, bool)
        for (a, b), p in self.probabilities.items():
            i, j = position[a], position[b]
            back = self.probabilities.get((b, a), min(0.5 * (1.0 - p), edge_odds))
            none = max(1.0 - p - back, _LEAST)
            odds[i, j] = np.log(max(p, _LEAST) / none)
            odds[j, i] = np.log(max(back, _LEAST) / none)
        for a, b in self.required:
            i, j, sure = position[a], position[b], self.confidence_of((a, b))
            if sure == 1.0:
                ruled[i, j], odds[i, j], odds[j, i] = True, 0.0, -np.inf
            else:
                odds[i, j] = np.log(sure / (1.0 - sure))
        backward = [(a, b) for a in nodes for b in nodes if a != b and self.against_tiers((a, b))]
        doubts = [((a, b), self.confidence_of((a, b))) for a, b in self.forbidden]
        for (a, b), sure in [*doubts, *((edge, self.tier_confidence) for edge in backward)]:
            factor = -np.inf if sure == 1.0 else np.log((1.0 - sure) / sure)
            odds[position[a], position[b]] += factor
        return odds, ruled

    def to_dict(self) -> dict[str, Any]:
        """Return the statements as lists and numbers, leaving out empty ones."""
        found: dict[str, Any] = {
            "confidence": self.confidence,
            "tier_confidence": self.tier_confidence,
            "tiers": [list(tier) for tier in self.tiers],
            "required": [list(edge) for edge in self.required],
            "forbidden": [list(edge) for edge in self.forbidden],
            "confidences": [
                {"edge": list(edge), "confidence": sure} for edge, sure in self.confidences.items()
            ],
            "probabilities": [
                {"edge": list(edge), "probability": p} for edge, p in self.probabilities.items()
            ],
        }
        return {key: value for key, value in found.items() if value not in ([],)}

    @classmethod
    @named_arguments
    def from_dict(cls, found: Mapping[str, Any]) -> Knowledge:
        """Make knowledge from the result of :meth:`to_dict`; unknown keys are errors."""
        if not isinstance(found, Mapping):
            raise GraphError([f"Expected a table of statements, but found {found!r:.60}."])
        problems = [
            f"Unknown key {key!r}.{nearest(str(key), _KEYS) or f' Known are {", ".join(_KEYS)}.'}"
            for key in found
            if key not in _KEYS
        ]
        parts = dict(found)
        for key, value in (("confidences", "confidence"), ("probabilities", "probability")):
            parts[key] = {}
            entries = found.get(key, ())
            for entry in entries if isinstance(entries, list | tuple) else [entries]:
                if not _is_entry(entry, value):
                    form = f'{{edge = ["tv", "sales"], {value} = 0.9}}'
                    problems.append(f"An entry of {key} should be {form}, but is {entry!r}.")
                else:
                    parts[key][tuple(entry["edge"])] = entry[value]
        if problems:
            raise GraphError(problems, "the knowledge")
        return cls(**parts)

    @named_arguments
    def to_toml(self, path: str | os.PathLike[str]) -> Path:
        """Write the knowledge to a TOML file, which is replaced only by a complete new one."""
        import tomli_w

        path = Path(path)
        with atomic_write(path) as place:
            place.write_text(tomli_w.dumps(self.to_dict()), encoding="utf-8", newline="\n")
        return path

    @classmethod
    @named_arguments
    def from_toml(cls, path: str | os.PathLike[str]) -> Knowledge:
        """Read knowledge from a TOML file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        GraphError
            If the text is not TOML; otherwise listing every problem with the statements.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        try:
            return cls.from_dict(parse_toml(read_text(path)))
        except TextError as error:
            raise GraphError([str(error)], str(path)) from None


def _is_entry(entry: Any, value: str) -> bool:
    """Return whether an entry consists of an edge, given by two strings, and a value."""
    if not isinstance(entry, Mapping) or set(entry) != {"edge", value}:
        return False
    edge = entry["edge"]
    return isinstance(edge, list | tuple) and all(isinstance(name, str) for name in edge)
