"""Compilation of the baselines' programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import jax

from mmm_bayes.inference.sharding import runs_on_cpu

# Higher levels of LLVM take two to three times as long to compile, and the programs run as fast.
_CPU_OPTIONS = {"xla_backend_optimization_level": 1}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled function; its ``settings`` are static.

    What device it is compiled for is asked at the first call, not when the module is imported.
    """

    @cache
    def jitted() -> Any:
        options = _CPU_OPTIONS if runs_on_cpu() else None
        return jax.jit(function, static_argnames=("settings",), compiler_options=options)

    @wraps(function)
    def call(*arguments: Any, **settings: Any) -> Any:
        return jitted()(*arguments, **settings)

    return call
