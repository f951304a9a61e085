"""The base of all settings: frozen, and an unknown key is refused with the nearest known name."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError


class Frozen(BaseModel):
    """A settings object: checked when made, immutable, hashable by its content."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
                        "unknown_key", "{text}", {"text": f"unknown key: {nearest(key, known)}"}
                    )
                else:
                    kind = PydanticCustomError(kind, "{text}", {"text": problem["msg"]})
                details.append(
                    InitErrorDetails(type=kind, loc=problem["loc"], input=problem["input"])
                )
            raise ValidationError.from_exception_data(error.title, details) from None

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


def nearest(key: str, known: list[str]) -> str:
    """Suggest the known name that a key was probably meant to be."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
