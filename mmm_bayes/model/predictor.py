"""The linear predictor: media effects and the baseline, and the distribution of the target."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

from mmm_bayes.model import media
from mmm_bayes.model.media import Params
from mmm_bayes.model.structure import ModelArrays, Structure

Array = jax.Array


def response_curves(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Return adstocked and saturated exposure (channel, geo, time), before coefficients."""
    return media.response(structure.media, params, arrays.media, arrays.target.shape[-1])


def geo_multipliers(structure: Structure, params: Params) -> Array:
    """Return factors (channel, geo) on media coefficients; ones if pooled or integrated out."""
    if "media_geo__z" not in params:
        return jnp.ones((len(structure.channels), 1))
    deviation = params["media_geo_scale"][:, None] * params["media_geo__z"]
    return jnp.exp(deviation) if structure.geo_media == "log_normal" else 1.0 + deviation


def media_coefficients(
    structure: Structure, params: Params, arrays: ModelArrays, curves: Array | None = None
) -> Array:
    """Return the coefficients (channel, geo), or (channel, 1), of the response curves.

    ``curves`` (channel, geo, time) are computed if not given. Coefficients that were resolved on
    the training window are among the parameters, and hold for any dates.
    """
    if "coefficient__geo" in params:
        return params["coefficient__geo"]
    if curves is None:
        curves = response_curves(structure, params, arrays)
    multipliers = geo_multipliers(structure, params)
    num_dates = arrays.target.shape[-1]
    more = curves
    if "marginal_roas" in structure.media.effects:
        more = media.response(structure.media, params, 1.01 * arrays.media, num_dates)
    # Normal geo differences average to zero: priors on ROAS and shares are on the mean over geos.
    scale = multipliers[:, :, None] if structure.geo_media == "log_normal" else 1.0
    beta = media.coefficients(
        structure.media, params, scale * curves, scale * more, arrays.reference
    )
    return beta[:, None] * multipliers


def media_effects(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Return each channel's effect on the linear predictor (channel, geo, time)."""
    curves = response_curves(structure, params, arrays)
    return media_coefficients(structure, params, arrays, curves)[:, :, None] * curves


def media_sum(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Return the summed effect of all channels on the linear predictor (geo, time)."""
    curves = response_curves(structure, params, arrays)
    values = media_coefficients(structure, params, arrays, curves)
    return jnp.einsum("cgt,cg->gt", curves, jnp.broadcast_to(values, curves.shape[:2]))


def linear_coefficients(structure: Structure, params: Params) -> Array:
    """Return all coefficients of the design (geo, column), including geo differences."""
    parts = [jnp.atleast_1d(params[term.site]) for term in structure.terms]
    shared = jnp.concatenate(parts)
    if not structure.is_geo:
        return shared[None, :]
    every = jnp.broadcast_to(shared, (structure.num_geos, shared.shape[0]))
    return every.at[:, np.array(structure.geo_columns)].add(params["linear_geo"])


def linear_predictor(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Return baseline plus media (geo, time), in standard deviations of the target."""
    baseline_part = jnp.einsum("gtk,gk->gt", arrays.design, linear_coefficients(structure, params))
    return baseline_part + media_sum(structure, params, arrays)


def observation(
    structure: Structure, params: Params, eta: Array, log_offset: Array
) -> dist.Distribution:
    """Return the distribution of the scaled target (or the count) given the linear predictor."""
    family = structure.spec.likelihood.family
    if family in ("normal", "log_normal"):
        return dist.Normal(eta, params["sigma"])
    if family == "student_t":
        return dist.StudentT(params["nu"], eta, params["sigma"])
    mean = jnp.exp(eta + log_offset)
    if family == "poisson":
        return dist.Poisson(mean)
    return dist.NegativeBinomial2(mean, 1.0 / params["dispersion"] ** 2)
