"""The result of many fits: tables over all of them, and each fit by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from mmm_bayes.many_fits.fit_cells import OF_A_CELL
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import listing, nearest
from mmm_bayes.runtime.jobs.store import ResultsError, ResultStore
from mmm_bayes.runtime.report import rows_as_html, rows_as_text
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.fit_result import FitResult

KIND = "fits of many tables"
INDEX = "map.json"
FITS = "fits"
UNFINISHED = "unfinished"
_VERDICTS = ("PASS", "REVIEW", "FAIL")


class FitMapError(ValueError):
    """A map has no such fit, or a folder holds no map."""


@final
@dataclass(frozen=True)
class Entry:
    """One requested fit: names, key of its result, and the error if it failed."""

    table: str
    spec: str
    key: str
    file: str | None = None
    error: str | None = None
    attempts: int = 0


@final
class FitMap:
    """Fits of many tables, or of many models.

    Created by :func:`~mmm_bayes.many_fits.map_fits.map_fits` and :func:`load_fit_map`.

    Attributes
    ----------
    folder : Path
        Folder of results (``cells/``, ``folded/``: Parquet) and fits (``fits/``: NetCDF).
    """

    def __init__(self, folder: Path, entries: Sequence[Entry], rows: Mapping[str, list[Any]]):
        self.folder = folder
        self._entries = tuple(entries)
        self._rows = {own.key: rows[own.key] for own in entries if own.key in rows}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(dict.fromkeys(own.table for own in self._entries))

    @property
    def specs(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(dict.fromkeys(own.spec for own in self._entries))

    @property
    def complete(self) -> bool:
        """Whether every fit has finished."""
        return len(self._rows) == len(self._entries)

    @property
    def table(self) -> pd.DataFrame:
        """Spend, contribution and ROAS of each channel: one row per table, model and channel.

        Columns of :meth:`FitResult.summary` (or what ``summarise`` gave), then those of the fit:
        ``verdict``, ``max_rhat``, ``min_ess_bulk``, ``divergences``, ``seconds``, ``cpu_seconds``,
        ``peak_memory_mib`` and the ``file`` of the fit.
        """
        import pandas as pd

        rows = [
            {name: value for name, value in row.items() if name != "findings"}
            for own in self._entries
            for row in self._rows.get(own.key, [])
            if len(row) > 2 + len(OF_A_CELL)
        ]
        return pd.DataFrame(rows or None, columns=None if rows else ["table", "spec"])

    def summary(self) -> pd.DataFrame:
        """Return :attr:`table`, which prints spend, contribution and ROAS within 100 columns."""
        from mmm_bayes.runtime.summary_table import Shown, SummaryTable

        table = self.table
        if "roas_lower" not in table:  # what ``summarise`` gave
            return SummaryTable(table)
        shown = (
            Shown("table", "table"),
            Shown("spec", "spec"),
            Shown("channel", "channel"),
            Shown("spend", "spend"),
            Shown("contribution", "contribution"),
            Shown("ROAS", "roas", "ratio"),
            Shown("interval", ("roas_lower", "roas_upper"), "ratio"),
            Shown("marginal", "marginal_roas", "ratio"),
            Shown("verdict", "verdict"),
        )
        return SummaryTable(table, shown=shown)

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row per finished fit: verdict, worst R-hat, divergences, seconds, memory."""
        import pandas as pd

        names = ["table", "spec", *OF_A_CELL]
        rows = [
            {name: self._rows[own.key][0].get(name) for name in names}
            for own in self._entries
            if own.key in self._rows
        ]
        return pd.DataFrame(rows, columns=names)

    @property
    def failures(self) -> pd.DataFrame:
        """One row per missing fit: ``table``, ``spec``, ``error`` and ``attempts``.

        The error of a fit that was not begun, because the run was stopped, is "not made yet".
        """
        import pandas as pd

        rows = [
            (own.table, own.spec, own.error or "not made yet", own.attempts)
            for own in self._entries
            if own.key not in self._rows
        ]
        return pd.DataFrame(rows, columns=["table", "spec", "error", "attempts"])

    def load(self, table: str, spec: str | None = None) -> FitResult:
        """Read a fit.

        Parameters
        ----------
        table
            Name of the table.
        spec
            Name of the model; it may be omitted if there is only one.

        Raises
        ------
        FitMapError
            If the map has no such fit, the fit failed, or it was not saved.
        """
        from mmm_bayes.fit_result import load_fit

        own = self._entry(table, spec)
        if own.key not in self._rows:
            raise FitMapError(
                f"There is no fit of {table!r} with {own.spec!r}: "
                f"{own.error or 'it was not made yet'}. Make the same call of map_fits again."
            )
        name = self._rows[own.key][0].get("file")
        path = None if name is None else self.folder / FITS / name
        if path is None or not path.exists():
            why = (
                "it was not saved (keep_fits=False)" if path is None else f"{path} no longer exists"
            )
            raise FitMapError(
                f"The fit of {table!r} with {own.spec!r} cannot be read: {why}. Make the "
                "same call of map_fits with keep_fits=True."
            )
        return load_fit(path)

    def _entry(self, table: str, spec: str | None) -> Entry:
        if table not in self.tables:
            raise FitMapError(
                f"There is no table {table!r}.{nearest(str(table), self.tables)} Tables are "
                f"{listing(map(repr, self.tables))}."
            )
        own = [e for e in self._entries if e.table == table and spec in (None, e.spec)]
        if len(own) != 1:
            known = listing(map(repr, self.specs))
            asked = f"There is no model {spec!r}" if spec is not None else "Give spec="
            raise FitMapError(f"{asked}. Models are {known}.")
        return own[0]

    @shown_safely
    def __repr__(self) -> str:
        return rows_as_text(self._headline())

    def _repr_html_(self) -> str:
        return rows_as_html(self._headline())

    def _headline(self) -> list[tuple[str, str]]:
        verdicts = self.verdicts
        counts = verdicts["verdict"].value_counts()
        parts = [f"{counts[name]} {name}" for name in _VERDICTS if name in counts]
        failures = self.failures
        failed = failures[failures["error"] != "not made yet"]
        if len(failed):
            parts.append(f"{len(failed)} failed")
        if len(failures) > len(failed):
            parts.append(f"{len(failures) - len(failed)} not made yet")
        lines = [
            ("FitMap", f"{len(self)} fits: {', '.join(parts)}"),
            ("tables", f"{len(self.tables)}: {listing(self.tables)}"),
            ("models", f"{len(self.specs)}: {listing(self.specs)}"),
        ]
        if len(verdicts):
            seconds, memory = verdicts["seconds"], verdicts["peak_memory_mib"]
            text = f"median {seconds.median():.1f} s per fit, at most {seconds.max():.1f} s"
            if memory.notna().any():
                text += f" and {memory.max():.0f} MiB"
            lines.append(("cost", text))
        for _, row in failed.head(3).iterrows():
            lines.append(("failed", f"{row['table']} with {row['spec']}: {row['error']}"[:160]))
        return [*lines, ("folder", str(self.folder))]


def write_index(folder: Path, entries: Sequence[Entry]) -> None:
    """Write the list of requested fits, with the errors of those that failed."""
    about = {"fits": [own.__dict__ for own in entries]}
    with atomic_write(folder / INDEX) as place:
        place.write_text(json.dumps(about, indent=0), "utf-8")


@named_arguments
def load_fit_map(folder: str | os.PathLike[str]) -> FitMap:
    """Read the fits in a folder, finished or not.

    Parameters
    ----------
    folder
        The ``store`` of a call of ``map_fits``; the last call determines which fits are listed.

    Raises
    ------
    FitMapError
        If the folder holds no map.
    ResultsError
        If a file is damaged.
    """
    folder = Path(folder)
    path = folder / INDEX
    if not path.exists():
        raise FitMapError(f"There is no {INDEX} in {folder}, so it is not a folder of map_fits.")
    try:
        entries = [Entry(**own) for own in json.loads(path.read_text("utf-8"))["fits"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{path} cannot be read ({error}). Delete it and make the same call of map_fits: "
            "finished fits are not run again."
        ) from error
    store = ResultStore(folder, KIND, beside=(INDEX, FITS, UNFINISHED))
    return FitMap(folder, entries, store.rows({own.key for own in entries}))
