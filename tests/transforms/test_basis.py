"""Fourier and knot bases against closed forms and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.interpolate import BSpline

from mmm_bayes.transforms import basis
from mmm_bayes.transforms.basis import equispaced_knots, fourier, hat_basis

KNOTS = np.array([0.0, 1.0, 2.5, 4.0, 7.0])


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


# --- Fourier -------------------------------------------------------------------------------------


def test_fourier_columns_are_sine_and_cosine_of_each_harmonic(x64):
    t = np.array([0.0, 3.0, 10.5, 40.0])
    result = fourier(t, 12.0, 3)
    assert result.shape == (4, 6)
    # Angles reach 63, whose rounding is 1.4e-14.
    for i, time in enumerate(t):
        for k in (1, 2, 3):
            angle = 2 * np.pi * k * time / 12
            np.testing.assert_allclose(
                result[i, 2 * k - 2 : 2 * k], [np.sin(angle), np.cos(angle)], atol=3e-14
            )


def test_fourier_is_orthogonal_over_whole_periods_and_repeats(x64):
    result = np.asarray(fourier(np.arange(24), 12.0, 4))
    np.testing.assert_allclose(result.T @ result, 12 * np.eye(8), atol=1e-12)
    np.testing.assert_allclose(result[:12], result[12:], atol=1e-14)


def test_fourier_of_day_numbers_keeps_its_phase():
    # 20 000 days is some 55 years. Traced in single precision, the phase in periods is rounded to
    # 54 * 2^-24 = 3e-6, which the third harmonic turns into an angle of 6e-5.
    t = np.arange(20000.0, 20010.0)
    expected = np.sin(2 * np.pi * 3 * ((t / 365.25) % 1))
    np.testing.assert_allclose(fourier(t, 365.25, 3)[:, 4], expected, atol=1e-7)
    traced = jax.jit(lambda t: fourier(t, 365.25, 3))(t.astype(np.float32))
    np.testing.assert_allclose(traced[:, 4], expected, atol=1e-4)


# --- Knots ---------------------------------------------------------------------------------------


def test_hat_basis_interpolates_between_the_values_at_the_knots(x64):
    values = np.random.default_rng(0).normal(size=KNOTS.size)
    t = np.linspace(-2.0, 9.0, 60)
    result = hat_basis(t, KNOTS)
    np.testing.assert_allclose(result @ values, np.interp(t, KNOTS, values), atol=1e-14)
    np.testing.assert_allclose(result.sum(-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(hat_basis(KNOTS, KNOTS), np.eye(KNOTS.size), atol=1e-15)


def test_hat_basis_equals_scipy_inside_the_knots(x64):
    t = np.concatenate([KNOTS, np.linspace(0, 7, 41)])
    padded = np.r_[KNOTS[0], KNOTS, KNOTS[-1]]
    expected = BSpline.design_matrix(t, padded, 1).toarray()
    np.testing.assert_allclose(hat_basis(t, KNOTS), expected, atol=1e-14)


def test_forecast_rows_continue_the_training_basis(x64):
    t = np.arange(30.0)
    knots = equispaced_knots(t[:20], 5)
    whole, head = hat_basis(t, knots), hat_basis(t[:20], 5)
    np.testing.assert_allclose(whole[:20], head, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bases_keep_dtype_under_strict_promotion_and_jit(dtype, x64):
    def all_bases(t):
        return (
            fourier(t, 3.5, 2),
            hat_basis(t, KNOTS),
        )

    t = jnp.linspace(-1.0, 8.0, 12, dtype=dtype)
    with jax.numpy_dtype_promotion("strict"):
        compiled = jax.jit(all_bases)(t)
    assert all(result.dtype == dtype for result in compiled)
    for result, eager in zip(compiled, all_bases(t), strict=True):
        np.testing.assert_allclose(result, eager, atol=20 * jnp.finfo(dtype).eps)


def test_bases_are_differentiable_in_time(x64):
    t = jnp.array([-1.0, 0.3, 1.7, 3.1, 6.2, 8.0])
    both = jax.jit(lambda t: (fourier(t, 3.5, 2), hat_basis(t, KNOTS)))
    check_grads(both, (t,), order=1, modes=["rev"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: basis.fourier(t, 0.0, 2), "period must be positive, got 0.0"),
        (lambda t: basis.fourier(t, 7.0, 0), "order must be an integer of at least 1, got 0"),
        (lambda t: basis.hat_basis(t, [0.0, 1.0, 1.0]), "strictly increasing times, got"),
        (lambda t: basis.hat_basis(t, [1.0]), "at least two strictly increasing"),
        (lambda t: basis.hat_basis(t, 1), "n_knots must be an integer of at least 2, got 1"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.arange(5.0))
