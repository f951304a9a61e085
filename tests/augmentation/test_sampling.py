"""Ancestral sampling against full enumeration, and donors against their weights."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmm_bayes import CausalGraph, augment
from mmm_bayes.augmentation.columns import Columns
from mmm_bayes.augmentation.donors import draw_donors, log_weights, query_bandwidth
from mmm_bayes.augmentation.estimators import columns_of
from mmm_bayes.augmentation.kernels import KERNELS, bandwidth_of
from mmm_bayes.augmentation.table import encode

from .reference import DRAWS, GRAPH, check_unbiased, estimates, kernel_value, small_table


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return small_table()


# --- Against full enumeration --------------------------------------------------------------------


def test_draws_have_the_expectations_of_the_whole_tree(frame: pd.DataFrame) -> None:
    found = estimates(frame, lambda key: augment(jax.random.key(key), frame, GRAPH, num_rows=DRAWS))
    check_unbiased(found, frame)
    np.testing.assert_allclose(found["mass"], 1.0)
    assert all(np.ptp(values) > 0 for name, values in found.items() if name != "mass")


def test_dead_draws_lose_the_mass_that_enumeration_loses(frame: pd.DataFrame) -> None:
    """A compact kernel whose support few pairs of parents reach."""
    width = {"a": 0.3, "b": 1.0, "c": 0.4, "d": 1.0}
    found = estimates(
        frame,
        lambda key: augment(
            jax.random.key(key), frame, GRAPH, num_rows=DRAWS, kernel="epanechnikov",
            bandwidth=width,
        ),
    )  # fmt: skip
    check_unbiased(found, frame, kernel="epanechnikov", bandwidth=width)
    assert 0.1 < found["mass"].mean() < 0.9


def test_draws_are_rows_of_equal_weight(frame: pd.DataFrame) -> None:
    found = augment(jax.random.key(0), frame, GRAPH, num_rows=DRAWS)
    assert len(found) == DRAWS
    np.testing.assert_array_equal(found.weights, 1.0 / DRAWS)
    assert found.nodes == GRAPH.topological_order()
    for place, node in enumerate(found.nodes):
        values = frame[node].to_numpy()[found.row_index[:, place]]
        np.testing.assert_array_equal(found.frame[node], values)
    assert found.frame.dtypes.equals(frame.dtypes)
    again = augment(jax.random.key(0), frame, GRAPH, num_rows=DRAWS)
    pd.testing.assert_frame_equal(found.frame, again.frame)


def test_smoothing_adds_the_variance_of_the_kernel(frame: pd.DataFrame) -> None:
    found = augment(jax.random.key(3), frame, GRAPH, num_rows=20_000, smoothing=0.5)
    rows = found.row_index[:, found.nodes.index("a")]
    shift = found.frame["a"].to_numpy() - frame["a"].to_numpy()[rows]
    width = 0.5 * bandwidth_of(frame["a"].to_numpy(), "gaussian", "normal_reference")[0]
    assert shift.std() == pytest.approx(width, rel=4.0 / np.sqrt(2.0 * 20_000))
    assert set(found.frame["b"]) <= {0, 1}
    assert found.frame["b"].dtype == frame["b"].dtype


@pytest.mark.parametrize("method", ["sample", "resample"])
def test_whole_numbers_past_single_precision_match_exactly(method: Any) -> None:
    """Identifiers that differ by one in 40 million, and children that depend on them."""
    keys, code = np.array([0, 1, 2, 40_000_000, 40_000_001]), np.arange(24) % 5
    table = pd.DataFrame({"a": keys[code], "b": code / 1.0, "c": code / 1.0, "d": code / 1.0})
    graph = CausalGraph(tuple("abcd"), [("a", "b"), ("a", "c"), ("a", "d")])
    found = augment(jax.random.key(0), table, graph, method=method, num_rows=100)
    assert found.mass == pytest.approx(1.0)
    for child in "bcd":
        np.testing.assert_array_equal(keys[found.frame[child].astype(int)], found.frame["a"])


# --- Donors --------------------------------------------------------------------------------------


def pillow_of(n: int, seed: int = 0) -> Columns:
    """A continuous column, one with a bandwidth for each row, and a discrete one."""
    rng = np.random.default_rng(seed)
    values = np.stack([rng.normal(size=n), rng.normal(size=n), rng.integers(2, size=n)])
    width = np.stack([np.full(n, 0.4), rng.uniform(0.3, 1.0, n), np.full(n, 0.2)])
    return Columns(
        values, ("gaussian", "laplace", "aitchison_aitken"), width, np.array([n, n, 2.0])
    )


def proportional(donors: np.ndarray[Any, Any], share: np.ndarray[Any, Any]) -> bool:
    """Whether donors have these probabilities: chi-square, cells of less than 5 put together."""
    counts, wanted = np.bincount(donors, minlength=len(share)), share * len(donors)
    assert len(counts) == len(share)
    order = np.argsort(-wanted)
    last = max(int(np.sum(wanted >= 5.0)) - 1, 0)  # takes what is less than it
    starts = np.arange(last + 1)
    observed = np.add.reduceat(counts[order], starts)
    expected = np.add.reduceat(wanted[order], starts)
    return bool(stats.chisquare(observed, expected).pvalue > 1e-3)


@pytest.mark.parametrize("n", [37, 100, 193])
def test_donors_are_drawn_in_proportion_to_their_weights(n: int) -> None:
    """Chi-square of one query's donors; ``n`` on both sides of multiples of a tile."""
    pillow, draws = pillow_of(n), 1 << 14
    row = n // 2
    query = pillow.values[:, [row]]
    donors = draw_donors(jax.random.key(n), pillow, np.repeat(query, draws, axis=1))
    weights = np.ones(n)
    for name, x, width, levels in zip(
        pillow.kernel, pillow.values, pillow.bandwidth, pillow.levels, strict=True
    ):
        weights *= [kernel_value(name, x[row], other, width[row], int(levels)) for other in x]
    share = weights / weights.sum()
    assert proportional(donors, share)
    np.testing.assert_allclose(np.exp(log_weights(pillow, query))[0], share, rtol=1e-9)


