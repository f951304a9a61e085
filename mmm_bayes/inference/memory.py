"""Estimate the memory that a computation needs, and compare it with the free memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from mmm_bayes.runtime.numbers import byte_size
from mmm_bayes.runtime.visible import shown_safely

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


class FitMemoryError(MemoryError):
    """A fit would need more memory than is free; nothing was computed."""


@final
@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory by purpose, in bytes.

    Attributes
    ----------
    host
        Arrays in the memory of the machine.
    device
        Arrays on each accelerator; on CPUs these are in the memory of the machine as well.
    available_host, available_device
        Free memory; that of the device is ``None`` if devices share the machine's memory.
    remedies
        Settings to reduce, most effective first.
    """

    host: Mapping[str, int]
    device: Mapping[str, int]
    available_host: int
    available_device: int | None
    remedies: tuple[str, ...]

    @property
    def host_bytes(self) -> int:
        """Peak memory of the machine."""
        own = sum(self.host.values())
        return own if self.available_device is not None else own + self.device_bytes

    @property
    def device_bytes(self) -> int:
        """Peak memory of each device."""
        return sum(self.device.values())

    @property
    def fits(self) -> bool:
        """Whether there is enough free memory."""
        enough = self.host_bytes <= self.available_host
        if self.available_device is not None:
            enough = enough and self.device_bytes <= self.available_device
        return enough

    @shown_safely
    def __str__(self) -> str:
        places = [("machine", self.host, self.available_host)]
        if self.available_device is None:
            places[0] = ("machine", {**self.host, **self.device}, self.available_host)
        else:
            places.append(("each device", self.device, self.available_device))
        lines = []
        for place, parts, available in places:
            total = sum(parts.values())
            lines.append(f"{place}: about {byte_size(total)} of {byte_size(available)} free")
            shown = sorted(parts.items(), key=lambda item: -item[1])
            lines += [f"  {name:<42}{byte_size(size):>10}" for name, size in shown if size]
        return "\n".join(lines)

    @shown_safely
    def __repr__(self) -> str:
        return str(self)

    def check(self) -> None:
        """Raise if there is too little memory.

        Raises
        ------
        FitMemoryError
            With the memory needed by purpose, and the settings to reduce.
        """
        if self.fits:
            return
        remedies = "\n".join(f"  {i}. {text}" for i, text in enumerate(self.remedies, 1))
        raise FitMemoryError(
            f"The fit needs more memory than is free.\n{self}\nMost effective first:\n{remedies}"
            "\nThis is an estimate: preflight=False starts the fit anyway."
        )


def available_memory() -> int:
    """Return the free memory of this machine, or of its container, in bytes."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in _CGROUPS:
        try:
            allowed = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # no such controller, or "max"
            continue
        free = min(free, max(allowed, 0) + _reclaimable(Path(limit).parent))
    return free


def _reclaimable(group: Path) -> int:
    """Return the size of file caches, which count as used but are freed on demand."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    stats = dict(line.split() for line in lines if len(line.split()) == 2)
    return int(stats.get("inactive_file", 0)) + int(stats.get("active_file", 0))
