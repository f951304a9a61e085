"""Text tables are read as they are written, or refused with a remedy that works when typed."""

import gzip

import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.data.number_format import NumberFormat, number_remedy, possible_formats
from mmm_bayes.data.table_spec import TableSpec
from mmm_bayes.data.text_format import TextFormat, find_encoding, find_separator
from mmm_bayes.data.text_table import read_text_table
from mmm_bayes.errors import DataError

ROLES = dict(date="week", target="revenue", channels=["tv", "search"])


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"week": pd.date_range("2022-01-03", periods=40, freq="W-MON")})
    frame["tv"] = rng.gamma(2, 5, 40).round(2)
    frame["search"] = rng.gamma(3, 900, 40).round(2)
    frame["revenue"] = (1e4 + 100 * frame["tv"] + rng.normal(0, 300, 40)).round(2)
    return frame


def european(frame, decimal=",", thousands="."):
    marks = str.maketrans(",.", thousands + decimal)
    columns = frame.select_dtypes("number").columns
    return frame.assign(**{c: [f"{v:,.2f}".translate(marks) for v in frame[c]] for c in columns})


def check_of(call):
    with pytest.raises(DataError) as caught:
        call()
    return caught.value.findings


def same(data, table):
    np.testing.assert_allclose(data.ds["target"].values[0], table["revenue"])
    np.testing.assert_allclose(data.ds["spend"].values[0], table[["tv", "search"]])


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_named_and_works_when_typed(table, tmp_path, separator):
    path = tmp_path / "table.csv"
    table.to_csv(path, sep=separator, index=False)
    (finding,) = check_of(lambda: mb.MMMData.from_csv(path, **ROLES))
    assert finding.check == finding.where == "separator"
    assert f'separator="{separator}"'.replace("\t", "\\t") in finding.remedy
    same(mb.MMMData.from_csv(path, **ROLES, separator=separator), table)
    same(TableSpec(file=str(path), **ROLES, separator=separator).load(), table)


@pytest.mark.parametrize(("decimal", "thousands"), [(",", "."), (",", " "), (".", "'"), (".", ",")])
def test_numbers_are_read_as_the_file_shows_them(table, tmp_path, decimal, thousands):
    path = tmp_path / "table.csv"
    european(table, decimal, thousands).to_csv(path, sep=";", index=False)
    same(mb.MMMData.from_csv(path, **ROLES, separator=";"), table)


def test_columns_decide_together(table, tmp_path):
    # Alone, 1.234 has two readings; a column with 3,5 leaves one.
    path = tmp_path / "table.csv"
    whole = table.assign(revenue=table["revenue"].round())
    text = european(whole).assign(revenue=[f"{v:,.0f}".replace(",", ".") for v in whole["revenue"]])
    text.to_csv(path, sep=";", index=False)
    same(mb.MMMData.from_csv(path, **ROLES, separator=";"), whole)


def test_two_readings_are_refused_with_both(table, tmp_path):
    path = tmp_path / "table.csv"
    whole = (table.set_index("week") * 100).round().clip(upper=999_999, lower=1).reset_index()
    text = whole.assign(**{c: [f"{v:,.0f}" for v in whole[c]] for c in ("tv", "search", "revenue")})
    text.to_csv(path, index=False)
    (finding,) = check_of(lambda: mb.MMMData.from_csv(path, **ROLES))
    assert finding.check == "ambiguous_number"
    assert "decimal=','" in finding.message
    assert "thousands=','" in finding.message
    same(mb.MMMData.from_csv(path, **ROLES, thousands=","), whole)
    numbers = whole.drop(columns="week")
    decimals = numbers.where(numbers < 1000, numbers / 1000)
    same(mb.MMMData.from_csv(path, **ROLES, decimal=","), decimals)
    # The same with dots and semicolons, where each number looks like one of Python.
    text.replace(",", ".", regex=True).to_csv(path, sep=";", index=False)
    (finding,) = check_of(lambda: mb.MMMData.from_csv(path, **ROLES, separator=";"))
    assert finding.check == "ambiguous_number"
    same(mb.MMMData.from_csv(path, **ROLES, separator=";", decimal=",", thousands="."), whole)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_that_show_themselves_are_read(table, tmp_path, encoding):
    path = tmp_path / "table.csv"
    table.rename(columns={"tv": "Außenwerbung"}).to_csv(path, index=False, encoding=encoding)
    roles = ROLES | {"channels": {"tv": "Außenwerbung", "search": "search"}}
    same(mb.MMMData.from_csv(path, **roles), table)


