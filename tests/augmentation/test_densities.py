"""Neighbours, mixtures, flows and boosted quantiles on known distributions, and in parts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from mmm_bayes.augmentation import boosted_quantiles, flow
from mmm_bayes.augmentation.boosted_quantiles import increasing, inverse_cdf, log_slope
from mmm_bayes.augmentation.columns import Columns
from mmm_bayes.augmentation.densities import (
    MixtureConditional,
    NearestConditional,
    fit_gaussian_mixture,
    fit_nearest,
    nearest_rows,
    pillow_distances,
)
from mmm_bayes.augmentation.estimators import Conditional, ConditionalData, estimator, fit_kernel
from mmm_bayes.augmentation.kernels import bandwidth_of

NDArray = np.ndarray[Any, Any]
NAMES = ("nearest", "gaussian_mixture", "flow", "boosted_quantiles")
ROWS = 400


def columns(*values: NDArray, kernel: tuple[str, ...] | None = None) -> Columns:
    table = np.stack([np.asarray(x, float) for x in values])
    names = kernel or ("gaussian",) * len(table)
    widths = [bandwidth_of(x, k, "normal_reference") for x, k in zip(table, names, strict=True)]
    levels = np.array([len(np.unique(x)) for x in table], float)
    return Columns(table, names, np.stack(widths), levels)


class Law(NamedTuple):
    """A known conditional distribution: draws of ``x`` given ``z``, and the density."""

    draw: Callable[[np.random.Generator, NDArray], NDArray]
    density: Callable[[NDArray, NDArray], NDArray]


def _spread(z: NDArray) -> NDArray:
    return 0.2 + 0.2 * (z + 2.0)


LAWS = {
    "heteroscedastic": Law(
        lambda rng, z: np.sin(1.5 * z) + _spread(z) * rng.normal(size=len(z)),
        lambda x, z: stats.norm.pdf(x, np.sin(1.5 * z), _spread(z)),
    ),
    "bimodal": Law(
        lambda rng, z: (
            rng.choice([-1.0, 1.0], len(z)) * (1.0 + 0.5 * z) + 0.3 * rng.normal(size=len(z))
        ),
        lambda x, z: (
            0.5 * stats.norm.pdf(x, 1.0 + 0.5 * z, 0.3)
            + 0.5 * stats.norm.pdf(x, -1.0 - 0.5 * z, 0.3)
        ),
    ),
}


class Fit(NamedTuple):
    name: str
    law: Law
    data: ConditionalData
    conditional: Conditional


@pytest.fixture(
    scope="module", params=[(name, law) for law in LAWS for name in NAMES], ids="-".join
)
def fit(request: pytest.FixtureRequest) -> Fit:
    name, law = request.param
    rng = np.random.default_rng(0)
    z = rng.uniform(-2.0, 2.0, ROWS)
    data = ConditionalData(columns(LAWS[law].draw(rng, z)), columns(z), 0.0)
    return Fit(name, LAWS[law], data, estimator(name)(data, jax.random.key(1)))


# --- Known laws ----------------------------------------------------------------------------------


def test_densities_are_near_the_truth(fit: Fit) -> None:
    rng = np.random.default_rng(2)
    z = rng.uniform(-2.0, 2.0, 2000)
    x = fit.law.draw(rng, z)
    truth = np.log(fit.law.density(x, z)).mean()
    pillow = Columns(np.zeros((0, ROWS)), (), np.zeros((0, ROWS)), np.zeros(0))
    marginal = fit_kernel(fit.data._replace(pillow=pillow), jax.random.key(0))
    alone = marginal.log_density(np.zeros((0, len(x))), x[None]).mean()
    found = np.maximum(fit.conditional.log_density(z[None], x[None]), -50.0).mean()
    assert truth - alone > 0.5
    assert truth - found < 0.4 * (truth - alone)


def test_densities_integrate_to_one_everywhere(fit: Fit) -> None:
    grid = np.linspace(-12.0, 12.0, 4001)
    for z in (-1.9, -0.3, 1.4):
        logs = fit.conditional.log_density(np.full((1, len(grid)), z), grid[None])
        assert integrate.trapezoid(np.exp(logs), grid) == pytest.approx(1.0, abs=5e-3)


def test_draws_follow_the_density(fit: Fit) -> None:
    """Kolmogorov-Smirnov against the estimate's own distribution function."""
    grid, count = np.linspace(-12.0, 12.0, 4001), 1500
    for k, z in enumerate((-1.5, 0.2, 1.7)):
        logs = fit.conditional.log_density(np.full((1, len(grid)), z), grid[None])
        cdf = integrate.cumulative_trapezoid(np.exp(logs), grid, initial=0.0)
        draws = fit.conditional.sample(jax.random.key(k), np.full((1, count), z)).values[0]
        if isinstance(fit.conditional, NearestConditional):
            # The density is smoothed; draws are copies.
            width = fit.conditional.width * fit.data.own.bandwidth[0, 0]
            draws = draws + width * np.random.default_rng(k).normal(size=count)
        assert stats.kstest(draws, lambda x, cdf=cdf: np.interp(x, grid, cdf)).pvalue > 1e-3


