"""Media units given as money, money in two units, and national media repeated over geos."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.errors import DataError, DataWarning


def weekly(num_weeks=52, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"week": pd.date_range("2023-01-02", periods=num_weeks, freq="W-MON")})
    frame["tv"] = rng.gamma(2, 50, num_weeks)
    frame["display_impressions"] = rng.gamma(3, 2e6, num_weeks)
    frame["display_cost"] = frame["display_impressions"] * 4e-6
    frame["revenue"] = 1000 + 2 * frame["tv"] + rng.normal(0, 40, num_weeks)
    return frame


def load(frame, channels=("tv",), **more):
    roles = dict(date="week", target="revenue", channels=list(channels)) | more
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return mb.MMMData.from_dataframe(frame, **roles)


def checks(data):
    return {f.check: f for f in data.findings}


def test_impressions_without_spend_are_named():
    found = checks(load(weekly(), ["tv", "display_impressions"]))
    assert found["exposure_as_spend"].where == "display_impressions"
    assert found["spend_above_target"].where == "display_impressions"
    assert "spend=" in found["exposure_as_spend"].remedy
    paid = {"tv": "tv", "display_impressions": "display_cost"}
    assert not checks(load(weekly(), ["tv", "display_impressions"], spend=paid))


@pytest.mark.parametrize("name", ["Clicks", "tv_grps", "GRP", "paidImpressions", "fb impr."])
def test_names_of_media_units(name):
    frame = weekly().rename(columns={"tv": name})
    assert "exposure_as_spend" in checks(load(frame, [name]))


@pytest.mark.parametrize("name", ["tv", "clickhouse", "reachout_spend", "grpc", "review_sites"])
def test_other_names_are_left_alone(name):
    frame = weekly().rename(columns={"tv": name})
    assert not checks(load(frame, [name]))


def test_revenue_in_thousands_is_seen_at_loading():
    frame = weekly()
    found = checks(load(frame.assign(revenue=frame["revenue"] / 1000)))
    finding = found["spend_above_target"]
    ratio = 1000 * frame["tv"].sum() / frame["revenue"].sum()
    assert finding.value == pytest.approx(ratio)
    assert "revenue_per_target" in finding.remedy
    # A target in orders of 1,000 each is fine.
    worth = load(frame.assign(revenue=frame["revenue"] / 1000), revenue_per_target=1000.0)
    assert not checks(worth)


def geo_table(num_geos=3):
    rng = np.random.default_rng(1)
    frames = [
        weekly(seed=g).assign(geo=f"g{g}", population=1e6 * (g + 1), search=rng.gamma(2, 20, 52))
        for g in range(num_geos)
    ]
    return pd.concat([f.assign(tv=frames[0]["tv"]) for f in frames], ignore_index=True)


def test_national_media_repeated_over_geos_are_refused_with_a_remedy_that_works():
    frame = geo_table()
    roles = dict(channels=["tv", "search"], geo="geo", population="population")
    with pytest.raises(DataError) as caught:
        load(frame, **roles)
    errors = [f for f in caught.value.findings if f.severity == "error"]
    assert [(f.check, f.where) for f in errors] == [("repeated_over_geos", "tv")]
    code = errors[0].remedy.split("by population, ")[1].split(", or give")[0]
    national = frame.loc[frame["geo"] == "g0", "tv"].sum()
    exec(code, {"df": frame})  # the line that the remedy says to type
    data = load(frame, **roles)
    assert float(data.ds["spend"].sel(channel="tv").sum()) == pytest.approx(national)


def test_a_table_copied_for_every_geo_is_warned_of():
    data = load(geo_table(), geo="geo")
    assert checks(data)["repeated_over_geos"].severity == "warning"


def test_rating_points_repeated_over_geos_are_exposure_without_population():
    frame = geo_table().assign(tv_cost=lambda f: f["tv"] * f["population"] / 1e6)
    roles = dict(channels=["tv", "search"], geo="geo", spend={"tv": "tv_cost", "search": "search"})
    assert "repeated_over_geos" not in checks(load(frame, **roles))
    with pytest.raises(DataError):
        load(frame, **roles, population="population")
