"""The media part: transforms of exposure, and coefficients that may differ by geo.

Parameters are one vector a name over the channels that have it. Channels with the same transforms
are computed together.
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
Leaf = Any  # an array of JAX on the device, of NumPy on the host
Params = dict[str, Array]


class EffectReference(NamedTuple):
    """What turns a coefficient into money: see :func:`coefficients`.

    ``weight`` (geo, time) is the revenue, ``target_weight`` the target, that one unit of linear
    predictor brings; ``spend`` (channel,) and ``target_total`` are sums over the training window.
    """

    weight: Leaf
    target_weight: Leaf
    spend: Leaf
    target_total: Leaf


@dataclass(frozen=True)
class MediaParameter:
    """A media parameter: which channels have it, with which prior."""

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
    """What is fixed of the media part: parameters, groups, and kinds of effect priors."""

    channels: tuple[str, ...]
    parameters: tuple[MediaParameter, ...]
    groups: tuple[TransformGroup, ...]
    effects: tuple[str, ...]
    max_lag: int
    normalise: bool
    adstock_first: bool

    def parameter(self, site: str) -> MediaParameter:
        """The parameter of a name."""
        return next(p for p in self.parameters if p.site == site)


def media_structure(spec: ModelSpec, channels: tuple[str, ...]) -> MediaStructure:
    """Read the media part of a specification for these channels."""
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
    """Adstock weights (channel, lag); a channel without adstock has weight one at lag zero."""
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


def response(structure: MediaStructure, params: Params, media: Array, n_dates: int) -> Array:
    """Adstocked and saturated exposure (channel, geo, time), before coefficients.

    ``media`` is the lag tensor (channel, geo, lag, time) where adstock comes first, else the
    exposure with its history (channel, geo, history + time).
    """
    if not structure.channels:
        return jnp.zeros((0, media.shape[1], n_dates), media.dtype)
    kernels = kernel_weights(structure, params)
    if structure.adstock_first:
        return saturate(structure, params, convolve_lags(media, kernels[:, None, :]))
    curves = saturate(structure, params, media)
    return causal_convolution(curves, kernels[:, None, :])[..., -n_dates:]


def saturate(structure: MediaStructure, params: Params, x: Array) -> Array:
    """Saturation of every channel, channels on the first axis of ``x`` (channel, geo, time)."""
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
    r"""Coefficient of every channel, before geo differences, from what its prior is on.

    With ``A_c = sum_{gt} w_{gt} m_{cg} h_{cgt}`` the effect of a coefficient of one on revenue
    (``m`` the geo multipliers, folded into ``curves``; ``marginal_curves`` are those of 1% more
    exposure),

    .. math:: \beta_c = \mathrm{ROAS}_c\, S_c / A_c, \qquad
              \beta_c = \mathrm{mROAS}_c\, 0.01\, S_c / (A_c(1.01 x) - A_c(x)), \qquad
              \beta_c = \mathrm{share}_c\, Y / A_c,

    exactly for additive models, to first order in the effect for multiplicative ones.
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
