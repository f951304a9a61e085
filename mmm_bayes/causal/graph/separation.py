"""m-separation in mixed graphs, and the open paths where it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, final

from mmm_bayes.causal.graph.checks import Pair, reach
from mmm_bayes.runtime.visible import shown_safely

Arrow = Literal["->", "<-", "<->"]


@final
@dataclass(frozen=True)
class CausalPath:
    """A path in a mixed graph.

    Attributes
    ----------
    nodes : tuple of str
        Each node once.
    arrows : tuple of {"->", "<-", "<->"}
        Between one node and the next.
    """

    nodes: tuple[str, ...]
    arrows: tuple[Arrow, ...]

    @property
    def colliders(self) -> tuple[str, ...]:
        """Inner nodes at which two arrowheads meet."""
        return tuple(
            self.nodes[i + 1]
            for i in range(len(self.nodes) - 2)
            if self.arrows[i] != "<-" and self.arrows[i + 1] != "->"
        )

    @property
    def is_directed(self) -> bool:
        """Whether all arrows point from the first node to the last."""
        return all(arrow == "->" for arrow in self.arrows)

    @property
    def hidden(self) -> tuple[Pair, ...]:
        """Neighbours on the path that share a hidden cause."""
        steps = zip(self.nodes[:-1], self.nodes[1:], self.arrows, strict=True)
        return tuple((one, other) for one, other, arrow in steps if arrow == "<->")

    @shown_safely
    def __str__(self) -> str:
        steps = zip(self.arrows, self.nodes[1:], strict=True)
        return " ".join([self.nodes[0], *(f"{arrow} {name}" for arrow, name in steps)])


@final
@dataclass(frozen=True)
class Links:
    """Edges of a mixed graph by node: parents, children, and nodes joined by bidirected edges."""

    parents: Mapping[str, tuple[str, ...]]
    children: Mapping[str, tuple[str, ...]]
    siblings: Mapping[str, tuple[str, ...]]

    def without(self, edges: Iterable[Pair]) -> Links:
        """Return the graph without some directed edges."""
        gone = set(edges)
        parents = {
            v: tuple(p for p in own if (p, v) not in gone) for v, own in self.parents.items()
        }
        children = {
            v: tuple(c for c in own if (v, c) not in gone) for v, own in self.children.items()
        }
        return Links(parents, children, self.siblings)

    def without_arrows_from(self, names: Iterable[str]) -> Links:
        """Return the graph without the directed edges out of some nodes."""
        return self.without((name, child) for name in names for child in self.children[name])

    def without_arrows_into(self, names: Iterable[str]) -> Links:
        """Return the graph without the directed edges into some nodes; bidirected edges stay."""
        return self.without((parent, name) for name in names for parent in self.parents[name])

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """Collect the nodes and their ancestors."""
        return reach(names, self.parents)

    def descendants(self, names: Iterable[str]) -> set[str]:
        """Collect the nodes and their descendants."""
        return reach(names, self.children)

    def separated(self, x: Iterable[str], y: Iterable[str], given: Iterable[str]) -> bool:
        """Return whether no path between two sets is open given a third."""
        found = connected(self, set(x), set(given))
        return found.isdisjoint(y)

    def steps(self, name: str) -> Iterator[tuple[Arrow, str]]:
        """Yield the edges at a node as arrow and neighbour."""
        for child in self.children[name]:
            yield "->", child
        for parent in self.parents[name]:
            yield "<-", parent
        for other in self.siblings[name]:
            yield "<->", other


def connected(links: Links, starts: set[str], given: set[str]) -> set[str]:
    r"""Collect the nodes outside ``given`` that an open path connects with ``starts``.

    A walk is followed edge by edge with the mark, arrowhead or tail, at its last node :math:`v`.
    Where two arrowheads meet, the walk goes on if :math:`v` is in ``given`` or has a descendant
    there; elsewhere, if :math:`v` is not in ``given``. An open walk exists exactly where an open
    path does (Koller & Friedman 2009, algorithm 3.1, with bidirected edges as a second way into an
    arrowhead), so each (node, mark) is visited once: time is linear in the number of edges.

    Parameters
    ----------
    links : Links
        The graph.
    starts, given : set of str
        Disjoint sets of nodes.
    """
    colliders = links.ancestors(given)
    # A walk may leave a start by any edge, as it may leave a node that it entered at a tail.
    waiting = [(name, False) for name in starts]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        name, arrowhead = state
        if name not in given:
            waiting.extend((child, True) for child in links.children[name])
        if name in colliders if arrowhead else name not in given:
            waiting.extend((parent, False) for parent in links.parents[name])
            waiting.extend((other, True) for other in links.siblings[name])
    return {name for name, _ in seen} - given


def open_path(
    links: Links, x: Iterable[str], y: Iterable[str], given: Iterable[str]
) -> CausalPath | None:
    """Find a shortest path between two sets that is open given a third, or None.

    The shortest open walk is a path: a walk that visits a node twice can be shortened there, and
    the shorter walk is open as well.
    """
    known, goal = set(given), set(y)
    colliders = links.ancestors(known)
    starts = [(name, False) for name in x]
    before: dict[tuple[str, bool], tuple[tuple[str, bool], Arrow] | None] = dict.fromkeys(starts)
    queue = list(starts)
    for state in queue:
        if state[0] in goal:
            return _traced(state, before)
        for arrow, other in links.steps(state[0]):
            head = (other, arrow != "<-")
            if head not in before and _passes(state, arrow, known, colliders):
                before[head] = (state, arrow)
                queue.append(head)
    return None


def path_opened_by(
    links: Links, x: str, y: str, given: Iterable[str], member: str
) -> CausalPath | None:
    """Find an open path with a collider that a member of the given set opens, or None.

    The search visits each (node, mark, whether such a collider has been passed) once, so that its
    time is linear in the number of edges. It can therefore miss a path whose every beginning is
    taken by another one, which :func:`open_paths` finds where there are few paths.
    """
    known = set(given)
    colliders, opened = links.ancestors(known), links.ancestors([member])
    seen = {(x, False, False)}
    queue: list[tuple[tuple[str, ...], tuple[Arrow, ...], bool]] = [((x,), (), False)]
    for nodes, arrows, passed in queue:
        last = (nodes[-1], bool(arrows) and arrows[-1] != "<-")
        for arrow, other in links.steps(last[0]):
            if other in nodes or not _passes(last, arrow, known, colliders):
                continue
            longer = (*nodes, other), (*arrows, arrow)
            through = passed or (last[1] and arrow != "->" and last[0] in opened)
            state = (other, arrow != "<-", through)
            if other == y:
                if through:
                    return CausalPath(*longer)
            elif state not in seen:
                seen.add(state)
                queue.append((*longer, through))
    return None


def open_paths(
    links: Links, x: str, y: str, given: Iterable[str], most_steps: int = 20_000
) -> Iterator[CausalPath]:
    """Yield the open paths between two nodes, shorter ones first.

    Their number can grow exponentially, so the search stops after ``most_steps`` partial paths. The
    first path is that of :func:`open_path`, so if there is an open path, one is always found.
    """
    first = open_path(links, [x], [y], given)
    if first is None:
        return
    yield first
    known = set(given)
    colliders = links.ancestors(known)
    queue: list[tuple[tuple[str, ...], tuple[Arrow, ...]]] = [((x,), ())]
    for nodes, arrows in queue:
        last = (nodes[-1], bool(arrows) and arrows[-1] != "<-")
        for arrow, other in links.steps(last[0]):
            if other in nodes or not _passes(last, arrow, known, colliders):
                continue
            longer = (*nodes, other), (*arrows, arrow)
            if other != y:
                if len(queue) < most_steps:
                    queue.append(longer)
            elif (path := CausalPath(*longer)) != first:
                yield path


def _passes(state: tuple[str, bool], arrow: Arrow, given: set[str], colliders: set[str]) -> bool:
    """Return whether a walk that entered a node at an arrowhead (or tail) may leave by an arrow."""
    name, arrowhead = state
    return name in colliders if arrowhead and arrow != "->" else name not in given


def _traced(
    state: tuple[str, bool],
    before: Mapping[tuple[str, bool], tuple[tuple[str, bool], Arrow] | None],
) -> CausalPath:
    nodes: list[str] = [state[0]]
    arrows: list[Arrow] = []
    while (step := before[state]) is not None:
        state, arrow = step
        nodes.append(state[0])
        arrows.append(arrow)
    return CausalPath(tuple(nodes[::-1]), tuple(arrows[::-1]))
