"""Small graphs by brute force: every path, every set, and the models themselves.

Nothing here uses the package's algorithms; only nodes and edges of a graph are read. Sets of nodes
are the bits of integers, and a claim about sets is an array over all of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mmm_bayes.causal.causal_graph import CausalGraph

NDArray = np.ndarray[Any, Any]
Edge = tuple[int, int]


def random_graph(
    rng: np.random.Generator, mixed: bool, least: int = 4, most: int = 8
) -> CausalGraph:
    """Draw a graph: number of nodes, density of edges and (``mixed``) hidden causes at random."""
    count = int(rng.integers(least, most + 1))
    names = [f"v{i}" for i in range(count)]
    order = rng.permutation(count)
    pairs = [(names[order[i]], names[order[j]]) for i in range(count) for j in range(i + 1, count)]
    density, hidden = rng.uniform(0.15, 0.6), rng.uniform(0.05, 0.35)
    edges = [pair for pair in pairs if rng.uniform() < density]
    joined = [pair for pair in pairs if rng.uniform() < hidden] if mixed else []
    return CausalGraph(names, edges, joined)


@dataclass(frozen=True)
class Brute:
    """A graph on 0..n-1 whose claims are checked path by path.

    Attributes
    ----------
    count : int
    edges, joined : frozenset of (int, int)
        Directed and bidirected edges.
    """

    count: int
    edges: frozenset[Edge]
    joined: frozenset[Edge]

    @classmethod
    def of(cls, graph: CausalGraph) -> Brute:
        """Read the nodes and edges of a graph."""
        at = {name: i for i, name in enumerate(graph.nodes)}
        return cls(
            len(at),
            frozenset((at[a], at[b]) for a, b in graph.edges),
            frozenset((at[a], at[b]) for a, b in graph.bidirected),
        )

    @cached_property
    def sets(self) -> NDArray:
        """All sets of nodes."""
        return np.arange(1 << self.count)

    @cached_property
    def below(self) -> list[int]:
        """Each node with its descendants, by repeated squaring of the matrix of edges."""
        reach = np.eye(self.count, dtype=bool)
        for a, b in self.edges:
            reach[a, b] = True
        for _ in range(self.count):
            reach = reach @ reach
        return [sum(1 << j for j in np.flatnonzero(row)) for row in reach]

    def districts(self) -> set[frozenset[int]]:
        """Merge nodes that bidirected edges join until nothing changes."""
        label = list(range(self.count))
        for _ in range(self.count):
            for a, b in self.joined:
                label[a] = label[b] = min(label[a], label[b])
        return {frozenset(v for v in range(self.count) if label[v] == own) for own in set(label)}

    def steps(self, node: int) -> list[tuple[str, int]]:
        """Return the arrow and neighbour of every edge at a node."""
        found = [("->", b) for a, b in self.edges if a == node]
        found += [("<-", a) for a, b in self.edges if b == node]
        found += [("<->", a + b - node) for a, b in self.joined if node in (a, b)]
        return found

    def paths(self, x: int, y: int) -> list[tuple[list[int], list[str]]]:
        """Return all paths between two nodes; parallel edges make different ones."""
        found: list[tuple[list[int], list[str]]] = []

        def go(nodes: list[int], arrows: list[str]) -> None:
            if nodes[-1] == y:
                found.append((nodes, arrows))
                return
            for arrow, other in self.steps(nodes[-1]):
                if other not in nodes:
                    go([*nodes, other], [*arrows, arrow])

        go([x], [])
        return found

    def opened_by(self, path: tuple[list[int], list[str]]) -> NDArray:
        """Return which sets leave a path open, by the definition."""
        nodes, arrows = path
        result = np.ones(len(self.sets), bool)
        for i, node in enumerate(nodes[1:-1]):
            if arrows[i] != "<-" and arrows[i + 1] != "->":
                result &= (self.sets & self.below[node]) != 0
            else:
                result &= (self.sets >> node & 1) == 0
        return result

    def without_ends(self, *nodes: int) -> NDArray:
        """Return which sets hold none of some nodes."""
        return (self.sets & sum(1 << v for v in nodes)) == 0

    def separating(self, x: int, y: int) -> NDArray:
        """Return which sets block every path between two nodes."""
        result = self.without_ends(x, y)
        for path in self.paths(x, y):
            result &= ~self.opened_by(path)
        return result

    def adjusting(self, x: int, y: int, effect: str) -> NDArray:
        """Return which sets meet the definition of the adjustment criterion for one treatment."""
        result = self.without_ends(x, y)
        if effect == "direct" and (x, y) in self.edges:
            result &= (self.sets & self.below[y]) == 0
        for nodes, arrows in self.paths(x, y):
            causal = all(arrow == "->" for arrow in arrows)
            if effect == "direct" and causal and len(arrows) == 1:
                continue
            if effect == "total" and causal:
                for node in nodes[1:]:
                    result &= (self.sets & self.below[node]) == 0
            else:
                result &= ~self.opened_by((nodes, arrows))
        return result

    def traps(self, x: int, y: int, effect: str) -> list[NDArray]:
        """Return, for each node, the sets in which its presence biases the effect."""
        result = [np.zeros(len(self.sets), bool) for _ in range(self.count)]
        for nodes, arrows in self.paths(x, y):
            causal = all(arrow == "->" for arrow in arrows)
            if causal and (effect == "total" or len(arrows) == 1):
                for v in range(self.count):
                    if any(self.below[node] >> v & 1 for node in nodes[1:]):
                        result[v] |= True
            else:
                opened = self.opened_by((nodes, arrows))
                for v in range(self.count):
                    result[v] |= opened & ~opened[self.sets & ~(1 << v)]
        return [own & (self.sets >> v & 1 == 1) for v, own in enumerate(result)]

    def without_edges_from(self, nodes: Iterable[int]) -> Brute:
        """Return the graph in which some nodes cause nothing."""
        gone = set(nodes)
        return Brute(
            self.count, frozenset(edge for edge in self.edges if edge[0] not in gone), self.joined
        )

    def is_front_door(self, x: int, y: int, through: Sequence[int]) -> bool:
        """Check Pearl's three conditions, path by path."""
        meets = all(
            set(nodes[1:-1]) & set(through)
            for nodes, arrows in self.paths(x, y)
            if all(arrow == "->" for arrow in arrows)
        )
        behind = self.without_edges_from([x])
        cut = self.without_edges_from(through)
        return (
            meets
            and all(behind.separating(x, m)[0] for m in through)
            and all(cut.separating(m, y)[1 << x] for m in through)
        )

    def ancestors(self, *nodes: int) -> int:
        """Set of the nodes and their ancestors."""
        wanted = sum(1 << v for v in nodes)
        return sum(1 << v for v in range(self.count) if self.below[v] & wanted)

    def instrument_given(self, z: int, x: int, y: int) -> tuple[NDArray, NDArray]:
        """Return the sets, and the sets of ancestors, given which a node is an instrument.

        Ancestors are those of instrument and outcome without the edges of the effect.
        """
        causal = [
            nodes for nodes, arrows in self.paths(x, y) if all(arrow == "->" for arrow in arrows)
        ]
        if not causal:
            none = np.zeros(len(self.sets), bool)
            return none, none
        first = {(nodes[0], nodes[1]) for nodes in causal}
        below = 0
        for nodes in causal:
            for node in nodes[1:]:
                below |= self.below[node]
        cut = Brute(self.count, self.edges - first, self.joined)
        result = self.without_ends(x, y, z) & ((self.sets & below) == 0)
        result &= not below >> z & 1
        result &= ~self.separating(z, x) & cut.separating(z, y)
        return result, result & ((self.sets & ~cut.ancestors(z, y)) == 0)


