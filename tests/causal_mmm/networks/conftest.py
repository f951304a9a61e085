"""Fixture of the tests of networks: one thread of BLAS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_blas_thread() -> Iterator[None]:
    # Threads that wait for one another take fifty times as long on matrices of this size.
    with threadpool_limits(1, user_api="blas"):
        yield
