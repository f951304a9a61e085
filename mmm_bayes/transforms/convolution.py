r"""Causal convolution along time, :math:`y_t = \sum_{l=0}^{L-1} w_l\, x_{t-l}`.

Time is the last axis of every series, lag the last axis of every kernel, and leading axes
broadcast by the usual rules: for media ``(channel, geo, time)`` and one kernel per channel, pass
``kernel[:, None, :]``.

Inside a model, where the series is data and only the kernel changes, call
:func:`prepare_convolution` once and its result in every evaluation. Where the series changes too
(saturation before adstock), use :func:`causal_convolution`.
"""

import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes._typing import (
    Array,
    ArrayLike,
    Carried,
    KernelLike,
    LagTensor,
    LagTensorLike,
    Response,
    Series,
)
from mmm_bayes.transforms._arguments import as_floats, require_count, with_namespace

__all__ = [
    "ConvolutionMethod",
    "PreparedConvolution",
    "causal_convolution",
    "convolve_lags",
    "lag_tensor",
    "prepare_convolution",
]

ConvolutionMethod = Literal["auto", "lags", "scan", "fft"]

# Elements (batch x lags x times) up to which a lag tensor beats the FFT in a gradient on a CPU: see
# "Where the FFT takes over" in docs/results/adstock.md. One that is built in every call pays for
# its gather and for the scatter of its gradient, and gives way earlier.
LARGEST_PREPARED_LAG_TENSOR = 2**19
LARGEST_TEMPORARY_LAG_TENSOR = 2**17


def lag_tensor(x: Series, max_lag: int, carry_in: Carried | None = None) -> LagTensor:
    """Stack lagged copies of a series, ``out[..., l, t] = x[..., t - l]``.

    Parameters
    ----------
    x
        Series, shape ``(..., time)``.
    max_lag
        Number of lags, lag 0 included.
    carry_in
        Values just before the window, most recent last, shape ``(..., history)``. The last
        ``max_lag - 1`` are used; a shorter history, or none, is padded with zeros.

    Returns
    -------
    Array
        Shape ``(..., max_lag, time)``.

    Examples
    --------
    >>> lag_tensor(jnp.array([1.0, 2.0, 3.0]), 2).tolist()
    [[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]]
    """
    xp, dtype, padded, num_times = _with_history(x, max_lag, carry_in)
    starts = xp.arange(max_lag - 1, -1, -1)
    return jnp.asarray(padded[..., starts[:, None] + xp.arange(num_times)], dtype)


def convolve_lags(lags: LagTensorLike, kernel: KernelLike) -> Response:
    """Contract a lag tensor with a kernel: the causal convolution of fixed data.

    Parameters
    ----------
    lags
        Result of :func:`lag_tensor`, shape ``(..., lag, time)``.
    kernel
        Weights, shape ``(..., lag)``; leading axes broadcast with those of ``lags``.

    Returns
    -------
    Array
        Shape ``(..., time)``.

    Raises
    ------
    ValueError
        If the two disagree about the number of lags.
    """
    lags, kernel = as_floats(lags, kernel)
    _require_lags(lags.shape[-2], kernel)
    # The kernel is repeated for every geo, the lag tensor never: with one kernel for many geos XLA
    # would make one large matrix product and transpose the lag tensor for it in every call, which
    # takes 1.3 to 1.7 times as long (docs/results/adstock.md).
    batch = jnp.broadcast_shapes(lags.shape[:-2], kernel.shape[:-1])
    kernel = jnp.broadcast_to(kernel, (*batch, kernel.shape[-1]))
    return jnp.einsum("...lt,...l->...t", lags, kernel)


def causal_convolution(
    x: Series,
    kernel: KernelLike,
    *,
    carry_in: Carried | None = None,
    method: ConvolutionMethod = "auto",
) -> Response:
    r"""Convolve causally along time, :math:`y_t = \sum_l w_l\, x_{t-l}`.

    Parameters
    ----------
    x
        Series, shape ``(..., time)``.
    kernel
        Weights of lags 0 to ``L - 1``, shape ``(..., L)``; leading axes broadcast with ``x``.
    carry_in
        Values just before the window, most recent last; zeros when not given.
    method
        ``"lags"`` contracts a lag tensor, ``"scan"`` adds one shifted copy per lag in little
        memory, ``"fft"`` multiplies spectra (its zeros are zero only up to rounding).
        ``"auto"`` chooses ``"lags"`` for a lag tensor of up to 2**17 elements, else ``"fft"``.

    Returns
    -------
    Array
        Shape ``(..., time)``, in the units of ``x`` when the kernel sums to one.

    Raises
    ------
    ValueError
        For an unknown method or a series without a time axis.
    """
    x, kernel = as_floats(x, kernel)
    max_lag = kernel.shape[-1]
    _require_method(method)
    if method == "auto":
        size = math.prod(x.shape) * max_lag
        method = "lags" if size <= LARGEST_TEMPORARY_LAG_TENSOR else "fft"
    if method == "lags":
        return convolve_lags(lag_tensor(x, max_lag, carry_in), kernel)
    _, dtype, history_and_x, num_times = _with_history(x, max_lag, carry_in)
    padded = jnp.asarray(history_and_x, dtype)
    if method == "scan":
        return _convolve_by_scan(padded, kernel, num_times)
    size = _fft_size(padded.shape[-1])
    return _convolve_spectrum(jnp.fft.rfft(padded, size), kernel, size, num_times)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PreparedConvolution:
    """A series prepared for convolution with many kernels; call it with a kernel.

    It is a pytree with one array leaf, so it may be closed over or passed through ``jit``.
    """

    data: Array
    """Lag tensor ``(..., lag, time)`` or spectrum ``(..., frequency)``."""
    method: str = field(metadata={"static": True})
    """``"lags"`` or ``"fft"``."""
    max_lag: int = field(metadata={"static": True})
    num_times: int = field(metadata={"static": True})
    fft_size: int = field(metadata={"static": True})

    def __call__(self, kernel: KernelLike) -> Response:
        """Convolve the series with ``kernel``, shape ``(..., max_lag)``.

        Raises
        ------
        ValueError
            If the kernel has another number of lags.
        """
        if self.method == "lags":
            return convolve_lags(self.data, kernel)
        (kernel,) = as_floats(kernel)
        _require_lags(self.max_lag, kernel)
        return _convolve_spectrum(self.data, kernel, self.fft_size, self.num_times)


