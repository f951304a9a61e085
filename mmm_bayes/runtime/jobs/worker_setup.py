"""Prepare a Dask worker of this machine (a preload module of Dask)."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ignore Ctrl-C, which reaches every process of the terminal: the main process handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
