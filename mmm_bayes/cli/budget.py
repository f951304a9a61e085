"""Optimise a budget with a saved fit: ``mmm-bayes optimize FIT``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmm_bayes.cli.terminal import CommandError, open_console, problems_in_words, write_text
from mmm_bayes.runtime.numbers import compact

if TYPE_CHECKING:
    from rich.console import Console

    from mmm_bayes.budget.limits import Limit
    from mmm_bayes.budget.plan import BudgetPlan

_SECTIONS = ("bounds", "change", "limits", "cost")


def optimize(
    path: Annotated[Path, typer.Argument(metavar="FIT", help="A fit.nc file, or its folder.")],
    total: Annotated[
        float | None,
        typer.Option(help="Total spend over the window; the current total by default.", min=0.0),
    ] = None,
    goal: Annotated[
        str, typer.Option(help="maximise, outcome, roas or marginal_roas (with --target).")
    ] = "maximise",
    target: Annotated[float | None, typer.Option(help="Value that the goal should reach.")] = None,
    objective: Annotated[
        str, typer.Option(help="mean, quantile, cvar, mean_sd or sharpe.")
    ] = "mean",
    level: Annotated[
        float | None, typer.Option(help="Probability of the quantile or CVaR; 0.1 by default.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="Dimensions to vary: channel, date, geo, separated by commas.")
    ] = "channel",
    periods: Annotated[int | None, typer.Option(help="Length of the window.", min=1)] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--min", help="CHANNEL=VALUE: an amount, or x0.8 for 0.8 times the current spend."
        ),
    ] = None,
    maximum: Annotated[
        list[str] | None, typer.Option("--max", help="CHANNEL=VALUE, as for --min.")
    ] = None,
    bounds: Annotated[
        Path | None,
        typer.Option(help="TOML file with the sections bounds, change, limits and cost."),
    ] = None,
    at_most: Annotated[
        bool, typer.Option("--at-most", help="Allow spending less than the total.")
    ] = False,
    unit: Annotated[str, typer.Option(help="revenue or target.")] = "revenue",
    ci_prob: Annotated[
        float, typer.Option(help="Probability mass of the intervals.", min=0.5, max=0.999)
    ] = 0.9,
    out: Annotated[Path | None, typer.Option(help="CSV file for the plan.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV file.")] = False,
) -> None:
    """Find the best budget plan, explain it, and estimate its outcome."""
    with problems_in_words() as outputs:
        from mmm_bayes.budget import optimize_budget
        from mmm_bayes.model.store import load

        outputs.file(out, (path, bounds), force)
        options = _read(bounds) if bounds is not None else {}
        own = [*_limits(minimum or [], "lower"), *_limits(maximum or [], "upper")]
        options["limits"] = [*options.get("limits", []), *own]
        fitted = load(path / "fit.nc" if path.is_dir() else path)
        plan = optimize_budget(
            fitted,
            total,
            goal=goal,  # type: ignore[arg-type]  # checked there, with all else
            target_value=target,
            objective=objective,  # type: ignore[arg-type]
            level=level,
            by=tuple(name.strip() for name in by.split(",")),
            periods=periods,
            spend="at_most" if at_most else "exact",
            unit=unit,  # type: ignore[arg-type]
            ci_prob=ci_prob,
            **options,
        )
        if out is not None:
            write_text(out, plan.to_frame().to_csv(index=False))
        console = open_console(out)
        _print(console, plan, ci_prob)
        if out is not None:
            console.print(f"\nThe plan is in {out}.", highlight=False)


def _limits(given: list[str], side: str) -> list[Limit]:
    """Read ``channel=value`` options."""
    from mmm_bayes.budget.limits import Limit

    found = []
    for text in given:
        channel, separator, value = text.rpartition("=")
        times = value.startswith("x")
        try:
            amount = float(value.removeprefix("x"))
        except ValueError:
            separator = ""
        if not separator or not channel:
            option = "--min" if side == "lower" else "--max"
            raise CommandError(
                f"{option} takes CHANNEL=VALUE, such as tv=20000 or tv=x1.2, but got {text!r}."
            )
        unit = "today" if times else "money"
        found.append(Limit(channel=channel, unit=unit, **{side: amount}))  # type: ignore[arg-type]
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read(path: Path) -> dict[str, Any]:
    """Read a file of limits."""
    from mmm_bayes.budget.cost import CostCurve
    from mmm_bayes.budget.limits import Limit
    from mmm_bayes.runtime.findings import listing, nearest
    from mmm_bayes.runtime.text_file import TextError, parse_toml, read_text

    try:
        values = parse_toml(read_text(path))
    except TextError as error:
        raise CommandError(f"{path}: {error}") from error
    problems = [
        f"there is no section {name!r}.{nearest(name, _SECTIONS)}"
        for name in values
        if name not in _SECTIONS
    ]
    found: dict[str, Any] = {}
    for name in ("bounds", "change"):
        pairs, given = {}, values.get(name, {})
        if not isinstance(given, dict):
            problems.append(f"[{name}] should contain channel = [lower, upper], but is {given!r}")
            continue
        for channel, pair in given.items():
            if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_number, pair)):
                problems.append(f"[{name}] {channel} should be [lower, upper], but is {pair!r}")
                continue
            pairs[channel] = tuple(float(end) for end in pair)
        if pairs:
            found[name] = pairs
    for key, make in (("limits", Limit), ("cost", CostCurve)):
        members = values.get(key, [] if key == "limits" else {})
        if not isinstance(members, list | dict):
            problems.append(f"[{key}] should contain one table per entry, but is {members!r}")
            continue
        listed = list(members.items()) if isinstance(members, dict) else list(enumerate(members))
        made = {}
        for place, member in listed:
            try:
                made[place] = make(**_tuples(member)) if isinstance(member, dict) else float(member)
            except (TypeError, ValueError) as error:
                problems.append(f"[{key}] {place}: {error}")
        if made:
            found[key] = list(made.values()) if key == "limits" else made
    if problems:
        raise CommandError(f"{path}: {listing(problems, 20)}. Sections are {listing(_SECTIONS)}.")
    return found


def _tuples(member: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(value) if isinstance(value, list) else value for k, value in member.items()}


def _print(console: Console, plan: BudgetPlan, ci_prob: float) -> None:
    from rich.table import Table

    percent = f"{ci_prob:.0%}"
    table = Table(title=plan.headline, title_justify="left")
    table.add_column("channel", no_wrap=True)
    for name in ("current", "planned", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("at\nlimit", no_wrap=True)
    for name in ("outcome", f"{percent}\ninterval", "ROAS", "marg.\nROAS", f"{percent}\ninterval"):
        table.add_column(name, justify="right", no_wrap=True)
    for channel, row in plan.table.iterrows():
        change = row["change"]
        table.add_row(
            str(channel),
            compact(row["today"], 4),
            compact(row["planned"], 4),
            f"{change:+.0%}" if change == change else "-",
            row["binds"],
            compact(row["outcome_planned"]),
            f"{compact(row['outcome_planned_lower'])} to {compact(row['outcome_planned_upper'])}",
            f"{row['roas']:.2f}" if row["roas"] == row["roas"] else "-",
            f"{row['marginal_roas']:.2f}",
            f"{row['marginal_roas_lower']:.2f} to {row['marginal_roas_upper']:.2f}",
        )
    console.print(table)
    for line in plan.explanation:
        console.print(f"- {line}", highlight=False, markup=False)
    if plan.warnings:
        console.print("\nWarnings:", highlight=False)
        for line in plan.warnings:
            console.print(f"- {line}", highlight=False, markup=False)
