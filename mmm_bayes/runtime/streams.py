"""NumPy generators from JAX keys: double precision, and nothing to compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def streams(rng_key: Any, names: Sequence[str]) -> dict[str, np.random.Generator]:
    """Return one independent generator a name.

    Raises
    ------
    TypeError
        If ``rng_key`` is no JAX key.
    """
    seeds = np.random.SeedSequence([int(word) for word in _words(rng_key)]).spawn(len(names))
    return {name: np.random.default_rng(seed) for name, seed in zip(names, seeds, strict=True)}


def generator(rng_key: Any) -> np.random.Generator:
    """Return the generator of a key."""
    return np.random.default_rng(_words(rng_key))


def seed_in_words(rng_key: Any) -> str:
    """Return what to write down of a key: the number it was made from, or all of its words."""
    *high, low = (int(word) for word in _words(rng_key))
    return str([*high, low]) if any(high) else f"jax.random.key({low})"


def _words(rng_key: Any) -> np.ndarray:
    import jax

    if isinstance(rng_key, jax.Array) and jax.numpy.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(rng_key)).ravel()
    if getattr(rng_key, "dtype", None) == np.uint32:
        return np.asarray(rng_key).ravel()
    raise TypeError(
        f"rng_key should be a JAX key, but is a {type(rng_key).__name__}. "
        "Make one with jax.random.key(seed)."
    )
