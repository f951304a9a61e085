"""Doses of a treatment that were observed in similar circumstances, computed from plain arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmm_bayes.causal.check.generalised_covariance import standardised
from mmm_bayes.causal.check.overlap_report import Stratum, TreatmentOverlap, Violation
from mmm_bayes.causal.check.series import Rows, as_rows, conditions
from mmm_bayes.causal.check.smooth import smoother

NDArray = np.ndarray[Any, Any]

# Number of similar rows: a twentieth of all rows, but at least ten. With ten, their smallest and
# largest doses are expected to lie in the outer tenths of the doses in these circumstances.
_ALIKE_SHARE, _ALIKE_LEAST = 0.05, 10
# A dose this close to an observed dose counts as observed, in residual standard deviations.
_TOLERANCE = 0.25
_COVERED = 0.9


def treatment_overlap(
    dose: NDArray,
    adjustment: NDArray,
    *,
    name: str = "treatment",
    given: Sequence[str] = (),
    dates: Any = None,
    geos: Any = None,
    lags: int | str = 0,
    strata: int = 3,
) -> TreatmentOverlap:
    r"""Measure the overlap of one treatment, from plain arrays.

    The dose is regressed smoothly on the adjustment variables, :math:`t_i = m(z_i) + r_i`. The
    result contains:

    - **own variation**: the residual standard deviation :math:`\mathrm{sd}(r)`, and the explained
      variance :math:`R^2`, both corrected for the degrees of freedom of the fit;
    - **effective rows**: Kish's effective sample size :math:`(\sum w)^2 / \sum w^2` of the
      stabilised weights :math:`w_i = f(t_i) / f(t_i \mid z_i)` (Robins, Hernan and Brumback 2000;
      Hirano and Imbens 2004), where :math:`f(t \mid z)` is the kernel density of :math:`r` at
      :math:`t - m(z)`, and :math:`f(t)` is its mean over the :math:`z` of all rows;
    - **similar rows**: for each row, the 5% of all rows (at least ten) with the closest
      :math:`m(z)`. A dose counts as observed in the circumstances of a row if it lies between the
      smallest and the largest dose of the similar rows, give or take a quarter of
      :math:`\mathrm{sd}(r)`;
    - **supported range**: doses that count as observed in the circumstances of 90% of the rows;
    - **violations**: rows in whose circumstances zero was not observed;
    - **strata** of the dose: the proportion of rows in whose circumstances the stratum was
      observed, and the effective rows of the weights :math:`1 / P(\text{stratum} \mid z)`, with the
      probability estimated by the proportion among similar rows.

    Parameters
    ----------
    dose : ndarray
        Dose (row,) of the treatment: spend, or adstocked spend.
    adjustment : ndarray
        Columns (row, m) of the adjustment variables; there may be none.
    name : str
        Name of the treatment.
    given : sequence of str
        Names of the adjustment variables.
    dates, geos : array_like, optional
        Date and geo of each row; each geo has its own intercept.
    lags : int or "auto"
        As in :func:`overlap`.
    strata : int
        As in :func:`overlap`.

    References
    ----------
    J. M. Robins, M. A. Hernan and B. Brumback (2000), Marginal structural models and causal
    inference in epidemiology. Epidemiology 11(5).
    K. Hirano and G. W. Imbens (2004), The propensity score with continuous treatments.
    L. Kish (1965), Survey sampling.
    """
    dose = np.asarray(dose, dtype=np.float64)
    rows = as_rows(len(dose), dates, geos)
    expected, spent = _expected(dose, np.asarray(adjustment, dtype=np.float64), rows, lags)
    residual = dose - expected
    count = len(dose)
    freedom = max(count - spent, 1.0)
    own = float(np.sqrt((residual**2).sum() / freedom))
    spread = float(dose.std(ddof=1))
    weights = _stabilised_weights(dose, expected, residual)
    near = _alike(expected)
    slack = _TOLERANCE * own
    least, most = dose[near].min(1) - slack, dose[near].max(1) + slack
    low, high = np.quantile(least, _COVERED), np.quantile(most, 1.0 - _COVERED)
    has_range = spread > 0.0 and low <= high
    return TreatmentOverlap(
        name=name,
        given=tuple(given),
        n=count,
        dose=dose,
        expected=expected,
        dates=None if dates is None else np.asarray(dates),
        geos=rows.geos,
        explained=min(max(1.0 - own**2 / spread**2, 0.0), 1.0) if spread > 0.0 else 1.0,
        own_variation=own,
        weights=weights,
        seen=(float(dose.min()), float(dose.max())),
        supported=(max(float(low), float(dose.min())), min(float(high), float(dose.max())))
        if has_range
        else None,
        alike_low=least,
        alike_high=most,
        violations=_violations(dose, near, least, dates, rows.geos),
        strata=_strata(dose, near, strata),
    )


def _expected(
    dose: NDArray, adjustment: NDArray, rows: Rows, lags: int | str
) -> tuple[NDArray, float]:
    """Return the expected dose (row,) by smooth regression, and its degrees of freedom."""
    if not adjustment.shape[1] and rows.geos is None:
        return np.full(len(dose), dose.mean()), 1.0
    columns = standardised(adjustment)
    given = conditions(columns[:, :0], columns[:, :0], columns, rows, lags, smooth=True)
    kept = given.kept
    left, spent = smoother(given.linear, given.smooth).residuals(dose[kept][:, None])
    # The first rows of a series have no past and take the value of the next row that has one.
    nearest = np.searchsorted(kept, np.arange(len(dose))).clip(max=len(kept) - 1)
    expected = (dose[kept] - left[:, 0])[nearest]
    return np.clip(expected, dose.min(), dose.max()), float(spent[0])


def _stabilised_weights(dose: NDArray, expected: NDArray, residual: NDArray) -> NDArray:
    """Return the ratio of marginal to conditional density (row,) at the dose, with mean 1."""
    count = len(dose)
    quartiles = np.quantile(residual, [0.25, 0.75])
    spread = min(residual.std(), np.ptp(quartiles) / 1.34) or residual.std()
    if spread <= 0.0:
        return np.zeros(count)
    width = 0.9 * spread * count**-0.2  # Silverman's rule

    grid = np.linspace(residual.min() - 4 * width, residual.max() + 4 * width, 512)
    heights = np.exp(-0.5 * ((grid[:, None] - residual) / width) ** 2).mean(1)
    conditional = np.interp(residual, grid, heights)
    marginal = np.array(
        [np.interp(t - expected, grid, heights, left=0.0, right=0.0).mean() for t in dose]
    )
    # A density cannot be lower than the contribution of the row's own kernel.
    weights = marginal / np.maximum(conditional, 1.0 / count)
    return weights / weights.mean()


def _alike(expected: NDArray) -> NDArray:
    """Return the rows (row, k) with the nearest expected dose, including the row itself."""
    count = len(expected)
    number = min(count, max(_ALIKE_LEAST, round(_ALIKE_SHARE * count)))
    if float(np.ptp(expected)) <= 1e-9 * max(1.0, float(np.abs(expected).max())):
        return np.tile(np.arange(count), (count, 1))
    order = np.argsort(expected, kind="stable")
    ranked = expected[order]
    near = np.empty((count, number), dtype=np.int64)
    low = 0
    for place in range(count):
        low = max(low, place - number + 1)
        while (
            low + number < count
            and low < place
            and ranked[low + number] - ranked[place] < ranked[place] - ranked[low]
        ):
            low += 1
        low = min(low, count - number)
        near[order[place]] = order[low : low + number]
    return near


def _violations(
    dose: NDArray, near: NDArray, least: NDArray, dates: Any, geos: NDArray | None
) -> tuple[Violation, ...]:
    """Return the rows in whose circumstances zero was not observed, the furthest from it first."""
    import pandas as pd

    wrong = np.flatnonzero(least > 0.0)
    wrong = wrong[np.argsort(-least[wrong], kind="stable")]
    days = None if dates is None else pd.DatetimeIndex(dates)
    return tuple(
        Violation(
            row=int(row),
            date=None if days is None else str(days[int(row)].date()),
            geo=None if geos is None else int(geos[row]),
            dose=float(dose[row]),
            nearest=float(dose[near[row]].min()),
            alike=near.shape[1],
        )
        for row in wrong
    )


def _strata(dose: NDArray, near: NDArray, count: int) -> tuple[Stratum, ...]:
    """Return the strata of the dose: zero if it occurs, and quantile ranges of other doses."""
    positive = dose[dose > 0.0]
    has_zero = 0 < len(positive) < len(dose)
    above = dose if not has_zero else positive
    parts = max(1, count - has_zero)
    edges = np.unique(np.quantile(above, np.linspace(0.0, 1.0, parts + 1)))
    bounds = list(itertools.pairwise(edges)) or [(edges[0], edges[0])]
    if has_zero:
        bounds.insert(0, (0.0, 0.0))
    found = []
    for place, (low, high) in enumerate(bounds):
        inside = (dose >= low) & ((dose < high) | (dose == high) & (place == len(bounds) - 1))
        if low == high:
            inside = dose == low
        elif has_zero:
            inside &= dose > 0.0
        share = inside[near].mean(1)
        # Each row is among its own similar rows. Only other rows count as evidence.
        others = (inside[near].sum(1) - inside) / (near.shape[1] - 1)
        weights = 1.0 / share[inside]
        effective = float(weights.sum() ** 2 / (weights**2).sum()) if inside.any() else 0.0
        found.append(
            Stratum(
                float(low), float(high), int(inside.sum()), effective, float((others > 0).mean())
            )
        )
    return tuple(found)
