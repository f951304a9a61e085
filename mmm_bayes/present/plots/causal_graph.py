"""A causal graph: causes left, outcome right, and the part that each node plays."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.present.graph_arrows import Box
from mmm_bayes.present.graph_layout import lay_out, layers
from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.causal_graph_style import (
    LOOKS,
    OPEN,
    Key,
    key_of,
    kind_of,
    question_colours,
)
from mmm_bayes.present.plots.style import INK, MODEL
from mmm_bayes.runtime.deprecation import named_arguments

_MARGIN = 0.3
_FRAME = 0.045
_WRAP = 20  # characters in a line of a label
_GREY, _HIGHLIGHT, _HIDDEN = "#7d838c", "#e69f00", "#7a5195"


@named_arguments
def plot_causal_graph(
    graph: CausalGraph,
    *,
    treatment: str | None = None,
    outcome: str | None = None,
    adjustment: str | Iterable[str] | None = None,
    highlight: Iterable[Sequence[str]] = (),
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a causal graph in layers, with a look of its own for each kind of node.

    Arrows pass layers between the nodes, never through a label. Bidirected edges (hidden common
    causes) are dashed. With ``treatment`` and ``outcome``, mediators and confounders are those of
    this question, the arrows of the effect are blue, and those of paths that ``adjustment`` leaves
    open (or opens) are red.

    Parameters
    ----------
    graph
        Its roles, where it has any, decide on the looks.
    treatment, outcome
        The question. The outcome is by default the node with the role of target.
    adjustment
        Nodes adjusted for, framed twice.
    highlight
        Edges, directed or bidirected, that are set off.
    ax
        Axes to draw on; by default a figure of the size that the graph needs.
    title
        Above the graph.

    Raises
    ------
    GraphError
        If names or edges are not in the graph.
    """
    if outcome is None and len(graph.nodes_of("target")) == 1:
        outcome = graph.nodes_of("target")[0]
    adjusted = () if adjustment is None else (
        (adjustment,) if isinstance(adjustment, str) else tuple(adjustment))  # fmt: skip
    marked = _checked(graph, treatment, outcome, adjusted, highlight)
    kinds = {name: kind_of(graph, name, treatment, outcome) for name in graph.nodes}
    plan = _plan(graph, kinds, outcome)
    asked = None if adjustment is None else adjusted
    strokes = _strokes(graph, plan, marked, question_colours(graph, treatment, outcome, asked))
    handles = _handles(kinds, strokes, adjusted)
    if ax is not None:
        with style.plain_texts(ax):
            _draw(ax, plan, kinds, strokes, adjusted, handles, title)
        return ax.figure.figure
    width, height = _frame(plan, handles, title)
    with style.canvas(width[1] - width[0], height[1] - height[0]) as figure:
        # Sizes are in inches: labels keep their size, and arrows know where they are.
        figure.set_layout_engine("none")
        own = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        _draw(own, plan, kinds, strokes, adjusted, handles, title)
    return figure


class _Plan(NamedTuple):
    """Where everything goes, in inches."""

    labels: dict[str, str]
    boxes: dict[str, Box]
    paths: dict[Key, Path]
    span: tuple[float, float, float, float]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        left, right, bottom, top = self.span
        return right - left, top - bottom


def _checked(
    graph: CausalGraph,
    treatment: str | None,
    outcome: str | None,
    adjusted: Sequence[str],
    highlight: Iterable[Sequence[str]],
) -> set[frozenset[str]]:
    """Pairs that are set off, or all that is wrong."""
    names = [name for name in (treatment, outcome, *adjusted) if name is not None]
    problems: list[str] = []
    try:
        graph.subgraph(names)
    except GraphError as error:
        problems += error.problems
    if treatment is not None and treatment == outcome:
        problems.append(f"{treatment!r} is both treatment and outcome: name two nodes.")
    problems += [
        f"{name!r} is {what}: it cannot be adjusted for."
        for name, what in ((treatment, "the treatment"), (outcome, "the outcome"))
        if name in adjusted
    ]
    known = {frozenset(pair) for pair in (*graph.edges, *graph.bidirected)}
    marked = {frozenset(tuple(pair)[:2]) for pair in highlight}
    problems += [
        f"There is no edge between {' and '.join(sorted(pair))}: it cannot be highlighted."
        for pair in sorted(marked - known, key=sorted)
    ]
    if problems:
        raise GraphError(problems, "the figure of the graph")
    return marked


