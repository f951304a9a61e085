"""Compare our no-U-turn trajectory with BlackJAX's inside the same sampler.

Everything but the trajectory is shared: the density, the adaptation, the blocks of 50 draws, one
thread per chain. What differs is how one draw is made: `mmm_bayes.inference.nuts` grows the
trajectory leaf by leaf in one loop over all draws of a block; here the pieces of
`blackjax.mcmc.nuts` make one draw, and a loop makes a block of them. BlackJAX sizes its buffers by
the largest depth, so the depth of one block stays an argument of the compiled program as in ours.

A fresh process for each seed compiles both samplers and runs them in turn, three times each, first
one ahead and then the other. Figures are CPU seconds of the process. BlackJAX is not a dependency
of the package; it is in the development environment.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import record

CASES = ("national", "national, 60 knots not integrated", "geo")
ENGINES = ("ours", "BlackJAX")
REPEATS = 3


def blackjax_block(
    logdensity: Callable[[Any], Any],
    rng_key: Any,
    state: Any,
    metric: Any,
    count: Any,
    max_depth: Any,
    target_accept: Any,
    adapt: Any,
    *,
    block: int,
) -> tuple[Any, Any, Any]:
    """Make a block of draws as `mmm_bayes.inference.nuts.sample_block`, by BlackJAX's pieces."""
    import jax
    import jax.numpy as jnp
    from blackjax.mcmc import integrators, metrics, proposal, termination, trajectory

    from mmm_bayes.inference import nuts

    dim, dtype = state.position.shape[0], state.position.dtype
    keys = jax.random.split(rng_key, block)
    euclidean = metrics.default_metric(jnp.ones(dim, dtype))
    leapfrog = integrators.velocity_verlet(
        lambda z: logdensity(nuts.to_position(metric, z)), euclidean.kinetic_energy
    )
    new_checks, update_checks, is_turning = termination.iterative_uturn_numpyro(
        euclidean.check_turning
    )
    expand = trajectory.dynamic_multiplicative_expansion(
        trajectory.dynamic_progressive_integration(
            leapfrog, euclidean.kinetic_energy, update_checks, is_turning, 1000.0
        ),
        euclidean.check_turning,
        max_depth,
    )

    def draw(i: Any, carry: Any) -> Any:
        state, buffers = carry
        log_step = jnp.where(adapt, state.step_size.log_step, state.step_size.log_step_average)
        key_momentum, key_tree = jax.random.split(keys[i])
        z = nuts.from_position(metric, state.position)
        momentum = euclidean.sample_momentum(key_momentum, z)
        start = integrators.IntegratorState(
            z, momentum, -state.potential, -nuts.pull_back(metric, state.gradient)
        )
        energy = state.potential + euclidean.kinetic_energy(momentum)
        tree = trajectory.DynamicExpansionState(
            0,
            proposal.Proposal(start, energy, jnp.zeros((), dtype), jnp.full((), -jnp.inf, dtype)),
            trajectory.Trajectory(start, start, momentum, 0),
            new_checks(start, nuts.MAX_DEPTH),
        )
        tree, (diverging, _) = expand(key_tree, tree, energy, jnp.exp(log_step))
        n_steps = tree.trajectory.num_states
        accept = jnp.exp(tree.proposal.sum_log_p_accept) / n_steps
        reached = tree.proposal.state
        adapted = nuts.update_step_size(state.step_size, accept, target_accept)
        step_size = jax.tree.map(lambda a, b: jnp.where(adapt, a, b), adapted, state.step_size)
        shrink = metric.stretch / (1.0 + metric.stretch)
        g = -reached.logdensity_grad
        gradient = (g - metric.vectors @ (shrink * (g @ metric.vectors))) / metric.scale
        position = nuts.to_position(metric, reached.position)
        info = nuts.NUTSInfo(
            accept, n_steps, tree.step, diverging, energy, -reached.logdensity,
            jnp.exp(log_step), gradient,
        )  # fmt: skip
        buffers = jax.tree.map(lambda b, x: b.at[i].set(x), buffers, (position, info))
        return nuts.NUTSState(position, -reached.logdensity, gradient, step_size), buffers

    real, rows = jnp.zeros((block,), dtype), jnp.zeros((block, dim), dtype)
    whole = jnp.zeros((block,), jnp.int32)
    info = nuts.NUTSInfo(real, whole, whole, jnp.zeros((block,), bool), real, real, real, rows)
    state, (positions, info) = jax.lax.fori_loop(0, count, draw, (state, (rows, info)))
    return state, positions, info


def program(engine: str, potential: Any, dim: int) -> Any:
    """Return the program of a potential, with this engine's trajectory."""
    import jax

    from mmm_bayes.inference.mcmc import NUTSProgram

    if engine == "ours":
        return NUTSProgram(potential, dim)

    class BlackJAX(NUTSProgram):
        def function(self, block: int, together: bool, impl: str = "threefry2x32") -> Any:
            def run(key, state, metric, count, depth, target, adapt, data):  # type: ignore[no-untyped-def]
                key = jax.random.wrap_key_data(key, impl=impl)
                return blackjax_block(
                    lambda x: -self.potential(x, data),
                    key, state, metric, count, depth, target, adapt, block=block,
                )  # fmt: skip

            axes = (0, 0, 0, None, None, None, None, None)
            return jax.vmap(run, in_axes=axes) if together else run

    return BlackJAX(potential, dim)


