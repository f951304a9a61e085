"""Figures of causal graphs: layers, few crossings, no arrow through a label, looks and paths."""

from __future__ import annotations

import io
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from benchmarks.brute_graphs import random_graph
from mmm_bayes import CausalGraph
from mmm_bayes.errors import GraphError
from mmm_bayes.present import plots
from mmm_bayes.present.graph_layout import layers, ordered
from mmm_bayes.present.plots import causal_graph

MEDIA = CausalGraph(
    edges={
        "Seasonality": ["TV", "Digital", "Sales"],
        "TV": ["Search", "Sales"],
        **{channel: ["Sales"] for channel in ("Digital", "Search", "Email")},
    },
    roles={
        **dict.fromkeys(["TV", "Digital", "Search", "Email"], "channel"),
        **{"Seasonality": "seasonality", "Sales": "target"},
    },
)
BLUE, RED, GREY = "#0072b2", "#c8102e", "#7d838c"


def render(figure: Figure) -> Figure:
    assert isinstance(figure, Figure)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def arrows(figure: Figure, colour: str | None = None) -> list[FancyArrowPatch]:
    found = figure.findobj(FancyArrowPatch)
    return [a for a in found if colour is None or to_hex(a.get_edgecolor()) == colour]


def test_layers_go_from_causes_to_the_outcome() -> None:
    kinds = {v: MEDIA.role(v) or "other" for v in MEDIA.nodes}
    level = layers(MEDIA, kinds, "Sales")
    # Email has no cause, but stands with the other channels.
    assert level == {"Seasonality": 0, "TV": 1, "Digital": 1, "Email": 1, "Search": 2, "Sales": 3}
    more = CausalGraph([*MEDIA.nodes, "alone"], [*MEDIA.edges, ("Sales", "visits2")][:-1])
    assert layers(more, dict.fromkeys(more.nodes, "other"), "Sales")["alone"] < 3
    for seed in range(40):
        graph = random_graph(np.random.default_rng(seed), True, 4, 12)
        outcome = graph.nodes[seed % len(graph.nodes)]
        level = layers(graph, dict.fromkeys(graph.nodes, "other"), outcome)
        assert all(level[a] < level[b] for a, b in graph.edges)
        assert set(level.values()) == set(range(max(level.values()) + 1))
        after = set(graph.descendants(outcome))
        assert all(level[v] < level[outcome] for v in graph.nodes if v not in {outcome, *after})


