"""The experiments on CausalMMM: runs that add up, thresholds from training shops, the paper."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mmm_bayes.causal_mmm.networks import metrics
from studies.causalmmm import study as causalmmm
from studies.causalmmm.evaluate import evaluate
from studies.causalmmm.graphs import evaluate_graphs, rows_of, simulate_panels, truth_of
from studies.causalmmm.methods import (
    GIVEN_BY,
    GRAPH_METHODS,
    PER_SHOP,
    RULES,
    VARIANTS,
    PanelSplit,
    Scored,
    score,
)
from studies.causalmmm.published import (
    PUBLISHED_ERRORS,
    PUBLISHED_GRAPHS,
    PUBLISHED_NAME,
)
from studies.causalmmm.settings import CurveRun, ForecastRun, GraphRun, TimingRun
from studies.causalmmm.studies import (
    FORECAST_METHODS,
    STUDIES,
    Study,
    StudyCell,
    methods_of,
    resized,
)
from studies.causalmmm.study import main_causalmmm, run_study
from studies.causalmmm.summary import margins, reliability_of, summarise_timing
from studies.cli import app
from studies.runs import Row, Task, open_results

SMALL = GraphRun(shops=3, channels=3, length=40, structures=2, test_shops=3)
TINY = Study(
    "table3", "Tiny", "Data", "graphs",
    tuple(
        StudyCell(f"simulation {n}, N = 50", replace(SMALL, simulation=n), f"simulation {n}")
        for n in (1, 2)
    ),
    ("causalmmm", "linear_granger"),
)  # fmt: skip


def fake_rows(task: Task) -> list[Row]:
    """Rows as a run makes them, cheaply; numbers follow from task and method."""
    settings: Any = task.settings
    rows: list[Row] = []
    given = [name for name, by in GIVEN_BY.items() if by == settings.method]
    for method in (settings.method, *given):
        for shops in ("test", "unseen"):
            rng = np.random.default_rng([task.data_stream, task.repetition])
            base = 0.8 + 0.01 * rng.normal() + (0.1 if method in VARIANTS else 0.0)
            row: Row = {"method": method, "shops": shops, "auroc": base, "accuracy": base}
            row |= {"fit_seconds": 1.0, "score_seconds": 1.0, "threshold": 0.5}
            if method not in RULES:
                row |= {"ece": 0.1, "bin_count": [1, 1], "bin_probability": [0.2, 0.8]}
                row |= {"bin_edges": [0.0, 1.0]}
            rows.append(row)
    return rows


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Runs made, in order; runs themselves are cheap."""
    tasks: list[Task] = []

    def make(task: Task) -> list[Row]:
        tasks.append(task)
        return fake_rows(task)

    monkeypatch.setattr(causalmmm, "make_run", make)
    return tasks


# --- Whole studies -------------------------------------------------------------------------------


def test_a_tiny_table_of_real_runs(tmp_path: Path) -> None:
    """Both kinds of methods on real shops, every file, and a second call that runs nothing."""
    study = replace(TINY, cells=TINY.cells[:1])
    given: dict[str, Any] = {"out": tmp_path, "repetitions": 1, "options": (("epochs", 1),)}
    table = run_study(study, methods=("causalmmm", "linear_granger"), **given)
    assert set(table["method"]) == {"causalmmm", "causalmmm_encoder", "linear_granger"}
    assert set(table["shops"]) == {"test", "unseen"}
    measured = table[["auroc", "accuracy", "fit_seconds", "swapped_auroc", "density"]]
    assert measured.notna().all(axis=None)
    own = table["method"] != "linear_granger"
    assert table.loc[own, "ece"].notna().all()
    assert table.loc[~own, "ece"].isna().all()
    assert (table.loc[own, "options"] == "{'epochs': 1}").all()
    names = {path.name for path in tmp_path.iterdir()}
    files = ("results", "table3.csv", "table3_summary.csv", "table3.md", "table3.png")
    assert names == {*files, "table3_reliability.png"}
    done = []
    again = run_study(
        study, methods=("causalmmm",), on_done=lambda n, total: done.append((n, total)), **given
    )
    assert done == [(1, 1)]
    pd.testing.assert_frame_equal(again, table)


