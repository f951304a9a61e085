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
import sys
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any

from mmm_bayes.runtime.arguments import explained
from mmm_bayes.runtime.keywords import nearest_argument
from mmm_bayes.runtime.warn import warn_user


def warn_deprecated(old: str, new: str) -> None:
    """Warn, at the caller's line outside this package, that ``old`` is now written ``new``."""
    warn_user(
        f"{old} is deprecated and will be removed in the next version: use {new}.",
        DeprecationWarning,
    )


def named_arguments[F: Callable[..., Any]](function: F) -> F:
    """Let a misspelt keyword argument raise a ``TypeError`` that suggests the nearest name.

    A bare error that an argument of the wrong type explains becomes an `ArgumentError`.
    """
    return renamed()(function)


def spelled_out[F: Callable[..., Any]](options: type) -> Callable[[F], F]:
    """Show the keys of ``**settings: Unpack[options]`` as keyword arguments, and check them.

    A type checker reads them from ``Unpack``; this gives them to ``help()`` and completion, and
    lets a misspelt one raise a ``TypeError`` that suggests the nearest name.

    Parameters
    ----------
    options
        A ``TypedDict`` with ``total=False``.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                # Its true default is that of the function or settings behind.
                default=None if "None" in str(kind) else ...,
                annotation=getattr(kind, "__forward_arg__", kind),
            )
            for name, kind in options.__annotations__.items()
        ]
        checked = signature.replace(parameters=[*own, *more])

        where, names = _written(function), _names_of(function, options)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            _refuse_unknown(kwargs, list(checked.parameters), where)
            with explained(checked, names, where, args, kwargs):
                return function(*args, **kwargs)

        call.__signature__ = checked  # type: ignore[attr-defined]
        call.explains_types = True  # type: ignore[attr-defined]  # a test asks every public name
        return call  # type: ignore[return-value]

    return decorate


def renamed[F: Callable[..., Any]](**names: str) -> Callable[[F], F]:
    """Accept old names of keyword arguments, as ``renamed(old="new")``, with a warning."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        known, where, own = list(signature.parameters), _written(function), _names_of(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if kwargs.keys() & names.keys():
                kwargs = renamed_keys(kwargs, names, where)
            _refuse_unknown(kwargs, known, where)
            with explained(signature, own, where, args, kwargs):
                return function(*args, **kwargs)

        call.explains_types = True  # type: ignore[attr-defined]  # a test asks every public name
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


def old_name(new: str) -> Any:
    """Return a property that answers for the attribute ``new`` under its old name, with a warning.

    >>> class Table:
    ...     num_rows = 3
    ...     n_rows = old_name("num_rows")
    """
    return _OldName(new)


class _OldName:
    """Not a property: dataclasses take no field from it, and ``help()`` shows one line."""

    def __init__(self, new: str) -> None:
        self.new = new
        self.__doc__ = f"Old name of ``{new}``."

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        warn_deprecated(f"{owner.__name__}.{self.name}", self.new)
        return getattr(instance, self.new)


def grouped[F: Callable[..., Any]](into: str, *names: str, **new_names: str) -> Callable[[F], F]:
    """Accept keyword arguments that are now entries of the mapping ``into``, with a warning.

    ``new_names`` are those whose entry has another name: ``old="new"``.
    """
    entries = {**{name: name for name in names}, **new_names}

    def decorate(function: F) -> F:
        where = f"{function.__name__}()"

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for name in [name for name in entries if name in kwargs]:
                entry = entries[name]
                warn_deprecated(f"{name!r} of {where}", f"{into}={{{entry!r}: ...}}")
                kwargs[into] = {**(kwargs.get(into) or {}), entry: kwargs.pop(name)}
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def rng_key_first[F: Callable[..., Any]](
    position: int | None = None,
    optional: bool = False,
    is_old: Callable[[tuple[Any, ...], Mapping[str, Any]], bool] | None = None,
) -> Callable[[F], F]:
    """Accept calls from when ``rng_key`` was not the first argument, with a warning.

    Parameters
    ----------
    position
        Where ``rng_key`` stood among the positional arguments (``self`` not counted); ``None`` if
        it was a keyword argument only.
    optional
        It could be left out; such a call passes ``None``.
    is_old
        Tells an old call from its positional and keyword arguments, where the form of the first one
        does not: it was a whole number, as a seed is.
    """

    def decorate(function: F) -> F:
        name = _written(function).removesuffix("()")
        first = 1 if next(iter(inspect.signature(function).parameters)) == "self" else 0

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            bound, given = args[:first], args[first:]
            old = "rng_key" in kwargs if given else optional and "rng_key" not in kwargs
            if given and not old and is_old is not None:
                old = is_old(given, kwargs)
            elif given and not old and not is_key(given[0]):
                at = position
                if at is not None and at < len(given) and is_key(given[at]):
                    old, kwargs = True, {**kwargs, "rng_key": given[at]}
                    given = given[:at] + given[at + 1 :]
                else:
                    old = optional and given[0] is not None
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
    return dtype is not None and (str(dtype).startswith("key<") or str(dtype) == "uint32")


def _names_of(function: Callable[..., Any], *more: type) -> Mapping[str, Any]:
    """Return the names that the annotations of a function may use."""
    modules = (vars(sys.modules[own.__module__]) for own in more)
    return ChainMap(getattr(inspect.unwrap(function), "__globals__", {}), *modules)


def _written(function: Callable[..., Any]) -> str:
    """Return how a call is written: ``MMM.fit()``, ``CausalMMM()``."""
    name = function.__qualname__.rpartition("<locals>.")[2]
    return f"{name.removesuffix('.__init__')}()"


def _refuse_unknown(kwargs: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in kwargs:
        if key not in known:
            raise TypeError(
                f"{where} got an unexpected keyword argument {key!r}.{nearest_argument(key, known)}"
            )
