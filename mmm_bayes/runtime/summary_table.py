"""A DataFrame whose print shows the important columns first, within 100 characters."""

from __future__ import annotations

import numbers
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mmm_bayes.runtime.numbers import (
    MISSING,
    between,
    change,
    compact,
    four_figures,
    p_value,
    percent,
    probability,
    ratio,
    typographic,
)
from mmm_bayes.runtime.visible import visible, visible_html, visible_text

NumberStyle = Literal["compact", "full", "percent", "probability", "ratio", "p", "change", "text"]

WIDTH = 100
_CELL = 48  # characters of a text shown in a terminal
_WRITE: dict[str, Callable[[float], str]] = {
    "compact": compact,
    "full": four_figures,
    "percent": percent,
    "probability": probability,
    "ratio": ratio,
    "p": p_value,
    "change": change,
}


@dataclass(frozen=True)
class Shown:
    """One column as it is printed.

    Attributes
    ----------
    heading
        Heading in the print.
    source
        Column of the table, or two that are the ends of an interval.
    style
        How its numbers are written.
    """

    heading: str
    source: str | tuple[str, str]
    style: NumberStyle = "compact"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table that are shown here."""
        return (self.source,) if isinstance(self.source, str) else self.source

    def texts(self, frame: pd.DataFrame) -> list[str]:
        """Write the cells."""
        parts = [[_text(x, self.style) for x in frame[name]] for name in self.columns]
        if len(parts) == 1:
            return parts[0]
        return [
            MISSING if low == high == MISSING else between(low, high)
            for low, high in zip(*parts, strict=True)
        ]


class SummaryTable(pd.DataFrame):
    """A DataFrame that prints well; whatever is made from it is a plain DataFrame.

    Parameters
    ----------
    data, index, columns
        As of a DataFrame.
    shown
        The columns to print and how; by default all of them.
    caption
        A line printed below.
    """

    _metadata = ["_shown", "_caption"]  # pandas' own name and type

    def __init__(
        self,
        data: Any = None,
        index: Any = None,
        columns: Any = None,
        *,
        shown: Sequence[Shown] = (),
        caption: str = "",
    ) -> None:
        super().__init__(data, index=index, columns=columns)  # type: ignore[call-arg]  # stubs
        self._shown = tuple(shown)
        self._caption = caption

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    @property
    def headings(self) -> list[str]:
        """Headings of the printed columns."""
        return [own.heading for own in self._shown]

    def with_shown(self, shown: Shown, values: Any, *, after: str) -> SummaryTable:
        """Return a copy with one more column, printed after the one with the heading ``after``."""
        place = self.headings.index(after) + 1
        columns = (*self._shown[:place], shown, *self._shown[place:])
        frame = self.assign(**{shown.columns[0]: values})
        return SummaryTable(frame, shown=columns, caption=self._caption)

    def formatted(self) -> pd.DataFrame:
        """Return the printed columns as text."""
        shown = self._shown
        if not shown:
            shown = tuple(Shown(str(name), name, "compact") for name in self.columns)
        texts = [own.texts(self) for own in shown]
        cells = np.array(texts, dtype=object).reshape(len(shown), len(self)).T
        headings = [visible(own.heading) for own in shown]
        return pd.DataFrame(cells, index=_visible_index(self.index), columns=headings)

    def to_formatted_html(self) -> str:
        """Return the printed columns as an HTML table, with the caption."""
        frame = self.formatted().map(_minus)
        named = any(name is not None for name in self.index.names)
        with pd.option_context("display.max_colwidth", None):
            body = frame.to_html(index=named or not isinstance(self.index, pd.RangeIndex), border=0)
        return body + (f"<p>{visible_html(self._caption)}</p>" if self._caption else "")

    def __repr__(self) -> str:
        if not self._is_whole():
            return super().__repr__()
        frame = self.formatted().map(_cut)
        index = not (isinstance(self.index, pd.RangeIndex) and self.index.name is None)
        most = pd.get_option("display.max_rows") or None
        width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
        text = frame.to_string(index=index, line_width=width, max_rows=most)
        return f"{text}\n{visible_text(self._caption)}" if self._caption else text

    def _repr_html_(self) -> str:
        return self.to_formatted_html() if self._is_whole() else pd.DataFrame(self).to_html()

    def _is_whole(self) -> bool:
        """Return whether the columns to print are still there, and there is something to print."""
        names = {name for own in self._shown for name in own.columns}
        plain = self.columns.is_unique and self.columns.nlevels == 1
        return plain and self.size > 0 and names <= set(self.columns)


def _text(value: Any, style: NumberStyle) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{value:,}" if style in ("compact", "text") else _WRITE[style](float(value))
    if isinstance(value, numbers.Real) and style != "text":
        return _WRITE[style](float(value))
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return MISSING if value is None or value is pd.NaT else visible(value)


def _visible_index(index: pd.Index) -> pd.Index:
    """Escape the names in an index that holds text."""
    if isinstance(index, pd.MultiIndex):
        levels: Any = [_visible_index(level) for level in index.levels]
        return index.set_levels(levels, verify_integrity=False)
    texts = pd.api.types.is_object_dtype(index.dtype) or pd.api.types.is_string_dtype(index.dtype)
    return index.map(lambda v: visible(v) if isinstance(v, str) else v) if texts else index


def _cut(text: str) -> str:
    """Shorten a long text for a terminal."""
    return text if len(text) <= _CELL else text[: _CELL - 3].rstrip() + "..."


def _minus(text: str) -> str:
    """Set a true minus sign in front of a number."""
    return typographic(text[0]) + text[1:] if text[:1] == "-" and text[1:2].isdigit() else text
