r"""Refit parts of a table with one compiled program.

A table of ``n`` rows is padded to ``N`` rows. The last ``N - n`` have a likelihood weight of zero:
the log likelihood is :math:`\sum_t w_t \log p(y_t)` with :math:`w_t = 0` there. Their values are
zeros, so that nothing of later rows enters, and all folds of a validation have the same shape.
Scales, time since the start of the window and the reference of priors on ROAS are those of the rows
that are fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import xarray as xr

from mmm_bayes.data.lift_tests import LiftTest, to_json
from mmm_bayes.data.schema import MMMData
from mmm_bayes.inference import mcmc
from mmm_bayes.inference.convergence import rank_rhat
from mmm_bayes.model import arrays as model_arrays
from mmm_bayes.model import tree, units
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.linear_block import prepare_block
from mmm_bayes.model.program import Program, program_for
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.model.structure import ModelArrays, Structure, structure_of
from mmm_bayes.runtime.progress import Progress, Silent

NDArray = np.ndarray[Any, Any]


def shell(spec: ModelSpec, data: MMMData) -> Fitted:
    """Make a fit without draws, which holds the structure, scales and arrays of a table."""
    return Fitted(spec, data, xr.DataTree())


def conditioned(empty: Fitted, tests: Sequence[LiftTest] = ()) -> tuple[Structure, ModelArrays]:
    """Build the structure and arrays of a table with its lift tests."""
    data = empty.data
    structure = structure_of(empty.spec, data.channels, data.controls, data.num_geos, bool(tests))
    with empty.precision():
        arrays = model_arrays.training_arrays(
            structure, data, empty.scaling, empty.frame, empty.dtype, tests
        )
    return structure, arrays


def tests_within(tests: Sequence[LiftTest], data: MMMData) -> tuple[LiftTest, ...]:
    """Select the lift tests that began and ended within the dates of a table."""
    periods = data.periods
    first, last = periods.left[0], periods.right[-1]
    ends = [test.end if test.measured_until is None else test.measured_until for test in tests]
    return tuple(
        test for test, end in zip(tests, ends, strict=True) if first <= test.start and end < last
    )


def padded(structure: Structure, arrays: ModelArrays, rows: int) -> ModelArrays:
    """Pad training arrays with zeros to ``rows`` rows; the new ones have likelihood weight zero."""
    num_geos, n = arrays.target.shape
    extra = rows - n
    if extra < 0:
        raise ValueError(f"rows should be at least {n}, the rows of the table, but got {rows}.")

    def longer(values: NDArray, axis: int) -> NDArray:
        widths = [(0, extra if a == axis % values.ndim else 0) for a in range(values.ndim)]
        return np.pad(values, widths)

    weight = np.zeros((num_geos, rows))
    weight[:, :n] = 1.0
    reference = arrays.reference._replace(
        weight=longer(arrays.reference.weight, -1),
        target_weight=longer(arrays.reference.target_weight, -1),
    )
    result = arrays._replace(
        media=longer(arrays.media, -1),
        design=longer(arrays.design, 1),
        target=longer(arrays.target, 1),
        log_offset=longer(arrays.log_offset, 1),
        reference=reference,
    )
    return weighted(structure, result, weight)


def weighted(structure: Structure, arrays: ModelArrays, weight: NDArray) -> ModelArrays:
    """Give every row (geo, time) a likelihood weight; rows of weight zero are left out."""
    block = prepare_block(structure, np.asarray(arrays.design, float), weight)
    target = np.where(weight > 0, arrays.target, 0.0)
    result = arrays._replace(block=block, likelihood_weight=weight, target=target)
    return model_arrays.cast(result, arrays.target.dtype)


def refit(
    rng_key: jax.Array,
    spec: ModelSpec,
    data: MMMData,
    rows: int,
    tests: Sequence[LiftTest] = (),
    progress: Progress | None = None,
) -> Fitted:
    """Fit a table by NUTS with the program compiled for ``rows`` rows.

    Parameters
    ----------
    rng_key
        Random key.
    spec
        The model, with the settings of its sampler.
    data
        Table of at most ``rows`` dates.
    rows
        Number of dates the program is compiled for.
    tests
        Lift tests; those that had not ended by the table's last date are left out.
    progress
        Progress display.

    Returns
    -------
    Fitted
        With the groups ``posterior``, ``sample_stats``, ``observed_data`` and ``constant_data``.
    """
    empty = shell(spec, data)
    known = tests_within(tests, data)
    structure, arrays = conditioned(empty, known)
    with empty.precision():
        arrays = padded(structure, arrays, rows)
        params, draws = sample(rng_key, spec, structure, arrays, progress)
    table = units.to_table_units(structure, empty.scaling, empty.log_rate, params)
    chains = draws.positions.shape[0]
    groups = {
        "posterior": tree.parameter_group(empty.structure, data, table, chains),
        "sample_stats": tree.sample_stats(draws, spec.sampler.max_tree_depth),
    }
    result = xr.DataTree.from_dict(groups | tree.data_groups(data))
    if known:
        result["posterior"].attrs["lift_tests"] = to_json(known)
    return Fitted(spec, data, result)


def sample(
    rng_key: jax.Array,
    spec: ModelSpec,
    structure: Structure,
    arrays: ModelArrays,
    progress: Progress | None = None,
) -> tuple[dict[str, NDArray], mcmc.Draws]:
    """Sample scaled parameters (chain * draw, ...) given weighted arrays; return draws as well."""
    program = program_for(structure, True, spec.sampler.real)
    key_run, key_block = jax.random.split(rng_key)
    draws = mcmc.sample(
        key_run,
        program.sampler(arrays),
        arrays,
        program.layout(arrays).start,
        spec.sampler,
        progress or Silent(),
    )
    positions = draws.positions.reshape(-1, draws.positions.shape[-1])
    return program.parameters(key_block, positions, arrays), draws


def log_densities(fitted: Fitted, table: MMMData) -> xr.DataArray:
    """Compute log densities ``(chain, draw, geo, date)`` of targets under the draws of a fit.

    Parameters
    ----------
    fitted
        A fit of the first dates of ``table``.
    table
        The whole table, whose first date is that of the fit.

    Returns
    -------
    xarray.DataArray
        Densities in the units of the table, which are comparable between likelihoods.
    """
    structure, scaling = fitted.structure, fitted.scaling
    with fitted.precision():
        arrays = model_arrays.window_arrays(
            structure,
            table,
            scaling,
            fitted.frame,
            None,
            fitted.log_rate,
            model_arrays.effect_reference(fitted.data, scaling),
        )
        target = scaling.target(table.ds["target"].values, table.ds["population"].values)
        arrays = model_arrays.cast(arrays._replace(target=target), fitted.dtype)
        arrays = _same_reference(arrays)
        params, chains, draws = fitted.scaled()
        program = program_for(structure, True, fitted.spec.sampler.real)
        found = densities(program, params, arrays) - jacobian(fitted, table)
    return xr.DataArray(
        found.reshape(len(chains), len(draws), *found.shape[1:]),
        {"chain": chains, "draw": draws, "geo": table.geos, "date": table.dates},
        ("chain", "draw", "geo", "date"),
        name="target",
    )


def densities(program: Program, params: dict[str, NDArray], arrays: ModelArrays) -> NDArray:
    """Compute log densities (draw, geo, time) of the scaled targets."""
    # The program also replicates targets, but they are dropped, so any key will do.
    key = jax.random.key(0)
    found: NDArray = program.outcomes(key, params, arrays, lambda drawn, density: density)
    return found


def jacobian(fitted: Fitted, table: MMMData) -> NDArray:
    """Compute the log Jacobian (geo, time) from the scaled target to that of the table."""
    scaling, population = fitted.scaling, table.ds["population"].values
    if scaling.link == "identity":
        return np.log(scaling.target_scale * population)[:, None]
    if scaling.link == "log":
        return np.log(scaling.target_scale * table.ds["target"].values)
    return np.zeros(())


def _same_reference(arrays: ModelArrays) -> ModelArrays:
    """Extend the reference to the length of the arrays; densities given parameters ignore it."""
    weight = np.zeros(arrays.target.shape, arrays.target.dtype)
    return arrays._replace(reference=arrays.reference._replace(weight=weight, target_weight=weight))


def worst_rhat(fitted: Fitted) -> float:
    """Compute the largest rank-normalised R-hat over all parameters that are not constant."""
    worst = 1.0
    for value in fitted.tree["posterior"].data_vars.values():
        draws = np.moveaxis(value.values.reshape(*value.shape[:2], -1), -1, 0)
        moving = np.ptp(draws, axis=(1, 2)) > 0
        if moving.any():
            worst = max(worst, float(np.nanmax(rank_rhat(draws[moving]))))
    return worst


def divergent_draws(fitted: Fitted) -> int:
    """Count the divergent draws."""
    return int(fitted.tree["sample_stats"]["diverging"].sum())
