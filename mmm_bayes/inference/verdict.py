"""Findings about a fit, and the report they add up to: PASS, REVIEW or FAIL."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from mmm_bayes.runtime.findings import Finding, by_severity
from mmm_bayes.runtime.report import Report
from mmm_bayes.runtime.visible import visible_html

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["PASS", "REVIEW", "FAIL"]

_LABEL = {"error": "FAIL", "warning": "REVIEW", "note": "NOTE"}
_COLOUR: dict[str, str] = {"PASS": "#2e7d32", "REVIEW": "#b26a00", "FAIL": "#b3261e"}


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """Return the verdict that the worst of the findings decides; none, or notes only, is a PASS."""
    severities = {finding.severity for finding in findings}
    if "error" in severities:
        return "FAIL"
    return "REVIEW" if "warning" in severities else "PASS"


@dataclass(frozen=True, eq=False, repr=False)
class DiagnosticsReport(Report):
    """The verdict on a fit, with the findings behind it.

    Parameters
    ----------
    verdict
        ``"PASS"``, ``"REVIEW"`` or ``"FAIL"``: the worst severity among the findings.
    findings
        Findings, the most serious first.
    table
        ``rhat``, ``ess_bulk`` and ``ess_tail`` (along the dimension ``diagnostic``) of every
        variable, its other dimensions kept.
    stats
        Figures of the whole run: chains, draws, divergences, E-BFMI, ... and ``skipped``: the
        checks that could not be made, with the reason.
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = field()  # no default of the base's
    table: xr.Dataset
    stats: Mapping[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        stats = self.stats
        parts = [f"{stats.get('num_chains', '?')} chains x {stats.get('num_draws', '?')} draws"]
        parts.append(f"{stats.get('num_quantities', '?')} quantities")
        for key, label in (
            ("max_rhat", "R-hat max {:.3f}"),
            ("min_ess_bulk", "bulk ESS min {:.0f}"),
            ("min_ess_tail", "tail ESS min {:.0f}"),
            ("num_divergences", "{:.0f} divergences"),
            ("min_bfmi", "E-BFMI min {:.2f}"),
            ("tree_depth_share", "{:.1%} at the depth limit"),
        ):
            if key in stats and stats[key] is not None:
                parts.append(label.format(stats[key]))
        return ", ".join(parts)

    def __str__(self) -> str:
        """Render for a terminal."""
        wrap = textwrap.TextWrapper(width=100, break_long_words=False, break_on_hyphens=False)

        def block(first: str, rest: str, text: str) -> str:
            wrap.initial_indent, wrap.subsequent_indent = first, rest
            return wrap.fill(text)

        lines = [f"Diagnostics: {self.verdict}", block("  ", "  ", self._headline())]
        for finding in self.findings:
            label = f"  {_LABEL[finding.severity]:<6}  "
            lines += ["", block(label, " " * 10, finding.message)]
            lines += [block(" " * 10 + "-> ", " " * 13, finding.remedy)]
        skipped = self.stats.get("skipped", ())
        if skipped:
            lines += ["", block("  Not checked: ", "    ", "; ".join(skipped))]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Render for a notebook."""
        rows = "".join(
            f"<tr><td><b>{_LABEL[f.severity]}</b></td><td>{visible_html(f.where or '')}"
            f"</td><td style='text-align:left'>{visible_html(f.message)}<br>"
            f"<i>{visible_html(f.remedy)}</i></td></tr>"
            for f in self.findings
        )
        skipped = "; ".join(self.stats.get("skipped", ()))
        return (
            f"<div><p><b style='color:{_COLOUR[self.verdict]}'>Diagnostics: {self.verdict}</b><br>"
            f"{visible_html(self._headline())}</p>"
            + (f"<table>{rows}</table>" if rows else "")
            + (f"<p>Not checked: {visible_html(skipped)}</p>" if skipped else "")
            + "</div>"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finding: check, severity, where, value, threshold, message, remedy."""
        columns = ("check", "severity", "where", "value", "threshold", "message", "remedy")
        cells = {
            name: ("finding", np.array([getattr(f, name) for f in self.findings], dtype=object))
            for name in columns
        }
        return xr.Dataset(cells).to_dataframe()[list(columns)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python values, fit for JSON (non-finite numbers as None)."""
        return {
            "verdict": self.verdict,
            "findings": [_plain(_record(finding)) for finding in self.findings],
            "stats": _plain(dict(self.stats)),
            "table": {
                str(name): {
                    "dims": [str(dim) for dim in values.dims[1:]],
                    **{str(row): _plain(values.sel(diagnostic=row).values.tolist())
                       for row in self.table["diagnostic"].values},
                }
                for name, values in self.table.data_vars.items()
            },
        }  # fmt: skip


def _record(finding: Finding) -> dict[str, Any]:
    """Return the fields of a finding that are set."""
    return {
        name: value
        for name, value in vars(finding).items()
        if not (value is None or (isinstance(value, tuple) and not value))
    }


def _plain(value: Any) -> Any:
    """Turn nested values into what JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def combine(report: DiagnosticsReport, extra_findings: Iterable[Finding]) -> DiagnosticsReport:
    """Add findings of checks that know the model; the worst severity decides the verdict.

    Parameters
    ----------
    report
        Report of :func:`mmm_bayes.inference.diagnostics.diagnose_sampling`.
    extra_findings
        Findings to add, such as a negative baseline or an implausible return on spend.

    Returns
    -------
    DiagnosticsReport
        A new report with all findings, the most serious first.
    """
    findings = by_severity((*report.findings, *extra_findings))
    return replace(report, findings=findings, verdict=verdict_of(findings))