def least(valid: NDArray) -> list[int]:
    """Return sets of which no proper subset is valid too."""
    return least_of([int(bits) for bits in np.flatnonzero(valid)])


def least_of(sets: Sequence[int]) -> list[int]:
    """Return sets of which no proper subset is among them."""
    return [one for one in sets if not any(o != one and o & one == o for o in sets)]


class LinearModel:
    """A linear model with normal noise of a graph, hidden causes included, at random."""

    def __init__(self, brute: Brute, rng: np.random.Generator) -> None:
        n = brute.count
        self.edges = np.zeros((n, n))
        for a, b in sorted(brute.edges):
            self.edges[a, b] = rng.uniform(0.5, 1.5) * rng.choice([-1, 1])
        noise = np.diag(rng.uniform(0.5, 1.5, n))
        for a, b in sorted(brute.joined):
            load = rng.uniform(0.5, 1.5, 2) * rng.choice([-1, 1], 2)
            own = np.zeros(n)
            own[[a, b]] = load
            noise += np.outer(own, own)
        self.effects = np.linalg.inv(np.eye(n) - self.edges)
        self.covariance = self.effects.T @ noise @ self.effects

    def slope(self, x: int, y: int, given: Sequence[int]) -> float:
        """Return the coefficient of x in the regression of y on x and a set."""
        columns = [x, *given]
        inner = self.covariance[np.ix_(columns, columns)]
        return float(np.linalg.solve(inner, self.covariance[columns, y])[0])


