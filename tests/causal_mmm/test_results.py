"""Labelled results of CausalMMM from arrays."""

import numpy as np
import xarray as xr

from mmm_bayes.causal_mmm.results import acyclic_edges, effect_intervals, forecast_intervals

NODES = ("a", "b", "c")


def test_edges_that_would_close_a_cycle_are_left_out() -> None:
    found = np.array([[0.0, 0.9, 0.0], [0.0, 0.0, 0.8], [0.7, 0.6, 0.0]])
    assert acyclic_edges(NODES, found, 0.5) == {("a", "b"): 0.9, ("b", "c"): 0.8}
    assert acyclic_edges(NODES, found, 0.85) == {("a", "b"): 0.9}
    assert acyclic_edges(NODES, found, 0.95) == {}


def test_intervals_are_those_of_all_shops_together() -> None:
    draws = np.random.default_rng(0).normal(size=(50, 3, 2, 3))
    labels = {"shop": ["x", "y", "z"], "step": [1, 2], "node": list(NODES)}
    blocks = [(slice(0, 2), draws[:, :2]), (slice(2, 3), draws[:, 2:])]
    found = forecast_intervals(labels, blocks, 0.8)
    np.testing.assert_allclose(found["mean"], draws.mean(0))
    for name, level in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
        np.testing.assert_allclose(found[name], np.quantile(draws, level, axis=0))
    effects = effect_intervals(xr.DataArray(draws[:, 0, 0], dims=("draw", "channel")), 0.8)
    np.testing.assert_allclose(effects["low"], np.quantile(draws[:, 0, 0], 0.1, axis=0))
    assert effects.attrs == {"ci_prob": 0.8, "ci_kind": "eti"}
