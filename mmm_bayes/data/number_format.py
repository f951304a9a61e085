"""How the numbers of a text table are written: decimal mark and thousands separator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

# Cells of a column that are looked at to find the format: enough for any mark to occur.
_SAMPLE = 5000
_SPACES = " \u00a0\u202f"
_NUMBER_LIKE = re.compile(rf"[-+]?[0-9.,'’{_SPACES}]*[0-9]")


class NumberFormat(NamedTuple):
    """A decimal mark and a thousands separator; ``""`` for no separator."""

    decimal: str = "."
    thousands: str = ""

    def pattern(self) -> re.Pattern[str]:
        """Return the pattern of a whole cell."""
        whole = r"[0-9]+"
        if self.thousands:
            mark = f"[{_SPACES}]" if self.thousands == " " else re.escape(self.thousands)
            whole = rf"(?:[0-9]+|[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+)"
        decimals = rf"(?:{re.escape(self.decimal)}[0-9]*)?"
        return re.compile(rf"\s*[-+]?{whole}{decimals}(?:[eE][-+]?[0-9]+)?\s*")

    def read(self, cells: pd.Series) -> pd.Series:
        """Return cells as floats; those not written this way keep their text."""
        text = cells.astype("object")
        present = text.notna()
        fits = present & text.where(present, "").astype(str).str.fullmatch(self.pattern())
        plain = text[fits].astype(str)
        marks = _SPACES if self.thousands == " " else self.thousands
        for mark in marks:
            plain = plain.str.replace(mark, "", regex=False)
        numbers = plain.str.replace(self.decimal, ".", regex=False).astype("float64")
        if (fits | ~present).all():
            return numbers.reindex(text.index)
        text[fits] = numbers
        return text

    def in_words(self) -> str:
        """Return the settings that state this format, as written in Python and in TOML."""
        settings = [f"decimal={self.decimal!r}"] if self.decimal != "." else []
        settings += [f"thousands={self.thousands!r}"] if self.thousands else []
        return " and ".join(settings or ["decimal='.'"])


PLAIN = NumberFormat()
_FORMATS = (
    PLAIN,
    NumberFormat(",", ""),
    NumberFormat(".", ","),
    NumberFormat(",", "."),
    NumberFormat(".", " "),
    NumberFormat(",", " "),
    NumberFormat(".", "'"),
    NumberFormat(",", "'"),
    NumberFormat(".", "’"),
    NumberFormat(",", "’"),
)


def number_like(cells: Iterable[str]) -> list[str]:
    """Return the cells that consist of digits and marks between them."""
    return [cell for cell in cells if _NUMBER_LIKE.fullmatch(cell.strip())]


def possible_formats(columns: Sequence[Sequence[str]]) -> tuple[NumberFormat, ...]:
    """Return the formats in which all cells of all columns may be written.

    Formats that read the same numbers count once, the simplest of them. A column that no format
    fits (dates, versions) is left out.

    Examples
    --------
    >>> possible_formats([["1.234,56", "7"]])
    (NumberFormat(decimal=',', thousands='.'),)
    >>> possible_formats([["1,234", "987"]])
    (NumberFormat(decimal=',', thousands=''), NumberFormat(decimal='.', thousands=','))
    >>> possible_formats([["1,234", "987"], ["3,5"]])
    (NumberFormat(decimal=',', thousands=''),)
    """
    samples = [list(dict.fromkeys(number_like(cells)))[:_SAMPLE] for cells in columns]
    fitting = [_fitting(cells) for cells in samples]
    known = [(cells, own) for cells, own in zip(samples, fitting, strict=True) if cells and own]
    shared = [form for form in _FORMATS if all(form in own for _, own in known)]
    distinct: dict[tuple[float, ...], NumberFormat] = {}
    for form in shared:
        read = [form.read(pd.Series(cells, dtype="object")) for cells, _ in known]
        numbers = np.concatenate(read) if read else np.empty(0)
        distinct.setdefault(tuple(numbers.astype(float)), form)
    return tuple(distinct.values())


def _fitting(cells: Sequence[str]) -> tuple[NumberFormat, ...]:
    found = []
    matching = [form for form in _FORMATS if all(map(form.pattern().fullmatch, cells))]
    for form in matching:
        # Where thousands are marked, a number of four digits without the mark is not plausible,
        # and neither is a group after a zero: 0,125 is an eighth.
        whole = [cell.strip().lstrip("+-").partition(form.decimal)[0] for cell in cells]
        unmarked = any(len(part) > 3 and part.isdecimal() for part in whole)
        zero = any(part.startswith("0") and len(part) > 1 for part in whole)
        if form.thousands and (unmarked or zero):
            continue
        found.append(form)
    # Where no format fits strictly, some numbers are marked and others not.
    return tuple(found or matching)


def number_remedy(cells: Sequence[str]) -> str | None:
    """Say how to read cells that hold numbers in another format; None if they do not."""
    formats = [form for form in possible_formats([cells]) if form != PLAIN]
    like = number_like(cells)
    if len(like) < len(cells) or not formats:
        return None
    ways = [form.in_words() for form in formats]
    if len(ways) > 1:
        first = pd.Series(like[:1], dtype="object")
        values = [form.read(first).iloc[0] for form in formats]
        ways = [f"{way} if {like[0]!r} is {v:.10g}" for way, v in zip(ways, values, strict=True)]
    return (
        f"Read the file with {', or '.join(ways)} (arguments of MMMData.from_csv and pd.read_csv, "
        "and settings in the [data] section of a model file)."
    )
