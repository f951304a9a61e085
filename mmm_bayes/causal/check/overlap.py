"""Overlap of continuous treatments: doses that were observed in similar circumstances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from mmm_bayes.causal.check.dose_support import treatment_overlap
from mmm_bayes.causal.check.graph_table import enough_rows, graph_table
from mmm_bayes.causal.check.overlap_report import OverlapReport
from mmm_bayes.causal.check.variables import NodeTable, node_table
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, as_names
from mmm_bayes.causal.identify.adjustment import adjustment_set
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.deprecation import named_arguments

if TYPE_CHECKING:
    import pandas as pd


NDArray = np.ndarray[Any, Any]

__all__ = ["OverlapReport", "overlap", "treatment_overlap"]


@named_arguments
def overlap(
    data: MMMData | pd.DataFrame | NodeTable,
    adjustment: MixedGraph | Mapping[str, Iterable[str]] | Iterable[str],
    treatments: str | Sequence[str] | None = None,
    *,
    outcome: str | None = None,
    doses: Mapping[str, NDArray] | None = None,
    latent: Iterable[str] = (),
    season: Iterable[str] | None = None,
    date: str | None = None,
    geo: str | None = None,
    lags: int | str = 0,
    strata: int = 3,
) -> OverlapReport:
    """Find the range of spend of each channel for which the table supports an effect estimate.

    An effect compares the outcome of each row with its outcome under another dose. If no rows with
    similar adjustment variables had such a dose, the estimate relies on the model and not on the
    data. See :func:`treatment_overlap` for the quantities computed.

    Parameters
    ----------
    data : MMMData, pandas.DataFrame or NodeTable
        Treatments and their adjustment variables.
    adjustment : MixedGraph or CausalGraph, mapping or iterable of str
        A graph, from which the smallest valid adjustment set of each treatment is derived; a
        mapping from treatments to adjustment sets; or one adjustment set for all treatments.
    treatments : str or sequence of str, optional
        Default: the nodes of the graph with the role ``"channel"``, or the keys of the mapping.
    outcome : str, optional
        Outcome, used with a graph. Default: its node with the role ``"target"``.
    doses : mapping of str to ndarray, optional
        Series (row,) that replace columns of treatments, such as adstocked spend, with rows sorted
        by geo and date.
    latent : iterable of str
        Nodes of the graph that are not measured.
    season, date, geo
        As in :func:`mmm_bayes.causal.check.falsification.falsify`.
    lags : int or "auto"
        Number of lags of the adjustment variables that the treatment may depend on.
    strata : int
        Number of strata of a dose. If zero occurs, it is one of the strata.

    Raises
    ------
    ValueError
        If treatments or outcome are not given and cannot be derived.
    DataError
        If columns are missing or are not numeric.
    """
    if lags != "auto" and (not isinstance(lags, int | np.integer) or lags < 0):
        raise ValueError(f"lags should be 'auto' or a whole number from 0, but is {lags!r}.")
    treatments = None if treatments is None else as_names(treatments)
    sets, names, graph, refused = _adjustment_sets(adjustment, treatments, outcome, tuple(latent))
    wanted = list(dict.fromkeys([*names, *(v for name in names for v in sets.get(name, ()))]))
    if graph is None:
        table = enough_rows(node_table(data, wanted, season=season or (), date=date, geo=geo))
    else:
        table = graph_table(graph, data, wanted, season=season, date=date, geo=geo)
    # Matrices are small here: threads would spend more time waiting than computing.
    with threadpool_limits(1, user_api="blas"):
        found = tuple(
            treatment_overlap(
                (doses or {}).get(name, table.vector(name)),
                table.matrix(sets[name]),
                name=name,
                given=sets[name],
                dates=table.dates,
                geos=table.geos,
                lags=lags,
                strata=strata,
            )
            for name in names
            if name in sets
        )
    return OverlapReport(found, refused)


def _adjustment_sets(
    adjustment: Any, treatments: Sequence[str] | None, outcome: str | None, latent: tuple[str, ...]
) -> tuple[dict[str, tuple[str, ...]], list[str], MixedGraph | None, dict[str, str]]:
    """Return sets by treatment, treatments, the graph if given, and reasons for missing sets."""
    refused: dict[str, str] = {}
    if isinstance(adjustment, MixedGraph):
        names = list(adjustment.nodes_of("channel") if treatments is None else treatments)
        targets = adjustment.nodes_of("target") if outcome is None else (outcome,)
        if not names or len(targets) != 1:
            raise ValueError(
                "overlap requires treatments= and outcome=, or a graph with nodes of the role "
                "'channel' and one node of the role 'target'."
            )
        sets: dict[str, tuple[str, ...]] = {}
        for name in names:
            try:
                sets[name] = adjustment_set(adjustment, name, targets[0], latent=latent)
            except GraphError as error:
                refused[name] = str(error)
        return sets, [name for name in names if name in sets], adjustment, refused
    if isinstance(adjustment, Mapping):
        wrong = [own for own in adjustment.values() if not isinstance(own, str | Iterable)]
        if wrong:
            raise ValueError(
                f"adjustment should hold a list of names by treatment, but one of them is "
                f"{wrong[0]!r}."
            )
        sets = {name: as_names(given) for name, given in adjustment.items()}
        names = list(sets if treatments is None else treatments)
    else:
        names = list(treatments or ())
        sets = dict.fromkeys(names, tuple(adjustment))
    if missing := [name for name in names if name not in sets]:
        raise ValueError(f"No adjustment set is given for {', '.join(missing)}.")
    if not names:
        raise ValueError("overlap requires treatments= if a single adjustment set is given.")
    return sets, names, None, refused
