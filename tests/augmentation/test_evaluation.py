"""Evaluation of augmented rows: splits, controls, intervals, conclusions with a known truth."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.stats

import mmm_bayes as mb
from mmm_bayes.augmentation import evaluation
from mmm_bayes.augmentation.evaluation_report import AugmentationEvaluation
from mmm_bayes.augmentation.learners import tuned_learner

NDArray = np.ndarray[Any, Any]


def table(num_rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """A chain tv -> search -> sales, with a region that acts on nothing."""
    rng = np.random.default_rng(seed)
    tv = rng.normal(size=num_rows)
    search = tv + rng.normal(size=num_rows)
    region = rng.choice(["north", "south", "west"], num_rows)
    sales = 5.0 + search + 0.5 * rng.normal(size=num_rows)
    return pd.DataFrame({"tv": tv, "search": search, "region": region, "sales": sales})


GRAPH = mb.CausalGraph(
    ["tv", "search", "region", "sales"], edges=[("tv", "search"), ("search", "sales")]
)


def evaluate(rng_key: Any = 0, **settings: Any) -> AugmentationEvaluation:
    given: dict[str, Any] = {"target": "sales", "learner": "ridge", "num_splits": 3, "num_rows": 60}
    return mb.evaluate_augmentation(rng_key, table(), GRAPH, **(given | settings))


@pytest.fixture(scope="module")
def found() -> AugmentationEvaluation:
    return evaluate()


def test_a_key_in_any_form_gives_the_same_splits(found: AugmentationEvaluation) -> None:
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        pd.testing.assert_frame_equal(evaluate(key).splits, found.splits)
    assert not evaluate(1).splits.equals(found.splits)


def test_the_table_holds_means_differences_and_the_corrected_interval(
    found: AugmentationEvaluation,
) -> None:
    assert (found.num_train, found.num_test) == (42, 18)
    frame, splits = found.to_frame(), found.splits
    assert list(frame.index) == [
        "R2", "MAPE", "KL divergence", "energy distance", "sliced Wasserstein distance",
        "variance difference", "variance difference, signed", "weight on repeated rows",
    ]  # fmt: skip
    difference = (splits["r2"] - splits["r2_control"]).to_numpy()
    half = scipy.stats.t.ppf(0.95, 2) * np.std(difference, ddof=1) * np.sqrt(1 / 3 + 18 / 42)
    row = frame.loc["R2"]
    assert row["augmented"] == pytest.approx(splits["r2"].mean())
    assert row["control"] == pytest.approx(splits["r2_control"].mean())
    assert row["difference"] == pytest.approx(difference.mean())
    assert [row["lower"], row["upper"]] == pytest.approx(
        [difference.mean() - half, difference.mean() + half]
    )
    assert frame.loc["weight on repeated rows", "lower"] >= 0.0
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100
    assert "3 random splits of 42 training and 18 test rows" in text
    assert "R2 on held-out rows goes from" in " ".join(text.split())


def test_the_control_is_the_learner_on_training_rows_alone() -> None:
    """A learner of one's own that records what it is given."""
    seen: list[tuple[NDArray, NDArray]] = []

    def mean(x: NDArray, y: NDArray, weights: NDArray) -> Any:
        seen.append((x, weights))
        return lambda rows: np.full(len(rows), np.average(y, weights=weights))

    found = evaluate(learner=mean, mixture=0.25, num_splits=2)
    both, control = seen[:2]
    # Two numbers and three indicators of the region; observed rows come first.
    assert both[0].shape == (42 + 60, 5)
    assert control[0].shape == (42, 5)
    np.testing.assert_array_equal(both[0][:42], control[0])
    np.testing.assert_array_equal(control[1], np.ones(42))
    assert both[1][:42] == pytest.approx(np.full(42, 0.75))
    assert both[1].sum() == pytest.approx(42)
    assert (found.splits["r2_control"] <= 0).all()  # no better than the mean of the test rows


def test_no_held_out_row_is_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[pd.DataFrame] = []
    own = evaluation.augment

    def spy(rng_key: Any, frame: pd.DataFrame, *args: Any, **settings: Any) -> Any:
        given.append(frame)
        return own(rng_key, frame, *args, **settings)

    monkeypatch.setattr(evaluation, "augment", spy)
    evaluate(num_splits=2)
    whole = {tuple(row) for row in table().itertuples(index=False)}
    for frame in given:
        rows = {tuple(row) for row in frame.itertuples(index=False)}
        assert len(rows) == 42
        assert rows < whole
    assert not given[0].equals(given[1])


