"""Experiments compared with the model's predictions of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mmm_bayes.present.report import traces
from mmm_bayes.present.report.blocks import Chart, Note, Section, Table
from mmm_bayes.present.report.context import Context
from mmm_bayes.present.report.words import NDArray, between, full, label

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.causal.effects.lift_comparison import LiftComparison

_MEASURES = {
    "lift": "lift of the outcome over the test",
    "roas": "revenue per unit of money of the change",
    "cost_per_target": "money per unit of the target",
}


def experiments_section(c: Context, comparison: LiftComparison, calibrated: bool) -> Section:
    """Measured and predicted lifts.

    Parameters
    ----------
    c
        The fit.
    comparison
        Lift tests and predictions.
    calibrated
        Whether the tests are part of the fit's likelihood.
    """
    table = comparison.table
    agreeing = bool((table["agreement"] == "agrees").all())
    measures = np.array([getattr(test, "measure", "lift") for test in comparison.tests])
    blocks: list[object] = [Note("good" if agreeing else "look", comparison.verdict)]
    for measure in dict.fromkeys(measures.tolist()):
        own = table[measures == measure]
        blocks.append(_chart(own, str(measure), comparison.ci_prob, calibrated))
    return Section("experiments", "Experiments and model", tuple(blocks))


def _chart(table: pd.DataFrame, measure: str, level: float, calibrated: bool) -> Chart:
    names = [str(name) for name in table.index]
    place = np.arange(len(names), dtype=float)

    def family(kind: str) -> tuple[NDArray, NDArray, NDArray]:
        found = [table[f"{kind}{end}"].to_numpy(float) for end in ("", "_low", "_high")]
        return found[0], found[1], found[2]

    data = [
        traces.intervals(names, family("observed"), "@ink", "experiment",
                         offset=(place - 0.14).tolist(), digits=".4s"),
        traces.intervals(names, family("predicted"), "@model", "model", symbol="square",
                         offset=(place + 0.14).tolist(), digits=".4s"),
    ]  # fmt: skip
    layout: dict[str, Any] = traces.layout(
        hovermode="closest",
        xaxis={"title": {"text": _MEASURES.get(measure, measure)}, "tickformat": "~s",
               "zeroline": True},
        yaxis={"tickmode": "array", "tickvals": place.tolist(), "tickformat": "",
               "ticktext": [label(n) for n in names],
               "range": [len(names) - 0.5, -0.5], "showgrid": False},
    )  # fmt: skip
    rows = tuple(
        (name, str(row["channel"]), full(row["observed"]),
         between(full(row["observed_low"]), full(row["observed_high"])), full(row["predicted"]),
         between(full(row["predicted_low"]), full(row["predicted_high"])), f"{row['z']:.1f}",
         str(row["agreement"]))
        for name, row in zip(names, table.to_dict("records"), strict=True)
    )  # fmt: skip
    interval = f"{level:.0%} interval"
    says = (
        "These experiments are part of the fit: agreement is expected, and disagreement means that "
        "the table and the experiment contradict each other."
        if calibrated
        else "These experiments were not part of the fit: they are an independent check of it."
    )
    title = {"roas": "Measured returns", "cost_per_target": "Measured costs"}
    return Chart(
        f"lift-chart-{measure}",
        title.get(measure, "Lift tests"),
        says,
        "Circles are the results of experiments, squares the predictions of the model for the "
        "same dates, geos and change of spend; whiskers are intervals. z is their distance in "
        "standard errors of both together.",
        {"data": data, "layout": layout},
        Table(
            f"Experiments and the model: {_MEASURES.get(measure, measure)}",
            ("Test", "Channel", "Measured", interval, "Model", interval, "z", "Agreement"),
            rows,
            (1, 7),
        ),
        110 + 62 * len(names),
    )
