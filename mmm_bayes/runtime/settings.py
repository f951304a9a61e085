"""The base of all settings: frozen, checked when made, and every problem in plain words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.keywords import nearest_argument

_SHOWN = 60  # characters of a value in a message
# What each kind of problem expects, in other words than pydantic's.
_EXPECTED = {
    "missing": "is needed",
    "string_type": "should be text",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_parsing_size": "should be a whole number of fewer digits",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a finite number",
    "tuple_type": "should be a list, such as [...]",
    "list_type": "should be a list, such as [...]",
    "dict_type": "should be a mapping of names to values, such as {...}",
    "path_type": "should be a path",
}


class SettingsError(DataError):
    """Settings are not valid; ``findings`` lists every reason, ``str()`` is a numbered list."""


class Frozen(BaseModel):
    """A settings object: checked when made, immutable, hashable by its content.

    Raises
    ------
    SettingsError
        Listing every problem, when it is made, and when a field is set afterwards.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, /, **values: Any) -> None:
        with _in_words(type(self).__name__):
            super().__init__(**values)

    # Without this mark pydantic would call __init__ for nested settings too, and lose their place.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **settings: Any) -> Self:
        """Make the settings of a mapping, or of settings."""
        with _in_words(cls.__name__):
            return super().model_validate(obj, **settings)

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown_keys(cls, values: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        try:
            return handler(values)
        except ValidationError as error:
            known = sorted(cls.model_fields)
            details: list[InitErrorDetails] = []
            for problem in error.errors():
                kind: Any = problem["type"]
                if kind == "extra_forbidden" and len(problem["loc"]) == 1:
                    key = str(problem["loc"][0])
                    kind = PydanticCustomError(
                        "unknown_key", "{text}", {"text": f"unknown key: {_meant(key, known)}"}
                    )
                else:
                    kind = PydanticCustomError(kind, "{text}", {"text": _words(problem)})
                details.append(
                    InitErrorDetails(type=kind, loc=problem["loc"], input=problem["input"])
                )
            raise ValidationError.from_exception_data(error.title, details) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse_change(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse_change(name)
        super().__delattr__(name)

    def _refuse_change(self, name: str) -> None:
        if name in type(self).model_fields:
            kind = type(self).__name__
            message = f"{name!r} cannot be changed: settings are frozen."
            remedy = f"Make another {kind} with the changed setting."
            raise SettingsError([Finding("frozen", "error", message, remedy, name)], kind)

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


@contextmanager
def _in_words(kind: str) -> Iterator[None]:
    """Raise a `SettingsError` for whatever pydantic refuses."""
    try:
        yield
    except ValidationError as error:
        raise SettingsError([_finding(problem) for problem in error.errors()], kind) from None


def _finding(problem: Mapping[str, Any]) -> Finding:
    place = ".".join(str(part) for part in problem["loc"])
    given = problem.get("input")
    shown = "" if isinstance(given, dict) else f" (got {_short(given)})"
    message = f"[{place or 'top level'}] {_words(problem)}{shown}"
    return Finding(str(problem["type"]), "error", message, where=place or None)


def _words(problem: Mapping[str, Any]) -> str:
    """Return what a problem of pydantic expects, in plain words."""
    kind, text = problem["type"], str(problem["msg"])
    if kind in ("model_type", "model_attributes_type") and "class_name" in problem.get("ctx", {}):
        name = problem["ctx"]["class_name"]
        return f"should be {name}(...), or a mapping of its settings, such as {{...}}"
    if text.startswith("Input "):
        return _EXPECTED.get(kind, text.removeprefix("Input "))
    if kind == "missing":
        return _EXPECTED[kind] if text == "Field required" else text
    return text.removeprefix("Value error, ")


def _meant(key: str, known: list[str]) -> str:
    hint = nearest_argument(key, known).strip()
    return f"d{hint[1:]}" if hint else nearest(key, known)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def nearest(key: str, known: list[str]) -> str:
    """Suggest the known name that a key was probably meant to be."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
