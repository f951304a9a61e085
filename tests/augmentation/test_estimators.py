"""One battery over all estimators of a conditional, and the protocol they share."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from mmm_bayes.augmentation.columns import Columns
from mmm_bayes.augmentation.estimators import (
    DONATING,
    ESTIMATORS,
    Conditional,
    ConditionalData,
    Draws,
    KernelConditional,
    estimator,
    fit_kernel,
    log_sum,
)
from mmm_bayes.augmentation.kernels import DISCRETE, bandwidth_of
from mmm_bayes.augmentation.residual import ResidualConditional, fit_residual
from mmm_bayes.augmentation.selection import candidates

N = 100
DENSITIES = ("gaussian_mixture", "flow", "boosted_quantiles")
RESIDUALS = ("residual", "cross_validated")


def columns(*values: Any, kernel: tuple[str, ...] | None = None) -> Columns:
    table = np.stack([np.asarray(x, float) for x in values])
    names = kernel or ("gaussian",) * len(table)
    widths = [bandwidth_of(x, k, "normal_reference") for x, k in zip(table, names, strict=True)]
    levels = np.array([len(np.unique(x)) for x in table], float)
    return Columns(table, names, np.stack(widths), levels)


def nothing(n: int) -> Columns:
    return Columns(np.zeros((0, n)), (), np.zeros((0, n)), np.zeros(0))


def noisy_line(n: int = N, smoothing: float = 0.0) -> ConditionalData:
    """``x = 1000 + 100 z + noise`` that grows with ``z``; a second, discrete parent shifts it."""
    rng = np.random.default_rng(7)
    z, group = rng.normal(size=n), rng.integers(3, size=n)
    x = 1000.0 + 100.0 * z + 20.0 * group + 15.0 * np.exp(0.3 * z) * rng.normal(size=n)
    return ConditionalData(
        columns(x), columns(z, group, kernel=("gaussian", "indicator")), smoothing
    )


def fitted(name: str, data: ConditionalData) -> Conditional:
    return estimator(name)(data, jax.random.key(11))


@pytest.fixture(scope="module", params=ESTIMATORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def conditional(name: str) -> Conditional:
    return fitted(name, noisy_line())


QUERY = np.array([[-1.0, 0.0, 0.5, 1.2, 0.0], [0.0, 1.0, 2.0, 0.0, 2.0]])


# --- The battery ---------------------------------------------------------------------------------


def test_draws_have_values_and_donors(name: str, conditional: Conditional) -> None:
    data = noisy_line()
    query = np.repeat(QUERY, 50, axis=1)
    draws = conditional.sample(jax.random.key(0), query)
    assert draws.values.shape == (1, 250)
    assert draws.donors.shape == (250,)
    assert np.isfinite(draws.values).all()
    assert conditional.donates == (name in DONATING)
    if name in DONATING:
        np.testing.assert_array_equal(draws.values[0], data.own.values[0][draws.donors])
    elif name in DENSITIES:
        assert (draws.donors == -1).all()
        assert not np.isin(draws.values, data.own.values).any()
    else:
        assert ((draws.donors >= 0) & (draws.donors < N)).all()


def test_draws_follow_from_the_key(conditional: Conditional) -> None:
    query = np.repeat(QUERY, 50, axis=1)
    one, same, other = (conditional.sample(jax.random.key(k), query) for k in (1, 1, 2))
    np.testing.assert_array_equal(one.values, same.values)
    np.testing.assert_array_equal(one.donors, same.donors)
    assert not np.array_equal(one.values, other.values)


def test_fits_follow_from_the_key(name: str, conditional: Conditional) -> None:
    data = noisy_line()
    again = fitted(name, data)
    where = data.pillow.values[:, :20], data.own.values[:, :20]
    np.testing.assert_array_equal(conditional.log_density(*where), again.log_density(*where))


def test_densities_integrate_to_one(conditional: Conditional) -> None:
    grid = np.linspace(-500.0, 2500.0, 15001)
    for z in QUERY.T:
        logs = conditional.log_density(np.repeat(z[:, None], len(grid), 1), grid[None])
        assert integrate.trapezoid(np.exp(logs), grid) == pytest.approx(1.0, abs=5e-3)


def test_draws_have_the_mean_and_spread_of_the_density(name: str, conditional: Conditional) -> None:
    """Copied values are less spread than the density, by its smoothing kernel."""
    grid, count = np.linspace(-500.0, 2500.0, 6001), 4000
    for z in QUERY.T[:2]:
        logs = conditional.log_density(np.repeat(z[:, None], len(grid), 1), grid[None])
        density = np.exp(logs) / integrate.trapezoid(np.exp(logs), grid)
        mean = integrate.trapezoid(grid * density, grid)
        variance = integrate.trapezoid((grid - mean) ** 2 * density, grid)
        draws = conditional.sample(jax.random.key(5), np.repeat(z[:, None], count, 1)).values[0]
        assert abs(draws.mean() - mean) < 4.0 * np.sqrt(variance / count)
        assert draws.var() < 1.15 * variance
        if name in DENSITIES or name == "cross_validated":
            assert draws.var() > 0.87 * variance  # 4 times the root of 2/4000, and tails


def test_rows_not_seen_are_likelier_than_by_their_marginal(conditional: Conditional) -> None:
    seen, rows = noisy_line(), noisy_line(3 * N)
    z, x = rows.pillow.values[:, N:], rows.own.values[:, N:]
    marginal = fit_kernel(seen._replace(pillow=nothing(N)), jax.random.key(0))
    alone = marginal.log_density(np.zeros((0, 2 * N)), x).mean()
    assert np.maximum(conditional.log_density(z, x), -50.0).mean() > alone + 0.25


def test_a_variable_without_a_pillow_is_drawn_from_its_values(name: str) -> None:
    x = np.random.default_rng(0).normal(size=40)
    found = fitted(name, ConditionalData(columns(x), nothing(40), 0.0))
    draws = found.sample(jax.random.key(0), np.zeros((0, 64)))
    assert draws.values.shape == (1, 64)
    assert ((draws.donors >= 0) & (draws.donors < 40)).all()
    if name != "cross_validated":
        assert np.isin(draws.values, x).all()
    grid = np.linspace(-8.0, 8.0, 2001)
    logs = found.log_density(np.zeros((0, 2001)), grid[None])
    assert integrate.trapezoid(np.exp(logs), grid) == pytest.approx(1.0, abs=1e-3)


def test_discrete_variables_stay_values_of_the_table(name: str) -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=60)
    x = (z + 0.5 * rng.normal(size=60) > 0).astype(float) * 3.0
    data = ConditionalData(columns(x, kernel=("indicator",)), columns(z), 0.5)
    found = fitted(name, data)
    draws = found.sample(jax.random.key(0), np.linspace(-2, 2, 64)[None])
    assert found.donates
    assert set(np.unique(draws.values)) <= {0.0, 3.0}
    both = np.array([[0.0, 3.0]])
    total = np.exp(found.log_density(np.full((1, 2), 0.3), both)).sum()
    assert total == pytest.approx(1.0)


def test_columns_of_a_block_come_from_one_row(name: str) -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(size=50)
    own = columns(z + 0.1 * rng.normal(size=50), rng.integers(4, size=50),
                  kernel=("gaussian", "indicator"))  # fmt: skip
    found = fitted(name, ConditionalData(own, columns(z), 0.0))
    draws = found.sample(jax.random.key(3), rng.normal(size=(1, 64)))
    assert (draws.donors >= 0).all()
    np.testing.assert_array_equal(draws.values[1], own.values[1][draws.donors])
    if found.donates:
        np.testing.assert_array_equal(draws.values, own.values[:, draws.donors])


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_few_rows_are_no_error(name: str, n: int) -> None:
    rng = np.random.default_rng(n)
    z = rng.normal(size=n)
    found = fitted(name, ConditionalData(columns(z + rng.normal(size=n)), columns(z), 0.0))
    query = np.resize(z, (1, 64))
    draws = found.sample(jax.random.key(0), query)
    assert np.isfinite(draws.values).all()
    assert not np.isnan(found.log_density(query, draws.values)).any()


def test_a_constant_is_drawn_again(name: str) -> None:
    z = np.random.default_rng(3).normal(size=30)
    found = fitted(name, ConditionalData(columns(np.full(30, 2.5)), columns(z), 0.0))
    query = np.resize(z, (1, 64))
    np.testing.assert_allclose(found.sample(jax.random.key(0), query).values, 2.5)


def test_a_constant_pillow_says_nothing(name: str) -> None:
    x = np.random.default_rng(4).normal(size=N)
    found = fitted(name, ConditionalData(columns(x), columns(np.full(N, 1.0)), 0.0))
    draws = found.sample(jax.random.key(0), np.full((1, 4000), 1.0)).values[0]
    assert abs(draws.mean() - x.mean()) < 5.0 * x.std() / np.sqrt(N)
    assert draws.std() == pytest.approx(x.std(), rel=0.35)


# --- The kernel estimate -------------------------------------------------------------------------


def test_kernel_density_is_the_weighted_sum_of_kernels() -> None:
    data = noisy_line(30)
    found = KernelConditional(data.own, data.pillow, 0.5)
    z, x = np.array([0.3, 1.0]), 1050.0
    match = data.pillow.values[1] == z[1]
    near = stats.norm.pdf(z[0], data.pillow.values[0], data.pillow.bandwidth[0]) * match
    own = stats.norm.pdf(x, data.own.values[0], 0.5 * data.own.bandwidth[0])
    wanted = np.log(np.sum(near * own) / np.sum(near))
    assert found.log_density(z[:, None], np.array([[x]]))[0] == pytest.approx(wanted)


def test_smoothed_draws_lie_around_their_donors() -> None:
    data = noisy_line()
    found = KernelConditional(data.own, data.pillow, 0.5)
    draws = found.sample(jax.random.key(0), np.repeat(QUERY, 800, axis=1))
    assert not found.donates
    shift = draws.values[0] - data.own.values[0][draws.donors]
    width = 0.5 * data.own.bandwidth[0][draws.donors]
    assert stats.kstest(shift / width, "norm").pvalue > 0.01


def test_a_pillow_that_no_row_has_is_impossible() -> None:
    data = noisy_line()
    found = fit_kernel(data, jax.random.key(0))
    draws = found.sample(jax.random.key(0), np.array([[0.0, 0.0], [1.0, 9.0]]))
    assert draws.donors[0] >= 0
    assert draws.donors[1] == -2
    logs = found.log_density(np.array([[0.0], [9.0]]), np.array([[1000.0]]))
    assert logs[0] == -np.inf


# --- The residual bootstrap ----------------------------------------------------------------------


def test_residual_draws_are_the_regression_plus_a_residual() -> None:
    data = noisy_line()
    found = fit_residual(data, jax.random.key(0))
    assert isinstance(found, ResidualConditional)
    draws = found.sample(jax.random.key(0), QUERY)
    wanted = found.process.predict(found.features(QUERY)) + found.process.residuals[draws.donors]
    np.testing.assert_allclose(draws.values[0], wanted)


def test_residuals_are_those_of_regressions_without_the_row() -> None:
    """The leave-one-out residual is the error of a fit without the row, with the scales kept."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=(25, 1))
    y = np.sin(2.0 * z[:, 0]) + 0.2 * rng.normal(size=25)
    data = ConditionalData(columns(y), columns(z[:, 0]), 0.0)
    found = fit_residual(data, jax.random.key(0))
    assert isinstance(found, ResidualConditional)
    process, x = found.process, found.features(data.pillow.values)
    distance = (x - x.T) ** 2
    covariance = np.exp(-0.5 * distance / process.length**2) + process.linear * (x @ x.T)
    centred = y - process.mean
    for row in (0, 7, 24):
        others = np.delete(np.arange(25), row)
        inner = covariance[np.ix_(others, others)] + process.noise * np.eye(24)
        predicted = covariance[row, others] @ np.linalg.solve(inner, centred[others])
        assert process.residuals[row] == pytest.approx(centred[row] - predicted, rel=1e-6)


