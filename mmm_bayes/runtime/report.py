"""The base of every report: findings, a table, text and HTML."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from mmm_bayes.runtime.visible import shown_safely, visible, visible_html

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.runtime.findings import Finding


class Report(ABC):
    """The answer of an analysis, for a reader: ``print(report)``, a table, and findings.

    A report gives its text by ``__str__`` and its table by :meth:`to_frame`; HTML, the
    representation at a prompt and :meth:`summary` follow from them. Data classes that derive from
    it are made with ``repr=False``.

    Attributes
    ----------
    findings : tuple of Finding
        What deserves a look, the most serious first.
    """

    if TYPE_CHECKING:

        @property
        def findings(self) -> tuple[Finding, ...]:
            """Return what deserves a look, the most serious first."""
    else:  # a property here would make fields of this name unsettable
        findings = ()

    def __init_subclass__(cls, **settings: Any) -> None:
        """Let the text of every report show names safely."""
        super().__init_subclass__(**settings)
        if "__str__" in vars(cls):
            cls.__str__ = shown_safely(cls.__str__)  # type: ignore[method-assign]

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Return the figures of the report as a table."""

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def summary(self) -> pd.DataFrame:
        """Return the table of :meth:`to_frame`, which prints within 100 columns."""
        from mmm_bayes.runtime.summary_table import SummaryTable

        return SummaryTable(self.to_frame())

    @shown_safely
    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return text_as_html(str(self)) + table_as_html(self.to_frame())


def text_as_html(text: str) -> str:
    """Write the text of a report as HTML: its first line bold, the others as a list."""
    head, *rest = text.splitlines() or [""]
    items = "".join(f"<li>{visible_html(line.strip())}</li>" for line in rest if line.strip())
    return f"<p><b>{visible_html(head)}</b></p>" + (f"<ul>{items}</ul>" if items else "")


def table_as_html(frame: pd.DataFrame) -> str:
    """Write a table as HTML with the numbers of :mod:`mmm_bayes.runtime.numbers`."""
    from mmm_bayes.runtime.summary_table import SummaryTable

    own = frame if isinstance(frame, SummaryTable) else SummaryTable(frame)
    return own.to_formatted_html() if len(own) else ""


def rows_as_html(rows: list[tuple[str, str]]) -> str:
    """Write pairs of a name and a text as a small table."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{visible_html(name)}</th>"
        f"<td style='text-align:left'>{visible_html(text)}</td></tr>"
        for name, text in rows
    )
    return f"<table>{cells}</table>"


def rows_as_text(rows: list[tuple[str, str]]) -> str:
    """Write pairs of a name and a text as lines, the texts below each other."""
    width = max((len(name) for name, _ in rows), default=0) + 2
    return "\n".join(f"{name:<{width}}{visible(text)}" for name, text in rows)
