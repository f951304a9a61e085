"""Test a graph against data, to find rejected independences and edges to reconsider."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from threadpoolctl import threadpool_limits

from mmm_bayes.causal.check.direction_hints import additive_noise_hint, time_order_hint
from mmm_bayes.causal.check.falsification_report import (
    Claim,
    EdgeCheck,
    FalsificationReport,
    IndependenceCheck,
    Sight,
    Suggestion,
)
from mmm_bayes.causal.check.generalised_covariance import foretold
from mmm_bayes.causal.check.graph_table import graph_table
from mmm_bayes.causal.check.independence import IndependenceTest, independence_test, settings_for
from mmm_bayes.causal.check.independence_result import IndependenceResult
from mmm_bayes.causal.check.kernel_independence import kernel_test
from mmm_bayes.causal.check.multiplicity import Adjustment, adjust
from mmm_bayes.causal.check.permutation_baseline import permutation_baseline
from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.graph.equivalence import (
    TimeOrder,
    implied_claims,
    joined,
    time_order_claims,
    turned,
    undecided_edges,
    without,
)
from mmm_bayes.causal.graph.implied import Independence
from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.causal.graph.projection import project_out
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.deprecation import grouped, renamed, rng_key_first

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["FalsificationReport", "falsify"]

# With this many nodes or fewer, all permutations of the names are tried without random numbers.
_EXHAUSTIVE = 6


class FalsificationSettings(TypedDict, total=False):
    """Settings of :func:`falsify`."""

    test: str | IndependenceTest
    alpha: float
    adjustment: Adjustment
    latent: Iterable[str]
    season: Iterable[str] | None
    date: str | None
    geo: str | None
    num_permutations: int
    time_order: bool
    suggest: bool
    hints: bool
    lags: int | str | None
    test_options: Mapping[str, Any] | None


@grouped("test_options", "bins", "most_strata", features="num_features", seed="rng_key")
@rng_key_first(optional=True)
@renamed(permutations="num_permutations")
def falsify[G: MixedGraph](
    rng_key: Any,
    graph: G,
    data: MMMData | pd.DataFrame | NodeTable,
    *,
    test: str | IndependenceTest = "gcm",
    alpha: float = 0.05,
    adjustment: Adjustment = "holm",
    latent: Iterable[str] = (),
    season: Iterable[str] | None = None,
    date: str | None = None,
    geo: str | None = None,
    num_permutations: int = 500,
    time_order: bool = False,
    suggest: bool = True,
    hints: bool = False,
    lags: int | str | None = None,
    test_options: Mapping[str, Any] | None = None,
) -> FalsificationReport[G]:
    r"""Test all independences that a graph implies on a table.

    A graph implies that some variables are independent given others. The data may contradict each
    of these claims. With ``adjustment="holm"``, the probability that any claim of a correct graph
    is rejected is at most ``alpha``, provided that the tests hold their level. A graph that is not
    rejected is not proven. Tests on small tables have little power (see the intervals), and
    reversing edges within the Markov equivalence class changes no independence (the report lists
    these edges).

    Edges are tested as well. If the independence that would hold without an edge is not rejected,
    the data show no sign of the edge.

    After rejections, single changes of the graph are tried: an edge or a hidden cause between the
    two nodes, or the reversal of an edge near them. The changes are ranked by the number of
    rejections that they remove. As this uses the same tests on the same rows, a suggested change
    needs confirmation by new data.

    Parameters
    ----------
    rng_key : jax.Array or int
        Random key, or a seed, for the shuffled graphs and for the test ``"kernel"``.
    graph : MixedGraph or CausalGraph
        The graph to test.
    data : MMMData, pandas.DataFrame or NodeTable
        Table with one column per node.
    test : str or callable
        Name of a test in :data:`mmm_bayes.causal.check.independence.TESTS`, or a test function.
    alpha : float
        Significance level.
    adjustment : {"holm", "bh", "by", "none"}
        Adjustment for the number of tests; see :func:`mmm_bayes.causal.check.multiplicity.adjust`.
    latent : iterable of str
        Nodes that are not measured. They are first projected out of the graph.
    season : iterable of str, optional
        Nodes without a column that represent the season of the year. Default: nodes with the role
        ``"seasonality"`` and no column.
    date, geo : str, optional
        Date and geo columns of a data frame. Rows with dates are treated as time series, and tests
        condition on the past.
    num_permutations : int
        Number of graphs with shuffled names.
    time_order : bool
        Whether to test also that no effect precedes its cause, if rows are dated
        (:func:`mmm_bayes.causal.graph.equivalence.time_order_claims`). This may distinguish
        directions that independences do not determine. A rejection may also be due to feedback,
        for example if spend depends on past sales, which an acyclic graph cannot represent. The
        additional tests reduce the power of the others.
    suggest : bool
        Whether to search for changes of the graph that remove rejections.
    hints : bool
        Whether to search for hints about directions that independences do not determine: time order
        (Granger 1969) in dated rows, additive noise (Hoyer et al. 2009) in other rows. Each hint
        makes assumptions beyond the graph, and does not reject the graph.
    lags : int or "auto", optional
        Number of lags that tests condition on in dated rows. Default: the default of the test.
    test_options : mapping, optional
        Further arguments of the test, such as ``{"bins": 4}`` for ``"chi_squared"``.

    Raises
    ------
    DataError
        If nodes have no column or cells are not numbers. The message lists every problem.
    ValueError
        If ``alpha``, the test or the adjustment is not valid.

    Examples
    --------
    >>> import pandas as pd
    >>> from mmm_bayes import CausalGraph
    >>> rng = np.random.default_rng(0)
    >>> tv = rng.normal(size=300)
    >>> search = tv + rng.normal(size=300)
    >>> frame = pd.DataFrame({"tv": tv, "search": search, "sales": tv + search})
    >>> frame["sales"] += rng.normal(size=300)
    >>> graph = CausalGraph(edges=[("tv", "search"), ("search", "sales")])
    >>> report = falsify(0, graph, frame)
    >>> report.objected
    True
    >>> report.suggestions[0].change
    'add tv -> sales'
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha should be between 0 and 1, such as 0.05; got {alpha}.")
    run = independence_test(test)
    settings = settings_for(run, lags=lags, **(test_options or {}))
    if run is kernel_test and rng_key is not None:
        settings.setdefault("rng_key", rng_key)
    measured = project_out(graph, tuple(latent)) if latent else graph
    table = graph_table(measured, data, season=season, date=date, geo=geo)
    tested = _Tests(table, run, settings, time_order and settings.get("lags") != 0)
    few = math.factorial(len(measured.nodes)) <= math.factorial(_EXHAUSTIVE)
    baseline = None
    # Matrices are small here: threads would spend more time waiting than computing.
    with threadpool_limits(1, user_api="blas"):
        independences = _independence_checks(measured, tested, alpha, adjustment)
        edges = _edge_checks(measured, tested, alpha, adjustment, table if hints else None)
        suggestions: tuple[Suggestion[G], ...] = ()
        if suggest and any(check.objects for check in independences):
            suggestions = _suggestions(measured, tested, independences, alpha, adjustment)
        if num_permutations and (few or rng_key is not None):
            baseline = permutation_baseline(
                rng_key, measured, table, num_permutations=num_permutations, alpha=alpha
            )
    return FalsificationReport(
        graph=measured,
        test=test if isinstance(test, str) else getattr(test, "__name__", "test"),
        adjustment=adjustment,
        alpha=alpha,
        independences=independences,
        edges=edges,
        suggestions=suggestions,
        baseline=baseline,
        num_rows=table.num_rows,
    )


