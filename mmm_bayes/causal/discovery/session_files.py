"""Read and write discovery sessions as JSON files; a file is always complete."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.result import Discovery
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.text_file import TextError, parse_json, read_text
from mmm_bayes.runtime.visible import shown_safely

_FORMAT = 1
ACTIONS = ("keep", "drop", "reverse", "open")
_PARTS = ("format", "knowledge", "key", "options", "runs", "decisions")


@final
@dataclass(frozen=True)
class Run:
    """One search of a session.

    Attributes
    ----------
    graph, data_graph : CausalGraph
        The aligned graph, and the graph from the data alone.
    knowledge : Knowledge
        Knowledge given to the search, including the decisions.
    options : dict
        Settings given to the search.
    key : dict
        Random key, as plain values.
    data_hash : str
        Hash of the table.
    data_changed : bool
        Whether the table differs from the table of the previous run.
    edges, conflicts : tuple of dict
        Rows of the table of edges, and of the table of disputes.
    """

    graph: CausalGraph
    data_graph: CausalGraph
    knowledge: Knowledge
    options: Mapping[str, Any]
    key: Mapping[str, Any]
    data_hash: str
    data_changed: bool
    edges: tuple[Mapping[str, Any], ...]
    conflicts: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(
        cls, found: Discovery, key: Mapping[str, Any], options: Mapping[str, Any], changed: bool
    ) -> Run:
        """Make the record of a result."""
        rows = found.edges.to_dict("records")
        return cls(
            graph=found.graph,
            data_graph=found.data_graph,
            knowledge=found.knowledge,
            options=_plain(options),
            key=dict(key),
            data_hash=found.data_hash,
            data_changed=changed,
            edges=tuple(_plain(row) for row in rows),
            conflicts=tuple(_plain(asdict(conflict)) for conflict in found.conflicts),
        )

    @shown_safely
    def __str__(self) -> str:
        changed = ", on a table that has changed" if self.data_changed else ""
        edges = ", ".join(f"{a} -> {b}" for a, b in self.graph.edges) or "no edges"
        return f"{edges} ({len(self.conflicts)} in dispute{changed})"


def write_session(
    path: Path,
    *,
    knowledge: Knowledge,
    key: Mapping[str, Any],
    options: Mapping[str, Any],
    runs: Sequence[Run],
    decisions: Sequence[Mapping[str, Any]],
) -> Path:
    """Write a session; an old file is replaced once the new one is complete."""
    found = {
        "format": _FORMAT,
        "knowledge": knowledge.to_dict(),
        "key": dict(key),
        "options": _plain(options),
        "runs": [_run_values(run) for run in runs],
        "decisions": list(decisions),
    }
    text = json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False)
    with atomic_write(path) as place:
        place.write_text(text + "\n", encoding="utf-8", newline="\n")
    return path


def read_session(path: Path) -> dict[str, Any]:
    """Read a session as a mapping of its parts.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    GraphError
        If the file is not a session in this format.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        found = parse_json(read_text(path))
    except TextError as error:
        raise GraphError([f"The file cannot be read: {error}"], str(path)) from None
    missing = [part for part in _PARTS if not isinstance(found, dict) or part not in found]
    if missing:
        problems = [f"The file has no {part}, so it is not a session." for part in missing]
        raise GraphError(problems, str(path))
    if found["format"] != _FORMAT:
        text = f"The session has format {found['format']!r}; this version reads {_FORMAT}."
        raise GraphError([text], str(path))
    try:
        runs = [_run_of(values) for values in found["runs"]]
        return {
            **found,
            "knowledge": Knowledge.from_dict(found["knowledge"]),
            "key": _key(found["key"]),
            "options": _mapping(found["options"]),
            "runs": runs,
            "decisions": [_decision(values, len(runs)) for values in found["decisions"]],
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, GraphError):
            raise
        text = f"The session cannot be read: {type(error).__name__}: {error}."
        raise GraphError([text], str(path)) from None


def _run_values(run: Run) -> dict[str, Any]:
    return {
        "nodes": list(run.graph.nodes),
        "graph": [list(edge) for edge in run.graph.edges],
        "data_graph": [list(edge) for edge in run.data_graph.edges],
        "knowledge": run.knowledge.to_dict(),
        "options": _plain(run.options),
        "key": dict(run.key),
        "data_hash": run.data_hash,
        "data_changed": run.data_changed,
        "edges": list(run.edges),
        "conflicts": list(run.conflicts),
    }


def _run_of(values: Mapping[str, Any]) -> Run:
    return Run(
        graph=CausalGraph(values["nodes"], values["graph"]),
        data_graph=CausalGraph(values["nodes"], values["data_graph"]),
        knowledge=Knowledge.from_dict(values["knowledge"]),
        options=_mapping(values["options"]),
        key=_key(values["key"]),
        data_hash=str(values["data_hash"]),
        data_changed=bool(values["data_changed"]),
        edges=tuple(map(_mapping, values["edges"])),
        conflicts=tuple(
            {**_mapping(one), "edge": _edge(one["edge"])} for one in values["conflicts"]
        ),
    )


def _decision(values: Mapping[str, Any], runs: int) -> dict[str, Any]:
    """Check the parts of a decision against the number of runs."""
    if set(values) != {"edge", "action", "reason", "by", "after_runs"}:
        raise ValueError(f"a decision has the unexpected parts {sorted(values)}")
    if values["action"] not in ACTIONS:
        raise ValueError(f"a decision has the unknown action {values['action']!r}")
    after = values["after_runs"]
    if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= runs:
        raise ValueError(f"a decision was made after {after!r} of {runs} runs")
    if not isinstance(values["reason"], str) or not isinstance(values["by"], str):
        raise ValueError("reason and author of a decision should be strings")
    return {**values, "edge": tuple(_edge(values["edge"]))}


def _edge(edge: Any) -> list[str]:
    if not (isinstance(edge, list) and len(edge) == 2 and all(isinstance(v, str) for v in edge)):
        raise ValueError(f"an edge should be two names, but is {edge!r:.60}")
    return edge


def _key(key: Any) -> dict[str, Any]:
    words = _mapping(key)["words"]
    if not isinstance(key["impl"], str) or not all(
        isinstance(word, int) and not isinstance(word, bool) and 0 <= word < 2**32 for word in words
    ):
        raise ValueError(f"a key should be whole numbers, but is {key!r:.60}")
    return dict(key)


def _mapping(values: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise TypeError(f"expected a table of values, but found {values!r:.60}")
    return dict(values)


def _plain(value: Any) -> Any:
    """Convert values for JSON; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | set):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
