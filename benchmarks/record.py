"""Shared by all benchmarks: fresh processes, agreement of draws, Markdown tables, pages."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pages
import xarray as xr

ROOT, RESULTS = pages.ROOT, pages.RESULTS
_PACKAGES = ("jax", "numpyro", "numpy", "arviz")
_MISSING_TABLES = (
    "The tables of other packages are not at {folder}. Put them there, or name their folder's "
    "parent in the environment variable MMM_BAYES_SHARED_DIR."
)


def parser(text: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    result = argparse.ArgumentParser(
        description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    result.add_argument("--write", action="store_true", help="keep the result in docs/results")
    for name, kind in (("--child", str), ("--began", float)):
        result.add_argument(name, type=kind, help=argparse.SUPPRESS)
    return result


def require_tables() -> None:
    """Exit with a message if the tables of other packages are missing."""
    import shared_tables

    if not shared_tables.available():
        raise SystemExit(_MISSING_TABLES.format(folder=shared_tables.folder()))


def machine() -> str:
    """Describe the machine and the versions of this run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    python = f"Python {platform.python_version()}"
    return f"{cores} cores, CPU ({platform.machine()}); {python}, {versions}"


def command() -> str:
    """Return the command line of this run, as typed in the root of the repository."""
    script = Path(sys.argv[0]).resolve()
    shown = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script.name
    return " ".join(["python", str(shown), *sys.argv[1:]])


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; the first column is text, the others are right-aligned."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    lines = [header, rule, *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    """Format a number to three or four significant digits; text stays."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return str(value)
    if not np.isfinite(value):
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        digits = max(0, 3 - int(np.floor(np.log10(abs(value)))) - 1) if value else 0
        return f"{value:.{digits}f}"
    return f"{value:.2e}"


def publish(name: str, title: str, parts: Iterable[str], write: bool) -> None:
    """Print a result; with ``write``, also keep it as ``docs/results/NAME.md``.

    A section "What follows" that somebody has written on that page stays: read it again.
    """
    page = RESULTS / f"{name}.md"
    last = [f"Machine: {machine()}.", f"Command: `{command()}`", pages.sources_line(name)]
    text = "\n\n".join([f"# {title}", *parts, *_conclusions(page), *last])
    print(text, flush=True)
    if write:
        RESULTS.mkdir(parents=True, exist_ok=True)
        page.write_text(text + "\n", encoding="utf-8")


def _conclusions(page: Path) -> list[str]:
    """Return the section "What follows" of a page, if it has one."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return re.findall(r"^## What follows\n.*?(?=\n+^Machine: )", text, re.DOTALL | re.MULTILINE)


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median over runs of every figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def fresh_process(arguments: Sequence[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Run the calling script again in a new interpreter; return the figures and draws it leaves.

    The child gets ``--child FOLDER`` and ``--began``, the time at which it was started, and answers
    through `leave`. No compilation is carried over: a persistent cache of JAX is taken out of its
    environment.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPIL")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, sys.argv[0], *arguments, "--child", folder]
        line += ["--began", repr(time.time())]
        done = subprocess.run(line, env=env, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(line)} failed:\n{done.stderr[-4000:]}")
        figures = json.loads(Path(folder, "figures.json").read_text(encoding="utf-8"))
        draws = Path(folder, "draws.npz")
        return figures, dict(np.load(draws)) if draws.exists() else {}


def resumed_process(
    keep: Path | None, arguments: Sequence[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what `fresh_process` returns, from the folder ``keep`` if it was run before.

    The folder holds one pair of files per run, named after its arguments.
    """
    if keep is None:
        return fresh_process(arguments)
    name = re.sub(r"[^a-z0-9.]+", "_", " ".join(arguments).lower()).strip("_")
    figures_file, draws_file = keep / f"{name}.json", keep / f"{name}.npz"
    if not figures_file.exists():
        figures, draws = fresh_process(arguments)
        keep.mkdir(parents=True, exist_ok=True)
        if draws:
            np.savez(draws_file, **draws)
        figures_file.write_text(json.dumps(figures), encoding="utf-8")
    figures = json.loads(figures_file.read_text(encoding="utf-8"))
    return figures, dict(np.load(draws_file)) if draws_file.exists() else {}


def leave(folder: str, figures: Mapping[str, Any], draws: Mapping[str, Any] | None = None) -> None:
    """Hand figures and draws (chain, draw, ...) to the parent process."""
    Path(folder, "figures.json").write_text(json.dumps(figures), encoding="utf-8")
    if draws is not None:
        np.savez(Path(folder, "draws.npz"), **{name: np.asarray(x) for name, x in draws.items()})


def as_dataset(draws: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Label draws (chain, draw, ...) by name."""
    return xr.Dataset(
        {
            name: (("chain", "draw", *(f"{name}_{axis}" for axis in range(x.ndim - 2))), x)
            for name, x in draws.items()
        }
    )


def scalars(ds: xr.Dataset) -> dict[str, float]:
    """Flatten a dataset without draws to one number a coordinate."""
    found = {}
    for name, value in ds.data_vars.items():
        for index in np.ndindex(value.shape):
            found[f"{name}{list(index) if index else ''}"] = float(value.values[index])
    return found


def without_constants(ds: xr.Dataset) -> xr.Dataset:
    """Drop variables that do not move (fixed by the model)."""
    moving = [name for name, x in ds.data_vars.items() if float(np.ptp(x.values)) > 0]
    return ds[moving]


def worst(ds: xr.Dataset) -> dict[str, Any]:
    """Return the least bulk and tail ESS and the greatest R-hat, with whose they are."""
    import arviz_stats

    ds = without_constants(ds)
    bulk = scalars(arviz_stats.ess(ds, method="bulk"))
    tail = scalars(arviz_stats.ess(ds, method="tail"))
    rhat = scalars(arviz_stats.rhat(ds))
    least, most = min(bulk, key=lambda k: bulk[k]), max(rhat, key=lambda k: rhat[k])
    return {
        "parameters": len(bulk),
        "ess_bulk": bulk[least],
        "ess_bulk_of": least,
        "ess_tail": min(tail.values()),
        "rhat": rhat[most],
        "rhat_of": most,
    }


def disagreement(one: xr.Dataset, other: xr.Dataset) -> tuple[float, str]:
    """Return the greatest |z| of differences of means and standard deviations, and whose it is.

    ``z`` is the difference over its Monte Carlo standard error, so that two runs on the same
    posterior stay below 4 except once in thousands of quantities.
    """
    import arviz_stats

    found: dict[str, float] = {}
    for method in ("mean", "sd"):
        sizes = []
        for ds in (one, other):
            # Of the chain and the draw together: the spread over all draws.
            value = ds.mean(("chain", "draw")) if method == "mean" else ds.std(("chain", "draw"))
            sizes.append((scalars(value), scalars(arviz_stats.mcse(ds, method=method))))
        (a, error_a), (b, error_b) = sizes
        for name, value_a in a.items():
            gap = abs(value_a - b[name]) / np.hypot(error_a[name], error_b[name])
            found[f"{method} of {name}"] = gap
    most = max(found, key=lambda k: found[k])
    return found[most], most
