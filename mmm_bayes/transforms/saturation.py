r"""Saturation: diminishing returns of media, elementwise.

Each function maps 0 to 0, rises with ``x >= 0`` and, except :func:`root`, stays below one.
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
    r"""Hill curve, :math:`x^s / (x^s + e^s)`, with value and gradients defined at ``x = 0``.

    Computed as the logistic function of :math:`s (\log x - \log e)`: one logarithm of ``x`` and
    one exponential an element, no overflow for any slope.

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
    x, ec, slope = as_floats(x, ec, slope)
    limits = jnp.finfo(x.dtype)
    log_eps = jnp.log(limits.eps).astype(x.dtype)
    # Both maxima guard a gradient: the inner one log(0), the outer one the branch not taken.
    log_ratio = jnp.log(jnp.maximum(x, limits.tiny)) - jnp.log(ec)
    curve = jax.nn.sigmoid(slope * jnp.maximum(log_ratio, log_eps))
    chord = jax.nn.sigmoid(slope * log_eps) / (limits.eps * ec)
    return jnp.where(log_ratio > log_eps, curve, chord * x)


def logistic(x: Parameter, lam: Parameter) -> Broadcast:
    r"""Logistic curve, :math:`(1 - e^{-\lambda x}) / (1 + e^{-\lambda x}) = \tanh(\lambda x / 2)`.

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
    r"""Michaelis-Menten curve, :math:`x / (x + e)`: the Hill curve of slope one.

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
    r"""Hyperbolic tangent, :math:`\tanh(x / c)`.

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
    r"""Power curve, :math:`x^a`, the constant-elasticity response; it has no upper bound.

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
    r"""Exponential approach, :math:`1 - e^{-r x}`.

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