def test_windows_text_is_refused_with_its_encoding(table, tmp_path):
    path = tmp_path / "table.csv"
    table.rename(columns={"tv": "Außenwerbung"}).to_csv(path, index=False, encoding="cp1252")
    roles = ROLES | {"channels": {"tv": "Außenwerbung", "search": "search"}}
    (finding,) = check_of(lambda: mb.MMMData.from_csv(path, **roles))
    assert finding.where == "encoding"
    assert 'encoding="cp1252"' in finding.remedy
    assert "Außenwerbung" in finding.remedy
    same(mb.MMMData.from_csv(path, **roles, encoding="cp1252"), table)


def test_a_file_may_state_its_separator(table, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("sep=;\n" + european(table).to_csv(sep=";", index=False))
    same(mb.MMMData.from_csv(path, **ROLES), table)
    path = tmp_path / "table.tsv"
    table.to_csv(path, sep="\t", index=False)
    same(mb.MMMData.from_csv(path, **ROLES), table)


def test_packed_files_are_read(table, tmp_path):
    path = tmp_path / "table.csv.gz"
    with gzip.open(path, "wt") as file:
        table.to_csv(file, index=False)
    same(mb.MMMData.from_csv(path, **ROLES), table)
    path = tmp_path / "table.zip"
    table.to_csv(path, index=False)
    same(mb.MMMData.from_csv(path, **ROLES), table)


def test_labels_keep_zeros_and_na(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("geo,n\n0501,1\nNA,2\n,3\n")
    assert read_text_table(path, labels=["geo"])["geo"].fillna("").tolist() == ["0501", "NA", ""]
    path.write_text("geo,n\n501.0,1\n602.0,2\n,3\n")
    assert read_text_table(path, labels=["geo"])["geo"].fillna("").tolist() == ["501", "602", ""]


def test_decimal_commas_without_quotes_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("week,tv,revenue\n2022-01-03,3,5,100,2\n2022-01-10,4,5,101,2\n")
    findings = check_of(
        lambda: mb.MMMData.from_csv(path, date="week", target="revenue", channels=["tv"])
    )
    assert [f.check for f in findings] == ["unreadable"]
    assert "decimal comma" in findings[0].remedy


def test_numbers_of_a_data_frame_get_a_remedy_that_names_the_settings(table):
    findings = check_of(lambda: mb.MMMData.from_dataframe(european(table), **ROLES))
    assert {f.check for f in findings} == {"not_a_number"}
    assert all("decimal=','" in f.remedy for f in findings)
    revenue = next(f for f in findings if f.where == "revenue")
    assert "decimal=',' and thousands='.'" in revenue.remedy


def test_settings_that_are_not_valid_are_all_named():
    findings = check_of(lambda: TextFormat(";;", "x", ".", "utf-99"))
    assert [f.where for f in findings] == ["separator", "decimal", "encoding"]
    assert [f.where for f in check_of(lambda: TextFormat(thousands="."))] == ["thousands"]


def test_formats_that_fit_strictly_come_first():
    assert possible_formats([["0,125", "1,250"]]) == (NumberFormat(",", ""),)
    assert possible_formats([["1.234,56", "1234,56"]]) == (NumberFormat(",", "."),)
    assert possible_formats([["31.12.2024"], ["3,5"]]) == (NumberFormat(",", ""),)
    assert number_remedy(["n/a"]) is None


def test_separator_follows_the_named_columns():
    assert find_separator("a;b,c;d\n", ["a", "d"]) == (";", 0)
    assert find_separator("week,tv\n") == (",", 0)
    assert find_separator("") == (",", 0)


def test_encoding_is_found_by_zeros():
    assert find_encoding("week,tv".encode("utf-16-be")) == "utf-16-be"
    assert find_encoding(b"week,tv") == "utf-8"
