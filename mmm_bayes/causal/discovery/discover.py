"""Hybrid causal discovery: find the graph that agrees best with a table and with experts."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.check.variables import NodeTable, node_table, refuse_same_series
from mmm_bayes.causal.discovery.conflicts import Seen, find_conflicts
from mmm_bayes.causal.discovery.evidence import evidence_of
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.libraries import SEARCHES
from mmm_bayes.causal.discovery.posterior import least_errors
from mmm_bayes.causal.discovery.result import Discovery, hash_of
from mmm_bayes.causal.discovery.rows import default_block, within_geos
from mmm_bayes.causal.discovery.run import (
    Found,
    Priors,
    by_scores,
    by_search,
    paired,
    priors_of,
    resampled,
)
from mmm_bayes.causal.discovery.score import LocalScores
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.choices import refuse_ignored
from mmm_bayes.runtime.deprecation import renamed, rng_key_first
from mmm_bayes.runtime.findings import listing, nearest
from mmm_bayes.runtime.streams import streams

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]

METHODS = ("gp", *SEARCHES)


class DiscoverySettings(TypedDict, total=False):
    """Settings of :func:`discover`."""

    nodes: Sequence[str] | None
    method: str
    num_bootstrap: int
    num_draws: int
    block: int | None
    edge_odds: float
    max_parents: int
    alpha: float
    season: Iterable[str]
    date: str | None
    geo: str | None


# Old names of settings, accepted for one version.
RENAMED = {"bootstrap": "num_bootstrap", "draws": "num_draws"}


@rng_key_first()
@renamed(**RENAMED)
def discover(
    rng_key: Any,
    data: MMMData | pd.DataFrame | NodeTable,
    knowledge: Knowledge | None = None,
    *,
    nodes: Sequence[str] | None = None,
    method: str = "gp",
    num_bootstrap: int = 20,
    num_draws: int | None = None,
    block: int | None = None,
    edge_odds: float = 0.05,
    max_parents: int | None = None,
    alpha: float | None = None,
    season: Iterable[str] = (),
    date: str | None = None,
    geo: str | None = None,
    cache: MutableMapping[str, LocalScores] | None = None,
) -> Discovery:
    r"""Find the causal graph of a table, using the knowledge of experts.

    Under ``"gp"`` every node is a smooth function of its causes plus noise of any shape
    (:func:`mmm_bayes.causal.discovery.score.local_scores`), and statements of experts are prior
    odds of edges. The posterior of a graph is then

    .. math:: p(G \mid D) \propto \prod_i e^{s_i(\mathrm{pa}_i)}
              \prod_{j \to i \in G} o_{ji},

    Graphs with up to 12 nodes are drawn from it exactly, larger ones by Metropolis steps over
    orders. Edge probabilities are averages over the posteriors of ``num_bootstrap`` resampled
    tables (Huggins and Miller 2023), because the posterior of a single table assumes that the model
    is true and is overconfident. The aligned graph is the acyclic graph with the smallest expected
    number of wrong pairs. Searches of other packages run once on every resampled table; the share
    of tables with an edge is combined with the experts' odds, pair by pair.

    Parameters
    ----------
    rng_key : jax.Array or int
        Random key, or a seed; the same key and table give the same result.
    data : MMMData or pandas.DataFrame
        The table.
    knowledge : Knowledge, optional
        Statements of experts.
    nodes : sequence of str, optional
        Nodes of the graph. Default: all columns except date and geo, and the seasons.
    method : {"gp", "pc", "ges", "lingam", "pcmci"}
        The search.
    num_bootstrap : int
        Number of resampled tables; 0 uses the table itself.
    num_draws : int
        Number of graphs that ``"gp"`` draws for each resampled table; by default 200.
    block : int, optional
        Number of consecutive dates that are resampled together. Default: the cube root of the
        number of dates; 1 without dates.
    edge_odds : float
        Prior odds, for each direction, of an edge without a statement.
    max_parents : int
        Largest number of causes of a node under ``"gp"``, by default 5. Sets of causes close to
        those that experts state may be larger.
    alpha : float
        Level of the tests of ``"pc"`` and ``"pcmci"``; by default 0.05.
    season : iterable of str
        Nodes that stand for the season of the year; they have no causes.
    date, geo : str, optional
        Columns of a data frame with the dates and the geos. All nodes are standardised within
        geos. With dates, the evidence is multiplied by the effective sample ratio of the
        autocorrelated residuals.
    cache : mutable mapping, optional
        Storage for the scores of ``"gp"``, filled by this call. A later search with the same table
        and key but other knowledge reuses these scores.

    Returns
    -------
    Discovery

    Raises
    ------
    DataError
        Listing every column that is missing or contains values that are not finite numbers.
    GraphError
        Listing every problem of the knowledge and the settings.
    ImportError
        If the search's package is not installed.

    References
    ----------
    J. Huggins and J. Miller (2023), Reproducible model selection using bagged posteriors. Bayesian
    Analysis 18(1).

    Examples
    --------
    >>> import jax
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> tv = rng.gamma(1.0, 1.0, 200)
    >>> search = np.sqrt(tv) + 0.2 * rng.normal(size=200)
    >>> sales = search + 0.2 * rng.normal(size=200)
    >>> table = pd.DataFrame({"tv": tv, "search": search, "sales": sales})
    >>> knowledge = Knowledge(required=[("tv", "sales")])
    >>> found = discover(jax.random.key(0), table, knowledge, num_bootstrap=5)
    >>> print(found.graph)
    tv -> search
    search -> sales
    >>> [(conflict.edge, conflict.title) for conflict in found.conflicts]
    [(('tv', 'sales'), 'human bias?')]
    """
    _refuse_ignored(method, num_draws, max_parents, alpha, cache)
    num_draws = 200 if num_draws is None else num_draws
    max_parents = 5 if max_parents is None else max_parents
    alpha = 0.05 if alpha is None else alpha
    knowledge = Knowledge() if knowledge is None else knowledge
    season = tuple(season)
    names = _nodes(data, nodes, season, date, geo)
    table = node_table(data, names, season=season, date=date, geo=geo)
    _check(table, knowledge, method, num_bootstrap, num_draws, block, edge_odds, max_parents, alpha)
    digest = hash_of(table)
    table = within_geos(table)
    if table.geos is not None:
        refuse_same_series(table)  # also if the scale differs between geos
    rng = streams(rng_key, ("rows", "graphs"))
    block = default_block(table) if block is None else block
    tables = resampled(rng["rows"], table, num_bootstrap, block)
    priors = priors_of(table, knowledge, edge_odds)
    if method == "gp":
        scores = {} if cache is None else cache
        found = by_scores(
            rng["graphs"], table, tables, knowledge, priors, num_draws, max_parents, scores
        )
    else:
        found = by_search(tables, table, priors, method, alpha, edge_odds)
    settings = {
        "method": method, "num_bootstrap": num_bootstrap, "num_draws": num_draws, "block": block,
        "edge_odds": edge_odds, "max_parents": max_parents, "alpha": alpha, "nodes": list(names),
        "season": list(season), "date": date, "geo": geo,
    }  # fmt: skip
    return _assemble(table, knowledge, priors, found, settings, digest)


def _refuse_ignored(method: str, num_draws: Any, max_parents: Any, alpha: Any, cache: Any) -> None:
    if method in METHODS:
        by_posterior = {"num_draws": num_draws, "max_parents": max_parents, "cache": cache}
        settings = {name: (value, ("gp",)) for name, value in by_posterior.items()}
        refuse_ignored("method", method, {**settings, "alpha": (alpha, ("pc", "pcmci"))})


def _nodes(
    data: Any, nodes: Sequence[str] | None, season: tuple[str, ...], date: Any, geo: Any
) -> tuple[str, ...]:
    if nodes is not None:
        return tuple(nodes)
    if isinstance(data, NodeTable):
        return data.nodes
    if isinstance(data, MMMData):
        target = (data.roles.target or "target",) if data.has_target else ()
        return (*data.channels, *data.controls, *target, *season)
    columns = [str(name) for name in data.columns if name not in (date, geo)]
    return tuple(dict.fromkeys([*columns, *season]))


def _check(
    table: NodeTable, knowledge: Knowledge, method: str, num_bootstrap: Any, num_draws: Any,
    block: Any, edge_odds: Any, max_parents: Any, alpha: Any,
) -> None:  # fmt: skip
    problems = []
    if method not in METHODS:
        hint = nearest(method, METHODS) or f" Known are {listing(METHODS)}."
        problems.append(f"There is no method {method!r}.{hint}")
    least = {
        "num_bootstrap": (num_bootstrap, 0),
        "num_draws": (num_draws, 1),
        "max_parents": (max_parents, 1),
    }
    least |= {} if block is None else {"block": (block, 1)}
    for name, (value, bound) in least.items():
        if not isinstance(value, int | np.integer) or value < bound:
            problems.append(f"{name} should be a whole number from {bound}, but is {value!r}.")
    for name, value in (("edge_odds", edge_odds), ("alpha", alpha)):
        if not isinstance(value, int | float | np.number) or not 0.0 < value < 1.0:
            problems.append(f"{name} should be between 0 and 1, but is {value!r}.")
    if not 2 <= len(table.nodes) <= 63:
        problems.append(f"A graph should have 2 to 63 nodes, but has {len(table.nodes)}.")
    constant = [name for name in table.nodes if np.ptp(table.columns[name]) == 0.0]
    if constant:
        problems.append(
            f"Constant columns hold no evidence about causes: leave out {listing(constant)}."
        )
    wide = [name for name in table.nodes if table.columns[name].shape[1] > 1]
    if wide and method in SEARCHES:
        problems.append(
            f"{method!r} does not support seasons ({listing(wide)}): use 'gp', or leave them out."
        )
    for cause, effect in knowledge.required:
        if effect in wide:
            problems.append(f"Edge {cause} -> {effect}: a season has no causes.")
    try:
        knowledge.check(table.nodes)
    except GraphError as error:
        problems.extend(error.problems)
    if problems:
        raise GraphError(problems, "the search")


def _assemble(
    table: NodeTable,
    knowledge: Knowledge,
    priors: Priors,
    found: Found,
    settings: dict[str, Any],
    digest: str,
) -> Discovery:
    import pandas as pd

    nodes, sample_ratio = table.nodes, found.effective_sample_ratio
    aligned = least_errors(paired(found.aligned), priors.required, priors.forbidden)
    alone = least_errors(paired(found.alone), priors.nothing, priors.never)
    own = [least_errors(paired(one), priors.nothing, priors.never) for one in found.by_resample]
    directed = np.mean(own, axis=0)
    seen = Seen(
        found.aligned, found.alone, found.doubted, directed + directed.T, directed, priors.doubts
    )
    graph = CausalGraph.from_adjacency(aligned, nodes)
    data_graph = CausalGraph.from_adjacency(alone, nodes)
    total = settings["num_draws"] * len(found.by_resample)
    samples = [(CausalGraph.from_adjacency(one, nodes), mass) for one, mass in found.graphs]
    return Discovery(
        graph=graph,
        data_graph=data_graph,
        edges=_edge_table(table, knowledge, graph, data_graph, seen, sample_ratio),
        conflicts=find_conflicts(table, knowledge, data_graph, seen, sample_ratio, total),
        probabilities=pd.DataFrame(found.aligned, list(nodes), list(nodes)),
        data_probabilities=pd.DataFrame(found.alone, list(nodes), list(nodes)),
        samples=tuple(samples),
        knowledge=knowledge,
        settings=settings,
        effective_sample_ratio=sample_ratio,
        data_hash=digest,
    )


def _edge_table(
    table: NodeTable,
    knowledge: Knowledge,
    graph: CausalGraph,
    data_graph: CausalGraph,
    seen: Seen,
    sample_ratio: float,
) -> pd.DataFrame:
    import pandas as pd

    stated = {*knowledge.required, *(e for e, p in knowledge.probabilities.items() if p > 0.5)}
    rows = []
    for edge in graph.edges:
        i, j = table.nodes.index(edge[0]), table.nodes.index(edge[1])
        by_data = edge in data_graph.edges
        source = ("both" if by_data else "experts") if edge in stated else "data"
        evidence = evidence_of(table, *edge, graph.parents(edge[1]), sample_ratio)
        joined = seen.joined[i, j]
        rows.append(
            {
                "cause": edge[0],
                "effect": edge[1],
                "source": source,
                "probability": seen.aligned[i, j],
                "data_probability": seen.alone[i, j],
                "stability": joined,
                "direction_share": seen.directed[i, j] / joined if joined > 0 else np.nan,
                "strength": evidence.strength,
                "log_evidence": evidence.log_evidence,
                "p_value": evidence.p_value,
            }
        )
    columns = (
        "cause", "effect", "source", "probability", "data_probability", "stability",
        "direction_share", "strength", "log_evidence", "p_value",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(columns))
