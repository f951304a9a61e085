"""Read tables and files into checked arrays; every problem is reported at once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Unpack, final

import numpy as np
import pandas as pd

from mmm_bayes.data.cell_values import plain_column
from mmm_bayes.data.checks import check_panel, check_rows, check_values
from mmm_bayes.data.collinearity import check_collinearity
from mmm_bayes.data.frames import as_frame
from mmm_bayes.data.labels import natural_order
from mmm_bayes.data.roles import Channels, Roles, RoleSettings, Spend, make_roles
from mmm_bayes.data.table import Table, read_cells
from mmm_bayes.data.text_format import TextFormat
from mmm_bayes.data.text_table import read_text_table
from mmm_bayes.data.time_step import MARKS, TimeStep
from mmm_bayes.data.units import check_units
from mmm_bayes.runtime.findings import DataError, DataWarning, Finding, listing, nearest, numbered
from mmm_bayes.runtime.warn import warn_user


@final
@dataclass(frozen=True)
class LoadedTable:
    """A checked table.

    Attributes
    ----------
    arrays : dict
        Arguments of `MMMData.from_arrays`.
    findings : tuple of Finding
        Warnings of the checks.
    """

    arrays: dict[str, Any]
    findings: tuple[Finding, ...]


def load_table(
    df: pd.DataFrame,
    *,
    date: str,
    target: str | None,
    channels: Channels,
    spend: Spend = None,
    controls: Channels | None = (),
    geo: str | None = None,
    population: str | Mapping[str, float] | pd.Series | None = None,
    revenue_per_target: str | float | None = None,
    date_marks: Literal["start", "end"] | None = None,
    min_rows: int | None = None,
    source: str = "the table",
) -> LoadedTable:
    """Check a wide table and put its rows in order; see `MMMData.from_dataframe`."""
    named, findings = make_roles(
        date=date,
        target=target,
        channels=channels,
        spend=spend,
        controls=controls,
        geo=geo,
        population=population,
        revenue_per_target=revenue_per_target,
    )
    df = as_frame(df)
    if len(df) == 0:
        findings.append(_empty(source))
    table, cell_findings = read_cells(df, named)
    findings += cell_findings
    step, panel = check_panel(table)
    step, unknown = _marked(step, date_marks, table)
    findings += unknown + panel + check_values(table)
    if len(df):
        findings += check_rows(table, min_rows) + check_collinearity(table) + check_units(table)
    _raise_or_warn(findings, source)
    return LoadedTable(_arrays(table, step), tuple(findings))


def _marked(step: TimeStep, date_marks: object, table: Table) -> tuple[TimeStep, list[Finding]]:
    """Return the step with the day of each row's period that its date marks."""
    if date_marks is not None and date_marks not in MARKS:
        message = f"date_marks should be 'start' or 'end', but is {date_marks!r}."
        remedy = "'end' is for dates that are the last day of the row's week, month or quarter."
        return step, [Finding("date_marks", "error", message, remedy, where="date_marks")]
    if table.names_periods:  # "2024-05" is May, and read as its first day
        return step.marked("start", "inferred"), []
    if date_marks is None:
        return step, []
    return step.marked("start" if date_marks == "start" else "end"), []


def load_future(
    df: pd.DataFrame,
    roles: Roles,
    time_step: TimeStep,
    geos: Sequence[str],
    dates: pd.DatetimeIndex,
) -> LoadedTable:
    """Check a table for prediction with the columns and geos of a fit; see `MMMData.with_table`."""
    df = as_frame(df)
    if roles.geo is None and isinstance(roles.population, dict):
        roles = replace(roles, population=None)
    if time_step.unit != "unknown":
        dates = pd.DatetimeIndex(dates.append(time_step.after(dates[-1], len(df))))
    table, findings = read_cells(
        df, roles, target_optional=True, known_geos=geos, known_dates=dates
    )
    if len(df) == 0:
        findings.append(_empty("the table"))
    known = time_step if time_step.unit != "unknown" else None
    step, panel = check_panel(table, known)
    findings += panel + check_values(table)
    if table.geos is not None and roles.geo is not None:
        findings += _geo_findings(table.geos.names, geos, roles.geo)
    _raise_or_warn(findings, "the new table")
    return LoadedTable(_arrays(table, step), tuple(findings))


