"""Independence tests by the covariance of residuals of smooth or linear regressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from mmm_bayes.causal.check.independence_result import IndependenceResult, Part, nothing_left
from mmm_bayes.causal.check.long_run import MeanError, mean_error
from mmm_bayes.causal.check.multiplicity import cauchy_combination
from mmm_bayes.causal.check.series import Conditions, Rows, as_rows, conditions
from mmm_bayes.causal.check.smooth import Smoother, normal_scores, smoother

NDArray = np.ndarray[Any, Any]

# Most relations show in the levels, so these have most of the weight.
_WEIGHTS = {"levels": 0.5, "squares": 0.08, "past": 0.2}
_NOTHING = 1e-8


def generalised_covariance(
    x: NDArray,
    y: NDArray,
    z: NDArray,
    *,
    dates: Any = None,
    geos: Any = None,
    lags: int | str = "auto",
) -> IndependenceResult:
    r"""Test independence by the covariance of the residuals of smooth regressions on ``z``.

    With residuals :math:`r` of ``x`` and :math:`s` of ``y``, each regressed on ``z`` by penalised
    smooth functions (:func:`mmm_bayes.causal.check.smooth.smoother`), independence given ``z``
    means :math:`E[r s] = 0`; the mean product over its standard error is referred to Student's t.
    The level is right as soon as the product of the two regressions' errors is small (Shah and
    Peters 2020, theorem 6). A relation without a slope shows in the squares: the same is done for
    the second Hermite polynomial of the normal scores of either variable, or of both.

    Dated rows are series. If the graph over the series separates ``x`` from ``y`` by ``z``, then
    ``y``, given ``z``, the past of ``z`` and its own past, is news that neither ``x`` nor the past
    of ``x`` foretells. So both regressions also have the past of ``z`` and of ``y``
    (:func:`mmm_bayes.causal.check.series.conditions`), and the products of the news with ``x`` and
    with its past (Granger 1969: carry-over acts later) are hardly autocorrelated, however slowly
    ``x`` moves; what autocorrelation is left is allowed for by
    :func:`mmm_bayes.causal.check.long_run.mean_error`. The same is asked of ``x`` given its own
    past.

    The p-values of the parts are combined by weighted Cauchy combination.

    Parameters
    ----------
    x, y : ndarray
        Columns (row, k), in any units; a season may have several.
    z : ndarray
        Columns (row, m) of what is given, none or more.
    dates, geos : array_like, optional
        Date and geo of every row; rows of a geo in order of their dates. Each geo has an intercept
        of its own, and rows of a date count as one where geos share it.
    lags : int or "auto"
        The past that is taken in: a number of lags, or 0 for none.

    References
    ----------
    R. D. Shah and J. Peters (2020), The hardness of conditional independence testing and the
    generalised covariance measure. Annals of Statistics 48(3).
    C. W. J. Granger (1969), Investigating causal relations by econometric models and
    cross-spectral methods. Econometrica 37(3).
    """
    rows = as_rows(len(x), dates, geos)
    x, y, z = (standardised(own) for own in (x, y, z))
    given = conditions(x, y, z, rows, lags, smooth=True)
    return _assembled("gcm", [*_parts(x, y, given, rows)], given)


def partial_correlation(
    x: NDArray,
    y: NDArray,
    z: NDArray,
    *,
    dates: Any = None,
    geos: Any = None,
    lags: int | str = "auto",
) -> IndependenceResult:
    r"""Test independence by the partial correlation given ``z``, with errors for dependent rows.

    The linear regressions' residuals :math:`r, s` of ``x`` and ``y`` on ``z`` give
    :math:`\hat\rho = \overline{rs} / \sqrt{\overline{r^2}\,\overline{s^2}}`. Its error is that of
    the mean of the products :math:`r_t s_t`, a series, and so allows for unequal variances too.
    Cheap and powerful where relations are straight lines; where they bend, it objects to graphs
    that are right. Arguments are those of :func:`generalised_covariance`.
    """
    rows = as_rows(len(x), dates, geos)
    x, y, z = (standardised(own) for own in (x, y, z))
    given = conditions(x, y, z, rows, lags, smooth=False)
    base = np.concatenate([given.linear, given.past_x, given.past_y], axis=1)
    targets = {"x": x[given.kept], "y": y[given.kept]}
    left = _residuals(smoother(base, given.smooth[:, :0]), targets)
    return _assembled("partial_correlation", [*_products(left, "x", "y", 1.0, given, rows)], given)


def foretold(
    x: NDArray,
    y: NDArray,
    z: NDArray,
    *,
    dates: Any = None,
    geos: Any = None,
    lags: int | str = "auto",
) -> IndependenceResult:
    r"""Test that the past of ``y`` does not help ``z`` and the past of ``x`` to predict ``x``.

    The part of :func:`generalised_covariance` that tells directions apart: if ``z`` are all causes
    of ``x``, today's and before, what is new in ``x`` is independent of all that was before it
    (Granger 1969). Arguments are those of :func:`generalised_covariance`; rows are dated, or lags
    are given.
    """
    rows = as_rows(len(x), dates, geos)
    x, y, z = (standardised(own) for own in (x, y, z))
    given = conditions(x, y, z, rows, lags, smooth=True)
    base = np.concatenate([given.linear, given.past_x], axis=1)
    left = _residuals(smoother(base, given.smooth), {"past of y": given.past_y, "x": x[given.kept]})
    parts = [*_products(left, "past of y", "x", 1.0, given, rows)]
    if not parts:
        return nothing_left("foretold", len(given.kept), "x or the past of y")
    return _assembled("foretold", parts, given, parts[0].name)


def standardised(columns: NDArray) -> NDArray:
    """Scale columns (row, k) to mean 0 and standard deviation 1; constant ones become 0."""
    columns = np.asarray(columns, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    scale = columns.std(0)
    constant = scale <= 1e-12 * np.maximum(np.abs(columns).max(0, initial=0.0), 1e-300)
    return np.where(constant, 0.0, (columns - columns.mean(0)) / np.where(constant, 1.0, scale))


@final
@dataclass(frozen=True)
class _Residuals:
    """Residuals of variables by name (row, k), and the degrees of freedom (k,) used."""

    values: Mapping[str, NDArray]
    spent: Mapping[str, NDArray]


@final
@dataclass(frozen=True)
class _Part:
    """One product of residuals: its name, weight, mean and scale."""

    name: str
    weight: float
    found: MeanError
    scale: float

    @property
    def ratio(self) -> float:
        return self.found.mean / self.found.error if self.found.error > 0.0 else 0.0

    @property
    def p_value(self) -> float:
        from scipy.stats import t

        return float(2.0 * t.sf(abs(self.ratio), self.found.dof))

    @property
    def correlation(self) -> float:
        return self.found.mean / self.scale


def _parts(x: NDArray, y: NDArray, given: Conditions, rows: Rows) -> Iterator[_Part]:
    """Yield the parts of the smooth test; parts without variation are left out."""
    targets = {"x": x, "y": y}
    # Squares of the columns of a season are columns of a season again.
    targets |= {f"{k}²": _hermite(own) for k, own in targets.items() if own.shape[1] == 1}
    targets = {name: own[given.kept] for name, own in targets.items()}
    pasts = {"x": given.past_x, "y": given.past_y}
    # Conditioning one side on its past is enough: the other keeps its slow movements.
    sides = [name for name, past in pasts.items() if past.shape[1]]
    for news in sides or [""]:
        other = {"x": "y", "y": "x"}.get(news, "")
        own = [given.linear, pasts[news]] if news else [given.linear]
        past = {"past": pasts[other]} if len(sides) == 2 else {}
        fit = smoother(np.concatenate(own, axis=1), given.smooth)
        left = _residuals(fit, targets | past)
        yield from _products(left, "x", "y", _WEIGHTS["levels"], given, rows)
        for pair in (("x²", "y"), ("x", "y²"), ("x²", "y²")):
            yield from _products(left, *pair, _WEIGHTS["squares"], given, rows)
        for part in _products(left, "past", news, _WEIGHTS["past"], given, rows):
            yield replace(part, name=f"past of {other} and {news}")


def _residuals(fit: Smoother, targets: Mapping[str, NDArray]) -> _Residuals:
    """Return the residuals of each target; zeros for a column that the others determine."""
    values, spent = {}, {}
    for name, own in targets.items():
        left, freedom = fit.residuals(own)
        alive = (left**2).mean(0) > _NOTHING * np.maximum((own**2).mean(0), 1e-300)
        values[name], spent[name] = np.where(alive, left, 0.0), freedom
    return _Residuals(values, spent)


def _products(
    left: _Residuals, one: str, other: str, weight: float, given: Conditions, rows: Rows
) -> Iterator[_Part]:
    """Yield the products of every column of one and of the other; they share the weight."""
    if one not in left.values or other not in left.values:
        return
    a, b = left.values[one], left.values[other]
    blocks = None if rows.times is None else rows.times[given.kept]
    for i in range(a.shape[1]):
        for j in range(b.shape[1]):
            scale = float(np.sqrt((a[:, i] ** 2).mean() * (b[:, j] ** 2).mean()))
            if scale > 0.0:
                spent = float(max(left.spent[one][i], left.spent[other][j]))
                found = mean_error(a[:, i] * b[:, j], blocks, spent=spent)
                share = weight / (a.shape[1] * b.shape[1])
                yield _Part(f"{one} and {other}", share, found, scale)


def _assembled(
    test: str, parts: list[_Part], given: Conditions, shown: str = "x and y"
) -> IndependenceResult:
    """Combine all parts; the effect is that of the strongest part with the name shown."""
    from scipy.stats import t

    levels = [part for part in parts if part.name == shown]
    n = len(given.kept)
    if not levels:
        return nothing_left(test, n, "x or y")
    p_values = [part.p_value for part in parts]
    strongest = max(levels, key=lambda part: abs(part.ratio))
    # On the scale of Fisher's transformation the interval stays within -1 and 1.
    centre = float(np.clip(strongest.correlation, -0.999999, 0.999999))
    error = strongest.found.error / strongest.scale / (1.0 - centre**2)
    reach = float(t.ppf(0.975, strongest.found.dof)) * error
    ends = np.tanh(np.arctanh(centre) + np.array([-reach, reach]))
    return IndependenceResult(
        test,
        strongest.ratio,
        cauchy_combination(p_values, [part.weight for part in parts]),
        centre,
        n,
        strongest.found.effective,
        (float(ends[0]), float(ends[1])),
        _least(parts),
    )


def _least(parts: list[_Part]) -> tuple[Part, ...]:
    """Return the strongest part of each name, its p-value times their number."""
    found = []
    for name in dict.fromkeys(part.name for part in parts):
        own = [part for part in parts if part.name == name]
        loudest = min(own, key=lambda part: part.p_value)
        found.append(Part(name, min(1.0, loudest.p_value * len(own)), loudest.correlation))
    return tuple(found)


def _hermite(column: NDArray) -> NDArray:
    """Return the second Hermite polynomial of the normal scores: the even part of a variable."""
    scores = normal_scores(column)
    return (scores**2 - 1.0) / np.sqrt(2.0)
