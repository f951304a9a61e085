r"""Smoothing kernels of single columns, and rules for their bandwidths.

A product kernel over the columns of a Markov pillow weights the training rows (Racine and Li 2004).
Kernels are computed as logarithms with the maximum zero, since constants cancel in weights. With
``u = (x - x') / h``:

========================  =========================================================================
``gaussian``              :math:`-u^2 / 2`
``epanechnikov``          :math:`\log(1 - u^2)` for :math:`|u| < 1`
``biweight``              :math:`2 \log(1 - u^2)` for :math:`|u| < 1`
``triweight``             :math:`3 \log(1 - u^2)` for :math:`|u| < 1`
``tricube``               :math:`3 \log(1 - |u|^3)` for :math:`|u| < 1`
``laplace``               :math:`-|u|`
``indicator``             0 where equal
``aitchison_aitken``      unordered; :math:`\log \lambda/((c-1)(1-\lambda))` where not equal, ``c``
                          levels
``wang_ryzin``            ordered; :math:`\log(\lambda^{|x-x'|}/2)` where not equal
========================  =========================================================================

The bandwidth of the last two is :math:`\lambda` rather than ``h``.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
NDArray = np.ndarray[Any, Any]
BandwidthRule = Literal["normal_reference", "silverman", "robust", "nearest"]

KERNELS = (
    "gaussian",
    "epanechnikov",
    "biweight",
    "triweight",
    "tricube",
    "laplace",
    "indicator",
    "aitchison_aitken",
    "wang_ryzin",
)
CONTINUOUS = KERNELS[:6]
DISCRETE = KERNELS[6:]
BANDWIDTH_RULES: tuple[BandwidthRule, ...] = ("normal_reference", "silverman", "robust", "nearest")

# (8 sqrt(pi) R(K) / (3 mu_2(K)^2))^(1/5) of the Gaussian kernel: least mean integrated squared
# error of a density estimate where the density is normal (Silverman 1986, section 3.4).
_NORMAL_REFERENCE = float((4.0 / 3.0) ** 0.2)
_SILVERMAN = 0.9
_NORMAL_IQR = 1.349  # interquartile range of the standard normal, to the digits in common use
_NORMAL_MAD = 1.4826
# Canonical bandwidths over the Gaussian's (Marron and Nolan 1988): the same smoothing for each.
_CANONICAL = {
    "gaussian": 1.0,
    "epanechnikov": 2.214,
    "biweight": 2.623,
    "triweight": 2.978,
    "tricube": 2.610,
    "laplace": 0.740,
}


def kernel_id(name: str) -> int:
    """Return the position of a kernel in :data:`KERNELS`, its number in compiled programs."""
    return KERNELS.index(name)


def _compact(power: int, shape: int) -> Any:
    def log_kernel(difference: Array, bandwidth: Array, levels: Array) -> Array:
        inside = 1.0 - jnp.abs(difference / bandwidth) ** shape
        return jnp.where(inside > 0.0, power * jnp.log(jnp.maximum(inside, 1e-37)), -jnp.inf)

    return log_kernel


def _gaussian(difference: Array, bandwidth: Array, levels: Array) -> Array:
    u = difference / bandwidth
    return -0.5 * u * u


def _laplace(difference: Array, bandwidth: Array, levels: Array) -> Array:
    return -jnp.abs(difference / bandwidth)


def _indicator(difference: Array, bandwidth: Array, levels: Array) -> Array:
    return jnp.where(difference == 0.0, 0.0, -jnp.inf).astype(difference.dtype)


def _aitchison_aitken(difference: Array, bandwidth: Array, levels: Array) -> Array:
    other = jnp.log(bandwidth) - jnp.log1p(-bandwidth) - jnp.log(jnp.maximum(levels - 1.0, 1.0))
    return jnp.where(difference == 0.0, 0.0, other).astype(difference.dtype)


def _wang_ryzin(difference: Array, bandwidth: Array, levels: Array) -> Array:
    distance = jnp.abs(difference)
    other = jnp.where(distance == 0.0, 0.0, distance * jnp.log(bandwidth)) - jnp.log(2.0)
    return jnp.where(distance == 0.0, 0.0, other).astype(difference.dtype)


_BRANCHES = (
    _gaussian,
    _compact(1, 2),
    _compact(2, 2),
    _compact(3, 2),
    _compact(3, 3),
    _laplace,
    _indicator,
    _aitchison_aitken,
    _wang_ryzin,
)


def comparable(x: NDArray, kernel: str, at: NDArray | None = None) -> NDArray:
    """Transform a column so that single precision keeps the differences between its values.

    Values are centred. For kernels that only test equality they become positions among the sorted
    values (-1 if not among them), since single precision confuses whole numbers above 2**24.

    Parameters
    ----------
    x
        The column (n,).
    kernel
        Name.
    at
        Values to be compared with the column; by default those of the column.
    """
    at = x if at is None else at
    if kernel in CONTINUOUS:
        return at - np.median(x)
    if kernel == "wang_ryzin":
        return at - np.min(x)
    found = np.unique(x)
    position = np.minimum(np.searchsorted(found, at), len(found) - 1)
    return np.where(found[position] == at, position, -1).astype(float)


def log_kernel(kind: Array, difference: Array, bandwidth: Array, levels: Array) -> Array:
    """Compute the logarithm of a kernel, which is zero at its peak.

    Parameters
    ----------
    kind
        Position in :data:`KERNELS` (scalar).
    difference, bandwidth
        ``x - x'`` in the units of the column, and its bandwidth, broadcasting together. With a
        bandwidth of zero (a constant column) only equal values match.
    levels
        Number of levels, for ``aitchison_aitken``.
    """
    discrete = kind >= len(CONTINUOUS)
    exact = jnp.where(discrete, jnp.ones_like(bandwidth, bool), bandwidth > 0.0)
    safe = jnp.where(bandwidth > 0.0, bandwidth, 1e-30)
    difference, safe = jnp.broadcast_arrays(difference, safe)
    value = jax.lax.switch(kind, _BRANCHES, difference, safe, levels)
    return jnp.where(exact | (difference == 0.0), value, -jnp.inf)


# Logarithm of the integral of each continuous kernel (peak at one) over u.
_LOG_INTEGRAL = np.log(
    [np.sqrt(2.0 * np.pi), 4.0 / 3.0, 16.0 / 15.0, 32.0 / 35.0, 81.0 / 70.0, 2.0, 1.0, 1.0, 1.0]
)


def log_integral(kind: int, bandwidth: float, levels: float) -> float:
    r"""Compute the log integral (or sum over levels) of a kernel, which makes it a density."""
    name = KERNELS[kind]
    if name in CONTINUOUS:
        return float(_LOG_INTEGRAL[kind] + np.log(bandwidth))
    if name == "indicator":
        return 0.0
    if name == "aitchison_aitken":
        return float(-np.log1p(-bandwidth))
    return float(np.log1p(bandwidth / (1.0 - bandwidth)))  # 1 + sum over d >= 1 of lambda^d


def scale_of(x: NDArray, rule: str) -> float:
    """Estimate the spread of a column: ``min(sd, IQR / 1.349)``, or for ``"robust"`` the MAD."""
    deviation = float(np.std(x, ddof=1))
    if rule == "robust":
        spread = float(np.median(np.abs(x - np.median(x)))) * _NORMAL_MAD
    else:
        spread = float(np.subtract(*np.percentile(x, [75, 25]))) / _NORMAL_IQR
    return min(deviation, spread) if spread > 0 else deviation


def largest_bandwidth(kernel: str, levels: float) -> float:
    """Return the largest bandwidth (0.99 for Wang-van Ryzin) with the peak at equal values."""
    if kernel == "aitchison_aitken":
        return (levels - 1.0) / levels
    return 0.99 if kernel == "wang_ryzin" else np.inf


def bandwidth_of(x: NDArray, kernel: str, rule: str, *, neighbours: int | None = None) -> NDArray:
    r"""Choose the bandwidth of a column by a rule of thumb.

    ``normal_reference`` is :math:`1.0592 \min(\mathrm{sd}, \mathrm{IQR}/1.349)\, n^{-1/5}`;
    ``silverman`` has the factor 0.9; ``robust`` uses the median absolute deviation, for tables with
    outliers; ``nearest`` gives every row the distance to its k-th nearest value (``k = sqrt(n)`` by
    default). Kernels other than the Gaussian get the bandwidth of equal smoothing (Marron and Nolan
    1988). Aitchison-Aitken and Wang-van Ryzin kernels get ``lambda = n**(-2/5)``, the rate of Li
    and Racine (2007, chapter 4). The number of conditioning columns is not taken into account.

    Parameters
    ----------
    x
        Values (n,).
    kernel, rule
        Names.
    neighbours
        ``k`` of ``nearest``.

    Returns
    -------
    numpy.ndarray
        Bandwidth at each row (n,).

    References
    ----------
    Silverman (1986), Density Estimation for Statistics and Data Analysis.
    """
    n = len(x)
    if kernel == "indicator":
        return np.zeros(n)
    if kernel in DISCRETE:
        return np.full(n, min(n**-0.4, largest_bandwidth(kernel, len(np.unique(x)))))
    if rule == "nearest":
        k = min(neighbours or max(2, round(np.sqrt(n))), n - 1)
        return np.partition(np.abs(x[:, None] - x[None, :]), k, axis=1)[:, k]
    constant = _SILVERMAN if rule == "silverman" else _NORMAL_REFERENCE
    return np.full(n, _CANONICAL[kernel] * constant * scale_of(x, rule) * n**-0.2)


def log_kernel_host(name: str, difference: NDArray, bandwidth: Any, levels: float) -> NDArray:
    """Compute :func:`log_kernel` in NumPy, for small tables: JAX would compile every shape."""
    exact = difference == 0.0
    if name == "indicator":
        return np.where(exact, 0.0, -np.inf)
    width = np.maximum(bandwidth, 1e-300)
    if name == "aitchison_aitken":
        other = np.log(width) - np.log1p(-width) - np.log(max(levels - 1.0, 1.0))
        return np.where(exact, 0.0, other)
    if name == "wang_ryzin":
        return np.where(exact, 0.0, np.abs(difference) * np.log(width) - np.log(2.0))
    with np.errstate(over="ignore"):
        u = np.abs(difference / width)
        if name == "gaussian":
            return -0.5 * u * u
    if name == "laplace":
        return -u
    power, shape = {"epanechnikov": (1, 2), "biweight": (2, 2), "triweight": (3, 2)}.get(
        name, (3, 3)
    )
    inside = np.maximum(1.0 - np.minimum(u, 2.0) ** shape, 0.0)
    with np.errstate(divide="ignore"):
        return power * np.log(inside)
