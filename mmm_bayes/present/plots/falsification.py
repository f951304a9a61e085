"""What the data say of a graph, and which doses they have seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mmm_bayes.causal.check.falsification_report import Claim, FalsificationReport
from mmm_bayes.causal.check.independence_result import IndependenceResult
from mmm_bayes.causal.check.overlap_report import OverlapReport, TreatmentOverlap
from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import BASELINE, FAINT, INK, MODEL
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import listing

_OBJECTS, _UNSEEN, _SUPPORTED = "#d55e00", "#8a8f98", "#dcefe7"
_ROW = 0.27  # inches


@named_arguments
def plot_falsification(report: FalsificationReport, *, edges: bool = True) -> Figure:
    """Draw every implied independence, and every edge, as an effect with its interval.

    Parameters
    ----------
    report
        Of :func:`mmm_bayes.causal.check.falsification.falsify`.
    edges
        Whether the edges are drawn beneath the independences.

    Raises
    ------
    ValueError
        If there is nothing to draw: no independence is implied, and there are no edges.
    """
    independences = sorted(report.independences, key=lambda check: check.result.p_value)
    first = [
        (
            _claim(check.claim),
            check.result,
            f"p = {check.p_adjusted:.2g}",
            _OBJECTS if check.objects else MODEL,
        )
        for check in independences
    ]
    second = [
        (
            f"{check.cause} → {check.effect}",
            check.result,
            check.sight if check.result is None else f"p = {check.p_adjusted:.2g}",
            MODEL if check.sight in ("seen", "faint") else _UNSEEN,
        )
        for check in report.edges
        if edges
    ]
    panels = [
        (title, rows)
        for title, rows in (
            ("The graph says: independent. Effect in the data", first),
            ("The graph says: an edge. Effect in the data, given the other causes", second),
        )
        if rows
    ]
    if not panels:
        raise ValueError("The graph implies no independence and has no edge: nothing to draw.")
    sizes = [len(rows) + 1.6 for _, rows in panels]
    with style.canvas(9.0, 1.5 + _ROW * sum(sizes)) as figure:
        axes = figure.subplots(
            len(panels), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": sizes}
        )[:, 0]
        for ax, (title, rows) in zip(axes, panels, strict=True):
            _forest(ax, rows)
            ax.set_title(title)
        axes[-1].set_xlabel(_effect_name(report.test))
        style.headline(figure, report.verdict)
        figure.legend(handles=_key(bool(first), bool(second)), loc="outside lower left", ncols=4)
    return figure


def _forest(ax: Axes, rows: Sequence[tuple[str, IndependenceResult | None, str, str]]) -> None:
    count = len(rows)
    ax.axvline(0.0, color=BASELINE, lw=1.2, zorder=1)
    for place, (_, result, note, colour) in enumerate(rows):
        y = count - 1 - place
        if result is not None:
            low, high = result.interval
            if np.isfinite(low):
                ax.hlines(y, low, high, color=colour, lw=2.2)
            ax.plot(result.effect, y, marker="o", ms=5.5, color=colour, zorder=4)
        ax.text(
            1.01,
            y,
            note,
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            color=FAINT,
        )
    ax.set_ylim(-0.7, count - 0.3)
    ax.set_yticks(range(count), [label for label, *_ in reversed(rows)])
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.grid(axis="y", visible=False)


def _claim(claim: Claim) -> str:
    """Write the claim with at most three given nodes."""
    if len(claim.given) <= 3:
        return str(claim)
    return str(claim).replace(", ".join(claim.given), listing(claim.given, 3))


def _effect_name(test: str) -> str:
    return {
        "chi_squared": "Cramér's V",
        "kernel": "share of the residual features' covariance",
    }.get(test, "partial correlation, 95% interval")


def _key(independences: bool, edges: bool) -> list[Line2D]:
    def handle(colour: str, label: str) -> Line2D:
        return Line2D([], [], color=colour, marker="o", ms=5.5, lw=2.2, label=label)

    found = [handle(_OBJECTS, "rejected by the data")] if independences else []
    found.append(handle(MODEL, "not rejected" + ("; edge seen" if edges else "")))
    if edges:
        found.append(handle(_UNSEEN, "edge not seen"))
    return found


@named_arguments
def plot_overlap(report: OverlapReport | TreatmentOverlap, *, columns: int = 2) -> Figure:
    """Draw every treatment against what is expected of it, with the doses that are supported.

    Parameters
    ----------
    report
        Of :func:`mmm_bayes.causal.check.overlap.overlap`, or one treatment of it.
    columns
        Panels in a row.

    Raises
    ------
    ValueError
        If no treatment has an adjustment set.
    """
    found = report.treatments if isinstance(report, OverlapReport) else (report,)
    if not found:
        raise ValueError("No treatment has a valid adjustment set, so there is nothing to draw.")
    columns = min(columns, len(found))
    lines = -(-len(found) // columns)
    with style.canvas(4.9 * columns, 0.9 + 3.3 * lines) as figure:
        for ax, own in zip(style.grid(figure, len(found), columns), found, strict=True):
            _overlap_panel(ax, own)
        style.headline(figure, "Observed doses, given the adjustment set")
        figure.legend(handles=_overlap_key(), loc="outside lower left", ncols=2)
    return figure


def _overlap_panel(ax: Axes, own: TreatmentOverlap) -> None:
    place = own.expected
    flat = float(np.ptp(place)) <= 1e-9 * max(1.0, abs(own.seen[1]))
    if flat:  # nothing is expected of it: over the rows, as they come
        place = np.arange(own.n) if own.dates is None else own.dates
    if own.supported is not None:
        ax.axhspan(*own.supported, color=_SUPPORTED, lw=0, zorder=0)
    if not flat:
        order = np.argsort(place, kind="stable")
        low = np.clip(own.alike_low[order], *own.seen)
        high = np.clip(own.alike_high[order], *own.seen)
        ax.fill_between(place[order], low, high, color=style.lighter(MODEL, 0.75), lw=0, zorder=1)
    bad = np.zeros(own.n, bool)
    bad[[violation.row for violation in own.violations]] = True
    for rows, colour in ((~bad, MODEL), (bad, _OBJECTS)):
        ax.plot(place[rows], own.dose[rows], ls="", marker="o", ms=3.2, color=colour, zorder=3)
    share = f"{100 * (1 - own.explained):.0f}%"
    ax.set_title(f"{own.name}: {share} own variation, {own.n} rows as {own.effective:.0f}")
    ax.set_ylabel(own.name)
    style.compact_ticks(ax.yaxis)
    if not flat:
        ax.set_xlabel(f"expected given {listing(own.given, 3)}")
        style.compact_ticks(ax.xaxis)
    elif own.dates is None:
        ax.set_xlabel("row; nothing is adjusted for")
    else:
        ax.set_xlabel("nothing is adjusted for")
        style.date_ticks(ax)


def _overlap_key() -> list[Line2D | Patch]:
    return [
        Line2D([], [], ls="", marker="o", ms=4, color=MODEL, label="row"),
        Line2D([], [], ls="", marker="o", ms=4, color=_OBJECTS,
               label="row in whose circumstances zero was not observed"),
        Patch(color=style.lighter(MODEL, 0.75), label="doses observed in a row's circumstances"),
        Patch(color=_SUPPORTED, label="supported: observed in 90% of circumstances"),
    ]  # fmt: skip
