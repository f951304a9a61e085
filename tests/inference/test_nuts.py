"""The sampler on densities of known moments; one compiled program of three parameters for all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from mmm_bayes.inference import adaptation, nuts
from mmm_bayes.inference.convergence import ess_bulk, ess_tail, rank_rhat
from mmm_bayes.inference.mcmc import Draws, NUTSProgram, SamplerSpec, sample
from mmm_bayes.runtime.progress import Silent
from tests.inference.targets import (
    COVARIANCE,
    DIM,
    MEAN,
    SHAPE,
    log_gamma_potential,
    potential,
    propose,
    target,
)

SPEC = SamplerSpec(num_warmup=400, num_samples=1000, chain_method="threads")
PROGRAM = NUTSProgram(potential, DIM)


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def run(kind: str, seed: int = 0, spec: SamplerSpec = SPEC, **options: Any) -> Draws:
    with jax.enable_x64(True):
        return sample(jax.random.key(seed), PROGRAM, target(kind), propose, spec, **options)


@pytest.fixture(scope="module")
def normal() -> Draws:
    return run("normal")


@pytest.fixture(scope="module")
def log_gamma() -> Draws:
    return run("log_gamma")


def assert_mean(draws: np.ndarray, expected: float) -> None:
    """Mean of (chain, draw) within 4 Monte Carlo standard errors, by their effective number."""
    error = draws.std() / np.sqrt(float(ess_bulk(draws)))
    assert abs(draws.mean() - expected) < 4 * error


# --- moments -------------------------------------------------------------------------------------


def test_correlated_normal_has_its_moments(normal: Draws) -> None:
    q = normal.positions
    assert q.shape == (4, 1000, DIM)
    assert q.dtype == np.float64
    for i in range(DIM):
        assert_mean(q[..., i], MEAN[i])
        for j in range(i + 1):
            assert_mean((q[..., i] - MEAN[i]) * (q[..., j] - MEAN[j]), COVARIANCE[i, j])
    assert (rank_rhat(np.moveaxis(q, -1, 0)) < 1.01).all()


def test_log_gamma_has_its_moments(log_gamma: Draws) -> None:
    for i, shape in enumerate(SHAPE):
        y = log_gamma.positions[..., i]
        assert_mean(y, special.digamma(shape))
        assert_mean((y - special.digamma(shape)) ** 2, special.polygamma(1, shape))
        assert_mean(np.exp(y), shape)


def test_thinned_draws_have_the_distribution(log_gamma: Draws) -> None:
    for i, shape in enumerate(SHAPE):
        y = log_gamma.positions[..., i]
        effective = float(min(ess_bulk(y), ess_tail(y)))
        thinned = y[:, :: int(np.ceil(2 * y.size / effective))].ravel()
        assert stats.kstest(np.exp(thinned), stats.gamma(shape).cdf).pvalue > 0.005


def test_draws_are_worth_nearly_as_much_as_independent_ones(normal: Draws) -> None:
    # A dense metric leaves a standard normal, where the no-U-turn sampler is at home.
    assert (ess_bulk(np.moveaxis(normal.positions, -1, 0)) > 1000).all()


# --- the transition ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.3, 1.2], ids=["long trees", "rejections"])
def test_a_transition_leaves_the_target_as_it_is(step: float) -> None:
    """Exact draws, moved once by a fixed kernel with a skew metric, are still exact draws."""
    n = 4000
    rng = np.random.default_rng(1)
    start = np.log(rng.gamma(SHAPE, size=(n, DIM)))
    vectors, _ = np.linalg.qr(rng.normal(size=(DIM, 1)))
    metric = nuts.Metric(np.array([0.9, 0.5, 0.2]), vectors, np.array([0.7]))
    keys = jax.random.split(jax.random.key(2), n)
    moved, info = jax.tree.map(np.asarray, one_transition(keys, start, metric, np.log(step)))
    low, high = (0.2, 0.5) if step > 1 else (0.8, 0.999)
    assert low < info.accept_prob.mean() < high
    assert (np.abs(moved - start) > 0).any(1).mean() > low
    for i, shape in enumerate(SHAPE):
        assert stats.kstest(np.exp(moved[:, i]), stats.gamma(shape).cdf).pvalue > 0.005


@jax.jit
def one_transition(keys: Any, start: Any, metric: Any, log_step: Any) -> Any:
    value_and_grad = jax.value_and_grad(lambda x: log_gamma_potential(x, {"shape": SHAPE}))

    def move(key: Any, position: Any) -> Any:
        zero = jnp.zeros(())
        step_size = nuts.StepSize(log_step, log_step, zero, zero, zero)
        state = nuts.NUTSState(position, *value_and_grad(position), step_size)
        _, positions, info = nuts.sample_block(
            value_and_grad, key, state, metric, np.int32(1), np.int32(6), 0.8, np.bool_(False),
            block=1,
        )  # fmt: skip
        return positions[0], jax.tree.map(lambda x: x[0], info)

    return jax.vmap(move)(keys, start)


def test_step_size_zero_evaluates_where_it_stands() -> None:
    data = target("normal")
    block = PROGRAM.compile(data, SPEC.block, np.dtype("float64"), 1, None, "threefry2x32")
    position = np.array([0.3, -0.7, 1.1])
    zero = np.float64(0.0)
    still = nuts.StepSize(zero, np.float64(-np.inf), zero, zero, zero)
    state = nuts.NUTSState(position, np.float64(1e30), np.zeros(DIM), still)
    metric = nuts.Metric(np.ones(DIM), np.eye(DIM), np.zeros(DIM))
    state, positions, info = block(
        jax.random.key_data(jax.random.key(0)), state, metric, np.int32(1), np.int32(1),
        np.float64(0.8), np.bool_(False), data,
    )  # fmt: skip
    value, gradient = jax.value_and_grad(potential)(position, data)
    np.testing.assert_allclose(state.position, position, rtol=1e-14)
    np.testing.assert_allclose(state.potential, value, rtol=1e-12)
    np.testing.assert_allclose(state.gradient, gradient, rtol=1e-12)
    np.testing.assert_allclose(info.gradient[0], gradient, rtol=1e-12)
    np.testing.assert_array_equal(positions[1:], 0.0)


# --- diagnostics ---------------------------------------------------------------------------------


def test_diagnostics_are_consistent(normal: Draws) -> None:
    info = normal.info
    assert all(np.asarray(field).shape[:2] == (4, 1000) for field in info)
    data = target("normal")
    r = normal.positions - MEAN
    expected = 0.5 * np.einsum("cdi,ij,cdj->cd", r, data["precision"], r)
    np.testing.assert_allclose(info.potential_energy, expected, rtol=1e-9, atol=1e-12)
    # At the start of a trajectory energy is the last potential and the momentum's own.
    assert (info.energy[:, 1:] > info.potential_energy[:, :-1]).all()
    # A trajectory that is whole has 2^depth - 1 steps; one cut in its last doubling has fewer
    # than the next size.
    assert (info.n_steps >= 2**info.tree_depth - 1).all()
    assert (info.n_steps <= 2 ** (info.tree_depth + 1) - 1).all()
    assert not info.diverging.any()
    assert (np.ptp(info.step_size, axis=1) == 0).all()
    assert (normal.warmup_steps >= SPEC.num_warmup).all()


@pytest.mark.parametrize("aim", [0.65, 0.9])
def test_acceptance_is_near_its_aim(aim: float) -> None:
    spec = SPEC.model_copy(update={"target_accept": aim, "num_warmup": 1000})
    accepted = run("log_gamma", 3, spec).info.accept_prob.mean()
    # The step is the geometric mean of noisy ones, whose acceptance lies above their average: by
    # about 0.1 after 150 iterations (NumPyro and Stan show the same).
    assert aim - 0.03 < accepted < aim + 0.13 * (1.0 - aim) / 0.35 + 0.02


def test_divergences_are_flagged_in_a_funnel(normal: Draws) -> None:
    funnel = run("funnel")
    assert funnel.info.diverging.any()
    assert np.isfinite(funnel.positions).all()


def test_depth_limit_holds() -> None:
    info = run("normal", 1, SPEC.model_copy(update={"max_tree_depth": 1})).info
    assert (info.n_steps == 1).all()


# --- seeds, threads, vectors ----------------------------------------------------------------------


def test_draws_depend_on_the_seed_only(normal: Draws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    again = run("normal")
    np.testing.assert_array_equal(again.positions, normal.positions)
    assert (run("normal", 7).positions[:, 0] != normal.positions[:, 0]).all()
    assert len(np.unique(normal.positions[:, 0, 0])) == 4


def test_chains_in_one_program_have_the_same_distribution() -> None:
    changed = {"chain_method": "vectorized", "num_chains": 2, "num_samples": 500}
    draws = run("normal", 5, SPEC.model_copy(update=changed))
    assert draws.positions.shape == (2, 500, DIM)
    for i in range(DIM):
        assert_mean(draws.positions[..., i], MEAN[i])
        assert_mean((draws.positions[..., i] - MEAN[i]) ** 2, COVARIANCE[i, i])


def test_process_settings_stay(normal: Draws) -> None:
    with jax.enable_x64(False):
        sample(jax.random.key(0), PROGRAM, target("normal"), propose, SPEC)  # in double precision
        assert jnp.zeros(2).dtype == np.float32


# --- what goes wrong -----------------------------------------------------------------------------


def test_no_finite_density_says_what_to_look_at() -> None:
    with pytest.raises(FloatingPointError, match="prior predictive"):
        run("impossible")


class Broken(Silent):
    """Fails at the first report of chain 0 and counts what the others do."""

    def __init__(self) -> None:
        self.done = dict.fromkeys(range(12), 0)

    def update(self, index: int, done: int, note: str = "") -> None:
        self.done[index] = done
        if index == 0:
            raise KeyboardInterrupt


def test_an_interrupt_stops_every_chain() -> None:
    progress = Broken()
    spec = SPEC.model_copy(update={"num_chains": 12, "num_warmup": 5000})
    with pytest.raises(KeyboardInterrupt):
        run("normal", spec=spec, progress=progress)
    assert max(progress.done.values()) < spec.num_warmup
    assert progress.done[11] == 0


# --- metric --------------------------------------------------------------------------------------


def random_metric(rng: np.random.Generator, dim: int, rank: int) -> nuts.Metric:
    vectors = np.linalg.qr(rng.normal(size=(dim, dim)))[0][:, :rank]
    return nuts.Metric(rng.uniform(0.1, 3.0, dim), vectors, rng.uniform(-0.9, 5.0, rank))


@pytest.mark.parametrize("rank", [0, 2, 5])
def test_metric_maps_invert_each_other(rank: int) -> None:
    rng = np.random.default_rng(rank)
    metric = random_metric(rng, 5, rank)
    z, gradient = rng.normal(size=5), rng.normal(size=5)
    q = nuts.to_position(metric, z)
    np.testing.assert_allclose(nuts.from_position(metric, q), z, atol=1e-12)
    # Gradients go by the transposed map.
    pulled = nuts.pull_back(metric, gradient)
    np.testing.assert_allclose(z @ np.asarray(pulled), q @ gradient, rtol=1e-10)
    matrix = np.asarray(jax.vmap(lambda z: nuts.to_position(metric, z))(np.eye(5))).T
    assert np.linalg.slogdet(matrix)[1] == pytest.approx(
        np.log(metric.scale).sum() + np.log1p(metric.stretch).sum()
    )


def whitened_eigenvalues(metric: nuts.Metric, covariance: np.ndarray) -> np.ndarray:
    """Eigenvalues of the covariance after whitening: all one for a perfect metric."""
    dim = len(covariance)
    root = metric.scale[:, None] * (
        np.eye(dim) + (metric.vectors * metric.stretch) @ metric.vectors.T
    )
    inverse = np.linalg.inv(root)
    return np.linalg.eigvalsh(inverse @ covariance @ inverse.T)


def spread_covariance(rng: np.random.Generator, dim: int) -> np.ndarray:
    root = rng.normal(size=(dim, dim)) * np.geomspace(0.03, 30.0, dim)[:, None]
    return root @ root.T


def test_fisher_metric_recovers_a_covariance() -> None:
    rng = np.random.default_rng(0)
    covariance = spread_covariance(rng, 6)
    draws = rng.multivariate_normal(np.zeros(6), covariance, size=3000)
    metric = adaptation.fisher_metric(draws, draws @ np.linalg.inv(covariance), 6)
    # Scores and draws of a normal determine it exactly; what remains is the prior weight of
    # 10 draws in 3000, times the condition number in units of the diagonal.
    np.testing.assert_allclose(whitened_eigenvalues(metric, covariance), 1.0, atol=0.05)


def test_fisher_metric_beats_the_covariance_of_few_draws() -> None:
    rng = np.random.default_rng(1)
    # Moderately correlated, in units that differ by a factor of 1000.
    loadings = np.diag(np.geomspace(0.03, 30.0, 10))
    covariance = loadings @ (0.5 * np.eye(10) + 0.5) @ loadings
    draws = rng.multivariate_normal(np.zeros(10), covariance, size=20)
    metric = adaptation.fisher_metric(draws, draws @ np.linalg.inv(covariance), 10)
    condition = np.divide(*whitened_eigenvalues(metric, covariance)[[-1, 0]])
    values = np.linalg.eigvals(np.linalg.solve(np.cov(draws.T), covariance)).real
    assert condition < 0.5 * values.max() / values.min()


def test_fisher_metric_of_low_rank_finds_the_directions() -> None:
    rng = np.random.default_rng(2)
    dim, rank = 80, 4
    basis = np.linalg.qr(rng.normal(size=(dim, 2)))[0]
    covariance = np.eye(dim) + (basis * np.array([400.0, 100.0])) @ basis.T
    draws = rng.multivariate_normal(np.zeros(dim), covariance, size=400)
    metric = adaptation.fisher_metric(draws, draws @ np.linalg.inv(covariance), rank)
    assert metric.vectors.shape == (dim, rank)
    np.testing.assert_allclose(metric.vectors.T @ metric.vectors, np.eye(rank), atol=1e-10)
    values = whitened_eigenvalues(metric, covariance)
    assert values[-1] / values[0] < 20.0  # the covariance itself has a condition number of 401
