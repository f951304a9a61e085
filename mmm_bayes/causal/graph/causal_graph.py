"""Causal graphs: directed acyclic, and mixed ones where some pairs share a hidden cause."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from mmm_bayes.causal.graph import districts as node_districts
from mmm_bayes.causal.graph import implied, projection
from mmm_bayes.causal.graph import roles as node_roles
from mmm_bayes.causal.graph.checks import GraphError, Pair, examine, reach, unknown_node
from mmm_bayes.causal.graph.files import read_graph, write_graph
from mmm_bayes.causal.graph.roles import Role, examine_roles
from mmm_bayes.causal.graph.separation import Links, connected
from mmm_bayes.causal.identify import adjustment, adjustment_report, front_door, identification
from mmm_bayes.causal.identify import instruments as instrument_search
from mmm_bayes.causal.identify.criteria import IdentificationError

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd

    from mmm_bayes.causal.check.falsification_report import FalsificationReport
    from mmm_bayes.causal.check.variables import NodeTable
    from mmm_bayes.data.schema import MMMData

__all__ = ["CausalGraph", "GraphError", "IdentificationError", "Role"]

Edges = Iterable[Sequence[str]] | Mapping[str, str | Iterable[str]]


@final
@dataclass(frozen=True, init=False, repr=False)
class CausalGraph:
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

    nodes: tuple[str, ...]
    edges: tuple[Pair, ...]
    bidirected: tuple[Pair, ...]
    roles: tuple[tuple[str, Role], ...]

    def __init__(
        self,
        nodes: Iterable[str] | None = None,
        edges: Edges = (),
        bidirected: Edges = (),
        roles: Mapping[str, Role] | Iterable[tuple[str, Role]] | None = None,
    ) -> None:
        parts, problems = examine(nodes, edges, bidirected)
        parts_played, wrong = examine_roles(roles, parts.nodes)
        if problems or wrong:
            raise GraphError([*problems, *wrong])
        for name in ("nodes", "edges", "bidirected"):
            object.__setattr__(self, name, getattr(parts, name))
        object.__setattr__(self, "roles", parts_played)

    @cached_property
    def links(self) -> Links:
        """Neighbours of each node by the kind of edge, as the algorithms take them."""
        return Links(self._parents, self._children, self._siblings)

    @cached_property
    def _parents(self) -> dict[str, tuple[str, ...]]:
        into: dict[str, list[str]] = {name: [] for name in self.nodes}
        for cause, effect in self.edges:
            into[effect].append(cause)
        return {name: tuple(causes) for name, causes in into.items()}

    @cached_property
    def _children(self) -> dict[str, tuple[str, ...]]:
        out: dict[str, list[str]] = {name: [] for name in self.nodes}
        for cause, effect in self.edges:
            out[cause].append(effect)
        return {name: tuple(effects) for name, effects in out.items()}

    @cached_property
    def _siblings(self) -> dict[str, tuple[str, ...]]:
        joined: dict[str, list[str]] = {name: [] for name in self.nodes}
        for one, other in self.bidirected:
            joined[one].append(other)
            joined[other].append(one)
        return {name: tuple(others) for name, others in joined.items()}

    @cached_property
    def _topological_order(self) -> tuple[str, ...]:
        left = list(self.nodes)
        order: dict[str, None] = {}
        while left:
            name = next(v for v in left if all(parent in order for parent in self._parents[v]))
            order[name] = None
            left.remove(name)
        return tuple(order)

    def parents(self, node: str) -> tuple[str, ...]:
        """Return the direct causes of a node."""
        self._check_nodes([node])
        return self._parents[node]

    def children(self, node: str) -> tuple[str, ...]:
        """Return the direct effects of a node."""
        self._check_nodes([node])
        return self._children[node]

    def ancestors(self, node: str) -> tuple[str, ...]:
        """Return the causes of a node, direct or not, without itself."""
        return self._in_order(reach(self.parents(node), self._parents))

    def descendants(self, node: str) -> tuple[str, ...]:
        """Return the effects of a node, direct or not, without itself."""
        return self._in_order(reach(self.children(node), self._children))

    def role(self, node: str) -> Role | None:
        """Return what a node is in a media-mix model, or None."""
        self._check_nodes([node])
        return self._roles.get(node)

    def nodes_of(self, *wanted: Role) -> tuple[str, ...]:
        """Return the nodes with one of some roles."""
        if wrong := [name for name in wanted if name not in node_roles.ROLES]:
            known = ", ".join(node_roles.ROLES)
            raise GraphError([f"{name!r} is no role; roles are {known}." for name in wrong])
        return tuple(name for name in self.nodes if self._roles.get(name) in wanted)

    @cached_property
    def _roles(self) -> dict[str, Role]:
        return dict(self.roles)

    districts = node_districts.districts
    district = node_districts.district
    markov_pillow = node_districts.markov_pillow
    topological_factorization = node_districts.topological_factorization
    markov_blanket = node_districts.markov_blanket
    with_roles = node_roles.with_roles
    with_roles_of = node_roles.with_roles_of
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

    def falsify(
        self, data: MMMData | pd.DataFrame | NodeTable, **settings: Any
    ) -> FalsificationReport:
        """Test what the graph says about a table.

        Settings, errors and the report are those of
        :func:`mmm_bayes.causal.check.falsification.falsify`.
        """
        from mmm_bayes.causal.check.falsification import falsify

        return falsify(self, data, **settings)

    @property
    def roots(self) -> tuple[str, ...]:
        """Nodes without parents."""
        return tuple(name for name in self.nodes if not self._parents[name])

    @property
    def is_dag(self) -> bool:
        """Whether no pair shares a hidden cause."""
        return not self.bidirected

    def topological_order(self) -> tuple[str, ...]:
        """Return the nodes with causes before effects (Kahn); ties go by the order of ``nodes``."""
        return self._topological_order

    def check_order(self, order: Iterable[str]) -> tuple[str, ...]:
        """Return an order of all nodes as a tuple, if it puts causes before effects.

        Raises
        ------
        GraphError
            Listing nodes that are missing, unknown or repeated, and each edge that is violated.
        """
        names = _names(order)
        position = {name: i for i, name in reversed(list(enumerate(names)))}
        problems = [
            unknown_node(name, self.nodes) for name in position if name not in self._parents
        ]
        problems += [f"{v!r} is missing." for v in self.nodes if v not in position]
        problems += [f"{v!r} comes {names.count(v)} times." for v in position if names.count(v) > 1]
        problems += [
            f"{cause!r} should come before its effect {effect!r}."
            for cause, effect in self.edges
            if position.get(cause, -1) > position.get(effect, len(names))
        ]
        if problems:
            raise GraphError(problems, "the order of the nodes")
        return names

    def m_separated(
        self, x: str | Iterable[str], y: str | Iterable[str], given: str | Iterable[str] = ()
    ) -> bool:
        r"""Whether ``given`` m-separates ``x`` from ``y`` (in a DAG: d-separates).

        A path is open given :math:`Z` if each collider on it, where two arrowheads meet, is in
        :math:`Z` or has a descendant there, and no other inner node is in :math:`Z`. Separated sets
        have no open path between them (Richardson 2003): the graph then implies
        :math:`X \perp Y \mid Z`.

        Parameters
        ----------
        x, y, given : str or iterable of str
            Disjoint sets of nodes.

        Raises
        ------
        GraphError
            If names are unknown or in more than one of the sets.
        """
        sets = {"x": set(_names(x)), "y": set(_names(y)), "given": set(_names(given))}
        self._check_nodes([*_names(x), *_names(y), *_names(given)])
        shared = [
            f"{v!r} is in both {one} and {other}: the sets should be disjoint."
            for one, other in (("x", "y"), ("x", "given"), ("y", "given"))
            for v in self._in_order(sets[one] & sets[other])
        ]
        if shared:
            raise GraphError(shared, "the question")
        open_to_x = connected(
            sets["x"], sets["given"], self._parents, self._children, self._siblings
        )
        return open_to_x.isdisjoint(sets["y"])

    def subgraph(self, nodes: Iterable[str]) -> CausalGraph:
        """Return the graph on some nodes with the edges between them, in this graph's order.

        Paths through the nodes left out are lost: it is not the graph of the joint distribution of
        those kept, unless all their ancestors are kept.
        """
        names = _names(nodes)
        self._check_nodes(names)
        kept = set(names)
        return CausalGraph(
            self._in_order(kept),
            [edge for edge in self.edges if kept.issuperset(edge)],
            [pair for pair in self.bidirected if kept.issuperset(pair)],
            {name: role for name, role in self.roles if name in kept},
        )

    def adjacency(self) -> np.ndarray:
        """Return the directed edges as integers, shape (node, node): 1 at [i, j] for i -> j."""
        position = {name: i for i, name in enumerate(self.nodes)}
        matrix = np.zeros((len(self.nodes), len(self.nodes)), dtype=np.int64)
        for cause, effect in self.edges:
            matrix[position[cause], position[effect]] = 1
        return matrix

    @classmethod
    def from_adjacency(
        cls, matrix: Any, nodes: Iterable[str], bidirected: Iterable[Sequence[str]] = ()
    ) -> CausalGraph:
        """Make a graph of a matrix whose entry [i, j] is not zero where node i causes node j.

        Raises
        ------
        GraphError
            If the matrix is not square with a row a node, has empty entries, or the graph has
            other problems.
        """
        names = _names(nodes)
        entries = np.asarray(matrix)
        if entries.shape != (len(names), len(names)):
            wanted = f"({len(names)}, {len(names)}), a row and a column a node"
            raise GraphError([f"The matrix should have shape {wanted}, but has {entries.shape}."])
        if entries.dtype.kind not in "biuf" or np.isnan(entries).any():
            raise GraphError(["The matrix should hold numbers only: write 0 where no edge is."])
        edges = [(names[i], names[j]) for i, j in zip(*np.nonzero(entries), strict=True)]
        return cls(names, edges, bidirected)

    def to_networkx(self) -> tuple[nx.DiGraph, nx.Graph]:
        """Return the directed and the bidirected part, both over all nodes.

        Roles are the attribute ``role`` of the nodes of the directed part.

        Raises
        ------
        ImportError
            If networkx is not installed.
        """
        try:
            import networkx as nx
        except ImportError as error:
            raise ImportError('networkx is missing: pip install "mmm-bayes[causal]"') from error
        directed, bidirected = nx.DiGraph(), nx.Graph()
        for part, pairs in ((directed, self.edges), (bidirected, self.bidirected)):
            part.add_nodes_from(self.nodes)
            part.add_edges_from(pairs)
        for name, role in self.roles:
            directed.nodes[name]["role"] = role
        return directed, bidirected

    @classmethod
    def from_networkx(
        cls, directed: nx.DiGraph, bidirected: nx.Graph | Iterable[Sequence[str]] = ()
    ) -> CausalGraph:
        """Make a graph of a ``networkx.DiGraph`` and pairs (or a ``Graph``) that share causes.

        An attribute ``role`` of the nodes is kept.

        Raises
        ------
        GraphError
            If ``directed`` is not directed, or the graph has other problems.
        """
        if not directed.is_directed():
            raise GraphError(["directed should be a networkx.DiGraph, but its edges go both ways."])
        pairs: Any = getattr(bidirected, "edges", bidirected)
        own = {name: role for name, role in directed.nodes(data="role") if role is not None}
        hidden = [tuple(p)[:2] for p in pairs]
        return cls(list(directed.nodes), list(directed.edges()), hidden, own)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> CausalGraph:
        """Read a graph from a ``.toml``, ``.json``, ``.dot`` or ``.gml`` file.

        TOML and JSON hold ``nodes = ["tv", ..]`` (optional), ``edges = [["tv", "sales"], ..]`` (or
        ``{tv = ["sales"]}``), ``bidirected`` likewise, and ``roles = {tv = "channel"}``. Of
        Graphviz's language, ``digraph { .. }`` with chains (``a -> b -> c``), groups (``a -> {b
        c}``), single nodes, quoted names and comments is read; an edge written ``a <-> b`` or with
        ``[dir=both]`` is bidirected, ``[role=channel]`` is the role of a node, other attributes are
        passed over. GML is read by networkx, with the attributes ``role`` of nodes and ``dir
        "both"`` of bidirected edges.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        GraphError
            Listing every problem in the file, with the line where it is known.
        """
        raw = read_graph(path)
        parts, problems = examine(raw.nodes, raw.edges, raw.bidirected, raw.place)
        own, wrong = examine_roles(raw.roles, parts.nodes, raw.place)
        problems += wrong
        if not parts.nodes and not raw.problems and not problems:
            problems = ["The file names no nodes and no edges."]
        if raw.problems or problems:
            raise GraphError([*raw.problems, *problems], str(path))
        return cls(parts.nodes, parts.edges, parts.bidirected, own)

    def to_file(self, path: str | os.PathLike[str]) -> Path:
        """Write a file that :meth:`from_file` reads; it replaces an old one only once complete."""
        return write_graph(path, self.nodes, self.edges, self.bidirected, self.roles)

    def __repr__(self) -> str:
        counts = f"{len(self.nodes)} nodes, {len(self.edges)} edges"
        if self.bidirected:
            counts += f", {len(self.bidirected)} bidirected"
        return f"<CausalGraph: {counts}>"

    def __str__(self) -> str:
        joined = {name for pair in (*self.edges, *self.bidirected) for name in pair}
        lines = []
        for name in self.nodes:
            if self._children[name]:
                lines.append(f"{name} -> {', '.join(self._children[name])}")
            elif name not in joined:
                lines.append(name)
        lines += [f"{one} <-> {other}" for one, other in self.bidirected]
        return "\n".join(lines) or "(no nodes)"

    def _in_order(self, names: set[str]) -> tuple[str, ...]:
        return tuple(name for name in self.nodes if name in names)

    def _check_nodes(self, names: Iterable[object]) -> None:
        unknown = [name for name in dict.fromkeys(names) if name not in self._parents]
        if unknown:
            raise GraphError([unknown_node(name, self.nodes) for name in unknown], "the question")


def _names(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
