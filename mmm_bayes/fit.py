"""A model of a table, and its fit."""

from __future__ import annotations

import contextlib
import html
import os
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

import jax
import numpy as np
import xarray as xr

from mmm_bayes._typing import RngKey
from mmm_bayes._version import __version__
from mmm_bayes.data.digest import table_digest
from mmm_bayes.data.lift_exposure import place_tests
from mmm_bayes.data.lift_tests import LiftTest, to_json
from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit_result import FitResult
from mmm_bayes.inference import mcmc
from mmm_bayes.inference.chain_runner import NoFiniteStartError
from mmm_bayes.inference.checkpoint import Checkpoint, OpenCheckpoint, SamplingWarning
from mmm_bayes.inference.memory import MemoryEstimate
from mmm_bayes.inference.sharding import (
    ChainMesh,
    Devices,
    chain_mesh,
    process_number,
    several_processes,
)
from mmm_bayes.model import arrays as model_arrays
from mmm_bayes.model import checks, tree, units
from mmm_bayes.model.baseline import TimeFrame
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.memory import SINGLE_PRECISION_ABOVE, estimate_memory
from mmm_bayes.model.program import Program, geo_specs, program_for
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.model.structure import ModelArrays, structure_of
from mmm_bayes.runtime.progress import Progress, choose_progress
from mmm_bayes.runtime.streams import as_key, seed_in_words

if TYPE_CHECKING:
    from mmm_bayes.augmentation.pipeline import CausalDA, MMMAugmentation

NDArray = np.ndarray[Any, Any]

# Its stream of random numbers: not a small number, for which fold_in gives the keys of split.
_AUGMENTATION = 0x61756721


