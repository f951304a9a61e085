"""Chains of the no-U-turn sampler: settings, warm-up, threads.

One block of draws is one call of a compiled program that releases Python's global lock. On a CPU
each chain runs in a thread of its own, so chains are parallel without any flag set before JAX is
imported, and none waits for another's longest tree. On an accelerator all chains step together
(``vmap``): a chain that finishes its trajectory starts the next one at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from mmm_bayes.inference import adaptation, nuts
from mmm_bayes.inference.progress import Progress, Silent
from mmm_bayes.inference.settings import Frozen
from mmm_bayes.inference.sharding import default_chain_method
from mmm_bayes.inference.tracing import compile_program

NDArray = np.ndarray[Any, Any]
Potential = Callable[[jax.Array, Any], jax.Array]

_MAX_STARTS = 50


class SamplerSpec(Frozen):
    """Settings of the no-U-turn sampler.

    Parameters
    ----------
    num_warmup, num_samples, num_chains
        Iterations per chain that adapt, that are kept, and the number of chains.
    target_accept
        Average acceptance probability the step size aims at; nearer to 1 means smaller steps.
    max_tree_depth
        A trajectory has at most ``2**max_tree_depth - 1`` steps.
    chain_method
        ``"threads"`` (one thread a chain), ``"vectorized"`` (all chains in one program) or
        ``"auto"``: threads on CPUs, vectorized on accelerators.
    precision
        ``"float64"`` or ``"float32"``; holds within the fit only, JAX's own setting stays as it is.
    """

    num_warmup: int = Field(1000, ge=20)
    num_samples: int = Field(1000, ge=4)
    num_chains: int = Field(4, ge=1)
    target_accept: float = Field(0.9, gt=0.5, lt=1.0)
    max_tree_depth: int = Field(10, ge=1, le=nuts.MAX_DEPTH)
    chain_method: Literal["auto", "threads", "vectorized"] = "auto"
    precision: Literal["float64", "float32"] = "float64"
    block: int = Field(50, ge=1)


class Draws(NamedTuple):
    """What the sampler returns.

    ``positions`` is (chain, draw, dim); ``info`` holds ``NUTSInfo`` fields of shape (chain, draw);
    ``warmup_steps`` the leapfrog steps of each chain's warm-up; ``seconds`` the wall and process
    CPU seconds of compilation, warm-up and sampling.
    """

    positions: NDArray
    info: nuts.NUTSInfo
    warmup_steps: NDArray
    seconds: dict[str, float]


class NUTSProgram:
    """The compiled sampler of one potential; compiled once per shape of the data.

    Parameters
    ----------
    potential
        Maps (position (dim,), data pytree) to the negative log density. Data are arguments, so a
        new table of the same shape costs no compilation.
    dim
        Number of unconstrained parameters.
    """

    def __init__(self, potential: Potential, dim: int) -> None:
        self.potential, self.dim, self.rank = potential, dim, adaptation.rank_for(dim)
        self._compiled: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def compile(self, data: Any, block: int, chains: int | None, dtype: Any) -> Any:
        """The program for these shapes; ``chains`` is ``None`` for one chain a call."""
        leaves, structure = jax.tree.flatten(data)
        key = (structure, tuple((x.shape, str(x.dtype)) for x in leaves), block, chains, str(dtype))
        with self._lock:
            if key not in self._compiled:
                self._compiled[key] = self._build(data, block, chains, dtype)
            return self._compiled[key]

    def _build(self, data: Any, block: int, chains: int | None, dtype: Any) -> Any:
        def run(key, state, metric, count, depth, target, adapt, data):  # type: ignore[no-untyped-def]
            def value_and_grad(x: jax.Array) -> tuple[jax.Array, jax.Array]:
                return jax.value_and_grad(self.potential)(x, data)

            return nuts.sample_block(
                value_and_grad, key, state, metric, count, depth, target, adapt, block=block
            )

        lead = () if chains is None else (chains,)
        if chains is not None:
            run = jax.vmap(run, in_axes=(0, 0, 0, None, None, None, None, None))
        real = lambda *shape: jax.ShapeDtypeStruct((*lead, *shape), dtype)  # noqa: E731
        dim, rank = self.dim, self.rank
        key = jax.eval_shape(lambda: jax.random.key(0))
        example = (
            jax.ShapeDtypeStruct((*lead, *key.shape), key.dtype),
            nuts.NUTSState(real(dim), real(), real(dim), nuts.StepSize(*[real()] * 5)),
            nuts.Metric(real(dim), real(dim, rank), real(rank)),
            jax.ShapeDtypeStruct((), np.int32),
            jax.ShapeDtypeStruct((), np.int32),
            jax.ShapeDtypeStruct((), dtype),
            jax.ShapeDtypeStruct((), bool),
            data,
        )
        return compile_program(jax.jit(run), *example)


def sample(
    rng_key: jax.Array,
    program: NUTSProgram,
    data: Any,
    propose_start: Callable[[np.random.Generator, float], NDArray],
    spec: SamplerSpec,
    progress: Progress | None = None,
    *,
    compiled: Callable[[], None] | None = None,
) -> Draws:
    """Run the chains.

    Parameters
    ----------
    rng_key
        Seeds starts, momenta and trajectories; the result is the same for any number of threads.
    program, data
        The potential and the arrays it is evaluated on.
    propose_start
        Maps a generator and a spread in (0, 1] to a starting position (dim,); called again with
        a smaller spread where the density is not finite.
    spec, progress
        Settings, and where to report.
    compiled
        Called once the sampler is compiled: the time for other work that needs no lock.

    Raises
    ------
    FloatingPointError
        If no start with a finite density is found, with what to look at.
    """
    progress = progress or Silent()
    dtype = np.dtype(spec.precision)
    method = spec.chain_method
    if method == "auto":
        method = default_chain_method()
    together = method == "vectorized"
    clock = _Clock()
    progress.message("compiling the sampler")
    block = program.compile(data, spec.block, spec.num_chains if together else None, dtype)
    seconds = clock.lap("compile")
    if compiled is not None:
        compiled()

    progress.start(spec.num_chains, spec.num_warmup + spec.num_samples)
    progress.message("sampling")
    key_start, key_run = jax.random.split(rng_key)
    seeds = np.asarray(jax.random.bits(key_start, (spec.num_chains, 4), "uint32"))
    keys = jax.random.split(key_run, spec.num_chains)
    stop = threading.Event()
    every = list(range(spec.num_chains))
    walks = [
        _Walk(block, together, data, dtype, program, spec, progress, stop, chains, keys)
        for chains in ([every] if together else [[chain] for chain in every])
    ]
    _each(walks, lambda walk: walk.warm_up(seeds, propose_start), stop, dtype)
    seconds |= clock.lap("warmup")
    _each(walks, lambda walk: walk.draw(), stop, dtype)
    seconds |= clock.lap("sampling")
    results = [result for walk in walks for result in walk.kept]
    positions, infos = zip(*results, strict=True)
    info = nuts.NUTSInfo(*(np.stack(field) for field in zip(*infos, strict=True)))
    steps = np.array([walk.warmup_steps[chain] for walk in walks for chain in walk.chains])
    return Draws(np.stack(positions), info, steps, seconds)


def _each(
    walks: list[_Walk], run: Callable[[_Walk], None], stop: threading.Event, dtype: Any
) -> None:
    """Run one phase of all walks, as many at a time as there are cores for this process."""

    def work(walk: _Walk) -> None:
        with jax.enable_x64(dtype == np.float64):
            run(walk)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(min(len(walks), cores or 1)) as pool:
        futures = [pool.submit(work, walk) for walk in walks]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BaseException:
            # An interrupt reaches the main thread only: the chains are told to stop.
            stop.set()
            for future in futures:
                future.cancel()
            raise


class _Clock:
    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> dict[str, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        result = {f"{name}_wall": wall - self._wall, f"{name}_cpu": cpu - self._cpu}
        self._wall, self._cpu = wall, cpu
        return result


class _Walk:
    """The blocks of one chain, or of all chains together, from start to last draw."""

    def __init__(
        self,
        block: Any,
        together: bool,
        data: Any,
        dtype: Any,
        program: NUTSProgram,
        spec: SamplerSpec,
        progress: Progress,
        stop: threading.Event,
        chains: list[int],
        keys: Any,
    ) -> None:
        self.block, self.together, self.data, self.dtype = block, together, data, dtype
        self.program, self.spec, self.progress, self.stop = program, spec, progress, stop
        self.chains, self.keys = chains, [keys[chain] for chain in chains]
        self.warmup_steps = dict.fromkeys(chains, 0)
        self.kept: list[tuple[NDArray, nuts.NUTSInfo]] = []
        self._calls = 0

    def _fresh_keys(self) -> list[Any]:
        self._calls += 1
        return [jax.random.fold_in(key, self._calls) for key in self.keys]

    def _call(
        self, states: list[Any], metrics: list[Any], count: int, depth: int, adapt: bool
    ) -> tuple[list[nuts.NUTSState], list[NDArray], list[nuts.NUTSInfo]]:
        if self.stop.is_set():
            raise InterruptedError("sampling was stopped")
        keys = self._fresh_keys()
        scalars = (
            np.int32(count),
            np.int32(depth),
            self.dtype.type(self.spec.target_accept),
            np.bool_(adapt),
            self.data,
        )
        if self.together:
            stack = lambda trees: jax.tree.map(lambda *x: np.stack(x), *trees)  # noqa: E731
            out = self.block(jnp.stack(keys), stack(states), stack(metrics), *scalars)
            out = jax.tree.map(np.asarray, out)
            each = [jax.tree.map(lambda x, c=c: x[c], out) for c in range(len(self.chains))]
        else:
            each = [jax.tree.map(np.asarray, self.block(keys[0], states[0], metrics[0], *scalars))]
        states, positions, infos = map(list, zip(*each, strict=True))
        cut = lambda tree: jax.tree.map(lambda x: x[:count], tree)  # noqa: E731
        return states, [cut(x) for x in positions], [cut(x) for x in infos]

    def _start(
        self, seeds: NDArray, propose: Callable[[np.random.Generator, float], NDArray]
    ) -> list[nuts.NUTSState]:
        """Positions with a finite density and gradient, from ever tighter proposals."""
        generators = [np.random.default_rng(seeds[chain]) for chain in self.chains]
        dim, dtype = self.program.dim, self.dtype
        metrics = [adaptation.first_metric(np.zeros(dim, dtype), self.program.rank)] * len(
            generators
        )
        zero = dtype.type(0.0)
        # Step size zero: the first "trajectory" evaluates the density where it stands.
        still = nuts.StepSize(zero, dtype.type(-np.inf), zero, zero, zero)
        found: list[nuts.NUTSState | None] = [None] * len(generators)
        for attempt in range(_MAX_STARTS):
            spread = 0.8**attempt
            states = [
                known
                or nuts.NUTSState(
                    propose(rng, spread).astype(dtype),
                    dtype.type(1e30),
                    np.zeros(dim, dtype),
                    still,
                )
                for known, rng in zip(found, generators, strict=True)
            ]
            reached, _, _ = self._call(states, metrics, 1, 1, False)
            for index, state in enumerate(reached):
                finite = np.isfinite(state.potential) and np.isfinite(state.gradient).all()
                if found[index] is None and finite and state.potential < 1e29:
                    found[index] = state
            if all(state is not None for state in found):
                return [state for state in found if state is not None]
        raise FloatingPointError(
            f"No start with a finite density in {_MAX_STARTS} tries. Usual causes: a prior whose "
            "support excludes the data (a bounded prior too narrow), or targets far from the "
            "likelihood's range. Look at the prior predictive draws first."
        )

    def warm_up(
        self, seeds: NDArray, propose: Callable[[np.random.Generator, float], NDArray]
    ) -> None:
        """Find starts, then adapt metric and step size."""
        spec, rank = self.spec, self.program.rank
        states = self._start(seeds, propose)
        metrics = [adaptation.first_metric(state.gradient, rank) for state in states]
        states = [_restart(state, 0.1, self.dtype) for state in states]
        draws: list[list[NDArray]] = [[] for _ in self.chains]
        gradients: list[list[NDArray]] = [[] for _ in self.chains]
        ends = adaptation.window_ends(spec.num_warmup)
        done = 0
        for number, end in enumerate([*ends, spec.num_warmup]):
            depth = spec.max_tree_depth
            if number < 2:
                depth = min(depth, adaptation.EARLY_DEPTH)
            while done < end:
                size = min(spec.block, end - done)
                states, q, info = self._call(states, metrics, size, depth, True)
                done += size
                for index, chain in enumerate(self.chains):
                    draws[index].append(q[index])
                    gradients[index].append(info[index].gradient)
                    self.warmup_steps[chain] += int(info[index].n_steps.sum())
                    self.progress.update(chain, done, "warm-up", 0)
            if number == len(ends):
                break
            for index in range(len(self.chains)):
                # The first third of a longer history is still the approach to the posterior.
                first = done // 3 if number > 2 else 0
                q_all, g_all = np.concatenate(draws[index]), np.concatenate(gradients[index])
                metrics[index] = adaptation.fisher_metric(q_all[first:], g_all[first:], rank)
                average = float(np.exp(states[index].step_size.log_step_average))
                states[index] = _restart(states[index], 0.5 * average, self.dtype)
        self._states, self._metrics = states, metrics

    def draw(self) -> None:
        """Make the draws that are kept."""
        spec = self.spec
        states = self._states
        blocks: list[list[Any]] = [[] for _ in self.chains]
        divergences = [0] * len(self.chains)
        done = 0
        while done < spec.num_samples:
            size = min(spec.block, spec.num_samples - done)
            states, q, info = self._call(states, self._metrics, size, spec.max_tree_depth, False)
            done += size
            for index, chain in enumerate(self.chains):
                # Gradients serve adaptation only, and are as large as the draws.
                blocks[index].append((q[index], info[index]._replace(gradient=np.zeros((size, 0)))))
                divergences[index] += int(info[index].diverging.sum())
                self.progress.update(chain, spec.num_warmup + done, "draws", divergences[index])
        self.kept = [jax.tree.map(lambda *parts: np.concatenate(parts), *own) for own in blocks]


def _restart(state: nuts.NUTSState, step_size: float, dtype: Any) -> nuts.NUTSState:
    """Begin dual averaging anew (host arithmetic: no device call for five scalars)."""
    log_step = dtype.type(np.log(max(step_size, 1e-8)))
    zero = dtype.type(0.0)
    return state._replace(
        step_size=nuts.StepSize(log_step, log_step, zero, zero, dtype.type(log_step + np.log(10.0)))
    )
