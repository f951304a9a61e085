r"""Value of experiments for the next budget: which one to run next.

A test ``e`` would measure :math:`\ell(\theta)` with standard error ``s``. The next budget divides
today's total ``B`` among channels, each within limits, to maximise the expected revenue given the
knowledge at that time. The expected value of sample information is the gain from deciding after the
test rather than now,

.. math:: \mathrm{EVSI}(e) = E_y\Big[\max_x E[R(x) \mid y]\Big] - \max_x E[R(x)],
          \quad y \sim N(\ell(\theta), s^2),

with :math:`R(x) = \sum_c R_c(x_c)` the response curves over the window of the table. The posterior
given a result ``y`` reweights the draws of the fit by :math:`N(y \mid \ell(\theta_i), s^2)`. The
best division under each posterior is found exactly on a grid of spend, by max-plus convolution. A
test that cannot change the decision is worth nothing, however uncertain the channel.

References
----------
Raiffa and Schlaifer (1961), Applied Statistical Decision Theory. Heath, Manolopoulou and Baio
(2017), A review of methods for analysis of the expected value of information. Medical Decision
Making 37.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from mmm_bayes._typing import RngKey
from mmm_bayes.analysis.contributions import fitted_mean, marginal_roas
from mmm_bayes.analysis.lift import lift_of
from mmm_bayes.analysis.response import response_curves
from mmm_bayes.data.lift_exposure import as_weighted_sum, place_tests
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.deprecation import renamed, rng_key_first
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.numbers import compact
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html
from mmm_bayes.runtime.streams import generator
from mmm_bayes.runtime.summary_table import Shown, SummaryTable

if TYPE_CHECKING:
    import pandas as pd

NDArray = np.ndarray[Any, Any]

_MEAN_DRAWS = 200  # enough for a posterior mean


@final
@dataclass(frozen=True, eq=False, repr=False)
class ExperimentRanking(Report):
    """Candidate tests ranked by their value.

    Attributes
    ----------
    table
        One row per test, the most valuable first: ``channel``, ``spend_change``,
        ``standard_error``, ``expected`` lift with its interval, ``value`` (EVSI, revenue over the
        window of the table) with its Monte Carlo ``value_error``, ``share_of_perfect``
        (value relative to perfect knowledge), ``marginal_roas_sd`` of the channel before and
        expected ``marginal_roas_sd_after``, and the number of ``effective_draws`` of the value.
    tests
        The candidates, in the order of the table.
    perfect
        Value of knowing every parameter, an upper bound of the value of any test.
    total, change
        Total budget, and the share by which each channel may increase or decrease.
    """

    table: pd.DataFrame
    tests: tuple[LiftTest, ...]
    perfect: float
    total: float
    change: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table of candidates."""
        return self.table

    @property
    def verdict(self) -> str:
        """Recommend in words which test to run next."""
        first = self.table.iloc[0]
        value, error = float(first["value"]), float(first["value_error"])
        if value <= 2.0 * error:
            return (
                f"No test would change how to divide a budget of {compact(self.total, 4)} with "
                f"channels free to move by {self.change:.0%}: the same division is best whatever "
                "the result."
            )
        return (
            f"Run {self.table.index[0]}: deciding after it gains {compact(value)} (+- "
            f"{compact(error, 2)}) of revenue, {first['share_of_perfect']:.0%} of the value of "
            f"perfect knowledge, with channels free to move by {self.change:.0%}."
        )

    def __str__(self) -> str:
        return f"{self.verdict}\n{self.summary()}"

    def summary(self) -> pd.DataFrame:
        """Return the table of candidates, which prints within 100 columns."""
        shown = (
            Shown("channel", "channel"),
            Shown("spend change", "spend_change"),
            Shown("expected lift", "expected"),
            Shown("interval", ("expected_low", "expected_high")),
            Shown("value", "value"),
            Shown("of perfect", "share_of_perfect", "percent"),
        )
        return SummaryTable(self.table, shown=shown)

    def _repr_html_(self) -> str:
        return text_as_html(self.verdict) + table_as_html(self.summary())