def prepare_convolution(
    x: Series,
    max_lag: int,
    *,
    carry_in: Carried | None = None,
    method: Literal["auto", "lags", "fft"] = "auto",
) -> PreparedConvolution:
    """Prepare a series for repeated causal convolution, in the way that is fastest for its shape.

    Parameters
    ----------
    x
        Series, shape ``(..., time)``.
    max_lag
        Number of lags of the kernels, lag 0 included.
    carry_in
        Values just before the window, most recent last; zeros when not given.
    method
        ``"lags"`` builds the lag tensor, ``"fft"`` the spectrum; ``"auto"`` chooses the
        lag tensor up to 2**19 elements.

    Returns
    -------
    PreparedConvolution
        A function of the kernel that equals :func:`causal_convolution` of ``x``.

    Raises
    ------
    ValueError
        For an unknown method or a series without a time axis.

    Examples
    --------
    >>> carry_over = prepare_convolution(jnp.array([1.0, 0.0, 0.0]), 2)
    >>> carry_over(jnp.array([0.75, 0.25])).tolist()
    [0.75, 0.25, 0.0]
    """
    _require_method(method, ("auto", "lags", "fft"))
    xp, dtype, padded, num_times = _with_history(x, max_lag, carry_in)
    if method == "auto":
        size = math.prod(padded.shape[:-1]) * num_times * max_lag
        method = "lags" if size <= LARGEST_PREPARED_LAG_TENSOR else "fft"
    size = _fft_size(padded.shape[-1])
    if method == "lags":
        data = lag_tensor(x, max_lag, carry_in)
    else:
        complex_dtype = np.result_type(dtype, np.complex64)
        data = jnp.asarray(xp.fft.rfft(padded, size), complex_dtype)
    return PreparedConvolution(data, method, max_lag, num_times, size)


def _with_history(
    x: ArrayLike, max_lag: int, carry_in: ArrayLike | None
) -> tuple[ModuleType, Any, Any, int]:
    """Return namespace, dtype, the series after ``max_lag - 1`` past values, and its length."""
    require_count("max_lag", max_lag, 1)
    given = (x,) if carry_in is None else (x, carry_in)
    xp, dtype, (series, *histories) = with_namespace(*given)
    history = histories[0] if histories else xp.zeros(0, series.dtype)
    if series.ndim == 0 or history.ndim == 0:
        raise ValueError(
            "x and carry_in need a time axis (the last one), got shapes "
            f"{series.shape} and {history.shape}; pass a single value as an array of length one."
        )
    history = history[..., max(history.shape[-1] - (max_lag - 1), 0) :]
    batch = np.broadcast_shapes(series.shape[:-1], history.shape[:-1])
    pieces = (
        xp.zeros((*batch, max_lag - 1 - history.shape[-1]), series.dtype),
        xp.broadcast_to(history, (*batch, history.shape[-1])),
        xp.broadcast_to(series, (*batch, series.shape[-1])),
    )
    return xp, dtype, xp.concatenate(pieces, axis=-1), series.shape[-1]


def _convolve_by_scan(padded: Array, kernel: Array, num_times: int) -> Array:
    max_lag = kernel.shape[-1]
    batch = jnp.broadcast_shapes(padded.shape[:-1], kernel.shape[:-1])

    def add_lag(total: Array, lag: Array) -> tuple[Array, None]:
        start = max_lag - 1 - lag
        shifted = jax.lax.dynamic_slice_in_dim(padded, start, num_times, axis=-1)
        weight = jax.lax.dynamic_slice_in_dim(kernel, lag, 1, axis=-1)
        return total + weight * shifted, None

    start = jnp.zeros((*batch, num_times), padded.dtype)
    return jax.lax.scan(add_lag, start, jnp.arange(max_lag))[0]


def _fft_size(length: int) -> int:
    # Wrap-around of the circular convolution falls on the first max_lag - 1 values only, which are
    # history and are cut off, so the padded length suffices.
    from scipy.fft import next_fast_len  # loaded here: a slow import that few calls need

    return int(next_fast_len(length, real=True))


def _convolve_spectrum(spectrum: Array, kernel: Array, size: int, num_times: int) -> Array:
    start = kernel.shape[-1] - 1
    response = jnp.fft.irfft(spectrum * jnp.fft.rfft(kernel, size), size)
    return response[..., start : start + num_times]


def _require_method(method: str, known: tuple[str, ...] = get_args(ConvolutionMethod)) -> None:
    if method not in known:
        raise ValueError(f"Unknown convolution method {method!r}; choose one of {known}.")


def _require_lags(expected: int, kernel: Array) -> None:
    if kernel.shape[-1] != expected:
        raise ValueError(
            f"The series was prepared for {expected} lags and the kernel has {kernel.shape[-1]} "
            f"(axis -1 of {kernel.shape}); build both with the same max_lag."
        )
