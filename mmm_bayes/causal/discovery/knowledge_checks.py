"""Check the statements of experts, and report all contradictions at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmm_bayes.causal.graph.checks import Pair, examine, find_cycles
from mmm_bayes.runtime.findings import listing, nearest

# Averages over shops can make both directions of a pair likely, but a graph holds only one: the
# two probabilities are scaled to this sum.
_ROOM = 0.99


def check_knowledge(
    required: Iterable[Any],
    forbidden: Iterable[Any],
    tiers: Iterable[Any],
    probabilities: Mapping[Pair, float],
    confidence: Any,
    confidences: Any,
    tier_confidence: Any,
) -> tuple[dict[str, Any], list[str]]:
    """Convert the arguments of :class:`Knowledge`, and list every problem with them."""
    problems: list[str] = []
    needed = _pairs("required", required, problems)
    barred = _pairs("forbidden", forbidden, problems)
    stages = _tiers(tiers, problems)
    for edge in needed:
        if edge in barred:
            problems.append(f"Edge {_shown(edge)} is both required and forbidden: keep one.")
    for edge in dict.fromkeys([*needed, *barred]):
        if edge in probabilities:
            problems.append(
                f"Edge {_shown(edge)} has a probability and is required or forbidden: keep one."
            )
    names = list(dict.fromkeys(name for edge in needed for name in edge))
    for cycle in find_cycles(names, needed):
        problems.append(
            f"Required edges form the cycle {' -> '.join(cycle)}: remove or reverse one of them."
        )
    stage = {name: i for i, tier in enumerate(stages) for name in tier}
    for a, b in needed:
        if stage.get(a, -1) > stage.get(b, len(stages)):
            problems.append(
                f"Edge {_shown((a, b))} is required, but leads from tier {stage[a] + 1} back to "
                f"tier {stage[b] + 1}: reverse it, or move a node."
            )
    numbers = {"confidence": confidence, "tier_confidence": tier_confidence}
    for name, value in numbers.items():
        _check_confidence(name, value, problems)
    sure = _confidences(confidences, {*needed, *barred}, problems)
    found = {
        "required": needed, "forbidden": barred, "tiers": stages, "probabilities": probabilities,
        "confidences": sure,
    }  # fmt: skip
    return found, problems


def check_against(named: Sequence[str], nodes: Sequence[str]) -> list[str]:
    """List the names in the knowledge that are not among the nodes, each as a problem."""
    return [
        f"{name!r} is not among the nodes.{nearest(name, nodes) or f' They are {listing(nodes)}.'}"
        for name in named
        if name not in nodes
    ]


def read_probabilities(found: Any, problems: list[str]) -> dict[Pair, float]:
    """Read probabilities of edges from a mapping, or from an array with sources and targets."""
    pairs = _of_array(found, problems) if hasattr(found, "dims") else found
    if not isinstance(pairs, Mapping):
        problems.append(
            f'probabilities should be a mapping such as {{("tv", "sales"): 0.7}} or an array with '
            f"dimensions source and target, but is a {type(found).__name__}."
        )
        return {}
    read: dict[Pair, float] = {}
    for edge, p in pairs.items():
        pair = _pair(edge)
        if pair is None:
            problems.append(f"A key of probabilities should be (cause, effect), but is {edge!r}.")
        elif not isinstance(p, int | float | np.number) or not 0.0 <= p <= 1.0:
            problems.append(
                f"The probability of {_shown(pair)} should be from 0 to 1, but is {p!r}."
            )
        else:
            read[pair] = float(p)
    for (a, b), p in list(read.items()):
        both = p + read.get((b, a), 0.0)
        if both > 1.0 + 1e-9 and (b, a) in read and (a, b) < (b, a):
            problems.append(
                f"The probabilities of {_shown((a, b))} and {_shown((b, a))} sum to {both:.3g}: "
                "a graph can hold only one of them, so the sum should be at most 1."
            )
    return read


def _of_array(array: Any, problems: list[str]) -> dict[Pair, float]:
    """Average over all other dimensions, and scale pairs whose probabilities sum to too much."""
    if not {"source", "target"} <= set(array.dims):
        problems.append(
            f"probabilities should have dimensions source and target, but has {array.dims}."
        )
        return {}
    mean = array.mean([dim for dim in array.dims if dim not in ("source", "target")])
    mean = mean.transpose("source", "target")
    sources, targets = (list(map(str, mean[dim].values.tolist())) for dim in ("source", "target"))
    values = np.asarray(mean.values, float)
    found = {
        (a, b): float(values[i, j])
        for i, a in enumerate(sources)
        for j, b in enumerate(targets)
        if a != b
    }
    scaled = {}
    for (a, b), p in found.items():
        both = p + found.get((b, a), 0.0)
        scaled[a, b] = p * _ROOM / both if both > _ROOM else p
    return scaled


def _pairs(kind: str, pairs: Any, problems: list[str]) -> tuple[Pair, ...]:
    # Cycles of required edges are reported below; cycles of forbidden ones are valid.
    listed = not isinstance(pairs, str | Mapping) and isinstance(pairs, Iterable)
    given = list(pairs) if listed else []
    parts, found = examine(None, given if listed else pairs, ())
    problems.extend(f"{kind}: {text}" for text in found if not text.startswith("Directed cycle"))
    order = {pair: None for entry in given if (pair := _pair(entry)) is not None}
    return tuple(pair for pair in order if pair in parts.edges)


def _tiers(tiers: Any, problems: list[str]) -> tuple[tuple[str, ...], ...]:
    if isinstance(tiers, str) or not isinstance(tiers, Iterable):
        problems.append(f'tiers should be lists of names, [["tv"], ["sales"]], but is {tiers!r}.')
        return ()
    found: list[tuple[str, ...]] = []
    for position, tier in enumerate(tiers, 1):
        if isinstance(tier, str) or not isinstance(tier, Iterable):
            problems.append(f"Tier {position} should be a list of names, but is {tier!r}.")
            continue
        names = tuple(tier)
        if wrong := [name for name in names if not isinstance(name, str) or not name]:
            problems.append(f"Tier {position} should hold names, but holds {listing(wrong)}.")
        found.append(tuple(name for name in names if isinstance(name, str) and name))
    seen: dict[str, int] = {}
    for position, tier in enumerate(found, 1):
        for name in tier:
            if name in seen:
                problems.append(f"{name!r} is in tier {seen[name]} and in tier {position}.")
            seen.setdefault(name, position)
    return tuple(found)


def _confidences(found: Any, stated: set[Pair], problems: list[str]) -> dict[Pair, float]:
    if not isinstance(found, Mapping):
        form = '{("tv", "sales"): 0.9}'
        problems.append(f"confidences should be a mapping such as {form}, but is {found!r:.60}.")
        return {}
    read = {}
    for edge, value in found.items():
        pair = _pair(edge)
        if pair is None:
            problems.append(f"A key of confidences should be (cause, effect), but is {edge!r}.")
        elif pair not in stated:
            problems.append(
                f"Edge {_shown(pair)} has a confidence, but is neither required nor forbidden."
            )
        elif _check_confidence(f"The confidence of {_shown(pair)}", value, problems):
            read[pair] = float(value)
    return read


def _check_confidence(name: str, value: Any, problems: list[str]) -> bool:
    if isinstance(value, int | float | np.number) and 0.5 < value <= 1.0:
        return True
    problems.append(
        f"{name} should be above 0.5 and at most 1 (1 is a rule), but is {value!r}: "
        "if you are less sure, leave the statement out."
    )
    return False


def _pair(entry: Any) -> Pair | None:
    if isinstance(entry, tuple | list) and len(entry) == 2:
        a, b = entry
        if isinstance(a, str) and isinstance(b, str) and a and b:
            return (a, b)
    return None


def _shown(edge: Pair) -> str:
    return f"{edge[0]} -> {edge[1]}"
