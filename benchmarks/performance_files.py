"""Tables, reports, imports and files of fits: time and size."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import performance_timing as timing
import record
from performance_ratios import Found, rows_of

# --- Loading -------------------------------------------------------------------------------------


def wide_table(geos: int, weeks: int) -> Any:
    """Return a table with rows in turn by geo: 5 channels, 3 controls, population."""
    import pandas as pd

    rng = np.random.default_rng(0)
    count = geos * weeks
    dates = pd.date_range("2014-01-06", periods=weeks, freq="W-MON")
    columns: dict[str, Any] = {
        "geo": np.repeat([f"geo_{g:04d}" for g in range(geos)], weeks),
        "date": np.tile(dates, geos),
        "sales": rng.gamma(9.0, 1e4, count).round(2),
    }
    columns |= {f"channel_{c}": rng.gamma(2.0, 5e2, count).round(2) for c in range(5)}
    columns |= {f"control_{c}": rng.normal(size=count).round(4) for c in range(3)}
    columns["population"] = np.repeat(rng.integers(10_000, 10_000_000, geos), weeks)
    return pd.DataFrame(columns)


ROLES: dict[str, Any] = {
    "date": "date",
    "geo": "geo",
    "target": "sales",
    "population": "population",
    "channels": [f"channel_{c}" for c in range(5)],
    "controls": [f"control_{c}" for c in range(3)],
}


def pivoted(df: Any) -> dict[str, np.ndarray]:
    """Pivot the naive way: one array (geo, date) per column, nothing checked."""
    names = ["sales", *ROLES["channels"], *ROLES["controls"], "population"]
    return {
        name: df.pivot(index="geo", columns="date", values=name).to_numpy(float) for name in names
    }


def loader(geos: int, weeks: int, repetitions: int) -> Found:
    """Time loading into labelled, checked arrays, and pandas reading and pivoting."""
    import pandas as pd

    from mmm_bayes import MMMData

    df = wide_table(geos, weeks)
    with tempfile.TemporaryDirectory() as folder:
        csv, parquet = Path(folder, "table.csv"), Path(folder, "table.parquet")
        df.to_csv(csv, index=False)
        df.to_parquet(parquet)
        ways: dict[str, Callable[[], Any]] = {
            "csv, pandas": lambda: pivoted(pd.read_csv(csv, parse_dates=["date"])),
            "csv, package": lambda: MMMData.from_csv(csv, **ROLES),
            "parquet, pandas": lambda: pivoted(pd.read_parquet(parquet)),
            "parquet, package": lambda: MMMData.from_parquet(parquet, **ROLES),
            "frame, pandas": lambda: pivoted(df),
            "frame, package": lambda: MMMData.from_dataframe(df, **ROLES),
        }
        found: Found = {"ways": timing.alternating(ways, repetitions), "rows": len(df)}
    data, plain = MMMData.from_dataframe(df, **ROLES), pivoted(df)
    found["same"] = bool(
        np.array_equal(data.ds["target"].values, plain["sales"])
        and np.array_equal(data.ds["exposure"].values[..., 0], plain["channel_0"])
    )
    return found


def loader_text(found: Found, given: dict[str, Any]) -> list[str]:
    rows = []
    for source in ("csv", "parquet", "frame"):
        plain, ours = (found["ways"][f"{source}, {way}"] for way in ("pandas", "package"))
        rows.append([source, plain["cpu"], ours["cpu"], plain["wall"], ours["wall"],
                     int(found["rows"] / ours["cpu"]), ours["cpu"] / plain["cpu"]])  # fmt: skip
    return [
        f"{given['geos']:,} geos x {given['weeks']} weeks = {found['rows']:,} rows, 5 channels, 3 "
        "controls, population; `MMMData`, which checks every cell and the panel, against pandas "
        f"reading and one `pivot` a column, which checks nothing (arrays "
        f"{'equal' if found['same'] else 'DIFFERENT'}). Medians of {given['repetitions']} runs in "
        "turn; seed 0.",
        record.table(
            ["from", "pandas, CPU s", "package, CPU s", "pandas, wall s", "package, wall s",
             "package, rows a CPU s", "package over pandas, CPU"], rows,
        ),
    ]  # fmt: skip


# --- Reports, imports, files ---------------------------------------------------------------------


def saved_fit(path: Path, draws: int) -> Path:
    """Return a fit of the bundled national table, made if it is not there."""
    if not path.exists():
        import jax
        import performance_samplers

        model = performance_samplers.model_of("national", draws, 10_000)
        model.fit(jax.random.key(0), progress=False).save(path)
    return path


def report_child(given: Any) -> None:
    """Load a fit and write its report, in this process."""
    import jax  # noqa: F401

    from mmm_bayes.model import store
    from mmm_bayes.present.report import write_report

    imported = time.time() - given.began
    fitted = store.load(given.fit)
    with tempfile.TemporaryDirectory() as folder:
        path, cpu, wall = timing.clocked(
            functools.partial(write_report, fitted, Path(folder, "report.html"))
        )
        size = path.stat().st_size
    figures = {"cpu": cpu, "wall": wall, "bytes": size, "before": imported}
    record.leave(given.child, figures | {"all_cpu": time.process_time()})


def report(folder: Path, draws: int, repetitions: int) -> Found:
    """Time reports written by fresh processes."""
    fit = saved_fit(folder / f"fit_{draws}.nc", draws)
    arguments = ["--way", "report", "--fit", str(fit)]
    runs = [record.fresh_process(arguments)[0] for _ in range(repetitions)]
    return timing.middle(runs) | {"fit": fit.stat().st_size}


def report_text(found: Found, given: dict[str, Any]) -> list[str]:
    row = ["national", found["cpu"], found["wall"], found["all_cpu"], found["bytes"] / 1e6,
           found["fit"] / 1e6]  # fmt: skip
    draws = given["draws"]
    return [
        f"The report of a fit of the bundled national table (4 chains of {draws} + {draws}, seed "
        f"0), recommended budget and compilation included; medians of {given['repetitions']} fresh "
        "processes.",
        record.table(
            ["report", "CPU s", "wall s", "CPU s with imports", "MB", "fit's file, MB"], [row]
        ),
    ]


STATEMENTS = {
    "an empty program": "pass",
    "import numpyro": "import numpyro",
    "import mmm_bayes": "import mmm_bayes",
    "mmm_bayes.MMM": "import mmm_bayes; mmm_bayes.MMM",
}


def imports(repetitions: int, uncounted: int) -> Found:
    """Time statements in turn in fresh interpreters."""
    import import_time

    runs: dict[str, list[Found]] = {name: [] for name in STATEMENTS}
    for repetition in range(repetitions + uncounted):
        for name, statement in STATEMENTS.items():
            wall, cpu = import_time.seconds(statement)
            if repetition >= uncounted:
                runs[name].append({"cpu": cpu, "wall": wall})
    return {name: timing.middle(own) for name, own in runs.items()}


def imports_text(found: Found, given: dict[str, Any]) -> list[str]:
    empty = found["an empty program"]
    net = {
        name: {clock: max(own[clock] - empty[clock], 1e-6) for clock in ("cpu", "wall")}
        for name, own in found.items()
        if own is not empty
    }
    return [
        f"Medians of {given['repetitions']} fresh interpreters in turn after {given['uncounted']} "
        "that do not count, less an empty program.",
        record.table(
            ["statement", "CPU s", "wall s", "times NumPyro, CPU"],
            [[f"`{row[0]}`", *row[1:]] for row in rows_of(net, "import numpyro", 1.0)],
        ),
    ]


def files(folder: Path, draws: int, repetitions: int) -> Found:
    """Time saving and loading a fit, and xarray on the same groups of arrays."""
    import xarray as xr

    from mmm_bayes.model import store

    fitted = store.load(saved_fit(folder / f"fit_{draws}.nc", draws))
    tree = fitted.tree
    size = sum(x.nbytes for group in tree.subtree for x in group.to_dataset(inherit=False).values())
    with tempfile.TemporaryDirectory() as kept:
        ours, plain = Path(kept, "ours.nc"), Path(kept, "plain.nc")

        def open_plain() -> Any:
            with xr.open_datatree(plain, engine="h5netcdf") as opened:
                return opened.load()

        save = {
            "package": lambda: store.save(fitted, ours),
            "xarray": lambda: tree.to_netcdf(plain, engine="h5netcdf"),
        }
        found: Found = {"save": timing.alternating(save, repetitions)}
        load = {"package": lambda: store.load(ours), "xarray": open_plain}
        found["load"] = timing.alternating(load, repetitions)
        found |= {"bytes": ours.stat().st_size, "plain": plain.stat().st_size, "arrays": size}
    return found | {"formula": stored_bytes(fitted)}


def stored_bytes(fitted: Any) -> int:
    """Return the bytes that `performance_paper.stored` predicts for this fit."""
    import performance_paper

    import mmm_bayes as mb

    draws = fitted.tree["posterior"].sizes
    prior = fitted.tree["prior"].sizes["draw"] if "prior" in fitted.tree else 0
    model = mb.MMM(fitted.data, fitted.spec)
    estimate = model.memory(
        num_prior_draws=prior, num_chains=draws["chain"], num_samples=draws["draw"]
    )
    return performance_paper.stored(estimate.host)


def files_text(found: Found, given: dict[str, Any]) -> list[str]:
    rows = []
    for what in ("save", "load"):
        ours, plain = found[what]["package"], found[what]["xarray"]
        speed = [found["arrays"] / 1e6 / own["cpu"] for own in (plain, ours)]
        rows.append([what, *speed, plain["wall"], ours["wall"], ours["cpu"] / plain["cpu"]])
    return [
        f"The same fit: {found['arrays'] / 1e6:.1f} MB of arrays, {found['bytes'] / 1e6:.1f} MB "
        f"as a file ({found['plain'] / 1e6:.1f} by xarray alone). Ours writes to a temporary file, "
        "flushes to disk and renames; loading checks table and draws. Medians of "
        f"{given['repetitions']} runs in turn.",
        record.table(
            ["", "xarray, MB a CPU s", "package, MB a CPU s", "xarray, wall s", "package, wall s",
             "package over xarray, CPU"], rows,
        ),
    ]  # fmt: skip
