"""Every way in which a table can be wrong, and the message that helps to correct it."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, DataWarning
from tests.data import tables

Break = Callable[[pd.DataFrame], pd.DataFrame]


class Case(NamedTuple):
    """One broken table: the damage done to a valid one, and the finding it must produce."""

    name: str
    check: str
    message: str
    mend: Break = lambda df: df
    base: str = "national"
    changes: dict[str, Any] = {}
    severity: str = "error"
    rows: tuple[int, ...] | None = None


def put(column: str, rows: int | list[int] | slice, value: Any) -> Break:
    def change(df: pd.DataFrame) -> pd.DataFrame:
        df = df.copy()
        if isinstance(value, str) or value is None:
            df[column] = df[column].astype("object")
        df.iloc[rows, df.columns.get_loc(column)] = value
        return df

    return change


def column(name: str, make: Callable[[pd.DataFrame], Any]) -> Break:
    return lambda df: df.assign(**{name: make(df)})


CASES = [
    # --- columns and arguments
    Case("missing target", "missing_column", r"'sales' \(target\)",
         lambda df: df.drop(columns="sales")),
    Case("misspelt channel", "missing_column", r"'serch'.*'search'",
         changes={"channels": ["tv", "serch"]}),
    Case("wrong letter case", "missing_column", r"'TV'.*'tv'",
         changes={"channels": ["TV", "search"]}),
    Case("missing date column", "missing_column", r"'date' \(date\).*'week'",
         changes={"date": "date"}),
    Case("missing geo column", "missing_column", r"'state' \(geo\)",
         base="geo", changes={"geo": "state"}),
    Case("one column, two parts", "two_roles", r"'tv'.* 2 .*channel 'tv', control",
         changes={"controls": {"tv2": "tv"}}),
    Case("target as channel", "two_roles", r"'sales'.* 2 .*target, channel 'sales'",
         changes={"channels": ["tv", "sales"]}),
    Case("two columns of one name", "duplicate_column", r" 2 .*'tv'",
         lambda df: pd.concat([df, df[["tv"]]], axis=1)),
    Case("channel named twice", "named_twice", r"channels.*'tv'",
         changes={"channels": ["tv", "search", "tv"]}),
    Case("no channels", "no_channels", r"channels=", changes={"channels": []}),
    Case("channel and control of one name", "same_name", r"'tv'",
         changes={"controls": {"tv": "price"}}),
    Case("spend list too short", "spend_length", r" 1 column\(s\).* 2 channel\(s\)",
         base="with_spend", changes={"spend": ["tv_cost"]}),
    Case("spend of an unknown channel", "unknown_channel", r"'serch'.*'search'",
         base="with_spend", changes={"spend": {"tv": "tv_cost", "serch": "search_cost"}}),
    Case("spend silent on a channel", "no_spend", r"'search'.*None",
         base="with_spend", changes={"spend": {"tv": "tv_cost"}}),
    Case("no rows", "empty_table", r"the table", lambda df: df.iloc[:0]),
    # --- cells
    Case("word in a channel", "not_a_number", r"'tv' \(channel 'tv'\).*row 3 \(2021-01-25\): 'n/k'",
         put("tv", 3, "n/k"), rows=(3,)),
    Case("thousands separators", "not_a_number", r"thousands=','",
         column("sales", lambda df: [f"{1000 + v:,.2f}" for v in df["sales"]])),
    Case("decimal commas", "not_a_number", r"decimal=','",
         column("tv", lambda df: [f"{v:.2f}".replace(".", ",") for v in df["tv"]])),
    Case("currency signs", "not_a_number", r"str\.replace",
         column("tv", lambda df: [f"${v:.2f}" for v in df["tv"]])),
    Case("text control of two kinds", "not_a_number", r"\(df\['price'\] == 'low'\)\.astype",
         column("price", lambda df: np.where(df["price"] > 10, "high", "low"))),
    Case("categorical control", "not_a_number", r"get_dummies\(df, columns=\['price'\]",
         column("price", lambda df: pd.cut(df["price"], 3, labels=["a", "b", "c"]))),
    Case("dates as a channel", "not_a_number", r"'tv'",
         column("tv", lambda df: df["week"])),
    Case("complex numbers", "not_a_number", r"'tv'",
         column("tv", lambda df: df["tv"] + 1j)),
    Case("empty channel cell", "missing_value", r"'tv'.*row 5 \(2021-02-08\)",
         put("tv", 5, np.nan), rows=(5,)),
    Case("empty target cells", "missing_value", r"'sales' \(target\).* 2 .*row 0 .*row 29",
         put("sales", [0, 29], np.nan), rows=(0, 29)),
    Case("empty control in a geo", "missing_value", r"'price'.*row 13 \(south, 2021-01-11\)",
         put("price", 13, np.nan), base="geo", rows=(13,)),
    Case("nullable integers with NA", "missing_value", r"'tv'.*row 2 ",
         column("tv", lambda df: pd.array([1, 5, None, *range(27)], dtype="Int64"))),
    Case("infinite cell", "infinite_value", r"'search'.*row 7 \(2021-02-22\)",
         put("search", 7, np.inf), rows=(7,)),
    Case("negative infinity", "infinite_value", r"'price'.*row 1 ",
         put("price", 1, -np.inf), rows=(1,)),
    # --- dates
    Case("unreadable date", "unreadable_date", r"'week'.*row 4: 'soon'.*YYYY-MM-DD",
         lambda df: put("week", 4, "soon")(df.assign(week=df["week"].dt.strftime("%Y-%m-%d"))),
         rows=(4,)),
    Case("numbers of weeks", "unreadable_date", r"YYYY-MM-DD.*yyyymmdd",
         column("week", lambda df: range(1, 1 + len(df)))),
    Case("empty date", "missing_date", r"'week'.* 1 .*rows 6",
         put("week", 6, pd.NaT), rows=(6,)),
    Case("day or month first", "ambiguous_date", r"%m/%d/%Y.*pd\.to_datetime",
         lambda df: df.iloc[:8].assign(week=[f"0{1 + m}/0{1 + m}/2021" for m in range(8)]).assign(
             week=["01/02/2021", "02/03/2021", "03/04/2021", "04/05/2021",
                   "05/06/2021", "06/07/2021", "07/08/2021", "08/09/2021"])),
    Case("repeated date", "duplicate_date", r" ?1 row\(s\).*row 9 \(2021-03-01\)",
         put("week", 9, pd.Timestamp("2021-03-01")), rows=(9,)),
    Case("regions without geo=", "duplicate_date", r"geo=",
         base="geo", changes={"geo": None, "population": None}),
    Case("repeated date in a geo", "duplicate_date", r"row 1[23] \(south, 2021-01-04\)",
         put("week", 13, pd.Timestamp("2021-01-04")), base="geo"),
    Case("week left out", "date_gap", r"W-MON.*2021-03-15",
         lambda df: df.drop(index=10)),
    Case("date a day late", "irregular_dates", r" 1 .*2021-02-02",
         put("week", 4, pd.Timestamp("2021-02-02"))),
    Case("no step at all", "irregular_dates", r" 1 to \d+ days",
         column("week", lambda df: pd.Timestamp("2021-01-01")
                + pd.to_timedelta(np.cumsum(np.arange(len(df)) % 7 * 3 + 1), unit="D"))),
    Case("month left out", "date_gap", r"MS.*2021-05-01",
         lambda df: df.assign(week=pd.date_range("2021", periods=30, freq="MS")).drop(index=4)),
    Case("year left out", "date_gap", r"YS.*1950-01-01",
         lambda df: df.assign(week=np.r_[1940:1950, 1951:1971])),
    # --- panels
    Case("ragged panel", "ragged_panel", r"'south'.* 2 of the 12 .*2021-01-04, 2021-01-11",
         lambda df: df.drop(index=[12, 13]), base="geo"),
    Case("empty geo", "missing_geo", r"'region'.* 1 .*rows 3",
         put("region", 3, None), base="geo", rows=(3,)),
    # --- values
    Case("negative spend", "negative_media", r"'tv'.*row 8 \(2021-03-01\)",
         put("tv", 8, -1.0), rows=(8,)),
    Case("negative spend next to exposure", "negative_media", r"'tv_cost' \(spend of 'tv'\)",
         put("tv_cost", 2, -3.0), base="with_spend", rows=(2,)),
    Case("zero channel", "zero_channel", r"'tv'",
         put("tv", slice(None), 0.0)),
    Case("constant channel", "constant_channel", r"'tv' is 3",
         put("tv", slice(None), 3.0)),
    Case("constant target", "constant_target", r"'sales' is 7",
         put("sales", slice(None), 7.0)),
    Case("constant control", "constant_control", r"'price' is 1",
         put("price", slice(None), 1.0)),
    Case("too few rows", "too_few_rows", r"4 row\(s\) for 4 ", lambda df: df.head(4)),
    Case("fewer rows than asked", "too_few_rows", r"30 date\(s\).*min_rows=52",
         changes={"min_rows": 52}),
    Case("copied channel", "same_series", r"Channel 'tv' and channel 'search'",
         column("search", lambda df: 2.5 * df["tv"])),
    Case("channel again as a control", "same_series", r"Channel 'tv' and control 'price'",
         column("price", lambda df: df["tv"] / 3 + 1)),
    Case("target as a control", "leakage", r"Control 'price'.*1\.000000",
         column("price", lambda df: df["sales"])),
    # --- population and revenue
    Case("population varies", "varying_population", r"'north'.*100000 to 1e\+06",
         put("people", 2, 1e6), base="geo"),
    Case("population zero", "bad_population", r"'west'.* 0\.",
         put("people", slice(24, 36), 0.0), base="geo"),
    Case("population of a geo unknown", "missing_population", r"'west'",
         base="geo", changes={"population": {"north": 1, "south": 2}}),
    Case("population negative by dict", "bad_population", r"'south'.* -2",
         base="geo", changes={"population": {"north": 1, "south": -2, "west": 1}}),
    Case("revenue not positive", "bad_revenue", r"'revenue'.*row 1 \(2021-01-11\)",
         put("revenue", 1, 0.0), base="with_spend", rows=(1,)),
    Case("revenue a negative number", "bad_revenue", r" -5",
         changes={"revenue_per_target": -5.0}),
    # --- warnings
    Case("spend without exposure", "spend_without_exposure", r"'tv_cost'.*'tv_grp'",
         put("tv_grp", 4, 0.0), base="with_spend", severity="warning", rows=(4,)),
    Case("exposure without spend", "exposure_without_spend", r"'tv_grp'.*'tv_cost'",
         put("tv_cost", 4, 0.0), base="with_spend", severity="warning", rows=(4,)),
    Case("no spend at all", "zero_spend", r"'tv'.*None",
         put("tv_cost", slice(None), 0.0), base="with_spend", severity="warning"),
    Case("channel hardly used", "few_active_rows", r"'tv'.* 2 ",
         put("tv", slice(2, None), 0.0), severity="warning"),
    Case("collinear channels", "collinear_channels",
         r"Channel 'search' moves with.*VIF \d+.*channel 'tv' \(correlation 0\.99",
         column("search", lambda df: df["tv"] + 3 * np.sin(np.arange(len(df)))),
         severity="warning"),
    Case("almost the target", "leakage", r"Control 'price'",
         column("price", lambda df: df["sales"] + 0.01 * np.sin(np.arange(len(df)))),
         severity="warning"),
    Case("few rows", "few_rows", r"10 rows for 4 ", lambda df: df.head(10),
         severity="warning"),
]  # fmt: skip


def load(case: Case) -> MMMData:
    frame = getattr(tables, case.base)()
    roles = getattr(tables, case.base.upper())
    return MMMData.from_dataframe(case.mend(frame), **{**roles, **case.changes})


def findings_of(case: Case) -> list:
    if case.severity == "error":
        with pytest.raises(DataError) as caught:
            load(case)
        return list(caught.value.findings)
    with pytest.warns(DataWarning) as warned:
        data = load(case)
    assert len(warned) == 1, "all warnings of a table come in one"
    for finding in data.findings:
        assert finding.message in str(warned[0].message)
    return list(data.findings)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_broken_table(case: Case) -> None:
    found = [f for f in findings_of(case) if f.check == case.check]
    assert found, f"no finding {case.check!r}"
    matching = [f for f in found if re.search(case.message, str(f))]
    assert matching, f"none of {[str(f) for f in found]} says {case.message!r}"
    assert matching[0].severity == case.severity
    assert matching[0].remedy
    if case.rows is not None:
        assert matching[0].rows == case.rows


@pytest.mark.parametrize("base", ["national", "with_spend", "geo"])
def test_sound_tables_raise_nothing(base: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(Case(base, "", "", base=base))
    assert data.findings == ()


def test_one_fault_gives_one_error() -> None:
    """A single fault is reported once, without findings about its consequences."""
    crowded = {}
    for case in CASES:
        if case.severity == "error":
            errors = [f for f in findings_of(case) if f.severity == "error"]
            if len({f.check for f in errors}) > 1:
                crowded[case.name] = sorted({f.check for f in errors})
    # These necessarily change more than one thing.
    assert set(crowded) <= {
        "no channels",
        "no rows",
        "repeated date",
        "repeated date in a geo",
        "date a day late",
        "day or month first",
        "regions without geo=",
    }, crowded


def test_everything_wrong_is_reported_at_once() -> None:
    frame = tables.geo()
    frame["tv"] = frame["tv"].astype("object")
    frame.loc[1, "tv"] = "?"
    frame.loc[2, "search"] = np.nan
    frame.loc[3, "search"] = -1.0
    frame.loc[4, "sales"] = np.inf
    frame["price"] = 2.0
    frame.loc[5, "people"] = 7.0
    frame = frame.drop(index=20)
    with pytest.raises(DataError) as caught:
        MMMData.from_dataframe(
            frame, **{**tables.GEO, "channels": ["tv", "search", "radio"], "min_rows": 99}
        )
    assert {f.check for f in caught.value.findings if f.severity == "error"} == {
        "missing_column",
        "not_a_number",
        "missing_value",
        "negative_media",
        "infinite_value",
        "constant_control",
        "varying_population",
        "ragged_panel",
        "too_few_rows",
    }
    text = str(caught.value)
    assert text.startswith("9 problems in the table:\n  1. ")
    assert text.count("\n") == 9


def test_error_survives_pickling() -> None:
    with pytest.raises(DataError) as caught:
        load(CASES[0])
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.findings == caught.value.findings
    assert str(copy) == str(caught.value)


def test_other_kinds_of_table_are_refused() -> None:
    with pytest.raises(TypeError, match=r"DataFrame.*list.*to_pandas"):
        MMMData.from_dataframe([1, 2], **tables.NATIONAL)  # type: ignore[arg-type]


def test_missing_and_empty_files(tmp_path) -> None:
    tables.national().to_csv(tmp_path / "sales.csv", index=False)
    with pytest.raises(FileNotFoundError, match=r"'sales\.csv'"):
        MMMData.from_csv(tmp_path / "sale.csv", **tables.NATIONAL)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError) as caught:
        MMMData.from_csv(tmp_path / "empty.csv", **tables.NATIONAL)
    assert [finding.check for finding in caught.value.findings] == ["empty_table"]
