"""From a function to a compiled program: one trace at a time, then compilation without a lock.

NumPyro keeps its handlers in a list that all threads share, so two models cannot be traced at once.
Compilation runs no Python and releases the global lock: programs may compile side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmm_bayes.inference.sharding import runs_on_cpu

_LOCK = threading.RLock()

# LLVM's higher levels cost a third of the compile time of these programs and gain nothing:
# their loops are short, and XLA has fused and vectorised them before.
_CPU_OPTIONS = {"xla_backend_optimization_level": 1}


@contextmanager
def tracing() -> Iterator[None]:
    """Hold while a function that runs NumPyro handlers is traced."""
    with _LOCK:
        yield


def compile_program(jitted: Any, *arguments: Any) -> Any:
    """Trace a ``jax.jit`` function for arguments (or their shapes), and compile it."""
    with tracing():
        lowered = jitted.lower(*arguments)
    return lowered.compile(compiler_options=_CPU_OPTIONS if runs_on_cpu() else None)