def test_results_add_up_by_method_and_repetition(tmp_path: Path, made: list[Task]) -> None:
    run_study(TINY, out=tmp_path, methods=("rules",), repetitions=3)
    assert len(made) == 2 * 3 * len(RULES)
    made.clear()
    table = run_study(TINY, out=tmp_path, methods=("causalmmm", "linear_granger"), repetitions=2)
    assert {task.settings.method for task in made} == {"causalmmm"}
    runs = table[table["shops"] == "test"].groupby(["cell", "method"]).size()
    assert set(runs.xs("linear_granger", level="method")) == {3}
    assert set(runs.xs("causalmmm_encoder", level="method")) == {2}
    made.clear()
    # Cells that two tables share are computed once; other options are other runs.
    other = replace(TINY, name="table4", cells=TINY.cells[:1])
    run_study(other, out=tmp_path, methods=("causalmmm",), repetitions=2)
    assert not made
    run_study(other, out=tmp_path, methods=("default",), repetitions=2, options=(("epochs", 3),))
    assert {task.settings.method for task in made} == {"causalmmm"}
    assert len(open_results(tmp_path)) == 2 * 3 * len(RULES) + 2 * 2 + 2
    made.clear()
    only = run_study(TINY, out=tmp_path, cells=["simulation 2, N = 50"], repetitions=1)
    assert not made
    assert set(only["cell"]) == {cell.label for cell in TINY.cells}
    run_study(TINY, out=tmp_path, methods=("linear_granger",), repetitions=1, resume=False)
    assert len(made) == 2


def test_published_numbers_stand_beside_ours(tmp_path: Path, made: list[Task]) -> None:
    run_study(TINY, out=tmp_path, methods=("causalmmm", "cm_rw", "mean_graph"), repetitions=2)
    summary = pd.read_csv(tmp_path / "table3_summary.csv").query("shops == 'test'")
    found = summary.set_index(["cell", "method"])["published_auroc"]
    assert found["simulation 1, N = 50", "causalmmm"] == 0.935
    assert found["simulation 2, N = 50", "causalmmm"] == 0.903
    assert found["simulation 2, N = 50", "cm_rw"] == 0.871
    assert np.isnan(found["simulation 1, N = 50", "mean_graph"])
    text = (tmp_path / "table3.md").read_text()
    assert "| 0.935 ± 0.012 | 0.923 ± 0.020 |" in text
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 2
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1


def test_published_tables_as_printed() -> None:
    """Best of each column is CausalMMM but for M = 1 and 30, and columns that repeat agree."""
    for columns in PUBLISHED_GRAPHS.values():
        for rows in columns.values():
            assert max(rows, key=lambda name: rows[name].auroc) == "CausalMMM"
            assert max(rows, key=lambda name: rows[name].accuracy) == "CausalMMM"
    three, four = PUBLISHED_GRAPHS["table3"]["simulation 2"], PUBLISHED_GRAPHS["table4"]["d = 10"]
    assert {name: row.auroc for name, row in three.items()} == {
        name: row.auroc for name, row in four.items()
    }
    assert min(PUBLISHED_ERRORS, key=lambda name: PUBLISHED_ERRORS[name].get(7, 99)) == "CausalMMM"
    assert PUBLISHED_ERRORS["BTVC"] == {1: 0.47, 7: 2.07, 30: 9.43}
    assert PUBLISHED_ERRORS["NGC"] == {1: 0.55}
    named = {name for rows in PUBLISHED_GRAPHS["table3"].values() for name in rows}
    assert named <= set(PUBLISHED_NAME.values())
    assert set(PUBLISHED_NAME) <= {*GRAPH_METHODS, *FORECAST_METHODS}


# --- Runs on graphs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def panels() -> PanelSplit:
    return simulate_panels(jax.random.key(0), replace(SMALL, channels=5, shops=8, test_shops=6))


