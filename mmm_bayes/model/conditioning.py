"""Conditioning of a model on a table, by NUTS or by a Gaussian approximation."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from mmm_bayes._version import __version__
from mmm_bayes.data.digest import table_digest
from mmm_bayes.data.lift_tests import LiftTest, to_json
from mmm_bayes.inference import mcmc
from mmm_bayes.inference.chain_runner import NoFiniteStartError
from mmm_bayes.inference.checkpoint import Checkpoint, OpenCheckpoint, SamplingWarning
from mmm_bayes.inference.sharding import (
    ChainMesh,
    Devices,
    chain_mesh,
    process_number,
    several_processes,
)
from mmm_bayes.model import tree
from mmm_bayes.model.groups import TableModel, posterior_groups
from mmm_bayes.model.memory import estimate_memory
from mmm_bayes.model.program import geo_specs
from mmm_bayes.model.structure import ModelArrays
from mmm_bayes.runtime.outputs import require_space
from mmm_bayes.runtime.progress import Progress
from mmm_bayes.runtime.streams import seed_in_words
from mmm_bayes.runtime.warn import warn_user


class Run(NamedTuple):
    """How a fit is run, apart from its model and key."""

    marginal: bool
    num_prior_draws: int
    settings: Mapping[str, Any]
    devices: Devices
    geo_devices: int | None
    checkpoint: Checkpoint | str | os.PathLike[str] | None
    preflight: bool

    def opened(self, identity: Mapping[str, Any]) -> OpenCheckpoint:
        """Take the folder of the checkpoint, each process its own."""
        every = self.checkpoint
        if not isinstance(every, Checkpoint):
            assert every is not None
            every = Checkpoint(every)
        if several_processes():
            own = every.folder / f"process_{process_number()}"
            every = every.model_copy(update={"folder": own})
        return every.open(identity)


class Given(NamedTuple):
    """What a fit conditions on: the table's arrays, and those with added rows and experiments."""

    observed: ModelArrays
    arrays: ModelArrays
    lift_tests: tuple[LiftTest, ...]
    augmentation: Any


def mesh_of(model: TableModel, devices: Devices, geo_devices: int | None) -> ChainMesh | None:
    """Return devices for chains and geos; ``None`` for one device that JAX chooses."""
    if devices is None and geo_devices is None:
        return None
    sampler = model.structure.spec.sampler
    chosen = "all" if devices is None else devices
    return chain_mesh(chosen, sampler.num_chains, model.data.num_geos, geo_devices)


def by_nuts(
    rng_key: jax.Array, model: TableModel, given: Given, run: Run, reporter: Progress
) -> dict[str, xr.Dataset]:
    """Return the groups of draws by NUTS."""
    observed, arrays, spec = given.observed, given.arrays, model.structure.spec.sampler
    program = model.program(run.marginal)
    sampler, layout = program.sampler(arrays), program.layout(arrays)
    mesh = mesh_of(model, run.devices, run.geo_devices)
    local = () if mesh is None else mesh.local_devices
    if run.preflight:
        shape = (1, 1) if mesh is None else mesh.shape
        estimate = estimate_memory(program, arrays, spec, run.num_prior_draws, shape)
        estimate.check()
        if run.checkpoint is not None:
            kept_in = run.checkpoint
            folder = kept_in.folder if isinstance(kept_in, Checkpoint) else kept_in
            require_space(folder, estimate.host["draws of the sampler"], "checkpoint=")
    key_run, key_after = jax.random.split(rng_key)
    ahead = _InBackground(lambda: program.compile_ahead(arrays, observed, local), spec.real)
    with contextlib.ExitStack() as stack:
        kept = None
        if run.checkpoint is not None:
            identity = _identity(rng_key, model, given, run, mesh)
            kept = stack.enter_context(run.opened(identity))
        draws = _sampled(
            key_run,
            model,
            sampler,
            arrays,
            layout.start,
            spec,
            reporter,
            compiled=ahead.start,
            mesh=mesh,
            data_specs=geo_specs(arrays) if mesh is not None else None,
            checkpoint=kept,
        )
    if draws.interrupted:
        warn_user(
            f"This fit was {draws.interrupted}.",
            SamplingWarning,
        )
    reporter.message("drawing predictions")
    ahead.join()
    positions = draws.positions.reshape(-1, draws.positions.shape[-1])
    chains = draws.positions.shape[0]
    key_block, *keys = jax.random.split(key_after, 3)
    params = program.parameters(key_block, positions, arrays, local)
    groups = posterior_groups(
        model, (keys[0], keys[1]), program, params, observed, chains, run.num_prior_draws, local
    )
    groups["sample_stats"] = tree.sample_stats(draws, spec.max_tree_depth)
    attrs: dict[str, Any] = {f"seconds_{name}": value for name, value in draws.seconds.items()}
    attrs["warmup_steps"] = draws.warmup_steps.tolist()
    attrs["inference"] = "NUTS" + (", linear block integrated out" if program.marginal else "")
    if mesh is not None:
        attrs["devices"] = list(mesh.shape)
    if draws.interrupted:
        attrs["interrupted"] = draws.interrupted
    if draws.resumed:
        attrs["resumed"] = draws.resumed
    groups["posterior"].attrs |= attrs
    return groups


