"""Read the text of a model file."""

from __future__ import annotations

import os
from pathlib import Path

from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.settings import SettingsError
from mmm_bayes.runtime.text_file import TextError, is_file, read_text


class ModelSpecError(SettingsError):
    """A model file that cannot be used; ``findings`` lists every problem with its remedy."""


def read_model_text(source: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the text of a model file, or of the source itself, and how errors name it."""
    if isinstance(source, str) and ("\n" in source or "=" in source or source == ""):
        return source, "the model text"
    if not isinstance(source, str | os.PathLike):
        message = f"A model should be a path or TOML text, but is {source!r:.60}."
        raise ModelSpecError([Finding("source", "error", message)], "the model")
    path = Path(source)
    if not is_file(path):
        others = sorted(p.name for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        hint = f" Model files in {path.parent}: {', '.join(others)}." if others else ""
        raise FileNotFoundError(f"There is no model file {path}.{hint}")
    try:
        return read_text(path), str(path)
    except TextError as error:
        raise unreadable(error, str(path)) from None


def unreadable(error: TextError, where: str) -> ModelSpecError:
    """Return the error for a text that is not TOML."""
    return ModelSpecError([Finding("text", "error", str(error))], where)
