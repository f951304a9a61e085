"""Figures of validations: what they show, from tables made by hand."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from mmm_bayes.present.plots import validation as plots


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    dates = pd.date_range("2024-01-01", periods=20, freq="W-MON")
    observed = 100 + rng.standard_normal(20)
    return pd.DataFrame(
        {
            "fold": np.repeat([1, 2], 10),
            "date": dates,
            "step": np.tile(np.arange(1, 11), 2),
            "observed": observed,
            "median": 100.0,
            "lower_50": 99.3,
            "upper_50": 100.7,
            "lower_90": 98.4,
            "upper_90": 101.6,
            "pit": rng.random(20),
        }
    )


def test_forecasts_lie_on_the_observed_series(table: pd.DataFrame):
    whole = xr.DataArray(
        np.arange(30.0), {"date": pd.date_range("2023-10-23", periods=30, freq="W-MON")}
    )
    figure = plots.plot_rolling_forecasts(table, whole, target="sales", period="week")
    (ax,) = figure.axes
    assert ax.get_ylabel() == "sales per week"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), whole)
    medians = [line for line in ax.lines if len(line.get_xdata()) == 10]
    assert len(medians) == 2
    assert len(ax.collections) == 4  # two bands a fold


def test_scores_by_step_show_the_naive_forecast_and_nominal_coverage():
    summary = pd.DataFrame(
        {"n": 5, "crps": [1.0, 2.0], "crps_naive": [3.0, 3.5], "coverage_50": [0.4, 0.6],
         "coverage_90": [1.0, 0.8]}, index=pd.Index([1, 2], name="step"),
    )  # fmt: skip
    figure = plots.plot_scores_by_step(summary, target="sales", period="week")
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[1].get_ydata(), [3.0, 3.5])
    assert left.get_xlabel() == "weeks ahead"
    drawn = [list(line.get_ydata()) for line in right.lines]
    assert [1.0, 0.8] in drawn
    assert any(set(values) == {0.9} for values in drawn)


def test_roas_have_a_panel_a_channel():
    index = pd.MultiIndex.from_product([[1, 2, 3], ["tv", "us$_web"]], names=["fold", "channel"])
    roas = pd.DataFrame({"median": 1.0, "lower": 0.5, "upper": 2.0}, index=index)
    figure = plots.plot_roas_over_folds(roas)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["tv", "us$_web"]


def test_calibration_shows_places_and_their_distribution(table: pd.DataFrame):
    left, right = plots.plot_calibration(table).axes
    heights = [
        patch.get_height() * patch.get_width() for patch in left.patches if patch.get_width() < 0.9
    ]
    assert sum(heights) == pytest.approx(1.0)
    np.testing.assert_array_equal(right.lines[1].get_xdata(), np.sort(table["pit"]))


def test_a_forecast_follows_what_was_observed():
    dates = pd.date_range("2024-01-01", periods=6, freq="W-MON")
    summary = pd.DataFrame(
        {"median": 5.0, "lower": 1.0, "upper": 9.0, "expected_lower": 4.0, "expected_upper": 6.0},
        index=pd.Index(dates[4:], name="date"),
    )
    observed = xr.DataArray(np.ones(4), {"date": dates[:4]})
    (ax,) = plots.plot_forecast(summary, observed, target="sales", period="week").axes
    assert ax.get_title(loc="left") == "Forecast of sales"
    assert len(ax.collections) == 2


@pytest.mark.parametrize("score", ["elpd_diff", "crps_diff"])
def test_models_stand_in_the_order_of_their_scores(score: str):
    names = ["best", "second", "third"]
    table = pd.DataFrame({score: [0.0, -1.0, -2.0], "dse": [0.0, 0.5, np.nan]}, index=names)
    index = pd.MultiIndex.from_product([names, ["tv", "radio"]], names=["model", "channel"])
    roas = pd.DataFrame({"median": np.arange(1.0, 7.0), "lower": 0.5, "upper": 8.0}, index=index)
    left, right = plots.plot_comparison(table, roas).axes
    assert [label.get_text() for label in left.get_yticklabels()] == names
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the best on top
    assert right.get_title(loc="left").startswith("ROAS")
    assert not plt.get_fignums()
