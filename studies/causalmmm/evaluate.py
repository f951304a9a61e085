"""Evaluate one run of the CausalMMM experiment, whichever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studies.causalmmm.settings import CurveRun, ForecastRun, GraphRun, Run

if TYPE_CHECKING:
    from mmm_bayes._typing import RngKey
    from studies.runs import Row


def evaluate(rng_key: RngKey, run: Run) -> list[Row]:
    """Return the rows of a run; only the modules of its kind are imported."""
    if isinstance(run, GraphRun):
        from studies.causalmmm.graphs import evaluate_graphs

        return evaluate_graphs(rng_key, run)
    if isinstance(run, ForecastRun):
        from studies.causalmmm.forecasts import evaluate_forecasts

        return evaluate_forecasts(rng_key, run)
    from studies.causalmmm.training import evaluate_curve, evaluate_timing

    if isinstance(run, CurveRun):
        return evaluate_curve(rng_key, run)
    return evaluate_timing(rng_key, run)
