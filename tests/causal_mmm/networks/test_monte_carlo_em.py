"""Rounds of Monte Carlo EM: components, leave-one-out mechanisms, and their benefit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmm_bayes import CausalMMM, simulate
from mmm_bayes.causal_mmm.networks import metrics
from mmm_bayes.causal_mmm.networks.lagged import Layout
from mmm_bayes.causal_mmm.networks.model import Objective, Shops, Steps, graph_prior
from mmm_bayes.causal_mmm.networks.monte_carlo_em import (
    Rounds,
    State,
    first_state,
    learned_components,
    leave_one_out_mechanisms,
    monte_carlo_em,
    moved_components,
    networks_of,
)
from mmm_bayes.causal_mmm.networks.training import Checkpoint, Trained, TrainingSpec, train
from mmm_bayes.runtime.run_folder import RunFolderError

from .small import NODES, additive, networks, objective, prepared, series

NDArray = np.ndarray[Any, Any]

ROUNDS = Rounds(3, 4)
SPEC = TrainingSpec(epochs=2, batch_size=4, learning_rate=0.02, rounds=3)


@pytest.fixture(scope="module")
def shops() -> Shops:
    return prepared(series(seed=70)).shops


def test_rounds_find_more_of_short_series() -> None:
    """The benefit of the rounds: fixed seeds, and a third of the observed gain as margin."""
    key = jax.random.key(70)
    mechanisms = jax.random.fold_in(key, 1)
    both = simulate.shops(
        key, num_shops=80, num_channels=5, num_dates=30, num_structures=4, mechanism_key=mechanisms
    )
    panel, test = both.select(slice(40, None)), both.select(slice(0, 40))
    assert test.adjacency is not None
    found = {}
    for rounds in (0, 20):
        cm = CausalMMM(epochs=40, rounds=rounds).fit(jax.random.key(71), panel)
        found[rounds] = cm.edge_probabilities(test).values
    area = {k: metrics.auroc(p, test.adjacency) for k, p in found.items()}
    brier = {k: metrics.brier(p, test.adjacency) for k, p in found.items()}
    assert area[20] > area[0]
    assert brier[20] < brier[0]


def of(logits: list[float]) -> Any:
    """Objective of two nodes, and components that have the edge 0 -> 1 with these logits."""
    fixed = jnp.array([[0.0, jnp.nan], [jnp.nan, 0.0]])
    objective = Objective(jnp.full((2, 2), -2.0), fixed, jnp.float32(1), jnp.float32(jnp.nan))
    components = jnp.array([[[0.0, value], [-1.0, 0.0]] for value in logits])
    return objective, components


def test_components_are_the_frequencies_of_what_was_drawn() -> None:
    objective, components = of([2.0, -3.0, 0.5])
    prior = graph_prior(objective, components, jnp.array([0.1, 0.4, 0.0, -0.3]))
    edges = np.random.default_rng(0).integers(0, 2, (3, 7, 2, 2)) * (1.0 - np.eye(2))
    found, weights = learned_components(prior, jnp.asarray(edges, jnp.float32))

    def sigmoid(x: Any) -> NDArray:
        return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))

    all_logits = np.concatenate([[np.full((2, 2), -2.0)], components])
    start = np.exp(np.array(prior.log_weights, np.float64))
    having, sizes = np.zeros((4, 2, 2)), np.zeros(4)
    for draw in edges:
        for graph in draw:
            each = start.copy()
            for r in range(4):
                for i, j in ((0, 1), (1, 0)):
                    p = sigmoid(all_logits[r, i, j])
                    each[r] *= p if graph[i, j] else 1.0 - p
            share = each / each.sum() / len(edges)
            sizes += share
            having += share[:, None, None] * graph
    expected = (having[1:] + 8.0 * sigmoid(-2.0)) / (sizes[1:, None, None] + 8.0)
    for i, j in ((0, 1), (1, 0)):
        np.testing.assert_allclose(sigmoid(found)[:, i, j], expected[:, i, j], rtol=1e-4)
    weight = np.exp(np.asarray(weights))
    np.testing.assert_allclose(weight.sum(), 1.0, rtol=1e-5)
    assert weight[0] >= 0.05 - 1e-6
    np.testing.assert_allclose(
        weight[1:] / weight[1:].sum(), (sizes[1:] + 0.1) / (sizes[1:] + 0.1).sum(), rtol=1e-4
    )


def test_a_component_that_no_shop_has_goes_to_the_shop_that_fits_worst() -> None:
    objective, components = of([3.0, 3.0, 3.0])
    weights = jnp.log(jnp.array([0.05, 0.94, 0.005, 0.005]))
    edges = np.zeros((6, 2, 2))
    edges[:, 0, 1] = 1.0
    edges[4] = [[0.0, 0.0], [1.0, 0.0]]  # has what no component has, and lacks what all have
    found, after = moved_components(objective, components, weights, jnp.asarray(edges, jnp.float32))
    np.testing.assert_array_equal(found[0], components[0])
    assert found[1, 1, 0] > 0 > found[1, 0, 1]
    share = np.exp(np.asarray(after))
    np.testing.assert_allclose(share.sum(), 1.0, rtol=1e-5)
    assert share[2] > 0.1
    assert share[1] > share[2]
    # If all components have shops, none moves.
    alive = jnp.log(jnp.full(4, 0.25))
    same, _ = moved_components(objective, components, alive, jnp.asarray(edges, jnp.float32))
    np.testing.assert_array_equal(same, components)


def test_mechanisms_without_a_shop_are_those_that_the_others_would_have() -> None:
    """One coefficient a block, known noise: the posterior without a shop in closed form."""
    random = np.random.default_rng(3)
    count, rows, noise, spread = 6, 50.0, 0.8, 0.4
    decoder = eqx.tree_at(
        lambda d: (d.log_slab, d.log_noise, d.log_shape, d.unknown),
        additive(Layout(2, 1, ("linear",), 0)),
        (
            jnp.full((1, 2), np.log(spread)),
            jnp.full(2, np.log(noise)),
            jnp.full(2, 18.0),  # all but Gaussian
            jnp.zeros((2, 1, 2)),
        ),
    )
    mean = np.array([[0.0, 0.7], [0.0, 0.0]])
    decoder = eqx.tree_at(lambda d: d.mean, decoder, jnp.asarray(mean[:, None, :], jnp.float32))
    edges = np.zeros((count, 2, 2))
    edges[:4, 0, 1] = 1.0
    known = 1.0 / (spread**2 + noise**2 / rows)  # what a shop says
    prior = 1.0 / mean[0, 1] ** 2  # of the mechanisms that shops have
    said = random.normal(0.7, 0.3, count)
    said[:4] += (mean[0, 1] * (prior + 4 * known) / known - said[:4].sum()) / 4  # B is the mode
    gram = np.diag([rows, rows, rows])
    moments = np.zeros((count, 3, 2))
    moments[:, 0, 1] = rows * said
    sums = prepared(series(nodes=2, shops=count), Layout(2, 1, ("linear",), 0)).shops.sums
    sums = sums._replace(
        gram=jnp.asarray(np.broadcast_to(gram, (count, 3, 3)), jnp.float32),
        moment=jnp.asarray(moments, jnp.float32),
        square=jnp.full((count, 2), 200.0),
        count=jnp.full(count, rows),
    )
    of_zero = eqx.tree_at(
        lambda d: (d.always, d.log_own), decoder, (jnp.zeros((1, 2)), jnp.full((1, 2), -9.0))
    )

    def log_likelihood(shift: Any, own: Any, graph: Any) -> Any:
        moved = eqx.tree_at(lambda d: d.mean, of_zero, of_zero.mean + shift)
        return moved.log_likelihood(own, graph).sum()

    pull = jax.vmap(jax.grad(log_likelihood))(
        jnp.zeros((count, 2, 1, 2)), sums, jnp.asarray(edges, jnp.float32)
    )
    state = State(jnp.zeros(()), None, None, jnp.asarray(edges, jnp.float32), None, pull)  # type: ignore[arg-type]
    shops = prepared(series(nodes=2, shops=count), Layout(2, 1, ("linear",), 0)).shops
    found = leave_one_out_mechanisms(of_zero, shops._replace(sums=sums), state)
    for shop in range(count):
        others = [n for n in range(4) if n != shop]
        precision = prior + known * len(others)
        np.testing.assert_allclose(found.unknown[shop, 0, 0, 1], 1.0 / precision, rtol=1e-4)
        expected = known * said[others].sum() / precision if shop < 4 else mean[0, 1]
        np.testing.assert_allclose(found.mean[shop, 0, 0, 1], expected, rtol=2e-3)
    # A mechanism that no shop has keeps its prior.
    np.testing.assert_allclose(found.unknown[:, 1, 0, 0], 1.0 / prior, rtol=1e-4)


def test_fixed_edges_are_never_drawn_otherwise(shops: Shops) -> None:
    told = objective(required=((0, 2),), forbidden=((1, 0), (2, 1)))
    nets = networks(additive(), shops.evidence.shape[-1])
    state = first = first_state(nets, told, shops, ROUNDS)
    seen = []
    for state, loss in monte_carlo_em(jax.random.key(0), nets, told, shops, ROUNDS, first):
        assert np.isfinite(loss)
        seen.append(np.asarray(state.edges))
        for found in map(np.asarray, (state.edges, state.probability)):
            np.testing.assert_array_equal(found[:, 0, 2], 1.0)
            np.testing.assert_array_equal(found[:, [1, 2], [0, 1]], 0.0)
            np.testing.assert_array_equal(found[:, range(NODES), range(NODES)], 0.0)
    assert len(seen) == ROUNDS.number
    assert (seen[0] != seen[1]).any() or (seen[1] != seen[2]).any()
    learned = networks_of(state, nets)
    assert np.abs(learned.decoder.mean - nets.decoder.mean).max() > 1e-4  # type: ignore[union-attr]
    before, after = (jax.tree.leaves(eqx.filter(n.encoder, eqx.is_array)) for n in (nets, learned))
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


def test_a_prior_without_learned_components_stays_sparse(shops: Shops) -> None:
    nets = networks(additive(), shops.evidence.shape[-1], components=0)
    state = first_state(nets, objective(), shops, ROUNDS)
    state, loss = next(monte_carlo_em(jax.random.key(0), nets, objective(), shops, ROUNDS, state))
    assert np.isfinite(loss)
    assert state.networks.components.shape == (0, NODES, NODES)
    np.testing.assert_allclose(jax.nn.softmax(state.networks.weights), [1.0])


def test_the_pull_of_a_shop_is_the_gradient_of_its_likelihood(shops: Shops) -> None:
    told = objective(required=((0, 1), (1, 2)), forbidden=((0, 2), (1, 0), (2, 0), (2, 1)))
    nets = networks(additive(), shops.evidence.shape[-1])
    first = first_state(nets, told, shops, ROUNDS)
    state, _ = next(monte_carlo_em(jax.random.key(0), nets, told, shops, ROUNDS, first))
    # The step has all shops, whose edges are fixed, and starts at these parameters.
    decoder = networks_of(first, nets).decoder
    graph = jnp.nan_to_num(told.fixed)

    def log_likelihood(mean: Any, own: Any) -> Any:
        return eqx.tree_at(lambda d: d.mean, decoder, mean).log_likelihood(own, graph).sum()  # type: ignore[union-attr]

    expected = jax.vmap(jax.grad(log_likelihood), (None, 0))(decoder.mean, shops.sums)  # type: ignore[union-attr]
    np.testing.assert_allclose(state.pull, expected, rtol=1e-3, atol=1e-3)


def trained(
    shops: Shops, folder: Path | None = None, every: int = 1, on_epoch: Any = lambda *_: None
) -> Trained:
    keep = None if folder is None else Checkpoint(folder, {"seed": 1}, every)
    nets = networks(additive(), shops.evidence.shape[-1])
    return train(
        jax.random.key(8), nets, objective(), Steps(1, False, False), SPEC, shops,
        on_epoch=on_epoch, checkpoint=keep,
    )  # fmt: skip


def test_rounds_that_are_stopped_go_on_to_the_same(shops: Shops, tmp_path: Path) -> None:
    whole = trained(shops)
    assert len(whole.history.rounds) == 3
    assert not whole.interrupted
    told: list[tuple[int, int]] = []

    def stop(error: type[BaseException], at: int) -> Any:
        def on_epoch(epoch: int, epochs: int, loss: float) -> None:
            told.append((epoch, epochs))
            if epoch == at:
                raise error

        return on_epoch

    with pytest.raises(RuntimeError):
        trained(shops, tmp_path / "a", 1, stop(RuntimeError, 3))
    with pytest.raises(RuntimeError):
        trained(shops, tmp_path / "a", 1, stop(RuntimeError, 4))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5)]
    part = trained(shops, tmp_path / "b", 9, stop(KeyboardInterrupt, 4))
    assert part.interrupted == "interrupted after 2 of 3 rounds of Monte Carlo EM"
    np.testing.assert_array_equal(part.history.rounds, whole.history.rounds[:2])
    last = trained(shops, tmp_path / "c", 9, stop(KeyboardInterrupt, 2))
    assert last.interrupted == "interrupted after 0 of 3 rounds of Monte Carlo EM"
    assert len(last.history.rounds) == 0
    for name in ("a", "b"):
        told.clear()
        again = trained(shops, tmp_path / name, 1, lambda epoch, *_: told.append((epoch, 0)))
        assert told == [(5, 0)]
        np.testing.assert_array_equal(again.history.rounds, whole.history.rounds)
        leaves = [jax.tree.leaves(eqx.filter(t.networks, eqx.is_array)) for t in (again, whole)]
        for a, b in zip(*leaves, strict=True):
            np.testing.assert_array_equal(a, b)
    file = tmp_path / "a" / "rounds.npz"
    arrays = dict(np.load(file))
    np.savez(file, **arrays | {"loss": np.zeros(7)})
    with pytest.raises(RunFolderError, match=r"rounds.npz is no state .*losses of 7 of 3 rounds"):
        trained(shops, tmp_path / "a")