class _Tests:
    """Test results by claim; each is computed once and shared by all graphs with the claim."""

    def __init__(
        self, table: NodeTable, run: IndependenceTest, settings: dict[str, Any], time_order: bool
    ) -> None:
        self._table, self._run, self._settings = table, run, settings
        self._time_order = time_order and table.dates is not None
        self._found: dict[Claim, IndependenceResult] = {}

    def claims(self, graph: MixedGraph) -> tuple[Claim, ...]:
        """Return all claims of a graph that can be tested on the table."""
        order = time_order_claims(graph) if self._time_order else ()
        wide = [v for v in graph.nodes if self._table.columns[v].shape[1] > 1]
        # Seasons are predictable from their past, so time order is not tested for them.
        kept = (claim for claim in order if claim.x not in wide and claim.y not in wide)
        return (*implied_claims(graph), *kept)

    def __call__(self, claim: Claim) -> IndependenceResult:
        if claim not in self._found:
            own, settings = self._table.columns, self._settings
            if isinstance(claim, TimeOrder):
                run: IndependenceTest = foretold
                settings = {key: value for key, value in settings.items() if key == "lags"}
            else:
                run = self._run
            self._found[claim] = run(
                own[claim.x], own[claim.y], self._table.matrix(claim.given),
                dates=self._table.dates, geos=self._table.geos, **settings,
            )  # fmt: skip
        return self._found[claim]


