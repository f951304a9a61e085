"""Roles of nodes: given, read, written, and taken from a table; edges as a dict."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from mmm_bayes import CausalGraph, simulate
from mmm_bayes.causal.graph.roles import ROLES
from mmm_bayes.errors import GraphError

MEDIA = CausalGraph(
    edges={"tv": ["search", "sales"], "search": "sales", "season": ["tv", "sales"]},
    roles={"sales": "target", "tv": "channel", "search": "mediator", "season": "seasonality"},
)


def test_edges_may_be_a_dict() -> None:
    assert MEDIA.nodes == ("tv", "search", "sales", "season")
    assert set(MEDIA.edges) == {
        *[("tv", "search"), ("tv", "sales"), ("search", "sales")],
        *[("season", "tv"), ("season", "sales")],
    }
    alone = CausalGraph(edges={"tv": ["sales"], "radio": []}, bidirected={"tv": ["sales"]})
    assert alone.nodes == ("tv", "sales", "radio")
    assert alone.bidirected == (("tv", "sales"),)
    with pytest.raises(GraphError, match=r"edges\['tv'\] should be a list of names .* but is 3"):
        CausalGraph(edges={"tv": 3})  # type: ignore[dict-item]


def test_roles_are_part_of_a_graph() -> None:
    assert MEDIA.role("tv") == "channel"
    assert CausalGraph(["a"]).role("a") is None
    assert MEDIA.nodes_of("channel", "mediator") == ("tv", "search")
    assert MEDIA.roles == (
        *[("tv", "channel"), ("search", "mediator")],
        *[("sales", "target"), ("season", "seasonality")],
    )
    bare = CausalGraph(MEDIA.nodes, MEDIA.edges)
    assert bare != MEDIA
    assert bare.with_roles(dict(MEDIA.roles)) == MEDIA
    assert hash(bare.with_roles(dict(MEDIA.roles))) == hash(MEDIA)
    assert MEDIA.with_roles(search="channel").nodes_of("mediator") == ()
    assert MEDIA.subgraph(["tv", "sales"]).roles == (("tv", "channel"), ("sales", "target"))
    assert CausalGraph.from_networkx(*MEDIA.to_networkx()) == MEDIA
    assert MEDIA.project_out("season").roles == MEDIA.roles[:3]


def test_wrong_roles_are_told_together() -> None:
    with pytest.raises(GraphError) as error:
        CausalGraph(["tv", "sales"], roles={"tv": "chanel", "radio": "channel"})
    assert list(error.value.problems) == [
        "Role of 'tv': 'chanel' is not a role. Did you mean 'channel'?",
        "Role of 'radio': 'radio' is not a node of the graph. Nodes are tv, sales.",
    ]
    with pytest.raises(GraphError, match="roles should be a dict"):
        CausalGraph(["tv"], roles=3)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=f"'media'.*{', '.join(ROLES)}"):
        MEDIA.nodes_of("media")  # type: ignore[arg-type]


def test_files_say_where_a_role_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "g.dot"
    path.write_text("digraph {\n tv [role=chanel]\n tv -> sales\n}")
    with pytest.raises(GraphError, match="line 2: Role of 'tv': 'chanel'"):
        CausalGraph.from_file(path)
    path = tmp_path / "g.toml"
    path.write_text('edges = {tv = ["sales"]}\nroles = {tv = "channel"}')
    assert CausalGraph.from_file(path) == CausalGraph(
        edges=[("tv", "sales")], roles={"tv": "channel"}
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("graph [ node [ id 0 label", "The file is not GML"),
        ('graph [ node [ id 0 label "a" ] ]', "undirected.*directed 1"),
        (
            'graph [ directed 1 node [ id 0 label "u" observed "no" ] ]',
            "Every node is marked as hidden",
        ),
    ],
)
def test_gml_files_that_are_none(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "g.gml"
    path.write_text(text)
    with pytest.raises(GraphError, match=expected):
        CausalGraph.from_file(path)


def test_roles_of_a_table() -> None:
    data = simulate.mmm(jax.random.key(0), num_dates=60, num_channels=2, num_controls=2).data
    (one, two), (price, visits) = data.channels, data.controls
    target = data.roles.target or "target"
    edges = [(one, visits), (visits, target), (price, one), (price, target), ("year", target)]
    graph = CausalGraph(edges=[*edges, (two, target)])
    with pytest.raises(GraphError) as error:
        graph.with_roles_of(data)
    assert len(error.value.problems) == 1
    assert "Node 'year'" in str(error.value)
    found = graph.with_roles_of(data, seasonality="year")
    assert dict(found.roles) == {
        one: "channel", two: "channel", price: "control", visits: "mediator",
        target: "target", "year": "seasonality",
    }  # fmt: skip
    # What experts have said stays.
    own = graph.with_roles({visits: "control", "year": "control"}).with_roles_of(data)
    assert (own.role(visits), own.role("year")) == ("control", "control")
    with pytest.raises(GraphError, match="'yaer' is not a node of the graph"):
        graph.with_roles_of(data, seasonality=["year", "yaer"])