def candidate_tests(
    fitted: Fitted, periods: int = 4, factors: Sequence[float] = (0.0, 2.0)
) -> tuple[LiftTest, ...]:
    """Propose one test per channel and factor over the last periods: in half of the geos, or all.

    The test multiplies the observed spend by the factor. Its standard error follows from the
    residuals: those of the tested geos over the periods, and of the other geos as controls.
    """
    data = fitted.data
    periods = min(periods, data.num_dates)
    start, end = data.dates[-periods], data.dates[-1]
    # Every other geo by size: both halves hold large and small ones.
    order = np.argsort(-data.ds["population"].values, kind="stable")
    own = () if data.is_national else tuple(data.geos[g] for g in sorted(order[::2]))
    mean = fitted_mean(fitted, max_draws=_MEAN_DRAWS).mean(("chain", "draw"))
    noise = (data.ds["target"] - mean).std("date").values
    tested = np.isin(data.geos, own) if own else np.ones(data.num_geos, bool)
    others = max(int((~tested).sum()), 1) if own else np.inf
    variance = periods * float((noise[tested] ** 2).sum()) * (1.0 + tested.sum() / others)
    found = []
    for channel in data.channels:
        spend = data.ds["spend"].sel(channel=channel).values[tested, -periods:]
        spent = float(np.nan_to_num(spend).sum())
        for factor in factors:
            if spent <= 0:
                continue
            word = "off" if factor == 0 else f"x {factor:g}"
            found.append(
                LiftTest(
                    channel, start, end, 0.0, float(np.sqrt(variance)), geos=own,
                    spend_change=(factor - 1.0) * spent, recorded=False, name=f"{channel} {word}",
                )
            )  # fmt: skip
    return tuple(found)


@rng_key_first(position=1)
@renamed(results="num_results", points="num_points")
def rank_experiments(
    rng_key: RngKey,
    fitted: Fitted,
    candidates: Sequence[LiftTest] | None = None,
    *,
    change: float = 0.5,
    ci_prob: float = 0.9,
    max_draws: int = 2000,
    num_results: int = 400,
    num_points: int = 80,
) -> ExperimentRanking:
    """Rank experiments by the value of their result for the next budget.

    Parameters
    ----------
    rng_key
        Random key of simulated results, or an integer seed.
    fitted
        A fit.
    candidates
        Tests as they would be run; ``standard_error`` is used, ``lift`` is not. By default
        :func:`candidate_tests`.
    change
        Share by which the next budget may increase or decrease each channel.
    ci_prob
        Mass of the interval of the expected result.
    max_draws, num_results
        Number of posterior draws, and of simulated results of each test.
    num_points
        Number of steps of the grid of spend.

    Raises
    ------
    DataError
        If there are no candidates, or one does not fit the table.
    ValueError
        If a setting is out of range.
    """
    import pandas as pd

    if not 0 < change <= 1:
        raise ValueError(f"change should be above 0 and at most 1, but got {change}.")
    tests = candidate_tests(fitted) if candidates is None else tuple(candidates)
    paid = fitted.data.ds["spend"].sum(("geo", "date")).values > 0
    if not tests or paid.sum() < 2:
        message = "Ranking needs at least one candidate test, and two or more paid channels."
        remedy = "Give candidates=, or a table with spend in two channels or more."
        raise DataError([Finding("tests", "error", message, remedy)], "the ranking")
    rng = generator(rng_key)
    problem = _division(fitted, paid, change, max_draws, num_points)
    known = marginal_roas(fitted, max_draws=max_draws).stack(sample=("chain", "draw"))
    tail = 0.5 * (1.0 - ci_prob)
    rows = []
    for test in tests:
        lift = lift_of(fitted, test, max_draws)
        scale, error = _scale(fitted, test, lift)
        outcome = _worth(problem, scale, error, rng, num_results)
        own = known.sel(channel=list(test.channels)).mean("channel").values
        spread = _remaining_sd(own, scale, error, outcome.results)
        low, middle, high = np.quantile(lift, [tail, 0.5, 1.0 - tail])
        rows.append(
            {
                "test": test.name,
                "channel": test.label,
                "spend_change": place_tests(fitted.data, [test])[0].spend_change,
                "standard_error": test.standard_error,
                "expected": middle,
                "expected_low": low,
                "expected_high": high,
                "value": outcome.value,
                "value_error": outcome.error,
                "share_of_perfect": outcome.value / problem.perfect if problem.perfect else 0.0,
                "marginal_roas_sd": float(own.std()),
                "marginal_roas_sd_after": spread,
                "effective_draws": outcome.effective,
            }
        )
    table = pd.DataFrame(rows).set_index("test")
    order = np.argsort(-table["value"].to_numpy(float), kind="stable")
    return ExperimentRanking(
        table.iloc[order], tuple(tests[i] for i in order), problem.perfect, problem.total, change
    )


def _scale(fitted: Fitted, test: LiftTest, lift: NDArray) -> tuple[NDArray, float]:
    """Return results and error on the scale on which the error is Gaussian."""
    if test.measure != "cost_per_target":
        return lift, test.standard_error
    (placed,) = place_tests(fitted.data, [test])
    return 1.0 / lift, as_weighted_sum(fitted.data, placed)[2]


class _Division(NamedTuple):
    """Revenue curves (draw, channel, step) within each channel's limits, and the present plan."""

    curves: NDArray
    steps: int
    plan: NDArray
    perfect: float
    total: float


