"""What channels return: ROAS, response to spend, carry-over."""

from __future__ import annotations

import numpy as np

from mmm_bayes.analysis.response import adstock_curves
from mmm_bayes.present.report import traces
from mmm_bayes.present.report.blocks import Chart, Note, Panel, Panels, Section, Table
from mmm_bayes.present.report.context import Context
from mmm_bayes.present.report.words import (
    NDArray,
    between,
    full,
    label,
    listing,
    middle,
    percent,
    probability,
    ratio,
    rounded,
    short,
)

_SEEN = (0.05, 0.95)  # quantiles of the spend of single periods that count as observed
_CARRIED = 500  # draws of carry-over curves


def returns_section(c: Context) -> Section:
    """ROAS and marginal ROAS."""
    blocks: list[object] = [_returns(c)] if c.paid else []
    free = [name for i, name in enumerate(c.data.channels) if i not in c.paid]
    if free:
        text = f"No money was spent on {listing(free)}: there is no return on spend to show."
        blocks.append(Note("plain", text))
    return Section("returns", "Return on ad spend", tuple(blocks))


def _returns(c: Context) -> Chart:
    names = [c.data.channels[i] for i in c.paid]
    roas = middle(c.roas.isel(channel=c.paid), c.ci_prob)
    marginal = middle(c.marginal_roas.isel(channel=c.paid), c.ci_prob)
    above = (c.roas > 1).mean(("chain", "draw")).values[c.paid]
    next_above = (c.marginal_roas > 1).mean(("chain", "draw")).values[c.paid]
    place = np.arange(len(names), dtype=float)
    data = [
        traces.intervals(names, roas, "@model", "ROAS", offset=(place - 0.14).tolist()),
        traces.intervals(
            names, marginal, "@second", "marginal ROAS", symbol="diamond",
            offset=(place + 0.14).tolist(),
        ),
    ]  # fmt: skip
    layout = traces.layout(
        hovermode="closest",
        xaxis={
            "title": {"text": "revenue per unit of money spent"}, "rangemode": "tozero",
            "range": _span(roas, marginal),
        },
        yaxis={
            "tickmode": "array", "tickvals": place.tolist(), "tickformat": "",
            "ticktext": [label(n) for n in names],
            "range": [len(names) - 0.5, -0.5], "showgrid": False,
        },
        shapes=[traces.vertical(1.0, "@faint", "dash")],
    )  # fmt: skip
    best, worst = int(np.argmax(roas[0])), int(np.argmin(roas[0]))
    says = f"{names[best]} returned most: {_ratio_of(roas, best)} per unit of money"
    if len(names) > 1:
        says += f"; {names[worst]} least: {_ratio_of(roas, worst)}"
    top = int(np.argmax(marginal[0]))
    says += f". The next unit of money brings most in {names[top]}: {_ratio_of(marginal, top)}."
    rows = []
    for i, name in enumerate(names):
        rows.append(
            (
                name,
                full(c.spend[c.paid[i]]),
                ratio(roas[0][i]),
                between(ratio(roas[1][i]), ratio(roas[2][i])),
                probability(above[i]),
                ratio(marginal[0][i]),
                between(ratio(marginal[1][i]), ratio(marginal[2][i])),
                probability(next_above[i]),
            )
        )
    return Chart(
        "roas-chart",
        "ROAS and marginal ROAS",
        says + f" ({c.interval}s in brackets.)",
        "Circles are the return on all of a channel's spend, diamonds the return on the next 1% "
        "of spend; whiskers are intervals. A marginal return below the average one means "
        "saturation. The dashed line is a return of 1: revenue equals spend, before the cost of "
        "what was sold. Decide on more or less spend by the diamonds, not by the circles.",
        {"data": data, "layout": layout},
        Table(
            f"Returns over {c.window}",
            ("Channel", "Spend", "ROAS", c.interval, "P(ROAS > 1)", "Marginal ROAS", c.interval,
             "P(marginal > 1)"),
            tuple(rows),
        ),
        110 + 62 * len(names),
    )  # fmt: skip


def _span(*families: tuple[NDArray, ...]) -> list[float]:
    """Range of the axis: one very wide interval does not squeeze all others."""
    high = np.concatenate([values[2] for values in families])
    reach = min(float(high.max()), 4.0 * max(float(np.median(high)), 0.5))
    low = min(0.0, float(min(values[1].min() for values in families)))
    return [low, float(f"{1.05 * max(reach, 1.2):.4g}")]


def _ratio_of(values: tuple[NDArray, ...], place: int) -> str:
    median, low, high = (ratio(x[place]) for x in values)
    return f"{median} ({between(low, high)})"


def curves_section(c: Context) -> Section:
    """Response curves and carry-over."""
    blocks: list[object] = [_response(c)] if c.paid else []
    blocks.append(_carry_over(c))
    return Section("curves", "Response and carry-over", tuple(blocks))


def seen_multiples(c: Context, position: int) -> tuple[float, float]:
    """Find the range of a channel's spend in single periods, as multiples of its mean."""
    spent = c.data.ds["spend"].values[..., position].sum(0)
    spent = spent[spent > 0]
    if not spent.size:
        return 1.0, 1.0
    low, high = np.quantile(spent, _SEEN) / spent.mean()
    return float(low), float(high)


