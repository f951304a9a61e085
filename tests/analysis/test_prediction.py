"""Predictions: carry-over from the training window, dates that continue it, replicated targets."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from mmm_bayes import FitResult, MMMData
from mmm_bayes.errors import DataError
from mmm_bayes.simulate import SimulatedMMM

DRAWS = ("chain", "draw")
KEY = jax.random.key(5)
PriorFits = Callable[[str], FitResult]


def test_new_dates_continue_the_window(
    national_fit: FitResult, national_simulated: SimulatedMMM, national_future: MMMData
) -> None:
    """The last weeks of one long window are those of a short one with carry-over."""
    whole = national_fit.predict(None, national_simulated.data)["mean"]
    later = national_fit.predict(None, national_future)["mean"]
    assert later.sizes["date"] == 8
    np.testing.assert_allclose(later, whole.sel(date=later["date"]), rtol=1e-10)
    np.testing.assert_allclose(
        whole.sel(date=national_fit.data.dates), national_fit.fitted_mean(), rtol=1e-10
    )


def test_a_window_inside_training_takes_the_exposure_before_it(national_fit: FitResult) -> None:
    training = national_fit.data
    inside = training.subset(slice(training.dates[40], training.dates[59]))
    found = national_fit.predict(None, inside)["mean"]
    np.testing.assert_allclose(
        found, national_fit.fitted_mean().sel(date=found["date"]), rtol=1e-10
    )


def test_carry_over_matters(national_fit: FitResult, national_future: MMMData) -> None:
    """Without spend in the new weeks, the effect of media is carry-over, which fades."""
    silent = national_future
    for channel in silent.channels:
        silent = silent.with_spend(channel, scale=0.0)
    media = national_fit.contributions("date", data=silent).sel(component=silent.channels)
    left = media.sum("component").mean(DRAWS).values
    assert (np.diff(left) <= 0).all()
    assert left[0] > 0
    np.testing.assert_allclose(left[5:], 0.0, atol=1e-9 * left[0])  # max_lag is 6


def test_contributions_of_new_dates_sum_to_the_prediction(
    national_fit: FitResult, national_future: MMMData
) -> None:
    parts = national_fit.contributions("date", data=national_future)
    mean = national_fit.predict(None, national_future)["mean"].sum("geo")
    np.testing.assert_allclose(parts.sum("component"), mean, rtol=1e-10)


def test_a_data_frame_without_the_target_is_enough(
    national_fit: FitResult, national_future: MMMData
) -> None:
    frame = national_future.to_frame().drop(columns="sales")
    xr.testing.assert_allclose(
        national_fit.predict(None, frame), national_fit.predict(None, national_future)
    )


def test_all_problems_of_a_frame_are_told(
    national_fit: FitResult, national_future: MMMData
) -> None:
    frame = national_future.to_frame().drop(columns="price")
    frame.loc[2, "tv_spend"] = -1.0
    with pytest.raises(DataError) as caught:
        national_fit.predict(None, frame)
    assert "price" in str(caught.value)
    assert "tv_spend" in str(caught.value)


def test_dates_that_do_not_fit_on_are_refused_with_the_expected_one(
    national_fit: FitResult, national_simulated: SimulatedMMM, national_future: MMMData
) -> None:
    dates = national_simulated.data.dates
    gap = national_future.subset(slice(dates[106], None))
    with pytest.raises(ValueError, match=f"{dates[104]:%Y-%m-%d}.*{dates[106]:%Y-%m-%d}"):
        national_fit.predict(None, gap)
    hole = national_future.subset([d for d in national_future.dates if d != dates[107]])
    with pytest.raises(ValueError, match=f"{dates[107]:%Y-%m-%d}.*{dates[108]:%Y-%m-%d}"):
        national_fit.predict(None, hole)
    early = MMMData(
        national_future.ds.assign_coords(date=national_future.dates - pd.Timedelta(weeks=200))
    )
    with pytest.raises(ValueError, match=f"{dates[0]:%Y-%m-%d}"):
        national_fit.predict(None, early)


def test_other_columns_are_refused(national_fit: FitResult, geo_data: MMMData) -> None:
    with pytest.raises(ValueError, match="controls"):
        national_fit.predict(None, geo_data)
    fewer = MMMData(national_fit.data.ds.isel(channel=[1, 0, 2]))
    with pytest.raises(ValueError, match="channels"):
        national_fit.predict(None, fewer)


def test_replications_scatter_about_the_mean_with_sigma(national_fit: FitResult) -> None:
    found = national_fit.predict(KEY)
    xr.testing.assert_allclose(found["mean"], national_fit.fitted_mean(), rtol=1e-12)
    sigma = national_fit.tree["posterior"]["sigma"]
    z = ((found["target"] - found["mean"]) / sigma).values
    # Standard normal: the mean of n of them within 4/sqrt(n), the variance within 4 sqrt(2/n).
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)


def test_the_key_decides_the_replications(national_fit: FitResult) -> None:
    first, again = (national_fit.predict(KEY, max_draws=10) for _ in range(2))
    other = national_fit.predict(jax.random.key(6), max_draws=10)
    xr.testing.assert_identical(first, again)
    assert (first["target"] != other["target"]).all()
    assert list(national_fit.predict(None, max_draws=10).data_vars) == ["mean"]


def test_log_normal_replications_have_the_fitted_mean(prior_fits: PriorFits) -> None:
    fit = prior_fits("geo_log")
    found = fit.predict(KEY)
    sigma = fit.tree["posterior"]["sigma"]
    ratio = np.log(found["target"] / found["mean"])
    z = ((ratio + 0.5 * sigma**2) / sigma).values
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)


def test_student_t_replications_have_its_tails(prior_fits: PriorFits) -> None:
    fit = prior_fits("student_t")
    found = fit.predict(KEY)
    z = ((found["target"] - found["mean"]) / fit.tree["posterior"]["sigma"]).values[0]
    placed = stats.t.cdf(z, fit.tree["posterior"]["nu"].values[0][:, None, None])
    assert stats.kstest(placed.ravel(), "uniform").pvalue > 0.001


def test_count_replications_are_counts(prior_fits: PriorFits) -> None:
    fit = prior_fits("negative_binomial")
    found = fit.predict(KEY)
    assert (found["target"] >= 0).all()
    assert (found["target"] % 1 == 0).all()
    dispersion = fit.tree["posterior"]["dispersion"]
    spread = np.sqrt(found["mean"] + dispersion**2 * found["mean"] ** 2)
    z = ((found["target"] - found["mean"]) / spread).values
    assert abs(z.mean()) < 4 / np.sqrt(z.size)


def test_posterior_predictive_of_the_tree_agrees(national_fit: FitResult) -> None:
    """The fit's own replications and those of predict are draws of one distribution."""
    stored = national_fit.tree["posterior_predictive"]["target"]
    fresh = national_fit.predict(KEY)["target"]
    error = np.sqrt((stored.var(DRAWS) + fresh.var(DRAWS)) / 300)
    z = (stored.mean(DRAWS) - fresh.mean(DRAWS)) / error
    assert float(np.abs(z).max()) < 4.5  # 104 dates: the largest of so many normals stays below
