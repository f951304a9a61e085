"""The command line: what it prints, writes and refuses, and its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mmm_bayes as mb
from mmm_bayes import cli
from mmm_bayes.cli import app
from mmm_bayes.inference.verdict import DiagnosticsReport
from mmm_bayes.present.plots import FitPlots

FEW = ["--num-samples", "60", "--num-warmup", "100", "--num-chains", "2", "--quiet"]
MODEL = """\
name = "small"
[data]
file = "small.csv"
date = "date"
target = "sales"
channels = { tv = "tv_spend", radio = "radio_spend" }
[media]
max_lag = 3
saturation = "none"
"""


def run(*arguments: object) -> SimpleNamespace:
    """Run a command; what it prints in one line, since tables and paths wrap."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=" ".join(result.output.split()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model file and its table."""
    path = tmp_path_factory.mktemp("cli")
    data = mb.simulate.mmm(jax.random.key(0), num_dates=60, num_channels=2, num_controls=0).data
    data.to_frame().to_csv(path / "small.csv", index=False)
    (path / "small.toml").write_text(MODEL)
    return path


@pytest.fixture
def no_figures(monkeypatch) -> None:
    """Leave out the figures: they take most of the time, and have tests of their own."""
    monkeypatch.setattr(FitPlots, "save_all", lambda *_, **__: [])


@pytest.fixture(scope="module")
def fitted(folder) -> tuple[Path, SimpleNamespace]:
    """Folder of results of one fit, and what was printed."""
    out = folder / "results"
    return out, run("fit", folder / "small.toml", "--out", out, *FEW)


def test_fit_prints_verdict_and_table(fitted):
    _, result = fitted
    assert result.code == 0
    assert "Diagnostics: " in result.text
    assert "national, 60 dates" in result.text
    for word in ("tv", "radio", "ROAS", "90%", "Written to"):
        assert word in result.text


def test_fit_writes_everything(fitted):
    out, _ = fitted
    assert {path.name for path in out.iterdir()} == {*cli._FILES, "figures"}
    assert {path.stem for path in (out / "figures").iterdir()} >= {"fit", "roas", "contributions"}
    fit = mb.load_fit(out / "fit.nc")
    assert dict(fit.tree["posterior"].sizes)["draw"] == 60
    assert mb.ModelSpec.from_toml(out / "model.toml") == fit.spec
    summary = pd.read_csv(out / "summary.csv", index_col=0)
    np.testing.assert_allclose(summary["roas"], fit.summary()["roas"])
    report = json.loads((out / "diagnostics.json").read_text())
    assert report["verdict"] == fit.diagnose().verdict
    assert (out / "diagnostics.txt").read_text() == f"{fit.diagnose()}\n"


def test_summary_shows_what_the_fit_showed(fitted):
    out, printed = fitted
    # Runs of spaces in the printed text are one space here.
    lines = str(mb.load_fit(out / "fit.nc").summary()).splitlines()
    table = [" ".join(line.split()) for line in lines]
    for path in (out, out / "fit.nc"):
        result = run("summary", path)
        assert result.code == 0
        for line in table:
            assert line in printed.text
            assert line in result.text
    assert "80%" in run("summary", out, "--ci-prob", 0.8).text


def test_an_earlier_fit_is_not_overwritten_unless_asked(folder, fitted):
    out, _ = fitted
    before = (out / "fit.nc").read_bytes()
    result = run("fit", folder / "small.toml", "--out", out, *FEW)
    assert result.code == 1
    assert "fit.nc" in result.text
    assert "--force" in result.text
    assert (out / "fit.nc").read_bytes() == before


@pytest.mark.usefixtures("no_figures")
def test_force_replaces_an_earlier_fit(folder, fitted, tmp_path):
    (tmp_path / "fit.nc").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    result = run("fit", folder / "small.toml", "--out", tmp_path, "--force", *FEW)
    assert result.code == 0
    again, first = mb.load_fit(tmp_path / "fit.nc"), mb.load_fit(fitted[0] / "fit.nc")
    assert again.tree["posterior"].to_dataset().equals(first.tree["posterior"].to_dataset())
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_model_that_is_read_is_never_overwritten(tmp_path, force):
    (tmp_path / "model.toml").write_text(MODEL)
    result = run("fit", tmp_path / "model.toml", "--out", tmp_path, *force)
    assert result.code == 1
    assert "would be overwritten" in result.text
    assert (tmp_path / "model.toml").read_text() == MODEL


