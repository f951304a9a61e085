"""What a report is made of: sections of blocks, each knowing no more than its words and numbers.

A block's ``kind`` names the macro of the template that writes it. Everything here is plain text:
the template escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Tone = Literal["good", "look", "bad", "plain"]


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first column names the row.

    Attributes
    ----------
    caption
        What the table holds.
    header
        Names of the columns.
    rows
        Cells.
    text
        Positions of the columns that are words, set flush left; the first one always is.
    folded
        Whether a reader has to open it, where it stands by itself.
    """

    kind: ClassVar[str] = "table"
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: tuple[int, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Chart:
    """An interactive figure, what it says, how to read it, and its numbers as a table.

    Attributes
    ----------
    key
        Identifier in the page.
    title
        Heading.
    says
        What this figure shows, in a sentence or two with its main numbers; also what a screen
        reader says in place of it.
    reading
        How to read a figure of this kind.
    figure
        ``data`` and ``layout`` of plotly.
    table
        The numbers.
    height
        In pixels.
    choices
        Further figures by name, of which a person picks one; the first is ``figure``.
    choice_label
        What is picked.
    """

    kind: ClassVar[str] = "chart"
    key: str
    title: str
    says: str
    reading: str
    figure: Mapping[str, Any]
    table: Table
    height: int = 380
    choices: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    choice_label: str = ""


@dataclass(frozen=True)
class Panel:
    """One of several small figures."""

    key: str
    title: str
    says: str
    figure: Mapping[str, Any]


@dataclass(frozen=True)
class Panels:
    """Small figures of one kind, with one reading and one table."""

    kind: ClassVar[str] = "panels"
    key: str
    title: str
    says: str
    reading: str
    panels: tuple[Panel, ...]
    table: Table
    height: int = 250


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Listing:
    """Sentences, one a line."""

    kind: ClassVar[str] = "listing"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Note:
    """A sentence set off: good, worth a look, or bad."""

    kind: ClassVar[str] = "note"
    tone: Tone
    text: str


@dataclass(frozen=True)
class Remark:
    """A finding: how grave, what, and what to do."""

    tone: Tone
    label: str
    message: str
    advice: str = ""


@dataclass(frozen=True)
class Remarks:
    """Findings, the gravest first."""

    kind: ClassVar[str] = "remarks"
    items: tuple[Remark, ...]


@dataclass(frozen=True)
class Verdict:
    """The banner: PASS, REVIEW or FAIL, and what that means."""

    kind: ClassVar[str] = "verdict"
    tone: Tone
    word: str
    meaning: str
    detail: str


@dataclass(frozen=True)
class Figure:
    """A key figure: a number with its interval."""

    label: str
    value: str
    interval: str = ""


@dataclass(frozen=True)
class Figures:
    """Key figures side by side."""

    kind: ClassVar[str] = "figures"
    items: tuple[Figure, ...]


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Image:
    """A drawing as SVG, with its content in words."""

    kind: ClassVar[str] = "image"
    source: str
    says: str
    width: int
    details: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """Text as it is in a file."""

    kind: ClassVar[str] = "code"
    title: str
    text: str


@dataclass(frozen=True)
class Planner:
    """The page on which a person changes spend.

    Attributes
    ----------
    channels
        Name and identifier of every channel that is paid for.
    values
        Settings and texts, plain JSON.
    curves
        Packed curves, base64.
    """

    kind: ClassVar[str] = "planner"
    channels: tuple[tuple[str, str], ...]
    values: Mapping[str, Any]
    curves: str


@dataclass(frozen=True)
class Section:
    """A part of the report with an entry in its table of contents."""

    key: str
    title: str
    blocks: Sequence[Any] = field(default_factory=tuple)
