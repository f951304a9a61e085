"""Nodes of a graph as arrays read from a table, with one block of columns per node.

Tests, effect estimation and discovery all read tables through :func:`node_table`, so that a node
has the same values in each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mmm_bayes.causal.graph.checks import if_hidden
from mmm_bayes.data.collinearity import is_same_series, same_series
from mmm_bayes.data.dates import parse_dates
from mmm_bayes.data.frames import as_frame
from mmm_bayes.data.schema import MMMData
from mmm_bayes.data.time_step import TimeStep, infer_step
from mmm_bayes.runtime.deprecation import old_name
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]

_YEAR = 365.25


@final
@dataclass(frozen=True)
class NodeTable:
    """Nodes of a graph as columns of numbers, with one row per date (and geo).

    Attributes
    ----------
    columns : mapping of str to ndarray
        Columns (row, k) by node, with k = 1 except for nodes that represent a season.
    dates : pandas.DatetimeIndex or None
        Date of each row.
    step : TimeStep or None
        Step between the dates, which determines the days that a row covers.
    geos : ndarray or None
        Geo of each row as an integer; None for a single series. The rows of a geo are consecutive
        and in order of their dates.
    """

    columns: Mapping[str, NDArray]
    dates: pd.DatetimeIndex | None = None
    geos: NDArray | None = None
    step: TimeStep | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes in the table."""
        return tuple(self.columns)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        if not self.columns:
            return 0 if self.dates is None else len(self.dates)
        return len(next(iter(self.columns.values())))

    n_rows = old_name("num_rows")

    def matrix(self, nodes: Iterable[str]) -> NDArray:
        """Return the columns (row, sum of k) of the given nodes, in the order given."""
        parts = [self.columns[name] for name in nodes]
        return np.concatenate(parts, axis=1) if parts else np.empty((self.num_rows, 0))

    def vector(self, node: str) -> NDArray:
        """Return the single column (row,) of a node.

        Raises
        ------
        ValueError
            If the node has several columns.
        """
        own = self.columns[node]
        if own.shape[1] != 1:
            raise ValueError(f"{node!r} has {own.shape[1]} columns: use matrix().")
        return own[:, 0]

    def select(self, rows: Any) -> NodeTable:
        """Return the table with the given rows only (a mask, slice, or positions)."""
        dates = None if self.dates is None else self.dates[rows]
        geos = None if self.geos is None else self.geos[rows]
        columns = {name: own[rows] for name, own in self.columns.items()}
        return NodeTable(columns, dates, geos, self.step)


def node_table(
    data: MMMData | pd.DataFrame | NodeTable,
    nodes: Sequence[str],
    *,
    season: Iterable[str] = (),
    date: str | None = None,
    geo: str | None = None,
    order: int = 2,
) -> NodeTable:
    r"""Read the nodes of a graph from a table.

    Parameters
    ----------
    data : MMMData or pandas.DataFrame
        The table. In ``MMMData``, the node of a channel is its exposure, the node of a control is
        its values, and the column name of the target (or ``"target"``) is the target.
    nodes : sequence of str
        Nodes to read.
    season : iterable of str
        Nodes without a column that represent the season of the year. Each becomes ``order`` pairs
        :math:`\sin(2\pi k t / 365.25), \cos(2\pi k t / 365.25)` of the date ``t`` in days.
    date, geo : str, optional
        Date and geo columns of a data frame. All date formats of ``MMMData`` are accepted. Without
        dates, rows keep their order and are treated as independent. A date at the end of a month
        is the last day that its row covers; other dates are the first day. If this does not suit
        the table, pass `MMMData` made with ``date_marks="end"``.
    order : int
        Number of pairs of Fourier terms of a season.

    Raises
    ------
    DataError
        If nodes have no column, columns contain cells that are not finite numbers, nodes are the
        same series up to location and scale, or a season is requested without dates. The message
        lists every problem.
    """
    if isinstance(data, NodeTable):
        return _selected(data, nodes)
    if isinstance(data, MMMData):
        frame, date, geo = _frame_of(data)
    else:
        frame = as_frame(data)
    season = tuple(season)
    findings: list[Finding] = []
    dates = _dates(frame, date, findings)
    columns: dict[str, NDArray] = {}
    for name in nodes:
        if name in season:
            if dates is not None:
                columns[name] = _fourier(dates, order)
            elif date is None:
                message = f"{name!r} represents the season, but the rows have no dates."
                remedy = "Pass date=, or add a column with this name."
                findings.append(Finding("season", "error", message, remedy, name))
        elif name not in frame.columns:
            hint = nearest(name, map(str, frame.columns))
            columns_are = hint.strip() or f"Columns are {listing(frame.columns, 12)}."
            remedy = f"{columns_are} {if_hidden(name)}"
            message = f"Node {name!r} has no column in the table."
            findings.append(Finding("unknown_node", "error", message, remedy, name))
        else:
            values = _numbers(frame, name, findings)
            if values is not None:
                columns[name] = values[:, None]
    groups = None if geo is None else _groups(frame, geo, findings)
    findings += _same_series(columns)
    if findings:
        raise DataError(findings, "the table of the graph's nodes")
    keys = [key for key in (dates, groups) if key is not None]
    if not keys:
        return NodeTable(columns)
    rows = np.lexsort([np.asarray(key) for key in keys])
    found = NodeTable(columns, dates, groups, _step(data, dates)).select(rows)
    one_series = groups is not None and len(np.unique(groups)) == 1
    return replace(found, geos=None) if one_series else found


