"""The content of a file or of a networkx graph, before it is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mmm_bayes.causal.graph.checks import Place, nowhere


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
    """

    nodes: Any = None
    edges: Any = ()
    bidirected: Any = ()
    place: Place = nowhere
    problems: list[str] = field(default_factory=list)
    roles: Any = None
