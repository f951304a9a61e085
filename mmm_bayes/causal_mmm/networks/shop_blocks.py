"""Process shops in blocks, when all of them together would not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.causal_mmm.networks.encoder import Encoder
from mmm_bayes.causal_mmm.networks.model import Objective, Shops, edge_probabilities

Array = jax.Array
NDArray = np.ndarray[Any, Any]

WORKSPACE = 2**29
"""Approximate memory, in bytes, for the arrays of a block of shops."""

_FLOAT = 4


def take(shops: Shops, at: Any) -> Shops:
    """Select shops by position."""
    return jax.tree.map(lambda x: x[at], shops)


def blocks(count: int, bytes_each: int) -> Iterator[tuple[NDArray, slice]]:
    """Yield the positions of each block, and the slice of all shops that it fills.

    Blocks have equal size, so that one compiled program serves all: the last is padded with
    repeated shops, which the slice leaves out.

    Parameters
    ----------
    count
        Number of shops.
    bytes_each
        Memory per shop.
    """
    size = int(np.clip(WORKSPACE // max(bytes_each, 1), 1, max(count, 1)))
    for start in range(0, count, size):
        place = slice(start, min(start + size, count))
        yield np.resize(np.arange(place.start, place.stop), size), place


def edges_by_block(encoder: Encoder, objective: Objective, shops: Shops) -> Array:
    """Compute the encoder's edge probabilities (shop, source, target) in blocks of shops.

    The encoder embeds every window of every series, which takes (shop, time, node, hidden).
    """
    count, length, nodes = shops.values.shape
    hidden = encoder.edge_second.width_size
    windows = max(length - encoder.window, 0) + 1
    pairs = nodes * (5 * hidden + encoder.n_evidence)
    each = _FLOAT * nodes * (windows * (encoder.window + 2 * hidden) + pairs)
    found = []
    for at, place in blocks(count, each):
        if len(at) == count:
            return edge_probabilities(encoder, objective, shops)
        of_block = edge_probabilities(encoder, objective, take(shops, at))
        found.append(of_block[: place.stop - place.start])
    return jnp.concatenate(found)
