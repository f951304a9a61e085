"""Run a search and return edge probabilities with, without, and with doubted expert priors."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.libraries import SEARCHES, Rules
from mmm_bayes.causal.discovery.posterior import candidate_sets, draw_under, least_errors, pooled
from mmm_bayes.causal.discovery.result import hash_of
from mmm_bayes.causal.discovery.rows import block_rows, effective_sample_ratio
from mmm_bayes.causal.discovery.score import LocalScores, fitted_set, local_scores, scores_near

NDArray = np.ndarray[Any, Any]

# Confidence that replaces certainty in a rule when testing whether the data contradict it.
_RULE_IN_DOUBT = 0.95
_KEPT_GRAPHS = 50


def resampled(
    rng: np.random.Generator, table: NodeTable, bootstrap: int, block: int
) -> list[tuple[NodeTable, NDArray | None]]:
    """Return resampled tables with the counts of their rows; for 0, the table itself."""
    if bootstrap == 0:
        return [(table, None)]
    found: list[tuple[NodeTable, NDArray | None]] = []
    for _ in range(bootstrap):
        rows, counts = block_rows(rng, table, block)
        found.append((table.select(rows), counts))
    return found


@final
@dataclass(frozen=True)
class Priors:
    """Prior log odds and rules of edges, as arrays ``[cause, effect]``.

    ``experts``, ``nobody`` and ``doubts`` are the log odds with the experts' statements, without
    them, and with every rule weakened to a strong prior. ``required`` and ``nothing`` are the edges
    that must be present with and without the experts.
    """

    experts: NDArray
    nobody: NDArray
    doubts: NDArray
    required: NDArray
    nothing: NDArray

    @property
    def forbidden(self) -> NDArray:
        """Edges that the experts' rules exclude."""
        return np.isneginf(self.experts)

    @property
    def never(self) -> NDArray:
        """Edges that are always excluded: into a season, or from a node to itself."""
        return np.isneginf(self.nobody)

    @property
    def has_rules(self) -> bool:
        """Whether experts state rules."""
        return bool(self.required.any() or (self.forbidden & ~self.never).any())


def priors_of(table: NodeTable, knowledge: Knowledge, edge_odds: float) -> Priors:
    """Return the three priors over the graphs of a table, in which seasons have no causes."""
    nodes = table.nodes
    wide = [i for i, name in enumerate(nodes) if table.columns[name].shape[1] > 1]
    experts, required = knowledge.prior(nodes, edge_odds)
    nobody, nothing = Knowledge().prior(nodes, edge_odds)
    doubts, _ = knowledge.softened(_RULE_IN_DOUBT).prior(nodes, edge_odds)
    for odds in (experts, nobody, doubts):
        odds[:, wide] = -np.inf
        np.fill_diagonal(odds, -np.inf)
    return Priors(experts, nobody, doubts, required, nothing)


@final
@dataclass(frozen=True)
class Found:
    """Edge probabilities ``[cause, effect]`` under the three priors, and probable graphs.

    ``aligned``, ``alone`` and ``doubted`` are the probabilities with the experts' prior, without
    it, and with doubted rules; ``by_resample`` splits ``alone`` by resampled table. ``graphs`` are
    the most probable graphs under the experts' prior.
    """

    aligned: NDArray
    alone: NDArray
    doubted: NDArray
    by_resample: NDArray
    graphs: list[tuple[NDArray, float]]
    effective_sample_ratio: float


def by_scores(
    rng: np.random.Generator,
    table: NodeTable,
    tables: Sequence[tuple[NodeTable, NDArray | None]],
    knowledge: Knowledge,
    priors: Priors,
    draws: int,
    max_parents: int,
    cache: MutableMapping[str, LocalScores],
) -> Found:
    """Draw graphs by their scores on every resampled table, under each prior."""
    candidates, size, stated = candidate_sets(table, knowledge, max_parents)
    scored = []
    for one, counts in tables:
        key = f"{hash_of(one)} {size} {candidates}"
        if key not in cache:
            cache[key] = local_scores(one, max_parents=size, candidates=candidates, counts=counts)
        near = scores_near(one, stated, cache[key], candidates=candidates, counts=counts)
        scored.append(near)
    ratio = _ratio_of_residuals(table, scored[0])
    scored = [
        LocalScores(one.nodes, one.sets, tuple(ratio * value for value in one.values))
        for one in scored
    ]
    alone = draw_under(rng, scored, priors.nobody, priors.nothing, draws)
    aligned = draw_under(rng, scored, priors.experts, priors.required, draws)
    doubted = aligned
    if priors.has_rules:
        doubted = draw_under(rng, scored, priors.doubts, priors.nothing, draws)
    return Found(
        aligned.probabilities, alone.probabilities, doubted.probabilities, alone.by_resample,
        aligned.most_probable(_KEPT_GRAPHS), ratio,
    )  # fmt: skip


def _ratio_of_residuals(table: NodeTable, scores: LocalScores) -> float:
    """Compute the effective sample ratio from residuals given the best causes; 1 without dates."""
    if table.dates is None:
        return 1.0
    residuals = []
    for i, name in enumerate(table.nodes):
        if table.columns[name].shape[1] == 1:
            best = int(scores.sets[i][scores.values[i].argmax()])
            causes = [v for j, v in enumerate(table.nodes) if best >> j & 1]
            residuals.append(fitted_set(table, name, causes)[1])
    return effective_sample_ratio(np.column_stack(residuals), table.geos)


def by_search(
    tables: Sequence[tuple[NodeTable, NDArray | None]],
    table: NodeTable,
    priors: Priors,
    method: str,
    alpha: float,
    edge_odds: float,
) -> Found:
    """Run a search of another package with and without rules, and combine it with the priors."""
    search = SEARCHES[method]
    none = np.zeros(priors.required.shape, bool)
    alone = np.array([search(one, Rules(none, none), alpha) for one, _ in tables])
    ruled = alone
    if priors.has_rules:
        rules = Rules(priors.required, priors.forbidden & ~np.eye(len(none), dtype=bool))
        ruled = np.array([search(one, rules, alpha) for one, _ in tables])
    # An edge found in none or all of B tables is still not certain.
    room = 1.0 / (len(tables) + 2.0)
    softened = [(1.0 - room) * found.mean(0) + room * edge_odds for found in (alone, ruled)]
    aligned = pooled(softened[1], priors.experts, edge_odds)
    aligned = np.where(priors.required, 1.0, np.where(priors.required.T, 0.0, aligned))
    doubted = pooled(softened[0], priors.doubts, edge_odds)
    graphs = [(least_errors(paired(aligned), priors.required, priors.forbidden), 1.0)]
    return Found(aligned, alone.mean(0), doubted, alone, graphs, _ratio_of_rows(table))


def _ratio_of_rows(table: NodeTable) -> float:
    if table.dates is None:
        return 1.0
    single = [name for name in table.nodes if table.columns[name].shape[1] == 1]
    values = table.matrix(single)
    return effective_sample_ratio(values - values.mean(0), table.geos)


def paired(probabilities: NDArray) -> NDArray:
    """Scale probabilities so that the two directions of each pair sum to at most one."""
    both = np.maximum(probabilities + probabilities.T, 1.0)
    return probabilities / both
