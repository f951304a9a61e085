r"""Ancestral sampling from the Markov factorisation, the definition of causal data augmentation.

Variables are visited in a topological order, and each is drawn from its estimated conditional given
the drawn values of its pillow. With the kernel estimator this picks donors by their kernel weight:
draws have exactly the distribution whose rows ADMGDA enumerates, at a cost linear in draws and
rows, and without a threshold. Each draw has the weight ``1/M``. A draw whose pillow matches no
training row is lost, as in the enumeration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mmm_bayes.augmentation.estimators import (
    Conditional,
    ConditionalData,
    columns_of,
    estimator,
)
from mmm_bayes.augmentation.table import EncodedTable

NDArray = np.ndarray[Any, Any]


class Sample(NamedTuple):
    """Draws: donors (draw, variable), values of columns that are not copies, weights (draw,)."""

    row_index: NDArray
    values: Mapping[int, NDArray]
    weights: NDArray


def fit_conditionals(
    rng_key: jax.Array, table: EncodedTable, names: Mapping[str, str], smoothing: float
) -> list[Conditional]:
    """Fit to every variable the estimator named for it."""
    keys = jax.random.split(rng_key, len(table.nodes))
    result = []
    for node, name in enumerate(table.nodes):
        data = conditional_data(table, node, smoothing)
        result.append(estimator(names[name])(data, keys[node]))
    return result


def conditional_data(table: EncodedTable, node: int, smoothing: float) -> ConditionalData:
    """Collect the data for the estimator of one variable."""
    own = columns_of(table, table.members[node])
    return ConditionalData(own, columns_of(table, table.pillow_columns(node)), smoothing)


def sample(
    rng_key: jax.Array, table: EncodedTable, conditionals: list[Conditional], num_rows: int
) -> Sample:
    """Draw ``num_rows`` rows of the factorisation."""
    keys = jax.random.split(rng_key, len(table.nodes))
    values = np.zeros((len(table.columns), num_rows))
    donors = np.zeros((num_rows, len(table.nodes)), np.int32)
    drawn: dict[int, NDArray] = {}
    for node, conditional in enumerate(conditionals):
        pillow = values[list(table.pillow_columns(node))].reshape(-1, num_rows)
        draws = conditional.sample(keys[node], pillow)
        members = list(table.members[node])
        values[members] = draws.values
        donors[:, node] = draws.donors
        if not conditional.donates:
            continuous = [c for c in members if table.is_continuous(c)]
            drawn |= {c: values[c] for c in continuous}
    alive = (donors > -2).all(1)
    weights = np.full(int(alive.sum()), 1.0 / num_rows)
    return Sample(donors[alive], {c: x[alive] for c, x in drawn.items()}, weights)