def test_draws_have_the_moments_of_the_truth(fit: Fit) -> None:
    """Means and spreads given z, in terms of the spread; some 40 rows are near each z."""
    grid, errors, ratios = np.linspace(-6.0, 6.0, 4001), [], []
    for z in np.linspace(-1.5, 1.5, 7):
        density = fit.law.density(grid, np.full_like(grid, z))
        mean = integrate.trapezoid(grid * density, grid)
        deviation = np.sqrt(integrate.trapezoid((grid - mean) ** 2 * density, grid))
        draws = fit.conditional.sample(jax.random.key(4), np.full((1, 4000), z)).values[0]
        errors.append((draws.mean() - mean) / deviation)
        ratios.append(draws.std() / deviation)
    assert np.sqrt(np.mean(np.square(errors))) < 0.35
    assert 0.8 < np.mean(ratios) < 1.3


# --- Neighbours ----------------------------------------------------------------------------------


def test_neighbours_are_the_nearest_rows_and_those_that_tie() -> None:
    rng = np.random.default_rng(3)
    values = np.stack(
        [np.round(rng.normal(size=30), 1), rng.normal(size=30), rng.integers(2, size=30)]
    )
    pillow = columns(*values, kernel=("gaussian", "laplace", "wang_ryzin"))
    query = np.concatenate([values[:, :5], rng.normal(size=(3, 5))], axis=1)
    near = nearest_rows(pillow_distances(pillow, query), 4)
    for q, chosen in zip(query.T, near, strict=True):
        distance = [
            sum(((a - b) / x.std()) ** 2 for a, b, x in zip(q, row, values, strict=True))
            for row in values.T
        ]
        limit = sorted(distance)[3]
        np.testing.assert_array_equal(chosen, np.array(distance) <= limit + 1e-12)


def test_rows_of_the_same_category_come_first() -> None:
    z = np.array([0.0, 0.1, 0.2, 5.0, 6.0, 7.0])
    group = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    pillow = columns(z, group, kernel=("gaussian", "indicator"))
    query = np.array([[0.1, 0.1, 0.1], [0.0, 1.0, 2.0]])
    near = nearest_rows(pillow_distances(pillow, query), 2)
    assert near[0].tolist() == [True, True, True, False, False, False]  # two of them tie
    assert near[1].tolist() == [False, False, False, True, True, False]
    assert near[2].tolist() == [True, True, True, False, False, False]  # a group no row has
    few = nearest_rows(pillow_distances(pillow, query), 5)
    assert few[1].tolist() == [False, False, False, True, True, True]


def test_donors_are_as_likely_each() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(size=50)
    found = NearestConditional(columns(z), columns(z), count=7, width=1.0)
    donors = found.sample(jax.random.key(0), np.full((1, 7000), 0.4)).donors
    nearest = np.argsort(np.abs(z - 0.4))[:7]
    counts = np.bincount(donors, minlength=50)
    assert counts.sum() == counts[nearest].sum()
    assert stats.chisquare(counts[nearest]).pvalue > 1e-3


def test_nearest_density_is_the_mean_over_neighbours() -> None:
    rng = np.random.default_rng(5)
    z, x = rng.normal(size=(2, 40))
    own = columns(x)
    found = NearestConditional(own, columns(z), count=6, width=0.5)
    nearest = np.argsort(np.abs(z - 0.2))[:6]
    wanted = stats.norm.logpdf(0.7, x[nearest], 0.5 * own.bandwidth[0, 0])
    logs = found.log_density(np.array([[0.2]]), np.array([[0.7]]))
    assert logs[0] == pytest.approx(np.log(np.exp(wanted).mean()))


