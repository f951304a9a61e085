"""Dask clusters of this machine, shared by the tests that do not kill their scheduler."""

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


@pytest.fixture(scope="module")
def one_of_two() -> Iterator[Any]:
    """Client of two workers of one thread, of which only one has the GPU that is none."""
    import dask
    import distributed

    def worker(**options: Any) -> dict[str, Any]:
        quiet = {"nthreads": 1, "dashboard": False, "silence_logs": 50}
        return {"cls": distributed.Nanny, "options": quiet | options}

    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"dashboard": False, "dashboard_address": "127.0.0.1:0", "port": 0},
    }
    with (
        warnings.catch_warnings(),
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.SpecCluster(
            workers={"with": worker(resources={"GPU": 1}), "without": worker()},
            scheduler=scheduler,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as own,
    ):
        yield own
