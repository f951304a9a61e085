"""The media part: transforms of exposure, and coefficients that may differ by geo.

Each parameter is one vector over the channels that have it. Channels with the same transforms are
computed together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.spec import EFFECT_SITE, ModelSpec, transform_parameters
from mmm_bayes.transforms import ADSTOCKS, SATURATIONS, causal_convolution, convolve_lags

Array = jax.Array
Leaf = Any  # a JAX array on the device, a NumPy array on the host
Params = dict[str, Array]


class EffectReference(NamedTuple):
    """Quantities that convert a coefficient into revenue or target: see :func:`coefficients`.

    ``weight`` and ``target_weight`` (geo, time) are the revenue and the target per unit of the
    linear predictor; ``spend`` (channel,) and ``target_total`` are sums over the training window.
    """

    weight: Leaf
    target_weight: Leaf
    spend: Leaf
    target_total: Leaf


@dataclass(frozen=True)
class MediaParameter:
    """A media parameter: the channels that have it, and their priors."""

    site: str
    channels: tuple[str, ...]
    priors: tuple[PriorSpec, ...]


@dataclass(frozen=True)
class TransformGroup:
    """Channels (by position) that share adstock and saturation."""

    channels: tuple[int, ...]
    adstock: str
    saturation: str


@dataclass(frozen=True)
class MediaStructure:
    """The fixed part of the media model: parameters, groups, and kinds of effect priors."""

    channels: tuple[str, ...]
    parameters: tuple[MediaParameter, ...]
    groups: tuple[TransformGroup, ...]
    effects: tuple[str, ...]
    max_lag: int
    normalise: bool
    adstock_first: bool

    def parameter(self, site: str) -> MediaParameter:
        """Return the parameter with this name."""
        return next(p for p in self.parameters if p.site == site)


def media_structure(spec: ModelSpec, channels: tuple[str, ...]) -> MediaStructure:
    """Build the media structure of a specification for these channels."""
    owners: dict[str, list[str]] = {}
    groups: dict[tuple[str, str], list[int]] = {}
    effects = []
    for position, channel in enumerate(channels):
        adstock, saturation, effect = spec.channel_transforms(channel)
        groups.setdefault((adstock, saturation), []).append(position)
        effects.append(effect)
        kernel, curve = transform_parameters(adstock, saturation)
        for name in (*kernel, *curve, EFFECT_SITE[effect]):
            owners.setdefault(name, []).append(channel)
    parameters = tuple(
        MediaParameter(name, tuple(own), tuple(spec.media_prior(c, name) for c in own))
        for name, own in owners.items()
    )
    return MediaStructure(
        channels=channels,
        parameters=parameters,
        groups=tuple(TransformGroup(tuple(members), *names) for names, members in groups.items()),
        effects=tuple(effects),
        max_lag=spec.media.max_lag,
        normalise=spec.media.normalise,
        adstock_first=spec.media.order == "adstock_first",
    )


def kernel_weights(structure: MediaStructure, params: Params) -> Array:
    """Return adstock weights (channel, lag); without adstock the weight is 1 at lag 0."""
    rows: dict[int, int] = {}
    parts = []
    for group in structure.groups:
        size = len(group.channels)
        if group.adstock == "none":
            part = jnp.zeros((size, structure.max_lag)).at[:, 0].set(1.0)
        else:
            family = ADSTOCKS[group.adstock]
            values = [_take(structure, params, name, group) for name in family.parameters]
            part = family.kernel(*values, max_lag=structure.max_lag, normalise=structure.normalise)
        parts.append(part)
        if len(structure.groups) == 1:
            return part
        rows |= dict(zip(group.channels, range(len(rows), len(rows) + size), strict=True))
    order = np.array([rows[c] for c in range(len(structure.channels))])
    return jnp.concatenate(parts)[order]


def response(structure: MediaStructure, params: Params, media: Array, num_dates: int) -> Array:
    """Return adstocked and saturated exposure (channel, geo, time), before coefficients.

    ``media`` is the lag tensor (channel, geo, lag, time) if adstock comes first, otherwise the
    exposure with its history (channel, geo, history + time).
    """
    if not structure.channels:
        return jnp.zeros((0, media.shape[1], num_dates), media.dtype)
    kernels = kernel_weights(structure, params)
    if structure.adstock_first:
        return saturate(structure, params, convolve_lags(media, kernels[:, None, :]))
    curves = saturate(structure, params, media)
    return causal_convolution(curves, kernels[:, None, :])[..., -num_dates:]


def saturate(structure: MediaStructure, params: Params, x: Array) -> Array:
    """Return the saturation of ``x`` (channel, geo, time)."""
    if len(structure.groups) == 1:
        return _saturate_group(structure, params, structure.groups[0], x)
    result = jnp.zeros_like(x)
    for group in structure.groups:
        index = np.array(group.channels)
        result = result.at[index].set(_saturate_group(structure, params, group, x[index]))
    return result


def _saturate_group(
    structure: MediaStructure, params: Params, group: TransformGroup, x: Array
) -> Array:
    if group.saturation == "none":
        return x
    curve = SATURATIONS[group.saturation]
    _, names = transform_parameters("none", group.saturation)
    values = [_take(structure, params, name, group)[:, None, None] for name in names]
    return curve.function(x, *values)


def _take(structure: MediaStructure, params: Params, site: str, group: TransformGroup) -> Array:
    own = structure.parameter(site).channels
    wanted = [structure.channels[c] for c in group.channels]
    values = params[site]
    if tuple(wanted) == own:
        return values
    return values[np.array([own.index(channel) for channel in wanted])]


def coefficients(
    structure: MediaStructure,
    params: Params,
    curves: Array,
    marginal_curves: Array,
    reference: EffectReference,
) -> Array:
    r"""Return each channel's coefficient, before geo differences, from its effect parameter.

    Let ``A_c = sum_{gt} w_{gt} m_{cg} h_{cgt}`` be the effect of a coefficient of one on revenue,
    with geo multipliers ``m`` (included in ``curves``; ``marginal_curves`` are those for 1% more
    exposure). Then

    .. math:: \beta_c = \mathrm{ROAS}_c\, S_c / A_c, \qquad
              \beta_c = \mathrm{mROAS}_c\, 0.01\, S_c / (A_c(1.01 x) - A_c(x)), \qquad
              \beta_c = \mathrm{share}_c\, Y / A_c,

    which is exact for additive models, and of first order in the effect for multiplicative ones.
    """
    if not structure.channels:
        return jnp.zeros(0, curves.dtype)
    if set(structure.effects) == {"coefficient"}:
        return params["beta"]
    base = jnp.einsum("cgt,gt->c", curves, reference.weight)
    total = jnp.einsum("cgt,gt->c", curves, reference.target_weight)
    result: list[Array] = []
    for position, effect in enumerate(structure.effects):
        site = EFFECT_SITE[effect]
        own = structure.parameter(site).channels
        value = params[site][own.index(structure.channels[position])]
        if effect == "roas":
            value = value * reference.spend[position] / _floor(base[position])
        elif effect == "marginal_roas":
            more = jnp.einsum("gt,gt->", marginal_curves[position], reference.weight)
            value = value * 0.01 * reference.spend[position] / _floor(more - base[position])
        elif effect == "contribution_share":
            value = value * reference.target_total / _floor(total[position])
        result.append(value)
    return jnp.stack(result)


def _floor(x: Array) -> Array:
    return jnp.maximum(x, 1e-30)
