"""Show a graph: its edges as text that wraps, and a table of its nodes in HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from mmm_bayes.causal.graph.mixed_graph import MixedGraph
from mmm_bayes.runtime.visible import visible, visible_html

_WIDTH = 88
_MOST = 60  # nodes, or edges of a kind, that are shown


def as_lines(graph: MixedGraph) -> str:
    """Write one line per cause with its effects, then the bidirected edges."""
    joined = {name for pair in (*graph.edges, *graph.bidirected) for name in pair}
    lines = []
    for name in graph.nodes:
        if effects := graph.links.children[name]:
            lines.append(f"{visible(name)} -> {', '.join(map(visible, effects))}")
        elif name not in joined:
            lines.append(visible(name))
    lines += [f"{visible(one)} <-> {visible(other)}" for one, other in graph.bidirected]
    return "\n".join(lines) or "(no nodes)"


def as_text(graph: MixedGraph) -> str:
    """Write nodes with their roles, and edges of both kinds, wrapped under headings."""
    roles = dict(graph.roles)
    counts = [_count(graph.nodes, "node"), _count(graph.edges, "edge")]
    if graph.bidirected:
        counts.append(f"{len(graph.bidirected)} bidirected")
    sections = {
        "nodes": [visible(v) + (f" ({roles[v]})" if v in roles else "") for v in graph.nodes],
        "edges": [f"{visible(a)} -> {visible(b)}" for a, b in graph.edges],
        "bidirected": [f"{visible(a)} <-> {visible(b)}" for a, b in graph.bidirected],
    }
    lines = [f"{type(graph).__name__} with {', '.join(counts)}"]
    for name, items in sections.items():
        if items:
            lines += _wrapped(name, items)
    return "\n".join(lines)


def as_html(graph: MixedGraph) -> str:
    """Write a table with one row per node: its role, causes, effects and hidden causes."""
    links, roles = graph.links, dict(graph.roles)
    head = ("node", "role", "caused by", "causes", "shares hidden causes with")
    near = (links.parents, links.children, links.siblings)
    rows = [
        (name, roles.get(name, ""), *(", ".join(others[name]) for others in near))
        for name in graph.nodes
    ]
    # Columns that are empty in every row say nothing.
    kept = [k for k in range(len(head)) if k == 0 or any(row[k] for row in rows)]
    left = "style='text-align:left'"
    titles = "".join(f"<th {left}>{head[k]}</th>" for k in kept)
    body = "".join(
        "<tr>" + "".join(f"<td {left}>{visible_html(row[k])}</td>" for k in kept) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _count(items: Sequence[object], name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"


def _wrapped(name: str, items: Sequence[str]) -> list[str]:
    shown = list(items[:_MOST])
    if len(items) > _MOST:
        shown.append(f"and {len(items) - _MOST} more")
    # No break within an edge: its blanks are hard ones until the text is wrapped.
    text = ", ".join(item.replace(" ", "\xa0") for item in shown)
    indent = " " * 14
    wrapped = textwrap.wrap(
        text, _WIDTH, initial_indent=f"  {name:<12}", subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace("\xa0", " ") for line in wrapped]
