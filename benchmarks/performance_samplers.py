"""The package's sampler and NumPyro's own, each in a process: CPU per effective draw, compilation.

National: the bundled table; NumPyro's NUTS samples the hand-written model of `plain_model.py`. Geo:
the last weeks of the bundled geo table; NumPyro's NUTS samples the package's model as it is
stated, with nothing integrated out.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import performance_timing as timing
import record

CHAINS = 4
WAYS = ("package", "numpyro")
# All of the model but what is only standardised noise of the geos.
_NATIONAL = (
    "alpha", "ec", "slope", "beta", "sigma", "intercept", "trend_coef", "seasonality_coef",
    "control_coef",
)  # fmt: skip
_GEO = ("alpha", "ec", "slope", "beta", "sigma", "intercept", "media_geo_scale")
NAMES = {"national": _NATIONAL, "geo": _GEO}
Found = tuple[dict[str, float], dict[str, np.ndarray]]


def model_of(case: str, draws: int, weeks: int) -> Any:
    """Return the package's model of a bundled table."""
    import mmm_bayes as mb

    data = mb.load_dataset(f"{case}_weekly")
    if weeks < data.num_dates:
        data = data.subset(slice(data.dates[-weeks], None))
    sampler = {"num_warmup": draws, "num_samples": draws, "num_chains": CHAINS}
    return mb.MMM(data, mb.ModelSpec(seasonality=[{"period": "year", "order": 2}], sampler=sampler))


def by_package(case: str, seed: int, draws: int, weeks: int) -> Found:
    """Run a cold fit, which compiles, then time a warm one."""
    import jax

    model = model_of(case, draws, weeks)
    cold = (
        model.fit(jax.random.key(seed), progress=False, num_prior_draws=0).tree["posterior"].attrs
    )
    fit = model.fit(jax.random.key(seed + 1000), progress=False, num_prior_draws=0)
    attrs, stats = fit.tree["posterior"].attrs, fit.tree["sample_stats"]
    with jax.enable_x64(True):
        arrays, program = model.arrays(), model.program()
        positions = np.zeros((CHAINS * draws, program.layout(arrays).dim))
        # Drawing the linear block back is part of the price of integrating it out.
        _, cpu, wall = timing.clocked(
            lambda: program.parameters(jax.random.key(0), positions, arrays)
        )
    scaled, _, _ = fit._fitted.scaled()
    figures = {
        "compile_cpu": cold["seconds_compile_cpu"],
        "compile_wall": cold["seconds_compile_wall"],
        "cpu": attrs["seconds_sampling_cpu"] + cpu,
        "wall": attrs["seconds_sampling_wall"] + wall,
        "steps": float(stats["n_steps"].mean()),
        "divergences": float(stats["diverging"].sum()),
    }
    return figures, _by_chain(scaled, NAMES[case], draws)


def _by_chain(params: Any, names: tuple[str, ...], draws: int) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(params[name]).reshape(CHAINS, draws, *np.shape(params[name])[1:])
        for name in names
        if name in params
    }


def by_numpyro(case: str, seed: int, draws: int, weeks: int) -> Found:
    """Run NumPyro's kernel with one device per chain, one compiled call each for both phases."""
    import numpyro

    numpyro.set_host_device_count(CHAINS)
    import jax

    numpyro.enable_x64()
    model, arguments = _plain(case, draws, weeks)
    kernel = numpyro.infer.NUTS(model)
    keys = jax.random.split(jax.random.key(seed), CHAINS)
    begin = lambda key: kernel.init(key, draws, None, arguments, {})  # noqa: E731
    start = jax.jit(jax.vmap(begin))(keys)

    def chain(state: Any) -> Any:
        def step(state: Any, _: None) -> tuple[Any, Any]:
            state = kernel.sample(state, arguments, {})
            return state, (state.z, state.num_steps, state.diverging)

        return jax.lax.scan(step, state, None, length=draws)

    compiled, compile_cpu, compile_wall = timing.clocked(
        lambda: jax.pmap(chain).lower(start).compile()
    )
    # The kernel adapts for as many iterations as it was told, which are the first call's.
    warm, _ = jax.block_until_ready(compiled(start))
    (_, found), cpu, wall = timing.clocked(lambda: jax.block_until_ready(compiled(warm)))
    z, steps, diverging = found
    figures = {
        "compile_cpu": compile_cpu,
        "compile_wall": compile_wall,
        "cpu": cpu,
        "wall": wall,
        "steps": float(np.mean(steps)),
        "divergences": float(np.sum(diverging)),
    }
    constrain = jax.jit(jax.vmap(jax.vmap(kernel.postprocess_fn(arguments, {}))))
    flat = {name: np.asarray(x) for name, x in constrain(z).items()}
    return figures, {name: flat[name] for name in NAMES[case] if name in flat}


