"""The rows that a fit prints of itself."""

from __future__ import annotations

import json

from mmm_bayes.inference.verdict import Verdict
from mmm_bayes.model.fitted import Fitted


def fit_headline(fitted: Fitted, verdict: Verdict | None) -> list[tuple[str, str]]:
    """Return rows (label, text) on the model, the table, the draws and the verdict, if any."""
    data, posterior = fitted.data, fitted.tree["posterior"]
    sizes, attrs = posterior.sizes, posterior.attrs
    where = "national" if data.is_national else f"{data.num_geos} geos"
    lines = [
        ("FitResult", fitted.spec.name),
        ("data", f"{where}, {data.num_dates} dates, {data.dates[0]:%Y-%m-%d} to "
                 f"{data.dates[-1]:%Y-%m-%d}"),
        ("rows", data.time_step.description),
        ("channels", ", ".join(data.channels)),
        ("posterior", f"{sizes['chain']} x {sizes['draw']} draws, "
                      f"{attrs.get('inference', 'unknown inference')}"),
    ]  # fmt: skip
    if "interrupted" in attrs:
        lines.append(("incomplete", attrs["interrupted"]))
    if fitted.lift_tests:
        lines.append(("lift tests", ", ".join(test.name for test in fitted.lift_tests)))
    if "augmentation" in attrs:
        added = json.loads(attrs["augmentation"])
        # Files of version 1 call the effective number of rows total_power.
        effective = added.get("effective_rows", added.get("total_power"))
        text = (
            f"causal, {added['rows']} rows added ({added['settings']['method']}), likelihood "
            f"of {effective:.1f} for {added['observed_rows']} observed rows"
        )
        lines.append(("augmented", text))
    return [*lines, ("diagnostics", verdict or "not judged yet: call diagnose()")]
