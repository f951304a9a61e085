"""Runs that are killed: whether they end with the draws of a run that was not, and what it costs.

Three parts, each printed as a table:

* a fit of the bundled weekly table is killed (SIGKILL) at a random moment between its first and
  its last draw, and the same call is made again, twenty times over; the draws are compared bit for
  bit with those of a run that nobody stopped;
* the time of a fit with a checkpoint every 50 draws and of one without, alternating;
* the time of a first fit in a fresh process without a cache of compiled programs, with an empty
  one, and with one that an earlier process filled.
"""

from __future__ import annotations

import hashlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import record

import mmm_bayes as mb
from mmm_bayes.runtime.progress import Silent

SETTINGS = {"num_warmup": 1000, "num_samples": 2000, "num_chains": 4}


_PARTS = 4 * 3000 // 50


class Says(Silent):
    """Prints that sampling has begun, and that it is over."""

    def __init__(self) -> None:
        self._begun = False

    def update(self, index: int, done: int, note: str = "") -> None:
        """Say that it has begun, once."""
        if not self._begun:
            self._begun = True
            print("sampling", flush=True)

    def message(self, text: str) -> None:
        """Say that it is over."""
        if text == "drawing predictions":
            print("drawn", flush=True)


def fit(folder: str | None, progress: Any = False) -> mb.FitResult:
    """Run one fit, with or without a checkpoint."""
    checkpoint = None if folder is None else mb.Checkpoint(folder, draws=50)
    model = mb.MMM(mb.load_dataset("national_weekly"), mb.ModelSpec())
    return model.fit(jax.random.key(7), checkpoint=checkpoint, progress=progress, **SETTINGS)


def digest(found: mb.FitResult) -> str:
    """Name of all numbers of the groups that follow from the draws."""
    result = hashlib.sha256()
    for group in ("posterior", "sample_stats", "posterior_predictive", "log_likelihood"):
        for name in sorted(found.tree[group].data_vars):
            result.update(np.ascontiguousarray(found.tree[group][name].values).tobytes())
    return result.hexdigest()


def child(task: str, folder: str) -> None:
    """Run the task of a child process."""
    began = time.perf_counter()
    if task != "plain":
        mb.use_compilation_cache(Path(folder) / "programs")
    if task == "kept":
        found = fit(str(Path(folder) / "run"), Says())
        resumed = found.tree["posterior"].attrs.get("resumed", 0.0)
        print("ended", digest(found), resumed, flush=True)
        return
    fit(None)
    print("ended", time.perf_counter() - began, time.process_time(), flush=True)


def start(task: str, folder: str) -> subprocess.Popen[str]:
    """Start this script for a task."""
    line = [sys.executable, __file__, "--task", task, "--folder", folder]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=record.ROOT)


def last_line(process: subprocess.Popen[str]) -> list[str]:
    """Return words of the last line a process prints, once it has ended."""
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"A run failed with {process.returncode}.")
    return out.splitlines()[-1].split()[1:]


def killed(rounds: int, seed: int) -> list[tuple[int, float, float, bool]]:
    """Kill and resume a fit; return when it was killed, the share resumed, and equality."""
    rng = np.random.default_rng(seed)
    rows = []
    with tempfile.TemporaryDirectory() as programs:
        whole = start("kept", programs)
        assert whole.stdout is not None
        whole.stdout.readline()
        began = time.perf_counter()
        whole.stdout.readline()
        length = time.perf_counter() - began
        wanted = last_line(whole)[0]
        for number in range(1, rounds + 1):
            with tempfile.TemporaryDirectory() as folder:
                os.symlink(Path(programs) / "programs", Path(folder) / "programs")
                share = float(rng.uniform(0.0, 0.95))
                process = start("kept", folder)
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(share * length)
                process.send_signal(signal.SIGKILL)
                process.communicate()
                found, resumed = last_line(start("kept", folder))
                rows.append((number, share, float(resumed), found == wanted))
                print(f"round {number}: {rows[-1][1:]}", file=sys.stderr, flush=True)
    return rows


def overhead(repetitions: int) -> list[tuple[str, float, float]]:
    """Return median seconds of fits with and without a checkpoint, compiled before."""
    seconds: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    fit(None)
    for _ in range(repetitions):
        for name, taken in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                wall, cpu = time.perf_counter(), time.process_time()
                fit(folder if name == "with" else None)
                taken.append((time.process_time() - cpu, time.perf_counter() - wall))
    return [
        (name, *(statistics.median(one[i] for one in taken) for i in (0, 1)))
        for name, taken in seconds.items()
    ]


def cached(repetitions: int) -> list[tuple[str, float, float]]:
    """Return median seconds of a first fit, by the state of the compilation cache."""
    rows: dict[str, list[list[float]]] = {"no cache": [], "empty cache": [], "filled cache": []}
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            for name, task in zip(rows, ("plain", "cached", "cached"), strict=True):
                rows[name].append([float(x) for x in last_line(start(task, folder))])
    return [
        (name, *(statistics.median(one[i] for one in taken) for i in (0, 1)))
        for name, taken in rows.items()
    ]


def main() -> None:
    """Measure, print, and write where asked."""
    options = record.parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=20, help="runs that are killed")
    options.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    options.add_argument("--repetitions", type=int, default=5, help="of the timings")
    options.add_argument("--task", help="for the script's own use")
    options.add_argument("--folder", help="for the script's own use")
    given = options.parse_args()
    if given.task:
        child(given.task, given.folder)
        return
    rows = killed(given.rounds, given.seed)
    equal = sum(row[-1] for row in rows)
    costs = overhead(given.repetitions)
    caches = cached(given.repetitions)
    record.publish(
        "survival",
        "Runs that are killed, and the cost of surviving",
        [
            "The bundled weekly table, default model, 4 chains of 1,000 + 2,000, float64; a "
            "checkpoint every 50 draws. Killed with SIGKILL at a random moment of sampling (as a "
            "share of its length in a run that nobody stops; where the machine is faster then, the "
            "draws may be complete), then the same call again.",
            f"**{equal} of {len(rows)} resumed runs equal the uninterrupted one in every bit** of "
            "posterior, sampler statistics, predictions and log likelihood.",
            record.table(("round", "killed at", "share resumed", "equal"), rows),
            f"Cost of a checkpoint every 50 draws: {costs[1][1] / costs[0][1] - 1:+.1%} CPU "
            f"(median of {given.repetitions}, alternating, programs compiled before): {_PARTS} "
            f"parts of {1000 * (costs[1][1] - costs[0][1]) / _PARTS:.1f} ms. By default there is "
            "one a minute and walk.",
            record.table(("checkpoint", "CPU s", "wall s"), costs),
            "First fit in a fresh process, from the import of nothing but the interpreter to the "
            "fit (`mb.use_compilation_cache(folder)`): a filled cache takes "
            f"{caches[2][2] / caches[0][2]:.2f} of the CPU time of none.",
            record.table(("compiled programs", "wall s", "CPU s"), caches),
        ],
        given.write,
    )


if __name__ == "__main__":
    main()
