"""Measure the time to a posterior of a national model, and which part of the package saves it.

Meridian's national table (156 weeks, 5 channels, 3 controls), geometric adstock, Hill with a free
slope, two Fourier modes, linear trend; 4 chains of 1000 + 1000, float64. Seven ways, crossing two
models with three samplers:

A. the package: linear block integrated out, own sampler;
B. the same model written by hand in NumPyro (`plain_model.py`), NumPyro's NUTS with its defaults;
C. the package's sampler on the model that is not marginalised;
D. NumPyro's NUTS on the marginalised density of A;
E. the package with all chains in one vectorised program instead of one thread each;
F. BlackJAX's NUTS with low-rank window adaptation and its defaults, on the density of C;
G. the same on the density of A.

Every run is a process of its own, so that cold times are those a user meets. The main figures are
the least bulk ESS over all parameters (linear coefficients included) per CPU second of sampling,
compilation apart, and the cold time from the table to the full posterior. BlackJAX is not a
dependency of the package; it is in the development environment.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peer_samplers
import record

CHAINS = 4
NAMES = {
    "A": "A: package",
    "B": "B: plain model, NumPyro",
    "C": "C: plain model, own sampler",
    "D": "D: integrated, NumPyro",
    "E": "E: package, vectorised",
    "F": "F: plain model, BlackJAX",
    "G": "G: integrated, BlackJAX",
}
COMMON = (
    "alpha",
    "ec",
    "slope",
    "beta",
    "sigma",
    "intercept",
    "trend_coef",
    "seasonality_coef",
    "control_coef",
)
Outcome = tuple[dict[str, float], dict[str, np.ndarray]]


# --- The package ---------------------------------------------------------------------------------


def _package_model(num_warmup: int, num_samples: int, chain_method: str = "threads") -> Any:
    import shared_tables

    import mmm_bayes as mb

    spec = mb.ModelSpec(
        seasonality=[{"period": "year", "order": 2}],
        sampler={
            "num_warmup": num_warmup,
            "num_samples": num_samples,
            "num_chains": CHAINS,
            "chain_method": chain_method,
        },
    )
    return mb.MMM(shared_tables.load_reference(), spec)


class _Stopwatch:
    """A progress reporter that notes when sampling was done."""

    def __init__(self) -> None:
        self.sampled = 0.0

    def start(self, names: Any, total: int, unit: str, done: int = 0) -> None: ...
    def update(self, index: int, done: int, note: str = "") -> None: ...
    def close(self) -> None: ...

    def message(self, text: str) -> None:
        if text == "drawing predictions":
            self.sampled = time.perf_counter()


def _by_chain(params: dict[str, np.ndarray], num_samples: int) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(params[name]).reshape(CHAINS, num_samples, *params[name].shape[1:])
        for name in COMMON
    }


def run_package(
    began: float, seed: int, draws: tuple[int, int], marginal: bool, chain_method: str
) -> Outcome:
    """Ways A, C and E: a cold fit, then a warm one that is timed and judged."""
    import jax

    import mmm_bayes

    _ = mmm_bayes.MMM
    num_warmup, num_samples = draws
    figures = {"import": time.time() - began}
    model = _package_model(num_warmup, num_samples, chain_method)
    figures["table"] = time.time() - began - figures["import"]

    ready, watch = time.perf_counter(), _Stopwatch()
    cold = model.fit(jax.random.key(seed), progress=watch, marginal=marginal)
    figures["cold_all"] = time.perf_counter() - ready
    figures["cold_draws"] = watch.sampled - ready
    figures["process"] = time.time() - began
    figures["compile"] = cold.tree["posterior"].attrs["seconds_compile_wall"]

    # Programs of predictions compile beside the first run's chains: CPU is taken from the second.
    fit, figures["warm_all"], _ = peer_samplers.clocked(
        lambda: model.fit(jax.random.key(seed + 1000), progress=False, marginal=marginal)
    )
    attrs, stats = fit.tree["posterior"].attrs, fit.tree["sample_stats"]
    figures["warmup_cpu"] = attrs["seconds_warmup_cpu"]
    figures["sampling_cpu"] = attrs["seconds_sampling_cpu"]
    figures["sampling_wall"] = attrs["seconds_sampling_wall"]
    if marginal:
        figures["sampling_cpu"] += _draw_back_cpu(model, CHAINS * num_samples)
    figures["steps"] = float(stats["n_steps"].mean())
    figures["divergences"] = float(stats["diverging"].sum())
    scaled, _, _ = fit._fitted.scaled()
    return figures, _by_chain(scaled, num_samples)


def _draw_back_cpu(model: Any, count: int) -> float:
    """CPU seconds of the linear block's draws, part of the price of integrating it out."""
    import jax

    with jax.enable_x64(True):
        arrays, program = model.arrays(), model.program(True)
        positions = np.zeros((count, program.layout(arrays).dim))
        return peer_samplers.clocked(
            lambda: program.parameters(jax.random.key(0), positions, arrays)
        )[2]