def _plain(case: str, draws: int, weeks: int) -> tuple[Callable[..., None], Any]:
    """Return the model and its arguments."""
    package = model_of(case, draws, weeks)
    if case == "national":
        import plain_model

        ds = package.data.ds.isel(geo=0)
        arrays = plain_model.arrays_of(
            ds["exposure"].values, ds["controls"].values, ds["target"].values, ds.indexes["date"]
        )
        # Controls as the package scales them: it leaves columns of zeros and ones as they are.
        n_controls = len(package.data.controls)
        controls = package.arrays().design[0][:, -n_controls:]
        arrays = arrays._replace(controls=np.asarray(controls, arrays.controls.dtype))
        return plain_model.model, (arrays, arrays.target)
    from mmm_bayes.model.generative import generative

    arrays = package.arrays()
    model = functools.partial(generative, package.structure, arrays, marginal=False)
    return model, ()


def child(given: Any) -> None:
    """Run one method with one seed in this process."""
    run = {"package": by_package, "numpyro": by_numpyro}[given.way]
    record.leave(given.child, *run(given.case, given.seed, given.draws, given.weeks))


def measure(case: str, draws: int, weeks: int, repetitions: int) -> dict[str, Any]:
    """Run both methods in turn, each seed in a fresh process."""
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    kept: dict[str, list[Any]] = {way: [] for way in WAYS}
    for seed, way in itertools.product(range(repetitions), WAYS):
        arguments = ["--way", way, "--case", case, "--seed", str(seed), "--draws", str(draws)]
        figures, arrays = record.fresh_process([*arguments, "--weeks", str(weeks)])
        ds = record.as_dataset(arrays)
        quality = record.worst(ds)
        figures |= {key: quality[key] for key in ("ess_bulk", "rhat")}
        for clock in ("cpu", "wall"):
            figures[f"{clock}_draw"] = figures[clock] / quality["ess_bulk"]
        runs[way].append(figures)
        kept[way].append(ds)
        print(f"  {case}, {way}, seed {seed}: {figures}", file=sys.stderr, flush=True)
    common = [name for name in kept["package"][0] if name in kept["numpyro"][0]]
    gaps = [
        record.disagreement(one[common], other[common])
        for one, other in zip(kept["package"], kept["numpyro"], strict=True)
    ]
    found: dict[str, Any] = {way: timing.middle(own) for way, own in runs.items()}
    return found | {"z": max(gaps), "names": common, "runs": runs}


ROWS = {
    "cpu_draw": ("CPU ms an effective draw", 1e3),
    "wall_draw": ("wall ms an effective draw", 1e3),
    "compile_cpu": ("compiling the sampler, CPU s", 1.0),
    "compile_wall": ("compiling the sampler, wall s", 1.0),
    "steps": ("leapfrog steps per draw", 1.0),
    "ess_bulk": ("least bulk ESS", 1.0),
    "rhat": ("greatest R-hat", 1.0),
    "divergences": ("divergent draws", 1.0),
}


def text(found: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Return the table of a case."""
    ours, theirs = found["package"], found["numpyro"]
    rows = [
        [label, unit * theirs[name], unit * ours[name],
         theirs[name] / ours[name] if name not in ("rhat", "divergences", "ess_bulk") else "-"]
        for name, (label, unit) in ROWS.items()
    ]  # fmt: skip
    z, whose = found["z"]
    draws, count = settings["draws"], settings["repetitions"]
    return [
        f"{CHAINS} chains of {draws} + {draws}, float64; medians over {count} seeds (from 0), a "
        f"fresh process each, taking turns. Greatest |z| of means and standard deviations of "
        f"{', '.join(found['names'])} between both: {z:.1f} ({whose}).",
        record.table(["", "NumPyro", "package", "NumPyro over package"], rows),
    ]
