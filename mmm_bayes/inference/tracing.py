"""Compile functions: trace one at a time, then compile without a lock.

NumPyro keeps its handlers in a list that all threads share, so two models cannot be traced at once.
Compilation runs no Python code and releases the global lock, so programs can compile in parallel.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from mmm_bayes.inference.sharding import runs_on_cpu
from mmm_bayes.runtime.deprecation import named_arguments

_LOCK = threading.RLock()

# LLVM's higher optimisation levels take a third of the compile time of these programs and gain
# nothing: their loops are short, and XLA has already fused and vectorised them.
_CPU_OPTIONS = {"xla_backend_optimization_level": 1}


@named_arguments
def use_compilation_cache(folder: str | os.PathLike[str] | None = None) -> Path:
    """Store compiled programs in a folder, for this process and later ones.

    A model with the same structure and the same number of dates, geos and channels is then compiled
    once per machine instead of once per process. The folder holds machine code that is executed
    when it is read: use one that only you can write to.

    Parameters
    ----------
    folder
        Created if it does not exist; by default ``mmm_bayes`` in the user's cache folder.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    from jax.experimental.compilation_cache import compilation_cache

    if folder is None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "mmm_bayes" / "programs"
    path = Path(folder).expanduser().resolve()
    path.mkdir(parents=True, exist_ok=True)
    # JAX reads its settings once: without this, an earlier compilation would disable the cache.
    compilation_cache.reset_cache()
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path


@contextmanager
def tracing() -> Iterator[None]:
    """Hold the lock while a function with NumPyro handlers is traced."""
    with _LOCK:
        yield


def compile_program(jitted: Any, *arguments: Any) -> Any:
    """Trace a ``jax.jit`` function for arguments (or their shapes), and compile it."""
    with tracing():
        lowered = jitted.lower(*arguments)
    return lowered.compile(compiler_options=_CPU_OPTIONS if runs_on_cpu() else None)
