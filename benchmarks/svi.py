"""Compare the package's Gaussian approximation with NumPyro's guides on the same densities.

Every method sees the same flat, unconstrained density and the same number of draws per gradient.
A long run of the no-U-turn sampler gives the means and standard deviations to compare with. The
package starts from a mode and its curvature and then corrects by stochastic steps; NumPyro's guides
start from a draw of the priors and take all steps by Adam.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import nuts_kernels
import record

METHODS = {
    "ours": "package, full rank",
    "ours, low rank": "package, low rank",
    "ours, Laplace": "package, Laplace",
    "Laplace": "NumPyro, AutoLaplaceApproximation",
    "multivariate": "NumPyro, AutoMultivariateNormal",
    "low rank": "NumPyro, AutoLowRankMultivariateNormal",
    "multivariate, long": "NumPyro, AutoMultivariateNormal, ten times the steps",
}
DRAWS = 4000
PARTICLES = 8


def by_package(method: str, steps: int, seed: int, own: Any, arrays: Any) -> tuple[Any, Any, Any]:
    """Return draws, log p and log q of the package's approximation."""
    import jax

    from mmm_bayes.inference import svi

    layout = own.layout(arrays)
    guide = {"ours, low rank": "low_rank", "ours, Laplace": "laplace"}.get(method, "full_rank")
    spec = svi.SVISpec(num_steps=steps, num_particles=PARTICLES, num_draws=DRAWS, guide=guide)
    found = svi.fit(jax.random.key(seed), own.potential, layout.dim, arrays, layout.start, spec)
    return found.positions, found.log_p, found.log_q


def by_numpyro(method: str, steps: int, seed: int, own: Any, arrays: Any) -> tuple[Any, Any, Any]:
    """Return draws, log p and log q of one of NumPyro's guides."""
    import jax
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO, autoguide, init_to_value

    layout = own.layout(arrays)
    start = layout.start(np.random.default_rng(seed), 1.0)

    def model(arrays: Any) -> None:
        flat = dist.ImproperUniform(dist.constraints.real_vector, (), (layout.dim,))
        position = numpyro.sample("position", flat)
        # The density is made of the model's own sites, which are none of this model's.
        with numpyro.handlers.block():
            log_density = -own.potential(position, arrays)
        numpyro.factor("log_density", log_density)

    guide_of = {
        "Laplace": autoguide.AutoLaplaceApproximation,
        "multivariate": autoguide.AutoMultivariateNormal,
        "multivariate, long": autoguide.AutoMultivariateNormal,
        "low rank": autoguide.AutoLowRankMultivariateNormal,
    }[method]
    guide = guide_of(model, init_loc_fn=init_to_value(values={"position": start}))
    if method == "multivariate, long":
        steps *= 10
    particles = 1 if method == "Laplace" else PARTICLES
    svi = SVI(model, guide, numpyro.optim.Adam(0.02), Trace_ELBO(num_particles=particles))
    result = svi.run(jax.random.key(seed), steps, arrays, progress_bar=False)
    posterior = guide.get_posterior(result.params)
    draws = posterior.sample(jax.random.key(seed + 1), (DRAWS,))
    log_p = -jax.jit(lambda x, data: jax.lax.map(lambda q: own.potential(q, data), x))(
        draws, arrays
    )
    return np.asarray(draws), np.asarray(log_p), np.asarray(posterior.log_prob(draws))


def judge(draws: Any, log_p: Any, log_q: Any, mean: Any, sd: Any) -> dict[str, float]:
    """Return k-hat and the errors of means and standard deviations, in reference deviations."""
    from mmm_bayes.inference.psis import smooth_weights

    try:
        k = smooth_weights(np.asarray(log_p, float) - log_q)[1]
    except FloatingPointError:
        k = np.inf
    off = np.abs(draws.mean(0) - mean) / sd
    ratio = np.abs(np.log(draws.std(0) / sd))
    return {
        "k": k,
        "elbo": float(np.mean(log_p - log_q)),
        "mean_rms": float(np.sqrt(np.mean(off**2))),
        "mean_max": float(off.max()),
        "sd_rms": float(np.sqrt(np.mean(ratio**2))),
        "sd_max": float(ratio.max()),
    }


