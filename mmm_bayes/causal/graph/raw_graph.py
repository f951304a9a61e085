"""The content of a file or of a networkx graph, before it is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmm_bayes.causal.graph.checks import Place, nowhere

_HIDDEN_MARKS = ("latent", "unobserved", "hidden", "u")


@dataclass
class RawGraph:
    """Unchecked parts of a graph, and problems met while reading them.

    Attributes
    ----------
    nodes, edges, bidirected, roles
        As :class:`~mmm_bayes.causal.causal_graph.CausalGraph` takes them.
    place : callable
        Gives the line of an entry, as the prefix of a message.
    problems : list of str
        Parts that could not be read.
    latent : list of str
        Nodes that are not measured.
    """

    nodes: Any = None
    edges: Any = ()
    bidirected: Any = ()
    place: Place = nowhere
    problems: list[str] = field(default_factory=list)
    roles: Any = None
    latent: Any = ()


def hidden_nodes(raw: RawGraph) -> tuple[Any, tuple[str, ...], list[str]]:
    """Return all nodes of a graph, those that are hidden, and every problem with the latter."""
    latent, nodes = raw.latent, raw.nodes
    if isinstance(latent, str):
        latent = [latent]
    if not isinstance(latent, list | tuple) or not all(isinstance(v, str) for v in latent):
        return nodes, (), [f"latent should be a list of names, but is {latent!r:.60}."]
    latent = tuple(dict.fromkeys(latent))
    roles = raw.roles if isinstance(raw.roles, Mapping) else {}
    problems = [
        f"{name!r} is marked both as hidden and as {roles[name]}: keep one of the two."
        for name in latent
        if name in roles
    ]
    if isinstance(nodes, list | tuple):
        nodes = [*nodes, *(name for name in latent if name not in nodes)]
        if latent and len(latent) == len(nodes):
            problems.append("Every node is marked as hidden: keep those that are measured.")
    elif nodes is None:
        ends = {str(end) for pairs in (raw.edges, raw.bidirected) for end in _ends(pairs)}
        problems += [
            f"{name!r} is marked as hidden, but no edge names it: remove it."
            for name in latent
            if name not in ends
        ]
    return nodes, latent, problems


def _ends(pairs: Any) -> Iterable[Any]:
    """Return every name in some pairs, or in a mapping of names; nothing of other forms."""
    if isinstance(pairs, Mapping):
        pairs = [[key, *(v if isinstance(v, list | tuple) else [v])] for key, v in pairs.items()]
    if not isinstance(pairs, list | tuple):
        return []
    return [end for pair in pairs if isinstance(pair, list | tuple) for end in pair]


def is_marked_hidden(attributes: Mapping[str, Any]) -> bool:
    """Whether the attributes of a node in a file say that it is not measured.

    DAGitty writes ``[latent]``, DoWhy ``observed "no"`` or ``label "Unobserved Confounders"``.
    """
    named = {str(key).lower(): value for key, value in attributes.items()}
    if any(mark in named and not _is_no(named[mark]) for mark in _HIDDEN_MARKS):
        return True
    if "observed" in named and _is_no(named["observed"]):
        return True
    return is_called_hidden(named.get("label", ""))


def is_called_hidden(name: Any) -> bool:
    """Whether a name is the one that DoWhy gives to hidden common causes."""
    return str(name).lower().replace("_", " ") == "unobserved confounders"


def _is_no(value: Any) -> bool:
    return str(value).lower() in ("no", "false", "0")
