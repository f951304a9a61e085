"""Prepare the arrays of an estimation from a table and a graph: doses and adjustment set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from mmm_bayes.causal.check.variables import NodeTable, node_table
from mmm_bayes.causal.effects.estimators import Design
from mmm_bayes.causal.effects.media import (
    MediaTransform,
    Transforms,
    choose_transforms,
    mean_positive,
    media_transforms,
)
from mmm_bayes.causal.effects.regression import date_numbers
from mmm_bayes.causal.identify.criteria import criterion
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, DataWarning, Finding, listing, nearest
from mmm_bayes.runtime.warn import warn_user

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.causal.causal_graph import CausalGraph

NDArray = np.ndarray[Any, Any]

TRANSFORM_SEARCH = "search"
_STEP = 0.01  # relative increase of spend over which the effect of one more unit is measured


@final
@dataclass(frozen=True)
class Source:
    """The data of an estimation: columns by graph node, spend by channel, and revenue.

    Attributes
    ----------
    table : NodeTable
        Columns of the graph's nodes.
    spend : mapping of str to ndarray
        Spend (row,) in money for each channel whose spend is known.
    revenue : ndarray
        Monetary value (row,) of one unit of the outcome.
    channels : tuple of str
        Nodes that are media channels.
    """

    table: NodeTable
    spend: Mapping[str, NDArray]
    revenue: NDArray
    channels: tuple[str, ...]

    @property
    def date_numbers(self) -> NDArray:
        """Date (row,) of each row, numbered from 0."""
        return date_numbers(self.table.num_rows, self.table.dates, self.table.geos)


def read_source(
    data: MMMData | pd.DataFrame | NodeTable | Source,
    graph: CausalGraph,
    nodes: Sequence[str],
    *,
    date: str | None = None,
    geo: str | None = None,
    spend: Mapping[str, str] | None = None,
) -> Source:
    """Read the given nodes, spend and revenue from a table.

    ``spend`` maps a channel to the data-frame column with its spend. For a channel without an
    entry, the channel's own column is its spend.
    """
    if isinstance(data, Source):
        return data
    season = [
        name for name in graph.nodes_of("seasonality") if not _has_column(data, name)
    ]  # fmt: skip
    channels = graph.nodes_of("channel")
    if isinstance(data, MMMData):
        table = node_table(data, nodes, season=season)
        names = [str(name) for name in data.ds.coords["channel"].values]
        money = data.ds["spend"].transpose("channel", "geo", "date").values
        own = {name: money[i].ravel() for i, name in enumerate(names)}
        revenue = data.ds["revenue_per_target"].transpose("geo", "date").values.ravel()
        media = tuple(v for v in graph.nodes if v in names or v in channels)
        return Source(table, own, revenue, media)
    if isinstance(data, NodeTable):
        table, own = node_table(data, nodes), {}
    else:
        columns = dict(spend or {})
        wanted = [*nodes, *(column for column in columns.values() if column not in nodes)]
        whole = node_table(data, wanted, season=season, date=date, geo=geo)
        own = {channel: whole.vector(column) for channel, column in columns.items()}
        table = node_table(whole, nodes)
    return Source(table, own, np.ones(table.num_rows), channels)


def outcome_of(data: Any, graph: CausalGraph, outcome: str | None) -> str:
    """Return the given outcome, or else the target of the graph or the table.

    Raises
    ------
    DataError
        If the outcome is not given and cannot be determined.
    """
    if outcome is not None:
        return outcome
    targets = graph.nodes_of("target")
    if len(targets) == 1:
        return targets[0]
    if isinstance(data, MMMData):
        name = data.roles.target or "target"
        if name in graph.nodes:
            return name
    message = "No outcome is given, and neither the graph nor the table names a single target."
    remedy = 'Pass outcome=, or give one node of the graph the role "target".'
    raise DataError([Finding("outcome", "error", message, remedy, "outcome")], "the question")


def chosen_adjustment(
    graph: CausalGraph,
    treatment: str,
    outcome: str,
    effect: Literal["total", "direct"],
    *,
    latent: Iterable[str] = (),
    precise: bool = True,
) -> tuple[str, ...]:
    r"""Return a valid adjustment set, with the smallest variance if the graph determines it.

    In a DAG, the optimal set consists of the parents of the nodes on causal paths, without these
    nodes and their descendants. Of all valid sets it has the smallest asymptotic variance, for
    linear and for nonparametric estimators. It therefore includes causes of sales that do not
    influence spend. With hidden causes the optimal set may be invalid. The result is then a
    smallest valid set, extended by each node of the optimal set that keeps it valid.

    Raises
    ------
    IdentificationError
        If there is no valid set. The message lists the open paths and possible remedies.

    References
    ----------
    L. Henckel, E. Perkovic and M. Maathuis (2022), Graphical criteria for efficient total effect
    estimation via adjustment in causal linear models. JRSS-B 84(2).
    """
    hidden = set(latent)
    smallest = graph.adjustment_set(treatment, outcome, effect=effect, latent=tuple(hidden))
    if not precise:
        return smallest
    goal = criterion(graph, treatment, outcome, effect)
    on_paths = goal.through | {outcome}
    out = on_paths | goal.forbidden | hidden | {treatment}
    best = [v for v in graph.nodes if v not in out and on_paths & set(graph.children(v))]
    if graph.is_adjustment_set(treatment, outcome, best, effect=effect):
        return tuple(best)
    kept = set(smallest)
    for name in best:
        if graph.is_adjustment_set(treatment, outcome, kept | {name}, effect=effect):
            kept.add(name)
    return tuple(v for v in graph.nodes if v in kept)


def examine_adjustment(
    graph: CausalGraph,
    treatment: str,
    outcome: str,
    effect: Literal["total", "direct"],
    given: Iterable[str],
) -> tuple[str, ...]:
    """Check the user's adjustment set for mediators, colliders and open paths.

    Returns
    -------
    tuple of str
        The findings as text; empty if the set is valid and there is nothing to report.

    Warns
    -----
    DataWarning
        A single warning with all findings, if the set is not valid.
    """
    report = graph.explain_adjustment(treatment, outcome, tuple(given), effect)
    if not report.valid:
        warn_user(str(report), DataWarning)
    return tuple(str(finding) for finding in report.findings if finding.severity != "note")


def transforms_for(
    source: Source,
    outcome: str,
    media: Iterable[str],
    others: Iterable[str],
    transform: Transforms | str | None,
) -> dict[str, MediaTransform]:
    """Return the transform of each channel, as given or chosen by a search (``"search"``).

    Raises
    ------
    DataError
        If a transform is given for a node that is not a channel, or ``transform`` is a string
        other than "search".
    """
    if transform is None:
        return {}
    names = [name for name in media if name in source.table.columns]
    if isinstance(transform, str):
        if transform != TRANSFORM_SEARCH:
            message = f"transform should be 'search' or a dictionary; got {transform!r}."
            remedy = 'For example, pass {"tv": {"alpha": 0.5, "ec": 1.0, "slope": 1.0}}.'
            raise DataError([Finding("transform", "error", message, remedy)], "the question")
        table = source.table
        covariates = np.column_stack(
            [table.matrix(others), *_geo_levels(table.geos, table.num_rows)]
        )
        exposures = {name: table.vector(name) for name in names}
        return choose_transforms(table.vector(outcome), exposures, covariates, geos=table.geos)
    own = media_transforms(transform)
    if unknown := [name for name in own if name not in source.channels and name not in names]:
        raise DataError(
            [
                Finding(
                    "transform", "error", f"A transform is given for {name!r}, not a channel.",
                    nearest(name, source.channels).strip()
                    or f"Channels are {listing(source.channels)}. Give other channels the role "
                    "'channel' in the graph.",
                    name,
                )
                for name in unknown
            ],
            "the question",
        )  # fmt: skip
    return own


def make_design(
    source: Source,
    treatment: str,
    outcome: str,
    adjustment: Sequence[str],
    transforms: Mapping[str, MediaTransform],
    modifiers: Sequence[str] = (),
) -> Design:
    """Build the arrays of an estimation: treatment doses and transformed adjustment set."""
    table = source.table
    own = transforms.get(treatment)
    x = table.vector(treatment)
    if own is None:
        dose, off = x, np.zeros_like(x)
        rise = _STEP * (float(x.std()) or 1.0)
        more, extra = x + rise, np.full(len(x), rise)
    else:
        unit = mean_positive(x)
        dose, off, more = (
            own.apply(own_x, table.geos, unit) for own_x in (x, 0.0 * x, (1.0 + _STEP) * x)
        )
        extra = _STEP * source.spend.get(treatment, x)
    columns, names = [], []
    for node in adjustment:
        part = table.columns[node]
        if node in transforms:
            part = transforms[node].apply(table.vector(node), table.geos)[:, None]
        columns.append(part)
        names += [node] if part.shape[1] == 1 else [f"{node}[{i}]" for i in range(part.shape[1])]
    levels = _geo_levels(table.geos, table.num_rows)
    names += [f"geo[{i + 1}]" for i in range(len(levels))]
    modifying, extra_columns = _modifiers(table, adjustment, modifiers)
    names += [f"modifier[{i}]" for i in range(len(extra_columns))]
    covariates = np.concatenate(
        [np.empty((table.num_rows, 0)), *columns, *(c[:, None] for c in (*levels, *extra_columns))],
        axis=1,
    )
    return Design(
        table.vector(outcome), dose, off, more, extra, covariates, modifying,
        source.date_numbers, table.geos, tuple(names),
    )  # fmt: skip


def _modifiers(
    table: NodeTable, adjustment: Sequence[str], modifiers: Sequence[str]
) -> tuple[NDArray, list[NDArray]]:
    """Return the centred effect modifiers, and the columns to be added to the covariates."""
    parts: list[NDArray] = []
    joining: list[NDArray] = []
    for name in modifiers:
        if name == "geo":
            parts += _geo_levels(table.geos, table.num_rows)  # these are already covariates
            continue
        own = _season(table) if name == "season" else list(table.columns[name].T)
        parts += own
        if name not in adjustment:
            joining += own
    if not parts:
        return np.empty((table.num_rows, 0)), []
    stacked = np.column_stack(parts)
    return stacked - stacked.mean(0), joining


def _season(table: NodeTable) -> list[NDArray]:
    if table.dates is None:
        message = "The effect modifier 'season' requires dates, but the rows have none."
        found = Finding("season", "error", message, "Pass date=.", "modifiers")
        raise DataError([found], "the question")
    angle = 2.0 * np.pi * np.asarray(table.dates.day_of_year, float) / 365.25
    return [np.sin(angle), np.cos(angle)]


def _geo_levels(geos: NDArray | None, num_rows: int) -> list[NDArray]:
    """Return one indicator column (row,) for each geo except the first."""
    if geos is None:
        return []
    return [(geos == geo).astype(float) for geo in np.unique(geos)[1:]]


def _has_column(data: Any, name: str) -> bool:
    if isinstance(data, NodeTable):
        return name in data.columns
    if isinstance(data, MMMData):
        labels = {*map(str, data.ds.coords["channel"].values)}
        labels |= {*map(str, data.ds.coords["control"].values), data.roles.target or "target"}
        return name in labels
    return name in data.columns
