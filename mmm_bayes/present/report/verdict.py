"""First of all: can this fit be used, and what does it say."""

from __future__ import annotations

import numpy as np

from mmm_bayes.analysis.contributions import target_total
from mmm_bayes.inference.verdict import DiagnosticsReport
from mmm_bayes.present.report.blocks import (
    Figure,
    Figures,
    Heading,
    Remark,
    Remarks,
    Section,
    Text,
    Tone,
    Verdict,
)
from mmm_bayes.present.report.context import Context
from mmm_bayes.present.report.words import between, percent, plural, ratio, short, three

_TONE: dict[str, Tone] = {"PASS": "good", "REVIEW": "look", "FAIL": "bad"}
_MEANING = {
    "PASS": "All checks passed. Sound draws do not prove that the model is "
    "true: look at the fit, the experiments and the forecasts as well.",
    "REVIEW": "The fit can be used once the findings below have been looked at.",
    "FAIL": "Do not use the figures of this report before the findings below are resolved.",
}
_SEVERITY: dict[str, tuple[Tone, str]] = {
    "error": ("bad", "Fail"),
    "warning": ("look", "Review"),
    "note": ("plain", "Note"),
}


def verdict_section(c: Context, report: DiagnosticsReport) -> Section:
    """Give the verdict with its findings, and the key figures."""
    stats = report.stats
    detail = [f"{plural(int(stats['num_chains']), 'chain')} of {stats['num_draws']:,} draws"]
    for key, text in (
        ("max_rhat", "largest R-hat {:.3f}"),
        ("min_ess_bulk", "fewest effective draws {:.0f}"),
        ("num_divergences", "{:.0f} divergences"),
    ):
        if stats.get(key) is not None:
            detail.append(text.format(stats[key]))
    blocks: list[object] = [
        Verdict(
            _TONE[report.verdict], report.verdict, _MEANING[report.verdict], ", ".join(detail) + "."
        )
    ]
    if report.findings:
        blocks.append(
            Remarks(
                tuple(Remark(*_SEVERITY[f.severity], f.message, f.remedy) for f in report.findings)
            )
        )
    if skipped := stats.get("skipped", ()):
        blocks.append(Text("Not checked: " + "; ".join(skipped) + "."))
    blocks += [Heading("Key figures"), _key_figures(c)]
    return Section("verdict", "Verdict", tuple(blocks))


def _key_figures(c: Context) -> Figures:
    total = float(c.observed.sum())
    shares = bool(target_total(c.data).notnull())
    where = "national" if c.data.is_national else plural(c.data.num_geos, "geo")
    items = [
        Figure(f"{c.target}, observed", short(total, 4), f"{c.window}, {where}"),
    ]
    if c.data.channels and shares:
        median, low, high = three(c.all_media.values.ravel() / total, c.ci_prob)
        items.append(
            Figure(
                "contribution of all media", percent(median), _range(c, percent(low), percent(high))
            )
        )
    if c.paid:
        spent = float(c.spend.sum())
        items.append(Figure("media spend", short(spent, 4), f"on {plural(len(c.paid), 'channel')}"))
        if c.price is not None:
            paid = c.all_media
            if len(c.paid) < len(c.data.channels):
                paid = c.brought[0].isel(channel=c.paid).sum("channel")
            values = np.asarray(paid.values, float).ravel() * c.price / spent
            median, low, high = three(values, c.ci_prob)
            items.append(
                Figure("ROAS of paid media", ratio(median), _range(c, ratio(low), ratio(high)))
            )
    return Figures(tuple(items))


def _range(c: Context, low: str, high: str) -> str:
    return f"{between(low, high)} ({c.interval})"
