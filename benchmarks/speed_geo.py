"""Measure the time to a posterior of a geo model: 40 geos, 156 weeks, 5 channels, 3 controls.

Meridian's geo table with the defaults of the package: geometric adstock, Hill with a free slope,
two Fourier modes, partial pooling of intercepts, controls and media effects over geos. Each seed is
a process of its own and counts from a table in memory to the whole fit, compilation included.
With `--peers`, NumPyro's and BlackJAX's samplers draw from the density that the package's sampler
sees, to tell the gain of the sampler from that of integrating coefficients out.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import peer_samplers
import record

PEERS = {"NumPyro": peer_samplers.numpyro_nuts, "BlackJAX": peer_samplers.blackjax_nuts}


def _model(given: argparse.Namespace) -> Any:
    """Return the package's model of the table."""
    import shared_tables

    import mmm_bayes as mb

    sampler: dict[str, Any] = {
        "num_warmup": given.warmup,
        "num_samples": given.samples,
        "num_chains": given.chains,
        "precision": given.precision,
    }
    if given.target_accept is not None:
        sampler["target_accept"] = given.target_accept
    spec = mb.ModelSpec(seasonality=[{"period": "year", "order": 2}], sampler=sampler)
    return mb.MMM(shared_tables.load_geo_reference(), spec)


def peer(given: argparse.Namespace) -> None:
    """Run another sampler on the integrated density, in this process."""
    peer_samplers.devices(given.chains)
    model = _model(given)
    arrays, program = model.arrays(), model.program(True)
    starts = peer_samplers.starts_of(program.layout(arrays), given.chains, given.seed)
    draws = given.warmup, given.samples
    positions, figures = PEERS[given.peer](
        lambda x: program.potential(x, arrays), starts, draws, given.seed
    )
    found: dict[str, Any] = dict(figures)
    found |= record.worst(record.as_dataset({"position": positions}))
    found["ess_per_cpu"] = found["ess_bulk"] / found["sampling_cpu"]
    record.leave(given.child, found)


def child(given: argparse.Namespace) -> None:
    """One cold fit in this process."""
    import jax

    model = _model(given)
    before = time.perf_counter()
    cpu = time.process_time()
    fit = model.fit(jax.random.key(given.seed), progress=False)
    figures: dict[str, Any] = {"cold": time.perf_counter() - before}
    figures["cold_cpu"] = time.process_time() - cpu
    figures["process"] = time.time() - given.began
    # Before the checks below, which are not part of the fit.
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    attrs, stats = fit.tree["posterior"].attrs, fit.tree["sample_stats"]
    for phase in ("compile", "warmup", "sampling"):
        figures[phase] = attrs[f"seconds_{phase}_wall"]
    figures["sampling_cpu"] = attrs["seconds_sampling_cpu"]
    figures["warmup_steps"] = float(np.mean(attrs["warmup_steps"])) / given.warmup
    figures["steps"] = float(stats["n_steps"].mean())
    figures["at_limit"] = float(stats["reached_max_treedepth"].mean())
    figures["divergences"] = float(stats["diverging"].sum())
    figures |= record.worst(fit.tree["posterior"].to_dataset())
    figures["ess_per_cpu"] = figures["ess_bulk"] / figures["sampling_cpu"]
    figures["ess_per_second"] = figures["ess_bulk"] / figures["cold"]
    record.leave(given.child, figures)


ROWS = {
    "cold": "cold fit: table to every group of the result, s",
    "process": "the same from the start of Python, with imports and reading, s",
    "cold_cpu": "cold fit, CPU s",
    "compile": "compiling the sampler, s",
    "warmup": "warm-up, s",
    "sampling": "sampling, s",
    "sampling_cpu": "sampling, CPU s",
    "rhat": "greatest R-hat",
    "ess_bulk": "least bulk ESS",
    "ess_tail": "least tail ESS",
    "ess_per_second": "least bulk ESS per second of the cold fit",
    "ess_per_cpu": "least bulk ESS per CPU second of sampling",
    "warmup_steps": "leapfrog steps per warm-up iteration",
    "steps": "leapfrog steps per draw",
    "at_limit": "share of draws at the depth limit",
    "divergences": "divergent draws",
    "peak_mib": "peak memory, MiB",
}