def _plan(graph: CausalGraph, kinds: dict[str, str], outcome: str | None) -> _Plan:
    level = layers(graph, kinds, outcome)
    # A bidirected edge goes the other way round, so that it looks different from a directed one.
    directed = set(graph.edges)
    pairs = [*graph.edges, *(
        (one, other) if (other, one) in directed else (other, one)
        for one, other in graph.bidirected
    )]  # fmt: skip
    labels = {name: _wrapped(name) for name in graph.nodes}
    layout = lay_out(labels, level, pairs, _MARGIN)
    paths: dict[Key, Path] = {}
    for (a, b), path in layout.paths.items():
        paths[key_of(graph, a, "->" if (a, b) in directed else "<->", b)] = path
    boxes = layout.boxes
    heights = [b.y + side * b.height / 2 for b in boxes.values() for side in (-1, 1)] or [0.0]
    # A cubic's middle lies three quarters of the way to its handles: they bound it from outside.
    heights += [y for path in paths.values() for y in np.asarray(path.vertices)[:, 1].tolist()]
    span = (0.0, layout.width, min(heights) - _MARGIN, max(heights) + _MARGIN)
    return _Plan(labels, boxes, paths, span)


class _Stroke(NamedTuple):
    """How an edge is drawn, and what a legend says of it."""

    colour: str
    width: float
    hidden: bool
    label: str


def _strokes(
    graph: CausalGraph,
    plan: _Plan,
    marked: set[frozenset[str]],
    colours: dict[Key, str],
) -> dict[Key, _Stroke]:
    labels = {MODEL: "the effect", OPEN: "biasing path"}
    found = {}
    for key in plan.paths:
        hidden = key[1] == "<->"
        plain = ("hidden common cause", _HIDDEN) if hidden else ("cause", _GREY)
        colour = colours.get(key, plain[1])
        label = labels.get(colour, plain[0])
        width = 2.0 if key in colours else 1.3
        if frozenset((key[0], key[2])) in marked:
            colour, label, width = _HIGHLIGHT, "highlighted", 2.8
        found[key] = _Stroke(colour, width, hidden, label)
    return found


def _handles(
    kinds: dict[str, str],
    strokes: dict[Key, _Stroke],
    adjusted: Sequence[str],
) -> list[Any]:
    """Entries of the legend: what is there, and no more."""
    present = set(kinds.values())
    handles: list[Any] = [
        Patch(fc=look.face, ec=look.edge, ls=look.line, lw=1.2, label=look.label)
        for name, look in LOOKS.items()
        if name in present and present != {"other"}
    ]
    if adjusted:
        handles.append(Patch(fc="white", ec=INK, lw=2.4, label="adjusted for"))
    colours = {stroke.label: stroke.colour for stroke in strokes.values()}
    for label in ("cause", "the effect", "biasing path", "highlighted"):
        if label in colours:
            handles.append(Line2D([], [], color=colours[label], lw=1.8, label=label))
    if any(stroke.hidden for stroke in strokes.values()):
        line = Line2D([], [], color=_HIDDEN, lw=1.5, ls=(0, (4, 2)), label="hidden common cause")
        handles.append(line)
    return handles


