"""What a node of a causal graph is in a media-mix model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from mmm_bayes.causal.graph.checks import GraphError, Place, nowhere, unknown_node
from mmm_bayes.runtime.findings import nearest

if TYPE_CHECKING:
    from mmm_bayes.causal.graph.causal_graph import CausalGraph
    from mmm_bayes.data.schema import MMMData

Role = Literal["channel", "control", "seasonality", "mediator", "target"]
ROLES: tuple[Role, ...] = get_args(Role)


def examine_roles(
    roles: Any, nodes: Iterable[str], place: Place = nowhere
) -> tuple[tuple[tuple[str, Role], ...], list[str]]:
    """Sort roles by the order of the nodes and list all that is wrong with them.

    Parameters
    ----------
    roles : mapping of str to str, iterable of (node, role), or None
    nodes : iterable of str
        Nodes of the graph.
    place : callable
        Prefix of the messages on an entry.
    """
    names = tuple(nodes)
    try:
        pairs = [] if roles is None else list(dict(roles).items())
    except (TypeError, ValueError):
        return (), [f'roles should be a dict such as {{"tv": "channel"}}, but is {roles!r:.60}.']
    problems = []
    kept: dict[str, Role] = {}
    for i, (name, role) in enumerate(pairs):
        before = place("roles", i)
        if name not in names:
            problems.append(f"{before}Role of {name!r}: {unknown_node(name, names)}")
        if role not in ROLES:
            hint = nearest(str(role), ROLES) or f" Roles are {', '.join(ROLES)}."
            problems.append(f"{before}Role of {name!r}: {role!r} is no role.{hint}")
        elif name in names:
            kept[name] = cast(Role, role)
    return tuple((name, kept[name]) for name in names if name in kept), problems


def with_roles(
    graph: CausalGraph, roles: Mapping[str, Role] | None = None, /, **more: Role
) -> CausalGraph:
    """Return the graph with roles added or replaced.

    Parameters
    ----------
    roles : mapping of node to role, optional
    **more
        Roles by node, for names that are words.

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
    together = {**dict(graph.roles), **dict(roles or {}), **more}
    return type(graph)(graph.nodes, graph.edges, graph.bidirected, together)


def with_roles_of(
    graph: CausalGraph, data: MMMData, *, seasonality: str | Iterable[str] = ()
) -> CausalGraph:
    """Return the graph with the roles that a table gives its nodes.

    Channels, controls and the target are those of the table. A control that descends from a channel
    and leads to the target is a mediator. A role that a node already has stays.

    Parameters
    ----------
    data : MMMData
        The table.
    seasonality : str or iterable of str
        Nodes that stand for the season and are no column.

    Raises
    ------
    GraphError
        Listing every node that is no column of the table and has no role, and unknown names.
    """
    season = (seasonality,) if isinstance(seasonality, str) else tuple(seasonality)
    target = data.roles.target or "target"
    known: dict[str, Role] = dict.fromkeys(data.controls, "control")
    known |= dict.fromkeys(data.channels, "channel")
    known |= dict.fromkeys([target], "target")
    known |= dict.fromkeys(season, "seasonality")
    channels = [v for v in graph.nodes if known.get(v) == "channel"]
    caused = graph.links.descendants(channels)
    leads = graph.links.ancestors([target]) if target in graph.nodes else set()
    for name, role in list(known.items()):
        if role == "control" and name in caused and name in leads:
            known[name] = "mediator"
    given = dict(graph.roles)
    problems = [unknown_node(v, graph.nodes) for v in season if v not in graph.nodes]
    for name in graph.nodes:
        if name not in known and name not in given:
            hint = nearest(name, known)
            problems.append(
                f"Node {name!r} is no column of the table and has no role.{hint} Give it one "
                "(roles=, or seasonality= for the season), or, if it is not measured, leave it out "
                "and join its effects by bidirected edges."
            )
    if problems:
        raise GraphError(problems, "the roles of the graph")
    found = {name: known[name] for name in graph.nodes if name in known}
    return with_roles(graph, {**found, **given})
