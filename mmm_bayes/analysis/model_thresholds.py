"""Limits of the checks that know the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelThresholds:
    """Thresholds of the model's checks.

    Parameters
    ----------
    negative_review, negative_fail
        Posterior probability that the total baseline is below zero.
    negative_dates
        Share of dates on which the baseline is more likely negative than positive.
    autocorrelation
        Smallest autocorrelation of residuals that matters in practice. To be reported it must also
        exceed three standard errors of white noise.
    lags
        Number of lags to check.
    shared_residuals
        Mean correlation between the residuals of geos on the same date.
    low_roas
        Smallest plausible upper limit (95%) of the ROAS of all paid channels together.
    roas
        Median ROAS above which a mistake in the units is more likely than such a return.
    media_share
        Median share of the target that is attributed to all channels together.
    roas_ratio
        Ratio of the upper to the lower limit of the 90% interval of a ROAS. It is 31 for a
        half-normal prior, so that such an interval has learned next to nothing about the size.
    pareto_k
        Largest Pareto k of a reliable leave-one-out estimate.
    pareto_share
        Tolerated share of observations above ``pareto_k`` (one is always tolerated).
    svi_k
        Largest Pareto k of a reliable variational approximation.
    coverage
        Tolerated deviation of the coverage of 90% predictive intervals from 90%; four binomial
        standard errors are always tolerated.
    """

    negative_review: float = 0.1
    negative_fail: float = 0.5
    negative_dates: float = 0.05
    autocorrelation: float = 0.2
    lags: int = 4
    shared_residuals: float = 0.2
    low_roas: float = 0.05
    roas: float = 20.0
    media_share: float = 0.8
    roas_ratio: float = 30.0
    pareto_k: float = 0.7
    pareto_share: float = 0.01
    svi_k: float = 0.7
    coverage: float = 0.05
