"""Names of columns, geos and files are shown with every character visible."""

import importlib
import inspect
import io
import pkgutil
import warnings

import pytest

import mmm_bayes
from mmm_bayes import CausalGraph
from mmm_bayes.errors import DataError, GraphError
from mmm_bayes.runtime.findings import Finding, listing
from mmm_bayes.runtime.progress import Bars, Lines
from mmm_bayes.runtime.report import Report, rows_as_html, rows_as_text
from mmm_bayes.runtime.summary_table import SummaryTable
from mmm_bayes.runtime.visible import visible, visible_html, visible_text
from mmm_bayes.runtime.warn import warn_user

ESC = "\x1b[31mtv"
HOSTILE = [ESC, "\u202eabc", "a\nb", "\x9b2J", "\x07", "\u2028", "\ufeffx", "\u2066y", "\ud800"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_hidden_character_is_left(name: str) -> None:
    assert visible(name).isascii()
    assert visible(name).isprintable()
    assert name.translate({10: None}).isprintable() or visible_text(name) != name


@pytest.mark.parametrize(
    "name", ["tv", "名前", "é", "e\u0301", "👨\u200d👩", "می\u200cشود", "a\tb"]
)
def test_what_can_be_seen_stays(name: str) -> None:
    assert visible_text(name) == name


def test_html_and_lines() -> None:
    assert visible_html(f"<{ESC}>") == "&lt;\\x1b[31mtv&gt;"
    assert rows_as_text([("channels", "a\nb")]) == "channels  a\\nb"
    assert ESC not in rows_as_html([("channels", ESC)])


def test_errors_warnings_and_findings() -> None:
    finding = Finding("check", "error", f"{ESC} is wrong.", "Change it.")
    for text in (
        str(finding),
        str(DataError([finding], f"the file {ESC}")),
        str(GraphError([f"{ESC} is wrong"], ESC)),
        listing([ESC, "a"]),
    ):
        assert "\\x1b[31mtv" in text
        assert "\x1b" not in text
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_user(f"about {ESC}", UserWarning)
    assert str(told[0].message) == "about \\x1b[31mtv"


def test_tables_in_a_terminal_and_in_html() -> None:
    table = SummaryTable({ESC: [1.0, 2.0], "text": [ESC, "b"]}, index=[ESC, "\u202eb"])
    for text in (repr(table), table._repr_html_()):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert text.count("\\x1b[31mtv") == 3
    assert list(table.index) == [ESC, "\u202eb"], "the names themselves stay"
    levels = table.set_index("text", append=True)
    assert "\x1b" not in repr(SummaryTable(levels))


def test_graphs() -> None:
    graph = CausalGraph(edges=[(ESC, "a\nb")], bidirected=[(ESC, "a\nb")])
    assert str(graph).splitlines() == ["\\x1b[31mtv -> a\\nb", "\\x1b[31mtv <-> a\\nb"]
    assert "\x1b" not in repr(graph) + graph._repr_html_()


def test_progress(capfd: pytest.CaptureFixture[str]) -> None:
    for reporter in (Bars(), Lines()):
        reporter.start([ESC, "[red]b"], 2, "draws")
        reporter.update(0, 2, ESC)
        reporter.message(f"about {ESC}")
        reporter.close()
    shown = capfd.readouterr().err
    assert "\x1b[31mtv" not in shown
    assert "\\x1b[31mtv" in shown


def test_consoles_of_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.table import Table

    from mmm_bayes.cli.terminal import open_console

    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    console = open_console()
    console.print(f"fit of {ESC} [red]x[/red]")
    table = Table(title=ESC)
    table.add_column(ESC)
    table.add_row("\u202e[red]b")
    console.print(table)
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()
    assert "[red]x[/red]" in out.getvalue()
    assert "\\u202e[red]b" in out.getvalue()


def test_every_object_shows_itself_safely() -> None:
    wrong = []
    for module in pkgutil.walk_packages(mmm_bayes.__path__, "mmm_bayes."):
        if "__main__" in module.name:
            continue
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ != module.name or issubclass(kind, SummaryTable):
                continue
            for name in ("__str__", "__repr__"):
                method = vars(kind).get(name)
                code = getattr(inspect.unwrap(method), "__code__", None) if method else None
                # Those that dataclasses make quote every field, and are not in a file of ours.
                own = code is not None and "mmm_bayes" in code.co_filename and kind is not Report
                if own and not hasattr(method, "shows_safely"):
                    wrong.append(f"{kind.__module__}.{kind.__qualname__}.{name}")
    assert not wrong
