"""Effects under a causal graph: forest, sensitivity contour, refutations, lift tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmm_bayes.causal.effects.estimate import EffectsTable
from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK, MODEL
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.numbers import compact

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.causal.effects.estimate import EffectEstimate
    from mmm_bayes.causal.effects.refutation_report import RefutationReport
    from mmm_bayes.causal.effects.sensitivity import Sensitivity

NDArray = np.ndarray[Any, Any]

_LOOK = {"total": ("#0072b2", "o"), "direct": ("#e69f00", "s"), "indirect": ("#009e73", "D")}
_WRONG = "#d55e00"


@named_arguments
def plot_effects(
    effects: EffectsTable | Iterable[EffectEstimate],
    *,
    quantity: Literal["value", "roas"] = "roas",
    truth: dict[tuple[str, str], float] | None = None,
) -> Figure:
    """Draw total, direct and indirect effects of every treatment with their intervals.

    Parameters
    ----------
    effects
        A table, or estimates of one contrast.
    quantity
        ``"roas"``, money per unit of spend, or ``"value"``, units of the outcome.
    truth
        By (treatment, effect), where it is known.

    Raises
    ------
    ValueError
        If there are no estimates, or they have different contrasts.
    """
    own = list(effects.estimates if isinstance(effects, EffectsTable) else effects)
    if not own:
        raise ValueError("There are no effects to draw.")
    if len({e.settings.contrast for e in own}) > 1:
        raise ValueError("The effects have different contrasts: draw each in a figure of its own.")
    rows = []
    for e in own:
        value, bounds = e.value, e.interval
        if quantity == "roas":
            value, bounds = e.roas, e.roas_interval
        rows.append(_Row(e.treatment, e.effect, value, *bounds))
    return _forest(
        rows,
        title=f"Effects on {own[0].outcome}",
        label=_quantity_name(own[0], quantity),
        level=own[0].settings.ci_prob,
        truth=truth or {},
        break_even=quantity == "roas" and own[0].settings.contrast == "as_spent_vs_zero",
    )


class StructuralEffects(Protocol):
    """Effects of channels by a structural model; a `StructuralFit` has them."""

    target: str

    def summary(self, ci_prob: float = ...) -> pd.DataFrame:
        """Return contribution and ROAS with intervals for each channel and kind of effect."""
        ...

    def paths(self, channel: str) -> list[tuple[str, ...]]:
        """Return the directed paths from a channel to the target."""
        ...


@named_arguments
def plot_structural_effects(
    fit: StructuralEffects,
    *,
    quantity: Literal["contribution", "roas"] = "roas",
    ci_prob: float = 0.9,
    truth: pd.DataFrame | None = None,
) -> Figure:
    """Draw total, direct and indirect effects of every channel by a structural model.

    Parameters
    ----------
    fit
        The fit.
    quantity
        ``"roas"``, money per unit of spend, or ``"contribution"``, units of the target.
    ci_prob
        Mass of the intervals.
    truth
        Contributions where they are known: one row per channel, columns ``total``, ``direct`` and
        ``indirect``.
    """
    rows: list[_Row] = []
    known: dict[tuple[str, str], float] = {}
    for row in fit.summary(ci_prob).reset_index().to_dict("records"):
        channel, effect = str(row["channel"]), str(row["effect"])
        if effect != "total" and len(fit.paths(channel)) < 2:
            continue  # nothing runs through other nodes
        ends = (row[f"{quantity}_lower"], row[f"{quantity}_upper"])
        rows.append(_Row(channel, effect, row[quantity], *ends))
        if truth is not None and channel in truth.index:
            scale = row["spend"] if quantity == "roas" else 1.0
            known[channel, effect] = float(truth[effect].loc[channel]) / scale
    money = "revenue per unit of spend, as spent against zero; dashed: break-even"
    label = money if quantity == "roas" else f"contribution to {fit.target}, compared with no spend"
    return _forest(
        rows,
        title=f"Effects on {fit.target}, structural model",
        label=label,
        level=ci_prob,
        truth=known,
        break_even=quantity == "roas",
    )


class _Row(NamedTuple):
    treatment: str
    effect: str
    value: float
    low: float
    high: float


def _forest(
    rows: Sequence[_Row],
    *,
    title: str,
    label: str,
    level: float,
    truth: Mapping[tuple[str, str], float],
    break_even: bool,
) -> Figure:
    """Points with intervals, a group a treatment and a line an effect."""
    step = 0.24
    places: list[float] = []
    heights: dict[str, list[float]] = {}
    y = -0.6
    for number, row in enumerate(rows):
        new = number == 0 or rows[number - 1].treatment != row.treatment
        y += 0.6 if new else step
        places.append(y)
        heights.setdefault(row.treatment, []).append(y)
    with style.canvas(8.5, 2.1 + 0.62 * y) as figure:
        ax = figure.subplots()
        for row, place in zip(rows, places, strict=True):
            _effect_row(ax, place, row)
            if (known := truth.get((row.treatment, row.effect))) is not None:
                ax.plot(known, place, marker="|", ms=13, mew=2.2, color=INK, zorder=5)
        ax.axvline(0.0, color=INK, lw=0.9, zorder=1)
        if break_even:
            ax.axvline(1.0, color=FAINT, lw=1.1, ls="--", zorder=1)
        ax.set_yticks([float(np.mean(own)) for own in heights.values()], list(heights))
        ax.set_ylim(y + 0.35, -0.35)
        ax.tick_params(axis="y", length=0, labelcolor=INK)
        ax.grid(axis="y", visible=False)
        style.compact_ticks(ax.xaxis)
        ax.set_xlabel(label)
        ax.set_title(title)
        kinds = [kind for kind in _LOOK if any(row.effect == kind for row in rows)]
        interval = style.interval_name(level)
        handles = [
            Line2D([], [], color=_LOOK[kind][0], marker=_LOOK[kind][1], ms=6,
                   label=f"{kind} effect, {interval}" if place == 0 else f"{kind} effect")
            for place, kind in enumerate(kinds)
        ]  # fmt: skip
        if truth:
            handles.append(
                Line2D([], [], lw=0, marker="|", ms=11, mew=2.2, color=INK, label="truth")
            )
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure


def _effect_row(ax: Axes, y: float, row: _Row) -> None:
    colour, marker = _LOOK[row.effect]
    ax.hlines(y, row.low, row.high, color=colour, lw=2.2, zorder=3)
    ax.plot(row.value, y, marker, color=colour, ms=6.5, mec="white", mew=0.8, zorder=4)


def _quantity_name(estimate: EffectEstimate, quantity: str) -> str:
    if estimate.settings.contrast == "per_unit":
        return f"{estimate.outcome} for one unit more" if quantity == "value" else (
            "revenue per unit of spend, at the margin")  # fmt: skip
    if quantity == "value":
        return f"contribution to {estimate.outcome}, compared with zero"
    return "revenue per unit of spend, as spent against zero; dashed: break-even"


@named_arguments
def plot_sensitivity(sensitivity: Sensitivity, *, labels: int = 6) -> Figure:
    """Draw what an estimate would be with a hidden confounder, by its strength.

    Lines join strengths that leave the same estimate; the heavy one leaves the threshold. Points
    are confounders as strong as the nodes adjusted for.

    Parameters
    ----------
    sensitivity
        Result of :func:`mmm_bayes.causal.effects.sensitivity.sensitivity`.
    labels
        Benchmarks to name, strongest first.
    """
    own, contour = sensitivity.estimate, sensitivity.contour
    marks = sensitivity.benchmarks.copy()
    reach = max(
        0.15,
        1.25 * sensitivity.robustness_value,
        1.15 * float(marks[["with_dose", "with_outcome"]].clip(upper=0.6).max().max())
        if len(marks) else 0.0,
    )  # fmt: skip
    reach = min(reach, float(contour.on_dose[-1]))
    with style.canvas(7.6, 5.9) as figure:
        ax = figure.subplots()
        inside = contour.on_dose <= reach * 1.05
        value = contour.value[np.ix_(inside, inside)]
        x, y = contour.on_dose[inside], contour.on_outcome[inside]
        lines = ax.contour(x, y, value, levels=9, colors=FAINT, linewidths=0.9,
                           linestyles="-")  # fmt: skip
        ax.clabel(lines, fmt=lambda v: compact(v), fontsize=8, colors="#555a61")
        handles = [Line2D([], [], color=FAINT, lw=0.9, label="same estimate")]
        for grid, colour, dash, label in (
            (value, _WRONG, "-", "estimate at zero"),
            (contour.bound[np.ix_(inside, inside)], "#e69f00", "--", "interval reaches zero"),
        ):
            if sensitivity.threshold != 0.0:
                label = label.replace("zero", compact(sensitivity.threshold))
            if grid.min() < sensitivity.threshold < grid.max():
                ax.contour(x, y, grid, levels=[sensitivity.threshold], colors=colour,
                           linewidths=2.2, linestyles=dash)  # fmt: skip
                handles.append(Line2D([], [], color=colour, lw=2.2, ls=dash, label=label))
        ax.plot(0, 0, marker="o", ms=8, color=MODEL, clip_on=False, zorder=5)
        ax.annotate(
            f"as estimated: {compact(own.value)}", (0, 0), (9, 7), color=MODEL,
            textcoords="offset points", bbox=_PLATE,
        )  # fmt: skip
        _benchmark_points(ax, sensitivity, reach, labels)
        rv = sensitivity.robustness_value
        if rv <= reach:
            ax.plot(rv, rv, marker="X", ms=9, color=_WRONG, zorder=5)
            left = rv > 0.65 * reach
            ax.annotate(
                f"robustness value {100 * rv:.0f}%", (rv, rv), (-10 if left else 10, 8),
                ha="right" if left else "left", color=_WRONG, textcoords="offset points",
                bbox=_PLATE,
            )  # fmt: skip
        ax.set(xlim=(0, reach), ylim=(0, reach))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda v, _: f"{100 * v:g}%")
        ax.set_xlabel(f"unexplained share of {own.treatment} that the confounder explains")
        ax.set_ylabel(f"unexplained share of {own.outcome}")
        style.headline(
            figure, f"Strength of a hidden confounder that would remove the {own.effect} effect of "
            f"{own.treatment} on {own.outcome}",
        )  # fmt: skip
        handles.append(
            Line2D([], [], lw=0, marker="^", ms=7, color=INK, label="as strong as (multiple)")
        )
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure


_PLATE = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.85}


def _benchmark_points(ax: Axes, sensitivity: Sensitivity, reach: float, labels: int) -> None:
    """Points of the benchmarks; the strongest few that lie apart get their names.

    Where a node itself is stronger than the figure reaches it stands at its edge.
    """
    marks = sensitivity.benchmarks
    inside = (marks[["with_dose", "with_outcome"]] <= reach).all(axis=1)
    marks = marks[inside | (marks["times"] == marks["times"].min())]
    if not len(marks):
        return
    order = (marks["with_dose"] * marks["with_outcome"]).sort_values(ascending=False).index
    named: list[tuple[float, float]] = [(0.0, 0.0), (sensitivity.robustness_value,) * 2]
    for row in order:
        r_d, r_y = (min(marks.loc[row, part], reach) for part in ("with_dose", "with_outcome"))
        ax.plot(r_d, r_y, marker="^", ms=7, color=INK, zorder=4, clip_on=False)
        # A label is about a quarter of the axes wide and a twentieth high.
        clear = all(abs(r_d - a) > 0.3 * reach or abs(r_y - b) > 0.06 * reach for a, b in named)
        if clear and len(named) < labels + 2:
            left = r_d > 0.7 * reach
            drop = -12 if r_y > 0.97 * reach else -3
            times = marks.loc[row, "times"]
            ax.annotate(
                f"{marks.loc[row, 'node']}" + (f" x{times:g}" if times != 1 else ""),
                (r_d, r_y), (-8 if left else 8, drop), textcoords="offset points", fontsize=9,
                ha="right" if left else "left", bbox=_PLATE,
            )  # fmt: skip
            named.append((float(r_d), float(r_y)))


@named_arguments
def plot_refutation(report: RefutationReport) -> Figure:
    """Draw the estimates of every attempt to refute an effect, next to the estimate itself.

    Parameters
    ----------
    report
        Result of :func:`mmm_bayes.causal.effects.refutation.refute`.
    """
    own = report.estimate
    tests = [test for test in report.tests if test.values.size > 1]
    grid = report.confounding
    panels = len(tests) + (grid is not None) - any(
        t.test == "unobserved_confounder" for t in tests)  # fmt: skip
    if panels < 1:
        raise ValueError("The report has no simulations to draw: run tests with several.")
    with style.canvas(9.6, 0.75 + 2.35 * -(-panels // 2)) as figure:
        axes = iter(style.grid(figure, panels, 2))
        for test in tests:
            if test.test == "unobserved_confounder":
                continue
            ax = next(axes)
            colour = MODEL if test.verdict == "holds" else _WRONG
            ax.hist(test.values, bins=min(25, max(8, test.values.size // 4)), color=colour,
                    alpha=0.55)  # fmt: skip
            ax.axvline(own.value, color=INK, lw=2.0)
            if test.expected != own.value:
                ax.axvline(test.expected, color=INK, lw=1.2, ls="--")
            else:
                ax.axvspan(*own.interval, color=FAINT, alpha=0.18, lw=0)
            ax.set_title(f"{test.test.replace('_', ' ')}: {test.verdict}", color=colour)
            ax.set_yticks([])
            ax.grid(axis="y", visible=False)
            style.compact_ticks(ax.xaxis)
        if grid is not None:
            _confounder_panel(next(axes), report)
        handles = [
            Line2D([], [], color=INK, lw=2.0, label="estimate"),
            Line2D([], [], color=INK, lw=1.2, ls="--", label="zero, expected of placebos"),
            Line2D([], [], color=FAINT, alpha=0.35, lw=8,
                   label=f"its {style.interval_name(own.settings.ci_prob)}"),
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
        style.headline(
            figure, f"Attempts to refute the {own.effect} effect of {own.treatment} on "
            f"{own.outcome} ({compact(own.value)})",
        )  # fmt: skip
    return figure


def _confounder_panel(ax: Axes, report: RefutationReport) -> None:
    """Estimates by the strength of a simulated confounder, one line a strength on the dose."""
    table = report.confounding
    assert table is not None  # the caller asks only then
    own = report.estimate
    strengths = [s for s in table.index if s > 0]
    for place, strength in enumerate(strengths):
        share = 0.75 * (1 - (place + 1) / len(strengths))
        ax.plot(table.columns, table.loc[strength], color=style.lighter(MODEL, share))
    last = strengths[-1]
    end = float(table.columns[-1])
    for strength in (strengths[0], last):
        ax.annotate(
            f"{strength:g} on {own.treatment}", (end, float(table.loc[strength].iloc[-1])), (5, 0),
            textcoords="offset points", va="center", fontsize=9, color=INK,
        )  # fmt: skip
    ax.set_xlim(0.0, 1.3 * end)
    ax.axhspan(*own.interval, color=FAINT, alpha=0.18, lw=0)
    ax.axhline(own.value, color=INK, lw=2.0)
    ax.axhline(0.0, color=INK, lw=1.2, ls="--")
    verdict = next(t.verdict for t in report.tests if t.test == "unobserved_confounder")
    ax.set_title(f"unobserved confounder: {verdict}", color=MODEL if verdict == "holds" else _WRONG)
    ax.set_xlabel(f"its strength on {own.outcome}")
    style.compact_ticks(ax.yaxis)