# --- Other samplers ------------------------------------------------------------------------------


def run_plain(began: float, seed: int, draws: tuple[int, int]) -> Outcome:
    """Run B: a cold run as a NumPyro user makes it, then the sampling phase by itself."""
    peer_samplers.devices(CHAINS)
    import arviz  # noqa: F401
    import jax
    import numpyro
    import plain_model
    import shared_tables

    num_warmup, num_samples = draws
    figures: dict[str, float] = {"import": time.time() - began}
    ds = shared_tables.load_reference().ds.isel(geo=0)
    arrays = plain_model.arrays_of(
        ds["exposure"].values, ds["controls"].values, ds["target"].values, ds.indexes["date"]
    )
    arguments = (arrays, arrays.target)
    figures["table"] = time.time() - began - figures["import"]

    def sampler() -> Any:
        return numpyro.infer.MCMC(
            numpyro.infer.NUTS(plain_model.model),
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=CHAINS,
            chain_method="parallel",
            progress_bar=False,
        )

    ready = time.perf_counter()
    mcmc = sampler()
    mcmc.run(jax.random.key(seed), *arguments, extra_fields=("num_steps", "energy"))
    jax.block_until_ready(mcmc.get_samples(group_by_chain=True))
    figures["cold_draws"] = time.perf_counter() - ready
    _groups(mcmc, plain_model.model, arrays, seed)
    figures["cold_all"] = time.perf_counter() - ready
    figures["process"] = time.time() - began
    _, figures["warm_draws"], _ = peer_samplers.clocked(
        lambda: mcmc.run(jax.random.key(seed + 500), *arguments, extra_fields=("num_steps",))
    )
    mcmc = sampler()
    mcmc.warmup(jax.random.key(seed + 1000), *arguments)
    kernel = mcmc.sampler
    z, timed = peer_samplers.timed_draws(
        lambda state: peer_samplers.numpyro_chain(kernel, state, num_samples, arguments),
        mcmc.post_warmup_state,
    )
    constrain = jax.vmap(jax.vmap(kernel.postprocess_fn(arguments, {})))
    params = {name: np.asarray(x) for name, x in constrain(z).items()}
    return figures | timed, {name: params[name] for name in COMMON}


def run_peer(sampler: str, marginal: bool, seed: int, draws: tuple[int, int]) -> Outcome:
    """Run D, F or G: another sampler on the density that the package's sampler sees."""
    peer_samplers.devices(CHAINS)
    import jax

    model = _package_model(*draws)
    arrays, program = model.arrays(), model.program(marginal)
    starts = peer_samplers.starts_of(program.layout(arrays), CHAINS, seed)
    run = {"NumPyro": peer_samplers.numpyro_nuts, "BlackJAX": peer_samplers.blackjax_nuts}[sampler]
    positions, figures = run(lambda x: program.potential(x, arrays), starts, draws, seed)
    flat = positions.reshape(CHAINS * draws[1], -1)
    program.compile_ahead(arrays)
    params, _, cpu = peer_samplers.clocked(
        lambda: program.parameters(jax.random.key(seed), flat, arrays)
    )
    if marginal:
        figures["sampling_cpu"] += cpu
    return figures, _by_chain(params, draws[1])