def test_test_shops_are_disjoint_and_graphs_unseen(panels: PanelSplit) -> None:
    assert not {*panels.train.shops} & {*panels.test.shops}
    seen = {graph.tobytes() for graph in truth_of(panels.train)}
    assert {graph.tobytes() for graph in truth_of(panels.test)} & seen
    assert not {graph.tobytes() for graph in truth_of(panels.unseen)} & seen
    # More training shops leave those that test as they are, and the first ones too.
    more = simulate_panels(jax.random.key(0), replace(SMALL, channels=5, shops=10, test_shops=6))
    np.testing.assert_array_equal(more.test.series, panels.test.series)
    np.testing.assert_array_equal(more.unseen.series, panels.unseen.series)
    np.testing.assert_array_equal(more.train.series[:8], panels.train.series)


def test_streams_of_data_know_no_method() -> None:
    task = Task(SMALL, 0, 1)
    for change in ({"method": "ridge_var"}, {"shops": 9}, {"options": (("epochs", 2),)}):
        other = replace(task, settings=replace(SMALL, **change))
        assert other.data_stream == task.data_stream
        assert other.key != task.key
    for change in ({"length": 50}, {"difficulty": ("spends",)}, {"mechanisms": "shop"}):
        assert replace(task, settings=replace(SMALL, **change)).data_stream != task.data_stream


def test_thresholds_are_of_training_shops(panels: PanelSplit) -> None:
    """A canary: other true graphs of test shops move no threshold, those of training shops do."""
    scores = [np.random.default_rng(n).uniform(size=truth_of(p).shape) for n, p in enumerate(
        (panels.train, panels.test, panels.unseen))]  # fmt: skip
    scored = Scored("method", True, *scores, 0.0, 0.0)
    rows = rows_of(scored, panels)
    threshold = metrics.best_threshold(scores[0], truth_of(panels.train))
    assert {row["threshold"] for row in rows} == {threshold}
    assert rows[0]["accuracy"] == metrics.accuracy(scores[1], truth_of(panels.test), threshold)
    flipped = ~truth_of(panels.test) & ~np.eye(6, dtype=bool)
    turned = replace(panels, test=replace(panels.test, adjacency=flipped))
    assert {row["threshold"] for row in rows_of(scored, turned)} == {threshold}
    exact = scored._replace(train=truth_of(panels.train) * 0.25 + 0.0)
    assert {row["threshold"] for row in rows_of(exact, panels)} == {0.125}


def test_measures_of_scores_that_are_the_truth(panels: PanelSplit) -> None:
    truths = [truth_of(panel) * 1.0 for panel in (panels.train, panels.test, panels.unseen)]
    for row in rows_of(Scored("method", True, *truths, 0.0, 0.0), panels):
        assert (row["auroc"], row["accuracy"], row["f1"], row["ece"]) == (1, 1, 1, 0)
        # Another shop's graph is not one's own.
        assert row["swapped_auroc"] < 1
        assert sum(row["bin_count"]) == 6 * 30
        assert sum(row["bin_edges"]) == sum(row["bin_probability"]) == row["density"] * 180
    assert "ece" not in rows_of(Scored("method", False, *truths, 0.0, 0.0), panels)[0]


def test_a_run_follows_from_its_key() -> None:
    settings = replace(SMALL, method="nearest_neighbour")
    timed = {"fit_seconds": 0, "score_seconds": 0}
    one, two, other = (
        [row | timed for row in evaluate_graphs(jax.random.key(seed), settings)]
        for seed in (0, 0, 1)
    )
    assert one == two != other


@pytest.mark.parametrize("method", RULES)
def test_every_rule_scores(method: str, panels: PanelSplit) -> None:
    (scored,) = score(jax.random.key(0), method, panels)
    assert scored.method == method
    assert scored.unseen.shape == truth_of(panels.unseen).shape


def test_methods_of_the_registry_are_all_named() -> None:
    from studies.granger.registry import BASELINES

    assert set(GRAPH_METHODS) == {*VARIANTS, *GIVEN_BY, *BASELINES}
    assert {n for n in BASELINES if BASELINES[n].learns_from == "nothing"} >= set(PER_SHOP)