def test_rows_that_lie_about_the_target_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Augmented rows whose target is reversed: worse predictions, farther from the truth."""
    own = evaluation.augment

    def reversed_target(rng_key: Any, frame: pd.DataFrame, *args: Any, **settings: Any) -> Any:
        rows = own(rng_key, frame, *args, **settings)
        rows.frame["sales"] = 10.0 - rows.frame["sales"]
        return rows

    monkeypatch.setattr(evaluation, "augment", reversed_target)
    found = evaluate(num_splits=6, mixture=0.9)
    assert found.helps is False
    assert "worse" in found.conclusion
    assert found.to_frame().loc["energy distance", "difference"] > 0


def test_rows_of_the_truth_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five hundred new rows of the true distribution next to fourteen that are observed."""
    own = evaluation.augment

    def truth(rng_key: Any, frame: pd.DataFrame, *args: Any, **settings: Any) -> Any:
        rows = own(rng_key, frame, *args, **settings)
        rows.frame.loc[:] = table(len(rows), seed=9)
        return rows

    monkeypatch.setattr(evaluation, "augment", truth)
    found = evaluate(num_splits=4, num_rows=500, mixture=0.9, test_fraction=0.77)
    frame = found.to_frame()
    assert frame.loc["R2", "difference"] > 0
    assert frame.loc["MAPE", "difference"] < 0
    assert frame.loc["energy distance", "difference"] < 0
    assert frame.loc["sliced Wasserstein distance", "difference"] < 0


@pytest.mark.parametrize(
    ("change", "helps", "words"),
    [(0.2, True, "improve predictions"), (-0.2, False, "worse"), (0.0, None, "do not show")],
)
def test_the_conclusion_follows_the_interval(change: float, helps: Any, words: str) -> None:
    rng = np.random.default_rng(0)
    columns = ["r2", "mape", "kl", "energy", "sliced_wasserstein"]
    noise = 0.01 * rng.normal(size=(2, 20, 5))
    splits = pd.DataFrame(0.5 + noise[0], columns=columns).assign(mass=1.0, num_augmented=60)
    splits = splits.assign(variance_difference=0.1, variance_difference_signed=-0.1, repeated=0.3)
    for place, name in enumerate(columns):
        better = 1.0 if name == "r2" else -1.0
        splits[f"{name}_control"] = splits[name] - better * change + noise[1, :, place]
    found = AugmentationEvaluation(splits, "sales", "sample", 70, 30, 0.5)
    assert found.helps is helps
    assert words in found.conclusion
    closer = {True: "are closer to", False: "are farther from", None: "about as close to"}
    assert closer[helps] in found.conclusion
    assert "10% smaller" in found.conclusion
    assert found.findings == ()
    repeated = AugmentationEvaluation(splits.assign(repeated=0.95), "sales", "sample", 70, 30, 0.5)
    assert [finding.check for finding in repeated.findings] == ["repeated"]


def test_an_empty_enumeration_is_a_finding() -> None:
    """Two roots: no row weighs more than 1 / n**2."""
    found = evaluate(method="enumerate", threshold=0.5, num_rows=None, num_splits=2)
    assert [finding.check for finding in found.findings] == ["empty", "lost_mass"]
    assert not found.passed
    np.testing.assert_allclose(found.splits["r2"], found.splits["r2_control"])
    assert "could not be measured" in found.conclusion


def test_every_problem_of_the_settings_is_reported_at_once() -> None:
    with pytest.raises(mb.errors.DataError) as error:
        evaluate(target="sale", mixture=0.0, num_splits=1, ci_prob=90, learner="rigde")
    found = {finding.where or finding.check for finding in error.value.findings}
    assert found == {"unknown_choice", "mixture", "num_splits", "ci_prob"}
    assert "Did you mean 'sales'" in str(error.value)
    for settings, name in (
        ({"target": "region"}, "target"),
        ({"test_fraction": 0.99}, "table"),
        ({"test_fraction": 1.5}, "test_fraction"),
    ):
        with pytest.raises(mb.errors.DataError) as error:
            evaluate(**settings)
        assert [finding.where for finding in error.value.findings] == [name]


@pytest.mark.parametrize("name", ["ridge", "boosted_trees"])
def test_learners_take_weights_for_repeated_rows(name: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    y = x @ [1.0, -2.0] + 0.1 * rng.normal(size=40)
    fit, settings = tuned_learner(name, np.random.default_rng(1), x, y)
    assert set(settings) <= {"trees", "penalty"}
    counts = rng.integers(1, 4, 40)
    weighted = fit(x, y, counts.astype(float))(x)
    repeated = fit(np.repeat(x, counts, 0), np.repeat(y, counts), np.ones(counts.sum()))(x)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-3, atol=1e-3)
    assert np.corrcoef(weighted, y)[0, 1] > 0.95
