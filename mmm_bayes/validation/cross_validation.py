r"""Expected log predictive density by leaving out the future, folds, or single rows.

All three return ArviZ's ``ELPDData``, which ``arviz.compare`` accepts. Densities are those of the
target in the units of the table. Leave-future-out answers the forecaster's question. With folds and
single rows, neighbours of the held-out rows stay in the fit, so that the result is optimistic for a
series with autocorrelated residuals.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Unpack, get_args

import jax
import numpy as np
import xarray as xr
from arviz_stats.loo import SamplingWrapper

from mmm_bayes._typing import RngKey
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit import MMM, with_sampler
from mmm_bayes.inference.settings import SamplerSettings, given
from mmm_bayes.model import tree, units
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.program import program_for
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.choices import choose, refuse_ignored
from mmm_bayes.runtime.deprecation import renamed, rng_key_first, spelled_out
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.streams import as_key, generator
from mmm_bayes.validation.not_yet_on import check_not_yet_on
from mmm_bayes.validation.refit import (
    conditioned,
    densities,
    jacobian,
    log_densities,
    refit,
    sample,
    shell,
    weighted,
)
from mmm_bayes.validation.rolling import between

NDArray = np.ndarray[Any, Any]
FoldsBy = Literal["rows", "blocks", "geo"]

PARETO_K = 0.7
_FULL = 2**20  # random stream of the fit to all rows; no fold has this number


@rng_key_first(position=1)
@spelled_out(SamplerSettings)
def leave_future_out(
    rng_key: RngKey,
    model: MMM,
    *,
    min_train: int | None = None,
    horizon: int = 1,
    method: str = "approx",
    k_threshold: float | None = None,
    full: Fitted | None = None,
    **settings: Unpack[SamplerSettings],
) -> Any:
    r"""Estimate the leave-future-out density, :math:`\sum_t \log p(y_{t+1:t+M} | y_{1:t})`.

    The sum runs over every origin past ``min_train``. Between exact fits the draws are reweighted
    by Pareto-smoothed importance sampling, and the model is refitted when Pareto k exceeds the
    threshold. One date of all geos is one observation. Scales and priors are those of the rows of
    the last exact fit.

    Parameters
    ----------
    rng_key
        Random key, or an integer seed.
    model
        Table and specification.
    min_train
        Dates before the first origin; by default two thirds of the table.
    horizon
        Number of dates ahead, scored jointly.
    method
        ``"exact"`` refits at every origin.
    k_threshold
        Pareto k above which the model is fitted again, by default 0.7; requires
        ``method="approx"``.
    full
        A fit of the whole table, if there is one; it gives the effective number of parameters.
    num_warmup, num_samples, num_chains, target_accept, max_tree_depth, chain_method, precision, \
