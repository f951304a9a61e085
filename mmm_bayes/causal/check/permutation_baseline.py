"""Compare a graph with copies of itself whose node names are shuffled."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from mmm_bayes.causal.check.series import DECAYS, as_rows
from mmm_bayes.causal.check.smooth import normal_scores, orthonormal
from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.graph.equivalence import implied_claims
from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.runtime.deprecation import old_name, renamed
from mmm_bayes.runtime.streams import generator
from mmm_bayes.runtime.visible import shown_safely

NDArray = np.ndarray[Any, Any]

# If there are at most this many permutations (six nodes), all are tried instead of a sample.
_ALL = math.factorial(6)


@final
@dataclass(frozen=True)
class PermutationBaseline:
    """Number of rejected claims of a graph, and of the graph with shuffled names.

    Attributes
    ----------
    objections, num_tests : int
        Number of implied independences that a simple test rejects at level ``alpha``, and number of
        implied independences.
    permuted : ndarray
        Number of rejections (permutation,) for each shuffled graph. All graphs imply the same
        number of independences.
    alpha : float
        Level of each test, without adjustment for the number of tests.
    exhaustive : bool
        Whether all permutations of the names were tried.
    """

    objections: int
    num_tests: int
    permuted: NDArray
    alpha: float
    exhaustive: bool

    n_tests = old_name("num_tests")

    @property
    def p_value(self) -> float:
        """Proportion of shuffled graphs with at most as many rejections as the graph.

        For a sample of permutations, the graph itself is counted as one of them.
        """
        as_few = int((self.permuted <= self.objections).sum())
        if self.exhaustive:
            return as_few / len(self.permuted)
        return (1 + as_few) / (1 + len(self.permuted))

    @property
    def better_than(self) -> float:
        """Proportion of shuffled graphs with more rejections."""
        return float((self.permuted > self.objections).mean())

    @shown_safely
    def __str__(self) -> str:
        kind = "all" if self.exhaustive else "random"
        return (
            f"{self.objections} of {self.num_tests} simple tests reject the graph, fewer than for "
            f"{100 * self.better_than:.0f}% of {kind} {len(self.permuted)} graphs with shuffled "
            f"names, which have {self.permuted.mean():.1f} rejections on average "
            f"(p = {self.p_value:.3f})."
        )


@renamed(permutations="num_permutations")
def permutation_baseline(
    rng_key: Any | None,
    graph: MixedGraph,
    table: NodeTable,
    *,
    num_permutations: int = 500,
    alpha: float = 0.05,
) -> PermutationBaseline:
    r"""Count rejected claims of a graph and of the same graph with its names shuffled.

    As proposed by Eulig et al. (2025), random graphs of the same shape show the number of
    rejections expected by chance. This takes tens of thousands of tests, so a simple test is used.
    Each node is represented by its normal scores and their second Hermite polynomial; if rows are
    dated, the part explained by the past is removed. The likelihood ratio of Gaussian independence

    .. math:: G = -n \log \frac{|S_{xyz}|\,|S_z|}{|S_{xz}|\,|S_{yz}|}

    is compared with the chi-squared distribution. Each determinant is computed once for all graphs.

    Parameters
    ----------
    rng_key : jax.Array or None
        Key for sampling permutations. Not used for up to six nodes, where all permutations are
        tried.
    graph : MixedGraph or CausalGraph
        The graph.
    table : NodeTable
        Table with all nodes of the graph.
    num_permutations : int
        Number of sampled permutations.
    alpha : float
        Level of each test.

    Raises
    ------
    TypeError
        If permutations are sampled and no key is given.

    References
    ----------
    E. Eulig et al. (2025), Toward falsifying causal graphs using a permutation-based test. AAAI 39.
    """
    claims = implied_claims(graph)
    nodes = graph.nodes
    place = {name: i for i, name in enumerate(nodes)}
    sets = [(place[c.x], place[c.y], tuple(place[v] for v in c.given)) for c in claims]
    exhaustive = math.factorial(len(nodes)) <= _ALL
    if exhaustive:
        orders = np.array(list(itertools.permutations(range(len(nodes)))))
    else:
        rng = generator(rng_key)
        orders = np.stack([rng.permutation(len(nodes)) for _ in range(num_permutations)])
    tests = _QuickTests(table, nodes)

    def count(order: Any) -> int:
        p_values = (tests(order[x], order[y], [order[v] for v in z]) for x, y, z in sets)
        return sum(p <= alpha for p in p_values)

    permuted = np.array([count(order) for order in orders.tolist()], dtype=np.int64)
    return PermutationBaseline(
        count(list(range(len(nodes)))), len(sets), permuted, alpha, exhaustive
    )


class _QuickTests:
    """P-values for nodes given by position, from determinants that are computed only once."""

    def __init__(self, table: NodeTable, nodes: tuple[str, ...]) -> None:
        columns = _quick_columns(table, nodes)
        self._sizes = {i: own.shape[1] for i, own in columns.items()}
        starts = np.cumsum([0, *self._sizes.values()])
        self._places = {i: np.arange(starts[i], starts[i + 1]) for i in columns}
        joint = np.concatenate(list(columns.values()), axis=1)
        self._n = len(joint)
        covariance = np.cov(joint, rowvar=False, bias=True).reshape(joint.shape[1], -1)
        # Exactly collinear columns, as of a season, would give a determinant of zero.
        self._covariance = covariance + 1e-9 * np.eye(len(covariance))
        self._volumes: dict[frozenset[int], float] = {frozenset(): 0.0}
        self._found: dict[tuple[frozenset[int], frozenset[int]], float] = {}

    def __call__(self, x: int, y: int, z: list[int]) -> float:
        from scipy.special import chdtrc

        key = frozenset((x, y)), frozenset(z)
        if key not in self._found:
            given = key[1]
            gap = (
                self._volume(given | {x}) + self._volume(given | {y})
                - self._volume(given | {x, y}) - self._volume(given)
            )  # fmt: skip
            spent = 1 + sum(self._sizes[v] for v in z) + (self._sizes[x] + self._sizes[y] + 1) / 2
            statistic = max(0.0, (self._n - spent) * gap)
            self._found[key] = float(chdtrc(self._sizes[x] * self._sizes[y], statistic))
        return self._found[key]

    def _volume(self, nodes: frozenset[int]) -> float:
        if nodes not in self._volumes:
            own = np.concatenate([self._places[v] for v in sorted(nodes)])
            self._volumes[nodes] = float(np.linalg.slogdet(self._covariance[np.ix_(own, own)])[1])
        return self._volumes[nodes]


def _quick_columns(table: NodeTable, nodes: tuple[str, ...]) -> Mapping[int, NDArray]:
    """Return the columns of each node: normal scores and squares, with their past regressed out."""
    rows = as_rows(table.num_rows, table.dates, table.geos)
    result = {}
    for i, name in enumerate(nodes):
        own = np.asarray(table.columns[name], dtype=np.float64)
        if own.shape[1] == 1:
            scores = normal_scores(own)
            own = np.concatenate([scores, (scores**2 - 1.0) / np.sqrt(2.0)], axis=1)
            past = [rows.constants]
            if rows.is_series:
                past += [rows.carried(rows.lagged(own), decay) for decay in DECAYS]
            basis = orthonormal(np.concatenate(past, axis=1))
            own = own - basis @ (basis.T @ own)
        spread = own.std(0)
        kept = spread > 1e-9
        # A constant node gets one zero column, so that it is independent of all others.
        result[i] = own[:, kept] / spread[kept] if kept.any() else np.zeros((len(own), 1))
    return result
