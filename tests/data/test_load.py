"""Tables and files give the same numbers back."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from mmm_bayes.data.load import widen
from mmm_bayes.data.schema import MMMData
from mmm_bayes.data.table_spec import TableSpec
from mmm_bayes.errors import SettingsError
from mmm_bayes.runtime.findings import DataError, DataWarning
from tests.data import tables

BASES = {
    "national": (tables.national, tables.NATIONAL),
    "with_spend": (tables.with_spend, tables.WITH_SPEND),
    "geo": (tables.geo, tables.GEO),
}


@pytest.fixture(params=BASES)
def base(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, dict]:
    make, roles = BASES[request.param]
    return make(), roles


def test_round_trip(base) -> None:
    frame, roles = base
    data = MMMData.from_dataframe(frame, **roles)
    back = data.to_frame()
    named = list(back.columns)
    assert set(named) <= set(frame.columns)
    pd.testing.assert_frame_equal(
        back, frame[named], check_dtype=False, check_exact=True, check_index_type=False
    )
    assert MMMData.from_dataframe(back, **roles).equals(data)


def test_order_of_rows_and_other_columns_do_not_matter(base) -> None:
    frame, roles = base
    shuffled = frame.sample(frac=1, random_state=3).assign(remark="?")
    assert MMMData.from_dataframe(shuffled, **roles).equals(MMMData.from_dataframe(frame, **roles))


def test_the_table_is_left_alone(base) -> None:
    frame, roles = base
    before = frame.copy(deep=True)
    MMMData.from_dataframe(frame, **roles)
    pd.testing.assert_frame_equal(frame, before)


def test_parquet(base, tmp_path) -> None:
    pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
    frame, roles = base
    frame.to_parquet(tmp_path / "t.parquet")
    expected = MMMData.from_dataframe(frame, **roles)
    assert MMMData.from_parquet(tmp_path / "t.parquet", **roles).equals(expected)


def test_parquet_without_its_reader(tmp_path, monkeypatch) -> None:
    def absent(path):
        raise ImportError("Unable to find a usable engine")

    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pd, "read_parquet", absent)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        MMMData.from_parquet(tmp_path / "t.parquet", **tables.NATIONAL)


def test_csv(base, tmp_path) -> None:
    frame, roles = base
    frame.to_csv(tmp_path / "t.csv", index=False)
    expected = MMMData.from_dataframe(frame, **roles)
    from_csv = MMMData.from_csv(tmp_path / "t.csv", **roles)
    for name in expected.ds.data_vars:
        np.testing.assert_array_equal(from_csv.ds[name], expected.ds[name])


def test_values_land_in_their_cells() -> None:
    frame = tables.geo()
    data = MMMData.from_dataframe(frame, **tables.GEO)
    assert data.geos == ["north", "south", "west"]
    assert data.ds["population"].values.tolist() == [1e5, 3e5, 2e5]
    for _, row in frame.iterrows():
        cell = data.ds.sel(geo=row["region"], date=row["week"])
        assert float(cell["target"]) == row["sales"]
        assert float(cell["spend"].sel(channel="search")) == row["search"]
        assert float(cell["exposure"].sel(channel="tv")) == row["tv"]
        assert float(cell["controls"].sel(control="price")) == row["price"]
        assert float(cell["revenue_per_target"]) == 1.0


def test_spend_by_list_by_name_and_by_exposure_column() -> None:
    frame, roles = tables.with_spend(), dict(tables.WITH_SPEND)
    by_name = MMMData.from_dataframe(frame, **roles)
    by_list = MMMData.from_dataframe(frame, **{**roles, "spend": ["tv_cost", "search_cost"]})
    by_column = MMMData.from_dataframe(
        frame, **{**roles, "spend": {"tv_grp": "tv_cost", "search_clicks": "search_cost"}}
    )
    assert by_list.equals(by_name)
    assert by_column.equals(by_name)
    assert float(by_name.ds["spend"].sel(channel="tv").sum()) == frame["tv_cost"].sum()


def test_unpaid_media() -> None:
    spend = {"tv": "tv_cost", "search": None}
    data = MMMData.from_dataframe(tables.with_spend(), **{**tables.WITH_SPEND, "spend": spend})
    assert data.ds["paid"].values.tolist() == [True, False]
    assert float(data.ds["spend"].sel(channel="search").sum()) == 0
    assert float(data.ds["exposure"].sel(channel="search").min()) > 0
    assert "search_cost" not in data.to_frame()


def test_population_by_dict_or_series() -> None:
    people = {"west": 2e5, "north": 1e5, "south": 3e5}
    for given in (people, pd.Series(people)):
        data = MMMData.from_dataframe(tables.geo(), **{**tables.GEO, "population": given})
        assert data.ds["population"].values.tolist() == [1e5, 3e5, 2e5]


def test_numbered_geos_keep_their_order() -> None:
    names = {"north": 10, "south": 2, "west": 1}
    frame = tables.geo().assign(region=lambda df: df["region"].map(names))
    assert MMMData.from_dataframe(frame, **tables.GEO).geos == ["1", "2", "10"]


def test_booleans_and_numbers_as_text() -> None:
    frame = tables.national()
    frame["price"] = frame["price"] > 10
    frame["tv"] = frame["tv"].round(3).astype(str)
    data = MMMData.from_dataframe(frame, **tables.NATIONAL)
    assert set(data.ds["controls"].values.ravel()) == {0.0, 1.0}
    np.testing.assert_array_equal(data.ds["spend"].values[0, :, 0], frame["tv"].astype(float))


def test_dates_and_geos_in_the_index() -> None:
    frame = tables.geo()
    data = MMMData.from_dataframe(frame.set_index(["region", "week"]), **tables.GEO)
    assert data.equals(MMMData.from_dataframe(frame, **tables.GEO))


def test_long_table() -> None:
    frame = tables.geo()
    long = frame.melt(["region", "week", "people"], var_name="what", value_name="amount")
    data = MMMData.from_long(
        long, variable="what", value="amount", **{**tables.GEO, "population": None}
    )
    expected = MMMData.from_dataframe(frame, **{**tables.GEO, "population": None})
    assert data.equals(expected)


def test_long_table_sums_finer_rows_and_keeps_gaps() -> None:
    long = pd.DataFrame(
        {"t": [1, 1, 1, 2], "k": ["a", "a", "b", "a"], "v": [1.0, 2.0, 5.0, np.nan]}
    )
    wide = widen(long, keys=["t"], variable="k", value="v")
    assert wide.loc[0].to_dict() == {"t": 1, "a": 3.0, "b": 5.0}
    assert wide.loc[1, ["a", "b"]].isna().all()
    with pytest.raises(DataError, match="'kind'") as caught:
        widen(long, keys=["t"], variable="kind", value="v")
    assert [finding.check for finding in caught.value.findings] == ["missing_column"]


def test_warning_points_at_the_caller() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MMMData.from_dataframe(tables.national().head(10), **tables.NATIONAL)
    assert [w.category for w in caught] == [DataWarning]
    assert caught[0].filename == __file__


def test_future_table() -> None:
    data = MMMData.from_dataframe(tables.geo(), **tables.GEO)
    dates = data.future_dates(2)
    frame = pd.DataFrame(
        {"week": np.tile(dates, 3), "region": np.repeat(["west", "north", "south"], 2)}
    ).assign(tv=0.0, search=1.0, price=10.0, people=lambda df: df["region"].map(
        {"north": 1e5, "south": 3e5, "west": 2e5}))  # fmt: skip
    future = data.with_table(frame)
    assert (future.geos, list(future.dates)) == (data.geos, list(dates))
    assert not future.has_target
    assert future.time_step == data.time_step
    with pytest.raises(DataError) as caught:
        data.with_table(frame.replace("west", "wset"))
    named = [(finding.check, finding.geo) for finding in caught.value.findings]
    assert named == [("missing_geo", "west"), ("unknown_geo", "wset")]
    assert "'wset'" in str(caught.value.findings[0])
    one = data.with_table(frame[frame["week"] == dates[0]])
    assert one.time_step.n == data.time_step.n


def test_future_table_continues_numbers_given_by_argument() -> None:
    roles = {**tables.GEO, "population": {"north": 1, "south": 2, "west": 3}}
    data = MMMData.from_dataframe(tables.geo(), **roles, revenue_per_target=4.0)
    again = data.with_table(tables.geo())
    assert again.equals(data)


def test_columns_of_a_long_file_are_given_together(tmp_path) -> None:
    path = tmp_path / "long.csv"
    tables.national().melt("week").to_csv(path, index=False)
    with pytest.raises(TypeError, match="only variable= was given"):
        MMMData.from_csv(path, variable="variable", **tables.NATIONAL)
    with pytest.raises(TypeError, match="only value= was given"):
        MMMData.from_csv(path, value="value", **tables.NATIONAL)


SPEC = {"file": "t.csv", "date": "week", "target": "sales", "channels": ["tv", "search"]}


def test_table_spec(tmp_path) -> None:
    tables.national().to_csv(tmp_path / "t.csv", index=False)
    data = TableSpec(**SPEC, controls=["price"]).load(tmp_path)
    np.testing.assert_array_equal(data.ds["target"].values[0], tables.national()["sales"])
    assert TableSpec(dataset="lydia_pinkham").load().num_dates == 54


def test_table_spec_for_unpaid_and_long(tmp_path) -> None:
    tables.with_spend().melt("week").to_csv(tmp_path / "t.csv", index=False)
    spec = TableSpec(
        **{**SPEC, "channels": {"tv": "tv_grp", "search": "search_clicks"}},
        spend={"tv": "tv_cost", "search": ""},
        variable="variable",
        value="value",
    )
    data = spec.load(tmp_path)
    assert data.ds["paid"].values.tolist() == [True, False]
    assert TableSpec(**spec.model_dump()) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chanels": ["tv"]}, r"chanels\].*'channels'"),
        ({"dataset": "lydia_pinkham"}, "dataset.*file.*both"),
        ({"file": None}, "dataset.*file.*neither"),
        ({"channels": []}, "lacks channels"),
        ({"variable": "name"}, "both variable and value"),
        ({"min_rows": 0}, "greater than or equal to 1"),
    ],
)
def test_table_spec_refuses(changes: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TableSpec(**{**SPEC, **changes})


def test_table_spec_of_a_bundled_set_has_no_columns() -> None:
    with pytest.raises(SettingsError, match="target"):
        TableSpec(dataset="lydia_pinkham", target="sales")


def test_table_spec_is_frozen() -> None:
    with pytest.raises(SettingsError, match="frozen"):
        TableSpec(**SPEC).target = "y"  # type: ignore[misc]