def test_an_empty_pillow_makes_rows_as_likely() -> None:
    n, draws = 70, 1 << 14
    nothing = Columns(np.zeros((0, n)), (), np.zeros((0, n)), np.zeros(0))
    donors = draw_donors(jax.random.key(0), nothing, np.zeros((0, draws)))
    assert proportional(donors, np.full(n, 1.0 / n))


def test_every_draw_has_its_own_query() -> None:
    """Different queries in one call, none of them in the table, each with its nearest bandwidth."""
    pillow, draws = pillow_of(100), 1 << 14
    rng = np.random.default_rng(2)
    some = np.stack([rng.normal(size=4), rng.normal(size=4), [0.0, 1.0, 0.0, 1.0]])
    which = rng.integers(4, size=draws)
    donors = draw_donors(jax.random.key(1), pillow, some[:, which])
    shares = np.exp(log_weights(pillow, some))
    for k in range(4):
        assert proportional(donors[which == k], shares[k])


def test_rows_of_no_weight_are_never_drawn() -> None:
    rng = np.random.default_rng(5)
    code = (rng.random(150) < 0.2).astype(float)
    pillow = Columns(
        np.stack([code, rng.normal(size=150)]), ("indicator", "gaussian"),
        np.stack([np.zeros(150), np.full(150, 0.3)]), np.array([2.0, 150.0]),
    )  # fmt: skip
    query = np.stack([np.ones(1 << 14), rng.normal(size=1 << 14)])
    donors = draw_donors(jax.random.key(0), pillow, query)
    assert (code[donors] == 1.0).all()


def test_far_pillows_still_have_donors() -> None:
    """Kernels that all underflow have a largest one."""
    x = np.array([0.0, 1.0, 2.0, 3.0])
    pillow = Columns(x[None], ("gaussian",), np.full((1, 4), 0.01), np.array([4.0]))
    query = np.tile([[50.0, -40.0, 1.4]], 2000)
    donors = draw_donors(jax.random.key(0), pillow, query)
    assert (donors.reshape(-1, 3) == [3, 0, 1]).all()


def test_bandwidth_of_a_query_is_that_of_the_nearest_value() -> None:
    pillow = pillow_of(30)
    query = np.stack([np.zeros(5), np.linspace(-3.0, 3.0, 5), np.zeros(5)])
    found = query_bandwidth(pillow, query)
    np.testing.assert_array_equal(found[0], 0.4)
    nearest = [np.argmin(np.abs(pillow.values[1] - q)) for q in query[1]]
    np.testing.assert_array_equal(found[1], pillow.bandwidth[1][nearest])


@pytest.mark.parametrize("kernel", KERNELS)
def test_weights_on_the_host_are_those_of_the_loop(kernel: str) -> None:
    rng = np.random.default_rng(6)
    x = rng.integers(4, size=20).astype(float)
    pillow = Columns(x[None], (kernel,), np.full((1, 20), 0.6), np.array([4.0]))
    found = np.exp(log_weights(pillow, x[None, :5]))
    for row in range(5):
        weights = np.array([kernel_value(kernel, x[row], other, 0.6, 4) for other in x])
        np.testing.assert_allclose(found[row], weights / weights.sum(), rtol=1e-12)
    without = np.exp(log_weights(pillow, x[None, :5], left_out=np.arange(5)))
    assert (without[np.arange(5), np.arange(5)] == 0.0).all()
    np.testing.assert_allclose(without.sum(1), 1.0)


def test_columns_are_taken_out_by_position(frame: pd.DataFrame) -> None:
    table = encode(
        frame, GRAPH, kernel="gaussian", bandwidth="silverman", bandwidth_scale=2.0, order=None,
        blocks=None,
    )  # fmt: skip
    taken = columns_of(table, (2, 1))
    np.testing.assert_array_equal(taken.values, frame[["c", "b"]].T)
    assert taken.kernel == ("gaussian", "indicator")
    assert taken.is_continuous.tolist() == [True, False]
    width = 2.0 * bandwidth_of(frame["c"].to_numpy(), "gaussian", "silverman")
    np.testing.assert_allclose(taken.bandwidth[0], width)
    assert columns_of(table, ()).values.shape == (0, 12)