def _independence_checks(
    graph: MixedGraph, tested: _Tests, alpha: float, adjustment: Adjustment
) -> tuple[IndependenceCheck, ...]:
    claims = tested.claims(graph)
    results = [tested(claim) for claim in claims]
    adjusted = adjust([result.p_value for result in results], adjustment)
    return tuple(
        IndependenceCheck(claim, result, float(p), bool(p <= alpha))
        for claim, result, p in zip(claims, results, adjusted, strict=True)
    )


def _edge_checks(
    graph: MixedGraph,
    tested: _Tests,
    alpha: float,
    adjustment: Adjustment,
    hints_of: NodeTable | None,
) -> tuple[EdgeCheck, ...]:
    undecided = set(undecided_edges(graph))
    claims = [_claim_without(graph, edge) for edge in graph.edges]
    results = [None if claim is None else tested(claim) for claim in claims]
    known = [result.p_value for result in results if result is not None]
    adjusted: Iterator[Any] = iter(adjust(known, adjustment))
    checks = []
    for edge, claim, result in zip(graph.edges, claims, results, strict=True):
        p = float("nan") if result is None else float(next(adjusted))
        checks.append(
            EdgeCheck(
                *edge,
                given=() if claim is None else claim.given,
                result=result,
                p_adjusted=p,
                sight=_sight(result, p, alpha),
                direction="not settled" if edge in undecided else "settled",
                hint=_hint(hints_of, edge, claim, result) if edge in undecided else "",
            )
        )
    return tuple(checks)


def _hint(
    table: NodeTable | None,
    edge: tuple[str, str],
    claim: Independence | None,
    result: IndependenceResult | None,
) -> str:
    if table is None or claim is None or result is None:
        return ""
    if table.dates is None:
        return additive_noise_hint(table, *edge, claim.given)
    return time_order_hint(result, *edge, claim.x)


def _claim_without(graph: MixedGraph, edge: tuple[str, str]) -> Independence | None:
    """Return the independence that would hold without an edge, given the effect's parents."""
    cause, effect = edge
    bare = without(graph, edge)
    given = bare.parents(effect)
    if graph.is_dag or bare.m_separated(cause, effect, given):
        # Use the order of the nodes, as in all claims, because some tests are not symmetric.
        x, y = sorted(edge, key=graph.nodes.index)
        return Independence(x, y, given)
    claims = implied_claims(bare)
    return next((c for c in claims if {c.x, c.y} == {cause, effect}), None)


def _sight(result: IndependenceResult | None, adjusted: float, alpha: float) -> Sight:
    if result is None:
        return "cannot be told"
    if adjusted <= alpha:
        return "seen"
    return "faint" if result.p_value <= alpha else "not seen"


def _suggestions[G: MixedGraph](
    graph: G,
    tested: _Tests,
    checks: Sequence[IndependenceCheck],
    alpha: float,
    adjustment: Adjustment,
) -> tuple[Suggestion[G], ...]:
    """Find changes that remove rejections, sorted by the number of remaining rejections."""
    now = sum(check.objects for check in checks)
    found: list[Suggestion[G]] = []
    for change, other in _changes(graph, [check.claim for check in checks if check.objects]):
        claims = tested.claims(other)
        p_values = np.array([tested(claim).p_value for claim in claims])
        left = int((adjust(p_values, adjustment) <= alpha).sum())
        if left < now:
            found.append(Suggestion(change, other, now - left, left))
    return tuple(sorted(found, key=lambda suggestion: suggestion.left))


def _changes[G: MixedGraph](graph: G, claims: Sequence[Claim]) -> Iterator[tuple[str, G]]:
    """Yield added edges, reversed edges and hidden causes near the rejected claims."""
    position = {name: i for i, name in enumerate(graph.topological_order())}
    for pair in dict.fromkeys((claim.x, claim.y) for claim in claims):
        ends = sorted(pair, key=lambda name: position[name])
        for cause, effect in (ends, ends[::-1]):
            other = joined(graph, (cause, effect))
            if other is not None:
                yield f"add {cause} -> {effect}", other
    near = {name for claim in claims for name in (claim.x, claim.y, *claim.given)}
    for cause, effect in graph.edges:
        if near & {cause, effect}:
            other = turned(graph, (cause, effect))
            if other is not None:
                yield f"turn {cause} -> {effect}", other
    for pair in dict.fromkeys((claim.x, claim.y) for claim in claims):
        if {pair, pair[::-1]} & {*graph.bidirected}:
            continue
        changed = graph.with_edges(bidirected=[*graph.bidirected, pair])
        yield f"hidden cause {pair[0]} <-> {pair[1]}", changed
