r"""Choice of estimators by cross-validated likelihood, one variable at a time.

The log likelihood of the factorisation is a sum over variables, so each variable's conditional can
be chosen separately. Candidates are scored by the leave-one-out log likelihood

.. math:: \sum_i \log \hat p_{-i}(x_{iv} \mid \mathrm{pillow}_{iv})

(Hall, Racine and Li 2004). They are product kernels with several bandwidths (a wide one ignores the
pillow), and regressions with residuals from nearby or from all rows, each with several degrees of
smoothing of the value itself. The draws of a candidate have exactly the density that is scored.

References
----------
Hall, Racine and Li (2004), Cross-validation and the estimation of conditional probability
densities. JASA 99.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from mmm_bayes.augmentation.donors import log_weights
from mmm_bayes.augmentation.estimators import (
    Conditional,
    ConditionalData,
    KernelConditional,
    NDArray,
    generator,
    log_kernel_density,
    log_sum,
)
from mmm_bayes.augmentation.residual import (
    ResidualConditional,
    fit_regression,
    regresses,
    residual_width,
)

_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
_WIDTHS = (0.15, 0.5, 1.0)
_LOCALITIES = (np.inf, 3.0, 1.0)
_SCORED_ROWS = 160


def fit_cross_validated(data: ConditionalData, rng_key: jax.Array) -> Conditional:
    """Fit the candidate with the highest leave-one-out likelihood.

    The candidates' bandwidths are multiples of those given.
    """
    scored = candidates(data, rng_key)
    return max(scored, key=lambda pair: pair[0])[1]


def fit_cross_validated_kernel(data: ConditionalData, rng_key: jax.Array) -> Conditional:
    """Fit a kernel estimate whose bandwidths are scaled by leave-one-out likelihood.

    Values are copies of training values (plus the given smoothing).
    """
    rows = generator(rng_key).permutation(data.own.values.shape[1])[:_SCORED_ROWS]
    _, best = max(_kernel_candidates(data, rows), key=lambda pair: pair[0])
    return KernelConditional(data.own, best.pillow, data.smoothing)


def candidates(data: ConditionalData, rng_key: jax.Array) -> Iterator[tuple[float, Conditional]]:
    """Score all candidates by their mean leave-one-out log likelihood."""
    key_rows, key_fit = jax.random.split(rng_key)
    n = data.own.values.shape[1]
    # Enough rows to compare candidates; the cost grows with the square of their number.
    rows = generator(key_rows).permutation(n)[:_SCORED_ROWS]
    yield from _kernel_candidates(data, rows)
    if regresses(data):
        process, features = fit_regression(data, key_fit)
        base = residual_width(process.residuals)
        for locality in _LOCALITIES:
            for width in _WIDTHS:
                fitted = ResidualConditional(features, process, data.pillow, locality, width * base)
                yield float(fitted.leave_one_out(rows).mean()), fitted


def _kernel_candidates(
    data: ConditionalData, rows: NDArray
) -> Iterator[tuple[float, KernelConditional]]:
    own, pillow = data.own, data.pillow
    varies = bool(own.is_continuous.any())
    widths = _WIDTHS if varies else (1.0,)
    logs = {w: log_kernel_density(own.scaled(w), own.values[:, rows]) for w in widths}
    scales = _SCALES if bool(pillow.is_continuous.any()) else (1.0,)
    for scale in scales:
        near = pillow.scaled(scale)
        weights = log_weights(near, pillow.values[:, rows], left_out=rows)
        for width in widths:
            score = log_sum(weights + logs[width])
            # A row without similar rows counts as very unlikely rather than impossible.
            score = np.maximum(score, -50.0)
            yield float(score.mean()), KernelConditional(own, near, width if varies else 0.0)
