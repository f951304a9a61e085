"""Choices among named methods, and settings that only some of them have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmm_bayes.runtime.findings import listing, nearest
from mmm_bayes.runtime.keywords import namesake


def choose(name: str, value: str, options: Iterable[str]) -> str:
    """Return the option that ``value`` names, in upper or lower case.

    Raises
    ------
    ValueError
        If there is none, with the nearest one.
    """
    known = list(options)
    for option in known:
        if str(value).lower() == option.lower():
            return option
    hint = nearest(str(value), known)
    raise ValueError(f"{name} should be one of {listing(known, 20)}, but is {value!r}.{hint}")


def refuse_ignored(
    name: str, value: str, settings: Mapping[str, tuple[Any, Iterable[str]]]
) -> None:
    """Refuse settings that the chosen method does not have.

    Parameters
    ----------
    name, value
        Of the choice, such as ``method`` and ``"svi"``.
    settings
        By name: the value given (``None`` if it was not) and the methods that have the setting.

    Raises
    ------
    ValueError
        Naming all of them, and what they require.
    """
    usable = [own for own, (_, methods) in settings.items() if value in methods]
    wrong = [
        f"`{setting}` requires {name}={' or '.join(map(repr, methods))}{_instead(setting, usable)}"
        for setting, (given, methods) in settings.items()
        if given is not None and value not in methods
    ]
    if wrong:
        raise ValueError(
            f"With {name}={value!r}, settings would have no effect: {'; '.join(wrong)}."
        )


def _instead(setting: str, usable: list[str]) -> str:
    other = namesake(setting, usable)
    return f" (did you mean {other!r}?)" if other else ""
