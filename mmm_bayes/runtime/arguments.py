"""Arguments of the wrong type, said in plain words.

Functions do not check the types of all their arguments before they begin: most mistakes are found
by checks of their own, which know more. :func:`explained` looks at the types only when a call ended
in an error that this package did not raise (``'NoneType' object is not iterable``), and when an
argument is of another type than its annotation says, that is the error.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import opcode
import os
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any

from mmm_bayes.runtime.findings import DataError, Finding

_RAISE = opcode.opmap["RAISE_VARARGS"]
_LARGEST = 2**62  # whole numbers beyond it count nothing
_FOREIGN = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError)
_SHOWN = 60


class ArgumentError(DataError, TypeError):
    """Arguments are of the wrong type; ``findings`` lists all of them."""


@contextmanager
def explained(
    signature: inspect.Signature,
    names: Mapping[str, Any],
    where: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Iterator[None]:
    """Turn a bare error into an `ArgumentError` if an argument of the wrong type explains it.

    Parameters
    ----------
    signature
        Signature of the function, with annotations as text or as types.
    names
        Names that annotations may use: the globals of the function's module.
    where
        How the call is written, such as ``MMM.fit()``.
    args, kwargs
        Arguments of the call.
    """
    if large := [
        _finding(name, value, f"a whole number below {_LARGEST:.2g}")
        for name, value in _given(signature, args, kwargs)
        if type(value) is int and abs(value) > _LARGEST and name != "rng_key"
    ]:
        raise ArgumentError(large, where)
    try:
        yield
    except _FOREIGN as error:
        if _is_ours(error):
            raise
        if wrong := list(_wrong(signature, names, args, kwargs)):
            raise ArgumentError(wrong, where) from error
        raise


def _is_ours(error: BaseException) -> bool:
    """Whether an error was raised by a line of this package, or is of a class of it."""
    if type(error).__module__.partition(".")[0] == "mmm_bayes":
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not last.tb_frame.f_globals.get("__name__", "").startswith("mmm_bayes"):
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISE


def _given(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    yield from zip(signature.parameters, args, strict=False)
    yield from kwargs.items()


def _wrong(
    signature: inspect.Signature,
    names: Mapping[str, Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Iterator[Finding]:
    """List the arguments of the wrong type."""
    for name, value in _given(signature, args, kwargs):
        parameter = signature.parameters.get(name)
        if parameter is None or name in ("self", "cls") or value is parameter.default:
            continue
        hint = _resolved(parameter.annotation, names)
        if not _fits(value, hint):
            listed = isinstance(value, str) and any(_is_list(own) for own in _options(hint))
            remedy = f"Write {name}=[{value!r:.{_SHOWN}}]." if listed else ""
            yield _finding(name, value, _described(hint), remedy)


def _finding(name: str, value: Any, expected: str, remedy: str = "") -> Finding:
    text = re.sub(r"\s+", " ", repr(value))
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
    message = f"{name} should be {expected}, but is {shown} ({type(value).__name__})."
    return Finding("argument_type", "error", message, remedy, name)


# --- Annotations ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _parts(annotation: str) -> tuple[str, ...]:
    """Split ``"int | Sequence[str] | None"`` at its bars."""
    found, depth, start = [], 0, 0
    for place, sign in enumerate(annotation):
        depth += (sign in "[(") - (sign in "])")
        if sign == "|" and depth == 0:
            found.append(annotation[start:place].strip())
            start = place + 1
    return (*found, annotation[start:].strip())


def _resolved(annotation: Any, names: Mapping[str, Any]) -> Any:
    """Return the type that an annotation means; ``Any`` where a part of it is not to be found."""
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    known = {**vars(typing), **vars(collections.abc), **vars(sys.modules["builtins"]), **names}
    parts = []
    for part in _parts(annotation):
        try:
            shim: Any = SimpleNamespace(__annotations__={"hint": part})
            parts.append(typing.get_type_hints(shim, known)["hint"])
        except (NameError, AttributeError, TypeError, SyntaxError):
            name = re.fullmatch(r"((?:\w+\.)*)([A-Z]\w+)(\[.*\])?", part)
            if name is None:
                return Any
            # A class that is imported for types only; its module tells libraries from ours.
            parts.append(typing.ForwardRef(name[2], module=name[1].rstrip(".") or None))
    return typing.Union[tuple(parts)] if len(parts) > 1 else parts[0]  # noqa: UP007


def _options(hint: Any) -> tuple[Any, ...]:
    """Return the parts of a union; a hint that is none is its only part."""
    if isinstance(hint, typing.TypeAliasType):
        hint = hint.__value__
    if isinstance(hint, typing.TypeVar):
        hint = hint.__bound__ or Any
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(own for part in typing.get_args(hint) for own in _options(part))
    return (hint,)


def _is_list(hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    if not isinstance(origin, type) or origin.__module__ not in ("builtins", "collections.abc"):
        return False
    return issubclass(origin, collections.abc.Iterable) and not issubclass(
        origin, str | bytes | Mapping
    )


def _fits(value: Any, hint: Any) -> bool:
    return any(_fits_one(value, own) for own in _options(hint))


def _fits_one(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in (None, type(None)):
        return value is None
    if origin is typing.Literal:
        return isinstance(value, tuple({type(option) for option in inner}))
    if isinstance(hint, typing.ForwardRef):
        name, module = hint.__forward_arg__, hint.__forward_module__
        if module is not None:
            return _is_of_library(value, name)
        return any(own.__name__ == name for own in type(value).__mro__)
    kind = origin or hint
    if not isinstance(kind, type) or kind in (object, Any):
        return True
    if (
        getattr(kind, "_is_protocol", False)
        and origin is None
        and kind.__module__.startswith("mmm")
    ):
        return all(hasattr(value, name) for name in vars(kind).get("__protocol_attrs__", ()))
    if kind is bool:
        return isinstance(value, bool) or type(value).__name__ == "bool"
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        scalar = getattr(value, "ndim", None) == 0
        real = isinstance(value, Real) and not isinstance(value, bool)
        return (real and not math.isnan(value)) or scalar
    if kind.__module__.partition(".")[0] in ("pandas", "numpy", "jax", "jaxlib", "xarray"):
        return _is_of_library(value, kind.__name__)
    if _is_list(kind):
        return _fits_list(value, kind, inner)
    if not isinstance(value, kind):
        return False
    if isinstance(value, Mapping) and len(inner) == 2:
        return all(_fits(key, inner[0]) and _fits(own, inner[1]) for key, own in value.items())
    return True


def _fits_list(value: Any, kind: type, inner: tuple[Any, ...]) -> bool:
    if isinstance(value, str | bytes) or not isinstance(value, collections.abc.Iterable):
        return False
    if type(value).__name__ == "DataFrame":
        return False
    if kind in (list, tuple, collections.abc.Sequence) and isinstance(value, Mapping | set):
        return False
    several = isinstance(value, list | tuple | set | frozenset) or hasattr(value, "__array__")
    if not inner or not several:
        return True
    if kind is tuple and inner[-1] is not ...:
        cells = list(value)
        return len(cells) == len(inner) and all(map(_fits, cells, inner))
    return all(_fits(own, inner[0]) for own in value)


def _is_of_library(value: Any, name: str) -> bool:
    """Whether a value may stand for a table or an array of pandas, NumPy, JAX or xarray."""
    if any(own.__name__ == name for own in type(value).__mro__):
        return True
    if name == "DataFrame":  # of pandas, polars or pyarrow
        return hasattr(value, "columns") or hasattr(value, "column_names")
    if name in ("ndarray", "Array", "Series", "DataArray", "DatetimeIndex"):
        return isinstance(value, list | tuple | Real) or hasattr(value, "__array__")
    return name not in ("DiGraph", "Graph", "Dataset", "DataTree")


# --- Words ---------------------------------------------------------------------------------------

_WORDS: dict[Any, str] = {
    type(None): "None",
    None: "None",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
}


def _described(hint: Any) -> str:
    """Say in words what an annotation accepts."""
    texts = list(dict.fromkeys(_described_one(own) for own in _options(hint)))
    if "None" in texts:  # the rest says more
        texts = [text for text in texts if text != "None"] + ["None"]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _described_one(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is typing.Literal:
        return ", ".join(repr(option) for option in inner)
    if isinstance(hint, typing.ForwardRef):
        return f"a {hint.__forward_arg__}"
    kind = origin or hint
    if isinstance(kind, type) and issubclass(kind, os.PathLike):
        return "a path"
    if kind is collections.abc.Callable:
        return "a function"
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return "a mapping, such as {...}"
    if _is_list(kind):
        return "a list of texts" if inner[:1] == (str,) else "a list"
    return f"a {getattr(kind, '__name__', str(kind))}"


def wrong_fields(instance: Any, names: tuple[str, ...]) -> list[Finding]:
    """List the fields of a data class whose values are of another type than its annotations say."""
    kind = type(instance)
    module = vars(sys.modules[kind.__module__])
    found = []
    for name in names:
        value, hint = getattr(instance, name), _resolved(kind.__annotations__[name], module)
        if not _fits(value, hint):
            found.append(_finding(name, value, _described(hint)))
    return found
