"""A Dask cluster of this machine, shared by the tests that do not kill its scheduler."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Client of two workers of one thread, each with a GPU that is none."""
    import dask
    import distributed

    with (
        warnings.catch_warnings(),
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            # Its other pages need a port all the same: any that is free.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=50,
            resources={"GPU": 1},
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as own,
    ):
        yield own
