"""Groups of the tree of a fit, from scaled parameters wherever they were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from mmm_bayes.data.scaling import Scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model import tree, units
from mmm_bayes.model.memory import SINGLE_PRECISION_ABOVE
from mmm_bayes.model.program import Program, program_for
from mmm_bayes.model.structure import ModelArrays, Structure

NDArray = np.ndarray[Any, Any]


class TableModel(NamedTuple):
    """A model of a table: its structure, and what leads from the table's units to scaled ones."""

    structure: Structure
    data: MMMData
    scaling: Scaling
    log_rate: float
    precision: str

    def program(self, marginal: bool) -> Program:
        """Return the compiled parts, kept between fits."""
        return program_for(self.structure, marginal, self.precision)


def posterior_groups(
    model: TableModel,
    keys: tuple[jax.Array, jax.Array],
    program: Program,
    params: dict[str, NDArray],
    observed: ModelArrays,
    num_chains: int,
    num_prior_draws: int,
    devices: Sequence[jax.Device] = (),
) -> dict[str, xr.Dataset]:
    """Return the groups of parameters (chain * draw, ...), and of draws of the prior.

    ``keys`` are those of the outcomes and of the prior; draws are spread over ``devices``.
    """
    key_outcome, key_prior = keys
    structure, data = model.structure, model.data
    replicated, log_likelihood = outcomes(model, key_outcome, program, params, observed, devices)
    table = units.to_table_units(structure, model.scaling, model.log_rate, params)
    groups = {
        "posterior": tree.parameter_group(structure, data, table, num_chains),
        "posterior_predictive": tree.target_group(
            structure, data, "target", replicated, num_chains
        ),
        "log_likelihood": tree.target_group(structure, data, "target", log_likelihood, num_chains),
    }
    if num_prior_draws:
        groups |= prior_groups(model, key_prior, observed, num_prior_draws, devices)
    return groups


def prior_groups(
    model: TableModel,
    rng_key: jax.Array,
    arrays: ModelArrays,
    num_draws: int,
    devices: Sequence[jax.Device] = (),
) -> dict[str, xr.Dataset]:
    """Return groups of draws of the prior."""
    key_params, key_outcome = jax.random.split(rng_key)
    structure, data = model.structure, model.data
    plain = arrays._replace(block=None, experiments=None)
    params = model.program(marginal=False).prior(key_params, plain, num_draws)
    # The predictive program is that of the posterior: the same shapes, compiled once.
    predictive = model.program(marginal=True)
    replicated, _ = outcomes(model, key_outcome, predictive, params, arrays, devices)
    table = units.to_table_units(structure, model.scaling, model.log_rate, params)
    return {
        "prior": tree.parameter_group(structure, data, table, 1),
        "prior_predictive": tree.target_group(structure, data, "target", replicated, 1),
    }


def outcomes(
    model: TableModel,
    rng_key: jax.Array,
    program: Program,
    params: dict[str, NDArray],
    arrays: ModelArrays,
    devices: Sequence[jax.Device] = (),
) -> tuple[NDArray, NDArray]:
    """Return replicated targets in table units, and log densities of the table's target."""
    data, scaling = model.data, model.scaling
    population = data.ds["population"].values
    count = len(next(iter(params.values())))
    small = count * arrays.target.size <= SINGLE_PRECISION_ABOVE
    dtype = np.float64 if small else np.float32
    # Change of variables from the scaled target to the table's.
    jacobian = np.zeros(())
    if scaling.link == "identity":
        jacobian = np.log(scaling.target_scale * population)[:, None]
    elif scaling.link == "log":
        jacobian = np.log(scaling.target_scale * data.ds["target"].values)

    def keep(replicated: NDArray, log_density: NDArray) -> tuple[NDArray, NDArray]:
        natural = scaling.inverse_target(replicated, population)
        return natural.astype(dtype), (log_density - jacobian).astype(dtype)

    return program.outcomes(rng_key, params, arrays, keep, devices)
