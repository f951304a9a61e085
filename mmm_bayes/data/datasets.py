"""The bundled data sets, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import pandas as pd
import xarray as xr

from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import listing, nearest

_HERE = Path(__file__).resolve()


@final
@dataclass(frozen=True)
class DatasetInfo:
    """A bundled table: its source, and the roles of its columns."""

    name: str
    title: str
    source: str
    licence: str
    has_truth: bool
    roles: dict[str, Any]


def _simulated(
    channels: tuple[str, ...], controls: tuple[str, ...], unit: str, **more: Any
) -> dict[str, Any]:
    return {
        "date": "date",
        "target": "sales",
        "channels": {c: f"{c}_{unit}" for c in channels},
        "spend": {c: f"{c}_spend" for c in channels},
        "controls": list(controls),
        **more,
    }


DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            "national_weekly",
            "Simulated national sales: 3 years of weeks, 5 channels, a confounder",
            "simulated by mmm_bayes.simulate.media_mix",
            "Apache-2.0",
            True,
            _simulated(
                ("tv", "radio", "search", "social", "display"),
                ("price", "promo", "category_demand"),
                "spend",
            ),
        ),
        DatasetInfo(
            "geo_weekly",
            "Simulated sales of 12 regions: 2 years of weeks, 4 channels bought as impressions",
            "simulated by mmm_bayes.simulate.media_mix",
            "Apache-2.0",
            True,
            _simulated(
                ("tv", "radio", "search", "social"),
                ("price", "promo"),
                "impressions",
                geo="geo",
                population="population",
            ),
        ),
        DatasetInfo(
            "lydia_pinkham",
            "Lydia E. Pinkham Medicine Company: yearly advertising and sales, 1907-1960",
            "Palda (1964), The Measurement of Cumulative Advertising Effects",
            "facts of public record",
            False,
            {"date": "year", "target": "sales", "channels": ["advertising"]},
        ),
    )
}


@named_arguments
def load_dataset(
    name: str,
    *,
    min_rows: int | None = None,
    date_marks: Literal["start", "end"] | None = None,
) -> MMMData:
    """Load a bundled data set; `list_datasets` names them.

    ``min_rows`` and ``date_marks`` are those of `MMMData.from_dataframe`.

    Raises
    ------
    ValueError
        If there is no set of that name.
    """
    info = _info(name)
    settings = {"min_rows": min_rows, "date_marks": date_marks} | info.roles
    return MMMData.from_file(_find(f"{name}.csv"), "csv", **settings)


def dataset_roles(name: str) -> dict[str, Any]:
    """Return the column roles of a bundled set, as keywords of `from_dataframe`."""
    return dict(_info(name).roles)


@named_arguments
def load_truth(name: str) -> xr.Dataset | None:
    """Load the truth that a bundled set was simulated from; None for real data.

    The variables are those of `mmm_bayes.simulate.media_mix.SimulatedMMM.truth`.
    """
    if not _info(name).has_truth:
        return None
    with xr.open_dataset(_find(f"{name}_truth.nc"), engine="h5netcdf") as truth:
        return truth.load()


def list_datasets() -> pd.DataFrame:
    """Return one row per bundled set: sizes, source, licence, and whether the truth is known."""
    rows = []
    for info in DATASETS.values():
        data = load_dataset(info.name)
        rows.append(
            {
                "name": info.name,
                "title": info.title,
                "rows": data.num_dates * data.num_geos,
                "dates": data.num_dates,
                "geos": data.num_geos,
                "channels": len(data.channels),
                "controls": len(data.controls),
                "source": info.source,
                "licence": info.licence,
                "truth": info.has_truth,
            }
        )
    return pd.DataFrame(rows).set_index("name")


def data_card(name: str) -> str:
    """Return the data card of a bundled set, as Markdown."""
    _info(name)
    return _find(f"{name}.md").read_text(encoding="utf-8")


def _info(name: str) -> DatasetInfo:
    if name not in DATASETS:
        raise ValueError(
            f"There is no bundled data set {name!r}.{nearest(str(name), DATASETS)} Available are "
            f"{listing(DATASETS, 20)}."
        )
    return DATASETS[name]


def _find(file: str) -> Path:
    # An installed wheel has the files inside the package; a checkout has them next to it.
    places = (_HERE.parents[1] / "_datasets", _HERE.parents[2] / "data")
    for place in places:
        if (place / file).is_file():
            return place / file
    raise FileNotFoundError(
        f"The bundled file {file!r} is in neither {places[0]} nor {places[1]}. Reinstall mmm_bayes."
    )
