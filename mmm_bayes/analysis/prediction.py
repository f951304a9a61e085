"""The expected target and replicated targets, for the training dates or new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes._typing import RngKey
from mmm_bayes.analysis.contributions import fitted_mean
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.streams import as_key

NDArray = np.ndarray[Any, Any]

_LARGEST_RATE = 1e18  # of NumPy's Poisson: counts are 64-bit integers


def predict(
    rng_key: RngKey | None,
    fitted: Fitted,
    new_data: MMMData | pd.DataFrame | None = None,
    *,
    max_draws: int | None = None,
) -> xr.Dataset:
    """Predict the target from spend and controls.

    Parameters
    ----------
    rng_key
        Random key of the replicated targets, or an integer seed; ``None`` gives the mean alone.
    fitted
        A fit.
    new_data
        Rows to predict, with the columns of the training table (the target may be absent). Their
        dates continue the training window or start within it; exposure before their first date
        carries over into them. ``None`` predicts the training window.
    max_draws
        Thin the draws evenly to at most this many.

    Returns
    -------
    xarray.Dataset
        ``mean``, the expected target, and ``target``, replicated with the noise of the likelihood:
        each ``(chain, draw, geo, date)`` in the units of the table.

    Raises
    ------
    DataError
        Listing every problem of the table.
    ValueError
        If the dates leave a gap; names the date that was expected.
    """
    table = new_data
    if table is not None and not isinstance(table, MMMData):
        table = fitted.data.with_table(table)
    mean = fitted_mean(fitted, data=table, max_draws=max_draws)
    result = mean.to_dataset(name="mean")
    if rng_key is None:
        return result
    # NumPy's generators: JAX's take seconds to compile, especially for counts.
    seed = np.asarray(jax.random.bits(as_key(rng_key), (4,), "uint32"))
    noise = fitted.tree["posterior"].to_dataset().sel(draw=mean["draw"])
    scales = {
        str(name): noise[name].values[..., None, None]
        for name in ("sigma", "nu", "dispersion")
        if name in noise
    }
    heads = (fitted.data if table is None else table).ds["population"].values[:, None]
    family = fitted.spec.likelihood.family
    drawn = replicate(np.random.default_rng(seed), family, mean.values, scales, heads)
    return result.assign(target=mean.copy(data=drawn.astype(fitted.dtype)))


def replicate(
    rng: np.random.Generator,
    family: str,
    mean: NDArray,
    scales: Mapping[str, NDArray],
    heads: NDArray,
) -> NDArray:
    """Draw targets (..., geo, date) around their mean.

    Parameters
    ----------
    rng
        Generator.
    family
        Likelihood of the model.
    mean
        Expected targets (..., geo, date).
    scales
        Parameters of the noise in the units of the table, broadcasting with ``mean``: ``sigma``
        (per head; of the logarithm), ``nu``, ``dispersion``.
    heads
        Population (geo, 1).
    """
    if family == "normal":
        return mean + heads * scales["sigma"] * rng.standard_normal(mean.shape)
    if family == "student_t":
        return mean + heads * scales["sigma"] * rng.standard_t(scales["nu"], mean.shape)
    if family == "log_normal":
        sigma = scales["sigma"]
        return mean * np.exp(sigma * rng.standard_normal(mean.shape) - 0.5 * sigma**2)
    rate = mean
    if family == "negative_binomial":
        # A Poisson whose rate is gamma with variance (dispersion * mean)^2.
        shape = scales["dispersion"] ** -2.0
        rate = mean * rng.standard_gamma(shape, mean.shape) / shape
    return rng.poisson(np.minimum(rate, _LARGEST_RATE)).astype(float)
