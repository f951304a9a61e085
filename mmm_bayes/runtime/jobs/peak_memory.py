"""Measure the peak memory of a process while a block runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class PeakMemory:
    """Peak resident memory of this process in MiB, known once its block has ended.

    On Linux it is the peak of the block; elsewhere it is the peak of the process so far.
    """

    mib: float = float("nan")


@contextlib.contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """Measure the block."""
    found = PeakMemory()
    with contextlib.suppress(OSError):  # the system lacks this file, or forbids writing to it
        _CLEAR.write_text(_RESET_PEAK)
    try:
        yield found
    finally:
        found.mib = _peak()


def _peak() -> float:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = _STATUS.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024
