"""Tables of other packages as a user would load them: column parts in one place.

The tables lie in ``shared/data`` next to the repository and are not part of it. `load` reads one,
`truth` gives the true ROAS and contributions where its authors publish them. Run this file for an
overview.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from mmm_bayes.data.load import read_frame
from mmm_bayes.data.schema import DataWarning, MMMData

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def folder() -> Path:
    """Return the folder of the tables: next to the repository, or under MMM_BAYES_SHARED_DIR."""
    return Path(os.environ.get("MMM_BAYES_SHARED_DIR", _BESIDE)) / "data"


def _meridian(n_channels: int, controls: list[str], organic: bool, **more: Any) -> dict[str, Any]:
    names = [f"Channel{i}" for i in range(n_channels)]
    roles = {
        "date": "time",
        "target": "conversions",
        "channels": {c: f"{c}_impression" for c in names},
        "spend": {c: f"{c}_spend" for c in names},
        "controls": controls,
        "revenue_per_target": "revenue_per_conversion",
        **more,
    }
    if organic:
        roles["channels"]["Organic0"] = "Organic_channel0_impression"
        roles["spend"]["Organic0"] = None
    return roles


_GEO = {"geo": "geo", "population": "population"}
_SALES_DRIVERS = ["competitor_sales_control", "sentiment_score_control", "Promo"]

ROLES: dict[str, dict[str, Any]] = {
    "lydia_pinkham": {"date": "year", "target": "sales", "channels": ["advertising"]},
    "meridian_national_all_channels": _meridian(5, _SALES_DRIVERS, organic=True),
    "meridian_geo_all_channels": _meridian(5, _SALES_DRIVERS, organic=True, **_GEO),
    "meridian_geo_media": _meridian(
        4, ["competitor_activity_score_control", "sentiment_score_control"], organic=False, **_GEO
    ),
    # `events` is text that marks two single weeks; a first model goes without it.
    "robyn_simulated_weekly": {
        "date": "DATE",
        "target": "revenue",
        "channels": {
            "tv": "tv_S",
            "ooh": "ooh_S",
            "print": "print_S",
            "facebook": "facebook_I",
            "search": "search_clicks_P",
            "newsletter": "newsletter",
        },
        "spend": {
            "tv": "tv_S",
            "ooh": "ooh_S",
            "print": "print_S",
            "facebook": "facebook_S",
            "search": "search_S",
            "newsletter": None,
        },
        "controls": ["competitor_sales_B"],
    },
    "pymcmarketing_mmm_example": {
        "date": "date_week",
        "target": "y",
        "channels": ["x1", "x2"],
        "controls": ["event_1", "event_2"],
    },
    # z is the confounder that their example takes as unobserved.
    "pymcmarketing_roas_data": {"date": "date", "target": "y", "channels": ["x1", "x2"]},
    "pymcmarketing_multidimensional_example": {
        "date": "date",
        "target": "y",
        "geo": "geo",
        "channels": ["x1", "x2"],
        "controls": ["event_1", "event_2"],
    },
    # brand_awareness is a mediator and noise_* are irrelevant: the causes are the controls.
    "mmmframework_national_mff": {
        "variable": "VariableName",
        "value": "VariableValue",
        "date": "Period",
        "target": "Sales",
        "channels": ["TV", "Search", "Social", "Display", "Video", "Radio", "Print"],
        "controls": [
            "category_demand",
            "distribution",
            "price",
            "competitor_promo",
            "weather",
            "holiday",
        ],
    },
}


def available() -> bool:
    """Return whether the tables are there."""
    return folder().is_dir()


def load(name: str, **changes: Any) -> MMMData:
    """Load a table; ``changes`` replace parts, for example ``channels`` or ``controls``."""
    if name not in ROLES:
        raise ValueError(f"There is no table {name!r}; there are {sorted(ROLES)}.")
    return MMMData.from_file(folder() / f"{name}.csv", **{**ROLES[name], **changes})


def load_reference() -> MMMData:
    """Load Meridian's national table as the speed figures use it: 5 channels, 3 controls."""
    return load("meridian_national_all_channels", **_paid("meridian_national_all_channels"))


def load_geo_reference() -> MMMData:
    """Load Meridian's 40 geos as the speed figures use them: 5 channels."""
    return load("meridian_geo_all_channels", **_paid("meridian_geo_all_channels"))


def _paid(name: str) -> dict[str, Any]:
    spend = {c: column for c, column in ROLES[name]["spend"].items() if column is not None}
    return {"spend": spend, "channels": {c: ROLES[name]["channels"][c] for c in spend}}


def truth(name: str) -> xr.Dataset | None:
    """Return the true total ``contribution`` and ``roas`` by channel, where known.

    ``roas`` is the contribution over the spend of the table. The ROAS that mmm-framework
    publishes differ from that by up to a fifth; they are kept as ``published_roas``.
    PyMC-Marketing's contribution is what sales lose with the channel off (``y - y01``).
    """
    if name == "mmmframework_national_mff":
        known = json.loads((folder() / "mmmframework_national_truth.json").read_text())
        gains, published = known["true_contribution"], known["true_roas"]
    elif name == "pymcmarketing_roas_data":
        frame = read_frame(folder() / f"{name}.csv")
        off = {"x1": "y01", "x2": "y02"}
        gains = {c: float((frame["y"] - frame[column]).sum()) for c, column in off.items()}
        published = None
    else:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        spend = load(name).ds["spend"].sum(("geo", "date")).sel(channel=list(gains))
    contribution = spend.copy(data=list(gains.values()))
    found = xr.Dataset({"contribution": contribution, "roas": contribution / spend})
    if published is not None:
        found["published_roas"] = spend.copy(data=[published[c] for c in gains])
    return found


def main() -> None:
    """Print one line per table."""
    rows = []
    for name in ROLES:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            data = load(name)
        rows.append(
            {
                "table": name,
                "geos": data.num_geos,
                "dates": data.num_dates,
                "step": data.time_step.alias,
                "channels": len(data.channels),
                "controls": len(data.controls),
                "warnings": len(data.findings),
                "truth": truth(name) is not None,
            }
        )
        for warning in caught:
            print(warning.message)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
