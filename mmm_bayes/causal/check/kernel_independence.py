"""Kernel test of conditional independence, by random Fourier features."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.causal.check.generalised_covariance import standardised
from mmm_bayes.causal.check.independence_result import IndependenceResult, nothing_left
from mmm_bayes.causal.check.long_run import mean_error
from mmm_bayes.causal.check.series import as_rows, conditions
from mmm_bayes.causal.check.smooth import Smoother, smoother
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.streams import generator

NDArray = np.ndarray[Any, Any]


@renamed(features="num_features", permutations="num_permutations", seed="rng_key")
def kernel_test(
    x: NDArray,
    y: NDArray,
    z: NDArray,
    *,
    dates: Any = None,
    geos: Any = None,
    lags: int | str = "auto",
    num_features: int = 12,
    num_permutations: int = 500,
    rng_key: Any = 0,
) -> IndependenceResult:
    r"""Test independence by the covariance of residual random features, for dependence of any form.

    ``x`` and ``y`` are regressed on smooth functions of ``z`` and, if rows are dated, on the past
    of all three. Random Fourier features (Rahimi and Recht 2007) are computed from the residuals of
    ``x`` together with ``z``, and from the residuals of ``y``. These features are regressed once
    more, with residuals :math:`r` and :math:`s`. The statistic

    .. math:: T = n \lVert \tfrac1n \textstyle\sum_t r_t s_t' \rVert_F^2

    of the randomised conditional independence test (Strobl, Zhang and Visweswaran 2019) is compared
    with its values after permuting the rows of :math:`r` in blocks. The blocks are three times as
    long as the memory of the products of residuals, so that the null distribution preserves
    autocorrelation. The test detects dependence of any form, but has less power than the
    generalised covariance if the dependence is roughly monotone.

    Parameters
    ----------
    x, y, z, dates, geos, lags
        As in :func:`mmm_bayes.causal.check.generalised_covariance.generalised_covariance`.
    num_features : int
        Number of random features on each side.
    num_permutations : int
        Number of permutations. The smallest possible p-value is ``1 / (num_permutations + 1)``.
    rng_key : jax.Array or int
        Random key, or a seed, for features and permutations. The default makes the test a function
        of its table: the same table gives the same p-value.

    References
    ----------
    E. V. Strobl, K. Zhang and S. Visweswaran (2019), Approximate kernel-based conditional
    independence tests for fast non-parametric causal discovery. Journal of Causal Inference 7(1).
    A. Rahimi and B. Recht (2007), Random features for large-scale kernel machines. NeurIPS 20.
    """
    rng = generator(rng_key)
    rows = as_rows(len(x), dates, geos)
    x, y, z = (standardised(own) for own in (x, y, z))
    given = conditions(x, y, z, rows, lags, smooth=True)
    n = len(given.kept)
    base = np.concatenate([given.linear, given.past_x, given.past_y], axis=1)
    fit = smoother(base, given.smooth)
    news, _ = fit.residuals(np.concatenate([x, y], axis=1)[given.kept])
    if news.std(0).min() < 1e-6:
        return nothing_left("kernel", n, "x or y")
    news = news / news.std(0)
    sides = (
        np.concatenate([news[:, : x.shape[1]], 0.5 * z[given.kept]], axis=1),
        news[:, x.shape[1] :],
    )
    (one, spent), (other, more) = (_residual_features(rng, own, num_features, fit) for own in sides)
    times = None if rows.times is None else rows.times[given.kept]
    effective = min(mean_error(one[:, k] * other[:, k], times).effective
                    for k in range(min(one.shape[1], other.shape[1])))  # fmt: skip
    # Blocks three times as long as the memory of the products preserve nearly all dependence.
    blocks = _blocks(n, times, round(1 + 3 * (n / effective - 1)))
    # Both residuals are orthogonal to the regressors, but permuted residuals are not.
    seen = 1.0 - max(spent, more) / n
    observed = seen * float(((one.T @ other) ** 2).sum()) / n
    null = np.array(
        [((one[_reordered(rng, blocks)].T @ other) ** 2).sum() / n for _ in range(num_permutations)]
    )
    p_value = (1 + int((null >= observed).sum())) / (num_permutations + 1)
    size = float(np.sqrt(observed / n / (one.shape[1] * other.shape[1])))
    return IndependenceResult("kernel", observed, p_value, size, n, effective)


def _residual_features(
    rng: np.random.Generator, columns: NDArray, count: int, fit: Smoother
) -> tuple[NDArray, float]:
    """Return the scaled residuals of random features, and the degrees of freedom used."""
    left, freedom = fit.residuals(_fourier_features(rng, columns, count))
    return left / np.maximum(left.std(0), 1e-9), float(freedom.mean())


def _fourier_features(rng: np.random.Generator, columns: NDArray, count: int) -> NDArray:
    """Draw features (row, count) of Gaussian kernels as wide as the median distance or half it."""
    some = columns[rng.permutation(len(columns))[:200]]
    gaps = np.sqrt(((some[:, None] - some) ** 2).sum(2))[np.triu_indices(len(some), 1)]
    width = float(np.median(gaps)) or 1.0
    frequency = rng.standard_normal((columns.shape[1], count)) / width
    frequency[:, ::2] *= 2.0
    return np.sqrt(2.0) * np.cos(columns @ frequency + rng.uniform(0.0, 2.0 * np.pi, count))


def _blocks(n: int, times: NDArray | None, length: int) -> list[NDArray]:
    """Return blocks of consecutive dates, as one array (block, row) for each size of a block."""
    moments = np.arange(n) if times is None else times
    order = np.argsort(moments, kind="stable")
    _, starts = np.unique(moments[order], return_index=True)
    runs = np.split(order, starts[length::length])
    sizes = np.array([len(run) for run in runs])
    return [
        np.stack([run for run in runs if len(run) == size]) for size in np.unique(sizes).tolist()
    ]


def _reordered(rng: np.random.Generator, blocks: list[NDArray]) -> NDArray:
    """Permute blocks of the same size; return the source row of each row."""
    result = np.empty(sum(own.size for own in blocks), dtype=np.int64)
    for own in blocks:
        result[own] = own[rng.permutation(len(own))]
    return result