def test_more_neighbours_where_the_pillow_says_less() -> None:
    rng = np.random.default_rng(6)
    z = rng.normal(size=200)
    counts = []
    for noise in (0.02, 3.0):
        data = ConditionalData(columns(z + noise * rng.normal(size=200)), columns(z), 0.0)
        found = fit_nearest(data, jax.random.key(0))
        assert isinstance(found, NearestConditional)
        counts.append(found.count)
    assert counts[0] < 10 < 40 < counts[1]


def test_smoothed_neighbours_are_no_copies() -> None:
    rng = np.random.default_rng(7)
    z = rng.normal(size=40)
    found = fit_nearest(ConditionalData(columns(z), columns(z), 0.3), jax.random.key(0))
    draws = found.sample(jax.random.key(0), z[None])
    assert not found.donates
    assert not np.isin(draws.values, z).any()


# --- Mixture -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixture() -> tuple[MixtureConditional, ConditionalData]:
    rng = np.random.default_rng(8)
    side = rng.choice([-1.0, 1.0], 300)
    z = np.stack([side + 0.5 * rng.normal(size=300), rng.normal(size=300)])
    x = 50.0 + 10.0 * side * z[1] + rng.normal(size=300)
    data = ConditionalData(columns(x), columns(*z), 0.0)
    found = fit_gaussian_mixture(data, jax.random.key(0))
    assert isinstance(found, MixtureConditional)
    return found, data


def test_mixture_density_is_joint_over_marginal(
    mixture: tuple[MixtureConditional, ConditionalData],
) -> None:
    found, _ = mixture
    shares, grid = np.exp(found.log_weights), np.linspace(-20.0, 120.0, 8001)
    assert shares.sum() == pytest.approx(1.0)
    assert 2 <= len(shares) <= 6
    z = np.array([0.4, -0.7])
    standard = found.features(z[:, None])[0]
    joint = np.zeros_like(grid)
    values = (grid - found.centre) / found.scale
    for k, share in enumerate(shares):
        root, slope = np.linalg.inv(found.inverse_roots[k]), found.slopes[k]
        inner = root @ root.T
        covariance = np.block([
            [inner, (inner @ slope)[:, None]],
            [(slope @ inner)[None], np.array([[found.deviations[k] ** 2 + slope @ inner @ slope]])],
        ])  # fmt: skip
        mean = np.append(found.means[k], found.intercepts[k] + slope @ found.means[k])
        at = np.column_stack([np.tile(standard, (len(grid), 1)), values])
        joint += share * stats.multivariate_normal.pdf(at, mean, covariance)
    wanted = joint / integrate.trapezoid(joint, grid)
    logs = found.log_density(np.repeat(z[:, None], len(grid), 1), grid[None])
    np.testing.assert_allclose(np.exp(logs), wanted, rtol=1e-6, atol=1e-12)


def test_one_normal_is_one_component() -> None:
    rng = np.random.default_rng(9)
    z = rng.normal(size=500)
    x = 2.0 * z + 0.5 * rng.normal(size=500)
    found = fit_gaussian_mixture(ConditionalData(columns(x), columns(z), 0.0), jax.random.key(0))
    assert isinstance(found, MixtureConditional)
    assert len(found.log_weights) == 1
    slope, intercept = np.polyfit(z, x, 1)
    logs = found.log_density(np.array([[0.8]]), np.array([[2.0]]))
    rest = np.std(x - slope * z - intercept)
    # Variances are raised by a thousandth of the columns'.
    assert logs[0] == pytest.approx(stats.norm.logpdf(2.0, slope * 0.8 + intercept, rest), abs=0.02)


# --- Flow ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def splines() -> flow.Spline:
    """Random networks' splines of 64 rows."""
    rng = np.random.default_rng(10)
    network = flow.identity(rng, 4)
    last = jnp.asarray(0.3 * rng.normal(size=network.weights[-1].shape), jnp.float32)
    network = network._replace(weights=(*network.weights[:-1], last))
    return jax.jit(flow.outputs)(network, jnp.asarray(rng.normal(size=(64, 4)), jnp.float32))[2]


