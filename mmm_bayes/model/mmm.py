r"""The generative program: one NumPyro model for national and geo data, national being one geo.

The linear predictor of geo ``g`` at time ``t``, in standard deviations of the target, is

.. math:: \eta_{gt} = x_{gt}'(b + u_g) + \sum_c \beta_c\, m_{cg}\, S_c((w_c * x_{cg})(t)),

with baseline columns ``x`` (:mod:`mmm_bayes.model.baseline`), adstock weights ``w``, saturation
``S`` and geo multipliers ``m`` (:mod:`mmm_bayes.model.media`). Exposure is per head where geos have
a population. With ``marginal=True`` and a Gaussian likelihood the coefficients with normal priors
are integrated out; :func:`complete` draws them back. Rows may carry powers of their likelihood
(``ModelArrays.power``): the log likelihood is then :math:`\sum_{gt} w_{gt} \log p(y_{gt})`.
Lift tests add the likelihood of what they measured (:mod:`mmm_bayes.model.calibration`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from mmm_bayes.inference import marginal as lg
from mmm_bayes.model import baseline, calibration, media
from mmm_bayes.model.media import EffectReference, MediaStructure, Params
from mmm_bayes.model.priors import PriorSpec, distribution
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.transforms import hsgp_scales

Array = jax.Array


@dataclass(frozen=True)
class Structure:
    """What is fixed of a model once the columns of its data are known; hashable."""

    spec: ModelSpec
    channels: tuple[str, ...]
    controls: tuple[str, ...]
    n_geos: int
    terms: tuple[baseline.Term, ...]
    media: MediaStructure
    has_tests: bool = False

    @property
    def is_geo(self) -> bool:
        """Whether there is a hierarchy over geos."""
        return self.n_geos > 1

    @property
    def geo_columns(self) -> tuple[int, ...]:
        """Design columns whose coefficients differ by geo: the intercept, and controls if asked."""
        if not self.is_geo:
            return ()
        width = sum(term.width for term in self.terms)
        pooled = self.spec.geo.controls == "pooled"
        return (0,) if pooled else (0, *range(width - len(self.controls), width))

    @property
    def geo_media(self) -> str:
        """How media coefficients differ by geo."""
        return self.spec.geo.media if self.is_geo else "pooled"

    @property
    def is_marginal(self) -> bool:
        """Whether a linear block can be integrated out."""
        return self.spec.likelihood.is_gaussian and any(term.is_normal for term in self.terms)

    @property
    def is_rotated(self) -> bool:
        """Whether that block has fixed prior scales and no geo columns."""
        return not self.is_geo and not any(term.scaled_by_process for term in self.terms)

    def integrates_media(self, marginal: bool) -> bool:
        """Whether normal geo differences of the media coefficients are integrated out too.

        A lift test's outcome has to be linear in them: its link is the identity.
        """
        linear = not self.has_tests or self.spec.likelihood.link == "identity"
        return marginal and self.is_marginal and self.geo_media == "normal" and linear

    def transports_media(self, marginal: bool) -> bool:
        """Whether log-normal geo differences are sampled around their linear conditional."""
        return marginal and self.is_marginal and self.geo_media == "log_normal"

    def columns(self, normal: bool) -> np.ndarray[Any, Any]:
        """Positions of the design columns of terms with (or without) normal priors."""
        flags = [term.is_normal for term in self.terms for _ in range(term.width)]
        return np.flatnonzero(np.array(flags) == normal)


class ModelArrays(NamedTuple):
    """Data of a model as arrays, time innermost; arguments of the compiled programs.

    Attributes
    ----------
    media
        Lag tensor (channel, geo, lag, time), or exposure with history where saturation is first.
    design
        Baseline columns (geo, time, column).
    target
        Scaled target (geo, time).
    log_offset
        Logarithm of the expected count at ``eta = 0`` (geo, time); zeros for other likelihoods.
    reference
        For priors on ROAS and shares.
    block
        Prepared linear-Gaussian block, or ``None``. It holds the powers of its own rows.
    experiments
        Lift tests (:class:`~mmm_bayes.model.calibration.Experiments`), or ``None``.
    power
        Powers (geo, time) of each row's likelihood, zero or more, or ``None`` where all are one.
        NumPyro accepts zeros where the arrays are traced (as in every compiled program here).
    """

    media: Any
    design: Any
    target: Any
    log_offset: Any
    reference: EffectReference
    block: Any
    power: Any = None
    experiments: Any = None


def structure_of(
    spec: ModelSpec,
    channels: Sequence[str],
    controls: Sequence[str],
    n_geos: int,
    has_tests: bool = False,
) -> Structure:
    """Join a specification with the columns of a table, and whether there are lift tests."""
    return Structure(
        spec=spec,
        channels=tuple(channels),
        controls=tuple(controls),
        n_geos=n_geos,
        terms=baseline.terms_of(spec, tuple(controls)),
        media=media.media_structure(spec, tuple(channels)),
        has_tests=has_tests,
    )


def prepare_block(
    structure: Structure,
    design: np.ndarray[Any, Any],
    power: np.ndarray[Any, Any] | None = None,
) -> Any:
    """Factor or cross-multiply the design of the linear block, once, on the host.

    ``design`` is (geo, time, column), ``power`` (geo, time) as in :class:`ModelArrays`.
    """
    if not structure.is_marginal:
        return None
    columns = structure.columns(normal=True)
    shared = design[:, :, columns]
    if structure.is_rotated:
        own = None if power is None else power[0]
        return lg.rotate(shared[0], _normal_scales(structure), own)
    return lg.group(shared, design[:, :, structure.geo_columns], power)


def _normal_priors(structure: Structure) -> list[PriorSpec]:
    return [prior for term in structure.terms if term.is_normal for prior in term.priors]


def _normal_scales(structure: Structure) -> np.ndarray[Any, Any]:
    priors = _normal_priors(structure)
    return np.array([0.0 if p.dist == "constant" else p.parameters[1] for p in priors])


def _normal_locs(structure: Structure) -> np.ndarray[Any, Any]:
    return np.array([prior.parameters[0] for prior in _normal_priors(structure)])


# --- Sites ---------------------------------------------------------------------------------------


def _vector(site: str, priors: Sequence[PriorSpec], dim: str) -> Array:
    """Sample one quantity a label; priors of several families become several sites."""
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


def _sample_media(structure: Structure, marginal: bool) -> Params:
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
            numpyro.plate("geo", structure.n_geos, dim=-1),
        ):
            params[site] = numpyro.sample(site, dist.Normal(0.0, 1.0))
    return params


def control_scale_priors(structure: Structure) -> list[PriorSpec]:
    """Priors of the spread of each control's coefficient over geos: none where it is a constant."""
    spec = structure.spec
    none = PriorSpec(dist="constant", value=0.0)
    constant = [spec.control_prior(name).dist == "constant" for name in structure.controls]
    return [none if is_constant else spec.geo.control_scale for is_constant in constant]


