"""Pages of docs/results: their commands, their sources, and digests of what was measured."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A fresh copy of benchmarks/pages.py, which is no package."""
    place = importlib.util.spec_from_file_location("pages", ROOT / "benchmarks" / "pages.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    monkeypatch.setitem(sys.modules, "pages", module)
    place.loader.exec_module(module)
    return module


CODE = '''"""Head."""
import os
from a import (b,
    c)


def f(x: int) -> str:
    """Say something."""
    # Why.
    raise ValueError(f"{x} is wrong. " "Give another.") if x else g("nuts", x)
'''


def test_moves_imports_prose_and_layout_do_not_change_a_digest(pages: ModuleType) -> None:
    other = '''from elsewhere import b, c


def f(
    x: int,
) -> str:
    """Return something else,

    in # several lines.
    """
    raise ValueError(f"x should not be {x}.") if x else g("nuts", x)  # done
'''
    assert pages.digest([CODE]) == pages.digest([other])
    assert pages.digest([CODE, "y = 1"]) == pages.digest(["y = 1", CODE])


@pytest.mark.parametrize(
    ("old", "new"), [('"nuts"', '"svi"'), ("if x", "if not x"), ("x: int", "y: int"), ("g(", "h(")]
)
def test_code_changes_a_digest(pages: ModuleType, old: str, new: str) -> None:
    assert pages.digest([CODE]) != pages.digest([CODE.replace(old, new)])


def test_hash_signs_and_quotes_in_strings_are_told_from_comments(pages: ModuleType) -> None:
    assert pages.scrub("a = '#'; b = 1  # it's\nc = \"it's\"") == "a='#';b=1c=\"it's\""
    assert pages.scrub("x = '''#''' + 'a'\ny = 2") == "x=\x00+'a'y=2"


def test_every_page_is_listed_with_commands_and_sources_that_exist(pages: ModuleType) -> None:
    assert {path.stem for path in pages.RESULTS.glob("*.md")} <= set(pages.PAGES)
    for name, page in pages.PAGES.items():
        assert page.commands, name
        for command in page.commands:
            script = command.split()[1]
            assert script == "-m" or (ROOT / script).is_file(), command
        for source in page.sources:
            assert (ROOT / source).exists(), f"{name}: {source}"


def test_changed_pages_are_listed(
    pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    monkeypatch.setattr(
        pages, "PAGES", {name: pages.Page((), ("a.py", "b")) for name in ("page", "none")}
    )
    (tmp_path / "b").mkdir()
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "b" / "c.py").write_text("y = 1")
    (tmp_path / "page.md").write_text(f"# Page\n\n{pages.sources_line('page')}\n")
    assert pages.report(["page"]) == []
    assert pages.report(["none"]) == ["  none: not measured, or without a line of sources"]
    pages._known.clear()
    (tmp_path / "b" / "c.py").write_text("y = 2")
    assert pages.report(["page"]) == ["  page: b"]


def test_a_run_skips_fresh_pages_and_goes_on_after_a_failure(
    pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    (tmp_path / "a.py").write_text("import sys; open(sys.argv[1] + '/done', 'w'); sys.exit(1)")
    fails = pages.Page(("python a.py $keep", "python a.py nowhere"), ("a.py",))
    lacking = pages.Page(("python a.py $TORCH_PYTHON",), ("a.py",), "TORCH_PYTHON")
    monkeypatch.setattr(pages, "PAGES", {"fails": fails, "fresh": fails, "lacking": lacking})
    monkeypatch.delenv("TORCH_PYTHON", raising=False)
    (tmp_path / "fresh.md").write_text(pages.sources_line("fresh"))
    assert pages.run(["fresh"], again=False) == 0
    assert pages.run(["fails", "fresh", "lacking"], again=False) == 2
    assert [path.parent.name[:6] for path in tmp_path.glob("out/results/*/done")] == ["fails-"]
