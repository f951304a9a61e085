r"""Noise of future targets: independent, as in the likelihood, or carried on from the last ones.

The likelihood takes residuals as independent. Where they are not, a forecast that starts from a
week well above the model's mean returns to it at once, and its intervals are of the wrong width at
the first steps. ``"ar1"`` gives the noise of a forecast an autocorrelation, estimated from the
residuals of each draw of the fit,

.. math:: e_{T+h} = \phi e_{T+h-1} + \sqrt{1 - \phi^2}\, \sigma\, \epsilon_h,

from the last residual on. The parameters stay those of the fit: the second of Cochrane and
Orcutt's (1949) two steps, with the uncertainty of :math:`\phi`.

What moves all geos of a panel at once (a holiday, the economy) is in every residual of a date. The
likelihood knows nothing of it, and intervals of a total over geos would be too narrow by up to the
square root of their number. Noise of a panel is therefore the sum of a part that geos share and one
that is a geo's own,

.. math:: e_{gt} = c_t + d_{gt}, \qquad \textstyle\sum_g d_{gt} = 0,

each with an autocorrelation of its own: :math:`c` with the variance of the mean residual over geos,
:math:`d` with its share of :math:`\sigma^2`. Where geos share nothing, :math:`c` has the variance
:math:`\sigma^2 / G` of a mean, and the sum that of independent noise.
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

_HIGHEST = 0.98  # a root of one never returns to the mean, and the model has one


def resolve_errors(spec: ModelSpec, errors: Errors) -> Errors:
    """``"ar1"`` or ``"independent"``: ``"auto"`` is the first where it is defined.

    Where residuals do not depend on each other the estimated autocorrelation is near zero, and both
    are alike.

    Raises
    ------
    DataError
        If there is no such noise, or not for this likelihood.
    """
    counts = spec.likelihood.link == "count"
    if errors not in get_args(Errors):
        text = f"errors should be one of {', '.join(get_args(Errors))}, but is {errors!r}."
        raise DataError([Finding("errors", "error", text, "")], "the forecast")
    if errors == "ar1" and counts:
        text = "Noise that carries on is defined for additive and log-normal targets, not counts."
        raise DataError([Finding("errors", "error", text, "Use 'independent'.")], "the forecast")
    if errors == "auto":
        return "independent" if counts else "ar1"
    return errors


def residuals_of_draws(fitted: Fitted, max_draws: int | None = None) -> NDArray:
    """Residuals (draw, geo, time) of every draw, as the noise enters.

    Per head with an identity link, of logarithms with a log link.
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

    Normal about least squares over all geos, with the bias :math:`-(1 + 3\phi)/n` of one series of
    length ``n`` (Kendall 1954) taken off and the standard error
    :math:`\sqrt{(1 - \phi^2) / N}` of ``N`` pairs.
    """
    before, after = residuals[..., :-1], residuals[..., 1:]
    power = np.maximum((before**2).sum((1, 2)), np.finfo(float).tiny)
    phi = (before * after).sum((1, 2)) / power
    pairs = before.shape[1] * before.shape[2]
    phi = phi + (1.0 + 3.0 * phi) / before.shape[2]
    error = np.sqrt(np.maximum(1.0 - phi**2, 0.0) / pairs)
    return np.clip(phi + error * rng.standard_normal(phi.shape), -_HIGHEST, _HIGHEST)


def carried_on(
    rng: np.random.Generator,
    phi: NDArray,
    last: NDArray,
    sigma: NDArray,
    horizon: int,
    nu: NDArray | None = None,
) -> NDArray:
    """Simulate noise (draw, geo, horizon) from the last residuals (draw, geo) on.

    Parameters
    ----------
    rng
        Generator.
    phi, last, sigma
        Autocorrelation (draw,), last residuals, and scale of the noise (draw,).
    horizon
        Steps.
    nu
        Degrees of freedom (draw,) of Student-t noise; Gaussian where absent.
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
    """Autocorrelated noise (chain, draw, geo, horizon) for a forecast's mean of the same shape."""
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
        As the noise enters.
    sigma
        Scale of the noise (draw,).
    horizon
        Steps.
    nu
        Degrees of freedom (draw,) of Student-t noise of single geos.
    """
    n_geos = residuals.shape[1]
    if n_geos == 1:
        phi = autocorrelation_draws(rng, residuals)
        return carried_on(rng, phi, residuals[..., -1], sigma, horizon, nu)
    shared = residuals.mean(1, keepdims=True)
    own = residuals - shared
    in_common, apart_power = (shared**2).mean((1, 2)), (own**2).mean((1, 2))
    # Known as the variance of one series of dates is.
    count = residuals.shape[-1]
    spread = np.sqrt(in_common * count / rng.chisquare(count, len(sigma)))
    phi = autocorrelation_draws(rng, shared)
    together = carried_on(rng, phi, shared[..., -1], spread, horizon)
    share = apart_power / np.maximum(apart_power + in_common, np.finfo(float).tiny)
    scale = sigma * np.sqrt(share * n_geos / (n_geos - 1))
    apart = carried_on(rng, autocorrelation_draws(rng, own), own[..., -1], scale, horizon, nu)
    return together + apart - apart.mean(1, keepdims=True)
