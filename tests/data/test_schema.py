"""MMMData: its contents, and data derived from it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from mmm_bayes.data.collinearity import variance_inflation
from mmm_bayes.data.datasets import load_dataset
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError
from tests.data import tables


@pytest.fixture(scope="module")
def national() -> MMMData:
    return MMMData.from_dataframe(tables.national(), **tables.NATIONAL)


@pytest.fixture(scope="module")
def with_spend() -> MMMData:
    return MMMData.from_dataframe(tables.with_spend(), **tables.WITH_SPEND)


@pytest.fixture(scope="module")
def geo() -> MMMData:
    return MMMData.from_dataframe(tables.geo(), **tables.GEO)


def test_dimensions_and_attributes(national: MMMData, geo: MMMData) -> None:
    assert dict(geo.ds.sizes) == {"geo": 3, "date": 12, "channel": 2, "control": 1}
    assert national.geos == ["national"]
    assert (national.is_national, geo.is_national) == (True, False)
    assert (national.has_population, geo.has_population) == (False, True)
    assert geo.channels == ["tv", "search"]
    assert geo.controls == ["price"]
    assert geo.ds.attrs["target"] == "sales"
    assert geo.ds.attrs["time_step"] == "W-MON"
    for name in set(geo.ds.data_vars) - {"paid"}:
        assert geo.ds[name].dtype == np.float64


def test_without_controls() -> None:
    data = MMMData.from_dataframe(tables.national(), **{**tables.NATIONAL, "controls": []})
    assert data.ds["controls"].shape == (1, 30, 0)
    assert data.controls == []


def test_netcdf_round_trip(geo: MMMData, tmp_path) -> None:
    bare = MMMData.from_dataframe(tables.geo(), **{**tables.GEO, "controls": []})
    for data in (geo, bare):
        data.ds.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
        with xr.open_dataset(tmp_path / "d.nc", engine="h5netcdf") as ds:
            back = MMMData(ds.load())
        assert back.roles == data.roles
        assert back.time_step == data.time_step
        pd.testing.assert_frame_equal(back.to_frame(), data.to_frame())


def test_a_foreign_dataset_is_refused(geo: MMMData) -> None:
    with pytest.raises(ValueError, match=r"'target'.*'geo', 'date'"):
        MMMData(geo.ds.drop_vars("target"))
    with pytest.raises(ValueError, match="attribute 'roles'"):
        MMMData(geo.ds.drop_attrs())


def test_subset(geo: MMMData) -> None:
    part = geo.subset(slice("2021-02-01", None))
    assert part.num_dates == 8
    assert part.time_step == geo.time_step
    assert geo.subset([geo.dates[3]]).dates[0] == geo.dates[3]
    assert geo.num_dates == 12
    with pytest.raises(ValueError, match=r"2021-01-04 to 2021-03-22"):
        geo.subset(slice("2030", None))


def test_scaled_spend(with_spend: MMMData) -> None:
    before = with_spend.ds.copy(deep=True)
    dates = slice("2021-03-01", "2021-04-30")
    data = with_spend.with_spend("tv", scale=1.5, dates=dates)
    for name in ("spend", "exposure"):
        ratio = (data.ds[name] / with_spend.ds[name]).sel(geo="national")
        inside = ratio.sel(channel="tv", date=dates)
        np.testing.assert_allclose(inside, 1.5, rtol=1e-15)
        assert int((ratio != 1).sum()) == inside.size
    assert with_spend.ds.identical(before)


def test_set_spend_keeps_the_price_of_media(with_spend: MMMData) -> None:
    data = with_spend.with_spend("tv", value=7.0, dates=[with_spend.dates[2]])
    old, new = (d.ds.sel(channel="tv", geo="national").isel(date=2) for d in (with_spend, data))
    assert float(new["spend"]) == 7.0
    assert float(new["exposure"] / new["spend"]) == pytest.approx(
        float(old["exposure"] / old["spend"]), rel=1e-14
    )


def test_set_spend_where_there_was_none(with_spend: MMMData) -> None:
    off = with_spend.with_spend("tv", scale=0.0, dates=[with_spend.dates[4]])
    data = off.with_spend("tv", value=3.0)
    row = data.ds.sel(channel="tv", geo="national").isel(date=4)
    totals = off.ds.sel(channel="tv").sum()
    assert float(row["exposure"]) == pytest.approx(
        3.0 * float(totals["exposure"] / totals["spend"]), rel=1e-12
    )


def test_set_spend_by_geo_and_date(geo: MMMData) -> None:
    plan = np.arange(36.0).reshape(3, 12)
    data = geo.with_spend("search", value=plan)
    np.testing.assert_array_equal(data.ds["spend"].sel(channel="search"), plan)
    # Spend is the exposure here, and stays so.
    np.testing.assert_allclose(data.ds["exposure"], data.ds["spend"], rtol=1e-14)


def test_wrong_changes_of_spend(with_spend: MMMData) -> None:
    with pytest.raises(ValueError, match=r"'tw'.*'tv'"):
        with_spend.with_spend("tw", scale=1.0)
    with pytest.raises(ValueError, match=r"scale=.*value="):
        with_spend.with_spend("tv")
    with pytest.raises(ValueError, match=r"scale.*-1"):
        with_spend.with_spend("tv", scale=-1.0)
    unpaid = MMMData.from_dataframe(
        tables.with_spend(),
        **{**tables.WITH_SPEND, "spend": {"tv": "tv_cost", "search": None}},
    )
    with pytest.raises(ValueError, match=r"'search'.*scale="):
        unpaid.with_spend("search", value=1.0)
    halved = unpaid.with_spend("search", scale=0.5)
    assert float(halved.ds["exposure"].sel(channel="search").sum()) == pytest.approx(
        float(unpaid.ds["exposure"].sel(channel="search").sum()) / 2
    )


def test_summary(national: MMMData) -> None:
    frame, summary = tables.national(), national.summary()
    assert summary["spend"].to_dict() == pytest.approx(frame[["tv", "search"]].sum().to_dict())
    assert summary["spend_share"].sum() == pytest.approx(1)
    assert summary["nonzero"].tolist() == [30, 30]
    expected = frame[["tv", "search"]].corrwith(frame["sales"])
    np.testing.assert_allclose(summary["correlation"], expected, rtol=1e-10)
    # With two channels VIF = 1 / (1 - r**2) for both.
    r = frame["tv"].corr(frame["search"])
    np.testing.assert_allclose(summary["vif"], 1 / (1 - r**2), rtol=1e-10)


def test_variance_inflation_is_the_inverse_correlation() -> None:
    x = np.random.default_rng(0).standard_normal((200, 4)) @ np.triu(np.ones((4, 4)))
    x -= x.mean(0)
    expected = np.diag(np.linalg.inv(np.corrcoef(x.T)))
    np.testing.assert_allclose(variance_inflation(x), expected, rtol=1e-9)
    with_copy = np.column_stack([x, x[:, 0] + x[:, 1], np.zeros(200)])
    factors = variance_inflation(with_copy)
    assert np.isinf(factors[[0, 1, 4]]).all()
    assert np.isfinite(factors[[2, 3]]).all()
    assert np.isnan(factors[5])


def test_shown(national: MMMData, geo: MMMData) -> None:
    assert "national, 30 dates, 2021-01-04 to 2021-07-26 (W-MON)" in repr(national)
    assert "3 geos" in repr(geo)
    risky = MMMData.from_dataframe(
        tables.national().rename(columns={"tv": "<b>tv"}),
        **{**tables.NATIONAL, "channels": ["<b>tv", "search"]},
    )
    page = risky._repr_html_()
    assert "&lt;b&gt;tv" in page
    assert "<b>tv" not in page


def test_from_arrays_names_columns_for_the_table() -> None:
    dates = pd.date_range("2020-01-01", periods=12, freq="D")
    rng = np.random.default_rng(0)
    spend = rng.uniform(1, 2, (2, 12, 2))
    data = MMMData.from_arrays(
        dates=dates,
        target=rng.normal(size=(2, 12)),
        spend=spend,
        exposure=3 * spend,
        channels=["a", "b"],
        geos=["x", "y"],
        population=np.array([1.0, 2.0]),
        revenue_per_target=2.0,
    )
    roles = data.roles
    again = MMMData.from_dataframe(
        data.to_frame(),
        date="date",
        target="target",
        channels=roles.exposure,
        spend=roles.spend,
        geo="geo",
        population="population",
        revenue_per_target=2.0,
    )
    assert again.equals(data)


def test_dates_that_follow_a_table_of_long_ago() -> None:
    # From 1907 to the last date there is are more nanoseconds than 64 bits hold.
    data = load_dataset("lydia_pinkham")
    assert list(data.future_dates(2).year) == [1961, 1962]
    with pytest.raises(DataError, match="1,000,000 periods"):
        data.future_dates(1_000_000)
