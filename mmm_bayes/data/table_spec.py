"""The ``[data]`` section of a model file: a table, and the roles of its columns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self, final

from pydantic import Field, model_validator

from mmm_bayes.data.schema import MMMData
from mmm_bayes.data.text_format import TextFormat
from mmm_bayes.runtime.findings import listing
from mmm_bayes.runtime.settings import Frozen

_ROLES = ("date", "target", "channels")


@final
class TableSpec(Frozen):
    """A table and the roles of its columns.

    Attributes
    ----------
    dataset : str, optional
        Name of a bundled data set, whose column roles are known. Give this or ``file``.
    file : str, optional
        CSV or parquet file, relative to the model file.
    date, target, channels, spend, controls, geo, population, revenue_per_target
    date_marks, min_rows
        As in `MMMData.from_dataframe`. In ``spend``, ``""`` marks unpaid media.
    variable, value : str, optional
        Columns of names and values, for a long table (one row per date and variable).
    separator, decimal, thousands, encoding : str, optional
        How a CSV file is written, where the file itself does not show it; see `TextFormat`.
    """

    dataset: str | None = None
    file: str | None = None
    format: Literal["csv", "parquet"] | None = None
    date: str | None = None
    target: str | None = None
    channels: tuple[str, ...] | dict[str, str] = ()
    spend: tuple[str, ...] | dict[str, str] | None = None
    controls: tuple[str, ...] | dict[str, str] = ()
    geo: str | None = None
    population: str | dict[str, float] | None = None
    revenue_per_target: str | float | None = None
    date_marks: Literal["start", "end"] | None = None
    min_rows: int | None = Field(default=None, ge=1)
    variable: str | None = None
    value: str | None = None
    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.dataset is None) == (self.file is None):
            raise ValueError(
                "the data section should name either dataset (a bundled set) or file, but names "
                + ("neither." if self.file is None else "both.")
            )
        given = sorted(self.model_fields_set - {"dataset", "file", "min_rows", "date_marks"})
        if self.dataset is not None and given:
            raise ValueError(
                "the column roles of a bundled data set are known, but the data section also "
                f"gives {listing(given)}. Leave them out, or use file."
            )
        absent = [role for role in _ROLES if not getattr(self, role)]
        if self.file is not None and absent:
            raise ValueError(f"the data section lacks {listing(absent)}, which a file needs.")
        TextFormat(self.separator, self.decimal, self.thousands, self.encoding)
        if (self.variable is None) != (self.value is None):
            raise ValueError("a long table needs both variable and value, a wide table neither.")
        return self

    def with_file(self, path: str | os.PathLike[str]) -> Self:
        """Return the same column roles for another file; a bundled set has its own roles."""
        if self.dataset is not None:
            from mmm_bayes.data.datasets import dataset_roles

            roles = dataset_roles(self.dataset)
            if self.date_marks is not None:
                roles["date_marks"] = self.date_marks
        else:
            roles = self.model_dump(exclude={"dataset", "file", "format"}, exclude_none=True)
        return type(self)(file=os.fspath(path), **roles)

    def load(self, base_dir: str | os.PathLike[str] = ".") -> MMMData:
        """Load the table; a relative ``file`` is looked up in ``base_dir``.

        Raises
        ------
        DataError
            Listing every problem of the table.
        FileNotFoundError
            If there is no such file.
        """
        if self.dataset is not None:
            from mmm_bayes.data.datasets import load_dataset

            return load_dataset(self.dataset, min_rows=self.min_rows, date_marks=self.date_marks)
        roles = self.model_dump(exclude={"dataset", "file", "format"}, exclude_none=True)
        return MMMData.from_file(Path(base_dir) / str(self.file), self.format, **roles)
