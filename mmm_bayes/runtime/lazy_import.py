"""Names of a package that load their module on first use, so that its import costs nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str], old: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package
        Its name, as ``__name__``.
    homes
        Name to module that defines it, from the top package, as ``{"MMM": "fit"}``; a name whose
        value ends with a dot, as ``{"errors": "errors."}``, is that module itself.
    old
        Deprecated name to new name, from the top package: ``{"simulate_mmm": "simulate.mmm"}``.
        These work with a warning, and are not listed.
    """
    top = package.partition(".")[0]
    old = old or {}

    def get(name: str) -> Any:
        if name in homes:
            home = homes[name]
            module = importlib.import_module(f"{top}.{home.removesuffix('.')}")
            value = module if home.endswith(".") else getattr(module, name)
            setattr(sys.modules[package], name, value)
            return value
        if name in old:
            from mmm_bayes.runtime.deprecation import warn_deprecated

            path, _, new = f"{top}.{old[name]}".rpartition(".")
            warn_deprecated(f"{package}.{name}", f"{path}.{new}")
            return getattr(importlib.import_module(path), new)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        own = [name for name in vars(sys.modules[package]) if name.startswith("__")]
        return sorted({*homes, *own})

    return get, names
