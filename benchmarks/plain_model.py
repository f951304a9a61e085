"""The national media-mix model as a NumPyro user writes it, on arrays made with NumPy.

It states the priors of the default ``ModelSpec`` again, by hand, and shares no code with the
package: agreement of its posterior with the package's checks both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

MAX_LAG = 8
YEAR = 365.25
MODES = 2


class Arrays(NamedTuple):
    """Scaled data: media (time, channel, lag), controls, seasons and trend (time, ...), target."""

    media: Any
    controls: Any
    season: Any
    trend: Any
    target: Any


def arrays_of(
    exposure: np.ndarray, controls: np.ndarray, target: np.ndarray, dates: pd.DatetimeIndex
) -> Arrays:
    """Scale a table: media by the mean where positive, controls and target to unit spread."""
    num_dates, n_channels = exposure.shape
    media = exposure / np.array([column[column > 0].mean() for column in exposure.T])
    lagged = np.zeros((num_dates, n_channels, MAX_LAG))
    for lag in range(MAX_LAG):
        lagged[lag:, :, lag] = media[: num_dates - lag]
    middle = np.asarray((dates - pd.Timestamp("1970-01-05")) / pd.Timedelta(days=1)) + 3.5
    angle = 2 * np.pi * middle[:, None] * np.arange(1, MODES + 1) / YEAR
    season = np.stack([np.sin(angle), np.cos(angle)], -1).reshape(num_dates, 2 * MODES)
    return Arrays(
        media=lagged,
        controls=(controls - controls.mean(0)) / controls.std(0),
        season=season,
        trend=np.linspace(-0.5, 0.5, num_dates),
        target=(target - target.mean()) / target.std(),
    )


def model(data: Arrays, target: Any = None) -> None:
    """Geometric adstock, Hill saturation, linear trend, Fourier season, controls, normal noise."""
    n_channels = data.media.shape[1]
    with numpyro.plate("channel", n_channels):
        alpha = numpyro.sample("alpha", dist.Beta(2.0, 2.0))
        ec = numpyro.sample("ec", dist.LogNormal(0.0, 0.6))
        slope = numpyro.sample("slope", dist.LogNormal(0.2, 0.4))
        beta = numpyro.sample("beta", dist.HalfNormal(2.0))
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.0))
    trend = numpyro.sample("trend_coef", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
    n_season, n_controls = data.season.shape[1], data.controls.shape[1]
    season = numpyro.sample(
        "seasonality_coef", dist.Normal(0.0, 0.5).expand([n_season]).to_event(1)
    )
    controls = numpyro.sample(
        "control_coef", dist.Normal(0.0, 1.0).expand([n_controls]).to_event(1)
    )
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))

    weights = alpha[:, None] ** jnp.arange(MAX_LAG)
    weights = weights / weights.sum(-1, keepdims=True)
    carried = jnp.einsum("tcl,cl->tc", data.media, weights)
    # Zero to a power has no gradient in the power: those weeks are put aside.
    active = carried > 0
    power = jnp.where(active, carried, 1.0) ** slope
    effects = numpyro.deterministic(
        "effects", beta * jnp.where(active, power / (power + ec**slope), 0.0)
    )
    mean = intercept + data.trend * trend[0] + data.season @ season + data.controls @ controls
    with numpyro.plate("date", data.media.shape[0]):
        numpyro.sample("target", dist.Normal(mean + effects.sum(-1), sigma), obs=target)