def test_a_tree_is_drawn_without_crossings() -> None:
    names = [f"v{i}" for i in range(15)]
    tree = [(names[i], names[(i - 1) // 2]) for i in range(14, 0, -1)]
    order = list(np.random.default_rng(1).permutation(names))
    depth = {v: 3 - int(np.log2(i + 1)) for i, v in enumerate(names)}
    rows = ordered(order, depth, tree)
    place = {v: (layer, k) for layer, row in enumerate(rows) for k, v in enumerate(row)}
    for (a, b), (c, d) in itertools.combinations(tree, 2):
        if place[a][0] == place[c][0]:
            assert (place[a][1] - place[c][1]) * (place[b][1] - place[d][1]) >= 0


@pytest.mark.parametrize("seed", range(12))
def test_no_arrow_meets_the_label_of_another_node(seed: int) -> None:
    graph = random_graph(np.random.default_rng(seed), True, 5, 14)
    plan = causal_graph._plan(graph, dict.fromkeys(graph.nodes, "other"), graph.nodes[-1])
    assert len(plan.paths) == len(graph.edges) + len(graph.bidirected)
    left, right, bottom, top = plan.span
    for (a, _, b), path in plan.paths.items():
        points = path.interpolated(1).to_polygons(closed_only=False)[0]
        along = np.concatenate(
            [np.linspace(one, other, 20) for one, other in itertools.pairwise(points)]
        )
        assert (along > (left, bottom)).all()
        assert (along < (right, top)).all()
        for box in plan.boxes.values():
            x, y = np.abs(along - (box.x, box.y)).T
            inside = (x < box.width / 2 - 1e-3) & (y < box.height / 2 - 1e-3)
            assert not inside.any(), (a, b)
        ends = {tuple(np.round(along[k], 6)) for k in (0, -1)}
        for name in (a, b):
            box = plan.boxes[name]
            assert any(abs(abs(x - box.x) - box.width / 2) < 1e-5 for x, _ in ends)
    for one, other in itertools.combinations(plan.boxes.values(), 2):
        apart_x = abs(one.x - other.x) - (one.width + other.width) / 2
        apart_y = abs(one.y - other.y) - (one.height + other.height) / 2
        assert max(apart_x, apart_y) > 0.3


def test_roles_and_the_question_decide_on_the_looks() -> None:
    plain = render(plots.plot_causal_graph(MEDIA))
    text = words(plain)
    assert set(MEDIA.nodes) <= set(text)
    assert {"channel", "seasonality", "outcome", "cause"} <= set(text)
    assert not {"mediator", "confounder", "the effect", "adjusted for"} & set(text)
    assert len(arrows(plain)) == len(MEDIA.edges) == len(arrows(plain, GREY))
    asked = render(plots.plot_causal_graph(MEDIA, treatment="TV", adjustment="Seasonality"))
    text = words(asked)
    assert {"treatment", "mediator", "confounder", "adjusted for", "the effect"} <= set(text)
    assert "biasing path" not in text
    # TV -> Search -> Sales and TV -> Sales; nothing is open.
    assert len(arrows(asked, BLUE)) == 3
    assert not arrows(asked, RED)
    boxes = [p for p in asked.axes[0].patches if isinstance(p, FancyBboxPatch)]
    assert len(boxes) == len(MEDIA.nodes) + 1  # the frame of what is adjusted for
    wrong = render(plots.plot_causal_graph(MEDIA, treatment="TV", adjustment="Search"))
    assert len(arrows(wrong, RED)) == 4  # from Seasonality to TV, Sales, Digital, and on
    assert "biasing path" in words(wrong)
    control = MEDIA.with_roles(Seasonality="control")
    assert "confounder" in words(render(plots.plot_causal_graph(control)))


def test_hidden_causes_are_dashed_and_edges_can_be_set_off() -> None:
    graph = CausalGraph(
        ["b", "a", "c"], [("a", "b"), ("b", "c")], [("b", "a"), ("b", "c"), ("a", "c")]
    )
    figure = render(plots.plot_causal_graph(graph, highlight=[("c", "b")], title="x" * 120))
    dashed = [a for a in arrows(figure) if a.get_linestyle() not in ("-", "solid")]
    assert len(dashed) == 3
    assert {"hidden common cause", "highlighted"} <= set(words(figure))
    assert len(arrows(figure, "#e69f00")) == 1 + 3  # a line with two heads, and an arrow
    # On axes of one's own nothing else changes.
    with plt.rc_context():
        own, axes = plt.subplots(1, 2, figsize=(6, 3))
        assert plots.plot_causal_graph(graph, ax=axes[1]) is own
        assert not axes[0].patches
        assert axes[1].patches
        render(own)
        plt.close(own)


def test_odd_graphs_are_drawn() -> None:
    for graph in (
        CausalGraph(),
        CausalGraph(["only"]),
        CausalGraph(["a", "b"], bidirected=[("a", "b")]),
        CausalGraph(edges=[("us$_spend_of_the_very_long_campaign_name_" * 2, "y$")]),
    ):
        figure = render(plots.plot_causal_graph(graph))
        assert all(len(line) <= 20 for text in words(figure) for line in text.split("\n"))


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(GraphError) as error:
        plots.plot_causal_graph(
            MEDIA, treatment="tv", outcome="Sales", adjustment=["Sales"],
            highlight=[("Email", "Search")],
        )  # fmt: skip
    told = str(error.value)
    assert "'tv' is not a node of the graph. Did you mean 'TV'?" in told
    assert "'Sales' is the outcome: it cannot be adjusted for." in told
    assert "There is no edge between Email and Search" in told
    with pytest.raises(GraphError, match="both treatment and outcome"):
        plots.plot_causal_graph(MEDIA, treatment="TV", outcome="TV")
