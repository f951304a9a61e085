"""From rows of results to a table of cells: how often augmentation is empty, wins, and by how much.

Targets of one run share its causal model, so all standard errors are clustered by run.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    NDArray = np.ndarray[Any, Any]

_CELL = ["scenario", "value", "method", "train", "baseline"]
_Z95 = 1.959963984540054


def published_table(folder: Path | str, scenario: str) -> pd.DataFrame:
    """Return the published results of a scenario, in the columns of ours.

    Rows with ``train = "outliers"`` are those of augmentation from contaminated training rows
    (published as "wrong"); their baseline is fitted without outliers. Columns of settings are not
    read: those of ``threshold.csv`` name another degree than was run.

    Parameters
    ----------
    folder
        Folder of the published files, such as ``mechanisms.csv``.
    scenario
        Name of a scenario.

    Raises
    ------
    FileNotFoundError
        If the scenario's file is not there.
    ValueError
        If it lacks columns.
    """
    import pandas as pd

    from studies.scenarios import SCENARIOS

    about = SCENARIOS[scenario]
    path = Path(folder) / about.published_file
    if not path.exists():
        raise FileNotFoundError(
            f"There are no published results of scenario {scenario!r} at {path}: give the folder "
            f"that holds {about.published_file}."
        )
    table = pd.read_csv(path)
    # The scenario of outliers has two augmentations, and a suffix for each.
    parts = (
        [("clean", "")] if scenario != "outliers" else [("clean", "_true"), ("outliers", "_wrong")]
    )
    names = {
        "r2_CausalDA{}": "r2",
        "MAPE_CausalDA{}": "mape",
        "SUM_aug_weights{}": "mass",
        "frac_filtered{}": "frac_filtered",
        "frac_augmented{}": "frac_augmented",
        "KL_div_train_vs_aug_weighted{}": "published_kl",
        "Wasserstein_dist_train_vs_aug_weighted{}": "published_wasserstein",
    }
    common = {
        about.published_column: "value",
        "run_id": "repetition",
        "predicted_variable": "target",
        "predicted_variable_node_type": "node_type",
        "r2_Baseline": "r2_baseline",
        "MAPE_Baseline": "mape_baseline",
    }
    own = {suffix: {old.format(suffix): new for old, new in names.items()} for _, suffix in parts}
    lacking = [
        name for name in (*common, *(n for o in own.values() for n in o)) if name not in table
    ]
    if lacking:
        raise ValueError(
            f"{path} should have the columns of the published results, but lacks "
            f"{', '.join(lacking)}."
        )
    tables = []
    for train, suffix in parts:
        part = table[[*common, *own[suffix]]].rename(columns=common | own[suffix])
        part = part.assign(scenario=scenario, method="enumerate", train=train)
        part["node_type"] = part["node_type"].str.removesuffix("_node")
        part["empty"] = part["r2"].isna()
        part["r2_baseline_clean"], part["mape_baseline_clean"] = (
            part["r2_baseline"],
            part["mape_baseline"],
        )
        if train == "outliers":
            part[["r2_baseline", "mape_baseline"]] = float("nan")
        tables.append(part)
    return pd.concat(tables, ignore_index=True)


def summarise(table: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    r"""Summarise with one row per cell, method, training table and baseline.

    Parameters
    ----------
    table
        Rows of :func:`~studies.admgda.run_scenario`.
    published
        Rows of :func:`published_table`; their figures are joined to ours of ``"enumerate"`` in
        columns that begin with ``published_``.

    Returns
    -------
    pandas.DataFrame
        ``runs``; ``empty``, the share of runs whose augmentation is empty; ``targets``, the number
        of pairs of fits the rest is about; ``win_rate``, the share of targets whose R2 is higher
        with augmentation (a tie counts half), with standard error ``win_se``; ``r2_change`` and
        ``mape_change``, with minus without augmentation, as ``_mean`` with ``_se`` and as
        ``_median`` with a 95% interval ``_low``, ``_high``.

        ``baseline`` is ``"same rows"``, trees fitted to the same training table, or ``"clean
        rows"``, trees that never saw the outliers, as published.

    Notes
    -----
    For a mean :math:`\bar z` over :math:`N` targets in :math:`G` runs, :math:`\mathrm{se}^2 =
    \frac{G}{G - 1} \sum_g \bigl(\sum_{i \in g} (z_i - \bar z)\bigr)^2 / N^2`. Intervals of medians
    are quantiles at :math:`1/2 \pm 1.96\,\mathrm{se}`, the standard error that of the share of
    targets below the median (Woodruff 1952).
    """
    import pandas as pd

    summary = _cells(table)
    if published is None:
        return summary
    theirs = _cells(published).add_prefix("published_")
    theirs = theirs.rename(columns={f"published_{name}": name for name in _CELL})
    wanted = summary["value"].unique()
    missing = pd.Index(wanted).difference(theirs["value"])
    if len(missing) == len(wanted):
        raise ValueError(
            f"The published results have none of the values {', '.join(map(str, wanted))}: they "
            "are of another scenario."
        )
    return summary.merge(theirs, on=_CELL, how="left")


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    pairs = _pairs(table)
    rows = []
    for cell, group in pairs.groupby(_CELL, sort=False):
        rows.append(dict(zip(_CELL, cell, strict=True)) | _figures(group))
    # Cells of one method together, all in the order of the table.
    place = {
        name: {value: number for number, value in enumerate(pairs[name].unique())} for name in _CELL
    }
    return pd.DataFrame(rows).sort_values(
        ["scenario", "method", "train", "baseline", "value"],
        key=lambda column: column.map(place[str(column.name)]),
        ignore_index=True,
    )


def _pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows by the baseline they are compared with; rows with outliers have two."""
    import pandas as pd

    parts = [table.assign(baseline="same rows")]
    dirty = table[table["train"] == "outliers"]
    clean = {name: dirty[f"{name}_clean"] for name in ("r2_baseline", "mape_baseline")}
    parts.append(dirty.assign(baseline="clean rows", **clean))
    pairs = pd.concat(parts, ignore_index=True)
    return pairs[pairs["r2_baseline"].notna()]