@pytest.mark.usefixtures("no_figures")
def test_another_seed_and_another_table_give_another_fit(folder, fitted, tmp_path):
    table = pd.read_csv(folder / "small.csv")
    table["sales"] *= 2.0
    table.to_csv(tmp_path / "other.csv", index=False)
    command = ["fit", folder / "small.toml", *FEW, "--out"]
    result = run(*command, tmp_path / "a", "--data", tmp_path / "other.csv")
    assert result.code == 0
    doubled, first = mb.load_fit(tmp_path / "a/fit.nc"), mb.load_fit(fitted[0] / "fit.nc")
    # Scaled data are the same: the posterior of all but the units is, too.
    np.testing.assert_allclose(doubled.tree["posterior"]["alpha"], first.tree["posterior"]["alpha"])
    np.testing.assert_allclose(
        doubled.tree["posterior"]["beta"], 2.0 * first.tree["posterior"]["beta"], rtol=1e-6
    )
    run(*command, tmp_path / "b", "--seed", 1)
    other = mb.load_fit(tmp_path / "b/fit.nc").tree["posterior"]["alpha"]
    assert not np.allclose(other, first.tree["posterior"]["alpha"])


@pytest.mark.usefixtures("no_figures")
def test_strict_exits_with_three_on_fail(folder, fitted, tmp_path, monkeypatch):
    report = mb.load_fit(fitted[0] / "fit.nc").diagnose()
    failed = DiagnosticsReport("FAIL", report.findings, report.table, report.stats)
    monkeypatch.setattr(mb.FitResult, "diagnose", lambda self: failed)
    command = ["fit", folder / "small.toml", *FEW, "--out"]
    strict = run(*command, tmp_path / "strict", "--strict")
    lenient = run(*command, tmp_path / "lenient")
    assert (strict.code, lenient.code) == (3, 0)
    for result, name in ((strict, "strict"), (lenient, "lenient")):
        assert "The verdict is FAIL" in result.text
        assert (tmp_path / name / "fit.nc").exists()


def test_a_bundled_model_is_found_by_name_though_a_folder_has_it_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lydia_pinkham").mkdir()
    assert cli.read_model("lydia_pinkham").name == "lydia_pinkham"


@pytest.mark.parametrize("path", cli.bundled_models(), ids=lambda path: path.stem)
def test_a_bundled_model_fits_its_table(path):
    spec = mb.ModelSpec.from_toml(path)
    assert spec.name == path.stem
    assert spec.data is not None
    mb.MMM(spec.data.load(path.parent), spec)


@pytest.mark.usefixtures("no_figures")
def test_lydia_pinkham_is_fitted_by_name(tmp_path):
    assert run("fit", "lydia_pinkham", "--out", tmp_path, *FEW).code == 0
    fit = mb.load_fit(tmp_path / "fit.nc")
    assert fit.data.num_dates == 54
    # Sixty draws of two chains say this much: the first year has the most of the effect, not all.
    felt = fit.adstock_curves().mean(("chain", "draw")).squeeze()
    assert 0.45 < float(felt[0]) < 0.9
    assert felt.sizes["lag"] == 10


