"""Coefficients with normal priors: integrated out of the likelihood, and drawn back afterwards."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

from mmm_bayes.inference import marginal as lg
from mmm_bayes.model import calibration
from mmm_bayes.model.media import Params
from mmm_bayes.model.predictor import media_coefficients, media_sum, response_curves
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.sites import geo_scales, process_scales
from mmm_bayes.model.structure import ModelArrays, Structure

Array = jax.Array


def prepare_block(
    structure: Structure,
    design: np.ndarray[Any, Any],
    likelihood_weight: np.ndarray[Any, Any] | None = None,
) -> Any:
    """Factor or cross-multiply the design of the linear block once, on the host.

    ``design`` is (geo, time, column), ``likelihood_weight`` (geo, time) as in `ModelArrays`.
    """
    if not structure.is_marginal:
        return None
    columns = structure.columns(normal=True)
    shared = design[:, :, columns]
    if structure.is_rotated:
        own = None if likelihood_weight is None else likelihood_weight[0]
        return lg.rotate(shared[0], normal_scales(structure), own)
    return lg.group(shared, design[:, :, structure.geo_columns], likelihood_weight)


def log_marginal(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Return the log likelihood of the target with the linear block integrated out."""
    columns = structure.integrates_media(True)
    residual, scale, group_scale, extra = _linear_block(structure, params, arrays, columns)
    block, sigma = arrays.block, params["sigma"]
    if structure.is_rotated:
        return lg.rotated_log_density(block, residual[0], sigma)
    tests = _functionals(structure, params, arrays)
    return lg.grouped_log_density(block, residual, sigma, scale, group_scale, extra, tests)


def draw_linear_block(
    structure: Structure, rng_key: Array, params: Params, arrays: ModelArrays
) -> Params:
    """Draw the integrated coefficients from their conditional given all other parameters."""
    if not structure.is_marginal:
        return params
    columns = structure.integrates_media(True)
    residual, scale, group_scale, extra = _linear_block(structure, params, arrays, columns)
    block, sigma = arrays.block, params["sigma"]
    result = dict(params)
    if structure.is_rotated:
        drawn = lg.rotated_draw(rng_key, block, residual[0], sigma)
    else:
        tests = _functionals(structure, params, arrays)
        drawn, by_geo = lg.grouped_draw(
            rng_key, block, residual, sigma, scale, group_scale, extra, tests
        )
        width = len(structure.geo_columns)
        if structure.is_geo:
            result["linear_geo"] = by_geo[:, :width]
        if columns:
            pooled = media_coefficients(structure, params, arrays)
            result["coefficient__geo"] = pooled + by_geo[:, width:].T
    return result | named_coefficients(structure, drawn)


def named_coefficients(structure: Structure, drawn: Array) -> Params:
    """Add the prior means to drawn coefficients (column,) and split them into the terms' sites."""
    drawn = drawn + jnp.asarray(_normal_locs(structure))
    result: Params = {}
    start = 0
    for term in structure.terms:
        if term.is_normal:
            own = drawn[start : start + term.width]
            result[term.site] = own[0] if term.dim is None else own
            start += term.width
    return result


def linear_residual(
    structure: Structure, params: Params, arrays: ModelArrays
) -> tuple[Array, Array]:
    """Return a national target less its media effects (time,), and the block's prior scales."""
    effect = media_sum(structure, params, arrays)
    return _residual(structure, params, arrays, effect)[0], _linear_scales(structure, params)


def transport_media(structure: Structure, params: Params, arrays: ModelArrays) -> Params:
    """Map standard normal draws to log-normal geo differences: see :func:`marginal.transport`.

    ``exp(tau z)`` is close to ``1 + tau z``, so the conditional distribution under normal
    differences approximates where each geo's data place ``z``, and how precisely.
    """
    residual, scale, group_scale, curves = _linear_block(structure, params, arrays, True)
    assert curves is not None  # requested by media_columns=True
    unit = params["media_geo__unit"]
    z, volume = lg.transport(
        arrays.block, residual, params["sigma"], scale, group_scale, curves, unit.T
    )
    # NumPyro adds the density of `unit`: replace it with the prior of z on the mapped scale.
    numpyro.factor("media_geo__volume", volume - 0.5 * jnp.sum(z * z) + 0.5 * jnp.sum(unit * unit))
    return {"media_geo__z": z.T}


def _linear_block(
    structure: Structure, params: Params, arrays: ModelArrays, media_columns: bool
) -> tuple[Array, Array, Array, Array | None]:
    """Return the residual, the scales of shared and group columns, and the media columns."""
    curves = response_curves(structure, params, arrays)
    values = media_coefficients(structure, params, arrays, curves)
    values = jnp.broadcast_to(values, curves.shape[:2])
    residual = _residual(structure, params, arrays, jnp.einsum("cgt,cg->gt", curves, values))
    if structure.is_rotated:
        return residual, jnp.zeros(0), jnp.zeros(0), None
    scale, group_scale, extra = _linear_scales(structure, params), jnp.zeros(0), None
    if structure.is_geo:
        group_scale = geo_scales(structure, params)
    if media_columns:
        extra = jnp.swapaxes(curves, 0, 1)
        spread = values[:, 0] * params["media_geo_scale"]
        group_scale = jnp.concatenate([group_scale, spread])
    return residual, scale, group_scale, extra


def _residual(structure: Structure, params: Params, arrays: ModelArrays, effect: Array) -> Array:
    """Return the target less media, prior means and the terms that are not integrated out."""
    locs = np.zeros(arrays.design.shape[-1])
    locs[structure.columns(normal=True)] = _normal_locs(structure)
    coefficients = jnp.asarray(locs)
    start = 0
    for term in structure.terms:
        if not term.is_normal:
            own = jnp.atleast_1d(params[term.site])
            coefficients = coefficients.at[start : start + term.width].set(own)
        start += term.width
    residual = arrays.target - effect
    if locs.any() or structure.columns(normal=False).size:
        residual = residual - arrays.design @ coefficients
    return residual


def _linear_scales(structure: Structure, params: Params) -> Array:
    """Return prior scales of the integrated columns; the trend's depend on its hyperparameters."""
    scales = jnp.asarray(normal_scales(structure))
    start = 0
    for term in structure.terms:
        if not term.is_normal:
            continue
        if term.scaled_by_process:
            scales = scales.at[start : start + term.width].set(process_scales(structure, params))
        start += term.width
    return scales


def _functionals(structure: Structure, params: Params, arrays: ModelArrays) -> Any:
    """Return lift tests as functionals of the integrated coefficients; ``None`` without tests."""
    if arrays.experiments is None or not structure.integrates_media(True):
        return None
    values = media_coefficients(structure, params, arrays)
    return calibration.functionals(
        structure.media, params, values, arrays.experiments, structure.num_geos
    )


def _normal_priors(structure: Structure) -> list[PriorSpec]:
    return [prior for term in structure.terms if term.is_normal for prior in term.priors]


def normal_scales(structure: Structure) -> np.ndarray[Any, Any]:
    """Return the fixed prior scales of the terms with normal priors; zero for a constant."""
    priors = _normal_priors(structure)
    return np.array([0.0 if p.dist == "constant" else p.parameters[1] for p in priors])


def _normal_locs(structure: Structure) -> np.ndarray[Any, Any]:
    return np.array([prior.parameters[0] for prior in _normal_priors(structure)])
