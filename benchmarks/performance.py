"""One command for how fast everything is: ratios, cost curves, and a thousand brands on paper.

Every figure is measured in the run itself, next to the plain way of doing the same, taking turns
with it; CPU seconds come first, because other processes disturb them less than wall
seconds. Sections are kept in a folder as they are done: an interrupted run goes on where it
stopped. Quick runs only show that all of it works.

    python benchmarks/performance.py                   # measure what is missing; print the page
    python benchmarks/performance.py --only gradient steps
    python benchmarks/performance.py --write           # and keep it in docs/results
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import performance_curves as curves
import performance_figures as figures
import performance_files as files
import performance_paper as paper
import performance_ratios as ratios
import performance_samplers as samplers
import record

Found = dict[str, Any]
BASE = {"weeks": 156, "channels": 5, "geos": 1}
TARGET = {"weeks": 520, "channels": 10, "geos": 200}


class Section(NamedTuple):
    """A part that is measured and kept by itself: settings in full and quick runs."""

    title: str
    measure: Callable[..., Found]
    full: dict[str, Any]
    quick: dict[str, Any] | None
    text: Callable[[Found, dict[str, Any]], list[str]] | None = None


SECTIONS = {
    "samplers": Section(
        "Sampling: NumPyro's NUTS on the plain model, national", samplers.measure,
        {"case": "national", "draws": 500, "weeks": 156, "repetitions": 2},
        {"case": "national", "draws": 20, "weeks": 156, "repetitions": 1}, samplers.text,
    ),
    "samplers_geo": Section(
        "Sampling: the same, 8 geos x 78 weeks", samplers.measure,
        {"case": "geo", "draws": 250, "weeks": 78, "repetitions": 2}, None, samplers.text,
    ),
    "adstock": Section(
        "Kernels: adstock", ratios.adstock,
        {"channels": 5, "geos": 40, "weeks": 156, "max_lag": 8, "repetitions": 15, "loops": 3},
        {"channels": 2, "geos": 2, "weeks": 20, "max_lag": 4, "repetitions": 2, "loops": 1},
        ratios.adstock_text,
    ),
    "enumeration": Section(
        "Kernels: augmentation", ratios.enumeration,
        {"tables": 5, "rows": 300, "repetitions": 3},
        {"tables": 1, "rows": 40, "repetitions": 1}, ratios.enumeration_text,
    ),
    "training": Section(
        "Training", ratios.training,
        {
            "shops": 96,
            "length": 100,
            "hidden": 64,
            "epochs": 3,
            "repetitions": 2,
            "decoders": ["additive", "recurrent"],
            "singly": True,
        },
        {
            "shops": 4,
            "length": 16,
            "hidden": 4,
            "epochs": 1,
            "repetitions": 1,
            "decoders": ["additive"],
            "singly": False,
        },
        ratios.training_text,
    ),
    "loader": Section(
        "Loading", files.loader, {"geos": 1000, "weeks": 520, "repetitions": 2},
        {"geos": 3, "weeks": 60, "repetitions": 1}, files.loader_text,
    ),
    "budget": Section(
        "Budgets", ratios.budgets, {"problems": 3, "channels": 6, "limit": 30.0},
        {"problems": 1, "channels": 2, "limit": 1.0}, ratios.budgets_text,
    ),
    "report": Section(
        "Reports", files.report, {"draws": 1000, "repetitions": 3},
        None, files.report_text,
    ),
    "imports": Section(
        "Imports", files.imports, {"repetitions": 4, "uncounted": 1},
        None, files.imports_text,
    ),
    "files": Section(
        "Files", files.files, {"draws": 1000, "repetitions": 7},
        {"draws": 50, "repetitions": 2}, files.files_text,
    ),
    "gradient": Section(
        "Cost of a gradient", curves.gradient,
        {
            "base": BASE,
            "sizes": {
                "weeks": [52, 104, 208, 416, 728, 1040],
                "channels": [2, 4, 8, 16, 24, 32],
                "geos": [1, 2, 5, 10, 25, 50, 100, 200],
            },
            "bases_geos": [1, 40],
            "wide": {"weeks": 520, "channels": 10, "geos": [20, 50, 80, 100, 120, 140, 160, 180]},
            "repetitions": 15,
        },
        {
            "base": {"weeks": 52, "channels": 2, "geos": 1},
            "sizes": {"weeks": [52], "channels": [2], "geos": [2]},
            "bases_geos": [1],
            "wide": {"weeks": 60, "channels": 2, "geos": [2]},
            "repetitions": 2,
        },
        curves.curve_text(1e6, "CPU us", curves.GRADIENT),
    ),
    "steps": Section(
        "Leapfrog steps", curves.steps,
        {
            "base": {"weeks": 104, "channels": 5, "geos": 1},
            "sizes": {
                "weeks": [52, 104, 208, 416, 624],
                "channels": [2, 3, 5, 8, 12],
                "geos": [2, 4, 8, 16, 24],
            },
            "draws": 400,
            "chains": 2,
        },
        {
            "base": {"weeks": 52, "channels": 2, "geos": 1},
            "sizes": {"weeks": [52], "channels": [2], "geos": [1]},
            "draws": 20,
            "chains": 2,
        },
        curves.steps_text,
    ),
    "shops": Section(
        "Cost of an epoch over shops", curves.shops,
        {"sizes": [32, 96, 256, 512], "length": 100, "epochs": 3},
        None, curves.curve_text(1.0, "CPU s", curves.SHOPS),
    ),
    "rows": Section(
        "Cost over rows", curves.rows,
        {
            "enumerated": [75, 150, 300, 450, 600],
            "sampled": [625, 1250, 2500, 5000],
            "draws": 5000,
            "loaded": [5200, 15_600, 52_000, 156_000, 520_000],
            "repetitions": 3,
        },
        {
            "enumerated": [20],
            "sampled": [40],
            "draws": 50,
            "loaded": [1040, 1560, 2080],
            "repetitions": 1,
        },
        curves.curve_text(1.0, "CPU s", curves.ROWS),
    ),
    "paper": Section(
        "On paper: a thousand brands", paper.measure,
        {"target": TARGET, "chains": 4, "draws": 1000, "brands": 1000, "repetitions": 5},
        {
            "target": {"weeks": 52, "channels": 2, "geos": 2},
            "chains": 2,
            "draws": 50,
            "brands": 10,
            "repetitions": 2,
        },
    ),
}  # fmt: skip
# Not settings of the measurement itself, but of what follows from it.
_DERIVED = {"brands"}
# Needed to put the paper together.
_PARTS = ("gradient", "steps", "files", "paper")


def child(given: Any) -> None:
    """Run one method of a section in a process of its own."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if given.way == "report":
        files.report_child(given)
    else:
        samplers.child(given)


