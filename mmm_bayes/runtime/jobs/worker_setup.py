"""What a Dask worker of this machine does first (a preload of Dask)."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which reaches every process of the terminal, to the one that started them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
