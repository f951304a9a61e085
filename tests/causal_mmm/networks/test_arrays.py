"""Standardisation and normal scores, there and back."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import rankdata

from mmm_bayes.causal_mmm.networks.arrays import from_scores, normal_scores, on_one_scale, prepare
from mmm_bayes.causal_mmm.networks.normalise import fit_normalisation, restore, standardise

from .small import LAYOUT, LENGTH, NODES, SHOPS, series

NDArray = np.ndarray[Any, Any]


LINEAR = np.zeros(NODES, bool)
LOGARITHM = np.array([True, False, True])
UNITS = 10.0 ** np.array([[[0.0, 3.0, -2.0]]])


def positive(seed: int = 60) -> NDArray:
    values = UNITS * np.exp(series(seed))
    values[1, 4, 0] = values[2, 20:, 1] = np.nan
    return values


def context(seed: int = 61) -> NDArray:
    return 5.0 + 3.0 * np.random.default_rng(seed).normal(size=(SHOPS, LENGTH, 1))


@pytest.mark.parametrize("by", ["series", "node"])
@pytest.mark.parametrize("logarithm", [LINEAR, LOGARITHM], ids=["linear", "logarithm"])
def test_standardised_and_back(by: Literal["series", "node"], logarithm: NDArray) -> None:
    values = positive()
    norm = fit_normalisation(values, context(), logarithm, by=by)
    found = standardise(values, norm)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    axis: Any = 1 if by == "series" else (0, 1)
    np.testing.assert_allclose(np.nanmean(found, axis), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(found, axis), 1.0, rtol=1e-12)
    np.testing.assert_allclose(restore(found, norm), values, rtol=1e-9)
    draws = np.stack([found, found + 1.0])
    np.testing.assert_allclose(restore(draws, norm)[1], restore(found + 1.0, norm))


def test_logarithms_are_of_the_value_over_its_mean() -> None:
    values = positive()
    norm = fit_normalisation(values, context(), LOGARITHM, by="series")
    shaped = np.log1p(values[0, :, 0] / values[0, :, 0].mean())
    expected = (shaped - shaped.mean()) / shaped.std()
    np.testing.assert_allclose(standardise(values, norm)[0, :, 0], expected, rtol=1e-10)


def test_constant_and_empty_series_stay_numbers() -> None:
    values = positive()
    values[0, :, 1], values[3, :, 0] = 7.0, np.nan
    found = prepare(values, context(), LAYOUT, LINEAR, by="series", scores=True)
    assert (np.asarray(found.shops.values)[0, :, 1] == 0).all()
    assert (np.asarray(found.shops.observed)[3, :, 0] == 0).all()
    for array in (found.shops.values, found.shops.evidence, found.shops.sums.gram):
        assert np.isfinite(np.asarray(array)).all()


def test_normal_scores_are_those_of_ranks() -> None:
    random = np.random.default_rng(62)
    values = np.round(random.normal(size=(3, 40)), 1)  # with ties
    values[1, 5:9], values[2, 30:] = np.nan, np.nan
    scores, ranked = normal_scores(values)
    for shop in range(3):
        there = np.isfinite(values[shop])
        own = values[shop, there]
        exact = ndtri((rankdata(own) - 0.375) / (len(own) + 0.25))
        np.testing.assert_allclose(scores[shop, there], exact, rtol=1e-10, atol=1e-12)
        assert np.isnan(scores[shop, ~there]).all()
        assert len(set(own)) < len(own)
    back = from_scores(np.nan_to_num(scores), ranked)
    there = np.isfinite(values)
    np.testing.assert_allclose(back[there], values[there], atol=1e-9)


def test_scores_beyond_what_was_seen_go_on_rising() -> None:
    _, ranked = normal_scores(np.random.default_rng(63).normal(size=(2, 50)))
    grid = np.broadcast_to(np.linspace(-6, 6, 101), (3, 2, 101))
    found = from_scores(grid, ranked)
    assert found.shape == grid.shape
    assert (np.diff(found, axis=-1) >= 0).all()
    assert (np.diff(found[..., [0, 1]], axis=-1) > 0).all()
    assert (np.diff(found[..., [-2, -1]], axis=-1) > 0).all()
    # Normal values come back about as they are, within the error of 50 values' extreme slopes.
    assert (np.abs(found[..., 0] + 6) < 4).all()


def test_one_scale() -> None:
    values = series() / series().std(1, keepdims=True)
    assert on_one_scale(values)
    assert not on_one_scale(values[:1])
    assert not on_one_scale(np.where(np.arange(SHOPS)[:, None, None] == 0, 1.0, values))
    # Four times as large in all nodes is another size; in one of three it may be what acts on it.
    larger = np.where(np.arange(SHOPS) % 2, 4.0, 1.0)[:, None, None]
    assert not on_one_scale(values * larger)
    assert on_one_scale(np.where(np.arange(NODES) == 0, values * larger, values))
    assert not on_one_scale(
        values * 10.0 ** np.random.default_rng(5).normal(size=(SHOPS, 1, NODES))
    )


@pytest.mark.parametrize("by", ["series", "node"])
def test_new_shops_are_seen_as_those_of_training(by: Literal["series", "node"]) -> None:
    trained = prepare(series(), context(), LAYOUT, LINEAR, by=by, scores=False)
    values, around = 3.0 + 2.0 * series(64), context(65)
    values[0, 3, 1] = np.nan
    found = prepare(values, around, LAYOUT, LINEAR, by=by, scores=False, norm=trained.norm)
    location, scale = context().mean((0, 1)), context().std((0, 1))
    np.testing.assert_allclose(found.shops.context, (around - location) / scale, rtol=1e-5)
    axis: Any = 1 if by == "series" else (0, 1)
    given = values if by == "series" else series()
    location, scale = np.nanmean(given, axis, keepdims=True), np.nanstd(given, axis, keepdims=True)
    expected = np.where(np.isfinite(values), (values - location) / scale, 0.0)
    np.testing.assert_allclose(found.shops.values, expected.clip(-10, 10), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.shops.observed, np.isfinite(values))


def test_only_the_target_has_scores_and_outliers_are_cut() -> None:
    values = series()
    values[0, 7] = 1e6
    found = prepare(values, context(), LAYOUT._replace(context=1), LINEAR, by="node", scores=True)
    seen = np.asarray(found.shops.values)
    scores, _ = normal_scores(values[..., -1])
    np.testing.assert_allclose(seen[..., -1], scores, rtol=1e-4, atol=1e-6)
    assert seen[0, 7, 0] == 10.0
    without = prepare(
        values, context(), LAYOUT, LINEAR, by="node", scores=False, with_evidence=False
    )
    assert without.ranked is None
    assert without.shops.evidence.shape == (SHOPS, NODES, NODES, 0)
