"""Independence tests: level and power with Monte Carlo error, closed forms, brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from mmm_bayes.causal.check.contingency import categories, chi_squared
from mmm_bayes.causal.check.generalised_covariance import (
    generalised_covariance,
    partial_correlation,
)
from mmm_bayes.causal.check.independence import TESTS, independence, independence_test
from mmm_bayes.causal.check.kernel_independence import kernel_test
from mmm_bayes.causal.check.long_run import mean_error
from mmm_bayes.causal.check.multiplicity import adjust, cauchy_combination
from mmm_bayes.causal.check.series import as_rows, conditions
from mmm_bayes.causal.check.smooth import normal_scores, orthonormal, smoother
from mmm_bayes.causal.check.variables import node_table

NONE = np.empty((120, 0))


def ar1(rng: np.random.Generator, n: int, phi: float) -> np.ndarray:
    noise = rng.standard_normal(n + 100)
    for t in range(1, n + 100):
        noise[t] += phi * noise[t - 1]
    return noise[100:, None]


def weeks(n: int) -> pd.DatetimeIndex:
    return pd.date_range("2020-01-06", periods=n, freq="W-MON")


def holds(rejected: list[bool], level: float) -> bool:
    """Not above the level by more than three standard errors."""
    return np.mean(rejected) <= level + 3.0 * np.sqrt(level * (1.0 - level) / len(rejected))


# Level


@pytest.mark.parametrize("phi", [0.0, 0.8])
@pytest.mark.parametrize(
    ("test", "draws", "settings"),
    [
        (partial_correlation, 120, {}),
        (partial_correlation, 120, {"lags": 0}),
        (generalised_covariance, 50, {}),
        (generalised_covariance, 50, {"lags": 0}),
        (kernel_test, 50, {"num_permutations": 100}),
    ],
)
def test_level_holds_under_autocorrelation(test, draws, settings, phi):
    rng = np.random.default_rng(1)
    dates = weeks(120)
    rejected = []
    for _ in range(draws):
        x, y, z = (ar1(rng, 120, phi) for _ in range(3))
        found = test(x + z, y + z, z, dates=dates, **settings)
        rejected.append(found.p_value <= 0.1)
    assert holds(rejected, 0.1)


def test_rows_taken_as_independent_would_object_to_series():
    """The level above is no matter of course."""
    rng = np.random.default_rng(2)
    rejected = [
        stats.pearsonr(ar1(rng, 120, 0.8)[:, 0], ar1(rng, 120, 0.8)[:, 0]).pvalue <= 0.1
        for _ in range(200)
    ]
    assert not holds(rejected, 0.1)
    assert np.mean(rejected) > 0.3


def test_curved_relations_fool_the_linear_test_and_not_the_smooth_one():
    rng = np.random.default_rng(3)
    linear, smooth = [], []
    for _ in range(40):
        z = rng.standard_normal((150, 1))
        x, y = (z**2 + 0.5 * rng.standard_normal((150, 1)) for _ in range(2))
        linear.append(partial_correlation(x, y, z).p_value <= 0.05)
        smooth.append(generalised_covariance(x, y, z).p_value <= 0.05)
    assert np.mean(linear) > 0.9
    assert holds(smooth, 0.05)


def test_carry_over_of_a_common_cause_needs_its_past():
    rng = np.random.default_rng(4)
    dates = weeks(200)
    today, past = [], []
    for _ in range(30):
        z = rng.gamma(1.0, 1.0, (200, 1))
        carried = as_rows(200, dates).carried(z, 0.6)
        x, y = (carried + 0.3 * rng.standard_normal((200, 1)) for _ in range(2))
        today.append(generalised_covariance(x, y, z, dates=dates, lags=0).p_value <= 0.05)
        past.append(generalised_covariance(x, y, z, dates=dates).p_value <= 0.05)
    assert np.mean(today) > 0.9
    assert holds(past, 0.05)


def test_geos_that_share_their_weeks_are_not_independent_rows():
    """Common shocks within dates: only sums over the geos of a date are worth a row."""
    rng = np.random.default_rng(5)
    n, geos = 60, 5
    codes = np.repeat(np.arange(geos), n)
    dates = np.tile(weeks(n).values, geos)
    with_dates, alone = [], []
    for _ in range(100):
        x, y = (
            np.tile(rng.standard_normal(n), geos)[:, None]
            + 0.3 * rng.standard_normal((n * geos, 1))
            + codes[:, None]  # levels of the geos are no evidence
            for _ in range(2)
        )
        with_dates.append(
            partial_correlation(x, y, x[:, :0], dates=dates, geos=codes, lags=0).p_value <= 0.1
        )
        alone.append(stats.pearsonr(x[:, 0], y[:, 0]).pvalue <= 0.1)
    assert holds(with_dates, 0.1)
    assert np.mean(alone) > 0.9


# Power


def relations(rng: np.random.Generator, n: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    x, noise = rng.standard_normal((n, 1)), rng.standard_normal((n, 1))
    return {
        "line": (x, x + noise),
        "parabola": (x, x**2 + noise),
        "spread": (x, np.exp(x) * noise),
        "wave": (x, np.sin(3 * x) + 0.3 * noise),
    }


@pytest.mark.parametrize(
    ("test", "sees"),
    [
        ("partial_correlation", {"line"}),
        ("gcm", {"line", "parabola", "spread"}),
        ("kernel", {"line", "parabola", "spread", "wave"}),
        ("chi_squared", {"line", "parabola", "spread"}),
    ],
)
def test_what_each_test_sees(test, sees):
    rng = np.random.default_rng(6)
    found = dict.fromkeys(relations(rng, 10), 0)
    for _ in range(10):
        for name, (x, y) in relations(rng, 250).items():
            found[name] += TESTS[test](x, y, x[:, :0]).p_value <= 0.01
    assert {name for name, count in found.items() if count >= 8} >= sees
    if test == "partial_correlation":
        assert found["parabola"] < 8


def test_power_of_the_partial_correlation_is_that_of_theory():
    """One partial correlation of rho among n rows: the z test's power, within three errors."""
    rng = np.random.default_rng(7)
    rho, n, draws = 0.2, 200, 300
    rejected = 0
    for _ in range(draws):
        x = rng.standard_normal((n, 1))
        y = rho * x + np.sqrt(1 - rho**2) * rng.standard_normal((n, 1))
        rejected += partial_correlation(x, y, x[:, :0]).p_value <= 0.05
    shift = np.arctanh(rho) * np.sqrt(n - 3)
    power = stats.norm.sf(1.96 - shift)
    assert abs(rejected / draws - power) < 0.03 + 3 * np.sqrt(power * (1 - power) / draws)


