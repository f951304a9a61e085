"""Labels are text, read as the table reads them, wherever they enter."""

import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.data.labels import known_label, label_text, natural_order, read_labels
from mmm_bayes.data.lift_tests import read_lift_tests
from mmm_bayes.data.panel_load import load_shops
from mmm_bayes.errors import DataError

CODES = (501, 602, 803)


def dma_table(dtype=int, codes=CODES, num_weeks=40):
    rng = np.random.default_rng(0)
    weeks = pd.date_range("2024-01-01", periods=num_weeks, freq="W-MON")
    table = pd.DataFrame(
        {
            "week": np.tile(weeks, len(codes)),
            "dma": np.repeat(codes, num_weeks),
            "tv": rng.gamma(2, 5, len(codes) * num_weeks),
        }
    )
    table["revenue"] = 100 + table["tv"] + rng.normal(0, 5, len(table))
    return table.astype({"dma": dtype})


def load(table, **more):
    roles = dict(date="week", target="revenue", channels=["tv"], geo="dma")
    return mb.MMMData.from_dataframe(table, **roles | more)


@pytest.mark.parametrize("dtype", [int, float, str, "category", "Int64", "string", object])
def test_number_labels_of_any_dtype_are_whole_numbers(dtype):
    assert load(dma_table(dtype)).geos == ["501", "602", "803"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(501, "501"), (501.0, "501"), (np.float32(501), "501"), (1.5, "1.5"), (" a ", "a")],
)
def test_label_is_the_text_of_the_cell(value, text):
    assert label_text(value) == text


def test_labels_number_rows_in_natural_order():
    found = read_labels(pd.Series(["geo_10", "geo_2", None, "geo_10 "]))
    assert found.names == ("geo_2", "geo_10")
    assert found.codes.tolist() == [1, 0, -1, 1]
    assert natural_order(["b", "10", "9", "a2", "a10"]) == ["9", "10", "a2", "a10", "b"]


def test_code_with_leading_zero_is_found_by_its_number():
    assert known_label("501.0", ["0501", "0602"]) == "0501"
    assert known_label("501", ["501", "0501"]) == "501"
    assert known_label("7", ["07", "007"]) == "7"  # two readings: neither
    assert known_label("a", ["b"]) == "a"


def test_national_row_of_lift_tests_leaves_codes_as_they_are():
    data = load(dma_table())
    tests = pd.DataFrame(
        {
            "channel": "tv",
            "start": "2024-02-05",
            "end": "2024-02-25",
            "lift": 9.0,
            "standard_error": 3.0,
            "geo": [501, np.nan],
        }
    )
    one, national = read_lift_tests(tests, channels=data.channels, geos=data.geos, dates=data.dates)
    assert one.geos == ("501",)
    assert national.geos == ()


def test_population_and_new_tables_use_the_labels_of_the_table():
    table = dma_table(str, codes=("0501", "0602"))
    data = load(table, population=pd.Series([1e6, 2e6], index=[501.0, 602.0]))
    assert data.ds["population"].values.tolist() == [1e6, 2e6]
    later = table.assign(dma=table["dma"].astype(int), week=table["week"] + pd.Timedelta(days=280))
    assert data.with_table(later).geos == ["0501", "0602"]


def test_shops_named_by_numbers_next_to_empty_cells():
    table = pd.DataFrame(
        {"shop_id": [7, np.nan], "ds": [20210130, 20210131], "x0": 1.0, "gmv": 2.0}
    )
    with pytest.raises(DataError) as caught:
        load_shops(table)
    assert [f.check for f in caught.value.findings] == ["missing_shop"]
    assert load_shops(table.iloc[:1]).shops == ("7",)


def test_absent_geo_is_not_taken_for_a_misspelling_of_a_present_one():
    table = dma_table(str, codes=("north", "south"))
    with pytest.raises(DataError) as caught:
        load(table).with_table(table[table["dma"] == "north"])
    finding = next(f for f in caught.value.findings if f.check == "missing_geo")
    assert finding.geo == "south"
    assert "Did you mean" not in finding.message
    with pytest.raises(DataError) as caught:
        load(table).with_table(table.replace({"dma": {"south": "Soth"}}))
    assert "Did you mean 'Soth'?" in str(caught.value)


def test_many_ragged_geos_are_summed_up():
    table = dma_table(str, codes=[f"g{k}" for k in range(150)], num_weeks=8)
    with pytest.raises(DataError) as caught:
        load(table.drop(index=table.index[8::8]))
    ragged = [f for f in caught.value.findings if f.check == "ragged_panel"]
    assert len(ragged) == 101
    assert ragged[0].geo == "g1"
    assert ragged[0].dates == ("2024-01-01",)
    assert "49 more" in ragged[-1].message
