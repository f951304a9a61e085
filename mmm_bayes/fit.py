"""A model of a table, and its fit."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack, final

import jax
import numpy as np
import xarray as xr

from mmm_bayes._typing import RngKey
from mmm_bayes.data.lift_exposure import place_tests
from mmm_bayes.data.lift_tests import LiftTest, to_json
from mmm_bayes.data.media_scale import check_never_on
from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit_result import FitResult
from mmm_bayes.inference import mcmc
from mmm_bayes.inference.checkpoint import Checkpoint
from mmm_bayes.inference.memory import MemoryEstimate
from mmm_bayes.inference.settings import FitSettings, SamplerSettings, SVISettings, given
from mmm_bayes.inference.sharding import (
    Devices,
    process_number,
)
from mmm_bayes.model import arrays as make
from mmm_bayes.model import checks, conditioning, tree
from mmm_bayes.model.baseline import TimeFrame
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.groups import TableModel, posterior_groups, prior_groups
from mmm_bayes.model.memory import estimate_memory
from mmm_bayes.model.program import Program, program_for
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.model.structure import ModelArrays, structure_of
from mmm_bayes.runtime.choices import choose, refuse_ignored
from mmm_bayes.runtime.deprecation import named_arguments, renamed, spelled_out
from mmm_bayes.runtime.findings import DataWarning, numbered
from mmm_bayes.runtime.progress import Progress, choose_progress
from mmm_bayes.runtime.streams import as_key, seed_in_words
from mmm_bayes.runtime.visible import shown_safely, visible_html
from mmm_bayes.runtime.warn import warn_user

if TYPE_CHECKING:
    from mmm_bayes.augmentation.pipeline import CausalDA, MMMAugmentation

NDArray = np.ndarray[Any, Any]

_METHODS = ("nuts", "svi")
# Stream of random numbers of the augmentation. A small number would make fold_in give a key that
# split gives as well.
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

    @named_arguments
    def __init__(
        self,
        data: MMMData,
        spec: ModelSpec | None = None,
        *,
        lift_tests: LiftTest | Sequence[LiftTest] | None = (),
    ) -> None:
        self.data = data
        self.spec = ModelSpec() if spec is None else spec
        tests = (lift_tests,) if isinstance(lift_tests, LiftTest) else lift_tests
        self.lift_tests = () if tests is None else tuple(tests)
        checks.check_model(self.spec, data)
        place_tests(data, self.lift_tests)
        self.structure = structure_of(
            self.spec, data.channels, data.controls, data.num_geos, bool(self.lift_tests)
        )
        self._scaling = fit_scaling(data, self.spec.likelihood.link)
        self._log_rate = make.log_rate(data)
        self._frame = TimeFrame.from_data(data)
        self._table_model = TableModel(
            self.structure, data, self._scaling, self._log_rate, self.spec.sampler.real
        )

    @shown_safely
    def __repr__(self) -> str:
        return f"MMM\n{self.spec!r}\n{self.data!r}{self._tests()}"

    def _repr_html_(self) -> str:
        parts = self.spec._repr_html_() + self.data._repr_html_()
        return f"<p><b>MMM</b></p>{parts}<p>{visible_html(self._tests())}</p>"

    def _tests(self) -> str:
        """Name the lift tests in a line of their own."""
        if not self.lift_tests:
            return ""
        return "\nlift tests  " + ", ".join(test.name for test in self.lift_tests)

    @named_arguments
    def sample_prior_predictive(self, rng_key: RngKey, num_draws: int = 500) -> xr.DataTree:
        """Draw parameters and targets before looking at the target.

        Parameters
        ----------
        rng_key
            Random key, or an integer seed.
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
            groups = prior_groups(self._table_model, key, self.arrays(), num_draws)
        return xr.DataTree.from_dict(groups | tree.data_groups(self.data))

    @named_arguments
    def augment(self, rng_key: RngKey, augmentation: CausalDA) -> MMMAugmentation:
        """Draw the rows that :meth:`fit` adds to the table with the same key.

        Parameters
        ----------
        rng_key
            Random key, or an integer seed.
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

    @renamed(prior_draws="num_prior_draws")
    @spelled_out(FitSettings)
    def fit(
        self,
        rng_key: RngKey,
        method: str = "nuts",
        *,
        augmentation: CausalDA | None = None,
        progress: bool | Progress | None = None,
        marginal: bool = True,
        num_prior_draws: int = 500,
        devices: Devices = None,
        geo_devices: int | None = None,
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        preflight: bool = True,
        **settings: Unpack[FitSettings],
    ) -> FitResult:
        """Fit the model to the target.

        Pressing Ctrl-C once draws have been made returns a fit of those, marked as interrupted.

        Parameters
        ----------
        rng_key
            Random key (of the new or the old style), or an integer seed; the same one gives the
            same draws.
        method
            ``"nuts"``, or ``"svi"`` for a quick Gaussian approximation.
        augmentation
            Causal data augmentation: rows that a causal graph implies are added to the likelihood,
            with weights that keep the posterior as wide as the table warrants. Everything computed
            from the fit (contributions, returns, predictions, log likelihood) is about the rows of
            the table.
        progress
            ``True``, ``False``, or a reporter of your own; by default a bar in a terminal or a
            notebook.
        marginal
            Integrate the linear-Gaussian block out (the same posterior, far quicker). ``False``
            samples the plain model.
        num_prior_draws
            Number of draws of the prior kept with the fit, for comparing prior and posterior.
        devices
            ``"all"``, a number, or JAX devices, possibly of several processes
            (``jax.distributed``; every process makes the same call): chains are spread over them,
            then the geos of a chain. By default one device. Requires ``method="nuts"``.
        geo_devices
            Number of devices over which the geos of each chain are split, for a model that is too
            large for one; by default those that the chains leave. Requires ``method="nuts"``.
        checkpoint
            Folder (or :class:`~mmm_bayes.inference.checkpoint.Checkpoint`) in which draws are saved
            every minute: after any interruption the same call continues from there, to the same
            draws. Requires ``method="nuts"``.
        preflight
            Estimate the memory first, and refuse a fit that needs more than is available.
        num_warmup, num_samples, num_chains, target_accept, max_tree_depth, chain_method, block
            Settings of NUTS (:class:`~mmm_bayes.inference.mcmc.SamplerSpec`); by default those of
            the specification.
        precision
            ``"float64"``, ``"float32"`` or ``"auto"``.
        num_steps, learning_rate, num_particles, guide, num_draws, num_starts
            Settings of SVI (:class:`~mmm_bayes.inference.svi.SVISpec`).

        Returns
        -------
        FitResult

        Raises
        ------
        ValueError
            If there is no such method, or it has no use for one of the arguments.
        DataError
            If the graph and settings of an augmentation do not fit the table, with every reason.
        FitMemoryError
            If there is too little memory, with what needs it and what to lower.
        OutputError
            If the folder of the checkpoint cannot be written to, or its disk has too little space.
        RunFolderError
            If the checkpoint belongs to another fit, is damaged, or is in use by another process.
        FloatingPointError
            If no starting point with a finite density is found.

        Warns
        -----
        DataWarning
            About channels that are 0 in every row, whose effect comes from the prior alone.
        """
        began = time.perf_counter()
        rng_key = as_key(rng_key)
        method = choose("method", method, _METHODS)
        only_nuts = {"devices": devices, "geo_devices": geo_devices, "checkpoint": checkpoint}
        _refuse_settings_of_another_method(method, {**settings, **only_nuts})
        chosen_settings = given(settings)
        # What is changed for this fit holds for all of it: arrays, programs and the stored spec.
        changes = {k: v for k, v in chosen_settings.items() if k in mcmc.SamplerSpec.model_fields}
        spec = with_sampler(self.spec, changes)
        if augmentation is not None and augmentation.exclusions:
            from mmm_bayes.augmentation.pipeline import excluding

            spec = excluding(augmentation, replace(self.structure, spec=spec), self.data)
        if not_on := check_never_on(self.data.ds):
            text = f"{len(not_on)} warning(s) about the table:\n{numbered(not_on)}"
            warn_user(text, DataWarning)
        model = self if spec is self.spec else MMM(self.data, spec, lift_tests=self.lift_tests)
        added = None if augmentation is None else model.augment(rng_key, augmentation)
        run = conditioning.Run(
            marginal, num_prior_draws, chosen_settings, devices, geo_devices, checkpoint, preflight
        )
        # One process of several reports: they all do the same.
        reporter = choose_progress(progress if process_number() == 0 else False)
        with jax.enable_x64(spec.sampler.real == "float64"), contextlib.closing(reporter):
            condition = conditioning.by_nuts if method == "nuts" else conditioning.by_svi
            groups = condition(rng_key, model._table_model, model._given(added), run, reporter)
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
        return make.training_arrays(
            self.structure, self.data, self._scaling, self._frame, dtype, self.lift_tests
        )

    def _given(self, added: MMMAugmentation | None) -> conditioning.Given:
        """Arrays of the table, and those of the likelihood: with the rows added to it."""
        observed = self.arrays()
        if added is None:
            return conditioning.Given(observed, observed, self.lift_tests, None)
        rows = added.added_rows(self.structure)
        arrays = make.augmented_arrays(self.structure, observed, rows, added.likelihood_weight)
        return conditioning.Given(observed, arrays, self.lift_tests, added.to_json())

    def program(self, marginal: bool = True) -> Program:
        """Compiled parts of the model, kept between fits."""
        return program_for(self.structure, marginal, self.spec.sampler.real)

    @renamed(prior_draws="num_prior_draws")
    @spelled_out(SamplerSettings)
    def memory(
        self,
        *,
        marginal: bool = True,
        num_prior_draws: int = 500,
        devices: Devices = None,
        geo_devices: int | None = None,
        **settings: Unpack[SamplerSettings],
    ) -> MemoryEstimate:
        """Estimate the memory that :meth:`fit` needs with the same arguments, without fitting.

        Returns
        -------
        MemoryEstimate
            Bytes by what needs them, what is free, and what to lower; prints as a table.
        """
        spec = with_sampler(self.spec, given(settings))
        model = MMM(self.data, spec, lift_tests=self.lift_tests)
        with jax.enable_x64(spec.sampler.real == "float64"):
            mesh = conditioning.mesh_of(model._table_model, devices, geo_devices)
            return estimate_memory(
                model.program(marginal),
                model.arrays(),
                spec.sampler,
                num_prior_draws,
                (1, 1) if mesh is None else mesh.shape,
            )

    def groups_of(
        self,
        keys: tuple[jax.Array, jax.Array],
        program: Program,
        params: dict[str, NDArray],
        observed: ModelArrays,
        num_chains: int,
        num_prior_draws: int,
        devices: Sequence[jax.Device] = (),
    ) -> dict[str, xr.Dataset]:
        """Return the groups of the tree; see :func:`mmm_bayes.model.groups.posterior_groups`."""
        return posterior_groups(
            self._table_model, keys, program, params, observed, num_chains, num_prior_draws, devices
        )


def with_sampler(spec: ModelSpec, changes: Mapping[str, Any]) -> ModelSpec:
    """Return the specification with some settings of its sampler changed."""
    if not changes:
        return spec
    return spec.evolve(
        sampler=mcmc.SamplerSpec.model_validate(spec.sampler.model_dump() | dict(changes))
    )


def _refuse_settings_of_another_method(method: str, settings: Mapping[str, Any]) -> None:
    of_svi = SVISettings.__annotations__
    methods = {
        name: ("svi",) if name in of_svi else _METHODS if name == "precision" else ("nuts",)
        for name in {**FitSettings.__annotations__, **settings}
    }
    refuse_ignored(
        "method", method, {name: (settings.get(name), own) for name, own in methods.items()}
    )
