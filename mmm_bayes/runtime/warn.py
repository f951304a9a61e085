"""Warnings that point at the user's own line."""

from __future__ import annotations

import warnings
from pathlib import Path

from mmm_bayes.runtime.visible import visible_text

_PACKAGE = str(Path(__file__).resolve().parents[1])


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line of the call stack that lies outside this package."""
    warnings.warn(visible_text(message), category, stacklevel=2, skip_file_prefixes=(_PACKAGE,))
