"""The command line: parse, call, write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmm_bayes._version import __version__
from mmm_bayes.cli.augmentation import augment
from mmm_bayes.cli.budget import optimize
from mmm_bayes.cli.graph import graphs
from mmm_bayes.cli.lift_tests import next_test, print_comparison, read_tests
from mmm_bayes.cli.map_fits import map_fits
from mmm_bayes.cli.models import bundled_models, inputs_of, load_data, read_model
from mmm_bayes.cli.old_options import CommandsWithOldOptions
from mmm_bayes.cli.options import Chains, Draws, Seed, Warmup
from mmm_bayes.cli.report import report as write_report
from mmm_bayes.cli.terminal import (
    INTERRUPTED,
    PROBLEM,
    STRICT,
    open_console,
    outlive_closed_pipes,
    problems_in_words,
    write_text,
)
from mmm_bayes.cli.validation import compare, forecast, validate

if TYPE_CHECKING:
    from rich.console import Console

    from mmm_bayes.fit_result import FitResult
    from mmm_bayes.inference.verdict import DiagnosticsReport
    from mmm_bayes.model.spec import ModelSpec
    from mmm_bayes.runtime.summary_table import SummaryTable

app = typer.Typer(
    cls=CommandsWithOldOptions,
    name="mmm-bayes",
    help="Bayesian marketing-mix models: fit a table, check the fit, report ROAS.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

app.command()(augment)
app.command("report")(write_report)
app.command()(optimize)
app.command()(forecast)
app.command("next-test")(next_test)
app.command()(validate)
app.command()(compare)
app.command("map-fits")(map_fits)
app.add_typer(graphs, name="graph")

_DEMO_FOLDER = Path("demo_output")
_UNFINISHED = "unfinished"
_PRIOR_DRAWS = 500  # the default of MMM.fit
_FILES = ("fit.nc", "model.toml", "summary.csv", "diagnostics.txt", "diagnostics.json")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bar.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier fit in the folder.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = _DEMO_FOLDER,
    num_samples: Draws = None,
    num_warmup: Warmup = None,
    num_chains: Chains = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Fit the bundled weekly data set and compare its ROAS with the truth."""
    with problems_in_words() as outputs:
        from mmm_bayes.data.datasets import load_truth

        # The demo's own folder is the demo's to replace; any other may hold somebody's work.
        outputs.folder(out, _FILES, (), force or out == _DEMO_FOLDER)
        console, spec = open_console(), read_model("national_weekly")
        truth = load_truth("national_weekly")
        fit = _run(
            spec, None, "nuts", (num_samples, num_warmup, num_chains), seed, quiet, console, out
        )
        report = fit.diagnose()
        written = _write(fit, report, out, truth)
        console.print(f"\n{report}\n", highlight=False, markup=False)
        _print_summary(console, fit, truth)
        console.print(written, highlight=False)
        console.print(
            "\nNext: [bold]mmm-bayes fit lydia_pinkham --out lydia[/bold] fits a real series, "
            "[bold]mmm-bayes datasets[/bold] lists the bundled tables,\nand the comments at the "
            "top of [bold]models/national_weekly.toml[/bold] explain how to use your own table.",
            markup=True,
        )


