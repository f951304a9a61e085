"""Assign chains and geos to devices; no other module asks JAX for its devices.

Devices form a mesh with the axes ``chain`` and ``geo``. Chains are independent, so they are
distributed first. Devices that remain share the geos of each chain, and sums over geos become sums
over devices (inserted by XLA's partitioner). Several processes (``jax.distributed``) hold parts of
one mesh: each runs the chains on its own devices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

NDArray = np.ndarray[Any, Any]

CHAIN, GEO = "chain", "geo"

Devices = Literal["all"] | int | Sequence[jax.Device] | None
"""Devices to use: all of every process, a number, a list, or JAX's default (``None``)."""


class DevicesError(ValueError):
    """The devices do not exist, or cannot share the work."""


def default_chain_method() -> Literal["threads", "vectorized"]:
    """Return threads on CPUs, and one program for all chains on accelerators.

    On two CPU cores threads are faster by the factor that ``benchmarks/speed_national.py`` prints;
    an accelerator runs one program at a time, and all chains together use it best.
    """
    return "threads" if runs_on_cpu() else "vectorized"


def runs_on_cpu() -> bool:
    """Return whether programs run on the CPU by default."""
    return jax.default_backend() == "cpu"


def chosen_devices(devices: Devices) -> tuple[jax.Device, ...]:
    """Resolve a choice of devices; ``"all"`` are those of all processes.

    Raises
    ------
    DevicesError
        If there are not as many devices, or the choice is not valid.
    """
    there = jax.devices()
    if devices is None:
        return (jax.local_devices()[0],)
    if isinstance(devices, str):
        if devices != "all":
            raise DevicesError(f"devices should be 'all', a number or devices; got {devices!r}.")
        return tuple(there)
    if isinstance(devices, Integral):
        if not 1 <= devices <= len(there):
            kinds = ", ".join(str(device) for device in there[:8])
            raise DevicesError(
                f"devices={devices} is not available: JAX sees {len(there)} ({kinds}). Give a "
                "smaller number, or start JAX with more devices: on CPUs set "
                "XLA_FLAGS=--xla_force_host_platform_device_count=N before JAX is imported."
            )
        return tuple(there[:devices])
    chosen = tuple(devices) if isinstance(devices, Iterable) else (devices,)
    if not all(hasattr(device, "process_index") for device in chosen):
        raise DevicesError(
            f"devices should be 'all', a number, or devices of JAX; got {devices!r:.60}."
        )
    if not chosen or len(set(chosen)) < len(chosen):
        raise DevicesError(f"devices should name each device once; got {list(chosen)}.")
    return chosen


