"""Lift tests on the command line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from mmm_bayes.cli import app


def file_of_tests(tmp_path: Path, fit, **changes) -> Path:
    dates = fit.data.dates
    frame = pd.DataFrame(
        {
            "channel": fit.data.channels[:2], "start": dates[20], "end": dates[27], "lift": 0.0,
            "standard_error": 2000.0,
        }
    )  # fmt: skip
    path = tmp_path / "tests.csv"
    frame.assign(**changes).to_csv(path, index=False)
    return path


def test_candidates_are_ranked_and_written(national_fit, tmp_path):
    fit, out = national_fit.save(tmp_path / "fit.nc"), tmp_path / "ranking.csv"
    path = file_of_tests(tmp_path, national_fit)
    run = CliRunner().invoke(
        app, ["next-test", str(fit), "--candidates", str(path), "--out", str(out)]
    )
    assert run.exit_code == 0, run.output
    assert "Which experiment to run next" in run.output
    assert set(pd.read_csv(out)["channel"]) == set(national_fit.data.channels[:2])


def test_wrong_candidates_are_named(national_fit, tmp_path):
    fit = national_fit.save(tmp_path / "fit.nc")
    path = file_of_tests(
        tmp_path, national_fit, channel=["telly", "tv"], standard_error=[1.0, -1.0]
    )
    run = CliRunner().invoke(app, ["next-test", str(fit), "--candidates", str(path)])
    assert run.exit_code != 0
    for words in ("telly", "above 0", "-1.0"):
        assert words in run.output
    run = CliRunner().invoke(app, ["next-test", str(fit), "--candidates", str(tmp_path / "no.csv")])
    assert run.exit_code != 0
    assert "cannot be read" in run.output
