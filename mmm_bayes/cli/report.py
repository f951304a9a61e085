"""Write the report of a fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmm_bayes.cli.terminal import CommandError, open_console, problems_in_words

if TYPE_CHECKING:
    from mmm_bayes.causal.causal_graph import CausalGraph
    from mmm_bayes.data.lift_tests import LiftTest
    from mmm_bayes.model.fitted import Fitted


def report(
    fit: Annotated[Path, typer.Argument(metavar="FIT", help="A fit.nc file, or its folder.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Output file; by default report.html in the folder of the fit."),
    ] = None,
    graph: Annotated[
        Path | None, typer.Option(help="Causal graph to draw: a .toml, .json, .dot or .gml file.")
    ] = None,
    tests: Annotated[
        Path | None,
        typer.Option(help="CSV file of lift tests; by default those of the fit."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    ci_prob: Annotated[
        float, typer.Option(help="Probability mass of the intervals.", min=0.5, max=0.999)
    ] = 0.9,
    budget: Annotated[
        bool, typer.Option("--budget/--no-budget", help="Recommend a budget.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a self-contained HTML report: verdict, figures, tables and budget."""
    with problems_in_words() as outputs:
        from mmm_bayes.model import store
        from mmm_bayes.present.report import write_report

        place = out or (fit if fit.is_dir() else fit.parent) / "report.html"
        if place.is_dir():
            place = place / "report.html"
        outputs.file(place, (fit, graph, tests), force or _is_report(place))
        console, fitted = open_console(place), store.load(fit)
        path = write_report(
            fitted,
            place,
            graph=_graph(graph, fitted),
            budget="auto" if budget else None,
            tests=_tests(tests, fitted),
            title=title,
            ci_prob=ci_prob,
        )
        size = f" ({path.stat().st_size / 1e6:.1f} MB)" if path.is_file() else ""
        console.print(f"Written to {path}{size}: open it in a browser.", highlight=False)


def _is_report(place: Path) -> bool:
    """Return whether a file is a report of ours, which another may replace."""
    try:
        with place.open("rb") as present:
            return b'content="mmm_bayes' in present.read(200_000)
    except OSError:
        return False


def _graph(path: Path | None, fitted: Fitted) -> CausalGraph | None:
    if path is None:
        return None
    from mmm_bayes.causal.causal_graph import CausalGraph

    own = CausalGraph.from_file(path)
    data = fitted.data
    known = {*data.channels, *data.controls, data.target_name}
    # A graph over other variables is drawn as it is; it may cover more than the table.
    return own.with_roles_of(data) if known & set(own.nodes) else own


def _tests(path: Path | None, fitted: Fitted) -> tuple[LiftTest, ...] | None:
    if path is None:
        return None
    from mmm_bayes.data.lift_tests import read_lift_tests
    from mmm_bayes.data.load import read_frame

    if not path.is_file():
        raise CommandError(f"There is no file {path}.")
    data = fitted.data
    frame = read_frame(path, "csv", labels=("channel", "geo"))
    return read_lift_tests(frame, channels=data.channels, geos=data.geos, dates=data.dates)
