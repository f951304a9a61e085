"""Kernels and bandwidths against closed forms, quadrature and statsmodels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.nonparametric import bandwidths
from statsmodels.nonparametric.kernels import aitchison_aitken, wang_ryzin

from mmm_bayes.augmentation import kernels
from mmm_bayes.augmentation.columns import Columns
from mmm_bayes.augmentation.estimators import kernel_noise, log_kernel_density
from mmm_bayes.augmentation.kernels import (
    CONTINUOUS,
    KERNELS,
    bandwidth_of,
    comparable,
    kernel_id,
    log_integral,
    log_kernel,
    log_kernel_host,
)

DISTRIBUTIONS = {
    "gaussian": stats.norm(),
    "epanechnikov": stats.beta(2, 2, loc=-1, scale=2),
    "biweight": stats.beta(3, 3, loc=-1, scale=2),
    "triweight": stats.beta(4, 4, loc=-1, scale=2),
    "laplace": stats.laplace(),
}


def density(name: str, u: np.ndarray) -> np.ndarray:
    """Normalised kernel at u, by this package's logarithms."""
    logs = log_kernel_host(name, np.asarray(u, float), 1.0, 1.0)
    return np.exp(logs - log_integral(kernel_id(name), 1.0, 1.0))


def integral(name: str, function: object) -> float:
    edge = 1.0 if name in ("epanechnikov", "biweight", "triweight", "tricube") else 40.0
    halves = [integrate.quad(function, a, b)[0] for a, b in ((-edge, 0.0), (0.0, edge))]
    return sum(halves)


# --- Kernels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_compiled_and_host_kernels_agree(name: str, precision: str) -> None:
    rng = np.random.default_rng(0)
    difference = rng.normal(size=(40, 30)) if name in CONTINUOUS else rng.integers(-3, 4, (40, 30))
    difference = np.where(rng.random((40, 30)) < 0.1, 0.0, difference).astype(float)
    width = rng.uniform(0.05, 0.6, (40, 1))
    with jax.enable_x64(precision == "float64"):
        cast = lambda x: jnp.asarray(x, precision)  # noqa: E731
        ours = log_kernel(kernel_id(name), cast(difference), cast(width), cast(4.0))
    expected = log_kernel_host(name, difference, width, 4.0)
    # Near the end of a compact support 1 - u**2 cancels, in single precision to a few 1e-7 of u.
    weights, wanted = np.exp(np.asarray(ours, float)), np.exp(expected)
    tolerance = {"float32": 1e-5, "float64": 1e-13}[precision]
    np.testing.assert_allclose(weights, wanted, rtol=tolerance, atol=tolerance)
    far = np.isneginf(expected)
    assert np.isneginf(np.asarray(ours)[far]).all()
    assert (np.asarray(ours)[difference == 0.0] == 0.0).all()


@pytest.mark.parametrize("name", KERNELS)
def test_a_bandwidth_of_zero_matches_equal_values_alone(name: str) -> None:
    difference = np.array([0.0, 1e-3, -2.0])
    compiled = log_kernel(kernel_id(name), jnp.asarray(difference), jnp.zeros(3), jnp.asarray(2.0))
    for found in (np.asarray(compiled), log_kernel_host(name, difference, 0.0, 2.0)):
        assert found[0] == 0.0
        assert (np.exp(found[1:]) < 1e-12).all() or name == "wang_ryzin"


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_continuous_kernels_are_known_densities(name: str) -> None:
    u = np.linspace(-0.99, 0.99, 41)
    np.testing.assert_allclose(density(name, u), DISTRIBUTIONS[name].pdf(u), rtol=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_kernels_integrate_to_one(name: str) -> None:
    assert integral(name, lambda u: float(density(name, u))) == pytest.approx(1.0, abs=1e-8)
    wide = log_integral(kernel_id(name), 3.0, 1.0) - log_integral(kernel_id(name), 1.0, 1.0)
    assert wide == pytest.approx(np.log(3.0))


@pytest.mark.parametrize("levels", [2, 3, 7])
def test_unordered_kernel_is_that_of_aitchison_and_aitken(levels: int) -> None:
    width = 0.8 * (levels - 1) / levels
    codes = np.arange(levels, dtype=float)
    logs = log_kernel_host("aitchison_aitken", codes - 1.0, width, levels)
    probability = np.exp(logs - log_integral(kernel_id("aitchison_aitken"), width, levels))
    assert probability.sum() == pytest.approx(1.0)
    theirs = aitchison_aitken(width, codes, 1.0, num_levels=levels)
    np.testing.assert_allclose(probability, theirs, rtol=1e-12)


@pytest.mark.parametrize("width", [0.05, 0.3, 0.9])
def test_ordered_kernel_is_that_of_wang_and_van_ryzin(width: float) -> None:
    distance = np.arange(-400.0, 401.0)
    logs = log_kernel_host("wang_ryzin", distance, width, 3.0)
    probability = np.exp(logs - log_integral(kernel_id("wang_ryzin"), width, 3.0))
    assert probability.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(probability, wang_ryzin(width, distance, 0.0), 1e-10, 1e-300)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_noise_has_the_law_of_the_kernel(name: str) -> None:
    noise = kernel_noise(np.random.default_rng(3), (name,), (1, 4000))[0]

    def cdf(u: np.ndarray) -> np.ndarray:
        grid = np.linspace(-12.0, 12.0, 20001)
        total = integrate.cumulative_trapezoid(density(name, grid), grid, initial=0.0)
        return np.interp(u, grid, total)

    assert stats.kstest(noise, cdf).pvalue > 0.01


@pytest.mark.parametrize("name", CONTINUOUS)
def test_product_densities_integrate_to_one(name: str) -> None:
    rng = np.random.default_rng(1)
    columns = Columns(
        rng.normal(size=(2, 5)), (name, "aitchison_aitken"),
        np.stack([rng.uniform(0.5, 1.0, 5), np.full(5, 0.3)]), np.array([5.0, 3.0]),
    )  # fmt: skip
    codes = np.arange(3.0)
    columns.values[1] = [0, 1, 2, 2, 0]
    grid = np.linspace(-25.0, 25.0, 40001)
    total = np.zeros(5)
    for code in codes:
        logs = log_kernel_density(columns, np.stack([grid, np.full_like(grid, code)]))
        total += integrate.trapezoid(np.exp(logs), grid, axis=0)
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)


