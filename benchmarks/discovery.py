"""Hybrid causal discovery against data alone and experts alone, on random causal models.

50 tables of 300 rows over 8 nodes (expected degree 1.5), over all seven families of mechanisms of
:func:`mmm_bayes.simulate.scm`. Experts speak in two ways:

* 30%: they state 30% of the true edges, and wrong ones as well, so that 20% of what they state
  is wrong (one at least); their graph is what they state.
* whole graph: they state as many edges as there are, 20% of them wrong in place of true ones, and
  that all other pairs have none.

A wrong edge is any ordered pair that is no edge, so that some are reversed and some are indirect
effects; together with the right ones they form no cycle. Experts' confidence is the default, 0.8.
The structural Hamming distance counts pairs whose edge is missing, too many or reversed, a reversed
one once. Development used seeds 0 to 49 and 1000 to 1048; the defaults are fresh ones, 100 to 149.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import record

from mmm_bayes import simulate
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.discovery.discover import discover
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.graph.checks import find_cycles
from mmm_bayes.simulate.scm_table import SimulatedSCM

MECHANISMS = ("linear", "polynomial", "sigmoid_add", "sigmoid_mix", "gp_add", "gp_mix", "nn")
NODES, ROWS, DEGREE = 8, 300, 1.5
Edge = tuple[str, str]


def table(seed: int) -> SimulatedSCM:
    return simulate.scm(
        jax.random.key(seed), num_rows=ROWS, num_nodes=NODES, expected_degree=DEGREE,
        mechanism=MECHANISMS[seed % len(MECHANISMS)],
    )  # fmt: skip


def experts(rng: np.random.Generator, scm: SimulatedSCM, whole: bool) -> tuple[list[Edge], ...]:
    """Draw right and wrong edges that experts state."""
    true, count = list(scm.edges), len(scm.edges)
    wrong_count = round(0.2 * count) if whole else max(1, round(0.3 * count / 4))
    right_count = count - wrong_count if whole else round(0.3 * count)
    false = [(a, b) for a in scm.nodes for b in scm.nodes if a != b and (a, b) not in true]
    while True:
        right = [true[k] for k in rng.permutation(count)[:right_count]]
        wrong = [false[k] for k in rng.permutation(len(false))[:wrong_count]]
        pairs = {frozenset(edge) for edge in [*right, *wrong]}
        if len(pairs) == right_count + wrong_count and not find_cycles(scm.nodes, right + wrong):
            return right, wrong


def distance(graph: CausalGraph | Sequence[Edge], scm: SimulatedSCM) -> int:
    """Return the structural Hamming distance; a reversed edge counts once."""
    found = set(graph.edges if isinstance(graph, CausalGraph) else graph)
    differ = found.symmetric_difference(scm.edges)
    return len({frozenset(edge) for edge in differ})


def flags(found: Any, right: list[Edge], wrong: list[Edge]) -> tuple[int, int]:
    disputed = {c.edge for c in found.conflicts if c.kind != "insisted"}
    return sum(edge in disputed for edge in wrong), sum(edge in disputed for edge in right)


def case(seed: int, bootstrap: int, methods: Sequence[str]) -> dict[str, Any]:
    """Search one table by every method, with each kind of experts."""
    scm = table(seed)
    rng = np.random.default_rng([seed, 1])
    cache: dict[str, Any] = {}
    result: dict[str, Any] = {"seed": seed, "edges": len(scm.edges)}
    for name, whole in (("part", False), ("whole", True)):
        right, wrong = experts(rng, scm, whole)
        if whole:
            knowledge = Knowledge.from_graph(CausalGraph(scm.nodes, right + wrong))
        else:
            knowledge = Knowledge(required=right + wrong)
        result[name] = {
            "experts": distance(right + wrong, scm), "right": len(right), "wrong": len(wrong),
            "reversed": sum((b, a) in scm.edges for a, b in wrong),
        }  # fmt: skip
        for method in methods:
            start = time.process_time()
            found = discover(
                jax.random.key(seed + 10_000), scm.frame, knowledge, method=method,
                num_bootstrap=bootstrap, cache=cache,
            )  # fmt: skip
            caught, mistaken = flags(found, right, wrong)
            result[name][method] = {
                "data": distance(found.data_graph, scm), "hybrid": distance(found.graph, scm),
                "caught": caught, "mistaken": mistaken, "cpu": time.process_time() - start,
            }  # fmt: skip
    return result


def tables(cases: list[dict[str, Any]], methods: Sequence[str], bootstrap: int) -> list[str]:
    parts = []
    for name, title in (("part", "Experts state 30% of the edges"), ("whole", "Experts state all")):
        own = [c[name] for c in cases]
        wrong, right = sum(c["wrong"] for c in own), sum(c["right"] for c in own)
        rows = []
        for method in methods:
            get = lambda key: np.array([c[method][key] for c in own], float)  # noqa: E731, B023
            hybrid, data = get("hybrid"), get("data")
            gain = data - hybrid
            rows.append([
                method, np.mean([c["experts"] for c in own]), data.mean(), hybrid.mean(),
                f"{gain.mean():.2f} ± {gain.std(ddof=1) / np.sqrt(len(gain)):.2f}",
                get("caught").sum() / wrong, get("mistaken").sum() / right,
                np.mean([c["part"][method]["cpu"] for c in cases]),
            ])  # fmt: skip
        header = [
            "search", "experts alone", "data alone", "hybrid", "data - hybrid (s.e.)",
            "wrong edges disputed", "right edges disputed", "CPU seconds",
        ]  # fmt: skip
        reverse = sum(c["reversed"] for c in own)
        parts.append(
            f"## {title}\n\nMean structural Hamming distance over {len(cases)} tables of "
            f"{np.mean([c['edges'] for c in cases]):.1f} edges; {right} right and {wrong} wrong "
            f"statements, {reverse} of the wrong ones reversed. {bootstrap} resampled tables a "
            "search; CPU seconds are those of the first search of a table.\n\n"
            + record.table(header, rows)
        )
    header = [
        "gp, 30%",
        "experts alone",
        "data alone",
        "hybrid",
        "wrong disputed",
        "right disputed",
    ]
    rows = []
    for k, mechanism in enumerate(MECHANISMS):
        own = [c["part"] for c in cases if c["seed"] % len(MECHANISMS) == k]
        if not own:
            continue
        rows.append([
            mechanism, np.mean([c["experts"] for c in own]),
            np.mean([c["gp"]["data"] for c in own]), np.mean([c["gp"]["hybrid"] for c in own]),
            f"{sum(c['gp']['caught'] for c in own)} of {sum(c['wrong'] for c in own)}",
            f"{sum(c['gp']['mistaken'] for c in own)} of {sum(c['right'] for c in own)}",
        ])  # fmt: skip
    return [*parts, "## By mechanism\n\n" + record.table(header, rows)]


def main() -> None:
    parser = record.parser(__doc__ or "")
    parser.add_argument("--tables", type=int, default=50)
    parser.add_argument("--first", type=int, default=100, help="first seed")
    parser.add_argument("--bootstrap", type=int, default=8)
    parser.add_argument("--methods", nargs="+", default=["gp", "pc", "ges", "lingam"])
    parser.add_argument("--keep", help="file to keep cases in, and to go on from")
    arguments = parser.parse_args()
    kept = Path(arguments.keep) if arguments.keep else None
    cases = json.loads(kept.read_text()) if kept and kept.exists() else []
    for method in arguments.methods:  # packages are imported once, outside the times
        discover(jax.random.key(0), table(0).frame.iloc[:40, :2], method=method, num_bootstrap=1)
    for seed in range(arguments.first + len(cases), arguments.first + arguments.tables):
        cases.append(case(seed, arguments.bootstrap, arguments.methods))
        print(json.dumps(cases[-1]), flush=True)
        if kept:
            kept.write_text(json.dumps(cases))
    title, _, rest = (__doc__ or "").partition(".\n\n")
    parts = [rest.strip(), *tables(cases, arguments.methods, arguments.bootstrap)]
    record.publish("discovery", title, parts, arguments.write)


if __name__ == "__main__":
    main()
