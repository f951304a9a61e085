"""No circle of imports between modules, counting imports for types and inside functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mmm_bayes", "studies")


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path, module: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every module that a file names in an import, with the names taken from it."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, []
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            yield base, [alias.name for alias in node.names]


def import_graph(root: Path, packages: tuple[str, ...]) -> nx.DiGraph:
    """Return the graph of imports: an edge from each module to each module that it imports."""
    files = {
        module_name(path, root): path
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
    }
    graph = nx.DiGraph()
    graph.add_nodes_from(files)
    for module, path in files.items():
        for base, names in imported_names(path, module):
            submodules = [f"{base}.{name}" for name in names if f"{base}.{name}" in files]
            # `from package import submodule` needs the submodule, not the names of the package.
            targets = submodules if len(submodules) == len(names) and names else [base, *submodules]
            graph.add_edges_from(
                (module, target) for target in targets if target in files and target != module
            )
    return graph


def circles(graph: nx.DiGraph) -> list[list[str]]:
    """Return one shortest circle for each set of modules that import each other."""
    found = []
    for component in nx.strongly_connected_components(graph):
        if len(component) > 1:
            within = graph.subgraph(component)
            start = min(component)
            back = min(
                (nx.shortest_path(within, after, start) for after in within.successors(start)),
                key=len,
            )
            found.append([start, *back])
    return sorted(found)


def test_no_circle_of_imports() -> None:
    found = circles(import_graph(ROOT, PACKAGES))
    listing = "\n".join("  " + " -> ".join(circle) for circle in found)
    assert not found, (
        f"{len(found)} circles of imports, counting those under TYPE_CHECKING and in functions. "
        f"Move the part that both sides need into a module below them:\n{listing}"
    )


@pytest.mark.parametrize(
    "line",
    [
        "from package import low",
        "import package.low",
        "from . import low",
        "from .low import value",
        "def load():\n    from package.low import value",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from package.low import value",
    ],
)
def test_every_form_of_import_is_seen(tmp_path: Path, line: str) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "high.py").write_text(line + "\n")
    (package / "low.py").write_text("from package.high import other\n")
    found = circles(import_graph(tmp_path, ("package",)))
    assert found == [["package.high", "package.low", "package.high"]]
