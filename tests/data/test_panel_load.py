"""Tables of shops: reading, refusals and round trips."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from mmm_bayes import simulate
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.data.panel_load import load_shops, panel_to_frame
from mmm_bayes.runtime.findings import DataError, DataWarning


def table(shops: int = 2, days: int = 4, channels: int = 11) -> pd.DataFrame:
    """The columns of the platform's table, with distinct values."""
    rows = shops * days
    frame = pd.DataFrame(
        {
            "shop_id": np.repeat(np.arange(shops) + 100, days),
            "ds": [20210130, 20210131, 20210201, 20210202][:days] * shops,
        }
    )
    names = [*(f"context{i}" for i in range(5)), *(f"x{i}" for i in range(channels)), "pv", "gmv"]
    for k, name in enumerate(names):
        frame[name] = np.arange(rows) + 100.0 * k
    return frame


def checks(frame: pd.DataFrame, **arguments: Any) -> list[tuple[str, str | None]]:
    with pytest.raises(DataError) as caught:
        load_shops(frame, **arguments)
    return [(finding.check, finding.where) for finding in caught.value.findings]


def assert_same(one: ShopPanel, two: ShopPanel) -> None:
    assert (one.nodes, one.shops, one.context_names) == (two.nodes, two.shops, two.context_names)
    np.testing.assert_array_equal(one.series, two.series)
    np.testing.assert_array_equal(one.context, two.context)


def test_columns_of_the_platform_are_found_by_name() -> None:
    frame = table()
    panel = load_shops(frame)
    assert panel.nodes == (*(f"x{i}" for i in range(11)), "pv", "gmv")
    assert panel.context_names == tuple(f"context{i}" for i in range(5))
    assert panel.groups == (*["channel"] * 11, "views", "target")
    assert panel.shops == ("100", "101")
    assert panel.dates is not None
    assert [f"{date:%Y%m%d}" for date in panel.dates] == [str(ds) for ds in frame["ds"][:4]]
    for n in range(2):
        for t in range(4):
            row = frame.iloc[4 * n + t]
            assert panel.series[n, t].tolist() == row[list(panel.nodes)].tolist()
            assert panel.context[n, t].tolist() == row[list(panel.context_names)].tolist()


def test_order_of_rows_is_free_and_columns_may_be_named() -> None:
    frame = table()
    shuffled = frame.sample(frac=1, random_state=3)
    shuffled = pd.concat(
        [shuffled[shuffled["shop_id"] == 100], shuffled[shuffled["shop_id"] == 101]]
    )
    assert_same(load_shops(frame), load_shops(shuffled))
    renamed = frame.rename(columns={"shop_id": "brand", "ds": "day", "gmv": "sales", "pv": "views"})
    chosen = load_shops(
        renamed,
        shop="brand",
        date="day",
        target="sales",
        views="views",
        channels=["x3", "x0"],
        context=[],
        groups={"x3": "brand", "x0": "effect"},
    )
    assert chosen.nodes == ("x3", "x0", "views", "sales")
    assert chosen.groups == ("brand", "effect", "views", "target")
    assert chosen.context.shape == (2, 4, 0)


@pytest.mark.parametrize("views", ["pv", None])
def test_views_may_be_absent(views: str | None) -> None:
    frame = table().drop(columns="pv")
    assert load_shops(frame, views=views).nodes[-2:] == ("x10", "gmv")


def test_lengths_differ_and_dates_are_aligned() -> None:
    frame = table(3)
    keep = frame.drop(index=[3, 4, 5, 8])  # Ends early; starts late, twice.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        panel = load_shops(keep)
    there = panel.observed.all(2)
    assert there.tolist() == [
        [True, True, True, False],
        [False, False, True, True],
        [False, True, True, True],
    ]
    assert (panel.observed.any(2) == there).all()
    # Context continues from the previous row, and starts with the first one.
    assert panel.context[0, :, 0].tolist() == [0, 1, 2, 2]
    assert panel.context[1, :, 0].tolist() == [6, 6, 6, 7]
    assert_same(panel, load_shops(panel_to_frame(panel)))


def test_gaps_are_missing_rows_with_a_warning() -> None:
    frame = table(2).drop(index=[1, 2, 5])
    with pytest.warns(DataWarning) as caught:
        panel = load_shops(frame)
    first, second = str(caught[0].message).splitlines()[1:]
    assert len(caught) == 1
    assert re.search("'100'.* 2 .*2021-01-31, 2021-02-01", first)
    assert re.search("'101'.* 1 .*2021-01-31", second)
    assert panel.length == 4
    assert np.isnan(panel.series[0, 1:3]).all()
    assert panel.context[0, :, 0].tolist() == [0, 0, 0, 3]


