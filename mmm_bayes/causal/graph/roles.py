"""Roles of nodes in a media-mix model, and their checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

from mmm_bayes.causal.graph.checks import Place, nowhere, unknown_node
from mmm_bayes.runtime.findings import nearest

Role = Literal["channel", "control", "seasonality", "mediator", "target"]
ROLES: tuple[Role, ...] = get_args(Role)


def examine_roles(
    roles: Any, nodes: Iterable[str], place: Place = nowhere
) -> tuple[tuple[tuple[str, Role], ...], list[str]]:
    """Sort roles by the order of the nodes and list every problem with them.

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
        if not isinstance(role, str) or role not in ROLES:
            hint = nearest(str(role), ROLES) or f" Roles are {', '.join(ROLES)}."
            problems.append(f"{before}Role of {name!r}: {role!r} is not a role.{hint}")
        elif name in names:
            kept[name] = role
    return tuple((name, kept[name]) for name in names if name in kept), problems