def test_the_model_that_needs_another_table_says_so(folder, tmp_path):
    table = pd.read_csv(folder / "small.csv").rename(columns={"sales": "revenue"})
    table.to_csv(tmp_path / "other.csv", index=False)
    result = run("fit", folder / "small.toml", "--data", tmp_path / "other.csv", "--out", tmp_path)
    assert result.code == 1
    assert "Column 'sales' (target) is not in the table" in result.text
    assert "copy the model file" in result.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[media]\nadstok = 1\n", "did you mean 'adstock'?"),
        ("[media", "not TOML"),
        ('name = "a"\n', "no [data] section"),
        ('[data]\ndataset = "nope"\n', "no bundled data set 'nope'"),
        ('[data]\nfile = "none.csv"\ndate = "d"\ntarget = "t"\nchannels = ["c"]\n', "none.csv"),
        ('[data]\ndataset = "lydia_pinkham"\n[channels.tv]\nadstock = "none"\n', "channel 'tv'"),
    ],
)
def test_a_model_that_cannot_be_used_says_why_without_a_traceback(text, message, tmp_path):
    (tmp_path / "bad.toml").write_text(text)
    result = run("fit", tmp_path / "bad.toml", "--out", tmp_path / "out")
    assert result.code == 1
    assert message in result.text
    assert "Traceback" not in result.text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "natonal", "--out", "x"], 1, "Bundled models: geo_weekly"),
        (["fit", "national_weekly"], 2, "Missing option '--out'"),
        (
            ["fit", "national_weekly", "--out", "x", "--method", "vi"],
            2,
            "nuts or svi",
        ),
        (
            ["fit", "national_weekly", "--out", "x", "--num-samples", "1"],
            2,
            "greater than or equal",
        ),
        (["summary", "missing.nc"], 1, "no fit at missing.nc"),
        (["summary", "."], 1, "no fit at fit.nc"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_what_cannot_be_done_is_said_with_an_exit_code(
    arguments, code, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.code == code
    assert message in result.text
    assert not (tmp_path / "x").exists() or not any((tmp_path / "x").iterdir())


def test_a_folder_that_is_a_file_is_refused(folder):
    result = run("fit", folder / "small.toml", "--out", folder / "small.csv")
    assert result.code == 1
    assert "is a file" in result.text


def test_all_findings_of_a_broken_table_are_printed_at_once(folder, tmp_path):
    table = pd.read_csv(folder / "small.csv")
    table.loc[3, "tv_spend"] = -1.0
    table.loc[5, "sales"] = np.nan
    table.loc[9, "date"] = table.loc[8, "date"]
    table.to_csv(tmp_path / "broken.csv", index=False)
    result = run("fit", folder / "small.toml", "--data", tmp_path / "broken.csv", "--out", tmp_path)
    assert result.code == 1
    for words in ("4 problems in", "'tv_spend'", "row 3", "'sales'", "row 5", "'date'"):
        assert words in result.text
    assert "Traceback" not in result.text
    assert not (tmp_path / "fit.nc").exists()


def test_a_file_that_is_no_table_is_refused(folder, tmp_path):
    (tmp_path / "junk.csv").write_bytes(bytes(range(128, 256)) * 4)
    result = run("fit", folder / "small.toml", "--data", tmp_path / "junk.csv", "--out", tmp_path)
    assert result.code == 1
    assert "UTF-8" in result.text
    assert "position 0" in result.text


def test_an_interruption_ends_cleanly(folder, tmp_path, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mb.MMM, "fit", interrupted)
    result = run("fit", folder / "small.toml", "--out", tmp_path)
    assert result.code == 130
    assert "Stopped" in result.text


@pytest.mark.usefixtures("no_figures")
def test_demo_prints_truth_beside_roas(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("demo", *FEW)
    assert result.code == 0
    truth = mb.load_truth("national_weekly")["roas"]
    for channel in truth["channel"].values:
        row = rf"\b{channel} .* {float(truth.sel(channel=channel)):.2f} +(yes|no) "
        assert re.search(row, result.text)
    assert "Next: " in result.text
    assert mb.load_fit(tmp_path / "demo_output/fit.nc").spec.name == "national_weekly"


def test_demo_replaces_its_own_folder_only(fitted):
    result = run("demo", "--out", fitted[0], *FEW)
    assert result.code == 1
    assert "--force" in result.text


def test_datasets_are_listed():
    result = run("datasets")
    assert result.code == 0
    for name in ("national_weekly", "geo_weekly", "lydia_pinkham"):
        assert name in result.text


def test_version_and_help():
    assert run("--version").text == f"mmm-bayes {mb.__version__}"
    for arguments in (["--help"], ["fit", "--help"], ["demo", "--help"]):
        assert run(*arguments).code == 0
    for command in ("demo", "fit", "summary", "datasets"):
        assert command in run("--help").text


def test_help_does_not_wait_for_heavy_libraries():
    script = (
        "import sys, mmm_bayes.cli;"
        "heavy = {'jax', 'numpyro', 'pandas', 'matplotlib', 'arviz', 'xarray', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.usefixtures("no_figures")
def test_a_stopped_fit_goes_on_in_its_folder(folder, fitted, tmp_path, monkeypatch):
    from mmm_bayes.inference import chain_runner

    own = chain_runner.ChainRunner.step

    def stopping(self, *given):
        own(self, *given)
        self.keep()
        if self.done > 45:
            raise OSError("the machine was taken away")

    arguments = ("fit", folder / "small.toml", "--out", tmp_path / "out", *FEW)
    monkeypatch.setattr(chain_runner.ChainRunner, "step", stopping)
    stopped = run(*arguments)
    assert stopped.code == 1
    assert "taken away" in stopped.text
    assert list((tmp_path / "out" / "unfinished").glob("*.npz"))
    monkeypatch.setattr(chain_runner.ChainRunner, "step", own)
    other = run(*arguments, "--seed", "9")
    assert other.code == 1
    assert "run (key: " in other.text
    result = run(*arguments)
    assert result.code == 0
    again, first = (mb.load_fit(path / "fit.nc") for path in (tmp_path / "out", fitted[0]))
    assert again.tree["posterior"].attrs["resumed"] > 0
    assert again.tree["posterior"].to_dataset().equals(first.tree["posterior"].to_dataset())
    assert not (tmp_path / "out" / "unfinished").exists()


def test_devices_that_are_not_there_are_refused(folder, tmp_path):
    result = run("fit", folder / "small.toml", "--out", tmp_path, "--devices", "7", *FEW)
    assert result.code == 1
    assert "JAX sees 1" in result.text
    assert run("fit", folder / "small.toml", "--out", tmp_path, "--devices", "many").code == 2
