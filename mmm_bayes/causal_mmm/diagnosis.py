"""The verdict on the training of a CausalMMM, and the summary of its edges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.inference.verdict import Verdict, verdict_of
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.numbers import compact
from mmm_bayes.runtime.report import Report
from mmm_bayes.runtime.summary_table import Shown, SummaryTable

# A loss that falls by more than this share of its whole fall in the last tenth of the epochs has
# not come to rest: with an exponential approach, e**-9 of the fall would be left by then.
_STILL_FALLING = 0.02


@final
@dataclass(frozen=True, eq=False, repr=False)
class TrainingReport(Report):
    """Diagnostics of a training.

    Attributes
    ----------
    findings : tuple of Finding
        ``"interrupted"``: training stopped early. ``"loss_still_falling"``: the loss had not come
        to rest. ``"validation_loss"``: the loss of the validation shops rose at the end.
    history : xarray.Dataset
        Loss per shop by epoch and round.
    """

    findings: tuple[Finding, ...] = field()
    history: xr.Dataset

    @property
    def verdict(self) -> Verdict:
        """``"PASS"``, ``"REVIEW"`` or ``"FAIL"``."""
        return verdict_of(self.findings)

    def to_frame(self) -> pd.DataFrame:
        """Return the loss of training and of validation shops, one row per epoch."""
        return self.history[["loss", "validation"]].to_dataframe()

    def __str__(self) -> str:
        loss = self.history["loss"].values
        lines = [
            f"Training: {self.verdict}",
            f"  {len(loss)} epochs and {self.history.sizes['round']} rounds, loss per shop "
            f"{compact(loss[0], 4)} to {compact(loss[-1], 4)}, parameters of epoch "
            f"{self.history.attrs['best_epoch']}",
        ]
        for own in self.findings:
            lines += [f"  {own.message}", f"    -> {own.remedy}"]
        return "\n".join(lines)


def diagnose_training(history: xr.Dataset) -> TrainingReport:
    """Judge a training by its losses."""
    found = []
    if "interrupted" in history.attrs:
        found.append(
            Finding(
                "interrupted",
                "warning",
                f"Training was {history.attrs['interrupted']}.",
                "Call fit again; with checkpoint=FOLDER it continues where it stopped.",
            )
        )
    loss = history["loss"].values
    last = max(1, len(loss) // 10)
    if len(loss) >= 20:
        before, late = loss[-2 * last : -last].mean(), loss[-last:].mean()
        share = float((before - late) / max(loss[0] - late, np.finfo(float).tiny))
        if share > _STILL_FALLING:
            found.append(
                Finding(
                    "loss_still_falling",
                    "warning",
                    f"The loss still fell by {share:.0%} of its whole fall in the last tenth of "
                    "the epochs.",
                    "Raise epochs.",
                    "epochs",
                    value=share,
                    threshold=_STILL_FALLING,
                )
            )
    checked = history["validation"].values
    if np.isfinite(checked).all() and len(checked) >= 20:
        rise = float(checked[-last:].mean() - checked.min())
        fall = float(checked[0] - checked.min())
        if fall > 0 and rise > 0.1 * fall:
            found.append(
                Finding(
                    "validation_loss",
                    "warning",
                    "The loss of the validation shops rose again by the end of training, by "
                    f"{rise / fall:.0%} of its fall.",
                    "Set patience, so that training stops before.",
                    "patience",
                    value=rise / fall,
                    threshold=0.1,
                )
            )
    return TrainingReport(tuple(found), history)


def edge_summary(probabilities: xr.DataArray, threshold: float) -> pd.DataFrame:
    """Summarise edge probabilities (shop, source, target) over shops, common edges first."""
    values = probabilities.values
    nodes = probabilities["source"].values.tolist()
    rows = [
        {
            "source": source,
            "target": target,
            "shops": int((values[:, i, j] > threshold).sum()),
            "share": float((values[:, i, j] > threshold).mean()),
            "probability": float(values[:, i, j].mean()),
            "probability_lowest": float(values[:, i, j].min()),
            "probability_highest": float(values[:, i, j].max()),
        }
        for i, source in enumerate(nodes)
        for j, target in enumerate(nodes)
        if i != j
    ]
    table = pd.DataFrame(rows).sort_values(
        ["shops", "probability"], ascending=False, ignore_index=True
    )
    return SummaryTable(
        table,
        shown=(
            Shown("source", "source"),
            Shown("target", "target"),
            Shown("shops", "shops"),
            Shown("share", "share", "percent"),
            Shown("mean probability", "probability", "percent"),
            Shown("over shops", ("probability_lowest", "probability_highest"), "percent"),
        ),
        caption=f"Shops whose edge has a probability above {threshold:g}, of {len(values)}.",
    )
