"""Read a table of a text file (CSV and its relatives), however it is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import cell_text
from mmm_bayes.data.number_format import PLAIN, NumberFormat, number_like, possible_formats
from mmm_bayes.data.text_format import TextFormat, find_encoding, find_separator, head_of
from mmm_bayes.runtime.findings import DataError, Finding

_OF_SUFFIX = {".tsv": "\t", ".tab": "\t"}


def read_text_table(
    path: Path,
    form: TextFormat | None = None,
    *,
    labels: Collection[str] = (),
    dates: Collection[str] = (),
    numbers: Collection[str] = (),
    guess: bool = True,
) -> pd.DataFrame:
    """Read a text table; encoding, separator and numbers are as in ``form`` or as the file shows.

    Parameters
    ----------
    path
        The file, which may be packed (``.gz``, ``.zip``).
    form
        What is known of how the file is written.
    labels, dates, numbers
        Names of the columns that hold labels (read as text: ``"0501"`` keeps its zero), dates and
        numbers. Columns that are named nowhere may hold anything.
    guess
        Whether to use a separator that the header suggests. Otherwise a separator other than the
        comma has to be given, or stated by the file (a first line ``sep=;``, a name in ``.tsv``).

    Raises
    ------
    DataError
        If the separator has to be given, or the file has no rows, is not in its encoding, has rows
        of different length, or has numbers that can be read in two ways.
    """
    form = form or TextFormat()
    head = head_of(path)
    encoding = form.encoding or find_encoding(head)
    text = head.decode(encoding, errors="replace")
    separator, skipped = find_separator(text, {*labels, *dates, *numbers})
    stated = skipped > 0 or separator == _OF_SUFFIX.get(path.suffix.lower(), ",")
    if form.separator is None and not (guess or stated):
        raise DataError([_unstated(separator, text)], str(path))
    separator = form.separator or separator
    options: dict[str, Any] = {"sep": separator, "encoding": encoding, "skiprows": skipped}
    # Before pandas 3 the default parser may miss the last digit; since then the option is
    # deprecated.
    if pd.__version__.startswith("2."):
        options["float_precision"] = "round_trip"  # pragma: no cover - pandas 2
    frame = _parse(path, options, dtype=dict.fromkeys(labels, str))
    for name in labels:
        if name in frame.columns and frame[name].isna().any():
            # "NA" is a label, an empty cell is not.
            own = _parse(path, options, usecols=[name], dtype=str, keep_default_na=False)[name]
            frame[name] = own.where(own != "")
        if name in frame.columns:
            frame[name] = _without_decimals(frame[name])
    _refuse_shifted(frame, path, separator)
    columns = [c for c in frame.columns if c in numbers] if numbers else [
        c for c in frame.columns if c not in {*labels, *dates}
    ]  # fmt: skip
    given = form.decimal is not None or form.thousands is not None
    if given or any(_in_doubt(frame[c], separator) for c in columns):
        raw = _parse(path, options, usecols=columns, dtype=dict.fromkeys(columns, str))
        frame = _with_numbers(frame, raw, form, path)
    return frame


def _parse(path: Path, options: dict[str, Any], **more: Any) -> pd.DataFrame:
    try:
        return pd.read_csv(path, **options, **more)
    except pd.errors.EmptyDataError as error:
        message = f"There are no rows in {path}."
        raise DataError(
            [Finding("empty_table", "error", message, "Check the file or its filter.")], str(path)
        ) from error
    except (UnicodeDecodeError, UnicodeError) as error:
        raise DataError([_wrong_encoding(path, options["encoding"], error)], str(path)) from None
    except pd.errors.ParserError as error:
        message = f"The rows of the file have different numbers of columns ({str(error).strip()})."
        remedy = (
            "Check that line, for example for an open quote, or a separator within a cell "
            f"(cells are separated by {options['sep']!r}; numbers with a decimal comma need "
            "another separator or quotes)."
        )
        raise DataError([Finding("unreadable", "error", message, remedy)], str(path)) from None


def _unstated(separator: str, text: str) -> Finding:
    header = next((line for line in text.splitlines() if line.strip()), "")
    shown = separator.replace("\t", "\\t")
    message = (
        f'The cells of the file are separated by "{shown}" rather than by commas: its header is '
        f"{cell_text(header)}."
    )
    remedy = (
        f'Give separator="{shown}" in Python, or separator = "{shown}" in the [data] section of a '
        "model file."
    )
    return Finding("separator", "error", message, remedy, "separator")


def _wrong_encoding(path: Path, encoding: str, error: UnicodeError) -> Finding:
    shown = ""
    if isinstance(error, UnicodeDecodeError):
        part = error.object[max(error.start - 12, 0) : error.start + 12]
        shown = f" (as cp1252 it would read {part.decode('cp1252', 'replace')!r})"
    message = f"The file is not {encoding} text: {error}."
    remedy = (
        f"Files of Windows programs in western Europe are often cp1252{shown}: give "
        'encoding="cp1252" in Python, encoding = "cp1252" in the [data] section of a model file, '
        "or save the file as CSV UTF-8."
    )
    return Finding("unreadable", "error", message, remedy, "encoding")


def _refuse_shifted(frame: pd.DataFrame, path: Path, separator: str) -> None:
    """Refuse rows of more cells than the header, which pandas would take for an index."""
    extra = frame.index.nlevels
    if extra < 2:
        return
    message = (
        f"The rows of the file have {extra} more cells than its header, when cells are separated "
        f"by {separator!r}."
    )
    remedy = (
        "Numbers with a decimal comma need quotes or another separator: export the file again with "
        "a semicolon between cells, or give separator= if the cells are separated by another sign."
    )
    raise DataError([Finding("unreadable", "error", message, remedy)], str(path))


def _without_decimals(column: pd.Series) -> pd.Series:
    """Return labels that a program wrote as numbers (501.0) without their decimals."""
    if not column.str.endswith(".0").any():
        return column
    whole = column.dropna().str.fullmatch(r"[0-9]+(\.0)?").all()
    return column.str.removesuffix(".0") if whole else column


def _in_doubt(column: pd.Series, separator: str) -> bool:
    """Return whether numbers of a column may be written in another way than in Python."""
    if pd.api.types.is_bool_dtype(column.dtype) or not len(column):
        return False
    if pd.api.types.is_numeric_dtype(column.dtype):
        if separator == ",":
            return False  # then the comma is no decimal mark without quotes
        # 1.234 is 1234 to many; a number with other than three decimals settles it.
        values = column[column % 1 != 0].dropna().abs().to_numpy("float64")
        thousandths = values * 1000
        return bool(
            len(values) and (np.abs(thousandths - thousandths.round()) < 1e-6 * thousandths).all()
            and (values >= 1).all() and (column.abs() < 1000).all()
        )  # fmt: skip
    cells = column.dropna().astype(str)
    return len(number_like(cells.iloc[:100])) > len(cells.iloc[:100]) / 2


def _with_numbers(
    frame: pd.DataFrame, raw: pd.DataFrame, form: TextFormat, path: Path
) -> pd.DataFrame:
    """Replace the columns of written numbers by numbers."""
    cells = {str(c): raw[c].dropna().astype(str).tolist() for c in raw.columns}
    written = {c: own for c, own in cells.items() if len(number_like(own)) > len(own) / 2}
    if form.decimal is not None or form.thousands is not None:
        decimal = form.decimal or "."
        chosen = NumberFormat(decimal, form.thousands or "")
    else:
        formats = possible_formats(list(written.values()))
        if len(formats) > 1:
            raise DataError([_two_readings(written, formats)], str(path))
        chosen = formats[0] if formats else PLAIN
    return frame.assign(**{c: chosen.read(raw[c]) for c in written})


def _two_readings(written: dict[str, list[str]], formats: Sequence[NumberFormat]) -> Finding:
    column, cell = next(
        ((c, cell) for c, own in written.items() for cell in own
         if len({form.read(pd.Series([cell], dtype="object")).iloc[0] for form in formats}) > 1),
        (next(iter(written)), next(iter(written.values()))[0]),
    )  # fmt: skip
    readings = [
        f"{form.read(pd.Series([cell], dtype='object')).iloc[0]:.10g} with {form.in_words()}"
        for form in formats
    ]
    message = (
        f"Numbers can be read in more than one way: {cell!r} in column {column!r} is "
        f"{' or '.join(readings)}."
    )
    remedy = (
        "Give one of these settings, as arguments in Python or in the [data] section of a model "
        "file."
    )
    return Finding("ambiguous_number", "error", message, remedy, column)
