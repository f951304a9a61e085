"""Read the nodes of a graph from a table, with seasons recognised by their role."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mmm_bayes.causal.check.variables import NodeTable, node_table
from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, Finding

if TYPE_CHECKING:
    import pandas as pd


_LEAST_ROWS = 20


def graph_table(
    graph: MixedGraph,
    data: MMMData | pd.DataFrame | NodeTable,
    nodes: Sequence[str] | None = None,
    *,
    season: Iterable[str] | None = None,
    date: str | None = None,
    geo: str | None = None,
) -> NodeTable:
    """Read nodes of a graph from a table.

    Parameters
    ----------
    graph : MixedGraph or CausalGraph
        The graph. Its nodes with the role ``"seasonality"`` represent the season of the year if the
        table has no column with their name.
    data : MMMData, pandas.DataFrame or NodeTable
        The table.
    nodes : sequence of str, optional
        Nodes to read. Default: all nodes.
    season : iterable of str, optional
        Nodes that represent the season, instead of those with the role ``"seasonality"``.
    date, geo : str, optional
        Date and geo columns of a data frame.

    Raises
    ------
    DataError
        If nodes have no column, cells are not numbers, or there are too few rows.
    """
    if season is None:
        known: set[str] = set()
        if isinstance(data, MMMData):
            known = {str(v) for name in ("channel", "control") for v in data.ds.coords[name].values}
        elif not isinstance(data, NodeTable):
            known = set(map(str, data.columns))
        season = [v for v in graph.nodes_of("seasonality") if v not in known]
    names = graph.nodes if nodes is None else nodes
    return enough_rows(node_table(data, names, season=season, date=date, geo=geo))


def enough_rows(table: NodeTable) -> NodeTable:
    """Return the table, or raise a `DataError` if it has too few rows for any test."""
    if table.num_rows < _LEAST_ROWS:
        message = f"The table has {table.num_rows} rows, but tests need at least {_LEAST_ROWS}."
        remedy = "Use a longer time range, or a finer period such as days instead of weeks."
        raise DataError([Finding("rows", "error", message, remedy)], "the table of the nodes")
    return table
