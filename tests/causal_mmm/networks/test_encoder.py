"""The encoder: any length, no self-edges, equivariant to the order of nodes."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mmm_bayes.causal_mmm.networks.encoder import Encoder, _over_windows

from .small import HIDDEN, NODES, random_parameters, series

NDArray = np.ndarray[Any, Any]


WINDOW, EVIDENCE, LENGTH = 4, 3, 9
VALUES = np.asarray(series(seed=30, shops=1, length=LENGTH)[0], np.float32)
SEEN = np.ones_like(VALUES)
PAIRS = np.random.default_rng(31).normal(size=(NODES, NODES, EVIDENCE)).astype(np.float32)

call = eqx.filter_jit(Encoder.__call__)


def encoder(n_evidence: int = EVIDENCE) -> Encoder:
    return random_parameters(Encoder(jax.random.key(32), WINDOW, HIDDEN, n_evidence), sd=0.2)


def logits(
    values: NDArray = VALUES, seen: NDArray = SEEN, pairs: NDArray = PAIRS, **settings: int
) -> NDArray:
    return np.asarray(call(encoder(**settings), *(jnp.asarray(x) for x in (values, seen, pairs))))


@pytest.mark.parametrize("length", [2, WINDOW, LENGTH])
def test_series_of_any_length(length: int) -> None:
    found = logits(VALUES[:length], SEEN[:length])
    assert found.shape == (NODES, NODES, 2)
    assert np.isfinite(found).all()


def test_more_windows_are_averaged() -> None:
    # A series that repeats itself has the same windows, however long it is.
    values = np.tile(VALUES[:WINDOW], (4, 1))
    short, long = (values[: WINDOW + k - 1] for k in (WINDOW, 2 * WINDOW))
    found = [logits(x, np.ones_like(x)) for x in (short, long)]
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


def test_logits_follow_the_order_of_nodes() -> None:
    for order in ([2, 0, 1], [1, 0, 2]):
        found = logits(VALUES[:, order], SEEN, PAIRS[np.ix_(order, order)])
        np.testing.assert_allclose(found, logits()[np.ix_(order, order)], rtol=1e-4, atol=1e-5)


def test_self_edges_do_not_matter() -> None:
    pairs = PAIRS.copy()
    pairs[np.arange(NODES), np.arange(NODES)] += 5.0
    changed = logits(pairs=pairs) != logits()
    assert not changed[~np.eye(NODES, dtype=bool)].any()


@pytest.mark.parametrize("n_evidence", [0, EVIDENCE])
def test_every_series_and_every_pair_counts(n_evidence: int) -> None:
    pairs = PAIRS[..., :n_evidence]
    before, others = logits(pairs=pairs, n_evidence=n_evidence), ~np.eye(NODES, dtype=bool)
    for i in range(NODES):
        values = VALUES.copy()
        values[:, i] = VALUES[::-1, i]  # the same values in another order
        assert (logits(values, pairs=pairs, n_evidence=n_evidence) != before)[others].all()
    for k in range(n_evidence):
        moved = pairs.copy()
        moved[0, 1, k] += 1.0
        assert (logits(pairs=moved) != before)[0, 1].any()


def test_a_pair_is_seen_in_common_windows() -> None:
    # Both series have the windows they had, but not at the same times.
    cycle = np.tile(VALUES[:WINDOW], (2, 1))[: 2 * WINDOW - 1]
    shifted = cycle.copy()
    shifted[:, 0] = np.tile(np.roll(VALUES[:WINDOW, 0], 1), 2)[: 2 * WINDOW - 1]
    seen = np.ones_like(cycle)
    for n_evidence in (0, EVIDENCE):
        pairs = PAIRS[..., :n_evidence]
        before, after = (logits(x, seen, pairs, n_evidence=n_evidence) for x in (cycle, shifted))
        moved = np.abs(after - before)[0, 1].max()
        assert moved < 1e-6 if n_evidence else moved > 1e-4


def test_the_average_over_windows_is_a_loop() -> None:
    made = encoder(0)
    random = np.random.default_rng(34)
    own, there = random.normal(size=(5, NODES, HIDDEN)), random.uniform(size=(5, NODES))
    given = (jnp.asarray(x, jnp.float32) for x in (own, there))
    found = np.asarray(_over_windows(made.edge_first, *given))
    apply = eqx.filter_jit(eqx.nn.MLP.__call__)
    for i in range(NODES):
        for j in range(NODES):
            weight = there[:, i] * there[:, j] / np.sum(there[:, i] * there[:, j])
            each = [
                np.asarray(apply(made.edge_first, jnp.asarray([*w[i], *w[j]], jnp.float32)))
                for w in own
            ]
            np.testing.assert_allclose(found[i, j], weight @ np.array(each), rtol=1e-4, atol=1e-5)


def test_windows_with_nothing_observed_are_left_out() -> None:
    seen = SEEN.copy()
    seen[WINDOW:] = 0.0
    values, end = np.where(seen > 0, VALUES, 0.0), 2 * WINDOW - 1
    np.testing.assert_allclose(
        logits(values, seen), logits(values[:end], seen[:end]), rtol=1e-5, atol=1e-6
    )


def test_the_first_evidence_moves_the_logit_along_a_line_at_the_start() -> None:
    fresh = Encoder(jax.random.key(33), WINDOW, HIDDEN, 1)
    last: Any = lambda tree: (tree.edge_second.layers[-1].weight,)  # noqa: E731
    silent = eqx.tree_at(last, fresh, (jnp.zeros_like(fresh.edge_second.layers[-1].weight),))
    pairs = PAIRS[..., :1]
    found = np.asarray(call(silent, *(jnp.asarray(x) for x in (VALUES, SEEN, pairs))))
    difference = found[..., 1] - found[..., 0]
    line = float(fresh.slope) * (pairs[..., 0] - pairs[0, 1, 0])
    np.testing.assert_allclose(difference - difference[0, 1], line, rtol=1e-4, atol=1e-5)
