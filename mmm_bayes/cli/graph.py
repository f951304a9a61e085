"""Commands for causal graphs: test a graph, discover one, estimate effects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmm_bayes.cli.models import inputs_of, load_data, read_model
from mmm_bayes.cli.old_options import CommandsWithOldOptions
from mmm_bayes.cli.options import Chains, Draws, Seed, Warmup
from mmm_bayes.cli.terminal import (
    STRICT,
    CommandError,
    open_console,
    problems_in_words,
    write_text,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from mmm_bayes.causal.causal_graph import CausalGraph
    from mmm_bayes.data.schema import MMMData
    from mmm_bayes.model.spec import ModelSpec

graphs = typer.Typer(
    cls=CommandsWithOldOptions,
    help="Causal graphs: test a graph against a table, discover a graph, estimate effects.",
    no_args_is_help=True,
)

_CHECKED = ("check.txt", "graph.toml")
_DISCOVERED = ("session.json", "graph.toml", "edges.csv", "conflicts.txt")
_ESTIMATED = (
    "structural.zip", "effects.csv", "diagnostics.csv", "regression.csv", "robustness.txt",
)  # fmt: skip

Model = Annotated[
    str,
    typer.Argument(
        help="A model file, or the name of a bundled model; it names the table and its columns."
    ),
]
GraphFile = Annotated[
    Path, typer.Option("--graph", help="Causal graph: a .toml, .json, .dot or .gml file.")
]
Table = Annotated[
    Path | None, typer.Option("--data", help="CSV or Parquet file to use instead of the model's.")
]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier run in the folder.")]


@graphs.command()
def check(
    model: Model,
    graph: GraphFile,
    out: Out,
    data: Table = None,
    test: Annotated[
        str,
        typer.Option(help="Independence test: gcm, partial_correlation, kernel or chi_squared."),
    ] = "gcm",
    alpha: Annotated[
        float, typer.Option(help="Significance level for all tests together.", min=1e-6, max=0.5)
    ] = (0.05),
    seed: Seed = 0,
    force: Force = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with code 3 if the data contradict the graph.")
    ] = False,
) -> None:
    """Test whether a table contradicts a graph, and show what the graph lets one estimate.

    Prints the adjustment set of every channel, the independences that the data contradict, the
    edges to reconsider, and the spend for which the table supports no answer.
    """
    with problems_in_words() as outputs:
        import jax

        from mmm_bayes.causal.check.falsification import falsify
        from mmm_bayes.causal.check.overlap import overlap
        from mmm_bayes.causal.identify.identification import identify
        from mmm_bayes.present import plots

        outputs.folder(out, _CHECKED, (graph, *inputs_of(model), data), force)
        console, table, own = open_console(), *_read(model, graph, data)
        target = own.nodes_of("target")[0]
        parts = [f"{table!r}", f"{own}"]
        channels = [name for name in own.nodes_of("channel") if target in own.descendants(name)]
        if not channels:
            raise CommandError(
                f"No channel in this graph has a path to {target}: add the missing edges."
            )
        parts += [str(identify(own, channel, target)) for channel in channels]
        report = falsify(jax.random.key(seed), own, table, test=test, alpha=alpha)
        parts.append(str(report))
        support = overlap(table, own, channels)
        parts.append(str(support))
        text = "\n\n".join(parts)
        write_text(out / "check.txt", f"{text}\n")
        own.to_file(out / "graph.toml")
        figures: dict[str, Callable[[], Figure]] = {
            "graph": lambda: plots.plot_causal_graph(own),
            "falsification": lambda: plots.plot_falsification(report),
        }
        if support.treatments:
            figures["overlap"] = lambda: plots.plot_overlap(support)
        plots.save_figures(out / "figures", figures)
        console.print(text, highlight=False, markup=False)
        _print_written(console, out, _CHECKED, len(figures))
        if strict and report.objected:
            raise typer.Exit(STRICT)


@graphs.command()
def discover(
    model: Model,
    out: Out,
    knowledge: Annotated[
        Path | None, typer.Option(help="TOML file with expert statements.")
    ] = None,
    data: Table = None,
    method: Annotated[str, typer.Option(help="gp, pc, ges, lingam or pcmci.")] = "gp",
    num_bootstrap: Annotated[int, typer.Option(help="Number of bootstrap tables.", min=0)] = 20,
    season: Annotated[
        list[str] | None,
        typer.Option(help="Node that represents the season of the year; repeatable."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Discover a graph from a table and expert statements, and list their disagreements.

    The file `session.json` records knowledge, runs and decisions; load it with
    `mb.DiscoverySession.load` to replay or continue the session.
    """
    with problems_in_words() as outputs:
        import jax

        from mmm_bayes.causal.discovery.knowledge import Knowledge
        from mmm_bayes.causal.discovery.session import DiscoverySession
        from mmm_bayes.present import plots

        outputs.folder(out, _DISCOVERED, (knowledge, *inputs_of(model), data), force)
        console, table = open_console(), load_data(read_model(model), data, _base(model))
        stated = Knowledge.from_toml(knowledge) if knowledge else Knowledge()
        session = DiscoverySession(
            jax.random.key(seed), stated, method=method, num_bootstrap=num_bootstrap,
            season=tuple(season or ()),
        )  # fmt: skip
        found = session.run_again(table)
        session.save(out / "session.json")
        own = found.graph.with_roles_of(table, seasonality=tuple(season or ()))
        own.to_file(out / "graph.toml")
        write_text(out / "edges.csv", found.edges.to_csv(index=False))
        write_text(out / "conflicts.txt", f"{found.conflicts}\n")
        plots.save_figures(out / "figures", {"graph": lambda: plots.plot_causal_graph(own)})
        console.print(str(found), highlight=False, markup=False)
        _print_written(console, out, _DISCOVERED, 1)


