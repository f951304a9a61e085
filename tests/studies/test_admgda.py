"""The runner: whole lines, resuming, seeds; and the arithmetic of its summaries and figures."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studies import admgda
from studies.admgda import SCENARIOS, main_admgda, run_scenario
from studies.augmentation.run_settings import RunSettings
from studies.figures import draw_scenario
from studies.runs import ResultsError, RunError, Task, open_results
from studies.scenarios import PublishedScenario
from studies.summary import (
    clustered_mean,
    clustered_median,
    published_table,
    summarise,
    to_markdown,
)

NAN = float("nan")


def rows_of(task: Task) -> list[dict[str, Any]]:
    """Rows as a run makes them, cheaply: numbers that tell the task they are of."""
    settings = task.settings
    common = {"node_type": "sink", "n_augmented": 5, "mass": 0.5, "ess": 4.0}
    rows = []
    for share in (0.0, *settings.outliers):
        for method in settings.methods:
            for threshold in settings.thresholds if method == "enumerate" else (None,):
                for number in range(2):
                    rng = np.random.default_rng([task.data_stream, task.repetition, number])
                    base, gain = 0.8 * rng.uniform(), 0.1 * rng.normal() - share
                    empty = method == "enumerate" and task.repetition == 1
                    rows.append(
                        common
                        | {
                            "train": "outliers" if share else "clean",
                            "outliers": share,
                            "method": method,
                            "threshold": threshold,
                            "target": f"V{number}",
                            "empty": empty,
                            "r2": NAN if empty else base + gain,
                            "mape": NAN if empty else 0.3 - gain,
                            "r2_baseline": base - share / 2,
                            "mape_baseline": 0.3,
                            "r2_baseline_clean": base,
                            "mape_baseline_clean": 0.3,
                        }
                    )
    return rows


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Runs made, in order; runs themselves are cheap."""
    tasks: list[Task] = []

    def make(task: Task) -> list[dict[str, Any]]:
        tasks.append(task)
        return rows_of(task)

    monkeypatch.setattr(admgda, "make_run", make)
    return tasks


def test_a_scenario_writes_its_results(tmp_path: Path, made: list[Task]) -> None:
    seen: list[tuple[int, int]] = []
    table = run_scenario(
        "noise",
        repetitions=3,
        out=tmp_path / "new",
        workers=1,
        on_done=lambda done, total: seen.append((done, total)),
    )
    assert len(made) == 18
    assert seen == [(done, 18) for done in range(19)]
    assert len(table) == 6 * 3 * 2 * 2
    assert table["value"].drop_duplicates().tolist() == list(SCENARIOS["noise"].values)
    assert (table["value"] == table["noise_coeff"]).all()
    assert table.loc[table["repetition"] == 1].query("method == 'enumerate'")["r2"].isna().all()
    kept = {path.name for path in (tmp_path / "new").iterdir()}
    assert kept == {"results", "noise.csv", "noise_summary.csv", "noise.md", "noise.png"}
    written = pd.read_csv(tmp_path / "new" / "noise.csv")
    pd.testing.assert_frame_equal(written, table, check_dtype=False)
    assert (tmp_path / "new" / "noise.md").read_text().count("\n") == 2 + 6 * 2


TINY = PublishedScenario(
    "tiny", "Noise", "noise_coeff", (0.2, 0.4), "noise_coeff.csv", "noise_coeff"
)
SMALL: dict[str, Any] = {
    "n_rows": 40,
    "n_nodes": 4,
    "expected_degree": 1.0,
    "max_targets": 2,
    "n_estimators": (3, 8),
    "reg_lambda": (1.0,),
    "repetitions": 2,
}


