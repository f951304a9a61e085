"""The additive decoder against dense formulas; no edge, no influence (Claim 1)."""

from __future__ import annotations

from itertools import permutations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_t

from mmm_bayes.causal_mmm.networks.additive import (
    AdditiveDecoder,
    Prior,
    TargetSums,
    explained,
    log_marginal,
    posterior,
)
from mmm_bayes.causal_mmm.networks.forecast import draw_coefficients, simulate_additive
from mmm_bayes.causal_mmm.networks.lagged import Lagged, lagged_sums

from .small import CHAIN, LAGS, LAYOUT, LENGTH, NODES, SHOPS, additive, prepared, series

NDArray = np.ndarray[Any, Any]


class Dense(NamedTuple):
    """A regression, and the prior of its coefficients and noise."""

    rows: NDArray
    target: NDArray
    mean: NDArray
    sd: NDArray
    noise: float
    shape: float

    @property
    def sums(self) -> TargetSums:
        rows, y = self.rows, self.target
        found = (rows.T @ rows, rows.T @ y, y @ y, float(len(y)))
        return TargetSums(*(jnp.asarray(x, float) for x in found))

    @property
    def prior(self) -> Prior:
        return Prior(*(jnp.asarray(x, float) for x in (self.mean, self.sd, self.noise, self.shape)))


def dense(seed: int, rows: int = 12, columns: int = 5) -> Dense:
    random = np.random.default_rng(seed)
    design = random.normal(size=(rows, columns))
    sd = random.uniform(0.2, 2.0, columns)
    sd[1] = 0.0  # an edge that is not there
    return Dense(
        design,
        design @ random.normal(size=columns) + random.normal(size=rows),
        random.normal(size=columns),
        sd,
        random.uniform(0.3, 2.0),
        random.uniform(1.5, 20.0),
    )


def test_marginal_likelihood_is_a_multivariate_t_density() -> None:
    for seed in range(5):
        case = dense(seed)
        covariance = case.noise**2 * np.eye(12) + (case.rows * case.sd**2) @ case.rows.T
        exact = multivariate_t(case.rows @ case.mean, covariance, case.shape).logpdf(case.target)
        with jax.enable_x64(True):
            found = float(jax.jit(log_marginal)(case.sums, case.prior))
        np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    case, step = dense(7), 1e-5
    with jax.enable_x64(True):
        value, slope = jax.jit(log_marginal), jax.jit(jax.grad(log_marginal, argnums=1))
        sums, prior = case.sums, case.prior
        exact = jax.tree.map(np.asarray, slope(sums, prior))
        for name in prior._fields:
            flat = np.atleast_1d(np.asarray(getattr(prior, name)))
            for k in range(flat.size):
                ends = []
                for sign in (1, -1):
                    moved = flat.copy()
                    moved[k] += sign * step
                    moved = moved.reshape(np.shape(getattr(prior, name)))
                    ends.append(float(value(sums, prior._replace(**{name: jnp.asarray(moved)}))))
                found = (ends[0] - ends[1]) / (2 * step)
                # Third derivatives are of order ten here; times step^2 that is 1e-9.
                np.testing.assert_allclose(
                    np.atleast_1d(getattr(exact, name))[k], found, rtol=1e-6, atol=1e-6
                )


def test_gradient_in_the_sums_over_time() -> None:
    case, step = dense(10), 1e-5
    turn = np.random.default_rng(11).normal(size=(5, 5))
    turn = turn + turn.T  # sums over time stay symmetric
    with jax.enable_x64(True):

        def along(much: Any) -> Any:
            return log_marginal(case.sums._replace(gram=case.sums.gram + much * turn), case.prior)

        exact = float(jax.jit(jax.grad(along))(0.0))
        value = jax.jit(along)
        found = (float(value(step)) - float(value(-step))) / (2 * step)
    np.testing.assert_allclose(exact, found, rtol=1e-6)


