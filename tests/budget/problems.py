"""Small problems with known parameters, and a fit without a sampler."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes import MMMData, ModelSpec, simulate
from mmm_bayes.budget import outcome
from mmm_bayes.budget.limits import FeasibleSet, Limit, feasible_set, rows_of
from mmm_bayes.budget.outcome import Prices, Response
from mmm_bayes.budget.problem import Problem
from mmm_bayes.budget.risk import Objective
from mmm_bayes.budget.variables import Variables, variables_of
from mmm_bayes.model import media, tree, units
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.program import program_for

NDArray = np.ndarray[Any, Any]
GEOS = ("north", "south")


def problem_of(
    params: dict[str, NDArray],
    effect: NDArray,
    today: NDArray,
    *,
    saturation: str = "hill",
    alpha: NDArray | None = None,
    max_lag: int = 1,
    by: tuple[str, ...] = ("channel",),
    objective: Objective = Objective(),  # noqa: B008  # frozen
    elasticity: NDArray | None = None,
) -> Problem:
    """A problem of draws (draw, channel) of parameters, exposure being spend."""
    channels, geos, dates = today.shape
    names = tuple(f"c{k}" for k in range(channels))
    adstock = "geometric" if alpha is not None else "none"
    spec = ModelSpec(media={"max_lag": max_lag, "adstock": adstock, "saturation": saturation})
    structure = media.media_structure(spec, names)
    draws = len(effect)
    kernels = np.zeros((draws, channels, max_lag))
    kernels[..., 0] = 1.0
    if alpha is not None:
        kernels = alpha[..., None] ** np.arange(max_lag)
        kernels = kernels / kernels.sum(-1, keepdims=True)
    carry = max_lag - 1
    response = Response(
        params=params,
        kernels=kernels,
        effect=np.repeat(effect[..., None], geos, 2),
        weight=np.ones((geos, dates + carry)),
        base=np.zeros((draws, geos, 0)),
        fixed=np.zeros((channels, geos, dates + 2 * carry)),
        prices=Prices(
            np.ones(today.shape),
            np.zeros(channels) if elasticity is None else elasticity,
            np.ones(today.shape),
        ),
        nothing=np.zeros((draws, channels)),
    )
    with jax.enable_x64(True):
        filled = outcome.compiled(structure, outcome.with_nothing)(response)
    variables = variables_of(today, np.ones(channels, bool), np.ones(geos), by)
    return Problem(structure, jax.tree.map(np.asarray, filled), variables, objective, dates)


def limited(variables: Variables, limits: list[Limit], total: float) -> FeasibleSet:
    """The feasible set of limits on channels ``c0``, ``c1``, ... in weeks from 2024."""
    channels, geos, dates = variables.reference.shape
    names = [f"c{k}" for k in range(channels)]
    labels = [f"g{k}" for k in range(geos)]
    weeks = pd.date_range("2024-01-01", periods=dates, freq="W-MON")
    rows, findings = rows_of(limits, variables, names, labels, weeks, np.ones(channels, bool))
    assert not findings
    return feasible_set(rows, variables.size, total)


def prior_fit(
    data: MMMData, spec: ModelSpec, draws: int = 30, chains: int = 2, seed: int = 5
) -> Fitted:
    """A fit whose draws come from the prior."""
    fitted = Fitted(spec, data, xr.DataTree())
    with fitted.precision():
        program = program_for(fitted.structure, False, spec.sampler.precision)
        arrays = fitted.arrays._replace(block=None)
        params = program.prior(jax.random.key(seed), arrays, draws * chains)
    params = units.to_table_units(fitted.structure, fitted.scaling, fitted.log_rate, params)
    group = tree.parameter_group(fitted.structure, data, params, chains)
    groups = {"posterior": group} | tree.data_groups(data)
    return Fitted(spec, data, xr.DataTree.from_dict(groups))


def simulated(**settings: Any) -> MMMData:
    """A short table of three channels."""
    defaults: dict[str, Any] = {"num_dates": 60, "num_channels": 3, "num_controls": 1, "max_lag": 5}
    return simulate.mmm(jax.random.key(11), **(defaults | settings)).data
