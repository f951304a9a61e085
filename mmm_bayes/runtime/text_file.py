"""Read text that a user wrote as UTF-8, TOML or JSON; every problem is a `TextError`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any


class TextError(ValueError):
    """A text cannot be read; the message says why, and where."""


def read_text(path: Path) -> str:
    """Read a file of UTF-8 text, without its byte-order mark.

    Raises
    ------
    TextError
        If the bytes are not UTF-8.
    """
    try:
        # Not read_text: it would change line ends, also those inside a quoted name.
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"The file is not UTF-8 text ({error}): save it as UTF-8.") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML.

    Raises
    ------
    TextError
        If the text is not TOML, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TextError("The file is not TOML: it is nested too deeply.") from None
    except ValueError as error:
        raise TextError(f"The file is not TOML: {error}.") from None


def parse_json(text: str) -> Any:
    """Read JSON, in which NaN and infinity are not valid.

    Raises
    ------
    TextError
        If the text is not JSON, is nested too deeply, or has a number of thousands of digits.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise TextError("not JSON: it is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise TextError(f"line {error.lineno}: not JSON: {error.msg}.") from None
    except ValueError as error:
        raise TextError(f"not JSON: {error}.") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not valid in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text:.40} is too large")
    return value


def is_file(path: Path) -> bool:
    """Whether there is a file; no path that cannot be one is an error."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a file name, or with a NUL
        return False
