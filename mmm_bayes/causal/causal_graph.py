"""Causal graphs as users hold them: a mixed graph with its questions as methods."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, final

from mmm_bayes.causal.check import falsification
from mmm_bayes.causal.graph import describe, implied, projection, table_roles
from mmm_bayes.causal.graph import districts as node_districts
from mmm_bayes.causal.graph.checks import GraphError, examine
from mmm_bayes.causal.graph.files import read_graph, read_text_graph, write_graph
from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.causal.graph.networkx_graph import networkx_parts, read_networkx
from mmm_bayes.causal.graph.raw_graph import RawGraph, hidden_nodes
from mmm_bayes.causal.graph.roles import Role, examine_roles
from mmm_bayes.causal.identify import adjustment, adjustment_report, front_door, identification
from mmm_bayes.causal.identify import instruments as instrument_search
from mmm_bayes.causal.identify.criteria import IdentificationError
from mmm_bayes.runtime.deprecation import (
    grouped,
    named_arguments,
    renamed,
    rng_key_first,
    spelled_out,
)
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

    from mmm_bayes.causal.check.falsification_report import FalsificationReport
    from mmm_bayes.causal.check.variables import NodeTable
    from mmm_bayes.data.schema import MMMData

__all__ = ["CausalGraph", "GraphError", "IdentificationError", "Role"]


@final
@dataclass(frozen=True, init=False, repr=False)
class CausalGraph(MixedGraph):
    r"""A causal graph over observed variables.

    A directed acyclic graph (DAG), or with ``bidirected`` edges an acyclic directed mixed graph
    (ADMG; Richardson 2003): ``a <-> b`` stands for hidden causes that ``a`` and ``b`` share. Both
    ``a -> b`` and ``a <-> b`` may hold.

    Parameters
    ----------
    nodes : iterable of str, optional
        Names of the variables. Default: those in the edges, in order of appearance. Their order
        breaks all ties, and all answers come in it.
    edges : iterable of (cause, effect), or mapping of cause to effects
        Directed edges; ``{"tv": ["search", "sales"]}`` holds two.
    bidirected : iterable of pairs, or mapping
        Pairs with a hidden common cause, either name first.
    roles : mapping of str to str, optional
        What nodes are in a media-mix model: ``"channel"``, ``"control"``, ``"seasonality"``,
        ``"mediator"`` or ``"target"``.

    Attributes
    ----------
    nodes : tuple of str
    edges, bidirected : tuple of (str, str)
        Sorted by the order of the nodes, so that graphs with the same nodes and edges are equal.
    roles : tuple of (node, role)
        Of the nodes that have one, in their order.

    Raises
    ------
    GraphError
        Listing every problem: names that are no strings or come twice, edges of a node with
        itself, to unknown nodes or given twice, directed cycles, and unknown roles.

    References
    ----------
    T. Richardson (2003), Markov properties for acyclic directed mixed graphs. Scandinavian Journal
    of Statistics 30(1).

    Examples
    --------
    >>> graph = CausalGraph(
    ...     edges=[("tv", "search"), ("tv", "sales"), ("search", "sales")],
    ...     bidirected=[("search", "sales")],
    ... )
    >>> graph.topological_order()
    ('tv', 'search', 'sales')
    >>> graph.markov_pillow("sales")
    ('tv', 'search')
    >>> print(graph)
    tv -> search, sales
    search -> sales
    search <-> sales
    """

    districts = node_districts.districts
    district = node_districts.district
    markov_pillow = node_districts.markov_pillow
    topological_factorization = node_districts.topological_factorization
    markov_blanket = node_districts.markov_blanket
    with_roles_of = table_roles.with_roles_of
    project_out = projection.project_out
    is_adjustment_set = adjustment.is_adjustment_set
    adjustment_set = adjustment.adjustment_set
    adjustment_sets = adjustment.adjustment_sets
    explain_adjustment = adjustment_report.explain_adjustment
    is_front_door_set = front_door.is_front_door_set
    front_door_set = front_door.front_door_set
    is_instrument = instrument_search.is_instrument
    instruments = instrument_search.instruments
    implied_independences = implied.implied_independences
    identify = identification.identify

    @grouped("test_options", "bins", "most_strata", features="num_features", seed="rng_key")
    @rng_key_first(optional=True)
    @renamed(permutations="num_permutations")
    @spelled_out(falsification.FalsificationSettings)
    def falsify(
        self,
        rng_key: Any,
        data: MMMData | pd.DataFrame | NodeTable,
        **settings: Unpack[falsification.FalsificationSettings],
    ) -> FalsificationReport[Self]:
        """Test what the graph says about a table.

        See :func:`mmm_bayes.causal.check.falsification.falsify` for settings, errors and report.
        """
        return falsification.falsify(rng_key, self, data, **settings)

    # --- Other forms -----------------------------------------------------------------------------

    def to_networkx(self) -> tuple[nx.DiGraph, nx.Graph]:
        """Return the directed and the bidirected edges as networkx graphs, both over all nodes.

        Roles are the attribute ``role`` of the nodes of the directed graph. :meth:`from_networkx`
        takes the two back.

        Examples
        --------
        >>> graph = CausalGraph(edges=[("tv", "sales")], bidirected=[("tv", "sales")])
        >>> directed, bidirected = graph.to_networkx()
        >>> list(directed.edges), list(bidirected.edges)
        ([('tv', 'sales')], [('tv', 'sales')])
        >>> CausalGraph.from_networkx(directed, bidirected) == graph
        True
        """
        return networkx_parts(self.nodes, self.edges, self.bidirected, self.roles)

    @classmethod
    @named_arguments
    def from_networkx(
        cls, directed: nx.DiGraph, bidirected: nx.Graph | Iterable[Sequence[str]] = ()
    ) -> Self:
        """Make a graph from a ``networkx.DiGraph`` and the pairs that share hidden causes.

        Parameters
        ----------
        directed : networkx.DiGraph or MultiDiGraph
            Edges from causes to effects. The attribute ``role`` of a node is its role, and
            ``latent`` (or ``observed="no"``) marks a hidden node, which is projected out; an edge
            with the attribute ``dir="both"`` is bidirected, as in GML and DOT files.
        bidirected : networkx.Graph or iterable of pairs
            Further bidirected edges.

        Raises
        ------
        GraphError
            If ``directed`` is undirected, or the graph has other problems.
        """
        return cls._from_raw(read_networkx(directed, bidirected), "the networkx graph")

    @classmethod
    @named_arguments
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a graph from a ``.toml``, ``.json``, ``.dot``, ``.gv``, ``.gml`` or DAGitty file.

        TOML and JSON hold ``nodes = ["tv", ..]`` (optional), ``edges = [["tv", "sales"], ..]`` (or
        ``{tv = ["sales"]}``), ``bidirected`` likewise, ``latent = ["demand"]``, and ``roles = {tv =
        "channel"}``. Of Graphviz's language, ``digraph { .. }`` with chains (``a -> b -> c``),
        groups (``a -> {b c}``), single nodes, quoted names and comments is read; an edge written
        ``a <-> b`` or with ``[dir=both]`` is bidirected, ``[role=channel]`` is the role of a node,
        other attributes are passed over. DAGitty's ``dag { .. }`` (also in ``.dagitty`` and
        ``.txt`` files) is read in the same way: ``[exposure]`` is a channel, ``[outcome]`` the
        target. GML is read by networkx, with the attributes ``role`` of nodes and ``dir "both"`` of
        bidirected edges.

        Nodes marked as hidden (``[latent]``, ``observed "no"``) are projected out: what they cause
        in common is joined by bidirected edges (see :meth:`project_out`).

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        GraphError
            Listing every problem in the file, with the line where it is known.
        """
        return cls._from_raw(read_graph(path), str(path))

    @classmethod
    @named_arguments
    def from_text(cls, text: str) -> Self:
        """Read a graph from text: DAGitty, DOT, GML, JSON or TOML, told apart by its first word.

        See :meth:`from_file` for what each language says.

        Raises
        ------
        GraphError
            Listing every problem of the text, with the line where it is known.

        Examples
        --------
        >>> graph = CausalGraph.from_text(
        ...     "dag { tv [exposure]; sales [outcome]; demand [latent]; tv -> sales <- price; "
        ...     "demand -> {tv sales} }"
        ... )
        >>> print(graph)
        tv -> sales
        price -> sales
        tv <-> sales
        >>> graph.nodes_of("channel")
        ('tv',)
        """
        return cls._from_raw(read_text_graph(text), "the text of the graph")

    @classmethod
    def _from_raw(cls, raw: RawGraph, source: str) -> Self:
        if not (raw.nodes or raw.edges or raw.bidirected or raw.problems or raw.roles):
            raw.problems.append("The graph has no nodes and no edges.")
        nodes, latent, hidden = hidden_nodes(raw)
        parts, problems = examine(nodes, raw.edges, raw.bidirected, raw.place)
        roles, wrong = examine_roles(raw.roles, parts.nodes, raw.place)
        if found := [*raw.problems, *hidden, *problems, *wrong]:
            raise GraphError(found, source)
        graph = cls(parts.nodes, parts.edges, parts.bidirected, roles)
        return projection.project_out(graph, latent) if latent else graph

    @named_arguments
    def to_file(self, path: str | os.PathLike[str]) -> Path:
        """Write a file that :meth:`from_file` reads; it replaces an old one only once complete."""
        return write_graph(path, self.nodes, self.edges, self.bidirected, self.roles)

    # --- Showing ---------------------------------------------------------------------------------

    @shown_safely
    def __repr__(self) -> str:
        return describe.as_text(self)

    def _repr_html_(self) -> str:
        return describe.as_html(self)

    @shown_safely
    def __str__(self) -> str:
        return describe.as_lines(self)