block
        Settings of the sampler; by default those of the specification.

    Returns
    -------
    arviz_stats.ELPDDataLFO

    Raises
    ------
    DataError
        If the table has no room for the origins.

    References
    ----------
    Bürkner, Gabry and Vehtari (2020), Approximate leave-future-out cross-validation for Bayesian
    time series models, Journal of Statistical Computation and Simulation 90.
    """
    from arviz import lfo_cv

    method = choose("method", method, ("approx", "exact"))
    refuse_ignored("method", method, {"k_threshold": (k_threshold, ("approx",))})
    rng_key = as_key(rng_key)
    data, spec = model.data, with_sampler(model.spec, given(settings))
    first = (2 * data.num_dates) // 3 if min_train is None else min_train
    if not 3 <= first <= data.num_dates - horizon or horizon < 1:
        text = (
            f"min_train={first} and horizon={horizon} do not fit a table of {data.num_dates} dates."
        )
        remedy = f"min_train should be between 3 and {data.num_dates - max(1, horizon)}."
        raise DataError([Finding("min_train", "error", text, remedy)], "the validation")
    check_not_yet_on(spec, data, [(0, stop) for stop in range(first, data.num_dates)])
    whole = full_fit(rng_key, spec, data, model.lift_tests) if full is None else full
    together = log_densities(whole, data).sum("geo")
    start = xr.DataTree.from_dict(
        {
            "posterior": whole.tree["posterior"].to_dataset(),
            "log_likelihood": together.to_dataset(name="target"),
        }
    )
    with _quiet():
        return lfo_cv(
            start,
            _Future(rng_key, spec, data, model.lift_tests),
            min_observations=first,
            forecast_horizon=horizon,
            time_dim="date",
            pointwise=True,
            var_name="target",
            method=method,
            k_threshold=PARETO_K if k_threshold is None else k_threshold,
        )


@rng_key_first(position=1)
@renamed(k="num_folds")
@spelled_out(SamplerSettings)
def k_fold(
    rng_key: RngKey,
    model: MMM,
    *,
    num_folds: int = 10,
    by: FoldsBy = "blocks",
    full: Fitted | None = None,
    **settings: Unpack[SamplerSettings],
) -> Any:
    r"""K-fold predictive density, every fold fitted without its rows.

    Rows are left out through a likelihood weight of zero: their media still carry over into later
    rows, and scales and priors are those of the whole table, as in leave-one-out.

    Parameters
    ----------
    rng_key
        Random key of fits and of random folds.
    model
        Table and specification.
    num_folds
        Number of folds.
    by
        ``"blocks"`` of consecutive dates, random ``"rows"`` (of a geo and date), or whole geos
        (``"geo"``), which tests predictions for a geo that the model has not seen.
    full
        A fit of the whole table, if there is one.
    num_warmup, num_samples, num_chains, target_accept, max_tree_depth, chain_method, precision, \
