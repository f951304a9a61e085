"""Commands of causal graphs: what they read, write, print and refuse."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jax
import pandas as pd
import pytest
from typer.testing import CliRunner

import mmm_bayes as mb
from mmm_bayes.cli import app

MODEL = """
name = "example"
[data]
file = "weekly.csv"
date = "week"
target = "sales"
channels = ["tv", "digital", "email", "search"]
"""
GRAPH = """
edges = [
  ["season", "tv"], ["season", "digital"], ["season", "sales"], ["tv", "search"],
  ["tv", "sales"], ["digital", "sales"], ["search", "sales"], ["email", "sales"],
]
[roles]
season = "seasonality"
"""


def run(*arguments: object) -> SimpleNamespace:
    """Run a command; what it prints in one line, since paths wrap."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=" ".join(result.output.split()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("graph")
    world = mb.simulate.mediation(jax.random.key(11), world="example", num_weeks=120)
    world.data.to_frame().to_csv(place / "weekly.csv", index=False)
    (place / "model.toml").write_text(MODEL)
    (place / "graph.toml").write_text(GRAPH)
    return place


def test_check_says_what_to_adjust_for_and_what_the_data_say(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "check"
    found = run("graph", "check", folder / "model.toml", "--graph", folder / "graph.toml",
                "--out", out)  # fmt: skip
    assert found.code == 0, found.text
    for part in ("adjust for: season", "do not contradict", "check.txt"):
        assert part in found.text
    figures = {path.name for path in (out / "figures").iterdir()}
    assert figures == {"graph.png", "falsification.png", "overlap.png"}
    graph = mb.CausalGraph.from_file(out / "graph.toml")
    assert set(graph.nodes_of("channel")) == {"tv", "digital", "search", "email"}
    again = run("graph", "check", folder / "model.toml", "--graph", folder / "graph.toml",
                "--out", out)  # fmt: skip
    assert again.code == 1
    assert "--force" in again.text


def test_an_objection_can_stop_a_script(folder: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(GRAPH.replace('["tv", "search"], ', "").replace('["tv", "search"],', ""))
    found = run("graph", "check", folder / "model.toml", "--graph", wrong, "--out",
                tmp_path / "out", "--strict")  # fmt: skip
    assert found.code == 3
    assert "tv" in found.text
    assert "search" in found.text


def test_discover_keeps_a_session(folder: Path, tmp_path: Path) -> None:
    knowledge = tmp_path / "knowledge.toml"
    knowledge.write_text('required = [["tv", "search"]]\n')
    out = tmp_path / "discover"
    found = run("graph", "discover", folder / "model.toml", "--knowledge", knowledge, "--out", out,
                "--num-bootstrap", 2, "--season", "season")  # fmt: skip
    assert found.code == 0, found.text
    edges = pd.read_csv(out / "edges.csv")
    assert {"cause", "effect", "probability"} <= set(edges.columns)
    session = mb.DiscoverySession.load(out / "session.json")
    assert set(session.graph.nodes) >= {"tv", "search", "sales", "season"}
    assert (out / "conflicts.txt").exists()


@pytest.mark.timeout(400)
def test_effects_two_ways(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "effects"
    found = run("graph", "effects", folder / "model.toml", "--graph", folder / "graph.toml",
                "--out", out, "--num-samples", 40, "--num-warmup", 60, "--num-chains", 2, "--quiet",
                "--no-refutations")  # fmt: skip
    assert found.code == 0, found.text
    assert "sales ~ media(" in found.text
    table = pd.read_csv(out / "effects.csv", index_col=[0, 1])
    assert set(table.index.get_level_values("effect")) == {"total", "direct", "indirect"}
    fit = mb.load_structural_fit(out / "structural.zip")
    assert set(fit.equations) == {"tv", "digital", "search", "sales"}
    assert pd.read_csv(out / "regression.csv")["treatment"].nunique() == 4
    assert (out / "robustness.txt").read_text().count("hidden") >= 1


def test_what_is_wrong_is_said_in_words(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('edges = [["tv", "sales"], ["sales", "tv"], ["tv", "tv"]]\n')
    found = run("graph", "check", folder / "model.toml", "--graph", bad, "--out", tmp_path / "o")
    assert found.code == 1
    assert "cycle" in found.text
    assert "to itself" in found.text
    none = run("graph", "check", "nonesuch", "--graph", bad, "--out", tmp_path / "p")
    assert none.code == 1
    assert "bundled" in none.text
