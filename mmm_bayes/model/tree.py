"""Draws as a labelled tree with ArviZ's groups, real coordinates and the units of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.data.schema import MMMData
from mmm_bayes.inference.mcmc import Draws
from mmm_bayes.model.structure import Structure

NDArray = np.ndarray[Any, Any]

OBSERVED = ("target",)


def parameter_dims(structure: Structure) -> dict[str, tuple[str, ...]]:
    """Return the dimensions of every parameter that is not a scalar."""
    n = len(structure.channels)
    dims: dict[str, tuple[str, ...]] = {
        "media_geo_scale": ("channel",),
        "beta_geo": ("channel", "geo"),
        "intercept_geo": ("geo",),
        "control_geo": ("geo", "control"),
        "control_geo_scale": ("control",),
    }
    for parameter in structure.media.parameters:
        every = len(parameter.channels) == n
        dims[parameter.site] = ("channel",) if every else (f"{parameter.site}_channel",)
    for term in structure.terms:
        dims[term.site] = () if term.dim is None else (term.dim,)
    return dims


def coordinates(structure: Structure, data: MMMData) -> dict[str, Any]:
    """Return the labels of every dimension."""
    coords: dict[str, Any] = {
        "channel": list(structure.channels),
        "control": list(structure.controls),
        "geo": data.geos,
        "date": data.dates,
    }
    for parameter in structure.media.parameters:
        coords[f"{parameter.site}_channel"] = list(parameter.channels)
    for term in structure.terms:
        if term.dim is not None:
            coords[term.dim] = list(term.labels)
    return coords


def parameter_group(
    structure: Structure, data: MMMData, params: Mapping[str, NDArray], chains: int
) -> xr.Dataset:
    """Label parameters in table units, (chain * draw, ...), as a dataset (chain, draw, ...)."""
    dims, coords = parameter_dims(structure), coordinates(structure, data)
    variables = {}
    for name in sorted(params):
        value = params[name]
        own = dims.get(name, ())
        shaped = value.reshape(chains, value.shape[0] // chains, *value.shape[1:])
        variables[name] = (("chain", "draw", *own), shaped)
    return _dataset(variables, coords, chains)


def target_group(
    structure: Structure, data: MMMData, name: str, values: NDArray, chains: int
) -> xr.Dataset:
    """Label values (chain * draw, geo, time) of the target as a dataset."""
    shaped = values.reshape(chains, values.shape[0] // chains, *values.shape[1:])
    variables = {name: (("chain", "draw", "geo", "date"), shaped)}
    return _dataset(variables, coordinates(structure, data), chains)


def _dataset(
    variables: Mapping[str, tuple[tuple[str, ...], NDArray]], coords: dict[str, Any], chains: int
) -> xr.Dataset:
    used = {dim for dims, _ in variables.values() for dim in dims}
    labels = {dim: values for dim, values in coords.items() if dim in used}
    draws = next(iter(variables.values()))[1].shape[1]
    return xr.Dataset(
        dict(variables), {"chain": np.arange(chains), "draw": np.arange(draws), **labels}
    )


def sample_stats(draws: Draws, max_tree_depth: int) -> xr.Dataset:
    """Return diagnostics of the draws under ArviZ's names."""
    info = draws.info
    step_size = info.step_size
    fields = {
        "acceptance_rate": info.accept_prob,
        "diverging": info.diverging,
        "energy": info.energy,
        "lp": -info.potential_energy,
        "n_steps": info.n_steps,
        "step_size": step_size,
        "tree_depth": info.tree_depth,
        "reached_max_treedepth": info.tree_depth >= max_tree_depth,
    }
    dims = ("chain", "draw")
    chains, count = step_size.shape
    return xr.Dataset(
        {name: (dims, np.asarray(value)) for name, value in fields.items()},
        {"chain": np.arange(chains), "draw": np.arange(count)},
    )


def data_groups(data: MMMData) -> dict[str, xr.Dataset]:
    """Return the table as the groups of observed and constant data."""
    observed = data.ds[list(OBSERVED)]
    constant = data.ds.drop_vars(list(OBSERVED))
    return {"observed_data": observed, "constant_data": constant}


def data_from(tree: xr.DataTree) -> MMMData:
    """Rebuild the table from its groups: the inverse of :func:`data_groups`."""
    constant = tree["constant_data"].to_dataset()
    observed = tree["observed_data"].to_dataset()
    return MMMData(constant.assign(observed.data_vars).assign_attrs(constant.attrs))
