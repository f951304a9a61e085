"""Validate models on held-out data, compare models, and forecast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmm_bayes.cli.models import inputs_of, load_data, read_model
from mmm_bayes.cli.options import Chains, Draws, Seed, Warmup
from mmm_bayes.cli.terminal import (
    CommandError,
    open_console,
    problems_in_words,
    write_text,
)

if TYPE_CHECKING:
    from rich.console import Console

    from mmm_bayes.fit import MMM

_VALIDATED = ("scores.csv", "forecasts.csv", "roas.csv", "validation.txt")
_COMPARED = ("comparison.csv", "roas.csv", "comparison.txt")
_FORECAST = ("forecast.csv", "forecast.txt")

Model = Annotated[str, typer.Argument(help="A model file, or the name of a bundled model.")]
Table = Annotated[
    Path | None,
    typer.Option(
        help="CSV or Parquet file with the same columns, used instead of the model's table."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Force = Annotated[bool, typer.Option("--force", help="Replace earlier results in the folder.")]
Errors = Annotated[
    str, typer.Option(help="Errors of forecasts: auto, independent, or ar1 (autocorrelated).")
]


def validate(
    model: Model,
    out: Out,
    data: Table = None,
    num_folds: Annotated[int, typer.Option(help="Number of origins.", min=1)] = 5,
    horizon: Annotated[
        int | None,
        typer.Option(
            help="Number of dates to forecast from each origin (default: a quarter).", min=1
        ),
    ] = None,
    min_train: Annotated[
        int | None,
        typer.Option(help="Smallest number of training dates; for a sliding window, its length."),
    ] = None,
    window: Annotated[str, typer.Option(help="expanding or sliding.")] = "expanding",
    errors: Errors = "auto",
    store: Annotated[
        Path | None,
        typer.Option(
            help="Folder in which to save finished folds, so that a stopped run can resume."
        ),
    ] = None,
    num_samples: Draws = None,
    num_warmup: Warmup = None,
    num_chains: Chains = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Fit the past and forecast the following dates from several origins; write scores."""
    with problems_in_words() as outputs:
        import jax

        from mmm_bayes.present.plots import save_figures
        from mmm_bayes.validation.rolling import rolling_origin

        outputs.folder(out, _VALIDATED, (*inputs_of(model), data), force)
        console, mmm = open_console(), _model(model, data)

        found = rolling_origin(
            jax.random.key(seed),
            mmm,
            num_folds=num_folds,
            horizon=horizon,
            min_train=min_train,
            window=window,  # type: ignore[arg-type]  # checked with everything else
            errors=errors,  # type: ignore[arg-type]
            store=store,
            progress=True,
            **_sizes(num_samples, num_warmup, num_chains),
        )
        write_text(out / "validation.txt", f"{found}\n")
        write_text(out / "scores.csv", found.summary("fold").to_csv())
        write_text(out / "forecasts.csv", found.table.to_csv(index=False))
        write_text(out / "roas.csv", found.roas().to_csv())
        plots = found.plot
        figures = {"forecasts": plots.forecasts, "scores": plots.scores}
        figures |= {"roas_over_folds": plots.roas, "calibration": plots.calibration}
        save_figures(out / "figures", figures)
        console.print(f"\n{found}\n", highlight=False, markup=False)
        _written(console, out, _VALIDATED, len(figures))


