r"""Expected revenue at any scaling of the channels' spend, small enough to carry in a page.

With an identity link channels add up: a draw's revenue over the window is

.. math:: T(m) = T(1) + \sum_c \{R_c(m_c) - R_c(1)\},

with :math:`R_c` the response curve of channel :math:`c`. With a logarithmic link they multiply in
every cell (a geo on a date): with :math:`W_i` the cell's revenue as spent and :math:`r_{ci}(m_c)`
the factor by which channel :math:`c` alone changes it,
:math:`T(m) = \sum_i W_i \prod_c r_{ci}(m_c)`. Cells in which all channels act alike are put
together in groups :math:`k`,

.. math:: T(m) \approx \sum_k W_k \prod_c \rho_{ck}(m_c), \qquad
          \rho_{ck}(m) = \sum_{i \in k} W_i r_{ci}(m) \big/ W_k,

which is exact where one channel changes, and off by the covariances of factors within groups where
several do.

Curves are kept at :math:`m = M u^3` for equally spaced :math:`u` (closer at low spend, where they
bend most; today's spend is one of them) and interpolated by cubics in :math:`u` with slopes of
fourth order, limited so that they stay monotone.

References
----------
Hyman (1983), Accurate monotonicity preserving cubic interpolation, SIAM Journal on Scientific and
Statistical Computing 4.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.analysis import decomposition as parts
from mmm_bayes.analysis.contributions import fitted_mean
from mmm_bayes.analysis.decomposition import Units
from mmm_bayes.analysis.draws import compiled, over_draws
from mmm_bayes.analysis.response import response_curves
from mmm_bayes.analysis.window import window_of
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.media import Params
from mmm_bayes.model.predictor import linear_predictor, media_effects
from mmm_bayes.model.structure import ModelArrays, Structure

NDArray = np.ndarray[Any, Any]

POINTS = 51
_GROUPS = 8
_MAX_DRAWS = 1000  # quantiles to a percent
_PACKED_VALUES = 500_000  # 1 MB at two bytes each
_EVALUATIONS = 2e8  # of saturation curves: some seconds on two cores
_LEVELS = 32767  # of a number in two bytes with a sign


@dataclass(frozen=True, eq=False)
class Surface:
    """Revenue over the window at any multiples of the channels' spend.

    Attributes
    ----------
    channels
        All channels, in the order of the table.
    spend
        What was spent on each over the window (channel,).
    reach
        Largest multiple, ``M``.
    weights
        Revenue as spent, by group of cells (draw, group).
    curves
        (draw, channel, group, point): revenue that a channel brings, where effects add up (one
        group); else the factor on the group's revenue.
    additive
        Which of the two.
    """

    channels: tuple[str, ...]
    spend: NDArray
    reach: float
    weights: NDArray
    curves: NDArray
    additive: bool

    @property
    def multiples(self) -> NDArray:
        """Multiples of spend at which the curves are known (point,)."""
        return multiples(self.reach)

    @cached_property
    def _interpolant(self) -> Any:
        from scipy.interpolate import CubicHermiteSpline

        return CubicHermiteSpline(np.arange(POINTS), self.curves, slopes(self.curves), axis=-1)

    def at(self, position: int, multiple: float) -> NDArray:
        """Value of one channel's curve (draw, group) at a multiple of its spend."""
        u = (POINTS - 1) * np.cbrt(np.clip(multiple / self.reach, 0.0, 1.0))
        return np.asarray(self._interpolant(u))[:, position]

    def total(self, changes: Mapping[str, float]) -> NDArray:
        """Revenue over the window (draw,) at multiples of the named channels' spend."""
        positions = {self.channels.index(name): value for name, value in changes.items()}
        if self.additive:
            rise = [self.at(c, m) - self.at(c, 1.0) for c, m in positions.items()]
            return np.asarray((self.weights + sum(rise)).sum(1))
        product = self.weights
        for c, m in positions.items():
            product = product * self.at(c, m)
        return np.asarray(product.sum(1))

    def response(self) -> NDArray:
        """Compute the revenue of each channel (draw, channel, point), the others unchanged."""
        if self.additive:
            return np.asarray(self.curves[:, :, 0])
        rise = self.curves - self.curves[..., :1]
        return np.asarray(np.einsum("dk,dckp->dcp", self.weights, rise))

    def packed(self, keep: list[int]) -> tuple[dict[str, Any], str]:
        """Curves of some channels as two-byte numbers with their scales, in base64.

        Layout, little-endian: ``weights`` (draw, group) as float32; the value ``a`` at no spend and
        the largest distance ``s`` from it of every curve (draw, channel, group, 2) as float32;
        ``k`` as int16, with values ``a + s (k / 32767)^3``: what little spend brings, too, is kept
        to a thousandth of itself.
        """
        curves = self.curves[:, keep]
        origin = curves[..., :1]
        span = np.abs(curves - origin).max(-1, keepdims=True)
        span = np.where(span > 0, span, 1.0)
        levels = np.rint(np.cbrt((curves - origin) / span) * _LEVELS)
        pieces = (
            self.weights.astype("<f4"),
            np.concatenate([origin, span], -1).astype("<f4"),
            levels.astype("<i2"),
        )
        shape = {
            "draws": curves.shape[0],
            "channels": curves.shape[1],
            "groups": curves.shape[2],
            "points": curves.shape[3],
        }
        raw = b"".join(piece.tobytes() for piece in pieces)
        return shape, base64.b64encode(raw).decode("ascii")


def multiples(reach: float) -> NDArray:
    """Multiples of spend, closer to each other at low ones."""
    return np.asarray(reach * np.linspace(0.0, 1.0, POINTS) ** 3)


