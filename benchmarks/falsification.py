"""How often the data object to a wrong graph, and to the right one; and the level of the tests.

Run ``python benchmarks/falsification.py --write`` to keep the result in
``docs/results/falsification.md``. Seeds are not those on which the tests were tuned.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import record
from falsification_tables import FAMILIES, Case, ar1, cases

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.check.falsification import falsify
from mmm_bayes.causal.check.independence import TESTS, independence
from mmm_bayes.causal.graph.equivalence import implied_claims, same_class, turned, without

ALPHA = 0.05
# A partial R2 of 5% gives a z of sqrt(300 * 0.05) = 3.9 at 300 rows, where Holm's first threshold
# among 7 to 15 tests is 2.7 to 2.9: it is found with probability 0.84 to 0.88.
DETECTABLE = 0.05
KINDS = {
    "right": "the right graph",
    "missing": "an edge missing",
    "turned": "an edge turned, another class",
    "turned, any": "an edge turned, any",
}
WRONG = ("missing", "turned")


@dataclass(frozen=True)
class Trial:
    """One graph against one table."""

    family: str
    kind: str
    strength: float
    objected: bool
    named: bool
    seconds: float


def trials(family: str, count: int, num_rows: int, seed: int, test: str) -> Iterator[Trial]:
    for number, case in enumerate(cases(family, count, num_rows, seed)):
        rng = np.random.default_rng([seed, number, 1])
        for kind, graph, edge in wrong_graphs(rng, case.graph):
            began = time.process_time()
            report = falsify(
                0,
                graph,
                case.table,
                test=test,
                alpha=ALPHA,
                num_permutations=0,
                suggest=kind in WRONG,
            )
            seconds = time.process_time() - began
            named = any(edge_of(s.change) == {*edge} for s in report.suggestions[:2])
            size = strength(case, graph) if kind in WRONG else 0.0
            yield Trial(family, kind, size, report.objected, named, seconds)


def edge_of(change: str) -> set[str]:
    """Return the two nodes of a change such as ``"add tv -> sales"``."""
    return {word for word in change.split()[-3:] if word.strip("<->")}


def wrong_graphs(
    rng: np.random.Generator, graph: CausalGraph
) -> Iterator[tuple[str, CausalGraph, tuple[str, ...]]]:
    """Return the graph, and copies with one random edge missing or reversed."""
    yield "right", graph, ()
    edge = graph.edges[rng.integers(len(graph.edges))]
    yield "missing", without(graph, edge), edge
    others = [(edge, other) for edge in graph.edges if (other := turned(graph, edge))]
    changed = [(edge, other) for edge, other in others if not same_class(graph, other)]
    for kind, found in (("turned", changed), ("turned, any", others)):
        if found:
            edge, other = found[rng.integers(len(found))]
            yield kind, other, edge


def strength(case: Case, graph: CausalGraph) -> float:
    """Return the greatest squared partial correlation among the wrong claims."""
    wrong = [
        claim
        for claim in implied_claims(graph)
        if not case.graph.m_separated(claim.x, claim.y, claim.given)
    ]
    found = [independence(case.large, claim.x, claim.y, claim.given) for claim in wrong]
    return max((part.correlation**2 for result in found for part in result.parts), default=0.0)


def share(values: Any) -> str:
    """Return the share of cases with its Monte Carlo standard error."""
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return "-"
    mean = values.mean()
    return (
        f"{100 * mean:.0f}% ± {100 * np.sqrt(mean * (1 - mean) / len(values)):.0f} ({len(values)})"
    )


def overview(frame: pd.DataFrame) -> str:
    rows = []
    for family in (*FAMILIES, "all"):
        own = frame if family == "all" else frame[frame.family == family]
        cells = [share(own[own.kind == kind].objected) for kind in KINDS]
        strong = own[own.strength >= DETECTABLE]
        cells += [share(strong[strong.kind == kind].objected) for kind in WRONG]
        rows.append([family, *cells])
    header = ["table", *KINDS.values(), "missing, detectable", "turned, detectable"]
    return record.table(header, rows)


def by_strength(frame: pd.DataFrame) -> str:
    edges = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 1.0]
    rows = []
    for low, high in itertools.pairwise(edges):
        own = frame[(frame.strength >= low) & (frame.strength < high + (high == 1.0))]
        cells = [share(own[own.kind == kind].objected) for kind in WRONG]
        rows.append([f"{low:g} to {high:g}", *cells])
    return record.table(["strength of the worst wrong claim", "missing", "turned"], rows)


def levels(count: int, seed: int) -> str:
    """Return the share of p-values up to 5% for AR(1) series independent given a third."""
    rows = []
    for n in (100, 300):
        dates = pd.date_range("2015-01-05", periods=n, freq="W-MON")
        for phi in (0.0, 0.5, 0.8):
            cells = []
            for name in TESTS:
                rng = np.random.default_rng([seed, n, int(10 * phi)])
                found = []
                for _ in range(count):
                    x, y, z = (ar1(rng, n, phi)[:, None] for _ in range(3))
                    # Bins let through what varies within them: categories are tested alone.
                    given = z[:, :0] if name == "chi_squared" else z
                    if name != "chi_squared":
                        bend = 0.5 * z if name == "partial_correlation" else 0.5 * z**2
                        x, y = x + 0.5 * z, y + bend
                    settings = {"num_permutations": 200} if name == "kernel" else {}
                    found.append(TESTS[name](x, y, given, dates=dates, **settings).p_value <= ALPHA)
                cells.append(share(found).split(" (")[0])
            rows.append([f"n = {n}, phi = {phi}", *cells])
    return record.table(["AR(1)", *TESTS], rows)


def against_dowhy(count: int, seed: int) -> str:
    """Run DoWhy's permutation test on the same tables and graphs."""
    import jax
    import networkx as nx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dowhy.gcm.falsify import FalsifyConst, falsify_graph

        def linear(x: Any, y: Any, z: Any = None) -> float:
            given = np.empty((len(x), 0)) if z is None else np.asarray(z)
            columns = [np.asarray(v, dtype=float).reshape(len(x), -1) for v in (x, y, given)]
            return TESTS["partial_correlation"](*columns).p_value

        rows = []
        for family in ("linear", "nn", "media"):
            for number, case in enumerate(cases(family, count, 300, seed)):
                rng = np.random.default_rng([seed, number, 2])
                frame = pd.DataFrame({v: case.table.vector(v) for v in case.graph.nodes})
                for kind, graph, _ in wrong_graphs(rng, case.graph):
                    if kind == "turned, any":
                        continue
                    began = time.process_time()
                    key = jax.random.key(seed)
                    ours = falsify(key, graph, case.table, num_permutations=100, suggest=False)
                    middle = time.process_time()
                    np.random.seed(number)  # noqa: NPY002
                    with open(os.devnull, "w") as sink, contextlib.redirect_stderr(sink):
                        theirs = falsify_graph(
                            nx.DiGraph(list(graph.edges)), frame, n_permutations=100, n_jobs=1,
                            independence_test=linear, conditional_independence_test=linear,
                            show_progress_bar=False,
                        )  # fmt: skip
                    p = theirs.summary[FalsifyConst.VALIDATE_LMC][FalsifyConst.P_VALUE]
                    rows.append(
                        (
                            family, kind, ours.objected, p > ALPHA,
                            ours.baseline.p_value > ALPHA if ours.baseline else True,
                            middle - began, time.process_time() - middle,
                        )
                    )  # fmt: skip
    frame = pd.DataFrame(rows, columns=["family", "kind", "ours", "dowhy", "chance", "t", "t_d"])
    cells = [
        [f"{family}, {KINDS[kind]}", share(own.ours), share(own.chance), share(own.dowhy),
         own.t.median(), own.t_d.median()]
        for (family, kind), own in frame.groupby(["family", "kind"], sort=False)
    ]  # fmt: skip
    header = ["table and graph", "ours objects", "ours: no better than chance",
              "DoWhy: no better than chance", "ours, CPU s", "DoWhy, CPU s"]  # fmt: skip
    return record.table(header, cells)


