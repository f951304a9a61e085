"""Adjust p-values for the number of tests, and combine p-values for one hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

NDArray = np.ndarray[Any, Any]

Adjustment = Literal["holm", "bh", "by", "none"]


def adjust(p_values: Sequence[float] | NDArray, method: Adjustment = "holm") -> NDArray:
    r"""Adjust p-values for the number of tests, so that they can be compared with the level.

    Parameters
    ----------
    p_values : sequence of float
        P-values of :math:`m` tests, in any order.
    method : {"holm", "bh", "by", "none"}
        ``"holm"`` bounds the probability of any false rejection, under any dependence of the
        tests (Holm 1979): :math:`\max_{j \le i} (m - j + 1) p_{(j)}`. ``"bh"`` bounds the false
        discovery rate, the expected proportion of false rejections among all rejections, for
        independent or positively dependent tests (Benjamini and Hochberg 1995):
        :math:`\min_{j \ge i} m p_{(j)} / j`. ``"by"`` bounds it under any dependence (Benjamini and
        Yekutieli 2001); its p-values are those of ``"bh"`` multiplied by
        :math:`\sum_{j=1}^m 1/j`.

    Returns
    -------
    ndarray
        Adjusted p-values, in the order given and at most 1.

    Raises
    ------
    ValueError
        If the method is unknown or a p-value is not between 0 and 1.

    Examples
    --------
    >>> adjust([0.01, 0.04, 0.03], "holm")
    array([0.03, 0.06, 0.06])
    >>> adjust([0.01, 0.04, 0.03], "bh")
    array([0.03, 0.04, 0.04])
    """
    values = np.asarray(p_values, dtype=np.float64)
    if method not in get_args(Adjustment):
        raise ValueError(
            f"method should be one of {', '.join(get_args(Adjustment))}; got {method!r}."
        )
    if values.size and not ((values >= 0.0) & (values <= 1.0)).all():
        raise ValueError("p-values should be between 0 and 1.")
    count = len(values)
    if method == "none" or count == 0:
        return values
    if method != "holm":
        from scipy.stats import false_discovery_control

        return np.asarray(false_discovery_control(values, method=method))
    order = np.argsort(values, kind="stable")
    result = np.empty(count)
    result[order] = np.maximum.accumulate(values[order] * np.arange(count, 0, -1))
    return np.minimum(result, 1.0)


def cauchy_combination(p_values: Sequence[float], weights: Sequence[float]) -> float:
    r"""Combine dependent p-values for one hypothesis into a single p-value (Liu and Xie 2020).

    .. math:: p = \tfrac12 - \tfrac1\pi \arctan \sum_i w_i \tan\{(\tfrac12 - p_i) \pi\}

    The weights are scaled to sum to one. A single small p-value counts almost as in Bonferroni's
    method with the same weights; several small p-values reinforce each other.

    References
    ----------
    Y. Liu and J. Xie (2020), Cauchy combination test: a powerful test with analytic p-value
    calculation under arbitrary dependency structures. JASA 115(529).
    """
    # A p-value of 1 would outweigh all others, although it says hardly more than 0.99.
    values = np.clip(np.asarray(p_values, dtype=np.float64), 1e-15, 0.99)
    proportions = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    # Near 0 the tangent is approximately 1 / (pi p), and 0.5 - p would lose precision.
    small = values < 1e-8
    terms = np.where(small, 1.0 / (np.pi * values), np.tan((0.5 - values) * np.pi))
    total = float(proportions @ terms)
    if total > 1e8:
        return 1.0 / (np.pi * total)
    return float(0.5 - np.arctan(total) / np.pi)
