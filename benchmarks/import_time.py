"""Time of importing the package and NumPyro, each in fresh interpreters.

Files are in the operating system's cache after the first, uncounted round; the statements take
turns. What an interpreter takes to start and end is measured too, and taken off.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import record

BASE = "pass"
STATEMENTS = {
    "import numpyro": "import numpyro",
    "import mmm_bayes": "import mmm_bayes",
    "mmm_bayes.MMM": "import mmm_bayes; mmm_bayes.MMM",
    "mmm_bayes.MMM and mmm_bayes.MMMData": "import mmm_bayes as mb; mb.MMM, mb.MMMData",
    "every public name": "from mmm_bayes import *",
}


def seconds(statement: str) -> tuple[float, float]:
    """Return the wall and CPU seconds of an interpreter that runs one statement."""
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(record.ROOT), env.get("PYTHONPATH")]))
    cpu, wall = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=env)
    wall, done = time.perf_counter() - wall, os.times()
    used = done.children_user - cpu.children_user + done.children_system - cpu.children_system
    return wall, used


def main() -> None:
    """Time every statement in turn and print medians."""
    options = record.parser("Time of importing the package.")
    options.add_argument("--repetitions", type=int, default=9)
    given = options.parse_args()
    statements = {"an empty program": BASE, **STATEMENTS}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in statements}
    for repetition in range(given.repetitions + 1):
        for name, statement in statements.items():
            taken = seconds(statement)
            if repetition:
                found[name].append(taken)
    wall = {name: statistics.median(x[0] for x in own) for name, own in found.items()}
    cpu = {name: statistics.median(x[1] for x in own) for name, own in found.items()}
    empty = wall.pop("an empty program")
    empty_cpu = cpu.pop("an empty program")
    reference, reference_cpu = wall["import numpyro"] - empty, cpu["import numpyro"] - empty_cpu
    rows = [
        [
            f"`{name}`",
            wall[name] - empty,
            cpu[name] - empty_cpu,
            (wall[name] - empty) / reference,
            (cpu[name] - empty_cpu) / reference_cpu,
        ]
        for name in wall
    ]
    header = ["statement", "wall, s", "CPU, s", "wall over NumPyro", "CPU over NumPyro"]
    parts = [
        f"Medians over {given.repetitions} fresh interpreters each, less an empty program "
        f"({empty:.3f} s). Public names load on first use. Wanted: `import mmm_bayes` under twice "
        "`import numpyro`.",
        record.table(header, rows),
    ]
    record.publish("import_time", "Time of importing", parts, given.write)


if __name__ == "__main__":
    main()
