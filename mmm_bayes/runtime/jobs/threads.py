"""Limit each worker to one thread: parallel processes gain nothing from more."""

from __future__ import annotations

import os

_XLA = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def one_thread_environment() -> dict[str, str]:
    """Return variables that limit a process to one CPU thread, if set before NumPy and JAX load."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    flags = os.environ.get("XLA_FLAGS", "")
    if _XLA not in flags:
        flags = f"{flags} {_XLA}".strip()
    return {name: "1" for name in names} | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}


def one_thread() -> None:
    """Limit this process to one CPU thread; call it before NumPy, JAX and XGBoost load."""
    os.environ.update(one_thread_environment())
