"""Kernels and weights of augmentation where numbers run out: underflow, ties, constant columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmm_bayes as mb
from mmm_bayes.augmentation.kernels import CONTINUOUS, KERNELS, bandwidth_of, log_kernel_host
from mmm_bayes.augmentation.likelihood_weights import likelihood_weights

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
GRAPH = mb.CausalGraph(edges=[("tv", "search"), ("search", "sales")])
ROWS = 24


@QUICK
@given(
    st.sampled_from(KERNELS),
    st.sampled_from([0.0, 1e-300, 1e-30, 1e-9, 0.3, 0.9]),
    st.lists(st.sampled_from([0.0, 1e-300, 1e-9, 1.0, 3.0, 1e9, 1e300]), min_size=1, max_size=6),
)
def test_kernels_are_never_no_number(name: str, width: float, differences: list[float]) -> None:
    values = log_kernel_host(name, np.array(differences), width, 3.0)
    assert not np.isnan(values).any()
    assert (values <= 0).all()
    assert (values[np.array(differences) == 0] == 0).all()


@QUICK
@given(
    st.sampled_from(CONTINUOUS),
    st.sampled_from(["normal_reference", "silverman", "robust", "nearest"]),
    st.lists(st.sampled_from([0.0, 1.0, 5.0, 1e-9, 1e12, -1e12]), min_size=3, max_size=30),
    st.sampled_from([1e-9, 1.0, 1e12]),
)  # fmt: skip
def test_bandwidths_are_finite_and_follow_the_unit(
    kernel: str, rule: str, values: list[float], unit: float
) -> None:
    x = np.array(values)
    width = bandwidth_of(x, kernel, rule)
    assert np.isfinite(width).all()
    assert (width >= 0).all()
    np.testing.assert_allclose(bandwidth_of(x * unit, kernel, rule), width * unit, rtol=1e-6)
    np.testing.assert_allclose(bandwidth_of(-x, kernel, rule), width, rtol=1e-6)


def table(kind: str) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    tv = rng.gamma(2.0, 1.0, ROWS)
    search = tv + rng.normal(size=ROWS)
    frame = pd.DataFrame({"tv": tv, "search": search, "sales": search + rng.normal(size=ROWS)})
    if kind == "constant column":
        frame["tv"] = 3.0
    elif kind == "all constant":
        frame[:] = 2.0
    elif kind == "duplicates":
        frame = pd.concat([frame.iloc[:3]] * 8, ignore_index=True)
    elif kind == "an outlier far away":
        frame.loc[0, "search"] = 1e9
    elif kind == "huge units":
        frame *= 1e12
    elif kind == "tiny units":
        frame *= 1e-12
    elif kind == "mostly zeros":
        frame["tv"] = 0.0
        frame.loc[0, "tv"] = 5.0
    return frame


KINDS = ["constant column", "all constant", "duplicates", "an outlier far away", "huge units",
         "tiny units", "mostly zeros"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("method", ["sample", "enumerate"])
def test_weights_sum_to_one_and_rows_are_finite(method: str, scale: float, kind: str) -> None:
    settings_: dict[str, Any] = {"threshold": 1e-3} if method == "enumerate" else {"num_rows": 40}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.AugmentationWarning)
        found = mb.augment(0, table(kind), GRAPH, method=method, bandwidth_scale=scale, **settings_)
    assert np.isfinite(found.weights).all()
    assert (found.weights >= 0).all()
    assert found.weights.sum() <= 1 + 1e-9
    if method == "sample" or scale < 1:
        assert found.weights.sum() == pytest.approx(1.0, rel=1e-6)
    assert np.isfinite(found.frame.to_numpy()).all()
    # Copies of training values, whatever the bandwidth.
    for name in found.frame:
        assert found.frame[name].isin(table(kind)[name]).all()


def test_powers_of_weights_that_sum_to_zero() -> None:
    outcomes = np.full((2, 30), -1)
    some = np.random.default_rng(0).random(30)
    for weights in (np.zeros(30), np.full(30, 1e-320), np.eye(30)[0], np.full(30, 1e-200)):
        found = likelihood_weights(np.stack([weights, some]), outcomes, 10, 0.5)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        assert found[0].sum() == pytest.approx(found[1].sum())
    # Without rows of weight a geo is as observed.
    found = likelihood_weights(np.zeros((1, 30)), outcomes[:1], 10, 0.5)
    np.testing.assert_array_equal(found[0], [1.0] * 10 + [0.0] * 30)
