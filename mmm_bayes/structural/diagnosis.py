"""Diagnostics of a system of equations, with one report per equation and an overall verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from mmm_bayes.inference.verdict import DiagnosticsReport, Verdict, verdict_of
from mmm_bayes.runtime.deprecation import warn_deprecated
from mmm_bayes.runtime.findings import Finding, by_severity
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html

if TYPE_CHECKING:
    import pandas as pd


def _wrapped(start: str, text: str) -> str:
    return textwrap.fill(text, 100, initial_indent=start, subsequent_indent=" " * len(start))


@final
@dataclass(frozen=True, eq=False, repr=False)
class SystemReport(Report):
    """Diagnostics of all equations of a graph.

    Attributes
    ----------
    reports : mapping of str to DiagnosticsReport
        Report of each equation, by node.
    """

    reports: Mapping[str, DiagnosticsReport]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings of all equations, most serious first; ``where`` starts with the node."""
        return by_severity(
            replace(own, where=f"{node}: {own.where}" if own.where else node)
            for node, report in self.reports.items()
            for own in report.findings
        )

    @property
    def verdict(self) -> Verdict:
        """The verdict of the worst equation."""
        return verdict_of(self.findings)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per node: verdict, number of findings, worst finding and its remedy."""
        import pandas as pd

        rows = []
        for node, report in self.reports.items():
            first = report.findings[0] if report.findings else None
            rows.append(
                {
                    "node": node,
                    "verdict": report.verdict,
                    "findings": len(report.findings),
                    "first": "" if first is None else first.message,
                    "advice": "" if first is None else first.remedy,
                }
            )
        return pd.DataFrame(rows).set_index("node")

    def __str__(self) -> str:
        lines = [f"Diagnostics: {self.verdict}"]
        for node, report in self.reports.items():
            lines.append(f"  {node}: {report.verdict}")
            for own in report.findings[:1]:
                lines += [_wrapped("    ", own.message), _wrapped("    -> ", own.remedy)]
            if len(report.findings) > 1:
                lines.append(f"    and {len(report.findings) - 1} more: see reports[{node!r}]")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return text_as_html(f"Diagnostics: {self.verdict}") + table_as_html(self.to_frame())

    def __getitem__(self, name: Any) -> Any:
        """Return columns of :meth:`to_frame`; deprecated access from when this was a data frame."""
        warn_deprecated("StructuralFit.diagnose()[...]", "diagnose().to_frame()[...]")
        return self.to_frame()[name]

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of :meth:`to_frame`; deprecated, as this is no data frame now."""
        if name.startswith("_") or name == "reports":
            raise AttributeError(name)
        found = getattr(self.to_frame(), name)
        warn_deprecated(f"StructuralFit.diagnose().{name}", f"diagnose().to_frame().{name}")
        return found