block
        Settings of the sampler; by default those of the specification.

    Returns
    -------
    arviz_stats.ELPDDataLOOKFold

    Raises
    ------
    DataError
        If the table has no room for ``k`` folds.
    """
    from arviz import loo_kfold

    rng_key = as_key(rng_key)
    data, spec = model.data, with_sampler(model.spec, given(settings))
    folds = assign_folds(rng_key, data, num_folds, by)
    whole = full_fit(rng_key, spec, data, model.lift_tests) if full is None else full
    rows = _stacked(log_densities(whole, data))
    start = xr.DataTree.from_dict(
        {
            "posterior": whole.tree["posterior"].to_dataset(),
            "log_likelihood": rows.to_dataset(name="target"),
        }
    )
    wrapper = _Rows(rng_key, spec, data, model.lift_tests)
    with _quiet():
        return loo_kfold(start, wrapper, pointwise=True, var_name="target", folds=folds.ravel() + 1)


def leave_one_out(fitted: Fitted) -> Any:
    """Compute PSIS-LOO of a fit of the whole table, and its log likelihood if it has none."""
    from mmm_bayes.analysis.predictive import loo

    if "log_likelihood" in fitted.tree.children:
        return loo(fitted)
    groups = {name: node.to_dataset() for name, node in fitted.tree.children.items()}
    groups["log_likelihood"] = log_densities(fitted, fitted.data).to_dataset(name="target")
    with _quiet():
        return loo(Fitted(fitted.spec, fitted.data, xr.DataTree.from_dict(groups)))


def full_fit(
    rng_key: jax.Array, spec: ModelSpec, data: MMMData, tests: Sequence[LiftTest] = ()
) -> Fitted:
    """Fit all rows with the same compiled program as the folds."""
    return refit(jax.random.fold_in(rng_key, _FULL), spec, data, data.num_dates, tests)


def assign_folds(rng_key: jax.Array, data: MMMData, num_folds: int, by: FoldsBy) -> NDArray:
    """Draw the fold (geo, date) of each row, numbered from 0."""
    shape = (data.num_geos, data.num_dates)
    units = {"rows": shape[0] * shape[1], "blocks": shape[1], "geo": shape[0]}
    found = []
    if by not in units:
        text = f"by should be one of {', '.join(get_args(FoldsBy))}, but got {by!r}."
        found.append(Finding("by", "error", text, ""))
    elif not 2 <= num_folds <= units[by]:
        bound = f"{units[by]}, the number of {by}"
        text = f"num_folds should lie between 2 and {bound}, but is {num_folds}."
        found.append(Finding("num_folds", "error", text, ""))
    if found:
        raise DataError(found, "the validation")
    count = units[by]
    equal = np.arange(count) * num_folds // count
    if by == "blocks":
        return np.broadcast_to(equal, shape).copy()
    mixed = generator(rng_key).permutation(equal)
    return mixed.reshape(shape) if by == "rows" else np.repeat(mixed[:, None], shape[1], 1)


def _stacked(values: xr.DataArray) -> xr.DataArray:
    """Flatten (geo, date) to one dimension of rows, without a two-level index."""
    chains, draws = values.sizes["chain"], values.sizes["draw"]
    flat = values.transpose("chain", "draw", "geo", "date").values.reshape(chains, draws, -1)
    coords = {"chain": values["chain"], "draw": values["draw"], "row": np.arange(flat.shape[-1])}
    return xr.DataArray(flat, coords, ("chain", "draw", "row"), name="target")


@contextmanager
def _quiet() -> Iterator[None]:
    # ArviZ's warnings (high Pareto k, number of refits) are also in its result.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


class _Future(SamplingWrapper):
    """Refit the first dates of a table, for ArviZ."""

    def __init__(
        self, rng_key: jax.Array, spec: ModelSpec, data: MMMData, tests: Sequence[LiftTest]
    ) -> None:
        super().__init__(model=None)
        self._key, self._spec, self._data, self._tests = rng_key, spec, data, tests
        self._fitted: Fitted | None = None

    def sel_observations(self, idx: NDArray) -> tuple[int, NDArray]:
        return int(idx[0]), np.asarray(idx)

    def sample(self, modified_observed_data: int) -> Fitted:
        train = between(self._data, 0, modified_observed_data)
        key = jax.random.fold_in(self._key, modified_observed_data)
        self._fitted = refit(key, self._spec, train, self._data.num_dates, self._tests)
        return self._fitted

    def get_inference_data(self, fitted_model: Fitted) -> xr.DataTree:
        return fitted_model.tree

    def log_likelihood__i(self, excluded_obs: NDArray, idata__i: xr.DataTree) -> xr.DataArray:
        assert self._fitted is not None  # ArviZ samples first
        return log_densities(self._fitted, self._data).sum("geo").isel(date=excluded_obs)


class _Rows(SamplingWrapper):
    """Refit a table without some of its rows, for ArviZ."""

    def __init__(
        self, rng_key: jax.Array, spec: ModelSpec, data: MMMData, tests: Sequence[LiftTest]
    ) -> None:
        super().__init__(model=None)
        self._key, self._spec, self._data, self._tests = rng_key, spec, data, tests
        self._empty = shell(spec, data)
        self._structure, self._arrays = conditioned(self._empty, tests)
        self._found: xr.DataArray | None = None
        self._fits = 0

    def sel_observations(self, idx: NDArray) -> tuple[NDArray, NDArray]:
        weight = np.ones(self._data.num_geos * self._data.num_dates)
        weight[idx] = 0.0
        return weight.reshape(self._data.num_geos, -1), np.asarray(idx)

    def sample(self, modified_observed_data: NDArray) -> xr.Dataset:
        empty, data, spec = self._empty, self._data, self._spec
        key = jax.random.fold_in(self._key, self._fits)
        self._fits += 1
        with empty.precision():
            arrays = weighted(self._structure, self._arrays, modified_observed_data)
            params, draws = sample(key, spec, self._structure, arrays)
            program = program_for(self._structure, True, spec.sampler.real)
            found = densities(program, params, self._arrays) - jacobian(empty, data)
        chains = draws.positions.shape[0]
        group = tree.target_group(empty.structure, data, "target", found, chains)
        self._found = group["target"]
        table = units.to_table_units(empty.structure, empty.scaling, empty.log_rate, params)
        return tree.parameter_group(empty.structure, data, table, chains)

    def get_inference_data(self, fitted_model: xr.Dataset) -> xr.DataTree:
        return xr.DataTree.from_dict({"posterior": fitted_model})

    def log_likelihood__i(self, excluded_obs: NDArray, idata__i: xr.DataTree) -> xr.DataArray:
        assert self._found is not None  # ArviZ samples first
        return _stacked(self._found).isel(row=excluded_obs)
