"""Fit many tables with one or several models."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmm_bayes.cli.models import inputs_of, read_model
from mmm_bayes.cli.options import Chains, Draws, Seed, Warmup
from mmm_bayes.cli.terminal import (
    PROBLEM,
    STRICT,
    CommandError,
    open_console,
    problems_in_words,
    write_text,
)

if TYPE_CHECKING:
    from mmm_bayes.many_fits.fit_map import FitMap
    from mmm_bayes.model.spec import ModelSpec

_FILES = ("channels.csv", "verdicts.csv")


def map_fits(
    tables: Annotated[list[Path], typer.Argument(help="CSV or Parquet files, one per brand.")],
    spec: Annotated[
        list[str],
        typer.Option(
            help="A model file, or the name of a bundled model; repeatable. The [data] section of "
            "the first model says which columns to read."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the results; resumes an earlier run in that folder.")
    ],
    method: Annotated[str, typer.Option(help="nuts, or svi for a quick approximation.")] = "nuts",
    workers: Annotated[
        int | None, typer.Option(help="Number of processes; half the cores by default.", min=1)
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="local (Dask workers on this machine), or the address of a Dask scheduler."
        ),
    ] = None,
    keep_fits: Annotated[
        bool, typer.Option("--keep-fits/--no-fits", help="Save every complete fit.")
    ] = True,
    num_samples: Draws = None,
    num_warmup: Warmup = None,
    num_chains: Chains = None,
    seed: Seed = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 3 if any verdict is FAIL.")
    ] = False,
) -> None:
    """Fit many tables, check each fit, and write spend, contribution and ROAS."""
    with problems_in_words() as outputs:
        import jax

        from mmm_bayes.many_fits.map_fits import FitsWarning
        from mmm_bayes.many_fits.map_fits import map_fits as run

        read = [path for name in spec for path in inputs_of(name)]
        outputs.shared_folder(out, _FILES, (*tables, *read))
        models = {name: read_model(name) for name in spec}
        settings: dict[str, Any]
        settings = {"num_samples": num_samples, "num_warmup": num_warmup, "num_chains": num_chains}
        if method == "svi":
            settings = {"num_draws": num_samples}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitsWarning)  # they are listed below
            found = run(
                jax.random.key(seed),
                _named(tables),
                {Path(name).stem: model for name, model in models.items()},
                store=out,
                method=method,
                roles=_roles(models[spec[0]], tables[0]),
                workers=workers,
                cluster=cluster,
                keep_fits=keep_fits,
                **{name: value for name, value in settings.items() if value is not None},
            )
        _report(found, out)
        if len(found.failures):
            raise typer.Exit(PROBLEM)
        if strict and (found.verdicts["verdict"] == "FAIL").any():
            raise typer.Exit(STRICT)


def _named(tables: list[Path]) -> dict[str, Any]:
    """Tables by the stems of their files; by their paths where stems repeat."""
    stems = [path.stem for path in tables]
    names = stems if len(set(stems)) == len(stems) else [str(path) for path in tables]
    if len(set(names)) < len(names):
        raise CommandError("A table is named twice.")
    return dict(zip(names, tables, strict=True))


def _roles(spec: ModelSpec, path: Path) -> dict[str, Any]:
    if spec.data is None:
        raise CommandError(
            "The model file has no [data] section to name the columns of the tables. Add one, as "
            "in models/national_weekly.toml."
        )
    left_out = {"dataset", "file", "format"}
    return spec.data.with_file(path).model_dump(exclude=left_out, exclude_none=True)


def _report(found: FitMap, out: Path) -> None:
    write_text(out / _FILES[0], found.table.to_csv(index=False))
    verdicts = found.verdicts
    write_text(out / _FILES[1], verdicts.drop(columns="findings").to_csv(index=False))
    console = open_console()
    console.print(f"{found!r}\n", highlight=False, markup=False)
    for _, row in found.failures.iterrows():
        text = f"failed: {row['table']} with {row['spec']}: {row['error']}"
        console.print(text, highlight=False, markup=False)
    console.print(f"Written to {out}/: channels.csv, verdicts.csv.", highlight=False)
