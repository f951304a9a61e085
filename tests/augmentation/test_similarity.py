"""Distances between weighted samples: closed forms, invariances and plain formulas."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import cdist
from sklearn.neighbors import KernelDensity

from mmm_bayes.augmentation.similarity import (
    energy_distance,
    kl_divergence,
    relative_variance_difference,
    sliced_wasserstein,
    wasserstein,
)
from mmm_bayes.runtime.findings import DataError
from studies.augmentation.published import (
    published_kl,
    published_similarity,
    published_wasserstein,
)

NDArray = np.ndarray[Any, Any]
KEY = jax.random.key(3)

MEASURES: dict[str, Callable[..., float]] = {
    "kl_divergence": kl_divergence,
    "wasserstein_1": wasserstein,
    "wasserstein_2": partial(wasserstein, p=2),
    "sliced_wasserstein": partial(sliced_wasserstein, KEY, n_projections=20),
    "energy_distance": energy_distance,
    "relative_variance_difference": relative_variance_difference,
    "published_kl": published_kl,
    "published_wasserstein": published_wasserstein,
}
OURS = [name for name in MEASURES if not name.startswith("published")]


@pytest.fixture
def samples() -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Samples of 25 and 31 rows in three columns, with unequal weights of odd sums."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(25, 3)), 0.4 + 1.3 * rng.normal(size=(31, 3))
    return x, y, rng.uniform(0.2, 2.0, 25), rng.uniform(0.2, 2.0, 31)


@pytest.mark.parametrize("name", MEASURES)
def test_battery_equal_weights_and_their_scale(name: str, samples: Any) -> None:
    x, y, a, b = samples
    measure = MEASURES[name]
    equal = measure(x, y)
    assert measure(x, y, np.full(25, 1 / 25), np.full(31, 7.0)) == pytest.approx(equal, rel=1e-9)
    weighted = measure(x, y, a, b)
    assert measure(x, y, 5 * a, b / 3) == pytest.approx(weighted, rel=1e-9)
    assert abs(weighted - equal) > 1e-6 * abs(equal)


@pytest.mark.parametrize("name", MEASURES)
def test_battery_order_of_rows_and_weights_of_zero(name: str, samples: Any) -> None:
    x, y, a, b = samples
    measure = MEASURES[name]
    expected = measure(x, y, a, b)
    order = np.random.default_rng(1).permutation(len(y))
    assert measure(x, y[order], a, b[order]) == pytest.approx(expected, rel=1e-7)
    if name in OURS:  # the published ones are evaluated at every row, whatever its weight
        more = np.concatenate([y, [[50.0, -40.0, 9.0]]])
        assert measure(x, more, a, np.append(b, 0.0)) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", OURS)
def test_battery_weight_two_is_a_row_twice(name: str, samples: Any) -> None:
    x, y, a, b = samples
    twice = np.r_[np.arange(31), 4, 17]
    halved = b.copy()
    halved[[4, 17]] /= 2
    measure = MEASURES[name]
    doubled = measure(x, y[twice], a, halved[twice])
    assert doubled == pytest.approx(measure(x, y, a, b), rel=1e-7)
    whole = np.ones(31)
    whole[[4, 17]] = 2.0
    assert measure(x, y[twice]) == pytest.approx(measure(x, y, None, whole), rel=1e-7)


@pytest.mark.parametrize("name", MEASURES)
def test_battery_a_sample_is_at_zero_from_itself(name: str, samples: Any) -> None:
    x, y, a, b = samples
    measure = MEASURES[name]
    order = np.random.default_rng(2).permutation(len(x))
    # A square root makes 1e-8 of the rounding of a squared distance.
    assert measure(x, x[order], a, a[order]) == pytest.approx(0.0, abs=2e-7)
    assert measure(x, y, a, b) > 1e-3 or name == "published_kl"


@pytest.mark.parametrize("name", [n for n in OURS if "relative" not in n and "kl" not in n])
def test_battery_a_shift_and_the_scale(name: str, samples: Any) -> None:
    x, y, a, b = samples
    measure = MEASURES[name]
    expected = measure(x, y, a, b)
    assert measure(y, x, b, a) == pytest.approx(expected, rel=1e-7)
    assert measure(3 * x + 1, 3 * y + 1, a, b) == pytest.approx(3 * expected, rel=1e-7)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_kl_of_gaussians(d: int) -> None:
    """Mean over repeated samples against the closed form, at the bias that the docstring states."""
    rng = np.random.default_rng(d)
    for shift, scale in ((0.0, 1.0), (1.0 / np.sqrt(d), 1.0), (0.3, 1.4)):
        truth = d * (0.5 * ((1 + shift**2) / scale**2 - 1) + np.log(scale))
        values = [
            kl_divergence(rng.normal(size=(300, d)), shift + scale * rng.normal(size=(500, d)))
            for _ in range(12)
        ]
        error = np.std(values) / np.sqrt(12)
        assert np.mean(values) == pytest.approx(truth, abs=0.1 + 3 * error), (shift, scale)


def test_kl_of_weighted_gaussians() -> None:
    """Importance weights turn draws of one Gaussian into another."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=1500), 1.2 * rng.normal(size=1500)
    to = scipy.stats.norm(0.5, 1.0)
    weights = to.pdf(y) / scipy.stats.norm(0, 1.2).pdf(y)
    assert kl_divergence(x, y, None, weights) == pytest.approx(0.125, abs=0.03)
    assert kl_divergence(y, x, weights, None) == pytest.approx(0.125, abs=0.03)


