"""Tables with a known graph for the benchmark of falsification: random models and media plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd

from mmm_bayes import simulate
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.check.variables import NodeTable, node_table

NDArray = np.ndarray[Any, Any]

MECHANISMS = ("linear", "sigmoid_mix", "nn", "gp_add")
FAMILIES = (*MECHANISMS, "media")
LARGE = 3000


@dataclass(frozen=True)
class Case:
    """A graph with a table of its first rows, and a large one of the same model."""

    graph: CausalGraph
    table: NodeTable
    large: NodeTable


def cases(family: str, count: int, num_rows: int, seed: int) -> Iterator[Case]:
    """Draw cases; the table is the first rows of the large one."""
    for number in range(count):
        if family == "media":
            graph, frame = media_table(np.random.default_rng([seed, number]), LARGE)
            whole = node_table(frame, graph.nodes, date="date")
        else:
            drawn = simulate.scm(
                jax.random.fold_in(jax.random.key(seed), number),
                num_rows=LARGE,
                num_nodes=6,
                expected_degree=1.5,
                mechanism=family,
            )
            graph = CausalGraph(drawn.nodes, drawn.edges)
            whole = node_table(drawn.frame, graph.nodes)
        yield Case(graph, whole.select(slice(0, num_rows)), whole)


def media_graph(rng: np.random.Generator) -> CausalGraph:
    """Draw a graph of a media plan: demand, price, channels, search and visits, sales."""
    edges = [("demand", "sales")]
    chances = {
        ("demand", "tv"): 0.7,
        ("demand", "digital"): 0.7,
        ("demand", "search"): 0.7,
        ("price", "email"): 0.5,
        ("tv", "search"): 0.8,
        ("digital", "search"): 0.4,
        ("tv", "visits"): 0.4,
        ("search", "visits"): 0.6,
    }
    chances |= {(c, "sales"): 0.85 for c in ("tv", "digital", "search", "email", "price")}
    edges += [edge for edge, chance in chances.items() if rng.uniform() < chance]
    if any(effect == "visits" for _, effect in edges):
        edges.append(("visits", "sales"))
    order = ("demand", "price", "tv", "digital", "email", "search", "visits", "sales")
    used = {name for edge in edges for name in edge}
    return CausalGraph([name for name in order if name in used], edges)


def media_table(rng: np.random.Generator, weeks: int) -> tuple[CausalGraph, pd.DataFrame]:
    """Draw weeks of a media plan.

    Spend is a log-normal AR(1) (0.2 to 0.8) around its causes, tv and some others in flights of
    three weeks. Effects of media are carried over (geometric, 0.1 to 0.75; of search up to 0.2) and
    saturate (Hill); each cause gets a weight of 0.4 to 1 in standard deviations, and the noise,
    AR(1) up to 0.6, has 0.4 to 1 times the standard deviation of all causes together.
    """
    graph = media_graph(rng)
    found: dict[str, NDArray] = {}
    for name in graph.topological_order():
        causes = graph.parents(name)
        if name in ("tv", "digital", "email"):
            level = 0.5 * ar1(rng, weeks, rng.uniform(0.2, 0.8))
            for cause in causes:
                level = level + rng.uniform(0.3, 0.6) * standard(found[cause])
            spend = np.exp(level)
            if name == "tv" or rng.uniform() < 0.3:
                spend = spend * np.repeat(rng.uniform(size=weeks // 3 + 2) < 0.6, 3)[:weeks]
            found[name] = spend
        elif not causes:
            found[name] = ar1(rng, weeks, rng.uniform(0.5, 0.85))
        else:
            total = sum(
                rng.uniform(0.4, 1.0) * standard(response(rng, cause, found[cause]))
                for cause in causes
            )
            scale = rng.uniform(0.4, 1.0) * float(np.std(total))
            found[name] = total + scale * ar1(rng, weeks, rng.uniform(0.0, 0.6))
    dates = pd.date_range("1970-01-05", periods=weeks, freq="W-MON")
    return graph, pd.DataFrame({"date": dates, **{v: found[v] for v in graph.nodes}})


def response(rng: np.random.Generator, cause: str, values: NDArray) -> NDArray:
    if cause == "price":
        return -values
    if cause in ("demand", "visits"):
        return values
    decay = rng.uniform(0.0, 0.2) if cause == "search" else rng.uniform(0.1, 0.75)
    carried = adstock(values - min(0.0, values.min()), decay)
    half, slope = carried.mean() * rng.uniform(0.5, 2.0), rng.uniform(0.8, 2.0)
    return carried**slope / (carried**slope + half**slope)


def adstock(values: NDArray, decay: float) -> NDArray:
    result = np.array(values, dtype=np.float64)
    for t in range(1, len(result)):
        result[t] = decay * result[t - 1] + (1.0 - decay) * values[t]
    return result


def ar1(rng: np.random.Generator, count: int, phi: float) -> NDArray:
    noise = rng.standard_normal(count + 100)
    for t in range(1, len(noise)):
        noise[t] += phi * noise[t - 1]
    return noise[100:] * np.sqrt(1.0 - phi**2)


def standard(values: NDArray) -> NDArray:
    return (values - values.mean()) / values.std()
