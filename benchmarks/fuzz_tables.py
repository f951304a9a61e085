"""Tables that lie: of media, of lift tests, of shops; who reads them, and what a sound one is."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fuzz_inputs as inputs
import numpy as np
import pandas as pd
from fuzz_inputs import Rng, pick

import mmm_bayes as mb
from mmm_bayes.data.lift_tests import read_lift_tests

# --- Tables --------------------------------------------------------------------------------------


@functools.cache
def base(kind: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a sound table and its roles."""
    rng = np.random.default_rng(0)
    geos = 3 if kind.startswith("geo") else 1
    n = 40
    dates = np.tile(pd.date_range("2022-01-03", periods=n, freq="W-MON"), geos)
    rows = n * geos
    frame = pd.DataFrame({"week": dates})
    roles: dict[str, Any] = {
        "date": "week",
        "target": "sales",
        "channels": ["tv", "search"],
        "controls": ["price"],
    }
    frame["tv"] = np.where(rng.random(rows) < 0.4, 0.0, rng.gamma(2.0, 50.0, rows))
    frame["search"] = rng.gamma(2.0, 20.0, rows)
    frame["price"] = rng.normal(10.0, 1.0, rows)
    frame["sales"] = 500 + frame["tv"] + 2 * frame["search"] + rng.normal(0, 20, rows)
    if geos > 1:
        frame["region"] = np.repeat(["north", "south", "geo 10"], n)
        roles["geo"] = "region"
    if kind == "geo people":
        frame["people"] = np.repeat([100.0, 250.0, 40.0], n)
        frame["tv_cost"], frame["margin"] = frame["tv"] * 0.3, 2.0
        roles |= {"population": "people", "revenue_per_target": "margin"}
        roles["spend"] = {"tv": "tv_cost", "search": None}
    return frame, roles


KINDS = ("national", "geo", "geo people")


@dataclass(frozen=True)
class Tabled:
    """A table and the roles of its columns."""

    frame: pd.DataFrame
    roles: dict[str, Any]

    def __repr__(self) -> str:
        with pd.option_context("display.max_rows", 60, "display.width", 160):
            try:
                text = str(self.frame)
            except Exception as error:
                text = f"(a frame that cannot be shown: {error})"
            return f"{text}\n{self.frame.dtypes}\n{self.roles}"


def _roles(rng: Rng, roles: dict[str, Any]) -> dict[str, Any]:
    """Return roles, which may be wrong, of the types in the signature."""
    if rng.random() < 0.7:
        return roles
    names = ["tv", "search", "price", "sales", "week", "region", "x", "", "<b>", "../x"]
    name = lambda: str(pick(rng, names))  # noqa: E731
    number = lambda: pick(rng, (0, -1, 1, 1e-300, 1e300, np.nan, np.inf, True, 10**400))  # noqa: E731
    changes: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"channels": pick(rng, ([], name(), [name(), name()], {name(): name()}))},
        lambda: {"controls": pick(rng, ([], name(), [name(), name()], {name(): name()}))},
        lambda: {"spend": pick(rng, ([], [name()], {name(): name()}, {"tv": None}, name()))},
        lambda: {"date": name()},
        lambda: {"target": name()},
        lambda: {"geo": pick(rng, (None, name()))},
        lambda: {"population": pick(rng, (name(), {"north": number()}, {name(): number()}, {}))},
        lambda: {"population": {"north": number(), "south": 2.0, "geo 10": 3.0}},
        lambda: {"revenue_per_target": pick(rng, (name(), number()))},
        lambda: {"min_rows": pick(rng, (None, 0, -1, 1, 40, 10**9))},
    )
    return roles | pick(rng, changes)()


def table(rng: Rng) -> Tabled:
    frame, roles = base(pick(rng, KINDS))
    if rng.random() < 0.2:
        frame, roles = _renamed(rng, frame, roles)
    if rng.random() < 0.9:
        frame = inputs.twist(rng, frame, roles["date"])
    return Tabled(frame, _roles(rng, roles))


