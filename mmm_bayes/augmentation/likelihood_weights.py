r"""Likelihood weights of observed and augmented rows, such that nothing is counted twice.

**Outcomes.** With the mixture :math:`\mu`, ``n`` dates and augmentation weights ``w`` in a geo, an
observed row has the likelihood weight :math:`1 - \mu` and an augmented row
:math:`\mu n w_i / \sum w`, which sum to ``n`` per geo. The outcome of an augmented row is that of
an observed row, so that it adds no independent noise; what matters is how often each observed
outcome counts in total. If the outcome of row ``j`` has the total weight
:math:`P_j = \sum_{i: \text{outcome } j} p_i`, an estimate has the variance of one from
:math:`(\sum_j P_j)^2 / \sum_j P_j^2 \le n` rows (Kish 1965). All weights are scaled by one factor
so that they sum to that number.

**Directions.** Augmented rows can also have a better *design* than the observed rows: where the
graph separates channels that move together, augmented rows vary them independently, and each
channel would look better known than the observed outcomes allow. With centred rows :math:`X` and
:math:`\tilde X` (adstocked channels, controls, calendar) the information about a direction
:math:`v` of the coefficients grows by the factor

.. math:: 1 + \mu (\rho_v - 1), \qquad
          \rho_v = \frac{v' \tilde X' W \tilde X v}{v' (X'X + I) v}, \quad W = n w / \sum w,

where ``I`` is the information of one row (columns are standardised), which avoids division by zero
for directions that were never observed. Outcomes of augmented rows are predictions from observed
rows and add no information about any direction, so that the largest :math:`\rho` bounds the mixture
(:func:`largest_mixture`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]

MAX_MIXTURE = 0.5
TOLERANCE = 0.1
"""Information that augmented rows may add about any direction; 10% narrow an interval by 5%."""


def shares(weights: NDArray) -> NDArray:
    """Normalise weights along the last axis; all zeros stay zeros."""
    largest = weights.max(-1, keepdims=True, initial=0.0)
    # Divide by the largest first: a sum of tiny weights may have lost its digits.
    scaled = np.divide(weights, largest, out=np.zeros_like(weights, float), where=largest > 0.0)
    total = scaled.sum(-1, keepdims=True)
    return np.divide(scaled, total, out=np.zeros_like(scaled), where=total > 0.0)


def likelihood_weights(
    weights: NDArray, outcomes: NDArray, num_dates: int, mixture: float
) -> NDArray:
    """Compute the likelihood weights of observed and augmented rows (geo, date + row).

    Parameters
    ----------
    weights
        Weights of the augmented rows (geo, row).
    outcomes
        Position in time of the row whose outcome they copy (geo, row); -1 for a new outcome.
    num_dates, mixture
        Observed rows per geo, and the share of the likelihood given to augmented rows.
    """
    geos, rows = weights.shape
    share = shares(weights)
    # In a geo whose augmented rows all have weight zero, observed rows keep weight one.
    mixed = mixture * (share.sum(1, keepdims=True) > 0.0)
    added = mixed * num_dates * share
    found = np.concatenate([np.broadcast_to(1.0 - mixed, (geos, num_dates)), added], 1)
    own = num_dates + np.arange(rows)
    places = np.where(outcomes >= 0, outcomes, own)
    places = np.concatenate([np.broadcast_to(np.arange(num_dates), (geos, num_dates)), places], 1)
    by_outcome = np.zeros_like(found)
    np.add.at(by_outcome, (np.arange(geos)[:, None], places), found)
    kish = by_outcome.sum() ** 2 / np.sum(by_outcome**2)
    return found * min(1.0, kish / (geos * num_dates))


def information_ratio(
    observed: Sequence[NDArray], augmented: Sequence[NDArray], weights: Sequence[NDArray]
) -> float:
    r"""Compute the largest :math:`\rho_v` over all directions; see the module docstring.

    Parameters
    ----------
    observed, augmented
        Columns of the observed (date, column) and augmented (row, column) rows of each geo. Every
        geo has its own intercept.
    weights
        Weights of the augmented rows of each geo (row,).
    """
    width = observed[0].shape[1]
    scale = np.sqrt(np.mean([x.var(0) for x in observed], 0))
    varies = scale > 1e-12 * (1.0 + np.abs(np.mean([x.mean(0) for x in observed], 0)))
    if not varies.any():
        return 1.0
    own, theirs = np.eye(width)[varies][:, varies], np.zeros((varies.sum(), varies.sum()))
    for x, new, weight in zip(observed, augmented, weights, strict=True):
        share = shares(weight)
        x = ((x - x.mean(0)) / np.where(varies, scale, 1.0))[:, varies]
        new = ((new - share @ new) / np.where(varies, scale, 1.0))[:, varies]
        own = own + x.T @ x
        theirs = theirs + len(x) * (new.T * share) @ new
    root = np.linalg.inv(np.linalg.cholesky(own))
    return float(np.linalg.eigvalsh(root @ theirs @ root.T)[-1])


def largest_mixture(ratio: float) -> float:
    """Return the largest share of augmented rows that keeps every direction within tolerance."""
    return min(MAX_MIXTURE, TOLERANCE / max(ratio - 1.0, 1e-12))
