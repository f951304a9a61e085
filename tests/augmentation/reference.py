"""ADMGDA as published, in plain Python loops over training rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mmm_bayes.augmentation.table import AugmentedData
from mmm_bayes.causal.causal_graph import CausalGraph

NDArray = np.ndarray[Any, Any]
Function = Callable[[dict[str, NDArray]], NDArray]


class Reference(NamedTuple):
    """Rows (values in the order of ``columns``) with their weights, identical ones merged.

    ``mass`` is the sum of the weights before merging, ``margin`` how near a weight came to the
    threshold (least ``|log w - log(theta / n)|``): implementations may differ where it is tiny.
    """

    rows: dict[tuple[Any, ...], float]
    columns: tuple[str, ...]
    mass: float
    margin: float


def markov_pillow(graph: CausalGraph, before: Sequence[str], node: str) -> list[str]:
    """Members of the district of ``node`` among it and those before, and their parents."""
    inside = {*before, node}
    district = {node}
    while True:
        joined = {
            v
            for one, other in graph.bidirected
            for u, v in ((one, other), (other, one))
            if u in district and v in inside
        }
        if joined <= district:
            break
        district |= joined
    parents = {cause for cause, effect in graph.edges if effect in district}
    return [v for v in before if v in (district | parents)]


def normal_reference(x: Sequence[float]) -> float:
    """Bandwidth ``(4/3)^(1/5) min(sd, IQR / 1.349) n^(-1/5)`` with interpolated quartiles."""
    n, values = len(x), sorted(float(v) for v in x)
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))

    def quantile(share: float) -> float:
        at = share * (n - 1)
        low = min(int(at), n - 2)
        return values[low] + (at - low) * (values[low + 1] - values[low])

    spread = (quantile(0.75) - quantile(0.25)) / 1.349
    return (4.0 / 3.0) ** 0.2 * (min(deviation, spread) if spread > 0 else deviation) * n**-0.2


def kernel_value(name: str, one: Any, other: Any, h: float, levels: int) -> float:
    """Kernels as densities (or probabilities) in textbooks have them, up to ``1/h``."""
    if name == "indicator":
        return 1.0 if one == other else 0.0
    if name == "aitchison_aitken":
        return 1.0 - h if one == other else h / (levels - 1)
    if name == "wang_ryzin":
        return 1.0 - h if one == other else 0.5 * (1.0 - h) * h ** abs(one - other)
    if h == 0.0:
        return 1.0 if one == other else 0.0
    u = abs(one - other) / h
    if name == "gaussian":
        return math.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)
    if name == "laplace":
        return 0.5 * math.exp(-u)
    if u >= 1.0:
        return 0.0
    if name == "tricube":
        return 70.0 / 81.0 * (1.0 - u**3) ** 3
    power, constant = {
        "epanechnikov": (1, 3.0 / 4.0),
        "biweight": (2, 15.0 / 16.0),
        "triweight": (3, 35.0 / 32.0),
    }[name]
    return constant * (1.0 - u * u) ** power


def enumerate_reference(
    table: Mapping[str, Sequence[Any]],
    graph: CausalGraph,
    theta: float,
    *,
    kernel: Mapping[str, str],
    bandwidth: Mapping[str, Sequence[float]],
    order: Sequence[str] | None = None,
    blocks: Mapping[str, Sequence[str]] | None = None,
) -> Reference:
    """Weights of all rows that follow a graph and have a weight of ``theta / n`` or more.

    ``bandwidth`` is one a training row and column, read at the row that a pillow's value is from.
    """
    order = list(graph.topological_order() if order is None else order)
    members = {v: list((blocks or {}).get(v, (v,))) for v in order}
    n = len(next(iter(table.values())))
    levels = {c: len(set(x)) for c, x in table.items()}
    # A row that ties with the threshold is kept; 1/n/n and theta/n are rounded differently.
    least = theta / n * (1.0 - 1e-12)
    partial: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    margin = math.inf
    for place, v in enumerate(order):
        pillow = markov_pillow(graph, order[:place], v)
        given = [(order.index(u), c) for u in pillow for c in members[u]]
        grown = []
        for donors, w in partial:
            products = []
            for k in range(n):
                product = 1.0
                for at, c in given:
                    x, i = table[c], donors[at]
                    h = bandwidth[c][i]
                    product *= kernel_value(kernel[c], x[i], x[k], h, levels[c])
                    if product == 0.0:
                        break
                products.append(product)
            total = math.fsum(products)
            if total == 0.0:
                continue
            for k in range(n):
                share = 1.0 / n if not given else products[k] / total
                new = w * share
                if new > 0.0 and theta > 0.0:
                    margin = min(margin, abs(math.log(new) - math.log(theta / n)))
                if new > 0.0 and new >= least:
                    grown.append(((*donors, k), new))
        partial = grown
    columns = tuple(c for v in order for c in members[v])
    rows: dict[tuple[Any, ...], float] = {}
    for donors, w in partial:
        row = tuple(table[c][donors[at]] for at, v in enumerate(order) for c in members[v])
        rows[row] = rows.get(row, 0.0) + w
    return Reference(rows, columns, math.fsum(w for _, w in partial), margin)


def expectation(reference: Reference, function: Any) -> float:
    """Sum of weight times a function of the columns, given as arrays by name."""
    values = {
        c: np.array([row[k] for row in reference.rows]) for k, c in enumerate(reference.columns)
    }
    return float(np.sum(np.array(list(reference.rows.values())) * function(values)))


def reference_of(
    frame: pd.DataFrame,
    graph: CausalGraph,
    theta: float,
    *,
    kernel: str = "gaussian",
    by_name: Mapping[str, str] | None = None,
    bandwidth: Mapping[str, Any] | None = None,
    scale: float = 1.0,
    **settings: Any,
) -> Reference:
    """The loop over a table, with the defaults of ``admgda``; bandwidths may differ by row."""
    chosen, widths = dict(by_name or {}), dict(bandwidth or {})
    for name in frame.columns:
        real = pd.api.types.is_float_dtype(frame[name].dtype)
        chosen.setdefault(name, kernel if real else "indicator")
        width = widths.get(name, normal_reference(frame[name]) if real else 0.0)
        widths[name] = np.broadcast_to(scale * np.asarray(width), len(frame)).tolist()
    table = {name: frame[name].tolist() for name in frame.columns}
    return enumerate_reference(table, graph, theta, kernel=chosen, bandwidth=widths, **settings)


# --- A problem that is small enough for sums over all rows ----------------------------------------

KEYS = 40
DRAWS = 1000
# Two roots, a collider, a discrete variable and a hidden common cause.
GRAPH = CausalGraph(
    ("a", "b", "c", "d"), [("a", "c"), ("b", "c"), ("c", "d")], bidirected=[("b", "d")]
)
FUNCTIONS: dict[str, Function] = {
    "mean of a": lambda v: v["a"],
    "mean of c": lambda v: v["c"],
    "mean of d": lambda v: v["d"],
    "second moment of c": lambda v: v["c"] ** 2,
    "product of a and b": lambda v: v["a"] * v["b"],
    "product of a and d": lambda v: v["a"] * v["d"],
    "greatest": lambda v: np.maximum(np.maximum(v["a"], v["c"]), v["d"]),
    "quadrant": lambda v: ((v["a"] > 0) & (v["d"] > 0)).astype(float),
    "in a box": lambda v: ((np.abs(v["c"]) < 0.5) & (v["b"] == 1)).astype(float),
    "wave": lambda v: np.cos(2.0 * v["c"]) * v["b"],
}


def small_table() -> pd.DataFrame:
    """Twelve rows: 12**4 recombinations can be summed over."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=12), rng.integers(2, size=12)
    c = a + b + 0.3 * rng.normal(size=12)
    return pd.DataFrame({"a": a, "b": b, "c": c, "d": c - b + 0.5 * rng.normal(size=12)})


def estimates(frame: pd.DataFrame, draw: Callable[[int], AugmentedData]) -> dict[str, NDArray]:
    """Weighted sums of each function, and the mass, for every key."""
    results: dict[str, list[float]] = {name: [] for name in (*FUNCTIONS, "mass")}
    for key in range(KEYS):
        found = draw(key)
        values = {name: found.frame[name].to_numpy(float) for name in frame}
        for name, function in FUNCTIONS.items():
            results[name].append(float(found.weights @ function(values)))
        results["mass"].append(found.mass)
    return {name: np.array(each) for name, each in results.items()}


def check_unbiased(found: dict[str, NDArray], frame: pd.DataFrame, **settings: Any) -> None:
    """Means over keys are within three of their standard errors of the sums over all rows."""
    truth = reference_of(frame, GRAPH, 0.0, **settings)
    expected = {name: expectation(truth, function) for name, function in FUNCTIONS.items()}
    expected["mass"] = truth.mass
    for name, values in found.items():
        error = values.std(ddof=1) / np.sqrt(KEYS)
        assert abs(values.mean() - expected[name]) <= 3.0 * error + 1e-6, name