def by_svi(
    rng_key: jax.Array, model: TableModel, given: Given, run: Run, reporter: Progress
) -> dict[str, xr.Dataset]:
    """Return the groups of draws from a Gaussian approximation."""
    from mmm_bayes.inference import svi

    observed, arrays, program = given.observed, given.arrays, model.program(run.marginal)
    key_run, key_after = jax.random.split(rng_key)
    layout = program.layout(arrays)
    settings = svi.SVISpec(**{**run.settings, "precision": model.precision})
    result = svi.fit(
        key_run, program.potential, layout.dim, arrays, layout.start, settings, reporter
    )
    key_block, *keys = jax.random.split(key_after, 3)
    params = program.parameters(key_block, result.positions, arrays)
    groups = posterior_groups(
        model, (keys[0], keys[1]), program, params, observed, 1, run.num_prior_draws
    )
    groups["posterior"].attrs |= {
        "inference": "SVI",
        "pareto_k": float(result.pareto_k),
        "elbo": float(np.mean(result.log_p - result.log_q)),
    }
    return groups


def _sampled(
    rng_key: jax.Array,
    model: TableModel,
    sampler: mcmc.NUTSProgram,
    arrays: ModelArrays,
    *rest: Any,
    **options: Any,
) -> mcmc.Draws:
    """Return draws; where no start is found, the error names the parts of the model at fault."""
    try:
        return mcmc.sample(rng_key, sampler, arrays, *rest, **options)
    except NoFiniteStartError:
        blamed = model.program(marginal=False).not_finite(arrays._replace(block=None))
        raise NoFiniteStartError(blamed) from None


def _identity(
    rng_key: jax.Array,
    model: TableModel,
    given: Given,
    run: Run,
    mesh: ChainMesh | None,
) -> dict[str, Any]:
    """Return everything that the draws depend on."""
    return {
        "table": table_digest(model.data),
        "model": model.structure.spec.model_dump(mode="json"),
        "lift_tests": to_json(given.lift_tests),
        "augmentation": given.augmentation,
        "marginal": run.marginal,
        "precision": model.precision,
        "key": seed_in_words(rng_key),
        "devices": None if mesh is None else list(mesh.shape),
        "version": __version__,
        "jax": jax.__version__,
    }


class _InBackground:
    """Runs a compilation in a thread while chains run; compilation releases the global lock."""

    def __init__(self, work: Any, precision: str) -> None:
        self._error: BaseException | None = None

        def run() -> None:
            try:
                with jax.enable_x64(precision == "float64"):
                    work()
            except BaseException as error:  # handed to the thread that joins
                self._error = error

        self._thread = threading.Thread(target=run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
