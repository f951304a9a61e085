"""Read tables of shops into a `ShopPanel`, and write them back; all problems are reported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from mmm_bayes.data.frames import as_frame, is_frame
from mmm_bayes.data.load import read_frame
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.data.panel_cells import Cells, read_columns
from mmm_bayes.data.panel_roles import ShopRoles, group_findings, role_findings, shop_roles
from mmm_bayes.data.time_step import check_regular
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import DataError, DataWarning, Finding, listing, numbered
from mmm_bayes.runtime.warn import warn_user


@named_arguments
def load_shops(
    source: str | os.PathLike[str] | pd.DataFrame,
    *,
    shop: str = "shop_id",
    date: str = "ds",
    context: Sequence[str] | None = None,
    channels: Sequence[str] | None = None,
    views: str | None = "pv",
    target: str = "gmv",
    groups: Mapping[str, str] | None = None,
    format: Literal["csv", "parquet"] | None = None,
) -> ShopPanel:
    """Read a table with one row per shop and date.

    All shops share one axis of regular dates, from the first date of any shop to the last. Where a
    shop has no row, its series are NaN and its context is that of its previous row (before its
    first row, that of the first row).

    Parameters
    ----------
    source : path or pandas.DataFrame
        A CSV or parquet file, or a table.
    shop, date : str
        Columns of shop and date. Dates may have any common form, including ``yyyymmdd`` integers.
    context : list of str, optional
        Context variables; by default the columns whose name begins with ``context``.
    channels : list of str, optional
        Channels; by default the columns named like ``x0``, ``x_0`` or ``x-brand-0``.
    views : str, optional
        Column of page views, the node before the target; ``"pv"`` is ignored if the table does not
        have it.
    target : str
        Column of the target, the last node.
    groups : dict, optional
        Kind of a channel: ``"brand"``, ``"effect"``, ``"views"`` or ``"channel"``, the default.
    format : {"csv", "parquet"}, optional
        By default taken from the suffix of the file.

    Returns
    -------
    ShopPanel
        Nodes are the channels, views and the target, in this order; shops are in order of first
        appearance.

    Raises
    ------
    DataError
        Listing every problem of the table: missing columns, dates that cannot be read or lie
        between the steps, several rows for a shop and date, cells that are not numbers, negative
        channels, empty context.
    FileNotFoundError
        If there is no such file.

    Warns
    -----
    DataWarning
        About missing dates within a shop, empty cells and a negative target.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {
    ...         "shop_id": ["a", "a", "b"],
    ...         "ds": [20210130, 20210131, 20210131],
    ...         "context0": [0, 1, 1],
    ...         "x0": [3.0, 0.0, 2.0],
    ...         "pv": [9, 7, 8],
    ...         "gmv": [5.0, 4.0, 6.0],
    ...     }
    ... )
    >>> panel = load_shops(table)
    >>> panel.nodes, panel.series[:, :, -1].tolist()
    (('x0', 'pv', 'gmv'), [[5.0, 4.0], [nan, 6.0]])
    """
    if is_frame(source):
        frame, named = as_frame(source), "the table"
    else:
        frame, named = read_frame(source, format, labels=[shop], dates=[date]), str(source)
    columns = [str(name) for name in frame.columns]
    roles = shop_roles(
        columns,
        shop=shop,
        date=date,
        context=context,
        channels=channels,
        views=views,
        target=target,
    )
    found = [*role_findings(roles, columns), *group_findings(groups or {}, roles)]
    if not len(frame):
        text = f"There are no rows in {named}."
        found.append(Finding("empty_table", "error", text, "Check the file or its filter."))
    if any(f.check in ("duplicate_column", "empty_table") for f in found):
        raise DataError(found, named)
    cells, cell_findings = read_columns(frame, roles.shop, roles.date, roles.context, roles.nodes)
    found += [*cell_findings, *_value_findings(cells, roles)]
    grid, date_findings = _grid(cells, roles)
    found += date_findings
    if any(finding.severity == "error" for finding in found):
        raise DataError(found, named)
    panel, gaps = _assemble(cells, roles, grid, groups or {})
    found += gaps
    if found:
        warn_user(
            f"{len(found)} warning(s) about {named}:\n{numbered(found)}",
            DataWarning,
        )
    return panel


@named_arguments
def panel_to_frame(panel: ShopPanel, *, shop: str = "shop_id", date: str = "ds") -> pd.DataFrame:
    """Return a panel as a table with one row per shop and date, as `load_shops` reads it.

    Rows in which no node is observed are left out. A panel without dates gets daily dates from
    2000-01-01.

    Examples
    --------
    >>> table = pd.DataFrame({"shop_id": ["a"], "ds": [20210130], "x0": [3.0], "gmv": [5.0]})
    >>> panel_to_frame(load_shops(table)).columns.tolist()
    ['shop_id', 'ds', 'x0', 'gmv']
    """
    dates = panel.dates
    if dates is None:
        dates = pd.date_range("2000-01-01", periods=panel.length, freq="D")
    at, when = np.nonzero(panel.observed.any(2))
    table = {shop: np.array(panel.shops, dtype=object)[at], date: dates[when]}
    for k, name in enumerate(panel.context_names):
        table[name] = panel.context[at, when, k]
    for k, name in enumerate(panel.nodes):
        table[name] = panel.series[at, when, k]
    return pd.DataFrame(table)


def _value_findings(cells: Cells, roles: ShopRoles) -> list[Finding]:
    """Check numbers: empty context, negative values, empty cells of series."""
    found = []
    for name in roles.context:
        if name not in cells.numbers:
            continue
        if rows := cells.rows(np.isnan(cells.numbers[name]) & ~cells.refused[name]):
            text = f"Context {name!r} has {len(rows)} empty cell(s): {cells.places(rows)}."
            remedy = "Fill them, e.g. with the previous value, or leave the variable out."
            found.append(Finding("missing_context", "error", text, remedy, name, rows))
    for name in roles.nodes:
        if name not in cells.numbers:
            continue
        values = cells.numbers[name]
        if rows := cells.rows(values < 0):
            text = f"Column {name!r} has {len(rows)} negative cell(s): {cells.places(rows)}."
            is_target = name == roles.target
            remedy = "Check that returns really exceed sales." if is_target else "Set refunds to 0."
            severity: Literal["error", "warning"] = "warning" if is_target else "error"
            found.append(Finding("negative_value", severity, text, remedy, name, rows))
        if rows := cells.rows(np.isnan(values) & ~cells.refused[name]):
            text = f"Column {name!r} has {len(rows)} empty cell(s): {cells.places(rows)}."
            remedy = "They count as missing; enter 0 where nothing was spent or sold."
            found.append(Finding("missing_value", "warning", text, remedy, name, rows))
    return found


def _grid(cells: Cells, roles: ShopRoles) -> tuple[pd.DatetimeIndex, list[Finding]]:
    """Return the regular dates of all shops, and findings on irregular and repeated dates."""
    if cells.dates is None:
        return pd.DatetimeIndex([]), []
    found = []
    dates = pd.DatetimeIndex(pd.DatetimeIndex(cells.dates.dropna().unique()).sort_values())
    step, irregular = check_regular(dates, roles.date)
    found += [finding for finding in irregular if finding.check != "date_gap"]
    if len(dates) > 1 and not found:
        dates = step.between(dates[0], dates[-1])
    if cells.shops is not None:
        keys = pd.DataFrame({"shop": cells.shops, "date": cells.dates}).dropna()
        repeated = keys[keys.duplicated(keep=False)]
        if len(repeated):
            rows = tuple(int(row) for row in repeated.index)
            pairs = len(repeated.drop_duplicates())
            text = (
                f"{pairs} combination(s) of shop and date have several rows: {cells.places(rows)}."
            )
            remedy = "Keep one row of each combination, or sum them."
            found.append(Finding("duplicate_row", "error", text, remedy, roles.date, rows))
    return dates, found


def _assemble(
    cells: Cells, roles: ShopRoles, grid: pd.DatetimeIndex, groups: Mapping[str, str]
) -> tuple[ShopPanel, list[Finding]]:
    if cells.shops is None or cells.dates is None:  # pragma: no cover - a missing column
        raise AssertionError("a valid table has shops and dates")
    at, names = pd.factorize(cells.shops)
    when = grid.get_indexer(cells.dates)
    size = (len(names), len(grid))
    there = np.zeros(size, dtype=bool)
    there[at, when] = True

    def fill(columns: Sequence[str]) -> np.ndarray:
        values = np.full((*size, len(columns)), np.nan)
        for k, name in enumerate(columns):
            values[at, when, k] = cells.numbers[name]
        return values

    # Position of the last row up to each date, or of the first row of the shop.
    before = np.maximum.accumulate(np.where(there, np.arange(len(grid)), -1), axis=1)
    first, last = there.argmax(1), len(grid) - 1 - there[:, ::-1].argmax(1)
    before = np.where(before < 0, first[:, None], before)
    kinds = {name: "channel" for name in roles.channels} | {roles.target: "target"}
    kinds |= {roles.views: "views"} if roles.views is not None else {}
    kinds |= groups
    panel = ShopPanel(
        series=fill(roles.nodes),
        nodes=roles.nodes,
        shops=tuple(str(name) for name in names),
        context=np.take_along_axis(fill(roles.context), before[:, :, None], axis=1),
        context_names=roles.context,
        dates=grid,
        groups=tuple(kinds[name] for name in roles.nodes),
    )
    span = np.arange(len(grid))
    inside = (span >= first[:, None]) & (span <= last[:, None]) & ~there
    return panel, [_gap(panel, shop, grid[inside[shop]]) for shop in cells.rows(inside.any(1))]


def _gap(panel: ShopPanel, shop: int, absent: pd.DatetimeIndex) -> Finding:
    iso = tuple(f"{date:%Y-%m-%d}" for date in absent)
    text = f"Shop {panel.shops[shop]!r} has no row for {len(iso)} date(s): {listing(iso)}."
    remedy = "They count as missing; add rows with 0 where nothing was spent or sold."
    return Finding("date_gap", "warning", text, remedy, dates=iso)
