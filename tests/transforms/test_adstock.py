"""Adstock kernels against their formulas, and at the edges that a sampler reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import signal, stats

from mmm_bayes.transforms import adstock
from mmm_bayes.transforms.adstock import ADSTOCKS
from mmm_bayes.transforms.saturation import hill

MAX_LAG = 7
# Interior parameter values of every family: one draw for each of two channels.
INTERIOR = {
    "geometric": ([0.3, 0.8],),
    "delayed": ([0.3, 0.8], [0.5, 2.0]),
    "binomial": ([0.3, 0.8],),
    "weibull_pdf": ([0.6, 2.5], [1.5, 3.0]),
    "weibull_cdf": ([0.6, 2.5], [1.5, 3.0]),
}
# Edges and extremes a sampler can reach: boundaries, shapes below one, overflow of (t/scale)^k.
EDGES = {
    "geometric": [(0.0,), (1.0,)],
    "delayed": [(0.0, 0.0), (0.0, 2.0), (0.0, 1.3), (1.0, 3.0), (1.0, 0.5)],
    "binomial": [(0.0,), (1e-5,), (1.0,)],
    "weibull_pdf": [(0.01, 1.0), (0.3, 1e-3), (1.0, 1.0), (30.0, 0.01), (30.0, 1e4), (5.0, 1e-8)],
    "weibull_cdf": [(0.01, 1.0), (0.3, 1e-3), (1.0, 1.0), (30.0, 0.01), (30.0, 1e4), (5.0, 1e-8)],
}
# Unnormalised weights by formula, one lag at a time.
FORMULA = {
    "geometric": lambda lag, alpha: alpha**lag,
    "delayed": lambda lag, alpha, theta: alpha ** ((lag - theta) ** 2),
    "binomial": lambda lag, alpha: (1 - lag / MAX_LAG) ** (1 / alpha - 1),
    "weibull_pdf": lambda lag, k, scale: stats.weibull_min.pdf(lag + 1, k, scale=scale),
    "weibull_cdf": lambda lag, k, scale: np.prod(
        [stats.weibull_min.sf(j, k, scale=scale) for j in range(1, lag + 1)]
    ),
}

family = pytest.mark.parametrize("name", list(ADSTOCKS))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


# Compiled once a family: every eager operation of its own would be compiled too, and more slowly.
KERNELS = {
    name: jax.jit(member.kernel, static_argnames=("max_lag", "normalise"))
    for name, member in ADSTOCKS.items()
}


def kernel_of(name, *values, **options):
    return KERNELS[name](*values, **{"max_lag": MAX_LAG, **options})


def arrays(values, dtype=float):
    return tuple(np.asarray(v, dtype) for v in values)


# --- Kernels -------------------------------------------------------------------------------------


@family
def test_kernel_follows_its_formula(name, x64):
    values = np.array(INTERIOR[name])
    expected = np.array([[FORMULA[name](lag, *v) for lag in range(MAX_LAG)] for v in values.T])
    raw = kernel_of(name, *arrays(values), normalise=False)
    np.testing.assert_allclose(raw, expected, rtol=1e-12)
    normalised = kernel_of(name, *arrays(values))
    np.testing.assert_allclose(normalised, expected / expected.sum(-1, keepdims=True), rtol=1e-12)


@family
def test_kernel_broadcasts_parameters_over_leading_axes(name, x64):
    values = arrays(INTERIOR[name])
    column = tuple(v[:, None] for v in values[:1]) + values[1:]
    result = np.asarray(kernel_of(name, *column))
    shape = np.broadcast_shapes(*(v.shape for v in column))
    assert result.shape == (*shape, MAX_LAG)
    for index in np.ndindex(*shape):
        one = kernel_of(name, *(np.broadcast_to(v, shape)[index] for v in column))
        np.testing.assert_allclose(result[index], one, rtol=1e-13)


@family
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_under_strict_promotion(name, dtype, x64):
    values = [jax.ShapeDtypeStruct((2,), dtype) for _ in ADSTOCKS[name].parameters]
    kernel = ADSTOCKS[name].kernel
    with jax.numpy_dtype_promotion("strict"):
        result = jax.eval_shape(lambda *v: kernel(*v, max_lag=MAX_LAG), *values)
        assert result.dtype == dtype
        # Python numbers take the dtype of the arrays beside them.
        numbers = [1.5 for _ in values[1:]]
        result = jax.eval_shape(lambda v: kernel(v, *numbers, max_lag=MAX_LAG), values[0])
        assert result.dtype == dtype


@family
def test_kernel_under_vmap_and_its_gradient(name, x64):
    values = arrays(INTERIOR[name])
    np.testing.assert_allclose(
        jax.vmap(lambda *v: kernel_of(name, *v))(*values), kernel_of(name, *values), rtol=1e-13
    )
    check_grads(lambda *v: kernel_of(name, *v), values, order=1, modes=["rev"])


@family
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients_are_finite_at_the_edges(name, dtype, x64):
    values = arrays(np.array(EDGES[name]).T, dtype)
    kernel = np.asarray(kernel_of(name, *values))
    assert kernel.dtype == dtype
    assert np.all(np.isfinite(kernel))
    assert np.all(kernel >= 0)
    np.testing.assert_allclose(kernel.sum(-1), 1.0, rtol=20 * jnp.finfo(dtype).eps)

    def both(*v):
        return kernel_of(name, *v), kernel_of(name, *v, normalise=False)

    # A gradient of every weight on its own: in a sum, infinities of opposite sign could hide.
    everything = tuple(range(len(values)))
    jacobian = jax.jit(jax.vmap(jax.jacrev(both, argnums=everything)))(*values)
    assert all(np.all(np.isfinite(part)) for part in jax.tree.leaves(jacobian))


def test_geometric_derivatives_at_zero_are_those_of_its_series(x64):
    # w_l = a^l / (1 + a + ...) = a^l (1 - a + O(a^L)): first derivatives -1, 1, 0, ...,
    # second derivatives of lags 0, 1, 2: 0, -2, 2.
    def kernel(alpha):
        return adstock.geometric_kernel(alpha, max_lag=5)

    first, second = jax.jit(lambda a: (jax.jacfwd(kernel)(a), jax.hessian(kernel)(a)))(0.0)
    np.testing.assert_allclose(first, [-1, 1, 0, 0, 0], atol=1e-15)
    np.testing.assert_allclose(second, [0, -2, 2, 0, 0], atol=1e-15)


def test_limits_of_the_families(x64):
    nothing_carried = np.eye(MAX_LAG)[0]
    flat = np.full(MAX_LAG, 1 / MAX_LAG)
    for name in ("geometric", "binomial"):
        np.testing.assert_allclose(kernel_of(name, 0.0), nothing_carried, atol=1e-15)
        np.testing.assert_allclose(kernel_of(name, 1.0), flat, rtol=1e-14)
    np.testing.assert_allclose(kernel_of("delayed", 0.0, 2.0), np.eye(MAX_LAG)[2], atol=1e-15)
    np.testing.assert_allclose(kernel_of("delayed", 1.0, 2.0), flat, rtol=1e-14)
    # Shape one is the exponential distribution: geometric decay at rate exp(-1/scale).
    np.testing.assert_allclose(
        kernel_of("weibull_pdf", 1.0, 3.0), kernel_of("geometric", np.exp(-1 / 3)), rtol=1e-12
    )
    # A vanishing scale leaves lag 0 alone, though every density underflows.
    np.testing.assert_allclose(kernel_of("weibull_pdf", 30.0, 0.01), nothing_carried, atol=1e-15)


@pytest.mark.parametrize("bad", [0, -1, True])
def test_max_lag_must_be_a_positive_integer(bad):
    with pytest.raises(ValueError, match=f"max_lag must be an integer of at least 1, got {bad}"):
        adstock.geometric_kernel(0.5, max_lag=bad)


def test_geometric_adstock_is_a_recursion_when_the_window_covers_the_series(x64):
    rng = np.random.default_rng(2)
    x = rng.gamma(2.0, size=20)
    recursive = signal.lfilter([1.0], [1.0, -0.7], x)
    windowed = adstock.geometric_adstock(x, 0.7, max_lag=20, normalise=False)
    np.testing.assert_allclose(windowed, recursive, rtol=1e-13)


@family
def test_adstock_in_one_call_is_kernel_then_convolution(name, x64):
    function = getattr(adstock, f"{name}_adstock")
    series = np.random.default_rng(3).gamma(2.0, size=(2, 30))
    values = arrays(INTERIOR[name])

    @jax.jit
    def apply(x, *values):
        return (
            function(x, *values, max_lag=MAX_LAG),
            function(x, *values, max_lag=MAX_LAG, normalise=False),
            function(x[:, 9:], *values, max_lag=MAX_LAG, carry_in=x[:, :9]),
        )

    whole, raw, tail = (np.asarray(part) for part in apply(series, *values))
    for result, normalise in ((whole, True), (raw, False)):
        weights = np.asarray(kernel_of(name, *values, normalise=normalise))
        expected = [np.convolve(x, w)[:30] for x, w in zip(series, weights, strict=True)]
        np.testing.assert_allclose(result, expected, rtol=1e-12)
    # Carry-in gives what the end of a longer series gives.
    np.testing.assert_allclose(tail, whole[:, 9:], rtol=1e-12)
    # Normalised weights keep the level of a constant series once the window has filled.
    steady = np.asarray(apply(np.full_like(series, 3.0), *values)[0])
    np.testing.assert_allclose(steady[:, MAX_LAG - 1 :], 3.0, rtol=1e-14)


def test_lowers_for_machines_that_are_not_here():
    def response(x, alpha, ec, slope):
        return hill(adstock.geometric_adstock(x, alpha, max_lag=8), ec[:, None], slope[:, None])

    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((3, 52), (3,), (3,), (3,))]
    exported = jax.export.export(jax.jit(response), platforms=["cpu", "cuda", "tpu"])(*shapes)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    arguments = (jnp.ones((3, 52)), jnp.full(3, 0.5), jnp.full(3, 0.4), jnp.full(3, 1.2))
    np.testing.assert_allclose(exported.call(*arguments), response(*arguments), rtol=1e-6)
