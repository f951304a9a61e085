"""Augment a table along a causal graph."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmm_bayes.cli.options import Seed
from mmm_bayes.cli.terminal import CommandError, open_console, problems_in_words, say

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.augmentation.table import AugmentedData

_WEIGHT = "augmentation_weight"
_FORMATS = (".csv", ".parquet", ".pq")


def augment(
    table: Annotated[
        Path, typer.Argument(help="CSV or Parquet file with one column per variable.")
    ],
    graph: Annotated[Path, typer.Option(help="Causal graph: a .dot, .toml, .json or .gml file.")],
    out: Annotated[Path, typer.Option(help="CSV or Parquet file to write.")],
    method: Annotated[
        str, typer.Option(help="sample, resample, residual, or enumerate (ADMGDA as published).")
    ] = "sample",
    estimator: Annotated[
        str | None,
        typer.Option(help="For sample: of conditionals; cross_validated chooses for each."),
    ] = None,
    num_rows: Annotated[
        int | None, typer.Option(help="Number of rows to draw; max(2 n, 500) by default.", min=1)
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="For enumerate: least weight kept, times n; 0.01 by default."),
    ] = None,
    bandwidth: Annotated[
        str, typer.Option(help="normal_reference, silverman, robust, nearest, or a number.")
    ] = "normal_reference",
    bandwidth_scale: Annotated[float, typer.Option(help="Multiplies all bandwidths.")] = 1.0,
    smoothing: Annotated[
        float | None, typer.Option(help="Jitter of values, in bandwidths; by default none.")
    ] = None,
    mixture: Annotated[
        float | None,
        typer.Option(
            help="Write observed rows as well; augmented rows get this share of the weight.",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Column to leave out, such as a date; repeatable.")
    ] = None,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Add weighted rows to a table as implied by a causal graph.

    The column `augmentation_weight` is the probability of a row. With --mixture the file contains
    observed and augmented rows, with weights that sum to the number of observed rows.
    """
    with problems_in_words() as outputs:
        import jax

        from mmm_bayes.augmentation.augment import augment
        from mmm_bayes.augmentation.table import AugmentationWarning
        from mmm_bayes.causal.causal_graph import CausalGraph
        from mmm_bayes.data.load import read_frame
        from mmm_bayes.runtime.outputs import is_standard_output

        if out.suffix.lower() not in _FORMATS and not is_standard_output(out):
            raise CommandError(f"--out should end in .csv or .parquet, but is {out}.")
        outputs.file(out, (table, graph), force)
        frame = _without(read_frame(table), drop or [], table)
        if _WEIGHT in frame.columns:
            raise CommandError(f"{table} has a column {_WEIGHT!r}: rename it or --drop it.")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AugmentationWarning)
            result = augment(
                jax.random.key(seed),
                frame,
                CausalGraph.from_file(graph),
                method=method,
                estimator=estimator,
                threshold=threshold,
                num_rows=num_rows,
                bandwidth=_number_or_name(bandwidth),
                bandwidth_scale=bandwidth_scale,
                smoothing=smoothing,
            )
        for note in caught:
            say(f"note: {note.message}")
        if not len(result):
            raise CommandError("No rows are left, so nothing was written.")
        written, weights = result.frame, result.weights
        if mixture is not None:
            written, weights = result.combined(frame, mixture)
        _write_table(written.assign(**{_WEIGHT: weights}), out)
        _print_summary(result, len(written), out)


def _number_or_name(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _without(frame: pd.DataFrame, drop: list[str], table: Path) -> pd.DataFrame:
    if unknown := [name for name in drop if name not in frame.columns]:
        columns = ", ".join(map(str, frame.columns))
        raise CommandError(f"{table} has no column {', '.join(unknown)}; it has {columns}.")
    return frame.drop(columns=drop)


def _write_table(frame: pd.DataFrame, out: Path) -> None:
    """Write a file atomically."""
    from mmm_bayes.runtime.atomic_write import atomic_write

    with atomic_write(out) as place:
        if out.suffix.lower() not in _FORMATS[1:]:
            frame.to_csv(place, index=False)
        else:
            frame.to_parquet(place, index=False)


def _print_summary(result: AugmentedData, rows: int, out: Path) -> None:
    console = open_console(out)
    facts: dict[str, Any] = {
        "rows": f"{len(result)} augmented from {result.num_observed} observed",
        "mass": f"{result.mass:.4g}  (total probability kept)",
        "ESS": f"{result.ess:.1f}",
        "observed": f"{result.share_observed:.1%} of the weight on rows of the table",
    }
    for name, text in facts.items():
        console.print(f"{name:<10}{text}", highlight=False, markup=False)
    console.print(f"\nWritten: {out} ({rows} rows)", highlight=False, markup=False)
