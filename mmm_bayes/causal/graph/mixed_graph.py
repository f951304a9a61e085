"""The mixed graph that every algorithm takes: nodes, directed and bidirected edges, and roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from mmm_bayes.causal.graph.checks import GraphError, Pair, examine, reach, unknown_node
from mmm_bayes.causal.graph.roles import ROLES, Role, examine_roles
from mmm_bayes.causal.graph.separation import Links, connected
from mmm_bayes.runtime.deprecation import named_arguments

Edges = Iterable[Sequence[str]] | Mapping[str, str | Iterable[str]]
Names = str | Iterable[str]


@dataclass(frozen=True, init=False, repr=False)
class MixedGraph:
    """An acyclic directed mixed graph, checked when it is made, immutable and hashable.

    It knows its own structure and nothing else: questions such as adjustment sets are functions of
    a graph, in the modules above this one. Users meet it as
    :class:`~mmm_bayes.causal.causal_graph.CausalGraph`, which has these functions as methods, and
    whose documentation describes parameters, attributes and errors. A function that returns a
    changed graph returns one of the class that it was given.
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
        checked_roles, wrong = examine_roles(roles, parts.nodes)
        if problems or wrong:
            raise GraphError([*problems, *wrong])
        for name in ("nodes", "edges", "bidirected"):
            object.__setattr__(self, name, getattr(parts, name))
        object.__setattr__(self, "roles", checked_roles)

    @cached_property
    def links(self) -> Links:
        """Neighbours of each node by the kind of edge; edges can be cut from it."""
        parents: dict[str, list[str]] = {name: [] for name in self.nodes}
        children: dict[str, list[str]] = {name: [] for name in self.nodes}
        siblings: dict[str, list[str]] = {name: [] for name in self.nodes}
        for cause, effect in self.edges:
            parents[effect].append(cause)
            children[cause].append(effect)
        for one, other in self.bidirected:
            siblings[one].append(other)
            siblings[other].append(one)
        tables = (
            {name: tuple(others) for name, others in table.items()}
            for table in (parents, children, siblings)
        )
        return Links(*tables)

    @cached_property
    def _topological_order(self) -> tuple[str, ...]:
        parents = self.links.parents
        left = list(self.nodes)
        order: dict[str, None] = {}
        while left:
            name = next(v for v in left if all(parent in order for parent in parents[v]))
            order[name] = None
            left.remove(name)
        return tuple(order)

    @cached_property
    def _roles(self) -> dict[str, Role]:
        return dict(self.roles)

    # --- Neighbours ------------------------------------------------------------------------------

    def parents(self, node: str) -> tuple[str, ...]:
        """Return the direct causes of a node."""
        self.check_nodes([node])
        return self.links.parents[node]

    def children(self, node: str) -> tuple[str, ...]:
        """Return the direct effects of a node."""
        self.check_nodes([node])
        return self.links.children[node]

    def siblings(self, node: str) -> tuple[str, ...]:
        """Return the nodes that share a hidden cause with a node."""
        self.check_nodes([node])
        return self.links.siblings[node]

    def ancestors(self, node: str) -> tuple[str, ...]:
        """Return the direct and indirect causes of a node, without the node itself."""
        return self.in_order(reach(self.parents(node), self.links.parents))

    def descendants(self, node: str) -> tuple[str, ...]:
        """Return the direct and indirect effects of a node, without the node itself."""
        return self.in_order(reach(self.children(node), self.links.children))

    @property
    def roots(self) -> tuple[str, ...]:
        """Nodes without parents."""
        return tuple(name for name in self.nodes if not self.links.parents[name])

    @property
    def is_dag(self) -> bool:
        """Whether no pair shares a hidden cause."""
        return not self.bidirected

    # --- Roles -----------------------------------------------------------------------------------

    def role(self, node: str) -> Role | None:
        """Return the role of a node in a media-mix model, or None."""
        self.check_nodes([node])
        return self._roles.get(node)

    def nodes_of(self, *wanted: Role) -> tuple[str, ...]:
        """Return the nodes with one of some roles."""
        if wrong := [name for name in wanted if name not in ROLES]:
            known = ", ".join(ROLES)
            raise GraphError([f"{name!r} is not a role; roles are {known}." for name in wrong])
        return tuple(name for name in self.nodes if self._roles.get(name) in wanted)

    def with_roles(self, roles: Mapping[str, Role] | None = None, /, **more: Role) -> Self:
        """Return the graph with roles added or replaced.

        Parameters
        ----------
        roles : mapping of node to role, optional
        **more
            Roles by node, for nodes whose names are valid keywords.

        Raises
        ------
        GraphError
            Listing unknown nodes and roles.

        Examples
        --------
        >>> from mmm_bayes import CausalGraph
        >>> graph = CausalGraph(edges=[("tv", "sales")]).with_roles(tv="channel", sales="target")
        >>> graph.nodes_of("channel")
        ('tv',)
        """
        together = {**dict(self.roles), **dict(roles or {}), **more}
        return type(self)(self.nodes, self.edges, self.bidirected, together)

    # --- Order and separation --------------------------------------------------------------------

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
        problems = self.unknown(position)
        problems += [f"{v!r} is missing." for v in self.nodes if v not in position]
        problems += [
            f"{v!r} is listed {names.count(v)} times; list each node once."
            for v in position
            if names.count(v) > 1
        ]
        problems += [
            f"{cause!r} should come before its effect {effect!r}."
            for cause, effect in self.edges
            if position.get(cause, -1) > position.get(effect, len(names))
        ]
        if problems:
            raise GraphError(problems, "the order of the nodes")
        return names

    def m_separated(self, x: Names, y: Names, given: Names = ()) -> bool:
        r"""Return whether ``given`` m-separates ``x`` from ``y`` (in a DAG: d-separates).

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
        self.check_nodes([*_names(x), *_names(y), *_names(given)])
        shared = [
            f"{v!r} is in both {one} and {other}: the sets should be disjoint."
            for one, other in (("x", "y"), ("x", "given"), ("y", "given"))
            for v in self.in_order(sets[one] & sets[other])
        ]
        if shared:
            raise GraphError(shared, "the question")
        return connected(self.links, sets["x"], sets["given"]).isdisjoint(sets["y"])

    # --- Parts and matrices ----------------------------------------------------------------------

    def subgraph(self, nodes: Iterable[str]) -> Self:
        """Return the graph on some nodes with the edges between them, in this graph's order.

        Paths through the other nodes are lost: the result is not the graph of the joint
        distribution of the nodes kept, unless all their ancestors are kept (see
        ``project_out``).
        """
        names = _names(nodes)
        self.check_nodes(names)
        kept = set(names)
        return type(self)(
            self.in_order(kept),
            [edge for edge in self.edges if kept.issuperset(edge)],
            [pair for pair in self.bidirected if kept.issuperset(pair)],
            {name: role for name, role in self.roles if name in kept},
        )

    def with_edges(
        self, edges: Iterable[Pair] | None = None, bidirected: Iterable[Pair] | None = None
    ) -> Self:
        """Return the graph with the same nodes and roles, and other edges of one or both kinds."""
        return type(self)(
            self.nodes,
            self.edges if edges is None else edges,
            self.bidirected if bidirected is None else bidirected,
            self.roles,
        )

    def adjacency(self) -> np.ndarray:
        """Return the directed edges as integers, shape (node, node): 1 at [i, j] for i -> j."""
        position = {name: i for i, name in enumerate(self.nodes)}
        matrix = np.zeros((len(self.nodes), len(self.nodes)), dtype=np.int64)
        for cause, effect in self.edges:
            matrix[position[cause], position[effect]] = 1
        return matrix

    @classmethod
    @named_arguments
    def from_adjacency(
        cls, matrix: Any, nodes: Iterable[str], bidirected: Iterable[Sequence[str]] = ()
    ) -> Self:
        """Make a graph from a matrix whose entry [i, j] is not zero where node i causes node j.

        Raises
        ------
        GraphError
            If the matrix does not have one row and one column per node, has empty entries, or the
            graph has other problems.
        """
        names = _names(nodes)
        entries = np.asarray(matrix)
        if entries.shape != (len(names), len(names)):
            wanted = f"({len(names)}, {len(names)}), one row and one column per node"
            raise GraphError([f"The matrix should have shape {wanted}, but has {entries.shape}."])
        if entries.dtype.kind not in "biuf" or np.isnan(entries).any():
            raise GraphError(
                ["The matrix should hold numbers only: write 0 where there is no edge."]
            )
        edges = [(names[i], names[j]) for i, j in zip(*np.nonzero(entries), strict=True)]
        return cls(names, edges, bidirected)

    # --- Names of nodes --------------------------------------------------------------------------

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return some nodes, each once, in the order of the graph."""
        chosen = set(names)
        return tuple(name for name in self.nodes if name in chosen)

    def unknown(self, names: Iterable[object]) -> list[str]:
        """List the names that are not nodes as problems, each with the nearest node."""
        known = self.links.parents
        return [unknown_node(v, self.nodes) for v in dict.fromkeys(names) if v not in known]

    def check_nodes(self, names: Iterable[object]) -> None:
        """Raise a `GraphError` that lists the names that are not nodes, if there are any."""
        if problems := self.unknown(names):
            raise GraphError(problems, "the question")


def as_names(names: Names) -> tuple[str, ...]:
    """Read one name or several, each once."""
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
