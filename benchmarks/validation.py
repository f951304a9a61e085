"""Forecasts over rolling origins: bundled tables and those of other packages, and what it costs.

One rule makes every specification (that of ``real_tables.py``) and every plan of folds: 13 rows
ahead (3 where a row is a year) from origins in the second half of the table, no row forecast
twice. Nothing was chosen by looking at the scores. With ``--store`` a stopped run goes on.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import record
import shared_tables
from real_tables import specification

import mmm_bayes as mb
from mmm_bayes.validation.cross_validation import (
    full_fit,
    k_fold,
    leave_future_out,
    leave_one_out,
)
from mmm_bayes.validation.rolling import rolling_origin
from mmm_bayes.validation.rolling_result import RollingOrigin

BUNDLED = ("national_weekly", "geo_weekly", "lydia_pinkham")
# Those of many geos last: they take the longest.
TABLES = tuple(
    sorted(
        {*BUNDLED, *shared_tables.ROLES},
        key=lambda name: (
            name.startswith("meridian_geo"),
            "geo" in name,
            name not in BUNDLED,
            name,
        ),
    )
)
LOW, HIGH = 0.80, 0.97  # where the coverage of 90% intervals should be


def load(name: str) -> mb.MMMData:
    """Return a table by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        return mb.load_dataset(name) if name in BUNDLED else shared_tables.load(name)