def model_of(case: str) -> tuple[Any, bool]:
    """Return the package's model of a case, and whether its linear block is integrated out."""
    import shared_tables

    import mmm_bayes as mb

    season = [{"period": "year", "order": 2}]
    if case == "geo":
        data = shared_tables.load_geo_reference()
        data = data.subset(slice(data.dates[-52], None))
        return mb.MMM(data, mb.ModelSpec(seasonality=season)), True
    data = shared_tables.load_reference()
    if case == "national":
        return mb.MMM(data, mb.ModelSpec(seasonality=season)), True
    trend = {"kind": "knots", "n_knots": 60}
    return mb.MMM(data, mb.ModelSpec(seasonality=season, trend=trend)), False


def child(given: argparse.Namespace) -> None:
    """Run one case and one seed in this process, both engines in turn."""
    import jax

    from mmm_bayes.inference import mcmc
    from mmm_bayes.inference.convergence import ess_bulk

    with jax.enable_x64(True):
        model, marginal = model_of(given.case)
        arrays, own = model.arrays(), model.program(marginal)
        layout = own.layout(arrays)
        figures: dict[str, Any] = {"dim": layout.dim}
        spec = mcmc.SamplerSpec(
            num_warmup=given.draws, num_samples=given.draws, chain_method=given.layout
        )
        programs = {e: program(e, own.potential, layout.dim) for e in ENGINES}
        kept: dict[str, list[dict[str, float]]] = {e: [] for e in ENGINES}
        order = ENGINES if given.seed % 2 == 0 else ENGINES[::-1]
        for repeat in range(REPEATS):
            for engine in order if repeat % 2 == 0 else order[::-1]:
                key = jax.random.key(given.seed)
                before = time.process_time()
                draws = mcmc.sample(key, programs[engine], arrays, layout.start, spec)
                own_cpu = time.process_time() - before
                ess = ess_bulk(np.moveaxis(draws.positions, -1, 0))
                kept[engine].append(
                    {
                        "ess": float(ess.min()),
                        "sampling": draws.seconds["sampling_cpu"],
                        "warmup": draws.seconds["warmup_cpu"],
                        "compile": draws.seconds["compile_cpu"],
                        "steps": float(draws.info.n_steps.mean()),
                        "whole": own_cpu,
                    }
                )
    for engine, runs in kept.items():
        figures |= {
            f"{engine}.{name}": min(run[name] for run in runs)
            for name in ("ess", "sampling", "warmup", "steps")
        }
        figures[f"{engine}.compile"] = runs[0]["compile"]
    record.leave(given.child, figures)


ROWS = {
    "per_cpu": "least bulk ESS per CPU second of sampling",
    "sampling": "sampling, CPU s (least of three)",
    "step_us": "CPU microseconds per leapfrog step",
    "warmup": "warm-up, CPU s (least of three)",
    "steps": "leapfrog steps per draw",
    "ess": "least bulk ESS",
    "compile": "compiling a block of 50 draws, CPU s",
}


def main() -> None:
    """Run all cases and print the table."""
    options = record.parser("Our no-U-turn trajectory against BlackJAX's, inside the same sampler.")
    options.add_argument("--repetitions", type=int, default=3, help="processes, one seed each")
    options.add_argument("--draws", type=int, default=1000, help="warm-up, and draws, per chain")
    options.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    options.add_argument("--layouts", nargs="+", default=["threads"],
                         choices=("threads", "vectorized"))  # fmt: skip
    options.add_argument("--keep", type=Path, help="folder of finished runs, to resume from")
    for name, kind in (("--case", str), ("--seed", int), ("--layout", str)):
        options.add_argument(name, type=kind, help=argparse.SUPPRESS)
    given = options.parse_args()
    record.require_tables()
    if given.child:
        child(given)
        return
    parts = [
        "Both engines share the density, the adaptation, the blocks and the keys; only the "
        "trajectory differs. 4 chains, float64, "
        f"{given.draws} + {given.draws} iterations; a fresh process per seed compiles both and "
        "runs each three times, taking turns. ESS is over all unconstrained parameters. The geo "
        "cases are the last 52 weeks of 40 geos."
    ]
    for case in given.cases:
        for layout in given.layouts:
            runs = []
            for seed in range(given.repetitions):
                line = ["--case", case, "--seed", str(seed), "--layout", layout]
                figures, _ = record.resumed_process(
                    given.keep, [*line, "--draws", str(given.draws)]
                )
                for engine in ENGINES:
                    cpu, steps = figures[f"{engine}.sampling"], figures[f"{engine}.steps"]
                    figures[f"{engine}.per_cpu"] = figures[f"{engine}.ess"] / cpu
                    figures[f"{engine}.step_us"] = 1e6 * cpu / (steps * 4 * given.draws)
                runs.append(figures)
                print(case, layout, seed, figures, flush=True)
            rows = []
            for name, label in ROWS.items():
                row: list[Any] = [label]
                for engine in ENGINES:
                    row += [run[f"{engine}.{name}"] for run in runs]
                ratio = [run[f"BlackJAX.{name}"] / run[f"ours.{name}"] for run in runs]
                rows.append([*row, statistics.median(ratio)])
            seeds = range(given.repetitions)
            header = [f"seed {'/'.join(map(str, seeds))}"]
            header += [f"{engine}, {seed}" for engine in ENGINES for seed in seeds]
            header.append("BlackJAX over ours")
            parts.append(f"## {case.capitalize()}, {runs[0]['dim']} parameters, {layout}")
            parts.append(record.table(header, rows))
    record.publish("nuts_kernels", "The trajectory: ours and BlackJAX's", parts, given.write)


if __name__ == "__main__":
    main()