# --- Other runs ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tiny_curve(tmp_path: Path) -> None:
    run = CurveRun(shops=4, channels=3, length=40, structures=2, test_shops=3)
    cells = tuple(StudyCell(str(n), replace(run, epochs=n)) for n in (1, 2))
    study = Study("figure9", "Tiny", "Epochs", "curve", cells, ("causalmmm",))
    table = run_study(study, out=tmp_path, repetitions=1)
    assert table["loss"].map(len).tolist() == table["validation"].map(len).tolist() == [1, 2]
    assert table[["auroc", "unseen_auroc"]].notna().all(axis=None)
    assert (tmp_path / "figure9.png").exists()


def test_timings_and_their_exponents(tmp_path: Path) -> None:
    cells = tuple(
        StudyCell(f"N = {n}", TimingRun(shops=n, length=40, channels=3, method="ridge_var"))
        for n in (2, 4)
    )
    study = Study("figure10", "Tiny", "Size", "timing", cells, ("ridge_var",))
    table = run_study(study, out=tmp_path, repetitions=1)
    assert (table["seconds"] > 0).all()
    assert table["size"].tolist() == [2, 4]
    law = pd.DataFrame(
        {"axis": "shops", "method": "m", "size": [2.0, 4.0, 8.0], "seconds": [8.0, 32.0, 128.0]}
    )
    assert summarise_timing(study, law)["exponent"].tolist() == pytest.approx([2.0] * 3)


def test_forecasts_beside_the_published_sums(tmp_path: Path) -> None:
    run = ForecastRun(shops=2, length=80, horizons=(1, 7), origins=2)
    study = Study("table7", "Tiny", "Panel", "forecast", (StudyCell("tiny", run),), ())
    run_study(study, out=tmp_path, methods=("seasonal_naive", "last_value"), repetitions=2)
    summary = pd.read_csv(tmp_path / "table7_summary.csv").set_index(["method", "horizon"])
    assert (summary["runs"] == 2).all()
    sums = summary["mse"] * summary.index.get_level_values("horizon")
    np.testing.assert_allclose(summary["sum"], sums)
    assert summary["coverage"].between(0, 1).all()
    assert "published MSE" in (tmp_path / "table7.md").read_text()


@pytest.mark.slow
def test_causal_mmm_forecasts() -> None:
    run = ForecastRun(
        shops=3, length=80, horizons=(1, 3), origins=2, options=(("epochs", 1), ("hidden", 8))
    )
    rows = evaluate(jax.random.key(0), run)
    assert [row["horizon"] for row in rows] == [1, 3]
    assert all(np.isfinite(row["mse"]) and 0 <= row["coverage"] <= 1 for row in rows)


# --- Summaries and names -------------------------------------------------------------------------


def test_margins_are_paired_and_over_the_same_panels() -> None:
    values = {
        "causalmmm": [0.9, 0.8, None],
        "linear_granger": [0.7, 0.7, 0.1],
        "mean_graph": [0.8, 0.9, 0.9],
        "ngc_mlp": [0.99, None, None],
    }
    rows = [
        {"cell": "c", "shops": "test", "method": m, "repetition": r, "auroc": v, "accuracy": v}
        for m, own in values.items()
        for r, v in enumerate(own)
        if v is not None
    ]
    found = margins(pd.DataFrame(rows)).query("measure == 'auroc'").set_index("among")
    assert found.loc["any rule", "best"] == "mean_graph"
    assert found.loc["any rule", "difference"] == pytest.approx(0.0)
    assert found.loc["any rule", "difference_se"] == pytest.approx(0.1)
    assert found.loc["one shop", "best"] == "linear_granger"
    assert found.loc["one shop", "difference"] == pytest.approx(0.15)


def test_reliability_of_many_runs_is_that_of_their_pairs() -> None:
    sums = [([2, 2], [0.2, 1.6], [0, 1]), ([0, 4], [0.0, 3.6], [0, 4])]
    rows = [
        {"shops": "test", "method": "m", "bin_count": n, "bin_probability": p, "bin_edges": e}
        for n, p, e in sums
    ]
    found = reliability_of(pd.DataFrame(rows))
    assert found["count"].tolist() == [2, 6]
    assert found["probability"].tolist() == pytest.approx([0.1, 5.2 / 6])
    assert found["edges"].tolist() == pytest.approx([0.0, 5 / 6])


