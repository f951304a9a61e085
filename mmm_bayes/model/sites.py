"""Sample statements of the model: media parameters, scales, noise and linear coefficients."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from mmm_bayes.model import baseline
from mmm_bayes.model.media import Params
from mmm_bayes.model.priors import PriorSpec, distribution
from mmm_bayes.model.structure import Structure
from mmm_bayes.transforms import hsgp_scales

Array = jax.Array


def sample_media(structure: Structure, marginal: bool) -> Params:
    """Sample media parameters and, unless they are integrated out, their geo differences."""
    params: Params = {}
    n = len(structure.channels)
    for parameter in structure.media.parameters:
        size = len(parameter.channels)
        dim = "channel" if size == n else f"{parameter.site}_channel"
        params[parameter.site] = _vector(parameter.site, parameter.priors, dim)
    if structure.geo_media != "pooled":
        prior = structure.spec.geo.media_scale
        params["media_geo_scale"] = _vector("media_geo_scale", [prior] * n, "channel")
    if structure.geo_media != "pooled" and not structure.integrates_media(marginal):
        site = "media_geo__unit" if structure.transports_media(marginal) else "media_geo__z"
        with (
            numpyro.plate("geo_channel", n, dim=-2),
            numpyro.plate("geo", structure.num_geos, dim=-1),
        ):
            params[site] = numpyro.sample(site, dist.Normal(0.0, 1.0))
    return params


def control_scale_priors(structure: Structure) -> list[PriorSpec]:
    """Return the prior of each control's standard deviation over geos; zero for a constant."""
    spec = structure.spec
    zero = PriorSpec(dist="constant", value=0.0)
    constant = [spec.control_prior(name).dist == "constant" for name in structure.controls]
    return [zero if is_constant else spec.geo.control_scale for is_constant in constant]


def sample_scales(structure: Structure) -> Params:
    """Sample the hyperparameters of the linear block: trend process and geo scales."""
    params: Params = {}
    spec = structure.spec
    if any(term.scaled_by_process for term in structure.terms):
        params["trend_amplitude"] = _scalar("trend_amplitude", spec.trend.amplitude)
        params["trend_length"] = _scalar("trend_length", spec.trend.length)
    if structure.is_geo:
        params["intercept_geo_scale"] = _scalar("intercept_geo_scale", spec.geo.intercept_scale)
        if len(structure.geo_columns) > 1:
            params["control_geo_scale"] = _vector(
                "control_geo_scale", control_scale_priors(structure), "control"
            )
    return params


def sample_likelihood(structure: Structure) -> Params:
    """Sample the noise scale and the shape parameters of the likelihood."""
    likelihood = structure.spec.likelihood
    params: Params = {}
    if likelihood.family in ("normal", "student_t", "log_normal"):
        params["sigma"] = _scalar("sigma", likelihood.sigma)
    if likelihood.family == "student_t":
        params["nu"] = _scalar("nu", likelihood.nu)
    if likelihood.family == "negative_binomial":
        params["dispersion"] = _scalar("dispersion", likelihood.dispersion)
    return params


def sample_linear(structure: Structure, params: Params, marginal: bool) -> Params:
    """Sample the coefficients of the terms that are not integrated out."""
    drawn: Params = {}
    for term in structure.terms:
        if marginal and term.is_normal:
            continue
        if term.dim is None:
            drawn[term.site] = _scalar(term.site, term.priors[0])
        elif term.scaled_by_process:
            unit = _vector(f"{term.site}__z", term.priors, term.dim)
            drawn[term.site] = numpyro.deterministic(
                term.site, unit * process_scales(structure, params)
            )
        else:
            drawn[term.site] = _vector(term.site, term.priors, term.dim)
    if structure.is_geo and not marginal:
        scales = geo_scales(structure, params)
        columns = numpyro.plate("geo_column", len(structure.geo_columns), dim=-1)
        with numpyro.plate("geo", structure.num_geos, dim=-2), columns:
            unit = numpyro.sample("linear_geo__z", dist.Normal(0.0, 1.0))
        drawn["linear_geo"] = numpyro.deterministic("linear_geo", unit * scales)
    return drawn


def process_scales(structure: Structure, params: Params) -> Array:
    """Return the prior scales of the trend's basis functions, given its hyperparameters."""
    frequencies = baseline.hsgp_frequencies(structure.spec.trend.n_basis)
    return hsgp_scales(
        "squared_exponential", frequencies, params["trend_amplitude"], params["trend_length"]
    )


def geo_scales(structure: Structure, params: Params) -> Array:
    """Return the standard deviations over geos of the design columns that differ by geo."""
    scales = jnp.atleast_1d(params["intercept_geo_scale"])
    if len(structure.geo_columns) > 1:
        scales = jnp.concatenate([scales, params["control_geo_scale"]])
    return scales


def _vector(site: str, priors: Sequence[PriorSpec], dim: str) -> Array:
    """Sample one value per label; priors from several families become several sites."""
    families: dict[str, list[int]] = {}
    for index, prior in enumerate(priors):
        families.setdefault(prior.dist, []).append(index)
    if len(families) == 1 and "constant" not in families:
        with numpyro.plate(dim, len(priors)):
            return numpyro.sample(site, distribution(priors))
    result = jnp.zeros(len(priors))
    for family, members in families.items():
        own = [priors[index] for index in members]
        if family == "constant":
            values = jnp.asarray([prior.median for prior in own])
        else:
            with numpyro.plate(f"{site}__{family}_index", len(own)):
                values = numpyro.sample(f"{site}__{family}", distribution(own))
        result = result.at[np.array(members)].set(values)
    return numpyro.deterministic(site, result)


def _scalar(site: str, prior: PriorSpec) -> Array:
    if prior.dist == "constant":
        return numpyro.deterministic(site, jnp.asarray(prior.median))
    return numpyro.sample(site, distribution([prior]))
