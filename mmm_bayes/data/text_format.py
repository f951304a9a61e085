"""How a text table is written: encoding, separator, and the format of its numbers."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import lzma
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, final

from mmm_bayes.runtime.findings import DataError, Finding

SEPARATORS = (",", ";", "\t", "|")
_HEAD = 1 << 16
_MARKS = (
    # The mark of UTF-32 begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_PACKED = (".zip", ".tar", ".zst", ".tgz")


class TextSettings(TypedDict, total=False):
    """How a text table is written; None to find out from the file."""

    separator: str | None
    decimal: str | None
    thousands: str | None
    encoding: str | None


@final
@dataclass(frozen=True)
class TextFormat:
    r"""How a text table is written; None where the file is to tell.

    Attributes
    ----------
    separator : str, optional
        Character between cells: ``","``, ``";"``, ``"\t"``, ``"|"`` or another one.
    decimal : {".", ","}, optional
        Decimal mark.
    thousands : str, optional
        Character between groups of three digits.
    encoding : str, optional
        For example ``"utf-8"``, ``"utf-16"`` or ``"cp1252"``.

    Raises
    ------
    DataError
        Listing every setting that is not valid.
    """

    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        found = []
        if self.separator in ("tab", "\\t"):
            object.__setattr__(self, "separator", "\t")
        if self.separator is not None and not _is_mark(self.separator):
            found.append(_problem("separator", self.separator, "one character", 'separator=";"'))
        if self.decimal is not None and self.decimal not in (".", ","):
            found.append(_problem("decimal", self.decimal, '"." or ","', 'decimal=","'))
        if self.thousands is not None and not _is_mark(self.thousands):
            found.append(_problem("thousands", self.thousands, "one character", 'thousands="."'))
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            remedy = f'decimal="," with thousands="{self.thousands}"'
            found.append(
                _problem("thousands", self.thousands, "another mark than the decimal one", remedy)
            )
        if self.encoding is not None and not _is_encoding(self.encoding):
            known = "the name of an encoding"
            found.append(_problem("encoding", self.encoding, known, 'encoding="cp1252"'))
        if found:
            raise DataError(found, "the settings of a text table")


def _problem(name: str, value: object, expected: str, example: str) -> Finding:
    message = f"{name} should be {expected}, but is {value!r}."
    return Finding("text_format", "error", message, f"For example {example}.", name)


def _is_mark(value: object) -> bool:
    if not isinstance(value, str) or len(value) != 1:
        return False
    return not value.isalnum() and value not in '"\n\r'


def _is_encoding(value: object) -> bool:
    try:
        return isinstance(value, str) and codecs.lookup(value)._is_text_encoding
    except (LookupError, ValueError):
        return False


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file, unpacked; none of an archive."""
    if path.suffix.lower() in _PACKED:
        return b""
    opener = _OPENERS.get(path.suffix.lower(), Path.open)
    with opener(path) if opener is not Path.open else path.open("rb") as file:
        return bytes(file.read(_HEAD))


def find_encoding(head: bytes) -> str:
    """Return the encoding that the first bytes of a file show, by its mark or by its zeros."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    half = head[: len(head) // 2 * 2]
    even, odd = half[::2].count(0), half[1::2].count(0)
    # Latin letters, digits and signs have a zero as their upper byte in UTF-16.
    if odd > len(half) / 4 and even == 0:
        return "utf-16-le"
    if even > len(half) / 4 and odd == 0:
        return "utf-16-be"
    return "utf-8"


def find_separator(head: str, columns: Collection[str] = ()) -> tuple[str, int]:
    """Return the separator, and the number of lines before the header.

    The separator is the one that splits the header into most of the names in ``columns``, and then
    into most cells. Spreadsheets may state it in a first line ``sep=;``.
    """
    lines = head.splitlines()
    first = lines[0].strip().strip('"').lower() if lines else ""
    if first.startswith("sep=") and len(first.rstrip(",;|\t")) <= 5:
        return lines[0].strip().strip('"')[4:5] or "\t", 1
    header = next((line for line in lines if line.strip()), "")

    def score(separator: str) -> tuple[int, int]:
        cells = [cell.strip() for cell in next(csv.reader([header], delimiter=separator), [])]
        return len(set(columns) & set(cells)), len(cells)

    return max(SEPARATORS, key=score), 0
