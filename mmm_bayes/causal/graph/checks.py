"""Check nodes and edges: every problem at once, each with its remedy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmm_bayes.runtime.findings import listing, nearest
from mmm_bayes.runtime.visible import visible_text

Pair = tuple[str, str]
Place = Callable[[str, int], str]
"""Gives the line of an entry, from its kind (``"nodes"``, ``"edges"``, ...) and position."""


class GraphError(ValueError):
    """A graph, or a question about one, is not valid; ``problems`` lists every reason."""

    def __init__(self, problems: Iterable[str], source: str = "the graph") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"  {number}. {text}" for number, text in enumerate(self.problems, 1)]
        super().__init__(visible_text("\n".join([f"{count} in {source}:", *lines])))

    def __reduce__(self) -> tuple[type[GraphError], tuple[tuple[str, ...], str]]:
        # The default would rebuild the exception from its text, which breaks pickling to workers.
        return type(self), (self.problems, self.source)


@dataclass(frozen=True)
class Parts:
    """Nodes and pairs of valid form; every pair list is sorted by the order of the nodes."""

    nodes: tuple[str, ...]
    edges: tuple[Pair, ...]
    bidirected: tuple[Pair, ...]


def nowhere(kind: str, position: int) -> str:
    """Give no line: the entries do not come from a file."""
    return ""


def examine(
    nodes: Iterable[Any] | None,
    edges: Iterable[Any],
    bidirected: Iterable[Any],
    place: Place = nowhere,
) -> tuple[Parts, list[str]]:
    """Sort the parts of a graph and list every problem with them.

    Parameters
    ----------
    nodes : iterable of str or None
        If None, the names in the pairs, in order of appearance.
    edges, bidirected : iterable of pairs, or mapping of a node to others
        Causes and effects; pairs with a hidden common cause.
    place : callable
        Prefix of the messages on an entry, e.g. ``"line 3: "``.
    """
    problems: list[str] = []
    alone: list[str] = []
    pairs = {
        "edges": _read_pairs("edges", _flat("edges", edges, alone, problems), place, problems),
        "bidirected": _read_pairs(
            "bidirected", _flat("bidirected", bidirected, alone, problems), place, problems
        ),
    }
    if nodes is None:
        read = [pair for found in pairs.values() for pair in found.values()]
        names = list(dict.fromkeys([*(name for pair in read for name in pair), *alone]))
    else:
        names = _read_nodes(nodes, place, problems)
        pairs = {k: _drop_unknown(k, found, names, place, problems) for k, found in pairs.items()}
    position = {name: i for i, name in enumerate(names)}
    kept = {
        kind: _distinct(kind, found, position, place, problems) for kind, found in pairs.items()
    }
    for cycle in find_cycles(names, kept["edges"]):
        problems.append(
            f"Directed cycle {' -> '.join(cycle)}: a cause should come before its effect. "
            "Remove or reverse one of these edges."
        )
    return Parts(tuple(names), kept["edges"], kept["bidirected"]), problems


def shown(kind: str, pair: Pair) -> str:
    """Write a pair as an edge, ``tv -> sales`` or ``price <-> sales``."""
    return f"{pair[0]} {'->' if kind == 'edges' else '<->'} {pair[1]}"


def unknown_node(name: object, nodes: Sequence[str]) -> str:
    """Say that a graph has no such node, with the nearest name or a list of all nodes."""
    hint = nearest(str(name), nodes) or f" Nodes are {listing(nodes)}."
    return f"{name!r} is not a node of the graph.{hint if nodes else ' It has none.'}"


def if_hidden(name: str) -> str:
    """Say what to do about a node that no column of a table measures."""
    return (
        f"If it is not measured, mark it as latent ({name} [latent] in a file, "
        f"graph.project_out({name!r}) in Python), or leave it out and write a <-> b for each pair "
        "of nodes that it causes."
    )


def find_cycles(nodes: Sequence[str], edges: Sequence[Pair]) -> list[tuple[str, ...]]:
    """Find one shortest cycle through the first node of each group of nodes that cycles join."""
    # A node without parents is not on a cycle: remove such nodes until none is left.
    left = set(nodes)
    while left - (caused := {effect for cause, effect in edges if cause in left}):
        left &= caused
    children: dict[str, list[str]] = {name: [] for name in nodes if name in left}
    for cause, effect in edges:
        if cause in left and effect in left:
            children[cause].append(effect)
    reached = {name: reach(children[name], children) for name in children}
    found: list[tuple[str, ...]] = []
    reported: set[str] = set()
    for name in children:
        if name in reached[name] and name not in reported:
            reported |= {other for other in reached[name] if name in reached[other]}
            found.append((name, *_shortest_way(children[name], name, children)))
    return found


def reach(starts: Iterable[str], step: Mapping[str, Iterable[str]]) -> set[str]:
    """Collect the starts and all that can be reached from them."""
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(step[name])
    return seen


def _shortest_way(
    starts: Iterable[str], goal: str, children: Mapping[str, Iterable[str]]
) -> list[str]:
    before: dict[str, str | None] = dict.fromkeys(starts)
    queue = deque(before)
    while goal not in before:
        name = queue.popleft()
        for child in children[name]:
            if child not in before:
                before[child] = name
                queue.append(child)
    way = [goal]
    while (previous := before[way[-1]]) is not None:
        way.append(previous)
    return way[::-1]


def _read_nodes(nodes: Any, place: Place, problems: list[str]) -> list[str]:
    if isinstance(nodes, str) or not isinstance(nodes, Iterable):
        problems.append(f"nodes should be a list of names, but is {nodes!r}: write [{nodes!r}].")
        return [nodes] if isinstance(nodes, str) else []
    names: dict[str, None] = {}
    for i, name in enumerate(nodes):
        if not isinstance(name, str) or not name:
            problems.append(
                f"{place('nodes', i)}Node {name!r} should be a name (a string that is not empty), "
                f"but is {_kind(name)}."
            )
        elif str(name) in names:
            problems.append(f"{place('nodes', i)}Node {name!r} is listed more than once.")
        else:
            names[str(name)] = None
    return list(names)


def _flat(kind: str, pairs: Any, alone: list[str], problems: list[str]) -> Any:
    """Write a mapping of nodes to others as pairs; nodes with no others go to ``alone``."""
    if not isinstance(pairs, Mapping):
        return pairs
    found = []
    for name, others in pairs.items():
        if not isinstance(others, Iterable):
            problems.append(
                f"{kind}[{name!r}] should be a list of names such as ['sales'], but is {others!r}."
            )
            continue
        ends = [others] if isinstance(others, str) else list(others)
        found += [(name, other) for other in ends]
        if not ends and isinstance(name, str):
            alone.append(name)
    return found


def _read_pairs(kind: str, pairs: Any, place: Place, problems: list[str]) -> dict[int, Pair]:
    """Keep the valid pairs of two names, by their position."""
    form = '("tv", "sales")'
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        problems.append(
            f"{kind} should be a list of pairs of names such as {form}, but is {_kind(pairs)}."
        )
        return {}
    kept: dict[int, Pair] = {}
    for i, pair in enumerate(pairs):
        entry = tuple(pair) if isinstance(pair, tuple | list) else pair
        if not isinstance(entry, tuple) or len(entry) != 2:
            problems.append(
                f"{place(kind, i)}Entry {i + 1} of {kind} should be a pair of names such as "
                f"{form}, but is {pair!r}."
            )
        elif not all(isinstance(name, str) and name for name in entry):
            wrong = next(name for name in entry if not isinstance(name, str) or not name)
            problems.append(
                f"{place(kind, i)}Entry {i + 1} of {kind}, {pair!r}, should hold two names "
                f"(strings that are not empty), but {wrong!r} is {_kind(wrong)}."
            )
        else:
            kept[i] = (str(entry[0]), str(entry[1]))
    return kept


def _drop_unknown(
    kind: str, pairs: dict[int, Pair], names: list[str], place: Place, problems: list[str]
) -> dict[int, Pair]:
    known = set(names)
    for i, pair in pairs.items():
        for name in dict.fromkeys(pair):
            if name not in known:
                hint = nearest(name, names) or " Add it to nodes, or remove the edge."
                problems.append(
                    f"{place(kind, i)}Edge {shown(kind, pair)}: {name!r} is not among the "
                    f"nodes.{hint}"
                )
    return {i: pair for i, pair in pairs.items() if known.issuperset(pair)}


def _distinct(
    kind: str,
    pairs: dict[int, Pair],
    position: Mapping[str, int],
    place: Place,
    problems: list[str],
) -> tuple[Pair, ...]:
    """Drop loops and repetitions, and sort by the order of the nodes."""
    kept: dict[Pair, None] = {}
    for i, pair in pairs.items():
        if pair[0] == pair[1]:
            problems.append(
                f"{place(kind, i)}Edge {shown(kind, pair)} joins a node to itself: remove it."
            )
            continue
        if kind == "bidirected" and position[pair[0]] > position[pair[1]]:
            pair = (pair[1], pair[0])
        if pair in kept:
            problems.append(f"{place(kind, i)}Edge {shown(kind, pair)} is given more than once.")
        kept[pair] = None
    return tuple(sorted(kept, key=lambda pair: (position[pair[0]], position[pair[1]])))


def _kind(value: object) -> str:
    if isinstance(value, str) and not value:
        return "empty"
    return f"a value of type {type(value).__name__}"
