"""Transforms of media and time: pure JAX functions, without samples or state."""

import warnings
from typing import Any

from mmm_bayes.transforms.adstock import (
    ADSTOCKS,
    Adstock,
    binomial_adstock,
    binomial_kernel,
    delayed_adstock,
    delayed_kernel,
    geometric_adstock,
    geometric_kernel,
    weibull_cdf_adstock,
    weibull_cdf_kernel,
    weibull_pdf_adstock,
    weibull_pdf_kernel,
)
from mmm_bayes.transforms.basis import equispaced_knots, fourier, hat_basis
from mmm_bayes.transforms.convolution import (
    PreparedConvolution,
    causal_convolution,
    convolve_lags,
    lag_tensor,
    prepare_convolution,
)
from mmm_bayes.transforms.hsgp import (
    HSGPBasis,
    hsgp_basis,
    hsgp_domain,
    hsgp_scales,
)
from mmm_bayes.transforms.saturation import (
    SATURATIONS,
    Saturation,
    exponential,
    hill,
    logistic,
    michaelis_menten,
    root,
    tanh,
)

__all__ = [
    "ADSTOCKS",
    "SATURATIONS",
    "Adstock",
    "HSGPBasis",
    "PreparedConvolution",
    "Saturation",
    "binomial_adstock",
    "binomial_kernel",
    "causal_convolution",
    "convolve_lags",
    "delayed_adstock",
    "delayed_kernel",
    "equispaced_knots",
    "exponential",
    "fourier",
    "geometric_adstock",
    "geometric_kernel",
    "hat_basis",
    "hill",
    "hsgp_basis",
    "hsgp_domain",
    "hsgp_scales",
    "lag_tensor",
    "logistic",
    "michaelis_menten",
    "prepare_convolution",
    "root",
    "tanh",
    "weibull_cdf_adstock",
    "weibull_cdf_kernel",
    "weibull_pdf_adstock",
    "weibull_pdf_kernel",
]

# Old names, for one version: NumPyro has the densities, and `hsgp_scales` their square roots.
_DENSITIES = {
    "spectral_density_squared_exponential": "squared_exponential",
    "spectral_density_matern32": "matern32",
    "spectral_density_matern52": "matern52",
}


def __getattr__(name: str) -> Any:
    if name not in (*_DENSITIES, "SPECTRAL_DENSITIES"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"{__name__}.{name} is deprecated and will be removed in the next version: use "
        "numpyro.contrib.hsgp, or hsgp_scales(kernel, frequency, amplitude, length) ** 2.",
        DeprecationWarning,
        stacklevel=2,
    )
    densities = {
        kernel: lambda *args, kernel=kernel: hsgp_scales(kernel, *args) ** 2
        for kernel in _DENSITIES.values()
    }
    return densities if name == "SPECTRAL_DENSITIES" else densities[_DENSITIES[name]]
