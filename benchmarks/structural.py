"""Total, direct and indirect effects of channels that act through each other, against known truth.

Tables of 156 weeks from ``mmm_bayes.simulate.mediation``: demand and season drive media and sales,
TV and video drive search, TV drives awareness, visits are a collider, search and awareness share a
hidden cause. The truth is simulated by ``do()``. Compared are the structural model; regressions on
all columns (as they are, and with media adstocked and saturated at usual values); and the plain
media-mix model on all columns, and on what the graph lets one adjust for. The wrong-control trap:
whether each set with a mediator or a collider in it is objected to.

    python benchmarks/structural.py --sets 50 --write
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import record

import mmm_bayes as mb

# Keys below 100 served development; those reported served for nothing else.
FIRST_SEED = 7000
SAMPLER: dict[str, Any] = {"num_warmup": 500, "num_samples": 500, "num_chains": 4}
CHANNELS = ("tv", "video", "social", "search")
CONTROLS = ("demand", "price", "awareness", "visits")
EFFECTS = ("total", "direct", "indirect")
SPEC = mb.ModelSpec(seasonality=[{"period": "year", "order": 2}])
QUIET: dict[str, Any] = {"progress": False, "num_prior_draws": 0}


def one_set(seed: int) -> dict[str, Any]:
    """Return estimates and truth of one table."""
    sim = mb.simulate.mediation(jax.random.key(seed))
    graph = mb.CausalGraph(edges=sim.edges, bidirected=sim.bidirected, roles=sim.roles)
    began, cpu = time.perf_counter(), time.process_time()
    model = mb.StructuralMMM(sim.data, graph, SPEC)
    fit = model.fit(jax.random.key(seed + 1), **QUIET, **SAMPLER)
    draws = fit.effects()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    flat = draws.stack(all_draws=("chain", "draw"))
    row: dict[str, Any] = {
        "seed": seed,
        "seconds": seconds,
        "cpu": cpu,
        "sales": float(sim.data.ds["target"].sum()),
        "truth": sim.effects[list(EFFECTS)].to_dict("index"),
        "fits": {node: own.diagnose().verdict for node, own in fit.equations.items()},
    }
    for name, level in (("low", 0.05), ("median", 0.5), ("high", 0.95)):
        found = flat.quantile(level, "all_draws")
        row[name] = {
            channel: {e: float(found.sel(channel=channel, effect=e)) for e in EFFECTS}
            for channel in CHANNELS
        }
    row["mean_error_correlation"] = float(
        fit.error_correlations["search", "awareness"].sel(node="search", other="awareness").mean()
    )
    row["regression"] = regression(sim, transformed=False)
    row["regression, media transformed"] = regression(sim, transformed=True)
    row["MMM on all columns"] = plain(sim, list(CONTROLS), seed)
    row["MMM, demand and price"] = plain(sim, ["demand", "price"], seed)
    row["trap"] = trap(graph)
    return row


def regression(sim: mb.simulate.SimulatedMediation, *, transformed: bool) -> dict[str, float]:
    """Return contributions by least squares on all columns, with season and trend."""
    frame = sim.data.to_frame()
    media = frame[list(CHANNELS)].to_numpy(float)
    if transformed:
        carried = np.stack(
            [np.convolve(x, 0.5 ** np.arange(12))[: len(x)] for x in media.T], axis=1
        )
        media = carried / (carried + carried.mean(0))
    angle = 2 * np.pi * np.arange(len(frame))[:, None] * np.array([1, 2]) * 7 / 365.25
    columns = [
        media, frame[list(CONTROLS)].to_numpy(float), np.sin(angle), np.cos(angle),
        np.ones((len(frame), 1)), np.arange(len(frame))[:, None],
    ]  # fmt: skip
    beta = np.linalg.lstsq(np.hstack(columns), frame["sales"].to_numpy(float), rcond=None)[0]
    return {name: float(beta[k] * media[:, k].sum()) for k, name in enumerate(CHANNELS)}


def plain(sim: mb.simulate.SimulatedMediation, controls: list[str], seed: int) -> dict[str, float]:
    """Return contributions of the media-mix model of one equation."""
    data = mb.MMMData.from_dataframe(
        sim.data.to_frame(), date="week", target="sales", channels=list(CHANNELS),
        controls=controls,
    )  # fmt: skip
    fit = mb.MMM(data, SPEC).fit(jax.random.key(seed + 2), **QUIET, **SAMPLER)
    found = fit.contributions().median(("chain", "draw"))
    return {name: float(found.sel(component=name)) for name in CHANNELS}


def trap(graph: mb.CausalGraph) -> list[bool]:
    """Check that sets with a mediator or a collider are objected to, by channel."""
    found = []
    for channel in CHANNELS:
        right = graph.adjustment_set(channel, "sales")
        after = set(graph.descendants(channel))
        mediators = [n for n in ("search", "awareness") if n in after]
        for wrong in (*mediators, "visits"):
            given = {*right, wrong}
            objected = not graph.is_adjustment_set(channel, "sales", given)
            named = f"{wrong} is" in str(graph.explain_adjustment(channel, "sales", given))
            found.append(objected and named)
    return found


def report(rows: list[dict[str, Any]]) -> list[str]:
    """Return tables of coverage and of errors."""
    covered = {e: [] for e in EFFECTS}
    for row in rows:
        for channel in CHANNELS:
            for e in EFFECTS:
                truth = row["truth"][channel][e]
                if e == "indirect" and channel in ("social", "search"):
                    continue  # zero by construction of the graph
                low, high = row["low"][channel][e], row["high"][channel][e]
                covered[e].append((low <= truth <= high, (high - low) / row["sales"]))
    coverage = [
        [e, len(own), 100 * np.mean([x for x, _ in own]), 100 * np.median([w for _, w in own])]
        for e, own in covered.items()
    ]
    ways = {"structural": lambda row: {c: row["median"][c]["total"] for c in CHANNELS}}
    for name in (
        "regression", "regression, media transformed", "MMM on all columns",
        "MMM, demand and price",
    ):  # fmt: skip
        ways[name] = lambda row, name=name: row[name]
    errors = {}
    for name, of in ways.items():
        errors[name] = np.array(
            [
                [100 * (of(row)[c] - row["truth"][c]["total"]) / row["sales"] for c in CHANNELS]
                for row in rows
            ]
        )
    ours = np.abs(errors["structural"]).mean(1)
    table = []
    for name, own in errors.items():
        each = np.abs(own)
        wins = np.mean(ours <= each.mean(1))
        table.append(
            [name, each.mean(), ours.mean() / each.mean(), 100 * wins,
             *np.abs(own).mean(0), *own.mean(0)]
        )  # fmt: skip
    verdicts: dict[str, int] = {}
    for row in rows:
        for verdict in row["fits"].values():
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
    caught = np.concatenate([row["trap"] for row in rows])
    header = ["total effects, % of sales", "mean absolute error", "ours over it", "ours nearer, %"]
    header += [f"error {c}" for c in CHANNELS] + [f"bias {c}" for c in CHANNELS]
    return [
        f"{len(rows)} tables, keys from {rows[0]['seed']}; "
        f"{SAMPLER['num_chains']} x {SAMPLER['num_samples']} draws an equation.",
        record.table(
            ["effect", "intervals", "90% intervals that hold the truth, %",
             "median width, % of sales"], coverage,
        ),
        record.table(header, table),
        f"Wrong-control trap: {int(caught.sum())} of {len(caught)} sets with a mediator or a "
        f"collider objected to, naming it. Verdicts of equations: {verdicts}. Correlation of the "
        "errors of search and awareness, mean of posterior means: "
        f"{np.mean([row['mean_error_correlation'] for row in rows]):.2f}. Median seconds per table "
        f"(seven equations): {np.median([row['seconds'] for row in rows]):.1f}, CPU "
        f"{np.median([row['cpu'] for row in rows]):.1f}.",
    ]  # fmt: skip


def main() -> None:
    """Run the tables that are missing, and print."""
    options = record.parser("Effects of channels that act through each other.")
    options.add_argument("--sets", type=int, default=50)
    options.add_argument("--first-seed", type=int, default=FIRST_SEED)
    options.add_argument("--keep", type=Path, help="file of finished tables")
    given = options.parse_args()
    kept, done = given.keep, {}
    if kept is not None and kept.exists():
        done = {row["seed"]: row for row in map(json.loads, kept.read_text().splitlines())}
    seeds = range(given.first_seed, given.first_seed + 10 * given.sets, 10)
    for seed in seeds:
        if seed not in done:
            done[seed] = one_set(seed)
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(done[seed]) + "\n")
            print(f"{seed}: {done[seed]['seconds']:.0f} s", file=sys.stderr)
    parts = report([done[seed] for seed in seeds])
    record.publish("structural", "Effects of a structural media-mix model", parts, given.write)


if __name__ == "__main__":
    main()