def test_missing_cells_and_returns_are_warned_of() -> None:
    frame = table()
    frame.loc[2, "x4"] = np.nan
    frame.loc[3, "gmv"] = -5.0
    with pytest.warns(DataWarning, match=r"(?s)'x4'.* 1 .*row 2 \(100, 2021-02-01\).*'gmv'"):
        panel = load_shops(frame)
    assert np.isnan(panel.series[0, 2, 4])
    assert panel.series[0, 3, -1] == -5


def test_everything_wrong_is_reported_at_once() -> None:
    frame = table(3).astype({"x1": object, "shop_id": object})
    frame.loc[0, "x1"] = "1,000"
    frame.loc[1, "x2"] = -1.0
    frame.loc[2, "x3"] = np.inf
    frame.loc[4, "context1"] = np.nan
    frame.loc[5, "ds"] = 20211341
    frame.loc[6, "shop_id"] = None
    frame = pd.concat([frame, frame.iloc[[8, 8, 9]]])
    found = checks(frame.rename(columns={"gmv": "gvm"}))
    expected = {
        ("missing_column", "gmv"),
        ("not_a_number", "x1"),
        ("negative_value", "x2"),
        ("infinite_value", "x3"),
        ("missing_context", "context1"),
        ("unreadable_date", "ds"),
        ("missing_shop", "shop_id"),
        ("duplicate_row", "ds"),
    }
    assert set(found) == expected
    assert len(found) == len(expected)
    with pytest.raises(DataError) as caught:
        load_shops(frame.rename(columns={"gmv": "gvm"}))
    text = str(caught.value)
    assert "'gvm'" in text
    assert "row 0 (100, 2021-01-30)" in text
    assert "'1,000'" in text
    by_check = {finding.check: finding for finding in caught.value.findings}
    assert by_check["duplicate_row"].rows == (8, 9, 12, 13, 14)
    assert by_check["duplicate_row"].message.startswith("2 ")
    assert by_check["negative_value"].rows == (1,)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"channels": ["x0", "tv"]}, {("missing_column", "tv")}),
        ({"context": ["contxt0"]}, {("missing_column", "contxt0")}),
        ({"channels": []}, {("no_channels", None)}),
        ({"views": "page_views"}, {("missing_column", "page_views")}),
        ({"target": "x0"}, {("duplicate_role", "x0")}),
        ({"groups": {"x99": "brand"}}, {("unknown_node", None)}),
        ({"groups": {"x1": "brnad"}}, {("unknown_group", None)}),
        ({"shop": "shop"}, {("missing_column", "shop")}),
        ({"date": "date"}, {("missing_column", "date")}),
    ],
)
def test_wrong_roles(change: dict[str, Any], expected: set[tuple[str, str | None]]) -> None:
    assert set(checks(table(), **change)) == expected


def test_tables_that_cannot_be() -> None:
    frame = table()
    assert checks(frame.iloc[:0]) == [("empty_table", None)]
    twice = pd.concat([frame, frame["x0"]], axis=1)
    assert ("duplicate_column", "x0") in checks(twice)
    off = table(1, 4)
    off["ds"] = [20210101, 20210108, 20210115, 20210120]
    off = pd.concat([off, off.assign(shop_id=7, ds=[20210122, 20210129, 20210205, 20210212])])
    assert ("irregular_dates", "ds") in checks(off)
    dated = frame.assign(x0=pd.Timestamp("2021-01-01"))
    assert checks(dated) == [("not_a_number", "x0")]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"shops.{suffix}"
    frame = table()
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    assert_same(load_shops(path), load_shops(frame))
    with pytest.raises(FileNotFoundError, match=rf"'shops\.{suffix}'"):
        load_shops(tmp_path / f"shop.{suffix}")


def test_round_trip_of_the_platform() -> None:
    panel = simulate.air_shops(jax.random.key(0), num_shops=4, num_dates=60)
    assert panel.groups is not None
    groups = {n: g for n, g in zip(panel.nodes, panel.groups, strict=True) if g != "target"}
    frame = panel_to_frame(panel)
    back = load_shops(frame, context=panel.context_names, groups=groups)
    assert_same(panel, back)
    assert back.groups == panel.groups
    assert back.dates is not None
    assert (back.dates == panel.dates).all()


def test_round_trip_without_dates() -> None:
    panel = simulate.shops(jax.random.key(0), num_shops=3, num_channels=3, num_dates=10)
    positive = ShopPanel(
        series=np.exp(panel.series),
        nodes=panel.nodes,
        shops=panel.shops,
        context=panel.context,
        context_names=panel.context_names,
    )
    assert_same(positive, load_shops(panel_to_frame(positive), target="y"))


def test_numbers_of_shops_as_floats_are_whole() -> None:
    assert load_shops(table().astype({"shop_id": float})).shops == ("100", "101")
