"""The pages of docs/results: the command that writes each page, and the sources that it measures.

    python benchmarks/pages.py                   # list the pages whose sources have changed
    python benchmarks/pages.py run               # measure these pages again
    python benchmarks/pages.py run sbc recovery  # measure some pages again

A page ends with a line of digests of its sources, as they were when it was measured. A digest does
not change when a file moves, or when imports, comments, docstrings, messages or line breaks do.
``run`` can be interrupted: the next call skips pages that are up to date. Commands that take long
keep finished parts in a folder of ``out/results`` that belongs to the sources as they are, so that
parts measured on other sources are never mixed in.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
_LINE = re.compile(r"^Sources: (.*)\.$", re.MULTILINE)
_ENTRY = re.compile(r"`([^`]+)` ([0-9a-f]{10})")


class Page(NamedTuple):
    """One page: the commands that write it, in order, and the files and folders they measure.

    In a command, ``$keep`` is the folder of finished parts. ``needs`` is an environment variable
    that the commands need.
    """

    commands: tuple[str, ...]
    sources: tuple[str, ...]
    needs: str = ""


_TABLES = "MMM_BAYES_SHARED_DIR"
_TORCH = "TORCH_PYTHON"
_NEEDS = {
    _TABLES: "the folder of other packages' tables",
    _TORCH: "the Python of an environment with torch",
}
_FIT = (
    "mmm_bayes/fit.py", "mmm_bayes/inference", "mmm_bayes/model", "mmm_bayes/transforms",
)  # fmt: skip
_GRAPH = (
    "mmm_bayes/causal/causal_graph.py", "mmm_bayes/causal/graph", "mmm_bayes/causal/identify",
)  # fmt: skip
_NETWORKS = ("mmm_bayes/causal_mmm",)
_JOBS = ("mmm_bayes/runtime/jobs",)


def _page(script: str, *sources: str, options: str = "", needs: str = "") -> Page:
    file = f"benchmarks/{script}.py"
    command = f"python {file} --write {options}".strip()
    return Page((command,), (file, *sources), needs)


PAGES: dict[str, Page] = {
    "admgda": Page(
        (
            "python -m studies admgda --scenario all --targets 4 --out $keep",
            "python benchmarks/admgda.py --write --study $keep",
        ),
        (
            "benchmarks/admgda.py", "mmm_bayes/augmentation", "mmm_bayes/simulate",
            "studies/admgda.py", "studies/augmentation", "studies/scenarios.py",
        ),
    ),
    "adstock": _page("adstock", "mmm_bayes/transforms"),
    "budget": Page(
        (
            *(
                f"python benchmarks/budget.py --part {part} --folder $keep"
                for part in ("grid", "slsqp", "speed")
            ),
            "python benchmarks/budget.py --write --folder $keep",
        ),
        ("benchmarks/budget.py", "mmm_bayes/budget"),
    ),
    "calibration": _page(
        "calibration", *_FIT, "mmm_bayes/simulate", options="--out $keep"
    ),
    "causal_da_mmm": _page(
        "causal_da_mmm", *_FIT, "mmm_bayes/augmentation", options="--store $keep/sets.jsonl"
    ),
    "causalmmm": Page(
        (
            "python -m studies causalmmm --table all --figure all --out $keep",
            "python benchmarks/causalmmm.py $keep --write",
        ),
        (
            "benchmarks/causalmmm.py", *_NETWORKS, "mmm_bayes/simulate",
            "mmm_bayes/validation/panel", "studies/causalmmm", "studies/forecasting",
            "studies/granger",
        ),
    ),
    "causalmmm_contributions": _page(
        "causalmmm_contributions", *_NETWORKS, "mmm_bayes/simulate"
    ),
    "causalmmm_speed": _page(
        "causalmmm_speed", "benchmarks/causalmmm_torch.py", *_NETWORKS,
        options=f"--torch-python ${_TORCH}", needs=_TORCH,
    ),
    "convergence": _page("convergence", "mmm_bayes/inference/convergence.py"),
    "discovery": _page(
        "discovery", "mmm_bayes/causal/discovery", options="--keep $keep/sets.jsonl"
    ),
    "distributed": _page("many_cells", "benchmarks/sleeping.py", *_JOBS),
    "effects_national": _page(
        "effects_national", *_FIT, "mmm_bayes/causal/effects", needs=_TABLES
    ),
    "falsification": _page(
        "falsification", "benchmarks/falsification_tables.py", "mmm_bayes/causal/check"
    ),
    "identification": _page("identification", "benchmarks/brute_graphs.py", *_GRAPH),
    "import_time": _page("import_time", "mmm_bayes/__init__.py"),
    "loading": _page("loading", "mmm_bayes/data"),
    "performance": Page(
        ("python benchmarks/performance.py --write --out $keep",),
        (
            *(
                f"benchmarks/performance{part}.py"
                for part in ("", "_curves", "_files", "_laws", "_paper", "_ratios", "_samplers")
            ),
            *_FIT, *_NETWORKS, "mmm_bayes/augmentation", "mmm_bayes/budget",
        ),
        _TABLES,
    ),
    "real_tables": _page("real_tables", "benchmarks/shared_tables.py", *_FIT, needs=_TABLES),
    "recovery": _page(
        "recovery", *_FIT, "mmm_bayes/simulate", options="--store $keep/sets.jsonl"
    ),
    "report": _page(
        "report", "mmm_bayes/present/report", options="--folder $keep", needs=_TABLES
    ),
    "robustness": _page(
        "fuzz", "benchmarks/fuzz_binary.py", "benchmarks/fuzz_dates.py",
        "benchmarks/fuzz_inputs.py",
        "benchmarks/fuzz_saved.py", "benchmarks/fuzz_tables.py", "benchmarks/fuzz_targets.py",
        "mmm_bayes/data", "mmm_bayes/model/spec.py",
    ),
    "sbc": _page("sbc", *_FIT),
    "sharded_shops": _page("sharded_shops", *_NETWORKS),
    "sharding": _page("sharding", *_FIT, options="--repetitions 1 --draws 300 --geos 12"),
    "speed_geo": _page(
        "speed_geo", "benchmarks/peer_samplers.py", "benchmarks/shared_tables.py", *_FIT,
        options="--peers --keep $keep", needs=_TABLES
    ),
    "nuts_kernels": _page(
        "nuts_kernels", "benchmarks/shared_tables.py", "mmm_bayes/inference/nuts.py",
        "mmm_bayes/inference/adaptation.py", options="--keep $keep", needs=_TABLES
    ),
    "speed_national": _page(
        "speed_national", "benchmarks/peer_samplers.py", "benchmarks/plain_model.py",
        "benchmarks/shared_tables.py", *_FIT, options="--keep $keep",
        needs=_TABLES,
    ),
    "svi": _page(
        "svi", "benchmarks/nuts_kernels.py", "mmm_bayes/inference/elbo.py",
        "mmm_bayes/inference/mode.py", "mmm_bayes/inference/svi.py",
        options="--keep $keep", needs=_TABLES
    ),
    "structural": _page(
        "structural", "mmm_bayes/structural", "mmm_bayes/simulate",
        options="--keep $keep/sets.jsonl",
    ),
    "survival": _page("survival", *_FIT, options="--repetitions 3"),
    "validation": _page(
        "validation", "mmm_bayes/validation", *_FIT,
        options="--store $keep", needs=_TABLES,
    ),
}  # fmt: skip
"""Every page by name."""


# --- Digests -------------------------------------------------------------------------------------

# Comments and strings first, so that neither is searched for the other.
_TOKENS = re.compile(
    r"""#[^\n]*|(?i:[rbfu]{0,2})(?:\"{3}.*?(?<!\\)\"{3}|'{3}.*?(?<!\\)'{3}"""
    r"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')""",
    re.DOTALL,
)
_IMPORT = re.compile(r"^\s*(?:from\s[^\n]*?\simport\s+(?:\([^)]*\)|[^\n]*)|import\s[^\n]*)$", re.M)
_TRAILING = re.compile(r",(?=[)\]}])")
_DOCSTRING = re.compile(r"^\s*\x00\s*$", re.M)
_PROSE = re.compile(r"\x00+")