def _groups(mcmc: Any, model: Callable[..., None], arrays: Any, seed: int) -> None:
    """Compute the groups that a fit of the package holds, with NumPyro and ArviZ alone."""
    import arviz
    import jax
    from numpyro.infer import Predictive

    key_prior, key_posterior = jax.random.split(jax.random.key(seed))
    prior = Predictive(model, num_samples=500)(key_prior, arrays)
    posterior = Predictive(model, mcmc.get_samples())(key_posterior, arrays)
    replicated = {"target": posterior["target"]}
    jax.block_until_ready((prior, replicated))
    arviz.from_numpyro(mcmc, prior=prior, posterior_predictive=replicated, log_likelihood=True)


# --- Comparison ----------------------------------------------------------------------------------


def child(given: argparse.Namespace) -> None:
    """One way, one seed, in this process."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    draws = given.warmup, given.samples
    if given.way == "B":
        figures, found = run_plain(given.began, given.seed, draws)
    elif given.way in "DFG":
        sampler = "NumPyro" if given.way == "D" else "BlackJAX"
        figures, found = run_peer(sampler, given.way != "F", given.seed, draws)
    else:
        method = "vectorized" if given.way == "E" else "threads"
        figures, found = run_package(given.began, given.seed, draws, given.way != "C", method)
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    record.leave(given.child, figures, found)


ROWS = {
    "import": "imports, s",
    "table": "reading the table, s",
    "cold_draws": "cold: table to draws of all sampled parameters, s",
    "cold_all": "cold: table to draws, predictions, log likelihood and prior groups, s",
    "process": "the same from the start of Python, s",
    "compile": "of which tracing and compiling the sampler, s",
    "warm_draws": "second run in the process: draws, s",
    "warm_all": "second run in the process: all groups, s",
    "warmup_cpu": "warm-up, CPU s",
    "sampling_wall": "sampling phase, wall s",
    "sampling_cpu": "sampling phase, CPU s",
    "steps": "leapfrog steps per draw",
    "divergences": "divergent draws",
    "ess_bulk": "least bulk ESS over all parameters",
    "ess_per_cpu": "least bulk ESS per CPU second of sampling",
    "ess_tail": "least tail ESS",
    "rhat": "greatest R-hat",
    "peak_mib": "peak memory, MiB",
}


def main() -> None:
    """Run the ways in turn and print medians, ratios and the agreement of posteriors."""
    options = record.parser("Speed of the national model: package, NumPyro and BlackJAX.")
    options.add_argument("--repetitions", type=int, default=3, help="processes per way")
    options.add_argument("--ways", default="ABCDEFG", help="which of A to G")
    options.add_argument("--warmup", type=int, default=1000, help="warm-up iterations per chain")
    options.add_argument("--samples", type=int, default=1000, help="draws per chain")
    options.add_argument("--keep", type=Path, help="folder of finished runs, to resume from")
    options.add_argument("--way", help=argparse.SUPPRESS)
    options.add_argument("--seed", type=int, default=0, help="first seed")
    given = options.parse_args()
    record.require_tables()
    if given.child:
        child(given)
        return

    runs: dict[str, list[dict[str, float]]] = {way: [] for way in given.ways}
    draws: dict[str, list[Any]] = {way: [] for way in given.ways}
    settings = ["--warmup", str(given.warmup), "--samples", str(given.samples)]
    # Ways take turns, so that another process on the machine slows all of them alike.
    for repetition, way in itertools.product(range(given.repetitions), given.ways):
        seed = str(given.seed + repetition)
        figures, arrays = record.resumed_process(
            given.keep, ["--way", way, "--seed", seed, *settings]
        )
        ds = record.as_dataset(arrays)
        quality = record.worst(ds)
        figures |= {key: quality[key] for key in ("ess_bulk", "ess_tail", "rhat")}
        figures["ess_per_cpu"] = figures["ess_bulk"] / figures["sampling_cpu"]
        runs[way].append(figures)
        draws[way].append(ds)
        print(
            f"{way}, seed {seed}: ESS/CPU s {figures['ess_per_cpu']:.0f} (least: "
            f"{quality['ess_bulk_of']}), cold {figures['cold_draws']:.1f} s",
            flush=True,
        )
    report(given, runs, draws)


def report(
    given: argparse.Namespace, runs: dict[str, list[dict[str, float]]], draws: dict[str, list[Any]]
) -> None:
    """Print and keep the tables."""
    middle = {way: record.medians(own) for way, own in runs.items()}
    rows = [
        [label, *(middle[way].get(name, np.nan) for way in middle)]
        for name, label in ROWS.items()
        if any(name in figures for figures in middle.values())
    ]
    parts = [
        "Meridian's national table: 156 weeks, 5 channels, 3 controls. Geometric adstock over 8 "
        "weeks, Hill with free slope, 2 Fourier modes of the year, linear trend, normal noise; the "
        f"same priors throughout. {CHAINS} chains of {given.warmup} + {given.samples}, float64. "
        f"Medians over {given.repetitions} seeds, a fresh process each, without a compilation "
        "cache. The sampling phase excludes warm-up and compilation; for A, D, E and G it "
        "includes drawing the linear block back. For B, D, F and G it is one compiled call of the "
        "kernel on four devices. BlackJAX adapts a metric of rank 10 and starts its draws at the "
        "centre that the adaptation found.",
        record.table(["median", *(NAMES[way] for way in middle)], rows),
    ]
    if {"A", "B"} <= set(middle):
        a, b = middle["A"], middle["B"]
        ratios = [
            ["least bulk ESS per CPU second, A over B", a["ess_per_cpu"] / b["ess_per_cpu"], "4"],
            ["cold to draws, B over A", b["cold_draws"] / a["cold_draws"], ""],
            ["cold to all groups, B over A", b["cold_all"] / a["cold_all"], "2.2"],
            ["cold seconds to all groups, A", a["cold_all"], "at most 6"],
        ]
        parts.append(record.table(["figure", "measured", "wanted"], ratios))
    parts.extend(_attribution(middle))
    every = [
        [
            f"{way}, {number + 1}",
            *(run[key] for key in ("ess_bulk", "sampling_cpu", "ess_per_cpu")),
            *(run.get(key, np.nan) for key in ("cold_draws", "cold_all")),
        ]
        for way, own in runs.items()
        for number, run in enumerate(own)
    ]
    header = ["run", "least ESS", "sampling CPU s", "ESS per CPU s", "cold, draws", "cold, all"]
    parts.append("Single runs:\n\n" + record.table(header, every))
    gaps = []
    for one, other in itertools.combinations(draws, 2):
        each = [record.disagreement(x, y) for x, y in zip(draws[one], draws[other], strict=True)]
        z, name = max(each)
        gaps.append([f"{one} and {other}", z, name])
    if gaps:
        parts.append(
            "Agreement of the posteriors: greatest difference of a mean or standard deviation "
            "over its Monte Carlo error, over all parameters and repetitions (below 4 where they "
            "are the same):\n\n" + record.table(["ways", "greatest z", "where"], gaps)
        )
    record.publish("speed_national", "Speed, national model", parts, given.write)
    wrong = [f"{ways} at {name} (z = {z:.1f})" for ways, z, name in gaps if z >= 5]
    if wrong:
        raise SystemExit("The posteriors differ: " + "; ".join(wrong))


def _attribution(middle: dict[str, dict[str, float]]) -> list[str]:
    """Return the table of both models under each sampler, and what each part gains."""
    samplers = {"NumPyro": "BD", "BlackJAX, low-rank adaptation": "FG", "package": "CA"}
    rows = []
    for label, (plain, integrated) in samplers.items():
        if {plain, integrated} <= set(middle):
            one, other = (middle[way]["ess_per_cpu"] for way in (plain, integrated))
            rows.append([label, one, other, other / one])
    if not rows:
        return []
    return [
        "What each part gains, in least bulk ESS per CPU second of sampling (the last column is "
        "the gain of integrating the linear block out, the columns compare samplers):\n\n"
        + record.table(["sampler", "plain model", "integrated", "ratio"], rows)
    ]


if __name__ == "__main__":
    main()
