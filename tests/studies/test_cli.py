"""The command line of the studies: options, counts, errors and help."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from studies import admgda as study
from studies.cli import app
from studies.runs import ResultsError, RunError


def run(*arguments: object) -> SimpleNamespace:
    """Run a command and return its exit code and its output on one line."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=" ".join(result.output.split()))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings that reach the study; nothing is run."""
    asked: dict[str, Any] = {}

    def stub(scenarios: list[str], *, out: Path, **settings: Any) -> list[Path]:
        asked.update(settings, scenarios=scenarios, out=out)
        return [out / f"{name}.md" for name in scenarios]

    monkeypatch.setattr(study, "main_admgda", stub)
    return asked


def test_the_study_is_the_published_one_by_default(called: dict[str, Any], tmp_path: Path) -> None:
    result = run("admgda", "--out", tmp_path)
    assert result.code == 0
    assert called == {
        "scenarios": ["mechanisms"],
        "out": tmp_path,
        "repetitions": 20,
        "workers": 2,
        "cluster": None,
        "published": None,
        "seed": 0,
        "max_targets": None,
        "guide_compat": True,
    }
    assert result.text.startswith("Written:")
    assert "mechanisms.md" in result.text


def test_every_option_reaches_the_study(called: dict[str, Any], tmp_path: Path) -> None:
    result = run(
        "admgda", "--out", tmp_path, "--scenario", "noise", "--scenario", "degree",
        "--repetitions", 3, "--workers", 1, "--targets", 2, "--independent-roots",
        "--cluster", "tcp://here:8786",
        "--published", tmp_path / "tables", "--seed", 5,
    )  # fmt: skip
    assert result.code == 0
    assert called == {
        "scenarios": ["noise", "degree"],
        "out": tmp_path,
        "repetitions": 3,
        "workers": 1,
        "cluster": "tcp://here:8786",
        "published": tmp_path / "tables",
        "seed": 5,
        "max_targets": 2,
        "guide_compat": False,
    }
    assert result.text.count("Written:") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--repetitions", 0), "'--repetitions'"),
        (("--workers", 0), "'--workers'"),
        (("--targets", 0), "'--targets'"),
    ],
)
def test_counts_are_checked_before_anything_is_run(
    called: dict[str, Any], tmp_path: Path, options: Any, message: str
) -> None:
    result = run("admgda", "--out", tmp_path, *options)
    assert result.code == 2
    assert message in result.text
    assert not called


def test_the_published_tables_have_to_be_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("admgda", "--out", out, "--published", tmp_path / "none")
    assert result.code == 1
    assert "none" in result.text
    assert not out.exists()


def test_an_unknown_scenario_is_named(tmp_path: Path) -> None:
    result = run("admgda", "--out", tmp_path / "out", "--scenario", "nois")
    assert result.code == 1
    assert "Did you mean 'noise'?" in result.text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ResultsError("0a1b.parquet cannot be read."), 1, "cannot be read"),
        (KeyboardInterrupt(), 130, "Stopped."),
        pytest.param(
            RunError("2 of 4 runs failed."),
            1,
            "2 of 4 runs failed.",
        ),
        pytest.param(
            ImportError('xgboost is missing: pip install "mmm-bayes[augmentation]"'),
            1,
            "pip install",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_that_stops_a_study_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException, code: int, message: str
) -> None:
    def stub(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(study, "main_admgda", stub)
    result = run("admgda", "--out", tmp_path)
    assert result.code == code
    assert message in result.text


def test_the_commands_explain_themselves() -> None:
    for arguments, words in (
        (["--help"], ("admgda", "causalmmm")),
        (["admgda", "--help"], ("--scenario", "--independent-roots")),
        (["causalmmm", "--help"], ("--table", "--figure", "--quick")),
    ):
        result = run(*arguments)
        assert result.code == 0
        for word in words:
            assert word in result.text
