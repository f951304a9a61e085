"""Every way of convolving against a plain loop."""

import inspect

import jax
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import signal

from mmm_bayes.transforms.convolution import (
    causal_convolution,
    convolve_lags,
    lag_tensor,
    prepare_convolution,
)

METHODS = ["auto", "lags", "scan", "fft"]
PREPARED_METHODS = ["auto", "lags", "fft"]

# Compiled once a shape: every eager operation of its own would be compiled too, and more slowly.
convolve = jax.jit(causal_convolution, static_argnames="method")
apply_prepared = jax.jit(lambda prepared, kernel: prepared(kernel))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def convolve_by_loop(x, kernel, history=()):
    """One series, one kernel: y[t] = sum over lags, reading the history for times before 0."""
    before = list(history)
    result = []
    for t in range(len(x)):
        total = 0.0
        for lag, weight in enumerate(kernel):
            if t - lag >= 0:
                total += weight * x[t - lag]
            elif len(before) + t - lag >= 0:
                total += weight * before[t - lag]
        result.append(total)
    return np.array(result)


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize(
    ("max_lag", "history"), [(1, 2), (4, 0), (4, 2), (4, 50), (40, 0), (40, 2)]
)
def test_convolution_equals_a_plain_loop(method, max_lag, history, x64):
    rng = np.random.default_rng(max_lag + history)
    x = rng.gamma(2.0, size=(3, 2, 25))
    kernel = rng.uniform(size=(3, 1, max_lag))
    carry_in = rng.gamma(2.0, size=(3, 2, history))
    result = np.asarray(convolve(x, kernel, carry_in=carry_in if history else None, method=method))
    assert result.shape == x.shape
    for index in np.ndindex(3, 2):
        expected = convolve_by_loop(x[index], kernel[index[0], 0], carry_in[index])
        # Rounding of a sum of 40 terms: some eps times the size of the terms.
        np.testing.assert_allclose(result[index], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_convolution_is_a_causal_linear_filter(method, x64):
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=60), rng.uniform(size=12)
    result = convolve(x, kernel, method=method)
    np.testing.assert_allclose(result, signal.lfilter(kernel, 1.0, x), atol=1e-13)


@pytest.mark.parametrize("method", METHODS[1:])
def test_gradients_of_the_convolution(method, x64):
    rng = np.random.default_rng(5)
    x, kernel, carry_in = rng.normal(size=(2, 9)), rng.uniform(size=(2, 4)), rng.normal(size=(2, 3))
    check_grads(
        lambda x, w, c: convolve(x, w, carry_in=c, method=method),
        (x, kernel, carry_in),
        order=1,
        modes=["rev"],
    )


def test_lag_tensor_and_its_contraction(x64):
    rng = np.random.default_rng(6)
    x, carry_in = rng.normal(size=(2, 3, 8)), rng.normal(size=(1, 3, 2))
    lags = np.asarray(lag_tensor(x, 5, carry_in))
    assert lags.shape == (2, 3, 5, 8)
    padded = np.concatenate([np.zeros((2, 3, 2)), np.repeat(carry_in, 2, axis=0), x], axis=-1)
    for lag, t in np.ndindex(5, 8):
        np.testing.assert_array_equal(lags[:, :, lag, t], padded[:, :, 4 + t - lag])
    kernel = rng.uniform(size=(2, 1, 5))
    expected = [
        [convolve_by_loop(x[c, g], kernel[c, 0], carry_in[0, g]) for g in range(3)]
        for c in range(2)
    ]
    np.testing.assert_allclose(convolve_lags(lags, kernel), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", PREPARED_METHODS)
@pytest.mark.parametrize("history", [0, 2, 20])
def test_prepared_convolution_equals_a_plain_loop(method, history, x64):
    rng = np.random.default_rng(8)
    x, carry_in = rng.gamma(2.0, size=(2, 3, 14)), rng.gamma(2.0, size=(1, 3, history))
    kernel = rng.uniform(size=(2, 1, 5))
    prepared = prepare_convolution(x, 5, carry_in=carry_in if history else None, method=method)
    result = np.asarray(apply_prepared(prepared, kernel))
    assert result.shape == x.shape
    for c, g in np.ndindex(2, 3):
        expected = convolve_by_loop(x[c, g], kernel[c, 0], carry_in[0, g])
        np.testing.assert_allclose(result[c, g], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["lags", "fft"])
def test_many_kernels_share_one_prepared_series(method, x64):
    rng = np.random.default_rng(7)
    x, kernels = rng.normal(size=(3, 10)), rng.uniform(size=(6, 3, 4))
    prepared = prepare_convolution(x, 4, method=method)
    batched = jax.jit(jax.vmap(prepared))(kernels)
    expected = [[convolve_by_loop(x[c], w[c]) for c in range(3)] for w in kernels]
    np.testing.assert_allclose(batched, expected, rtol=1e-12, atol=1e-12)
    # The same by broadcasting: the leading axis of draws is the kernel's alone.
    np.testing.assert_allclose(apply_prepared(prepared, kernels), expected, rtol=1e-12, atol=1e-12)


def test_the_choice_by_shape_follows_the_size_of_the_lag_tensor():
    national, daily = np.ones((5, 156)), np.ones((5, 20, 1095))
    assert prepare_convolution(national, 13).method == "lags"
    assert prepare_convolution(daily, 90).method == "fft"

    def chosen(x, max_lag):
        program = jax.make_jaxpr(causal_convolution)(x, np.ones(max_lag))
        return "fft" if "fft" in str(program) else "lags"

    assert chosen(national, 13) == "lags"
    assert chosen(daily, 90) == "fft"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_under_strict_promotion(dtype, x64):
    x = jax.ShapeDtypeStruct((2, 9), dtype)
    kernel = jax.ShapeDtypeStruct((2, 4), dtype)

    def every_way(x, kernel):
        direct = [causal_convolution(x, kernel, carry_in=x[:, :3], method=m) for m in METHODS]
        prepared = [prepare_convolution(x, 4, method=m)(kernel) for m in PREPARED_METHODS]
        return direct + prepared

    with jax.numpy_dtype_promotion("strict"):
        results = jax.eval_shape(every_way, x, kernel)
        # Outside a trace the data pass through NumPy, which computes in float64.
        concrete = prepare_convolution(np.ones((2, 9), dtype), 4, method="fft")
    assert len(results) == 7
    for result in results:
        assert result.dtype == dtype
        assert result.shape == (2, 9)
    assert concrete.data.dtype == {"float32": "complex64", "float64": "complex128"}[dtype]


def test_wrong_input_is_named():
    # The checks of the types themselves, which run in tests only, would speak first.
    unchecked = inspect.unwrap(causal_convolution)
    with pytest.raises(ValueError, match="Unknown convolution method 'fir'; choose one of"):
        unchecked(np.ones(4), np.ones(2), method="fir")
    with pytest.raises(ValueError, match="Unknown convolution method 'scan'"):
        inspect.unwrap(prepare_convolution)(np.ones(4), 2, method="scan")
    with pytest.raises(ValueError, match="need a time axis"):
        unchecked(1.0, np.ones(2), method="scan")
    with pytest.raises(ValueError, match="max_lag must be an integer of at least 1, got 0"):
        lag_tensor(np.ones(4), 0)
    for prepared in (
        lambda kernel: convolve_lags(lag_tensor(np.ones(5), 3), kernel),
        prepare_convolution(np.ones(5), 3, method="lags"),
        prepare_convolution(np.ones(5), 3, method="fft"),
    ):
        with pytest.raises(ValueError, match="prepared for 3 lags and the kernel has 4"):
            prepared(np.ones(4))
