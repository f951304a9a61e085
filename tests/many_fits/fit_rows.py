"""Rows of fits for workers to import."""

from __future__ import annotations

from typing import Any

from mmm_bayes.fit_result import FitResult
from mmm_bayes.many_fits.fit_cells import FitCell


def two_numbers(fit: FitResult) -> list[dict[str, Any]]:
    """A summary of one's own."""
    return [{"dates": fit.data.num_dates, "channels": len(fit.data.channels)}]


def no_fit(cell: FitCell) -> list[dict[str, Any]]:
    """What stands for a fit where none is needed; a table called bad has none."""
    if cell.table == "bad":
        raise FloatingPointError("no start with a finite density")
    names = {"table": cell.table, "spec": cell.spec_name}
    verdict = "PASS" if len(cell.table) % 2 else "REVIEW"
    shared = {"verdict": verdict, "max_rhat": 1.001, "min_ess_bulk": 900.0, "divergences": 0}
    shared |= {"findings": [], "seconds": 2.0, "cpu_seconds": 3.0, "peak_memory_mib": 400.0}
    return [
        names | {"channel": channel, "roas": 1.5} | shared | {"file": None}
        for channel in cell.data.channels
    ]