def test_effects_that_come_later_are_seen():
    rng = np.random.default_rng(8)
    x = rng.standard_normal((200, 1))
    y = np.roll(x, 1) + rng.standard_normal((200, 1))
    found = generalised_covariance(x, y, x[:, :0], dates=weeks(200))
    assert found.p_value < 1e-6
    assert found.loudest == "past of x and y"
    assert generalised_covariance(x, y, x[:, :0]).p_value > 1e-3  # without dates: no yesterday


def test_the_interval_of_the_effect_covers():
    rng = np.random.default_rng(9)
    inside = []
    for _ in range(200):
        x = rng.standard_normal((100, 1))
        y = 0.75 * x + rng.standard_normal((100, 1))
        low, high = partial_correlation(x, y, x[:, :0]).interval
        inside.append(low <= 0.6 <= high)
    assert abs(np.mean(inside) - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 200)


# Closed forms and brute force


def test_partial_correlation_is_that_of_the_inverse_covariance():
    rng = np.random.default_rng(10)
    table = rng.standard_normal((120, 4)) @ rng.standard_normal((4, 4))
    precision = np.linalg.inv(np.cov(table, rowvar=False))
    expected = -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
    found = partial_correlation(table[:, :1], table[:, 1:2], table[:, 2:])
    assert found.effect == pytest.approx(expected, abs=1e-10)


def test_independent_rows_have_the_plain_error_of_a_mean():
    values = np.random.default_rng(11).standard_normal(2000)
    found = mean_error(values)
    assert found.error == pytest.approx(values.std() / np.sqrt(2000), rel=0.08)
    assert found.mean == values.mean()


@pytest.mark.parametrize("phi", [0.3, 0.7])
def test_error_of_an_autoregression_is_its_long_run_error(phi):
    rng = np.random.default_rng(12)
    ratio = [mean_error(ar1(rng, 800, phi)[:, 0]).error * np.sqrt(800) for _ in range(60)]
    assert np.median(ratio) == pytest.approx(1.0 / (1.0 - phi), rel=0.07)