def _frame(
    plan: _Plan, handles: Sequence[Any], title: str | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bounds of the drawing with its title and legend, at least wide enough for these."""
    left, right, bottom, top = plan.span
    width = max(right - left, 4.2, 0.3 + 0.085 * min(len(title or ""), 70))
    middle = 0.5 * (left + right)
    rows = -(-len(handles) // _legend_columns(width))
    lines = len(_title_lines(title, width))
    return (
        (middle - 0.5 * width, middle + 0.5 * width),
        (bottom - 0.12 - 0.21 * rows, top + (0.12 + 0.2 * lines if lines else 0.0)),
    )


def _legend_columns(width: float) -> int:
    return max(1, int((width - 0.2) / 1.75))


def _title_lines(title: str | None, width: float) -> list[str]:
    return textwrap.wrap(title, max(20, int(width / 0.088))) if title else []


def _draw(
    ax: Axes,
    plan: _Plan,
    kinds: dict[str, str],
    strokes: dict[Key, _Stroke],
    adjusted: Sequence[str],
    handles: Sequence[Any],
    title: str | None,
) -> None:
    """Put everything on axes whose unit is an inch, or less where they are smaller."""
    width, height = _frame(plan, handles, title)
    figure = ax.figure.figure
    box = ax.get_position()
    room = figure.get_figwidth() * box.width, figure.get_figheight() * box.height
    size = min(1.0, room[0] / (width[1] - width[0]), room[1] / (height[1] - height[0]))
    ax.set(xlim=width, ylim=height, aspect="equal")
    ax.axis("off")
    for key, path in plan.paths.items():
        for patch in _arrows(path, strokes[key], size):
            ax.add_patch(patch)
    for name, box_of_node in plan.boxes.items():
        _draw_node(ax, box_of_node, plan.labels[name], kinds[name], name in adjusted, size)
    lines = _title_lines(title, width[1] - width[0])
    if lines:
        ax.text(width[0] + 0.15, height[1] - 0.08, "\n".join(lines), color=INK, ha="left", va="top",
                fontsize=11 * size)  # fmt: skip
    if handles:
        ax.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=min(len(handles), _legend_columns(width[1] - width[0])),
            fontsize=9 * size,
            frameon=False,
            handlelength=1.8,
            columnspacing=1.4,
            borderaxespad=0.2,
        )


def _arrows(path: Path, stroke: _Stroke, size: float) -> list[FancyArrowPatch]:
    """Return an arrow; if dashed, its line and two heads that are not."""
    common: dict[str, Any] = {
        "mutation_scale": (11.0 + 1.2 * stroke.width) * size,
        "color": stroke.colour,
        "lw": stroke.width * size,
        "capstyle": "butt",
        "joinstyle": "miter",
        "zorder": 2.0 + 0.1 * stroke.width,
    }
    head = "-|>,head_length=0.42,head_width=0.18"
    if not stroke.hidden:
        return [FancyArrowPatch(path=path, arrowstyle=head, **common)]
    found = [FancyArrowPatch(path=path, arrowstyle="-", ls=(0, (4, 2)), **common)]
    points = np.asarray(path.vertices).tolist()
    for end, before in ((points[0], points[1]), (points[-1], points[-2])):
        # Arrows come to a node along the line to the handle before it.
        back = -0.1 if before[0] < end[0] else 0.1
        tip = Path([(end[0] + back, end[1]), end])
        found.append(FancyArrowPatch(path=tip, arrowstyle=head, **common))
    return found


def _draw_node(ax: Axes, box: Box, label: str, kind: str, adjusted: bool, size: float) -> None:
    look = LOOKS[kind]
    # The frame of an adjusted node goes inwards, where no arrowhead is.
    for inwards in (0.0, _FRAME) if adjusted else (0.0,):
        outer = adjusted and not inwards
        patch = FancyBboxPatch(
            (box.x - box.width / 2 + inwards, box.y - box.height / 2 + inwards),
            box.width - 2 * inwards,
            box.height - 2 * inwards,
            boxstyle=f"round,pad=0,rounding_size={max(look.rounding - inwards, 0.0)}",
            fc="white" if outer else look.face,
            ec=INK if outer else look.edge,
            ls="-" if outer else look.line,
            lw=(1.8 if outer or kind == "treatment" else 1.2) * size,
            zorder=4,
        )
        ax.add_patch(patch)
    weight = "bold" if kind in ("treatment", "target") else "normal"
    ax.text(box.x, box.y, label, ha="center", va="center", color=look.text, weight=weight,
            fontsize=10 * size, linespacing=1.15, zorder=5)  # fmt: skip


def _wrapped(name: str) -> str:
    """Break a long name at spaces, underscores, dots and hyphens, else anywhere."""
    if len(name) <= _WRAP:
        return name
    pieces = re.findall(r"[^\s_.\-/]+[\s_.\-/]*|[\s_.\-/]+", name)
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > _WRAP:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > _WRAP:
            lines[-1:] = [lines[-1][:_WRAP], lines[-1][_WRAP:]]
    return "\n".join(line.rstrip() for line in lines if line.strip())