def _step(data: MMMData | pd.DataFrame, dates: pd.DatetimeIndex | None) -> TimeStep | None:
    import pandas as pd

    if isinstance(data, MMMData) or dates is None:
        return data.time_step if isinstance(data, MMMData) else None
    return infer_step(pd.DatetimeIndex(dates.unique()).sort_values())


def refuse_same_series(table: NodeTable) -> None:
    """Raise a `DataError` that lists the nodes whose columns are equal up to location and scale."""
    if findings := _same_series(table.columns):
        raise DataError(findings, "the table of the graph's nodes")


def _same_series(columns: Mapping[str, NDArray]) -> list[Finding]:
    series = {name: own[:, 0] for name, own in columns.items() if own.shape[1] == 1}
    remedy = "Leave one of them out of the table and the graph, or replace both by their sum."
    return [
        same_series(repr(one), repr(other), remedy, other)
        for (one, a), (other, b) in combinations(series.items(), 2)
        if is_same_series(a, b)
    ]


def _selected(table: NodeTable, nodes: Sequence[str]) -> NodeTable:
    known = f"Columns are {listing(table.nodes)}."
    if missing := [name for name in nodes if name not in table.columns]:
        raise DataError(
            [
                Finding(
                    "unknown_node", "error", f"Node {name!r} has no column in the table.",
                    f"{nearest(name, table.nodes).strip() or known} {if_hidden(name)}",
                    name,
                )
                for name in missing
            ],
            "the table of the graph's nodes",
        )  # fmt: skip
    return replace(table, columns={name: table.columns[name] for name in nodes})


def _frame_of(data: MMMData) -> tuple[pd.DataFrame, str, str | None]:
    """Return exposure, controls and target as a data frame, with a date and a geo column."""
    import pandas as pd

    geos = np.repeat(np.arange(data.num_geos), data.num_dates)
    parts: dict[str, NDArray] = {"_date": np.tile(data.dates.values, data.num_geos), "_geo": geos}
    parts |= {name: values.ravel() for name, values in data.columns().items()}
    if not data.has_target:
        del parts[data.target_name]
    return pd.DataFrame(parts), "_date", None if data.is_national else "_geo"


def _dates(
    frame: pd.DataFrame, date: str | None, findings: list[Finding]
) -> pd.DatetimeIndex | None:
    if date is None:
        return None
    if date not in frame.columns:
        hint = nearest(date, map(str, frame.columns)).strip() or "Name the column of dates."
        findings.append(Finding("date", "error", f"There is no column {date!r}.", hint, date))
        return None
    parsed = parse_dates(frame[date], date)
    findings += parsed.findings
    return None if parsed.findings else parsed.values


def _fourier(dates: pd.DatetimeIndex, order: int) -> NDArray:
    import pandas as pd

    days = np.asarray((dates - pd.Timestamp("2000-01-01")) / pd.Timedelta(days=1), float)
    angle = 2.0 * np.pi * np.arange(1, order + 1) * days[:, None] / _YEAR
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def _numbers(frame: pd.DataFrame, name: str, findings: list[Finding]) -> NDArray | None:
    import pandas as pd

    found = pd.to_numeric(frame[name], errors="coerce").to_numpy(float)
    wrong = np.flatnonzero(~np.isfinite(found))
    if wrong.size:
        message = f"Column {name!r} has no finite number in rows {listing(wrong.tolist())}."
        remedy = "Fill the gaps, or drop these rows."
        rows = tuple(wrong.tolist())
        findings.append(Finding("missing_value", "error", message, remedy, name, rows))
        return None
    return found


def _groups(frame: pd.DataFrame, geo: str, findings: list[Finding]) -> NDArray | None:
    import pandas as pd

    if geo not in frame.columns:
        hint = nearest(geo, map(str, frame.columns)).strip() or "Name the column of geos."
        findings.append(Finding("geo", "error", f"There is no column {geo!r}.", hint, geo))
        return None
    codes, _ = pd.factorize(frame[geo], sort=True)
    return np.asarray(codes)
