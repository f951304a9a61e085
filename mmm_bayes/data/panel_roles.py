"""The roles of the columns of a table of shops, and checks of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmm_bayes.runtime.findings import Finding, listing, nearest

_CHANNEL = re.compile(r"x[-_]?\d|x[-_]\w", re.IGNORECASE)
_CONTEXT = re.compile(r"context", re.IGNORECASE)
_KINDS = ("brand", "views", "effect", "channel", "target")


@dataclass(frozen=True)
class ShopRoles:
    """Column names by role."""

    shop: str
    date: str
    context: tuple[str, ...]
    channels: tuple[str, ...]
    views: str | None
    target: str

    @property
    def nodes(self) -> tuple[str, ...]:
        """Channels, views and the target."""
        return (*self.channels, *([] if self.views is None else [self.views]), self.target)

    @property
    def all(self) -> tuple[str, ...]:
        """Every column that has a role."""
        return (self.shop, self.date, *self.context, *self.nodes)


def shop_roles(
    columns: Sequence[str],
    *,
    shop: str,
    date: str,
    context: Sequence[str] | None,
    channels: Sequence[str] | None,
    views: str | None,
    target: str,
) -> ShopRoles:
    """Return the roles; those that are not given follow from the names of the columns."""
    return ShopRoles(
        shop=shop,
        date=date,
        context=_chosen(context, columns, _CONTEXT),
        channels=_chosen(channels, columns, _CHANNEL),
        views=None if views == "pv" and "pv" not in columns else views,
        target=target,
    )


def _chosen(
    given: Sequence[str] | None, columns: Sequence[str], pattern: re.Pattern[str]
) -> tuple[str, ...]:
    if given is not None:
        return (given,) if isinstance(given, str) else tuple(given)
    return tuple(name for name in columns if pattern.match(name))


def role_findings(roles: ShopRoles, columns: Sequence[str]) -> list[Finding]:
    """Report columns that are missing, duplicated, or have two roles."""
    found = []
    for name in sorted({name for name in columns if columns.count(name) > 1}):
        text = f"The table has {columns.count(name)} columns named {name!r}."
        found.append(_error("duplicate_column", text, "Keep one of them.", name))
    for name in dict.fromkeys(roles.all):
        if (count := roles.all.count(name)) > 1:
            text = f"Column {name!r} has {count} roles among shop, date, context and nodes."
            found.append(_error("duplicate_role", text, "Give it one role.", name))
        if name not in columns:
            text = f"Column {name!r} is not in the table.{nearest(name, columns)}"
            remedy = f"The table has {listing(map(repr, columns), 20)}."
            found.append(_error("missing_column", text, remedy, name))
    if not roles.channels:
        text = "There is no channel: no column is named like x0, x_0 or x-brand-0."
        remedy = f"Give channels=[...]; the table has {listing(map(repr, columns), 20)}."
        found.append(_error("no_channels", text, remedy))
    return found


def group_findings(groups: Mapping[str, str], roles: ShopRoles) -> list[Finding]:
    """Report unknown groups, and groups of unknown nodes."""
    found = []
    for name, group in groups.items():
        if name not in roles.nodes:
            text = f"groups names {name!r}, which is not a node.{nearest(name, roles.nodes)}"
            found.append(_error("unknown_node", text, f"The nodes are {listing(roles.nodes, 20)}."))
        if group not in _KINDS:
            text = f"Node {name!r} has unknown group {group!r}.{nearest(str(group), _KINDS)}"
            found.append(_error("unknown_group", text, f"The groups are {', '.join(_KINDS)}."))
    return found


def _error(check: str, text: str, remedy: str, column: str | None = None) -> Finding:
    return Finding(check, "error", text, remedy, where=column)
