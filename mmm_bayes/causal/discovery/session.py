"""Record rounds of discovery in a file: searches, and decisions with their reasons."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack, final, get_args

import numpy as np

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.discovery.discover import RENAMED, DiscoverySettings, discover
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.result import Discovery
from mmm_bayes.causal.discovery.score import LocalScores
from mmm_bayes.causal.discovery.session_files import Run, read_session, write_session
from mmm_bayes.causal.graph.checks import GraphError, Pair
from mmm_bayes.runtime.deprecation import named_arguments, renamed, rng_key_first, spelled_out
from mmm_bayes.runtime.findings import listing, nearest
from mmm_bayes.runtime.streams import as_key
from mmm_bayes.runtime.visible import shown_safely

Action = Literal["keep", "drop", "reverse", "open"]
Table = Any
"""``MMMData``, a data frame or a ``NodeTable``."""


@final
@dataclass(frozen=True)
class Decision:
    """A decision on an edge, with its reason and the number of runs before it.

    Attributes
    ----------
    edge : (str, str)
        The edge.
    action : {"keep", "drop", "reverse", "open"}
        ``"keep"``: the edge exists. ``"drop"``: there is no edge between the two nodes.
        ``"reverse"``: the reversed edge exists. ``"open"``: nothing is decided yet.
    reason : str
        Reason for the decision.
    by : str
        Person who decided.
    after_runs : int
        Number of runs before the decision.
    """

    edge: Pair
    action: Action
    reason: str
    by: str
    after_runs: int


@final
@dataclass(frozen=True)
class Replay:
    """The repetition of a run.

    Attributes
    ----------
    same_data, same_graph : bool
        Whether the table and the graph equal those of the recorded run.
    discovery : Discovery
        The result.
    differences : tuple of str
        Edges that appear in only one of the two graphs.
    """

    same_data: bool
    same_graph: bool
    discovery: Discovery
    differences: tuple[str, ...]

    @shown_safely
    def __str__(self) -> str:
        table = "the same table" if self.same_data else "a table that has changed since"
        gone = listing(self.differences, 20)
        graph = "the same graph" if self.same_graph else f"a different graph: {gone}"
        return f"Replayed on {table}; {graph}."


@final
class DiscoverySession:
    r"""Rounds of searches and decisions, with a permanent record.

    Each run is recorded with the hash of its table, its key, settings, knowledge, graph and
    disputes; each decision is recorded with its reason. Decisions become rules of the next run; the
    latest decision on a pair of nodes replaces earlier ones. With a ``path``, a complete new file
    replaces the old one after every change.

    Parameters
    ----------
    rng_key : jax.Array or int
        Random key, or a seed, for all runs: the same table and decisions give the same graph.
    knowledge : Knowledge, optional
        Initial statements of the experts.
    path : path, optional
        A ``.json`` file in which the session is kept.
    nodes, method, num_bootstrap, num_draws, block, edge_odds, max_parents, alpha, season, date, geo
        As in :func:`mmm_bayes.causal.discovery.discover.discover`, with the same defaults.

    Examples
    --------
    >>> session = DiscoverySession(key, knowledge, path="graph.json")  # doctest: +SKIP
    >>> print(session.run_again(table))  # doctest: +SKIP
    >>> session.decide(("tv", "sales"), "keep", reason="Lift test of 2024.")  # doctest: +SKIP
    >>> session.run_again(table).graph  # doctest: +SKIP
    """

    @rng_key_first()
    @renamed(**RENAMED)
    @spelled_out(DiscoverySettings)
    def __init__(
        self,
        rng_key: Any,
        knowledge: Knowledge | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        **settings: Unpack[DiscoverySettings],
    ) -> None:
        self.knowledge = Knowledge() if knowledge is None else knowledge
        self.options: dict[str, Any] = {**settings}
        self.path = None if path is None else Path(path)
        self._key = _key_words(rng_key)
        self._runs: list[Run] = []
        self._decisions: list[Decision] = []
        self._cache: dict[str, LocalScores] = {}
        if self.path is not None and self.path.exists():
            text = "There is a session already: use DiscoverySession.load(path) or another path."
            raise FileExistsError(f"{self.path}: {text}")

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, in order."""
        return tuple(self._runs)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, in order."""
        return tuple(self._decisions)

    @property
    def graph(self) -> CausalGraph:
        """Graph of the last run.

        Raises
        ------
        ValueError
            If there has been no run yet.
        """
        if not self._runs:
            raise ValueError("There is no graph yet: call run_again(data).")
        return self._runs[-1].graph

    @property
    def open_conflicts(self) -> tuple[Mapping[str, Any], ...]:
        """Disputes of the last run without a decision; a changed table reopens decided ones."""
        if not self._runs:
            return ()
        settled = {
            pair
            for pair, one in self._last().items()
            if one.action != "open"
            and not any(run.data_changed for run in self._runs[one.after_runs :])
        }
        disputes = self._runs[-1].conflicts
        return tuple(c for c in disputes if frozenset(c["edge"]) not in settled)

    @named_arguments
    def decide(self, edge: Sequence[str], action: Action, *, reason: str, by: str = "") -> Decision:
        """Decide on an edge; the decision applies from the next run on.

        Parameters
        ----------
        edge : (cause, effect)
            The edge.
        action : {"keep", "drop", "reverse", "open"}
            The decision, see :class:`Decision`.
        reason : str
            Reason for the decision; it must not be empty.
        by : str
            Person who decided.

        Raises
        ------
        GraphError
            Listing every problem, including contradictions with rules and other decisions. In this
            case nothing is recorded.
        """
        problems = []
        pair: tuple[Any, ...] = tuple(edge)
        if len(pair) != 2 or not all(isinstance(v, str) and v for v in pair) or pair[0] == pair[-1]:
            problems.append(f'The edge should be two names, ("tv", "sales"), but is {edge!r}.')
        elif self._runs:
            nodes = self._runs[-1].graph.nodes
            problems += [f"{v!r} is not a node.{nearest(v, nodes)}" for v in pair if v not in nodes]
        if action not in get_args(Action):
            known = ", ".join(get_args(Action))
            problems.append(f"The action should be one of {known}, but is {action!r}.")
        if not str(reason).strip():
            problems.append("The reason is empty: write why, so that others can follow the record.")
        if problems:
            raise GraphError(problems, "the decision")
        decision = Decision((pair[0], pair[1]), action, str(reason).strip(), by, len(self._runs))
        _with_decisions(self.knowledge, {**self._last(), frozenset(pair): decision})
        self._decisions.append(decision)
        self._save_if_kept()
        return decision

    def settled_knowledge(self) -> Knowledge:
        """Return the experts' knowledge with the decisions as rules."""
        return _with_decisions(self.knowledge, self._last())

    @renamed(**RENAMED)
    @spelled_out(DiscoverySettings)
    def run_again(self, data: Table, **settings: Unpack[DiscoverySettings]) -> Discovery:
        """Search with the experts' knowledge and all decisions, and record the run.

        Parameters
        ----------
        data : MMMData or pandas.DataFrame
            The table.
        nodes, method, num_bootstrap, num_draws, block, edge_odds, max_parents, alpha, season, \
date, geo
            Settings to change for this run and all later ones.
        """
        changed: dict[str, Any] = {**self.options, **settings}
        found = self._discover(data, self.settled_knowledge(), self._key, changed)
        self.options = changed
        before = self._runs[-1].data_hash if self._runs else found.data_hash
        self._runs.append(Run.of(found, self._key, changed, found.data_hash != before))
        self._save_if_kept()
        return found

    @named_arguments
    def replay(self, data: Table, run: int = -1) -> Replay:
        """Repeat a recorded run, and compare its table and graph with the recorded ones.

        Parameters
        ----------
        data : MMMData or pandas.DataFrame
            The table.
        run : int
            Position of the run in :attr:`runs`.
        """
        if not self._runs:
            raise ValueError("There is no run to replay: call run_again(data).")
        recorded = self._runs[run]
        options = _new_names(recorded.options)
        found = self._discover(data, recorded.knowledge, recorded.key, options)
        new, old = set(found.graph.edges), set(recorded.graph.edges)
        differences = [f"{a} -> {b} is new" for a, b in sorted(new - old)]
        differences += [f"{a} -> {b} is gone" for a, b in sorted(old - new)]
        return Replay(found.data_hash == recorded.data_hash, new == old, found, tuple(differences))

    @named_arguments
    def save(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the session to a ``.json`` file, and keep that file up to date from then on.

        Raises
        ------
        ValueError
            If there is no path.
        """
        if path is not None:
            self.path = Path(path)
        if self.path is None:
            raise ValueError("There is no file to save to: give a path.")
        return write_session(
            self.path,
            knowledge=self.knowledge,
            key=self._key,
            options=self.options,
            runs=self._runs,
            decisions=[{**vars(one), "edge": list(one.edge)} for one in self._decisions],
        )

    @classmethod
    @named_arguments
    def load(cls, path: str | os.PathLike[str]) -> DiscoverySession:
        """Load a session; later changes are saved to the same file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        GraphError
            If the file is not a session.
        """
        found = read_session(Path(path))
        session = cls.__new__(cls)
        session.knowledge, session.options = found["knowledge"], _new_names(found["options"])
        session.path, session._key = Path(path), found["key"]
        session._runs, session._cache = found["runs"], {}
        session._decisions = [Decision(**one) for one in found["decisions"]]
        return session

    @shown_safely
    def __str__(self) -> str:
        lines = []
        for position in range(len(self._runs) + 1):
            for one in self._decisions:
                if one.after_runs == position:
                    name = f" ({one.by})" if one.by else ""
                    edge = " -> ".join(one.edge)
                    lines.append(f"  {one.action} {edge}{name}: {one.reason}")
            if position < len(self._runs):
                lines.append(f"run {position + 1}: {self._runs[position]}")
        return "\n".join(lines) if lines else "No runs and no decisions yet."

    def _last(self) -> dict[frozenset[str], Decision]:
        """Return the last decision on each pair."""
        return {frozenset(one.edge): one for one in self._decisions}

    def _discover(
        self, data: Table, knowledge: Knowledge, key: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Discovery:
        return discover(_key_of(key), data, knowledge, cache=self._cache, **options)

    def _save_if_kept(self) -> None:
        if self.path is not None:
            self.save()


def _with_decisions(
    knowledge: Knowledge, decisions: Mapping[frozenset[str], Decision]
) -> Knowledge:
    """Replace statements about decided pairs with the decisions; raise on contradictions."""
    settled = {pair: one for pair, one in decisions.items() if one.action != "open"}
    required = [edge for edge in knowledge.required if frozenset(edge) not in settled]
    forbidden = [edge for edge in knowledge.forbidden if frozenset(edge) not in settled]
    stated = {*required, *forbidden}
    sure = {edge: c for edge, c in knowledge.confidences.items() if edge in stated}
    for one in settled.values():
        a, b = one.edge
        added = {"keep": [(a, b)], "reverse": [(b, a)], "drop": []}[one.action]
        required += added
        barred = [(a, b), (b, a)] if one.action == "drop" else []
        forbidden += barred
        sure |= dict.fromkeys([*added, *barred], 1.0)
    probable = {
        edge: p for edge, p in knowledge.probabilities.items() if frozenset(edge) not in settled
    }
    return Knowledge(
        tuple(required), tuple(forbidden), knowledge.tiers, probable, knowledge.confidence, sure,
        knowledge.tier_confidence,
    )  # fmt: skip


def _new_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an older file under their present names."""
    return {RENAMED.get(name, name): value for name, value in options.items()}


def _key_words(rng_key: Any) -> dict[str, Any]:
    """Return a JAX key as plain values."""
    import jax

    key = as_key(rng_key)
    words = np.asarray(jax.random.key_data(key)).ravel()
    return {"impl": str(jax.random.key_impl(key)), "words": [int(w) for w in words]}


def _key_of(found: Mapping[str, Any]) -> Any:
    import jax

    words = jax.numpy.asarray(np.array(found["words"], np.uint32))
    return jax.random.wrap_key_data(words, impl=found["impl"]) if found["impl"] else words
