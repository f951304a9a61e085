"""Commands that validate, compare and forecast."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from mmm_bayes import FitResult, MMMData
from mmm_bayes.cli import validation

MODEL = """
name = "national"
[data]
file = "weekly.csv"
date = "date"
target = "{target}"
channels = {channels}
controls = {controls}
[media]
max_lag = 4
[sampler]
num_warmup = 60
num_samples = 50
num_chains = 2
"""

app = typer.Typer()
for command in (validation.validate, validation.compare, validation.forecast):
    app.command()(command)


def run(*arguments: object) -> SimpleNamespace:
    """Run a command; what it prints in one line, since paths wrap."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=" ".join(result.output.split()))


@pytest.fixture(scope="module")
def model(national_data: MMMData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("validation")
    national_data.to_frame().to_csv(place / "weekly.csv", index=False)
    roles = national_data.roles
    text = MODEL.format(
        target=roles.target,
        channels=str([roles.exposure[c] for c in national_data.channels]).replace("'", '"'),
        controls=str([roles.controls[c] for c in national_data.controls]).replace("'", '"'),
    )
    (place / "model.toml").write_text(text)
    return place / "model.toml"


def test_validate_writes_scores_and_figures(model: Path, tmp_path: Path):
    out = tmp_path / "out"
    found = run("validate", model, "--out", out, "--num-folds", 2, "--horizon", 4,
                "--store", tmp_path / "folds")  # fmt: skip
    assert found.code == 0, found.text
    for part in ("2 folds, 4 dates ahead", "coverage of 50% and 90%", "scores.csv"):
        assert part in found.text
    assert len(pd.read_csv(out / "forecasts.csv")) == 8
    assert {path.name for path in (out / "figures").iterdir()} == {
        "forecasts.png", "scores.png", "roas_over_folds.png", "calibration.png",
    }  # fmt: skip
    assert (tmp_path / "folds" / "fold_001.npz").exists()
    assert run("validate", model, "--out", out).code == 1
    wrong = run("validate", model, "--out", tmp_path / "other", "--num-folds", 40)
    assert wrong.code == 1
    assert "There is room for" in wrong.text


def test_compare_writes_a_table(model: Path, tmp_path: Path):
    out = tmp_path / "out"
    found = run("compare", model, "--out", out, "--saturation", "hill,tanh", "--criterion", "loo")
    assert found.code == 0, found.text
    assert set(pd.read_csv(out / "comparison.csv")["model"]) == {
        "geometric, hill",
        "geometric, tanh",
    }
    assert (out / "figures" / "comparison.png").exists()
    wrong = run("compare", model, "--out", tmp_path / "b", "--adstock", "geometrik")
    assert wrong.code == 1
    assert "geometrik" in wrong.text


def test_forecast_reads_a_fit(national_fit: FitResult, tmp_path: Path):
    path = national_fit.save(tmp_path / "fit.nc")
    first = national_fit.data.channels[0]
    found = run(
        "forecast", path, "--out", tmp_path / "a", "--horizon", 6, "--spend", f"{first}=1.5"
    )
    assert found.code == 0, found.text
    assert "times 1.5" in found.text
    assert len(pd.read_csv(tmp_path / "a" / "forecast.csv")) == 6
    assert (tmp_path / "a" / "figures" / "forecast.png").exists()
    neither = run("forecast", path, "--out", tmp_path / "b")
    assert neither.code == 1
    assert "--future" in neither.text
    wrong = run("forecast", path, "--out", tmp_path / "c", "--horizon", 3, "--spend", "nobody=2")
    assert wrong.code == 1
    assert "'nobody' is not a channel" in wrong.text