@final
class MMM:
    """A media-mix model of a table.

    Parameters
    ----------
    data
        The table.
    spec
        The model; the default one when not given.
    lift_tests
        Experiments that join the likelihood as what they are: the model's own counterfactual over
        each test's dates and geos (:mod:`mmm_bayes.model.calibration`).

    Raises
    ------
    ModelDataError
        If data and model do not fit together, with every reason.
    DataError
        If lift tests do not fit the table, with every reason.

    Examples
    --------
    >>> import jax
    >>> import mmm_bayes as mb
    >>> mmm = mb.MMM(mb.load_dataset("national_weekly"), mb.ModelSpec())
    >>> fit = mmm.fit(jax.random.key(0), num_samples=500)  # doctest: +SKIP
    """

    def __init__(
        self,
        data: MMMData,
        spec: ModelSpec | None = None,
        *,
        lift_tests: Sequence[LiftTest] = (),
    ) -> None:
        self.data = data
        self.spec = spec or ModelSpec()
        self.lift_tests = tuple(lift_tests)
        checks.check_model(self.spec, data)
        place_tests(data, self.lift_tests)
        self.structure = structure_of(
            self.spec, data.channels, data.controls, data.n_geos, bool(self.lift_tests)
        )
        self._scaling = fit_scaling(data, self.spec.likelihood.link)
        self._log_rate = model_arrays.log_rate(data)
        self._frame = TimeFrame.from_dates(data.dates)

    def __repr__(self) -> str:
        return f"MMM\n{self.spec!r}\n{self.data!r}{self._tests()}"

    def _repr_html_(self) -> str:
        parts = self.spec._repr_html_() + self.data._repr_html_()
        return f"<p><b>MMM</b></p>{parts}<p>{html.escape(self._tests())}</p>"

    def _tests(self) -> str:
        """Name the lift tests in a line of their own."""
        if not self.lift_tests:
            return ""
        return "\nlift tests  " + ", ".join(test.name for test in self.lift_tests)

    def sample_prior_predictive(self, rng_key: RngKey, num_draws: int = 500) -> xr.DataTree:
        """Draw parameters and targets before looking at the target.

        Parameters
        ----------
        rng_key
            Random key.
        num_draws
            Number of draws.

        Returns
        -------
        xarray.DataTree
            Groups ``prior``, ``prior_predictive``, ``observed_data`` and ``constant_data``, in the
            units of the table.
        """
        key = as_key(rng_key)
        with jax.enable_x64(self.spec.sampler.real == "float64"):
            groups = self._prior_groups(key, self.arrays(), num_draws)
        return xr.DataTree.from_dict(groups | tree.data_groups(self.data))

    def augment(self, rng_key: RngKey, augmentation: CausalDA) -> MMMAugmentation:
        """Draw the rows that :meth:`fit` adds to the table with the same key.

        Parameters
        ----------
        rng_key
            Random key.
        augmentation
            Causal graph and settings.

        Returns
        -------
        MMMAugmentation
            Rows, their powers, and ``summary()``: what was done and what it assumes.

        Raises
        ------
        DataError
            With everything about graph, settings and table that does not fit together.
        """
        from mmm_bayes.augmentation.pipeline import augment_mmm

        key = jax.random.fold_in(as_key(rng_key), _AUGMENTATION)
        with jax.enable_x64(self.spec.sampler.real == "float64"):
            return augment_mmm(key, augmentation, self.structure, self.arrays(), self.data)

    def fit(
        self,
        rng_key: RngKey,
        method: Literal["nuts", "svi"] = "nuts",
        *,
        augmentation: CausalDA | None = None,
        progress: bool | Progress | None = None,
        marginal: bool = True,
        prior_draws: int = 500,
        devices: Devices = None,
        geo_devices: int | None = None,
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        preflight: bool = True,
        **settings: Any,
    ) -> FitResult:
        """Condition on the target.

        Ctrl-C once draws are made returns the fit of those, marked as stopped.

        Parameters
        ----------
        rng_key
            Random key (new or old style) or an integer seed; the same one gives the same draws.
        method
            ``"nuts"``, or ``"svi"`` for a quick Gaussian approximation.
        augmentation
            Causal data augmentation: rows that a causal graph implies are added to the likelihood,
            with powers that keep the posterior as wide as the table allows. Everything computed of
            the fit (contributions, returns, predictions, log likelihood) is of the table's rows.
        progress
            ``True``, ``False``, or an own reporter; by default a bar where somebody watches.
        marginal
            Integrate the linear-Gaussian block out (same posterior, far quicker). ``False`` samples
            the plain model.
        prior_draws
            Draws of the prior kept with the fit, for prior-posterior comparison.
        devices
            ``"all"``, a number, or devices of JAX, those of other processes among them
            (``jax.distributed``; every process makes the same call): chains are spread over them,
            then the geos of a chain. By default one device.
        geo_devices
            Over how many devices the geos of each chain are split, for a model that is too large
            for one; by default over those that chains leave.
        checkpoint
            Folder (or :class:`~mmm_bayes.inference.checkpoint.Checkpoint`) in which draws are kept
            every minute: the same call goes on from there after whatever ended it, to the same
            draws.
        preflight
            Estimate the memory first, and refuse a fit that needs more than there is.
        **settings
            Settings of the sampler to change (``num_samples``, ``num_chains``, ``target_accept``,
            ...): fields of ``SamplerSpec``, or of ``SVISpec``.

        Returns
        -------
        FitResult

        Raises
        ------
        DataError
            If graph and settings of an augmentation do not fit the table, with every reason.
        FitMemoryError
            If there is too little memory, with what needs it and what to lower.
        RunFolderError
            If the checkpoint is of another fit, damaged, or in use by another process.
        FloatingPointError
            If no start with a finite density is found.
        """
        began = time.perf_counter()
        rng_key = as_key(rng_key)
        spec = self.spec
        # What is changed for this fit holds for all of it: arrays, programs and the stored spec.
        changes = settings
        if method == "svi":
            changes = {name: settings[name] for name in settings if name == "precision"}
        if changes:
            sampler = mcmc.SamplerSpec.model_validate(spec.sampler.model_dump() | changes)
            spec = spec.evolve(sampler=sampler)
        if augmentation is not None and augmentation.exclusions:
            from mmm_bayes.augmentation.pipeline import excluding

            spec = excluding(augmentation, replace(self.structure, spec=spec), self.data)
        model = self if spec is self.spec else MMM(self.data, spec, lift_tests=self.lift_tests)
        added = None if augmentation is None else model.augment(rng_key, augmentation)
        chosen = _Run(marginal, prior_draws, settings, devices, geo_devices, checkpoint, preflight)
        if method == "svi" and (checkpoint is not None or devices is not None):
            raise ValueError("devices and checkpoint are of NUTS; SVI takes seconds on one device.")
        # One process of several reports: they all do the same.
        reporter = choose_progress(progress if process_number() == 0 else False)
        with jax.enable_x64(spec.sampler.real == "float64"), contextlib.closing(reporter):
            run = model._nuts if method == "nuts" else model._svi
            groups = run(rng_key, reporter, chosen, added)
        result = xr.DataTree.from_dict(groups | tree.data_groups(self.data))
        result["posterior"].attrs["wall_seconds"] = time.perf_counter() - began
        result["posterior"].attrs["rng_key"] = seed_in_words(rng_key)
        result["posterior"].attrs["precision"] = spec.sampler.real
        if added is not None:
            result["posterior"].attrs["augmentation"] = added.to_json()
        if self.lift_tests:
            result["posterior"].attrs["lift_tests"] = to_json(self.lift_tests)
        return FitResult(Fitted(spec, self.data, result))

    def arrays(self) -> ModelArrays:
        """Scaled arrays of the table, arguments of the compiled programs."""
        dtype = np.dtype(self.spec.sampler.real)
        return model_arrays.training_arrays(
            self.structure, self.data, self._scaling, self._frame, dtype, self.lift_tests
        )

    def _conditioned(self, observed: ModelArrays, added: MMMAugmentation | None) -> ModelArrays:
        """Arrays of the likelihood: the table's, and the rows added to it."""
        if added is None:
            return observed
        rows = added.added_rows(self.structure)
        return model_arrays.augmented_arrays(
            self.structure, observed, rows, added.likelihood_weight
        )

    def program(self, marginal: bool = True) -> Program:
        """Compiled parts of the model, kept between fits."""
        return program_for(self.structure, marginal, self.spec.sampler.real)

    def memory(
        self,
        *,
        marginal: bool = True,
        prior_draws: int = 500,
        devices: Devices = None,
        geo_devices: int | None = None,
        **settings: Any,
    ) -> MemoryEstimate:
        """Estimate the memory that :meth:`fit` needs with the same arguments; computes nothing.

        Returns
        -------
        MemoryEstimate
            Bytes by what needs them, what is free, and what to lower; prints as a table.
        """
        spec = self.spec.sampler
        spec = mcmc.SamplerSpec.model_validate(spec.model_dump() | settings)
        model = MMM(self.data, self.spec.evolve(sampler=spec), lift_tests=self.lift_tests)
        with jax.enable_x64(spec.real == "float64"):
            mesh = model._mesh(devices, geo_devices)
            return estimate_memory(
                model.program(marginal),
                model.arrays(),
                spec,
                prior_draws,
                (1, 1) if mesh is None else mesh.shape,
            )

    def _mesh(self, devices: Devices, geo_devices: int | None) -> ChainMesh | None:
        """Devices for chains and geos; ``None`` where there is one, and JAX chooses it."""
        if devices is None and geo_devices is None:
            return None
        sampler = self.spec.sampler
        chosen = "all" if devices is None else devices
        return chain_mesh(chosen, sampler.num_chains, self.data.n_geos, geo_devices)

    def _nuts(
        self, rng_key: jax.Array, reporter: Progress, run: _Run, added: MMMAugmentation | None
    ) -> dict[str, xr.Dataset]:
        observed, program = self.arrays(), self.program(run.marginal)
        arrays = self._conditioned(observed, added)
        sampler, layout = program.sampler(arrays), program.layout(arrays)
        mesh = self._mesh(run.devices, run.geo_devices)
        local = () if mesh is None else mesh.local_devices
        if run.preflight:
            shape = (1, 1) if mesh is None else mesh.shape
            settings = self.spec.sampler
            estimate_memory(program, arrays, settings, run.prior_draws, shape).check()
        key_run, key_after = jax.random.split(rng_key)
        precision = self.spec.sampler.real
        ahead = _InBackground(lambda: program.compile_ahead(arrays, observed, local), precision)
        with contextlib.ExitStack() as stack:
            kept = None
            if run.checkpoint is not None:
                identity = self._identity(rng_key, run, added, mesh)
                kept = stack.enter_context(run.opened(identity))
            draws = self._sampled(
                key_run,
                sampler,
                arrays,
                layout.start,
                self.spec.sampler,
                reporter,
                compiled=ahead.start,
                mesh=mesh,
                data_specs=geo_specs(arrays) if mesh is not None else None,
                checkpoint=kept,
            )
        if draws.interrupted:
            warnings.warn(f"This fit was {draws.interrupted}.", SamplingWarning, stacklevel=3)
        reporter.message("drawing predictions")
        ahead.join()
        positions = draws.positions.reshape(-1, draws.positions.shape[-1])
        chains = draws.positions.shape[0]
        key_block, *keys = jax.random.split(key_after, 3)
        params = program.parameters(key_block, positions, arrays, local)
        groups = self.groups_of(
            (keys[0], keys[1]), program, params, observed, chains, run.prior_draws, local
        )
        groups["sample_stats"] = tree.sample_stats(draws, self.spec.sampler.max_tree_depth)
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

    def _sampled(
        self,
        rng_key: jax.Array,
        sampler: mcmc.NUTSProgram,
        arrays: ModelArrays,
        *given: Any,
        **options: Any,
    ) -> mcmc.Draws:
        """Draws of the sampler; a start that cannot be found is explained by the model."""
        try:
            return mcmc.sample(rng_key, sampler, arrays, *given, **options)
        except NoFiniteStartError:
            blamed = self.program(marginal=False).not_finite(arrays._replace(block=None))
            raise NoFiniteStartError(blamed) from None

    def _identity(
        self,
        rng_key: jax.Array,
        run: _Run,
        added: MMMAugmentation | None,
        mesh: ChainMesh | None,
    ) -> dict[str, Any]:
        """Everything the draws depend on."""
        return {
            "table": table_digest(self.data),
            "model": self.spec.model_dump(mode="json"),
            "lift_tests": to_json(self.lift_tests),
            "augmentation": None if added is None else added.to_json(),
            "marginal": run.marginal,
            "precision": self.spec.sampler.real,
            "key": seed_in_words(rng_key),
            "devices": None if mesh is None else list(mesh.shape),
            "version": __version__,
            "jax": jax.__version__,
        }

    def _svi(
        self, rng_key: jax.Array, reporter: Progress, run: _Run, added: MMMAugmentation | None
    ) -> dict[str, xr.Dataset]:
        from mmm_bayes.inference import svi

        observed, program = self.arrays(), self.program(run.marginal)
        arrays = self._conditioned(observed, added)
        key_run, key_after = jax.random.split(rng_key)
        layout = program.layout(arrays)
        settings = svi.SVISpec(**{"precision": self.spec.sampler.real, **run.settings})
        result = svi.fit(
            key_run, program.potential, layout.dim, arrays, layout.start, settings, reporter
        )
        key_block, *keys = jax.random.split(key_after, 3)
        params = program.parameters(key_block, result.positions, arrays)
        groups = self.groups_of((keys[0], keys[1]), program, params, observed, 1, run.prior_draws)
        groups["posterior"].attrs |= {
            "inference": "SVI",
            "pareto_k": float(result.pareto_k),
            "elbo": float(np.mean(result.log_p - result.log_q)),
        }
        return groups

    def groups_of(
        self,
        keys: tuple[jax.Array, jax.Array],
        program: Program,
        params: dict[str, NDArray],
        observed: ModelArrays,
        chains: int,
        prior_draws: int,
        devices: Sequence[jax.Device] = (),
    ) -> dict[str, xr.Dataset]:
        """Groups of the tree from scaled parameters (chain * draw, ...), wherever they were drawn.

        ``keys`` are of the outcomes and of the prior; draws are spread over ``devices``.
        """
        key_outcome, key_prior = keys
        replicated, log_likelihood = self._outcomes(key_outcome, program, params, observed, devices)
        structure, data = self.structure, self.data
        table = units.to_table_units(structure, self._scaling, self._log_rate, params)
        groups = {
            "posterior": tree.parameter_group(structure, data, table, chains),
            "posterior_predictive": tree.target_group(
                structure, data, "target", replicated, chains
            ),
            "log_likelihood": tree.target_group(structure, data, "target", log_likelihood, chains),
        }
        if prior_draws:
            groups |= self._prior_groups(key_prior, observed, prior_draws, devices)
        return groups

    def _prior_groups(
        self,
        rng_key: jax.Array,
        arrays: ModelArrays,
        draws: int,
        devices: Sequence[jax.Device] = (),
    ) -> dict[str, xr.Dataset]:
        key_params, key_outcome = jax.random.split(rng_key)
        program = self.program(marginal=False)
        plain = arrays._replace(block=None, experiments=None)
        params = program.prior(key_params, plain, draws)
        # The predictive program is that of the posterior: the same shapes, compiled once.
        predictive = self.program(marginal=True)
        replicated, _ = self._outcomes(key_outcome, predictive, params, arrays, devices)
        structure, data = self.structure, self.data
        table = units.to_table_units(structure, self._scaling, self._log_rate, params)
        return {
            "prior": tree.parameter_group(structure, data, table, 1),
            "prior_predictive": tree.target_group(structure, data, "target", replicated, 1),
        }

    def _outcomes(
        self,
        rng_key: jax.Array,
        program: Program,
        params: dict[str, NDArray],
        arrays: ModelArrays,
        devices: Sequence[jax.Device] = (),
    ) -> tuple[NDArray, NDArray]:
        """Replicated targets in table units, and log densities of the table's target."""
        population = self.data.ds["population"].values
        count = len(next(iter(params.values())))
        small = count * arrays.target.size <= SINGLE_PRECISION_ABOVE
        dtype = np.float64 if small else np.float32
        # Change of variables from the scaled target to the table's.
        jacobian = np.zeros(())
        if self._scaling.link == "identity":
            jacobian = np.log(self._scaling.target_scale * population)[:, None]
        elif self._scaling.link == "log":
            jacobian = np.log(self._scaling.target_scale * self.data.ds["target"].values)

        def keep(replicated: NDArray, log_density: NDArray) -> tuple[NDArray, NDArray]:
            natural = self._scaling.inverse_target(replicated, population)
            return natural.astype(dtype), (log_density - jacobian).astype(dtype)

        return program.outcomes(rng_key, params, arrays, keep, devices)


class _Run(NamedTuple):
    """How a fit is run, beside its model and key."""

    marginal: bool
    prior_draws: int
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