def _sample_scales(structure: Structure) -> Params:
    """Hyperparameters of the linear block."""
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


def _sample_likelihood(structure: Structure) -> Params:
    likelihood = structure.spec.likelihood
    params: Params = {}
    if likelihood.family in ("normal", "student_t", "log_normal"):
        params["sigma"] = _scalar("sigma", likelihood.sigma)
    if likelihood.family == "student_t":
        params["nu"] = _scalar("nu", likelihood.nu)
    if likelihood.family == "negative_binomial":
        params["dispersion"] = _scalar("dispersion", likelihood.dispersion)
    return params


def _sample_linear(structure: Structure, params: Params, marginal: bool) -> Params:
    """Coefficients of the terms that are not integrated out."""
    drawn: Params = {}
    for term in structure.terms:
        if marginal and term.is_normal:
            continue
        if term.dim is None:
            drawn[term.site] = _scalar(term.site, term.priors[0])
        elif term.scaled_by_process:
            unit = _vector(f"{term.site}__z", term.priors, term.dim)
            drawn[term.site] = numpyro.deterministic(
                term.site, unit * _process_scales(structure, params)
            )
        else:
            drawn[term.site] = _vector(term.site, term.priors, term.dim)
    if structure.is_geo and not marginal:
        scales = _geo_scales(structure, params)
        columns = numpyro.plate("geo_column", len(structure.geo_columns), dim=-1)
        with numpyro.plate("geo", structure.n_geos, dim=-2), columns:
            unit = numpyro.sample("linear_geo__z", dist.Normal(0.0, 1.0))
        drawn["linear_geo"] = numpyro.deterministic("linear_geo", unit * scales)
    return drawn


