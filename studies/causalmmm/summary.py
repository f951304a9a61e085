"""Tables of cells from the rows of runs, next to the published results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from studies.causalmmm.methods import GRAPH_METHODS, NETWORKS, PER_SHOP, RULES
from studies.causalmmm.published import (
    PUBLISHED_ERRORS,
    PUBLISHED_GRAPHS,
    PUBLISHED_NAME,
)
from studies.causalmmm.studies import FORECAST_METHODS

if TYPE_CHECKING:
    from studies.causalmmm.studies import Study

NDArray = np.ndarray[Any, Any]

MEASURES = (
    "auroc", "pooled_auroc", "accuracy", "f1", "swapped_auroc", "ece", "brier", "accuracy_half",
    "density", "fit_seconds", "score_seconds",
)  # fmt: skip
# Whose margins are written out; those of ablations are in no one's way in the table itself.
_HEADLINE = ("causalmmm", "causalmmm_encoder", "paper")
_BASELINES = {*RULES, *NETWORKS, "ngc_mlp_hierarchical"}


def summarise_study(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Summarise rows of :func:`~studies.causalmmm.study.run_study` by cell and method."""
    summarise = {
        "graphs": summarise_graphs,
        "curve": summarise_curve,
        "timing": summarise_timing,
        "forecast": summarise_forecasts,
    }[study.kind]
    return summarise(study, table)


