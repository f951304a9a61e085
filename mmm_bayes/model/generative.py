r"""The generative program: one NumPyro model for national and geo data, national being one geo.

The linear predictor of geo ``g`` at time ``t``, in standard deviations of the target, is

.. math:: \eta_{gt} = x_{gt}'(b + u_g) + \sum_c \beta_c\, m_{cg}\, S_c((w_c * x_{cg})(t)),

with baseline columns ``x`` (:mod:`mmm_bayes.model.baseline`), adstock weights ``w``, saturation
``S`` and geo multipliers ``m`` (:mod:`mmm_bayes.model.media`). Exposure is per head where geos have
a population. With ``marginal=True`` and a Gaussian likelihood the coefficients with normal priors
are integrated out (:mod:`mmm_bayes.model.linear_block`), which also draws them back. Rows may carry
likelihood weights (``ModelArrays.likelihood_weight``): the log likelihood is then
:math:`\sum_{gt} w_{gt} \log p(y_{gt})`. Lift tests add the likelihood of their measurements
(:mod:`mmm_bayes.model.calibration`).
"""

from __future__ import annotations

import contextlib

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from mmm_bayes.model import calibration
from mmm_bayes.model.linear_block import log_marginal, transport_media
from mmm_bayes.model.media import Params
from mmm_bayes.model.predictor import (
    linear_coefficients,
    media_coefficients,
    media_sum,
    observation,
)
from mmm_bayes.model.sites import sample_likelihood, sample_linear, sample_media, sample_scales
from mmm_bayes.model.structure import ModelArrays, Structure

Array = jax.Array


def generative(
    structure: Structure, arrays: ModelArrays, *, marginal: bool = False, observed: bool = True
) -> None:
    """State the NumPyro model.

    Parameters
    ----------
    structure, arrays
        The fixed part of the model, and the data.
    marginal
        Integrate out the linear block; the likelihood is then a factor, not a sample site.
    observed
        Condition on the target; ``False`` draws it (plain form only).
    """
    marginal = marginal and structure.is_marginal
    params = sample_parameters(structure, arrays, marginal)
    if marginal:
        numpyro.factor("target", log_marginal(structure, params, arrays))
    params |= resolved_coefficients(structure, params, arrays, marginal)
    if arrays.experiments is not None and not structure.integrates_media(marginal):
        _observe_tests(structure, params, arrays)
    if marginal:
        return
    effect = media_sum(structure, params, arrays)
    coefficients = linear_coefficients(structure, params)
    eta = jnp.einsum("gtk,gk->gt", arrays.design, coefficients) + effect
    dates = numpyro.plate("date", eta.shape[-1], dim=-1)
    with numpyro.plate("geo", structure.num_geos, dim=-2), dates:
        outcome = observation(structure, params, eta, arrays.log_offset)
        weighted = contextlib.nullcontext()
        if arrays.likelihood_weight is not None:
            weighted = numpyro.handlers.scale(scale=arrays.likelihood_weight)
        with weighted:
            numpyro.sample("target", outcome, obs=arrays.target if observed else None)


def _observe_tests(structure: Structure, params: Params, arrays: ModelArrays) -> None:
    """Condition on lift tests, scaled by their standard errors: see `model.calibration`."""
    given = arrays.experiments
    values = media_coefficients(structure, params, arrays)
    expected = calibration.predicted(structure.media, params, values, given, structure.num_geos)
    with numpyro.plate("lift_test", given.observed.shape[0], dim=-1):
        numpyro.sample("lift", dist.Normal(expected, 1.0), obs=given.observed)


def sample_parameters(structure: Structure, arrays: ModelArrays, marginal: bool) -> Params:
    """Sample every parameter that is not integrated out."""
    params = sample_media(structure, marginal)
    params |= sample_scales(structure) | sample_likelihood(structure)
    params |= sample_linear(structure, params, marginal)
    if structure.transports_media(marginal):
        params |= transport_media(structure, params, arrays)
    return params


def resolved_coefficients(
    structure: Structure, params: Params, arrays: ModelArrays, marginal: bool
) -> Params:
    """Record media coefficients by geo where they are derived from other parameters."""
    plain = set(structure.media.effects) <= {"coefficient"} and structure.geo_media == "pooled"
    if structure.integrates_media(marginal) or plain:
        return {}
    values = media_coefficients(structure, params, arrays)
    # One value per geo even if all geos share it: predictions index by geo.
    values = jnp.broadcast_to(values, (len(structure.channels), structure.num_geos))
    return {"coefficient__geo": numpyro.deterministic("coefficient__geo", values)}
