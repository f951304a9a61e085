"""Fixtures of the tests of networks: one thread of BLAS, and programs that compile quickly."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_blas_thread() -> Iterator[None]:
    # Threads that wait for one another take fifty times as long on matrices of this size.
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Half the time to compile; programs of this size run in no time either way."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