def test_long_run_variance_is_near_that_of_statsmodels():
    series = ar1(np.random.default_rng(13), 400, 0.5)[:, 0]
    fit = sm.OLS(series, np.ones(400)).fit(cov_type="HAC", cov_kwds={"maxlags": 15})
    assert mean_error(series).error == pytest.approx(float(fit.bse[0]), rel=0.25)


def test_rows_of_a_date_are_summed():
    rng = np.random.default_rng(14)
    values = rng.standard_normal(90)
    dates = np.tile(np.arange(30), 3)
    summed = mean_error(np.bincount(dates, values), spent=0.0)
    found = mean_error(values, dates)
    assert found.error == pytest.approx(summed.error / 3 * np.sqrt(29 / 30 * 30 / 29), rel=0.02)


def test_sum_of_likelihood_ratios_is_that_of_scipy():
    rng = np.random.default_rng(15)
    n = 600
    z, x = rng.integers(0, 2, n), rng.integers(0, 3, n)
    y = (x + rng.integers(0, 2, n)) % 3
    total, freedom = 0.0, 0
    for stratum in (0, 1):
        counts = np.histogram2d(x[z == stratum], y[z == stratum], bins=(3, 3))[0]
        own = stats.chi2_contingency(counts, correction=False, lambda_="log-likelihood")
        total, freedom = total + own.statistic, freedom + own.dof
    found = chi_squared(x[:, None], y[:, None], z[:, None])
    assert found.statistic == pytest.approx(total * found.effective_sample_size / n)
    assert found.p_value < 1e-10
    assert freedom == 8


def test_bins_are_quantiles_and_zero_is_its_own():
    spend = np.array([0.0] * 40 + list(np.linspace(1.0, 2.0, 60)))
    codes = categories(spend, 3)
    assert set(codes[:40]) == {0}
    assert set(codes[40:]) == {1, 2} or set(codes[40:]) == {1}
    assert categories(np.array(["1", "2", "1"]).astype(float), 3).tolist() == [0, 1, 0]


def test_sparse_strata_are_told():
    rng = np.random.default_rng(16)
    x, y = rng.standard_normal((2, 60, 1))
    z = rng.integers(0, 2, (60, 3)).astype(float)
    notes = " ".join(chi_squared(x, y, z).notes)
    assert "below 5" in notes
    assert "8 strata" in notes
    assert "60 rows" in notes


def test_smoother_is_ridge_regression_on_its_features():
    rng = np.random.default_rng(17)
    z = rng.uniform(-2, 2, (150, 1))
    target = np.sin(2 * z) + 0.1 * rng.standard_normal((150, 1))
    fit = smoother(np.ones((150, 1)), z)
    left, spent = fit.residuals(target)
    assert left.std() == pytest.approx(0.1, rel=0.15)
    assert 4 < spent[0] < 40
    grid = np.logspace(-7, 1, 25)
    u, d = fit.smooth, fit.strength
    centred = target - target.mean()
    scores = []
    for penalty in grid:
        hat = u @ np.diag(d / (d + penalty)) @ u.T
        resid = centred - hat @ centred
        scores.append((resid**2).sum() / (1 - (1 + np.trace(hat)) / 150) ** 2)
    hat = u @ np.diag(d / (d + grid[int(np.argmin(scores))])) @ u.T
    np.testing.assert_allclose(left, centred - hat @ centred, atol=1e-10)


def test_the_kernel_is_a_function_of_each_column_and_of_all():
    rng = np.random.default_rng(18)
    z = rng.standard_normal((40, 2))
    u = normal_scores(z) / 0.5
    squares = (u[:, None] - u[None]) ** 2
    kernel = np.exp(-squares / 2).mean(2) + np.exp(-squares.sum(2) / 4)
    fit = smoother(np.empty((40, 0)), z)
    # Thirteen features of forty rows: the best part of the kernel.
    projected = fit.smooth @ fit.smooth.T @ kernel
    assert np.linalg.norm(projected - kernel) < 0.3 * np.linalg.norm(kernel)


def test_carried_is_a_loop_within_geos():
    rng = np.random.default_rng(19)
    values, geos = rng.gamma(1.0, 1.0, (12, 2)), np.repeat([0, 1], 6)
    rows = as_rows(12, np.tile(weeks(6).values, 2), geos)
    for start in (0, 6):
        level = values[start]
        for t in range(start, start + 6):
            level = 0.7 * level + 0.3 * values[t]
            np.testing.assert_allclose(rows.carried(values, 0.7)[t], level)
            before = values[max(t - 2, start)]
            np.testing.assert_array_equal(rows.lagged(values, 2)[t], before)
    assert rows.without_start(2).tolist() == [2, 3, 4, 5, 8, 9, 10, 11]


