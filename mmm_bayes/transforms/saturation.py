r"""Saturation: diminishing returns of media, elementwise.

Each function maps 0 to 0, increases for ``x >= 0`` and, except for :func:`root`, stays below one.
Parameters broadcast with ``x`` by the usual rules: for media ``(channel, geo, time)`` and one
parameter per channel, pass ``parameter[:, None, None]``.

Powers of ``x`` below one have an infinite slope at zero spend. :func:`hill` and :func:`root`
follow their chord through the origin on a short interval ``[0, eps]``, ``eps`` being the machine
epsilon of the dtype (2.2e-16 or 1.2e-7) times the half-saturation point (Hill) or one (root). It
lies below the rounding of any spend that matters, and bounds the slope by ``eps**(slope - 1)``:
large for a slope below one, but finite, with finite gradients of all parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmm_bayes._typing import Array, Broadcast, Parameter
from mmm_bayes.transforms._arguments import as_floats

__all__ = [
    "SATURATIONS",
    "Saturation",
    "exponential",
    "hill",
    "logistic",
    "michaelis_menten",
    "root",
    "tanh",
]


def hill(x: Parameter, ec: Parameter, slope: Parameter) -> Broadcast:
    r"""Evaluate the Hill curve, :math:`x^s / (x^s + e^s)`, with finite gradients at ``x = 0``.

    Computed as the logistic function of :math:`s (\log x - \log e)`: one logarithm of ``x`` and
    one exponential per element, no overflow for any slope.

    Parameters
    ----------
    x
        Media, at least zero; any shape.
    ec
        Half-saturation point :math:`e > 0`, in the units of ``x``: the curve is 1/2 there.
    slope
        Exponent :math:`s > 0`; above one the curve is S-shaped. At zero the derivative in ``x`` is
        ``1 / ec`` for slope 1, nearly 0 above and large below.

    Returns
    -------
    Array
        Values in [0, 1), of the broadcast shape.

    Examples
    --------
    >>> hill(0.0, 0.5, 0.3).item(), hill(0.5, 0.5, 0.3).item()
    (0.0, 0.5)

    References
    ----------
    Jin et al. (2017), equation 5.
    """
    return _hill(*as_floats(x, ec, slope))


@jax.custom_jvp
def _hill(x: Array, ec: Array, slope: Array) -> Array:
    return _hill_parts(x, ec, slope)[0]


def _hill_parts(x: Array, ec: Array, slope: Array) -> tuple[Array, Array, Array]:
    """Return the curve and its derivatives in ``x`` and in the slope."""
    limits = jnp.finfo(x.dtype)
    log_eps = jnp.log(limits.eps).astype(x.dtype)
    # The barrier keeps the compiler from computing the logarithm anew for each of the results.
    log_ratio = jax.lax.optimization_barrier(_log(jnp.maximum(x, limits.tiny)) - jnp.log(ec))
    on_curve = log_ratio > log_eps
    bounded = jnp.maximum(log_ratio, log_eps)
    curve = 1 / (1 + jnp.exp(-slope * bounded))
    spread = curve * (1 - curve)
    chord = 1 / (limits.eps * ec)
    share = jnp.where(on_curve, 1, chord * x)
    by_x = jnp.where(on_curve, slope * spread / jnp.where(on_curve, x, 1), chord * curve)
    return curve * share, by_x, share * spread * bounded


@_hill.defjvp
def _hill_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    # By hand: the logarithm and the exponential of the value serve all three derivatives, where
    # automatic differentiation of the guarded form does more than twice the work.
    x, ec, slope = primals
    d_x, d_ec, d_slope = tangents
    value, by_x, by_slope = _hill_parts(x, ec, slope)
    # The curve depends on x / ec alone, so the derivative in ec follows from that in x. Not by_x
    # times x / ec: where the ratio overflows, by_x is zero.
    return value, by_x * d_x - (x * by_x) / ec * d_ec + by_slope * d_slope


def _log(x: Array) -> Array:
    r"""Compute the natural logarithm of positive normal numbers, to one unit in the last place.

    In float64 by exponent and :math:`2\,\mathrm{artanh}((m - 1) / (m + 1))` with the mantissa
    :math:`m` in :math:`[\sqrt{1/2}, \sqrt 2)`: plain arithmetic, which compilers vectorise, where
    the library's float64 logarithm is called for one element at a time.
    """
    if x.dtype != jnp.float64:
        return jnp.log(x)
    bits = jax.lax.bitcast_convert_type(x, jnp.int64)
    exponent = (bits - _SQRT_HALF_BITS) >> 52
    mantissa = jax.lax.bitcast_convert_type(bits - (exponent << 52), jnp.float64)
    z = (mantissa - 1) / (mantissa + 1)
    square = z * z
    # |z| < 0.1716, so the first term left out is below 2 z^25 / 25 = 6e-21.
    series = jnp.full_like(z, 2 / 23)
    for power in range(21, 0, -2):
        series = series * square + 2 / power
    return exponent.astype(x.dtype) * 0.6931471805599453 + z * series


_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD  # float64 nearest to the square root of one half


def logistic(x: Parameter, lam: Parameter) -> Broadcast:
    r"""Evaluate the logistic curve, :math:`(1 - e^{-\lambda x}) / (1 + e^{-\lambda x})`.

    Parameters
    ----------
    x
        Media, at least zero; any shape.
    lam
        Rate :math:`\lambda > 0`, in 1 / units of ``x``; half-saturation lies at ``log(3) / lam``.

    Returns
    -------
    Array
        Values in [0, 1), of the broadcast shape.
    """
    x, lam = as_floats(x, lam)
    return jnp.tanh(0.5 * lam * x)


def michaelis_menten(x: Parameter, ec: Parameter) -> Broadcast:
    r"""Evaluate the Michaelis-Menten curve, :math:`x / (x + e)`: the Hill curve of slope one.

    Parameters
    ----------
    x
        Media, at least zero; any shape.
    ec
        Half-saturation point :math:`e > 0`, in the units of ``x``.

    Returns
    -------
    Array
        Values in [0, 1), of the broadcast shape.
    """
    x, ec = as_floats(x, ec)
    return x / (x + ec)


def tanh(x: Parameter, scale: Parameter) -> Broadcast:
    r"""Evaluate the hyperbolic tangent, :math:`\tanh(x / c)`.

    Parameters
    ----------
    x
        Media, at least zero; any shape.
    scale
        :math:`c > 0`, in the units of ``x``; the slope at zero is ``1 / scale``.

    Returns
    -------
    Array
        Values in [0, 1), of the broadcast shape.
    """
    x, scale = as_floats(x, scale)
    return jnp.tanh(x / scale)


def root(x: Parameter, exponent: Parameter) -> Broadcast:
    r"""Evaluate the power curve, :math:`x^a`: constant elasticity, no upper bound.

    Parameters
    ----------
    x
        Media, at least zero, scaled so that typical values are near one; any shape.
    exponent
        Elasticity :math:`a`, in (0, 1] for diminishing returns.

    Returns
    -------
    Array
        Values at least zero, of the broadcast shape.
    """
    x, exponent = as_floats(x, exponent)
    eps = jnp.finfo(x.dtype).eps
    curve = jnp.exp(exponent * jnp.log(jnp.maximum(x, eps)))
    chord = jnp.exp((exponent - 1) * jnp.log(eps).astype(x.dtype))
    return jnp.where(x > eps, curve, chord * x)


def exponential(x: Parameter, rate: Parameter) -> Broadcast:
    r"""Evaluate the exponential approach, :math:`1 - e^{-r x}`.

    Parameters
    ----------
    x
        Media, at least zero; any shape.
    rate
        :math:`r > 0`, in 1 / units of ``x``; half-saturation lies at ``log(2) / rate``.

    Returns
    -------
    Array
        Values in [0, 1), of the broadcast shape.
    """
    x, rate = as_floats(x, rate)
    return -jnp.expm1(-rate * x)


class Saturation(NamedTuple):
    """A member of the saturation family: its function and the names of its parameters."""

    function: Callable[..., Array]
    parameters: tuple[str, ...]


SATURATIONS: dict[str, Saturation] = {
    "hill": Saturation(hill, ("ec", "slope")),
    "logistic": Saturation(logistic, ("lam",)),
    "michaelis_menten": Saturation(michaelis_menten, ("ec",)),
    "tanh": Saturation(tanh, ("scale",)),
    "root": Saturation(root, ("exponent",)),
    "exponential": Saturation(exponential, ("rate",)),
}
