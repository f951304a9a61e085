"""Boxes and arrows of a graph in columns; lengths are in inches.

Nodes stand in columns, and the gutters between columns are empty. An arrow from one column to
another crosses each column in between through a gap between two nodes (or above or below all), and
bends in the gutters only: it cannot meet a label. An arrow within a column goes round in a gutter.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from mmm_bayes.present.plots.style import PLAIN
from mmm_bayes.runtime.visible import visible_text

Edge = tuple[int, int]
Point = tuple[float, float]
Passes = Mapping[tuple[Edge, int], tuple[int, float]]
"""Of an arrow and a column that it crosses: the gap, and its rank there, both from the top."""

_FONT_SIZE = 10.0
_PAD = 0.12
_ROW = 0.34  # least height of a node
_LINE = 0.17  # what each further line of a label adds
_GAP = 0.36  # between the nodes of a column
_GUTTER = 1.15
_PORT = 0.085  # between arrows at one side of a node
_LANE = 0.1  # between arrows above or below a column
_BULGE = (0.22, 0.1, 0.95)  # of an arrow within a column: least, more an inch, most
_OUTSIDE = 0.75  # what such arrows take at the left or right: a cubic reaches 3/4 of its bulge


class Box(NamedTuple):
    """A node: its centre, width and height."""

    x: float
    y: float
    width: float
    height: float

    def moved(self, right: float) -> Box:
        """Return the box further to the right."""
        return self._replace(x=self.x + right)


class _End(NamedTuple):
    """One end of an arrow: which node, and at its right side or its left."""

    node: int
    right: bool


def arrange(
    labels: Sequence[str],
    columns: Sequence[int],
    edges: Sequence[Edge],
    margin: float,
    passes: Passes,
) -> tuple[list[Box], float]:
    """Place the boxes of the nodes, and return the width that they take.

    Parameters
    ----------
    labels, columns
        Text of each node (in one line or more), and its column from the left.
    edges
        Arrows; a node is as tall as its arrows need.
    margin
        At the left and right.
    passes
        Gaps that arrows pass through: these are made wide enough.
    """
    crowd = Counter((column, gap) for (_, column), (gap, _) in passes.items())
    ports: dict[tuple[int, bool], int] = defaultdict(int)
    for edge in edges:
        for end in _ends(edge, columns):
            ports[end] += 1
    last = max(columns)
    inside = {columns[i] for i, j in edges if columns[i] == columns[j]}
    # An arrow within the first or last column needs room outside of it.
    x = margin + (_OUTSIDE if 0 in inside else 0.0)
    placed: list[Box | None] = [None] * len(labels)
    for column in range(last + 1):
        own = [k for k, at in enumerate(columns) if at == column]
        heights = {
            k: max(
                _ROW + _LINE * labels[k].count("\n"),
                _PORT * (1 + max(ports[k, True], ports[k, False])),
            )
            for k in own
        }
        gaps = [max(_GAP, _LANE * (crowd[column, gap] + 1)) for gap in range(1, len(own))]
        width = max(_text_width(labels[k]) for k in own) + 2 * _PAD
        y = 0.5 * (sum(heights.values()) + sum(gaps))
        for k, gap in zip(own, [*gaps, 0.0], strict=True):
            placed[k] = Box(x + width / 2, y - heights[k] / 2, width, heights[k])
            y -= heights[k] + gap
        x += width + _GUTTER
    boxes = [box for box in placed if box is not None]
    extra = _OUTSIDE if last in inside and last > 0 else 0.0
    return boxes, x - _GUTTER + margin + extra


def routes(
    boxes: Sequence[Box],
    columns: Sequence[int],
    edges: Sequence[Edge],
    passes: Passes,
) -> dict[Edge, Path]:
    """Draw the paths of all arrows, none of which meets a box that it does not start or end at.

    ``passes`` says through which gap, counted from the top, an arrow crosses a column, and its rank
    there from the top.
    """
    gaps = _gaps(boxes, columns)
    lanes: dict[tuple[int, int], list[tuple[Edge, float]]] = defaultdict(list)
    crossings: dict[Edge, list[tuple[int, int]]] = {}
    for edge in sorted(edges, key=lambda e: abs(columns[e[1]] - columns[e[0]])):
        crossings[edge] = []
        for column in _between(columns[edge[0]], columns[edge[1]]):
            gap, rank_down = passes[edge, column]
            lanes[column, gap].append((edge, -rank_down))
            crossings[edge].append((column, gap))
    height = {}
    for (column, gap), members in lanes.items():
        low, high = gaps[column][gap][:2]
        ordered = sorted(members, key=lambda member: member[1])
        room = _LANE * (len(ordered) + 1)
        # Above and below all nodes there is as much room as it takes.
        if gap == 0:
            high = max(high, low + room)
        elif gap == len(gaps[column]) - 1:
            low = min(low, high - room)
        step = (high - low) / (len(ordered) + 1)
        for rank, (edge, _) in enumerate(ordered, 1):
            height[edge, column] = low + step * rank
    through = {
        edge: [(column, height[edge, column]) for column, _ in crossings[edge]] for edge in edges
    }
    ports = _ports(boxes, columns, edges, through)
    return {edge: _path(edge, boxes, columns, ports, through[edge]) for edge in edges}


def _ends(edge: Edge, columns: Sequence[int]) -> tuple[_End, _End]:
    """Return the sides at which an arrow leaves and arrives."""
    source, target = edge
    if columns[source] == columns[target]:
        right = columns[source] > 0
        return _End(source, right), _End(target, right)
    forward = columns[target] > columns[source]
    return _End(source, forward), _End(target, not forward)


def _text_width(text: str) -> float:
    with matplotlib.rc_context(PLAIN):
        lines = [TextPath((0, 0), line, size=_FONT_SIZE) for line in visible_text(text).split("\n")]
    return max(float(line.get_extents().width) for line in lines) / 72.0


def _between(one: int, other: int) -> list[int]:
    return list(range(one + 1, other)) if other > one else list(range(one - 1, other, -1))


def _gaps(
    boxes: Sequence[Box], columns: Sequence[int]
) -> dict[int, list[tuple[float, float, float]]]:
    """Lower and upper end, and place, of the gaps of each column from the top down."""
    found = {}
    for column in set(columns):
        own = sorted((box for box, at in zip(boxes, columns, strict=True) if at == column))
        own.sort(key=lambda box: -box.y)
        edges = [(box.y + box.height / 2, box.y - box.height / 2) for box in own]
        x = own[0].x
        spans = [(edges[0][0], edges[0][0] + _GAP, x)]
        for (_, low), (high, _) in itertools.pairwise(edges):
            spans.append((high, low, x))
        spans.append((edges[-1][1] - _GAP, edges[-1][1], x))
        found[column] = spans
    return found


def _ports(
    boxes: Sequence[Box],
    columns: Sequence[int],
    edges: Sequence[Edge],
    through: dict[Edge, list[tuple[int, float]]],
) -> dict[tuple[Edge, int], Point]:
    """Where each arrow touches its two nodes: spread over the side, in order of where it goes."""
    sides: dict[_End, list[tuple[float, Edge, int]]] = defaultdict(list)
    for edge in edges:
        ends = _ends(edge, columns)
        passes = [y for _, y in through[edge]]
        goes_to = passes[0] if passes else boxes[edge[1]].y
        comes_from = passes[-1] if passes else boxes[edge[0]].y
        sides[ends[0]].append((goes_to, edge, 0))
        sides[ends[1]].append((comes_from, edge, 1))
    found = {}
    for (node, right), members in sides.items():
        box = boxes[node]
        x = box.x + (0.5 if right else -0.5) * box.width
        step = min(2 * _PORT, box.height / (len(members) + 1))
        for rank, (_, edge, end) in enumerate(sorted(members)):
            y = box.y + (rank - 0.5 * (len(members) - 1)) * step
            found[edge, end] = (x, y)
    return found


def _path(
    edge: Edge,
    boxes: Sequence[Box],
    columns: Sequence[int],
    ports: dict[tuple[Edge, int], Point],
    through: list[tuple[int, float]],
) -> Path:
    start, end = ports[edge, 0], ports[edge, 1]
    if columns[edge[0]] == columns[edge[1]]:
        side = 1.0 if columns[edge[0]] > 0 else -1.0
        bulge = side * min(_BULGE[0] + _BULGE[1] * abs(end[1] - start[1]), _BULGE[2])
        points = [start, (start[0] + bulge, start[1]), (end[0] + bulge, end[1]), end]
        return Path(points, [Path.MOVETO, *[Path.CURVE4] * 3])
    forward = 1.0 if columns[edge[1]] > columns[edge[0]] else -1.0
    stops = [start]
    for column, y in through:
        box = next(b for b, at in zip(boxes, columns, strict=True) if at == column)
        reach = forward * (box.width / 2 + 0.04)
        stops += [(box.x - reach, y), (box.x + reach, y)]
    stops.append(end)
    points, codes = [start], [int(Path.MOVETO)]
    for k, (one, other) in enumerate(itertools.pairwise(stops)):
        if k % 2:  # through a column
            points.append(other)
            codes.append(int(Path.LINETO))
            continue
        half = 0.5 * (other[0] - one[0])
        points += [(one[0] + half, one[1]), (other[0] - half, other[1]), other]
        codes += [int(Path.CURVE4)] * 3
    return Path(points, codes)