def test_spline_is_monotone_and_has_its_derivative(splines: flow.Spline) -> None:
    total = jax.jit(jax.grad(lambda u: jnp.sum(flow.forward(splines, u)[0])))
    forward, images = jax.jit(flow.forward), []
    for point in np.linspace(-5.0, 5.0, 41):
        u = jnp.full(64, point, jnp.float32)
        value, slope = forward(splines, u)
        np.testing.assert_allclose(np.exp(slope), total(u), rtol=1e-3)
        if abs(point) >= 4.0:
            np.testing.assert_array_equal(value, u)
        images.append(value)
    assert (np.diff(np.stack(images), axis=0) > 0.0).all()


def test_spline_is_inverted(splines: flow.Spline) -> None:
    rng = np.random.default_rng(11)
    forward, inverse = jax.jit(flow.forward), jax.jit(flow.inverse)
    for _ in range(10):
        u = jnp.asarray(rng.uniform(-5.0, 5.0, 64), jnp.float32)
        value, slope = forward(splines, u)
        again = inverse(splines, value)
        # An error of the value's rounding is divided by the slope.
        allowed = 3e-5 * (1.0 + np.exp(-np.asarray(slope)))
        assert (np.abs(np.asarray(again - u)) < allowed).all()


def test_untrained_flow_is_a_standard_normal() -> None:
    network = flow.identity(np.random.default_rng(0), 4)
    z, x = jnp.ones((7, 4), jnp.float32), jnp.linspace(-6.0, 6.0, 7)
    logs = jax.jit(flow.log_likelihood)(network, z, x)
    np.testing.assert_allclose(logs, stats.norm.logpdf(np.asarray(x)), atol=1e-5)


# --- Boosted quantiles ---------------------------------------------------------------------------


def test_quantiles_are_sorted_and_drawn_towards_a_normal() -> None:
    probabilities = np.linspace(0.1, 0.9, 9)
    normal = stats.norm.ppf(probabilities)
    rng = np.random.default_rng(12)
    raw = rng.normal(size=(50, 9)).round(1)
    found = increasing(raw, probabilities)
    np.testing.assert_allclose(found[:, [0, -1]], np.stack([raw.min(1), raw.max(1)], 1))
    share = boosted_quantiles._NORMAL_SHARE
    least = share * np.diff(normal) * np.ptp(raw, axis=1)[:, None] / np.ptp(normal)
    assert (np.diff(found, axis=1) > least - 1e-12).all()
    np.testing.assert_allclose(
        increasing(5.0 + 3.0 * normal[None, ::-1], probabilities)[0], 5.0 + 3.0 * normal
    )
    assert (np.diff(increasing(np.zeros((1, 9)), probabilities)) > 0.0).all()


def test_distribution_through_quantiles() -> None:
    """Density, draws and distribution function agree, including the tails."""
    probabilities = np.array([0.1, 0.3, 0.6, 0.9])
    quantiles = np.array([[-1.0, 0.0, 0.5, 3.0]])
    grid = np.linspace(-30.0, 60.0, 90001)
    density = np.exp(log_slope(np.repeat(quantiles, len(grid), 0), probabilities, grid))
    cdf = integrate.cumulative_trapezoid(density, grid, initial=0.0)
    assert cdf[-1] == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_allclose(np.interp(quantiles[0], grid, cdf), probabilities, atol=2e-3)
    uniform = np.linspace(0.001, 0.999, 301)
    drawn = inverse_cdf(np.repeat(quantiles, 301, 0), probabilities, uniform)
    np.testing.assert_allclose(np.interp(drawn, grid, cdf), uniform, atol=2e-3)
    # Continuous at the outer quantiles.
    outer = np.array([-1.0 - 1e-9, -1.0 + 1e-9, 3.0 - 1e-9, 3.0 + 1e-9])
    ends = np.exp(log_slope(np.repeat(quantiles, 4, 0), probabilities, outer))
    np.testing.assert_allclose(ends[[0, 2]], ends[[1, 3]], rtol=1e-6)
    np.testing.assert_allclose(ends[[0, 2]], [0.2, 0.12])


# --- What is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module", "says"),
    [
        ("gaussian_mixture", "sklearn.mixture", "scikit-learn"),
        ("boosted_quantiles", "xgboost", "XGBoost"),
    ],
)
def test_a_missing_package_says_how_to_get_it(
    name: str, module: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    z = np.random.default_rng(0).normal(size=40)
    with pytest.raises(ImportError, match=rf'{says}.*pip install "mmm-bayes\[augmentation\]"'):
        estimator(name)(ConditionalData(columns(z**2), columns(z), 0.0), jax.random.key(0))