def test_kl_by_a_plain_loop(samples: Any) -> None:
    x, y, a, b = samples
    y[:3] = x[4:7]  # rows in common do not vouch for themselves
    a, b = a / a.sum(), b / b.sum()

    def log_density(at: NDArray, rows: NDArray, weights: NDArray) -> float:
        spread = np.cov(rows.T, aweights=weights) * (5 / (4 * np.sum(weights**2))) ** (-2 / 7)
        total = left = 0.0
        for row, weight in zip(rows, weights, strict=True):
            if not np.array_equal(row, at):
                total += weight * scipy.stats.multivariate_normal(row, spread).pdf(at)
                left += weight
        return float(np.log(total / left))

    loop = sum(
        weight * (log_density(row, x, a) - log_density(row, y, b))
        for row, weight in zip(x, a, strict=True)
    )
    assert kl_divergence(x, y, a, b) == pytest.approx(loop, rel=1e-9)


def test_kl_does_not_change_with_the_columns_units(samples: Any) -> None:
    x, y, a, b = samples
    mix = np.array([[100.0, 0.0, 0.2], [0.0, 1e-3, 0.0], [0.0, 2e-3, 5.0]])
    assert kl_divergence(x @ mix, y @ mix, a, b) == pytest.approx(kl_divergence(x, y, a, b))