def _response(c: Context) -> Panels:
    curves = c.surface.response()
    tail = 0.5 * (1.0 - c.ci_prob)
    low, median, high = np.quantile(curves, [tail, 0.5, 1.0 - tail], axis=0)
    multiples = c.surface.multiples
    top = float(high[c.paid].max())
    panels, rows = [], []
    for i in c.paid:
        name, spend = c.data.channels[i], multiples * c.spend[i]
        first, last = (c.spend[i] * m for m in seen_multiples(c, i))
        today = [float(np.interp(1.0, multiples, x[i])) for x in (median, low, high)]
        data = [
            *traces.band(spend, low[i], high[i], f"@c{i}/0.22", c.interval),
            traces.line(rounded(spend), median[i], f"@c{i}", "median"),
            traces.points([float(f"{c.spend[i]:.6g}")], rounded([today[0]]), "@ink", "as spent",
                          marker={"size": 9}),
        ]  # fmt: skip
        for trace in data[:2]:
            trace["x"] = rounded(spend)
        reach = float(f"{c.most * c.spend[i]:.5g}")
        layout = traces.layout(
            showlegend=False,
            xaxis={"title": {"text": "spend"}, "tickformat": "~s", "range": [0, reach],
                   "nticks": 6},
            yaxis={"range": [min(0.0, float(low[c.paid].min())), 1.05 * top], "nticks": 6},
            shapes=[
                traces.shaded(first, min(last, reach), "@ink/0.06"),
                traces.vertical(c.spend[i], "@ink/0.5", "dot"),
            ],
        )  # fmt: skip
        says = (
            f"{name}: spend of {short(c.spend[i])} contributed {short(today[0])} "
            f"({between(short(today[1]), short(today[2]))}); twice as much would bring "
            f"{short(float(np.interp(2.0, multiples, median[i])))}."
        )
        panels.append(Panel(f"response-{i}", name, says, {"data": data, "layout": layout}))
        for m in (0.5, 1.0, 1.5, 2.0):
            values = [float(np.interp(m, multiples, x[i])) for x in (median, low, high)]
            rows.append(
                (name, f"{m:g}", full(m * c.spend[i]), full(values[0]),
                 between(full(values[1]), full(values[2])))
            )  # fmt: skip
    return Panels(
        "response",
        "Response curves",
        "The contribution of each channel over the whole window at other levels of spend, all "
        "of its spend scaled by the same factor and the other channels unchanged.",
        "The line is the median, the band the interval, the dot and the dotted line the spend as "
        f"it was. Shaded: levels at which an average {c.period} of activity has a spend that "
        f"single {c.period}s had ({_SEEN[0]:.0%} to {_SEEN[1]:.0%} quantile). Outside of it the "
        "curve rests on its assumed shape. A curve that flattens has saturated.",
        tuple(panels),
        Table(
            "Revenue by spend",
            ("Channel", "Times today's", "Spend", "Revenue", c.interval),
            tuple(rows),
        ),
    )


def _carry_over(c: Context) -> Panels:
    draws = adstock_curves(c.fitted, max_draws=_CARRIED)
    median, low, high = middle(draws, c.ci_prob)
    lags = draws["lag"].values
    top = float(high.max(initial=0.0))
    panels, rows = [], []
    for i, name in enumerate(c.data.channels):
        data = [
            *traces.band(lags.tolist(), low[i], high[i], f"@c{i}/0.22", c.interval),
            traces.line(lags.tolist(), median[i], f"@c{i}", "median", mode="lines+markers",
                        marker={"color": f"@c{i}", "size": 5}),
        ]  # fmt: skip
        layout = traces.layout(
            showlegend=False,
            xaxis={"title": {"text": f"{label(c.period)}s after the spend"}, "dtick": None,
                   "nticks": 8},
            yaxis={"tickformat": ".0%", "range": [0, 1.05 * top]},
        )  # fmt: skip
        weights = draws.isel(channel=i).values.reshape(-1, len(lags))
        sums = weights.sum(1)
        later = np.divide(weights[:, 1:].sum(1), sums, out=np.zeros(len(sums)), where=sums > 0)
        tail = 0.5 * (1.0 - c.ci_prob)
        share = np.quantile(later, [0.5, tail, 1.0 - tail])
        says = (
            f"{name}: {percent(share[0])} of the effect ({between(*map(percent, share[1:]))}) "
            f"come after the {c.period} of the spend."
        )
        panels.append(Panel(f"adstock-{i}", name, says, {"data": data, "layout": layout}))
        rows.append((name, percent(share[0]), between(*map(percent, share[1:])),
                     *(percent(x) for x in median[i])))  # fmt: skip
    header = tuple(f"+{lag}" for lag in lags)
    return Panels(
        "adstock",
        "Carry-over (adstock)",
        f"How the effect of one {c.period}'s spend is spread over the {c.period}s that follow.",
        "A line that falls at once means that a channel works when it runs; a slow one means that "
        "it goes on working after it has stopped. Wide bands mean that the data say little.",
        tuple(panels),
        Table(
            f"Share of the effect after the first {c.period}, and by {c.period}s after the spend "
            "(medians)",
            ("Channel", "After the first", c.interval, *header),
            tuple(rows),
        ),
        220,
    )
