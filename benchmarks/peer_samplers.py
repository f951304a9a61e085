"""NumPyro's and BlackJAX's no-U-turn samplers on a flat density, one device per chain.

The sampling phase of each is timed by itself, as one compiled call for all chains. Call `devices`
before anything else uses JAX.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

Figures = dict[str, float]


def devices(count: int) -> None:
    """Give every chain a device of its own, in double precision."""
    import numpyro

    numpyro.set_host_device_count(count)
    numpyro.enable_x64()


def clocked(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return the result, wall seconds and CPU seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def starts_of(layout: Any, chains: int, seed: int) -> np.ndarray:
    """Draw starts (chain, dim) as the package's sampler does."""
    generator = np.random.default_rng(seed)
    return np.stack([layout.start(generator, 1.0) for _ in range(chains)])


def numpyro_nuts(
    potential: Callable[[Any], Any], starts: np.ndarray, draws: tuple[int, int], seed: int
) -> tuple[np.ndarray, Figures]:
    """Sample with NumPyro's NUTS and its defaults; return positions (chain, draw, dim)."""
    import jax
    import numpyro

    num_warmup, num_samples = draws
    kernel = numpyro.infer.NUTS(potential_fn=potential)

    def sampler() -> Any:
        return numpyro.infer.MCMC(
            kernel,
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=len(starts),
            chain_method="parallel",
            progress_bar=False,
        )

    figures: Figures = {}
    ready = time.perf_counter()
    mcmc = sampler()
    mcmc.run(jax.random.key(seed), init_params=starts)
    jax.block_until_ready(mcmc.get_samples())
    figures["cold_draws"] = time.perf_counter() - ready
    mcmc = sampler()
    # Warm-up by itself leaves states; the sampling phase is then one compiled call of the kernel.
    mcmc.warmup(jax.random.key(seed + 1000), init_params=starts)
    chain = lambda state: numpyro_chain(kernel, state, num_samples)  # noqa: E731
    positions, timed = timed_draws(chain, mcmc.post_warmup_state)
    return np.asarray(positions), figures | timed


def numpyro_chain(
    kernel: Any, state: Any, num_samples: int, arguments: tuple[Any, ...] = ()
) -> Any:
    """Draw from one chain with NumPyro's kernel, without the bookkeeping of its ``MCMC``."""
    import jax

    def step(state: Any, _: None) -> tuple[Any, Any]:
        state = kernel.sample(state, arguments, {})
        return state, (state.z, state.num_steps, state.diverging)

    return jax.lax.scan(step, state, None, length=num_samples)[1]


def blackjax_nuts(
    potential: Callable[[Any], Any], starts: np.ndarray, draws: tuple[int, int], seed: int
) -> tuple[np.ndarray, Figures]:
    """Sample with BlackJAX's NUTS and low-rank window adaptation, with its defaults."""
    import blackjax
    import jax

    num_warmup, num_samples = draws

    def logdensity(x: Any) -> Any:
        return -potential(x)

    adaptation = blackjax.window_adaptation_low_rank(blackjax.nuts, logdensity)

    def warm_up(key: Any, start: Any) -> Any:
        (state, found), _ = adaptation.run(key, start, num_warmup)
        return key, state, found["step_size"], found["inverse_mass_matrix"]

    def chain(given: Any) -> Any:
        key, state, step_size, metric = given
        nuts = blackjax.nuts(logdensity, step_size=step_size, inverse_mass_matrix=metric)

        def step(state: Any, key: Any) -> Any:
            state, info = nuts.step(key, state)
            return state, (state.position, info.num_integration_steps, info.is_divergent)

        return jax.lax.scan(step, state, jax.random.split(key, num_samples))[1]

    ready = time.perf_counter()
    keys = jax.random.split(jax.random.key(seed), len(starts))
    warm_all, compile_wall, compile_cpu = clocked(
        lambda: jax.pmap(warm_up).lower(keys, starts).compile()
    )
    warm, _, warmup_cpu = clocked(lambda: jax.block_until_ready(warm_all(keys, starts)))
    positions, figures = timed_draws(chain, warm)
    figures["cold_draws"] = time.perf_counter() - ready
    figures["warmup_cpu"] = warmup_cpu
    figures["compile"] += compile_wall
    figures["compile_cpu"] += compile_cpu
    return np.asarray(positions), figures


def timed_draws(chain: Callable[[Any], Any], warm: Any) -> tuple[Any, Figures]:
    """Compile the sampling phase of all chains, then time it; return positions and figures."""
    import jax

    figures: Figures = {}
    compiled, figures["compile"], figures["compile_cpu"] = clocked(
        lambda: jax.pmap(chain).lower(warm).compile()
    )
    (positions, steps, diverging), figures["sampling_wall"], figures["sampling_cpu"] = clocked(
        lambda: jax.block_until_ready(compiled(warm))
    )
    figures["steps"] = float(np.mean(steps))
    figures["divergences"] = float(np.sum(diverging))
    return positions, figures
