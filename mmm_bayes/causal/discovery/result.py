"""Result of a search: the graph, every edge with its evidence, and the disputes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.discovery.conflicts import Conflicts
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.runtime.deprecation import old_name
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True, repr=False, eq=False)
class Discovery(Report):
    """The graph with the best agreement of data and experts, and their disputes.

    Attributes
    ----------
    graph : CausalGraph
        The aligned graph: the acyclic graph with the smallest expected number of wrong pairs
        among all that obey the rules.
    data_graph : CausalGraph
        The graph chosen in the same way from the data alone.
    edges : pandas.DataFrame
        One row per edge of the graph, with the columns ``cause`` and ``effect``; ``source``
        (``"experts"``, ``"data"`` or ``"both"``); ``probability`` with the experts' knowledge and
        ``data_probability`` without it; ``stability``, the share of resampled tables whose graph
        joins the two nodes (without knowledge), and ``direction_share``, the share of those with
        this direction; ``strength``, the share of the effect's variance that only this cause
        explains; and ``log_evidence`` and ``p_value``, given the other causes. The last three
        compare values of the same row, so they can miss an effect that ``"pcmci"`` finds at a lag.
    conflicts : Conflicts
        Statements of experts that the data contradict.
    probabilities, data_probabilities : pandas.DataFrame
        Probability of every edge, with one row per cause and one column per effect.
    samples : tuple of (CausalGraph, float)
        The most probable graphs given the experts' knowledge, with their probabilities.
    knowledge : Knowledge
        Statements of the experts.
    settings : dict
        Method and options, as plain values.
    effective_sample_ratio : float
        Effective over actual number of rows; below 1 where rows are autocorrelated.
    data_hash : str
        Hash of the table that was read.
    """

    graph: CausalGraph
    data_graph: CausalGraph
    edges: pd.DataFrame
    conflicts: Conflicts
    probabilities: pd.DataFrame
    data_probabilities: pd.DataFrame
    samples: tuple[tuple[CausalGraph, float], ...]
    knowledge: Knowledge
    settings: dict[str, Any]
    effective_sample_ratio: float
    data_hash: str

    news = old_name("effective_sample_ratio")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A warning for every dispute."""
        return self.conflicts.findings

    def to_frame(self) -> pd.DataFrame:
        """Return the edges: one row each, with its evidence."""
        return self.edges

    def __str__(self) -> str:
        count = len(self.conflicts)
        head = (
            f"{len(self.graph.edges)} edges over {len(self.graph.nodes)} nodes "
            f"({self.settings['method']}, {self.settings['num_bootstrap']} resampled tables); "
            f"{count} {'dispute' if count == 1 else 'disputes'}"
        )
        shown = self.summary() if len(self.edges) else "No edges."
        return f"{head}\n\n{shown}\n\n{self.conflicts}"

    @shown_safely
    def __repr__(self) -> str:
        return (
            f"Discovery({len(self.graph.nodes)} nodes, {len(self.graph.edges)} edges, "
            f"{len(self.conflicts)} disputes)"
        )

    def _repr_html_(self) -> str:
        disputes = self.conflicts._repr_html_() if self.conflicts else ""
        return text_as_html(repr(self)) + table_as_html(self.edges) + disputes


def hash_of(table: NodeTable) -> str:
    """Return the SHA-256 of a table's nodes, numbers, dates and geos."""
    digest = hashlib.sha256()
    for name, column in table.columns.items():
        digest.update(f"{name}\0{column.shape}\0".encode())
        digest.update(np.ascontiguousarray(column, np.float64).tobytes())
    if table.dates is not None:
        digest.update(np.asarray(table.dates, "datetime64[ns]").astype(np.int64).tobytes())
    if table.geos is not None:
        digest.update(np.asarray(table.geos, np.int64).tobytes())
    return digest.hexdigest()
