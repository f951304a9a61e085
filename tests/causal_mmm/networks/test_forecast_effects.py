"""Series to come and series under do(), against loops and closed forms."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmm_bayes.causal_mmm.networks.additive import posterior, target_sums
from mmm_bayes.causal_mmm.networks.effects import counterfactual, counterfactual_targets
from mmm_bayes.causal_mmm.networks.forecast import (
    LIMIT,
    additive_paths,
    draw_coefficients,
    draw_noise,
    recurrent_paths,
    simulate_additive,
)
from mmm_bayes.causal_mmm.networks.lagged import Layout, lagged_sums

from .small import CHAIN, LAGS, LENGTH, NODES, SHOPS, additive, prepared, recurrent, series
from .test_lagged import BENT, rows_of

NDArray = np.ndarray[Any, Any]


RICH = Layout(NODES, LAGS, ("linear", "saturating"), 1)


def coefficients_of(layout: Layout, seed: int = 70) -> NDArray:
    return 0.3 * np.random.default_rng(seed).normal(size=(layout.width, layout.nodes))


def test_the_mean_path_is_that_of_a_loop() -> None:
    columns, horizon = coefficients_of(RICH), 6
    past = series(seed=71)[0, -LAGS:]
    ahead = np.random.default_rng(72).normal(size=(horizon, 1))
    path, around = past, np.concatenate([np.zeros((LAGS, 1)), ahead])
    for t in range(horizon):
        row = rows_of(np.concatenate([path, np.zeros((1, NODES))]), around[: LAGS + t + 1], RICH)[
            -1
        ]
        path = np.concatenate([path, row[None] @ columns])
    errors = np.random.default_rng(73).normal(size=(horizon, NODES))

    @jax.jit
    def simulate(noise: Any) -> Any:
        given = (jnp.asarray(x, jnp.float32) for x in (columns, noise, past, ahead))
        return simulate_additive(*given, RICH, BENT)

    found = simulate(0.0 * errors)
    np.testing.assert_allclose(found, path[LAGS:], rtol=1e-4, atol=1e-5)
    # The first step has its noise on top.
    np.testing.assert_allclose(simulate(errors)[0], path[LAGS] + errors[0], rtol=1e-4, atol=1e-5)


DRAWS = 4000


@functools.partial(jax.jit, static_argnames="horizon")
def noise_of(errors: Any, there: Any, horizon: int) -> Any:
    """Draws (draw, horizon, node), with standard deviations 1, 2, ..."""
    sd = jnp.arange(1.0, errors.shape[1] + 1)
    keys = jax.random.split(jax.random.key(1), DRAWS)
    return jax.vmap(lambda key: draw_noise(key, errors, there, sd, horizon))(keys)


def test_noise_is_a_stretch_of_the_shops_own_errors() -> None:
    rows, horizon = 80, 20
    random = np.random.default_rng(74)
    errors = jnp.asarray(random.standard_t(4, size=(rows, NODES)), jnp.float32)
    found = np.asarray(noise_of(errors, jnp.ones(rows), horizon))
    own = np.asarray(errors) / np.sqrt((np.asarray(errors) ** 2).mean(0)) * np.arange(1, NODES + 1)
    # All nodes and days together, from wherever it begins; the end is followed by the start.
    wound = np.concatenate([own, own])
    stretches = np.stack([wound[s : s + horizon] for s in range(rows)])
    begins = np.abs(found[:, None, 0] - stretches[None, :, 0]).max(2).argmin(1)
    np.testing.assert_allclose(found, stretches[begins], rtol=1e-4, atol=1e-5)
    share = np.bincount(begins, minlength=rows) / DRAWS
    assert (np.abs(share - 1 / rows) < 5 * np.sqrt(1 / rows / DRAWS)).all()


def test_noise_of_a_longer_horizon_is_several_stretches() -> None:
    rows, horizon = 80, 30  # a stretch has 20 days
    errors = jnp.asarray(np.arange(1.0, rows + 1)[:, None], jnp.float32)
    found = np.asarray(noise_of(errors, jnp.ones(rows), horizon))[..., 0]
    day = np.rint(found * np.sqrt((np.arange(1, rows + 1) ** 2).mean())).astype(int) - 1
    follows = np.diff(day, axis=1) % rows == 1
    assert np.delete(follows, 19, axis=1).all()
    assert follows[:, 19].mean() < 0.05


@pytest.mark.parametrize("missing", ["most", "none of a few"])
def test_noise_is_normal_where_errors_are_few(missing: str) -> None:
    rows = 80 if missing == "most" else 30
    there = np.ones(rows) if missing != "most" else (np.arange(rows) < 40).astype(float)
    # Errors of two values only: nothing normal about them.
    errors = jnp.asarray(np.sign(np.random.default_rng(75).normal(size=(rows, NODES))), jnp.float32)
    found = np.asarray(noise_of(errors, jnp.asarray(there, jnp.float32), 6))
    flat = (found / np.arange(1, NODES + 1)).reshape(DRAWS, -1)
    assert (np.abs(flat.mean(0)) < 4.5 / np.sqrt(DRAWS)).all()
    assert (np.abs(flat.std(0) - 1) < 4.5 / np.sqrt(2 * DRAWS)).all()
    assert (np.abs((flat**4).mean(0) - 3) < 0.8).all()


def test_days_without_all_nodes_have_normal_noise() -> None:
    rows = 100
    there = (np.arange(rows) % 5 > 0).astype(float)
    errors = jnp.asarray(np.where(there > 0, 1.0, 7.0)[:, None] * np.ones(NODES), jnp.float32)
    found = np.asarray(noise_of(errors, jnp.asarray(there, jnp.float32), 10))[..., 0]
    own = np.isclose(found, 1.0, atol=1e-5)
    assert abs(own.mean() - 0.8) < 0.02
    assert abs(found[~own].std() - 1.0) < 0.05


def test_coefficients_are_drawn_from_their_posterior() -> None:
    decoder, draws = additive(), 8000
    own = jax.tree.map(lambda x: x[0], prepared(series(seed=73)).shops.sums)
    edges = jnp.asarray(CHAIN, jnp.float32)
    keys = jax.random.split(jax.random.key(2), draws)
    found = jax.jit(jax.vmap(lambda key: draw_coefficients(key, decoder, own, edges)))(keys)
    columns, noise = np.asarray(found.columns, float), np.asarray(found.noise, float)

    @jax.jit
    def exact(j: Any) -> Any:
        prior = decoder.prior(edges[:, j], j)
        return posterior(target_sums(own, j), prior), prior.noise

    for j in range(NODES):
        of_target, common = jax.tree.map(lambda x: np.asarray(x, float), exact(jnp.asarray(j)))
        root, shape = of_target.root, of_target.beta / (of_target.alpha - 1)
        variance = shape * (root**2).sum(1)
        error = np.sqrt(variance / draws)
        assert (np.abs(columns[:, :, j].mean(0) - of_target.mean) <= 4.5 * error + 1e-6).all()
        # The variance of a t's variance: kurtosis is 3 + 6 / (2 alpha - 4).
        spread = np.sqrt((2 + 6 / (2 * of_target.alpha - 4)) / draws)
        there = variance > 0
        ratio = columns[:, there, j].var(0) / variance[there]
        assert (np.abs(ratio - 1) < 4.5 * spread).all()
        factor = (noise[:, j] / common) ** 2
        sd = shape / np.sqrt(of_target.alpha - 2)
        assert abs(factor.mean() - shape) < 4.5 * sd / np.sqrt(draws)


def test_recurrent_paths_without_noise_go_on_with_the_own_predictions() -> None:
    decoder, shop = recurrent(), prepared(series(seed=74)).shops
    observed = shop.observed.at[0, 4].set(0.0).at[1, -3:, 0].set(0.0)
    values, horizon, draws = shop.values * observed, 5, 2
    ahead = jnp.asarray(np.random.default_rng(75).normal(size=(SHOPS, horizon, 1)), jnp.float32)
    edges = jnp.broadcast_to(jnp.asarray(CHAIN, jnp.float32), (draws, SHOPS, NODES, NODES))
    keys, free = jax.random.split(jax.random.key(3), SHOPS), jnp.full((SHOPS, NODES), -LIMIT)
    given = (edges, values, observed, shop.context, ahead)
    found = recurrent_paths(keys, decoder, jnp.zeros(NODES), *given, free)
    nothing = jnp.zeros((SHOPS, horizon, NODES))
    longer = [
        jnp.concatenate(pair, axis=1)
        for pair in ((values, nothing), (observed, nothing), (shop.context, ahead))
    ]
    expected = jax.jit(jax.vmap(decoder.predictions))(*longer, edges[0])[:, LENGTH - 1 :]
    assert found.shape == (draws, SHOPS, horizon, NODES)
    for draw in found:
        np.testing.assert_allclose(draw, expected, rtol=1e-4, atol=1e-5)
    noisy = recurrent_paths(keys, decoder, jnp.ones(NODES), *given, free)
    assert (noisy[0] != noisy[1]).all()
    held = recurrent_paths(keys, decoder, jnp.ones(NODES), *given, free.at[0, 1].set(0.25))
    assert held[:, 0, :, 1].min() == 0.25
    np.testing.assert_array_equal(held[:, 1], noisy[:, 1])


# --- Effects -------------------------------------------------------------------------------------


under_do = jax.jit(counterfactual, static_argnames="layout")


def do(columns: NDArray, values: NDArray, channel: int, path: NDArray, layout: Layout) -> NDArray:
    context = np.random.default_rng(76).normal(size=(len(values), layout.context))
    given = (jnp.asarray(x, jnp.float32) for x in (columns, values, context))
    return np.asarray(
        under_do(*given, channel, jnp.asarray(path, jnp.float32), layout=layout, saturation=BENT)
    )


def along(edges: NDArray, layout: Layout = RICH) -> NDArray:
    """Random coefficients, zero where there is no edge."""
    columns = coefficients_of(layout)
    for i, j in np.argwhere(edges + np.eye(NODES) == 0):
        columns[i * layout.block : (i + 1) * layout.block, j] = 0.0
    return columns


def test_setting_a_channel_to_what_it_was_changes_nothing() -> None:
    values = series(seed=77)[0]
    for channel in range(NODES):
        found = do(along(1 - np.eye(NODES)), values, channel, values[:, channel], RICH)
        # Predictions are subtracted and added again: one rounding of values of size 10.
        np.testing.assert_allclose(found, values, atol=1e-5)


def test_effects_go_along_paths_only() -> None:
    values = series(seed=78)[0]
    path = values[:, 1] + 1.0
    found = do(along(CHAIN), values, 1, path, RICH)
    np.testing.assert_array_equal(
        found[:, 0], do(along(CHAIN), values, 1, values[:, 1], RICH)[:, 0]
    )
    np.testing.assert_allclose(found[:, 1], path, rtol=1e-6)
    assert (np.abs(found[LAGS:, 2] - values[LAGS:, 2]) > 1e-4).all()
    # Node 0 reaches the target through node 1, and not where that edge is taken out.
    path = values[:, 0] + 1.0
    later = slice(LAGS + 1, None)
    found = do(along(CHAIN), values, 0, path, RICH)
    assert (np.abs(found - values)[later, 2] > 1e-6).all()
    broken = CHAIN.copy()
    broken[0, 1] = 0.0
    found = do(along(broken), values, 0, path, RICH)
    np.testing.assert_allclose(found[:, 1:], values[:, 1:], atol=1e-5)


def test_linear_effects_have_a_closed_form() -> None:
    layout = Layout(NODES, 1, ("linear",), 1)
    a, b, c, up = 0.6, 0.5, 0.7, 2.0
    columns = np.zeros((layout.width, NODES))
    # 0 -> 1 by b; 1 -> 2 by c; node 1 keeps a of its past.
    columns[0, 1], columns[1, 1], columns[1, 2] = b, a, c
    columns[NODES:] = np.random.default_rng(79).normal(size=(2, NODES))
    values = series(seed=80)[0]
    change = do(columns, values, 0, values[:, 0] + up, layout) - values
    t = np.arange(LENGTH)
    middle = up * b * (1 - a**t) / (1 - a)
    np.testing.assert_allclose(change[:, 1], middle, atol=1e-5)
    np.testing.assert_allclose(change[1:, 2], c * middle[:-1], atol=1e-5)
    np.testing.assert_allclose(change[0, 2], 0.0, atol=1e-6)


def test_targets_under_do_are_drawn_with_the_edges() -> None:
    decoder, shop = additive(), prepared(series(seed=81)).shops
    own = jax.tree.map(lambda x: x[0], shop)
    edges = jnp.asarray(np.stack([CHAIN, 0 * CHAIN] * 4), jnp.float32)
    paths = jnp.stack([own.values[:, 0], own.values[:, 0] + 1.0])
    found = np.asarray(
        counterfactual_targets(
            jax.random.key(4), decoder, own.sums, edges, own.values, own.context,
            jnp.array([0, 0]), paths,
        )
    )  # fmt: skip
    assert found.shape == (8, 2, LENGTH)
    target = np.asarray(own.values)[:, -1]
    np.testing.assert_allclose(found[:, 0], np.broadcast_to(target, (8, LENGTH)), atol=1e-4)
    np.testing.assert_allclose(found[1::2, 1], np.broadcast_to(target, (4, LENGTH)), atol=1e-4)
    assert (np.abs(found[::2, 1] - target).max(1) > 1e-3).all()


# --- Calibration ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("days", [40, 90])  # normal noise; stretches of errors
def test_intervals_hold_series_of_the_models_own_form(days: int) -> None:
    # Shops drawn from the decoder's own prior: coefficients around shared ones, noise of its own.
    shops, length, horizon, draws = 300, days, 4, 400
    layout, random = Layout(NODES, LAGS, ("linear",), 0), np.random.default_rng(82)
    decoder = additive(layout)
    parts = (0.5 * decoder.mean / LAGS, 0.0 * decoder.always, decoder.log_noise * 0.0 - 0.5)
    decoder = eqx.tree_at(lambda d: (d.mean, d.always, d.log_noise), decoder, parts)
    decoder = eqx.tree_at(
        lambda d: (d.log_slab, d.log_own, d.unknown),
        decoder,
        (jnp.full((1, NODES), -2.0), jnp.full((1, NODES), -2.0), jnp.zeros((NODES, 1, NODES))),
    )
    edges = random.random((shops, NODES, NODES)) < 0.5
    edges = (edges * (1 - np.eye(NODES))).astype(np.float32)
    blank = lagged_sums(
        jnp.zeros((shops, 9, NODES)), jnp.zeros((shops, 9, NODES)), jnp.zeros((shops, 9, 0)), layout
    )
    rest = jnp.zeros((shops, LAGS + 1, NODES))
    paths = additive_paths(
        jax.random.split(jax.random.key(5), shops), decoder, blank, jnp.asarray(edges)[None],
        rest, rest, rest[..., :0], jnp.zeros((shops, length + horizon, 0)),
        jnp.full((shops, NODES), -LIMIT),
    )  # fmt: skip
    whole = np.asarray(paths)[0]
    stable = np.abs(whole).max((1, 2)) < 15.0  # paths are cut at 20
    assert stable.mean() > 0.8
    whole, edges = whole[stable], edges[stable]
    past = jnp.asarray(whole[:, :length])
    sums = lagged_sums(past, jnp.ones_like(past), jnp.zeros((*past.shape[:2], 0)), layout)
    given = jnp.broadcast_to(jnp.asarray(edges), (draws, *edges.shape))
    ahead = jnp.zeros((len(past), horizon, 0))
    keys, free = (
        jax.random.split(jax.random.key(6), len(past)),
        jnp.full((len(past), NODES), -LIMIT),
    )
    before = (past, jnp.ones_like(past), past[..., :0])
    found = np.asarray(additive_paths(keys, decoder, sums, given, *before, ahead, free))
    low, high = np.quantile(found, [0.05, 0.95], axis=0)
    inside = (low <= whole[:, length:]) & (whole[:, length:] <= high)
    # Steps and nodes of a shop hang together: the error is that of shops' shares.
    share = inside.mean((1, 2))
    assert abs(share.mean() - 0.9) < 4 * share.std() / np.sqrt(len(share))
    assert abs(inside[:, 0].mean() - 0.9) < 4 * np.sqrt(0.09 / inside[:, 0].size)
