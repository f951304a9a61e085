"""Findings about a fit, and the report they add up to: PASS, REVIEW or FAIL."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import xarray as xr

Severity = Literal["note", "review", "fail"]
Verdict = Literal["PASS", "REVIEW", "FAIL"]

_RANK: dict[str, int] = {"fail": 0, "review": 1, "note": 2}
_COLOUR: dict[str, str] = {"PASS": "#2e7d32", "REVIEW": "#b26a00", "FAIL": "#b3261e"}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be, and what to do about it.

    Parameters
    ----------
    check
        Name of the check, such as ``"rhat"`` or ``"divergences"``.
    severity
        ``"fail"``: do not use the result; ``"review"``: look before you use it; ``"note"``: good
        to know, and no reason to doubt the fit.
    subject
        The parameter (``"alpha[tv]"``), chain (``"chain 2"``) or channel concerned.
    value, threshold
        What was measured, and the limit it crossed.
    message
        What was found, in words.
    advice
        What to do about it.

    Raises
    ------
    ValueError
        If the severity is none of these.
    """

    check: str
    severity: Severity
    subject: str
    value: float
    threshold: float
    message: str
    advice: str

    def __post_init__(self) -> None:
        if self.severity not in _RANK:
            raise ValueError(
                f"severity of finding {self.check!r} is {self.severity!r}; "
                "expected 'note', 'review' or 'fail'"
            )


def _by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: _RANK[finding.severity]))


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """Return the verdict that the worst of the findings decides; none, or notes only, is a PASS."""
    severities = {finding.severity for finding in findings}
    if "fail" in severities:
        return "FAIL"
    return "REVIEW" if "review" in severities else "PASS"


@dataclass(frozen=True, eq=False, repr=False)
class DiagnosticsReport:
    """What the diagnostics of a fit come to.

    Parameters
    ----------
    verdict
        ``"PASS"``, ``"REVIEW"`` or ``"FAIL"``: the worst severity among the findings.
    findings
        Findings, the gravest first.
    table
        ``rhat``, ``ess_bulk`` and ``ess_tail`` (along the dimension ``diagnostic``) of every
        variable, its other dimensions kept.
    stats
        Figures of the whole run: chains, draws, divergences, E-BFMI, ... and ``skipped``: the
        checks that could not be made, with the reason.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
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

    def __repr__(self) -> str:
        """Show the report itself at a prompt."""
        return str(self)

    def __str__(self) -> str:
        """Render for a terminal."""
        wrap = textwrap.TextWrapper(width=100, break_long_words=False, break_on_hyphens=False)

        def block(first: str, rest: str, text: str) -> str:
            wrap.initial_indent, wrap.subsequent_indent = first, rest
            return wrap.fill(text)

        lines = [f"Diagnostics: {self.verdict}", block("  ", "  ", self._headline())]
        for finding in self.findings:
            label = f"  {finding.severity.upper():<6}  "
            lines += ["", block(label, " " * 10, finding.message)]
            lines += [block(" " * 10 + "-> ", " " * 13, finding.advice)]
        skipped = self.stats.get("skipped", ())
        if skipped:
            lines += ["", block("  Not checked: ", "    ", "; ".join(skipped))]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Render for a notebook."""
        rows = "".join(
            f"<tr><td><b>{html.escape(f.severity.upper())}</b></td><td>{html.escape(f.subject)}"
            f"</td><td style='text-align:left'>{html.escape(f.message)}<br>"
            f"<i>{html.escape(f.advice)}</i></td></tr>"
            for f in self.findings
        )
        skipped = "; ".join(self.stats.get("skipped", ()))
        return (
            f"<div><p><b style='color:{_COLOUR[self.verdict]}'>Diagnostics: {self.verdict}</b><br>"
            f"{html.escape(self._headline())}</p>"
            + (f"<table>{rows}</table>" if rows else "")
            + (f"<p>Not checked: {html.escape(skipped)}</p>" if skipped else "")
            + "</div>"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain Python values, fit for JSON (non-finite numbers as None)."""
        return {
            "verdict": self.verdict,
            "findings": [_plain(vars(finding)) for finding in self.findings],
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
        A new report with all findings, the gravest first.
    """
    findings = _by_severity((*report.findings, *extra_findings))
    return replace(report, findings=findings, verdict=verdict_of(findings))