def _renamed(
    rng: Rng, frame: pd.DataFrame, roles: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Give columns and geos odd names, in the roles too."""
    names = [str(name) for name in inputs.NAMES if str(name) not in frame.columns]
    new = {old: pick(rng, names) for old in frame.columns if rng.random() < 0.4}

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(one) for one in value]
        if isinstance(value, dict):
            return {renamed(key): renamed(one) for key, one in value.items()}
        return new.get(value, value)

    frame = frame.copy()
    if "region" in frame and rng.random() < 0.5:
        frame["region"] = frame["region"].replace({"north": pick(rng, names)})
    return frame.rename(columns=new), {key: renamed(value) for key, value in roles.items()}


def read_table(given: Tabled, folder: Path) -> mb.MMMData:
    return mb.MMMData.from_dataframe(given.frame, **given.roles)


def long(rng: Rng) -> Tabled:
    frame, roles = base(pick(rng, ("national", "geo")))
    keys = [roles[key] for key in ("date", "geo") if key in roles]
    long = frame.melt(keys, var_name="metric", value_name="amount")
    named = roles | {"variable": "metric", "value": "amount"}
    return Tabled(inputs.twist(rng, long, "week"), _roles(rng, named))


def read_long(given: Tabled, folder: Path) -> mb.MMMData:
    return mb.MMMData.from_long(given.frame, **given.roles)


@dataclass(frozen=True)
class Filed:
    """Bytes of a file with a suffix."""

    data: bytes
    suffix: str
    roles: dict[str, Any] = field(default_factory=dict)

    def put(self, folder: Path) -> Path:
        path = folder / f"input{self.suffix}"
        path.write_bytes(self.data)
        return path


def csv(rng: Rng) -> Filed:
    frame, roles = base(pick(rng, KINDS))
    if rng.random() < 0.3:
        frame = frame.iloc[:6]
    return Filed(inputs.damage(rng, frame.to_csv(index=False).encode()), ".csv", roles)


@functools.cache
def _parquet_bytes(kind: str) -> bytes:
    memory = io.BytesIO()
    base(kind)[0].to_parquet(memory)
    return memory.getvalue()


def parquet(rng: Rng) -> Filed:
    kind = pick(rng, KINDS)
    return Filed(inputs.damage(rng, _parquet_bytes(kind), True), ".parquet", base(kind)[1])


def read_file(given: Filed, folder: Path) -> mb.MMMData:
    if given.suffix == ".parquet":
        return mb.MMMData.from_parquet(given.put(folder), **given.roles)
    return mb.MMMData.from_csv(given.put(folder), **given.roles)


def sound_table(data: mb.MMMData) -> None:
    """Check that an accepted table is finite and regular, and survives a round trip."""
    for name, values in data.ds.data_vars.items():
        assert np.isfinite(values.values).all(), f"{name} is not finite"
    assert (data.ds["spend"].values >= 0).all()
    assert (data.ds["exposure"].values >= 0).all()
    assert data.dates.is_monotonic_increasing
    assert data.dates.is_unique
    text = repr(data) + data._repr_html_()
    assert text
    assert len(data.summary()) == len(data.channels)
    back = data.with_table(data.to_frame())
    for name in ("spend", "exposure", "controls", "target"):
        np.testing.assert_array_equal(back.ds[name].values, data.ds[name].values)
    assert list(back.dates) == list(data.dates)


# --- Lift tests, shops ---------------------------------------------------------------------------


def lift_frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "channel": ["tv", "search", "tv|search"],
            "start": ["2022-03-07", "2022-05-02", "2022-06-06"],
            "end": ["2022-04-03", "2022-05-29", "2022-07-03"],
            "lift": [500.0, 2.0, 900.0],
            "standard_error": [100.0, 0.5, 300.0],
            "geo": ["", "north|south", ""],
            "spend_change": ["1000", "", "100|200"],
            "measured_until": ["", "2022-06-12", ""],
            "measure": ["lift", "roas", ""],
            "recorded": ["true", "", "no"],
            "name": ["first", "", "both"],
        }
    )


def lift(rng: Rng) -> Tabled:
    frame = inputs.twist(rng, lift_frame(), pick(rng, ("start", "end")))
    return Tabled(frame, {"geo": bool(rng.integers(2))})


def read_lift(given: Tabled, folder: Path) -> Any:
    data = read_table(Tabled(*base("geo")), folder)
    geos = data.geos if given.roles["geo"] else ()
    return read_lift_tests(given.frame, channels=data.channels, geos=geos, dates=data.dates)


def sound_tests(tests: Any) -> None:
    from mmm_bayes.data import lift_tests

    assert lift_tests.from_json(lift_tests.to_json(tests)) == tests
    for test in tests:
        assert math.isfinite(test.lift)
        assert test.standard_error > 0
        assert test.start <= test.end


def shops_frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 12
    return pd.DataFrame(
        {
            "shop_id": np.repeat(["a", "b"], n),
            "ds": np.tile(pd.date_range("2021-01-30", periods=n).strftime("%Y%m%d").astype(int), 2),
            "context0": rng.normal(size=2 * n),
            "x0": rng.gamma(2.0, 1.0, 2 * n),
            "x1": rng.gamma(2.0, 1.0, 2 * n),
            "pv": rng.integers(0, 99, 2 * n),
            "gmv": rng.gamma(2.0, 9.0, 2 * n),
        }
    )


def shops(rng: Rng) -> Tabled | Filed:
    if rng.random() < 0.3:
        return Filed(inputs.damage(rng, shops_frame().to_csv(index=False).encode()), ".csv")
    return Tabled(inputs.twist(rng, shops_frame(), "ds"), {})


def read_shops(given: Tabled | Filed, folder: Path) -> mb.ShopPanel:
    source = given.frame if isinstance(given, Tabled) else given.put(folder)
    return mb.load_shops(source)


def sound_panel(panel: mb.ShopPanel) -> None:
    from mmm_bayes.data.panel_load import panel_to_frame

    assert not np.isinf(panel.series).any()
    assert np.isfinite(panel.context).all()
    assert panel.series.shape[:2] == (panel.num_shops, panel.length)
    assert len(panel_to_frame(panel)) == int(panel.observed.any(2).sum())