def _figures(group: pd.DataFrame) -> dict[str, float]:
    by_run = group.groupby("repetition")["empty"].first()
    fitted = group[group["r2"].notna()]
    runs = fitted["repetition"].to_numpy()
    r2 = (fitted["r2"] - fitted["r2_baseline"]).to_numpy(float)
    mape = (fitted["mape"] - fitted["mape_baseline"]).to_numpy(float)
    wins = (r2 > 0) + 0.5 * (r2 == 0)
    win_rate, win_se = clustered_mean(wins, runs)
    figures = {
        "runs": len(by_run),
        "empty": float(by_run.astype(bool).mean()),
        "targets": len(fitted),
        "win_rate": win_rate,
        "win_se": win_se,
    }
    for name, values in (("r2_change", r2), ("mape_change", mape)):
        mean, se = clustered_mean(values, runs)
        median, low, high = clustered_median(values, runs)
        figures |= {
            f"{name}_median": median,
            f"{name}_low": low,
            f"{name}_high": high,
            f"{name}_mean": mean,
            f"{name}_se": se,
        }
    return figures


def clustered_mean(values: NDArray, clusters: NDArray) -> tuple[float, float]:
    """Return the mean and its standard error for values that are dependent within clusters.

    NaN where there is nothing; the error is NaN with one cluster.
    """
    import numpy as np

    if not len(values):
        return np.nan, np.nan
    names, place = np.unique(clusters, return_inverse=True)
    mean = float(np.mean(values))
    if len(names) < 2:
        return mean, np.nan
    sums = np.bincount(place, values - mean)
    scale = len(names) / (len(names) - 1)
    return mean, float(np.sqrt(scale * np.sum(sums**2)) / len(values))


def clustered_median(values: NDArray, clusters: NDArray) -> tuple[float, float, float]:
    """Return the median and a 95% interval for values that are dependent within clusters."""
    import numpy as np

    if not len(values):
        return np.nan, np.nan, np.nan
    median = float(np.median(values))
    _, se = clustered_mean((values < median) + 0.5 * (values == median), clusters)
    if not np.isfinite(se):
        return median, np.nan, np.nan
    share = np.clip([0.5 - _Z95 * se, 0.5 + _Z95 * se], 0.0, 1.0)
    low, high = np.quantile(values, share)
    return median, float(low), float(high)


def to_markdown(summary: pd.DataFrame, label: str) -> str:
    """Write a summary as a Markdown table; ``label`` says what the values are of."""
    published = "published_runs" in summary
    heads = [label, "method", "training rows", "baseline", "runs", "empty", "R² higher"]
    heads += ["R² change, median", "R² change, mean", "MAPE change, median"]
    if published:
        heads += ["published: empty", "R² higher", "R² change, median", "MAPE change, median"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in summary.to_dict("records"):
        cells = [_value(row["value"]), row["method"], row["train"], row["baseline"], row["runs"]]
        cells += [
            _percent(row["empty"]),
            _percent(row["win_rate"], row["win_se"]),
            _median(row, "r2_change"),
            _signed(row["r2_change_mean"]) + _plus_minus(row["r2_change_se"]),
            _median(row, "mape_change"),
        ]
        if published:
            cells += [
                _percent(row["published_empty"]),
                _percent(row["published_win_rate"], row["published_win_se"]),
                _median(row, "published_r2_change"),
                _median(row, "published_mape_change"),
            ]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _percent(share: float, se: float = float("nan")) -> str:
    if share != share:
        return ""
    return f"{100 * share:.0f}%" + (f" ± {100 * se:.0f}" if se == se else "")


def _signed(value: float) -> str:
    if value != value:
        return ""
    # No sign where nothing is left to have one.
    return f"{value:+.4f}" if abs(value) >= 0.5e-4 else "0.0000"


def _plus_minus(se: float) -> str:
    return "" if se != se else f" ± {se:.4f}"


def _median(row: Mapping[Hashable, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    span = "" if low != low else f" ({_signed(low)} to {_signed(high)})"
    return _signed(row[f"{name}_median"]) + span
