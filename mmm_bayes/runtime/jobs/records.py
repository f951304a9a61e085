"""Convert results of cells to Parquet tables and back.

A row maps names to numbers, text, booleans, ``None``, and lists and mappings of these. A column
whose values have one simple type gets that type, so any Parquet reader sees numbers. Any other
column (integers mixed with floats, lists, mappings) is stored as JSON text and marked as such. A
missing entry is distinguished from ``None``. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from mmm_bayes._version import __version__
from mmm_bayes.runtime.jobs.tasks import check_key

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

_OWN = "cell."  # of the columns that say what a row is of
_FORMAT = {b"mmm_bayes_results": b"1"}
_JSON = {b"mmm_bayes": b"json"}
_INT64 = range(-(2**63), 2**63)


@final
@dataclass(frozen=True)
class Record:
    """A finished cell.

    Attributes
    ----------
    key : str
        Its name.
    rows : list of dict
        What was made of it; may be empty.
    settings : dict
        What it was made from, as JSON takes it.
    seed : int or None
        Seed of its random numbers.
    version : str
        Version of the package that made it.
    """

    key: str
    rows: list[Row]
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    version: str = __version__


def plain(value: Any) -> Any:
    """Convert a value to one that JSON holds; numbers that are not finite become ``None``.

    Raises
    ------
    TypeError
        If JSON has no such value.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if hasattr(value, "tolist"):  # NumPy, JAX
        return plain(value.tolist())
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(
        f"Results may be numbers, text, booleans, None, and lists and mappings of these, but "
        f"{value!r:.80} is a {type(value).__name__}."
    )


def plain_rows(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Convert rows to the form in which they are read again.

    Raises
    ------
    TypeError, ValueError
        If a value cannot be stored, or a column name is reserved.
    """
    found = []
    for row in rows:
        if taken := [name for name in row if str(name).startswith(_OWN)]:
            raise ValueError(
                f"Column {taken[0]!r} of a result cannot be stored: names that begin with "
                f"{_OWN!r} are reserved."
            )
        found.append({str(name): plain(value) for name, value in row.items()})
    return found


def to_table(records: Sequence[Record]) -> pa.Table:
    """Convert records to one table with one row per row of theirs (one for an empty record)."""
    import pyarrow as pa

    own: dict[str, list[Any]] = {name: [] for name in ("key", "row", "names", "settings")}
    own |= {"seed": [], "version": []}
    rows: list[Row] = []
    for record in records:
        check_key(record.key)
        settings = json.dumps(plain(record.settings), allow_nan=False, sort_keys=True)
        numbered = list(enumerate(record.rows)) or [(-1, {})]
        for number, row in numbered:
            about = record.key, number, json.dumps(list(row)), settings, record.seed, record.version
            for name, value in zip(own, about, strict=True):
                own[name].append(value)
            rows.append(row)
    types = {"row": pa.int32(), "seed": pa.int64()}
    repeated = pa.dictionary(pa.int32(), pa.string())
    columns = [
        (pa.field(f"{_OWN}{name}", types.get(name, repeated)), values)
        for name, values in own.items()
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    columns += [_column(name, [row.get(name) for row in rows]) for name in names]
    arrays = [pa.array(values, kind.type) for kind, values in columns]
    return pa.Table.from_arrays(arrays, schema=pa.schema([c[0] for c in columns], _FORMAT))


def from_table(table: pa.Table) -> list[Record]:
    """Convert a table of :func:`to_table` back to records.

    Raises
    ------
    ValueError
        If the table does not hold results.
    """
    if not is_results(table.schema):
        raise ValueError("it is a table of another kind")
    values = {name: table[name].to_pylist() for name in table.column_names}
    marked = {f.name for f in table.schema if (f.metadata or {}).get(b"mmm_bayes") == b"json"}
    for name in marked:
        values[name] = [None if text is None else json.loads(text) for text in values[name]]
    # The same few lists of names are on most rows.
    names = {text: json.loads(text) for text in set(values[f"{_OWN}names"])}
    found: dict[str, Record] = {}
    for k, key in enumerate(values[f"{_OWN}key"]):
        if key not in found:
            settings = json.loads(values[f"{_OWN}settings"][k])
            seed, version = values[f"{_OWN}seed"][k], values[f"{_OWN}version"][k]
            found[key] = Record(key, [], settings, seed, version)
        if values[f"{_OWN}row"][k] >= 0:
            row = {name: values[name][k] for name in names[values[f"{_OWN}names"][k]]}
            found[key].rows.append(row)
    return list(found.values())


def is_results(schema: pa.Schema) -> bool:
    """Return whether a schema belongs to a table of results."""
    return (schema.metadata or {}).get(b"mmm_bayes_results") == b"1"


def _column(name: str, values: list[Any]) -> tuple[pa.Field, list[Any]]:
    import pyarrow as pa

    simple = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    kinds = {type(value) for value in values if value is not None}
    kind = kinds.pop() if len(kinds) == 1 else None
    fits = kind is not int or all(value is None or value in _INT64 for value in values)
    if kind in simple and fits:
        return pa.field(name, simple[kind]), values
    if kind is None and not kinds:
        return pa.field(name, pa.null()), values
    texts = [None if v is None else json.dumps(v, allow_nan=False) for v in values]
    return pa.field(name, pa.string(), metadata=_JSON), texts
