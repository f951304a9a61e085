"""Commands of causal data augmentation: what they read, write, print and refuse."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mmm_bayes.augmentation import augment as published
from mmm_bayes.augmentation.table import AugmentedData
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.cli import app

ROWS = 40
WEIGHT = "augmentation_weight"
NAMES = ["tv", "search", "sales"]
CHAIN = "digraph { tv -> search -> sales; tv -> sales }"


def run(*arguments: object) -> SimpleNamespace:
    """Run a command; what it prints in one line, since paths wrap."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=" ".join(result.output.split()))


def augment(folder: Path, out: Path, *options: object, table: str = "table.csv") -> SimpleNamespace:
    """Augment the folder's table along its graph."""
    command = ["augment", folder / table, "--graph", folder / "graph.dot", "--out", out]
    return run(*command, *options)


def observed() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    tv = rng.normal(size=ROWS)
    search = 0.7 * tv + rng.normal(size=ROWS)
    return pd.DataFrame({"tv": tv, "search": search, "sales": tv + search})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, with and without dates, and a graph."""
    path = tmp_path_factory.mktemp("augment")
    table = observed()
    table.to_csv(path / "table.csv", index=False)
    dates = pd.date_range("2024-01-01", periods=ROWS, freq="W-MON").astype(str)
    table.assign(week=dates).to_csv(path / "dated.csv", index=False)
    table.to_parquet(path / "table.parquet", index=False)
    (path / "graph.dot").write_text(CHAIN)
    return path


# --- What is written -----------------------------------------------------------------------------


def test_rows_are_written_with_their_weights(folder: Path, tmp_path: Path) -> None:
    result = augment(folder, tmp_path / "new.csv", "--num-rows", 64)
    assert result.code == 0, result.text
    found = pd.read_csv(tmp_path / "new.csv")
    assert list(found.columns) == [*NAMES, WEIGHT]
    np.testing.assert_allclose(found[WEIGHT], 1 / 64)
    for name in NAMES:
        assert np.isin(found[name], observed()[name]).all()
    # Rows that nobody has seen: their parts are of several weeks.
    assert found.merge(observed(), on=NAMES).shape[0] < 64
    for words in (f"64 augmented from {ROWS} observed", "mass 1", "ESS 64.0", "(64 rows)"):
        assert words in result.text
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_the_file_is_that_of_the_function(folder: Path, tmp_path: Path) -> None:
    augment(folder, tmp_path / "new.parquet", "--num-rows", 64, "--seed", 3)
    graph = CausalGraph.from_file(folder / "graph.dot")
    wanted = published.augment(jax.random.key(3), observed(), graph, num_rows=64)
    found = pd.read_parquet(tmp_path / "new.parquet")
    pd.testing.assert_frame_equal(found[NAMES], wanted.frame)
    np.testing.assert_array_equal(found[WEIGHT], wanted.weights)


def test_the_seed_decides_the_file_whatever_its_format(folder: Path, tmp_path: Path) -> None:
    for name, seed, table in (
        ("a.csv", 1, "table.csv"),
        ("b.csv", 1, "table.parquet"),
        ("c.csv", 2, "table.csv"),
        ("d.parquet", 1, "table.csv"),
        ("e.pq", 1, "table.csv"),
    ):
        options = ("--num-rows", 64, "--seed", seed)
        assert augment(folder, tmp_path / name, *options, table=table).code == 0
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert content["a.csv"] == content["b.csv"] != content["c.csv"]
    assert content["d.parquet"] == content["e.pq"]
    same = pd.read_parquet(tmp_path / "d.parquet")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv"), same)


def test_a_mixture_weighs_as_much_as_the_table(folder: Path, tmp_path: Path) -> None:
    assert augment(folder, tmp_path / "new.csv", "--mixture", 0.3, "--num-rows", 64).code == 0
    found = pd.read_csv(tmp_path / "new.csv")
    assert len(found) == ROWS + 64
    pd.testing.assert_frame_equal(found[NAMES][:ROWS], observed())
    weights = found[WEIGHT].to_numpy()
    assert weights.sum() == pytest.approx(ROWS)
    np.testing.assert_allclose(weights[:ROWS], 0.7)
    assert weights[ROWS:].sum() == pytest.approx(0.3 * ROWS)


def test_columns_are_left_out_when_asked(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.csv"
    kept = augment(folder, out, table="dated.csv")
    assert kept.code == 1
    assert "Column 'week' is not in the graph" in kept.text
    assert "drop the column" in kept.text
    options = ("--drop", "week", "--num-rows", 64, "--mixture", 0.5)
    assert augment(folder, out, *options, table="dated.csv").code == 0
    assert list(pd.read_csv(out).columns) == [*NAMES, WEIGHT]


def test_folders_are_made(folder: Path, tmp_path: Path) -> None:
    assert augment(folder, tmp_path / "a" / "b" / "new.csv", "--num-rows", 64).code == 0
    assert (tmp_path / "a" / "b" / "new.csv").is_file()


@pytest.mark.parametrize(("bandwidth", "given"), [("0.25", 0.25), ("robust", "robust")])
def test_every_option_reaches_the_function(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bandwidth: str, given: object
) -> None:
    asked: dict[str, Any] = {}

    def stub(
        rng_key: Any, frame: pd.DataFrame, graph: CausalGraph, **settings: Any
    ) -> AugmentedData:
        asked.update(settings, rng_key=rng_key, frame=frame, graph=graph)
        return AugmentedData(
            frame[:1], np.zeros((1, 3), int), np.ones(1), graph.nodes, len(frame), "sample"
        )

    monkeypatch.setattr(published, "augment", stub)
    result = augment(
        folder, tmp_path / "new.csv", "--method", "resample", "--estimator", "residual",
        "--num-rows", 7, "--threshold", 0.2, "--bandwidth", bandwidth, "--bandwidth-scale", 2,
        "--smoothing", 0.5, "--seed", 9,
    )  # fmt: skip
    assert result.code == 0, result.text
    assert asked.pop("rng_key") == jax.random.key(9)
    pd.testing.assert_frame_equal(asked.pop("frame"), observed())
    assert asked == {
        "graph": CausalGraph.from_file(folder / "graph.dot"),
        "method": "resample",
        "estimator": "residual",
        "num_rows": 7,
        "threshold": 0.2,
        "bandwidth": given,
        "bandwidth_scale": 2.0,
        "smoothing": 0.5,
    }


# --- What is refused -----------------------------------------------------------------------------


def test_a_file_is_replaced_only_when_asked(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.csv"
    out.write_text("mine")
    refused = augment(folder, out, "--num-rows", 64)
    assert refused.code == 1
    assert "already exists" in refused.text
    assert "--force" in refused.text
    assert out.read_text() == "mine"
    assert augment(folder, out, "--num-rows", 64, "--force").code == 0
    assert len(pd.read_csv(out)) == 64


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_what_is_read_is_never_written(folder: Path, tmp_path: Path, force: Any) -> None:
    before = (folder / "table.csv").read_bytes()
    link = tmp_path / "graph.csv"
    link.symlink_to(folder / "graph.dot")
    for out in (folder / "table.csv", folder / ".." / folder.name / "table.csv", link):
        result = augment(folder, out, *force)
        assert result.code == 1
        assert "is an input of this command" in result.text
    assert (folder / "table.csv").read_bytes() == before
    assert (folder / "graph.dot").read_text() == CHAIN


def test_an_interrupted_file_leaves_the_old_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(frame: pd.DataFrame, path: Path, **_: Any) -> None:
        path.write_text("half of i")
        raise OSError("No space left on device")

    out = tmp_path / "new.csv"
    out.write_text("mine")
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    result = augment(folder, out, "--num-rows", 64, "--force")
    assert result.code == 1
    assert "No space left" in result.text
    assert out.read_text() == "mine"


def test_an_enumeration_that_comes_out_empty_writes_nothing(folder: Path, tmp_path: Path) -> None:
    """Three roots: no row weighs more than 1 / n**2."""
    (tmp_path / "roots.dot").write_text("digraph { tv; search; sales }")
    out = tmp_path / "new.csv"
    result = run(
        "augment", folder / "table.csv", "--graph", tmp_path / "roots.dot", "--out", out,
        "--method", "enumerate", "--threshold", 0.5, "--mixture", 0.5,
    )  # fmt: skip
    assert result.code == 1
    assert "0.0% of the probability" in result.text
    assert "method='sample'" in result.text
    assert "nothing was written" in result.text
    assert not out.exists()


def test_lost_probability_is_noted_beside_the_rows(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.csv"
    options = ("--method", "enumerate", "--threshold", 0.2)
    result = augment(folder, out, *options)
    assert result.code == 0
    mass = pd.read_csv(out)[WEIGHT].sum()
    assert 0.0 < mass < 0.5
    assert f"note: Enumeration kept {mass:.1%} of the probability" in result.text
    assert f"mass {mass:.4g} (total probability kept)" in result.text


def test_every_wrong_setting_is_printed_at_once(folder: Path, tmp_path: Path) -> None:
    options = ("--method", "sampel", "--estimator", "kernell", "--smoothing", -1, "--threshold", 2)
    result = augment(folder, tmp_path / "new.csv", *options)
    assert result.code == 1
    for words in (
        "4 problems in the settings",
        "Did you mean 'sample'?",
        "Did you mean 'kernel'?",
        "smoothing should be 0 or more",
        "threshold should lie between 0 and 1",
    ):
        assert words in result.text
    assert not (tmp_path / "new.csv").exists()


def test_everything_wrong_with_a_table_is_printed_at_once(folder: Path, tmp_path: Path) -> None:
    table = observed().rename(columns={"sales": "sale"})
    table.assign(price=1.0).to_csv(tmp_path / "other.csv", index=False)
    out = tmp_path / "new.csv"
    command = ["augment", tmp_path / "other.csv", "--graph", folder / "graph.dot", "--out", out]
    columns = run(*command)
    assert columns.code == 1
    for words in ("3 problems", "'sales' is not a column", "Did you mean 'sale'?", "'price'"):
        assert words in columns.text
    table = observed()
    table.loc[3, "tv"] = np.nan
    table.loc[5, "sales"] = np.inf
    table.to_csv(tmp_path / "other.csv", index=False)
    cells = run(*command, "--bandwidth", "silvermann", "--bandwidth-scale", 0)
    assert cells.code == 1
    for words in ("4 problems", "in rows 3", "in rows 5", "Did you mean 'silverman'?", "positive"):
        assert words in cells.text
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--drop", "weeks"), 1, "has no column weeks; it has tv, search, sales."),
        (("--drop", "tv"), 1, "'tv' is not a column of the table"),
        (("--num-rows", 0), 2, "'--num-rows'"),
        (("--mixture", 1.5), 2, "'--mixture'"),
        (("--bandwith", 1), 2, "No such option"),
    ],
)
def test_what_cannot_be_done_is_said_with_an_exit_code(
    folder: Path, tmp_path: Path, options: Any, code: int, message: str
) -> None:
    result = augment(folder, tmp_path / "new.csv", *options)
    assert result.code == code
    assert message in result.text
    assert not (tmp_path / "new.csv").exists()


def test_files_that_cannot_be_used_are_named(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.csv"
    (tmp_path / "circle.dot").write_text("digraph { tv -> sales -> tv }")
    weighed = tmp_path / "weighed.csv"
    observed().assign(**{WEIGHT: 1.0}).to_csv(weighed, index=False)
    table, graph = folder / "table.csv", folder / "graph.dot"
    for given, message in (
        ((table, graph, tmp_path / "new.txt"), "--out should end in .csv or .parquet"),
        ((folder / "tabel.csv", graph, out), "Did you mean 'table.csv'?"),
        ((table, folder / "none.dot", out), "No graph at"),
        ((table, tmp_path / "circle.dot", out), "cycle"),
        ((table, table, out), "should end in one of"),
        ((weighed, graph, out), f"has a column '{WEIGHT}': rename it or --drop it."),
    ):
        source, arrows, target = given
        result = run("augment", source, "--graph", arrows, "--out", target)
        assert result.code == 1, message
        assert message in result.text
        assert not out.exists()
    assert run("augment", weighed, "--graph", graph, "--out", out, "--drop", WEIGHT).code == 0


def test_the_published_experiment_says_where_it_is_run_now() -> None:
    for options in (("admgda", "--out", "folder"), ("--help",)):
        result = run("experiment", *options)
        assert result.code == 1
        assert f"python -m studies {' '.join(options)}" in result.text


def test_the_commands_explain_themselves() -> None:
    for arguments, words in (
        (["--help"], ("augment",)),
        (["augment", "--help"], ("--graph", "--mixture", "--drop", "--force")),
    ):
        result = run(*arguments)
        assert result.code == 0
        for word in words:
            assert word in result.text
