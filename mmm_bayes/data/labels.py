"""Labels of a table (geos, shops, channels): text, however the table stores them."""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

NDArray = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Labels:
    """The labels of a column, in natural order, and the position of each row's label.

    Attributes
    ----------
    names : tuple of str
        Distinct labels; ``geo_2`` comes before ``geo_10``.
    codes : array of int
        Position in ``names`` of each row's label; -1 where the cell is empty.
    """

    names: tuple[str, ...]
    codes: NDArray

    def matched(self, known: Sequence[str]) -> Labels:
        """Return the same labels, named as the known ones that they stand for."""
        names = [known_label(name, known) for name in self.names]
        ordered = natural_order(names)
        return Labels(tuple(ordered), _positions(names, ordered)[self.codes])

    def name(self, row: int) -> str:
        """Return the label of a row; ``""`` where the cell is empty."""
        code = int(self.codes[row])
        return "" if code < 0 else self.names[code]


def read_labels(column: pd.Series) -> Labels:
    """Read a column of labels: text, whole numbers, categories or truth values."""
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    texts = [label_text(value) for value in distinct]
    names = natural_order(texts)
    return Labels(tuple(names), _positions(texts, names)[codes])


def _positions(texts: Sequence[str], names: Sequence[str]) -> NDArray:
    """Return the position of each text among names, and -1 at the end for the code -1."""
    # Two cells may have the same label: 12 and "12 ".
    position = {name: k for k, name in enumerate(names)} | {"": -1}
    return np.array([*(position[text] for text in texts), -1], dtype=np.int64)


def label_text(value: object) -> str:
    """Return the text of a label.

    A missing cell turns a column of whole numbers into floats, so that 12.0 is the label 12.
    """
    if isinstance(value, decimal.Decimal):
        finite = value.is_finite()
    else:
        finite = isinstance(value, float | np.floating) and math.isfinite(value)
    if finite:
        whole = int(value)  # type: ignore[call-overload]
        value = whole if whole == value else value
    # NumPy strings end at a NUL.
    return str(value).replace("\x00", "").strip()


def known_label(name: str, known: Sequence[str]) -> str:
    """Return the known label that a name stands for, or the name itself if there is none.

    Programs read the code ``"0501"`` as the number 501, and write it as ``"501.0"`` next to empty
    cells. A name that is not known stands for the only known label with the same whole number.
    """
    number = _whole(name)
    if name in known or number is None:
        return name
    same = [other for other in known if _whole(other) == number]
    return same[0] if len(same) == 1 else name


def known_labels(column: pd.Series, known: Sequence[str]) -> pd.Index:
    """Read a column of labels as the known ones that they stand for; ``""`` where it is empty."""
    labels = read_labels(column)
    names = [known_label(name, known) for name in labels.names]
    return pd.Index(np.array([*names, ""], dtype=object)[labels.codes])


def _whole(name: str) -> str | None:
    # Not int(): a name may have more digits than Python converts to a number.
    digits = re.fullmatch(r"0*([0-9]+)(\.0+)?", name)
    return None if digits is None else digits[1]


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort distinct names by the numbers within them: geo_2 before geo_10."""

    def key(name: str) -> list[tuple[int, int, str]]:
        parts = re.split(r"([0-9]+)", name)
        # Not int(): a name may have more digits than Python converts to a number.
        numbers = [part.lstrip("0") if part[:1].isdecimal() else None for part in parts]
        return [
            (1, 0, part) if number is None else (0, len(number), number)
            for part, number in zip(parts, numbers, strict=True)
        ]

    # Equal keys ("1" and "01") are put in order by the names themselves.
    return sorted(set(names) - {""}, key=lambda name: (key(name), name))
