r"""Lagged regression of every node on the pasts of all nodes, as sums over time.

The row of time ``t`` has the blocks

.. math:: f_i^t = (\phi_1(x_i^{t-1}), \ldots, \phi_1(x_i^{t-K}), \phi_2(x_i^{t-1}), \ldots)

of every source ``i`` (``B`` columns each, lags fastest), then ``E`` columns that belong to every
target: one, and the context at ``t``. What a Gaussian model needs of a shop is
:math:`F'F`, :math:`F'Y` and the squares of :math:`Y`, whatever the length of its series.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array

BASES: dict[str, Any] = {
    "linear": lambda x: x,
    # Orthogonal to x where x is standard normal.
    "square": lambda x: (x * x - 1.0) / jnp.sqrt(2.0),
    "tanh": jnp.tanh,
}


class Layout(NamedTuple):
    """Where columns stand: static numbers that compiled functions are specialised to."""

    nodes: int
    lags: int
    basis: tuple[str, ...]
    context: int

    @property
    def block(self) -> int:
        """Columns of one source."""
        return self.lags * len(self.basis)

    @property
    def always(self) -> int:
        """Columns that belong to every target."""
        return 1 + self.context

    @property
    def width(self) -> int:
        """All columns."""
        return self.nodes * self.block + self.always


class Lagged(NamedTuple):
    """Sums of shops: ``D`` nodes, ``P = D B + E`` columns.

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


def lag_columns(values: Array, context: Array, layout: Layout) -> Array:
    """Rows of the regression (time - lags, D B + 1 + C), for times from ``lags`` on.

    Parameters
    ----------
    values
        Series of one shop (time, D), zero where missing.
    context
        Context of one shop (time, C).
    layout
        Number of lags and names in :data:`BASES`.
    """
    length, nodes = values.shape
    lags = layout.lags
    past = [
        shaped[lags - k : length - k]
        for shaped in (BASES[name](values) for name in layout.basis)
        for k in range(1, lags + 1)
    ]
    blocks = jnp.stack(past, axis=2).reshape(length - lags, nodes * layout.block)
    always = jnp.concatenate([jnp.ones((length, 1), values.dtype), context], axis=1)[lags:]
    return jnp.concatenate([blocks, always], axis=1)


@functools.partial(jax.jit, static_argnames="layout")
def lagged_sums(values: Array, observed: Array, context: Array, layout: Layout) -> Lagged:
    """Sums over the rows in which every node was observed; a missing lag counts as the mean.

    Parameters
    ----------
    values, observed, context
        Of all shops: standardised series (shop, time, D) with zero where missing, what is there,
        and context (shop, time, C).
    """

    def one(own: Array, there: Array, around: Array) -> Lagged:
        rows = lag_columns(own, around, layout)
        weight = jnp.all(there[layout.lags :], axis=1).astype(own.dtype)
        weighted, targets = rows * weight[:, None], own[layout.lags :]
        dot = functools.partial(jnp.matmul, precision="highest")
        return Lagged(
            dot(weighted.T, rows), dot(weighted.T, targets), weight @ targets**2, jnp.sum(weight)
        )

    return jax.vmap(one)(values, observed, context)
