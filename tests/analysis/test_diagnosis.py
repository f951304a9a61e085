"""Diagnostics of a fitted model: each fires when it should, and only then."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from mmm_bayes import FitResult, MMMData
from mmm_bayes.analysis import diagnosis
from mmm_bayes.analysis.model_thresholds import ModelThresholds
from mmm_bayes.analysis.predictive import autocorrelation, residuals
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.findings import Finding

DRAWS = ("chain", "draw")
PriorFits = Callable[[str], FitResult]
Change = Callable[[xr.Dataset], xr.Dataset]


def _changed(fit: FitResult, *, target: np.ndarray | None = None, **groups: Change) -> Fitted:
    """A copy of a fit with other draws in some groups, or another target."""
    tree = fit.tree.copy(deep=True)
    for name, change in groups.items():
        attrs = tree[name].attrs
        tree[name] = xr.DataTree(change(tree[name].to_dataset()).assign_attrs(attrs))
    data = fit.data
    if target is not None:
        data = MMMData(data.ds.assign(target=data.ds["target"].copy(data=target)))
    return Fitted(fit.spec, data, tree)


def _times(name: str, factor: Any) -> Change:
    return lambda ds: ds.assign({name: ds[name] * factor})


def _only(findings: list[Finding], check: str) -> Finding:
    assert [finding.check for finding in findings] == [check], findings
    assert findings[0].remedy
    return findings[0]


def test_a_sound_fit_has_no_findings_of_the_model(national_fit: FitResult) -> None:
    fitted = national_fit._fitted
    assert diagnosis.check_baseline(fitted) == []
    assert diagnosis.check_residuals(fitted) == []
    assert diagnosis.check_coverage(fitted) == []
    assert diagnosis.check_approximation(fitted) == []
    assert {f.check for f in diagnosis.check_returns(fitted)} <= {"uncertain_roas"}


def test_negative_baseline_in_total_fails(national_fit: FitResult) -> None:
    below = _changed(national_fit, posterior=_times("intercept", -1.0))
    found = _only(diagnosis.check_baseline(below), "negative_baseline")
    assert found.severity == "error"
    assert found.value == 1.0
    assert f"{found.value:.0%}" in found.message


def test_negative_baseline_on_some_dates_asks_for_a_look(national_fit: FitResult) -> None:
    """A steep trend takes the first dates below zero, not the total."""
    level = national_fit.tree["posterior"]["intercept"].mean().item()

    def steep(ds: xr.Dataset) -> xr.Dataset:
        return ds.assign(trend_coef=ds["trend_coef"] + 4.0 * level)

    found = _only(
        diagnosis.check_baseline(_changed(national_fit, posterior=steep)), "negative_baseline"
    )
    assert found.severity == "warning"
    assert 0.1 < found.value < 0.4  # about a quarter of a line from -level to 3 level
    assert f"{national_fit.data.dates[0]:%Y-%m-%d}" in found.message


def test_targets_that_may_be_negative_may_have_a_negative_baseline(national_fit: FitResult) -> None:
    target = national_fit.data.ds["target"].values.copy()
    target[0, 0] = -1.0
    below = _changed(national_fit, target=target, posterior=_times("intercept", -1.0))
    assert diagnosis.check_baseline(below) == []


def test_multiplicative_baselines_are_positive(prior_fits: PriorFits) -> None:
    assert diagnosis.check_baseline(prior_fits("geo_log")._fitted) == []


def test_autocorrelation_is_that_of_a_loop() -> None:
    values = np.random.default_rng(1).normal(size=(3, 40))
    found = autocorrelation(values, 3)
    for row in range(3):
        centred = values[row] - values[row].mean()
        for lag in (1, 2, 3):
            wanted = sum(centred[t] * centred[t - lag] for t in range(lag, 40)) / sum(centred**2)
            assert found[row, lag - 1] == pytest.approx(wanted, rel=1e-12)


def test_white_noise_rarely_looks_correlated() -> None:
    """Three standard errors at four lags: less than 4 * 0.3% of false alarms."""
    noise = np.random.default_rng(2).normal(size=(4000, 104))
    alarms = np.abs(autocorrelation(noise, 4)).max(-1) > 3 / np.sqrt(104)
    assert alarms.mean() < 0.012


@pytest.mark.parametrize("rho", [0.7, -0.7])
def test_correlated_residuals_are_found(national_fit: FitResult, rho: float) -> None:
    mean = national_fit.fitted_mean(max_draws=diagnosis._MAX_DRAWS).mean(DRAWS).values
    noise = np.random.default_rng(3).normal(size=mean.shape) * 0.02 * mean.mean()
    for t in range(1, mean.shape[1]):
        noise[:, t] += rho * noise[:, t - 1]
    fitted = _changed(national_fit, target=mean + noise)
    # Other targets change the scales of the draws in table units, not the scaled draws.
    np.testing.assert_allclose(residuals(fitted).values, noise, atol=1e-6 * mean.max())
    found = _only(diagnosis.check_residuals(fitted), "residual_autocorrelation")
    assert np.sign(found.value) == np.sign(rho)
    assert "trend" in found.remedy
    assert found.severity == "warning"


def test_residuals_that_geos_share_are_found(geo_fit: FitResult) -> None:
    mean = geo_fit.fitted_mean(max_draws=diagnosis._MAX_DRAWS).mean(DRAWS).values
    rng = np.random.default_rng(4)
    heads = geo_fit.data.ds["population"].values[:, None]
    scale = 0.05 * (mean / heads).mean() * heads
    for shared, told in ((0.0, False), (0.6, True)):
        common = np.sqrt(shared) * rng.normal(size=(1, mean.shape[1]))
        noise = scale * (common + np.sqrt(1 - shared) * rng.normal(size=mean.shape))
        changed = _changed(geo_fit, target=mean + noise)
        found = diagnosis.check_shared_residuals(changed)
        assert bool(found) == told
        if told:
            assert found[0].value == pytest.approx(shared, abs=0.15)


def test_residuals_of_logs_and_counts(prior_fits: PriorFits) -> None:
    fit = prior_fits("geo_log")
    log_mean = np.log(fit.fitted_mean()).mean(DRAWS)
    found = residuals(fit._fitted)
    assert float(found.mean()) == pytest.approx(0.0, abs=1e-10)
    wanted = np.log(fit.data.ds["target"]) - log_mean
    np.testing.assert_allclose(found, wanted - wanted.mean(), atol=1e-10)
    count = prior_fits("negative_binomial")
    mean = count.fitted_mean().mean(DRAWS)
    dispersion = float(count.tree["posterior"]["dispersion"].mean())
    np.testing.assert_allclose(
        residuals(count._fitted),
        (count.data.ds["target"] - mean) / np.sqrt(mean + (dispersion * mean) ** 2),
        rtol=1e-8,
    )


def test_implausible_roas_names_the_channel(national_fit: FitResult) -> None:
    factor = xr.DataArray([500.0, 1.0, 1.0], dims="channel")
    grown = _changed(national_fit, posterior=_times("beta", factor))
    found = [f for f in diagnosis.check_returns(grown) if f.check != "uncertain_roas"]
    assert [(f.check, f.where) for f in found] == [
        ("implausible_roas", "tv"),
        ("media_share", "all channels"),
    ]
    assert 'channels.tv.effect = "roas"' in found[0].remedy


def test_uncertain_roas_is_found(national_fit: FitResult) -> None:
    centre = national_fit.tree["posterior"]["beta"].mean(DRAWS)
    spread = np.exp(np.random.default_rng(4).normal(0.0, 2.0, (2, 150)))

    def vary(shift: float) -> Change:
        def change(ds: xr.Dataset) -> xr.Dataset:
            beta = ds["beta"].copy(deep=True)
            beta[..., 1] = float(centre[1]) * (spread - shift)
            return ds.assign(beta=beta)

        return change

    def of_radio(shift: float) -> Finding:
        fitted = _changed(national_fit, posterior=vary(shift))
        found = [f for f in diagnosis.check_returns(fitted) if f.where == "radio"]
        return _only(found, "uncertain_roas")

    assert of_radio(0.0).value > 30
    # A prior that allows negative effects: an interval across zero is as uninformative.
    assert of_radio(0.5).value == np.inf


def test_organic_channels_have_no_return_to_judge(prior_fits: PriorFits) -> None:
    fit = prior_fits("student_t")
    silent = MMMData(fit.data.ds.assign(spend=fit.data.ds["spend"] * 0.0))
    checks = {f.check for f in diagnosis.check_returns(Fitted(fit.spec, silent, fit.tree))}
    assert checks <= {"media_share"}


def test_influential_observations_are_named(national_fit: FitResult) -> None:
    def calm(ds: xr.Dataset) -> xr.Dataset:
        # With so few draws the tail can be heavy by chance.
        mean = ds["target"].mean(DRAWS)
        return ds.assign(target=mean + 0.2 * (ds["target"] - mean))

    assert diagnosis.check_influence(_changed(national_fit, log_likelihood=calm)) == []
    heavy = np.random.default_rng(5).standard_cauchy((2, 150, 1, 3))

    def change(ds: xr.Dataset) -> xr.Dataset:
        target = ds["target"].values.copy()
        target[..., 10:13] -= heavy**2
        return ds.assign(target=ds["target"].copy(data=target))

    found = _only(
        diagnosis.check_influence(_changed(national_fit, log_likelihood=change)),
        "influential_observations",
    )
    named = found.message.partition("): ")[2].rstrip(".").split(", ")
    assert {f"{date:%Y-%m-%d}" for date in national_fit.data.dates[10:13]} == set(named[:3])


@pytest.mark.parametrize(("k", "severity"), [(0.5, None), (0.8, "warning"), (1.3, "error")])
def test_poor_variational_fits_are_found(
    national_fit: FitResult, k: float, severity: str | None
) -> None:
    fitted = _changed(national_fit)
    fitted.tree["posterior"].attrs["pareto_k"] = k
    assert [f.severity for f in diagnosis.check_approximation(fitted)] == (
        [] if severity is None else [severity]
    )


@pytest.mark.parametrize(("factor", "advice"), [(0.2, "student_t"), (5.0, "outliers")])
def test_predictive_coverage_far_from_nominal_is_found(
    national_fit: FitResult, factor: float, advice: str
) -> None:
    mean = national_fit.fitted_mean().mean(DRAWS)

    def change(ds: xr.Dataset) -> xr.Dataset:
        return ds.assign(target=mean + factor * (ds["target"] - mean))

    # With 104 dates four standard errors reach above 100%: allow two for the upper side.
    limits = ModelThresholds(coverage=0.05)
    fitted = _changed(national_fit, posterior_predictive=change)
    if factor > 1:
        longer = Fitted(fitted.spec, fitted.data, fitted.tree)
        assert diagnosis.check_coverage(longer, limits) == []
        return
    found = _only(diagnosis.check_coverage(fitted, limits), "coverage")
    assert found.value < 0.6
    assert advice in found.remedy


def test_posterior_predictive_check_has_the_statistics_of_the_target(
    national_fit: FitResult,
) -> None:
    found = national_fit.posterior_predictive_check()
    target = national_fit.data.ds["target"].values
    assert found.loc["mean", "observed"] == pytest.approx(target.mean())
    assert found.loc["maximum", "observed"] == target.max()
    shown = found.drop(index=["coverage_50", "coverage_90"])
    assert (shown["lower"] <= shown["replicated"]).all()
    assert (shown["replicated"] <= shown["upper"]).all()
    assert shown["p_value"].between(0.005, 0.995).all()
    assert abs(found.loc["coverage_90", "observed"] - 0.9) < 0.1
    replicated = national_fit.tree["posterior_predictive"]["target"].values
    assert found.loc["sd", "replicated"] == pytest.approx(np.median(replicated.std((-2, -1))))


def test_loo_is_the_density_of_the_table(national_fit: FitResult) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # 300 draws are few for ArviZ
        found = national_fit.loo()
    assert found.pareto_k.sizes == {"geo": 1, "date": 104}
    # Between the mean log density (too good: the data were seen) and that of a normal guess.
    dense = national_fit.tree["log_likelihood"]["target"]
    in_sample = float(np.log(np.exp(dense - dense.max()).mean(DRAWS)).sum() + 104 * dense.max())
    target = national_fit.data.ds["target"].values
    naive = float(-104 * (np.log(target.std()) + 0.5 * np.log(2 * np.pi) + 0.5))
    assert naive < found.elpd < in_sample


def test_shapes_the_data_know_nothing_of_are_one_finding(national_fit: FitResult) -> None:
    """With draws of the prior in place of the posterior, everything equals its prior."""
    prior = national_fit.tree["prior"].to_dataset()
    names = ["alpha", "ec", "slope", "beta"]

    def change(ds: xr.Dataset) -> xr.Dataset:
        halves = {name: prior[name].values[0, :300].reshape(2, 150, -1) for name in names}
        return ds.assign({name: ds[name].copy(data=halves[name]) for name in names})

    report = diagnosis.diagnose(_changed(national_fit, posterior=change))
    equal = [f for f in report.findings if f.check == "prior_equals_posterior"]
    about_shape = [f for f in equal if "," in (f.where or "")]
    assert len(about_shape) == 1
    assert equal == about_shape
    assert about_shape[0].severity == "note"
    assert "ec[tv]" in about_shape[0].where
    assert "beta[search]" in about_shape[0].where


def test_diagnose_is_made_once_and_shown(national_fit: FitResult) -> None:
    fresh = FitResult(national_fit._fitted)
    assert "not judged" in repr(fresh)
    report = fresh.diagnose()
    assert fresh.diagnose() is report
    assert report.verdict in repr(fresh)
    assert report.stats["num_chains"] == 2


def test_diagnose_with_a_constant_prior(prior_fits: PriorFits) -> None:
    """Parameters that do not vary are not checked."""
    fit = prior_fits("geo")
    fixed = _changed(fit, posterior=lambda ds: ds.assign(slope=ds["slope"] * 0.0 + 1.0))
    report = diagnosis.diagnose(fixed)
    assert not [f for f in report.findings if f.where.startswith("slope")]