def test_residual_recovers_a_linear_gaussian_chain() -> None:
    rng = np.random.default_rng(6)
    n, draws = 300, 6_000
    a = rng.normal(size=n)
    b = 0.8 * a + 0.6 * rng.normal(size=n)
    c = -1.2 * b + 0.5 * rng.normal(size=n)
    order = [
        ConditionalData(columns(b), columns(a), 0.0),
        ConditionalData(columns(c), columns(b), 0.0),
    ]
    drawn = [rng.choice(a, draws)]
    for k, data in enumerate(order):
        fit = fit_residual(data, jax.random.key(k))
        drawn.append(fit.sample(jax.random.key(9 + k), drawn[-1][None]).values[0])
    # The effects that the chain implies, by least squares along each path.
    one, two = np.polyfit(a, b, 1)[0], np.polyfit(b, c, 1)[0]
    rest_b = np.var(b - np.polyval(np.polyfit(a, b, 1), a))
    rest_c = np.var(c - np.polyval(np.polyfit(b, c, 1), b))
    va = np.var(a)
    vb = one**2 * va + rest_b
    wanted = np.array([
        [va, one * va, one * two * va],
        [one * va, vb, two * vb],
        [one * two * va, two * vb, two**2 * vb + rest_c],
    ])  # fmt: skip
    # Draws have standard errors of 2%, and a smooth regression is not quite a line.
    np.testing.assert_allclose(np.cov(drawn), wanted, atol=0.07 * wanted.diagonal().max())