def reach_of(most: float) -> float:
    """Least reach from ``most`` on with which a multiple of one is a point of its own."""
    steps = POINTS - 1
    return float((steps / np.floor(steps / np.cbrt(most))) ** 3)


def slopes(y: NDArray) -> NDArray:
    """Slopes (..., point) of monotone cubics through points one apart (Hyman 1983)."""
    m = np.empty_like(y)
    m[..., 2:-2] = (y[..., :-4] - 8 * y[..., 1:-3] + 8 * y[..., 3:-1] - y[..., 4:]) / 12
    # Third order at the ends; the last points are the first ones of the reversed curve.
    for own, sign, out in ((y, 1, m), (y[..., ::-1], -1, m[..., ::-1])):
        out[..., 0] = sign * (own[..., :4] @ [-11, 18, -9, 2]) / 6
        out[..., 1] = sign * (own[..., :4] @ [-2, -3, 6, -1]) / 6
    d = np.diff(y, axis=-1)
    before, after = (np.concatenate(parts, -1) for parts in ((d[..., :1], d), (d, d[..., -1:])))
    way = np.sign(before)
    limit = 3 * np.minimum(np.abs(before), np.abs(after))
    return np.asarray(np.where(before * after > 0, way * np.clip(way * m, 0.0, limit), 0.0))


def surface(fitted: Fitted, most: float = 2.0) -> Surface:
    """Compute what the page needs to answer any scaling of spend up to ``most`` fold.

    Parameters
    ----------
    fitted
        A fit.
    most
        Largest multiple of a channel's spend that will be asked for.
    """
    data, reach = fitted.data, reach_of(most)
    count = len(data.channels)
    additive = not parts.is_log(fitted.structure)
    groups = 1 if additive else min(_GROUPS, data.num_geos * data.num_dates)
    cells = data.num_geos * data.num_dates
    each = max(count * POINTS, 1)
    draws = min(_MAX_DRAWS, _EVALUATIONS / (each * cells), _PACKED_VALUES / (each * groups))
    draws = max(int(draws), 50)
    spend = np.asarray(data.ds["spend"].values.sum((0, 1)), float)
    grid = multiples(reach)
    if additive:
        curves = response_curves(fitted, None, grid, unit="revenue", max_draws=draws)
        today = fitted_mean(fitted, (), unit="revenue", max_draws=draws)
        shape = (-1, count, 1, POINTS)
        return Surface(
            tuple(data.channels),
            spend,
            reach,
            np.asarray(today.values, float).reshape(-1, 1),
            np.asarray(curves.values, float).reshape(shape),
            True,
        )
    window = window_of(fitted, revenue=True)
    member = _alike(fitted, window.arrays, window.units, groups, reach)
    found = over_draws(
        fitted,
        _factors(fitted.structure),
        (window.arrays, window.units, grid.astype(fitted.dtype), member.astype(fitted.dtype)),
        dims=("row", "group", "point"),
        coords={"row": range(count + 1), "group": range(len(member)), "point": range(POINTS)},
        max_draws=draws,
        elements=window.arrays.target.size * (count + 1),
    )
    values = np.asarray(found.values, float).reshape(-1, count + 1, len(member), POINTS)
    return Surface(tuple(data.channels), spend, reach, values[:, 0, :, 0], values[:, 1:], False)


def _effects(
    structure: Structure, params: Params, arrays: ModelArrays, units: Units, factor: Any
) -> Any:
    """Effects (channel, geo, time) on the logarithm of the mean, exposure ``factor`` fold."""
    scaled = arrays._replace(media=factor * arrays.media)
    return units.scale * media_effects(structure, params, scaled)


@functools.lru_cache(maxsize=16)
def _factors(structure: Structure) -> Any:
    def run(params: Params, arrays: ModelArrays, units: Units, grid: Any, member: Any) -> Any:
        eta = linear_predictor(structure, params, arrays)
        weight = parts.mean(structure, params, eta, arrays, units).ravel()
        before = _effects(structure, params, arrays, units, 1.0)
        weights = member @ weight

        def at(factor: Any) -> Any:
            change = jnp.exp(_effects(structure, params, arrays, units, factor) - before)
            sums = jnp.einsum("ki,ci->ck", member * weight, change.reshape(change.shape[0], -1))
            return sums / weights

        ratios = jnp.moveaxis(jax.lax.map(at, grid), 0, -1)
        first = jnp.broadcast_to(weights[None, :, None], (1, *ratios.shape[1:]))
        return jnp.concatenate([first, ratios])

    return compiled(run)


@functools.lru_cache(maxsize=16)
def _extremes(structure: Structure) -> Any:
    def run(params: Params, arrays: ModelArrays, units: Units, reach: Any) -> Any:
        before = _effects(structure, params, arrays, units, 1.0)
        off = -before
        full = _effects(structure, params, arrays, units, reach) - before
        return jnp.concatenate([off, full]).reshape(-1, before[0].size)

    return compiled(run)


def _alike(fitted: Fitted, arrays: ModelArrays, units: Units, groups: int, reach: float) -> NDArray:
    """Find groups (group, cell) of zeros and ones in which channels' mean effects are alike."""
    from scipy.cluster.vq import kmeans2

    cells = arrays.target.size
    rows = 2 * len(fitted.data.channels)
    found = over_draws(
        fitted,
        _extremes(fitted.structure),
        (arrays, units, np.asarray(reach, fitted.dtype)),
        dims=("row", "cell"),
        coords={"row": range(rows), "cell": range(cells)},
        max_draws=50,
        elements=cells * rows,
    )
    features = found.mean(("chain", "draw")).values.T
    # A fixed seed: the same fit gives the same page.
    _, member = kmeans2(features, groups, minit="++", rng=np.random.default_rng(0))
    kept = np.unique(member)
    return np.asarray(member[None, :] == kept[:, None], float)