def test_both_parts_of_the_quadratic_form_and_the_determinant() -> None:
    case = dense(8)
    with jax.enable_x64(True):
        sums, prior = case.sums, case.prior
        plain = jax.jit(explained)(sums.gram, prior.sd, sums.moment)
        kept = jax.jit(lambda *given: jax.vjp(explained, *given)[0])(
            sums.gram, prior.sd, sums.moment
        )
        plain, kept = jax.tree.map(float, (plain, kept))
    middle = np.eye(5) + case.sd[:, None] * (case.rows.T @ case.rows) * case.sd
    moment = case.sd * (case.rows.T @ case.target)
    exact = (moment @ np.linalg.solve(middle, moment), np.linalg.slogdet(middle)[1])
    np.testing.assert_allclose(plain, exact, rtol=1e-11)
    np.testing.assert_allclose(kept, exact, rtol=1e-11)


def test_posterior_is_that_of_dense_formulas() -> None:
    case = dense(9)
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, jax.jit(posterior)(case.sums, case.prior))
    # Posterior of normal coefficients by the covariance of coefficients and target.
    slab = np.diag(case.sd**2)
    covariance = case.noise**2 * np.eye(12) + case.rows @ slab @ case.rows.T
    gain = slab @ case.rows.T @ np.linalg.inv(covariance)
    left = case.target - case.rows @ case.mean
    np.testing.assert_allclose(found.mean, case.mean + gain @ left, rtol=1e-9)
    spread = slab - gain @ case.rows @ slab
    np.testing.assert_allclose(found.root @ found.root.T, spread, rtol=1e-8, atol=1e-12)
    assert (found.root[1] == 0).all()
    np.testing.assert_allclose(found.alpha, (case.shape + 12) / 2)
    quadratic = left @ np.linalg.solve(covariance, left)
    np.testing.assert_allclose(found.beta, (case.shape + quadratic) / 2, rtol=1e-10)


@pytest.mark.parametrize("basis", [("linear",), ("saturating", "square")])
def test_prior_of_a_target_reads_its_own_column(basis: tuple[str, ...]) -> None:
    layout = LAYOUT._replace(basis=basis)
    decoder, prior_of = additive(layout), jax.jit(AdditiveDecoder.prior)
    slab, unknown, mean = map(np.asarray, (decoder.log_slab, decoder.unknown, decoder.mean))
    for j in range(NODES):
        found = prior_of(decoder, jnp.asarray(CHAIN[:, j], jnp.float32), jnp.asarray(j))
        found = Prior(*map(np.asarray, found))
        for i in range(NODES):
            there = i == j or CHAIN[i, j] == 1
            block = slice(i * layout.block, (i + 1) * layout.block)
            np.testing.assert_allclose(found.mean[block], there * mean[i, :, j], rtol=1e-6)
            for f in range(len(basis)):
                spread = np.sqrt(np.exp(2 * float(decoder.log_own[f, j])))
                if i != j:
                    spread = np.sqrt(np.exp(2 * slab[f, j]) + unknown[i, f, j])
                at = slice(i * layout.block + f * LAGS, i * layout.block + (f + 1) * LAGS)
                np.testing.assert_allclose(found.sd[at], there * spread, rtol=1e-6)
        always = np.asarray(decoder.always)[:, j]
        np.testing.assert_array_equal(found.mean[NODES * layout.block :], always)
        np.testing.assert_allclose(found.noise, np.exp(decoder.log_noise[j]), rtol=1e-6)
        assert found.shape > 1.0


# --- Claim 1 -------------------------------------------------------------------------------------


def sums_of(values: NDArray, context: NDArray) -> Lagged:
    given = (jnp.asarray(x, jnp.float32) for x in (values, np.ones_like(values), context))
    return lagged_sums(*given, LAYOUT)


@pytest.fixture(scope="module")
def replaced() -> tuple[Lagged, list[Lagged]]:
    """Sums of shops, and those with the series of each node replaced."""
    values, other = series(seed=10), series(seed=11)
    context = np.random.default_rng(12).normal(size=(SHOPS, LENGTH, 1))
    changed = []
    for i in range(NODES):
        one = values.copy()
        one[..., i] = other[..., i]
        changed.append(sums_of(one, context))
    return sums_of(values, context), changed