def plan(data: mb.MMMData, most: int) -> dict[str, int]:
    """Return horizon and number of folds, by one rule for all tables."""
    horizon = 3 if data.time_step.days > 180 else 13
    return {"horizon": horizon, "num_folds": max(1, min(most, data.num_dates // 2 // horizon))}


def validated(name: str, errors: str, given: Any) -> RollingOrigin:
    """Forecast a table from rolling origins."""
    data = load(name)
    store = None if given.store is None else Path(given.store) / f"{name}_{errors}"
    return rolling_origin(
        jax.random.key(given.seed),
        mb.MMM(data, specification(data)),
        errors=errors,  # type: ignore[arg-type]
        store=store,
        num_warmup=given.warmup,
        num_samples=given.samples,
        **plan(data, given.folds),
    )


def score_row(name: str, found: RollingOrigin, *, total: bool = False) -> list[Any]:
    """Return a row of scores; with ``total``, of the sum over geos."""
    row = found.summary(total=total).iloc[0]
    label = f"{name}, all geos together" if total else name
    inside = LOW <= row["coverage_90"] <= HIGH
    return [
        label,
        f"{row['n']:.0f}",
        f"{row['mape']:.1%}" if row["mape"] < 2 else "(near zero)",
        f"{row['wape']:.1%}",
        f"{row['mase']:.2f}",
        f"{row['skill']:+.0%}",
        f"{row['coverage_50']:.0%}",
        f"{row['coverage_90']:.0%}",
        inside,
        f"{row['width_90']:.0%}",
    ]


def stability_row(name: str, found: RollingOrigin) -> list[Any]:
    """Return how far the ROAS of the channels moved."""
    table = found.roas_stability()
    worst = table["max_z"].idxmax()
    return [
        name,
        len(table),
        f"{table['cv'].median():.0%}",
        f"{table['cv'].max():.0%}",
        f"{worst}: {table['lowest'][worst]:.2f} to {table['highest'][worst]:.2f}",
        f"{table['max_z'].max():.1f}",
        f"{max(fold.rhat for fold in found.folds):.3f}",
        sum(fold.divergent for fold in found.folds),
        found.folds[0].seconds,
        float(np.median([fold.seconds for fold in found.folds[1:]] or [np.nan])),
    ]


def cross_validation_rows(name: str, given: Any) -> list[list[Any]]:
    """Return the expected log predictive density by every method, with fits and seconds."""
    data, key = load(name), jax.random.key(given.seed)
    spec = specification(data)
    sampler = spec.sampler.model_copy(
        update={"num_warmup": given.warmup, "num_samples": given.samples}
    )
    spec = spec.evolve(sampler=sampler)
    model = mb.MMM(data, spec)
    full = full_fit(key, spec, data)
    leave_one_out(full)  # compiles the densities
    rows = []
    origins = data.num_dates - (2 * data.num_dates) // 3
    for label, run in (
        ("LOO (PSIS)", lambda: leave_one_out(full)),
        ("10 folds, blocks of dates", lambda: k_fold(key, model, full=full)),
        ("10 folds, random rows", lambda: k_fold(key, model, by="rows", full=full)),
        ("LFO, PSIS between fits", lambda: leave_future_out(key, model, full=full)),
        ("LFO, exact", lambda: leave_future_out(key, model, method="exact", full=full)),
    ):
        began = time.perf_counter()
        found = run()
        seconds = time.perf_counter() - began
        fits = getattr(found, "n_folds", 0) or getattr(found, "n_refits", 0)
        fits += int(label.startswith("LFO, PSIS"))
        rows.append([f"{name}: {label}", found.n_data_points, found.elpd, found.se, fits, seconds])
    assert rows[-1][1] == origins
    return rows


def main() -> None:
    """Validate every table and print scores, stability and costs."""
    options = record.parser("Rolling-origin validation of bundled and shared tables.")
    options.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES)
    options.add_argument("--folds", type=int, default=8, help="most folds per table")
    options.add_argument("--warmup", type=int, default=500)
    options.add_argument("--samples", type=int, default=500)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--store", help="folder of finished folds")
    given = options.parse_args()
    record.require_tables()
    scores, stability, independent = [], [], []
    for name in given.tables:
        found = validated(name, "auto", given)
        scores.append(score_row(name, found))
        if found.data.num_geos > 1:
            scores.append(score_row(name, found, total=True))
        stability.append(stability_row(name, found))
        print(f"{name}\n{found}", flush=True)
        if found.data.num_geos == 1:
            independent.append(score_row(name, validated(name, "independent", given)))
    header = ["table", "forecasts", "MAPE", "WAPE", "MASE", "CRPS against seasonal naive"]
    header += ["coverage of 50%", "of 90%", f"within {LOW:.0%}-{HIGH:.0%}", "width of 90%"]
    held = sum(bool(row[-2]) for row in scores)
    costs = ["table", "channels", "median CV of ROAS", "largest", "ROAS that moves most"]
    costs += ["max z", "greatest R-hat", "divergent draws", "first fold, s", "later folds, s"]
    cross = [
        row for n in ("national_weekly", "lydia_pinkham") for row in cross_validation_rows(n, given)
    ]
    parts = [
        "Forecasts of 13 rows (3 where a row is a year) from origins in the second half of each "
        f"table, at most {given.folds}, no row forecast twice; spends and controls of the forecast "
        "rows are the table's. Specifications as in [real_tables](real_tables.md): one rule for "
        f"all. 4 chains of {given.warmup} + {given.samples}. Errors are of medians; MASE is over "
        "the error of the seasonal naive within the training rows (the last value where there is "
        "no second season); CRPS against the seasonal naive with its own past errors as "
        "distribution: +50% is half its score. Width of 90% intervals over the mean target. "
        f"Coverage is within {LOW:.0%}-{HIGH:.0%} in {held} of {len(scores)} rows. Forecasts of a "
        "fold share their errors: with 6 folds of 13, coverage is known to some 5 points.",
        record.table(header, scores),
        'The same with noise as independent as the likelihood has it (`errors="independent"`; '
        "national tables). The default carries the last residuals on with their autocorrelation: "
        "where there is none, nothing changes.\n\n" + record.table(header, independent),
        "ROAS over the dates that all folds were trained on: how far medians move from fold to "
        "fold, with the greatest difference of two folds in standard deviations of both. All folds "
        "run in one compiled program, so that only the first waits for it.\n\n"
        + record.table(costs, stability),
        "Expected log predictive density. LFO forecasts the last third of the dates one ahead; "
        "its sums are of fewer rows than the others'. `fits` are those beside the fit of the whole "
        "table.\n\n"
        + record.table(["method", "points", "elpd", "standard error", "fits", "seconds"], cross),
    ]
    record.publish("validation", "Forecasts over rolling origins", parts, given.write)


if __name__ == "__main__":
    main()
