"""The conditional independences that a causal graph implies."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import final

from mmm_bayes.causal.graph import separators
from mmm_bayes.causal.graph.mixed_graph import MixedGraph, Names, as_names
from mmm_bayes.causal.graph.separators import Question
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.visible import shown_safely


@final
@dataclass(frozen=True)
class Independence:
    """Two nodes that are independent given others, according to a graph.

    Attributes
    ----------
    x, y : str
        In the order of the nodes.
    given : tuple of str
    """

    x: str
    y: str
    given: tuple[str, ...] = ()

    @shown_safely
    def __str__(self) -> str:
        known = f" | {', '.join(self.given)}" if self.given else ""
        return f"{self.x} ⊥ {self.y}{known}"


@named_arguments
def implied_independences(
    graph: MixedGraph, *, latent: Names = (), max_given: int | None = None
) -> tuple[Independence, ...]:
    r"""Return one independence for every pair of nodes that some set m-separates.

    For a pair that no edge joins, this is the independence given the smallest set that separates
    it, with ties broken by the order of the nodes: small sets leave a test the most power. In a DAG
    every such pair has a separating set. In a mixed graph some pairs have none (Verma and Pearl
    1990), and are left out.

    Parameters
    ----------
    latent : str or iterable of str
        Nodes that are not measured: they are in no pair and no set.
    max_given : int, optional
        Leave out pairs that need a larger set.

    Raises
    ------
    GraphError
        If names are unknown.

    Examples
    --------
    >>> from mmm_bayes import CausalGraph
    >>> graph = CausalGraph(edges=[("tv", "search"), ("search", "sales"), ("price", "sales")])
    >>> for independence in graph.implied_independences():
    ...     print(independence)
    tv ⊥ sales | search
    tv ⊥ price
    search ⊥ price
    """
    hidden = as_names(latent)
    graph.check_nodes(hidden)
    links = graph.links
    nodes = [v for v in graph.nodes if v not in hidden]
    # Binary digits by position: no two sets have the same sum of costs.
    costs = {v: (1 << len(nodes)) + (1 << i) for i, v in enumerate(nodes)}
    found = []
    for x, y in itertools.combinations(nodes, 2):
        if y in (*links.parents[x], *links.children[x], *links.siblings[x]):
            continue
        allowed = tuple(v for v in nodes if v not in (x, y))
        question = Question(links, frozenset({x}), frozenset({y}), frozenset(), allowed)
        given = separators.smallest(question, costs.__getitem__)
        if given is not None and (max_given is None or len(given) <= max_given):
            found.append(Independence(x, y, tuple(v for v in nodes if v in given)))
    return tuple(found)
