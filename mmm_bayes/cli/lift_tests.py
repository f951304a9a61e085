"""Read lift tests, and rank the next ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmm_bayes.cli.options import Seed
from mmm_bayes.cli.terminal import CommandError, open_console, problems_in_words, write_text
from mmm_bayes.runtime.numbers import compact

if TYPE_CHECKING:
    from rich.console import Console

    from mmm_bayes.data.lift_tests import LiftTest
    from mmm_bayes.data.schema import MMMData
    from mmm_bayes.fit_result import FitResult


def read_tests(path: Path, data: MMMData) -> tuple[LiftTest, ...]:
    """Read a CSV file of lift tests, and check it against a table."""
    from mmm_bayes.data.lift_tests import read_lift_tests
    from mmm_bayes.data.load import read_frame

    try:
        frame = read_frame(path, "csv", labels=("channel", "geo"))
    except (OSError, ValueError) as error:
        raise CommandError(f"The lift tests in {path} cannot be read: {error}") from error
    return read_lift_tests(frame, channels=data.channels, geos=data.geos, dates=data.dates)


def print_comparison(console: Console, fit: FitResult) -> None:
    """Print the lift tests of a fit next to the predictions of the model."""
    from rich.table import Table

    found = fit.compare_lift_tests()
    table = Table(title="Lift tests compared with the model", title_justify="left")
    table.add_column("test", no_wrap=True)
    table.add_column("measure")
    for name in ("measured", "90%\ninterval", "model", "90%\ninterval", "z"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("agreement")
    for test, row in found.table.iterrows():
        spans = [
            f"{compact(row[f'{kind}_low'])} to {compact(row[f'{kind}_high'])}"
            for kind in ("observed", "predicted")
        ]
        table.add_row(
            str(test), row["measure"].replace("_", " "), compact(row["observed"]), spans[0],
            compact(row["predicted"]), spans[1], f"{row['z']:.1f}", row["agreement"],
        )  # fmt: skip
    console.print(table)
    console.print(found.verdict, highlight=False, markup=False)


def next_test(
    path: Annotated[Path, typer.Argument(metavar="FIT", help="A fit.nc file, or its folder.")],
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of planned tests (channel, start, end, lift, standard_error, geo, "
            "spend_change, recorded); the lift is ignored. By default each channel is switched "
            "off, and doubled, over the last four periods."
        ),
    ] = None,
    change: Annotated[
        float,
        typer.Option(
            help="Largest relative change of a channel in the next budget.", min=0.01, max=1.0
        ),
    ] = 0.5,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="CSV file for the ranking.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV file.")] = False,
) -> None:
    """Rank experiments by the value of their result for the next budget."""
    with problems_in_words() as outputs:
        import jax
        from rich.table import Table

        from mmm_bayes.fit_result import load_fit

        outputs.file(out, (path, candidates), force)
        console, fit = open_console(out), load_fit(path)
        tests = None if candidates is None else read_tests(candidates, fit.data)
        found = fit.rank_experiments(jax.random.key(seed), tests, change=change)
        if out is not None:
            write_text(out, found.table.to_csv())
        table = Table(title="Which experiment to run next", title_justify="left")
        table.add_column("test")
        columns = (
            "change of\nspend", "standard\nerror", "expected\nlift", "value",
            "% of perfect\ninformation", "marginal ROAS\nsd now", "after",
        )  # fmt: skip
        for name in columns:
            table.add_column(name, justify="right", no_wrap=True)
        for test, row in found.table.iterrows():
            table.add_row(
                str(test), compact(row["spend_change"]), compact(row["standard_error"]),
                compact(row["expected"]), compact(row["value"]), f"{row['share_of_perfect']:.0%}",
                f"{row['marginal_roas_sd']:.3g}", f"{row['marginal_roas_sd_after']:.3g}",
            )  # fmt: skip
        console.print(table)
        console.print(found.verdict, highlight=False, markup=False)
        if out is not None:
            console.print(f"Written to {out}.", highlight=False, markup=False)