def scrub(source: str) -> str:
    """Return the code of a Python file without imports, comments, docstrings, prose and layout.

    Strings in triple quotes, or with a space in them, count as prose; all prose is alike.
    """
    code = _TOKENS.sub(_token, source)
    code = _IMPORT.sub("", _DOCSTRING.sub("", code))
    code = "".join(code.split())
    return _PROSE.sub("\x00", _TRAILING.sub("", code))


def _token(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] == "#":
        return ""
    return "\x00" if " " in text or text.endswith(('"""', "'''")) else text


def digest(files: Iterable[str]) -> str:
    """Return a digest of the code of several files, whatever they are called."""
    parts = sorted(hashlib.sha256(scrub(text).encode()).hexdigest() for text in files)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:10]


def digest_of(source: str) -> str | None:
    """Return the digest of a file or folder of the repository; None if there is none."""
    path = ROOT / source
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    if not path.exists():
        return None
    if source not in _known:
        _known[source] = digest(file.read_text(encoding="utf-8") for file in files)
    return _known[source]


_known: dict[str, str] = {}


# --- Pages and their state -----------------------------------------------------------------------


def sources_line(name: str) -> str:
    """Return the line with which a page says what it measured."""
    found = [(source, digest_of(source)) for source in PAGES[name].sources]
    return f"Sources: {', '.join(f'`{source}` {own}' for source, own in found)}."