def _division(
    fitted: Fitted, paid: NDArray, change: float, max_draws: int, points: int
) -> _Division:
    """Compute the response of every paid channel on a common grid of spend within its limits."""
    ds = fitted.data.ds
    spent = np.nan_to_num(ds["spend"].values).sum((0, 1))[paid]
    names = [c for c, own in zip(fitted.data.channels, paid, strict=True) if own]
    low = 1.0 - change
    grid = np.linspace(low, 1.0 + change, 25)
    draws = response_curves(fitted, names, grid, max_draws=max_draws)
    values = draws.values.reshape(-1, len(names), len(grid))
    step = change * 2.0 * spent.sum() / points
    # Every channel gets its minimum, and the rest is divided; `room` is each channel's limit.
    room = np.maximum(np.floor(2.0 * change * spent / step + 1e-9), 0).astype(int)
    curves = np.full((len(values), len(names), room.max() + 1), -np.inf)
    for c in range(len(names)):
        money = low + np.arange(room[c] + 1) * step / spent[c]
        at = np.clip((money - low) / (2.0 * change) * (len(grid) - 1), 0, len(grid) - 1)
        left = np.minimum(at.astype(int), len(grid) - 2)
        share = at - left
        own = values[:, c]
        curves[:, c, : room[c] + 1] = own[:, left] * (1 - share) + own[:, left + 1] * share
    steps = round(change * spent.sum() / step)
    mean = curves.mean(0)
    plan = _plan(mean, steps)
    now = mean[np.arange(len(plan)), plan].sum()
    perfect = float(_best(curves, steps).mean() - now)
    return _Division(curves, steps, plan, max(perfect, 0.0), float(spent.sum()))


def _best(curves: NDArray, steps: int) -> NDArray:
    """Maximise the sum over channels of curves (n, channel, step) given ``steps`` in total."""
    reach = np.full((len(curves), steps + 1), -np.inf)
    reach[:, 0] = 0.0
    for c in range(curves.shape[1]):
        found = np.full_like(reach, -np.inf)
        for taken in range(min(curves.shape[2], steps + 1)):
            own = curves[:, c, taken]
            if not np.isfinite(own[0]):
                break
            found[:, taken:] = np.maximum(
                found[:, taken:], reach[:, : steps + 1 - taken] + own[:, None]
            )
        reach = found
    return reach.max(1)


class _Outcome(NamedTuple):
    value: float
    error: float
    effective: float
    results: NDArray


def _worth(
    problem: _Division, lift: NDArray, error: float, rng: np.random.Generator, results: int
) -> _Outcome:
    """Estimate the expected gain of deciding after a test, with its Monte Carlo error."""
    chosen = rng.choice(len(lift), min(results, len(lift)), replace=False)
    seen = lift[chosen] + error * rng.standard_normal(len(chosen))
    weight = _weights(lift, error, seen)
    finite = np.where(np.isfinite(problem.curves), problem.curves, 0.0)
    after = np.einsum("yi,ics->ycs", weight, finite)
    after = np.where(np.isfinite(problem.curves[:1]), after, -np.inf)
    best = _best(after, problem.steps)
    # Evaluate the present plan with the same weights, so that their Monte Carlo error cancels.
    stay = after[:, np.arange(len(problem.plan)), problem.plan].sum(1)
    gain = best - stay
    effective = float(np.median(1.0 / (weight**2).sum(1)))
    spread = float(gain.std() / np.sqrt(len(gain)))
    return _Outcome(float(gain.mean()), spread, effective, seen)


def _plan(curves: NDArray, steps: int) -> NDArray:
    """Find the steps of each channel in the best division of curves (channel, step)."""
    n = len(curves)
    tables = [np.full(steps + 1, -np.inf)]
    tables[0][0] = 0.0
    taken = np.zeros((n, steps + 1), int)
    for c in range(n):
        found = np.full(steps + 1, -np.inf)
        for k in range(min(curves.shape[1], steps + 1)):
            if not np.isfinite(curves[c, k]):
                break
            value = tables[-1][: steps + 1 - k] + curves[c, k]
            better = value > found[k:]
            found[k:] = np.where(better, value, found[k:])
            taken[c, k:] = np.where(better, k, taken[c, k:])
        tables.append(found)
    left = int(np.argmax(tables[-1]))
    plan = np.zeros(n, int)
    for c in reversed(range(n)):
        plan[c] = taken[c, left]
        left -= plan[c]
    return plan


def _weights(lift: NDArray, error: float, seen: NDArray) -> NDArray:
    """Compute the weights (result, draw) of the draws given each result."""
    log = -0.5 * ((seen[:, None] - lift[None, :]) / error) ** 2
    weight = np.exp(log - log.max(1, keepdims=True))
    return weight / weight.sum(1, keepdims=True)


def _remaining_sd(quantity: NDArray, lift: NDArray, error: float, seen: NDArray) -> float:
    """Compute the root of the expected variance of a quantity after the test."""
    weight = _weights(lift, error, seen)
    mean = weight @ quantity
    variance = weight @ quantity**2 - mean**2
    return float(np.sqrt(np.maximum(variance, 0.0).mean()))
