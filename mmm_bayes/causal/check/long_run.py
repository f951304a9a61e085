"""Standard errors for means of dependent rows: weeks of a series, and geos in the same week."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

NDArray = np.ndarray[Any, Any]


class MeanError(NamedTuple):
    """Mean of dependent rows with its standard error.

    Attributes
    ----------
    mean, error : float
        Mean, and its standard error.
    dof : float
        Degrees of freedom of Student's t for ``mean / error``.
    effective : float
        Number of independent rows with the same error, at most the number of rows.
    """

    mean: float
    error: float
    dof: float
    effective: float


def mean_error(values: NDArray, blocks: NDArray | None = None, *, spent: float = 0.0) -> MeanError:
    r"""Compute the mean of a stationary series, with an autocorrelation-robust standard error.

    The long-run variance is estimated as in Andrews and Monahan (1992). An AR(1) process is fitted
    and removed (prewhitening), the quadratic spectral kernel with the bandwidth :math:`S` of
    Andrews (1991) is applied to the innovations, and the result is recoloured,
    :math:`\Omega = \Omega_e / (1 - a)^2`. With the 100 to 300 rows of a media plan, this estimate
    is uncertain. The ratio of mean and standard error is therefore compared with Student's t. Its
    degrees of freedom :math:`\nu` match the relative variance of the estimate, as in the
    fixed-bandwidth asymptotics of Sun (2014):

    .. math:: \frac{1}{\nu} = \frac{S}{n} + \frac{2 (1 + a)}{n (1 - a)} + \frac{1}{n - p} .

    The second term follows from the delta method for :math:`(1 - a)^{-2}` with
    :math:`\mathrm{Var}(a) = (1 - a^2) / n`; the third is due to :math:`p` previously estimated
    parameters.

    Parameters
    ----------
    values : ndarray
        Series (row,) in order of time.
    blocks : ndarray, optional
        Date of each row as an integer, if several rows (geos) have the same date. The rows of a
        date are summed first, which allows any dependence within a date (Driscoll and Kraay 1998).
    spent : float
        Number of parameters (degrees of freedom) used to compute the values.

    References
    ----------
    D. W. K. Andrews (1991), Heteroskedasticity and autocorrelation consistent covariance matrix
    estimation. Econometrica 59(3).
    D. W. K. Andrews and J. C. Monahan (1992), An improved heteroskedasticity and autocorrelation
    consistent covariance matrix estimator. Econometrica 60(4).
    J. C. Driscoll and A. C. Kraay (1998), Consistent covariance matrix estimation with spatially
    dependent panel data. Review of Economics and Statistics 80(4).
    Y. Sun (2014), Let's fix it: fixed-b asymptotics versus small-b asymptotics in
    heteroskedasticity and autocorrelation robust inference. Journal of Econometrics 178(3).
    """
    count = len(values)
    mean = float(np.mean(values))
    series: NDArray = values - mean
    if blocks is not None:
        series = np.bincount(blocks, weights=series)
    periods = len(series)
    left = max(count - spent, 1.0)
    plain = float(series @ series) / periods
    if plain <= 0.0 or periods < 4:
        return MeanError(mean, 0.0, max(periods - 1.0, 1.0), float(count))
    slope = _persistence(series)
    innovations = series[1:] - slope * series[:-1]
    bandwidth = _andrews_bandwidth(innovations)
    variance = _quadratic_spectral(innovations, bandwidth) / (1.0 - slope) ** 2
    # Negative autocorrelation would make the standard error smaller than for independent rows.
    # An estimate of this kind is often due to chance, so it is not used.
    variance = max(variance, plain)
    share = (bandwidth + 2.0 * (1.0 + slope) / (1.0 - slope)) / periods + 1.0 / left
    error = np.sqrt(variance * periods) / count * np.sqrt(count / left)
    return MeanError(mean, float(error), max(1.0 / share, 1.0), count * plain / variance)


def _persistence(series: NDArray) -> float:
    """Estimate the first autocorrelation, corrected for bias (Kendall 1954), within 0 and 0.97."""
    slope = float(series[1:] @ series[:-1]) / float(series[:-1] @ series[:-1])
    return float(np.clip(slope + (1.0 + 3.0 * slope) / len(series), 0.0, 0.97))


def _andrews_bandwidth(series: NDArray) -> float:
    """Return the bandwidth of the quadratic spectral kernel for a matching AR(1) process."""
    denominator = float(series[:-1] @ series[:-1])
    slope = float(series[1:] @ series[:-1]) / denominator if denominator > 0.0 else 0.0
    slope = float(np.clip(slope, -0.97, 0.97))
    curvature = 4.0 * slope**2 / (1.0 - slope) ** 4
    return float(1.3221 * (curvature * len(series)) ** 0.2)


def _quadratic_spectral(series: NDArray, bandwidth: float) -> float:
    """Sum the autocovariances, weighted by the quadratic spectral kernel."""
    count = len(series)
    size = 1 << int(np.ceil(np.log2(2 * count)))
    power = np.abs(np.fft.rfft(series, size)) ** 2
    covariance = np.fft.irfft(power, size)[:count] / count
    if bandwidth < 1e-6:
        return float(covariance[0])
    angle = 6.0 * np.pi * np.arange(1, count) / (5.0 * bandwidth)
    weight = 3.0 / angle**2 * (np.sin(angle) / angle - np.cos(angle))
    return float(max(covariance[0] + 2.0 * weight @ covariance[1:], 0.0))
