r"""Hilbert-space approximation of a Gaussian process over time.

A smooth function of time becomes a linear combination of sines on a bounded domain, with normal
coefficients whose scales follow from the spectral density of the kernel. The basis is computed once
(by :mod:`numpyro.contrib.hsgp`); only the scales depend on amplitude and length scale. The scales
are our own because they must have finite gradients where the density underflows.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes._typing import Array, Basis, Broadcast, Number, Parameter, Times, Vector
from mmm_bayes.transforms._arguments import as_floats, require_count, with_namespace

__all__ = [
    "HSGPBasis",
    "hsgp_basis",
    "hsgp_domain",
    "hsgp_scales",
]


class HSGPBasis(NamedTuple):
    """Eigenfunctions of the Laplacian on a bounded domain, and their frequencies.

    A draw of the process is ``functions @ (hsgp_scales(...) * z)`` with ``z`` standard normal.
    """

    functions: Basis
    """Eigenfunctions at the given times, shape ``(time, m)``."""
    frequencies: Vector
    """Square roots of the eigenvalues, in radians per unit of time, shape ``(m,)``."""


def hsgp_domain(t: Times, expansion: Number = 1.5) -> tuple[float, float]:
    """Return the centre of ``t``, and its half-range times ``expansion``.

    The approximation is zero at ``centre ± half_width``; for forecasts, let ``t`` reach the last
    forecast date, or use a larger expansion. Riutort-Mayol et al. (2023) advise at least 1.2,
    and more when the length scale is long: about ``3.2 * length / half-range`` for the squared
    exponential, 4.5 and 4.1 in place of 3.2 for Matern 3/2 and 5/2.

    Parameters
    ----------
    t
        Times to be covered.
    expansion
        Boundary factor, above one.

    Returns
    -------
    tuple of float
        ``(centre, half_width)``, in the units of ``t``.
    """
    times = np.asarray(t, dtype=float)
    low, high = float(times.min()), float(times.max())
    if not expansion > 1 or high == low:
        raise ValueError(
            f"The domain needs an expansion above 1 and times that differ, got {expansion!r} over "
            f"[{low}, {high}]; 1.5 is a usual expansion."
        )
    return (low + high) / 2, expansion * (high - low) / 2


def hsgp_basis(
    t: Times,
    m: int,
    *,
    expansion: Number | None = None,
    half_width: Number | None = None,
    centre: Number = 0.0,
) -> HSGPBasis:
    r"""Compute the basis of the Hilbert-space approximation of a stationary Gaussian process.

    :math:`\phi_j(t) = L^{-1/2} \sin(\omega_j (t - c + L))` with
    :math:`\omega_j = j \pi / (2 L),\ j = 1, \dots, m`, on the domain :math:`[c - L, c + L]`.

    Parameters
    ----------
    t
        Times, shape ``(time,)``.
    m
        Number of functions. A length scale needs about ``1.75 * L / length`` of them for the
        squared exponential, 3.42 and 2.65 in place of 1.75 for Matern 3/2 and 5/2.
    expansion
        Domain from the range of ``t`` by :func:`hsgp_domain`; give this or ``half_width``.
    half_width
        Half width :math:`L` of the domain around ``centre``; forecasts need that of the fit.
    centre
        Centre :math:`c` of the domain, used with ``half_width``.

    Returns
    -------
    HSGPBasis
        Eigenfunctions and frequencies.

    Raises
    ------
    ValueError
        If both or neither of ``expansion`` and ``half_width`` are given, or a time lies outside
        the domain.

    References
    ----------
    Solin and Särkkä (2020), Statistics and Computing 30, equation 56; Riutort-Mayol et al. (2023),
    Statistics and Computing 33:17.
    """
    require_count("m", m, 1)
    if expansion is not None and half_width is None:
        centre, half_width = hsgp_domain(t, expansion)
    elif half_width is None or expansion is not None:
        raise ValueError(
            "Give either expansion (domain from t) or half_width (domain of an earlier fit), "
            f"got expansion={expansion!r} and half_width={half_width!r}."
        )
    xp, dtype, (times,) = with_namespace(t)
    shifted = times - centre
    # A traced array has no values to check, so there the caller must keep within the domain.
    if xp is np and bool(np.any(np.abs(shifted) > half_width)):
        raise ValueError(
            f"Times reach from {times.min()} to {times.max()}, outside the domain "
            f"{centre} ± {half_width}, where the approximation repeats itself mirrored; fit with a "
            "larger half_width that covers the forecast."
        )
    from numpyro.contrib.hsgp import laplacian

    # NumPyro computes in JAX's default precision, which may differ from that of ``t``.
    with jax.numpy_dtype_promotion("standard"):
        functions = laplacian.eigenfunctions(jnp.asarray(shifted, dtype), float(half_width), m)
        frequencies = laplacian.sqrt_eigenvalues(float(half_width), m, 1)[0]
    return HSGPBasis(functions.astype(dtype), frequencies.astype(dtype))


def hsgp_scales(
    kernel: str, frequency: Parameter, amplitude: Parameter, length: Parameter
) -> Broadcast:
    r"""Compute prior standard deviations :math:`\sqrt{S(\omega_j)}` of the coefficients of an HSGP.

    The square root is taken in closed form: that of NumPyro's spectral density has a gradient of
    NaN once the density of a high frequency underflows to zero.

    Parameters
    ----------
    kernel
        ``"squared_exponential"``, ``"matern32"`` or ``"matern52"``.
    frequency
        :attr:`HSGPBasis.frequencies`.
    amplitude
        Standard deviation of the process.
    length
        Length scale, in the units of time.

    Returns
    -------
    Array
        Standard deviations, of the broadcast shape.

    Raises
    ------
    ValueError
        For an unknown kernel.
    """
    if kernel not in _ROOT_DENSITIES:
        raise ValueError(f"Unknown kernel {kernel!r}; choose one of {sorted(_ROOT_DENSITIES)}.")
    frequency, amplitude, length = as_floats(frequency, amplitude, length)
    return amplitude * _ROOT_DENSITIES[kernel](frequency, length)


def _root_squared_exponential(frequency: Array, length: Array) -> Array:
    return (2 * np.pi) ** 0.25 * jnp.sqrt(length) * jnp.exp(-((length * frequency) ** 2) / 4)


def _root_matern32(frequency: Array, length: Array) -> Array:
    kappa = 3**0.5 / length
    return 2 * kappa**1.5 / (kappa**2 + frequency**2)


def _root_matern52(frequency: Array, length: Array) -> Array:
    kappa = 5**0.5 / length
    return 4 / 3**0.5 * kappa**2.5 / (kappa**2 + frequency**2) ** 1.5


_ROOT_DENSITIES: dict[str, Callable[[Array, Array], Array]] = {
    "squared_exponential": _root_squared_exponential,
    "matern32": _root_matern32,
    "matern52": _root_matern52,
}
