"""Sensitivity of an effect to the graph, with uncertain edges removed, reversed or added."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.effects.design import chosen_adjustment, outcome_of, read_source
from mmm_bayes.causal.effects.effects import average_treatment_effect
from mmm_bayes.causal.effects.estimate import Bootstrap, Contrast, Effect, EffectEstimate
from mmm_bayes.causal.effects.estimators import Estimator
from mmm_bayes.causal.effects.media import Transforms
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.identify.criteria import IdentificationError
from mmm_bayes.runtime.deprecation import renamed, rng_key_first, warn_deprecated
from mmm_bayes.runtime.findings import DataError, Finding, nearest
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html
from mmm_bayes.runtime.streams import generator

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.data.schema import MMMData

NDArray = np.ndarray[Any, Any]
Edge = tuple[str, str]

_MOST_ENUMERATED = 4096


class _Answer(NamedTuple):
    """Effect under one graph; the estimate is None if the effect is not identified."""

    estimate: EffectEstimate | None
    reason: str


@final
@dataclass(frozen=True, eq=False, repr=False)
class GraphSensitivity(Report):
    """An effect under the given graph, under graphs with one changed edge, and on average.

    Attributes
    ----------
    base : EffectEstimate or None
        Estimate under the given graph; None if that graph does not identify the effect.
    table : pandas.DataFrame
        One row per changed graph: ``change``, ``probability`` of the changed edge, ``value`` with
        its interval, ``shift`` in standard errors, ``adjusted_for``, ``note``.
    mean, low, high : float
        Average over graphs weighted by their probability, and interval of the mixture of their
        bootstrap draws.
    within, between : float
        Standard deviation within graphs (from the data) and between graphs.
    unidentified : float
        Probability of graphs that do not identify the effect; the average excludes them.
    no_effect : float
        Probability of graphs in which the treatment does not cause the outcome.
    """

    base: EffectEstimate | None
    table: pd.DataFrame
    mean: float
    low: float
    high: float
    within: float
    between: float
    unidentified: float
    no_effect: float
    ci_prob: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table of changed graphs."""
        return self.table

    def _lines(self) -> list[str]:
        lines = []
        if self.base is not None:
            low, high = self.base.interval
            lines.append(
                f"{self.base.effect.capitalize()} effect of {self.base.treatment} on "
                f"{self.base.outcome}: {self.base.value:.4g} ({low:.4g}, {high:.4g}) under the "
                "graph as given"
            )
        lines.append(
            f"  on average over graphs {self.mean:.4g} ({100 * self.ci_prob:g}% interval "
            f"{self.low:.4g} to {self.high:.4g}); standard deviation {self.within:.3g} from the "
            f"data, {self.between:.3g} from the graph"
        )
        if self.unidentified > 0:
            lines.append(f"  not identified in {self.unidentified:.0%} of the graphs")
        if self.no_effect > 0:
            lines.append(f"  no causal path in {self.no_effect:.0%} of the graphs")
        return lines

    def __str__(self) -> str:
        return "\n".join([*self._lines(), f"{self.summary()}"])

    def _repr_html_(self) -> str:
        return text_as_html("\n".join(self._lines())) + table_as_html(self.table)

    @property
    def level(self) -> float:
        """Deprecated name of ``ci_prob``."""
        warn_deprecated("GraphSensitivity.level", "GraphSensitivity.ci_prob")
        return self.ci_prob

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning if the effect is not identified under some of the graphs."""
        if self.unidentified <= 0:
            return ()
        text = f"The effect is not identified in {self.unidentified:.0%} of the graphs."
        remedy = "Decide on the edges that the table notes as not identified, or measure more."
        return (Finding("unidentified", "warning", text, remedy),)


@rng_key_first()
@renamed(samples="num_graphs", level="ci_prob", draws="num_draws")
def graph_sensitivity(
    rng_key: Any,
    data: MMMData | pd.DataFrame,
    graph: CausalGraph,
    treatment: str,
    outcome: str | None = None,
    *,
    edge_probabilities: Mapping[Edge, float],
    num_graphs: int = 1000,
    contrast: Contrast = "as_spent_vs_zero",
    effect: Effect = "total",
    estimator: Estimator = "linear",
    transform: Transforms | str | None = None,
    precise: bool = True,
    modifiers: Sequence[str] = (),
    latent: Iterable[str] = (),
    bootstrap: Bootstrap = "wild",
    num_draws: int = 500,
    ci_prob: float = 0.9,
    date: str | None = None,
    geo: str | None = None,
    spend: Mapping[str, str] | None = None,
) -> GraphSensitivity:
    r"""Estimate an effect under every graph that differs in one uncertain edge, and on average.

    Each edge with a given probability is present or absent independently of the others, except that
    an edge and its reverse exclude each other. All other edges stay as they are in the graph.
    Graphs with cycles are excluded. The average is :math:`\sum_G p(G)\, \hat\tau_G` over the graphs
    that identify the effect. If there are few graphs, all are enumerated; otherwise they are
    sampled. In a graph without a causal path the effect is exactly zero.

    Parameters
    ----------
    rng_key, data, graph, treatment, outcome, contrast, effect, estimator, transform, precise,
    modifiers, latent, bootstrap, num_draws, ci_prob, date, geo, spend
        As in :func:`mmm_bayes.causal.effects.effects.average_treatment_effect`.
    edge_probabilities : mapping of (cause, effect) to float
        Probability of each uncertain edge, whether or not it is in the graph.
    num_graphs : int
        Number of sampled graphs, used if there are too many to enumerate.

    Raises
    ------
    DataError
        If edges have unknown nodes or probabilities are invalid. The message lists them all.
    """
    _check(graph, edge_probabilities)
    target = outcome_of(data, graph, outcome)
    hidden = tuple(latent)
    nodes = [name for name in graph.nodes if name not in hidden]
    source = read_source(data, graph, nodes, date=date, geo=geo, spend=spend)
    known: dict[Any, EffectEstimate] = {}

    def answer(own: CausalGraph) -> _Answer:
        try:
            # Graphs with the same adjustment sets have the same estimate.
            kinds: Any = ("total", "direct") if effect == "indirect" else (effect,)
            key = tuple(
                chosen_adjustment(own, treatment, target, kind, latent=hidden) for kind in kinds
            )
            if key not in known:
                known[key] = average_treatment_effect(
                    rng_key, source, own, treatment, target, contrast=contrast, effect=effect,
                    estimator=estimator, transform=transform, precise=precise,
                    modifiers=modifiers, latent=hidden, bootstrap=bootstrap,
                    num_draws=num_draws, ci_prob=ci_prob,
                )  # fmt: skip
        except IdentificationError as error:
            return _Answer(None, error.problems[0] if error.problems else str(error))
        if target not in own.descendants(treatment):
            return _Answer(known[key], "no causal path: the effect is zero")
        return _Answer(known[key], "")

    base = answer(graph)
    table = _neighbours(graph, edge_probabilities, base, answer)
    average = _average(
        graph, edge_probabilities, treatment, target, answer, rng_key, num_graphs, ci_prob
    )
    return GraphSensitivity(base.estimate, table, *average, ci_prob)


def _neighbours(
    graph: CausalGraph,
    probabilities: Mapping[Edge, float],
    base: _Answer,
    answer: Callable[[CausalGraph], _Answer],
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for (cause, effect), probability in probabilities.items():
        for change, chance, other in _changes(graph, (cause, effect), probability, probabilities):
            row: dict[str, Any] = {"change": change, "probability": chance}
            if other is None:
                row |= dict.fromkeys(("value", "low", "high", "shift"), np.nan)
                rows.append({**row, "adjusted_for": "", "note": "makes a cycle"})
                continue
            own = answer(other)
            rows.append({**row, **_record(own, base)})
    columns = ["change", "probability", "value", "low", "high", "shift", "adjusted_for", "note"]
    return pd.DataFrame(rows, columns=columns)


def _record(own: _Answer, base: _Answer) -> dict[str, Any]:
    if own.estimate is None:
        return {**dict.fromkeys(("value", "low", "high", "shift"), np.nan), "adjusted_for": "",
                "note": own.reason}  # fmt: skip
    low, high = own.estimate.interval
    value = own.estimate.value
    if own.reason:
        value = low = high = 0.0
    shift = np.nan
    if base.estimate is not None and base.estimate.standard_error > 0:
        shift = (value - base.estimate.value) / base.estimate.standard_error
    return {
        "value": value, "low": low, "high": high, "shift": shift,
        "adjusted_for": ", ".join(own.estimate.adjustment) or "(nothing)", "note": own.reason,
    }  # fmt: skip


def _changes(
    graph: CausalGraph, edge: Edge, probability: float, probabilities: Mapping[Edge, float]
) -> Iterator[tuple[str, float, CausalGraph | None]]:
    cause, effect = edge
    back = (effect, cause)
    if edge in graph.edges:
        reverse = probabilities.get(back, np.nan)
        absent = 1.0 - probability - (0.0 if np.isnan(reverse) else reverse)
        yield f"drop {cause} -> {effect}", absent, _changed(graph, drop=edge)
        yield f"flip {cause} -> {effect}", reverse, _changed(graph, drop=edge, add=back)
    elif back not in graph.edges:
        yield f"add {cause} -> {effect}", probability, _changed(graph, add=edge)


def _changed(
    graph: CausalGraph, *, drop: Edge | None = None, add: Edge | None = None
) -> CausalGraph | None:
    edges = [own for own in graph.edges if own != drop] + ([add] if add else [])
    return _graph(graph, edges)


def _graph(graph: CausalGraph, edges: Iterable[Edge]) -> CausalGraph | None:
    """Return the graph with the given edges instead, or None if they form a cycle."""
    try:
        return CausalGraph(graph.nodes, edges, graph.bidirected, roles=graph.roles)
    except GraphError:
        return None


def _average(
    graph: CausalGraph,
    probabilities: Mapping[Edge, float],
    treatment: str,
    outcome: str,
    answer: Callable[[CausalGraph], _Answer],
    rng_key: Any,
    num_graphs: int,
    ci_prob: float,
) -> tuple[float, float, float, float, float, float, float]:
    """Return mean, low, high, within, between, unidentified and no_effect, in this order."""
    rng = generator(rng_key)
    values, errors, weights, draws = [], [], [], []
    total = unidentified = nothing = 0.0
    for edges, weight in _graphs(graph, probabilities, rng, num_graphs).items():
        own = _graph(graph, edges)
        if own is None:
            continue
        total += weight
        if outcome not in own.descendants(treatment):
            nothing += weight
            values.append(0.0)
            errors.append(0.0)
            weights.append(weight)
            draws.append(np.zeros(1))
            continue
        found = answer(own).estimate
        if found is None:
            unidentified += weight
            continue
        values.append(found.value)
        errors.append(found.standard_error)
        weights.append(weight)
        draws.append(found.draws)
    if not values:
        share = 1.0 if total else 0.0
        return (*(float("nan"),) * 5, share, nothing / total if total else 0.0)
    w = np.asarray(weights) / np.sum(weights)
    mean = float(w @ values)
    within = float(np.sqrt(w @ np.square(errors)))
    between = float(np.sqrt(w @ (np.asarray(values) - mean) ** 2))
    counts = np.array([len(own) for own in draws])
    low, high = _weighted_quantiles(
        np.concatenate(draws), np.repeat(w / counts, counts), 0.5 * (1.0 - ci_prob)
    )
    return mean, low, high, within, between, unidentified / total, nothing / total


def _graphs(
    graph: CausalGraph, probabilities: Mapping[Edge, float], rng: np.random.Generator, samples: int
) -> dict[tuple[Edge, ...], float]:
    """Return the possible sets of edges with their weights: all, or a sample if there are many."""
    certain = [edge for edge in graph.edges
               if edge not in probabilities and edge[::-1] not in probabilities]  # fmt: skip
    states = []
    for edge, p in probabilities.items():
        back = probabilities.get(edge[::-1])
        if (
            back is not None
            and edge[::-1] in list(probabilities)[: list(probabilities).index(edge)]
        ):
            continue
        # If only the reverse of a graph's edge has a probability, one of the two is present.
        against = edge[::-1] in graph.edges and back is None
        none: tuple[Edge, ...] = (edge[::-1],) if against else ()
        options = [((edge,), p), (none, 1.0 - p - (back or 0.0))]
        if back is not None:
            options.append(((edge[::-1],), back))
        states.append([(own, chance) for own, chance in options if chance > 0])
    count = np.prod([len(own) for own in states], dtype=float) if states else 1.0
    found: dict[tuple[Edge, ...], float] = {}
    if count <= _MOST_ENUMERATED:
        for combination in itertools.product(*states):
            edges = tuple(sorted([*certain, *(e for own, _ in combination for e in own)]))
            weight = float(np.prod([chance for _, chance in combination]))
            found[edges] = found.get(edges, 0.0) + weight
        return found
    for _ in range(samples):
        chosen = list(certain)
        for own in states:
            chances = np.array([chance for _, chance in own])
            chosen += own[rng.choice(len(own), p=chances / chances.sum())][0]
        key = tuple(sorted(chosen))
        found[key] = found.get(key, 0.0) + 1.0 / samples
    return found


def _weighted_quantiles(values: NDArray, weights: NDArray, tail: float) -> tuple[float, float]:
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    ends = np.searchsorted(share, [tail * share[-1], (1.0 - tail) * share[-1]])
    return float(values[order][ends[0]]), float(values[order][min(ends[1], len(values) - 1)])


def _check(graph: CausalGraph, probabilities: Mapping[Edge, float]) -> None:
    findings = []
    for edge, probability in probabilities.items():
        for name in edge:
            if name not in graph.nodes:
                message = f"The edge {edge} contains {name!r}, which is not a node of the graph."
                hint = nearest(name, graph.nodes).strip() or "Use nodes of the graph."
                findings.append(Finding("edge", "error", message, hint, name))
        if not 0.0 <= probability <= 1.0:
            message = f"The probability of {edge} is {probability}."
            findings.append(Finding("probability", "error", message, "Use a value from 0 to 1."))
        back = probabilities.get(edge[::-1], 0.0)
        if edge[0] < edge[1] and probability + back > 1.0 + 1e-9:
            message = (
                f"{edge} and its reverse have probabilities that sum to {probability + back:g}."
            )
            findings.append(
                Finding(
                    "probability",
                    "error",
                    message,
                    "They exclude each other, so the sum should be at most 1.",
                )
            )
    if findings:
        raise DataError(findings, "the edge probabilities")