@app.command()
def fit(
    model: Annotated[str, typer.Argument(help="A model file, or the name of a bundled model.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet file with the same columns, to use instead of the model's table."
        ),
    ] = None,
    date_marks: Annotated[
        str | None,
        typer.Option(
            help="start or end: whether dates are the first or the last days of the weeks or "
            "months of the rows. By default as in the model file."
        ),
    ] = None,
    lift_tests: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of lift tests to include in the likelihood: channel, start, end, lift, "
            "standard_error; optionally geo, spend_change, measured_until, measure."
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="nuts, or svi for a quick approximation.")] = "nuts",
    num_samples: Draws = None,
    num_warmup: Warmup = None,
    num_chains: Chains = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    force: Force = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 3 if the verdict is FAIL.")
    ] = False,
    devices: Annotated[
        str | None, typer.Option(help="all, or a number of devices for chains, then geos.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder in which to keep compiled programs for later runs.")
    ] = None,
) -> None:
    """Fit a model to a table; write draws, summary, diagnostics and figures.

    Draws are saved in OUT/unfinished during the run. If the run stops for any reason, the same
    command resumes it. Ctrl-C writes a fit of the draws made so far.
    """
    with problems_in_words() as outputs:
        if method not in ("nuts", "svi"):
            raise typer.BadParameter(f"{method!r} should be nuts or svi.", param_hint="--method")
        if date_marks not in (None, "start", "end"):
            message = f"{date_marks!r} should be start or end."
            raise typer.BadParameter(message, param_hint="--date-marks")
        outputs.folder(out, _FILES, (*inputs_of(model), data, lift_tests), force, [_UNFINISHED])
        if cache is not None:
            from mmm_bayes.inference.tracing import use_compilation_cache

            use_compilation_cache(cache)
        console, spec = open_console(), read_model(model)
        sizes = num_samples, num_warmup, num_chains
        options: dict[str, Any] = {}
        if method == "nuts":
            options = {"checkpoint": out / _UNFINISHED, "devices": _devices(devices)}
        result = _run(
            spec, data, method, sizes, seed, quiet, console, out, model, lift_tests, options,
            date_marks,
        )  # fmt: skip
        report = result.diagnose()
        written = _write(result, report, out, None)
        from mmm_bayes.runtime.run_folder import remove_run

        interrupted = result.tree["posterior"].attrs.get("interrupted")
        if not interrupted:
            remove_run(out / _UNFINISHED)
        console.print(f"\n{report}\n", highlight=False, markup=False)
        _print_summary(console, result, None)
        if lift_tests is not None:
            print_comparison(console, result)
        console.print(written, highlight=False)
        if interrupted:
            typer.echo(f"This fit was {interrupted}. {outputs.go_on}", err=True)
            raise typer.Exit(INTERRUPTED)
        if strict and report.verdict == "FAIL":
            raise typer.Exit(STRICT)


@app.command()
def summary(
    path: Annotated[Path, typer.Argument(metavar="FIT", help="A fit.nc file, or its folder.")],
    ci_prob: Annotated[
        float, typer.Option(help="Probability mass of the intervals.", min=0.5, max=0.999)
    ] = 0.9,
) -> None:
    """Check a saved fit, and print spend, contribution and ROAS of each channel."""
    with problems_in_words():
        from mmm_bayes.fit_result import load_fit

        # The folder of a fit will do.
        console, result = open_console(), load_fit(path / "fit.nc" if path.is_dir() else path)
        console.print(f"{result!r}\n", highlight=False, markup=False)
        console.print(f"{result.diagnose()}\n", highlight=False, markup=False)
        _print_summary(console, result, None, ci_prob)


@app.command()
def datasets() -> None:
    """List the bundled data sets."""
    with problems_in_words():
        from rich.table import Table

        from mmm_bayes.data.datasets import list_datasets

        table = Table(title="Bundled data sets: mb.load_dataset(name)", title_justify="left")
        table.add_column("name", no_wrap=True)
        table.add_column("description")
        for name in ("dates", "geos", "channels", "controls"):
            table.add_column(name, justify="right")
        table.add_column("known truth")
        for label, row in list_datasets().iterrows():
            sizes = (str(row[size]) for size in ("dates", "geos", "channels", "controls"))
            table.add_row(str(label), row["title"], *sizes, "yes" if row["truth"] else "no")
        open_console().print(table)
        open_console().print(
            f"Bundled models: {', '.join(path.stem for path in bundled_models())}."
        )


