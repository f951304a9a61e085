"""Random keys as users give them, and NumPy generators from keys."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import jax

_MOST = 2**32


def as_key(rng_key: Any) -> jax.Array:
    """Return the new-style JAX key of whatever a user gave for one.

    Every public function that draws random numbers calls this first, so that
    ``jax.random.key(0)``, ``jax.random.PRNGKey(0)`` and ``0`` give the same draws everywhere.

    Parameters
    ----------
    rng_key : jax.Array or int
        A key of ``jax.random.key``, one of ``jax.random.PRNGKey`` (``uint32`` words), or a seed
        from 0 to 2**32 - 1.

    Returns
    -------
    jax.Array
        Scalar of a key type.

    Raises
    ------
    TypeError
        If ``rng_key`` is neither a key nor an integer.
    ValueError
        If it is several keys, or a seed out of range.

    Examples
    --------
    >>> import jax
    >>> bool(as_key(7) == as_key(jax.random.PRNGKey(7)))
    True
    """
    import jax

    if isinstance(rng_key, Integral) and not isinstance(rng_key, bool):
        if not 0 <= int(rng_key) < _MOST:
            raise ValueError(f"rng_key as a seed should be from 0 to 2**32 - 1, but is {rng_key}.")
        return jax.random.key(int(rng_key))
    if isinstance(rng_key, jax.Array) and jax.numpy.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
        return _single(rng_key, rng_key.shape)
    if getattr(rng_key, "dtype", None) == np.uint32:
        words = jax.numpy.asarray(rng_key)
        expected = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
        if words.shape[-1:] == expected:
            return jax.random.wrap_key_data(_single(words, words.shape[:-1]))
    raise TypeError(
        "rng_key should be a JAX key, as jax.random.key(0) makes one, or an integer seed, but is "
        f"{rng_key!r} ({type(rng_key).__name__})."
    )


def _single(rng_key: Any, shape: tuple[int, ...]) -> Any:
    if shape:
        raise ValueError(
            f"rng_key should be one key, but is an array of keys of shape {shape}. Give one of "
            "them, such as keys[0]."
        )
    return rng_key


def streams(rng_key: Any, names: Sequence[str]) -> dict[str, np.random.Generator]:
    """Return one independent generator for each name.

    Raises
    ------
    TypeError
        If ``rng_key`` is no key (:func:`as_key`).
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

    return np.asarray(jax.random.key_data(as_key(rng_key))).ravel()