def summarise_graphs(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Summarise every measure over runs, by cell, method and set of shops.

    Returns
    -------
    pandas.DataFrame
        ``cell``, ``method``, ``shops`` (``"test"`` or ``"unseen"``), ``runs``, each of
        ``MEASURES`` with its ``_sd``, and ``published_`` AUROC and accuracy.
    """
    measured = [name for name in MEASURES if name in table]
    groups = table.groupby(["cell", "method", "shops"], sort=False)
    means = groups[measured].mean()
    spread = groups[measured].std(ddof=1).add_suffix("_sd")
    summary = pd.concat([groups.size().rename("runs"), means, spread], axis=1).reset_index()
    columns = {cell.label: cell.published for cell in study.cells}
    theirs = PUBLISHED_GRAPHS.get(study.name, {})
    for place, (cell, method) in enumerate(zip(summary["cell"], summary["method"], strict=True)):
        given = theirs.get(columns[cell] or "", {}).get(PUBLISHED_NAME.get(method, ""))
        if given is not None:
            for name, value in given._asdict().items():
                summary.loc[place, f"published_{name}"] = value
    return _ordered(study, summary, GRAPH_METHODS)


def margins(table: pd.DataFrame) -> pd.DataFrame:
    """Subtract the best baseline of a cell from our methods, on the same simulated panels.

    The best is the one with the highest mean, of all baselines (``"any rule"``) and of those that
    see one shop at a time (``"one shop"``); being chosen, it is a little too good.

    Returns
    -------
    pandas.DataFrame
        ``cell``, ``method``, ``shops``, ``measure``, ``among``, ``best``, ``runs``, ``difference``
        and its standard error.
    """
    rows: list[dict[str, Any]] = []
    if not table["method"].isin(_BASELINES).any():
        return pd.DataFrame(rows)
    for (cell, shops), part in table.groupby(["cell", "shops"], sort=False):
        for measure in ("auroc", "accuracy"):
            wide = part.pivot_table(index="repetition", columns="method", values=measure)
            for method in [name for name in wide if name not in _BASELINES]:
                for among, names in (("any rule", _BASELINES), ("one shop", set(PER_SHOP))):
                    others = [name for name in wide if name in names]
                    both = wide.loc[wide[method].notna(), [method, *others]]
                    # Of a rule that has fewer runs, the mean would be over other panels.
                    full = [name for name in others if both[name].notna().all()]
                    if not full:
                        continue
                    best = both[full].mean().idxmax()
                    gap = both[method] - both[best]
                    rows.append(
                        {
                            "cell": cell, "method": method, "shops": shops, "measure": measure,
                            "among": among, "best": best, "runs": len(gap),
                            "difference": gap.mean(),
                            "difference_se": gap.std(ddof=1) / np.sqrt(len(gap)),
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def reliability_of(table: pd.DataFrame, shops: str = "test") -> pd.DataFrame:
    """Compute the mean probability and the share of edges by method and bin."""
    if "bin_count" not in table:
        return pd.DataFrame()
    rows = []
    some = table[(table["shops"] == shops) & table["bin_count"].notna()]
    for method, part in some.groupby("method", sort=False):
        sums = [np.sum(part[f"bin_{name}"].tolist(), axis=0) for name in _BIN_SUMS]
        count = np.where(sums[0] > 0, sums[0], np.nan)
        columns = {"count": sums[0], "probability": sums[1] / count, "edges": sums[2] / count}
        rows.append(pd.DataFrame({"method": method, "bin": np.arange(len(count)), **columns}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


_BIN_SUMS = ("count", "probability", "edges")


def summarise_curve(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Summarise AUROC and last losses by number of epochs and method."""
    groups = table.groupby(["cell", "method"], sort=False)
    measured = ["auroc", "unseen_auroc", "last_loss", "last_validation", "fit_seconds"]
    means, spread = groups[measured].mean(), groups[measured].std(ddof=1).add_suffix("_sd")
    summary = pd.concat([groups.size().rename("runs"), means, spread], axis=1).reset_index()
    return _ordered(study, summary, GRAPH_METHODS)


def summarise_timing(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Summarise seconds by size and method, with the exponent of size fitted to each series.

    The exponent is the slope of log seconds on log size by least squares; 1 is linear cost.
    """
    groups = table.groupby(["axis", "method", "size"], sort=False)
    summary = groups["seconds"].median().reset_index()
    summary["runs"] = groups.size().to_numpy()
    for _, part in summary.groupby(["axis", "method"], sort=False):
        if len(part) > 1:
            slope = np.polyfit(np.log(part["size"]), np.log(part["seconds"]), 1)[0]
            summary.loc[part.index, "exponent"] = slope
    return summary


def summarise_forecasts(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Summarise errors and coverage by method and horizon over panels."""
    groups = table.groupby(["cell", "method", "horizon"], sort=False)
    measured = ["mse", "sum", "coverage", "crps", "fit_seconds", "forecast_seconds"]
    means, spread = groups[measured].mean(), groups[measured].std(ddof=1).add_suffix("_sd")
    summary = pd.concat([groups.size().rename("runs"), means, spread], axis=1).reset_index()
    summary["published_sum"] = [
        PUBLISHED_ERRORS.get(PUBLISHED_NAME.get(method, ""), {}).get(int(horizon), np.nan)
        for method, horizon in zip(summary["method"], summary["horizon"], strict=True)
    ]
    return _ordered(study, summary, FORECAST_METHODS)


def _ordered(study: Study, summary: pd.DataFrame, methods: tuple[str, ...]) -> pd.DataFrame:
    """Sort cells and methods in the order of their lists."""
    cells = {cell.label: place for place, cell in enumerate(study.cells)}
    at = {method: place for place, method in enumerate(methods)}
    keys = pd.DataFrame({"cell": summary["cell"].map(cells), "method": summary["method"].map(at)})
    order = keys.sort_values(["cell", "method"], kind="stable").index
    return summary.loc[order].reset_index(drop=True)


# --- Markdown ------------------------------------------------------------------------------------


def to_markdown(study: Study, table: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Write a study as Markdown: its table and, for graphs, margins over the best baselines."""
    if study.kind == "graphs":
        text = _lines(
            (study.label, *_GRAPH_HEADS), [_graph_cells(study, s) for s in _by_method(summary)]
        )
        gaps = margins(table)
        if len(gaps) and (gaps := gaps[gaps["method"].isin(_HEADLINE)]).size:
            note = (
                "\nDifference from the best baseline on the same panels, mean ± standard error; "
                "of all baselines, and of those that see one shop at a time:\n\n"
            )
            text += note + _lines(
                (study.label, *_MARGIN_HEADS), [_margin_cells(*each) for each in _gaps(gaps)]
            )
        return f"{study.title}\n\n{text}"
    heads, cells = _PLAIN[study.kind]
    rows = [[_cell(row, name) for name in cells] for _, row in summary.iterrows()]
    return f"{study.title}\n\n{_lines(heads, rows)}"


_GRAPH_HEADS = (
    "method", "runs", "AUROC", "ACC", "ECE", "AUROC, unseen graphs", "ACC, unseen graphs",
    "ECE, unseen graphs", "published AUROC", "published ACC", "seconds",
)  # fmt: skip
_MARGIN_HEADS = (
    "method", "against", "measure", "best", "difference", "best, unseen graphs",
    "difference, unseen graphs",
)  # fmt: skip
_PLAIN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "curve": (
        ("epochs", "method", "runs", "AUROC", "AUROC, unseen graphs", "loss", "loss of test shops",
         "seconds"),
        ("cell", "method", "runs", "auroc±", "unseen_auroc±", "last_loss", "last_validation",
         "fit_seconds"),
    ),
    "timing": (
        ("by", "method", "size", "runs", "seconds", "exponent"),
        ("axis", "method", "size", "runs", "seconds", "exponent"),
    ),
    "forecast": (
        ("panel", "method", "M", "panels", "MSE per step", "MSE, sum over steps", "published MSE",
         "coverage of 90% intervals", "CRPS", "seconds"),
        ("cell", "method", "horizon", "runs", "mse±", "sum", "published_sum", "coverage", "crps",
         "fit_seconds"),
    ),
}  # fmt: skip


def _by_method(summary: pd.DataFrame) -> list[dict[str, pd.Series]]:
    """Group the rows of test and of unseen shops by cell and method."""
    return [
        {str(row["shops"]): row for _, row in part.iterrows()}
        for _, part in summary.groupby(["cell", "method"], sort=False)
    ]


def _graph_cells(study: Study, rows: dict[str, pd.Series]) -> list[str]:
    test, unseen = rows["test"], rows["unseen"]
    return [
        str(test["cell"]), f"`{test['method']}`", str(int(test["runs"])),
        _cell(test, "auroc±"), _cell(test, "accuracy±"), _cell(test, "ece"),
        _cell(unseen, "auroc±"), _cell(unseen, "accuracy±"), _cell(unseen, "ece"),
        _cell(test, "published_auroc±"), _cell(test, "published_accuracy±"),
        f"{test['fit_seconds'] + test['score_seconds']:.3g}",
    ]  # fmt: skip


def _gaps(gaps: pd.DataFrame) -> list[tuple[pd.Series, pd.Series]]:
    parts = gaps.groupby(["cell", "method", "among", "measure"], sort=False)
    pairs = [{str(r["shops"]): r for _, r in part.iterrows()} for _, part in parts]
    return [(pair["test"], pair["unseen"]) for pair in pairs]


def _margin_cells(test: pd.Series, unseen: pd.Series) -> list[str]:
    cells = [test["cell"], f"`{test['method']}`", test["among"], test["measure"]]
    for row in (test, unseen):
        se = row["difference_se"]
        spread = "" if np.isnan(se) else f" ± {se:.4f}"
        cells += [f"`{row['best']}`", f"{row['difference']:+.4f}{spread}"]
    return [str(cell) for cell in cells]


def _cell(row: pd.Series, name: str) -> str:
    """Format one number; a name ending in ± is a mean with its standard deviation."""
    plain = name.removesuffix("±")
    value = row.get(plain, np.nan)
    if isinstance(value, str):
        return f"`{value}`" if plain == "method" else value
    if value is None or np.isnan(value):
        return ""
    if float(value).is_integer() and plain in ("runs", "size", "horizon"):
        return str(int(value))
    text = f"{value:.3g}" if plain.endswith("seconds") else f"{value:.3f}"
    spread = row.get(f"{plain}_sd", np.nan)
    return f"{text} ± {spread:.3f}" if name.endswith("±") and not np.isnan(spread) else text


def _lines(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