def _process_scales(structure: Structure, params: Params) -> Array:
    frequencies = baseline.hsgp_frequencies(structure.spec.trend.n_basis)
    return hsgp_scales(
        "squared_exponential", frequencies, params["trend_amplitude"], params["trend_length"]
    )


def _geo_scales(structure: Structure, params: Params) -> Array:
    scales = jnp.atleast_1d(params["intercept_geo_scale"])
    if len(structure.geo_columns) > 1:
        scales = jnp.concatenate([scales, params["control_geo_scale"]])
    return scales


def _linear_scales(structure: Structure, params: Params) -> Array:
    """Prior scales of the integrated columns; the process's depend on its hyperparameters."""
    scales = jnp.asarray(_normal_scales(structure))
    start = 0
    for term in structure.terms:
        if not term.is_normal:
            continue
        if term.scaled_by_process:
            scales = scales.at[start : start + term.width].set(_process_scales(structure, params))
        start += term.width
    return scales


# --- Predictor -----------------------------------------------------------------------------------


def geo_multipliers(structure: Structure, params: Params) -> Array:
    """Factors (channel, geo) of the media coefficients; ones where pooled or integrated out."""
    if "media_geo__z" not in params:
        return jnp.ones((len(structure.channels), 1))
    deviation = params["media_geo_scale"][:, None] * params["media_geo__z"]
    return jnp.exp(deviation) if structure.geo_media == "log_normal" else 1.0 + deviation


def media_coefficients(
    structure: Structure, params: Params, arrays: ModelArrays, curves: Array
) -> Array:
    """Coefficients (channel, geo) of the response curves (channel, geo, time).

    Once resolved on the training window they belong to the parameters, and hold for any dates.
    """
    if "coefficient__geo" in params:
        return params["coefficient__geo"]
    multipliers = geo_multipliers(structure, params)
    n_dates = arrays.target.shape[-1]
    more = curves
    if "marginal_roas" in structure.media.effects:
        more = media.response(structure.media, params, 1.01 * arrays.media, n_dates)
    # Normal differences average out: priors on ROAS and shares are on the mean over geos.
    scale = multipliers[:, :, None] if structure.geo_media == "log_normal" else 1.0
    beta = media.coefficients(
        structure.media, params, scale * curves, scale * more, arrays.reference
    )
    return beta[:, None] * multipliers


