"""The published experiments on CausalMMM, run again next to rules without training.

Gong et al. (2024), *CausalMMM: Learning Causal Structure for Marketing Mix Modeling*: graphs of
simulated shops (Tables 3 to 6, Figures 4, 7, 9 and 10) and forecasts of sales (Table 7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.causalmmm.evaluate import evaluate
from studies.causalmmm.settings import Options
from studies.causalmmm.studies import STUDIES, Study, methods_of, resized, study_of
from studies.progress import run_with_bars
from studies.runs import Row, Task, open_results, run_tasks, write_whole
from studies.scenarios import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STUDIES", "main_causalmmm", "run_study"]

# Repetitions looked for in a folder, beyond those asked for.
_MOST_KEPT = 40


def run_study(
    study: str | Study,
    *,
    out: Path | str,
    methods: Sequence[str] = ("default",),
    repetitions: int = 10,
    seed: int = 0,
    workers: int = 1,
    cluster: Any = None,
    cells: Sequence[str] | None = None,
    shops: int | None = None,
    options: Options = (),
    quick: bool = False,
    resume: bool = True,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Run a table or figure and write its results.

    The folder gets ``results/`` (a file per finished run; an interrupted call continues from it),
    ``NAME.csv`` (the table returned), ``NAME_summary.csv``, ``NAME.md`` and ``NAME.png``.
    Results add up: runs of other cells, methods or repetitions that the folder holds, made by
    earlier calls with the same seed, sizes and options, are in the table as well, and cells that
    two tables share are computed once. Kept runs belong to a version of the package; after a
    change of methods in a working copy, take another folder or ``resume=False``.

    Parameters
    ----------
    study : str or Study
        Name in ``STUDIES``, or one of your own.
    out : Path
        Folder of results, made if it is not there.
    methods : sequence of str
        Methods to run; ``"default"``, ``"rules"`` (those that take no time) and ``"all"``.
    repetitions : int
        Simulated panels per cell, the trials of the paper.
    seed : int
        Seed of all random numbers. A run depends on it, its settings and its repetition alone.
    workers : int
        Processes of one thread each; 1 is this process, with as many threads as it has. Timings
        (``figure10``) are taken by one, whatever is given.
    cluster : str or distributed.Client, optional
        ``"local"``, or a Dask cluster (:func:`~mmm_bayes.runtime.jobs.executor.run_cells`).
    cells : sequence of str, optional
        Labels of the cells to run; all by default.
    shops : int, optional
        Training shops of every cell, where cells do not differ by it.
    options : tuple of (str, value)
        Settings of CausalMMM and its variants, in place of theirs.
    quick : bool
        Toy size, to see that everything runs.
    resume : bool
        Use the runs that the folder has; otherwise these are made again.
    on_done : callable
        Told how many of how many runs are finished.

    Returns
    -------
    pandas.DataFrame
        A row for each run, method and what it is judged on, with ``study``, ``cell``,
        ``repetition`` and ``key``.

    Raises
    ------
    ValueError
        For unknown names, settings that cannot be run, or a damaged file of results.
    RunError
        If runs failed; the others are kept.
    """
    import pandas as pd

    from mmm_bayes.present.plots import save_figure
    from studies.causalmmm.figures import draw_study
    from studies.causalmmm.summary import summarise_study, to_markdown

    about = study_of(study) if isinstance(study, str) else study
    asked = resized(_chosen(about, cells, shops), quick=quick, shops=shops)
    about = asked if shops is not None else resized(about, quick=quick)
    wanted = methods_of(about, methods)
    _check(repetitions=repetitions, workers=workers)
    tasks = list(
        {task.key: task for _, task in _tasks(asked, wanted, options, seed, repetitions)}.values()
    )
    out = Path(out)
    if about.kind == "timing":
        workers, cluster = 1, None
    found = run_tasks(
        make_run, tasks, open_results(out), resume=resume, workers=workers, cluster=cluster,
        on_done=on_done,
    )  # fmt: skip
    kept = _tasks(about, about.known_methods, options, seed, max(repetitions, _MOST_KEPT))
    rows = [
        row
        for cell, task in kept
        if task.key in found
        for row in _rows(about, cell, task, found[task.key])
    ]
    table = pd.DataFrame(rows)
    summary = summarise_study(about, table)
    flat = [name for name in table if not table[name].map(lambda x: isinstance(x, list)).any()]
    write_whole(out / f"{about.name}.csv", table[flat].to_csv(index=False).encode())
    write_whole(out / f"{about.name}_summary.csv", summary.to_csv(index=False).encode())
    write_whole(out / f"{about.name}.md", to_markdown(about, table, summary).encode())
    for suffix, figure in draw_study(about, table, summary).items():
        save_figure(figure, out / f"{about.name}{suffix}.png")
    return table


def main_causalmmm(studies: Sequence[str], *, out: Path | str, **settings: Any) -> list[Path]:
    """Run tables and figures with a progress bar; what a command line calls.

    Parameters
    ----------
    studies : sequence of str
        Names; ``"all"`` is all of them.
    out, **settings
        As in :func:`run_study`.

    Returns
    -------
    list of Path
        Summaries (Markdown) and figures written.
    """
    names = list(STUDIES) if "all" in studies else list(dict.fromkeys(studies))
    for name in names:
        methods_of(study_of(name), settings.get("methods", ()))
    return run_with_bars(run_study, names, out, **settings)


def make_run(task: Task) -> list[Row]:
    """Return the rows of one run."""
    settings: Any = task.settings
    return evaluate(task.rng_key(), settings)


def _tasks(
    study: Study, methods: Sequence[str], options: Options, seed: int, repetitions: int
) -> list[tuple[str, Task]]:
    """List cells and runs, repetitions outermost, so that a stopped study has all cells."""
    runs = {
        (cell.label, run): None
        for cell in study.cells
        for method in methods
        for run in [study.run(cell, method, options)]
    }
    return [
        (label, Task(run, seed, repetition))
        for repetition in range(repetitions)
        for label, run in runs
    ]


def _chosen(study: Study, cells: Sequence[str] | None, shops: int | None) -> Study:
    from mmm_bayes.runtime.findings import nearest

    labels = [cell.label for cell in study.cells]
    if cells is not None:
        if unknown := [label for label in cells if label not in labels]:
            hints = " ".join(
                f"There is no cell {label!r} in {study.name}.{nearest(label, labels)}"
                for label in unknown
            )
            raise ScenarioError(f"{hints} Known are {'; '.join(labels)}.")
        study = replace(study, cells=tuple(c for c in study.cells if c.label in cells))
    if shops is not None and len({cell.run.shops for cell in study.cells}) > 1:
        raise ScenarioError(
            f"The cells of {study.name} differ by their number of shops: choose some with cells="
        )
    return study


def _check(**counts: int) -> None:
    wrong = [f"{name} should be 1 or more; got {n}." for name, n in counts.items() if n < 1]
    if wrong:
        raise ScenarioError(" ".join(wrong))


def _rows(study: Study, cell: str, task: Task, rows: list[Row]) -> list[Row]:
    settings = asdict(task.settings)
    options = dict(settings.pop("options"))
    sizes = {name: value for name, value in settings.items() if isinstance(value, int | str)}
    head = {
        "study": study.name, "cell": cell, "repetition": task.repetition, "key": task.key,
    }  # fmt: skip
    # What a row says of itself stands above the settings: a method that gives two, for one.
    return [head | sizes | {"options": str(options or "")} | row for row in rows]
