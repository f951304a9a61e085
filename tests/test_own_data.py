"""The page docs/own_data.md: every table is made, and every snippet is run."""

import csv
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.data.table_spec import TableSpec
from mmm_bayes.errors import DataError

PAGE = Path(__file__).parent.parent / "docs" / "own_data.md"
BLOCK = re.compile(r"```(csv|python|toml)\n(.*?)```", re.DOTALL)


def sections():
    parts = re.split(r"^## \d+\. (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        title: dict(BLOCK.findall(text))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


SECTIONS = sections()


def frame_of(dates, *, name, columns, seed=0):
    """Make a table whose channels and target have the given names and sizes."""
    rng, n = np.random.default_rng(seed), len(dates)
    table = pd.DataFrame({name: dates})
    for column, size in columns.items():
        table[column] = (size * rng.gamma(2, 0.5, n)).round(2)
    return table


def weeks(n=60):
    return pd.date_range("2023-01-02", periods=n, freq="W-MON")


def with_target(table, name, size):
    rng = np.random.default_rng(9)
    return table.assign(**{name: (size * (1 + 0.1 * rng.normal(size=len(table)))).round(2)})


def weekly(folder):
    table = frame_of(weeks(), name="week", columns={"tv": 100, "search": 80, "price": 10})
    with_target(table, "revenue", 15e3).to_csv(folder / "weekly.csv", index=False)


def daily(folder):
    days = pd.date_range("2024-01-01", periods=120, freq="D")
    table = frame_of(days, name="day", columns={"search": 80, "social": 30})
    table["promotion"] = np.arange(len(days)) % 9 == 0
    with_target(table, "revenue", 5e3).to_csv(folder / "daily.csv", index=False)


def monthly(folder):
    months = pd.date_range("2021-01-31", periods=40, freq="ME")
    table = frame_of(months, name="month", columns={"tv": 1000, "search": 800})
    with_target(table, "revenue", 15e4).to_csv(folder / "monthly.csv", index=False)


def impressions(folder):
    columns = {"tv_grps": 200, "tv_cost": 0, "display_impressions": 2e6, "display_cost": 0}
    table = frame_of(weeks(), name="week", columns=columns | {"newsletter_sends": 5e4})
    table["tv_cost"], table["display_cost"] = (
        60 * table["tv_grps"],
        table["display_impressions"] / 250,
    )
    with_target(table, "revenue", 15e4).to_csv(folder / "impressions.csv", index=False)


def orders(folder):
    table = frame_of(weeks(), name="week", columns={"tv": 1000, "search": 800})
    with_target(table, "orders", 600).to_csv(folder / "orders.csv", index=False)


def geo_frame(name, people):
    frames = []
    for seed, (geo, population) in enumerate(people.items()):
        table = frame_of(weeks(), name="week", columns={"tv": 2000, "search": 800}, seed=seed)
        table.insert(1, name, geo)
        table.insert(2, "population", population)
        frames.append(with_target(table, "revenue", 2e5))
    return pd.concat(frames, ignore_index=True)


def geos(folder):
    geo_frame("dma", {501: 7_400_000, 602: 3_500_000}).to_csv(folder / "geos.csv", index=False)


def national_tv(folder):
    table = geo_frame("geo", {"north": 7_400_000, "south": 3_500_000})
    table["tv"] = np.tile(table.loc[table["geo"] == "north", "tv"], 2)
    table.to_csv(folder / "national_tv.csv", index=False)


def long(folder):
    table = frame_of(weeks(), name="week", columns={"tv": 1000, "search": 800})
    wide = with_target(table, "revenue", 15e4)
    wide.melt("week", var_name="metric", value_name="amount").to_csv(
        folder / "long.csv", index=False
    )


def european(folder):
    table = frame_of(weeks(), name="Woche", columns={"Fernsehen": 1000, "Außenwerbung": 800})
    table = with_target(table, "Umsatz", 15e4).astype({"Woche": str})
    marks = str.maketrans(",.", ".,")
    for column in table.columns[1:]:
        table[column] = [f"{value:,.2f}".translate(marks) for value in table[column]]
    table["Woche"] = [f"{date:%d.%m.%Y}" for date in weeks()]
    table.to_csv(folder / "european.csv", sep=";", index=False, encoding="cp1252")


def warehouse(folder):
    utc = weeks().tz_localize("Europe/Berlin").tz_convert("UTC")
    table = frame_of(utc, name="week_start", columns={"tv": 1000, "search": 800})
    with_target(table, "revenue", 15e4).to_csv(folder / "warehouse.csv", index=False)


MAKERS = (
    weekly, daily, monthly, impressions, orders, geos, national_tv, long, european, warehouse,
)  # fmt: skip


@pytest.mark.parametrize(("title", "make"), list(zip(SECTIONS, MAKERS, strict=True)))
def test_python_and_toml_read_the_same_table(title, make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    blocks = SECTIONS[title]
    made = tmp_path / f"{make.__name__}.csv"
    text = made.read_text(encoding="cp1252" if make is european else "utf-8")
    assert blocks["csv"].splitlines()[0] == text.splitlines()[0]
    names = {"mb": mb, "pd": pd}
    exec(blocks["python"], names)
    data = names["data"]
    assert not data.findings
    spec = TableSpec(**tomllib.loads(blocks["toml"])["data"])
    assert spec.load(tmp_path).equals(data)


def test_samples_have_as_many_cells_as_their_header():
    for blocks in SECTIONS.values():
        separator = ";" if ";" in blocks["csv"] else ","
        rows = list(csv.reader(blocks["csv"].splitlines(), delimiter=separator))
        assert len({len(row) for row in rows}) == 1


def test_what_the_page_says_of_days_and_geos(tmp_path):
    monthly(tmp_path)
    roles = dict(target="revenue", channels=["tv", "search"])
    data = mb.MMMData.from_csv(tmp_path / "monthly.csv", date="month", **roles)
    assert data.periods[0].left == pd.Timestamp("2021-01-01")
    warehouse(tmp_path)
    data = mb.MMMData.from_csv(tmp_path / "warehouse.csv", date="week_start", **roles)
    assert data.dates[0] == pd.Timestamp("2023-01-02")
    geos(tmp_path)
    data = mb.MMMData.from_csv(tmp_path / "geos.csv", date="week", geo="dma", **roles)
    assert data.geos == ["501", "602"]


def test_national_tv_is_refused_before_it_is_shared_out(tmp_path):
    national_tv(tmp_path)
    roles = dict(date="week", target="revenue", channels=["tv", "search"], geo="geo")
    with pytest.raises(DataError) as caught:
        mb.MMMData.from_csv(tmp_path / "national_tv.csv", **roles)
    assert [f.check for f in caught.value.findings] == ["repeated_over_geos"]
