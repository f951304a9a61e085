"""Old calls that keep working for one version, and suggestions for names nobody knows.

The decorators here change nothing that ``help()``, completion or a type checker sees: the signature
of the decorated function is the new one.

>>> @renamed(n_rows="num_rows")
... def draw(rng_key, *, num_rows=10):
...     return num_rows
>>> draw(0, num_row=3)
Traceback (most recent call last):
    ...
TypeError: draw() got an unexpected keyword argument 'num_row'. Did you mean 'num_rows'?
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from mmm_bayes.runtime.findings import nearest

_PACKAGE = str(Path(__file__).parents[1])


def warn_deprecated(old: str, new: str) -> None:
    """Warn, at the caller's line outside this package, that ``old`` is now written ``new``."""
    warnings.warn(
        f"{old} is deprecated and will be removed in the next version: use {new}.",
        DeprecationWarning,
        stacklevel=2,
        skip_file_prefixes=(_PACKAGE,),
    )


def named_arguments[F: Callable[..., Any]](function: F) -> F:
    """Let a misspelt keyword argument raise a ``TypeError`` that suggests the nearest name."""
    return renamed()(function)


def renamed[F: Callable[..., Any]](**names: str) -> Callable[[F], F]:
    """Accept old names of keyword arguments, as ``renamed(old="new")``, with a warning."""

    def decorate(function: F) -> F:
        known = list(inspect.signature(function).parameters)
        where = f"{function.__name__}()"

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if kwargs.keys() & names.keys():
                kwargs = renamed_keys(kwargs, names, where)
            for key in kwargs:
                if key not in known:
                    raise TypeError(
                        f"{where} got an unexpected keyword argument {key!r}.{nearest(key, known)}"
                    )
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def renamed_keys(given: Mapping[str, Any], names: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return ``given`` with old keys replaced, ``names`` being ``{old: new}``, with a warning each.

    Raises
    ------
    TypeError
        If a value is given under its old and under its new name.
    """
    result = {key: value for key, value in given.items() if key not in names}
    for old in given.keys() & names.keys():
        new = names[old]
        if new in result:
            raise TypeError(f"{where} got {old!r} and {new!r}, which mean the same: give {new!r}.")
        warn_deprecated(f"{old!r} of {where}", f"{new!r}")
        result[new] = given[old]
    return result


def grouped[F: Callable[..., Any]](into: str, *names: str) -> Callable[[F], F]:
    """Accept keyword arguments that are now entries of the mapping ``into``, with a warning."""

    def decorate(function: F) -> F:
        where = f"{function.__name__}()"

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for name in [name for name in names if name in kwargs]:
                warn_deprecated(f"{name!r} of {where}", f"{into}={{{name!r}: ...}}")
                kwargs[into] = {**(kwargs.get(into) or {}), name: kwargs.pop(name)}
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def rng_key_first[F: Callable[..., Any]](
    position: int | None = None, optional: bool = False
) -> Callable[[F], F]:
    """Accept calls from when ``rng_key`` was not the first argument, with a warning.

    Parameters
    ----------
    position
        Where ``rng_key`` stood among the positional arguments (``self`` not counted); ``None`` if
        it was a keyword argument only.
    optional
        It could be left out; such a call passes ``None``.
    """

    def decorate(function: F) -> F:
        name = function.__name__
        first = 1 if next(iter(inspect.signature(function).parameters)) == "self" else 0

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            bound, given = args[:first], args[first:]
            old = "rng_key" in kwargs if given else optional and "rng_key" not in kwargs
            if given and not old and not is_key(given[0]):
                at = position if position is not None and position < len(given) else None
                old = optional or at is not None
                if at is not None:
                    kwargs = {**kwargs, "rng_key": given[at]}
                    given = given[:at] + given[at + 1 :]
            if old:
                warn_deprecated(f"{name}() with rng_key elsewhere", f"{name}(rng_key, ...)")
                given = (kwargs.pop("rng_key", None), *given)
            return function(*bound, *given, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def is_key(value: Any) -> bool:
    """Whether a value has the form of a random key: a JAX key, its words, or an integer seed."""
    if isinstance(value, Integral):
        return not isinstance(value, bool)
    dtype = getattr(value, "dtype", None)
    return dtype is not None and (str(dtype).startswith("key<") or dtype == np.uint32)
