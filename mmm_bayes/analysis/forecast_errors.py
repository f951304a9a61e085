r"""Noise of future targets: independent, as in the likelihood, or autocorrelated.

The likelihood assumes independent residuals. If they are autocorrelated, a forecast that starts
from a week well above the model's mean should return to the mean gradually; independent noise
returns at once, and its intervals have the wrong width at the first steps. ``"ar1"`` gives the
noise of a forecast an autocorrelation, estimated from the residuals of each draw of the fit,

.. math:: e_{T+h} = \phi e_{T+h-1} + \sqrt{1 - \phi^2}\, \sigma\, \epsilon_h,

starting from the last residual. The parameters stay those of the fit: this is the second of the
two steps of Cochrane and Orcutt (1949), with the uncertainty of :math:`\phi` added.

Events that move all geos of a panel at once (a holiday, the economy) affect every residual of a
date. The likelihood ignores them, and intervals of a total over geos would be too narrow by up to
the square root of their number. The noise of a panel is therefore the sum of a part that geos share
and a part of each geo,

.. math:: e_{gt} = c_t + d_{gt}, \qquad \textstyle\sum_g d_{gt} = 0,

each with its own autocorrelation: :math:`c` has the variance of the mean residual over geos, and
:math:`d` its share of :math:`\sigma^2`. If geos share nothing, :math:`c` has the variance
:math:`\sigma^2 / G` of a mean, and the sum is distributed as independent noise.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from mmm_bayes.analysis.contributions import fitted_mean
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.findings import DataError, Finding

NDArray = np.ndarray[Any, Any]
Errors = Literal["auto", "independent", "ar1"]

_MAX_PHI = 0.98  # noise with a unit root would never return to the model's mean


def resolve_errors(spec: ModelSpec, errors: Errors) -> Errors:
    """Return ``"ar1"`` or ``"independent"``; ``"auto"`` is the former except for counts.

    If the residuals are independent, the estimated autocorrelation is near zero, and both choices
    agree.

    Raises
    ------
    DataError
        If ``errors`` is unknown, or not defined for the likelihood.
    """
    counts = spec.likelihood.link == "count"
    if errors not in get_args(Errors):
        text = f"errors should be one of {', '.join(get_args(Errors))}, but got {errors!r}."
        raise DataError([Finding("errors", "error", text, "")], "the forecast")
    if errors == "ar1" and counts:
        text = "errors='ar1' is defined for additive and log-normal likelihoods, not for counts."
        remedy = "Use errors='independent'."
        raise DataError([Finding("errors", "error", text, remedy)], "the forecast")
    if errors == "auto":
        return "independent" if counts else "ar1"
    return errors


def residuals_of_draws(fitted: Fitted, max_draws: int | None = None) -> NDArray:
    """Compute the residuals (draw, geo, time) of every draw on the scale of the noise.

    They are per head with an identity link, and differences of logarithms with a log link.
    """
    mean = fitted_mean(fitted, max_draws=max_draws)
    target, heads = fitted.data.ds["target"].values, fitted.data.ds["population"].values[:, None]
    shape = (-1, *target.shape)
    if fitted.spec.likelihood.link == "identity":
        return ((target - mean.values) / heads).reshape(shape)
    sigma = (
        fitted.tree["posterior"]
        .to_dataset()["sigma"]
        .sel(draw=mean["draw"])
        .values[..., None, None]
    )
    return (np.log(target) - np.log(mean.values) + 0.5 * sigma**2).reshape(shape)


def autocorrelation_draws(rng: np.random.Generator, residuals: NDArray) -> NDArray:
    r"""Draw the autocorrelation at lag 1 (draw,) given residuals (draw, geo, time).

    Normal around the least-squares estimate over all geos, corrected for the bias
    :math:`-(1 + 3\phi)/n` of one series of length ``n`` (Kendall 1954), with the standard error
    :math:`\sqrt{(1 - \phi^2) / N}` of ``N`` pairs.
    """
    before, after = residuals[..., :-1], residuals[..., 1:]
    squares = np.maximum((before**2).sum((1, 2)), np.finfo(float).tiny)
    phi = (before * after).sum((1, 2)) / squares
    pairs = before.shape[1] * before.shape[2]
    phi = phi + (1.0 + 3.0 * phi) / before.shape[2]
    error = np.sqrt(np.maximum(1.0 - phi**2, 0.0) / pairs)
    return np.clip(phi + error * rng.standard_normal(phi.shape), -_MAX_PHI, _MAX_PHI)


def ar1_noise(
    rng: np.random.Generator,
    phi: NDArray,
    last: NDArray,
    sigma: NDArray,
    horizon: int,
    nu: NDArray | None = None,
) -> NDArray:
    """Simulate AR(1) noise (draw, geo, horizon) that continues from the last residuals (draw, geo).

    Parameters
    ----------
    rng
        Generator.
    phi, last, sigma
        Autocorrelation (draw,), last residuals (draw, geo), and scale of the noise (draw,).
    horizon
        Number of steps.
    nu
        Degrees of freedom (draw,) of Student-t noise; Gaussian if ``None``.
    """
    shape = (*last.shape, horizon)
    if nu is None:
        innovations = rng.standard_normal(shape)
    else:
        innovations = rng.standard_t(nu[:, None, None], shape)
    innovations *= (sigma * np.sqrt(1.0 - phi**2))[:, None, None]
    path, noise = last, np.empty(shape)
    for step in range(horizon):
        path = phi[:, None] * path + innovations[..., step]
        noise[..., step] = path
    return noise


def future_noise(rng: np.random.Generator, fitted: Fitted, mean: xr.DataArray) -> NDArray:
    """Simulate autocorrelated noise for a forecast's mean (chain, draw, geo, date)."""
    draws = mean.sizes["chain"] * mean.sizes["draw"]
    residuals = residuals_of_draws(fitted, draws)
    posterior = fitted.tree["posterior"].to_dataset().sel(draw=mean["draw"])
    nu = posterior["nu"].values.ravel() if "nu" in posterior else None
    sigma = posterior["sigma"].values.ravel()
    noise = panel_noise(rng, residuals, sigma, mean.sizes["date"], nu)
    return noise.reshape(mean.shape)


