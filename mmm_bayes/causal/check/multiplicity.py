"""Adjust p-values for the number of tests, and combine p-values of one hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

NDArray = np.ndarray[Any, Any]

Adjustment = Literal["holm", "bh", "by", "none"]


def adjust(p_values: Sequence[float] | NDArray, method: Adjustment = "holm") -> NDArray:
    r"""Adjust p-values for their number; compare an adjusted p-value with the level itself.

    Parameters
    ----------
    p_values : sequence of float
        P-values of :math:`m` tests, in any order.
    method : {"holm", "bh", "by", "none"}
        ``"holm"`` bounds the probability of any false rejection, under any dependence of the
        tests (Holm 1979): :math:`\max_{j \le i} (m - j + 1) p_{(j)}`. ``"bh"`` bounds the expected
        proportion of false rejections among all rejections (Benjamini and Hochberg 1995), for
        independent or positively dependent tests: :math:`\min_{j \ge i} m p_{(j)} / j`. ``"by"``
        does so under any dependence (Benjamini and Yekutieli 2001): the same times
        :math:`\sum_{j=1}^m 1/j`.

    Returns
    -------
    ndarray
        In the order of the p-values, at most 1.

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
        raise ValueError(f"method should be one of {get_args(Adjustment)}, but is {method!r}.")
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
    r"""Combine p-values of one hypothesis into one, whatever their dependence (Liu and Xie 2020).

    .. math:: p = \tfrac12 - \tfrac1\pi \arctan \sum_i w_i \tan\{(\tfrac12 - p_i) \pi\}

    with weights that sum to one. Small p-values count almost as they do in Bonferroni's method with
    the same weights, but agreement among them counts too.

    References
    ----------
    Y. Liu and J. Xie (2020), Cauchy combination test: a powerful test with analytic p-value
    calculation under arbitrary dependency structures. JASA 115(529).
    """
    # A p-value of 1 would outweigh all others, but is no more evidence for the null than 0.99.
    values = np.clip(np.asarray(p_values, dtype=np.float64), 1e-15, 0.99)
    proportions = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    # Near 0 the tangent is 1 / (pi p), and the difference from one half would lose its digits.
    small = values < 1e-8
    terms = np.where(small, 1.0 / (np.pi * values), np.tan((0.5 - values) * np.pi))
    total = float(proportions @ terms)
    if total > 1e8:
        return 1.0 / (np.pi * total)
    return float(0.5 - np.arctan(total) / np.pi)
