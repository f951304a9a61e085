"""Cross-validation against the predictive density of a linear model, which is known exactly."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import stats

from mmm_bayes import MMM, MMMData, ModelSpec
from mmm_bayes.validation import cross_validation as cv
from mmm_bayes.validation.refit import shell
from mmm_bayes.validation.rolling import between
from tests.refusals import refused

KEY = jax.random.key(8)
SIGMA = 0.6
# Without media effects and with known noise the model is linear and Gaussian.
LINEAR = ModelSpec(
    name="linear",
    media={"max_lag": 2, "priors": {"beta": {"dist": "constant", "value": 0.0}}},
    likelihood={"sigma": {"dist": "constant", "value": SIGMA}},
    sampler={"num_warmup": 100, "num_samples": 1000, "num_chains": 2},
)


@pytest.fixture(scope="module")
def table(national_data: MMMData) -> MMMData:
    return between(national_data, 0, 60)


@pytest.fixture(scope="module")
def full(table: MMMData):
    return cv.full_fit(KEY, LINEAR, table)


def exact(design, target, scales, train, test, size):
    """Log predictive densities of single rows given others, in the units of the table."""
    prior = design * scales
    precision = np.eye(prior.shape[1]) + prior[train].T @ prior[train] / SIGMA**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ prior[train].T @ target[train] / SIGMA**2
    spread = np.sqrt(np.einsum("ik,kl,il->i", prior[test], covariance, prior[test]) + SIGMA**2)
    return stats.norm.logpdf(target[test], prior[test] @ mean, spread) - np.log(size)


def exact_jointly(design, target, scales, size, origin):
    """Joint log predictive density of all rows past an origin given those before it."""
    prior, past = design * scales, np.arange(len(target)) < origin
    covariance = np.linalg.inv(np.eye(prior.shape[1]) + prior[past].T @ prior[past] / SIGMA**2)
    mean = covariance @ prior[past].T @ target[past] / SIGMA**2
    ahead = prior[~past]
    spread = ahead @ covariance @ ahead.T + SIGMA**2 * np.eye(len(ahead))
    density = stats.multivariate_normal.logpdf(target[~past], ahead @ mean, spread)
    return density - len(ahead) * np.log(size)


def linear_parts(spec: ModelSpec, train: MMMData, whole: MMMData):
    """Design, scaled target and prior scales of a table on the scales of its first rows."""
    from mmm_bayes.model import arrays as model_arrays
    from mmm_bayes.model.linear_block import normal_scales

    empty = shell(spec, train)
    reference = model_arrays.effect_reference(train, empty.scaling)
    arrays = model_arrays.window_arrays(
        empty.structure, whole, empty.scaling, empty.frame, None, 0.0, reference
    )
    target = empty.scaling.target(whole.ds["target"].values, np.ones(1))[0]
    return arrays.design[0], target, normal_scales(empty.structure), empty.scaling.target_scale


@pytest.mark.parametrize("by", ["blocks", "rows"])
def test_k_fold_is_the_predictive_density(table: MMMData, full, by: str):
    found = cv.k_fold(KEY, MMM(table, LINEAR), num_folds=5, by=by, full=full)
    folds = cv.assign_folds(KEY, table, 5, by)[0]
    design, target, scales, size = linear_parts(LINEAR, table, table)
    expected = np.empty(60)
    for fold in range(5):
        held = folds == fold
        expected[held] = exact(design, target, scales, ~held, held, size)
    # 2,000 independent draws: the density of one row is known to about a hundredth.
    np.testing.assert_allclose(found.elpd_i.values, expected, atol=0.06)
    assert found.elpd == pytest.approx(expected.sum(), abs=0.5)
    assert found.n_folds == 5


def test_leaving_out_the_future_is_the_predictive_density(table: MMMData, full):
    model = MMM(table, LINEAR)
    near = cv.leave_future_out(KEY, model, min_train=50, full=full)
    assert near.n_refits == 0  # so that scales are those of the first 50 rows
    parts = linear_parts(LINEAR, between(table, 0, 50), table)
    design, target, scales, size = parts
    every = np.arange(60)
    expected = [
        exact(design, target, scales, every < t, every == t, size).item() for t in range(50, 60)
    ]
    np.testing.assert_allclose(near.elpd_i.values, expected, atol=0.08)
    exactly = cv.leave_future_out(KEY, model, min_train=56, horizon=2, method="exact", full=full)
    assert exactly.n_data_points == 3
    assert exactly.forecast_horizon == 2
    joint = exact_jointly(*linear_parts(LINEAR, between(table, 0, 58), table), 58)
    assert exactly.elpd_i.values[-1] == pytest.approx(joint, abs=0.12)


def test_leave_one_out_needs_one_fit(table: MMMData, full):
    found = cv.leave_one_out(full)
    design, target, scales, size = linear_parts(LINEAR, table, table)
    every = np.arange(60)
    expected = [
        exact(design, target, scales, every != t, every == t, size).item() for t in range(60)
    ]
    np.testing.assert_allclose(np.ravel(found.elpd_i), expected, atol=0.06)


def test_folds_are_blocks_rows_or_geos(geo_data: MMMData):
    blocks = cv.assign_folds(KEY, geo_data, 5, "blocks")
    assert blocks.shape == (4, 80)
    assert (np.diff(blocks, axis=1) >= 0).all()
    assert (blocks == blocks[0]).all()
    rows = cv.assign_folds(KEY, geo_data, 5, "rows")
    assert (np.bincount(rows.ravel()) == 64).all()
    geos = cv.assign_folds(KEY, geo_data, 4, "geo")
    assert sorted(geos[:, 0]) == [0, 1, 2, 3]
    assert (geos == geos[:, :1]).all()
    with refused("num_folds"):
        cv.assign_folds(KEY, geo_data, 5, "geo")
    with refused("by"):
        cv.assign_folds(KEY, geo_data, 5, "weeks")  # type: ignore[arg-type]


def test_a_geo_that_was_never_seen_can_be_predicted(geo_data: MMMData):
    spec = ModelSpec(
        media={"max_lag": 3},
        sampler={"num_warmup": 100, "num_samples": 100, "num_chains": 2},
    )
    found = cv.k_fold(KEY, MMM(geo_data, spec), num_folds=2, by="geo")
    assert found.n_data_points == 320
    assert found.p > 0
    assert np.isfinite(found.elpd_i).all()


def test_no_date_to_forecast(table: MMMData):
    with refused("min_train") as caught:
        cv.leave_future_out(KEY, MMM(table, LINEAR), min_train=60)
    assert "3 and 59" in str(caught.value)
