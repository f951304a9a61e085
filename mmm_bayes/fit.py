"""The two objects a user holds: a model of a table, and its fit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

import jax
import numpy as np
import xarray as xr

from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.inference import mcmc
from mmm_bayes.inference.progress import Progress, choose_progress
from mmm_bayes.model import arrays as make
from mmm_bayes.model import checks, mmm, store, tree, units
from mmm_bayes.model.baseline import TimeFrame
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.program import Program, program_for
from mmm_bayes.model.spec import ModelSpec

NDArray = np.ndarray[Any, Any]

_SINGLE_PRECISION_ABOVE = 20_000_000  # elements of a predictive group past which it is float32


@final
class MMM:
    """A media-mix model of a table.

    Parameters
    ----------
    data
        The table.
    spec
        The model; the default one when not given.

    Raises
    ------
    ModelDataError
        If data and model do not fit together, with every reason.

    Examples
    --------
    >>> import jax
    >>> import mmm_bayes as mb
    >>> mmm = mb.MMM(mb.load_dataset("national_weekly"), mb.ModelSpec())
    >>> fit = mmm.fit(jax.random.key(0), num_samples=500)  # doctest: +SKIP
    """

    def __init__(self, data: MMMData, spec: ModelSpec | None = None) -> None:
        self.data = data
        self.spec = spec or ModelSpec()
        checks.check_model(self.spec, data)
        self._structure = mmm.structure_of(self.spec, data.channels, data.controls, data.n_geos)
        self._scaling = fit_scaling(data, self.spec.likelihood.link)
        self._log_rate = make.log_rate(data)
        self._frame = TimeFrame.from_dates(data.dates)

    def __repr__(self) -> str:
        return f"MMM({self.spec.name!r}, {self.data!r})"

    def sample_prior_predictive(
        self, rng_key: jax.Array, num_draws: int = 500
    ) -> xr.DataTree:
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
        with jax.enable_x64(self.spec.sampler.precision == "float64"):
            groups = self._prior_groups(rng_key, self._arrays(), num_draws)
        return xr.DataTree.from_dict(groups | tree.data_groups(self.data))

    def fit(
        self,
        rng_key: jax.Array,
        method: Literal["nuts", "svi"] = "nuts",
        *,
        progress: bool | Progress | None = None,
        marginal: bool = True,
        prior_draws: int = 500,
        **settings: Any,
    ) -> FitResult:
        """Condition on the target.

        Parameters
        ----------
        rng_key
            Random key; the same key gives the same draws.
        method
            ``"nuts"``, or ``"svi"`` for a quick Gaussian approximation.
        progress
            ``True``, ``False``, or an own reporter; by default a bar where somebody watches.
        marginal
            Integrate the linear-Gaussian block out (same posterior, far quicker). ``False`` samples
            the plain model.
        prior_draws
            Draws of the prior kept with the fit, for prior-posterior comparison.
        **settings
            Settings of the sampler to change (``num_samples``, ``num_chains``, ``target_accept``,
            ...): fields of ``SamplerSpec``, or of ``SVISpec``.

        Returns
        -------
        FitResult
        """
        began = time.perf_counter()
        spec = self.spec
        if method == "nuts" and settings:
            sampler = mcmc.SamplerSpec.model_validate(spec.sampler.model_dump() | settings)
            spec = spec.evolve(sampler=sampler)
        reporter = choose_progress(progress)
        with jax.enable_x64(spec.sampler.precision == "float64"), reporter:
            run = self._nuts if method == "nuts" else self._svi
            groups = run(rng_key, spec, reporter, marginal, prior_draws, settings)
        result = xr.DataTree.from_dict(groups | tree.data_groups(self.data))
        result["posterior"].attrs["wall_seconds"] = time.perf_counter() - began
        return FitResult(Fitted(spec, self.data, result))

    def _arrays(self) -> mmm.ModelArrays:
        dtype = np.dtype(self.spec.sampler.precision)
        return make.training_arrays(self._structure, self.data, self._scaling, self._frame, dtype)

    def _program(self, marginal: bool) -> Program:
        return program_for(self._structure, marginal, self.spec.sampler.precision)

    def _nuts(
        self,
        rng_key: jax.Array,
        spec: ModelSpec,
        reporter: Progress,
        marginal: bool,
        prior_draws: int,
        settings: Mapping[str, Any],
    ) -> dict[str, xr.Dataset]:
        arrays, program = self._arrays(), self._program(marginal)
        key_run, key_after = jax.random.split(rng_key)
        sampler, layout = program.sampler(arrays), program.layout(arrays)
        ahead = _InBackground(lambda: program.compile_ahead(arrays), spec.sampler.precision)
        draws = mcmc.sample(
            key_run, sampler, arrays, layout.start, spec.sampler, reporter, compiled=ahead.start
        )
        reporter.message("drawing predictions")
        ahead.join()
        positions = draws.positions.reshape(-1, draws.positions.shape[-1])
        groups = self._groups(
            key_after, program, positions, arrays, draws.positions.shape[0], prior_draws
        )
        groups["sample_stats"] = tree.sample_stats(draws, spec.sampler.max_tree_depth)
        attrs: dict[str, Any] = {f"seconds_{name}": value for name, value in draws.seconds.items()}
        attrs["warmup_steps"] = draws.warmup_steps.tolist()
        attrs["inference"] = "NUTS" + (", linear block integrated out" if program.marginal else "")
        groups["posterior"].attrs |= attrs
        return groups

    def _svi(
        self,
        rng_key: jax.Array,
        spec: ModelSpec,
        reporter: Progress,
        marginal: bool,
        prior_draws: int,
        settings: Mapping[str, Any],
    ) -> dict[str, xr.Dataset]:
        from mmm_bayes.inference import svi

        arrays, program = self._arrays(), self._program(marginal)
        key_run, key_after = jax.random.split(rng_key)
        layout = program.layout(arrays)
        settings_ = svi.SVISpec(**{"precision": spec.sampler.precision, **settings})
        result = svi.fit(
            key_run, program.potential, layout.dim, arrays, layout.start, settings_, reporter
        )
        groups = self._groups(key_after, program, result.positions, arrays, 1, prior_draws)
        elbo = np.asarray(result.elbo)
        groups["posterior"].attrs |= {
            "inference": "SVI",
            "pareto_k": float(result.pareto_k),
            "elbo": float(elbo[-1]),
        }
        return groups

    def _groups(
        self,
        rng_key: jax.Array,
        program: Program,
        positions: NDArray,
        arrays: mmm.ModelArrays,
        chains: int,
        prior_draws: int,
    ) -> dict[str, xr.Dataset]:
        key_block, key_outcome, key_prior = jax.random.split(rng_key, 3)
        params = program.parameters(key_block, positions, arrays)
        replicated, log_likelihood = self._outcomes(key_outcome, program, params, arrays)
        structure, data = self._structure, self.data
        table = units.to_table_units(structure, self._scaling, self._log_rate, params)
        groups = {
            "posterior": tree.parameter_group(structure, data, table, chains),
            "posterior_predictive": tree.target_group(
                structure, data, "target", replicated, chains
            ),
            "log_likelihood": tree.target_group(structure, data, "target", log_likelihood, chains),
        }
        if prior_draws:
            groups |= self._prior_groups(key_prior, arrays, prior_draws)
        return groups

    def _prior_groups(
        self, rng_key: jax.Array, arrays: mmm.ModelArrays, draws: int
    ) -> dict[str, xr.Dataset]:
        key_params, key_outcome = jax.random.split(rng_key)
        program = self._program(marginal=False)
        plain = arrays._replace(block=None)
        params = program.prior(key_params, plain, draws)
        # The predictive program is that of the posterior: the same shapes, compiled once.
        predictive = self._program(marginal=True)
        replicated, _ = self._outcomes(key_outcome, predictive, params, arrays)
        structure, data = self._structure, self.data
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
        arrays: mmm.ModelArrays,
    ) -> tuple[NDArray, NDArray]:
        """Replicated targets in table units, and log densities of the table's target."""
        population = self.data.ds["population"].values
        count = len(next(iter(params.values())))
        small = count * arrays.target.size <= _SINGLE_PRECISION_ABOVE
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

        return program.outcomes(rng_key, params, arrays, keep)


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


@final
class FitResult:
    """A fitted model: draws, diagnostics, and every quantity a plan is made from.

    Attributes
    ----------
    tree
        ``xarray.DataTree`` with ArviZ's group names, in the units of the table.
    data, spec
        What was fitted.
    """

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted

    @property
    def tree(self) -> xr.DataTree:
        """Draws and data, under ArviZ's group names."""
        return self._fitted.tree

    @property
    def data(self) -> MMMData:
        """The table."""
        return self._fitted.data

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        return self._fitted.spec

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one NetCDF file with draws, table and specification, atomically."""
        return store.save(self._fitted, path)


def load_fit(path: str | os.PathLike[str]) -> FitResult:
    """Read a fit written by :meth:`FitResult.save`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FitFileError
        If the file is cut short, is not a fit, or is from a newer version.
    """
    return FitResult(store.load(path))