def test_studies_are_those_of_the_paper() -> None:
    tables = {f"table{n}" for n in range(3, 8)}
    assert set(STUDIES) == tables | {"difficulty", "figure4", "figure7", "figure9", "figure10"}
    for name in ("table3", "table4", "table5", "table6"):
        used = {cell.published for cell in STUDIES[name].cells}
        assert used == set(PUBLISHED_GRAPHS[name])
    default = GraphRun(simulation=2, shops=100)
    for name in ("table3", "table4", "table5", "table6"):
        assert default in [cell.run for cell in STUDIES[name].cells]
    for study in STUDIES.values():
        assert set(study.methods) <= set(study.known_methods)
        assert len({cell.label for cell in study.cells}) == len(study.cells)
        quick = resized(study, quick=True)
        assert max(cell.run.length for cell in quick.cells) <= 240
        assert max(cell.run.shops for cell in quick.cells) <= 6


def test_every_figure_is_drawn(tmp_path: Path, made: list[Task]) -> None:
    for name in ("figure4", "figure7", "difficulty"):
        run_study(name, out=tmp_path, repetitions=2, quick=name == "difficulty")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        assert (tmp_path / f"{name}_reliability.png").exists()


def test_refusals(tmp_path: Path, made: list[Task]) -> None:
    with pytest.raises(ValueError, match=r"no table or figure 'table9'.* Known are table3"):
        run_study("table9", out=tmp_path)
    with pytest.raises(ValueError, match=r"no method 'causalmm'. Did you mean 'causalmmm'"):
        run_study("table3", out=tmp_path, methods=("causalmm",))
    with pytest.raises(ValueError, match=r"no method 'gvar'.* Known for table7 are"):
        methods_of(STUDIES["table7"], ("gvar",))
    with pytest.raises(ValueError, match=r"no method 'ridge_var'.* Known for figure7 are"):
        methods_of(STUDIES["figure7"], ("ridge_var",))
    with pytest.raises(ValueError, match=r"no cell 'simulation 3'"):
        run_study("table3", out=tmp_path, cells=["simulation 3"])
    with pytest.raises(ValueError, match=r"differ by their number of shops"):
        run_study("figure4", out=tmp_path, shops=20)
    with pytest.raises(ValueError, match=r"repetitions should be 1 or more; got 0. workers"):
        run_study("table3", out=tmp_path, repetitions=0, workers=0)
    assert not made


def test_command(tmp_path: Path, made: list[Task]) -> None:
    arguments = ["causalmmm", "--out", str(tmp_path), "--table", "4", "--shops", "30"]
    more = ["--methods", "ridge_var,causalmmm", "--repetitions", "1", "--setting", "epochs=7"]
    done = CliRunner().invoke(app, [*arguments, *more])
    assert done.exit_code == 0, done.output
    assert f"Written: {tmp_path / 'table4.md'}" in done.output.replace("\n", "")
    assert {task.settings.shops for task in made} == {30}
    assert {task.settings.options for task in made if task.settings.method == "causalmmm"} == {
        (("epochs", 7),)
    }
    bare = CliRunner().invoke(app, ["causalmmm", "--out", str(tmp_path)])
    assert bare.exit_code != 0
    assert "--table 3" in bare.output


def test_main_names_what_it_wrote(tmp_path: Path, made: list[Task]) -> None:
    paths = main_causalmmm(["difficulty"], out=tmp_path, methods=("rules",), repetitions=1)
    assert [path.name for path in paths] == ["difficulty.md", "difficulty.png"]


def test_importing_costs_little() -> None:
    """A worker has to set its threads before anything heavy loads."""
    code = "import studies.causalmmm.study, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"jax", "numpy", "pandas", "matplotlib"} & set(loaded.stdout.split())
