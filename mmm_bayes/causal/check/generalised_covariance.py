"""Independence tests by the covariance of regression residuals, smooth or linear."""

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

# Most dependences are visible in the levels, which therefore have most of the weight.
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

    Both ``x`` and ``y`` are regressed on ``z`` by penalised smooth functions
    (:func:`mmm_bayes.causal.check.smooth.smoother`), with residuals :math:`r` and :math:`s`.
    Independence given ``z`` implies :math:`E[r s] = 0`. The mean product divided by its standard
    error is compared with Student's t. The test has the correct level if the product of the
    estimation errors of the two regressions is small (Shah and Peters 2020, theorem 6). To detect
    dependence without a slope, the test is repeated with the second Hermite polynomial of the
    normal scores of either variable, or of both.

    Dated rows are time series. If the graph over the series separates ``x`` from ``y`` by ``z``,
    then the innovation of ``y`` (its part not explained by ``z``, the past of ``z`` and its own
    past) is independent of ``x`` and the past of ``x``. Therefore both regressions also condition
    on the past of ``z`` and of ``y`` (:func:`mmm_bayes.causal.check.series.conditions`). The past
    of ``x`` is tested as well as ``x`` itself, because carry-over acts later (Granger 1969). The
    products of the innovations with ``x`` and its past are hardly autocorrelated, even if ``x``
    changes slowly; :func:`mmm_bayes.causal.check.long_run.mean_error` allows for the remaining
    autocorrelation. The same is done with the roles of ``x`` and ``y`` exchanged.

    The p-values of all parts are merged by a weighted Cauchy combination.

    Parameters
    ----------
    x, y : ndarray
        Columns (row, k) in any units; a season may have several columns.
    z : ndarray
        Conditioning columns (row, m); there may be none.
    dates, geos : array_like, optional
        Date and geo of each row, with the rows of a geo in order of their dates. Each geo has its
        own intercept. Rows of several geos on the same date count as one observation.
    lags : int or "auto"
        Number of lags of the past to condition on, or 0 for none; ``"auto"``: see
        :func:`mmm_bayes.causal.check.series.conditions`.

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

    The residuals :math:`r, s` of the linear regressions of ``x`` and ``y`` on ``z`` give
    :math:`\hat\rho = \overline{rs} / \sqrt{\overline{r^2}\,\overline{s^2}}`. Its standard error is
    computed from the mean of the series of products :math:`r_t s_t`, and thus also allows for
    unequal variances. The test is fast, and powerful if relations are linear. If they are
    nonlinear, it may reject correct graphs. For the arguments see :func:`generalised_covariance`.
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

    This is the part of :func:`generalised_covariance` that distinguishes directions. If ``z``
    contains all causes of ``x``, present and past, then the innovation of ``x`` is independent of
    everything before it (Granger 1969). For the arguments see :func:`generalised_covariance`;
    either ``dates`` or a number of ``lags`` is required.
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
    """Scale columns (row, k) to mean 0 and standard deviation 1; constant columns become 0."""
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
    """Yield the parts of the smooth test, except those without variation."""
    targets = {"x": x, "y": y}
    # A season with several columns gets no squares, which would again be columns of a season.
    targets |= {f"{k}²": _hermite(own) for k, own in targets.items() if own.shape[1] == 1}
    targets = {name: own[given.kept] for name, own in targets.items()}
    pasts = {"x": given.past_x, "y": given.past_y}
    # It suffices to condition one side on its past; the other side keeps its slow movements.
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
    """Return the residuals of each target; zero for a column that the regressors determine."""
    values, spent = {}, {}
    for name, own in targets.items():
        left, freedom = fit.residuals(own)
        alive = (left**2).mean(0) > _NOTHING * np.maximum((own**2).mean(0), 1e-300)
        values[name], spent[name] = np.where(alive, left, 0.0), freedom
    return _Residuals(values, spent)


def _products(
    left: _Residuals, one: str, other: str, weight: float, given: Conditions, rows: Rows
) -> Iterator[_Part]:
    """Yield the products of each column of one with each of the other; they share the weight."""
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
    """Combine all parts; the reported effect is the strongest among parts named ``shown``."""
    from scipy.stats import t

    levels = [part for part in parts if part.name == shown]
    n = len(given.kept)
    if not levels:
        return nothing_left(test, n, "x or y")
    p_values = [part.p_value for part in parts]
    strongest = max(levels, key=lambda part: abs(part.ratio))
    # Fisher's transformation keeps the interval between -1 and 1.
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
    """Return the strongest part of each name, with its p-value adjusted by Bonferroni's method."""
    found = []
    for name in dict.fromkeys(part.name for part in parts):
        own = [part for part in parts if part.name == name]
        loudest = min(own, key=lambda part: part.p_value)
        found.append(Part(name, min(1.0, loudest.p_value * len(own)), loudest.correlation))
    return tuple(found)


def _hermite(column: NDArray) -> NDArray:
    """Return the second Hermite polynomial of the normal scores, which detects even dependence."""
    scores = normal_scores(column)
    return (scores**2 - 1.0) / np.sqrt(2.0)
