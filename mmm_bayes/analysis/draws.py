"""Run a compiled function over the draws of a fit, in batches, and label the result."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import xarray as xr

from mmm_bayes.model.fitted import Fitted, in_batches

NDArray = np.ndarray[Any, Any]

_BATCH = 100
_BATCH_ELEMENTS = 4_000_000  # of an intermediate array: 32 MB in double precision
_MAX_THREADS = 4  # more are bound by memory bandwidth, and use more memory
_RESULT_BYTES = 2 * 1024**3


def compiled(function: Callable[..., Any]) -> Any:
    """Compile ``function(params, *arguments)``, written for one draw, for a batch of draws."""

    def batch(params: dict[str, Any], *arguments: Any) -> Any:
        return jax.vmap(lambda own: function(own, *arguments))(params)

    return jax.jit(batch)


def _threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _MAX_THREADS)


def over_draws(
    fitted: Fitted,
    program: Callable[..., Any],
    arguments: Sequence[Any],
    *,
    dims: Sequence[str],
    coords: Mapping[str, Any],
    group: str = "posterior",
    max_draws: int | None = None,
    elements: int = 1,
) -> xr.DataArray:
    """Evaluate a compiled program for every draw.

    Parameters
    ----------
    fitted
        A fit.
    program
        Result of :func:`compiled`; returns an array (draw, *dims).
    arguments
        Arguments of the program after the parameters.
    dims, coords
        Names and labels of the dimensions after ``chain`` and ``draw``.
    group
        ``"posterior"`` or ``"prior"``.
    max_draws
        Thin the draws evenly to at most this many.
    elements
        Size of the largest intermediate array of one draw; it determines the batch size.

    Returns
    -------
    xarray.DataArray
        ``(chain, draw, *dims)``.

    Raises
    ------
    ValueError
        If the group is absent, or the result would be too large for memory.
    """
    if group not in fitted.tree.children:
        raise ValueError(
            f"This fit has no group {group!r}; it has {sorted(fitted.tree.children)}. Fit with "
            "num_prior_draws above zero to keep draws of the prior."
        )
    params, chains, draws = fitted.scaled(group, max_draws)
    count = len(chains) * len(draws)
    shape = tuple(len(coords[dim]) for dim in dims)
    each = int(np.prod(shape, dtype=int)) * fitted.dtype.itemsize
    if each * count > _RESULT_BYTES:
        raise ValueError(
            f"The result would take {each * count / 1e9:.1f} GB: {count} draws of {shape} numbers. "
            f"Ask for fewer dimensions in by=, or set max_draws={_RESULT_BYTES // each} or fewer."
        )
    result = np.empty((count, *shape), fitted.dtype)
    size = int(np.clip(_BATCH_ELEMENTS // max(elements, 1), 1, _BATCH))
    batches = enumerate(in_batches(params, size))

    def evaluate(item: tuple[int, tuple[dict[str, NDArray], int]]) -> None:
        number, (batch, true) = item
        with fitted.precision():
            found = np.asarray(program(batch, *arguments))
        result[number * size : number * size + true] = found[:true]

    # The first batch compiles; the others release the global interpreter lock and run in parallel.
    evaluate(next(batches))
    with ThreadPoolExecutor(_threads()) as pool:
        list(pool.map(evaluate, batches))
    return xr.DataArray(
        result.reshape(len(chains), len(draws), *shape),
        {"chain": chains, "draw": draws, **{dim: coords[dim] for dim in dims}},
        ("chain", "draw", *dims),
    )
