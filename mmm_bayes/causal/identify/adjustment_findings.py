"""Find set members and open paths that bias an effect, and members that are not needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.causal.graph.separation import (
    CausalPath,
    Links,
    open_path,
    open_paths,
    path_opened_by,
)
from mmm_bayes.causal.identify.criteria import Criterion
from mmm_bayes.runtime.deprecation import warn_deprecated
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.visible import shown_safely

_MOST_PATHS = 5  # reported one by one
_MOST_LOOKED_AT = 2_000


@final
@dataclass(frozen=True)
class AdjustmentFinding(Finding):
    """One finding about a proposed adjustment set.

    A finding with severity ``"error"`` biases the effect. ``check`` is one of the following:

    - ``"mediator"``: a member on a causal path (total effects);
    - ``"descendant"``: a member that descends from a mediator;
    - ``"outcome_descendant"``: a member that the outcome causes;
    - ``"collider"``: a member that opens a path, because it is a collider on it or descends from
      one;
    - ``"open_back_door"``: a path that the set leaves open;
    - ``"open_mediator"``: an indirect path that the set leaves open (direct effects);
    - ``"instrument"``: a member that affects the outcome only through the treatment;
    - ``"treatment_descendant"``: a member that the treatment causes and that is not needed;
    - ``"precision"``: a member that explains the outcome and has no relation to the treatment;
    - ``"irrelevant"``: a member that is on no open path to the outcome.

    Attributes
    ----------
    where : str or None
        Member of the set that the finding is about, if any.
    path : CausalPath or None
        Path that the finding is about, if any.
    """

    path: CausalPath | None = None

    @shown_safely
    def __str__(self) -> str:
        return f"{self.severity}: {self.message}"

    @property
    def kind(self) -> str:
        """Deprecated name of ``check``."""
        warn_deprecated("AdjustmentFinding.kind", "check")
        return self.check

    @property
    def node(self) -> str | None:
        """Deprecated name of ``where``."""
        warn_deprecated("AdjustmentFinding.node", "where")
        return self.where


def members_that_bias(
    graph: MixedGraph, goal: Criterion, given: tuple[str, ...]
) -> Iterator[AdjustmentFinding]:
    """Yield a finding for each member that no valid set contains."""
    x, y = goal.treatment[0], goal.outcome
    links = graph.links
    after = links.descendants([y])
    for name in given:
        if name not in goal.forbidden:
            continue
        if name in after:
            path = _down(graph, y, name)
            yield AdjustmentFinding(
                "outcome_descendant", "error",
                f"{name} is caused by the outcome ({path}): conditioning on it selects on {y}.",
                where=name, path=path,
            )  # fmt: skip
        elif name in goal.through:
            path = _joined(_down(graph, x, name), _down(graph, name, y))
            yield AdjustmentFinding(
                "mediator", "error",
                f"{name} is a mediator ({path}): holding it fixed removes the part of the effect "
                "that runs through it. Adjust for it for the direct effect, not for the total one.",
                where=name, path=path,
            )  # fmt: skip
        else:
            source = next(v for v in graph.nodes if v in goal.through - {y}
                          and name in links.descendants([v]))  # fmt: skip
            path = _joined(_down(graph, x, source), _down(graph, source, name))
            yield AdjustmentFinding(
                "descendant", "error",
                f"{name} descends from the mediator {source} ({path}): adjusting for it removes "
                "part of the effect that runs through the mediator.",
                where=name, path=path,
            )  # fmt: skip


def paths_that_bias(
    graph: MixedGraph, goal: Criterion, given: tuple[str, ...]
) -> Iterator[AdjustmentFinding]:
    """Yield a finding for each path that the set leaves open, or for the member that opens it."""
    reported: set[str] = set()
    rest = 0
    paths, complete = _open_paths(graph, goal, given)
    for path in paths:
        opened = list(path.colliders)
        by = _openers(graph, opened, given)
        if by and reported.issuperset(by):
            continue
        if not by:
            rest += 1
            if rest <= _MOST_PATHS:
                yield _left_open(goal, path)
            continue
        reported |= set(by)
        for name in by:
            yield _opened(graph, path, name)
    if complete:
        return
    # In a dense graph, a member may open only paths beyond the ones examined.
    for name in given:
        if name not in reported and (longer := _path_opened_by(graph, goal, given, name)):
            yield _opened(graph, longer, name)


def _path_opened_by(
    graph: MixedGraph, goal: Criterion, given: tuple[str, ...], name: str
) -> CausalPath | None:
    """Find an open path with a collider that a member opens: by search, or among all open paths."""
    x, y = goal.treatment[0], goal.outcome
    for links in (goal.links,) if goal.forbidden.isdisjoint(given) else (goal.links, graph.links):
        if path := path_opened_by(links, x, y, given, name):
            return path
        above = links.ancestors([name])
        for path in open_paths(links, x, y, given):
            if not above.isdisjoint(path.colliders):
                return path
    return None


def _opened(graph: MixedGraph, path: CausalPath, name: str) -> AdjustmentFinding:
    above = [v for v in path.colliders if name in graph.links.descendants([v])]
    which = f"{name} is a collider" if name in above else (
        f"{name} descends from the collider {above[0]}")  # fmt: skip
    return AdjustmentFinding(
        "collider", "error",
        f"{which} on {path}: conditioning on it opens this path, which was closed.",
        where=name, path=path,
    )  # fmt: skip


def _open_paths(
    graph: MixedGraph, goal: Criterion, given: tuple[str, ...]
) -> tuple[list[CausalPath], bool]:
    """Return open paths that are not part of the effect, and whether the list is complete."""
    x, y = goal.treatment[0], goal.outcome
    paths = list(itertools.islice(open_paths(goal.links, x, y, given), _MOST_LOOKED_AT))
    complete = len(paths) < _MOST_LOOKED_AT
    if goal.forbidden.isdisjoint(given):
        return paths, complete
    # Forbidden members also open paths along the edges that the effect runs through.
    more = list(itertools.islice(open_paths(graph.links, x, y, given), _MOST_LOOKED_AT))
    complete &= len(more) < _MOST_LOOKED_AT
    seen = set(paths)
    return [*paths, *(p for p in more if p not in seen and not p.is_directed)], complete


def _openers(graph: MixedGraph, colliders: list[str], given: tuple[str, ...]) -> list[str]:
    """Return the members of the set that open colliders on a path."""
    below = [graph.links.descendants([collider]) for collider in colliders]
    return [name for name in given if any(name in own for own in below)]


def _left_open(goal: Criterion, path: CausalPath) -> AdjustmentFinding:
    if path.is_directed and goal.effect == "direct":
        inner = " or ".join(path.nodes[1:-1])
        return AdjustmentFinding(
            "open_mediator", "error",
            f"The indirect path {path} is open: for the direct effect, adjust for {inner} as well.",
            where=None, path=path,
        )  # fmt: skip
    hidden = [f"a hidden cause of {one} and {other}" for one, other in path.hidden]
    through = [v for v in path.nodes[1:-1] if v not in goal.forbidden and v not in path.colliders]
    remedy = f"adjust for {' or '.join(through)}" if through else (
        f"only measuring {' and '.join(hidden)} would close it")  # fmt: skip
    return AdjustmentFinding(
        "open_back_door", "error",
        f"The path {path} is open and adds association that is not caused by the treatment: "
        f"{remedy}.",
        where=None, path=path,
    )  # fmt: skip


def members_to_spare(
    graph: MixedGraph, goal: Criterion, given: tuple[str, ...]
) -> Iterator[AdjustmentFinding]:
    """Yield a finding for each member that could be left out without bias."""
    x, y = goal.treatment[0], goal.outcome
    for name in given:
        rest = [v for v in given if v != name]
        if name in goal.forbidden or (goal.is_met(given) and not goal.is_met(rest)):
            continue
        to_outcome = not goal.links.separated([name], [y], rest)
        to_treatment = not graph.links.separated([name], [x], rest)
        if name in graph.links.descendants([x]) and to_treatment:
            yield AdjustmentFinding(
                "treatment_descendant", "warning",
                f"{name} is caused by {x} and not needed: adjusting for it removes variation of "
                f"{x} and widens the interval.", where=name,
            )  # fmt: skip
        elif not to_outcome and to_treatment:
            yield AdjustmentFinding(
                "instrument", "warning",
                f"{name} affects {y} only through {x}: adjusting for it widens the interval and "
                "amplifies any bias from hidden causes. Leave it out (or use it as an instrument).",
                where=name,
            )  # fmt: skip
        elif to_outcome and goal.links.separated([name], [x], rest):
            yield AdjustmentFinding(
                "precision", "note",
                f"{name} is not needed, but explains {y} and can narrow the interval.", where=name,
            )  # fmt: skip
        elif not to_outcome:
            yield AdjustmentFinding(
                "irrelevant", "note",
                f"{name} is not needed: given the others, it is on no open path to {y}.",
                where=name,
            )  # fmt: skip


def _down(graph: MixedGraph, start: str, end: str) -> CausalPath:
    """Return a shortest directed path from a node to a descendant."""
    empty = dict.fromkeys(graph.nodes, ())
    path = open_path(Links(empty, graph.links.children, empty), [start], [end], ())
    if path is None:
        raise ValueError(f"{end} does not descend from {start}.")
    return path


def _joined(one: CausalPath, other: CausalPath) -> CausalPath:
    return CausalPath(one.nodes + other.nodes[1:], one.arrows + other.arrows)