def main() -> None:
    """Run the seeds one after another and print medians and single runs."""
    options = record.parser("Speed of the geo model.")
    options.add_argument("--repetitions", type=int, default=3, help="processes, one seed each")
    options.add_argument("--warmup", type=int, default=1000, help="warm-up iterations per chain")
    options.add_argument("--samples", type=int, default=1000, help="draws per chain")
    options.add_argument("--chains", type=int, default=4)
    options.add_argument("--precision", default="float64", choices=("float64", "float32"))
    options.add_argument("--target-accept", type=float, help="instead of the default")
    options.add_argument("--seed", type=int, default=0, help="first seed")
    options.add_argument("--peers", action="store_true", help="other samplers too")
    options.add_argument("--keep", type=Path, help="folder of finished runs, to resume from")
    options.add_argument("--peer", help=argparse.SUPPRESS)
    given = options.parse_args()
    record.require_tables()
    if given.child:
        (peer if given.peer else child)(given)
        return

    passed = ["--warmup", str(given.warmup), "--samples", str(given.samples)]
    passed += ["--chains", str(given.chains), "--precision", given.precision]
    if given.target_accept is not None:
        passed += ["--target-accept", str(given.target_accept)]
    runs = []
    for seed in range(given.seed, given.seed + given.repetitions):
        figures, _ = record.resumed_process(given.keep, [*passed, "--seed", str(seed)])
        runs.append(figures)
        print(
            f"seed {seed}: {figures['cold']:.0f} s, R-hat {figures['rhat']:.4f} "
            f"({figures['rhat_of']}), least ESS {figures['ess_bulk']:.0f} "
            f"({figures['ess_bulk_of']})",
            flush=True,
        )
    middle = record.medians([{name: run[name] for name in ROWS} for run in runs])
    header = ["figure", "median", *(f"seed {given.seed + k}" for k in range(len(runs)))]
    rows = [[label, middle[n], *(_shown(n, run[n]) for run in runs)] for n, label in ROWS.items()]
    rows[list(ROWS).index("rhat")][1] = _shown("rhat", middle["rhat"])
    wanted = [
        ["greatest R-hat", _shown("rhat", max(run["rhat"] for run in runs)), "below 1.01"],
        ["least bulk ESS", min(run["ess_bulk"] for run in runs), "at least 400"],
        ["longest cold fit, s", max(run["cold"] for run in runs), "at most 130"],
        ["peak memory, GiB", max(run["peak_mib"] for run in runs) / 1024, "below 3"],
    ]
    where = ", ".join(f"{run['rhat_of']} / {run['ess_bulk_of']}" for run in runs)
    parts = [
        "Meridian's geo table: 40 geos, 156 weeks, 5 channels, 3 controls. Geometric adstock over "
        "8 weeks, Hill with free slope, 2 Fourier modes of the year, linear trend, normal noise; "
        "intercepts, controls and media effects partly pooled over geos; default priors. "
        f"{given.chains} chains of {given.warmup} + {given.samples}, {given.precision}, target "
        f"acceptance {given.target_accept or 'default'}; a fresh process per seed, without a "
        "compilation cache. R-hat and ESS are over all "
        f"{runs[0]['parameters']} numbers of the posterior group.",
        record.table(["worst of all seeds", "measured", "wanted"], wanted),
        record.table(header, rows),
        f"Parameters of the greatest R-hat / least ESS, by seed: {where}.",
    ]
    if given.peers:
        parts.append(_peer_table(given, passed, middle))
    record.publish("speed_geo", "Speed, geo model", parts, given.write)


def _peer_table(given: argparse.Namespace, passed: list[str], own: dict[str, float]) -> str:
    """Return the table of all samplers on the integrated density."""
    names = ("ess_per_cpu", "ess_bulk", "rhat", "sampling_cpu", "steps")
    rows = [["package", *(own[name] for name in names)]]
    for name in PEERS:
        runs = [
            record.resumed_process(given.keep, [*passed, "--seed", str(seed), "--peer", name])[0]
            for seed in range(given.seed, given.seed + given.repetitions)
        ]
        middle = record.medians([{key: run[key] for key in names} for run in runs])
        rows.append([name, *(middle[key] for key in names)])
    return (
        "Other samplers with their defaults on the same integrated density (ESS over its "
        "parameters; that of the package is over all numbers of the posterior group):\n\n"
        + record.table(["sampler", *(ROWS[name] for name in names)], rows)
    )


def _shown(name: str, value: float) -> Any:
    return f"{value:.4f}" if name == "rhat" else value


if __name__ == "__main__":
    main()