# --- Bandwidths ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 40, 301])
@pytest.mark.parametrize("draw", ["normal", "exponential", "standard_cauchy"])
def test_rules_are_those_of_statsmodels(n: int, draw: str) -> None:
    x = getattr(np.random.default_rng(n), draw)(size=n)
    ours = {rule: bandwidth_of(x, "gaussian", rule) for rule in ("normal_reference", "silverman")}
    assert all(found.shape == (n,) and np.ptp(found) == 0.0 for found in ours.values())
    assert ours["normal_reference"][0] == pytest.approx(bandwidths.bw_normal_reference(x))
    assert ours["silverman"][0] == pytest.approx(bandwidths.bw_silverman(x))


def test_normal_reference_is_to_four_digits_the_constant_in_common_use() -> None:
    x = np.random.default_rng(0).normal(size=50)
    spread = min(x.std(ddof=1), np.subtract(*np.percentile(x, [75, 25])) / 1.349)
    expected = 1.0592 * spread * 50**-0.2
    assert bandwidth_of(x, "gaussian", "normal_reference")[0] == pytest.approx(expected, rel=5e-5)


def test_robust_rule_reads_the_median_absolute_deviation() -> None:
    x = np.concatenate([np.random.default_rng(2).normal(size=60), np.full(20, 50.0)])
    wanted = stats.median_abs_deviation(x, scale=1 / 1.4826) * (4 / 3) ** 0.2 * 80**-0.2
    assert bandwidth_of(x, "gaussian", "robust")[0] == pytest.approx(wanted)
    assert wanted < bandwidth_of(x, "gaussian", "normal_reference")[0]


def test_columns_most_of_whose_values_are_equal_use_the_standard_deviation() -> None:
    x = np.array([0.0] * 30 + [1.0, 2.0, 3.0])
    expected = x.std(ddof=1) * (4 / 3) ** 0.2 * 33**-0.2
    assert bandwidth_of(x, "gaussian", "normal_reference")[0] == pytest.approx(expected)
    assert bandwidth_of(np.full(9, 2.0), "gaussian", "silverman")[0] == 0.0


@pytest.mark.parametrize("name", CONTINUOUS)
def test_kernels_smooth_as_much_as_the_gaussian(name: str) -> None:
    """Canonical bandwidths ``(R(K) / mu_2(K)^2)^(1/5)``, by quadrature."""

    def canonical(own: str) -> float:
        roughness = integral(own, lambda u: float(density(own, u)) ** 2)
        second = integral(own, lambda u: u * u * float(density(own, u)))
        return (roughness / second**2) ** 0.2

    x = np.random.default_rng(4).normal(size=30)
    ratio = bandwidth_of(x, name, "silverman")[0] / bandwidth_of(x, "gaussian", "silverman")[0]
    assert ratio == pytest.approx(canonical(name) / canonical("gaussian"), rel=5e-4)


@pytest.mark.parametrize("neighbours", [None, 3, 500])
def test_nearest_rule_is_the_distance_to_the_kth_nearest(neighbours: int | None) -> None:
    x = np.random.default_rng(5).normal(size=20)
    k = min(neighbours or 4, 19)  # the root of 20
    wanted = [np.sort([abs(a - b) for b in x])[k] for a in x]
    found = bandwidth_of(x, "gaussian", "nearest", neighbours=neighbours)
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("n", [2, 4, 30, 1000])
def test_bandwidths_of_discrete_kernels_keep_equal_values_on_top(n: int) -> None:
    x = (np.arange(n) % 3).astype(float)
    levels = len(np.unique(x))
    width = bandwidth_of(x, "aitchison_aitken", "normal_reference")[0]
    assert width == pytest.approx(min(n**-0.4, (levels - 1) / levels))
    assert bandwidth_of(x, "wang_ryzin", "silverman")[0] == pytest.approx(min(n**-0.4, 0.99))
    assert (bandwidth_of(x, "indicator", "silverman") == 0.0).all()
    for name in ("aitchison_aitken", "wang_ryzin"):
        top = kernels.largest_bandwidth(name, levels)
        assert (log_kernel_host(name, np.array([0.0, 1.0, 2.0]), top, levels) <= 1e-12).all()


# --- Single precision ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
def test_single_precision_keeps_values_apart(name: str) -> None:
    x = np.array([40_000_001.0, 40_000_002.0, 40_000_004.0, 40_000_002.0])
    assert len(set(x.astype(np.float32))) < 3
    kept = comparable(x, name).astype(np.float32)
    assert len(set(kept)) == 3
    if name not in ("indicator", "aitchison_aitken"):
        np.testing.assert_array_equal(np.diff(kept), np.diff(x))
    again = comparable(x, name, x[[2, 0]])
    np.testing.assert_array_equal(again, comparable(x, name)[[2, 0]])


@pytest.mark.parametrize("name", ["indicator", "aitchison_aitken"])
def test_values_that_a_column_does_not_have_match_none(name: str) -> None:
    x = np.array([3.0, 1.0, 3.0])
    assert not np.isin(comparable(x, name, np.array([0.0, 2.0, 9.0])), comparable(x, name)).any()
