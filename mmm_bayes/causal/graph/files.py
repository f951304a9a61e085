"""Read and write graphs as text: TOML and JSON here, DOT, DAGitty and GML in their own modules."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mmm_bayes.causal.graph.checks import GraphError, Pair, nowhere
from mmm_bayes.causal.graph.dot import dot_text, parse_dot
from mmm_bayes.causal.graph.gml import gml_text, parse_gml
from mmm_bayes.causal.graph.raw_graph import RawGraph
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.findings import nearest
from mmm_bayes.runtime.text_file import TextError, parse_json, parse_toml, read_text

_KEYS = ("nodes", "edges", "bidirected", "latent", "roles")


def read_graph(path: str | os.PathLike[str]) -> RawGraph:
    """Read the parts of a graph from a file; the suffix says which language it is written in.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    GraphError
        If the file is of another kind, or its text cannot be read at all.
    """
    if isinstance(path, str) and ("{" in path or "\n" in path):
        raise GraphError(["This is the text of a graph, not a file: use CausalGraph.from_text."])
    path = _path(path)
    kind = _kind(path, _READERS)
    if not path.is_file():
        raise FileNotFoundError(f"No graph at {path}.")
    try:
        return _READERS[kind](read_text(path))
    except TextError as error:
        raise GraphError([str(error)], str(path)) from None


def read_text_graph(text: str) -> RawGraph:
    """Read the parts of a graph from text in any of the languages of files.

    Raises
    ------
    GraphError
        If it is not text, or cannot be read at all.
    """
    if not isinstance(text, str):
        raise GraphError([f"The text of a graph should be a string, but is {text!r:.60}."])
    kind = next((kind for start, kind in _STARTS if re.match(start, text)), ".toml")
    try:
        return _READERS[kind](text)
    except TextError as error:
        expected = "Expected dag { .. }, digraph { .. }, GML, JSON or TOML"
        raise GraphError([f"{error} {expected}, e.g. 'dag {{ tv -> sales }}'."]) from None


def write_graph(
    path: str | os.PathLike[str],
    nodes: Sequence[str],
    edges: Sequence[Pair],
    bidirected: Sequence[Pair],
    roles: Sequence[Pair] = (),
) -> Path:
    """Write a graph in the format of the suffix; an old file is replaced only at the end."""
    path = _path(path)
    text = _WRITERS[_kind(path, _WRITERS)](nodes, edges, bidirected, roles)
    with atomic_write(path) as place:
        place.write_text(text, encoding="utf-8", newline="\n")
    return path


def _path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise GraphError([f"The file of a graph should be a path, but is {path!r:.60}."])
    return Path(path)


def _kind(path: Path, languages: Iterable[str]) -> str:
    kind = path.suffix.lower()
    if kind not in languages:
        known = ", ".join(sorted(languages))
        raise GraphError([f"The file's name should end in one of {known}, but is {path.name!r}."])
    return kind


def _from_mapping(found: Any) -> RawGraph:
    if not isinstance(found, dict):
        return RawGraph(
            problems=[f'Expected {{"edges": [["tv", "sales"]]}}, but the file holds {found!r:.60}.']
        )
    known = f"{', '.join(_KEYS[:-1])} and {_KEYS[-1]}"
    problems = [
        f"Unknown key {key!r}.{nearest(key, _KEYS) or f' Known are {known}.'}"
        for key in found
        if key not in _KEYS
    ]
    pairs = found.get("edges", ()), found.get("bidirected", ())
    return RawGraph(
        found.get("nodes"), *pairs, nowhere, problems, found.get("roles"), found.get("latent", ())
    )


def _from_dot(text: str) -> RawGraph:
    parsed = parse_dot(text)
    lines = {
        "edges": [line for _, line in parsed.edges],
        "bidirected": [line for _, line in parsed.bidirected],
        "roles": [line for _, line in parsed.roles.values()],
    }

    def place(kind: str, position: int) -> str:
        return f"line {lines[kind][position]}: " if kind in lines else ""

    return RawGraph(
        parsed.nodes,
        [pair for pair, _ in parsed.edges],
        [pair for pair, _ in parsed.bidirected],
        place,
        parsed.problems,
        {name: role for name, (role, _) in parsed.roles.items()},
        parsed.latent,
    )


def _as_mapping(
    nodes: Sequence[str], edges: Sequence[Pair], bidirected: Sequence[Pair]
) -> dict[str, Any]:
    found = {
        "nodes": list(nodes),
        "edges": [list(pair) for pair in edges],
        "bidirected": [list(pair) for pair in bidirected],
    }
    return {key: value for key, value in found.items() if value or key != "bidirected"}


def _text(value: Any) -> str:
    # DEL is the only character that is allowed in JSON strings but not in TOML strings.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _rows(value: list[Any], indent: str) -> str:
    """Write a list with one entry per line, so that changing one edge changes one line."""
    if not value:
        return "[]"
    rows = (_text(row) for row in value)
    return "[\n" + ",\n".join(f"{indent}  {row}" for row in rows) + f"\n{indent}]"


def _to_toml(
    nodes: Sequence[str],
    edges: Sequence[Pair],
    bidirected: Sequence[Pair],
    roles: Sequence[Pair],
) -> str:
    found = _as_mapping(nodes, edges, bidirected)
    text = "".join(f"{key} = {_rows(value, '')}\n" for key, value in found.items())
    if roles:
        text += "\n[roles]\n" + "".join(f"{_text(v)} = {_text(role)}\n" for v, role in roles)
    return text


def _to_json(
    nodes: Sequence[str],
    edges: Sequence[Pair],
    bidirected: Sequence[Pair],
    roles: Sequence[Pair],
) -> str:
    found = _as_mapping(nodes, edges, bidirected)
    parts = [f'  "{key}": {_rows(value, "  ")}' for key, value in found.items()]
    if roles:
        inner = ",\n".join(f"    {_text(v)}: {_text(role)}" for v, role in roles)
        parts.append(f'  "roles": {{\n{inner}\n  }}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


_READERS: dict[str, Callable[[str], RawGraph]] = {
    ".toml": lambda text: _from_mapping(parse_toml(text)),
    ".json": lambda text: _from_mapping(parse_json(text)),
    **dict.fromkeys((".dot", ".gv", ".dagitty", ".txt"), _from_dot),
    ".gml": parse_gml,
}
# How texts begin that are not TOML.
_SPACE = r"(?:\s|//[^\n]*|/\*.*?\*/|(?m:^\#[^\n]*))*"
_STARTS = (
    (r"\s*\{", ".json"),
    (rf"(?is){_SPACE}(strict|digraph|dag|pdag|mag|pag)\b", ".dot"),
    (rf"(?is){_SPACE}graph\b[^=\[]*\{{", ".dot"),
    (rf"(?s){_SPACE}(Creator\b.*|Version\b.*)?graph\s*\[", ".gml"),
)
_WRITERS: dict[
    str, Callable[[Sequence[str], Sequence[Pair], Sequence[Pair], Sequence[Pair]], str]
] = {
    ".toml": _to_toml,
    ".json": _to_json,
    ".dot": dot_text,
    ".gv": dot_text,
    ".gml": gml_text,
}
