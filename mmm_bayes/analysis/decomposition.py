r"""Decomposition of the fitted mean: array functions of one draw, in the units of the table.

With an identity link the mean is already a sum of parts. With a logarithmic link it is
:math:`\mu = \exp(a + \sum_j d_j + \sum_c e_c)` with intercept :math:`a`, other baseline terms
:math:`d_j` and channels :math:`e_c`. A difference of exponentials is divided among its terms by the
logarithmic mean :math:`L(x, y) = (x - y) / (\log x - \log y)`: term ``j`` of
:math:`\log(x/y) = \sum_j d_j` receives :math:`d_j L(x, y)`, which is its effect averaged along the
straight path on which all terms grow together. The parts add up to :math:`x - y` exactly.

References
----------
Ang (2004), Decomposition analysis for policymaking in energy (logarithmic mean Divisia index),
Energy Policy 32; Aumann and Shapley (1974), Values of Non-Atomic Games.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.model import media
from mmm_bayes.model.media import Params
from mmm_bayes.model.predictor import linear_coefficients, media_coefficients, media_effects
from mmm_bayes.model.structure import ModelArrays, Structure
from mmm_bayes.transforms import convolve_lags

Array = jax.Array
Method = Literal["counterfactual", "shapley"]
Kind = Literal["baseline", "control", "media", "interaction"]


class Units(NamedTuple):
    """Conversion from the linear predictor to the units of the table.

    Attributes
    ----------
    center, scale
        Of the target (per head), or of its logarithm.
    heads
        Population (geo,).
    weight
        Value of one unit of target (geo, time): one, or its revenue.
    """

    center: Any
    scale: Any
    heads: Any
    weight: Any


class Component(NamedTuple):
    """A part of the mean: its label and its kind."""

    label: str
    kind: Kind


def components(structure: Structure, method: Method) -> list[Component]:
    """List the parts of the mean, in the order of :func:`decompose`; labels are distinct."""
    found: list[Component] = []
    for term in structure.terms:
        if term.component == "controls":
            found += [Component(str(label), "control") for label in term.labels]
        else:
            found.append(Component(term.component, "baseline"))
    found += [Component(channel, "media") for channel in structure.channels]
    if is_log(structure) and method == "counterfactual":
        found.append(Component("interaction", "interaction"))
    taken: set[str] = set()
    distinct = []
    for part in found:
        # A column may have the same name as a term of the model.
        label = part.label if part.label not in taken else f"{part.label} ({part.kind})"
        taken.add(label)
        distinct.append(Component(label, part.kind))
    return distinct


def is_log(structure: Structure) -> bool:
    """Tell whether the linear predictor is the logarithm of the mean."""
    return structure.spec.likelihood.link != "identity"


def baseline_parts(structure: Structure, params: Params, arrays: ModelArrays) -> Array:
    """Compute baseline terms (part, geo, time) on the predictor's scale, one per control."""
    owners: list[int] = []
    for term in structure.terms:
        first = owners[-1] + 1 if owners else 0
        separate = term.component == "controls"
        owners += [first + i for i in range(term.width)] if separate else [first] * term.width
    member = np.equal.outer(np.array(owners), np.arange(owners[-1] + 1))
    columns = arrays.design * linear_coefficients(structure, params)[:, None, :]
    return jnp.einsum("gtk,kj->jgt", columns, jnp.asarray(member, columns.dtype))


def log_mean(
    structure: Structure, params: Params, eta: Array, arrays: ModelArrays, units: Units
) -> Array:
    """Compute the logarithm of the expected target (geo, time), for logarithmic links."""
    if structure.spec.likelihood.link == "count":
        return eta + arrays.log_offset
    # The mean of a log-normal is above its median.
    mean_over_median = 0.5 * (units.scale * params["sigma"]) ** 2
    return jnp.log(units.heads)[:, None] + units.center + units.scale * eta + mean_over_median


def mean(
    structure: Structure, params: Params, eta: Array, arrays: ModelArrays, units: Units
) -> Array:
    """Compute the weighted expected target (geo, time) of a linear predictor."""
    if is_log(structure):
        return units.weight * jnp.exp(log_mean(structure, params, eta, arrays, units))
    return units.weight * units.heads[:, None] * (units.center + units.scale * eta)


