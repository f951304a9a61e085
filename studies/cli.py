"""The command line of the studies (``python -m studies``)."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from mmm_bayes.cli.outputs import Outputs
from mmm_bayes.cli.terminal import CommandError, problems_in_words

app = typer.Typer(
    name="python -m studies",
    help="Run published experiments again, next to what this package recommends.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Out = Annotated[
    Path, typer.Option(help="Folder of results. If it holds earlier runs, the study resumes there.")
]
Cluster = Annotated[
    str | None,
    typer.Option(help="local (Dask workers on this machine), or the address of a Dask scheduler."),
]
Seed = Annotated[int, typer.Option(help="Random seed.")]


@app.callback()
def root() -> None:
    """Run published experiments again, next to what this package recommends."""


@app.command()
def admgda(
    out: Out,
    scenario: Annotated[
        list[str],
        typer.Option(
            help="mechanisms, observations, dimension, degree, noise, outliers, threshold, or all; "
            "repeatable."
        ),
    ] = ["mechanisms"],  # noqa: B006  # typer copies it
    repetitions: Annotated[int, typer.Option(help="Random causal models per cell.", min=1)] = 20,
    workers: Annotated[int, typer.Option(help="Number of processes.", min=1)] = 2,
    cluster: Cluster = None,
    targets: Annotated[
        int | None,
        typer.Option(help="Largest number of variables to predict in a run; default: all.", min=1),
    ] = None,
    independent_roots: Annotated[
        bool,
        typer.Option(
            "--independent-roots",
            help="Draw independent roots, as the graph implies. In the published tables they are "
            "dependent.",
        ),
    ] = False,
    published: Annotated[
        Path | None, typer.Option(help="Folder of the published tables, to compare with ours.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Compare boosted trees with and without augmentation on random causal models."""
    with _problems():
        from studies.admgda import main_admgda

        _print_written(
            main_admgda(
                scenario,
                out=out,
                repetitions=repetitions,
                workers=workers,
                cluster=cluster,
                published=published,
                seed=seed,
                max_targets=targets,
                guide_compat=not independent_roots,
            )
        )


@app.command()
def causalmmm(
    out: Out,
    table: Annotated[
        list[str] | None,
        typer.Option(help="3 to 7 for the published tables, difficulty, or all; repeatable."),
    ] = None,
    figure: Annotated[
        list[str] | None, typer.Option(help="4, 7, 9, 10, or all; repeatable.")
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Names separated by commas; or default, rules (methods without training), all."
        ),
    ] = "default",
    repetitions: Annotated[int, typer.Option(help="Simulated panels per cell.", min=1)] = 10,
    workers: Annotated[
        int, typer.Option(help="Number of processes, each with one thread.", min=1)
    ] = 1,
    cluster: Cluster = None,
    cell: Annotated[
        list[str] | None, typer.Option(help="Label of a cell to run, as printed; repeatable.")
    ] = None,
    shops: Annotated[
        int | None, typer.Option(help="Number of training shops in every cell.", min=2)
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            help="Setting of CausalMMM and its variants, for example epochs=40; repeatable."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Run at toy size, to check that everything works.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Compare graphs of simulated shops and forecasts of sales with the published results."""
    with _problems():
        from studies.causalmmm.study import main_causalmmm

        _print_written(
            main_causalmmm(
                _study_names(table or [], figure or []),
                out=out,
                methods=[name.strip() for name in methods.split(",")],
                repetitions=repetitions,
                workers=workers,
                cluster=cluster,
                cells=cell,
                shops=shops,
                options=tuple(_setting(text) for text in setting or []),
                quick=quick,
                seed=seed,
            )
        )


def _problems() -> AbstractContextManager[Outputs]:
    return problems_in_words("mmm_bayes", "studies")


def _print_written(paths: list[Path]) -> None:
    for path in paths:
        typer.echo(f"Written: {path}")


def _study_names(tables: list[str], figures: list[str]) -> list[str]:
    from studies.causalmmm.studies import STUDIES

    names = []
    for prefix, given in (("table", tables), ("figure", figures)):
        for name in given:
            if name == "all":
                names += [n for n in STUDIES if n.startswith("figure") == (prefix == "figure")]
            else:
                names.append(name if name == "difficulty" else f"{prefix}{name}")
    if not names:
        raise CommandError("Choose what to run, for example --table 3 or --figure 4.")
    return names


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--setting should be NAME=VALUE, such as epochs=40; got {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