FULL = 1.0 - np.eye(NODES)
EDGES = {"chain": CHAIN, "cycle": CHAIN + CHAIN.T, "none": 0 * FULL, "full": FULL}


DECODER = additive()


@jax.jit
@jax.vmap
def _likelihood_and_draws(sums: Lagged, edges: Any) -> Any:
    drawn = draw_coefficients(jax.random.key(0), DECODER, sums, edges)
    return DECODER.log_likelihood(sums, edges), drawn.columns


def likelihood_and_draws(sums: Lagged, edges: Any) -> tuple[NDArray, NDArray]:
    """Log likelihood (shop, target), and draws of coefficients with the same random numbers."""
    likelihood, columns = _likelihood_and_draws(sums, edges)
    return np.asarray(likelihood), np.asarray(columns)


@pytest.mark.parametrize("name", EDGES)
def test_without_an_edge_nothing_of_the_source_reaches_the_equation(
    name: str, replaced: tuple[Lagged, list[Lagged]]
) -> None:
    # In the chain node 0 reaches node 2 only through node 1: given the past of 1, 2 is unchanged.
    edges = np.broadcast_to(EDGES[name], (SHOPS, NODES, NODES)).astype(np.float32)
    sums, changed = replaced
    before, columns = likelihood_and_draws(sums, edges)
    for i, j in permutations(range(NODES), 2):
        after, moved = likelihood_and_draws(changed[i], edges)
        block = slice(i * LAGS, (i + 1) * LAGS)
        if EDGES[name][i, j]:
            assert (before[:, j] != after[:, j]).all()
            assert (columns[:, block, j] != 0).all()
        else:
            np.testing.assert_array_equal(before[:, j], after[:, j])
            np.testing.assert_array_equal(columns[:, :, j], moved[:, :, j])
            np.testing.assert_array_equal(columns[:, block, j], 0.0)


def test_one_step_ahead_moves_along_edges_only() -> None:
    decoder = additive()
    shop = prepared(series(seed=13)).shops
    own = jax.tree.map(lambda x: x[0], shop.sums)

    @jax.jit
    def following(past: jax.Array) -> jax.Array:
        drawn = draw_coefficients(jax.random.key(1), decoder, own, jnp.asarray(CHAIN, jnp.float32))
        ahead = jnp.zeros((2, 1))
        return simulate_additive(drawn.columns, jnp.zeros((2, NODES)), past, ahead, LAYOUT)

    past = shop.values[0, -LAGS:]
    before = np.asarray(following(past))
    for i in range(NODES):
        after = np.asarray(following(past.at[-1, i].add(1.0)))
        reached = (CHAIN[i] > 0) | (np.arange(NODES) == i)
        np.testing.assert_array_equal(before[0] != after[0], reached)
    # Two steps ahead the first node has reached the last, through the second.
    after = np.asarray(following(past.at[-1, 0].add(1.0)))
    assert before[1, 2] != after[1, 2]


def test_what_is_not_known_of_a_mechanism_falls_with_the_shops_that_have_it() -> None:
    decoder = additive(LAYOUT._replace(basis=("saturating", "square")))
    edges = np.random.default_rng(14).uniform(size=(SHOPS, NODES, NODES)) * FULL
    counts = np.array([20.0, 25.0, 30.0, 35.0])
    found = decoder.with_unknown(jnp.asarray(edges, jnp.float32), jnp.asarray(counts, jnp.float32))
    having, known, mean = edges.sum(0), (edges**2).sum(0), np.asarray(decoder.mean)
    slab, noise = np.asarray(decoder.log_slab), np.asarray(decoder.log_noise)
    for f in range(2):
        own = mean[:, f * LAGS : (f + 1) * LAGS]
        size = np.sum(having * (own**2).mean(1)) / having.sum()
        for i, j in permutations(range(NODES), 2):
            within = np.exp(2 * slab[f, j]) + np.exp(2 * noise[j]) / counts.mean()
            exact = 1 / (1 / size + known[i, j] / within)
            np.testing.assert_allclose(float(found.unknown[i, f, j]), exact, rtol=1e-5)