def compare(
    model: Model,
    out: Out,
    adstock: Annotated[
        str, typer.Option(help="Names separated by commas; the model's own by default.")
    ] = "",
    saturation: Annotated[
        str, typer.Option(help="Names separated by commas; the model's own by default.")
    ] = "",
    criterion: Annotated[str, typer.Option(help="lfo, kfold, loo or rolling.")] = "lfo",
    data: Table = None,
    num_samples: Draws = None,
    num_warmup: Warmup = None,
    num_chains: Chains = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Compare adstock and saturation functions by prediction, and by the ROAS they imply."""
    with problems_in_words() as outputs:
        import jax

        from mmm_bayes.present.plots import save_figures
        from mmm_bayes.validation.comparison import compare_models, model_grid

        outputs.folder(out, _COMPARED, (*inputs_of(model), data), force)
        console, spec = open_console(), read_model(model)
        grid = model_grid(
            spec, adstock=_names(adstock) or None, saturation=_names(saturation) or None
        )
        table = load_data(spec, data, Path(model).parent if Path(model).is_file() else Path())

        def on_model(done: int, total: int, name: str) -> None:
            console.print(f"{done} of {total}: {name}", style="dim", highlight=False)

        found = compare_models(
            jax.random.key(seed),
            table,
            grid,
            criterion=criterion,  # type: ignore[arg-type]  # checked with everything else
            on_model=on_model,
            **_sizes(num_samples, num_warmup, num_chains),
        )
        write_text(out / "comparison.txt", f"{found}\n")
        write_text(out / "comparison.csv", found.table.to_csv())
        write_text(out / "roas.csv", found.roas.to_csv())
        save_figures(out / "figures", {"comparison": found.plot})
        console.print(f"\n{found}\n", highlight=False, markup=False)
        _written(console, out, _COMPARED, 1)


def forecast(
    path: Annotated[Path, typer.Argument(metavar="FIT", help="A fit.nc file, or its folder.")],
    out: Out,
    horizon: Annotated[int | None, typer.Option(help="Number of dates to forecast.", min=1)] = None,
    future: Annotated[
        Path | None, typer.Option(help="CSV file of future dates with all known columns.")
    ] = None,
    spend: Annotated[
        str | None,
        typer.Option(help="last_year, last_window, or multipliers: 1.1, or tv=1.2,radio=0."),
    ] = None,
    errors: Errors = "auto",
    ci_prob: Annotated[
        float, typer.Option(help="Probability mass of the intervals.", min=0.5, max=0.999)
    ] = 0.9,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Forecast the dates after the table: planned spend, controls given or projected."""
    with problems_in_words() as outputs:
        import jax

        from mmm_bayes.analysis.forecast import forecast as make
        from mmm_bayes.data.load import read_frame
        from mmm_bayes.fit_result import load_fit
        from mmm_bayes.present.plots import save_figures
        from mmm_bayes.present.plots.style import period_name
        from mmm_bayes.present.plots.validation import plot_forecast

        if (horizon is None) == (future is None):
            raise CommandError("Give one of --horizon (a number of dates) and --future (a table).")
        outputs.folder(out, _FORECAST, (path, future), force)
        fit = load_fit(path / "fit.nc" if path.is_dir() else path)
        ahead: Any = horizon if future is None else read_frame(future)
        key = jax.random.key(seed)
        plan = _plan(spend)
        found = make(key, fit.fitted, ahead, spend=plan, errors=errors)  # type: ignore[arg-type]
        console = open_console()
        write_text(out / "forecast.txt", f"{found}\n")
        write_text(out / "forecast.csv", found.to_frame(ci_prob).to_csv(index=False))
        observed = fit.data.ds["target"].sum("geo")
        save_figures(
            out / "figures",
            {
                "forecast": lambda: plot_forecast(
                    found.summary("date", ci_prob),
                    observed,
                    target=fit.data.target_name,
                    period=period_name(fit.data.time_step),
                    ci_prob=ci_prob,
                )
            },
        )
        console.print(f"{found}\n", highlight=False, markup=False)
        _written(console, out, _FORECAST, 1)


def _model(model: str, table: Path | None) -> MMM:
    from mmm_bayes.fit import MMM

    spec = read_model(model)
    return MMM(
        load_data(spec, table, Path(model).parent if Path(model).is_file() else Path()), spec
    )


def _sizes(
    num_samples: int | None, num_warmup: int | None, num_chains: int | None
) -> dict[str, Any]:
    given = {"num_samples": num_samples, "num_warmup": num_warmup, "num_chains": num_chains}
    return {name: value for name, value in given.items() if value is not None}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _plan(text: str | None) -> Any:
    """Read the name of a plan, one multiplier, or one multiplier per channel."""
    if text is None or "=" not in text:
        try:
            return None if text is None else float(text)
        except ValueError:
            return text
    found = {}
    for part in _names(text):
        channel, _, value = part.partition("=")
        try:
            found[channel.strip()] = float(value)
        except ValueError:
            raise CommandError(
                f"--spend should look like tv=1.2,radio=0, but got {part!r}."
            ) from None
    return found


def _written(console: Console, out: Path, files: tuple[str, ...], figures: int) -> None:
    plural = "s" if figures > 1 else ""
    console.print(
        f"Written to {out}/: {', '.join(files)}, and {figures} figure{plural} in figures/.",
        highlight=False,
    )
