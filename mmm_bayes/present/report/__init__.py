"""One self-contained HTML file about a fit: verdict, figures, tables, and a budget to try out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmm_bayes.present.report.write import ReportError, write_report

__all__ = ["ReportError", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mmm_bayes.present.report' has no attribute {name!r}")
    from mmm_bayes.present.report import write

    return getattr(write, name)