@graphs.command()
def effects(
    model: Model,
    graph: GraphFile,
    out: Out,
    data: Table = None,
    num_samples: Draws = None,
    num_warmup: Warmup = None,
    num_chains: Chains = None,
    estimator: Annotated[
        str, typer.Option(help="Estimator of the regression: linear, splines, double_ml, ...")
    ] = "linear",
    refutations: Annotated[
        bool, typer.Option(help="Try to refute the total effects of the regression.")
    ] = True,
    seed: Seed = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bar.")] = False,
    force: Force = False,
) -> None:
    """Estimate total, direct and indirect effects of every channel in two ways.

    First by the structural Bayesian model (one equation per node, interventions on the whole
    system), then by regression on the adjustment sets of the graph, with bootstrap intervals,
    refutations and sensitivity to hidden confounders.
    """
    with problems_in_words() as outputs:
        import jax

        from mmm_bayes.causal.effects.effects import effects_table
        from mmm_bayes.causal.effects.refutation import refute
        from mmm_bayes.causal.effects.sensitivity import sensitivity
        from mmm_bayes.present import plots
        from mmm_bayes.structural import StructuralMMM

        outputs.folder(out, _ESTIMATED, (graph, *inputs_of(model), data), force)
        console, spec = open_console(), read_model(model)
        table, own = _read(model, graph, data, spec)
        names = ("num_samples", "num_warmup", "num_chains")
        sizes: dict[str, Any] = {
            n: v
            for n, v in zip(names, (num_samples, num_warmup, num_chains), strict=True)
            if v is not None
        }
        system = StructuralMMM(table, own, spec)
        console.print(f"{system!r}\n", highlight=False, markup=False)
        fit = system.fit(jax.random.key(seed), progress=not quiet, num_prior_draws=0, **sizes)
        verdicts, summary = fit.diagnose().to_frame(), fit.summary()
        fit.save(out / "structural.zip")
        write_text(out / "effects.csv", summary.to_csv())
        write_text(out / "diagnostics.csv", verdicts.to_csv())
        for node, row in verdicts.iterrows():
            first = f": {row['first']}" if row["verdict"] != "PASS" else ""
            console.print(f"{node} {row['verdict']}{first}", highlight=False, markup=False)
        console.print()
        rows = [
            (*map(str, key), row["contribution"], row["contribution_lower"],
             row["contribution_upper"], row["roas"], row["roas_lower"], row["roas_upper"])
            for key, row in zip(summary.index, summary.to_dict("records"), strict=True)
        ]  # fmt: skip
        _print_effects(console, f"Effects on {fit.target}, structural model", rows)
        regression = effects_table(
            jax.random.key(seed),
            table,
            own,
            transform="search",
            estimator=estimator,  # type: ignore[arg-type]  # checked there
        )
        write_text(out / "regression.csv", regression.to_frame().to_csv(index=False))
        rows = [
            (e.treatment, e.effect, e.value, *e.interval, e.roas, *e.roas_interval)
            for e in regression.estimates
        ]
        _print_effects(console, f"Effects on {fit.target}, by regression ({estimator})", rows)
        for e in regression.estimates:
            given = ", ".join(e.adjustment) or "nothing"
            console.print(f"{e.treatment}, {e.effect}: adjusted for {given}", style="dim")
        for name, reason in regression.refused.items():
            console.print(f"{name}: {reason}", highlight=False, markup=False)
        figures: dict[str, Callable[[], Figure]] = {
            "graph": lambda: plots.plot_causal_graph(own),
            "effects": lambda: plots.plot_structural_effects(fit),
            "regression": lambda: plots.plot_effects(regression),
        }
        notes = []
        for treatment in regression.treatments:
            estimate = regression.estimate(treatment)
            strength = sensitivity(estimate)
            notes.append(f"{treatment}\n{strength}")
            figures[f"sensitivity_{treatment}"] = partial(plots.plot_sensitivity, strength)
            if refutations:
                report = refute(jax.random.key(seed), estimate)
                notes.append(str(report))
                figures[f"refutation_{treatment}"] = partial(plots.plot_refutation, report)
        text = "\n\n".join(notes)
        write_text(out / "robustness.txt", f"{text}\n")
        plots.save_figures(out / "figures", figures)
        console.print(f"\n{text}", highlight=False, markup=False)
        _print_written(console, out, _ESTIMATED, len(figures))


