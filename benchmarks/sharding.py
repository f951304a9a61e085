"""Chains and geos over four devices of a CPU and over one: same posterior, and the cost.

Devices of a CPU are threads of it (``--xla_force_host_platform_device_count=4``), so that more of
them are no faster than there are cores: the measure is the work that sharding adds. Each
layout runs in a process of its own; CPU seconds of warm-up and sampling count.
"""

from __future__ import annotations

import os
import statistics
import sys
from typing import Any

import record

LAYOUTS: dict[str, tuple[int, dict[str, Any]]] = {
    "1 device, chains in threads": (1, {}),
    "1 device, chains together": (1, {"chain_method": "vectorized"}),
    "4 devices: 4 chains x 1": (4, {"devices": "all"}),
    "4 devices: 2 chains x 2 geos": (4, {"devices": "all", "geo_devices": 2}),
    "4 devices: 1 x 4 geos": (4, {"devices": "all", "geo_devices": 4}),
}


def child(folder: str, given: Any) -> None:
    """Fit in one layout; leave the draws."""
    import jax

    import mmm_bayes as mb

    data = mb.simulate.mmm(
        jax.random.key(given.table), num_dates=given.dates, num_geos=given.geos, num_channels=3
    ).data
    options = LAYOUTS[given.layout][1]
    fit = mb.MMM(data, mb.ModelSpec()).fit(
        jax.random.key(given.seed), num_warmup=given.draws, num_samples=given.draws,
        progress=False, num_prior_draws=0, **options,
    )  # fmt: skip
    posterior = fit.tree["posterior"]
    attrs = posterior.attrs
    steps = sum(attrs["warmup_steps"]) + int(fit.tree["sample_stats"]["n_steps"].sum())
    figures = {
        "cpu": attrs["seconds_warmup_cpu"] + attrs["seconds_sampling_cpu"],
        "wall": attrs["seconds_warmup_wall"] + attrs["seconds_sampling_wall"],
        "compile": attrs["seconds_compile_wall"],
        "steps": steps,
    }
    roas = fit.roas()
    draws = {name: posterior[name].values for name in ("sigma", "alpha", "ec", "beta")}
    record.leave(folder, figures, draws | {"roas": roas.transpose("chain", "draw", ...).values})


def main() -> None:
    """Measure, print, and write where asked."""
    options = record.parser(__doc__ or "")
    for name, value, text in (
        ("--geos", 20, "geos"), ("--dates", 156, "dates"), ("--draws", 500, "warm-up and draws"),
        ("--table", 3, "seed of the table"), ("--seed", 1, "of the chains"),
        ("--repetitions", 3, "of each layout, taken in turn"),
    ):  # fmt: skip
        options.add_argument(name, type=int, default=value, help=text)
    options.add_argument("--layout", help="for the script's own use")
    given = options.parse_args()
    if given.child:
        child(given.child, given)
        return
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in LAYOUTS}
    draws: dict[str, Any] = {}
    arguments = [f"--{name}={getattr(given, name)}"
                 for name in ("geos", "dates", "draws", "table", "seed")]  # fmt: skip
    for _ in range(given.repetitions):
        for name, (devices, _options) in LAYOUTS.items():
            os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
            found, draws[name] = record.fresh_process([*arguments, "--layout", name])
            runs[name].append(found)
            print(name, found, file=sys.stderr, flush=True)
    first = next(iter(LAYOUTS))
    together = list(LAYOUTS)[1]
    rows = []
    for name, taken in runs.items():
        middle = record.medians(taken)
        each = {key: statistics.median(1e6 * r[key] / r["steps"] for r in taken)
                for key in ("cpu", "wall")}  # fmt: skip
        against = {key: statistics.median(1e6 * r[key] / r["steps"] for r in runs[together])
                   for key in ("cpu", "wall")}  # fmt: skip
        z, whose = (0.0, "") if name == first else record.disagreement(
            record.as_dataset(draws[first]), record.as_dataset(draws[name]))  # fmt: skip
        rows.append((name, middle["wall"], each["cpu"], each["cpu"] / against["cpu"],
                     each["wall"] / against["wall"], z, whose))  # fmt: skip
    record.publish(
        "sharding",
        "Chains and geos over devices",
        [
            f"A simulated table of {given.geos} geos, {given.dates} weeks and 3 channels, default "
            f"model, 4 chains of {given.draws} + {given.draws}, float64; medians of "
            f"{given.repetitions} fresh processes per layout. Trajectories differ with the "
            "rounding, "
            "so time is counted per leapfrog step (of one chain), relative to all chains together "
            "on one "
            "device. Agreement with the first row: the greatest |z| of means and standard "
            "deviations of sigma, alpha, ec, beta and ROAS (below 4 is Monte Carlo error).",
            record.table(
                ("layout", "wall s", "CPU us a step", "CPU, ratio", "wall, ratio", "greatest z",
                 "of"), rows,
            ),
        ],
        given.write,
    )  # fmt: skip


if __name__ == "__main__":
    main()