def _geo_findings(found: Sequence[str], expected: Sequence[str], column: str) -> list[Finding]:
    """Compare the geos of a new table with those of the fit."""
    own, fitted = set(found), set(expected)
    # A name that both have is no misspelling of one that only one of them has.
    new, gone = own - fitted, fitted - own
    known = f"The fit has {listing(map(repr, expected), 12)}."
    return [
        Finding(
            check,
            "error",
            f"Geo {name!r} {problem}.{nearest(name, sorted(others))}",
            known,
            column,
            geo=name,
        )
        for check, names, problem, others in (
            ("missing_geo", gone, "of the fit is missing from the new table", new),
            ("unknown_geo", new, "of the new table is not in the fit", gone),
        )
        for name in natural_order(names)
    ]


def widen(df: pd.DataFrame, *, keys: Sequence[str], variable: str, value: str) -> pd.DataFrame:
    """Turn a long table (one row per date and variable) into a wide one.

    Parameters
    ----------
    df : pandas.DataFrame
        Other columns (product, campaign, ...) are ignored; rows that differ only in those are
        summed when ``value`` is a number.
    keys : list of str
        Date column, and geo column if there is one.
    variable, value : str
        Columns of variable names and of values.

    Returns
    -------
    pandas.DataFrame
        One row per key and one column per variable; cells without a row are NaN.
    """
    df = as_frame(df)
    names = [str(c) for c in df.columns]
    roles = (*keys, variable, value)
    findings = [
        Finding(
            "missing_column",
            "error",
            f"Column {name!r} is not in the long table.{nearest(name, names)}",
            f"The table has {listing(map(repr, names), 20)}.",
            where=name,
        )
        for name in dict.fromkeys(roles)
        if name not in names
    ]
    findings += [
        Finding(
            "duplicate_column",
            "error",
            f"Column {name!r} occurs {names.count(name)} time(s) in the long table and has "
            f"{roles.count(name)} role(s); both should be 1.",
            "Rename or drop all but one of them, and use a separate column for each role.",
            where=name,
        )
        for name in dict.fromkeys(roles)
        if name in names and (names.count(name) > 1 or roles.count(name) > 1)
    ]
    if findings:
        raise DataError(findings, "the long table")
    df = df.set_axis(names, axis=1)[list(roles)].reset_index(drop=True)
    df = df.apply(plain_column)
    if pd.api.types.is_complex_dtype(df[value].dtype):
        df[value] = df[value].astype("object")  # complex values are not valid in a table
    groups = df.groupby([*keys, variable], sort=False, dropna=False)[value]
    repeated = groups.size() > 1
    numeric = pd.api.types.is_numeric_dtype(df[value].dtype)
    if repeated.any() and not numeric:
        first = repeated.index[repeated][0]
        raise DataError(
            [
                Finding(
                    "duplicate_variable",
                    "error",
                    f"{int(repeated.sum())} combination(s) of {listing([*keys, variable])} have "
                    f"several rows (the first is {first}), and {value!r} is not numeric, so they "
                    "cannot be summed.",
                    f"Make {value!r} numeric, or keep one row of each combination.",
                    where=value,
                )
            ]
        )
    # min_count keeps a missing value missing instead of turning it into 0.
    series = groups.sum(min_count=1) if numeric else groups.first()
    wide = series.unstack(variable)
    wide.columns = pd.Index([str(c) for c in wide.columns])
    return wide.reset_index()


def load_file(
    path: str | os.PathLike[str],
    format: Literal["csv", "parquet"] | None = None,
    *,
    variable: str | None = None,
    value: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    encoding: str | None = None,
    **roles: Unpack[RoleSettings],
) -> LoadedTable:
    """Check the table of a CSV or parquet file; see `MMMData.from_file`.

    Raises
    ------
    TypeError
        If one of ``variable`` and ``value``, the columns of a long table, is given alone.
    """
    if (variable is None) != (value is None):
        raise TypeError(
            "A long table needs variable= and value=, its columns of variable names and of "
            f"values, but only {'value' if variable is None else 'variable'}= was given."
        )
    keys = [key for key in (roles.get("date"), roles.get("geo")) if key is not None]
    labels = {name for name in (roles.get("geo"), variable) if name is not None}
    numbers = {value} if value is not None else _numeric_columns(roles)
    frame = read_frame(
        path,
        format,
        TextFormat(separator, decimal, thousands, encoding),
        labels=labels,
        dates=keys[:1],
        numbers=numbers,
        guess=False,
    )
    if variable is not None and value is not None:
        frame = widen(frame, keys=keys, variable=variable, value=value)
    return load_table(frame, source=str(path), **roles)