def test_plain_lags_are_those_asked_for():
    x = np.arange(20.0)[:, None]
    given = conditions(x, x, x**2, as_rows(20), 3, smooth=False)
    np.testing.assert_array_equal(given.past_x[0], [2.0, 1.0, 0.0])
    np.testing.assert_array_equal(given.linear[0], [1.0, 9.0, 4.0, 1.0, 0.0])
    assert given.kept[0] == 3


def test_dependent_columns_are_dropped():
    columns = np.random.default_rng(20).standard_normal((30, 3))
    basis = orthonormal(np.concatenate([columns, columns @ np.ones((3, 1))], axis=1))
    assert basis.shape == (30, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-12)


# Multiplicity


@pytest.mark.parametrize(("method", "name"), [("holm", "holm"), ("bh", "fdr_bh"), ("by", "fdr_by")])
def test_adjusted_p_values_are_those_of_statsmodels(method, name):
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(21)
    for size in (1, 2, 9):
        p = rng.uniform(size=size) ** 3
        np.testing.assert_allclose(adjust(p, method), multipletests(p, method=name)[1])
    assert adjust([], method).size == 0


def test_cauchy_combination_of_equal_p_values_is_theirs_and_holds_its_level():
    assert cauchy_combination([0.03, 0.03], [1, 5]) == pytest.approx(0.03)
    # Alone against many of 1 it is Bonferroni's with the weights, to leading order.
    assert cauchy_combination([1e-12, 1.0], [1, 3]) == pytest.approx(4e-12, rel=1e-3)
    rng = np.random.default_rng(22)
    shared = rng.standard_normal(4000)
    p = [2 * stats.norm.sf(np.abs(0.7 * shared + 0.714 * rng.standard_normal(4000))) for _ in "abc"]
    combined = np.array([cauchy_combination(row, [0.5, 0.3, 0.2]) for row in np.stack(p, 1)])
    assert holds(list(combined <= 0.01), 0.01)


@pytest.mark.parametrize(("p", "method"), [([0.5], "bonferroni"), ([1.5], "holm")])
def test_wrong_p_values_and_methods_are_refused(p, method):
    with pytest.raises(ValueError, match="should be"):
        adjust(p, method)


# All of them


@pytest.mark.parametrize("name", TESTS)
def test_every_test_takes_tables_and_answers_alike(name):
    rng = np.random.default_rng(23)
    n = 120
    frame = pd.DataFrame(rng.standard_normal((n, 3)), columns=["a", "b", "c"])
    frame["date"], frame["flat"] = weeks(n), 1.0
    frame["b"] += 2 * frame["a"]
    table = node_table(frame, ["a", "b", "c", "flat", "season"], season=["season"], date="date")
    one = independence(table, "a", "b", ["c"], test=name)
    again = independence(table, "a", "b", ["c"], test=name)
    assert one == again or (np.isnan(one.interval[0]) and one.p_value == again.p_value)
    assert one.p_value < 0.01
    assert one.test == name
    assert 0 < one.n <= n
    assert 0 < one.effective_sample_size <= n
    assert name in str(one)
    for x, y in itertools.permutations(["a", "flat"]):
        nothing = independence(table, x, y, test=name)
        assert nothing.p_value == 1.0
        assert "no variation" in str(nothing)
    if name != "chi_squared":
        assert 0.0 <= independence(table, "season", "c", test=name).p_value <= 1.0


def test_units_and_direction_do_not_matter():
    rng = np.random.default_rng(24)
    x, z = rng.standard_normal((2, 120, 1))
    y = x + z + rng.standard_normal((120, 1))
    one = generalised_covariance(x, y, z)
    other = generalised_covariance(1e6 * y - 3e6, -1e-3 * x, 100.0 * z)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-6)
    assert other.effect == pytest.approx(-one.effect, rel=1e-9)


def test_names_and_lengths_are_checked():
    with pytest.raises(ValueError, match="gcm, partial_correlation"):
        independence_test("hsic")
    with pytest.raises(ValueError, match=r"dates.*120.*\b3\b"):
        generalised_covariance(NONE[:, :0] + np.ones((120, 1)), NONE, NONE, dates=weeks(3))
    assert independence_test(chi_squared) is chi_squared