@dataclass(frozen=True)
class ChainMesh:
    """A mesh of devices for chains and the geos of each chain.

    Parameters
    ----------
    mesh
        Devices with the axes ``chain`` and ``geo``.
    num_chains
        Number of chains, a multiple of the first axis.
    """

    mesh: Mesh
    num_chains: int

    @property
    def splits_geos(self) -> bool:
        """Whether the geos of a chain are on more than one device."""
        return self.mesh.shape[GEO] > 1

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of devices along chains and along geos."""
        return self.mesh.shape[CHAIN], self.mesh.shape[GEO]

    @property
    def local_chains(self) -> tuple[int, ...]:
        """Chains with a device of this process."""
        each = self.num_chains // self.mesh.shape[CHAIN]
        own = process_number()
        rows = [
            row
            for row, devices in enumerate(self.mesh.devices)
            if any(device.process_index == own for device in devices)
        ]
        return tuple(chain for row in rows for chain in range(row * each, (row + 1) * each))

    @property
    def local_devices(self) -> tuple[jax.Device, ...]:
        """Devices of this process."""
        own = process_number()
        return tuple(device for device in self.mesh.devices.flat if device.process_index == own)

    def sharding(self, *axes: str | None) -> NamedSharding:
        """Return the sharding of leading axes of an array along axes of the mesh."""
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    def put(self, values: Any, spec: PartitionSpec) -> jax.Array:
        """Distribute values that every process has in full."""
        values = np.asarray(values)
        sharding = NamedSharding(self.mesh, spec)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    def put_chains(self, values: NDArray) -> jax.Array:
        """Distribute values (chain, ...) of the chains of this process."""
        place = {chain: index for index, chain in enumerate(self.local_chains)}

        def part(index: Any) -> NDArray:
            chains = range(self.num_chains)[index[0]]
            return values[[place[chain] for chain in chains]]

        shape = (self.num_chains, *values.shape[1:])
        return jax.make_array_from_callback(shape, self.sharding(CHAIN), part)

    def read_chains(self, values: jax.Array) -> NDArray:
        """Return values (chain, ...) of the chains of this process."""
        parts = {shard.index[0].start or 0: shard.data for shard in values.addressable_shards}
        return np.concatenate([np.asarray(parts[start]) for start in sorted(parts)])

    def gather_chains(self, values: NDArray) -> NDArray:
        """Return values (chain, ...) of all chains, gathered from all processes."""
        if not several_processes():
            return values
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(self.put_chains(values), tiled=True))


def chain_mesh(
    devices: Devices, num_chains: int, num_geos: int, geo_devices: int | None = None
) -> ChainMesh:
    """Lay chains and geos out on devices.

    Parameters
    ----------
    devices
        Devices to use.
    num_chains, num_geos
        Numbers of chains and geos.
    geo_devices
        Number of devices over which the geos of a chain are split; by default the devices that
        remain after distributing chains. A model that is too large for one device needs it.

    Raises
    ------
    DevicesError
        If ``geo_devices`` does not divide the numbers of devices and geos, or a process would have
        no work.

    Notes
    -----
    The first axis is the largest divisor of both the number of devices and of chains, the second
    the largest number of the devices left over that divides the geos.
    """
    chosen = chosen_devices(devices)
    count = len(chosen)
    if geo_devices is None:
        along_chains = math.gcd(count, num_chains)
        left = count // along_chains
        along_geos = max(size for size in range(1, left + 1) if num_geos % size == 0)
    else:
        if geo_devices < 1 or count % geo_devices or num_geos % geo_devices:
            raise DevicesError(
                f"geo_devices={geo_devices} should divide the number of devices ({count}) and of "
                f"geos ({num_geos})."
            )
        along_geos, along_chains = geo_devices, math.gcd(count // geo_devices, num_chains)
    used = np.array(chosen[: along_chains * along_geos]).reshape(along_chains, along_geos)
    idle = {device.process_index for device in chosen} - {d.process_index for d in used.flat}
    if idle:
        raise DevicesError(
            f"{num_chains} chains and {num_geos} geos fill {used.size} of {count} devices, and "
            f"process {', '.join(map(str, sorted(idle)))} would have no work. Let num_chains be a "
            "multiple of the number of devices."
        )
    return ChainMesh(Mesh(used, (CHAIN, GEO)), num_chains)


def process_number() -> int:
    """Return the number of this process among those that share devices; 0 if there is only one."""
    return int(jax.process_index())


def several_processes() -> bool:
    """Return whether several processes share devices (``jax.distributed``)."""
    return int(jax.process_count()) > 1


def every_process(flag: bool) -> bool:
    """Return whether a flag holds in all processes."""
    return bool(_each_process(flag).all())


def any_process(flag: bool) -> bool:
    """Return whether a flag holds in any process."""
    return bool(_each_process(flag).any())


def least_process(number: int) -> int:
    """Return the smallest of the numbers of all processes."""
    return int(_each_process(number).min())


def _each_process(value: int) -> NDArray:
    if not several_processes():
        return np.array([value])
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(np.asarray(value, np.int32)))


def device_memory() -> int | None:
    """Return the free bytes of an accelerator, or ``None`` if unknown and on CPUs."""
    stats = None if runs_on_cpu() else jax.local_devices()[0].memory_stats()
    if not stats or "bytes_limit" not in stats:
        return None
    return int(stats["bytes_limit"]) - int(stats.get("bytes_in_use", 0))