def media_effects(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Effects on the linear predictor (channel, geo, time)."""
    curves = media.response(structure.media, params, arrays.media, arrays.target.shape[-1])
    return media_coefficients(structure, params, arrays, curves)[:, :, None] * curves


def _media_sum(structure: Structure, params: Params, arrays: ModelArrays) -> tuple[Array, Array]:
    curves = media.response(structure.media, params, arrays.media, arrays.target.shape[-1])
    values = media_coefficients(structure, params, arrays, curves)
    return jnp.einsum("cgt,cg->gt", curves, jnp.broadcast_to(values, curves.shape[:2])), values


def media_sum(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Effect of all channels together on the linear predictor (geo, time)."""
    return _media_sum(structure, params, arrays)[0]


def linear_coefficients(structure: Structure, params: Params) -> Array:
    """All coefficients of the design (geo, column), geo differences included."""
    parts = [jnp.atleast_1d(params[term.site]) for term in structure.terms]
    shared = jnp.concatenate(parts)
    if not structure.is_geo:
        return shared[None, :]
    every = jnp.broadcast_to(shared, (structure.n_geos, shared.shape[0]))
    return every.at[:, np.array(structure.geo_columns)].add(params["linear_geo"])


def linear_predictor(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Baseline and media on the linear predictor's scale (geo, time)."""
    baseline_part = jnp.einsum("gtk,gk->gt", arrays.design, linear_coefficients(structure, params))
    return baseline_part + _media_sum(structure, params, arrays)[0]


def observation(
    structure: Structure, params: Params, eta: Array, log_offset: Array
) -> dist.Distribution:
    """Distribution of the scaled target (of the count, for counts) given the linear predictor."""
    family = structure.spec.likelihood.family
    if family in ("normal", "log_normal"):
        return dist.Normal(eta, params["sigma"])
    if family == "student_t":
        return dist.StudentT(params["nu"], eta, params["sigma"])
    mean = jnp.exp(eta + log_offset)
    if family == "poisson":
        return dist.Poisson(mean)
    return dist.NegativeBinomial2(mean, 1.0 / params["dispersion"] ** 2)


# --- The program ---------------------------------------------------------------------------------


def generative(
    structure: Structure, arrays: ModelArrays, *, marginal: bool = False, observed: bool = True
) -> None:
    """The NumPyro model.

    Parameters
    ----------
    structure, arrays
        What is fixed, and the data.
    marginal
        Integrate the linear block out; the likelihood is then a factor, not a sample site.
    observed
        Condition on the target; ``False`` draws it (plain form only).
    """
    marginal = marginal and structure.is_marginal
    params = sample_parameters(structure, arrays, marginal)
    if marginal:
        numpyro.factor("target", _log_marginal(structure, params, arrays))
    params |= resolved_coefficients(structure, params, arrays, marginal)
    if arrays.experiments is not None and not structure.integrates_media(marginal):
        _observe_tests(structure, params, arrays)
    if marginal:
        return
    effect, _ = _media_sum(structure, params, arrays)
    coefficients = linear_coefficients(structure, params)
    eta = jnp.einsum("gtk,gk->gt", arrays.design, coefficients) + effect
    dates = numpyro.plate("date", eta.shape[-1], dim=-1)
    with numpyro.plate("geo", structure.n_geos, dim=-2), dates:
        outcome = observation(structure, params, eta, arrays.log_offset)
        powers = contextlib.nullcontext()
        if arrays.power is not None:
            powers = numpyro.handlers.scale(scale=arrays.power)
        with powers:
            numpyro.sample("target", outcome, obs=arrays.target if observed else None)


def _observe_tests(structure: Structure, params: Params, arrays: ModelArrays) -> None:
    """Lift tests, over their standard errors: see :mod:`mmm_bayes.model.calibration`."""
    given = arrays.experiments
    values = _media_sum(structure, params, arrays)[1]
    expected = calibration.predicted(structure.media, params, values, given, structure.n_geos)
    with numpyro.plate("lift_test", given.observed.shape[0], dim=-1):
        numpyro.sample("lift", dist.Normal(expected, 1.0), obs=given.observed)


def _functionals(structure: Structure, params: Params, arrays: ModelArrays) -> Any:
    """Lift tests as functionals of integrated media coefficients; ``None`` without any."""
    if arrays.experiments is None or not structure.integrates_media(True):
        return None
    values = _media_sum(structure, params, arrays)[1]
    return calibration.functionals(
        structure.media, params, values, arrays.experiments, structure.n_geos
    )


def sample_parameters(structure: Structure, arrays: ModelArrays, marginal: bool) -> Params:
    """Sample what the potential depends on: nothing that is integrated out."""
    params = _sample_media(structure, marginal)
    params |= _sample_scales(structure) | _sample_likelihood(structure)
    params |= _sample_linear(structure, params, marginal)
    if structure.transports_media(marginal):
        params |= _transport_media(structure, params, arrays)
    return params


def resolved_coefficients(
    structure: Structure, params: Params, arrays: ModelArrays, marginal: bool
) -> Params:
    """The site of media coefficients by geo, where they are no parameters themselves."""
    plain = set(structure.media.effects) <= {"coefficient"} and structure.geo_media == "pooled"
    if structure.integrates_media(marginal) or plain:
        return {}
    values = _media_sum(structure, params, arrays)[1]
    # One value a geo also where all geos share it: predictions index by geo.
    values = jnp.broadcast_to(values, (len(structure.channels), structure.n_geos))
    return {"coefficient__geo": numpyro.deterministic("coefficient__geo", values)}


def _transport_media(structure: Structure, params: Params, arrays: ModelArrays) -> Params:
    """Log-normal geo differences from standardised ones: see :func:`marginal.transport`.

    ``exp(tau z)`` is nearly ``1 + tau z``, so the conditional of the normal differences says where
    each geo's data put ``z``, and how firmly.
    """
    residual, scale, group_scale, curves = _linear_block(structure, params, arrays, True)
    assert curves is not None  # asked for
    unit = params["media_geo__unit"]
    z, volume = lg.transport(
        arrays.block, residual, params["sigma"], scale, group_scale, curves, unit.T
    )
    # The site's own density is that of `unit`: replaced by the prior of z on the mapped scale.
    numpyro.factor("media_geo__volume", volume - 0.5 * jnp.sum(z * z) + 0.5 * jnp.sum(unit * unit))
    return {"media_geo__z": z.T}


def _residual(structure: Structure, params: Params, arrays: ModelArrays, effect: Array) -> Array:
    """Target less media, less the prior means and the terms that are not integrated out."""
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


def _linear_block(
    structure: Structure, params: Params, arrays: ModelArrays, media_columns: bool
) -> tuple[Array, Array, Array, Array | None]:
    """What media leave of the target, scales of shared and group columns, and media columns."""
    curves = media.response(structure.media, params, arrays.media, arrays.target.shape[-1])
    values = media_coefficients(structure, params, arrays, curves)
    values = jnp.broadcast_to(values, curves.shape[:2])
    residual = _residual(structure, params, arrays, jnp.einsum("cgt,cg->gt", curves, values))
    if structure.is_rotated:
        return residual, jnp.zeros(0), jnp.zeros(0), None
    scale, group_scale, extra = _linear_scales(structure, params), jnp.zeros(0), None
    if structure.is_geo:
        group_scale = _geo_scales(structure, params)
    if media_columns:
        extra = jnp.swapaxes(curves, 0, 1)
        spread = values[:, 0] * params["media_geo_scale"]
        group_scale = jnp.concatenate([group_scale, spread])
    return residual, scale, group_scale, extra


def _log_marginal(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    columns = structure.integrates_media(True)
    residual, scale, group_scale, extra = _linear_block(structure, params, arrays, columns)
    block, sigma = arrays.block, params["sigma"]
    if structure.is_rotated:
        return lg.rotated_log_density(block, residual[0], sigma)
    tests = _functionals(structure, params, arrays)
    return lg.grouped_log_density(block, residual, sigma, scale, group_scale, extra, tests)


def complete(structure: Structure, rng_key: Array, params: Params, arrays: ModelArrays) -> Params:
    """Draw the integrated coefficients back from their conditional, given all other parameters."""
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
            pooled = _media_sum(structure, params, arrays)[1]
            result["coefficient__geo"] = pooled + by_geo[:, width:].T
    return result | named_coefficients(structure, drawn)


def named_coefficients(structure: Structure, drawn: Array) -> Params:
    """Integrated coefficients (column,), drawn about their prior means, by the terms' sites."""
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
    """What media leave of a national target (time,), and prior scales of the linear block."""
    effect, _ = _media_sum(structure, params, arrays)
    return _residual(structure, params, arrays, effect)[0], _linear_scales(structure, params)
