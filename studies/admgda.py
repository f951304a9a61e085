"""The published experiment on causal data augmentation, run again next to our method.

Poinsot & Leite (2023), *A Guide for Practical Use of ADMG Causal Data Augmentation*: random causal
models in seven scenarios, augmentation along the true graph, and boosted trees for each variable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.progress import run_with_bars
from studies.runs import Row, Task, open_results, run_tasks, write_whole
from studies.scenarios import SCENARIOS, PublishedScenario, ScenarioError

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["SCENARIOS", "main_admgda", "run_scenario"]


def run_scenario(
    scenario: str | PublishedScenario,
    *,
    repetitions: int = 20,
    seed: int = 0,
    out: Path | str,
    workers: int = 2,
    cluster: Any = None,
    guide_compat: bool = True,
    max_targets: int | None = None,
    methods: Sequence[str] = ("enumerate", "default"),
    resume: bool = True,
    published: Path | str | None = None,
    on_done: Callable[[int, int], None] = lambda done, total: None,
    **settings: Any,
) -> pd.DataFrame:
    """Run a scenario and write its results.

    The folder gets ``results/`` (a file per finished run; an interrupted call continues from it),
    ``NAME.csv`` (the table returned), ``NAME_summary.csv``, ``NAME.md`` and ``NAME.png`` (with
    outliers also ``NAME_as_published.png``, against trees that never saw them). Runs of other
    scenarios in the same folder are used where they are the same: the default cell of most
    scenarios is computed once. Kept runs belong to a version of the package; after a change of
    methods in a working copy, take another folder or ``resume=False``.

    Parameters
    ----------
    scenario : str or PublishedScenario
        Name in ``SCENARIOS``, or one of your own.
    repetitions : int
        Random causal models per cell. More can be added later.
    seed : int
        Seed of all random numbers. A run depends on it, its settings and its repetition alone, not
        on the number of workers or what else is run.
    out : Path
        Folder of results, made if it is not there.
    workers : int
        Processes of one thread each; 1 is this process, with as many threads as it has.
    cluster : str or distributed.Client, optional
        ``"local"``, or a Dask cluster (:func:`~mmm_bayes.runtime.jobs.executor.run_cells`).
    guide_compat : bool
        Whether data have the dependent roots of the published ones
        (:func:`~mmm_bayes.simulate.scm`).
    max_targets : int, optional
        Most variables to predict in a run, drawn at random.
    methods : sequence of str
        Some of :data:`~studies.augmentation.run_settings.METHODS`.
    resume : bool
        Use the runs that the folder has; otherwise these are made again.
    published : Path, optional
        Folder of the published tables, to compare with ours.
    on_done : callable
        Told how many of how many runs are finished.
    **settings
        Further settings of all runs (:class:`~studies.augmentation.run_settings.RunSettings`).

    Returns
    -------
    pandas.DataFrame
        Rows of :func:`~studies.augmentation.evaluation.evaluate_run` with ``scenario``,
        ``value``, ``repetition``, ``key`` and the settings of the causal model.

    Raises
    ------
    ValueError
        For an unknown scenario, settings that cannot be run, or a damaged file of results.
    FileNotFoundError
        If the published table is not there; before anything is run.
    RunError
        If runs failed; the others are kept.
    """
    import pandas as pd

    from mmm_bayes.present.plots import save_figure
    from studies.figures import draw_scenario
    from studies.summary import published_table, summarise, to_markdown

    about = _scenario(scenario)
    _check(repetitions=repetitions, workers=workers)
    theirs = None if published is None else published_table(published, about.name)
    tasks = [
        Task(each, seed, repetition)
        for repetition in range(repetitions)
        for each in about.settings(
            guide_compat=guide_compat, max_targets=max_targets, methods=tuple(methods), **settings
        )
    ]
    out = Path(out)
    results = run_tasks(
        make_run, tasks, open_results(out), resume=resume, workers=workers, cluster=cluster,
        on_done=on_done,
    )  # fmt: skip
    rows = [row for task in tasks for row in _rows(about, task, results[task.key])]
    rows.sort(key=lambda row: about.values.index(row["value"]))
    table = pd.DataFrame(rows)
    summary = summarise(table, theirs)
    write_whole(out / f"{about.name}.csv", table.to_csv(index=False).encode())
    write_whole(out / f"{about.name}_summary.csv", summary.to_csv(index=False).encode())
    write_whole(out / f"{about.name}.md", to_markdown(summary, about.label).encode())
    for suffix, figure in draw_scenario(summary, about.label).items():
        save_figure(figure, out / f"{about.name}{suffix}.png")
    return table


def main_admgda(
    scenarios: Sequence[str] = ("mechanisms",),
    *,
    out: Path | str,
    repetitions: int = 20,
    workers: int = 2,
    cluster: Any = None,
    published: Path | str | None = None,
    seed: int = 0,
    **settings: Any,
) -> list[Path]:
    """Run scenarios with a progress bar; what a command line calls.

    Parameters
    ----------
    scenarios : sequence of str
        Names; ``"all"`` is all of them.
    out, repetitions, workers, cluster, published, seed, **settings
        As in :func:`run_scenario`.

    Returns
    -------
    list of Path
        Summaries (Markdown) and figures written.
    """
    names = list(SCENARIOS) if "all" in scenarios else list(dict.fromkeys(scenarios))
    for name in names:
        _scenario(name)
    return run_with_bars(
        run_scenario,
        names,
        out,
        repetitions=repetitions,
        workers=workers,
        cluster=cluster,
        published=published,
        seed=seed,
        **settings,
    )


def make_run(task: Task) -> list[Row]:
    """Return the rows of one run."""
    from studies.augmentation.evaluation import evaluate_run

    settings: Any = task.settings
    return evaluate_run(task.rng_key(), settings)


def _scenario(scenario: str | PublishedScenario) -> PublishedScenario:
    from mmm_bayes.runtime.findings import nearest

    if isinstance(scenario, PublishedScenario):
        return scenario
    if scenario not in SCENARIOS:
        raise ScenarioError(
            f"There is no scenario {scenario!r}.{nearest(scenario, SCENARIOS)} Known are "
            f"{', '.join(SCENARIOS)}."
        )
    return SCENARIOS[scenario]


def _check(**counts: int) -> None:
    wrong = [f"{name} should be 1 or more; got {n}." for name, n in counts.items() if n < 1]
    if wrong:
        raise ScenarioError(" ".join(wrong))


def _rows(about: PublishedScenario, task: Task, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    settings: Any = task.settings
    model = {
        name: getattr(settings, name)
        for name in ("mechanism", "n_rows", "n_nodes", "expected_degree", "noise_coeff")
    }
    return [
        {"scenario": about.name, "value": value, "repetition": task.repetition, "key": task.key}
        | model
        | row
        for value, row in about.cells(rows, settings)
    ]
