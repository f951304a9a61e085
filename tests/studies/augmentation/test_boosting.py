"""Boosted trees: XGBoost fitted plainly, weights against repeated rows, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import mean_absolute_percentage_error, r2_score
from sklearn.model_selection import KFold

from mmm_bayes.augmentation.learners import mape, r2
from mmm_bayes.runtime.findings import DataError
from studies.augmentation.boosting import (
    PUBLISHED_BOOSTER,
    BoostedFit,
    fit_augmented,
    fit_boosted,
    neighbouring_folds,
)
from studies.augmentation.boosting_tables import AugmentedFold

NDArray = np.ndarray[Any, Any]
TREES, PENALTIES = (2, 5, 12), (1.0, 20.0)
GRID: dict[str, Any] = {"n_estimators": TREES, "reg_lambda": PENALTIES}


@dataclass(frozen=True)
class Table:
    frame: pd.DataFrame
    weights: NDArray


def table(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.2 * rng.normal(size=n)
    return pd.DataFrame(np.c_[x, y], columns=["a", "b", "c", "y"])


def arrays(frame: pd.DataFrame, target: str = "y") -> tuple[NDArray, NDArray]:
    return frame.drop(columns=target).to_numpy(), frame[target].to_numpy()


def plain(x: NDArray, y: NDArray, w: NDArray | None, trees: int, penalty: float) -> Any:
    """XGBoost's own interface, one fit a setting."""
    model = xgboost.XGBRegressor(
        n_estimators=trees, reg_lambda=penalty, n_jobs=1, **PUBLISHED_BOOSTER
    )
    return model.fit(x, y, sample_weight=w)


def augmented_folds(frame: pd.DataFrame, weights: NDArray, shift: float) -> list[AugmentedFold]:
    """Three folds, each with an "augmentation": the training rows, their target shifted."""
    folds = []
    for held in neighbouring_folds(len(frame), 3):
        rest = frame.drop(index=held)
        folds.append(
            AugmentedFold(held, Table(rest.assign(y=rest["y"] + shift), weights[rest.index]))
        )
    return folds


@pytest.mark.parametrize("weighted", [False, True])
def test_published_protocol_fit_by_fit(weighted: bool) -> None:
    """27 fits with XGBoost's own interface and scikit-learn's folds give the same table."""
    x, y = arrays(table(100, 0))
    w = np.random.default_rng(1).uniform(0.1, 3.0, 100) if weighted else None
    fit = fit_boosted(x, y, w, **GRID)
    expected = []
    for trees in TREES:
        for penalty in PENALTIES:
            errors = []
            for train, held in KFold(3).split(x):
                model = plain(x[train], y[train], None if w is None else w[train], trees, penalty)
                square = (y[held] - model.predict(x[held])) ** 2
                errors.append(np.average(square, weights=None if w is None else w[held]))
            expected.append((trees, penalty, np.mean(errors)))
    cv = fit.cv[["n_estimators", "reg_lambda", "mse"]].to_numpy()
    np.testing.assert_allclose(cv, expected, rtol=1e-6)
    best = min(expected, key=lambda row: row[2])
    assert (fit.n_estimators, fit.reg_lambda) == best[:2]
    assert fit.booster.num_boosted_rounds() == fit.n_estimators
    whole = plain(x, y, w, fit.n_estimators, fit.reg_lambda).predict(x)
    np.testing.assert_array_equal(fit.predict(x), whole)


def test_first_trees_of_a_booster_are_the_smaller_booster() -> None:
    x, y = arrays(table(80, 2))
    long = plain(x, y, None, 30, 1.0)
    for trees in (1, 4, 30):
        short = plain(x, y, None, trees, 1.0).predict(x)
        np.testing.assert_array_equal(long.predict(x, iteration_range=(0, trees)), short)


def test_a_weight_of_two_is_a_row_twice() -> None:
    x, y = arrays(table(60, 3))
    weights = np.ones(60)
    weights[::3] = 2.0
    more = np.repeat(np.arange(60), weights.astype(int))
    settings: dict[str, Any] = {"n_estimators": (8,), "reg_lambda": (3.0,)}
    weighted = fit_boosted(x, y, weights, **settings)
    repeated = fit_boosted(x[more], y[more], **settings)
    np.testing.assert_allclose(weighted.predict(x), repeated.predict(x), rtol=1e-4, atol=1e-5)
    assert not np.allclose(weighted.predict(x), fit_boosted(x, y, **settings).predict(x), rtol=1e-3)


def test_rows_of_weight_zero_are_not_there() -> None:
    x, y = arrays(table(70, 4))
    weights = np.ones(70)
    weights[5:30] = 0.0
    one = fit_boosted(x, y, weights, **GRID)
    other = fit_boosted(x[weights > 0], y[weights > 0], **GRID)
    pd.testing.assert_frame_equal(one.cv, other.cv)
    np.testing.assert_array_equal(one.predict(x), other.predict(x))


def test_neighbouring_folds_are_those_of_scikit_learn() -> None:
    for n in (3, 7, 8, 21):
        ours = neighbouring_folds(n, 3)
        theirs = [held for _, held in KFold(3).split(np.zeros(n))]
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def augmented_fit(shift: float, **changed: Any) -> tuple[BoostedFit, pd.DataFrame, NDArray]:
    frame = table(90, 5)
    weights = np.random.default_rng(6).uniform(0.1, 1.0, 90)
    augmented = Table(frame.assign(y=frame["y"] + shift), weights)
    folds = augmented_folds(frame, weights, shift)
    return fit_augmented(frame, "y", augmented, folds, **(GRID | changed)), frame, weights