@pytest.mark.parametrize("p", [1, 2])
def test_wasserstein_in_one_dimension(p: Any) -> None:
    """The optimal plan of equal weights pairs the sorted values; weights integrate quantiles."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.gamma(2.0, size=40)
    paired = np.mean(np.abs(np.sort(x) - np.sort(y)) ** p) ** (1 / p)
    assert wasserstein(x, y, p=p) == pytest.approx(paired, rel=1e-9)
    assert sliced_wasserstein(KEY, x, y, p=p, n_projections=3) == pytest.approx(paired, rel=1e-9)
    a, b = rng.integers(1, 6, 40), rng.integers(1, 6, 40)
    long_x, long_y = (
        np.repeat(np.sort(v), w[np.argsort(v)] * other.sum())
        for v, w, other in ((x, a, b), (y, b, a))
    )
    paired = np.mean(np.abs(long_x - long_y) ** p) ** (1 / p)
    assert wasserstein(x, y, a, b, p=p) == pytest.approx(paired, rel=1e-9)


def test_wasserstein_of_a_shift() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    shift = np.array([3.0, -1.0, 0.5, 2.0])
    for p in (1, 2):
        assert wasserstein(x, x + shift, p=p) == pytest.approx(np.linalg.norm(shift), rel=1e-9)
    # The mean square of a projection of a fixed vector is its squared length over the dimension.
    sliced = sliced_wasserstein(KEY, x, x + shift, n_projections=4000)
    assert sliced == pytest.approx(np.linalg.norm(shift) / 2, rel=0.05)


def test_sliced_wasserstein_is_a_function_of_the_key(samples: Any) -> None:
    x, y, a, b = samples
    one, same = (sliced_wasserstein(KEY, x, y, a, b) for _ in range(2))
    assert one == same != sliced_wasserstein(jax.random.key(4), x, y, a, b)
    assert one <= wasserstein(x, y, a, b, p=2)


def test_energy_distance_in_one_dimension(samples: Any) -> None:
    x, y, a, b = samples
    root = scipy.stats.energy_distance(x[:, 0], y[:, 0], a, b)
    assert energy_distance(x[:, 0], y[:, 0], a, b) == pytest.approx(root**2, rel=1e-9)


def test_energy_distance_of_many_rows_goes_by_blocks() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2500, 2)), rng.normal(size=(2100, 2))
    pairs = [cdist(s, t).mean() for s, t in ((x, y), (x, x), (y, y))]
    whole = 2 * pairs[0] - pairs[1] - pairs[2]
    assert energy_distance(x, y) == pytest.approx(whole, rel=1e-6)


def test_relative_variance_difference(samples: Any) -> None:
    x, y, a, b = samples
    expected = []
    for j in range(3):
        s, t = (
            np.average((v[:, j] - np.average(v[:, j], weights=w)) ** 2, weights=w)
            for v, w in ((x, a), (y, b))
        )
        expected.append((s - t) / t)
    signed = relative_variance_difference(x, y, a, b, signed=True)
    assert signed == pytest.approx(np.mean(expected))
    assert relative_variance_difference(x, y, a, b) == pytest.approx(np.mean(np.abs(expected)))
    wide = relative_variance_difference(2 * y, y, signed=True)
    assert wide == pytest.approx(3.0)
    with pytest.raises(DataError, match=r"Column 1 of y does not vary"):
        relative_variance_difference(x, np.c_[y[:, 0], np.full(31, 0.1), y[:, 2]])


def test_published_measures_are_not_divergences() -> None:
    """The reason to keep them to comparisons: mirror images lie apart and are called equal."""
    x = np.random.default_rng(0).gamma(2.0, size=(200, 1))
    assert published_wasserstein(x, -x) == pytest.approx(0.0, abs=1e-9)
    assert wasserstein(x, -x) > 3.0


def test_published_densities_are_those_of_scikit_learn(samples: Any) -> None:
    x, y, a, b = samples
    both = np.concatenate([x, y])
    p, q = (
        KernelDensity(bandwidth="silverman").fit(v, sample_weight=w).score_samples(both)
        for v, w in ((x, a), (y, b))
    )
    kl, apart = published_similarity(x, y, a, b)
    assert kl == pytest.approx(scipy.stats.entropy(p, q), rel=1e-6)
    assert apart == pytest.approx(np.mean(np.abs(np.sort(p) - np.sort(q))), rel=1e-6)
    assert (kl, apart) == (published_kl(x, y, a, b), published_wasserstein(x, y, a, b))


def test_every_finding_at_once() -> None:
    x = np.ones((4, 2))
    x[2, 1] = np.nan
    with pytest.raises(DataError) as caught:
        energy_distance(x, np.ones((3, 3)), [1, -1, 1, 1], [1, 1])
    text = str(caught.value)
    for part in ("x has empty or infinite values in row 2", "row 1 is not", "got shape (2,)"):
        assert part in text
    assert "x has 2, y 3" in text
    assert {finding.where for finding in caught.value.findings} == {"x", "y", None}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy_distance(np.ones((0, 2)), np.ones((3, 2))), r"got shape \(0, 2\)"),
        (lambda: energy_distance([1.0, 2.0], [1.0], None, [0.0]), "y_weights are all zero"),
        (lambda: kl_divergence(np.ones((9, 2)), np.ones((9, 2))), "x has 1 distinct rows in 2"),
        (lambda: wasserstein([1.0], [2.0], p=3), "p should be 1 or 2; got 3"),
        (lambda: sliced_wasserstein(KEY, [1.0], [2.0], n_projections=0), "at least 1.*got 0"),
    ],
)
def test_refusals(call: Callable[[], float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("module", "measure"),
    [("ot", "wasserstein_1"), ("ot", "sliced_wasserstein")],
)
def test_a_missing_extra_says_how_to_install_it(
    module: str, measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "mmm-bayes\[augmentation\]"'):
        MEASURES[measure]([1.0, 2.0], [2.0, 3.0])
