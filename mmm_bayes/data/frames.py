"""Tables of other libraries (polars, pyarrow) as pandas data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from typing_extensions import TypeIs


def is_frame(table: object) -> TypeIs[pd.DataFrame]:
    """Return whether an object is a table that `as_frame` takes.

    To a type checker, tables of other libraries are data frames.
    """
    return isinstance(table, pd.DataFrame) or (
        not isinstance(table, pd.Series)
        and hasattr(table, "columns")
        and (hasattr(table, "to_pandas") or hasattr(table, "__arrow_c_stream__"))
    )


def as_frame(table: Any) -> pd.DataFrame:
    """Return a table of pandas, polars or pyarrow as a pandas data frame.

    Raises
    ------
    TypeError
        If the object is no table, or one that has not been computed yet.

    Examples
    --------
    >>> import pyarrow
    >>> as_frame(pyarrow.table({"tv": [1.0, 2.0]}))["tv"].tolist()
    [1.0, 2.0]
    """
    if isinstance(table, pd.DataFrame):
        return table
    known = bool(is_frame(table))
    if known and hasattr(table, "to_pandas"):
        return pd.DataFrame(table.to_pandas())
    if known:
        import pyarrow

        return pd.DataFrame(pyarrow.table(table).to_pandas())
    remedy = (
        "For files use MMMData.from_csv or MMMData.from_parquet; for tables of other libraries "
        "call their .to_pandas()."
    )
    if hasattr(table, "collect") or hasattr(table, "compute"):
        method = "collect" if hasattr(table, "collect") else "compute"
        remedy = f"It has not been computed yet: call its .{method}() first."
    raise TypeError(
        "The table should be a pandas DataFrame, a polars DataFrame or a pyarrow Table, but is a "
        f"{type(table).__name__}. {remedy}"
    )