def _numeric_columns(roles: RoleSettings) -> set[str]:
    known = inspect.signature(make_roles).parameters
    named, _ = make_roles(**{k: v for k, v in roles.items() if k in known})  # type: ignore[arg-type]
    return {column for _, column in named.numeric_columns()} - {named.date, named.geo}


def read_frame(
    path: str | os.PathLike[str],
    format: Literal["csv", "parquet"] | None = None,
    text: TextFormat | None = None,
    *,
    labels: Collection[str] = (),
    dates: Collection[str] = (),
    numbers: Collection[str] = (),
    guess: bool = True,
) -> pd.DataFrame:
    """Read the table of a CSV or parquet file; see `read_text_table` for the other arguments."""
    file = Path(path)
    if not file.is_file():
        siblings = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        raise FileNotFoundError(f"There is no file {str(file)!r}.{nearest(file.name, siblings)}")
    kind = format or {".parquet": "parquet", ".pq": "parquet"}.get(file.suffix.lower(), "csv")
    if kind == "csv":
        return read_text_table(file, text, labels=labels, dates=dates, numbers=numbers, guess=guess)
    if text is not None and text != TextFormat():
        given = [name for name, value in vars(text).items() if value is not None]
        message = f"A parquet file states its own types, so {listing(given)} cannot be given."
        remedy = "Leave it out, or give the CSV file."
        raise DataError([Finding("text_format", "error", message, remedy, given[0])], str(file))
    return _read_parquet(file)


def _read_parquet(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except ImportError as error:
        raise ImportError(
            "Reading parquet files needs pyarrow: python -m pip install pyarrow"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # no permission, for example
        # A damaged file may raise anything, in pyarrow and in the metadata that pandas stores.
        message = f"The file cannot be read as parquet ({type(error).__name__}: {error})."
        remedy = "Copy or write the file again; for a CSV file use from_csv."
        raise DataError([Finding("unreadable", "error", message, remedy)], str(file)) from None


def _arrays(table: Table, step: TimeStep) -> dict[str, Any]:
    """Arrange the rows of a valid table by geo and date, as arguments of `from_arrays`."""
    roles, dates, geos = table.roles, table.dates, table.geos
    if dates is None or geos is None:  # pragma: no cover - reported as a missing column
        raise AssertionError("a valid table has dates and geos")
    names = list(geos.names)
    when, unique = pd.factorize(dates, sort=True)
    place = geos.codes * len(unique) + when

    def panel(column: str) -> np.ndarray:
        cells = np.empty(len(place))
        cells[place] = table.numbers[column]
        return cells.reshape(len(names), len(unique))

    def stack(columns: Sequence[str | None]) -> np.ndarray:
        empty = np.zeros((len(names), len(unique)))
        layers = [empty if c is None else panel(c) for c in columns]
        return np.stack(layers, -1) if layers else np.zeros((*empty.shape, 0))

    population, revenue = roles.population, roles.revenue_per_target
    people = None
    if isinstance(population, str):
        people = panel(population)[:, 0]
    elif population is not None:
        people = np.array([population[g] for g in names])
    target = np.full((len(names), len(unique)), np.nan)
    if roles.target is not None and roles.target in table.numbers:
        target = panel(roles.target)
    return dict(
        dates=unique,
        target=target,
        spend=stack([roles.spend[c] for c in roles.exposure]),
        exposure=stack(list(roles.exposure.values())),
        channels=list(roles.exposure),
        controls=stack(list(roles.controls.values())),
        control_names=list(roles.controls),
        geos=names,
        population=people,
        revenue_per_target=panel(revenue) if isinstance(revenue, str) else revenue,
        paid=np.array([roles.spend[c] is not None for c in roles.exposure]),
        roles=roles,
        step=step,
        date_form=table.date_form,
    )


def _empty(source: str) -> Finding:
    return Finding(
        "empty_table", "error", f"There are no rows in {source}.", "Check the file or its filter."
    )


def _raise_or_warn(findings: Sequence[Finding], source: str) -> None:
    if any(f.severity == "error" for f in findings):
        raise DataError(findings, source)
    if findings:
        warn_user(
            f"{len(findings)} warning(s) about {source}:\n{numbered(findings)}",
            DataWarning,
        )


__all__ = [
    "LoadedTable",
    "Roles",
    "load_file",
    "load_future",
    "load_table",
    "read_frame",
    "widen",
]
