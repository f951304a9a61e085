"""The integrated block against the dense covariance it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mmm_bayes.inference import marginal

G, T, K = 3, 7, 4  # groups, times, shared columns


class Case(NamedTuple):
    """A regression with ``p`` group columns, its arrays and its dense covariance."""

    shared: np.ndarray
    group: np.ndarray
    residual: np.ndarray
    sigma: float
    scale: np.ndarray
    group_scale: np.ndarray

    @property
    def design(self) -> np.ndarray:
        """All columns (G*T, K + G*p): shared ones first, then each group's own."""
        rows = self.residual.size
        own = np.zeros((G, rows // G, G, self.group.shape[-1]))
        for g in range(G):
            own[g, :, g] = self.group[g]
        return np.concatenate([self.shared.reshape(rows, K), own.reshape(rows, -1)], 1)

    @property
    def prior_variance(self) -> np.ndarray:
        """Variances (K + G*p,) in the order of the columns of the design."""
        own = np.broadcast_to(self.group_scale, (G, self.group.shape[-1]))
        return np.concatenate([self.scale, own.ravel()]) ** 2

    def covariance(self) -> np.ndarray:
        """Marginal covariance of the residual, by its definition."""
        design = self.design
        return (design * self.prior_variance) @ design.T + self.sigma**2 * np.eye(len(design))

    def repeated(self, times: np.ndarray) -> Case:
        """The same rows, each so many times (G, T), equally many in total in each group."""
        again = lambda x: np.stack([np.repeat(x[g], times[g], 0) for g in range(G)])  # noqa: E731
        return self._replace(
            shared=again(self.shared), group=again(self.group), residual=again(self.residual)
        )

    def conditional(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of all coefficients given the residual (Lindley and Smith)."""
        cross = self.prior_variance[:, None] * self.design.T
        gain = cross @ np.linalg.inv(self.covariance())
        return gain @ self.residual.ravel(), np.diag(self.prior_variance) - gain @ cross.T


def make_case(p: int) -> Case:
    rng = np.random.default_rng(10 + p)
    return Case(
        shared=rng.normal(size=(G, T, K)),
        group=rng.normal(size=(G, T, p)),
        residual=rng.normal(size=(G, T)),
        sigma=0.6,
        scale=rng.uniform(0.3, 2.0, K),
        group_scale=rng.uniform(0.3, 2.0, p),
    )


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=[0, 1, 2], ids=lambda p: f"p={p}")
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(request.param)


# Compiled: operation by operation a density takes seconds.
log_density = jax.jit(marginal.grouped_log_density)


def grouped(case: Case) -> float:
    block = marginal.group(case.shared, case.group)
    return float(log_density(block, case.residual, case.sigma, case.scale, case.group_scale))


def test_grouped_density_is_the_dense_normal(case: Case) -> None:
    expected = multivariate_normal(np.zeros(G * T), case.covariance()).logpdf(case.residual.ravel())
    assert grouped(case) == pytest.approx(expected, rel=1e-10)


def test_rotated_density_is_the_dense_normal() -> None:
    case = make_case(0)
    block = marginal.rotate(case.shared.reshape(-1, K), case.scale)
    expected = multivariate_normal(np.zeros(G * T), case.covariance()).logpdf(case.residual.ravel())
    actual = jax.jit(marginal.rotated_log_density)(block, case.residual.ravel(), case.sigma)
    assert float(actual) == pytest.approx(expected, rel=1e-10)


def test_collinear_columns_do_no_harm() -> None:
    case = make_case(1)
    shared = case.shared.copy()
    shared[..., 1] = shared[..., 0]
    case = case._replace(shared=shared, group=np.ones((G, T, 1)))
    expected = multivariate_normal(np.zeros(G * T), case.covariance()).logpdf(case.residual.ravel())
    assert grouped(case) == pytest.approx(expected, rel=1e-10)
    block = marginal.rotate(shared.reshape(-1, K), case.scale)
    without = case._replace(group=np.zeros((G, T, 0)), group_scale=np.zeros(0))
    expected = multivariate_normal(np.zeros(G * T), without.covariance()).logpdf(
        case.residual.ravel()
    )
    actual = jax.jit(marginal.rotated_log_density)(block, case.residual.ravel(), case.sigma)
    assert float(actual) == pytest.approx(expected, rel=1e-10)


def test_gradient_is_that_of_the_dense_normal() -> None:
    case = make_case(2)
    arguments = (case.residual, np.float64(case.sigma), case.scale, case.group_scale)
    block = marginal.group(case.shared, case.group)
    gradients = jax.jit(jax.grad(marginal.grouped_log_density, (1, 2, 3, 4)))(block, *arguments)
    covariance, r = case.covariance(), case.residual.ravel()
    inverse = np.linalg.inv(covariance)
    solved = inverse @ r
    # d log p / dC = (C^-1 r r' C^-1 - C^-1) / 2, and C is linear in the variances.
    by_covariance = 0.5 * (np.outer(solved, solved) - inverse)
    by_variance = np.einsum("ik,ij,jk->k", case.design, by_covariance, case.design)
    np.testing.assert_allclose(gradients[0].ravel(), -solved, rtol=1e-9)
    np.testing.assert_allclose(gradients[1], 2 * case.sigma * np.trace(by_covariance), rtol=1e-9)
    np.testing.assert_allclose(gradients[2], 2 * case.scale * by_variance[:K], rtol=1e-9)
    own = by_variance[K:].reshape(G, 2).sum(0)
    np.testing.assert_allclose(gradients[3], 2 * case.group_scale * own, rtol=1e-9)


def assert_moments(draws: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> None:
    """Independent normal draws have these moments, within 4.5 standard errors of each entry."""
    n = len(draws)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(draws.mean(0) - mean) < 4.5 * sd / np.sqrt(n)).all()
    error = np.sqrt((covariance**2 + np.outer(sd, sd) ** 2) / n)
    assert (np.abs(np.cov(draws.T) - covariance) < 4.5 * error).all()


def test_grouped_draws_have_the_conditional_moments(case: Case) -> None:
    block = marginal.group(case.shared, case.group)

    def draw(key: jax.Array) -> Any:
        return marginal.grouped_draw(
            key, block, case.residual, case.sigma, case.scale, case.group_scale
        )

    shared, own = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), 20_000))
    assert own.shape == (20_000, G, case.group.shape[-1])
    draws = np.concatenate([shared, own.reshape(20_000, -1)], 1)
    assert_moments(draws, *case.conditional())


def test_rotated_draws_have_the_conditional_moments() -> None:
    case = make_case(0)
    block = marginal.rotate(case.shared.reshape(-1, K), case.scale)
    keys = jax.random.split(jax.random.key(2), 20_000)
    draw = lambda key: marginal.rotated_draw(key, block, case.residual.ravel(), case.sigma)  # noqa: E731
    assert_moments(np.asarray(jax.jit(jax.vmap(draw))(keys)), *case.conditional())


# --- Powers of the likelihood --------------------------------------------------------------------

TIMES = np.stack([np.roll([0, 1, 2, 3, 1, 0, 2], g) for g in range(G)])
POWER = np.random.default_rng(5).uniform(0.1, 3.0, (G, T))


def weighted_log_density(case: Case, power: np.ndarray | None, extra: bool) -> float:
    """The grouped form; with ``extra`` its group columns are given late, as parameters' would."""
    none = case.group[..., :0]
    block = marginal.group(case.shared, none if extra else case.group, power)
    late = np.swapaxes(case.group, 1, 2) if extra else None
    return float(log_density(block, case.residual, case.sigma, case.scale, case.group_scale, late))


def rotated_log_density(case: Case, power: np.ndarray | None) -> float:
    own = None if power is None else power.ravel()
    block = marginal.rotate(case.shared.reshape(-1, K), case.scale, own)
    density = jax.jit(marginal.rotated_log_density)
    return float(density(block, case.residual.ravel(), case.sigma))


@pytest.mark.parametrize("extra", [False, True], ids=["columns", "extra"])
def test_powers_of_one_change_nothing(case: Case, extra: bool) -> None:
    ones, none = np.ones((G, T)), None
    found, wanted = (weighted_log_density(case, power, extra) for power in (ones, none))
    assert found == pytest.approx(wanted, rel=1e-12)
    assert rotated_log_density(case, ones) == pytest.approx(rotated_log_density(case, none), 1e-12)


@pytest.mark.parametrize("extra", [False, True], ids=["columns", "extra"])
def test_whole_powers_are_repeated_rows(case: Case, extra: bool) -> None:
    """Density of the rows as often as their powers say; a power of zero leaves a row out."""
    again = case.repeated(TIMES)
    expected = multivariate_normal(np.zeros(again.residual.size), again.covariance()).logpdf(
        again.residual.ravel()
    )
    assert weighted_log_density(case, TIMES, extra) == pytest.approx(expected, rel=1e-10)
    if not case.group.size:
        assert rotated_log_density(case, TIMES) == pytest.approx(expected, rel=1e-10)


def test_powers_scale_each_row_s_noise(case: Case) -> None:
    r"""``N(r | m, s^2)^w`` is ``N(r | m, s^2 / w)`` times what does not depend on ``m``."""
    w, variance, rows = POWER.ravel(), case.sigma**2, G * T
    covariance = (case.design * case.prior_variance) @ case.design.T + np.diag(variance / w)
    expected = multivariate_normal(np.zeros(rows), covariance).logpdf(case.residual.ravel())
    expected += 0.5 * np.sum(np.log(2 * np.pi * variance / w) - w * np.log(2 * np.pi * variance))
    assert weighted_log_density(case, POWER, False) == pytest.approx(expected, rel=1e-10)
    if not case.group.size:
        assert rotated_log_density(case, POWER) == pytest.approx(expected, rel=1e-10)


def test_the_gradient_by_sigma_counts_powers() -> None:
    """Slope of the log density of repeated rows, by central differences."""
    case, step = make_case(1), 1e-5
    block = marginal.group(case.shared, case.group, TIMES)
    by_sigma = jax.jit(jax.grad(marginal.grouped_log_density, 2))
    sigma = np.float64(case.sigma)
    found = by_sigma(block, case.residual, sigma, case.scale, case.group_scale)
    up, down = (grouped(case.repeated(TIMES)._replace(sigma=sigma + h)) for h in (step, -step))
    assert float(found) == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_weighted_draws_have_the_moments_of_repeated_rows(case: Case) -> None:
    block = marginal.group(case.shared, case.group, TIMES)

    def draw(key: jax.Array) -> Any:
        return marginal.grouped_draw(
            key, block, case.residual, case.sigma, case.scale, case.group_scale
        )

    keys = jax.random.split(jax.random.key(3), 20_000)
    shared, own = jax.jit(jax.vmap(draw))(keys)
    draws = np.concatenate([shared, own.reshape(20_000, -1)], 1)
    assert_moments(draws, *case.repeated(TIMES).conditional())
    if case.group.size:
        return
    turned = marginal.rotate(case.shared.reshape(-1, K), case.scale, TIMES.ravel())
    one = lambda key: marginal.rotated_draw(key, turned, case.residual.ravel(), case.sigma)  # noqa: E731
    assert_moments(np.asarray(jax.jit(jax.vmap(one))(keys)), *case.repeated(TIMES).conditional())


def test_transport_weighs_rows_as_their_copies() -> None:
    case = make_case(2)
    unit = np.random.default_rng(8).normal(size=(G, 1))

    def moved(case: Case, power: np.ndarray | None) -> Any:
        block = marginal.group(case.shared, case.group[..., :1], power)
        late = np.swapaxes(case.group[..., 1:], 1, 2)
        return jax.jit(marginal.transport)(
            block, case.residual, case.sigma, case.scale, case.group_scale, late, unit
        )

    for found, wanted in zip(moved(case, TIMES), moved(case.repeated(TIMES), None), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
