"""Read the cells of a table of shops as names, dates and numbers; report unreadable cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import LARGEST, cell_text, plain_frame, to_floats
from mmm_bayes.data.dates import parse_dates
from mmm_bayes.data.labels import read_labels
from mmm_bayes.data.number_format import number_remedy
from mmm_bayes.runtime.findings import Finding, listing


@dataclass(frozen=True)
class Cells:
    """The columns of the table as arrays, rows in the given order.

    Attributes
    ----------
    shops : numpy.ndarray, optional
        Shop of each row; None where the cell is empty.
    dates : pandas.DatetimeIndex, optional
    numbers : dict
        Values by column; NaN where the cell is empty or was refused.
    refused : dict
        Boolean by column: cells that hold something other than a finite number.
    """

    shops: np.ndarray | None
    dates: pd.DatetimeIndex | None
    numbers: dict[str, np.ndarray]
    refused: dict[str, np.ndarray]

    @staticmethod
    def rows(mask: np.ndarray) -> tuple[int, ...]:
        """Return the positions of the rows in a mask."""
        return tuple(int(row) for row in np.flatnonzero(mask))

    def places(self, rows: Sequence[int]) -> str:
        """Describe rows by position, shop and date."""
        return listing(map(self._place, rows))

    def _place(self, row: int) -> str:
        notes = []
        if self.shops is not None and self.shops[row] is not None:
            notes.append(str(self.shops[row]))
        if self.dates is not None and not pd.isna(self.dates[row]):
            notes.append(f"{self.dates[row]:%Y-%m-%d}")
        return f"row {row}" + (f" ({', '.join(notes)})" if notes else "")


def read_columns(
    frame: pd.DataFrame, shop: str, date: str, context: Sequence[str], nodes: Sequence[str]
) -> tuple[Cells, list[Finding]]:
    """Read the columns of a table, and report the cells that cannot be read."""
    frame = plain_frame(frame)
    # Column names may be numbers.
    by_name = {str(name): frame[name].reset_index(drop=True) for name in frame.columns}
    found: list[Finding] = []
    shops = dates = None
    if shop in by_name:
        shops, no_shop = _names(by_name[shop], shop)
        found += no_shop
    if date in by_name:
        parsed = parse_dates(by_name[date], date)
        dates = parsed.values
        found += parsed.findings
    cells = Cells(shops, dates, {}, {})
    for name in dict.fromkeys((*context, *nodes)):
        if name not in by_name:
            continue
        values, text = to_floats(by_name[name])
        infinite = np.abs(np.nan_to_num(values)) > LARGEST
        cells.numbers[name] = np.where(infinite, np.nan, values)
        cells.refused[name] = text | infinite
        if rows := cells.rows(text):
            shown = f"{cells.places(rows)}; the first is {cell_text(by_name[name].iloc[rows[0]])}"
            message = (
                f"Column {name!r} should hold numbers, but {len(rows)} cell(s) do not: {shown}."
            )
            written = number_remedy([str(by_name[name].iloc[row]) for row in rows])
            remedy = written or "Correct these cells, or leave them empty."
            found.append(Finding("not_a_number", "error", message, remedy, name, rows))
        if rows := cells.rows(infinite):
            message = (
                f"Column {name!r} has {len(rows)} cell(s) that are infinite or beyond {LARGEST:g}: "
                f"{cells.places(rows)}."
            )
            remedy = "Look for a division by zero where the table was made."
            found.append(Finding("infinite_value", "error", message, remedy, name, rows))
    return cells, found


def _names(column: pd.Series, name: str) -> tuple[np.ndarray, list[Finding]]:
    """Return the names of shops as text."""
    labels = read_labels(column)
    # The position -1, of an empty cell, is the last one.
    names = np.array([*labels.names, None], dtype=object)[labels.codes]
    rows = Cells.rows(labels.codes < 0)
    if not rows:
        return names, []
    text = f"Column {name!r} has {len(rows)} empty cell(s) (rows {listing(rows)})."
    remedy = "Fill in the shop, or drop these rows."
    return names, [Finding("missing_shop", "error", text, remedy, name, rows)]
