"""The expected target and replicated targets, for the training dates or new ones."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd
import xarray as xr

from mmm_bayes.analysis import decomposition as parts
from mmm_bayes.analysis.contributions import fitted_mean
from mmm_bayes.analysis.decomposition import Units
from mmm_bayes.analysis.draws import compiled, over_draws, own_key
from mmm_bayes.analysis.window import window_of
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model import mmm
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.media import Params
from mmm_bayes.model.mmm import ModelArrays, Structure


@functools.lru_cache(maxsize=32)
def _prediction(structure: Structure) -> Any:
    def run(params: Params, arrays: ModelArrays, units: Units) -> Any:
        own, key = own_key(params)
        eta = mmm.linear_predictor(structure, own, arrays)
        scaled = mmm.observation(structure, own, eta, arrays.log_offset).sample(key)
        mean = parts.mean(structure, own, eta, arrays, units)
        heads = units.heads[:, None]
        link = structure.spec.likelihood.link
        if link == "count":
            return jnp.stack([mean, scaled.astype(mean.dtype)])
        natural = units.center + units.scale * scaled
        return jnp.stack([mean, heads * (jnp.exp(natural) if link == "log" else natural)])

    return compiled(run)


def predict(
    fitted: Fitted,
    new_data: MMMData | pd.DataFrame | None = None,
    rng_key: jax.Array | None = None,
    *,
    max_draws: int | None = None,
) -> xr.Dataset:
    """Predict the target from spends and controls.

    Parameters
    ----------
    fitted
        A fit.
    new_data
        Rows to predict, with the columns of the training table (the target may be absent). Their
        dates continue the training window or start within it; exposure before their first date
        carries over into them. ``None`` predicts the training window.
    rng_key
        Random key of the replicated targets; without one there is the mean alone.
    max_draws
        Thin evenly to so many draws.

    Returns
    -------
    xarray.Dataset
        ``mean``, the expected target, and ``target``, replicated with the noise of the likelihood:
        each ``(chain, draw, geo, date)`` in the units of the table.

    Raises
    ------
    DataError
        If the table has problems, with all of them.
    ValueError
        If dates leave a gap, with the date that was expected.
    """
    window = window_of(fitted, new_data)
    if rng_key is None:
        mean = fitted_mean(fitted, data=None if new_data is None else window.data,
                           max_draws=max_draws)  # fmt: skip
        return mean.to_dataset(name="mean")
    both = over_draws(
        fitted,
        _prediction(fitted.structure),
        (window.arrays, window.units),
        dims=("variable", "geo", "date"),
        coords={
            "variable": ["mean", "target"],
            "geo": window.data.geos,
            "date": window.data.dates,
        },
        max_draws=max_draws,
        elements=window.arrays.target.size * len(fitted.structure.channels),
        rng_key=rng_key,
    )
    return both.to_dataset("variable")