# --- Choosing by leave-one-out likelihood --------------------------------------------------------


def test_scores_are_leave_one_out_likelihoods() -> None:
    """The score of a kernel candidate against fits to the table without each row."""
    data = noisy_line(40)
    scored = [pair for pair in candidates(data, jax.random.key(0))]
    score, best = max(
        (p for p in scored if isinstance(p[1], KernelConditional)), key=lambda p: p[0]
    )
    assert isinstance(best, KernelConditional)
    logs = []
    for row in range(40):
        others = np.delete(np.arange(40), row)
        without = KernelConditional(best.own.rows(others), best.pillow.rows(others), best.smoothing)
        logs.append(without.log_density(data.pillow.values[:, [row]], data.own.values[:, [row]])[0])
    assert score == pytest.approx(np.maximum(logs, -50.0).mean())


def test_regression_wins_where_noise_is_additive_and_rows_are_few() -> None:
    rng = np.random.default_rng(8)
    z = rng.normal(size=40)
    x = 3.0 * z + 0.1 * rng.normal(size=40)
    chosen = fitted("cross_validated", ConditionalData(columns(x), columns(z), 0.0))
    assert isinstance(chosen, ResidualConditional)


def test_a_variable_its_pillow_says_nothing_of_gets_wide_kernels() -> None:
    scales = []
    for seed in range(12):
        x, z = np.random.default_rng(seed).normal(size=(2, 150))
        data = ConditionalData(columns(x), columns(z), 0.0)
        chosen = fitted("cross_validated_kernel", data)
        assert isinstance(chosen, KernelConditional)
        assert chosen.smoothing == 0.0
        scales.append(chosen.pillow.bandwidth[0, 0] / data.pillow.bandwidth[0, 0])
    assert min(scales) > 0.99
    assert np.median(scales) == pytest.approx(4.0)


# --- Parts ---------------------------------------------------------------------------------------


def test_log_sum_of_nothing_is_minus_infinity() -> None:
    found = log_sum(np.array([[-np.inf, -np.inf], [0.0, np.log(3.0)], [-2000.0, -2000.0]]))
    np.testing.assert_allclose(found, [-np.inf, np.log(4.0), np.log(2.0) - 2000.0])


def test_only_bandwidths_of_continuous_columns_are_scaled() -> None:
    data = noisy_line()
    wide = data.pillow.scaled(3.0)
    np.testing.assert_allclose(wide.bandwidth[0], 3.0 * data.pillow.bandwidth[0])
    np.testing.assert_array_equal(wide.bandwidth[1], data.pillow.bandwidth[1])
    assert data.pillow.kernel[1] in DISCRETE
    assert wide.rows(np.array([3, 1])).values.tolist() == data.pillow.values[:, [3, 1]].tolist()


def test_draws_name_their_parts() -> None:
    assert Draws._fields == ("values", "donors")
