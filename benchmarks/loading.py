"""Time of loading a table, compared with what pandas needs to read and reshape the same file.

Each table is written once as CSV. `MMMData.from_csv` reads and checks it; pandas reads it with
`read_csv` and turns it to (date, geo) with `pivot`. The two take turns, after an uncounted round
(imports, files in the operating system's cache).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import record

import mmm_bayes as mb

CHANNELS = [f"channel_{k}" for k in range(5)]
# Geos and dates: the rows double with the dates, then with the geos.
SIZES = [(1, 520), (250, 520), (500, 520), (1000, 520), (1500, 60), (3000, 60), (6000, 60)]


def write_table(path: Path, num_geos: int, num_dates: int) -> None:
    """Write a table with five channels of spend."""
    rng = np.random.default_rng(0)
    rows = num_geos * num_dates
    dates = pd.date_range("2014-01-06", periods=num_dates, freq="W-MON")
    frame = pd.DataFrame({"week": np.tile(dates, num_geos)})
    frame["geo"] = np.repeat([f"geo_{g}" for g in range(num_geos)], num_dates)
    for name in CHANNELS:
        frame[name] = rng.gamma(2, 5, rows).round(2)
    frame["revenue"] = (200 + frame[CHANNELS[0]] + rng.normal(0, 5, rows)).round(2)
    frame.to_csv(path, index=False)


def ours(path: Path) -> None:
    """Load and check the table."""
    mb.MMMData.from_csv(path, date="week", target="revenue", channels=CHANNELS, geo="geo")


def pandas_alone(path: Path) -> None:
    """Read the table and reshape it, without any check."""
    pd.read_csv(path).pivot(index="week", columns="geo")


def cpu_seconds(call: Callable[[Path], None], path: Path) -> float:
    """Return the CPU seconds of one call."""
    began = time.process_time()
    call(path)
    return time.process_time() - began


def main() -> None:
    """Time both on every table and print medians."""
    options = record.parser("Time of loading a table.")
    options.add_argument("--repetitions", type=int, default=5)
    given = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for num_geos, num_dates in SIZES:
            path = Path(folder) / f"{num_geos}_{num_dates}.csv"
            write_table(path, num_geos, num_dates)
            found: dict[Callable[[Path], None], list[float]] = {ours: [], pandas_alone: []}
            for repetition in range(given.repetitions + 1):
                for call, taken in found.items():
                    seconds = cpu_seconds(call, path)
                    if repetition:
                        taken.append(seconds)
            loaded, plain = (statistics.median(taken) for taken in found.values())
            total = num_geos * num_dates
            rows.append(
                [num_geos, num_dates, f"{total:,}", loaded, plain, loaded / plain,
                 1e6 * loaded / total]
            )  # fmt: skip
    header = ["geos", "dates", "rows", "loading, CPU s", "pandas, CPU s", "ratio", "µs per row"]
    parts = [
        f"Medians of {given.repetitions} loads in one process, in turns, after one that does not "
        "count. The table has five channels; `from_csv` also finds how the file is written, reads "
        "dates and labels, and checks cells, panel, units and collinearity. pandas: `read_csv` and "
        "`pivot`. Wanted: at most three times pandas for large tables, constant time per row.",
        record.table(header, rows),
    ]
    record.publish("loading", "Time of loading a table", parts, given.write)


if __name__ == "__main__":
    main()
