"""The pruned tree: unbiased, exact above the level, and less variable than sampling."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from mmm_bayes import CausalGraph, augment
from mmm_bayes.augmentation.factorisation import log_normalise, problem_of
from mmm_bayes.augmentation.resampling import level_of, resample_step
from mmm_bayes.augmentation.table import EncodedTable, encode

from .reference import (
    DRAWS,
    FUNCTIONS,
    GRAPH,
    check_unbiased,
    estimates,
    reference_of,
    small_table,
)

ROWS = 100


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return small_table()


def encoded(frame: pd.DataFrame, graph: CausalGraph) -> EncodedTable:
    return encode(
        frame, graph, kernel="gaussian", bandwidth="normal_reference", bandwidth_scale=1.0,
        order=None, blocks=None,
    )  # fmt: skip


# --- The level -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 60, 199])
@pytest.mark.parametrize("spread", [0.0, 1.0, 6.0])
def test_level_makes_the_expected_number(count: int, spread: float) -> None:
    rng = np.random.default_rng(count)
    logs = -5.0 + spread * rng.normal(size=200)
    dead = np.append(logs, [-np.inf] * 9)
    with jax.enable_x64(True):
        level = float(level_of(jnp.asarray(dead), count))
    kept = np.minimum(np.exp(logs - level), 1.0).sum()
    assert kept == pytest.approx(count, rel=1e-9)


@pytest.mark.parametrize("count", [200, 500])
def test_few_rows_are_all_kept(count: int) -> None:
    logs = np.append(np.random.default_rng(0).normal(size=200), -np.inf)
    with jax.enable_x64(True):
        assert level_of(jnp.asarray(logs), count) == -np.inf
        assert level_of(jnp.full(5, -jnp.inf), count) == -np.inf


# --- One step ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def candidates(frame: pd.DataFrame) -> tuple[np.ndarray[Any, Any], EncodedTable]:
    """Weights (row of a and b, row of c) of what each row's own a and b go on with."""
    table = encoded(frame, GRAPH)
    assert table.nodes[2] == "c"
    x, width = table.values[0], table.bandwidth[0, 0]
    kernel = np.exp(-0.5 * ((x[:, None] - x[None, :]) / width) ** 2)
    kernel *= table.values[1][:, None] == table.values[1]
    return kernel / kernel.sum(1, keepdims=True) / 12.0, table


def one_step(table: EncodedTable, key: int, count: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Donors (row, 2) of a and c, and weights, of the rows kept."""
    with jax.enable_x64(True):
        problem = problem_of(table, 1.0, np.float64)
        donors = np.zeros((4, 128), np.int32)
        donors[:2, :12] = np.arange(12)
        weights = np.where(np.arange(128) < 12, -np.log(12.0), -np.inf)
        found, logs = resample_step(
            jax.random.key(key), problem, np.int32(2), donors, weights, np.int32(count)
        )
        alive = np.isfinite(np.asarray(logs))
        found = np.asarray(found)
        np.testing.assert_array_equal(found[0], found[1])
        return found[[0, 2]].T[alive], np.exp(np.asarray(logs)[alive])


@pytest.mark.parametrize("count", [20, 33, 50])
def test_rows_above_the_level_are_kept_exactly(
    candidates: tuple[np.ndarray[Any, Any], EncodedTable], count: int
) -> None:
    weights, table = candidates
    with jax.enable_x64(True):
        level = float(np.exp(level_of(jnp.log(jnp.asarray(weights.reshape(-1))), count)))
    large = {(i, k) for i, k in np.argwhere(weights >= level)}
    assert 0 < len(large) < count
    hits = np.zeros((12, 12))
    for key in range(200):
        rows, kept = one_step(table, key, count)
        assert len(rows) == count
        assert kept.sum() == pytest.approx(1.0, rel=1e-9)
        pairs = [tuple(row) for row in rows]
        assert all(pairs.count(pair) == 1 for pair in large)
        for pair, weight in zip(pairs, kept, strict=True):
            assert weight == pytest.approx(weights[pair] if pair in large else level, rel=1e-9)
        np.add.at(hits, tuple(rows.T), 1.0)
    # Other rows survive w / c times on average, with at most a binomial variance.
    share = np.minimum(weights / level, 1.0)
    assert (np.abs(hits - 200 * share) <= 4.0 * np.sqrt(200 * share * (1 - share)) + 2.0).all()


# --- Against full enumeration --------------------------------------------------------------------


def test_rows_have_the_expectations_of_the_whole_tree(frame: pd.DataFrame) -> None:
    found = estimates(
        frame,
        lambda key: augment(jax.random.key(key), frame, GRAPH, method="resample", num_rows=ROWS),
    )
    check_unbiased(found, frame)
    np.testing.assert_allclose(found["mass"], 1.0, rtol=1e-9)


def test_rows_vary_less_than_draws_of_that_number(frame: pd.DataFrame) -> None:
    def spread(method: Any, num_rows: int) -> dict[str, float]:
        found = estimates(
            frame,
            lambda key: augment(
                jax.random.key(key), frame, GRAPH, method=method, num_rows=num_rows
            ),
        )
        return {name: float(found[name].std(ddof=1)) for name in FUNCTIONS}

    pruned, drawn = spread("resample", ROWS), spread("sample", DRAWS)
    # Errors of draws fall with the root of their number.
    ratio = [pruned[name] / (drawn[name] * np.sqrt(DRAWS / ROWS)) for name in FUNCTIONS]
    assert np.mean(ratio) < 0.7
    assert max(ratio) < 1.0


def test_dead_rows_lose_the_mass_that_enumeration_loses(frame: pd.DataFrame) -> None:
    width = {"a": 0.3, "b": 1.0, "c": 0.4, "d": 1.0}
    found = estimates(
        frame,
        lambda key: augment(
            jax.random.key(key), frame, GRAPH, method="resample", num_rows=ROWS,
            kernel="epanechnikov", bandwidth=width,
        ),
    )  # fmt: skip
    check_unbiased(found, frame, kernel="epanechnikov", bandwidth=width)
    assert 0.1 < found["mass"].mean() < 0.9


@pytest.mark.parametrize("num_rows", [1, 10, 100])
def test_no_more_rows_than_asked_for(frame: pd.DataFrame, num_rows: int) -> None:
    found = augment(jax.random.key(2), frame, GRAPH, method="resample", num_rows=num_rows)
    assert num_rows / 4 <= len(found) <= num_rows
    assert found.mass == pytest.approx(1.0)


def test_enough_rows_are_the_whole_tree(frame: pd.DataFrame) -> None:
    """With room for all recombinations nothing is random."""
    small = frame.iloc[[0, 4, 7]].reset_index(drop=True)
    found, other = (
        augment(jax.random.key(key), small, GRAPH, method="resample", num_rows=ROWS)
        for key in (0, 1)
    )
    pd.testing.assert_frame_equal(found.frame, other.frame)
    whole = reference_of(small, GRAPH, 0.0)
    rows = found.frame[list(whole.columns)].itertuples(index=False, name=None)
    weights = dict(zip(rows, found.weights, strict=True))
    assert weights.keys() == whole.rows.keys()
    for row, weight in whole.rows.items():
        assert weights[row] == pytest.approx(weight, rel=1e-9)


def test_log_normalise_keeps_impossible_rows_impossible() -> None:
    found = log_normalise(jnp.array([[0.0, -jnp.inf], [-jnp.inf, -jnp.inf], [-900.0, -900.0]]))
    wanted = [[0.0, -np.inf], [-np.inf, -np.inf], [-np.log(2.0)] * 2]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
