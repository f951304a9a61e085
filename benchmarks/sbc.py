"""Simulation-based calibration: the rank of the truth among posterior draws is uniform.

Parameters and targets are drawn from the model itself (60 weeks, 2 channels, 1 control, all else
fixed), each target is fitted with the linear block integrated out, and the rank of every true
parameter among thinned posterior draws is taken. Under a correct sampler and a correct
marginalisation the ranks are uniform. The log likelihood of the data is ranked too: it sees errors
that leave every margin uniform (Modrak et al. 2023).

References
----------
Talts, Betancourt, Simpson, Vehtari and Gelman (2018), Validating Bayesian inference algorithms with
simulation-based calibration. Modrak et al. (2023), Simulation-based calibration checking for
Bayesian computation: the choice of test quantities shapes sensitivity, Bayesian Analysis.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import arviz_stats
import jax
import numpy as np
import record
import xarray as xr
from scipy import stats

import mmm_bayes as mb
from mmm_bayes.inference import mcmc
from mmm_bayes.model.program import Program
from mmm_bayes.model.structure import ModelArrays

LOG_LIKELIHOOD = "log_likelihood"
Params = dict[str, np.ndarray]


class Problem(NamedTuple):
    """A model with fixed inputs; ``arrays.target`` is replaced in every replication."""

    marginal: Program
    plain: Program
    arrays: ModelArrays


def problem() -> Problem:
    """Build a small model: every part of a national model, few of each."""
    spec = mb.ModelSpec(
        media={"max_lag": 4}, seasonality=[{"period": "year", "order": 1}], trend={"kind": "linear"}
    )
    simulated = mb.simulate.mmm(
        jax.random.key(7), num_dates=60, num_channels=2, num_controls=1, max_lag=4
    )
    model = mb.MMM(simulated.data, spec)
    return Problem(model.program(True), model.program(False), model.arrays())


def from_prior(key: jax.Array, case: Problem, count: int) -> tuple[Params, np.ndarray]:
    """Draw parameters (count, ...) from the prior, and a scaled target (count, geo, time) each."""
    key_params, key_target = jax.random.split(key)
    params = case.plain.prior(key_params, case.arrays._replace(block=None), count)
    target, _ = case.marginal.outcomes(key_target, params, case.arrays, lambda *both: both)
    return params, target


def replicate(
    key: jax.Array,
    case: Problem,
    true: Params,
    target: np.ndarray,
    spec: mcmc.SamplerSpec,
    thin: int,
) -> dict[str, Any]:
    """Fit one target; ranks of the truth among thinned draws, and how well it was sampled."""
    key_run, key_block = jax.random.split(key)
    arrays = case.arrays._replace(target=target)
    program = case.marginal
    draws = mcmc.sample(
        key_run, program.sampler(arrays), arrays, program.layout(arrays).start, spec
    )
    positions = draws.positions[0, thin - 1 :: thin]
    posterior = dict(program.parameters(key_block, positions, arrays))
    both = {name: np.concatenate([x, true[name][None]]) for name, x in posterior.items()}
    _, log_density = program.outcomes(key_block, both, arrays, lambda *both: both)
    both[LOG_LIKELIHOOD] = log_density.sum((1, 2))
    ranks = {name: (x[:-1] < x[-1]).sum(0) for name, x in both.items()}
    kept = xr.Dataset(
        {
            name: (("chain", "draw", *(f"{name}_{k}" for k in range(x.ndim - 1))), x[None, :-1])
            for name, x in both.items()
        }
    )
    return {
        "ranks": record.scalars(xr.Dataset({n: (_axes(n, x), x) for n, x in ranks.items()})),
        "ess": min(record.scalars(arviz_stats.ess(kept, method="bulk")).values()),
        "divergences": int(draws.info.diverging.sum()),
    }


def _axes(name: str, x: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{name}_{axis}" for axis in range(np.ndim(x)))


def run(key: jax.Array, count: int, spec: mcmc.SamplerSpec, thin: int) -> list[dict[str, Any]]:
    """Run all replications, as many at a time as there are cores."""
    case = problem()
    key_prior, key_fits = jax.random.split(key)
    params, targets = from_prior(key_prior, case, count)
    keys = jax.random.split(key_fits, count)

    def work(index: int) -> dict[str, Any]:
        # JAX's precision belongs to the thread.
        with jax.enable_x64(True):
            true = {name: x[index] for name, x in params.items()}
            return replicate(keys[index], case, true, targets[index], spec, thin)

    first = work(0)  # compiles
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [first, *pool.map(work, range(1, count))]


def uniformity(ranks: np.ndarray, levels: int, bins: int) -> tuple[float, float, np.ndarray]:
    """Return the chi-squared statistic and p-value of ranks, and their histogram."""
    counts = np.bincount(ranks.astype(int) * bins // levels, minlength=bins)
    statistic, p = stats.chisquare(counts)
    return float(statistic), float(p), counts


def main() -> None:
    """Run the replications and print a row per parameter."""
    options = record.parser("Simulation-based calibration of a small national model.")
    options.add_argument("--replications", type=int, default=500)
    options.add_argument("--kept", type=int, default=99, help="thinned draws per replication")
    options.add_argument("--thin", type=int, default=15)
    options.add_argument("--warmup", type=int, default=500)
    options.add_argument("--bins", type=int, default=20)
    options.add_argument("--seed", type=int, default=2024)
    given = options.parse_args()
    levels = given.kept + 1
    if levels % given.bins:
        raise SystemExit(
            f"--kept plus one ({levels}) should be a multiple of --bins ({given.bins})."
        )
    spec = mcmc.SamplerSpec(
        num_warmup=given.warmup, num_samples=given.kept * given.thin, num_chains=1
    )
    began = time.perf_counter()
    with jax.enable_x64(True):
        results = run(jax.random.key(given.seed), given.replications, spec, given.thin)
    seconds = time.perf_counter() - began

    names = list(results[0]["ranks"])
    rows, p_values = [], []
    for name in names:
        ranks = np.array([result["ranks"][name] for result in results])
        statistic, p, counts = uniformity(ranks, levels, given.bins)
        p_values.append(p)
        # Mean and spread of the uniform rank: 1/2, and sqrt(1/12) within the steps of the ranks.
        z = (ranks.mean() / given.kept - 0.5) * np.sqrt(12 * len(ranks) * given.kept / (levels + 1))
        rows.append([name, statistic, p, z, f"{counts.min()}-{counts.max()}"])
    least = min(p_values)
    # All p-values together: uniform themselves, apart from the dependence between parameters.
    holm = min(1.0, least * len(p_values))
    expected = given.replications / given.bins
    chi_squared = f"chi-squared ({given.bins - 1} df)"
    header = ["parameter", chi_squared, "p", "z of mean rank", "bin counts"]
    parts = [
        f"{given.replications} replications (key {given.seed}), each fitted by one chain of "
        f"{given.warmup} + {given.kept * given.thin}, every {given.thin}th draw kept: ranks 0 to "
        f"{given.kept} in {given.bins} bins of {expected:.0f} expected. 60 weeks, 2 channels, 1 "
        "control; default priors, geometric adstock over 4 weeks, Hill, linear trend, one yearly "
        "mode. Intercept, trend, season and control are integrated out and drawn back. Wanted: "
        "p > 0.01 for every parameter.",
        record.table(header, rows),
        f"Least p: {least:.3f} of {len(p_values)} (Bonferroni: {holm:.2f}). Least bulk ESS of the "
        f"{given.kept} kept draws, median over replications: "
        f"{np.median([result['ess'] for result in results]):.0f}. Replications with a divergent "
        f"draw: {sum(result['divergences'] > 0 for result in results)}; divergent draws in all: "
        f"{sum(result['divergences'] for result in results)}. Time: {seconds:.0f} s.",
    ]
    record.publish("sbc", "Simulation-based calibration", parts, given.write)


if __name__ == "__main__":
    main()