def test_a_tiny_scenario_of_real_runs(tmp_path: Path) -> None:
    table = run_scenario(TINY, out=tmp_path, workers=1, **SMALL)
    assert len(table) == 2 * 2 * 2 * 2
    assert table[["r2_baseline", "mape_baseline", "mass"]].notna().all(axis=None)
    assert table.loc[table["method"] == "default", ["r2", "mape", "kl_test"]].notna().all(axis=None)
    assert table["key"].nunique() == 4
    # The same graph and rows are not drawn again for another noise.
    assert table.groupby("value")["r2_baseline"].first().nunique() == 2
    other = run_scenario(TINY, out=tmp_path / "other", workers=1, **SMALL | {"repetitions": 1})
    timed = [name for name in table if name.startswith("seconds")]
    first = table[table["repetition"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first.drop(columns=timed), other.drop(columns=timed))


@pytest.mark.slow
def test_processes_give_what_one_process_gives(tmp_path: Path) -> None:
    tables = [
        run_scenario(TINY, out=tmp_path / str(workers), workers=workers, **SMALL)
        for workers in (1, 2)
    ]
    timed = [name for name in tables[0] if name.startswith("seconds")]
    one, two = (table.drop(columns=timed) for table in tables)
    # Sums of several threads may differ in their last digits.
    pd.testing.assert_frame_equal(one, two, rtol=1e-5)


def test_a_stopped_scenario_goes_on(
    tmp_path: Path, made: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is finished when Ctrl-C comes is kept, and nothing else is made again."""
    table = run_scenario("noise", repetitions=2, out=tmp_path / "whole", workers=1)
    made.clear()

    def interrupted(task: Task) -> list[dict[str, Any]]:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(task)
        return rows_of(task)

    with monkeypatch.context() as patch:
        patch.setattr(admgda, "make_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_scenario("noise", repetitions=2, out=tmp_path, workers=1)
    assert open_results(tmp_path).keys() == {task.key for task in made}
    made.clear()
    again = run_scenario("noise", repetitions=2, out=tmp_path, workers=1)
    assert len(made) == 12 - 5
    pd.testing.assert_frame_equal(again, table)
    made.clear()
    more = run_scenario("noise", repetitions=3, out=tmp_path, workers=1)
    assert {task.repetition for task in made} == {2}
    pd.testing.assert_frame_equal(more[more["repetition"] < 2].reset_index(drop=True), table)
    made.clear()
    run_scenario("noise", repetitions=2, out=tmp_path, workers=1, resume=False)
    assert len(made) == 12
    assert len(open_results(tmp_path)) == 18


def test_cells_that_are_the_same_are_computed_once(tmp_path: Path, made: list[Task]) -> None:
    run_scenario("noise", repetitions=2, out=tmp_path, workers=1)
    made.clear()
    run_scenario("mechanisms", repetitions=2, out=tmp_path, workers=1)
    assert {task.settings.mechanism for task in made} == set(SCENARIOS["mechanisms"].values) - {
        "nn"
    }
    made.clear()
    run_scenario("mechanisms", repetitions=2, seed=1, out=tmp_path, workers=1)
    assert len(made) == 12


def test_a_damaged_file_is_named_and_made_again_once_it_is_gone(
    tmp_path: Path, made: list[Task]
) -> None:
    run_scenario("noise", repetitions=1, out=tmp_path, workers=1)
    damaged = tmp_path / "results" / "cells" / f"{made[2].key}.parquet"
    damaged.write_bytes(damaged.read_bytes()[:100])
    made.clear()
    with pytest.raises(ResultsError, match=rf"{damaged} cannot be read: .*Delete it"):
        run_scenario("noise", repetitions=1, out=tmp_path, workers=1)
    assert not made
    damaged.unlink()
    run_scenario("noise", repetitions=1, out=tmp_path, workers=1)
    assert [task.key for task in made] == [damaged.stem]


def test_failed_runs_are_listed_and_the_others_kept(
    tmp_path: Path, made: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(task: Task) -> list[dict[str, Any]]:
        if task.settings.noise_coeff > 0.7:
            raise MemoryError("too many rows")
        return rows_of(task)

    monkeypatch.setattr(admgda, "make_run", make)
    with pytest.raises(
        RunError, match=r"2 of 6 runs failed(?s:.*)2\. repetition 0 .*too many rows"
    ):
        run_scenario("noise", repetitions=1, out=tmp_path, workers=1)
    assert len(open_results(tmp_path)) == 4
    monkeypatch.setattr(admgda, "make_run", lambda task: made.append(task) or rows_of(task))
    run_scenario("noise", repetitions=1, out=tmp_path, workers=1)
    assert len(made) == 2


@pytest.mark.parametrize(
    ("name", "setting"), [("threshold", "threshold"), ("outliers", "outliers")]
)
def test_cells_that_share_a_run(name: str, setting: str, tmp_path: Path, made: list[Task]) -> None:
    """One run a repetition; rows that depend on no value stand in every cell."""
    table = run_scenario(name, repetitions=2, out=tmp_path, workers=1)
    assert len(made) == 2
    values = SCENARIOS[name].values
    assert len({task.data_stream for task in made}) == 1
    default = Task(RunSettings(), 0, 0)
    assert made[0].data_stream == default.data_stream
    for value, cell in table.groupby("value"):
        own = cell[setting].isin([value])
        fixed = cell[setting].isna() if name == "threshold" else cell[setting] == 0.0
        assert (own | fixed).all()
        assert (own.sum(), fixed.sum()) == ((4, 4) if name == "threshold" else (8, 8))
    assert table["value"].drop_duplicates().tolist() == list(values)


def test_a_run_has_the_seed_of_what_it_depends_on() -> None:
    task = Task(RunSettings(), 0, 3)
    assert task.key == Task(RunSettings(expected_degree=3), 0, 3).key
    data = task.data_stream
    for change in ({"methods": ("default",)}, {"thresholds": (0.1,)}, {"max_targets": 2}):
        other = replace(task, settings=replace(task.settings, **change))
        assert other.data_stream == data
        assert other.key != task.key
    for change in ({"n_rows": 300}, {"mechanism": "linear"}, {"guide_compat": False}):
        assert replace(task, settings=replace(task.settings, **change)).data_stream != data
    assert len({replace(task, repetition=r, seed=s).key for r in range(3) for s in range(3)}) == 9


def test_results_say_what_they_are_of(tmp_path: Path, made: list[Task]) -> None:
    run_scenario("noise", repetitions=1, seed=4, out=tmp_path, workers=1)
    records = open_results(tmp_path).records()
    for task in made:
        found = records[task.key]
        assert (found.seed, found.settings["repetition"]) == (4, 0)
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found.settings["settings"].items()
        }
        assert RunSettings(**given) == task.settings


def test_importing_costs_little() -> None:
    """A worker has to set its threads before anything heavy loads."""
    code = "import studies.admgda, studies.runs, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"jax", "numpy", "pandas", "xgboost", "matplotlib", "sklearn"}
    assert not heavy & set(loaded.stdout.split())


def test_settings_of_scenarios() -> None:
    for scenario in SCENARIOS.values():
        settings = scenario.settings(max_targets=3)
        assert len(settings) == (1 if scenario.shared else len(scenario.values))
        assert all(each.max_targets == 3 for each in settings)
    assert {each.n_nodes for each in SCENARIOS["degree"].settings()} == {15}


def test_refusals(tmp_path: Path, made: list[Task]) -> None:
    with pytest.raises(ValueError, match=r"no scenario 'nois'. Did you mean 'noise'"):
        run_scenario("nois", out=tmp_path)
    with pytest.raises(ValueError, match=r"repetitions should be 1 or more; got 0. workers"):
        run_scenario("noise", out=tmp_path, repetitions=0, workers=0)
    with pytest.raises(ValueError, match=r"no method 'enumerat'. Did you mean 'enumerate'"):
        run_scenario("noise", out=tmp_path, methods=("enumerat",))
    with pytest.raises(FileNotFoundError, match=r"noise_coeff.csv: give the folder"):
        run_scenario("noise", out=tmp_path, published=tmp_path)
    assert not made


def test_main_prints_and_returns_paths(
    tmp_path: Path, made: list[Task], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = main_admgda(["noise", "outliers", "noise"], out=tmp_path, repetitions=1, workers=1)
    assert [path.name for path in paths] == [
        "noise.md",
        "noise.png",
        "outliers.md",
        "outliers.png",
        "outliers_as_published.png",
    ]
    assert all(path.stat().st_size > 0 for path in paths)
    assert not capsys.readouterr().out
    assert len(made) == 7


# --- Summaries ------------------------------------------------------------------------------


def table_of(changes: dict[int, list[float]], **more: Any) -> pd.DataFrame:
    """Targets with given changes of R2 by run; MAPE changes by half as much, downwards."""
    rows = [
        {
            "scenario": "noise",
            "value": 0.4,
            "method": "enumerate",
            "train": "clean",
            "repetition": run,
            "empty": np.isnan(change),
            "r2": 0.5 + change,
            "r2_baseline": 0.5,
            "mape": 0.2 - change / 2,
            "mape_baseline": 0.2,
            "r2_baseline_clean": 0.5,
            "mape_baseline_clean": 0.2,
        }
        | more
        for run, own in changes.items()
        for change in own
    ]
    return pd.DataFrame(rows)


def test_summary_by_hand() -> None:
    table = table_of({0: [0.1, 0.2], 1: [-0.1, 0.0], 2: [0.3, -0.2], 3: [NAN, NAN]})
    (row,) = summarise(table).to_dict("records")
    assert (row["runs"], row["targets"], row["empty"]) == (4, 6, 0.25)
    assert row["win_rate"] == pytest.approx(3.5 / 6)
    # Wins less their mean add up to 5/6, -4/6 and -1/6 in the three runs.
    win_se = np.sqrt(3 / 2 * (25 + 16 + 1) / 36) / 6
    assert row["win_se"] == pytest.approx(win_se)
    assert row["r2_change_mean"] == pytest.approx(0.05)
    # Changes less their mean: 0.2, -0.2 and 0.
    assert row["r2_change_se"] == pytest.approx(np.sqrt(1.5 * 0.08) / 6)
    assert row["r2_change_median"] == pytest.approx(0.05)
    assert row["mape_change_median"] == pytest.approx(-0.025)
    assert row["r2_change_low"] < row["r2_change_median"] < row["r2_change_high"]


def test_clustered_errors_of_clusters_of_one_are_the_usual_ones() -> None:
    values = np.random.default_rng(0).normal(size=30)
    mean, se = clustered_mean(values, np.arange(30))
    assert (mean, se) == pytest.approx((values.mean(), values.std(ddof=1) / np.sqrt(30)))
    assert clustered_mean(np.repeat(values, 4), np.repeat(np.arange(30), 4)) == pytest.approx(
        (mean, se)
    )
    assert np.isnan(clustered_mean(values, np.zeros(30))[1])
    assert np.isnan(clustered_mean(values[:0], values[:0])).all()
    assert np.isnan(clustered_median(values[:0], values[:0])).all()


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Runs with an effect of their own: 95% over 600 tables, to four standard errors."""
    rng = np.random.default_rng(1)
    runs_, targets, tables = 40, 5, 600
    clusters = np.repeat(np.arange(runs_), targets)
    held = np.zeros(2)
    for _ in range(tables):
        values = rng.normal(size=runs_)[clusters] + rng.normal(size=runs_ * targets)
        mean, se = clustered_mean(values, clusters)
        _, low, high = clustered_median(values, clusters)
        held += [abs(mean) < 1.96 * se, low < 0 < high]
    # With 40 clusters a normal quantile in place of Student's t costs one per cent.
    assert held / tables == pytest.approx([0.94, 0.94], abs=4 * np.sqrt(0.95 * 0.05 / tables))


def test_rows_with_outliers_have_two_baselines() -> None:
    dirty = table_of(
        {0: [-0.1], 1: [-0.1]}, train="outliers", r2_baseline=0.3, r2_baseline_clean=0.5
    )
    summary = summarise(pd.concat([table_of({0: [0.1], 1: [0.1]}), dirty]))
    found = summary.set_index(["train", "baseline"])["r2_change_mean"]
    assert found.to_dict() == pytest.approx(
        {
            ("clean", "same rows"): 0.1,
            ("outliers", "same rows"): 0.1,
            ("outliers", "clean rows"): -0.1,
        }
    )


def test_published_figures_stand_beside_ours() -> None:
    ours = table_of({0: [0.1, 0.2], 1: [0.0, 0.1]})
    default = table_of({0: [0.3, 0.3], 1: [0.2, 0.2]}, method="default")
    theirs = table_of({0: [-0.1, -0.2], 1: [NAN, NAN]})
    summary = summarise(pd.concat([ours, default]), theirs).set_index("method")
    assert summary.loc["enumerate", "published_empty"] == 0.5
    assert summary.loc["enumerate", "published_r2_change_median"] == pytest.approx(-0.15)
    assert np.isnan(summary.loc["default", "published_empty"])
    text = to_markdown(summary.reset_index(), "Noise").splitlines()
    assert len({line.count("|") for line in text}) == 1
    assert "| 0.4 | enumerate | clean | same rows | 2 | 0% | 88% ± 12 |" in text[2]
    assert "| 50% | 0% |" in text[2]
    with pytest.raises(ValueError, match=r"none of the values 0.4: they are of another scenario"):
        summarise(ours, theirs.assign(value=7.0))


def published_file(folder: Path, scenario: str, suffixes: tuple[str, ...]) -> None:
    about = SCENARIOS[scenario]
    rows = []
    for value in about.values[:2]:
        for run in range(2):
            row: dict[str, Any] = {
                about.published_column: value,
                "run_id": run,
                "predicted_variable": "V0",
                "predicted_variable_node_type": "middle_node",
                "r2_Baseline": 0.9,
                "MAPE_Baseline": 0.1,
            }
            for suffix in suffixes:
                row |= {
                    f"r2_CausalDA{suffix}": 0.95 if run else NAN,
                    f"MAPE_CausalDA{suffix}": 0.2 if run else NAN,
                }
                for name in ("SUM_aug_weights", "frac_filtered", "frac_augmented"):
                    row[f"{name}{suffix}"] = 0.5
                for name in ("KL_div", "Wasserstein_dist"):
                    row[f"{name}_train_vs_aug_weighted{suffix}"] = 0.1
            rows.append(row)
    pd.DataFrame(rows).to_csv(folder / about.published_file, index=False)


def test_published_tables_are_read(tmp_path: Path) -> None:
    published_file(tmp_path, "noise", ("",))
    noise = published_table(tmp_path, "noise")
    assert noise["node_type"].unique().tolist() == ["middle"]
    assert noise["empty"].tolist() == [True, False, True, False]
    assert summarise(noise)["r2_change_mean"].to_numpy() == pytest.approx(0.05)
    published_file(tmp_path, "outliers", ("_true", "_wrong"))
    outliers = published_table(tmp_path, "outliers")
    cells = summarise(outliers).groupby(["train", "baseline"]).size()
    # Theirs were compared with trees that never saw an outlier.
    assert cells.to_dict() == {("clean", "same rows"): 2, ("outliers", "clean rows"): 2}
    published_file(tmp_path, "outliers", ())
    with pytest.raises(ValueError, match=r"lacks r2_CausalDA_true, .*MAPE_CausalDA_wrong"):
        published_table(tmp_path, "outliers")


def test_the_published_tables_themselves(shared_dir: Path) -> None:
    """What was counted in the published files by other means."""
    folder = shared_dir / "admgda_paper_results"
    if not folder.is_dir():
        folder = shared_dir / "data" / "admgda_paper_results"
    if not folder.is_dir():
        pytest.skip("the published tables are not here")
    for name, scenario in SCENARIOS.items():
        summary = summarise(published_table(folder, name))
        assert set(summary["value"]) == set(scenario.values)
        assert (summary["runs"] == 20).all()
    dimension = summarise(published_table(folder, "dimension")).set_index("value")
    assert dimension["empty"].tolist() == [0.0, 0.2, 0.3, 0.3, 0.75, 0.95, 1.0]
    assert dimension.loc[15, "win_rate"] == pytest.approx(0.413333, abs=1e-6)


# --- Figures --------------------------------------------------------------------------------


def test_a_figure_shows_the_summary(tmp_path: Path, made: list[Task]) -> None:
    published_file(tmp_path, "noise", ("",))
    table = run_scenario("noise", repetitions=4, out=tmp_path, workers=1, published=tmp_path)
    summary = summarise(table, published_table(tmp_path, "noise"))
    (figure,) = draw_scenario(summary, "Noise").values()
    assert [ax.get_xlabel() for ax in figure.axes] == ["Noise"] * 4
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["published method, run again", "published results", "this package's default"]
    own = summary[summary["method"] == "enumerate"]
    for ax, column in zip(figure.axes, ("empty", "win_rate", "r2_change_median"), strict=False):
        drawn = ax.containers[0].lines[0].get_ydata()
        np.testing.assert_allclose(np.asarray(drawn, float), own[column])
    low, high = own["r2_change_low"], own["r2_change_high"]
    bars = figure.axes[2].containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], np.c_[low, high], atol=1e-12)


def test_names_are_not_joined_by_lines_and_outliers_have_two_figures(
    tmp_path: Path, made: list[Task]
) -> None:
    table = run_scenario("mechanisms", repetitions=2, out=tmp_path, workers=1)
    (figure,) = draw_scenario(summarise(table), "Mechanism").values()
    assert figure.axes[0].containers[0].lines[0].get_linestyle() == "None"
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()][2] == "sigmoid\nmix"
    table = run_scenario("outliers", repetitions=2, out=tmp_path, workers=1)
    figures = draw_scenario(summarise(table), "Share of outliers")
    assert list(figures) == ["", "_as_published"]
    assert re.search("fitted to the same rows", figures[""].get_suptitle())
    assert "rows without" in figures["_as_published"].get_suptitle()
