r"""Adstock: the carry-over of media effects, as kernels for one causal convolution.

A kernel function returns the weights :math:`w_0, \dots, w_{L-1}` of the lags, where ``max_lag`` is
their number :math:`L`; the adstocked series is :math:`y_t = \sum_{l=0}^{L-1} w_l\, x_{t-l}`
(:mod:`mmm_bayes.transforms.convolution`). Parameters of any shape give kernels of that shape with
an additional last axis for the lags.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mmm_bayes._typing import Array, Carried, Kernel, Parameter, Response, Series
from mmm_bayes.transforms._arguments import as_floats, require_count
from mmm_bayes.transforms.convolution import causal_convolution

__all__ = [
    "ADSTOCKS",
    "Adstock",
    "binomial_adstock",
    "binomial_kernel",
    "delayed_adstock",
    "delayed_kernel",
    "geometric_adstock",
    "geometric_kernel",
    "weibull_cdf_adstock",
    "weibull_cdf_kernel",
    "weibull_pdf_adstock",
    "weibull_pdf_kernel",
]

# --- Kernels -------------------------------------------------------------------------------------


def geometric_kernel(alpha: Parameter, *, max_lag: int, normalise: bool = True) -> Kernel:
    r"""Compute weights of geometric decay, :math:`w_l \propto \alpha^l`.

    Parameters
    ----------
    alpha
        Retention rate per period, in [0, 1]; any shape.
    max_lag
        Number of weights: the lags are 0 to ``max_lag - 1``.
    normalise
        Scale the weights to sum to one; otherwise the weight of lag 0 is one.

    Returns
    -------
    Array
        Weights, shape ``alpha.shape + (max_lag,)``.

    References
    ----------
    Jin, Wang, Sun, Chan and Koehler (2017), "Bayesian methods for media mix modeling with
    carryover and shape effects", Google Inc., equation 2.
    """
    (alpha,) = as_floats(alpha)
    lags = _lags(max_lag, alpha)
    base = alpha[..., None]
    # Powers 0 and 1 are written out: differentiating them twice, as a Laplace approximation does,
    # passes through 0 * 0**-1 at alpha = 0.
    low_powers = jnp.where(lags == 0, 1.0, base)
    weights = jnp.where(lags < 2, low_powers, base ** jnp.maximum(lags, 2))
    return weights / weights.sum(-1, keepdims=True) if normalise else weights


def delayed_kernel(
    alpha: Parameter, theta: Parameter, *, max_lag: int, normalise: bool = True
) -> Kernel:
    r"""Compute weights with a delayed peak, :math:`w_l \propto \alpha^{(l - \theta)^2}`.

    Parameters
    ----------
    alpha
        Retention rate, in [0, 1]. It is mapped to ``eps + (1 - eps) * alpha``, a change below
        rounding error that keeps the logarithm and all gradients finite at zero.
    theta
        Lag of the peak, in periods, within ``[0, max_lag - 1]``; broadcasts with ``alpha``.
    max_lag
        Number of weights: the lags are 0 to ``max_lag - 1``.
    normalise
        Scale the weights to sum to one; otherwise the peak is one.

    Returns
    -------
    Array
        Weights, shape ``broadcast(alpha, theta).shape + (max_lag,)``.

    References
    ----------
    Jin et al. (2017), equation 3.
    """
    alpha, theta = as_floats(alpha, theta)
    eps = jnp.finfo(alpha.dtype).eps
    distance = _lags(max_lag, alpha) - theta[..., None]
    log_alpha = jnp.log(eps + (1 - eps) * alpha)
    return _from_log_weights(distance**2 * log_alpha[..., None], normalise)


def binomial_kernel(alpha: Parameter, *, max_lag: int, normalise: bool = True) -> Kernel:
    r"""Compute weights of binomial decay, :math:`w_l \propto (1 - l / L)^{1 / \alpha - 1}`.

    :math:`L` is ``max_lag``.

    The weights reach zero at lag :math:`L`: for the same early decay a larger part of the effect
    falls in the second half of the window than with geometric decay.

    Parameters
    ----------
    alpha
        Decay parameter, in [0, 1]: 0 means no carry-over, 1/2 a straight line, 1 equal weights.
    max_lag
        Number of weights: the lags are 0 to ``max_lag - 1``. Meridian's ``max_lag`` is the last
        lag, which is one less than ours.
    normalise
        Scale the weights to sum to one; otherwise the weight of lag 0 is one.

    Returns
    -------
    Array
        Weights, shape ``alpha.shape + (max_lag,)``.

    References
    ----------
    Google Meridian, "Set the adstock_decay_spec parameter": with its last lag
    :math:`L_M = L - 1`, :math:`w(s; \alpha) = (1 - s / (1 + L_M))^{1/\alpha - 1}`.
    """
    (alpha,) = as_floats(alpha)
    lags = _lags(max_lag, alpha)
    # Lag 1 weighs at most exp(-(1/alpha - 1) / L). Below this floor that is under exp(-750) = 0 in
    # either precision, so nothing is lost and 1/alpha stays finite.
    alpha = jnp.maximum(alpha, 1 / (750.0 * max_lag))
    exponent = 1 / alpha - 1
    return _from_log_weights(exponent[..., None] * jnp.log1p(-lags / max_lag), normalise)


def weibull_pdf_kernel(
    shape: Parameter, scale: Parameter, *, max_lag: int, normalise: bool = True
) -> Kernel:
    r"""Compute weights from a Weibull density, :math:`w_l \propto f(l + 1; k, \lambda)`.

    :math:`f(t) = (k/\lambda)(t/\lambda)^{k-1} e^{-(t/\lambda)^k}`. Evaluating at ``l + 1``, as
    Robyn and PyMC-Marketing do, keeps lag 0 finite for shapes below one. Both packages then map the
    weights linearly so that the smallest is 0 and the largest 1. We leave that map out: it makes
    one weight exactly zero, and jumps where another weight becomes the smallest. ``scale`` is in
    periods (PyMC-Marketing's reading; Robyn gives it as a quantile of the window).

    Parameters
    ----------
    shape
        :math:`k > 0`; above one the effect peaks after lag 0.
    scale
        :math:`\lambda > 0`, in periods; broadcasts with ``shape``.
    max_lag
        Number of weights: the lags are 0 to ``max_lag - 1``.
    normalise
        Scale the weights to sum to one; otherwise they are the density itself.

    Returns
    -------
    Array
        Weights, shape ``broadcast(shape, scale).shape + (max_lag,)``.
    """
    shape, scale = as_floats(shape, scale)
    log_ratio = jnp.log(_lags(max_lag, shape) + 1) - jnp.log(scale)[..., None]
    k = shape[..., None]
    log_weights = (k - 1) * log_ratio - _bounded_exp(k * log_ratio)
    if not normalise:
        log_weights = log_weights + (jnp.log(shape) - jnp.log(scale))[..., None]
    return _from_log_weights(log_weights, normalise)


def weibull_cdf_kernel(
    shape: Parameter, scale: Parameter, *, max_lag: int, normalise: bool = True
) -> Kernel:
    r"""Compute weights that retain a Weibull survival probability in each period.

    :math:`w_0 \propto 1,\; w_l \propto \prod_{j=1}^{l} S(j; k, \lambda)` with
    :math:`S(t) = 1 - F(t) = e^{-(t/\lambda)^k}`: the cumulative product of Robyn and
    PyMC-Marketing, which never peaks after lag 0. ``scale`` is in periods.

    Parameters
    ----------
    shape
        :math:`k > 0`.
    scale
        :math:`\lambda > 0`, in periods; broadcasts with ``shape``.
    max_lag
        Number of weights: the lags are 0 to ``max_lag - 1``.
    normalise
        Scale the weights to sum to one; otherwise the weight of lag 0 is one.

    Returns
    -------
    Array
        Weights, shape ``broadcast(shape, scale).shape + (max_lag,)``.
    """
    shape, scale = as_floats(shape, scale)
    lags = _lags(max_lag, shape)
    log_ratio = jnp.log(jnp.maximum(lags, 1)) - jnp.log(scale)[..., None]
    hazard = jnp.where(lags == 0, 0.0, _bounded_exp(shape[..., None] * log_ratio))
    return _from_log_weights(-jnp.cumsum(hazard, axis=-1), normalise)


class Adstock(NamedTuple):
    """A member of the adstock family: its kernel and the names of the kernel's parameters."""

    kernel: Callable[..., Array]
    parameters: tuple[str, ...]


ADSTOCKS: dict[str, Adstock] = {
    "geometric": Adstock(geometric_kernel, ("alpha",)),
    "delayed": Adstock(delayed_kernel, ("alpha", "theta")),
    "binomial": Adstock(binomial_kernel, ("alpha",)),
    "weibull_pdf": Adstock(weibull_pdf_kernel, ("shape", "scale")),
    "weibull_cdf": Adstock(weibull_cdf_kernel, ("shape", "scale")),
}


def _lags(max_lag: int, like: Array) -> Array:
    require_count("max_lag", max_lag, 1)
    return jnp.arange(max_lag, dtype=like.dtype)


def _from_log_weights(log_weights: Array, normalise: bool) -> Array:
    # The softmax stays finite where every weight underflows, as a plain ratio would not.
    return jax.nn.softmax(log_weights, axis=-1) if normalise else jnp.exp(log_weights)


def _bounded_exp(z: Array) -> Array:
    # exp(z) up to z = 20, its tangent beyond. A weight exp(-exp(20)) = exp(-4.9e8) is zero in
    # either precision, and the tangent keeps the order of the lags and a finite gradient where
    # exp(z) itself would overflow.
    bound = 20.0
    return jnp.exp(jnp.minimum(z, bound)) * (1 + jnp.maximum(z - bound, 0))


# --- Kernel and convolution in one call ----------------------------------------------------------


def geometric_adstock(
    x: Series,
    alpha: Parameter,
    *,
    max_lag: int,
    normalise: bool = True,
    carry_in: Carried | None = None,
) -> Response:
    """Adstock ``x`` with :func:`geometric_kernel`; see :func:`causal_convolution` for shapes."""
    kernel = geometric_kernel(alpha, max_lag=max_lag, normalise=normalise)
    return causal_convolution(x, kernel, carry_in=carry_in)


def delayed_adstock(
    x: Series,
    alpha: Parameter,
    theta: Parameter,
    *,
    max_lag: int,
    normalise: bool = True,
    carry_in: Carried | None = None,
) -> Response:
    """Adstock ``x`` with :func:`delayed_kernel`; see :func:`causal_convolution` for shapes."""
    kernel = delayed_kernel(alpha, theta, max_lag=max_lag, normalise=normalise)
    return causal_convolution(x, kernel, carry_in=carry_in)


def binomial_adstock(
    x: Series,
    alpha: Parameter,
    *,
    max_lag: int,
    normalise: bool = True,
    carry_in: Carried | None = None,
) -> Response:
    """Adstock ``x`` with :func:`binomial_kernel`; see :func:`causal_convolution` for shapes."""
    kernel = binomial_kernel(alpha, max_lag=max_lag, normalise=normalise)
    return causal_convolution(x, kernel, carry_in=carry_in)


def weibull_pdf_adstock(
    x: Series,
    shape: Parameter,
    scale: Parameter,
    *,
    max_lag: int,
    normalise: bool = True,
    carry_in: Carried | None = None,
) -> Response:
    """Adstock ``x`` with :func:`weibull_pdf_kernel`; see :func:`causal_convolution` for shapes."""
    kernel = weibull_pdf_kernel(shape, scale, max_lag=max_lag, normalise=normalise)
    return causal_convolution(x, kernel, carry_in=carry_in)


def weibull_cdf_adstock(
    x: Series,
    shape: Parameter,
    scale: Parameter,
    *,
    max_lag: int,
    normalise: bool = True,
    carry_in: Carried | None = None,
) -> Response:
    """Adstock ``x`` with :func:`weibull_cdf_kernel`; see :func:`causal_convolution` for shapes."""
    kernel = weibull_cdf_kernel(shape, scale, max_lag=max_lag, normalise=normalise)
    return causal_convolution(x, kernel, carry_in=carry_in)