def panel_noise(
    rng: np.random.Generator,
    residuals: NDArray,
    sigma: NDArray,
    horizon: int,
    nu: NDArray | None = None,
) -> NDArray:
    """Simulate noise (draw, geo, horizon) after residuals (draw, geo, time).

    Parameters
    ----------
    rng
        Generator.
    residuals
        Result of :func:`residuals_of_draws`.
    sigma
        Scale of the noise (draw,).
    horizon
        Number of steps.
    nu
        Degrees of freedom (draw,) of the Student-t noise of each geo; Gaussian if ``None``.
    """
    num_geos = residuals.shape[1]
    if num_geos == 1:
        phi = autocorrelation_draws(rng, residuals)
        return ar1_noise(rng, phi, residuals[..., -1], sigma, horizon, nu)
    shared = residuals.mean(1, keepdims=True)
    own = residuals - shared
    shared_variance, own_variance = (shared**2).mean((1, 2)), (own**2).mean((1, 2))
    # The shared variance is estimated from one series of dates: draw its posterior.
    count = residuals.shape[-1]
    spread = np.sqrt(shared_variance * count / rng.chisquare(count, len(sigma)))
    phi = autocorrelation_draws(rng, shared)
    shared_noise = ar1_noise(rng, phi, shared[..., -1], spread, horizon)
    share = own_variance / np.maximum(own_variance + shared_variance, np.finfo(float).tiny)
    scale = sigma * np.sqrt(share * num_geos / (num_geos - 1))
    phi = autocorrelation_draws(rng, own)
    own_noise = ar1_noise(rng, phi, own[..., -1], scale, horizon, nu)
    return shared_noise + own_noise - own_noise.mean(1, keepdims=True)
