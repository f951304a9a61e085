r"""Powers of observed and augmented rows in a likelihood, such that nothing is counted twice.

**Outcomes.** With the mixture :math:`\mu`, ``n`` dates and weights ``w`` of the rows of a geo, an
observed row has :math:`1 - \mu` and an augmented one :math:`\mu n w_i / \sum w`: ``n`` a geo. An
augmented row brings no new noise: its outcome is that of an observed row. What counts is how often
each observed outcome counts in all. If the outcome of row ``j`` has the powers
:math:`P_j = \sum_{i: \text{outcome } j} p_i`, an estimate from them has the variance of one from
:math:`(\sum_j P_j)^2 / \sum_j P_j^2 \le n` rows (Kish 1965). All powers are scaled by one factor so
that their sum is that number.

**Directions.** Augmented rows can also be a better *design* than the one observed: where the graph
separates channels that move together, they pull them apart, and with as many rows each channel
looks better known than the observed outcomes make it. With centred rows :math:`X` and
:math:`\tilde X` (channels adstocked, controls, calendar) the information on a direction :math:`v`
of the coefficients grows by the factor

.. math:: 1 + \mu (\rho_v - 1), \qquad
          \rho_v = \frac{v' \tilde X' W \tilde X v}{v' (X'X + I) v}, \quad W = n w / \sum w,

``I`` one row's worth of information (columns standardised), so that directions never observed do
not divide by zero. Outcomes of augmented rows are predictions from the observed ones and hold
nothing new about any direction: the greatest :math:`\rho` bounds the mixture
(:func:`greatest_mixture`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]

GREATEST_MIXTURE = 0.5
TOLERANCE = 0.1
"""What augmented rows may add to the information on any direction: 5% of an interval at most."""


def shares(weights: NDArray) -> NDArray:
    """Weights over their sum along the last axis; zeros where all of them are."""
    most = weights.max(-1, keepdims=True, initial=0.0)
    # Over the greatest first: weights may be so small that their sum has few digits.
    scaled = np.divide(weights, most, out=np.zeros_like(weights, float), where=most > 0.0)
    total = scaled.sum(-1, keepdims=True)
    return np.divide(scaled, total, out=np.zeros_like(scaled), where=total > 0.0)


def tempered_powers(weights: NDArray, outcomes: NDArray, n_dates: int, mixture: float) -> NDArray:
    """Powers of observed and augmented rows (geo, date + row): see the head of this module.

    Parameters
    ----------
    weights
        Of the augmented rows (geo, row).
    outcomes
        Position in time of the row whose outcome they have (geo, row); -1 for one of their own.
    n_dates, mixture
        Observed rows a geo, and the share of the likelihood that augmented rows have.
    """
    geos, rows = weights.shape
    share = shares(weights)
    # A geo whose rows weigh nothing is left as it was observed.
    mixed = mixture * (share.sum(1, keepdims=True) > 0.0)
    added = mixed * n_dates * share
    power = np.concatenate([np.broadcast_to(1.0 - mixed, (geos, n_dates)), added], 1)
    own = n_dates + np.arange(rows)
    places = np.where(outcomes >= 0, outcomes, own)
    places = np.concatenate([np.broadcast_to(np.arange(n_dates), (geos, n_dates)), places], 1)
    by_outcome = np.zeros_like(power)
    np.add.at(by_outcome, (np.arange(geos)[:, None], places), power)
    kish = by_outcome.sum() ** 2 / np.sum(by_outcome**2)
    return power * min(1.0, kish / (geos * n_dates))


def information_ratio(
    observed: Sequence[NDArray], augmented: Sequence[NDArray], weights: Sequence[NDArray]
) -> float:
    r"""Greatest :math:`\rho_v` over all directions: what augmented rows claim to know at most.

    Parameters
    ----------
    observed, augmented
        Columns of the observed (date, column) and augmented (row, column) rows of each geo, whose
        intercepts are its own.
    weights
        Of the augmented rows of each geo (row,).
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


def greatest_mixture(ratio: float) -> float:
    """Greatest share of augmented rows that adds no more than the tolerance to any direction."""
    return min(GREATEST_MIXTURE, TOLERANCE / max(ratio - 1.0, 1e-12))