def child(given: argparse.Namespace) -> None:
    """Run all methods on one case in this process."""
    import jax

    from mmm_bayes.inference import mcmc

    figures: dict[str, Any] = {}
    with jax.enable_x64(True):
        model, marginal = nuts_kernels.model_of(given.case)
        arrays, own = model.arrays(), model.program(marginal)
        layout = own.layout(arrays)
        spec = mcmc.SamplerSpec(num_warmup=1000, num_samples=given.reference)
        before = time.process_time()
        draws = mcmc.sample(jax.random.key(99), own.sampler(arrays), arrays, layout.start, spec)
        figures["reference_cpu"] = time.process_time() - before
        flat = draws.positions.reshape(-1, layout.dim)
        mean, sd = flat.mean(0), flat.std(0)
        figures["dim"] = layout.dim
        for method in METHODS:
            run: Callable[..., Any] = by_package if method.startswith("ours") else by_numpyro
            for name, seed in (("cold", given.seed), ("again", given.seed + 100)):
                if name == "again" and not method.startswith("ours"):
                    break  # NumPyro's guides compile anew with every fit
                before = time.process_time()
                found = run(method, given.steps, seed, own, arrays)
                figures[f"{method}.{name}_cpu"] = time.process_time() - before
                if name == "cold":
                    figures |= {
                        f"{method}.{key}": value for key, value in judge(*found, mean, sd).items()
                    }
    record.leave(given.child, figures)


COLUMNS = {
    "k": "k-hat",
    "elbo": "ELBO",
    "mean_rms": "error of means, sd (rms)",
    "mean_max": "(largest)",
    "sd_rms": "error of log sd (rms)",
    "sd_max": "(largest)",
    "cold_cpu": "CPU s, first fit",
    "again_cpu": "CPU s, next fit",
}


def main() -> None:
    """Run all cases and print the tables."""
    options = record.parser("Gaussian approximations: the package and NumPyro's guides.")
    options.add_argument("--repetitions", type=int, default=3, help="processes, one seed each")
    options.add_argument("--steps", type=int, default=2000, help="stochastic gradient steps")
    options.add_argument("--reference", type=int, default=1000, help="NUTS draws per chain")
    options.add_argument("--cases", nargs="+", default=list(nuts_kernels.CASES))
    options.add_argument("--keep", type=Path, help="folder of finished runs, to resume from")
    for name, kind in (("--case", str), ("--seed", int)):
        options.add_argument(name, type=kind, help=argparse.SUPPRESS)
    given = options.parse_args()
    record.require_tables()
    if given.child:
        child(given)
        return
    parts = [
        f"{given.steps} steps of {PARTICLES} draws (NumPyro's Laplace: of one), learning rate "
        f"0.02, {DRAWS} draws of the result, float64; medians over {given.repetitions} seeds, a "
        "fresh process each. Errors are against 4 chains of "
        f"{given.reference} draws by NUTS, in its standard deviations. Means and standard "
        "deviations of 4000 independent draws alone are off by 0.016 (rms)."
    ]
    for case in given.cases:
        runs = []
        for seed in range(given.repetitions):
            line = ["--case", case, "--seed", str(seed), "--steps", str(given.steps)]
            figures, _ = record.resumed_process(
                given.keep, [*line, "--reference", str(given.reference)]
            )
            runs.append(figures)
            print(case, seed, figures, flush=True)
        rows = [
            [
                label,
                *(
                    statistics.median(run.get(f"{method}.{key}", np.nan) for run in runs)
                    for key in COLUMNS
                ),
            ]
            for method, label in METHODS.items()
        ]
        parts.append(
            f"## {case[0].upper() + case[1:]}, {runs[0]['dim']} parameters\n\nNUTS: "
            f"{statistics.median(run['reference_cpu'] for run in runs):.1f} CPU s for the "
            "reference, compilation included."
        )
        parts.append(record.table(["method", *COLUMNS.values()], rows))
    record.publish("svi", "Gaussian approximations", parts, given.write)


if __name__ == "__main__":
    main()
