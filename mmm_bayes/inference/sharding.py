"""Which device runs what: the sole place that asks JAX for its devices."""

from __future__ import annotations

from typing import Literal

import jax


def default_chain_method() -> Literal["threads", "vectorized"]:
    """Threads on CPUs, one program for all chains on accelerators.

    On two CPU cores threads are the faster by the factor that ``benchmarks/speed_national.py``
    prints; an accelerator runs one program at a time, and is filled by all chains together.
    """
    return "threads" if runs_on_cpu() else "vectorized"


def runs_on_cpu() -> bool:
    """Whether programs run on the CPU by default."""
    return jax.default_backend() == "cpu"