def decompose(
    structure: Structure, method: Method, params: Params, arrays: ModelArrays, units: Units
) -> Array:
    """Split the weighted expected target into parts (component, geo, time) that sum to it."""
    baseline = baseline_parts(structure, params, arrays)
    effects = media_effects(structure, params, arrays)
    if not is_log(structure):
        parts = jnp.concatenate([baseline, effects]) * (units.scale * units.heads[:, None])
        return units.weight * parts.at[0].add(units.center * units.heads[:, None])
    rest, effects = units.scale * baseline[1:], units.scale * effects
    start = log_mean(structure, params, baseline[0], arrays, units)
    alone = jnp.exp(start)
    baseline_terms, media_terms = rest.sum(0), effects.sum(0)
    without_media = jnp.exp(start + baseline_terms)
    full = jnp.exp(start + baseline_terms + media_terms)
    shares = rest * (alone * _relative(baseline_terms))
    if method == "shapley":
        media_shares = [effects * (without_media * _relative(media_terms))]
    else:
        off = full * -jnp.expm1(-effects)
        media_shares = [off, (full - without_media - off.sum(0))[None]]
    return units.weight * jnp.concatenate([alone[None], shares, *media_shares])


def media_parts(structure: Structure, params: Params, arrays: ModelArrays, units: Units) -> Array:
    """Compute weighted counterfactual contributions of the channels (channel, geo, time)."""
    effects = media_effects(structure, params, arrays)
    if not is_log(structure):
        return effects * (units.weight * units.scale * units.heads[:, None])
    full = _mean_with(structure, params, arrays, units, effects)
    return full * -jnp.expm1(-units.scale * effects)


def media_increase(
    structure: Structure, params: Params, arrays: ModelArrays, units: Units, factor: Any
) -> Array:
    """Compute the gain (channel, geo, time) if a channel's exposure were ``factor`` times as high.

    The gain is the increase of the weighted mean, one channel changed at a time.
    """
    effects = media_effects(structure, params, arrays)
    more = media_effects(structure, params, arrays._replace(media=factor * arrays.media))
    if not is_log(structure):
        return (more - effects) * (units.weight * units.scale * units.heads[:, None])
    full = _mean_with(structure, params, arrays, units, effects)
    return full * jnp.expm1(units.scale * (more - effects))


def response_totals(
    structure: Structure, params: Params, arrays: ModelArrays, units: Units, factors: Array
) -> Array:
    """Compute total contributions (channel, factor) with exposure scaled by each factor."""
    num_dates = arrays.target.shape[-1]
    effects = media_effects(structure, params, arrays)
    values = media_coefficients(structure, params, arrays, effects)[:, :, None]
    if is_log(structure):
        others = _mean_with(structure, params, arrays, units, effects) * jnp.exp(
            -units.scale * effects
        )
    carried = arrays.media
    if structure.media.adstock_first:
        # The convolution is linear, so once is enough for all factors.
        kernels = media.kernel_weights(structure.media, params)
        carried = convolve_lags(arrays.media, kernels[:, None, :])

    def at(factor: Array) -> Array:
        if structure.media.adstock_first:
            curves = media.saturate(structure.media, params, factor * carried)
        else:
            curves = media.response(structure.media, params, factor * carried, num_dates)
        effect = values * curves
        if is_log(structure):
            return jnp.sum(others * jnp.expm1(units.scale * effect), (1, 2))
        return jnp.sum(effect * (units.weight * units.scale * units.heads[:, None]), (1, 2))

    return jax.lax.map(at, factors).T


def _mean_with(
    structure: Structure, params: Params, arrays: ModelArrays, units: Units, effects: Array
) -> Array:
    coefficients = linear_coefficients(structure, params)
    eta = jnp.einsum("gtk,gk->gt", arrays.design, coefficients) + effects.sum(0)
    return mean(structure, params, eta, arrays, units)


def _relative(x: Array) -> Array:
    """Compute ``expm1(x) / x``, the logarithmic mean of ``exp(x)`` and 1."""
    small = jnp.abs(x) < 1e-5  # where 1 + x/2 is exact to x^2/6, below 2e-11
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, 1.0 + 0.5 * x, jnp.expm1(safe) / safe)