def _base(model: str) -> Path:
    return Path(model).parent if Path(model).is_file() else Path()


def _read(
    model: str, graph: Path, data: Path | None, spec: ModelSpec | None = None
) -> tuple[MMMData, CausalGraph]:
    """Read the table and the graph, whose nodes take their roles from the table."""
    from mmm_bayes.causal.causal_graph import CausalGraph

    table = load_data(spec or read_model(model), data, _base(model))
    return table, CausalGraph.from_file(graph).with_roles_of(table)


def _print_effects(
    console: Console,
    title: str,
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Print effects with 90% intervals; omit direct effects that equal the total."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("channel")
    table.add_column("effect")
    for name in ("contribution", "90% interval", "ROAS", "90% interval"):
        table.add_column(name, justify="right", no_wrap=True)
    mediated = {channel for channel, effect, *rest in rows if effect == "indirect" and rest[0]}
    last = ""
    for channel, effect, value, low, high, roas, roas_low, roas_high in rows:
        if effect != "total" and channel not in mediated:
            continue
        table.add_row(
            channel if channel != last else "", effect, f"{value:,.4g}",
            f"{low:,.4g} to {high:,.4g}", f"{roas:.2f}", f"{roas_low:.2f} to {roas_high:.2f}",
        )  # fmt: skip
        last = channel
    console.print(table)


def _print_written(console: Console, out: Path, files: Sequence[str], count: int) -> None:
    plural = "s" if count > 1 else ""
    console.print(
        f"\nWritten to {out}/: {', '.join(files)}, and {count} figure{plural} in figures/.",
        highlight=False,
    )
