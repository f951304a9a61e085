"""The command that plans spend, on a saved fit."""

from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from mmm_bayes import ModelSpec
from mmm_bayes.cli.budget import optimize
from mmm_bayes.model import store
from tests.budget.problems import prior_fit, simulated

app = typer.Typer()
app.command()(optimize)


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("budget") / "fit.nc"
    store.save(prior_fit(simulated(), ModelSpec(media={"max_lag": 3}), draws=30), path)
    return path


def test_a_plan_is_printed_and_written(fit: Path, tmp_path: Path):
    limits = tmp_path / "limits.toml"
    limits.write_text(
        "[change]\nradio = [0.8, 1.2]\n\n[[limits]]\n"
        'channel = ["tv", "radio"]\nupper = 0.7\nunit = "share"\n'
    )
    out = tmp_path / "plan.csv"
    done = CliRunner().invoke(
        app,
        [str(fit), "--periods", "5", "--min", "tv=x0.9", "--max", "tv=x1.1",
         "--bounds", str(limits), "--out", str(out)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "KKT residual" in done.output
    sums = pd.read_csv(out).groupby("channel")[["today", "planned"]].sum()
    ratio = sums["planned"] / sums["today"]
    assert 0.9 - 1e-9 <= ratio["tv"] <= 1.1 + 1e-9
    assert 0.8 - 1e-9 <= ratio["radio"] <= 1.2 + 1e-9
    assert sums["planned"][["tv", "radio"]].sum() <= 0.7 * sums["planned"].sum() * (1 + 1e-9)
    again = CliRunner().invoke(app, [str(fit), "--out", str(out)])
    assert again.exit_code == 1
    assert "--force" in again.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min", "tv"], "CHANNEL=VALUE"),
        (["--goal", "most"], "goal should be one of"),
        (["--max", "tvv=3"], "Did you mean 'tv'"),
    ],
)
def test_mistakes_are_said_in_words(fit: Path, options: list[str], message: str):
    done = CliRunner().invoke(app, [str(fit), *options])
    assert done.exit_code == 1
    assert message in done.output


def test_wrong_files_name_all_problems(fit: Path, tmp_path: Path):
    path = tmp_path / "wrong.toml"
    path.write_text("[bound]\ntv = [1, 2]\n[change]\nradio = 3\n")
    done = CliRunner().invoke(app, [str(fit), "--bounds", str(path)])
    assert done.exit_code == 1
    assert "'bound'" in done.output
    assert "radio should be [lower, upper]" in done.output