@app.command(
    hidden=True,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def experiment(ctx: typer.Context) -> None:
    """Say where the published experiments are run now."""
    typer.echo(
        "The published experiments are no longer part of the package. In a checkout of the "
        f"repository, type: python -m studies {' '.join(ctx.args) or '--help'}",
        err=True,
    )
    raise typer.Exit(PROBLEM)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Handle options given before a command."""
    if version:
        typer.echo(f"mmm-bayes {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    with outlive_closed_pipes():
        app()


def _run(
    spec: ModelSpec,
    table: Path | None,
    method: str,
    sizes: tuple[int | None, int | None, int | None],
    seed: int,
    quiet: bool,
    console: Console,
    out: Path,
    model: str | None = None,
    lift_tests: Path | None = None,
    options: Mapping[str, Any] | None = None,
    date_marks: str | None = None,
) -> FitResult:
    import jax

    from mmm_bayes.fit import MMM
    from mmm_bayes.model.memory import result_bytes
    from mmm_bayes.runtime.outputs import require_space

    base = Path(model).parent if model and Path(model).is_file() else Path()
    data = load_data(spec, table, base, date_marks)
    console.print(f"{data!r}\n", highlight=False, markup=False)
    for finding in data.findings:
        console.print(f"note: {finding}", highlight=False, markup=False)
    names = ("num_samples", "num_warmup", "num_chains")
    settings: dict[str, Any] = {
        name: value for name, value in zip(names, sizes, strict=True) if value is not None
    }
    if method == "svi":
        settings = {"num_draws": settings["num_samples"]} if "num_samples" in settings else {}
    tests = () if lift_tests is None else read_tests(lift_tests, data)
    mmm = MMM(data, spec, lift_tests=tests)
    sampler = spec.sampler.model_copy(update=settings if method == "nuts" else {})
    require_space(out, result_bytes(sampler, data.num_geos * data.num_dates, _PRIOR_DRAWS))
    result = mmm.fit(
        jax.random.key(seed),
        method="svi" if method == "svi" else "nuts",
        progress=not quiet,
        **(options or {}),
        **settings,
    )
    console.print(f"Fitted in {result.tree['posterior'].attrs['wall_seconds']:.1f} s.")
    return result


def _devices(text: str | None) -> Literal["all"] | int | None:
    if text is None or text == "all":
        return text  # type: ignore[return-value]
    # "²" is a digit to Python, and no number.
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise typer.BadParameter(
            f"{text!r} should be all or a positive number.", param_hint="--devices"
        )
    return int(text)


def _print_summary(
    console: Console, fit: FitResult, truth: Any | None, ci_prob: float = 0.9
) -> None:
    table = fit.summary(ci_prob)
    if truth is not None:
        table = _with_truth(table, truth)
    console.print(f"{table}", highlight=False, markup=False, soft_wrap=True)


def _with_truth(table: SummaryTable, truth: Any) -> SummaryTable:
    """Add the true ROAS, and whether the interval holds it."""
    from mmm_bayes.runtime.summary_table import Shown

    true = truth["roas"].sel(channel=list(table.index)).values.astype(float)
    held = (table["roas_lower"] <= true) & (true <= table["roas_upper"])
    interval = table.headings[table.headings.index("ROAS") + 1]
    table = table.with_shown(Shown("true", "true_roas", "ratio"), true, after=interval)
    return table.with_shown(Shown("inside", "inside"), held, after="true")


def _write(fit: FitResult, report: DiagnosticsReport, out: Path, truth: Any | None) -> str:
    """Write all files, and return a text that says so."""
    fit.save(out / "fit.nc")
    write_text(out / "model.toml", fit.spec.to_toml())
    write_text(out / "summary.csv", fit.summary().to_csv())
    write_text(out / "diagnostics.txt", f"{report}\n")
    write_text(out / "diagnostics.json", json.dumps(report.to_dict(), indent=1))
    figures = fit.plot.save_all(out / "figures", truth=truth)
    text = (
        f"\nWritten to {out}/: fit.nc, summary.csv, diagnostics.txt and .json, model.toml, and "
        f"{len(figures)} figures in figures/."
    )
    if report.verdict == "FAIL":
        text += "\nThe verdict is FAIL: do not use these results until the problem is resolved."
    return text
