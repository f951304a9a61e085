"""Arguments of transforms: dtype and array namespace, and checked counts."""

from numbers import Integral
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes._typing import Array, ArrayLike

__all__ = ["as_floats", "require_count", "with_namespace"]


def as_floats(*values: ArrayLike) -> tuple[Array, ...]:
    """Convert values to arrays of their common floating dtype.

    Python numbers take the dtype of the arrays and integers become floats, so that float32 input
    gives float32 output, whether 64-bit mode is on or off.

    Raises
    ------
    jax.errors.TypePromotionError
        Under strict promotion, when arrays of different dtypes are mixed.
    """
    dtype = jnp.result_type(*values, float)
    return tuple(jnp.asarray(value, dtype) for value in values)


def with_namespace(*values: ArrayLike) -> tuple[ModuleType, Any, tuple[Any, ...]]:
    """Choose where to compute an array that is made once: NumPy for values, JAX under a trace.

    Outside a trace JAX would compile every operation by itself, which takes longer than computing a
    basis or a lag tensor; NumPy computes it directly, in float64.

    Returns
    -------
    tuple
        The namespace (``numpy`` or ``jax.numpy``), the floating dtype of the result, and the values
        as arrays of that namespace.
    """
    dtype = jnp.result_type(*values, float)
    if any(isinstance(value, jax.core.Tracer) for value in values):
        return jnp, dtype, tuple(jnp.asarray(value, dtype) for value in values)
    return np, dtype, tuple(np.asarray(value, np.float64) for value in values)


def require_count(name: str, value: object, least: int) -> None:
    """Raise unless ``value`` is an integer of at least ``least``.

    Raises
    ------
    ValueError
        With the name of the argument and the value given.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
