"""Which columns of a table of shops are what, and what is wrong with that."""

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
    """Which column is what."""

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
        """Every column with a part to play."""
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
    """Return the roles, those that are not given by the names of the columns."""
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
    """List columns that are not there, are there twice, or have two parts to play."""
    found = []
    for name in sorted({name for name in columns if columns.count(name) > 1}):
        text = f"Column {name!r} is in the table {columns.count(name)} times."
        found.append(_error("duplicate_column", text, "Keep one.", name))
    for name in dict.fromkeys(roles.all):
        if (count := roles.all.count(name)) > 1:
            text = f"Column {name!r} has {count} parts to play, of shop, date, context and nodes."
            found.append(_error("duplicate_role", text, "Give it one.", name))
        if name not in columns:
            text = f"Column {name!r} is not in the table.{nearest(name, columns)}"
            remedy = f"The table has {listing(map(repr, columns), 20)}."
            found.append(_error("missing_column", text, remedy, name))
    if not roles.channels:
        text = "No column is a channel: none is named like x0, x_0 or x-brand-0."
        remedy = f"Name them with channels=[...]; the table has {listing(map(repr, columns), 20)}."
        found.append(_error("no_channels", text, remedy))
    return found


def group_findings(groups: Mapping[str, str], roles: ShopRoles) -> list[Finding]:
    """List groups that are none, or of no node."""
    found = []
    for name, group in groups.items():
        if name not in roles.nodes:
            text = f"groups names {name!r}, which is no node.{nearest(name, roles.nodes)}"
            found.append(_error("unknown_node", text, f"Nodes are {listing(roles.nodes, 20)}."))
        if group not in _KINDS:
            text = f"Node {name!r} has the group {group!r}.{nearest(str(group), _KINDS)}"
            found.append(_error("unknown_group", text, f"Groups are {', '.join(_KINDS)}."))
    return found


def _error(check: str, text: str, remedy: str, column: str | None = None) -> Finding:
    return Finding(check, "error", text, remedy, where=column)
