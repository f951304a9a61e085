"""What causal data augmentation does for the ROAS of an MMM whose channels move together.

Tables of 104 weeks with known truth: five channels whose spends follow one hidden plan (pairwise
correlations of log spend near 0.9), two controls, yearly season, geometric adstock, Hill
saturation. In the design "exclusions" two channels and one control do nothing for sales, and the
graph says so (what a hidden plan does to spends is in the graph as bidirected edges); in "all_act"
every channel acts and the graph denies nothing about sales. "separated" has the tables of
"exclusions" with a graph that leaves the hidden plan out: it takes channels apart that move
together, so that augmented rows are a better design than was observed.

Each table is fitted as it is, and with ``CausalDA(graph)``: its default (outcomes of augmented rows
from the model), outcomes by kernel weights, and augmented rows alone, without taking out the
effects that the graph denies; in "separated" also with half of the likelihood on augmented rows,
whatever their design. With exclusions also with the excluded columns dropped from the
model, which is what the graph says in plain words. Compared are errors of the ROAS of channels (of
one revenue unit per money unit) and the share of 90% intervals that hold the truth.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import record

import mmm_bayes as mb
from mmm_bayes.simulate.response import apply_adstock, apply_saturation, draw_parameters

# Keys 0-9 served development; those reported served for nothing else.
FIRST_SEED = 4000
CHANNELS = ("tv", "radio", "search", "social", "display")
CONTROLS = ("price", "weather")
IDLE = ("radio", "display")
WEEKS, BEFORE, MAX_LAG = 104, 26, 8


def simulate(seed: int, design: str) -> tuple[mb.MMMData, np.ndarray]:
    """Return a table and the true ROAS of its channels."""
    rng = np.random.default_rng([seed, 17])
    n = WEEKS + BEFORE
    time_ = np.arange(n)
    season = np.sin(2 * np.pi * (time_ / 52.18 + rng.random()))
    plan = np.zeros(n)
    for t in range(1, n):
        plan[t] = 0.7 * plan[t - 1] + rng.normal() * np.sqrt(1 - 0.49)
    log_spend = 0.35 * season[:, None] + 0.6 * plan[:, None] + 0.22 * rng.normal(size=(n, 5))
    spend = np.exp(log_spend) * rng.uniform(20.0, 80.0, 5) * 1e3
    values = draw_parameters(rng, "geometric", "hill", 5, None)
    active = np.array([design == "all_act" or name not in IDLE for name in CHANNELS])
    scaled = spend / spend.mean(0)
    stock = apply_adstock("geometric", scaled[None], values, MAX_LAG)
    curve = apply_saturation("hill", stock, values)[0, BEFORE:]
    spend = spend[BEFORE:]
    roas = np.where(active, values["roas"], 0.0)
    contribution = curve * (roas * spend.sum(0) / curve.sum(0))
    controls = rng.normal(size=(WEEKS, 2))
    total = contribution.sum(1)
    base = 3.0 * total.mean() * (1 + 0.1 * season[BEFORE:] + 0.1 * np.linspace(-0.5, 0.5, WEEKS))
    weather = 0.05 if design == "all_act" else 0.0
    mean = total + base - base.mean() * (0.05 * controls[:, 0] - weather * controls[:, 1])
    sales = mean + 0.35 * mean.std() * rng.normal(size=WEEKS)
    frame = pd.DataFrame(spend.round(2), columns=CHANNELS)
    frame[list(CONTROLS)] = controls
    frame["date"] = pd.date_range("2022-01-03", periods=WEEKS, freq="W-MON")
    frame["sales"] = sales
    with warnings.catch_warnings():
        # That channels move together is the point.
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        data = mb.MMMData.from_dataframe(
            frame, date="date", target="sales", channels=list(CHANNELS), controls=list(CONTROLS)
        )
    return data, roas


def graph_of(design: str) -> mb.CausalGraph:
    """Return the true graph: causes of sales, the calendar, and the hidden plan behind spends."""
    causes = [c for c in CHANNELS if design == "all_act" or c not in IDLE]
    causes += ["price"] if design != "all_act" else list(CONTROLS)
    edges = [("season", name) for name in (*CHANNELS, "sales")]
    return mb.CausalGraph(
        nodes=["season", *CHANNELS, *CONTROLS, "sales"],
        edges=edges + [(name, "sales") for name in causes],
        bidirected=[] if design == "separated" else list(combinations(CHANNELS, 2)),
    )


def specification() -> mb.ModelSpec:
    """Return a specification: season and window of lags are stated, priors are the defaults."""
    return mb.ModelSpec(seasonality=[{"period": "year", "order": 2}], media={"max_lag": MAX_LAG})


def one_set(seed: int, design: str, ways: dict[str, Any], samples: int) -> dict[str, Any]:
    """Fit one table in every way."""
    data, truth = simulate(seed, design)
    result: dict[str, Any] = {"seed": seed, "design": design, "truth": truth.tolist(), "ways": {}}
    for name, augmentation in ways.items():
        table, kept = data, list(CHANNELS)
        if name == "columns dropped":
            kept = [c for c in CHANNELS if c not in IDLE]
            table = mb.MMMData.from_dataframe(
                data.to_frame(), date="date", target="sales", channels=kept, controls=["price"]
            )
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = mb.MMM(table, specification()).fit(
                jax.random.key(seed), augmentation=augmentation, progress=False,
                num_samples=samples, num_warmup=samples, num_prior_draws=0,
            )  # fmt: skip
        roas = fit.roas().stack(sample=("chain", "draw")).transpose("channel", "sample").values
        every = np.zeros((len(CHANNELS), roas.shape[1]))
        every[[CHANNELS.index(c) for c in kept]] = roas
        about = fit.tree["posterior"].attrs.get("augmentation", "{}")
        low, median, high = np.quantile(every, [0.05, 0.5, 0.95], axis=1)
        result["ways"][name] = {
            "low": low.tolist(), "median": median.tolist(), "high": high.tolist(),
            "mean": every.mean(1).tolist(),
            "seconds": time.perf_counter() - start,
            "mixture": json.loads(about).get("mixture"),
        }  # fmt: skip
    return result


def ways_of(design: str) -> dict[str, Any]:
    """Return what is compared."""
    graph = graph_of(design)
    ways: dict[str, Any] = {"as it is": None, "CausalDA": mb.CausalDA(graph)}
    if design == "separated":
        return ways | {"CausalDA, mixture 0.5": mb.CausalDA(graph, mixture=0.5)}
    ways["CausalDA, outcomes by kernel"] = mb.CausalDA(graph, estimator="kernel")
    ways["CausalDA, augmented rows alone"] = mb.CausalDA(graph, exclusions=False)
    return ways | ({"columns dropped": None} if design == "exclusions" else {})


def all_sets(seeds: list[int], design: str, samples: int, store: Path) -> list[dict[str, Any]]:
    """Run every set that the store does not have."""
    known = {}
    if store.exists():
        for line in store.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            known[row["design"], row["seed"], row["samples"]] = row
    ways = ways_of(design)
    for seed in seeds:
        earlier = known.get((design, seed, samples), {"ways": {}})["ways"]
        missing = {name: way for name, way in ways.items() if name not in earlier}
        if missing:
            row = one_set(seed, design, missing, samples) | {"samples": samples}
            row["ways"] = {name: (earlier | row["ways"])[name] for name in ways}
            with store.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            known[design, seed, samples] = row
            errors = {
                name: round(float(np.abs(np.subtract(way["median"], row["truth"])).mean()), 3)
                for name, way in row["ways"].items()
            }
            print(f"{design} {seed}: {errors}", flush=True)
    return [known[design, seed, samples] for seed in seeds]


def summary_rows(rows: list[dict[str, Any]], design: str) -> list[list[Any]]:
    """Return errors and coverage by way, errors paired with those of the plain fit."""
    truth = np.array([row["truth"] for row in rows])
    plain = np.array([row["ways"]["as it is"]["median"] for row in rows])
    base = np.abs(plain - truth).mean(1)
    result = []
    for name in rows[0]["ways"]:
        ways = [row["ways"][name] for row in rows]
        low, median, high = (np.array([w[k] for w in ways]) for k in ("low", "median", "high"))
        error = np.abs(median - truth).mean(1)
        # Where a channel does nothing an interval of positive values cannot hold the truth, and one
        # that the graph sets to zero cannot miss it.
        acts = truth > 0
        inside = ((low <= truth) & (truth <= high))[acts]
        change = error - base
        result.append([
            f"{design}: {name}", error.mean(), change.mean(),
            change.std(ddof=1) / np.sqrt(len(rows)), f"{np.mean(change < 0):.0%}",
            f"{100 * inside.mean():.1f}%", (high - low)[acts].mean(),
            float(np.median([w["seconds"] for w in ways])),
        ])  # fmt: skip
    return result


def main() -> None:
    """Run both designs and print the table."""
    options = record.parser("ROAS with and without causal data augmentation.")
    options.add_argument("--sets", type=int, default=30, help="simulated tables per design")
    options.add_argument("--samples", type=int, default=500, help="warm-up and draws per chain")
    options.add_argument("--first-seed", type=int, default=FIRST_SEED, help="first key")
    options.add_argument(
        "--store",
        type=Path,
        default=Path(tempfile.gettempdir()) / "mmm_bayes_causal_da_mmm.jsonl",
        help="where results of single sets are kept",
    )
    given = options.parse_args()
    seeds = list(range(given.first_seed, given.first_seed + given.sets))
    header = ["design: fit", "ROAS mean abs. error", "change", "its standard error", "sets better"]
    header += ["held by 90% interval", "mean width", "seconds per fit"]
    rows = []
    for design in ("exclusions", "separated", "all_act"):
        rows += summary_rows(all_sets(seeds, design, given.samples, given.store), design)
    parts = [
        f"{given.sets} tables per design (keys {seeds[0]}-{seeds[-1]}), 104 weeks, 5 channels of "
        "one "
        "hidden plan; errors of posterior medians, changes paired by table against the fit as it "
        f"is; 4 chains of {given.samples} + {given.samples}. Coverage and width over the channels "
        "that act.",
        record.table(header, rows),
    ]
    record.publish("causal_da_mmm", "Causal data augmentation in an MMM", parts, given.write)


if __name__ == "__main__":
    main()
