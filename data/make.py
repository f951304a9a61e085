"""Write the simulated data sets of this folder again: ``python data/make.py``.

Each file is the output of `mmm_bayes.simulate.mmm` under the settings below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from mmm_bayes import simulate
from mmm_bayes.simulate.media_mix import SimulatedMMM

SETTINGS: dict[str, dict[str, Any]] = {
    "national_weekly": {
        "seed": 2024,
        "num_dates": 156,
        "num_channels": 5,
        "num_controls": 2,
        "confounding": 0.8,
        "media_share": 0.28,
        "noise": 0.3,
        # Television lasts and starts slowly, search acts at once and saturates early.
        "parameters": {
            "alpha": [0.70, 0.45, 0.15, 0.35, 0.55],
            "ec": [1.20, 0.90, 0.70, 1.00, 1.40],
            "slope": [1.60, 1.20, 0.90, 1.00, 1.30],
            "roas": [2.60, 1.50, 3.20, 2.00, 0.80],
        },
    },
    "geo_weekly": {
        "seed": 7,
        "num_dates": 104,
        "num_geos": 12,
        "num_channels": 4,
        "num_controls": 2,
        "impressions": True,
        "noise": 0.35,
        "parameters": {
            "alpha": [0.65, 0.45, 0.20, 0.35],
            "ec": [1.10, 0.80, 0.70, 1.30],
            "slope": [1.50, 1.20, 1.00, 0.90],
            "roas": [1.40, 0.80, 2.20, 1.80],
        },
    },
}


def drawn(name: str) -> SimulatedMMM:
    """Draw one of the sets."""
    settings = dict(SETTINGS[name])
    return simulate.mmm(jax.random.key(settings.pop("seed")), **settings)


def write(folder: Path) -> None:
    """Write tables and truths."""
    for name in SETTINGS:
        made = drawn(name)
        made.data.to_frame().to_csv(folder / f"{name}.csv", index=False, date_format="%Y-%m-%d")
        truth = made.truth
        encoding = {v: {"zlib": True, "complevel": 9} for v in truth.data_vars if truth[v].ndim > 1}
        truth.to_netcdf(folder / f"{name}_truth.nc", engine="h5netcdf", encoding=encoding)


if __name__ == "__main__":
    write(Path(__file__).resolve().parent)
