"""From a table and a graph to the arrays of an estimation: adjustment set and doses."""

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
_STEP = 0.01  # "one more unit" is measured over a rise of a hundredth: the slope where spend is


@final
@dataclass(frozen=True)
class Source:
    """A table as nodes, with spend and revenue.

    Attributes
    ----------
    table : NodeTable
        Columns of the graph's nodes.
    spend : mapping of str to ndarray
        Money (row,) by channel, where it is known.
    revenue : ndarray
        Money (row,) that a unit of the outcome is worth.
    channels : tuple of str
        Nodes that are media.
    """

    table: NodeTable
    spend: Mapping[str, NDArray]
    revenue: NDArray
    channels: tuple[str, ...]

    @property
    def date_numbers(self) -> NDArray:
        """Date (row,) of every row as an integer from 0."""
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
    """Take some nodes, spend and revenue out of a table.

    ``spend`` names columns of a data frame by channel; a channel without is its own spend.
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
    """Return the outcome: as given, or the target of the graph or of the table.

    Raises
    ------
    DataError
        If it is not clear which node it is.
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
    message = "The outcome is not given, and neither graph nor table names one target."
    remedy = 'Give outcome=, or one node of the graph the role "target".'
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
    r"""Return a valid adjustment set, with the least variance where the graph determines it.

    In a DAG the parents of the nodes on causal paths (without these nodes and their descendants)
    have the least asymptotic variance of all valid sets, for linear and for nonparametric
    estimators: causes of sales that touch no spend are worth adjusting for. With hidden causes that
    set may not be valid; then the smallest valid one is taken, with as many of its members as keep
    it valid.

    Raises
    ------
    IdentificationError
        If there is no valid set; with the open paths and what would help.

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
    """Check a set given by the user: warn about every mediator, collider and open path.

    Returns
    -------
    tuple of str
        What was found, in words; a valid set without remarks has none.

    Warns
    -----
    DataWarning
        Once, if the set is not valid.
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
    """Return the transforms by channel: as given, or from a search (``"search"``).

    Raises
    ------
    DataError
        Listing channels that are no nodes of the graph's media, and words other than "search".
    """
    if transform is None:
        return {}
    names = [name for name in media if name in source.table.columns]
    if isinstance(transform, str):
        if transform != TRANSFORM_SEARCH:
            message = f"transform should be 'search' or a dictionary; got {transform!r}."
            remedy = 'Give {"tv": {"alpha": 0.5, "ec": 1.0, "slope": 1.0}}.'
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
                    "transform", "error", f"The transform of {name!r} is for no channel.",
                    nearest(name, source.channels).strip()
                    or f"Channels are {listing(source.channels)}: give nodes the role 'channel'.",
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
    """Make the arrays: doses of the treatment, and the transformed adjustment set."""
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
    """Return centred effect modifiers, and those that must be added to the covariates."""
    parts: list[NDArray] = []
    joining: list[NDArray] = []
    for name in modifiers:
        if name == "geo":
            parts += _geo_levels(table.geos, table.num_rows)  # levels are covariates already
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
        message = "The effect should differ by season, but the rows have no dates."
        found = Finding("season", "error", message, "Give date=.", "modifiers")
        raise DataError([found], "the question")
    angle = 2.0 * np.pi * np.asarray(table.dates.day_of_year, float) / 365.25
    return [np.sin(angle), np.cos(angle)]


def _geo_levels(geos: NDArray | None, num_rows: int) -> list[NDArray]:
    """Return indicator columns (row,) of every geo except the first."""
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
