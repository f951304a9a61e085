"""Run chains of the no-U-turn sampler: settings, compiled program, threads and devices.

One block of draws is one call of a compiled program that releases Python's global lock. On a CPU,
chains run in threads: they are parallel without any flag set before JAX is imported, and no chain
waits for the longest tree of another. On an accelerator, all chains step together (``vmap``), and a
chain that finishes its trajectory starts the next one at once. With several devices, chains are
distributed first, then geos (:mod:`mmm_bayes.inference.sharding`).
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec
from pydantic import Field

from mmm_bayes.inference import adaptation, nuts
from mmm_bayes.inference.chain_runner import ChainRunner, Plan, advance
from mmm_bayes.inference.checkpoint import OpenCheckpoint
from mmm_bayes.inference.sharding import (
    CHAIN,
    ChainMesh,
    chain_mesh,
    default_chain_method,
    runs_on_cpu,
    several_processes,
)
from mmm_bayes.inference.tracing import compile_program
from mmm_bayes.runtime.progress import Progress, Silent
from mmm_bayes.runtime.settings import Frozen

NDArray = np.ndarray[Any, Any]
Potential = Callable[[jax.Array, Any], jax.Array]

_FEWEST_DRAWS = 4  # fewest draws of a chain from which diagnostics can be computed


class SamplerSpec(Frozen):
    """Settings of the no-U-turn sampler.

    Parameters
    ----------
    num_warmup, num_samples, num_chains
        Warm-up iterations per chain, draws per chain, and the number of chains.
    target_accept
        Average acceptance probability that the step size is adapted to; nearer to 1 means smaller
        steps.
    max_tree_depth
        A trajectory has at most ``2**max_tree_depth - 1`` steps.
    chain_method
        ``"threads"`` (one thread per chain), ``"vectorized"`` (all chains in one program) or
        ``"auto"``: threads on CPUs, vectorized on accelerators.
    precision
        ``"float64"``, ``"float32"``, or ``"auto"``: float64 on CPUs, float32 on accelerators. It
        applies within the fit only; JAX's own setting does not change.
    block
        Draws per call of the compiled program; interrupts and checkpoints wait for its end.
    """

    num_warmup: int = Field(1000, ge=20)
    num_samples: int = Field(1000, ge=4)
    num_chains: int = Field(4, ge=1)
    target_accept: float = Field(0.9, gt=0.5, lt=1.0)
    max_tree_depth: int = Field(10, ge=1, le=nuts.MAX_DEPTH)
    chain_method: Literal["auto", "threads", "vectorized"] = "auto"
    precision: Literal["auto", "float64", "float32"] = "auto"
    block: int = Field(50, ge=1)

    @property
    def real(self) -> Literal["float64", "float32"]:
        """The precision on this machine."""
        if self.precision == "auto":
            return "float64" if runs_on_cpu() else "float32"
        return self.precision


class Draws(NamedTuple):
    """Draws of the sampler.

    ``positions`` is (chain, draw, dim); ``info`` holds ``NUTSInfo`` fields of shape (chain, draw);
    ``warmup_steps`` the leapfrog steps of each chain's warm-up; ``seconds`` the wall and process
    CPU seconds of compilation, warm-up and sampling. ``interrupted`` describes what is missing if
    the user stopped the run, and is empty otherwise; ``resumed`` is the share of the iterations
    that were read from a checkpoint.
    """

    positions: NDArray
    info: nuts.NUTSInfo
    warmup_steps: NDArray
    seconds: dict[str, float]
    interrupted: str = ""
    resumed: float = 0.0


class NUTSProgram:
    """The compiled sampler of one potential; compiled once per shape of the data.

    Parameters
    ----------
    potential
        Maps (position (dim,), data pytree) to the negative log density. Data are arguments, so a
        new table of the same shape needs no compilation.
    dim
        Number of unconstrained parameters.
    """

    def __init__(self, potential: Potential, dim: int) -> None:
        self.potential, self.dim, self.rank = potential, dim, adaptation.rank_for(dim)
        self._compiled: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def compile(
        self, data: Any, block: int, dtype: Any, chains: int, mesh: ChainMesh | None, impl: str
    ) -> Any:
        """Return the compiled program for these shapes.

        ``chains`` step in one call, on the devices of ``mesh`` if there is one (``data`` are then
        already on it); ``impl`` is the implementation of random keys.
        """
        leaves, structure = jax.tree.flatten(data)
        shapes = tuple((x.shape, str(x.dtype), getattr(x, "sharding", None)) for x in leaves)
        key = (structure, shapes, block, str(dtype), chains, mesh, impl)
        with self._lock:
            if key not in self._compiled:
                run = self.function(block, chains > 1 or mesh is not None, impl)
                example = self.example(data, dtype, chains, mesh, impl)
                if mesh is not None and not mesh.splits_geos:
                    # Chains are independent: no device waits for the trees of another.
                    lead, whole = PartitionSpec(CHAIN), PartitionSpec()
                    run = jax.shard_map(
                        run,
                        mesh=mesh.mesh,
                        in_specs=(lead, lead, lead, *[whole] * 5),
                        out_specs=lead,
                        check_vma=False,
                    )
                self._compiled[key] = compile_program(jax.jit(run), *example)
            return self._compiled[key]

    def function(
        self, block: int, together: bool, impl: str = "threefry2x32"
    ) -> Callable[..., Any]:
        """Return the function from keys, states, metrics, settings and data to a block of draws."""

        def run(key, state, metric, count, depth, target, adapt, data):  # type: ignore[no-untyped-def]
            def value_and_grad(x: jax.Array) -> tuple[jax.Array, jax.Array]:
                return jax.value_and_grad(self.potential)(x, data)

            key = jax.random.wrap_key_data(key, impl=impl)
            return nuts.sample_block(
                value_and_grad, key, state, metric, count, depth, target, adapt, block=block
            )

        if together:
            run = jax.vmap(run, in_axes=(0, 0, 0, None, None, None, None, None))
        return run

    def example(
        self,
        data: Any,
        dtype: Any,
        chains: int = 1,
        mesh: ChainMesh | None = None,
        impl: str = "threefry2x32",
    ) -> tuple[Any, ...]:
        """Return the shapes of the arguments of :meth:`function`."""
        lead = (chains,) if chains > 1 or mesh is not None else ()
        sharding = None if mesh is None else mesh.sharding(CHAIN)
        whole = None if mesh is None else mesh.sharding()
        struct = functools.partial(jax.ShapeDtypeStruct, sharding=sharding)
        real = lambda *shape: struct((*lead, *shape), dtype)  # noqa: E731
        scalar = lambda kind: jax.ShapeDtypeStruct((), kind, sharding=whole)  # noqa: E731
        dim, rank = self.dim, self.rank
        words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0, impl=impl)))
        return (
            struct((*lead, *words.shape), words.dtype),
            nuts.NUTSState(real(dim), real(), real(dim), nuts.StepSize(*[real()] * 5)),
            nuts.Metric(real(dim), real(dim, rank), real(rank)),
            scalar(np.int32),
            scalar(np.int32),
            scalar(dtype),
            scalar(bool),
            data,
        )


def sample(
    rng_key: jax.Array,
    program: NUTSProgram,
    data: Any,
    propose_start: Callable[[np.random.Generator, float], NDArray],
    spec: SamplerSpec,
    progress: Progress | None = None,
    *,
    compiled: Callable[[], None] | None = None,
    mesh: ChainMesh | None = None,
    data_specs: Any = None,
    checkpoint: OpenCheckpoint | None = None,
) -> Draws:
    """Run the chains.

    Parameters
    ----------
    rng_key
        Random key of starts, momenta and trajectories; the draws do not depend on the number of
        threads.
    program, data
        The potential, and the arrays it is evaluated on.
    propose_start
        Maps a generator and a spread in (0, 1] to a starting position (dim,); called again with a
        smaller spread if the density is not finite.
    spec, progress
        Settings, and where to report.
    compiled
        Called once the sampler is compiled, when other work can run in parallel.
    mesh, data_specs
        Devices for chains and geos, and the axes of the data that are split by geo
        (``PartitionSpec`` for each array; by default every device has all data).
    checkpoint
        Where to store the state, and to resume from.

    Returns
    -------
    Draws
        After Ctrl-C, if there are draws, the draws so far, marked as interrupted.

    Raises
    ------
    FloatingPointError
        If no start with a finite density is found; the text says what to check.
    KeyboardInterrupt
        After Ctrl-C during the warm-up.
    """
    progress = progress or Silent()
    dtype = np.dtype(spec.real)
    method = spec.chain_method
    if method == "auto":
        method = default_chain_method()
    if mesh is None and method == "vectorized":
        mesh = chain_mesh(None, spec.num_chains, 1)
    if mesh is not None:
        specs = data_specs if data_specs is not None else jax.tree.map(lambda _: _WHOLE, data)
        data = jax.tree.map(mesh.put, data, specs)
    clock = _Clock()
    progress.message("compiling the sampler")
    key_start, key_run = jax.random.split(rng_key)
    impl = str(jax.random.key_impl(key_run))
    call = program.compile(data, spec.block, dtype, spec.num_chains if mesh else 1, mesh, impl)
    seconds = clock.lap("compile")
    if compiled is not None:
        compiled()

    names = [f"chain {chain}" for chain in range(spec.num_chains)]
    progress.start(names, spec.num_warmup + spec.num_samples, "iterations")
    progress.message("sampling")
    seeds = np.asarray(jax.random.bits(key_start, (spec.num_chains, 4), "uint32"))
    keys = np.asarray(jax.random.key_data(jax.random.split(key_run, spec.num_chains)))
    plan = Plan(
        spec.num_warmup, spec.num_samples, spec.target_accept, spec.max_tree_depth, spec.block
    )
    groups = [mesh.local_chains] if mesh else [(chain,) for chain in range(spec.num_chains)]
    one_call: Any = _alone if mesh is None else _together
    run = functools.partial(one_call, call, spec.target_accept, data, mesh)
    runners = [
        ChainRunner(
            run,
            plan,
            program.dim,
            dtype,
            chains,
            keys[list(chains)],
            impl,
            (progress, range(spec.num_chains) if mesh else chains),
            None if checkpoint is None else checkpoint.parts_of(chains),
        )
        for chains in groups
    ]
    resumed = sum(runner.done for runner in runners) / sum(runner.total for runner in runners)
    workers = min(len(runners), _cores())
    whole = advance(runners, spec.num_warmup, seeds, propose_start, workers, dtype)
    seconds |= clock.lap("warmup")
    if whole:
        whole = advance(runners, runners[0].total, seeds, propose_start, workers, dtype)
    seconds |= clock.lap("sampling")
    if not whole:
        for runner in runners:
            runner.keep()
        # Other processes of the mesh would wait for this one forever.
        if several_processes() or all(runner.num_draws < _FEWEST_DRAWS for runner in runners):
            raise KeyboardInterrupt(_stopped(runners, checkpoint))
    return _collected(runners, spec, mesh, seconds, resumed, whole)


_WHOLE = PartitionSpec()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _alone(
    call: Any,
    target: float,
    data: Any,
    mesh: None,
    keys: NDArray,
    state: nuts.NUTSState,
    metric: nuts.Metric,
    count: int,
    depth: int,
    adapt: bool,
) -> tuple[nuts.NUTSState, NDArray, nuts.NUTSInfo]:
    """Run a block of one chain on the default device."""
    key, state, metric = jax.tree.map(lambda x: x[0], (keys, state, metric))
    real = metric.scale.dtype.type
    scalars = np.int32(count), np.int32(depth), real(target), np.bool_(adapt)
    out = call(key, state, metric, *scalars, data)
    return jax.tree.map(lambda x: np.asarray(x)[None], out)


def _together(
    call: Any,
    target: float,
    data: Any,
    mesh: ChainMesh,
    keys: NDArray,
    state: nuts.NUTSState,
    metric: nuts.Metric,
    count: int,
    depth: int,
    adapt: bool,
) -> tuple[nuts.NUTSState, NDArray, nuts.NUTSInfo]:
    """Run a block of all chains on the devices of a mesh."""
    real = metric.scale.dtype.type
    scalars = np.int32(count), np.int32(depth), real(target), np.bool_(adapt)
    placed = jax.tree.map(mesh.put_chains, (keys, state, metric))
    out = call(*placed, *(mesh.put(x, _WHOLE) for x in scalars), data)
    return jax.tree.map(mesh.read_chains, out)


def _collected(
    runners: list[ChainRunner],
    spec: SamplerSpec,
    mesh: ChainMesh | None,
    seconds: dict[str, float],
    resumed: float,
    whole: bool,
) -> Draws:
    """Collect the draws; if interrupted, of the number of chains that keeps most draws in all."""
    interrupted = ""
    count = spec.num_samples
    if not whole:
        made = sorted(
            (runner.num_draws for runner in runners if runner.num_draws >= _FEWEST_DRAWS),
            reverse=True,
        )
        count = max(made, key=lambda number: number * sum(other >= number for other in made))
        runners = [runner for runner in runners if runner.num_draws >= count]
        kept = sum(len(runner.chains) for runner in runners)
        interrupted = (
            f"stopped by the user after {count} of {spec.num_samples} draws in {kept} of "
            f"{spec.num_chains} chains"
        )
    gather = (lambda x: x) if mesh is None else mesh.gather_chains
    parts = [runner.draws() for runner in runners]
    drawn = {
        name: gather(np.concatenate([part[name][:, :count] for part in parts])) for name in parts[0]
    }
    positions = drawn.pop("position")
    info = nuts.NUTSInfo(**drawn, gradient=np.zeros((*positions.shape[:2], 0)))
    steps = gather(np.concatenate([runner.warmup_steps for runner in runners]))
    return Draws(positions, info, steps, seconds, interrupted, resumed)


def _stopped(runners: list[ChainRunner], checkpoint: OpenCheckpoint | None) -> str:
    done, total = min(runner.done for runner in runners), runners[0].total
    text = f"Sampling was stopped after {done} of {total} iterations, too early for any draws."
    if checkpoint is not None:
        text += f" The same call resumes from there ({checkpoint.every.folder})."
    return text


class _Clock:
    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> dict[str, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        result = {f"{name}_wall": wall - self._wall, f"{name}_cpu": cpu - self._cpu}
        self._wall, self._cpu = wall, cpu
        return result
