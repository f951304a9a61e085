"""One run of the protocol: its data, its fits against plain ones, and what it says of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import mean_absolute_percentage_error, r2_score
from sklearn.model_selection import train_test_split

import mmm_bayes.augmentation.augment
import mmm_bayes.augmentation.closeness
from mmm_bayes import simulate
from mmm_bayes.augmentation.closeness import closeness
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.runtime.findings import DataError
from studies.augmentation.closeness import overlap
from studies.augmentation.evaluation import (
    PUBLISHED_BANDWIDTH_SCALE,
    evaluate_run,
    node_type,
    split_sizes,
)
from studies.augmentation.run_settings import RunSettings

NDArray = np.ndarray[Any, Any]
KEY = jax.random.key(11)
TINY = RunSettings(
    n_rows=40, n_nodes=4, expected_degree=1.0, max_targets=2, n_estimators=(3, 8), reg_lambda=(1.0,)
)


@dataclass(frozen=True)
class Augmented:
    frame: pd.DataFrame
    weights: NDArray

    @property
    def mass(self) -> float:
        return float(self.weights.sum())

    @property
    def ess(self) -> float:
        return float(self.weights.sum() ** 2 / (self.weights**2).sum()) if self.mass else 0.0


class Double:
    """An augmentation to count with: every row twice, with uneven weights; records its calls."""

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        self.calls: list[tuple[pd.DataFrame, dict[str, Any]]] = []

    def __call__(
        self, rng_key: Any, frame: pd.DataFrame, graph: CausalGraph, **settings: Any
    ) -> Augmented:
        self.calls.append((frame, settings | {"rng_key": rng_key}))
        twice = pd.concat([frame, frame + 0.5], ignore_index=True)[: self.rows]
        return Augmented(twice, np.linspace(0.001, 0.02, len(twice)))


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Double:
    stand_in = Double()
    monkeypatch.setattr(mmm_bayes.augmentation.augment, "augment", stand_in)
    return stand_in


def without_seconds(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    return table.drop(columns=[name for name in table if str(name).startswith("seconds")])


def plain_scores(
    train: pd.DataFrame, weights: NDArray | None, test: pd.DataFrame, target: str, trees: int
) -> tuple[float, float]:
    model = xgboost.XGBRegressor(
        n_estimators=trees, reg_lambda=1.0, tree_method="exact", base_score=0.5, n_jobs=1
    )
    model.fit(train.drop(columns=target).to_numpy(), train[target], sample_weight=weights)
    predicted = model.predict(test.drop(columns=target).to_numpy())
    observed = test[target]
    return r2_score(observed, predicted), mean_absolute_percentage_error(observed, predicted)


def test_a_run_with_every_method() -> None:
    """The real augmentations: rows expected are there, and a key makes a run."""
    settings = replace(TINY, methods=("enumerate", "default", "resample"))
    rows = evaluate_run(KEY, settings)
    table = pd.DataFrame(rows)
    assert table.groupby("method", sort=False).size().to_dict() == dict.fromkeys(
        settings.methods, 2
    )
    assert np.isfinite(table[["r2_baseline", "mape_baseline", "mass", "ess"]].to_numpy()).all()
    own = table[table["method"] != "enumerate"]
    assert np.isfinite(own[["r2", "mape", "energy_test", "variance_difference"]].to_numpy()).all()
    assert (own["mixture"] == 0.5).all()
    assert (own["n_estimators"] == own["n_estimators_baseline"]).all()
    again = evaluate_run(KEY, settings)
    pd.testing.assert_frame_equal(without_seconds(again), without_seconds(rows))
    other = pd.DataFrame(evaluate_run(jax.random.key(12), replace(TINY, methods=("default",))))
    assert not set(other["r2_baseline"]) & set(table["r2_baseline"])


def test_the_published_protocol_by_plain_fits(double: Double) -> None:
    """Augmented rows alone, with weights times the number of all rows, against the test rows."""
    rows = evaluate_run(KEY, replace(TINY, n_estimators=(6,), methods=("enumerate", "sample")))
    (train, first), (_, second) = double.calls
    assert (first["method"], first["threshold"]) == ("enumerate", 0.01)
    assert second["method"] == "sample"
    whole = simulate.scm(
        jax.random.fold_in(KEY, 0), num_rows=40, num_nodes=4, expected_degree=1.0, guide_compat=True
    ).frame
    assert len(train) == 28
    test = whole.merge(train, how="left", indicator=True).query("_merge == 'left_only'")
    test = test.drop(columns="_merge")
    assert len(test) == 12
    augmented = Double()(None, train, None)  # type: ignore[arg-type]
    for row in rows:
        target = row["target"]
        base = plain_scores(train, None, test, target, 6)
        assert (row["r2_baseline"], row["mape_baseline"]) == pytest.approx(base, rel=1e-5)
        if row["method"] == "enumerate":
            scores = plain_scores(augmented.frame, 40 * augmented.weights, test, target, 6)
        else:
            both = pd.concat([train, augmented.frame])
            weights = 0.5 * 28 * augmented.weights / augmented.mass
            scores = plain_scores(both, np.r_[np.full(28, 0.5), weights], test, target, 6)
        assert (row["r2"], row["mape"]) == pytest.approx(scores, rel=1e-5)


def test_tuning_by_folds_augments_training_rows_only(double: Double) -> None:
    settings = replace(TINY, methods=("sample",), tuning="augmented", mixtures=(0.0, 0.5))
    evaluate_run(KEY, settings)
    (train, _), *folds = double.calls
    assert sorted(len(frame) for frame, _ in folds) == [18, 19, 19]
    assert all(len(frame.merge(train)) == len(frame) for frame, _ in folds)
    held = [train.merge(frame, how="left", indicator=True) for frame, _ in folds]
    count = sum((each["_merge"] == "left_only").to_numpy() for each in held)
    assert (count == 1).all()
    keys = {tuple(jax.random.key_data(call["rng_key"]).tolist()) for _, call in double.calls}
    assert len(keys) == 4


def test_the_stated_bandwidths_are_those_of_the_rule(double: Double) -> None:
    rows = evaluate_run(KEY, replace(TINY, methods=("enumerate", "enumerate_stated")))
    published, stated = (call["bandwidth_scale"] for _, call in double.calls)
    assert (published, stated) == (PUBLISHED_BANDWIDTH_SCALE, 1.0)
    assert {row["threshold"] for row in rows} == {0.01}


def test_an_empty_augmentation_has_a_baseline_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for rows, empty in ((0, True), (2, True), (6, False)):
        monkeypatch.setattr(mmm_bayes.augmentation.augment, "augment", Double(rows))
        published, joined = (
            evaluate_run(KEY, replace(TINY, max_targets=1, methods=(method,)))[0]
            for method in ("enumerate", "sample")
        )
        assert published["empty"] is empty
        assert (published["r2"] is None) is empty
        assert np.isfinite([published["r2_baseline"], joined["r2"]]).all()
        assert joined["mixture"] == (0.5 if rows else 0.0)
        assert np.isnan(published["energy"]) == (rows == 0)
        if not rows:
            assert joined["r2"] == joined["r2_baseline"]


def test_thresholds_share_data_and_fits(double: Double) -> None:
    both = evaluate_run(KEY, replace(TINY, thresholds=(0.1, 0.01), methods=("enumerate", "sample")))
    one = evaluate_run(KEY, replace(TINY, thresholds=(0.01,), methods=("enumerate", "sample")))
    assert [call["threshold"] for _, call in double.calls if "threshold" in call] == [
        0.1,
        0.01,
        0.01,
    ]
    table = without_seconds(both)
    same = table[table["threshold"].ne(0.1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, without_seconds(one))


def test_outliers_are_added_to_training_rows_alone(double: Double) -> None:
    rows = evaluate_run(KEY, replace(TINY, outliers=(0.1, 0.5), methods=("sample",)))
    sizes = [len(frame) for frame, _ in double.calls]
    assert sizes == [28, 28 + 2, 28 + 14]
    clean, dirty = double.calls[0][0], double.calls[2][0]
    pd.testing.assert_frame_equal(dirty[:28], clean)
    table = pd.DataFrame(rows)
    assert table["n_train"].tolist() == [28, 28, 30, 30, 42, 42]
    assert table["outliers"].tolist() == [0.0, 0.0, 0.1, 0.1, 0.5, 0.5]
    per_target = table.groupby("target")
    assert (per_target["r2_baseline_clean"].nunique() == 1).all()
    assert (per_target["r2_baseline"].nunique() == 3).all()
    # The stand-in repeats every row, outliers too, and adds as many.
    assert table["frac_outliers_filtered"].tolist()[2:] == [0.0] * 4
    assert table["frac_augmented"].tolist()[::2] == pytest.approx([1.0, 32 / 28, 56 / 28])


def test_targets_are_a_random_few_or_all(double: Double) -> None:
    settings = replace(TINY, methods=("sample",), n_nodes=6)
    few = [row["target"] for row in evaluate_run(KEY, settings)]
    assert len(set(few)) == 2
    others = {
        tuple(row["target"] for row in evaluate_run(jax.random.key(seed), settings))
        for seed in range(4)
    }
    assert len(others) > 1
    every = [row["target"] for row in evaluate_run(KEY, replace(settings, max_targets=None))]
    assert every == [f"V{i}" for i in range(6)]


@pytest.mark.parametrize("n", [10, 30, 40, 60, 80, 100, 300, 500, 700])
def test_split_sizes_are_those_of_scikit_learn(n: int) -> None:
    train, test = train_test_split(np.arange(n), train_size=0.7, random_state=0)
    assert split_sizes(n) == (len(train), len(test))


def test_node_types() -> None:
    graph = CausalGraph(["a", "b", "c", "d"], [("a", "b"), ("b", "c")])
    assert [node_type(graph, node) for node in "abcd"] == ["source", "middle", "sink", "isolated"]


def test_overlap_by_hand() -> None:
    train = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 2.0, 3.0, 4.0]})
    augmented = pd.DataFrame({"x": [1.0, 1.0, 2.0, 9.0, 2.0], "y": [1.0, 2.0, 2.0, 9.0, 2.0]})
    weights = np.array([0.1, 0.2, 0.3, 0.2, 0.0])
    found = overlap(train, augmented, weights, pd.DataFrame({"x": [9.0, 8.0], "y": [9.0, 8.0]}))
    assert found == pytest.approx(
        {
            "frac_filtered": 0.5,
            "frac_augmented": 0.5,
            "frac_outliers_filtered": 0.5,
            "mass_in_train": 0.5,
        }
    )
    none = overlap(train, augmented[:0], weights[:0], train[:0])
    assert (none["frac_filtered"], none["frac_augmented"]) == (1.0, 0.0)
    assert np.isnan([none["frac_outliers_filtered"], none["mass_in_train"]]).all()


def test_closeness_tells_a_good_augmentation_from_a_bad_one() -> None:
    """Rows of the true distribution beside few training rows; and rows shifted away."""
    rng = np.random.default_rng(0)
    train, test, good = (
        pd.DataFrame(rng.normal(size=(n, 3)) @ [[1, 0.8, 0], [0, 0.6, 0], [0, 0, 1]])
        for n in (40, 300, 800)
    )
    found = closeness(KEY, train, test, good, np.ones(800))
    for name in ("kl", "energy", "sliced_wasserstein"):
        assert found[f"{name}_test"] < found[f"{name}_test_train"]
        bad = closeness(KEY, train, test, good + 1.0, np.ones(800))
        assert bad[f"{name}_test"] > bad[f"{name}_test_train"]
    assert closeness(KEY, train, test, 2 * good, np.ones(800))["variance_difference_signed"] > 1.0


def test_closeness_of_many_rows_thins_them_by_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    train, test = (pd.DataFrame(rng.normal(size=(200, 2))) for _ in range(2))
    many = np.concatenate([rng.normal(size=(1500, 2)), 5 + rng.normal(size=(1500, 2))])
    order = rng.permutation(3000)
    weights = np.r_[np.full(1500, 1.0), np.full(1500, 1e-9)][order]
    whole = closeness(KEY, train, test, pd.DataFrame(many[:1500]), np.ones(1500))
    monkeypatch.setattr(mmm_bayes.augmentation.closeness, "_MOST_PAIRED", 600)
    found = closeness(KEY, train, test, pd.DataFrame(many[order]), weights)
    assert found["energy_test"] != whole["energy_test"]
    assert found["energy_test"] == pytest.approx(whole["energy_test"], abs=0.02)
    assert found["kl_test"] == pytest.approx(whole["kl_test"], abs=1e-3)


def test_every_finding_of_the_settings() -> None:
    with pytest.raises(DataError) as caught:
        RunSettings(
            mechanism="net",  # type: ignore[arg-type]
            n_rows=5,
            n_nodes=1,
            thresholds=(2.0,),
            outliers=(0.0,),
            max_targets=0,
            methods=("defalt",),
            mixtures=(),
            tuning="none",  # type: ignore[arg-type]
        )
    checks = {finding.check for finding in caught.value.findings}
    assert checks == {
        "mechanism", "n_rows", "n_nodes", "thresholds", "outliers", "max_targets", "methods",
        "mixtures", "tuning",
    }  # fmt: skip
    assert "Did you mean 'default'?" in str(caught.value)
    with pytest.raises(DataError, match="'enumerate' needs a threshold"):
        RunSettings(thresholds=())
