"""Command of the published experiments on CausalMMM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mmm_bayes.cli.augmentation import experiments
from mmm_bayes.cli.terminal import CommandError, problems_in_words


@experiments.command("causalmmm")
def causalmmm_experiment(
    out: Annotated[Path, typer.Option(help="Folder of results; an earlier run there goes on.")],
    table: Annotated[
        list[str] | None,
        typer.Option(help="3 to 7 as published, difficulty, or all; repeatable."),
    ] = None,
    figure: Annotated[
        list[str] | None, typer.Option(help="4, 7, 9, 10, or all; repeatable.")
    ] = None,
    methods: Annotated[
        str,
        typer.Option(help="Names with commas; default, rules (those that take no time), or all."),
    ] = "default",
    repetitions: Annotated[int, typer.Option(help="Simulated panels a cell.", min=1)] = 10,
    workers: Annotated[int, typer.Option(help="Processes of one thread each.", min=1)] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(help="local (Dask workers here), or the address of a Dask scheduler."),
    ] = None,
    cell: Annotated[
        list[str] | None, typer.Option(help="Label of a cell to run, as printed; repeatable.")
    ] = None,
    shops: Annotated[int | None, typer.Option(help="Training shops of every cell.", min=2)] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="Setting of CausalMMM and its variants, as epochs=40; repeatable."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Toy size: does everything run?")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
) -> None:
    """Graphs of simulated shops and forecasts of sales, beside the published results."""
    with problems_in_words():
        from studies.causalmmm.study import main_causalmmm

        paths = main_causalmmm(
            _studies(table or [], figure or []),
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
        for path in paths:
            typer.echo(f"Written: {path}")


def _studies(tables: list[str], figures: list[str]) -> list[str]:
    from studies.causalmmm.studies import STUDIES

    names = []
    for prefix, given in (("table", tables), ("figure", figures)):
        for name in given:
            if name == "all":
                kinds = [n for n in STUDIES if n.startswith("figure") == (prefix == "figure")]
                names += kinds
            else:
                names.append(name if name == "difficulty" else f"{prefix}{name}")
    if not names:
        raise CommandError("Say what to run: --table 3, for one, or --figure 4.")
    return names


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--setting should be NAME=VALUE, as epochs=40, but is {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
