r"""Lagged regression of every node on the pasts of all nodes, as sums over time.

The row of time ``t`` has the blocks

.. math:: f_i^t = (\phi_1(x_i^{t-1}), \ldots, \phi_1(x_i^{t-K}), \phi_2(x_i^{t-1}), \ldots)

of every source ``i`` (``B`` columns each, with lags varying fastest), then ``E`` columns that
belong to every target: one, and the context at ``t``. A Gaussian model of a shop needs only
:math:`F'F`, :math:`F'Y` and the squares of :math:`Y`, whatever the length of its series.

One function of the basis is learned, the saturation of a source,

.. math:: \phi(x_i) = \frac{\tanh(c_i x_i + s_i) - \tanh s_i}{c_i (1 - \tanh^2 s_i)},

with a steepness :math:`c_i > 0` and a shift :math:`s_i` shared by all effects of the source. Its
slope at the mean is one. It is almost linear if :math:`c_i` is small, and concave above the mean if
:math:`s_i > 0`.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

_FAR = 3.0**2  # bound of squared standardised values
_TOGETHER = (
    32  # number of shops whose columns are held at once; they are far larger than their sums
)


class Saturation(NamedTuple):
    """Saturation of each node as a source: ``steepness`` and ``shift`` (D,)."""

    steepness: Any
    shift: Any


STEEPNESS = 0.3
"""Initial steepness of every source: almost linear."""


def all_but_linear(nodes: int) -> Saturation:
    """Return the initial, almost linear saturation."""
    return Saturation(jnp.full(nodes, STEEPNESS), jnp.zeros(nodes))


def saturate(values: Array, saturation: Saturation) -> Array:
    """Saturate standardised values (..., D)."""
    at_mean = jnp.tanh(saturation.shift)
    bent = jnp.tanh(saturation.steepness * values + saturation.shift) - at_mean
    return bent / (saturation.steepness * (1.0 - at_mean**2))


def bounded_square(values: Array) -> Array:
    """Square standardised values, approximately centred and scaled, with squares bounded by nine.

    The result is uncorrelated with normal values. Spend with many zeros has some values so far from
    its mean that plain squares would reflect them only.
    """
    return (_FAR * jnp.tanh(values**2 / _FAR) - 1.0) / jnp.sqrt(2.0)


SATURATING, SQUARE = "saturating", "square"
BASES: dict[str, Any] = {
    "linear": lambda x, saturation: x,
    SQUARE: lambda x, saturation: bounded_square(x),
    SATURATING: saturate,
}


class Layout(NamedTuple):
    """Layout of the columns: static numbers for which functions are compiled."""

    nodes: int
    lags: int
    basis: tuple[str, ...]
    context: int

    @property
    def block(self) -> int:
        """Number of columns of one source."""
        return self.lags * len(self.basis)

    @property
    def always(self) -> int:
        """Number of columns that belong to every target."""
        return 1 + self.context

    @property
    def saturates(self) -> bool:
        """Whether columns depend on a learned saturation."""
        return SATURATING in self.basis

    @property
    def width(self) -> int:
        """Total number of columns."""
        return self.nodes * self.block + self.always


class Lagged(NamedTuple):
    """Sums of the lagged regression by shop, with ``D`` nodes and ``P = D B + E`` columns.

    Attributes
    ----------
    gram, moment
        :math:`F'F` (shop, P, P) and :math:`F'Y` (shop, P, D).
    square
        Sums of squares of each target (shop, D).
    count
        Number of rows (shop,).
    """

    gram: Any
    moment: Any
    square: Any
    count: Any


def lag_columns(
    values: Array, context: Array, layout: Layout, saturation: Saturation | None = None
) -> Array:
    """Build the rows of the regression (time - lags, D B + 1 + C), for times from ``lags`` on.

    Parameters
    ----------
    values
        Series of one shop (time, D), zero where missing.
    context
        Context of one shop (time, C).
    layout
        Number of lags and names in :data:`BASES`.
    saturation
        Saturation of the sources, if the layout has saturating columns.
    """
    length, nodes = values.shape
    lags = layout.lags
    past = [
        shaped[lags - k : length - k]
        for shaped in (BASES[name](values, saturation) for name in layout.basis)
        for k in range(1, lags + 1)
    ]
    blocks = jnp.stack(past, axis=2).reshape(length - lags, nodes * layout.block)
    always = jnp.concatenate([jnp.ones((length, 1), values.dtype), context], axis=1)[lags:]
    return jnp.concatenate([blocks, always], axis=1)


@functools.partial(jax.jit, static_argnames="layout")
def lagged_sums(
    values: Array,
    observed: Array,
    context: Array,
    layout: Layout,
    saturation: Saturation | None = None,
) -> Lagged:
    """Sum over the rows in which every node was observed; missing lags are replaced by the mean.

    Parameters
    ----------
    values, observed, context
        Standardised series (shop, time, D) with zero where missing, which values are observed, and
        context (shop, time, C).
    layout, saturation
        As in :func:`lag_columns`.
    """

    def one(given: tuple[Array, Array, Array]) -> Lagged:
        own, there, around = given
        rows = lag_columns(own, around, layout, saturation)
        weight = jnp.all(there[layout.lags :], axis=1).astype(own.dtype)
        weighted, targets = rows * weight[:, None], own[layout.lags :]
        dot = functools.partial(jnp.matmul, precision="highest")
        return Lagged(
            dot(weighted.T, rows), dot(weighted.T, targets), weight @ targets**2, jnp.sum(weight)
        )

    return jax.lax.map(one, (values, observed, context), batch_size=_TOGETHER)
