"""Tables of other packages load as they are."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import shared_tables
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataWarning

SIZES = {
    "lydia_pinkham": (1, 54, 1, 0),
    "meridian_national_all_channels": (1, 156, 6, 3),
    "meridian_geo_all_channels": (40, 156, 6, 3),
    "meridian_geo_media": (20, 156, 4, 2),
    "robyn_simulated_weekly": (1, 208, 6, 1),
    "pymcmarketing_mmm_example": (1, 179, 2, 2),
    "pymcmarketing_roas_data": (1, 131, 2, 0),
    "pymcmarketing_multidimensional_example": (2, 159, 2, 2),
    "mmmframework_national_mff": (1, 104, 7, 6),
}
# What these tables are warned about is true of them.
WARNED = {
    "robyn_simulated_weekly": {"exposure_without_spend"},
    "mmmframework_national_mff": {"collinear_channels"},
}


def quietly(name: str) -> MMMData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return shared_tables.load(name)


def test_every_table_has_its_parts() -> None:
    assert set(shared_tables.ROLES) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_loads(name: str, shared_dir: Path) -> None:
    data = quietly(name)
    assert (data.num_geos, data.num_dates, len(data.channels), len(data.controls)) == SIZES[name]
    assert {f.check for f in data.findings} == WARNED.get(name, set())
    again = MMMData.from_dataframe  # the same table by way of its frame
    roles = data.roles
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert again(
            data.to_frame(),
            date=roles.date,
            target=roles.target,
            channels=roles.exposure,
            spend=roles.spend,
            controls=roles.controls,
            geo=roles.geo,
            population=roles.population,
            revenue_per_target=roles.revenue_per_target,
        ).equals(data)


def test_sums_of_a_geo_table(shared_dir: Path) -> None:
    frame = pd.read_csv(shared_dir / "data" / "meridian_geo_all_channels.csv")
    ds = quietly("meridian_geo_all_channels").ds
    by_geo = frame.groupby("geo")["Channel2_impression"].sum()
    for name in ("Geo0", "Geo9", "Geo10", "Geo39"):
        total = float(ds["exposure"].sel(geo=name, channel="Channel2").sum())
        assert total == pytest.approx(by_geo[name], rel=1e-12)
    assert float((ds["target"] * ds["revenue_per_target"]).sum()) == pytest.approx(
        (frame["conversions"] * frame["revenue_per_conversion"]).sum(), rel=1e-12
    )


def test_references_have_paid_channels_only(shared_dir: Path) -> None:
    national, geo = shared_tables.load_reference(), shared_tables.load_geo_reference()
    assert (len(national.channels), len(national.controls), national.num_dates) == (5, 3, 156)
    assert (geo.num_geos, len(geo.channels)) == (40, 5)
    assert national.ds["paid"].all()


def test_truth(shared_dir: Path) -> None:
    known = {name for name in SIZES if shared_tables.truth(name) is not None}
    assert known == {"mmmframework_national_mff", "pymcmarketing_roas_data"}
    truth = shared_tables.truth("mmmframework_national_mff")
    spend = quietly("mmmframework_national_mff").ds["spend"].sum(("geo", "date"))
    np.testing.assert_allclose(truth["roas"] * spend, truth["contribution"])
    assert float(truth["published_roas"].sel(channel="TV")) == pytest.approx(3.9487, abs=1e-4)
