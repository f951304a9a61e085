"""Summaries of the data: one row per channel, text and HTML."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.data.collinearity import variance_inflation
from mmm_bayes.data.time_step import TimeStep
from mmm_bayes.runtime.findings import Finding, numbered
from mmm_bayes.runtime.summary_table import SummaryTable
from mmm_bayes.runtime.visible import visible, visible_html


def summary(ds: xr.Dataset, step: TimeStep) -> SummaryTable:
    """Return one row per channel; see `MMMData.summary`."""
    spend = ds["spend"].sum(("geo", "date")).values
    exposure, target = ds["exposure"].values, ds["target"].values
    centred = (exposure - exposure.mean(1, keepdims=True)).reshape(-1, exposure.shape[-1])
    y = (target - target.mean(1, keepdims=True)).ravel()
    norms = np.sqrt((centred**2).sum(0) * (y**2).sum())
    undefined = np.full(len(norms), np.nan)
    total = spend.sum()
    return SummaryTable(
        {
            "spend": spend,
            "spend_share": spend / total if total > 0 else spend,
            "exposure": exposure.sum((0, 1)),
            "nonzero": (exposure > 0).sum((0, 1)),
            "correlation": np.divide(centred.T @ y, norms, out=undefined, where=norms > 0),
            "vif": variance_inflation(centred),
            "paid": ds["paid"].values,
            "date_marks": _marks(step),
        },
        index=pd.Index([str(c) for c in ds["channel"].values], name="channel"),
    )


def _marks(step: TimeStep) -> str:
    marks = "end" if step.marks == "end" else "start"
    return marks + (" (assumed)" if step.source == "assumed" else "")


def as_text(ds: xr.Dataset, step: TimeStep, findings: Sequence[Finding]) -> str:
    """Return the text representation."""
    return "MMMData\n" + "\n".join(f"  {n:<9}{text}" for n, text in _lines(ds, step, findings))


def as_html(ds: xr.Dataset, step: TimeStep, findings: Sequence[Finding]) -> str:
    """Return the notebook representation, with one row per channel."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{name}</th>"
        f"<td style='text-align:left'>{visible_html(text)}</td></tr>"
        for name, text in _lines(ds, step, findings)
    )
    table = summary(ds, step).to_formatted_html()
    notes = f"<pre>{visible_html(numbered(findings))}</pre>" if findings else ""
    return f"<b>MMMData</b><table>{rows}</table>{table}{notes}"


def _lines(ds: xr.Dataset, step: TimeStep, findings: Sequence[Finding]) -> list[tuple[str, str]]:
    place = f"{ds.sizes['geo']} geos" if ds.attrs["geo"] else "national"
    dates = pd.DatetimeIndex(ds.indexes["date"])
    span = f"{dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}"
    lines = [
        ("data", f"{place}, {len(dates)} dates, {span} ({step.alias or 'one date'})"),
        ("rows", step.description),
        ("target", visible(ds.attrs["target"] or "(none)")),
        ("channels", ", ".join(map(visible, ds["channel"].values))),
        ("controls", ", ".join(map(visible, ds["control"].values)) or "(none)"),
    ]
    if findings:
        lines.append(("warnings", f"{len(findings)}, see .findings"))
    return lines