def changed_sources(name: str) -> tuple[str, ...] | None:
    """Return the sources that differ from those a page measured; None if it names none.

    A source is known by its digest, so that one that has moved has not changed.
    """
    path = RESULTS / f"{name}.md"
    line = _LINE.search(path.read_text(encoding="utf-8")) if path.exists() else None
    if line is None:
        return None
    measured = {own for _, own in _ENTRY.findall(line[1])}
    return tuple(source for source in PAGES[name].sources if digest_of(source) not in measured)


def report(names: Iterable[str]) -> list[str]:
    """Return one line per page whose sources have changed since it was measured."""
    lines = []
    for name in names:
        changed = changed_sources(name)
        if changed is None:
            lines.append(f"  {name}: not measured, or without a line of sources")
        elif changed:
            lines.append(f"  {name}: {', '.join(changed)}")
    return lines


def run(names: Sequence[str], again: bool) -> int:
    """Measure pages whose sources have changed; return how many could not be measured."""
    failed = 0
    for name in names:
        page = PAGES[name]
        if not again and changed_sources(name) == ():
            print(f"{name}: up to date")
        elif page.needs and page.needs not in os.environ:
            print(f"{name}: skipped; set {page.needs} to {_NEEDS[page.needs]}")
            failed += 1
        else:
            state = hashlib.sha256(sources_line(name).encode()).hexdigest()[:10]
            keep = ROOT / "out" / "results" / f"{name}-{state}"
            keep.mkdir(parents=True, exist_ok=True)
            failed += not all(_call(command, keep) for command in page.commands)
    return failed


def _call(command: str, keep: Path) -> bool:
    command = Template(command).substitute(os.environ, keep=str(keep.relative_to(ROOT)))
    print(f"$ {command}", flush=True)
    words = shlex.split(command)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=False
    )
    if done.returncode:
        print(f"{command} ended with status {done.returncode}", file=sys.stderr)
    return not done.returncode


def main() -> int:
    """List the pages whose sources have changed, or measure them again."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("action", nargs="?", choices=("list", "run"), default="list")
    parser.add_argument("names", nargs="*", help="pages; default: all", metavar="page")
    parser.add_argument("--again", action="store_true", help="measure also pages up to date")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in PAGES]:
        parser.error(f"no page {', '.join(unknown)}; known are {', '.join(PAGES)}")
    names = given.names or list(PAGES)
    if given.action == "run":
        return min(run(names, given.again), 1)
    lines = report(names)
    if lines:
        print("Pages of docs/results whose sources changed after they were measured:")
        print("\n".join(lines))
        print("Measure them again with: make results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
