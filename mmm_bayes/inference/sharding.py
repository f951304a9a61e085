"""Which device runs what: the sole place that asks JAX for its devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax

Devices = Literal["all"] | int | Sequence[jax.Device] | None
"""Devices to use: all of every process, so many of them, these, or (``None``) JAX's default."""


def default_chain_method() -> Literal["threads", "vectorized"]:
    """Threads on CPUs, one program for all chains on accelerators.

    On two CPU cores threads are the faster by the factor that ``benchmarks/speed_national.py``
    prints; an accelerator runs one program at a time, and is filled by all chains together.
    """
    return "threads" if runs_on_cpu() else "vectorized"


def runs_on_cpu() -> bool:
    """Whether programs run on the CPU by default."""
    return jax.default_backend() == "cpu"


def chosen_devices(devices: Devices) -> tuple[jax.Device, ...]:
    """Resolve a choice of devices; ``"all"`` are those of all processes.

    Raises
    ------
    ValueError
        If more are asked for than there are, or the choice is none.
    """
    there = jax.devices()
    if devices is None:
        return (jax.local_devices()[0],)
    if isinstance(devices, str):
        if devices != "all":
            raise ValueError(f"devices should be 'all', a number or devices; got {devices!r}.")
        return tuple(there)
    if isinstance(devices, int):
        if not 1 <= devices <= len(there):
            kinds = ", ".join(str(device) for device in there[:8])
            raise ValueError(
                f"devices={devices} was asked for, but JAX sees {len(there)} ({kinds}). Ask for no "
                "more, or start JAX with more: on CPUs by "
                "XLA_FLAGS=--xla_force_host_platform_device_count=N before JAX is imported."
            )
        return tuple(there[:devices])
    chosen = tuple(devices)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"devices should name each device once; got {list(chosen)}.")
    return chosen
