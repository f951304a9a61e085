"""The table: what its checks find, and the ranges of its columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from mmm_bayes.data.schema import MMMData
from mmm_bayes.present.report.blocks import (
    Facts,
    Heading,
    Note,
    Remark,
    Remarks,
    Section,
    Table,
    Text,
)
from mmm_bayes.present.report.context import Context
from mmm_bayes.present.report.words import NDArray, full, percent, plural
from mmm_bayes.runtime.findings import DataError, DataWarning, Finding


def data_section(c: Context) -> Section:
    """Show the checks and ranges of the table."""
    data = c.data
    missing = int(sum(np.isnan(data.ds[name].values).sum() for name in data.ds.data_vars
                      if data.ds[name].dtype.kind == "f"))  # fmt: skip
    where = "national" if data.is_national else plural(data.num_geos, "geo")
    facts = Facts(
        (
            (
                "Rows",
                f"{data.num_geos * data.num_dates:,} ({plural(data.num_dates, 'date')}, {where})",
            ),
            ("Dates", f"{c.window}, one row per {c.period}"),
            ("Target", c.target),
            ("Channels", ", ".join(data.channels) or "none"),
            ("Controls", ", ".join(data.controls) or "none"),
            ("Missing values", f"{missing:,}"),
        )
    )
    blocks: list[object] = [facts, Heading("Checks")]
    found = _findings(data)
    if found:
        blocks.append(
            Remarks(
                tuple(
                    Remark(
                        "bad" if f.severity == "error" else "look",
                        "Error" if f.severity == "error" else "Look",
                        f.message,
                        f.remedy,
                    )
                    for f in found
                )
            )
        )
    else:
        blocks.append(Note("good", "The checks of the table found nothing that needs attention."))
    blocks += [Heading("Columns"), _ranges(c)]
    if len(data.channels) > 1:
        blocks.append(
            Text(
                "The variance inflation factor (VIF) says how many times larger the variance of a "
                "channel's effect is because its exposure moves with that of other channels. From "
                "5 to 10 on the table alone can hardly tell these channels apart."
            )
        )
    return Section("data", "Data checks", tuple(blocks))


def _findings(data: MMMData) -> tuple[Finding, ...]:
    """Return the findings of the load; for a fit read from a file the checks are made again."""
    if data.findings:
        return data.findings
    roles = data.roles
    given: dict[str, Any] = {
        "date": roles.date, "target": roles.target, "channels": roles.exposure,
        "spend": roles.spend, "controls": roles.controls, "geo": roles.geo,
        "population": roles.population, "revenue_per_target": roles.revenue_per_target,
    }  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            return MMMData.from_dataframe(data.to_frame(), **given).findings
    except DataError as error:
        return error.findings


def _ranges(c: Context) -> Table:
    data, rows = c.data, []
    summary = data.summary()
    columns: list[tuple[str, str, NDArray, float]] = [
        (c.target, "target", data.ds["target"].values, float("nan"))
    ]
    for i, name in enumerate(data.channels):
        vif = float(summary["vif"].iloc[i])
        columns.append((name, "exposure", data.ds["exposure"].values[..., i], vif))
        spend = data.ds["spend"].values[..., i]
        if spend.any() and not np.array_equal(spend, data.ds["exposure"].values[..., i]):
            columns.append((name, "spend", spend, float("nan")))
    for i, name in enumerate(data.controls):
        columns.append((name, "control", data.ds["controls"].values[..., i], float("nan")))
    for name, part, values, vif in columns:
        rows.append(
            (name, part, full(values.min()), full(values.mean()), full(values.max()),
             percent(float((values == 0).mean())), f"{vif:.1f}" if np.isfinite(vif) else "")
        )  # fmt: skip
    header = ("Column", "Part", "Minimum", "Mean", "Maximum", "Zero", "VIF")
    return Table("Ranges over all rows", header, tuple(rows), (1,))
