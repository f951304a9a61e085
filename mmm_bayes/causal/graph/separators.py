"""Find separating sets of a mixed graph (smallest, all minimal, all) by cuts of an undirected one.

Among the ancestors of the nodes to separate, m-separation is separation in one undirected graph
(Richardson 2003). In it every superset of a separator separates, cuts are found by flows, and each
minimal separator leads to the next.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

from mmm_bayes.causal.graph.checks import reach
from mmm_bayes.causal.graph.separation import Links

_X, _Y = "\x00x", "\x00y"
"""The two sides, each merged into one node; no variable has such a name."""

Near = dict[str, set[str]]


@final
@dataclass(frozen=True)
class Question:
    """A search for sets that separate ``x`` from ``y``, hold ``required`` and are ``allowed``.

    Attributes
    ----------
    links : Links
        The graph.
    x, y : frozenset of str
        Nodes to separate, disjoint.
    required : frozenset of str
        Members of every set; among ``allowed``.
    allowed : tuple of str
        Nodes that may be members, neither in ``x`` nor in ``y``.
    """

    links: Links
    x: frozenset[str]
    y: frozenset[str]
    required: frozenset[str]
    allowed: tuple[str, ...]

    def largest(self) -> tuple[str, ...]:
        """Return all allowed ancestors of x, y and required: they separate if any set does.

        Theorem 1 of van der Zander, Liskiewicz and Textor (2019).
        """
        inside = self.links.ancestors(self.x | self.y | self.required)
        return tuple(name for name in self.allowed if name in inside)

    def has_answer(self) -> bool:
        """Return whether any set separates."""
        if not self.required.issubset(self.allowed):
            return False
        return self.links.separated(self.x, self.y, self.largest())


def smallest(question: Question, costs: Callable[[str], int]) -> frozenset[str] | None:
    """Find the set of the least sum of costs (positive integers), or None.

    It is a minimum cut of nodes (Menger; Acid and de Campos 1996 for d-separation), with the cost
    of each allowed node as its capacity. It is unique if no two sets have the same sum of costs.
    """
    near = _reduced(question)
    if near is None:
        return None
    inner = [name for name in near if name not in (_X, _Y)]
    unbounded = 1 + sum(costs(name) for name in inner)
    room: dict[tuple[str, bool], dict[tuple[str, bool], int]] = {}
    for name in near:
        ends = (name, False), (name, True)
        through = costs(name) if name in inner else unbounded
        room.setdefault(ends[0], {})[ends[1]] = through
        room.setdefault(ends[1], {}).setdefault(ends[0], 0)
        for other in near[name]:
            room[ends[1]][other, False] = unbounded
            room.setdefault((other, False), {}).setdefault(ends[1], 0)
    source, sink = (_X, True), (_Y, False)
    while True:
        before = _search(room, source)
        if sink not in before:
            break
        _push(room, before, sink)
    return question.required.union(
        name for name in inner if (name, False) in before and (name, True) not in before
    )


def nearest(question: Question) -> frozenset[str] | None:
    """Find the minimal set nearest to ``y``, or None."""
    near = _reduced(question)
    if near is None:
        return None
    return question.required | _close(near, {_Y}, _X)


def minimal(question: Question) -> Iterator[frozenset[str]]:
    """Yield all sets from which no member can be left out (except the required ones).

    Moving a member of a separator to the side of ``x`` and closing the cut from the other side
    gives the next ones; all are reached from the separator nearest to ``x`` (Shen and Liang 1997).
    The time for each is polynomial.
    """
    near = _reduced(question)
    if near is None:
        return
    first = _close(near, {_X}, _Y)
    queue, seen = deque([first]), {first}
    while queue:
        cut = queue.popleft()
        yield question.required | cut
        side = _component(near, _X, cut)
        for name in sorted(cut):
            if _Y not in near[name]:
                moved = _close(near, side | {name}, _Y)
                if moved not in seen:
                    seen.add(moved)
                    queue.append(moved)


def every(question: Question) -> Iterator[frozenset[str]]:
    """Yield all sets, by including or excluding each allowed node while an answer remains."""
    if not question.has_answer():
        return
    open_names = [name for name in question.allowed if name not in question.required]
    if not open_names:
        yield question.required
        return
    name = open_names[0]
    rest = tuple(other for other in question.allowed if other != name)
    yield from every(_changed(question, question.required, rest))
    yield from every(_changed(question, question.required | {name}, question.allowed))


def _changed(question: Question, required: frozenset[str], allowed: Sequence[str]) -> Question:
    return Question(question.links, question.x, question.y, required, tuple(allowed))


def _reduced(question: Question) -> Near | None:
    """Build the undirected graph of the two sides and the nodes that may separate them, or None.

    Required nodes are removed; nodes that may not be members are replaced by edges between all
    their neighbours. None means that the two sides are adjacent.
    """
    if not question.required.issubset(question.allowed):
        return None
    near = _moral(question)
    for name in question.required:
        near.pop(name, None)
    near = {name: others - question.required for name, others in near.items()}
    sides = dict.fromkeys(question.x, _X) | dict.fromkeys(question.y, _Y)
    merged: Near = {_X: set(), _Y: set()}
    for name, others in near.items():
        own = merged.setdefault(sides.get(name, name), set())
        own |= {sides.get(other, other) for other in others}
    allowed = set(question.allowed)
    for name in [v for v in merged if v not in allowed and v not in (_X, _Y)]:
        around = merged.pop(name) - {name}
        for other in around:
            merged[other] = (merged[other] | around) - {name}
    for name, others in merged.items():
        others.discard(name)
    return None if _Y in merged[_X] else merged


def _moral(question: Question) -> Near:
    """Join the members of each district among the ancestors, and their parents, with each other."""
    links = question.links
    inside = links.ancestors(question.x | question.y | question.required)
    near: Near = {name: set() for name in inside}
    within = {v: [w for w in links.siblings[v] if w in inside] for v in inside}
    left = set(inside)
    while left:
        district = reach([next(iter(left))], within)
        left -= district
        group = district.union(*(links.parents[v] for v in district))
        for one, other in itertools.permutations(group, 2):
            near[one].add(other)
    return near


def _component(near: Near, start: str, without: Iterable[str]) -> set[str]:
    gone = set(without)
    return reach([start], {v: [w for w in others if w not in gone] for v, others in near.items()})


def _close(near: Near, side: set[str], goal: str) -> frozenset[str]:
    """Return the separator nearest to a connected side: the border that the goal can reach."""
    border = set().union(*(near[name] for name in side)) - side
    beyond = _component(near, goal, border | side)
    return frozenset(name for name in border if not near[name].isdisjoint(beyond))


def _search(
    room: dict[tuple[str, bool], dict[tuple[str, bool], int]], source: tuple[str, bool]
) -> dict[tuple[str, bool], tuple[str, bool] | None]:
    """Return the states that the source can still reach, each with its predecessor."""
    before: dict[tuple[str, bool], tuple[str, bool] | None] = {source: None}
    queue = deque([source])
    while queue:
        state = queue.popleft()
        for other, left in room[state].items():
            if left > 0 and other not in before:
                before[other] = state
                queue.append(other)
    return before


def _push(
    room: dict[tuple[str, bool], dict[tuple[str, bool], int]],
    before: dict[tuple[str, bool], tuple[str, bool] | None],
    sink: tuple[str, bool],
) -> None:
    """Send as much flow along a path as its capacity allows."""
    way: list[tuple[tuple[str, bool], tuple[str, bool]]] = []
    state = sink
    while (previous := before[state]) is not None:
        way.append((previous, state))
        state = previous
    amount = min(room[one][other] for one, other in way)
    for one, other in way:
        room[one][other] -= amount
        room[other][one] += amount