class BinaryModel:
    """A model of binary variables of a graph at random; hidden causes are binary, too."""

    def __init__(self, graph: CausalGraph, rng: np.random.Generator) -> None:
        self.graph = graph
        self.count = len(graph.nodes)
        self.at = {name: i for i, name in enumerate(graph.nodes)}
        self.hidden = {pair: self.count + i for i, pair in enumerate(graph.bidirected)}
        self.axes = self.count + len(self.hidden)
        self.roots = [rng.uniform(0.3, 0.7) for _ in self.hidden]
        self.tables = {}
        for name in graph.nodes:
            causes = [self.at[p] for p in graph.parents(name)]
            causes += [axis for pair, axis in self.hidden.items() if name in pair]
            shape = [2 if axis in causes else 1 for axis in range(self.axes)]
            self.tables[name] = rng.uniform(0.1, 0.9, shape)

    def joint(self, do: Iterable[str] = ()) -> NDArray:
        """Return probabilities (observed nodes, 2 each), without the factors of nodes in ``do``."""
        result = np.ones([2] * self.axes)
        for (_, axis), p in zip(self.hidden.items(), self.roots, strict=True):
            result = result * self._along(np.array([1 - p, p]), axis)
        for name, table in self.tables.items():
            if name not in do:
                value = self._along(np.array([0.0, 1.0]), self.at[name])
                result = result * (value * table + (1 - value) * (1 - table))
        return result.sum(axis=tuple(range(self.count, self.axes)))

    def _along(self, values: NDArray, axis: int) -> NDArray:
        shape = [1] * self.axes
        shape[axis] = len(values)
        return values.reshape(shape)

    def truth(self, x: str, y: str) -> NDArray:
        """Return p(y | do(x)), shape (2, 2): x, y."""
        kept = (self.at[x], self.at[y])
        other = tuple(axis for axis in range(self.count) if axis not in kept)
        result = self.joint([x]).sum(axis=other)
        return result if kept[0] < kept[1] else result.T

    def value(self, formula: str, x: str, y: str) -> NDArray:
        """Evaluate a formula on the observed distribution, at all values of x and y."""
        words = re.findall(r"sum over|[\w]+|[\[\]()/:,|]", formula)
        result, rest = self._product(words, self.joint())
        if rest:
            raise ValueError(f"{formula!r} does not end where it should: {rest}")
        kept = (self.at[x], self.at[y])
        result = np.broadcast_to(result, [2] * self.count)
        other = tuple(axis for axis in range(self.count) if axis not in kept)
        # A formula of an identified effect does not depend on any other value.
        if np.ptp(result, axis=other).max(initial=0.0) > 1e-9:
            raise ValueError(f"{formula!r} depends on more than {x} and {y}")
        index = tuple(slice(None) if axis in kept else 0 for axis in range(self.count))
        return result[index] if kept[0] < kept[1] else result[index].T

    def _product(self, words: list[str], joint: NDArray) -> tuple[NDArray, list[str]]:
        result: NDArray = np.ones([1] * self.count)
        while words and words[0] not in ("]", ")", "/"):
            head = words[0]
            if head == "sum over":
                end = words.index(":")
                axes = tuple(self.at[name] for name in words[1:end] if name != ",")
                inner, words = self._product(words[end + 1 :], joint)
                inner = np.broadcast_to(inner, [2] * self.count)
                return result * inner.sum(axis=axes, keepdims=True), words
            if head in "[(":
                own, words = self._product(words[1:], joint)
                if words[0] == "/":
                    below, words = self._product(words[1:], joint)
                    own = own / below
                words = words[1:]
            else:  # p ( name | given )
                end = words.index(")")
                inside = words[2:end]
                bar = inside.index("|") if "|" in inside else len(inside)
                given = {self.at[name] for name in inside[bar + 1 :] if name != ","}
                own = self._conditional(self.at[inside[0]], given, joint)
                words = words[end + 1 :]
            result = result * own
        return result, words

    def _conditional(self, node: int, given: set[int], joint: NDArray) -> NDArray:
        other = tuple(axis for axis in range(self.count) if axis != node and axis not in given)
        both = joint.sum(axis=other, keepdims=True)
        return both / both.sum(axis=node, keepdims=True)


def members(bits: int, names: Sequence[str]) -> tuple[str, ...]:
    """Return names of the nodes in a set."""
    return tuple(itertools.compress(names, [bits >> i & 1 for i in range(len(names))]))
