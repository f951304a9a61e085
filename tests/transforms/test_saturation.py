"""Saturation curves against their formulas, and at the edges a sampler reaches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mmm_bayes.transforms.saturation import SATURATIONS, hill

INTERIOR = {
    "hill": (0.7, 1.6),
    "logistic": (1.3,),
    "michaelis_menten": (0.7,),
    "tanh": (0.7,),
    "root": (0.6,),
    "exponential": (1.3,),
}
FORMULA = {
    "hill": lambda x, ec, s: x**s / (x**s + ec**s),
    "logistic": lambda x, lam: (1 - np.exp(-lam * x)) / (1 + np.exp(-lam * x)),
    "michaelis_menten": lambda x, ec: x / (x + ec),
    "tanh": lambda x, scale: (np.exp(2 * x / scale) - 1) / (np.exp(2 * x / scale) + 1),
    "root": lambda x, exponent: x**exponent,
    "exponential": lambda x, rate: 1 - np.exp(-rate * x),
}
SLOPES = [0.3, 1.0, 3.0, 30.0]

family = pytest.mark.parametrize("name", list(SATURATIONS))
precision = pytest.mark.parametrize("dtype", ["float32", "float64"])


# Compiled once a family and dtype, for all tests.
COMPILED = {name: jax.jit(member.function) for name, member in SATURATIONS.items()}
GRADIENT = {
    name: jax.jit(
        jax.vmap(jax.grad(member.function, argnums=tuple(range(1 + len(member.parameters)))))
    )
    for name, member in SATURATIONS.items()
}


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@family
def test_follows_its_formula(name, x64):
    x = np.linspace(0.01, 5.0, 101)
    expected = FORMULA[name](x, *INTERIOR[name])
    np.testing.assert_allclose(COMPILED[name](x, *INTERIOR[name]), expected, rtol=1e-12)


@family
@precision
def test_zero_maps_to_zero_and_the_curve_rises_below_one(name, dtype, x64):
    x = np.concatenate([[0.0], np.logspace(-12, 3, 200)]).astype(dtype)
    with jax.numpy_dtype_promotion("strict"):
        values = np.asarray(COMPILED[name](x, *INTERIOR[name]))
    assert values.dtype == dtype
    assert values[0] == 0
    assert np.all(np.diff(values) >= 0)
    assert values[100] > values[50] > 0
    if name != "root":
        assert np.all(values <= 1)


@family
def test_vmap_grad_and_leading_axes(name, x64):
    function = COMPILED[name]
    x = np.asarray(np.random.default_rng(0).gamma(2.0, size=(2, 3, 4)))
    parameters = tuple(np.array([p, 1.2 * p])[:, None, None] for p in INTERIOR[name])
    expected = [FORMULA[name](x[c], *(p[c] for p in parameters)) for c in range(2)]
    np.testing.assert_allclose(function(x, *parameters), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(function)(x, *parameters), expected, rtol=1e-12)
    check_grads(function, (x, *parameters), order=1, modes=["rev"])


@family
@precision
def test_gradients_are_finite_at_zero(name, dtype, x64):
    x = np.array([0.0, 1e-30, 1e-7, 1.0, 1e4], dtype)
    arguments = tuple(np.full(x.shape, p, dtype) for p in INTERIOR[name])
    for part in GRADIENT[name](x, *arguments):
        assert part.dtype == dtype
        assert np.all(np.isfinite(part))


@precision
@pytest.mark.parametrize("slope", SLOPES)
def test_hill_at_and_near_zero_for_every_slope(dtype, slope, x64):
    eps, ec = float(jnp.finfo(dtype).eps), 0.7
    x = np.array([0.0, 0.1 * ec * eps, 0.99 * ec * eps, 1.01 * ec * eps, 1e-3, 0.7], dtype)
    values = np.asarray(COMPILED["hill"](x, ec, slope))
    assert values[0] == 0
    assert values[5] == pytest.approx(0.5, rel=10 * eps)
    assert np.all(np.diff(values) >= 0)
    # Above the chord the curve is the plain formula, and the two meet.
    above = np.asarray(x[3:], float)
    np.testing.assert_allclose(
        values[3:], FORMULA["hill"](above, ec, slope), rtol=300 * eps, atol=jnp.finfo(dtype).tiny
    )
    assert values[2] == pytest.approx(float(values[3]), rel=0.03 * max(slope, 1), abs=1e-30)
    parts = GRADIENT["hill"](x, np.full_like(x, ec), np.full_like(x, slope))
    assert all(np.all(np.isfinite(part)) for part in parts)
    at_zero = float(parts[0][0])
    if slope == 1:
        assert at_zero == pytest.approx(1 / ec, rel=1e-5)
    elif slope > 1:
        assert 0 <= at_zero < 1e-12
    else:
        assert at_zero == pytest.approx(eps ** (slope - 1) / ec, rel=0.02)
    # Neither parameter can move the value at zero.
    assert parts[1][0] == 0
    assert parts[2][0] == 0


def test_hill_does_not_depend_on_the_unit_of_spend(x64):
    x = np.array([0.0, 1e-17, 1e-12, 1e-3, 1.0, 30.0])
    for unit in (1e-9, 1e6):
        rescaled = COMPILED["hill"](unit * x, unit * 0.7, 1.4)
        np.testing.assert_allclose(rescaled, COMPILED["hill"](x, 0.7, 1.4), rtol=1e-11)


def test_hill_of_slope_one_is_michaelis_menten(x64):
    x = np.concatenate([[0.0], np.logspace(-20, 4, 100)])
    expected = COMPILED["michaelis_menten"](x, 0.4)
    np.testing.assert_allclose(COMPILED["hill"](x, 0.4, 1.0), expected, rtol=1e-12)


def test_hill_costs_one_logarithm_and_one_exponential_an_element():
    x = jnp.ones((4, 50))
    program = jax.make_jaxpr(hill)(x, jnp.ones((4, 1)), jnp.ones((4, 1)))

    def count(jaxpr, names):
        total = 0
        for equation in jaxpr.eqns:
            is_full = any(v.aval.shape == x.shape for v in equation.outvars)
            total += equation.primitive.name in names and is_full
            inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
            total += count(getattr(inner, "jaxpr", inner), names) if inner else 0
        return total

    assert count(program.jaxpr, {"log", "log1p"}) == 1
    assert count(program.jaxpr, {"exp", "logistic", "pow", "tanh"}) == 1


@precision
@pytest.mark.parametrize("exponent", [0.3, 1.0])
def test_root_is_continuous_with_finite_slope_at_zero(dtype, exponent, x64):
    eps = float(jnp.finfo(dtype).eps)
    x = np.array([0.0, 0.999 * eps, 1.001 * eps], dtype)
    values = np.asarray(COMPILED["root"](x, exponent))
    assert values[0] == 0
    np.testing.assert_allclose(values[1:], eps**exponent, rtol=2e-3)
    slope = GRADIENT["root"](x, np.full_like(x, exponent))[0]
    np.testing.assert_allclose(slope[0], eps ** (exponent - 1), rtol=1e-4)
