"""One trace at a time: NumPyro keeps its handlers in a list that all threads share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()


@contextmanager
def tracing() -> Iterator[None]:
    """Hold while a function that runs NumPyro handlers is traced; compilation needs no lock."""
    with _LOCK:
        yield
