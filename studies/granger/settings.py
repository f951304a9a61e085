"""Checks of the baselines' settings, all of which are reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest


def known(name: str, value: str, names: Sequence[str]) -> list[str]:
    """Return what is wrong with a name."""
    if value in names:
        return []
    return [
        f"{name} should be {listing(map(repr, names))}, but is {value!r}.{nearest(value, names)}"
    ]


def at_least(name: str, value: object, low: int) -> list[str]:
    """Return what is wrong with a whole number that has a smallest value."""
    if isinstance(value, int) and value >= low:
        return []
    return [f"{name} should be a whole number of at least {low}, but is {value!r}."]


def above(name: str, value: float, low: float, high: float = float("inf")) -> list[str]:
    """Return what is wrong with a number from ``low`` to ``high``."""
    if low <= value <= high:
        return []
    limit = f"from {low:g} to {high:g}" if high < float("inf") else f"of at least {low:g}"
    return [f"{name} should be a number {limit}, but is {value!r}."]


def decreasing(name: str, values: Sequence[float]) -> list[str]:
    """Return what is wrong with a decreasing sequence of positive numbers."""
    if values and min(values) > 0 and all(a > b for a, b in pairwise(values)):
        return []
    return [f"{name} should be positive numbers, each smaller than the last, but are {values!r}."]


def raise_settings(messages: Iterable[str], source: str) -> None:
    """Raise :class:`~mmm_bayes.runtime.findings.DataError` if anything is wrong."""
    if found := [Finding("settings", "error", text, "", where=None) for text in messages]:
        raise DataError(found, f"the settings of {source}")