def settings_of(given: Any) -> dict[str, dict[str, Any]]:
    """Return settings of every section of this run; a quick run leaves some out."""
    chosen = {
        name: section.quick if given.quick else section.full for name, section in SECTIONS.items()
    }
    result = {name: dict(own) for name, own in chosen.items() if own is not None}
    result["training"]["torch_python"] = given.torch_python
    return result


def kept(folder: Path, name: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return a section measured here with these settings and versions, or None."""
    try:
        found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    wanted = json.loads(json.dumps(settings))
    same = found.get("settings") == wanted and found.get("machine") == record.machine()
    return found if same else None


def measure(name: str, settings: dict[str, Any], folder: Path) -> None:
    """Measure a section and keep it."""
    from mmm_bayes.runtime.atomic_write import atomic_write

    given = {key: value for key, value in settings.items() if key not in _DERIVED}
    if name in ("report", "files"):
        given["folder"] = folder
    load, began, cpu = os.getloadavg()[0], time.perf_counter(), os.times()
    found = SECTIONS[name].measure(**given)
    used = os.times()
    result = {
        "settings": settings,
        "machine": record.machine(),
        "found": found,
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "wall": time.perf_counter() - began,
        "cpu": sum(used[:4]) - sum(cpu[:4]),
        "load": max(load, os.getloadavg()[0]),
    }
    with atomic_write(folder / f"{name}.json") as place:
        place.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print(f"{name}: {result['wall']:.0f} s, {result['cpu']:.0f} CPU s", file=sys.stderr, flush=True)


def page(
    every: dict[str, dict[str, Any]], settings: dict[str, dict[str, Any]], folder: Path, quick: bool
) -> list[str]:
    """Return the text of the page, and draw its figures into the folder."""
    found = {name: own["found"] for name, own in every.items()}
    pictures = figures.draw(found, folder / "performance")
    of = {"gradient": "gradient", "steps": "steps", "rows": "rows"}
    parts = [(__doc__ or "").split("\n\n")[1]]
    if quick:
        parts.insert(0, "**A quick run: sizes too small for its figures to mean anything.**")
    for name, section in SECTIONS.items():
        if name not in found:
            continue
        if section.text is not None:
            own = section.text(found[name], settings[name])
        elif all(part in found for part in _PARTS) and paper.complete(found):
            own = paper.text(found, settings)
        else:
            own = [f"Takes the sections {', '.join(_PARTS)}, and three sizes of every curve."]
        parts += [f"## {section.title}", *own]
        if of.get(name) in pictures:
            parts.append(f"![{section.title}](performance/{of[name]}.png)")
    parts += ["## How it was measured", _measured(every)]
    return parts


def _measured(every: dict[str, dict[str, Any]]) -> str:
    rows = [
        [name, own["when"], own["cpu"], own["wall"], own["load"]] for name, own in every.items()
    ]
    total = ["all", "", *(sum(own[key] for own in every.values()) for key in ("cpu", "wall")), ""]
    header = ["section", "when", "CPU s", "wall s", "load average, greater of both ends"]
    return record.table(header, [*rows, total])


def main() -> None:
    """Measure what is missing, and put the page together."""
    options = record.parser((__doc__ or "").split("\n\n")[0])
    options.add_argument("--only", nargs="+", choices=list(SECTIONS), help="sections to measure")
    options.add_argument("--again", action="store_true", help="measure also what is there")
    options.add_argument("--quick", action="store_true", help="tiny sizes, to see that all works")
    folder = record.ROOT / "build" / "performance"
    options.add_argument("--out", type=Path, default=folder, help="where sections are kept")
    options.add_argument("--torch-python", help="Python of an environment that has torch")
    for name in ("way", "case", "fit"):
        options.add_argument(f"--{name}", help="for the script's own use")
    for name in ("seed", "draws", "weeks"):
        options.add_argument(f"--{name}", type=int, help="for the script's own use")
    given = options.parse_args()
    if given.child:
        child(given)
        return
    if given.quick and given.write:
        options.error("--quick gives no figures to keep: leave --write away.")
    import mmm_bayes as mb

    warnings.simplefilter("ignore", mb.errors.AugmentationWarning)
    settings = settings_of(given)
    given.out = given.out.resolve()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only or settings:
        if name in settings and (given.again or kept(given.out, name, settings[name]) is None):
            measure(name, settings[name], given.out)
    every = {name: kept(given.out, name, own) for name, own in settings.items()}
    there = {name: own for name, own in every.items() if own is not None}
    missing = [name for name in every if name not in there]
    if missing and given.write:
        options.error(f"Not measured yet: {', '.join(missing)}. Run without --only.")
    parts = page(there, settings, given.out, given.quick)
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.")
    record.publish("performance", "Performance", parts, given.write)
    if given.write:
        shutil.copytree(
            given.out / "performance", record.RESULTS / "performance", dirs_exist_ok=True
        )


if __name__ == "__main__":
    main()
