"""What sharing the shops of a step out over devices costs, and how near the results are.

One training on one device and on four, each in a fresh process that sees four devices (forced host
devices of XLA). They share the cores of this machine, so that four cannot be faster than the cores
are: what the table says is how much more CPU time the same work takes when it is shared out, and
how far losses and edges are from each other.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import jax
import numpy as np
import record

from mmm_bayes import simulate
from mmm_bayes.causal_mmm import CausalMMM

EPOCHS, DEVICES = 6, 4
CASES: dict[str, dict[str, Any]] = {
    "additive, batches of 32": {"batch_size": 32, "rounds": 0},
    "additive, batches of 18": {"batch_size": 18, "rounds": 0},
    "recurrent, hidden 64, batches of 32": {
        "batch_size": 32,
        "decoder": "recurrent",
        "encoder": "series",
        "hidden": 64,
        "embedding": 0,
        "components": 0,
        "learning_rate": 0.001,
    },
}


def child(folder: str, case: str, devices: int | None) -> None:
    """Train one case; leave seconds of an epoch (the first, which compiles, apart) and losses."""
    panel = simulate.shops(jax.random.key(0), num_shops=96, num_channels=7, num_dates=100)
    cpu, wall = [time.process_time()], [time.perf_counter()]

    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        cpu.append(time.process_time())
        wall.append(time.perf_counter())

    cm = CausalMMM(epochs=EPOCHS, **CASES[case])
    cm.fit(jax.random.key(1), panel, on_epoch=on_epoch, devices=devices)
    figures = {
        "cpu": float(np.median(np.diff(cpu)[1:])),
        "wall": float(np.median(np.diff(wall)[1:])),
        "first": float(np.diff(cpu)[0]),
    }
    edges = cm.edge_probabilities(refine=False).values
    record.leave(folder, figures, {"loss": cm.history["loss"].values, "edges": edges})


def main() -> None:
    """Print the table."""
    options = record.parser("Shops shared out over devices.")
    options.add_argument("--case", choices=list(CASES), help="of a child process")
    options.add_argument("--devices", type=int, help="of a child process")
    given = options.parse_args()
    if given.child:
        child(given.child, given.case, given.devices)
        return
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
    rows = []
    for case in CASES:
        one, draws_one = record.fresh_process(["--case", case])
        four, draws_four = record.fresh_process(["--case", case, "--devices", str(DEVICES)])
        loss = np.abs(draws_four["loss"] / draws_one["loss"] - 1.0).max()
        edges = np.abs(draws_four["edges"] - draws_one["edges"]).max()
        rows.append(
            [
                case,
                one["cpu"],
                four["cpu"],
                four["cpu"] / one["cpu"],
                one["wall"],
                four["wall"],
                four["wall"] / one["wall"],
                float(loss),
                float(edges),
            ]
        )
    header = [
        "96 shops, 8 series, 100 steps",
        "CPU s, 1 device",
        f"CPU s, {DEVICES}",
        "ratio",
        "wall s, 1 device",
        f"wall s, {DEVICES}",
        "ratio",
        "losses, relative",
        "edges, absolute",
    ]
    parts = [
        f"An epoch on one device and on {DEVICES} forced host devices of the same cores, median of "
        f"{EPOCHS - 1} after one that compiles. CPU time is the figure to read: the cores are "
        "fewer than "
        "the devices, and others may use them. The last columns are the greatest differences of "
        "losses and of the encoder's edge probabilities; 18 is no multiple of 4, so that two of "
        "20 places stay empty.",
        record.table(header, rows),
    ]
    record.publish("sharded_shops", "Shops shared out over devices", parts, given.write)


if __name__ == "__main__":
    sys.exit(main())