def main() -> None:
    options = record.parser("Objections to right and wrong graphs.")
    options.add_argument("--cases", type=int, default=50, help="cases per kind of table")
    options.add_argument("--rows", type=int, default=300, help="rows of a table")
    options.add_argument("--seed", type=int, default=20_000)
    options.add_argument("--levels", type=int, default=400, help="draws of each level")
    options.add_argument("--dowhy", type=int, default=5, help="cases compared with DoWhy")
    options.add_argument("--test", default="gcm", choices=list(TESTS))
    given = options.parse_args()
    found = []
    for family in FAMILIES:
        found += list(trials(family, given.cases, given.rows, given.seed, given.test))
        print(overview(pd.DataFrame(found)), flush=True)
    frame = pd.DataFrame(found)
    medians = frame.groupby("family", sort=False).seconds.median()
    wrong = frame[frame.objected & frame.kind.isin(WRONG)]
    parts = [
        f"{given.cases} graphs of 6 nodes (`media`: 5 to 8) a kind of table, {given.rows} rows, "
        f"test `{given.test}`, Holm at {100 * ALPHA:g}%. Share of graphs that the data object to, "
        "± its Monte Carlo standard error, (number of cases). One edge, chosen at random, is left "
        "out or turned. *Another class*: turned so that the Markov equivalence class changes; "
        "otherwise no independence can tell. *Detectable*: among the claims that are wrong, the "
        f"greatest squared partial correlation is at least {DETECTABLE:g} (estimated from 3000 "
        f"rows): {given.rows} rows then find it with probability 0.84 to 0.88.",
        overview(frame),
        "By strength of the wrong claims, all tables:\n\n" + by_strength(frame),
        "Where the data object to a wrong graph, one of the first two suggestions is about both "
        f"nodes of the wrong edge in {share(wrong.named)}.",
        "CPU seconds a graph (median, one thread; with suggestions where the data object): "
        + ", ".join(f"{family} {seconds:.2f}" for family, seconds in medians.items())
        + ".",
        "## Level\n\nTwo AR(1) with the same autocorrelation, dated rows, independent given a "
        "third one that moves both (linear for `partial_correlation`, curved for `gcm` and "
        "`kernel`; `chi_squared` with nothing given): share of p-values up to 5% in "
        f"{given.levels} draws.\n\n" + levels(given.levels, given.seed),
    ]
    if given.dowhy:
        parts.append(
            "## Beside DoWhy\n\n`dowhy.gcm.falsify.falsify_graph` with 100 permutations and our "
            "linear partial correlation (without dates) as its test. It asks whether a graph is "
            "better than with its names shuffled, which a graph with one wrong edge mostly is; "
            "ours asks whether the data object, and reports the comparison as well.\n\n"
            + against_dowhy(given.dowhy, given.seed + 1)
        )
    record.publish("falsification", "Objections of the data to a graph", parts, given.write)


if __name__ == "__main__":
    main()
