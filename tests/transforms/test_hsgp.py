"""The Hilbert-space approximation against exact kernel matrices and NumPyro's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from numpyro.contrib.hsgp import spectral_densities

import mmm_bayes.transforms as transforms
from mmm_bayes.transforms import hsgp
from mmm_bayes.transforms.hsgp import hsgp_basis, hsgp_domain, hsgp_scales

EXACT_KERNELS = {
    "squared_exponential": lambda r, length: np.exp(-(r**2) / (2 * length**2)),
    "matern32": lambda r, length: (1 + 3**0.5 * r / length) * np.exp(-(3**0.5) * r / length),
    "matern52": lambda r, length: (
        (1 + 5**0.5 * r / length + 5 * r**2 / (3 * length**2)) * np.exp(-(5**0.5) * r / length)
    ),
}
kernels = pytest.mark.parametrize("kernel", list(EXACT_KERNELS))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def test_eigenfunctions_and_frequencies_are_those_of_the_laplacian(x64):
    # Files of earlier versions were written with exactly this basis.
    t = np.linspace(-1.0, 1.0, 20)
    functions, frequencies = hsgp_basis(t, 8, half_width=1.6)
    w = np.arange(1, 9) * np.pi / (2 * 1.6)
    np.testing.assert_allclose(frequencies, w, rtol=1e-15)
    np.testing.assert_allclose(functions, np.sin(w * (t[:, None] + 1.6)) / 1.6**0.5, atol=4e-15)


def test_eigenfunctions_are_orthonormal_on_the_domain(x64):
    # The trapezoid rule is exact for products of these sines on an even grid over the domain.
    grid = np.linspace(2.0, 8.0, 201)
    functions = np.asarray(hsgp_basis(grid, 6, half_width=3.0, centre=5.0).functions)
    gram = functions.T @ functions * (grid[1] - grid[0])
    np.testing.assert_allclose(gram, np.eye(6), atol=1e-12)


@kernels
def test_spectral_density_integrates_to_the_variance_and_agrees_with_numpyro(kernel, x64):
    frequency = np.linspace(-400.0, 400.0, 200_001)
    density = jax.jit(lambda w: hsgp_scales(kernel, w, 1.5, 0.8) ** 2)(frequency)
    # k(0) = (1 / 2 pi) * integral of S. Beyond 400 the Matern 3/2 tail holds about 1e-7 of it.
    variance = np.trapezoid(density, frequency) / (2 * np.pi)
    assert variance == pytest.approx(1.5**2, rel=1e-6)
    w = jnp.array([[0.0], [0.7], [3.0]])
    if kernel == "squared_exponential":
        theirs = spectral_densities.spectral_density_squared_exponential(1, w, 1.5**2, 0.8)
    else:
        nu = 1.5 if kernel == "matern32" else 2.5
        theirs = spectral_densities.spectral_density_matern(1, nu, w, 1.5**2, 0.8)
    np.testing.assert_allclose(hsgp_scales(kernel, w[:, 0], 1.5, 0.8) ** 2, theirs, rtol=1e-6)


@kernels
def test_hsgp_covariance_approaches_the_exact_kernel(kernel, x64):
    t = np.linspace(0.0, 2.0, 15)
    exact = 0.9**2 * EXACT_KERNELS[kernel](np.abs(t[:, None] - t), 0.4)
    errors = []
    for m in (10, 40, 160):
        functions, frequencies = hsgp_basis(t, m, expansion=4.0)
        scaled = np.asarray(functions) * hsgp_scales(kernel, frequencies, 0.9, 0.4)
        errors.append(np.abs(scaled @ scaled.T - exact).max())
    # A Matern nu density falls as w^-(2 nu + 1), so four times m divides the missing tail by
    # 4^(2 nu): 64 for 3/2, 1024 for 5/2; the squared exponential is exact to the boundary effect.
    assert errors[0] > errors[1] > errors[2] or errors[1] < 1e-6
    assert errors[2] < {"squared_exponential": 1e-6, "matern32": 2e-4, "matern52": 1e-5}[kernel]


@kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scales_have_finite_gradients_where_the_density_underflows(kernel, dtype, x64):
    frequency = np.array([0.5, 30.0, 3000.0], dtype)
    arguments = (np.asarray(1.2, dtype), np.asarray(3.0, dtype))
    scales = jax.jit(lambda a, length: hsgp_scales(kernel, frequency, a, length))
    jacobian = jax.jit(jax.jacrev(scales, (0, 1)))(*arguments)
    assert all(part.dtype == dtype and np.all(np.isfinite(part)) for part in jacobian)
    if dtype == "float64":
        check_grads(scales, arguments, order=1, modes=["rev"])


def test_domain_covers_the_times_and_is_shared_with_the_forecast(x64):
    t = np.arange(10.0, 31.0)
    centre, half_width = hsgp_domain(t, 1.5)
    assert (centre, half_width) == (20.0, 15.0)
    from_range = hsgp_basis(t, 5, expansion=1.5)
    forecast = hsgp_basis(np.array([31.0, 34.0]), 5, half_width=half_width, centre=centre)
    np.testing.assert_allclose(from_range.frequencies, forecast.frequencies)
    stitched = hsgp_basis(np.r_[t, 31.0, 34.0], 5, half_width=half_width, centre=centre)
    np.testing.assert_allclose(stitched.functions[:21], from_range.functions, atol=1e-14)
    np.testing.assert_allclose(stitched.functions[21:], forecast.functions, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_basis_keeps_dtype_under_strict_promotion_and_jit(dtype, x64):
    def functions(t):
        return hsgp_basis(t, 4, half_width=9.0, centre=3.5).functions

    t = np.linspace(-1.0, 8.0, 12).astype(dtype)
    with jax.numpy_dtype_promotion("strict"):
        compiled, at_once = jax.jit(functions)(t), functions(t)
    assert compiled.dtype == at_once.dtype == dtype
    np.testing.assert_allclose(compiled, at_once, atol=20 * jnp.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: hsgp.hsgp_basis(t, 3), "either expansion .* or half_width"),
        (lambda t: hsgp.hsgp_basis(t, 3, expansion=2, half_width=2), "either expansion"),
        (lambda t: hsgp.hsgp_basis(t, 3, half_width=2.0), "outside the domain 0.0 ± 2.0"),
        (lambda t: hsgp.hsgp_basis(t, 3, expansion=1.0), "expansion above 1"),
        (lambda t: hsgp.hsgp_domain(0 * t), "times that differ"),
        (lambda t: hsgp.hsgp_scales("periodic", t, 1.0, 1.0), "Unknown kernel 'periodic'"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.arange(5.0))


@kernels
def test_old_names_of_the_densities_still_work(kernel):
    with pytest.warns(DeprecationWarning, match="hsgp_scales"):
        density = getattr(transforms, f"spectral_density_{kernel}")
    np.testing.assert_allclose(density(0.7, 1.5, 0.8), hsgp_scales(kernel, 0.7, 1.5, 0.8) ** 2)
    with pytest.raises(AttributeError, match="no attribute"):
        getattr(transforms, "bspline_basis")  # noqa: B009
