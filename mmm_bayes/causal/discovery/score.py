"""Score sets of causes of a node by Gaussian-process evidence with noise of any shape."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.discovery.kernels import Kernels, density_gain

NDArray = np.ndarray[Any, Any]

# A column has no usable density if its most frequent value fills a larger share of rows.
_MOST_TIES = 0.2
# Penalty for a bend, because ranks fit it with as many parameters as there are rows. Values between
# 1 and 20 hardly change the accuracy on simulated tables; tables with curved effects and no bend
# need a high value.
_BEND_COST = 10.0


@final
@dataclass(frozen=True)
class LocalScores:
    """Log scores of every node given sets of causes.

    Attributes
    ----------
    nodes : tuple of str
        The nodes.
    sets : tuple of ndarray
        For each node, its sets of causes as bit masks over the nodes, an array (set,).
    values : tuple of ndarray
        For each node, its log evidence given each of these sets, an array (set,).
    """

    nodes: tuple[str, ...]
    sets: tuple[NDArray, ...]
    values: tuple[NDArray, ...]

    def weighed(self, weights: NDArray) -> LocalScores:
        """Add log prior weights ``[cause, effect]`` of edges; -inf excludes sets with the edge."""
        found = [
            value + masked_sums(masks, weights[:, i])
            for i, (masks, value) in enumerate(zip(self.sets, self.values, strict=True))
        ]
        return LocalScores(self.nodes, self.sets, tuple(found))

    def requiring(self, required: NDArray) -> LocalScores:
        """Keep only the sets that contain the causes of required edges ``[cause, effect]``."""
        found = []
        for i, (masks, value) in enumerate(zip(self.sets, self.values, strict=True)):
            needed = sum(1 << int(j) for j in np.flatnonzero(required[:, i]))
            found.append(np.where(masks & needed == needed, value, -np.inf))
        return LocalScores(self.nodes, self.sets, tuple(found))


def masked_sums(masks: NDArray, weights: NDArray) -> NDArray:
    """Sum the weights (node,) over the nodes in each set."""
    total = np.zeros(len(masks))
    for j, weight in enumerate(weights):
        if weight != 0.0:
            total += np.where(masks >> j & 1, weight, 0.0)
    return total


def local_scores(
    table: NodeTable,
    *,
    max_parents: int,
    candidates: Mapping[str, Iterable[str]] | None = None,
    counts: NDArray | None = None,
) -> LocalScores:
    r"""Score every node given every set of up to ``max_parents`` causes.

    A node is a smooth function of its causes plus noise of any shape,
    :math:`x_i = f_i(x_S) + e_i`. The function has a Gaussian-process prior with covariance

    .. math:: k_S(x, x') = \prod_{j \in S} \tfrac12 \left(1 + \exp(-(x_j - x_j')^2 / 2
              \ell^2)\right),

    which expands into a sum over all subsets of ``S``, so that it covers effects of single causes
    and interactions (Duvenaud, Nickisch and Rasmussen 2011). The evidence is averaged over a grid
    of length scales and noise shares; the variance itself is profiled out. If a leave-one-out
    kernel density of the residuals :math:`\hat e` fits better than the normal density, the gain is
    added:

    .. math:: s_i(S) = \log \overline{p}(x_i \mid x_S) + \max\Big(0, \sum_t
              \log \hat p_{-t}(\hat e_t) - \log \phi(\hat e_t)\Big).

    Noise may also enter before a final bend, :math:`x_i = g_i(f_i(x_S) + e_i)` (Zhang and Hyvarinen
    2009). This model is scored with the normal scores :math:`z_i = \Phi^{-1}(\mathrm{rank} / n)` in
    place of the node, plus the log density of :math:`x_i` as the change of variables. The evidence
    of both models is summed, with prior odds of :math:`e^{-10}` for the bend, so that the bend
    counts only if its score is higher by about 10 or more.

    Both nonlinear functions and noise that is not normal distinguish causes from effects (Hoyer and
    others 2009); with linear functions and normal noise, both directions have the same score. The
    covariance is approximated with 60 inducing rows (Nystroem), so that the time is linear in the
    number of rows.

    Parameters
    ----------
    table : NodeTable
        The nodes; a node with several columns (a season) has no causes.
    max_parents : int
        Largest number of causes in a set.
    candidates : mapping of str to names, optional
        Possible causes of each node. Default: all others.
    counts : ndarray, optional
        Number of times each row occurs in a resampled table, (row,). Leaving a row out leaves out
        all its copies.

    References
    ----------
    D. Duvenaud, H. Nickisch and C. Rasmussen (2011), Additive Gaussian processes. NeurIPS 24.
    P. Hoyer, D. Janzing, J. Mooij, J. Peters and B. Schoelkopf (2009), Nonlinear causal discovery
    with additive noise models. NeurIPS 21.
    K. Zhang and A. Hyvarinen (2009), On the identifiability of the post-nonlinear causal model. UAI
    25.
    """
    wanted: dict[tuple[int, ...], list[int]] = {}
    for i, options in enumerate(_allowed(table.nodes, candidates)):
        for size in range(min(max_parents, len(options)) + 1):
            for causes in itertools.combinations(sorted(options), size):
                wanted.setdefault(causes, []).append(i)
    return _scored(table, wanted, counts)


def scores_near(
    table: NodeTable,
    stated: Mapping[str, Sequence[str]],
    known: LocalScores,
    *,
    candidates: Mapping[str, Iterable[str]] | None = None,
    counts: NDArray | None = None,
) -> LocalScores:
    """Add sets of any size that differ from the stated causes of a node by up to two nodes.

    Parameters
    ----------
    table, candidates, counts
        As for :func:`local_scores`.
    stated : mapping of str to names
        Causes of each node that experts state.
    known : LocalScores
        Scores to which the new ones are added; sets in it are not scored again.
    """
    position = {name: i for i, name in enumerate(table.nodes)}
    wanted: dict[tuple[int, ...], list[int]] = {}
    for i, options in enumerate(_allowed(table.nodes, candidates)):
        base = {position[v] for v in stated.get(table.nodes[i], ())}
        seen = set(known.sets[i].tolist())
        for size in range(3 if base else 0):
            for changed in itertools.combinations(sorted(options), size):
                causes = tuple(sorted(base.symmetric_difference(changed)))
                if sum(1 << j for j in causes) not in seen:
                    wanted.setdefault(causes, []).append(i)
    if not wanted:
        return known
    more = _scored(table, wanted, counts)
    joined = [
        (np.append(known.sets[i], more.sets[i]), np.append(known.values[i], more.values[i]))
        if table.columns[name].shape[1] == 1
        else (known.sets[i], known.values[i])
        for i, name in enumerate(table.nodes)
    ]
    return LocalScores(table.nodes, tuple(s for s, _ in joined), tuple(v for _, v in joined))


def _scored(
    table: NodeTable, wanted: Mapping[tuple[int, ...], list[int]], counts: NDArray | None
) -> LocalScores:
    """Score nodes given sets of causes; nodes with several columns only have the empty set."""
    nodes = table.nodes
    columns = [_standardised(table.columns[name]) for name in nodes]
    single = [column.shape[1] == 1 for column in columns]
    bent = {
        i: _Bend(columns[i][:, 0], counts)
        for i, v in enumerate(nodes)
        if single[i] and _ties(table.columns[v]) <= _MOST_TIES
    }
    kernels = Kernels(columns)
    sets: list[list[int]] = [[] for _ in nodes]
    values: list[list[float]] = [[] for _ in nodes]
    for causes in sorted(wanted, key=lambda found: (len(found), found)):
        targets = [i for i in wanted[causes] if single[i]]
        if not targets:
            continue
        plain = [(columns[i][:, 0], bent.get(i)) for i in targets]
        mask = sum(1 << j for j in causes)
        for i, score in zip(targets, _score(kernels, causes, plain, counts)[0], strict=True):
            sets[i].append(mask)
            values[i].append(float(score))
    for i, ok in enumerate(single):
        if not ok:
            sets[i], values[i] = [0], [0.0]
    return LocalScores(
        nodes,
        tuple(np.array(found, np.int64) for found in sets),
        tuple(np.array(found, float) for found in values),
    )


def fitted_set(table: NodeTable, node: str, causes: Sequence[str]) -> tuple[float, NDArray]:
    """Return the score of a node given one set of causes, and its standardised residual (row,)."""
    columns = [_standardised(table.columns[name]) for name in causes]
    wanted = _standardised(table.columns[node])[:, 0]
    bend = _Bend(wanted, None) if _ties(table.columns[node]) <= _MOST_TIES else None
    scores, residuals = _score(Kernels(columns), tuple(range(len(columns))), [(wanted, bend)], None)
    return float(scores[0]), residuals[:, 0]


class _Bend:
    """Normal scores of a column, and the log density of its values relative to a normal one."""

    def __init__(self, column: NDArray, counts: NDArray | None) -> None:
        from scipy.special import ndtri
        from scipy.stats import rankdata

        scores = ndtri((rankdata(column) - 0.5) / len(column))
        self.scores = scores / max(scores.std(), 1e-9)
        self.density = float(density_gain(column[:, None], counts)[0])


def _score(
    kernels: Kernels,
    causes: tuple[int, ...],
    targets: Sequence[tuple[NDArray, _Bend | None]],
    counts: NDArray | None,
) -> tuple[NDArray, NDArray]:
    """Return scores (target,), allowing for bends, and residuals (row, target) without bends."""
    bent = [k for k, (_, bend) in enumerate(targets) if bend is not None]
    wanted = [column for column, _ in targets]
    wanted += [bend.scores for _, bend in targets if bend is not None]
    evidence, residuals = kernels.evidence(causes, np.column_stack(wanted))
    scores = evidence.copy()
    free = [*bent, *range(len(targets), len(wanted))]
    if free:
        scores[free] += np.maximum(density_gain(residuals[:, free], counts), 0.0)
    for position, k in enumerate(bent, len(targets)):
        bend = targets[k][1]
        if bend is not None:
            scores[k] = np.logaddexp(scores[k], scores[position] + bend.density - _BEND_COST)
    return scores[: len(targets)], residuals[:, : len(targets)]


def _allowed(
    nodes: Sequence[str], candidates: Mapping[str, Iterable[str]] | None
) -> list[set[int]]:
    position = {name: i for i, name in enumerate(nodes)}
    every = set(range(len(nodes)))
    return [
        every - {i} if candidates is None else {position[v] for v in candidates[name]} - {i}
        for i, name in enumerate(nodes)
    ]


def _standardised(columns: NDArray) -> NDArray:
    spread = columns.std(0)
    return (columns - columns.mean(0)) / np.where(spread > 0, spread, 1.0)


def _ties(column: NDArray) -> float:
    """Return the proportion of rows with the most frequent value."""
    return float(np.unique(column, return_counts=True)[1].max() / len(column))