def test_augmented_protocol_fit_by_fit() -> None:
    """Errors on observed held-out rows, weights that add up to their number, by plain fits."""
    fit, frame, weights = augmented_fit(0.3, mixtures=(0.0, 0.4))
    x, y = arrays(frame)
    expected = []
    for mixture in (0.0, 0.4):
        for trees in TREES:
            for penalty in PENALTIES:
                errors = []
                for train, held in KFold(3).split(x):
                    n, w = len(train), weights[train]
                    own = np.full(n, 1 - mixture)
                    mixed = np.r_[own, mixture * n * w / w.sum()] if mixture else own
                    assert mixed.sum() == pytest.approx(n)
                    both = (np.r_[x[train], x[train]], np.r_[y[train], y[train] + 0.3])
                    rows = slice(None) if mixture else slice(n)
                    model = plain(both[0][rows], both[1][rows], mixed, trees, penalty)
                    errors.append(np.mean((y[held] - model.predict(x[held])) ** 2))
                expected.append((mixture, trees, penalty, np.mean(errors)))
    np.testing.assert_allclose(fit.cv.to_numpy(), expected, rtol=1e-5)
    assert (fit.mixture, fit.n_estimators, fit.reg_lambda) == min(expected, key=lambda r: r[3])[:3]


def test_useless_augmentation_is_not_used_and_a_useful_one_is() -> None:
    assert augmented_fit(50.0)[0].mixture == 0.0
    frame, more = table(60, 7), table(1200, 8)
    augmented = Table(more, np.ones(1200))
    folds = [AugmentedFold(held, augmented) for held in neighbouring_folds(60, 3)]
    grid: dict[str, Any] = {"n_estimators": (50,), "reg_lambda": (1.0,)}
    fit = fit_augmented(frame, "y", augmented, folds, **grid)
    assert fit.mixture > 0.0
    x, y = arrays(table(400, 9))
    assert r2(y, fit.predict(x)) > r2(y, fit_boosted(*arrays(frame), **grid).predict(x)) + 0.05


def test_without_augmentation_it_is_the_published_protocol() -> None:
    frame = table(90, 5)
    empty = Table(frame.iloc[:0], np.empty(0))
    folds = [AugmentedFold(held, empty) for held in neighbouring_folds(90, 3)]
    fit = fit_augmented(frame, "y", empty, folds, **GRID)
    plainly = fit_boosted(*arrays(frame), **GRID)
    pd.testing.assert_frame_equal(fit.cv, plainly.cv)
    pd.testing.assert_frame_equal(augmented_fit(1.0, mixtures=(0.0,))[0].cv, plainly.cv)
    np.testing.assert_array_equal(fit.predict(arrays(frame)[0]), plainly.predict(arrays(frame)[0]))


def test_all_weight_on_augmented_rows() -> None:
    fit, frame, weights = augmented_fit(2.0, mixtures=(1.0,), n_estimators=(5,), reg_lambda=(1.0,))
    x, y = arrays(frame)
    model = plain(x, y + 2.0, 90 * weights / weights.sum(), 5, 1.0)
    np.testing.assert_allclose(fit.predict(x), model.predict(x), rtol=1e-5)


def test_r2_and_mape_as_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    y, guess = rng.normal(size=40), rng.normal(size=40)
    y[3] = 0.0
    assert r2(y, guess) == pytest.approx(r2_score(y, guess))
    assert mape(y, guess) == pytest.approx(mean_absolute_percentage_error(y, guess))
    for constant in (np.ones(4), np.ones(4) + 1.0):
        assert r2(np.ones(4), constant) == r2_score(np.ones(4), constant)


def test_every_finding_of_a_weighted_table() -> None:
    x, y = arrays(table(20, 0))
    y = np.where(np.isin(np.arange(20), (2, 7)), np.nan, y)
    weights = np.ones(20)
    weights[4] = -1.0
    with pytest.raises(DataError) as caught:
        fit_boosted(x, y, weights, n_estimators=(0, 10), reg_lambda=(-1.0,), folds=1)
    text = str(caught.value)
    for part in ("row 2, 7 is not", "row 4 is not", "got (0, 10)", "got (-1.0,)", "got 1"):
        assert part in text
    with pytest.raises(DataError, match=r"at least 3 rows of positive weight; got 3 .* and 2 such"):
        fit_boosted(x[:4], np.ones(4), [0.0, 1.0, 0.0, 1.0])
    with pytest.raises(DataError, match=r"got \(20, 3\), \(4,\) and \(4,\)"):
        fit_boosted(x, np.ones(4))


def test_every_finding_of_an_augmented_table() -> None:
    frame = table(30, 0)
    other = Table(frame.rename(columns={"a": "z"}), np.ones(30))
    folds = [AugmentedFold(np.array([0, 0, 40]), other)]
    with pytest.raises(DataError) as caught:
        fit_augmented(frame, "Y", other, folds, mixtures=(0.5, 1.5))
    text = str(caught.value)
    assert "no column 'Y'. Did you mean 'y'?" in text
    assert text.count("got z, b, c, y") == 2
    assert "Fold 1 should hold out some of the 30 observed rows" in text
    assert "got (0.5, 1.5)" in text
    good = Table(frame, np.r_[-1.0, np.ones(29)])
    with pytest.raises(DataError, match="row 0 is not"):
        fit_augmented(frame, "y", good, [AugmentedFold(np.arange(5), good)])


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match=r'pip install "mmm-bayes\[augmentation\]"'):
        fit_boosted(*arrays(table(20, 0)))
