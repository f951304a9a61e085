"""Give the nodes of a graph the roles that a table gives its columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmm_bayes.causal.graph.checks import GraphError, if_hidden, unknown_node
from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.causal.graph.roles import Role
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import nearest

if TYPE_CHECKING:
    from mmm_bayes.data.schema import MMMData


@named_arguments
def with_roles_of[G: MixedGraph](
    graph: G, data: MMMData, *, seasonality: str | Iterable[str] = ()
) -> G:
    """Return the graph with roles taken from the columns of a table.

    Channels, controls and the target are those of the table. A control that descends from a channel
    and is an ancestor of the target becomes a mediator. Nodes keep a role that they already have.

    Parameters
    ----------
    data : MMMData
        The table.
    seasonality : str or iterable of str
        Nodes that stand for the season and have no column.

    Raises
    ------
    GraphError
        Listing every node that has neither a column in the table nor a role, and unknown names.
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
                f"Node {name!r} has no column in the table and no role.{hint} Give it a role "
                f"(roles=, or seasonality= for the season). {if_hidden(name)}"
            )
    if problems:
        raise GraphError(problems, "the roles of the graph")
    found = {name: known[name] for name in graph.nodes if name in known}
    return graph.with_roles({**found, **given})
