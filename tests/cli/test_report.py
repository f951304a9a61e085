"""The command that writes a report."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmm_bayes import CausalGraph, FitResult
from mmm_bayes.cli.report import report

app = typer.Typer()
app.command()(report)


@pytest.fixture(scope="module")
def saved(national_fit: FitResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return national_fit.save(tmp_path_factory.mktemp("fit") / "fit.nc")


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(own) for own in arguments])
    return done.exit_code, " ".join(done.output.split())


def test_a_report_stands_beside_its_fit(saved: Path, tmp_path: Path) -> None:
    graph = tmp_path / "graph.toml"
    CausalGraph(edges=[("tv", "sales")]).to_file(graph)
    tests = tmp_path / "tests.csv"
    tests.write_text(
        "channel,start,end,lift,standard_error,spend_change\n"
        "tv,2022-02-01,2022-03-15,1000,500,100\n",
        encoding="utf-8",
    )
    code, said = run(saved.parent, "--no-budget", "--graph", graph, "--tests", tests)
    assert code == 0, said
    assert "Written to" in said
    text = (saved.parent / "report.html").read_text(encoding="utf-8")
    for key in ("graph", "experiments", "plan"):
        assert f'<section id="{key}"' in text
    assert '<section id="budget"' not in text


def test_what_is_no_report_is_not_replaced(saved: Path, tmp_path: Path) -> None:
    place = tmp_path / "notes.html"
    place.write_text("mine", encoding="utf-8")
    code, said = run(saved, "--no-budget", "--out", place)
    assert code == 1
    assert "notes.html already exists" in said
    assert place.read_text(encoding="utf-8") == "mine"


def test_a_missing_fit_is_said_in_words(tmp_path: Path) -> None:
    code, said = run(tmp_path / "fit.nc")
    assert code == 1
    assert "no fit at" in said
